"""What the API server's refusals mean to core, with the server's own words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import BackendError, ErrorClass

Json = Any

#: By status, where the text says nothing more.
_CLASSES: Final[Mapping[int, ErrorClass]] = {
    400: ErrorClass.INVALID,
    401: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    404: ErrorClass.INVALID,
    405: ErrorClass.INVALID,
    409: ErrorClass.TRANSIENT,
    410: ErrorClass.TRANSIENT,
    413: ErrorClass.INVALID,
    415: ErrorClass.PROTOCOL,
    422: ErrorClass.INVALID,
    429: ErrorClass.THROTTLED,
}
#: ``pods is forbidden: User "x" cannot create resource "pods"``: an authoriser's refusal, and no admission's.
_RBAC: Final = re.compile(r"\bcannot (create|get|list|watch|delete|patch|update|deletecollection|impersonate)\b")
_QUOTA: Final = re.compile(r"\bexceeded quota\b")
_WEBHOOK: Final = re.compile(r"\badmission webhook\b|failed calling webhook")
_SHOWN: Final = 1000


class ApiAnswerError(Exception):
    """An answer of the API server that is no success.

    Args:
        status: of HTTP.
        text: the body.
        retry_after: seconds, where it says so.
    """

    def __init__(self, status: int, text: str, retry_after: float | None = None) -> None:
        super().__init__(status, text, retry_after)
        self.status = status
        self.text = text
        self.retry_after = retry_after

    @property
    def body(self) -> Mapping[str, Json]:
        """The ``Status`` object; empty where the answer is none, as for a path that the server does not serve."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) and found.get("kind") == "Status" else {}

    @property
    def reason(self) -> str:
        """The server's word, such as ``AlreadyExists``."""
        return str(self.body.get("reason") or "")

    @property
    def message(self) -> str:
        """What the server says."""
        return str(self.body.get("message") or self.text.strip() or "no text")[:_SHOWN]

    @property
    def is_absent_object(self) -> bool:
        """Whether the server serves the kind, and there is no such object."""
        return self.status == 404 and not self.is_absent_kind

    @property
    def is_absent_kind(self) -> bool:
        """Whether the server does not serve the kind at all."""
        return self.status == 404 and (not self.body or "could not find the requested resource" in self.message)

    def __str__(self) -> str:
        return f"{self.status} {self.reason or 'from the API server'}: {self.message}"


def backend_error(error: ApiAnswerError, *, what: str = "", operator: str = "", namespace: str = "") -> BackendError:
    """The refusal as core knows errors.

    Args:
        error: what the server answered.
        what: what was asked of it, for people.
        operator: what has to be installed for the kind to exist.
        namespace: where it was asked.
    """
    error_class, hint = _class_of(error, operator, namespace)
    # A 5xx may come from a gateway, or from a store that went on after the server had given up. A webhook that cannot
    # be asked stands before the store.
    refused = error.status < 500 or bool(_WEBHOOK.search(error.message))
    return BackendError(
        f"{what}: {error}" if what else str(error),
        error_class=error_class,
        retry_after=error.retry_after,
        accepted=False if refused else None,
        hint=hint,
    )


def _class_of(error: ApiAnswerError, operator: str, namespace: str) -> tuple[ErrorClass, str | None]:
    message, details = error.message, error.body.get("details") or {}
    if error.is_absent_kind:
        return ErrorClass.INVALID, f"{operator or 'the kind'} is not installed in this cluster, or not in this version"
    if error.status == 404:
        if details.get("kind") == "namespaces" or "namespaces" in message:
            return ErrorClass.INVALID, f"create the namespace {namespace or details.get('name')}, or set `namespace`"
        return ErrorClass.LOST, None
    if error.status == 401:
        return ErrorClass.AUTH, "the cluster does not know these credentials: check `kubeconfig` and `context`"
    if error.status == 403:
        if _QUOTA.search(message):
            return ErrorClass.QUOTA_EXCEEDED, None
        if any(cause.get("reason") == "NamespaceTerminating" for cause in details.get("causes") or ()):
            return ErrorClass.INVALID, f"the namespace {namespace} is being deleted"
        if _RBAC.search(message):
            return ErrorClass.AUTH, "the README of flyte-plugin-kubernetes lists what the account must be allowed"
        if _WEBHOOK.search(message) or "is forbidden:" in message:
            return ErrorClass.INVALID, "the cluster's admission does not let such an object in"
    if error.status == 409 and error.reason == "AlreadyExists":
        return ErrorClass.CONFLICT, None
    if error.status >= 500:
        return ErrorClass.UNAVAILABLE, None
    return _CLASSES.get(error.status, ErrorClass.PROTOCOL), None


__all__ = ["ApiAnswerError", "backend_error"]
