"""One call of AWS as the double sees it, and how AWS refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

Json = Any

_TARGET: Final = "SageMaker."
_INVOKE: Final = re.compile(r"^/endpoints/([^/]+)/(invocations|async-invocations)$")
_CREDENTIAL: Final = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/")


class Refusal(Exception):
    """AWS refuses.

    Args:
        code: AWS's.
        message: AWS's words.
        status: of HTTP.
        headers: beside those that every answer has.
    """

    def __init__(self, code: str, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})


def invalid(message: str) -> Refusal:
    """What SageMaker says of parameters, and of names it does not know."""
    return Refusal("ValidationException", message)


@dataclass(slots=True)
class Call:
    """A call.

    Attributes:
        operation: as ``CreateTrainingJob``.
        body: its parameters; what a handler changes in them is what moto gets. Bytes for ``InvokeEndpoint``.
        access_key: who calls.
        region: where.
        headers: of the request, in lower case.
        endpoint: the endpoint that is invoked.
    """

    operation: str
    body: Any
    access_key: str
    region: str
    headers: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""

    @property
    def is_change(self) -> bool:
        """Whether it changes anything."""
        return not self.operation.startswith(("Describe", "List", "Get", "Search"))


def read_call(environ: Mapping[str, Any], raw: bytes) -> Call | None:
    """The call of a request; ``None`` for services that moto serves alone."""
    headers = {name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"}
    headers["content-type"] = str(environ.get("CONTENT_TYPE") or "")
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    access_key, region = found.groups() if found else ("", "us-east-1")
    target = headers.get("x-amz-target", "")
    if target.startswith(_TARGET):
        return Call(target.removeprefix(_TARGET), json.loads(raw or b"{}"), access_key, region, headers)
    invoked = _INVOKE.match(str(environ.get("PATH_INFO") or ""))
    if invoked and environ.get("REQUEST_METHOD") == "POST":
        name, how = unquote(invoked.group(1)), invoked.group(2)
        operation = "InvokeEndpoint" if how == "invocations" else "InvokeEndpointAsync"
        return Call(operation, raw, access_key, region, headers, name)
    return None


def answered(refusal: Refusal) -> tuple[str, list[tuple[str, str]], Iterable[bytes]]:
    """A refusal as status line, headers and body."""
    body = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("x-amzn-ErrorType", refusal.code),
        ("Content-Length", str(len(body))),
        *refusal.headers.items(),
    ]
    return f"{refusal.status} {refusal.code}", headers, [body]


__all__ = ["Call", "Refusal", "answered", "invalid", "read_call"]
