"""What is done for remote jobs: one call after the other, each only when what leads to it is durable.

The desk carries out what :func:`flytepath.engine.jobs.next_step` says and reports what came of it; whoever keeps the
events decides, makes them durable and calls :meth:`JobDesk.carry_on`. The desk itself remembers nothing that matters:
a new one goes on from the folded jobs alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flytepath.engine.gate import Gate
from flytepath.engine.jobs import (
    Answer,
    Cancel,
    Done,
    Granted,
    Job,
    NotThere,
    Park,
    Refused,
    Seen,
    Step,
    Stopped,
    Taken,
    Trouble,
    Unclear,
    error_of,
    next_step,
)
from flytepath.engine.jobs.answers import checked_cancel
from flytepath.engine.jobs.backends import BackendInstance, BackendUnavailableError
from flytepath.engine.jobs.logs import kept_log
from flytepath.engine.jobs.of_workers import Take, WorkerEnded, ended_items, ended_worker, is_over
from flytepath.engine.jobs.plans import handle_of, plan_of
from flytepath.engine.jobs.polling import Watched, facts_of
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.slices import ItemsSeen, newly_ended
from flytepath.engine.jobs.troubles import (
    CANCEL_FAILS,
    CHANGED,
    FIND_FAILS,
    PASSING,
    SUBMIT_FAILS,
    Failing,
    is_worth_telling,
)
from flytepath.engine.jobs.vendor_calls import Pauses
from flytepath.engine.jobs.verdicts import SETTLED, after_mistake, changed, ending_slowly, given_up, why_bad
from flytepath.engine.quota import PoolAskError
from flytepath.engine.quota.pools import PoolUnknownError
from flytepath.engine.quota.requests import PoolLeaseLostError, Request
from flytepath.errors import SequenceConflictError
from flytepath.model.events import ErrorRecord
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.plugin.backend import (
    BackendError,
    BlobAccess,
    ErrorClass,
    Found,
    Gone,
    NotFound,
    NotOurs,
    Phase,
    Terminal,
)
from flytepath.plugin.plans import JobKey, PoolAsk

log = logging.getLogger("flytepath")

#: How often it is looked whether a backend can be used again.
PARKED_SECONDS: Final = 5.0
#: After so many mistakes of a plugin in a row its call is given up.
MISTAKES: Final = 3
#: A job that leaves something behind is cleaned up after so often, at most.
CLEANINGS: Final = 5


@dataclass(frozen=True, slots=True)
class Collected:
    """The outputs of a job."""

    outputs: Mapping[str, Literal]


#: What the desk reports. Outputs become digests where the events are kept.
Told = Answer | Collected | ItemsSeen | WorkerEnded
Report = Callable[[str, Told], None]


def _as_they_are(_job: Job, outputs: Mapping[str, Literal]) -> Mapping[str, Literal]:
    return outputs


@dataclass(slots=True, eq=False)
class _Run:
    """What goes on for one job."""

    job: Job
    task: asyncio.Task[None] | None = None
    step: Step | None = None
    durable: Gate = field(default_factory=Gate)
    is_told: bool = False
    mistakes: int = 0
    refusals: int = 0
    watched: Watched | None = None
    known: tuple[Any, ...] = ()
    known_phase: Phase | None = None
    holding: asyncio.Task[None] | None = None
    #: Of the calls that lead to a handle: they grow from one to the next, until the vendor has the job.
    pauses: Pauses | None = None
    failing: Failing = field(default_factory=Failing)
    idempotency: str = "B"
    has_ended: bool = False


class JobDesk:
    """The jobs of one execution.

    Args:
        services: what it shares with others.
        tenant, execution: whose jobs they are.
        epoch: of the lease under which they are submitted.
        sink: takes large outputs.
        report: told what came of a step; :meth:`carry_on` must be called for the job when that is durable.
        clock: seconds since the epoch.
        take: takes over what a job gives, or says what is wrong with it; asked in a thread.
    """

    def __init__(
        self,
        services: JobServices,
        tenant: Tenant,
        execution: str,
        epoch: int,
        sink: BlobAccess,
        report: Report,
        clock: Callable[[], float],
        take: Take | None = None,
    ) -> None:
        self._take = take or _as_they_are
        self._services = services
        self._tenant = tenant
        self._execution = execution
        self._epoch = epoch
        self._sink = sink
        self._report = report
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._releasing: dict[str, asyncio.Task[None]] = {}

    def carry_on(self, job: Job) -> None:
        """All that was decided of the job is durable: do what follows."""
        run = self._runs.get(job.key)
        if run is None:
            run = self._runs[job.key] = _Run(job)
        run.job = job
        run.durable.open()
        if run.task is None or run.task.done():
            self._start(run)
        elif not run.is_told and run.step is not Step.SUBMIT and run.step is not next_step(job, run.idempotency):
            # Something else has become more urgent than what it waits for. A submission is never left in the middle.
            run.task.cancel()
            self._start(run)
        run.is_told = False

    def _start(self, run: _Run) -> None:
        run.task = asyncio.get_running_loop().create_task(self._live(run))

    def suspend(self, job: Job) -> None:
        """Let a job that waits for its pools wait in no line, and hold nothing, until :meth:`carry_on`."""
        if job.key in self._runs:
            self._leave(job.key)

    def ended(self, key: str) -> None:
        """The end of a job is durable: what it held is free."""
        self._leave(key)

    def _leave(self, key: str) -> None:
        run = self._runs.pop(key, None)
        if run is None:
            return
        run.has_ended = True
        for task in (run.task, run.holding):
            if task is not None:
                task.cancel()
        if run.job.pools:
            releasing = self._releasing[key] = asyncio.get_running_loop().create_task(self._released(key))
            releasing.add_done_callback(lambda task: self._forget(key, task))

    def _forget(self, key: str, task: asyncio.Task[None]) -> None:
        if self._releasing.get(key) is task:
            del self._releasing[key]

    async def _released(self, key: str) -> None:
        try:
            await self._services.admission.release(key, self._epoch)
        except Exception as error:  # noqa: BLE001 - whoever sweeps the pools frees it
            log.warning("what job %s held could not be given back at once: %s", key, error)

    async def close(self) -> None:
        """Leave the jobs as they are; what is durable tells the next desk how to go on."""
        tasks = [task for run in self._runs.values() for task in (run.task, run.holding) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runs.clear()
        await asyncio.gather(*self._releasing.values(), return_exceptions=True)

    # --- one job ---

    async def _live(self, run: _Run) -> None:
        """Do one step after the other for a job, until it has ended or something else is more urgent."""
        while not run.has_ended:
            run.durable.shut()
            told: Told | None
            try:
                told = await self._next(run)
            except SequenceConflictError:
                return  # another engine has the execution, and its jobs
            except Exception as error:
                log.exception("a step in the life of job %s was cut short", run.job.key)
                await asyncio.sleep(self._services.patience.pause)
                told = after_mistake(run.job, error)
            if told is not None:
                run.is_told = True
                self._report(run.job.key, told)
                await run.durable.wait()

    async def _next(self, run: _Run) -> Told | None:
        """Do the next step; ``None`` where it is to be looked again what that is."""
        job = run.job
        run.step = next_step(job, run.idempotency)
        if run.step is Step.END:
            return Done()
        if run.step is Step.QUOTA:
            return await self._quota(run)
        try:
            instance = await self._services.backends.get(job.backend, self._tenant, "")
        except BackendUnavailableError as error:
            return await self._parked(run, error.message)
        if job.parked and run.step is not Step.ASK:
            return Park("")
        if run.idempotency != instance.declaration.idempotency:
            run.idempotency = instance.declaration.idempotency
            run.step = next_step(job, run.idempotency)
        if run.step is not Step.SUBMIT or job.phase is not Phase.SUBMITTING:
            self._hold(run)
        match run.step:
            case Step.SUBMIT:
                return await self._submit(run, instance)
            case Step.FIND:
                return await self._find(run, instance)
            case Step.ASK:
                return await self._ask(run)
            case Step.COLLECT:
                return await self._collect(run, instance)
            case Step.CANCEL:
                return await self._cancel(run, instance)
            case Step.CLEAN:
                return await self._clean(run, instance)
            case _:
                return await self._poll(run, instance)

    async def _parked(self, run: _Run, reason: str) -> Told | None:
        """Say once that nothing can be done, then let it be tried from time to time again."""
        if run.job.parked != reason:
            return Park(reason)
        await asyncio.sleep(PARKED_SECONDS)
        return None

    def _claim(self, job: Job) -> Request:
        asks = tuple(PoolAsk(pool, tokens) for pool, tokens in job.pools)
        return Request(job.key, self._tenant, asks, self._execution, job.node, self._epoch, "remote")

    async def _quota(self, run: _Run) -> Told | None:
        job, admission = run.job, self._services.admission
        if job.key in self._releasing:
            await asyncio.wait([self._releasing[job.key]])
        if job.reason and job.pools:  # the vendor has no room, whatever we thought: let others try
            await admission.release(job.key, self._epoch)
        if job.reason:
            run.refusals += 1
            patience = self._services.patience
            await asyncio.sleep(min(5 * patience.pause * 2**run.refusals, patience.longest_pause))
        try:
            await admission.granted(self._claim(job))
        except (PoolUnknownError, PoolAskError) as error:  # the rules have changed since it was planned
            return await self._parked(run, error.message)
        if job.parked:
            return Park("")
        return Granted(self._epoch)

    def _hold(self, run: _Run) -> None:
        """Hold on to what the job holds of its pools, also when another engine has submitted it."""
        if run.holding is None and run.job.pools:
            run.holding = asyncio.get_running_loop().create_task(self._held(run.job))

    async def _held(self, job: Job) -> None:
        try:
            await self._services.admission.granted(self._claim(job))
            await self._services.admission.firm(job.key)
        except Exception as error:  # noqa: BLE001 - the job goes on
            log.warning("what job %s holds of its pools could not be renewed: %s", job.key, error)

    async def _submit(self, run: _Run, instance: BackendInstance) -> Told:
        job, plan = run.job, plan_of(run.job)
        pauses = run.pauses = run.pauses or Pauses(self._services.patience)
        try:
            await self._services.admission.firm(job.key)
        except PoolLeaseLostError as error:
            return Refused(ErrorClass.QUOTA_EXCEEDED, error.message)
        while True:
            try:
                handle = await self._services.calls(instance).make("submit", plan.scope, instance.backend.submit, plan)
            except BackendError as error:
                if error.error_class is ErrorClass.PROTOCOL:
                    run.mistakes += 1
                known = error.accepted is False or error.error_class is ErrorClass.THROTTLED
                if error.error_class in PASSING and known and job.phase is Phase.SUBMITTING:
                    if pauses.is_outage:
                        return Refused(ErrorClass.UNAVAILABLE, error.message)
                    if run.failing.is_news(error):
                        pauses.begin()
                        return Trouble(f"{SUBMIT_FAILS}: {error.message}")
                    run.step = None  # it was certainly not taken: whatever is more urgent now may come first
                    await pauses.wait(error.retry_after or 0.0)
                    run.step = Step.SUBMIT
                    continue
                settled = error.error_class in SETTLED or (known and error.error_class is ErrorClass.PROTOCOL)
                if settled and (job.phase is Phase.SUBMITTING or error.error_class is ErrorClass.CONFLICT):
                    return Refused(error.error_class, error.message, error.hint)
                if job.phase is Phase.SUBMITTING:
                    pauses.begin()
                    return Unclear(error.message)
                if settled or pauses.is_outage or run.mistakes >= MISTAKES:
                    return await self._abandoned(run, instance, error if settled else None, error.message)
                await pauses.wait(error.retry_after or 0.0)
                continue
            bad = why_bad(handle, instance)
            if bad:
                run.mistakes = MISTAKES
                if job.phase is Phase.SUBMITTING:
                    return Unclear(bad)
                return await self._abandoned(run, instance, BackendError(bad, error_class=ErrorClass.PROTOCOL), bad)
            run.pauses, run.failing = None, Failing()
            return Taken(handle, adopted=job.phase is Phase.AMBIGUOUS)

    async def _abandoned(self, run: _Run, instance: BackendInstance, why: BackendError | None, said: str) -> Told:
        """A job that may be there, and that no call of ``submit`` finds: it is cancelled by its key, and has failed."""
        job = run.job
        if job.cancelling is not None:
            return await self._cancel(run, instance)
        if why is None:
            return given_up(job, BackendError(said, error_class=ErrorClass.UNAVAILABLE))
        return Cancel(said, error_of(job, why.error_class, why.message, why.hint))

    async def _find(self, run: _Run, instance: BackendInstance) -> Told:
        job, plan, failures = run.job, plan_of(run.job), 0
        pauses = run.pauses = run.pauses or Pauses(self._services.patience)
        visible_at = (job.submitting_at or 0.0) + instance.declaration.visibility_seconds
        while True:
            try:
                found = await self._services.calls(instance).make("find", plan.scope, instance.backend.find, plan)
            except BackendError as error:
                if error.error_class is ErrorClass.CONFLICT:
                    return Refused(ErrorClass.CONFLICT, error.message, error.hint)
                if pauses.is_outage:
                    return given_up(job, error)
                failures += 1
                if is_worth_telling(error, failures) and not job.reason.startswith(FIND_FAILS):
                    return Trouble(f"{FIND_FAILS}: {error.message}")
                await pauses.wait(error.retry_after or 0.0)
                continue
            if isinstance(found, Found):
                run.pauses = None
                bad = why_bad(found.handle, instance)
                return Cancel(bad, error_of(job, ErrorClass.PROTOCOL, bad)) if bad else Taken(found.handle, True)
            if isinstance(found, NotFound):
                left = visible_at - self._clock()
                if left <= 0 and instance.settings != job.settings:
                    if not job.reason.startswith(CHANGED):
                        return Trouble(changed(instance))
                    await pauses.wait()
                    continue
                if left <= 0:
                    if run.mistakes >= MISTAKES:
                        return Refused(ErrorClass.PROTOCOL, job.reason)
                    if pauses.is_outage:
                        return Refused(ErrorClass.UNAVAILABLE, job.reason)
                    if pauses.is_failing:
                        await pauses.wait()
                    return NotThere(self._epoch)
                await asyncio.sleep(min(left, max(0.05, left / 4)))
                continue
            if pauses.is_outage:
                return given_up(job, BackendError("nobody can tell", error_class=ErrorClass.UNAVAILABLE))
            await pauses.wait()

    async def _ask(self, run: _Run) -> Told:
        reason = (
            "nobody can know whether the vendor has this job: look there, then `flytepath jobs adopt` with its handle, "
            "or with --not-there"
        )
        if run.job.parked != reason:
            return Park(reason)
        await asyncio.Event().wait()
        raise AssertionError

    async def _poll(self, run: _Run, instance: BackendInstance) -> Told:
        job = run.job
        poller = self._services.poller(instance, job.plan.get("scope", ""))
        if run.watched is None:
            run.watched = poller.watch(handle_of(job))
        is_new = run.known_phase is not job.phase
        run.known_phase = job.phase
        while True:
            try:
                seen = await poller.news(run.watched, run.known, is_new_phase=is_new)
            except BackendError as error:
                return given_up(job, error)
            if isinstance(seen, Trouble):
                run.known = ()  # the next answer is news, whatever it says: that there is one again
                return seen
            if not seen.gone or instance.settings == job.settings:
                break
            if not job.reason.startswith(CHANGED):
                return Trouble(changed(instance))
            is_new = False
        run.known = facts_of(seen)
        is_worked = "worker" in job.plan
        if not job.is_slice:
            if is_worked and is_over(seen):
                return await ended_worker(job, seen, self._take, self._services.patience)
            return Seen(seen)
        ended = newly_ended(job, seen)
        if is_worked:
            return await ended_items(job, seen, ended, self._take, self._services.patience)
        outputs = await self._items(run, instance, ended.succeeded)
        return ItemsSeen(seen, outputs, ended.failed)

    async def _items(
        self, run: _Run, instance: BackendInstance, indices: tuple[int, ...]
    ) -> dict[int, Mapping[str, Literal] | ErrorRecord]:
        """The outputs of items that have succeeded, or why there are none."""
        job, found = run.job, dict[int, Mapping[str, Literal] | ErrorRecord]()
        backend, pauses, mistakes = instance.backend, Pauses(self._services.patience), 0
        while missing := tuple(index for index in indices if index not in found):
            answers: Any = {}
            failure: BackendError | None = None
            try:
                answers = await self._services.calls(instance).make(
                    "collect", job.plan.get("scope", ""), backend.collect_items, handle_of(job), missing, self._sink
                )
            except BackendError as error:
                failure = error
            for index in missing:
                answer = answers.get(index, failure) if isinstance(answers, Mapping) else None
                if isinstance(answer, BackendError):
                    passing = answer.error_class in PASSING and not pauses.is_outage
                    if not passing and (answer.error_class is not ErrorClass.PROTOCOL or mistakes >= MISTAKES):
                        found[index] = error_of(job, answer.error_class, answer.message, answer.hint)
                elif answer is None and mistakes >= MISTAKES:
                    found[index] = error_of(job, ErrorClass.PROTOCOL, "collect_items gave no answer")
                elif answer is not None:
                    try:
                        found[index] = await asyncio.to_thread(self._take, job, answer)
                    except BackendError as error:
                        found[index] = error_of(job, error.error_class, f"item {index}: {error.message}", error.hint)
            if len(found) < len(indices):
                mistakes += 1
                await pauses.wait(failure.retry_after or 0.0 if failure is not None else 0.0)
        return found

    async def _collect(self, run: _Run, instance: BackendInstance) -> Told:
        job, pauses, mistakes = run.job, Pauses(self._services.patience), 0
        scope = job.plan.get("scope", "")
        while True:
            try:
                outputs = await self._services.calls(instance).make(
                    "collect", scope, instance.backend.collect, handle_of(job), self._sink
                )
                return Collected(await asyncio.to_thread(self._take, job, outputs))
            except BackendError as error:
                mistakes += error.error_class is ErrorClass.PROTOCOL
                passes = error.error_class in PASSING or error.error_class is ErrorClass.PROTOCOL
                if not passes or pauses.is_outage or mistakes >= MISTAKES:
                    return Refused(error.error_class, f"its outputs cannot be collected: {error.message}", error.hint)
                await pauses.wait(error.retry_after or 0.0)

    async def _cancel(self, run: _Run, instance: BackendInstance) -> Told:
        job, patience = run.job, self._services.patience
        handle = handle_of(job) if job.handle is not None else None
        visible_at = (job.submitting_at or 0.0) + instance.declaration.visibility_seconds
        pauses, pause, failures, looks = Pauses(patience), patience.cancel_pause, 0, 0
        calls, scope = self._services.calls(instance), job.plan.get("scope", "")
        while True:
            try:
                backend, reason = instance.backend, job.cancelling or ""
                if handle is None:
                    making = calls.make("cancel", scope, backend.cancel_planned, plan_of(job), reason)
                else:
                    making = calls.make("cancel", scope, backend.cancel, JobKey(job.key), handle, reason)
                answer = checked_cancel(await making)
            except BackendError as error:
                failures += 1
                if is_worth_telling(error, failures) and not job.reason.startswith(CANCEL_FAILS):
                    return Trouble(f"{CANCEL_FAILS}: {error.message}")
                await pauses.wait(error.retry_after or 0.0)
                continue
            pauses.reset()
            if isinstance(answer, Terminal):
                return Stopped(answer.observation.raw_state, answer.observation.reason)
            if isinstance(answer, NotOurs):
                return Stopped("", f"what bears its name is not ours {answer.stamp}".strip())
            left = 0.0 if handle is not None else visible_at - self._clock()
            if isinstance(answer, Gone) and left <= 0:
                return Stopped()
            looks += 1
            slow = ending_slowly(job, instance, answer, looks)
            if slow is not None:
                return slow
            await asyncio.sleep(min(left, pause) if left > 0 else pause)
            pause = min(1.5 * pause, 10 * patience.cancel_pause)

    async def _clean(self, run: _Run, instance: BackendInstance) -> Told:
        job, pauses = run.job, Pauses(self._services.patience)
        calls, scope = self._services.calls(instance), job.plan.get("scope", "")
        printed = await kept_log(calls, scope, handle_of(job), self._sink, self._services.patience)
        for tried in range(CLEANINGS):
            try:
                await calls.make("cleanup", scope, instance.backend.cleanup, JobKey(job.key), handle_of(job))
                break
            except BackendError as error:
                if error.error_class not in PASSING or tried + 1 == CLEANINGS:
                    log.warning("job %s of %s leaves something behind: %s", job.key, instance.name, error)
                    break
                await pauses.wait(error.retry_after or 0.0)
        return Done(printed)
