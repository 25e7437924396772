"""What an attempt tells besides its outputs, without the values of the secrets that this process was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.engine.secrets.known import redactor

if TYPE_CHECKING:
    from flytepath.model.events import ErrorRecord
    from flytepath.model.messages import BoundaryResult


def without_secrets(record: ErrorRecord) -> ErrorRecord:
    """An error, with each value in its texts replaced."""
    known = redactor()
    if known is None:
        return record
    texts = {name: value for name, value in record if isinstance(value, str) and name not in {"kind", "code"}}
    return record.model_copy(update={name: known.text(value) for name, value in texts.items()})


def deck_without_secrets(name: str, html: str) -> tuple[str, str]:
    """The name and the content of a deck, with each value replaced."""
    known = redactor()
    return (name, html) if known is None else (known.text(name), known.text(html))


def check_without_secrets(result: BoundaryResult) -> BoundaryResult:
    """What a boundary check found, with each value in it replaced."""
    known = redactor()
    if known is None:
        return result
    return result.model_copy(update={"message": known.text(result.message), "details": known.json(result.details)})
