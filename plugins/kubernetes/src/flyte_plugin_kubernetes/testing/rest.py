"""A small client of the API for the doubles that play a node and the controllers: any server, double or real."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import select
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_PATCH = "application/strategic-merge-patch+json"


class RestRefusal(Exception):
    """The server said no.

    Args:
        code: of HTTP.
        reason: of the Status.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason


class Rest:
    """Requests as JSON, over connections that are kept.

    Args:
        configuration: a ``kubernetes.client.Configuration``.
    """

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        parsed = urllib.parse.urlsplit(configuration.host)
        self._host, self._port = parsed.hostname or "127.0.0.1", parsed.port
        self._secure = parsed.scheme == "https"
        self._prefix = parsed.path.rstrip("/")
        self._idle: list[http.client.HTTPConnection] = []
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    @classmethod
    def of_kubeconfig(cls, path: Path) -> Rest:
        """Of the current context of a kubeconfig file."""
        from kubernetes import client, config

        made = client.Configuration()
        config.load_kube_config(config_file=str(path), client_configuration=made)
        return cls(made)

    def __enter__(self) -> Rest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @functools.cached_property
    def _trust(self) -> ssl.SSLContext:
        """Made once: reading the certificates of the machine takes longer than a request."""
        about = self._configuration
        context = ssl.create_default_context(cafile=about.ssl_ca_cert)
        if not about.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if about.cert_file:
            context.load_cert_chain(about.cert_file, about.key_file)
        return context

    def _connect(self, timeout: float | None) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection
        if not self._secure:
            made = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        else:
            made = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._trust)
        with self._lock:
            self._open.add(made)
        return made

    def _headers(self) -> dict[str, str]:
        hook = getattr(self._configuration, "refresh_api_key_hook", None)
        if hook is not None:
            hook(self._configuration)
        keys = self._configuration.api_key
        found = keys.get("authorization") or keys.get("BearerToken")
        headers = {"Accept": "application/json"}
        if found:
            prefix = (self._configuration.api_key_prefix or {}).get("authorization")
            headers["Authorization"] = f"{prefix} {found}" if prefix else found
        elif getattr(self._configuration, "username", None):
            headers["Authorization"] = self._configuration.get_basic_auth_token()
        return headers

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> Json:
        """One request.

        Raises:
            RestRefusal: the server refused.
            OSError: it cannot be reached.
        """
        raw = None if body is None else json.dumps(body).encode()
        headers = self._headers() | ({} if raw is None else {"Content-Type": content})
        target = self._target(path, query)
        for last in (False, True):
            connection, fresh = self._take(last)
            try:
                connection.request(method, target, raw, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self._drop(connection)
                # A connection that was kept may have ended meanwhile; what changes something is never asked twice.
                if last or fresh or method != "GET":
                    raise
            else:
                with self._lock:
                    self._idle.append(connection)
                return self._read(answer.status, text)
        raise ConnectionError(f"{self._host}:{self._port} ends every connection")

    def _take(self, new: bool) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            while self._idle and not new:
                kept = self._idle.pop()
                if kept.sock is not None and not select.select([kept.sock], [], [], 0)[0]:
                    return kept, False
                # There is something to read before anything was asked: the server has ended it.
                self._open.discard(kept)
                kept.close()
        return self._connect(30), True

    def _target(self, path: str, query: Mapping[str, Any] | None) -> str:
        asked = urllib.parse.urlencode({name: value for name, value in (query or {}).items() if value is not None})
        return f"{self._prefix}{path}" + (f"?{asked}" if asked else "")

    @staticmethod
    def _read(code: int, text: bytes) -> Json:
        try:
            found: Json = json.loads(text or b"{}")
        except ValueError:
            found = {"message": text.decode(errors="replace")}
        if code >= 400:
            raise RestRefusal(code, found.get("reason", ""), found.get("message", ""))
        return found

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def get(self, path: str, **query: Any) -> Json:
        """Reads."""
        return self.ask("GET", path, query=query)

    def post(self, path: str, body: Json) -> Json:
        """Creates."""
        return self.ask("POST", path, body)

    def put(self, path: str, body: Json) -> Json:
        """Replaces."""
        return self.ask("PUT", path, body)

    def patch(self, path: str, body: Json, content: str = _PATCH) -> Json:
        """Changes, by a strategic merge patch where nothing else is said."""
        return self.ask("PATCH", path, body, content=content)

    def delete(self, path: str, **options: Any) -> Json:
        """Deletes with ``DeleteOptions``."""
        return self.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    @contextlib.contextmanager
    def watch(self, path: str, version: str, **query: Any) -> Iterator[Iterator[Json]]:
        """The events after a version; they end with the block, or when :meth:`close` is called."""
        connection = self._connect(None)
        try:
            asked = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", **query}
            connection.request("GET", self._target(path, asked), headers=self._headers())
            answer = connection.getresponse()
            if answer.status >= 400:
                self._read(answer.status, answer.read())
            yield (json.loads(line) for line in answer if line.strip())
        finally:
            self._drop(connection)

    def close(self) -> None:
        """Ends every connection, watches among them."""
        with self._lock:
            found = list(self._open)
            self._open.clear()
            self._idle.clear()
        for connection in found:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()


class Informer:
    """Knows all objects of a resource, by listing once and then watching.

    Args:
        path: of the collection.
        changed: told of every change, in the thread of the informer: the type and the object.
        query: selectors.
    """

    def __init__(self, rest: Rest, path: str, changed: Callable[[str, Json], None], **query: str) -> None:
        self._rest = rest
        self._path = path
        self._changed = changed
        self._query = query
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._known: dict[str, Json] = {}
        self.ready = threading.Event()
        #: What a handler raised: shown by the double that owns this.
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name=f"informer {path}", daemon=True)

    def start(self) -> None:
        """Begins; ``ready`` is set after the first list."""
        self._thread.start()

    def stop(self) -> None:
        """Ends; the connections are closed by whoever owns the client."""
        self._stopped.set()

    def join(self) -> None:
        """Waits for its thread."""
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def all(self) -> list[Json]:
        """The objects, as last seen."""
        with self._lock:
            return list(self._known.values())

    def get(self, uid: str) -> Json | None:
        """One object, as last seen."""
        with self._lock:
            return self._known.get(uid)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow(self._list())
            except (OSError, RestRefusal, http.client.HTTPException, ValueError, AttributeError):
                # The server is away, restarted or was reset: what counts is the next list. (http.client gives an
                # AttributeError where its connection is closed by another thread while it reads.)
                self._stopped.wait(0.1)

    def _list(self) -> str:
        found = self._rest.get(self._path, **self._query)
        seen = {item["metadata"]["uid"]: item for item in found.get("items") or ()}
        with self._lock:
            before, self._known = self._known, seen
        for uid, item in before.items():
            if uid not in seen:
                self._tell("DELETED", item)
        for uid, item in seen.items():
            self._tell("MODIFIED" if uid in before else "ADDED", item)
        self.ready.set()
        version: str = found["metadata"]["resourceVersion"]
        return version

    def _follow(self, version: str) -> None:
        # A stream that ends may mean that everything is another now: the list that follows tells.
        with self._rest.watch(self._path, version, timeoutSeconds=300, **self._query) as events:
            for event in events:
                item = event["object"]
                if event["type"] == "ERROR":
                    return
                if event["type"] == "BOOKMARK":
                    continue
                with self._lock:
                    if event["type"] == "DELETED":
                        self._known.pop(item["metadata"]["uid"], None)
                    else:
                        self._known[item["metadata"]["uid"]] = item
                self._tell(event["type"], item)

    def _tell(self, sort: str, item: Json) -> None:
        try:
            self._changed(sort, item)
        except Exception as error:  # noqa: BLE001  one bad object must not blind the informer to the others
            self.errors.append(error)
