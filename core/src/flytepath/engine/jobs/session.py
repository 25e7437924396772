"""The whole life of one job over a journal in memory: for direct calls, and for the tests of backends.

The same machine and the same desk as in an engine; what differs is who keeps the events. A session that is given the
events of another as its history goes on where that one died.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flytepath.engine.jobs import Cancel, Done, Job, Kept, NotThere, Seen, Taken, apply_job, follow, took_too_long
from flytepath.engine.jobs.backends import BackendInstance
from flytepath.engine.jobs.desk import Collected, JobDesk, Told
from flytepath.engine.jobs.of_workers import Take
from flytepath.engine.jobs.planning import checked
from flytepath.engine.jobs.plans import plan_to_json
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.slices import ItemsSeen
from flytepath.errors import ExecutionStateError
from flytepath.model.events import Blob, ErrorRecord, JobAmbiguous, JobPlanned, Payload
from flytepath.model.literal import Literal
from flytepath.plugin.backend import BlobAccess, Handle, Phase
from flytepath.plugin.plans import PlanRequest, PoolAsk


class SessionDied(BaseException):
    """A session was told to die here, as its process could have."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job came to its end.

    Args:
        phase: ``SUCCEEDED``, ``FAILED`` or ``CANCELLED``.
        outputs: of a job that succeeded.
        error: why it did not.
        items: for a slice, the outputs or the error of each of its items that ended by itself.
        job: what was known of it last.
    """

    phase: Phase
    outputs: Mapping[str, Literal] = field(default_factory=dict)
    error: ErrorRecord | None = None
    items: Mapping[int, Mapping[str, Literal] | ErrorRecord] = field(default_factory=dict)
    job: Job | None = None


class JobSession:
    """Runs one job, or one slice of a map, to its end.

    Args:
        instance: the backend.
        request: what is to run. Its key names the job.
        services: pools, rate limits and patience.
        sink: takes large outputs.
        pools: tokens the job asks for; by default those of its plan.
        detached, idempotent: as of the task.
        epoch: of the lease under which it is submitted; that of a later session must be higher.
        history: the events of an earlier session for the same request.
        literals: outputs that earlier sessions kept, by digest; shared between sessions as a store would be.
        die_after, die_before: die right after, or right before, so many events are durable.
        timeout_seconds: end the job so long after it was submitted.
        take: takes over what the job gives, or says what is wrong with it; by default it is kept as it is.
        clock: seconds since the epoch.

    Attributes:
        events: all that is durable.
        printed: the log of the job, once it has ended.
    """

    def __init__(
        self,
        instance: BackendInstance,
        request: PlanRequest,
        services: JobServices,
        sink: BlobAccess,
        *,
        pools: tuple[PoolAsk, ...] | None = None,
        detached: bool = False,
        idempotent: bool = False,
        epoch: int = 1,
        history: Sequence[Payload] = (),
        literals: dict[str, Literal] | None = None,
        die_after: int | None = None,
        die_before: int | None = None,
        timeout_seconds: float | None = None,
        take: Take | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._instance = instance
        self._request = request
        self._services = services
        self._pools = pools
        self._detached = detached
        self._idempotent = idempotent
        self._epoch = epoch
        self._clock = clock
        self._die_after = die_after
        self._die_before = die_before
        self._timeout_seconds = timeout_seconds
        self._told: asyncio.Queue[tuple[str, Told]] = asyncio.Queue()
        self._jobs: dict[str, Job] = {}
        self._items: dict[int, Mapping[str, Literal] | ErrorRecord] = {}
        self._ended: JobOutcome | None = None
        self.literals = {} if literals is None else literals
        self.events: list[Payload] = []
        self.printed: Blob | None = None
        owner = request.owner
        self._desk = JobDesk(services, owner.tenant, owner.execution, epoch, sink, self._report, clock, take)
        for payload in history:
            self._fold(payload)

    @property
    def key(self) -> str:
        """The key of the job."""
        return self._request.key.value

    @property
    def job(self) -> Job | None:
        """What is known of the job, ``None`` before it is planned and after it has ended."""
        return self._jobs.get(self.key)

    @property
    def outcome(self) -> JobOutcome | None:
        """How it ended, ``None`` before."""
        return self._ended

    @property
    def items(self) -> Mapping[int, Mapping[str, Literal] | ErrorRecord]:
        """For a slice, the outputs or the error of each of its items that has ended so far."""
        return self._items

    async def run(self) -> JobOutcome:
        """Run the job to its end.

        Raises:
            BackendError: it cannot be planned.
            SessionDied: it was told to.
        """
        try:
            if self.job is None and self.outcome is None:
                self._append(self._planned())
            if self.job is not None and self.job.phase is Phase.SUBMITTING:
                self._append(JobAmbiguous(key=self.key, reason="who submitted it died"))
            while (outcome := self.outcome) is None:
                self._desk.carry_on(self._jobs[self.key])
                self._take(*await self._next())
            self._desk.ended(self.key)
            return outcome
        finally:
            await self._desk.close()

    def cancel(self, reason: str, error: ErrorRecord | None = None) -> None:
        """End the job before its time; :meth:`run` returns when nothing of it is left."""
        self._report(self.key, Cancel(reason, error))

    def adopt(self, handle: Handle | None) -> None:
        """Say which job of the vendor's it is, or that there is none."""
        self._report(self.key, NotThere(self._epoch) if handle is None else Taken(handle, adopted=True))

    async def _next(self) -> tuple[str, Told]:
        job = self._jobs[self.key]
        if self._timeout_seconds is None or job.submitting_at is None or job.cancelling is not None:
            return await self._told.get()
        left = job.submitting_at + self._timeout_seconds - self._clock()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await self._told.get()
        except TimeoutError:
            error = took_too_long(job, self._timeout_seconds)
            return self.key, Cancel(error.message, error)

    def _report(self, key: str, told: Told) -> None:
        self._told.put_nowait((key, told))

    def _planned(self) -> JobPlanned:
        request, instance = self._request, self._instance
        plan = checked(instance.render(request), request, instance)
        pools = plan.pools if self._pools is None else self._pools
        return JobPlanned(
            key=self.key,
            node=request.owner.node_path,
            attempt=1,
            backend=instance.name,
            settings=instance.settings,
            plan=plan_to_json(plan),
            items=tuple((index, 1) for index in request.items),
            pools=tuple((ask.pool, ask.tokens) for ask in pools),
            detached=self._detached,
            idempotent=self._idempotent,
            task=request.task,
        )

    def _take(self, key: str, told: Told) -> None:
        job = self._jobs[key]
        answer: Any = told
        if isinstance(told, Collected):
            self.literals.update({literal.digest: literal for literal in told.outputs.values()})
            answer = Kept({name: literal.digest for name, literal in told.outputs.items()})
        elif isinstance(told, ItemsSeen):
            self._items.update({**told.outputs, **told.failed})
            answer = Seen(told.observation, told.settled)
        for payload in follow(job, answer):
            self._append(payload)
        if isinstance(told, Done):
            self.printed = told.log
            self._ended = self._outcome(job)

    def _outcome(self, job: Job) -> JobOutcome:
        outputs = {name: self.literals[digest] for name, digest in (job.outputs or {}).items()}
        phase = Phase.SUCCEEDED if job.phase is Phase.COLLECTING else job.phase
        if not phase.is_terminal:
            phase = Phase.CANCELLED
        if job.error is not None:
            phase = Phase.FAILED
        return JobOutcome(phase, outputs, job.error, dict(self._items), job)

    def _append(self, payload: Payload) -> None:
        if self._die_before is not None and len(self.events) + 1 >= self._die_before:
            raise SessionDied
        self._fold(payload)
        if self._die_after is not None and len(self.events) >= self._die_after:
            raise SessionDied

    def _fold(self, payload: Payload) -> None:
        if self._ended is not None:
            raise ExecutionStateError("the job has ended already", place=self.key)
        job = self._jobs.get(self.key)
        apply_job(self._jobs, payload, self._clock())
        self.events.append(payload)
        if job is not None and self.key not in self._jobs:
            self._ended = self._outcome(job)
