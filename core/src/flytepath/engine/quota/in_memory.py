"""Admission in one process that keeps no store: for direct calls, and for tests of backends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from flytepath.engine.quota import Book
from flytepath.engine.quota.pools import PoolRules
from flytepath.engine.quota.requests import Request, passed_on
from flytepath.engine.quota.rules import Ask, Standing
from flytepath.plugin.declarations import RateLimit
from flytepath.plugin.plans import PoolAsk
from flytepath.store.rates import Bucket


class InMemoryAdmission:
    """What :class:`~flytepath.engine.quota.admission.Admission` gives, without a store.

    Args:
        rules: the pools.
        clock: seconds.

    Example:
        >>> from flytepath.model.identity import Tenant
        >>> async def both() -> None:
        ...     desk = InMemoryAdmission(PoolRules.of_values({"db": {"limit": 1}}))
        ...     one, two = (Request(key, Tenant(), (PoolAsk("db"),), "x", "n0", 1, "local") for key in "ab")
        ...     await desk.granted(one)
        ...     waiting = asyncio.create_task(desk.granted(two))
        ...     await asyncio.sleep(0)
        ...     print(desk.standing("b").reason)
        ...     await desk.release("a", 1)
        ...     await waiting
        >>> asyncio.run(both())
        all 1 of 'db' is held
    """

    def __init__(self, rules: PoolRules | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rules = rules or PoolRules.of_values({})
        self._clock = clock
        self._book = Book([])
        self._revision = -1
        self._numbers = 0
        self._epochs: dict[str, int] = {}
        self._waits: dict[str, asyncio.Future[None]] = {}
        self._buckets: dict[str, Bucket] = {}

    async def granted(self, request: Request) -> None:
        """See :meth:`Admission.granted`."""
        if not request.asks:
            return
        self.rules.check(request.tenant, request.asks)
        epoch = self._epochs.get(request.key, request.epoch)
        if epoch > request.epoch:
            raise passed_on(request.execution)
        self._epochs[request.key] = request.epoch
        if request.key in self._book.leases:
            return
        self._know(request.asks)
        self._numbers += 1
        future = self._waits[request.key] = asyncio.get_running_loop().create_future()
        self._book.ask(Ask.of(request.key, request.tenant, request.asks), self._numbers, self._clock())
        self._grant()
        try:
            await future
        except BaseException:
            if self._waits.get(request.key) in (None, future):
                await self.release(request.key, request.epoch)
            raise

    async def firm(self, key: str) -> None:
        """See :meth:`Admission.firm`; nothing outlives this process."""

    async def release(self, key: str, epoch: int) -> None:
        """See :meth:`Admission.release`."""
        if self._epochs.get(key, epoch) > epoch:
            return
        self._epochs.pop(key, None)
        self._waits.pop(key, None)
        if self._book.release(key, self._clock()) or self._book.withdraw(key):
            self._grant()

    def standing(self, key: str) -> Standing | None:
        """See :meth:`Admission.standing`."""
        return self._book.standing(key, self._clock())

    async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
        """See :meth:`Admission.may_call`."""
        while True:
            known, now = self._buckets.get(bucket, Bucket()), self._clock()
            taken, wait = known.take(now, per_second=limit.per_second, burst=limit.burst, count=count)
            self._buckets[bucket] = taken
            if wait <= 0:
                return
            await asyncio.sleep(wait)
            if self._buckets[bucket].held_until <= self._clock():
                return

    async def hold_back(self, bucket: str, seconds: float) -> None:
        """See :meth:`Admission.hold_back`."""
        self._buckets[bucket] = self._buckets.get(bucket, Bucket()).hold(self._clock(), seconds)

    async def close(self) -> None:
        """See :meth:`Admission.close`."""
        for future in self._waits.values():
            future.cancel()

    def _know(self, asks: Sequence[PoolAsk]) -> None:
        for ask in asks:
            rule = self.rules.rule(ask.pool)
            if self._book.pools.get(ask.pool) != rule:
                self._book.set_rule(rule, self._clock())

    def _grant(self) -> None:
        for lease in self._book.grants(self._clock()):
            future = self._waits.pop(lease.ask.key, None)
            if future is not None and not future.done():
                future.set_result(None)
