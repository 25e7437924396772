"""``Timeout`` and ``Retry``: how long a task may wait and run, and how often, and how far apart, it is tried again."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

from flytepath.errors import DefinitionError

Duration = dt.timedelta | float


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long a task may take, for ``timeout=``.

    Args:
        max_runtime: the longest one attempt may run, a ``timedelta`` or seconds; ``None`` or 0 for no limit. An attempt
            that takes longer is ended, and tried again while there are retries.
        max_queued_time: the longest the task may wait for its turn once its inputs are there; ``None`` or 0 for no
            limit. A task that waits longer fails, and is not tried again.

    Raises:
        DefinitionError: neither is given, or one is no duration.

    Example:
        >>> import datetime as dt
        >>> Timeout(max_runtime=dt.timedelta(minutes=5), max_queued_time=60).runtime_seconds
        300.0
    """

    max_runtime: Duration | None = None
    max_queued_time: Duration | None = None

    def __post_init__(self) -> None:
        if self.max_runtime is None and self.max_queued_time is None:
            raise DefinitionError(
                "a timeout limits something", place="Timeout()", expected="max_runtime=, max_queued_time=, or both"
            )
        for name in ("max_runtime", "max_queued_time"):
            value = getattr(self, name)
            if value is not None:
                seconds_of(value, f"Timeout({name})")

    @property
    def runtime_seconds(self) -> float | None:
        """``max_runtime`` in seconds, ``None`` for no limit."""
        return None if self.max_runtime is None else seconds_of(self.max_runtime, "Timeout(max_runtime)") or None

    @property
    def queued_seconds(self) -> float | None:
        """``max_queued_time`` in seconds, ``None`` for no limit."""
        queued = self.max_queued_time
        return None if queued is None else seconds_of(queued, "Timeout(max_queued_time)") or None


@dataclass(frozen=True, slots=True)
class Retry:
    """How a failed attempt is tried again, for ``retries=``.

    The n-th retry waits ``backoff * factor ** (n - 1)``, at most ``limit``, and up to ``jitter`` times that on top, by
    chance, so that what failed together does not come back together.

    Args:
        count: how often what fails by the task's own fault, or its timeout, is tried again.
        backoff: the first wait, a ``timedelta`` or seconds; 0 for at once.
        factor: what each further wait is multiplied by, 1 or more.
        limit: the longest wait before the jitter.
        jitter: from 0, always the same wait, to 1.
        system: how often what fails by no fault of the task, such as a machine that is taken away, is tried again.
            The last of these attempts is not interruptible.

    Raises:
        DefinitionError: a value that cannot be meant.

    Example:
        >>> [Retry(5, backoff=10, limit=60).wait(number) for number in range(1, 5)]
        [10.0, 20.0, 40.0, 60.0]
    """

    count: int
    backoff: Duration = 0.0
    factor: float = 2.0
    limit: Duration = 300.0
    jitter: float = 1.0
    system: int = 3

    def __post_init__(self) -> None:
        for name in ("count", "system"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise _wrong(name, value, "int >= 0, a whole number of further attempts")
        for name in ("backoff", "limit"):
            seconds_of(getattr(self, name), f"Retry({name})")
        if not _is_number(self.factor) or not 1 <= self.factor < math.inf:
            raise _wrong("factor", self.factor, "a number, 1 or more")
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise _wrong("jitter", self.jitter, "a number between 0 and 1")

    @property
    def backoff_seconds(self) -> float:
        """``backoff`` in seconds."""
        return seconds_of(self.backoff, "Retry(backoff)")

    @property
    def limit_seconds(self) -> float:
        """``limit`` in seconds."""
        return seconds_of(self.limit, "Retry(limit)")

    def wait(self, retry: int) -> float:
        """The wait before a retry, from 1, without its jitter, in seconds."""
        from flytepath.model.task import RetryPolicy

        policy = RetryPolicy(
            backoff_seconds=self.backoff_seconds, backoff_factor=self.factor, backoff_limit_seconds=self.limit_seconds
        )
        return policy.delay(retry)


def seconds_of(value: Any, place: str) -> float:
    """A duration in seconds.

    Raises:
        DefinitionError: it is none.
    """
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
    if not _is_number(seconds) or not 0 <= seconds < math.inf:
        raise DefinitionError(
            "not a duration", place=place, expected="a timedelta or a number of seconds", actual=repr(value)
        )
    return float(seconds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(name: str, value: Any, expected: str) -> DefinitionError:
    return DefinitionError(f"{name} cannot be {value!r}", place=f"Retry({name})", expected=expected)
