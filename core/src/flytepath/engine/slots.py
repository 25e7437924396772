"""How many attempts run at once in this process, and whose turn it is when a slot comes free.

Executions take turns: a slot that comes free goes to the first in line, and who wants another one goes to the end.
"""

from __future__ import annotations

import os
from typing import Protocol


class Taker(Protocol):
    """Somebody who may take a slot that has come free."""

    def offer(self) -> bool:
        """Whether the slot is taken; called on the loop, must not wait."""


class Slots:
    """The slots of one process.

    Args:
        size: how many there are.

    Example:
        >>> slots = Slots(1)
        >>> slots.take(), slots.take()
        (True, False)
        >>> slots.give()
        >>> slots.free
        1
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.free = size
        self._line: dict[Taker, None] = {}

    def want(self, taker: Taker) -> None:
        """Put ``taker`` in line for the next slot that comes free; one who is in line keeps the place."""
        self._line.setdefault(taker)

    def leave(self, taker: Taker) -> None:
        """Take it out of the line."""
        self._line.pop(taker, None)

    def take(self) -> bool:
        """Take a slot, if there is one."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    @property
    def is_contended(self) -> bool:
        """Whether somebody waits for a slot."""
        return self.free <= 0 and bool(self._line)

    def insist(self) -> None:
        """Take a slot that may not be there: what was asleep goes on, whoever came in between."""
        self.free -= 1

    def give(self) -> None:
        """Give a slot back; the first in line gets it."""
        self.free += 1
        while self.free > 0 and self._line:
            taker = next(iter(self._line))
            del self._line[taker]
            if taker.offer():
                self.free -= 1


def default_slots() -> int:
    """One for each CPU that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
