"""The desk of an engine where tokens of shared pools are asked for and given back, and calls to services are metered.

What is asked for and given back within the time of one write goes into one transaction (:mod:`flytepath.store.quota`),
which also decides who is granted what has come free, whichever engine waits for it. Engines learn of what others
granted them by looking at a number that counts changes. Nothing is ever granted but by a row in the store: while that
is away, everybody waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from flytepath.engine.ownership import LEASE_SECONDS, is_dead
from flytepath.engine.quota import Book
from flytepath.engine.quota.bookings import Bookings
from flytepath.engine.quota.decision import BookKeeper, book_of
from flytepath.engine.quota.in_memory import InMemoryAdmission
from flytepath.engine.quota.pools import PoolRules
from flytepath.engine.quota.requests import AdmissionDesk, PoolLeaseLostError, Request, passed_on, row_of
from flytepath.engine.quota.rules import Standing
from flytepath.errors import ExecutionStateError, StoreError
from flytepath.plugin.declarations import RateLimit
from flytepath.store.events import Store
from flytepath.store.quota import QuotaTables
from flytepath.store.quota_rows import Answer, Ask, Change, Confirm, Decision, Outcome, Release, Truth
from flytepath.store.quota_views import survey
from flytepath.store.rates import RateBuckets

__all__ = ["Admission", "AdmissionDesk", "InMemoryAdmission", "PoolLeaseLostError", "Request"]

log = logging.getLogger("flytepath")

#: How often an engine that waits looks for what others have granted it.
LOOK_SECONDS: Final = 0.1
#: How often it looks whether somebody is gone, and whether the rules have changed.
REVIEW_SECONDS: Final = 1.0
#: How long it leaves a store alone that was away.
AWAY_SECONDS: Final = 1.0
#: The most changes in one transaction.
BATCH_LIMIT: Final = 2000
#: What the reasons of those who wait may cost: at most this share of the time.
SURVEY_SHARE: Final = 0.02


@dataclass(slots=True, eq=False)
class _Wait:
    request: Request
    future: asyncio.Future[None]
    #: The transaction that put it in line; ``None`` while it is under way.
    turn: int | None = None


@dataclass(slots=True, eq=False)
class _Entry:
    change: Change
    future: asyncio.Future[Answer] | None = None


#: The desks of this process, so that one hears at once what another has granted it.
_DESKS: Final[weakref.WeakSet[Admission]] = weakref.WeakSet()


class Admission:
    """The desk of one engine. Everything is called on the engine's loop.

    Args:
        store: where leases lie.
        engine_name: who holds them.
        rules: the pools.
        clock: seconds since the epoch, where there is no server to ask.
        ttl: for how many seconds the engine is believed to be alive after a sign of life, the same for all.
        is_dead: whether another engine has certainly ended.
    """

    def __init__(
        self,
        store: Store,
        engine_name: str,
        rules: PoolRules,
        *,
        clock: Callable[[], float] = time.time,
        ttl: float = LEASE_SECONDS,
        is_dead: Callable[[str], bool] = is_dead,
    ) -> None:
        self.rules = rules
        self._store = store
        self._place = store.place
        self._ttl = ttl
        self._tables = QuotaTables(store.database, engine_name, ttl=ttl, clock=clock, is_dead=is_dead)
        self._keeper = BookKeeper()
        self._rates = RateBuckets(store.database, clock)
        self._bookings = Bookings(self._book_calls)
        self._waits: dict[str, _Wait] = {}
        self._held: dict[str, Request] = {}
        self._unmetered: set[str] = set()
        self._queue: list[_Entry] = []
        self._review = False
        self._seen = 0
        self._book: tuple[Book, float] | None = None
        self._is_explaining = False
        self._is_away = False
        self._is_closed = False
        self._look_now = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []

    # --- pools ---

    async def granted(self, request: Request) -> None:
        """Wait until everything that is asked for is held. Cancelled, the request is withdrawn.

        Where the key has its lease already, because another engine had it granted or this one is asking again, it goes
        on with that at once.

        Raises:
            PoolUnknownError: nobody declared a pool.
            PoolAskError: more is asked for than the tenant can ever be given.
            SequenceConflictError: the execution has passed to another engine.
        """
        if not request.asks:
            self._unmetered.add(request.key)
            return
        self.rules.check(request.tenant, request.asks)
        self._open()
        wait = self._waits[request.key] = _Wait(request, asyncio.get_running_loop().create_future())
        self._put(row_of(request))
        if len(self._waits) == 1:
            self._look_now.set()  # and often, from now on
        try:
            await wait.future
        except BaseException:
            self._withdraw(wait)
            raise

    def _withdraw(self, wait: _Wait) -> None:
        request = wait.request
        if self._waits.get(request.key) is wait:
            del self._waits[request.key]
        elif self._held.get(request.key) is request:
            del self._held[request.key]
        else:
            return
        # What is firm belongs to a job that runs, whoever asked for it to be taken over.
        self._put(Release(request.key, request.epoch, unless_firm=True))

    async def firm(self, key: str) -> None:
        """From now on the tokens of ``key`` are held until they are released, whatever becomes of this engine.

        Durable on return: call it before the job is submitted.

        Raises:
            PoolLeaseLostError: they are not held any more; ask for them again.
        """
        if key in self._unmetered:
            return
        held = self._held.get(key)
        if held is None or await self._done(Confirm(key, held.epoch)) != "done":
            self._held.pop(key, None)
            raise PoolLeaseLostError(
                "the tokens of this job were taken away before it was submitted",
                place=key,
                hint="it is asked for them again; 'flytepath pools list' shows who holds what",
            )

    async def release(self, key: str, epoch: int) -> None:
        """Give back what is held or waited for under ``key``; durable on return, and right to repeat.

        An epoch that is older than the holder's changes nothing: the job is another engine's now.
        """
        if key in self._unmetered:
            self._unmetered.discard(key)
            return
        held = self._held.get(key)
        if held is not None and held.epoch <= epoch:
            del self._held[key]
        await self._done(Release(key, epoch))

    def standing(self, key: str) -> Standing | None:
        """Why ``key`` waits, as of a moment ago; ``None`` where it does not wait."""
        wait = self._waits.get(key)
        if wait is None:
            return None
        self._is_explaining = True
        found = None if self._book is None else self._book[0].standing(key, self._book[1])
        if found is not None:
            return found
        pool = wait.request.asks[0].pool
        away = "the store cannot be reached" if self._is_away else f"its turn in {pool!r} has not come"
        return Standing(away, "", 0, pool)

    # --- calls ---

    async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
        """Wait until so many calls may be made, by all engines together.

        Args:
            bucket: what is limited, for instance a backend and its credential scope.
            limit: how often, and how many at once.
            count: how many calls are about to be made.
        """
        while True:
            wait = await self._bookings.booked(bucket, limit, count)
            if wait <= 0:
                return
            await asyncio.sleep(wait)
            # Somebody may have been asked to stay away meanwhile; then the booking is worth nothing.
            if await self._read(lambda: self._rates.held_for(bucket)) <= 0:
                return

    async def _book_calls(self, bucket: str, limit: RateLimit, count: int) -> float:
        wait: float = await self._surely(
            lambda: self._rates.take(bucket, per_second=limit.per_second, burst=limit.burst, count=count)
        )
        return wait

    async def hold_back(self, bucket: str, seconds: float) -> None:
        """Nobody calls for so many seconds, as the service has asked for (``Retry-After``)."""
        await self._surely(lambda: self._rates.hold(bucket, seconds))

    # --- the end ---

    async def close(self) -> None:
        """Leave: who waits is withdrawn, what is held is freed unless it is firm. Nothing is asked for afterwards."""
        if self._is_closed:
            return
        self._is_closed = True
        ending = [task for task in (*self._watches, self._writer) if task is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._bookings.close()
        left = [entry for entry in self._queue if not isinstance(entry.change, Ask)]
        for wait in list(self._waits.values()):
            wait.future.cancel()
        self._queue.clear()
        self._waits.clear()
        self._held.clear()
        if self._loop is None:  # nobody ever asked
            return
        try:
            if left:
                changes = [entry.change for entry in left]
                outcome = await asyncio.wrap_future(self._tables.change(changes, self._decide))
                for entry, answer in zip(left, outcome.answers, strict=True):
                    if entry.future is not None and not entry.future.done():
                        entry.future.set_result(answer)
            await asyncio.wrap_future(self._tables.leave(self._decide))
            self._poke_others()
        except StoreError as error:  # what is ours runs out by itself
            for entry in left:
                if entry.future is not None and not entry.future.done():
                    entry.future.set_exception(error)

    # --- writing ---

    def _open(self) -> None:
        if self._is_closed:
            raise ExecutionStateError("this engine has ended", hint="another engine goes on with its executions")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._watches = [self._watch(self._look()), self._watch(self._beat())]
            _DESKS.add(self)

    @staticmethod
    def _watch(watching: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(watching)

    def _put(self, change: Change, future: asyncio.Future[Answer] | None = None) -> None:
        if self._is_closed:
            return
        self._queue.append(_Entry(change, future))
        self._write_soon()

    def _write_soon(self) -> None:
        if not self._is_closed and (self._writer is None or self._writer.done()):
            self._writer = self._watch(self._write())

    async def _done(self, change: Change) -> Answer:
        self._open()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._put(change, future)
        # Who is cancelled does not wait, but what it wanted is done.
        return await future

    async def _write(self) -> None:
        """Carry out what is queued: while one transaction is under way, the next one gathers."""
        while self._queue or self._review:
            batch, review = self._queue[:BATCH_LIMIT], self._review
            del self._queue[:BATCH_LIMIT]
            self._review = False
            try:
                changing = self._tables.change([entry.change for entry in batch], self._decide, review=review)
                outcome = await asyncio.wrap_future(changing)
            except StoreError as error:
                self._queue[:0] = batch
                self._review = self._review or review
                self._says_away(error)
                await asyncio.sleep(AWAY_SECONDS)
            except asyncio.CancelledError:
                self._queue[:0] = batch  # whether it was done or not: doing it twice is the same
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait for it
                self._refuse(batch, error)
            else:
                self._is_away = False
                self._tell(batch, outcome)

    def _decide(self, truth: Truth) -> Decision:
        return self._keeper.decide(truth, self.rules)

    def _tell(self, batch: Sequence[_Entry], outcome: Outcome) -> None:
        for entry, answer in zip(batch, outcome.answers, strict=True):
            if entry.future is not None and not entry.future.done():
                entry.future.set_result(answer)
            if isinstance(entry.change, Ask):
                self._told(entry.change, answer, outcome.turn)
        for key in outcome.granted:
            self._grant(key)
        self._seen = min(self._seen, outcome.turn)  # what was granted in between was not for us to see yet
        if outcome.was_lost and (self._held or any(wait.turn is not None for wait in self._waits.values())):
            self._ask_again_soon()
        self._poke_others()

    def _told(self, ask: Ask, answer: Answer, turn: int) -> None:
        wait = self._waits.get(ask.key)
        if wait is None or wait.request.epoch != ask.epoch:
            return
        if answer == "granted":
            self._grant(ask.key)
        elif answer == "stale":
            del self._waits[ask.key]
            wait.future.set_exception(passed_on(wait.request.execution))
        else:
            wait.turn = turn

    def _grant(self, key: str) -> None:
        wait = self._waits.pop(key, None)
        if wait is not None:
            self._held[key] = wait.request
            if not wait.future.done():
                wait.future.set_result(None)

    def _refuse(self, batch: Sequence[_Entry], error: Exception) -> None:
        log.error("tokens could not be dealt with", exc_info=error)
        for entry in batch:
            if entry.future is not None and not entry.future.done():
                entry.future.set_exception(error)
            if isinstance(entry.change, Ask) and (wait := self._waits.pop(entry.change.key, None)) is not None:
                wait.future.set_exception(error)

    def _poke_others(self) -> None:
        for desk in list(_DESKS):
            if desk is not self and desk._place == self._place and desk._loop is not None:
                with suppress(RuntimeError):  # its loop has ended
                    desk._loop.call_soon_threadsafe(desk._look_now.set)

    # --- looking ---

    async def _look(self) -> None:
        """Hear of what others have granted us, and look after what nobody else would notice."""
        reviewed = surveyed = 0.0
        stirred = False
        while True:
            pause = LOOK_SECONDS if self._waits and not self._is_away else REVIEW_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look_now.wait()
            self._look_now.clear()
            try:
                now = time.monotonic()
                is_due = now - reviewed > REVIEW_SECONDS
                reviewed = now if is_due else reviewed
                if is_due and await asyncio.to_thread(self.rules.refresh):
                    stirred = True
                if not self._waits:
                    self._book = None
                    continue
                # Others decide by the rules they know, which may be older than ours, or know fewer pools.
                stirred = await self._hear() or stirred
                if is_due and (stirred or await asyncio.to_thread(self._tables.someone_is_gone)):
                    stirred, self._review = False, True
                    self._write_soon()
                if self._is_explaining and now > surveyed:
                    surveyed = now + await self._explain()
            except StoreError as error:
                self._says_away(error)

    async def _explain(self) -> float:
        """Find out why everybody waits; in how many seconds to look again."""
        began = time.monotonic()
        self._is_explaining = False
        self._book = await asyncio.to_thread(self._survey)
        took = time.monotonic() - began
        return took + max(LOOK_SECONDS, took / SURVEY_SHARE)

    async def _hear(self) -> bool:
        seen = self._seen

        def read() -> tuple[int, list[tuple[str, int]]]:
            turn = self._tables.turn()
            return turn, self._tables.granted_since(seen) if turn != seen else []

        turn, granted = await asyncio.to_thread(read)
        for key, at in granted:
            wait = self._waits.get(key)
            # A grant of before it was asked for was another one's.
            if wait is not None and wait.turn is not None and at > wait.turn:
                self._grant(key)
        if self._seen == seen:
            self._seen = turn
        return turn != seen

    def _survey(self) -> tuple[Book, float]:
        seen = survey(self._store.database, self._tables.now)
        names = {pool for row in seen.waiters for pool, _ in row.asks} | {row.pool for row in seen.leases}
        known = {name: rule for name in names if (rule := self.rules.find(name)) is not None}
        waiters = [row for row in seen.waiters if all(pool in known for pool, _ in row.asks)]
        book = book_of(known.values(), seen.pools, seen.accounts, seen.leases, waiters)
        book.grants(seen.now)  # nothing is free, or will be in a moment: this finds out who is kept waiting for whom
        return book, seen.now

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._ttl / 3)
            if not self._waits and not self._held:
                continue
            try:
                if await asyncio.wrap_future(self._tables.beat()):
                    await self._ask_again()
            except StoreError as error:
                self._says_away(error)

    def _ask_again_soon(self) -> None:
        task = self._watch(self._ask_again())
        self._watches.append(task)
        task.add_done_callback(self._watches.remove)

    async def _ask_again(self) -> None:
        """This engine was taken for dead: ask for what was forgotten."""
        wanted = {**{key: wait.request for key, wait in self._waits.items()}, **self._held}
        try:
            waiting, held = await asyncio.to_thread(self._tables.known, list(wanted))
        except StoreError as error:
            self._says_away(error)
            return
        for key, request in wanted.items():
            if key in held or key in waiting:
                continue
            if key in self._held:
                log.warning("this engine was taken for dead, and the tokens of %s given to others", key)
            if key in self._held or key in self._waits:
                self._put(row_of(request))

    def _says_away(self, error: StoreError) -> None:
        if not self._is_away and not self._is_closed:
            log.warning("the store cannot be used, nothing is granted until it is back: %s", error)
        self._is_away = True

    async def _surely(self, submit: Callable[[], Any]) -> Any:
        while True:
            try:
                return await asyncio.wrap_future(submit())
            except StoreError as error:
                if self._is_closed:
                    raise
                self._says_away(error)
                await asyncio.sleep(AWAY_SECONDS)

    async def _read(self, query: Callable[[], float]) -> float:
        while True:
            try:
                return await asyncio.to_thread(query)
            except StoreError as error:
                if self._is_closed:
                    raise
                self._says_away(error)
                await asyncio.sleep(AWAY_SECONDS)
