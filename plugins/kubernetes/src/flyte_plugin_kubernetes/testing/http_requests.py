"""The HTTP side of the API server: paths, verbs, bodies and streams."""

from __future__ import annotations

import json
import socket
import urllib.parse
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from flyte_plugin_kubernetes.testing import pod_actions
from flyte_plugin_kubernetes.testing.access import Ask, Fault
from flyte_plugin_kubernetes.testing.discovery import describe
from flyte_plugin_kubernetes.testing.kinds import Kind
from flyte_plugin_kubernetes.testing.listing import list_objects, matcher, watch
from flyte_plugin_kubernetes.testing.refusals import Refusal, bad_request, no_such_path

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.testing.api_server import ApiServer

Json = dict[str, Any]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
_REFUSED = "Method not allowed"


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 600

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: ``ApiServer.requests`` has it."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    @property
    def _api(self) -> ApiServer:
        api: ApiServer = self.server.api  # type: ignore[attr-defined]
        return api

    def _answer(self) -> None:
        self._fault: Fault | None = None
        try:
            self._handle()
        except Refusal as refusal:
            headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
            self._send(refusal.code, refusal.status(), headers)

    def _handle(self) -> None:
        body = self._body()
        parsed = urllib.parse.urlsplit(self.path)
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(parsed.query).items()}
        parts = [urllib.parse.unquote(part) for part in parsed.path.split("/") if part]
        user, rules = self._api.access.who(self.headers.get("Authorization", ""))
        if parts in (["healthz"], ["livez"], ["readyz"]):
            self._begin(200, "text/plain", {"Content-Length": "2"})
            self.wfile.write(b"ok")
            return
        told = describe(parts, self._api.objects.kinds(), self.headers.get("Host", ""))
        if told is not None and self.command == "GET":
            self._send(200, told)
            return
        kind, namespace, name, part = self._target(parts)
        verb = _VERBS[self.command]
        if verb == "get" and not name:
            verb = "watch" if query.get("watch", "").lower() in ("1", "true") else "list"
        elif verb == "delete" and not name:
            verb = "deletecollection"
        resource = f"{kind.plural}/{part}" if part else kind.plural
        ask = Ask(verb, kind.group, resource, namespace, name, query, body, user)
        self._api.requests.append(ask)
        self._api.access.check(ask, rules)
        self._fault = self._api.access.fault_for(ask)
        if self._fault is not None:
            if self._fault.how == "cut_before":
                self._cut()
                return
            if self._fault.how == "slow":
                self._api.hurry.wait(self._fault.seconds)
            elif self._fault.how == "status":
                raise self._fault.refusal()
        self._do(ask, kind, part)

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        if not raw:
            return None
        content = (self.headers.get("Content-Type") or "").split(";")[0].strip()
        if "json" not in content and content != "":
            words = f"the body of the request was in an unknown format - {content} is none that this server reads"
            raise Refusal(415, "UnsupportedMediaType", words)
        try:
            return json.loads(raw)
        except ValueError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error

    def _target(self, parts: list[str]) -> tuple[Kind, str, str, str]:
        match parts:
            case ["api", version, *rest]:
                group = ""
            case ["apis", group, version, *rest]:
                pass
            case _:
                raise no_such_path()
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        if not rest or len(rest) > 3:
            raise no_such_path()
        plural, name, part = (*rest, "", "")[:3]
        kind = self._api.objects.kind(group, version, plural)
        if kind is None or (part and part not in kind.subresources) or (name and kind.namespaced and not namespace):
            raise no_such_path()
        return kind, namespace, name, part

    def _do(self, ask: Ask, kind: Kind, part: str) -> None:
        objects, query, body = self._api.objects, ask.query, ask.body
        dry = query.get("dryRun") == "All"
        validation = query.get("fieldValidation") or "Warn"
        place = (kind, ask.namespace, ask.name)
        if ask.verb == "watch":
            matcher(kind, query)  # a selector that cannot be read is a 400, not a stream
            lines = (json.dumps(event).encode() + b"\n" for event in watch(objects, kind, ask.namespace, query))
            self._stream(lines, "application/json")
        elif ask.verb == "list":
            self._send(200, list_objects(objects, kind, ask.namespace, query))
        elif part == "log":
            self._stream(pod_actions.logs(objects, ask.namespace, ask.name, query, self._api.given_logs), "text/plain")
        elif part in ("binding", "eviction"):
            action = pod_actions.bind if part == "binding" else pod_actions.evict
            self._send(201, action(objects, ask.namespace, ask.name, body or {}))
        elif ask.verb == "get":
            self._send(200, objects.get(*place))
        elif ask.verb == "create" and not ask.name:
            if kind.namespaced and not ask.namespace:
                raise bad_request("an empty namespace may not be set during creation")
            self._admit("CREATE", kind, ask)
            made, warnings = objects.create(kind, ask.namespace, body, dry_run=dry, validation=validation)
            self._send(201, made, warnings=warnings)
        elif ask.verb == "update":
            self._admit("UPDATE", kind, ask)
            more: Json = {"part": part, "dry_run": dry, "validation": validation}
            self._changed(*objects.update(*place, body, **more))
        elif ask.verb == "patch":
            sort = (self.headers.get("Content-Type") or "").split(";")[0].strip()
            more = {"part": part, "dry_run": dry, "validation": validation}
            self._changed(*objects.patch(*place, body, sort, **more))
        elif ask.verb in ("delete", "deletecollection"):
            self._delete(ask, kind, dry)
        else:
            raise Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _changed(self, made: Json, warnings: list[str]) -> None:
        self._send(200, made, warnings=warnings)

    def _admit(self, verb: str, kind: Kind, ask: Ask) -> None:
        if isinstance(ask.body, dict) and "/" not in ask.resource:
            metadata = {"namespace": ask.namespace} | (ask.body.get("metadata") or {})
            seen = {"apiVersion": kind.api_version, "kind": kind.kind} | ask.body | {"metadata": metadata}
            self._api.access.admit(verb, seen)

    def _delete(self, ask: Ask, kind: Kind, dry: bool) -> None:
        objects = self._api.objects
        options: Json = dict(ask.body or {})
        for name in ("propagationPolicy", "gracePeriodSeconds", "orphanDependents"):
            if name in ask.query and name not in options:
                value: Any = ask.query[name]
                options[name] = int(value) if name == "gracePeriodSeconds" else value
                if name == "orphanDependents":
                    options[name] = value.lower() in ("true", "1")
        dry = dry or "All" in (options.get("dryRun") or ())
        if ask.verb == "delete":
            self._api.access.admit("DELETE", objects.get(kind, ask.namespace, ask.name))
            self._send(200, objects.delete(kind, ask.namespace, ask.name, options, dry_run=dry))
            return
        with objects.store.changed:
            found = list_objects(objects, kind, ask.namespace, ask.query)
            for item in found["items"]:
                metadata = item["metadata"]
                if objects.store.get(kind.resource, metadata.get("namespace", ""), metadata["name"]) is not None:
                    objects.delete(kind, metadata.get("namespace", ""), metadata["name"], options, dry_run=dry)
        self._send(200, found)

    def _begin(self, code: int, content: str, headers: dict[str, str], warnings: Iterable[str] = ()) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content)
        for name, value in headers.items():
            self.send_header(name, value)
        for warning in warnings:
            escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
            self.send_header("Warning", f'299 - "{escaped}"')
        self.end_headers()

    def _send(self, code: int, body: Json, headers: dict[str, str] | None = None, warnings: Iterable[str] = ()) -> None:
        if self._fault is not None and self._fault.how == "cut_after":
            self._cut()
            return
        raw = json.dumps(body).encode()
        self._begin(code, "application/json", (headers or {}) | {"Content-Length": str(len(raw))}, warnings)
        self.wfile.write(raw)
        self.wfile.flush()

    def _stream(self, chunks: Iterable[bytes], content: str) -> None:
        self._begin(200, content, {"Transfer-Encoding": "chunked"})
        self.wfile.flush()
        try:
            for chunk in chunks:
                if chunk:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
