"""What may be said of an execution that somebody asks for: its name, its timeout, its labels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from flytepath.errors import UsageError

#: What an execution can be called: what an id of ours looks like, and names for folders everywhere.
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def check_facts(timeout: float, **texts: Mapping[str, str] | None) -> None:
    """Refuse a timeout that is none, and labels and the like that are not texts by name.

    Raises:
        UsageError: one of them cannot be.
    """
    if not 0 <= timeout < math.inf:
        raise UsageError("an execution cannot have this timeout", expected="seconds, 0 for none", actual=repr(timeout))
    for what, given in texts.items():
        pairs = given.items() if isinstance(given, Mapping) else [] if given is None else [(given, "")]
        if wrong := [pair for pair in pairs if not (isinstance(pair[0], str) and isinstance(pair[1], str))]:
            raise UsageError(f"{what} are texts by name", place=what, actual=repr(wrong[0])[:200])


def checked_name(name: str) -> str:
    """``name``, which can name an execution.

    Raises:
        UsageError: it cannot.

    Example:
        >>> checked_name("tuesday-7")
        'tuesday-7'
    """
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r} cannot name an execution",
        expected="1 to 63 lower-case letters, digits or '-', starting and ending with a letter or digit",
        actual=repr(name),
    )
