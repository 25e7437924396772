"""Looking at many jobs at once: batched per credential scope, often while something changes, rarely while nothing does.

An interval grows from the first to the longest of the backend's policy and begins anew when the phase changes. A poll
that fails says nothing about a job, however often it does.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

from flytepath.engine.jobs import Trouble
from flytepath.engine.jobs.answers import bad_observation
from flytepath.engine.jobs.troubles import POLL_FAILS, Failing
from flytepath.engine.jobs.vendor_calls import Patience, Pauses, VendorCalls
from flytepath.plugin.backend import BackendError, ErrorClass, Handle, Observation

log = logging.getLogger("flytepath")

#: By how much an interval grows from one poll to the next that saw nothing new.
GROWTH: Final = 1.5
#: Who is due within this share of its interval is polled along with others.
EARLY: Final = 0.2
#: Batches of one scope that are under way at once.
BATCHES_AT_ONCE: Final = 4


@dataclass(slots=True, eq=False)
class Watched:
    """One job that is looked at.

    Attributes:
        handle: how the vendor knows it.
        known: what is known of it; only news is told.
        interval: seconds until it is looked at again.
    """

    handle: Handle
    known: tuple[Any, ...]
    interval: float
    due: float = 0.0
    future: asyncio.Future[Observation | Trouble] | None = None
    pauses: Pauses | None = None
    failing: Failing = field(default_factory=Failing)
    is_warned: bool = False
    progress: float | None = None
    order: int = field(default=0)


class Poller:
    """Polls the jobs of one backend and one credential scope.

    Args:
        calls: of the backend.
        scope: of the credentials.
        patience: how long nothing may be learned of a job.
    """

    def __init__(self, calls: VendorCalls, scope: str, patience: Patience) -> None:
        self._calls = calls
        self._scope = scope
        self._patience = patience
        self._queue: list[tuple[float, int, Watched]] = []
        self._numbers = count()
        self._wake = asyncio.Event()
        self._batches: set[asyncio.Task[None]] = set()
        self._pauses = Pauses(patience)
        self._task: asyncio.Task[None] | None = None

    def watch(self, handle: Handle) -> Watched:
        """Begin to look at a job; :meth:`news` tells what changes."""
        return Watched(handle, (), self._calls.instance.declaration.poll.first)

    async def news(self, watched: Watched, known: tuple[Any, ...], *, is_new_phase: bool) -> Observation | Trouble:
        """What the vendor says of a job, when it is something else than what is ``known``, or that it says nothing.

        Args:
            watched: the job.
            known: phase, state, reason and items, as :func:`facts_of` gives them.
            is_new_phase: whether the phase has changed, so that it is looked at often again.

        Raises:
            BackendError: nothing could be learned of it for too long.
        """
        policy = self._calls.instance.declaration.poll
        if is_new_phase:
            watched.interval = policy.first
        watched.known = known
        watched.future = asyncio.get_running_loop().create_future()
        self._put(watched, grow=False)
        try:
            return await watched.future
        finally:
            watched.future = None

    def _put(self, watched: Watched, *, grow: bool = True) -> None:
        policy = self._calls.instance.declaration.poll
        if grow:
            watched.interval = min(watched.interval * GROWTH, policy.longest)
        loop = asyncio.get_running_loop()
        watched.due = loop.time() + watched.interval * random.uniform(0.9, 1.0)
        watched.order = next(self._numbers)
        heapq.heappush(self._queue, (watched.due, watched.order, watched))
        if self._queue[0][2] is watched:
            self._wake.set()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._poll())

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            while self._queue and not self._is_waited_for(self._queue[0]):
                heapq.heappop(self._queue)
            wait = self._queue[0][0] - loop.time() if self._queue else None
            if wait is None or wait > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                continue
            if len(self._batches) >= BATCHES_AT_ONCE:
                await asyncio.wait(self._batches, return_when=asyncio.FIRST_COMPLETED)
                continue
            batch = self._due(loop.time())
            if batch:
                task = loop.create_task(self._look(batch))
                self._batches.add(task)
                task.add_done_callback(self._batches.discard)

    def _is_waited_for(self, entry: tuple[float, int, Watched]) -> bool:
        watched = entry[2]
        return watched.order == entry[1] and watched.future is not None and not watched.future.done()

    def _due(self, now: float) -> list[Watched]:
        limit = max(1, self._calls.instance.declaration.batch_limit)
        found: list[Watched] = []
        while self._queue and len(found) < limit:
            due, _, watched = self._queue[0]
            if due > now + (EARLY * watched.interval if found else 0.0):
                break
            entry = heapq.heappop(self._queue)
            if self._is_waited_for(entry):
                found.append(watched)
        return found

    async def _look(self, batch: Sequence[Watched]) -> None:
        handles = [watched.handle for watched in batch]
        backend = self._calls.instance.backend
        try:
            answers = await self._calls.make("poll", self._scope, backend.poll, handles)
        except BackendError as error:
            log.debug("poll of %d jobs of %s failed: %s", len(batch), self._calls.instance.name, error)
            await self._pauses.wait(error.retry_after or 0.0)
            for watched in batch:
                self._failed(watched, error)
            return
        self._pauses.reset()
        for watched in batch:
            answer = answers.get(watched.handle) if isinstance(answers, Mapping) else answers
            bad = "" if isinstance(answer, BackendError) else bad_observation(answer)
            if bad:
                answer = BackendError(f"poll gave no answer that can be read: {bad}", error_class=ErrorClass.PROTOCOL)
            if isinstance(answer, Observation):
                self._answered(watched, answer)
            elif isinstance(answer, BackendError):
                if self._calls.instance.redactor:
                    answer.message = self._calls.instance.redactor.text(answer.message)
                self._failed(watched, answer, is_its_own=True)

    def _answered(self, watched: Watched, seen: Observation) -> None:
        watched.pauses = None
        watched.failing = Failing()
        if seen.phase is None and not seen.gone and not watched.is_warned:
            watched.is_warned = True
            log.warning(
                "backend %s does not know the state %r of a job; its phase stays as it is",
                self._calls.instance.name,
                seen.raw_state,
            )
        future = watched.future
        if future is None or future.done():
            return
        if seen.progress is not None:
            watched.progress = seen.progress
        elif watched.progress is not None:
            seen = replace(seen, progress=watched.progress)
        seen = self._told(seen)
        if facts_of(seen) == watched.known:
            self._put(watched)
        else:
            future.set_result(seen)

    def _told(self, seen: Observation) -> Observation:
        """What was seen, without any secret that the vendor may have written into it."""
        redactor = self._calls.instance.redactor
        if not redactor:
            return seen
        raw_state, reason = redactor.text(seen.raw_state), redactor.text(seen.reason)
        if (raw_state, reason) == (seen.raw_state, seen.reason):
            return seen
        return replace(seen, raw_state=raw_state, reason=reason)

    def _failed(self, watched: Watched, error: BackendError, *, is_its_own: bool = False) -> None:
        """Nothing was learned of it; look again, until that has been so for too long.

        That a job is lost is believed of its own answer only: a whole call that finds nothing may have asked elsewhere.
        """
        future = watched.future
        if future is None or future.done():
            return
        if is_its_own and error.error_class is ErrorClass.LOST:
            future.set_result(Observation(None, watched.known[1] if watched.known else "", error.message, gone=True))
            return
        if watched.pauses is None:
            watched.pauses = Pauses(self._patience)
            watched.pauses.begin()
        if watched.pauses.is_outage:
            future.set_exception(error)
        elif watched.failing.is_news(error):
            future.set_result(Trouble(f"{POLL_FAILS}: {error.message}"))
        else:
            self._put(watched)

    async def close(self) -> None:
        """Look at nothing any more."""
        tasks = [*self._batches, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def facts_of(seen: Observation) -> tuple[Any, ...]:
    """What of an observation is news when it changes."""
    items = () if seen.items is None else tuple(sorted((str(p), tuple(i)) for p, i in seen.items.by_phase.items()))
    return (seen.phase, seen.raw_state, seen.reason, items, seen.links, seen.gone)
