"""Words of explanations: lengths of time, some of many names, an error in a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flytepath.model.events import ErrorRecord

#: How many are named where many would do.
NAMED: Final = 5


def first_line(error: ErrorRecord | None) -> str:
    """What went wrong, in a line."""
    return "it failed" if error is None else (error.message.strip().splitlines() or [error.code])[0]


def some(names: Sequence[str]) -> str:
    """The first few names, and how many others there are.

    Example:
        >>> some(["n0", "n1", "n2", "n3", "n4", "n5", "n6"])
        'n0, n1, n2, n3, n4 and 2 more'
    """
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def span(seconds: float) -> str:
    """A length of time.

    Example:
        >>> span(1.25), span(75), span(7300)
        ('1.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def ordinal(number: int) -> str:
    """The ordinal of a number, short.

    Example:
        >>> ordinal(2), ordinal(11), ordinal(23)
        ('second', '11th', '23rd')
    """
    ending = "th" if 10 < number % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}{ending}")
