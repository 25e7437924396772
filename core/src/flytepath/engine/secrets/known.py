"""What replaces the values of the secrets that this process was given, in whatever is about to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.engine.secrets import given

if TYPE_CHECKING:
    from flytepath.engine.secrets.redaction import Redactor

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
