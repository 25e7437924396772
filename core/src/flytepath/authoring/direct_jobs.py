"""The jobs of one direct call, and the thread that they live in.

Plans, phases, retries, pools and limits are the engine's own; what is missing is the store: when this process is
killed, nobody goes on with its jobs.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from flytepath import config
from flytepath.config.settings import JobSettings, load_configuration
from flytepath.engine.jobs import Job, waited_too_long
from flytepath.engine.jobs.backends import Backends
from flytepath.engine.jobs.outputs import taken_over
from flytepath.engine.jobs.planning import NotPlanned, Planned, Planner, Unplanned
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.session import JobOutcome, JobSession
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.quota.in_memory import InMemoryAdmission
from flytepath.engine.quota.pools import PoolRules
from flytepath.engine.secrets.resolving import resolve_secret
from flytepath.errors import FlytePathError
from flytepath.model.events import ErrorRecord, JobPlanned
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.messages import RunAttempt
from flytepath.plugin.backend import BlobAccess, Phase
from flytepath.plugin.plans import JobKey, Owner, PlanRequest

if TYPE_CHECKING:
    from flytepath.model.identity import Tenant
    from flytepath.model.task import TaskSpec

log = logging.getLogger("flytepath")

Outputs = Mapping[str, Literal]

#: The stamp on jobs of direct calls. No engine's reaper looks for it: no log knows these jobs.
INSTALLATION: Final = f"direct-{uuid.uuid4().hex[:16]}"
#: How often it is looked what a job waits for.
LOOK_SECONDS: Final = 0.5
#: How long a vendor that cannot be asked has to end a job that nobody knows to be there.
GIVEN_UP_SECONDS: Final = 2.0
#: How long the end of the process waits for jobs that are cancelled then.
EXIT_SECONDS: Final = 5.0
#: So much of the end of its log is told with a failure.
LOG_BYTES: Final = 16 * 1024
LOG_LINES: Final = 30
_SHOWN: Final = 3


@dataclass(slots=True)
class _Judged:
    """Items of a job whose end was seen, and the attempts that follow from it."""

    retries: asyncio.TaskGroup
    known: set[int] = field(default_factory=set)


class DirectJobs:
    """One task, or the items of a map, run to the end with retries.

    Args:
        spec: the task.
        tenant, execution: whose jobs they are.
        items: the inputs of each.
        blobs: large inputs and outputs.
        path: of the map; empty for a single task.
        concurrency: how many items run at once.
        needed: so many must succeed; when they no longer can, the rest is cancelled.

    Attributes:
        is_left_alone: nobody waits for it any more.
    """

    def __init__(
        self,
        spec: TaskSpec,
        tenant: Tenant,
        execution: str,
        items: Sequence[Mapping[str, Literal]],
        blobs: BlobAccess,
        *,
        path: str,
        concurrency: int | None,
        needed: int,
    ) -> None:
        self._spec = spec
        self._tenant = tenant
        self._execution = execution
        self._items = items
        self._blobs = blobs
        self._path = path
        self._concurrency = concurrency
        self._needed = needed
        self._found: dict[int, Outputs | ErrorRecord] = {}
        self._failed = 0
        self._user_failures = [0] * len(items)
        self._system_failures = [0] * len(items)
        self._sessions: dict[str, JobSession] = {}
        self._why = ""
        self._stopped = asyncio.Event()
        self.is_left_alone = False

    async def run(self, services: JobServices, planner: Planner) -> list[Outputs | ErrorRecord]:
        """What came of each item.

        Raises:
            BackendUnavailableError: the backend cannot be used.
        """
        instance = await services.backends.get(self._spec.backend, self._tenant, self._spec.task_type)
        self._services, self._planner, self._instance = services, planner, instance
        indices = range(len(self._items))
        if self._concurrency is None:
            await self._attempts(indices)
        elif instance.declaration.array_limit:
            for start in range(0, len(indices), self._concurrency):
                await self._attempts(indices[start : start + self._concurrency])
        else:
            await self._some_at_a_time(self._concurrency)
        return [self._found[index] if index in self._found else self._stopped_record() for index in indices]

    async def _some_at_a_time(self, concurrency: int) -> None:
        places = asyncio.Semaphore(concurrency)

        async def one(index: int) -> None:
            async with places:
                await self._attempts((index,))

        await asyncio.gather(*(one(index) for index in range(len(self._items))))

    def stop(self, reason: str) -> None:
        """Cancel what runs, and begin nothing more; :meth:`run` ends when nothing of it is left."""
        if self._why:
            return
        self._why = reason
        self._stopped.set()
        for session in self._sessions.values():
            session.cancel(reason)

    def described(self, *, running_only: bool = False) -> str:
        """Its jobs for a sentence; may be asked from any thread."""
        jobs = [session.job for session in list(self._sessions.values())]
        named = [_named(job) for job in jobs if job is not None and not (running_only and job.is_waiting)]
        if not named:
            return "" if running_only else f"task {self._spec.name}"
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        return ", ".join(named[:_SHOWN]) + more

    # --- attempts ---

    async def _attempts(self, indices: Iterable[int]) -> None:
        """One attempt of each of these items, and those that follow from it."""
        requests = [self._request(index) for index in indices]
        if self._why or not requests:
            return
        async with asyncio.TaskGroup() as group:

            def tell(told: Planned) -> None:
                if isinstance(told, JobPlanned):
                    group.create_task(self._job(told))
                elif isinstance(told, Unplanned):
                    for path, _ in told.attempts:
                        self._end(self._index(path), told.error or _lost(path, "it could not be planned"))
                elif isinstance(told, NotPlanned) and told.reason:
                    log.warning("%s waits: %s", self._spec.name, told.reason)

            await self._planner.plan(self._path, requests, self._counts, tell)

    def _request(self, index: int) -> RunAttempt:
        spec = self._spec
        return RunAttempt(
            execution=self._execution,
            node=f"{self._path}/{index}" if self._path else spec.name,
            attempt=self._user_failures[index] + self._system_failures[index] + 1,
            inputs=dict(self._items[index]),
            working_directory="",
            interruptible=bool(spec.interruptible) and self._system_failures[index] < spec.retry.system,
            task=spec,
            project=self._tenant.project,
            domain=self._tenant.domain,
        )

    def _counts(self, request: RunAttempt) -> tuple[int, int]:
        index = self._index(request.node)
        return self._user_failures[index] + 1, self._system_failures[index]

    def _index(self, path: str) -> int:
        return int(path.rpartition("/")[2]) if self._path else 0

    async def _job(self, planned: JobPlanned) -> None:
        """The life of a job; what failed in it and may be tried again becomes another."""
        async with asyncio.TaskGroup() as retries:
            judged = _Judged(retries)
            outcome = await self._lived(planned, judged)
            indices = [index for index, _ in planned.items] or [self._index(planned.node)]
            self._judge(judged, {index: self._result(outcome, planned, index) for index in indices})

    def _judge(self, judged: _Judged, results: Mapping[int, Outputs | ErrorRecord]) -> None:
        """What follows from the end of items: nothing, another attempt, or the end of it all."""
        again: list[int] = []
        pause = 0.0
        for index in results.keys() - judged.known:
            judged.known.add(index)
            result = results[index]
            if not isinstance(result, ErrorRecord):
                self._found[index] = result
                continue
            delay = self._delay(index, result)
            if delay is None:
                self._end(index, result)
                continue
            again.append(index)
            pause = max(pause, delay)
            log.warning("%s is tried again: %s", self._spec.name, result.message)
        if again:
            judged.retries.create_task(self._again(sorted(again), pause))

    async def _again(self, indices: Sequence[int], pause: float) -> None:
        if pause:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), pause)
        await self._attempts(indices)

    def _delay(self, index: int, error: ErrorRecord) -> float | None:
        """How long to wait before the item's next attempt; ``None`` where there is none."""
        policy = self._spec.retry
        by_user = error.kind in ("user", "timeout")
        failures = self._user_failures if by_user else self._system_failures
        failures[index] += 1
        budget = policy.retries if by_user else policy.system
        if not error.recoverable or failures[index] > budget or self._why:
            return None
        return policy.delay(failures[index])

    def _end(self, index: int, error: ErrorRecord) -> None:
        self._found[index] = error
        self._failed += 1
        if self._failed > len(self._items) - self._needed:
            self.stop(f"too many items of {self._path} failed" if self._path else f"{self._spec.name} failed")

    # --- one job ---

    async def _lived(self, planned: JobPlanned, judged: _Judged) -> JobOutcome:
        spec = self._spec
        request = PlanRequest(
            key=JobKey(planned.key),
            owner=Owner(INSTALLATION, self._tenant, self._execution, planned.node),
            task=spec.name,
            task_type=spec.task_type,
            payload=None,
            inputs={},
            requests=spec.requests,
            limits=spec.limits,
        )
        session = JobSession(
            self._instance,
            request,
            self._services,
            self._blobs,
            history=(planned,),
            timeout_seconds=spec.timeout_seconds,
            take=lambda _job, outputs: taken_over(outputs, spec.interface, self._blobs),
        )
        self._sessions[planned.key] = session
        if self._why:
            session.cancel(self._why)
        running = asyncio.ensure_future(session.run())
        try:
            await self._watched(session, running, judged)
            return self._with_log(running.result(), session)
        except Exception as error:
            log.exception("the life of job %s was cut short", planned.key)
            # Nobody knows what became of the job, so that no other may follow.
            lost = _lost(planned.node, f"{type(error).__name__}: {error}").model_copy(update={"recoverable": False})
            return JobOutcome(Phase.FAILED, error=lost)
        finally:
            running.cancel()
            del self._sessions[planned.key]

    def _with_log(self, outcome: JobOutcome, session: JobSession) -> JobOutcome:
        """A failure with the end of what the job printed: there is no other place to look it up."""
        printed, error = session.printed, outcome.error
        if printed is None or error is None:
            return outcome
        try:
            text = self._blobs.get(BlobRef(printed.uri, printed.digest, printed.size))
        except (FlytePathError, OSError) as lost:
            log.info("the log of %s cannot be read: %s", self._spec.name, lost)
            return outcome
        end = "\n".join(text[-LOG_BYTES:].decode(errors="replace").splitlines()[-LOG_LINES:])
        return replace(outcome, error=error.model_copy(update={"traceback": end}))

    async def _watched(self, session: JobSession, running: asyncio.Future[JobOutcome], judged: _Judged) -> None:
        began, known = asyncio.get_running_loop().time(), Phase.PLANNED
        given_up: float | None = None
        patience = self._spec.queue_timeout_seconds
        pause = LOOK_SECONDS if patience is None else min(LOOK_SECONDS, max(0.01, patience / 4))
        while not running.done():
            await asyncio.wait({running}, timeout=pause)
            self._judge(judged, session.items)
            job = session.job
            if job is None:
                continue
            if job.phase is not known:
                known = job.phase
                shown = "".join(f" {title}: {url}" for title, url in job.links)
                log.info("%s is %s%s", _named(job), known, shown)
            if job.cancelling is None:
                waited = asyncio.get_running_loop().time() - began
                error = _stuck(job)
                if error is None and patience and waited > patience and job.is_in_line:
                    error = waited_too_long(job, patience)
                if error is not None:
                    log.warning("cancelling %s: %s", _named(job), error.message)
                    session.cancel(error.message, error)
                    given_up = began + waited
            elif given_up is not None and asyncio.get_running_loop().time() > given_up + GIVEN_UP_SECONDS:
                # A vendor that cannot be asked cannot say that the job is gone either, and there is no one to ask.
                if job.phase is Phase.AMBIGUOUS:
                    session.adopt(None)
                given_up = None

    def _result(self, outcome: JobOutcome, planned: JobPlanned, index: int) -> Outputs | ErrorRecord:
        if planned.items:
            found = outcome.items.get(index)
            if found is not None:
                return found
        elif outcome.phase is Phase.SUCCEEDED:
            return outcome.outputs
        if outcome.error is not None:
            return outcome.error
        return self._stopped_record() if self._why else _lost(planned.node, "the job ended without it")

    def _stopped_record(self) -> ErrorRecord:
        message = f"{self._spec.name} was cancelled: {self._why or 'nobody waited for it'}"
        return ErrorRecord(kind="system", code="FP-STOPPED", message=message, recoverable=False)


def _named(job: Job) -> str:
    return f"job {job.plan.get('name', job.key)} of {job.task or job.node} on {job.backend}"


def _lost(place: str, message: str) -> ErrorRecord:
    return ErrorRecord(kind="system", code="FP-JOB-LOST", message=message, place=place)


def _stuck(job: Job) -> ErrorRecord | None:
    """Why a job cannot go on, where a durable run would wait for a person or for a plugin."""
    if not job.parked:
        return None
    if job.phase is Phase.AMBIGUOUS:
        return ErrorRecord(
            kind="system",
            code="FP-JOB-AMBIGUOUS",
            message=f"{_named(job)} may have been submitted or not, and {job.backend} cannot be asked: {job.reason}",
            place=job.node,
            hint="look for it there; if a second submission does no harm, declare the task idempotent=True",
            recoverable=False,
        )
    message = f"{_named(job)} cannot go on: {job.parked}"
    return ErrorRecord(kind="system", code="FP-JOB-PARKED", message=message, place=job.node, recoverable=False)


# --- the thread --------------------------------------------------------------------------------------------------


class _Shared:
    """What calls under one configuration share: pools and rate limits always, backends while there is a call."""

    def __init__(self, of: Any) -> None:
        self.of = of
        self.rules = PoolRules.here()
        self.admission = InMemoryAdmission(self.rules)
        settings = JobSettings.model_validate(load_configuration().get("jobs", default={}))
        self._patience = Patience(outage=settings.outage)
        self._services: JobServices | None = None
        self._calls = 0

    async def run(self, jobs: DirectJobs) -> list[Outputs | ErrorRecord]:
        if self._services is None:
            self._services = JobServices(Backends(resolve_secret), self.admission, self._patience)
        services = self._services
        self._calls += 1
        try:
            return await jobs.run(services, Planner(services.backends, self.rules, lambda: INSTALLATION))
        finally:
            self._calls -= 1
            if not self._calls:
                self._services = None
                await services.close()


class JobsThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._shared: _Shared | None = None
        self._calls: dict[Future[Any], DirectJobs] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="flytepath-jobs", daemon=True)
        self._thread.start()

    def begin(self, jobs: DirectJobs) -> Future[list[Outputs | ErrorRecord]]:
        """Begin to run the jobs of a call."""
        running = asyncio.run_coroutine_threadsafe(self._now().run(jobs), self._loop)
        told: Future[list[Outputs | ErrorRecord]] = Future()
        self._calls[running] = jobs
        running.add_done_callback(lambda ended: self._ended(ended, told))
        return told

    def _ended(self, ended: Future[Any], told: Future[Any]) -> None:
        self._calls.pop(ended)
        if self._is_closing:
            return  # only daemon threads wait still, and one that raises while the process ends takes it down
        error = None if ended.cancelled() else ended.exception()
        if ended.cancelled():
            told.cancel()
        elif error is not None:
            told.set_exception(error)
        else:
            told.set_result(ended.result())

    def cancel(self, jobs: DirectJobs, reason: str) -> None:
        """Cancel the jobs of a call."""
        self._loop.call_soon_threadsafe(jobs.stop, reason)

    def _now(self) -> _Shared:
        """What is shared under the configuration as it is now."""
        from flytepath.plugin.manager import current

        of = (config.home(), config.candidate_files(), current())
        with self._lock:
            if self._shared is None or self._shared.of != of:
                self._shared = _Shared(of)
            return self._shared

    def close(self) -> None:
        """Cancel what still runs, wait a moment for it, and end the thread."""
        self._is_closing = True
        calls = {future: jobs for future, jobs in list(self._calls.items()) if not jobs.is_left_alone}
        for jobs in calls.values():
            self.cancel(jobs, "the process ended")
        for future in wait_for_all(calls, EXIT_SECONDS).not_done:
            log.warning("not waited for: %s may still run", calls[future].described())
        ending = asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop)
        wait_for_all([ending], EXIT_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(EXIT_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


_thread: JobsThread | None = None
_thread_lock = threading.Lock()


def jobs_thread() -> JobsThread:
    """The thread of this process."""
    global _thread
    with _thread_lock:
        if _thread is None:
            _thread = JobsThread()
            atexit.register(_thread.close)
        return _thread


def _forget() -> None:
    """A forked child has no such thread."""
    global _thread, _thread_lock
    if _thread is not None:
        atexit.unregister(_thread.close)
    _thread, _thread_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
