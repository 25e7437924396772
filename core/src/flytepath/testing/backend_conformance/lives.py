"""Whole lives of jobs, by core's own machine over a journal in memory: begun, cut short, and gone on with."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from flytepath.engine.jobs.backends import BackendInstance, GivenBackends
from flytepath.engine.jobs.reaper import Orphan, Reaper
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.session import JobOutcome, JobSession, SessionDied
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.quota.requests import Request
from flytepath.model.events import JobEnded, JobSubmitted, Payload
from flytepath.model.literal import Literal
from flytepath.plugin.backend import Backend, BackendError, Handle, Observation
from flytepath.plugin.declarations import PollPolicy, RateLimit
from flytepath.plugin.plans import PlanRequest, PoolAsk
from flytepath.store.events import Store
from flytepath.testing.backend_conformance.scene import Scene
from flytepath.testing.findings import refuse

_PATIENCE: Final = Patience(outage=600.0, pause=0.002, longest_pause=0.002, cancel_pause=0.01)
_POLL: Final = PollPolicy(first=0.005, longest=0.005)


class OpenPools:
    """Admission to pools without limits; it only keeps count of who holds something."""

    def __init__(self) -> None:
        self.held: dict[str, Request] = {}

    async def granted(self, request: Request) -> None:
        """Everybody is admitted."""
        if request.asks:
            self.held[request.key] = request

    async def firm(self, key: str) -> None:
        """Nothing is written down, so nothing can be firmer."""

    async def release(self, key: str, epoch: int) -> None:
        """It is free."""
        self.held.pop(key, None)

    def standing(self, key: str) -> None:
        """Nobody waits."""

    async def close(self) -> None:
        """What is held is left as it is, as by a process that dies."""

    async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
        """Every call is allowed."""

    async def hold_back(self, bucket: str, seconds: float) -> None:
        """The desk holds calls back by itself."""


class Watching(Backend):
    """A backend as it is, that counts the looks which gave nothing."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend.settings)
        self.backend = backend
        self.counts: Counter[str] = Counter()

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        """Look, and count."""
        try:
            answers = await self.backend.poll(handles)
        except BackendError:
            self.counts["failed"] += 1
            raise
        failed = any(isinstance(answer, BackendError) for answer in answers.values())
        self.counts["failed" if failed else "seen"] += 1
        return answers

    def plan(self, request: PlanRequest) -> Any:
        """As it is."""
        return self.backend.plan(request)

    async def submit(self, plan: Any) -> Any:
        """As it is."""
        return await self.backend.submit(plan)

    async def find(self, plan: Any) -> Any:
        """As it is."""
        return await self.backend.find(plan)

    async def cancel(self, key: Any, handle: Any, reason: str) -> Any:
        """As it is."""
        return await self.backend.cancel(key, handle, reason)

    async def collect(self, handle: Handle, sink: Any) -> Any:
        """As it is."""
        return await self.backend.collect(handle, sink)

    async def collect_items(self, handle: Handle, items: Sequence[int], sink: Any) -> Any:
        """As it is."""
        return await self.backend.collect_items(handle, items, sink)

    async def cleanup(self, key: Any, handle: Any) -> None:
        """As it is."""
        await self.backend.cleanup(key, handle)

    async def list_owned(self, scope: str, cursor: str | None = None) -> Any:
        """As it is."""
        return await self.backend.list_owned(scope, cursor)


def instance_of(scene: Scene, backend: Backend) -> BackendInstance:
    """The backend as core has it, but for its pace: nobody waits for the next look longer than for a moment."""
    declaration = dataclasses.replace(scene.declaration, poll=_POLL, rate_limits=())
    return BackendInstance(declaration.name, declaration, backend, type(backend).__module__, "", backend.plan)


async def reaped(scene: Scene, store: Store) -> list[Orphan]:
    """What core's reaper does with the vendor's jobs, for an installation that has no execution at all."""
    backend = scene.another_backend()
    services = JobServices(GivenBackends(instance_of(scene, backend)), OpenPools(), _PATIENCE)
    try:
        return await Reaper(store, services).sweep(dry=False, grace_seconds=0.0)
    finally:
        await services.close()
        await scene.leave(backend)


class Life:
    """One job, in as many processes as it takes; what is durable passes from one to the next.

    Args:
        scene: where it happens.
        request: what is to run.
        detached: whether the job is left alone when nobody wants it any more.
    """

    def __init__(self, scene: Scene, request: PlanRequest, *, detached: bool = False) -> None:
        self.scene = scene
        self.request = request
        self.detached = detached
        self.events: list[Payload] = []
        self.literals: dict[str, Literal] = {}
        self.pools = OpenPools()
        self.processes = 0
        self.counts: Counter[str] = Counter()
        self._had_ended = False

    @asynccontextmanager
    async def process(self, **more: Any) -> AsyncIterator[JobSession]:
        """A session in a process of its own, with backends of its own, that goes on from what is durable."""
        self.processes += 1
        self._had_ended = any(isinstance(event, JobEnded) for event in self.events)
        scene, backend = self.scene, Watching(self.scene.another_backend())
        backend.counts = self.counts
        instance = instance_of(scene, backend)
        services = JobServices(GivenBackends(instance), self.pools, _PATIENCE)
        session = JobSession(
            instance,
            self.request,
            services,
            scene.blobs,
            pools=(PoolAsk("conformance"),),
            detached=self.detached,
            epoch=self.processes,
            history=list(self.events),
            literals=self.literals,
            **more,
        )
        try:
            yield session
        finally:
            self.events = list(session.events)
            scene.told.extend(session.events)
            await services.close()
            await scene.leave(backend.backend)

    async def lived(self, *, cancelled: str = "", **more: Any) -> JobOutcome | None:
        """How the job ended, or ``None`` where the process died before.

        Args:
            cancelled: why it is to be ended, from the beginning on.
            more: of the session.
        """
        async with self.process(**more) as session:
            if cancelled:
                session.cancel(cancelled)
            try:
                return await session.run()
            except SessionDied:
                return None

    async def run(self, act: Callable[[JobSession], Awaitable[None]], **more: Any) -> JobOutcome:
        """How the job ended while ``act`` did something to it."""
        async with self.process(**more) as session:
            running = asyncio.ensure_future(session.run())
            try:
                await act(session)
                return await running
            finally:
                running.cancel()

    async def handle(self, session: JobSession) -> Handle:
        """The handle of the job, once the vendor has it."""

        async def look() -> Handle | None:
            found = [event for event in session.events if isinstance(event, JobSubmitted)]
            return Handle(found[-1].handle, found[-1].handle_version) if found else None

        return await self.scene.until("a submission", look, "submit() returns a handle")

    async def settled(self, outcome: JobOutcome | None, phase: str, story: str, *, jobs: int = 1) -> JobOutcome:
        """The outcome, if it is the right one, of one job, and nothing is left of it."""
        scene, key = self.scene, self.request.key
        made = await scene.vendor_does(scene.vendor.count, key)
        if made > jobs or (made < jobs and phase == "succeeded"):
            refuse(
                f"{made} jobs came of one key: {story}",
                place=scene.place("submit"),
                expected=f"{jobs} job",
                actual=self._told(),
                hint="find() must show what submit() has made; submit() makes one job of a key, however often",
            )
        if outcome is None or outcome.phase.value != phase:
            refuse(
                f"the end of a job is not the right one: {story}",
                place=scene.place(""),
                expected=phase,
                actual=f"{outcome and outcome.phase.value}, {outcome and outcome.error}; {self._told()}",
                hint="the events in the order in which they became durable tell where it went wrong",
            )
        alive = await scene.vendor_does(scene.vendor.live, key)
        if alive and not self.detached:
            refuse(
                f"a job outlives its end: {story}",
                place=scene.place("cancel"),
                expected="no live job of the key",
                actual=f"{alive}; {self._told()}",
                hint="cancel() answers Gone or Terminal only when the job has stopped",
            )
        # What a process held that died after the end was durable is freed by the sweep of the pools.
        if self.pools.held and not self._had_ended:
            refuse(f"a lease is not given back: {story}", hint="this is a mistake of core: please report it")
        return outcome

    def _told(self) -> str:
        return " > ".join(f"{event.type}{_detail(event)}" for event in self.events)


def _detail(event: Payload) -> str:
    phase, state = getattr(event, "phase", ""), getattr(event, "raw_state", "")
    return f" {phase} {state}".rstrip() if phase or state else ""
