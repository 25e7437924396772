"""A store that cannot be reached: how long it is asked again, and when it has been enough."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from flytepath.errors import FlytePathError, StoreUnavailableError

#: How long a store that cannot be reached is asked again, and the shortest and the longest pause between.
STORE_PATIENCE_SECONDS: Final = 120.0
STORE_FIRST_PAUSE_SECONDS: Final = 0.05
STORE_PAUSE_SECONDS: Final = 2.0

T = TypeVar("T")


class Outage:
    """What is known of a store since it did not answer. It says nothing against those who asked.

    Args:
        error: what it said first.
        clock: seconds that never go back.

    Attributes:
        error: what it said last.

    Example:
        >>> outage = Outage(StoreUnavailableError("the server is gone"), clock=lambda: 0.0)
        >>> outage.pause, outage.is_enough
        (0.05, False)
        >>> outage.goes_on(StoreUnavailableError("still"))
        >>> outage.pause
        0.1
    """

    def __init__(self, error: StoreUnavailableError, clock: Callable[[], float] = time.monotonic) -> None:
        self.error = error
        self._clock = clock
        self._until = clock() + STORE_PATIENCE_SECONDS
        self._length = STORE_FIRST_PAUSE_SECONDS
        self._again = clock() + self._length

    def goes_on(self, error: StoreUnavailableError) -> None:
        """It was asked again, and did not answer."""
        self.error = error
        self._length = min(2 * self._length, STORE_PAUSE_SECONDS)
        self._again = self._clock() + self._length

    @property
    def pause(self) -> float:
        """In how many seconds to ask again."""
        return max(0.0, self._again - self._clock())

    @property
    def is_enough(self) -> bool:
        """Whether it has been asked for long enough."""
        return self._clock() > self._until


async def patiently(ask: Callable[[], Awaitable[T]], gives_up: Callable[[], bool] = lambda: False) -> T:
    """What ``ask`` returns; it is called again as long as the store cannot be reached, so twice must be as once.

    Args:
        ask: what needs the store.
        gives_up: whether nothing is to be waited for any more.

    Raises:
        StoreUnavailableError: the store was away for too long, or the caller has given up.
    """
    outage: Outage | None = None
    while True:
        try:
            return await ask()
        except StoreUnavailableError as error:
            if outage is None:
                outage = Outage(error)
            else:
                outage.goes_on(error)
            if outage.is_enough or gives_up():
                raise
        await asyncio.sleep(outage.pause)


def in_one_line(error: Exception) -> str:
    """What went wrong, for a sentence that goes on with it.

    Example:
        >>> in_one_line(StoreUnavailableError("the server is gone", place="db", actual="timed out"))
        'the server is gone (timed out)'
        >>> in_one_line(TimeoutError())
        'TimeoutError'
    """
    if isinstance(error, FlytePathError):
        return f"{error.message} ({error.actual})" if error.actual else error.message
    return " ".join(str(error).split()) or type(error).__name__
