"""Calls that are metered, booked together: while one booking is on its way to the store, the next one gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from flytepath.plugin.declarations import RateLimit

#: Books so many calls of a bucket; the seconds to wait before the last of them may be made.
Book = Callable[[str, RateLimit, int], Awaitable[float]]


@dataclass(slots=True, eq=False)
class _Booking:
    count: int
    future: asyncio.Future[float]


class Bookings:
    """Books calls, those of one bucket that ask in the meantime in one go.

    Each waits as long as if it had been booked alone: calls are booked in the order in which they ask, and one that
    is booked ``n`` calls before the last of many may be made ``n / per_second`` before that.

    Args:
        book: books many at once.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._waiting: dict[tuple[str, RateLimit], list[_Booking]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def booked(self, bucket: str, limit: RateLimit, count: int = 1) -> float:
        """Book ``count`` calls; the seconds to wait before they may be made."""
        loop = asyncio.get_running_loop()
        booking = _Booking(count, loop.create_future())
        waiting = self._waiting.get((bucket, limit))
        if waiting is not None:
            waiting.append(booking)
        else:
            self._waiting[bucket, limit] = [booking]
            task = loop.create_task(self._carry_out(bucket, limit))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await booking.future

    async def _carry_out(self, bucket: str, limit: RateLimit) -> None:
        bookings: list[_Booking] = []
        try:
            while bookings := self._waiting[bucket, limit]:
                self._waiting[bucket, limit] = []
                left = sum(booking.count for booking in bookings)
                try:
                    wait = await self._book(bucket, limit, left)
                except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                    for booking in bookings:
                        if not booking.future.done():
                            booking.future.set_exception(error)
                    continue
                for booking in bookings:
                    left -= booking.count
                    if not booking.future.done():
                        booking.future.set_result(max(0.0, wait - left / limit.per_second))
        finally:
            for booking in (*bookings, *self._waiting.pop((bucket, limit), ())):
                booking.future.cancel()

    async def close(self) -> None:
        """Book nothing any more; who waits is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
