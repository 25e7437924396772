"""The remote jobs of one execution: planned, decided on with its other events, carried on when those are durable."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flytepath.engine.commands import Fail, Stop, Succeed, SucceedItems
from flytepath.engine.jobs import (
    Cancel,
    Done,
    Granted,
    Job,
    Kept,
    NotThere,
    Seen,
    Taken,
    error_of,
    follow,
    took_too_long,
    waited_too_long,
)
from flytepath.engine.jobs.desk import Collected, JobDesk, Told
from flytepath.engine.jobs.of_workers import WorkerEnded
from flytepath.engine.jobs.outputs import taken_over
from flytepath.engine.jobs.planning import Asks, NotPlanned, Planner, Unplanned
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.slices import ItemsSeen
from flytepath.engine.jobs.worker_outcomes import Left
from flytepath.engine.journal import Journal
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.engine.values import Blobs, Values, interface_of
from flytepath.errors import ExecutionStateError
from flytepath.model.events import (
    Actor,
    Blob,
    BoundaryChecked,
    DeckWritten,
    ErrorRecord,
    JobAmbiguous,
    JobParked,
    JobPlanned,
    LogWritten,
    Usage,
)
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.messages import DeckReport, RunAttempt
from flytepath.plugin.backend import ErrorClass, Handle, Phase

log = logging.getLogger("flytepath")


#: What is said of a job that took more than its seconds.
TooLong = Callable[[Job, float], ErrorRecord]


@dataclass(frozen=True, slots=True)
class JobReport:
    """What was told of a job, or of attempts that are to become one."""

    told: Told | JobPlanned | NotPlanned | Unplanned


@dataclass(frozen=True, slots=True)
class Remote:
    """What the executions of an engine share with the world: backends, pools and patience, and plans of jobs.

    Attributes:
        services: backends, pools and patience.
        planner: makes plans.
        asks: knows which tokens a task asks for.
        sweep: looks from time to time for jobs that no execution owns, as long as nobody cancels it.
    """

    services: JobServices
    planner: Planner
    asks: Asks
    sweep: Callable[[], Coroutine[Any, Any, None]]


class ExecutionJobs:
    """The jobs of one execution.

    Args:
        execution: its id.
        state: where it is.
        journal: takes what is decided.
        values: keeps outputs.
        remote: shared with other executions; without it there are no remote jobs here.
        blobs: takes large outputs.
        ended: told how an attempt ended: with its outputs, or ``None`` where it has none and is not tried again.
        report: puts a report in the line of what is to be decided: node or key, 0, what.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        execution: str,
        state: ExecutionState,
        journal: Journal,
        values: Values,
        remote: Remote | None,
        blobs: Blobs,
        ended: Callable[[NodeState, Mapping[str, Literal] | None], None],
        report: Callable[[str, int, JobReport], None],
        clock: Callable[[], float],
    ) -> None:
        self._execution = execution
        self._state = state
        self._journal = journal
        self._values = values
        self._remote = remote
        self._blobs = blobs
        self._attempt_ended = ended
        self._report = report
        self._clock = clock
        self._desk: JobDesk | None = None
        self._changed: dict[str, None] = {}
        self._ended: list[str] = []
        self._planning: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._draining = False
        self._was_held = False
        self._used: dict[str, Usage] = {}

    # --- beginnings ---

    def resume(self, epoch: int) -> None:
        """Take the jobs over as the log tells them; a submission that was cut off may have reached the vendor."""
        created, remote = self._state.created, self._remote
        if created is None or remote is None:
            return
        tenant = Tenant(created.project, created.domain)
        self._desk = JobDesk(
            remote.services, tenant, self._execution, epoch, self._blobs, self._told, self._clock, self._taken_over
        )
        for job in self._state.jobs.values():
            if job.phase is Phase.SUBMITTING:
                self._journal.record(JobAmbiguous(key=job.key, reason="the engine that submitted it ended"))
            self._changed[job.key] = None

    def _taken_over(self, job: Job, outputs: Mapping[str, Literal]) -> Mapping[str, Literal]:
        node = self._state.find(job.node)
        return taken_over(outputs, None if node is None else interface_of(node), self._blobs)

    def begin(self, requests: Sequence[RunAttempt]) -> None:
        """Plan the jobs of attempts that are durably recorded as started."""
        groups: dict[tuple[str, str], list[RunAttempt]] = {}
        for request in requests:
            node = self._state.nodes[request.node]
            around = self._state.map_of(node)
            groups.setdefault((request.task.backend, around.path if around else request.node), []).append(request)
        for (_, path), group in groups.items():
            is_map = group[0].node != path
            task = asyncio.get_running_loop().create_task(self._plan(path if is_map else "", group))
            for request in group:
                self._planning[request.node] = task

    async def _plan(self, map_path: str, requests: Sequence[RunAttempt]) -> None:
        def counts(request: RunAttempt) -> tuple[int, int]:
            """The user's attempt, and how many submissions of it are gone already."""
            node = self._state.nodes.get(request.node)
            user = node.user_failures + 1 if node is not None else 1
            return user, request.attempt - user

        try:
            if self._remote is None:
                raise ExecutionStateError("this engine runs no remote jobs", place=requests[0].node)
            await self._remote.planner.plan(
                map_path, requests, counts, lambda told: self._report(requests[0].node, 0, JobReport(told))
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours must surface, not hang
            self._journal.fault = error
            self._report(requests[0].node, 0, JobReport(Unplanned((), None)))

    def is_begun(self, path: str) -> bool:
        """Whether an attempt has a job, or is about to have one."""
        return path in self._state.job_of or path in self._planning

    # --- what is told ---

    def _told(self, key: str, told: Told) -> None:
        self._report(key, 0, JobReport(told))

    def take(self, key: str, report: JobReport) -> None:
        """Decide on what was told."""
        told = report.told
        if isinstance(told, JobPlanned):
            self._planned(told)
            return
        if isinstance(told, NotPlanned):
            if told.reason != self._state.parked.get(told.node, ""):
                self._journal.record(JobParked(node=told.node, reason=told.reason))
            return
        if isinstance(told, Unplanned):
            for path, attempt in told.attempts:
                self._planning.pop(path, None)
                if told.error is not None:
                    self._journal.do(Fail(path, attempt, told.error))
                    self._gone(path)
            return
        job = self._state.jobs.get(key)
        if job is None:
            return
        self._changed[key] = None
        actor = Actor(kind="backend", name=job.backend)
        if isinstance(told, Collected):
            digests = {name: self._values.keep(literal) for name, literal in told.outputs.items()}
            self._record(job, Kept(digests), actor)
        elif isinstance(told, WorkerEnded):
            self._worker_ended(job, told, actor)
        elif isinstance(told, ItemsSeen):
            self._items_ended(job, told, actor)
        elif isinstance(told, Done):
            self._end(job, told.log, actor)
        elif isinstance(told, Granted) and self._is_held:
            return
        else:
            self._record(job, told, actor)

    def _record(self, job: Job, answer: Any, actor: Actor | None = None) -> None:
        for payload in follow(job, answer):
            self._journal.record(payload, actor)

    def _planned(self, planned: JobPlanned) -> None:
        paths = [f"{planned.node}/{index}" for index, _ in planned.items] or [planned.node]
        for path in paths:
            self._planning.pop(path, None)
        running = [path for path in paths if path in self._state.running]
        if not running:
            return  # they were stopped while it was planned
        self._journal.record(planned)
        self._changed[planned.key] = None
        why = self._state.why_stopped(running[0])
        if why is not None:
            self._record(self._state.jobs[planned.key], Cancel(why))

    def _worker_ended(self, job: Job, ended: WorkerEnded, actor: Actor) -> None:
        """The worker of a job has ended: what it told, and in the same append what it gave."""
        self._reported(job.node, job.attempt, ended.left, actor)
        self._used[job.key] = ended.left.usage
        self._record(job, ended.seen, actor)
        if ended.outputs is not None:
            digests = {name: self._values.keep(literal) for name, literal in ended.outputs.items()}
            self._record(job, Kept(digests), actor)

    def _reported(self, path: str, attempt: int, left: Left, actor: Actor) -> None:
        for report in left.reports:
            if isinstance(report, DeckReport):
                deck = DeckWritten(node=path, attempt=attempt, name=report.name, deck=report.deck)
                self._journal.record(deck, actor)
            else:
                facts = report.model_dump(exclude={"type"})
                self._journal.record(BoundaryChecked(node=path, attempt=attempt, **facts), actor)

    def _items_ended(self, job: Job, seen: ItemsSeen, actor: Actor) -> None:
        attempts = dict(job.items)
        for index, left in seen.left.items():
            if index in attempts:
                self._reported(f"{job.node}/{index}", attempts[index], left, actor)
        self._record(job, Seen(seen.observation, seen.settled), actor)
        whole = self._usage(job)
        usages: list[Usage] = []
        done: list[tuple[int, int, tuple[str, ...]]] = []
        names: tuple[str, ...] = ()
        for index, outputs in seen.outputs.items():
            if index not in attempts:
                continue
            usage = seen.left[index].usage if index in seen.left else whole
            if isinstance(outputs, ErrorRecord):
                self._fail(f"{job.node}/{index}", attempts[index], outputs, usage)
            else:
                names = tuple(outputs)
                self._attempt_ended(self._state.nodes[f"{job.node}/{index}"], outputs)
                done.append((index, attempts[index], tuple(self._values.keep(value) for value in outputs.values())))
                usages.append(usage)
        if done:
            self._journal.do(SucceedItems(job.node, names, tuple(done), tuple(usages)), actor)
        for index, error in seen.failed.items():
            if index in attempts:
                told = seen.left.get(index)
                usage, progress = (whole, None) if told is None else (told.usage, told.progress)
                self._fail(f"{job.node}/{index}", attempts[index], error, usage, progress)

    def _end(self, job: Job, printed: Blob | None, actor: Actor) -> None:
        """The job has ended, and with it the attempts it ran: in one append."""
        attempts = [(f"{job.node}/{index}", attempt) for index, attempt in job.items.items()]
        if not job.is_slice:
            attempts = [(job.node, job.attempt)]
        if printed is not None:
            self._journal.record(LogWritten(node=job.node, attempt=job.attempt, log=printed), actor)
        self._record(job, Done(), actor)
        self._ended.append(job.key)
        usage = self._usage(job)
        for path, attempt in attempts:
            if job.phase is Phase.COLLECTING and job.outputs is not None:
                self._attempt_ended(self._state.nodes[path], self._values.named(job.outputs))
                self._journal.do(Succeed(path, attempt, job.outputs, usage), actor)
            elif job.error is not None:
                self._fail(path, attempt, job.error, usage, job.progress)
            elif job.phase is Phase.COLLECTING:
                self._fail(path, attempt, error_of(job, ErrorClass.LOST, "the job ended without it"), usage)
            else:
                self._journal.do(Stop(path, attempt))
                self._gone(path)

    def _gone(self, path: str) -> None:
        """Others may compute what a node does not give, unless it is tried again."""
        node = self._state.find(path)
        if node is not None and node.status.is_final:
            self._attempt_ended(node, None)

    def _fail(self, path: str, attempt: int, error: ErrorRecord, usage: Usage, progress: float | None = None) -> None:
        # An error of a job is of a node or a map; what a worker said may name a variable, and that it keeps.
        is_of_job = not error.place or f"{path}/".startswith(f"{error.place}/")
        placed = error.model_copy(update={"place": path}) if is_of_job else error
        self._journal.do(Fail(path, attempt, placed, usage, random.random(), progress))
        self._gone(path)

    def _usage(self, job: Job) -> Usage:
        """What its worker measured, or else the time since it was submitted."""
        measured = self._used.pop(job.key, Usage())
        if measured.wall_seconds:
            return measured
        began = job.submitting_at
        return Usage(wall_seconds=max(0.0, self._clock() - began)) if began is not None else Usage()

    # --- what others ask ---

    def stop(self, path: str, reason: str) -> None:
        """End the attempt of a node; it is over when nothing of its job is left."""
        job = self._state.jobs.get(self._state.job_of.get(path, ""))
        if job is None:
            task = self._planning.pop(path, None)
            if task is not None or path not in self._state.job_of:
                attempt = self._state.running.get(path)
                if attempt is not None:
                    self._journal.do(Stop(path, attempt))
                    self._gone(path)
            return
        if job.cancelling is None:
            self.cancel(job, reason)

    def cancel(self, job: Job, reason: str, error: ErrorRecord | None = None) -> None:
        """End a job before its time."""
        self._record(job, Cancel(reason, error))
        self._changed[job.key] = None

    def adopt(self, key: str, handle: Mapping[str, Any] | None, actor: Actor) -> None:
        """A person says which job of the vendor's it is, or that there is none."""
        job = self._state.jobs.get(key)
        if job is None:
            return
        answer = NotThere(self._state.epoch) if handle is None else Taken(Handle(dict(handle)), adopted=True)
        self._record(job, answer, actor)
        self._changed[key] = None

    # --- effects ---

    def carry_on(self) -> None:
        """All that was decided is durable: do what follows."""
        if self._desk is None:
            return
        ended, self._ended = self._ended, []
        for key in ended:
            self._desk.ended(key)
            self._disarm(key)
        if self._is_held is not self._was_held:
            self._was_held = self._is_held
            self._changed.update((key, None) for key, job in self._state.jobs.items() if job.is_waiting)
        changed, self._changed = self._changed, {}
        for key in changed:
            job = self._state.jobs.get(key)
            if job is None:
                continue
            self._arm(job)
            if self._is_held and job.is_waiting and job.cancelling is None:
                self._desk.suspend(job)
            else:
                self._desk.carry_on(job)

    @property
    def _is_held(self) -> bool:
        """Whether nothing new may be submitted."""
        return self._draining or self._state.paused is not None

    def drain(self) -> None:
        """Submit nothing more; jobs that the vendor has need nobody here to go on."""
        self._draining = True

    def _arm(self, job: Job) -> None:
        """Look again when the time of the job, or of its wait, is over."""
        self._disarm(job.key)
        due = self._due(job)
        if due is not None and job.cancelling is None:
            wait = max(0.0, due[0] - self._clock())
            self._timers[job.key] = asyncio.get_running_loop().call_later(wait, self._ring, job, *due[1:])

    def _disarm(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _due(self, job: Job) -> tuple[float, TooLong, float] | None:
        """When its time is over, what that is called, and how many seconds it had."""
        node = self._state.find(job.paths[0]) if job.paths else None
        task = node.task if node is not None else None
        if task is None:
            return None
        if job.is_in_line and task.queue_timeout_seconds is not None:
            return job.planned_at + task.queue_timeout_seconds, waited_too_long, task.queue_timeout_seconds
        if job.submitting_at is not None and task.timeout_seconds is not None:
            return job.submitting_at + task.timeout_seconds, took_too_long, task.timeout_seconds
        return None

    def _ring(self, job: Job, too_long: TooLong, seconds: float) -> None:
        error = too_long(job, seconds)
        self._told(job.key, Cancel(error.message, error))

    async def close(self) -> None:
        """Leave the jobs as they are."""
        for key in list(self._timers):
            self._disarm(key)
        tasks = set(self._planning.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._desk is not None:
            await self._desk.close()
