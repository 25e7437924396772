"""The engine of one process: one loop, one pool of workers, and the executions that it owns under leases.

It renews its leases, passes on what others ask, claims what nobody owns, and starts what a schedule says is due. Any
number of engines may work on one store; what each may write is fenced by the epoch of its leases.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flytepath.bundle import unpacked
from flytepath.config import blob_root, shared_place
from flytepath.engine.fold import apply
from flytepath.engine.histories import Begun, Histories
from flytepath.engine.jobs.of_execution import Remote
from flytepath.engine.local.places import Places
from flytepath.engine.local.room import Room
from flytepath.engine.local.slots import Slots
from flytepath.engine.ownership import LEASE_SECONDS, is_dead, this_engine
from flytepath.engine.ports import AttemptPool, Listener, Posted, Silent, by_execution
from flytepath.engine.quota.rules import PoolRule
from flytepath.engine.recovery import Former
from flytepath.engine.reuse import Outputs, Reuses
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionState, ExecutionStatus
from flytepath.errors import (
    ExecutionStateError,
    FlytePathError,
    SequenceConflictError,
    StoreError,
    StoreUnavailableError,
)
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store

log = logging.getLogger("flytepath")

#: How often the store is looked at for what others ask, and for executions that nobody owns.
LOOK_SECONDS: Final = 0.1
#: At least so often it is asked, even where nothing seems to have changed: a lease may have run out.
CLAIM_SECONDS: Final = 1.0
#: The most executions that one engine drives at once, and claims at a time for each of its slots: a few, so that
#: others get theirs.
OWNED_LIMIT: Final = 1000
CLAIM_LIMIT: Final = 4
#: How long what an execution leaves behind waits for that of others.
LEAVE_SECONDS: Final = 0.05
#: How long an execution is left alone that this engine could not drive.
REFUSED_SECONDS: Final = 30.0


def steady_clock(not_before: float = 0.0) -> Callable[[], float]:
    """The time, in seconds since the epoch, that never goes back: not even where the machine's clock is set back.

    Args:
        not_before: a time that has certainly passed.

    Example:
        >>> clock = steady_clock(not_before=4e9)
        >>> clock() >= 4e9 and clock() <= clock()
        True
    """
    began, wall = time.monotonic(), max(time.time(), not_before)
    return lambda: wall + (time.monotonic() - began)


class Engine:
    """Drives executions on this machine's workers.

    Args:
        home: where code, blobs and folders of attempts lie.
        store: the event store.
        pool: runs the attempts; closed with the engine.
        slots: how many attempts run at once.
        room: gives the cores, memory and GPUs for attempts; without it nobody asks for any.
        weights: of tenants, where they share the slots, by ``project`` or ``project/domain``.
        outputs_of: the shared outputs of a tenant, for caching.
        name: who holds the leases; one of this process's own by default.
        remote: runs remote jobs; closed with the engine.

    Use it as an asynchronous context manager, on the loop that everything runs on.
    """

    def __init__(
        self,
        home: Path,
        store: Store,
        pool: AttemptPool,
        *,
        slots: int,
        room: Callable[[], Room] | None = None,
        weights: Mapping[str, float] | None = None,
        outputs_of: Callable[[Tenant], Outputs | None],
        name: str | None = None,
        remote: Remote | None = None,
    ) -> None:
        self.name = name or this_engine()
        self._remote = remote
        self._home = home
        self._store = store
        self._pool = pool
        self._slots = Slots(slots, weight=PoolRule("local/slots", slots, weights).weight if weights else None)
        self._room = room
        self._outputs_of = outputs_of
        self._histories = Histories(store)
        self._outputs: dict[Tenant, Outputs | None] = {}
        self._driven: dict[str, tuple[Scheduler, int]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._held: set[str] = set()
        self._refused: dict[str, float] = {}
        self._released: list[str] = []
        self._left: list[Callable[[], None]] = []
        self._leaving = asyncio.Event()
        self._watches: list[asyncio.Task[None]] = []
        self._heard = 0
        self._early: dict[str, list[Posted]] = {}
        self._draining = False
        self._free = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._watches = [asyncio.create_task(watch()) for watch in (self._beat, self._listen, self._leave)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = [*self._watches, *(self._tasks - {asyncio.current_task()})]
        for task in ending:
            task.cancel()
        # Before the workers go: what is driven must not take their end for a failure.
        await asyncio.gather(*ending, return_exceptions=True)
        await self._pool.close()
        if self._remote is not None:
            await self._remote.services.close()
        await self._left_behind()
        for outputs in self._outputs.values():
            if outputs is not None:
                outputs.close()

    # --- driving ---

    async def drive(
        self, execution: str, listener: Listener | None = None, *, begun: Begun | None = None
    ) -> ExecutionState:
        """Own an execution and drive it to its end; the state it ended in, or was left in where this engine drains.

        Args:
            execution: its id.
            listener: told what happens.
            begun: what was written when it was begun for this engine; nothing is read again.

        Raises:
            ExecutionStateError: another living engine owns it, or this one drives it already.
            SequenceConflictError: the lease was lost on the way.
            StoreError: the log cannot be written; the execution can be resumed.
        """
        if execution in self._held:
            raise ExecutionStateError(f"this engine drives execution {execution!r} already", place=execution)
        self._held.add(execution)
        task = asyncio.current_task()
        self._tasks.update([task] if task is not None else [])
        try:
            epoch = begun.epoch if begun is not None else await self._acquired(execution)
            return await self._driven_to_its_end(execution, epoch, listener or Silent(), begun)
        finally:
            self._let_go(execution)
            self._tasks.difference_update([task])

    async def _acquired(self, execution: str) -> int:
        return await asyncio.to_thread(self._store.acquire, execution, self.name, ttl=LEASE_SECONDS, is_dead=is_dead)

    async def _driven_to_its_end(
        self, execution: str, epoch: int, listener: Listener, begun: Begun | None = None
    ) -> ExecutionState:
        state = self._begun(begun) if begun is not None else await asyncio.to_thread(self._histories.state, execution)
        scheduler, places = await self._scheduler(execution, state, listener, begun.inputs if begun else ())
        self._driven[execution] = scheduler, epoch
        try:
            waiting = [] if begun is not None else await asyncio.to_thread(self._store.inbox, execution)
            posted = sorted([*self._early.pop(execution, []), *waiting], key=lambda item: item.id)
            if self._draining:
                scheduler.drain()
            state = await scheduler.run(self.name, epoch, posted)
        finally:
            del self._driven[execution]
        well = state.status is ExecutionStatus.SUCCEEDED
        self._left.append(partial(places.sweep, ended=state.status.is_final, well=well))
        return state

    def _let_go(self, execution: str) -> None:
        """An execution is driven no longer: its lease is given back."""
        self._held.discard(execution)
        self._early.pop(execution, None)
        self._released.append(execution)
        self._leaving.set()
        self._free.set()

    def _begun(self, begun: Begun) -> ExecutionState:
        state = ExecutionState.of(begun.spec, self._histories.spec)
        apply(state, begun.created)
        return state

    async def _scheduler(
        self, execution: str, state: ExecutionState, listener: Listener, known: Sequence[Literal]
    ) -> tuple[Scheduler, Places]:
        created = state.created
        if created is None:
            raise StoreError("the log does not begin with the execution's creation", place=execution)
        former = None
        if created.recovers:
            with suppress(FlytePathError):  # pruned meanwhile: everything runs
                former = Former(created.recovers, await asyncio.to_thread(self._histories.state, created.recovers))
        tenant = Tenant(created.project, created.domain)
        if tenant not in self._outputs:
            self._outputs[tenant] = self._outputs_of(tenant)
        blobs = BlobFolder(blob_root(self._home), tenant.project, tenant.domain)
        places = Places(self._home, execution, shared=shared_place(tenant.project, tenant.domain, self._home))
        scheduler = Scheduler(
            execution,
            state,
            self._store,
            blobs,
            self._pool,
            slots=self._slots,
            room=self._room,
            places=places,
            reuses=Reuses(self._outputs[tenant], blobs, execution, holder=self.name, overwrite=created.overwrite_cache),
            listener=listener,
            clock=steady_clock(state.changed_at),
            code_path_of=lambda bundle: str(unpacked(bundle, self._home)),
            remote=self._remote,
            former=former,
            known=known,
        )
        return scheduler, places

    async def _leave(self) -> None:
        """Give back leases and remove folders of executions that have ended, those of a moment together."""
        while True:
            await self._leaving.wait()
            self._leaving.clear()
            await asyncio.sleep(LEAVE_SECONDS)
            await self._left_behind()

    async def _left_behind(self) -> None:
        released, self._released = self._released, []
        left, self._left = self._left, []

        def leave() -> None:
            for sweep in left:
                sweep()
            with suppress(StoreError):  # they run out by themselves
                self._store.release_all(self.name, [each for each in released if each not in self._held])

        try:
            await asyncio.to_thread(leave)
        except asyncio.CancelledError:  # whether it was done or not: doing it twice is the same
            self._released, self._left = released + self._released, left + self._left
            raise

    # --- serving ---

    async def serve(
        self,
        *,
        admit: Callable[[ExecutionState], None] | None = None,
        tick: Callable[[], Awaitable[float]] | None = None,
    ) -> None:
        """Claim what nobody owns, as long as the engine is not told to drain.

        Args:
            admit: raises for what must not run.
            tick: begins what schedules say is due, and says when to call it again (seconds since the epoch).
        """
        if self._remote is not None:
            self._watches.append(asyncio.create_task(self._remote.sweep()))
        looked = due = 0.0  # by the monotonic clock: the machine's own may be set back
        version: int | None = None
        away = False
        while not self._draining:
            try:
                seen = await asyncio.to_thread(self._store.version)
                now = time.monotonic()
                away = False
                if tick is not None and (now >= due or seen != version):
                    due = now + min(CLAIM_SECONDS, max(0.0, await tick() - time.time()))
                if seen is None or seen != version or now - looked > CLAIM_SECONDS:
                    version, looked = seen, now
                    if await self._claim(admit):
                        version = None
            except StoreError as error:
                if not away:
                    log.warning("the store cannot be used, this engine tries again: %s", error)
                away = True
                await asyncio.sleep(CLAIM_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._free.wait()
            self._free.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _claim(self, admit: Callable[[ExecutionState], None] | None) -> bool:
        """Claim a few executions, unless those that are driven wait for slots already; whether there may be more."""
        now = time.monotonic()
        self._refused = {execution: until for execution, until in self._refused.items() if until > now}
        room = min(CLAIM_LIMIT * self._slots.size, OWNED_LIMIT - len(self._tasks))
        if room <= 0 or self._slots.is_contended:
            return True
        exclude = [*self._refused, *self._held]
        claimed = await asyncio.to_thread(
            self._store.claim, self.name, limit=room, ttl=LEASE_SECONDS, is_dead=is_dead, exclude=exclude
        )
        for execution, epoch in claimed:
            self._held.add(execution)
            task = asyncio.create_task(self._serve_one(execution, epoch, admit))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed) == room

    async def _serve_one(self, execution: str, epoch: int, admit: Callable[[ExecutionState], None] | None) -> None:
        try:
            if admit is not None:
                admit(await asyncio.to_thread(self._histories.state, execution))
            await self._driven_to_its_end(execution, epoch, Silent())
        except FlytePathError as error:
            log.warning("execution %s is left for a while: %s", execution, error)
            away = isinstance(error, StoreUnavailableError)  # which says nothing against the execution
            self._refused[execution] = time.monotonic() + (CLAIM_SECONDS if away else REFUSED_SECONDS)
        except Exception:
            log.exception("execution %s is left for a while", execution)
            self._refused[execution] = time.monotonic() + REFUSED_SECONDS
        finally:
            self._let_go(execution)

    def drain(self) -> None:
        """Start nothing more and claim nothing more; what runs goes on to its end."""
        self._draining = True
        for scheduler, _ in self._driven.values():
            scheduler.drain()
        self._free.set()

    @property
    def owned(self) -> list[str]:
        """The executions that this engine drives."""
        return list(self._driven)

    # --- leases and commands ---

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            if not self._held:
                continue
            known = list(self._driven.items())  # of what is begun during the renewal, it says nothing
            try:
                held = await asyncio.to_thread(self._store.renew, self.name, LEASE_SECONDS)
            except StoreError as error:
                log.warning("the leases could not be renewed: %s", error)
                continue
            for execution, (scheduler, epoch) in known:
                if held.get(execution, 0) != epoch and self._driven.get(execution) == (scheduler, epoch):
                    scheduler.give_up(
                        SequenceConflictError(
                            "this execution has passed to another engine", place=execution, hint="nothing is lost"
                        )
                    )

    async def _listen(self) -> None:
        version: int | None = None
        looked = 0.0
        away = False
        while True:
            await asyncio.sleep(CLAIM_SECONDS if away else LOOK_SECONDS)
            if not self._driven:
                continue
            try:
                seen = await asyncio.to_thread(self._store.version)
                now = time.monotonic()
                # What this process itself posts leaves the version as it is.
                if seen is not None and seen == version and now - looked < CLAIM_SECONDS:
                    continue
                posted = await asyncio.to_thread(self._store.inbox_of, self.name, self._heard)
                version, looked = seen, now
            except StoreError as error:
                if not away:  # said once: it may be away for long
                    log.warning("the inbox cannot be read, this is tried again: %s", error)
                away = True
                continue
            away = False
            for execution, items in by_execution(posted).items():
                known = self._driven.get(execution)
                if known is not None:
                    known[0].inform(items)
                else:  # ours, and about to be driven
                    self._early.setdefault(execution, []).extend(items)
            self._heard = max([self._heard, *(item.id for item in posted)])
