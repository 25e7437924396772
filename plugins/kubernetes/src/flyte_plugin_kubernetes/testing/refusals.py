"""What the API server says no with: Status objects, with the codes, reasons and words of the real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.testing.kinds import Kind

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One cause of a 422: where, of what sort, and why."""

    field: str
    reason: str
    message: str


def required(field: str, detail: str = "") -> FieldFault:
    """A field that must be there."""
    return FieldFault(field, "FieldValueRequired", f"Required value{': ' + detail if detail else ''}")


def invalid(field: str, value: Any, detail: str) -> FieldFault:
    """A value that cannot be."""
    return FieldFault(field, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {detail}")


def wrong_type(field: str, value: Any, detail: str) -> FieldFault:
    """A value of another type than the schema's."""
    return FieldFault(field, "FieldValueTypeInvalid", f"Invalid value: {_shown(value)}: {detail}")


def duplicate(field: str, value: Any) -> FieldFault:
    """A value that must be there once."""
    return FieldFault(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def unsupported(field: str, value: Any, allowed: list[str]) -> FieldFault:
    """A value that is none of the allowed ones."""
    names = ", ".join(f'"{name}"' for name in allowed)
    return FieldFault(field, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {names}")


def forbidden_field(field: str, detail: str) -> FieldFault:
    """A field that may not be set, or not changed."""
    return FieldFault(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int, what: str = "bytes") -> FieldFault:
    """More than fits."""
    return FieldFault(field, "FieldValueTooLong", f"Too long: may not be more than {limit} {what}")


def _shown(value: Any) -> str:
    import json

    return json.dumps(value)


class Refusal(Exception):
    """An answer that is a Status with ``status: Failure``; it never leaves the server's threads.

    Args:
        code: of HTTP.
        reason: of the Status, such as ``NotFound``.
        message: for people.
        details: of the Status.
        retry_after: seconds, as header and detail.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: Json | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> Json:
        """The body of the answer."""
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return body


def not_found(resource: str, group: str, name: str) -> Refusal:
    """404 for an object."""
    qualified = f"{resource}.{group}" if group else resource
    details = {"name": name, "kind": resource} | ({"group": group} if group else {})
    return Refusal(404, "NotFound", f'{qualified} "{name}" not found', details)


def no_such_path() -> Refusal:
    """404 for a path that no API serves, such as that of a resource whose CRD is not installed."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: str, group: str, name: str) -> Refusal:
    """409 for a name that is taken."""
    qualified = f"{resource}.{group}" if group else resource
    details = {"name": name, "kind": resource} | ({"group": group} if group else {})
    return Refusal(409, "AlreadyExists", f'{qualified} "{name}" already exists', details)


def conflict(resource: str, group: str, name: str, text: str) -> Refusal:
    """409 for a change that was made on what is no longer there."""
    qualified = f"{resource}.{group}" if group else resource
    details = {"name": name, "kind": resource} | ({"group": group} if group else {})
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {text}'
    return Refusal(409, "Conflict", message, details)


def bad_request(message: str) -> Refusal:
    """400."""
    return Refusal(400, "BadRequest", message)


def forbidden(resource: str, group: str, name: str, text: str) -> Refusal:
    """403 for one object, as admission says it."""
    qualified = f"{resource}.{group}" if group else resource
    subject = f'{qualified} "{name}"' if name else qualified
    details = {"name": name, "kind": resource} | ({"group": group} if group else {})
    return Refusal(403, "Forbidden", f"{subject} is forbidden: {text}", details)


def wrong_kind(kind: Kind, found: str, name: str) -> Refusal:
    """A body of another kind than its path: one of a custom resource is invalid, others cannot be decoded."""
    if kind.custom:
        return invalid_object(found, kind.group, name, [invalid("kind", found, f"must be {kind.kind}")])
    why = f'no kind "{found}" is registered for version "{kind.version}"'
    return bad_request(f'{found} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')


def invalid_object(kind: str, group: str, name: str, faults: list[FieldFault]) -> Refusal:
    """422 with its causes."""
    words = [f"{fault.field}: {fault.message}" for fault in faults]
    text = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
    qualified = f"{kind}.{group}" if group else kind
    details: Json = {"name": name, "kind": kind} | ({"group": group} if group else {})
    details["causes"] = [{"reason": f.reason, "message": f.message, "field": f.field} for f in faults]
    return Refusal(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details)


def expired(asked: int, oldest: int) -> Refusal:
    """410 for a version whose changes are forgotten."""
    return Refusal(410, "Expired", f"too old resource version: {asked} ({oldest})")
