"""How many attempts run at once in this process, and whose turn it is when a slot comes free.

Tenants share the slots by weight, as they share pools: by virtual time, see docs/fair-sharing.md. The executions of one
tenant take turns: a slot goes to the first in line, and who wants another one goes to the end. What attempts ask of
the machine besides a slot is in :mod:`flytepath.engine.local.room`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flytepath.model.identity import Tenant


class Taker(Protocol):
    """Somebody who may take a slot that has come free."""

    def offer(self) -> bool:
        """Whether the slot is taken; called on the loop, must not wait."""


class Share:
    """What one tenant has of the slots. Made by :meth:`Slots.join`."""

    __slots__ = ("_at", "_busy", "_ended", "held", "vtime", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.held = 0
        self.vtime = 0.0
        self._at = 0.0
        self._busy = 0.0
        self._ended = 0

    def start(self, now: float) -> None:
        """Charge what is held from now on; what was held before, with nobody else there, is not charged."""
        self._at = now

    def pass_time(self, now: float) -> None:
        """Charge what is held since it was last looked at; to be called before that changes."""
        if self.held > 0 and now > self._at:
            seconds = self.held * (now - self._at)
            self._busy += seconds
            self.vtime += seconds / self.weight
        self._at = now

    def ended(self) -> None:
        """An attempt has ended: from how many have, and how long slots were held, follows how long one takes."""
        self._ended += 1

    @property
    def charge(self) -> float:
        """What one attempt is expected to cost."""
        return self._busy / max(1, self._ended + self.held) / self.weight

    def level(self, now: float) -> float:
        """The virtual time it has reached, with what runs."""
        self.pass_time(now)
        return self.vtime + self.held * self.charge


class Slots:
    """The slots of one process.

    Args:
        size: how many there are.
        weight: how much the share of a tenant is, compared with those of others.
        clock: seconds that never go back.

    Example:
        >>> slots = Slots(1)
        >>> slots.take(), slots.take()
        (True, False)
        >>> slots.give()
        >>> slots.free
        1
    """

    def __init__(
        self,
        size: int,
        *,
        weight: Callable[[Tenant], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size = size
        self.free = size
        self._weight = weight
        self._clock = clock
        self._line: dict[Taker, Share | None] = {}
        self._nobody = Share(1.0)
        self._shares: dict[Tenant, Share] = {}
        self._vtime = 0.0
        #: Only where several tenants are there is it noted for how long each of them has what.
        self._is_shared = False

    def join(self, tenant: Tenant) -> Share:
        """The share of a tenant, to be named wherever one of its executions takes, wants or gives."""
        share = self._shares.get(tenant)
        if share is None:
            share = self._shares[tenant] = Share(1.0 if self._weight is None else self._weight(tenant))
            begin = [share] if self._is_shared else self._shares.values()
            self._is_shared = len(self._shares) > 1
            for each in begin:
                each.start(self._clock())
        return share

    def want(self, taker: Taker, share: Share | None = None) -> None:
        """Put ``taker`` in line for the next slot that comes free; one who is in line keeps the place."""
        if taker not in self._line:
            if self._is_shared and share not in self._line.values():
                self._come(share or self._nobody)
            self._line[taker] = share

    def leave(self, taker: Taker) -> None:
        """Take it out of the line."""
        self._line.pop(taker, None)

    def take(self, share: Share | None = None) -> bool:
        """Take a slot, if there is one."""
        if self.free <= 0:
            return False
        self.free -= 1
        if share is not None:
            self._count(share)
        return True

    @property
    def is_contended(self) -> bool:
        """Whether somebody waits for a slot."""
        return self.free <= 0 and bool(self._line)

    def insist(self, share: Share | None = None) -> None:
        """Take a slot that may not be there: what was asleep goes on, whoever came in between."""
        self.free -= 1
        if share is not None:
            self._count(share)

    def _count(self, share: Share) -> None:
        if self._is_shared:
            share.pass_time(self._clock())
        share.held += 1

    def give(self, share: Share | None = None) -> None:
        """Give a slot back; whose turn it is gets it."""
        self.free += 1
        if share is not None:
            if self._is_shared:
                share.pass_time(self._clock())
                share.ended()
            share.held -= 1
        while self.free > 0 and self._line:
            taker = self._first() if self._is_shared else next(iter(self._line))
            whose = self._line.pop(taker)
            if taker.offer():
                self.free -= 1
                if whose is not None:
                    self._count(whose)

    # --- whose turn it is, where there are several tenants ---

    def _first(self) -> Taker:
        """The first in line of the tenant with the least level."""
        now = self._clock()
        firsts: dict[Share, Taker] = {}
        for taker, share in self._line.items():
            firsts.setdefault(share or self._nobody, taker)
        first = min(firsts, key=lambda share: share.level(now))
        self._vtime = max(self._vtime, first.level(now))
        return firsts[first]

    def _come(self, share: Share) -> None:
        """Bring the virtual time of who comes to that of those who are there, as :class:`~flytepath.engine.quota.Book`.

        Idle time earns nothing, and what was had while nobody else wanted it is not held against anyone.
        """
        now = self._clock()
        waiting = {share or self._nobody for share in self._line.values()}
        if waiting:
            reached = min(each.level(now) - each.charge for each in waiting)
        else:
            holding = [each for each in self._shares.values() if each.held]
            reached = max((each.level(now) - each.charge for each in holding), default=0.0)
        self._vtime = max(self._vtime, reached)
        share.vtime += max(0.0, self._vtime - share.level(now))


def default_slots() -> int:
    """One for each CPU that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
