"""How many attempts run at once in this process, and whose turn it is when a slot comes free.

Executions take turns: a slot that comes free goes to the next that has something to run, not to the one that had it.
"""

from __future__ import annotations

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
        self._takers: dict[Taker, None] = {}

    def join(self, taker: Taker) -> None:
        """Offer slots to ``taker`` from now on."""
        self._takers[taker] = None

    def leave(self, taker: Taker) -> None:
        """Offer it no more."""
        self._takers.pop(taker, None)

    def take(self) -> bool:
        """Take a slot, if there is one."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    def insist(self) -> None:
        """Take a slot that may not be there: what was asleep goes on, whoever came in between."""
        self.free -= 1

    def give(self) -> None:
        """Give a slot back; the next who wants one gets it."""
        self.free += 1
        if self.free <= 0:
            return
        for taker in list(self._takers):
            self._takers[taker] = self._takers.pop(taker)  # to the end of the line
            if taker.offer():
                self.free -= 1
                return
