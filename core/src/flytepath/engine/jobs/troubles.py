"""Calls that have to succeed and fail again and again: what is told of them, and how often.

It is told once, as the reason that the job shows, and not anew with each try: tries go on for hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flytepath.plugin.backend import BackendError, ErrorClass

SUBMIT_FAILS: Final = "its submission fails and is tried again"
POLL_FAILS: Final = "it is looked at, which fails"
FIND_FAILS: Final = "it is looked for, which fails"
CANCEL_FAILS: Final = "it is being cancelled, which fails"
CANCEL_WAITS: Final = "it is being cancelled, which takes its time"
CHANGED: Final = "the settings"
#: That a call fails again and again is told after so many times.
TOLD_AFTER: Final = 3
#: What a job that is being cancelled waits for is told after so many looks at it.
CANCEL_LOOKS: Final = 5
#: Errors that pass by themselves, charged to nobody.
PASSING: Final = frozenset({ErrorClass.TRANSIENT, ErrorClass.THROTTLED, ErrorClass.UNAVAILABLE})


def is_worth_telling(error: BackendError, failures: int) -> bool:
    """Whether people should know that a call fails: not if it may be well in a moment."""
    return failures >= TOLD_AFTER or error.error_class not in PASSING


def is_trouble(reason: str) -> bool:
    """Whether a job's reason says how calls about it go, and nothing of the job itself.

    Example:
        >>> is_trouble("it is looked at, which fails: no answer"), is_trouble("its image is pulled")
        (True, False)
    """
    calls = (SUBMIT_FAILS, POLL_FAILS, FIND_FAILS, CANCEL_FAILS, CANCEL_WAITS)
    return reason.startswith(tuple(f"{call}: " for call in calls))


@dataclass(slots=True)
class Failing:
    """The failures of one call in a row. Each kind of trouble is news once, until there is another or none.

    Example:
        >>> away = BackendError("no answer", error_class=ErrorClass.UNAVAILABLE)
        >>> failing = Failing()
        >>> [failing.is_news(away) for _ in range(5)]
        [False, False, True, False, False]
    """

    _kind: ErrorClass | None = None
    _failures: int = 0
    _told: ErrorClass | None = None

    def is_news(self, error: BackendError) -> bool:
        """Count this failure, and say whether people are to be told of it."""
        if error.error_class is not self._kind:
            self._kind, self._failures = error.error_class, 0
        self._failures += 1
        if self._told is self._kind or not is_worth_telling(error, self._failures):
            return False
        self._told = self._kind
        return True


__all__ = [
    "CANCEL_FAILS",
    "CANCEL_LOOKS",
    "CANCEL_WAITS",
    "CHANGED",
    "FIND_FAILS",
    "PASSING",
    "POLL_FAILS",
    "SUBMIT_FAILS",
    "Failing",
    "is_trouble",
    "is_worth_telling",
]
