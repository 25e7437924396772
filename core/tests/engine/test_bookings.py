"""Calls that ask at the same time are booked together, and each waits as long as if it had been booked alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from flytepath.engine.quota.bookings import Bookings
from flytepath.plugin.declarations import RateLimit
from flytepath.store.rates import Bucket

LIMIT = RateLimit(per_second=4.0, burst=2)


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 60))

    run.__name__ = test.__name__
    return run


class Ledger:
    """A bucket at a standing clock, whose answers come a moment later."""

    def __init__(self) -> None:
        self.bucket = Bucket()
        self.counts: list[int] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def book(self, bucket: str, limit: RateLimit, count: int) -> float:
        self.counts.append(count)
        await asyncio.sleep(0)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.bucket, wait = self.bucket.take(100.0, per_second=limit.per_second, burst=limit.burst, count=count)
        return wait


def alone(counts: list[int]) -> list[float]:
    """What each would wait if it had been booked by itself."""
    bucket, waits = Bucket(), []
    for count in counts:
        bucket, wait = bucket.take(100.0, per_second=LIMIT.per_second, burst=LIMIT.burst, count=count)
        waits.append(wait)
    return waits


@on_a_loop
async def test_those_who_ask_meanwhile_are_booked_in_one_go_and_wait_as_if_booked_alone() -> None:
    ledger = Ledger()
    bookings = Bookings(ledger.book)
    counts = [1, 1, 2, 1, 3, 1, 1]
    waits = await asyncio.gather(*(bookings.booked("b", LIMIT, count) for count in counts))
    assert waits == pytest.approx(alone(counts))
    assert sum(ledger.counts) == sum(counts)
    assert len(ledger.counts) <= 2


@on_a_loop
async def test_buckets_and_limits_are_booked_apart() -> None:
    ledger = Ledger()
    bookings = Bookings(ledger.book)
    other = RateLimit(per_second=1.0)
    await asyncio.gather(*(bookings.booked(name, limit) for name in ("a", "b") for limit in (LIMIT, other)))
    assert ledger.counts == [1, 1, 1, 1]


@on_a_loop
async def test_an_error_reaches_all_who_wait_for_that_booking_and_nobody_after() -> None:
    ledger = Ledger()
    ledger.error = ValueError("the store is away")
    bookings = Bookings(ledger.book)
    found = await asyncio.gather(*(bookings.booked("b", LIMIT) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [ValueError] * 3
    ledger.error = None
    assert await bookings.booked("b", LIMIT) == 0.0


@on_a_loop
async def test_one_that_gives_up_holds_up_nobody() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    bookings = Bookings(ledger.book)
    tasks = [asyncio.create_task(bookings.booked("b", LIMIT)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[2].cancel()
    ledger.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1] == 0.0


@on_a_loop
async def test_at_the_end_who_waits_is_cancelled() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    bookings = Bookings(ledger.book)
    tasks = [asyncio.create_task(bookings.booked("b", LIMIT)) for _ in range(3)]
    while not ledger.counts:
        await asyncio.sleep(0)
    await bookings.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in found)
