"""The secrets that this process was given: what a worker keeps out of all that it tells. Cheap to import.

Nothing is noted unless somebody asked for it, and only a process that runs attempts does. What is noted stays for as
long as the process: a task may leave a value to the next, in a client that a module holds, and that may tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: Told of a secret's name and value, before the task can use it. Raises where it must not be used.
Listener = Callable[[str, bytes], None]

#: So many values are remembered, the latest ones.
LIMIT: Final = 256

#: The values that were given, with their names.
values: dict[bytes, str] = {}
_is_kept = False
_listener: Listener | None = None


def keep(listener: Listener | None = None) -> None:
    """Note what is given from now on, and tell ``listener`` of each value that is new."""
    global _is_kept, _listener
    _is_kept = True
    _listener = listener or _listener


def note(label: str, value: bytes) -> None:
    """A value is about to be given to the code of a task."""
    if not _is_kept or value in values:
        return
    if _listener is not None:
        _listener(label, value)
    while len(values) >= LIMIT:
        del values[next(iter(values))]
    values[value] = label
