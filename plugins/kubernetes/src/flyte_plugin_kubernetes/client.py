"""Calls of one API server: the official client's connections, and plain JSON.

Objects stay what the server sent: models of one client version would drop what a newer cluster says. The client is
imported with the first call, never for a plan. Its methods block, so the backend calls them in threads.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flytepath.plugin import BackendError, ErrorClass

from flyte_plugin_kubernetes.api_errors import ApiAnswerError
from flyte_plugin_kubernetes.credentials import client_of, headers_of
from flyte_plugin_kubernetes.resource_kind import EVENT, POD, ResourceKind

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from flyte_plugin_kubernetes.settings import KubernetesSettings

Json = Any


class KubernetesClient:
    """One cluster and one account.

    Args:
        settings: say which.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: ApiClient | None = None
        self._free = threading.BoundedSemaphore(settings.connections)

    # --- objects ---

    def create(self, kind: ResourceKind, namespace: str, thing: Mapping[str, Json]) -> Json:
        """The object as the server took it. A field that it does not know is an error, and not left out."""
        return self._json("POST", kind.path(namespace), {"fieldValidation": "Strict"}, body=thing)

    def get(self, kind: ResourceKind, namespace: str, name: str) -> Json | None:
        """The object; ``None`` where there is none of that name."""
        try:
            return self._json("GET", kind.path(namespace, name))
        except ApiAnswerError as error:
            if error.is_absent_object:
                return None
            raise

    def delete(
        self, kind: ResourceKind, namespace: str, name: str, uid: str, *, grace_seconds: int | None = None
    ) -> bool:
        """Ask for the end of this very object. Whether it was there; one of another uid is left alone."""
        options: dict[str, Json] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._json("DELETE", kind.path(namespace, name), body=options)
        except ApiAnswerError as error:
            if error.is_absent_object or error.status == 409:
                return False
            raise
        return True

    def page(
        self,
        kind: ResourceKind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        token: str = "",
    ) -> tuple[list[Json], str]:
        """One page of a list, and what continues it; an expired token goes on from where it stood."""
        query = {
            "labelSelector": labels,
            "fieldSelector": fields,
            "limit": str(self._settings.page_size),
            "continue": token,
        }
        try:
            found = self._json("GET", kind.path(namespace), query)
        except ApiAnswerError as error:
            fresh = (error.body.get("metadata") or {}).get("continue")
            if error.status != 410 or not token or not fresh or fresh == token:
                raise
            found = self._json("GET", kind.path(namespace), {**query, "continue": fresh})
        things = [{"apiVersion": kind.api_version, "kind": kind.kind, **thing} for thing in found.get("items") or ()]
        return things, str((found.get("metadata") or {}).get("continue") or "")

    def all(self, kind: ResourceKind, namespace: str = "", *, labels: str = "", fields: str = "") -> Iterator[Json]:
        """The whole list, page by page."""
        token = ""
        while True:
            things, token = self.page(kind, namespace, labels=labels, fields=fields, token=token)
            yield from things
            if not token:
                return

    def events(self, namespace: str, uid: str) -> list[Json]:
        """What was told of one object."""
        return list(self.all(EVENT, namespace, fields=f"involvedObject.uid={uid}"))

    def log(
        self, namespace: str, pod: str, container: str, *, since: str, limit_bytes: int, previous: bool = False
    ) -> bytes:
        """A container's log with the time of each line, from a second on, at most so many bytes of it."""
        query = {"container": container, "timestamps": "true", "sinceTime": since, "limitBytes": str(limit_bytes)}
        if previous:
            query["previous"] = "true"
        return self._send("GET", POD.path(namespace, pod, "log"), query)[0]

    def now(self) -> datetime:
        """What time it is by the server's clock, which is the one that objects are stamped by."""
        _, headers = self._send("GET", "/version", {})
        return parsedate_to_datetime(headers["Date"])

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.rest_client.pool_manager.clear()

    # --- one call ---

    def _json(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json = None) -> Json:
        data, _ = self._send(method, path, query or {}, body)
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BackendError(
                f"{method} {path}: the answer is no object: {data[:200]!r}", error_class=ErrorClass.UNAVAILABLE
            )
        return found

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Json = None
    ) -> tuple[bytes, Mapping[str, str]]:
        import urllib3

        client, headers = self._ready()
        chosen = urlencode({key: value for key, value in query.items() if value})
        url = f"{client.configuration.host}{path}" + (f"?{chosen}" if chosen else "")
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        seconds = self._settings.request_seconds
        timeout = urllib3.Timeout(connect=min(10.0, seconds), read=seconds)
        try:
            with self._free:
                response = client.rest_client.pool_manager.request(
                    method, url, body=data, headers=headers, retries=False, timeout=timeout
                )
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(error, f"{method} {path}") from error
        if response.status == 401:
            self.close()  # what the credentials were made of may have changed: they are read again
        if response.status >= 300:
            raise ApiAnswerError(
                response.status, response.data.decode("utf-8", "replace"), _seconds(response.headers.get("Retry-After"))
            )
        return response.data, response.headers

    def _ready(self) -> tuple[ApiClient, dict[str, str]]:
        """The client, and the headers of a request by it."""
        with self._lock:  # the client's own refreshing of credentials is not made for threads
            if self._made is None:
                self._made = client_of(self._settings)
            return self._made, headers_of(self._made)


def _unreachable(error: Exception, what: str) -> BackendError:
    """No answer: whether the request may have been heard depends on how far it came."""
    from urllib3 import exceptions

    unsent = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyError)
    if isinstance(error, exceptions.SSLError) and "CERTIFICATE" in str(error).upper():
        return BackendError(
            f"{what}: no trust between this machine and the API server: {error}",
            error_class=ErrorClass.AUTH,
            accepted=False,
            hint="check the certificates in the kubeconfig",
        )
    never_sent = isinstance(error, unsent)
    return BackendError(
        f"{what}: the API server gave no answer: {type(error).__name__}: {error}",
        error_class=ErrorClass.UNAVAILABLE if never_sent else ErrorClass.TRANSIENT,
        accepted=False if never_sent else None,
    )


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None


__all__ = ["KubernetesClient"]
