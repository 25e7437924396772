"""What an attempt tells besides its outputs, without the values of the secrets that this process was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.engine.secrets import given

if TYPE_CHECKING:
    from flytepath.engine.secrets.redaction import Redactor
    from flytepath.model.events import ErrorRecord
    from flytepath.model.messages import BoundaryResult

_redactor: tuple[dict[bytes, str], Redactor] | None = None


def redactor() -> Redactor | None:
    """What knows all values that were given; none was where there is none."""
    global _redactor
    if not given.values:
        return None
    if _redactor is None or _redactor[0].keys() != given.values.keys():
        from flytepath.engine.secrets.environment import all_values
        from flytepath.engine.secrets.redaction import Redactor

        fresh = Redactor()
        known = dict(given.values)
        for name, other in all_values().items():  # as in the log: those of others may be told with one's own
            fresh.add(name, other)
        for value, label in known.items():
            fresh.add(label, value)
        _redactor = (known, fresh)
    return _redactor[1]


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
