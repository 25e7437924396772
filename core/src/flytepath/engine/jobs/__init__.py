"""The life of a remote job as a pure state machine. No I/O, no clock, no randomness.

``PLANNED → WAITING_QUOTA → SUBMITTING → QUEUED → INITIALIZING → RUNNING → COLLECTING → SUCCEEDED``, ``FAILED`` and
``CANCELLED`` from any live phase, ``AMBIGUOUS`` beside ``SUBMITTING``. :func:`apply_job` folds the events of a job,
:func:`next_step` says what is to be done now, and :func:`follow` which events an answer leads to. What is done, and
how often it is tried, is the business of :mod:`flytepath.engine.jobs.desk`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flytepath.model.events import (
    Blob,
    ErrorRecord,
    JobAmbiguous,
    JobCancelling,
    JobCollected,
    JobEnded,
    JobObserved,
    JobParked,
    JobPlanned,
    JobReturned,
    JobSubmitted,
    JobSubmitting,
    LiteralDigests,
    Payload,
)
from flytepath.model.literal import canonical_json, sha256
from flytepath.plugin.backend import ErrorClass, Handle, Observation, Phase

#: Phases in which the vendor has the job, or may have it.
AT_VENDOR: Final = frozenset({Phase.QUEUED, Phase.INITIALIZING, Phase.RUNNING})
#: Phases in which it waits for its turn, ours or the vendor's.
_IN_LINE: Final = frozenset({Phase.PLANNED, Phase.WAITING_QUOTA, Phase.SUBMITTING, Phase.AMBIGUOUS, Phase.QUEUED})
#: What a vendor's state may be mapped to.
OBSERVABLE: Final = AT_VENDOR | {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}


def job_key(
    project: str,
    domain: str,
    execution: str,
    node: str,
    attempt: int,
    submission: int,
    items: Sequence[tuple[int, int]] = (),
) -> str:
    """The identity of one submission, which names it everywhere.

    Args:
        project, domain, execution, node: the full path of what it runs.
        attempt: of the user's, from 1.
        submission: rises only when it is certain that the one before is gone.
        items: for a slice of a map, ``(index, attempt)`` of its items.

    Example:
        >>> one, two = (job_key("p", "d", "x", "n0", 1, submission) for submission in (0, 1))
        >>> one == two, len(one)
        (False, 71)
    """
    return sha256(canonical_json([project, domain, execution, node, [list(i) for i in items], attempt, submission]))


@dataclass(slots=True, repr=False)
class Job:
    """One remote job, as its events tell it.

    Attributes:
        key: names it everywhere.
        node: the node, or for a slice the map, that it runs.
        items: for a slice, the attempt of each item that has not ended, by index.
        is_slice: whether it runs items of a map.
        plan: the plan as JSON; its spec is let go of when the vendor has the job.
        settings: which settings of the backend it was planned with.
        phase: where it is.
        raw_state, reason, links, progress: what the vendor said last.
        cancelling: why it is to end before its time.
        error: what its attempt fails with.
        outputs: kept already, ``None`` before.
        submitting_at: when the latest call of ``submit`` was about to be made (seconds since the epoch, UTC).
        parked: why nothing can be done for it.
    """

    key: str
    node: str
    attempt: int
    backend: str
    settings: str
    plan: dict[str, Any]
    submission: int = 0
    task: str = ""
    items: dict[int, int] = field(default_factory=dict)
    is_slice: bool = False
    pools: tuple[tuple[str, int], ...] = ()
    detached: bool = False
    idempotent: bool = False
    phase: Phase = Phase.PLANNED
    handle: dict[str, Any] | None = None
    handle_version: int = 1
    raw_state: str = ""
    reason: str = ""
    links: tuple[tuple[str, str], ...] = ()
    item_phases: dict[str, int] = field(default_factory=dict)
    progress: float | None = None
    cancelling: str | None = None
    error: ErrorRecord | None = None
    outputs: LiteralDigests | None = None
    parked: str = ""
    planned_at: float = 0.0
    submitting_at: float | None = None
    changed_at: float = 0.0

    def __repr__(self) -> str:
        return f"<job {self.key[7:15]} of {self.node} {self.phase}>"

    @property
    def is_waiting(self) -> bool:
        """Whether the vendor certainly has not heard of it."""
        return self.phase in (Phase.PLANNED, Phase.WAITING_QUOTA)

    @property
    def is_in_line(self) -> bool:
        """Whether it waits for its turn, ours or the vendor's."""
        return self.phase in _IN_LINE

    @property
    def paths(self) -> list[str]:
        """The nodes, or items, whose attempts it runs."""
        return [f"{self.node}/{index}" for index in self.items] if self.is_slice else [self.node]


# --- the fold ----------------------------------------------------------------------------------------------------


def apply_job(jobs: dict[str, Job], payload: Payload, at: float) -> None:
    """Fold an event of a job; one of a job that has ended changes nothing."""
    if isinstance(payload, JobPlanned):
        jobs[payload.key] = Job(
            key=payload.key,
            node=payload.node,
            attempt=payload.attempt,
            backend=payload.backend,
            settings=payload.settings,
            plan=payload.plan,
            submission=payload.submission,
            task=payload.task,
            items=dict(payload.items),
            is_slice=bool(payload.items),
            pools=payload.pools,
            detached=payload.detached,
            idempotent=payload.idempotent,
            phase=Phase.WAITING_QUOTA if payload.pools else Phase.PLANNED,
            planned_at=at,
            changed_at=at,
        )
        return
    job = jobs.get(getattr(payload, "key", ""))
    if job is None:
        return
    job.changed_at = at
    if not isinstance(payload, JobCancelling | JobParked):
        job.parked = ""
    match payload:
        case JobSubmitting():
            job.phase, job.submitting_at, job.reason = Phase.SUBMITTING, at, ""
        case JobAmbiguous(reason=reason):
            job.phase, job.reason = Phase.AMBIGUOUS, reason
        case JobReturned(reason=reason):
            job.phase, job.reason, job.submitting_at = Phase.WAITING_QUOTA, reason, None
        case JobSubmitted():
            job.phase, job.reason = Phase.QUEUED, ""
            job.handle, job.handle_version = payload.handle, payload.handle_version
            job.plan = {name: value for name, value in job.plan.items() if name != "spec"}
        case JobObserved():
            job.phase, job.raw_state, job.reason = Phase(payload.phase), payload.raw_state, payload.reason
            job.links, job.item_phases = payload.links or job.links, payload.items
            job.error = payload.error or job.error
            job.progress = job.progress if payload.progress is None else payload.progress
            for index in payload.settled:
                job.items.pop(index, None)
        case JobParked(reason=reason):
            job.parked = reason
        case JobCollected(outputs=outputs):
            job.outputs = outputs
        case JobCancelling(reason=reason, error=error):
            job.cancelling, job.error = reason, error or job.error
        case JobEnded():
            del jobs[job.key]


# --- what is to be done ------------------------------------------------------------------------------------------


class Step(enum.StrEnum):
    """What is to be done for a job now."""

    QUOTA = "quota"
    SUBMIT = "submit"
    FIND = "find"
    ASK = "ask"
    POLL = "poll"
    COLLECT = "collect"
    CANCEL = "cancel"
    CLEAN = "clean"
    END = "end"


def next_step(job: Job, idempotency: str = "B") -> Step:
    """What is to be done for ``job``, by a backend of this idempotency class.

    Example:
        >>> job = Job("k", "n0", 1, "vendor", "", {})
        >>> next_step(job)
        <Step.QUOTA: 'quota'>
        >>> job.phase = Phase.AMBIGUOUS
        >>> next_step(job), next_step(job, "A"), next_step(job, "C")
        (<Step.FIND: 'find'>, <Step.SUBMIT: 'submit'>, <Step.ASK: 'ask'>)
    """
    if job.phase.is_terminal:
        return Step.CLEAN if job.handle is not None else Step.END
    if job.cancelling is not None and job.outputs is None:
        if job.is_waiting or job.detached:
            return Step.END
        if job.phase is Phase.AMBIGUOUS and idempotency == "A":
            return Step.SUBMIT  # the vendor cannot search: only its answer to the same key tells what to cancel
        return Step.CANCEL
    match job.phase:
        case Phase.PLANNED | Phase.WAITING_QUOTA:
            return Step.QUOTA
        case Phase.SUBMITTING:
            return Step.SUBMIT
        case Phase.AMBIGUOUS:
            if idempotency == "A" or (idempotency == "C" and job.idempotent):
                return Step.SUBMIT
            return Step.ASK if idempotency == "C" else Step.FIND
        case Phase.COLLECTING:
            return Step.COLLECT if job.outputs is None and not job.is_slice else Step.CLEAN
        case _:
            return Step.POLL


# --- answers, and what follows from them -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Granted:
    """It holds its pools; ``epoch`` is that of the lease under which it is submitted."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The vendor has it; ``adopted`` where it was found."""

    handle: Handle
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody knows whether the vendor has it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that has to succeed fails again and again; it goes on being made."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The vendor will not take it, or a call that had to be made cannot succeed."""

    error_class: ErrorClass
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class NotThere:
    """The vendor certainly does not have it: it is submitted again, under the same key."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a poll saw; ``settled`` are the items of a slice whose attempts end with it.

    ``error`` is what the attempt fails with, where somebody knows better than the vendor.
    """

    observation: Observation
    settled: tuple[int, ...] = ()
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Its outputs are kept."""

    outputs: LiteralDigests


@dataclass(frozen=True, slots=True)
class Cancel:
    """It is to end; with ``error`` if its attempt fails of that."""

    reason: str
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The vendor has ended it, or has it no more."""

    raw_state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to be done for it; ``log`` is what it printed."""

    log: Blob | None = None


@dataclass(frozen=True, slots=True)
class Park:
    """Nothing can be done for it, for this reason; without one it goes on."""

    reason: str


Answer = Granted | Taken | Unclear | Trouble | Refused | NotThere | Seen | Kept | Cancel | Stopped | Done | Park


def follow(job: Job, answer: Answer) -> list[Payload]:
    """The events that ``answer`` leads to; none where it came too late, or says nothing new."""
    key = job.key
    match answer:
        case Park(reason):
            return [] if reason == job.parked else [JobParked(node=job.node, key=key, reason=reason)]
        case Granted(epoch):
            return [JobSubmitting(key=key, epoch=epoch)] if job.is_waiting and job.cancelling is None else []
        case NotThere() if job.cancelling is not None and job.phase is Phase.AMBIGUOUS:
            return follow(job, Stopped(reason="the vendor does not have it"))
        case NotThere(epoch):
            return [JobSubmitting(key=key, epoch=epoch)] if job.phase is Phase.AMBIGUOUS else []
        case Taken(handle, adopted):
            if job.phase not in (Phase.SUBMITTING, Phase.AMBIGUOUS):
                return []
            data = dict(handle.data)
            return [JobSubmitted(key=key, handle=data, handle_version=handle.version, adopted=adopted)]
        case Unclear(reason):
            return [JobAmbiguous(key=key, reason=reason)] if job.phase is Phase.SUBMITTING else []
        case Trouble(reason):
            if reason == job.reason or job.phase.is_terminal or job.is_waiting:
                return []
            now = job.phase.value
            return [JobObserved(key=key, phase=now, raw_state=job.raw_state, reason=reason, items=job.item_phases)]
        case Refused():
            return _refused(job, answer)
        case Seen():
            return _seen(job, answer)
        case Kept(outputs):
            return [JobCollected(key=key, outputs=outputs)] if job.phase is Phase.COLLECTING else []
        case Cancel(reason, error):
            if job.cancelling is not None or job.phase.is_terminal or job.outputs is not None:
                return []
            return [JobCancelling(key=key, reason=reason, error=error)]
        case Stopped(raw_state, reason):
            if job.cancelling is None or job.phase.is_terminal:
                return []
            return [JobObserved(key=key, phase="cancelled", raw_state=raw_state, reason=reason or job.cancelling)]
        case Done():
            return [_ended(job)]


def _refused(job: Job, refused: Refused) -> list[Payload]:
    if job.phase.is_terminal:
        return []
    if refused.error_class is ErrorClass.QUOTA_EXCEEDED and job.phase is Phase.SUBMITTING and job.cancelling is None:
        return [JobReturned(key=job.key, reason=refused.message)]
    error = error_of(job, refused.error_class, refused.message, refused.hint)
    return [JobObserved(key=job.key, phase="failed", raw_state=job.raw_state, reason=refused.message, error=error)]


def _seen(job: Job, answer: Seen) -> list[Payload]:
    seen, settled = answer.observation, answer.settled
    if job.phase not in AT_VENDOR:
        return []
    phase, error, reason = seen.phase, None, seen.reason
    if phase is not None and phase not in OBSERVABLE:
        phase = None
    if seen.gone and (phase is None or not phase.is_terminal):
        phase, reason = Phase.FAILED, reason or "the vendor no longer knows the job"
        error = error_of(job, seen.error_class or ErrorClass.LOST, reason)
    elif phase is Phase.FAILED:
        error = error_of(job, seen.error_class or ErrorClass.USER, _why(seen), exit_code=seen.exit_code)
    elif phase is Phase.CANCELLED and job.cancelling is None:
        phase, error = Phase.FAILED, _cancelled_by_others(job, seen)
    elif phase is Phase.SUCCEEDED:
        phase = Phase.COLLECTING
    if error is not None:
        error = answer.error or error
    counts = {} if seen.items is None else {str(p): len(found) for p, found in seen.items.by_phase.items() if found}
    links = seen.links if seen.links != job.links else ()
    now = phase or job.phase
    known = (job.phase, job.raw_state, job.reason, job.item_phases)
    if (now, seen.raw_state, reason, counts) == known and not settled and not links:
        return []
    return [
        JobObserved(
            key=job.key,
            phase=now.value,
            raw_state=seen.raw_state,
            reason=reason,
            error=error,
            exit_code=seen.exit_code,
            links=links,
            items=counts,
            settled=settled,
            progress=seen.progress,
        )
    ]


def _ended(job: Job) -> JobEnded:
    if job.phase is Phase.COLLECTING:
        return JobEnded(key=job.key, phase="succeeded")
    if job.phase is Phase.FAILED:
        return JobEnded(key=job.key, phase="failed", reason=job.reason)
    left = ", left to itself at the vendor" if job.detached and not job.is_waiting else ""
    return JobEnded(key=job.key, phase="cancelled", reason=f"{job.cancelling or job.reason}{left}")


# --- errors ------------------------------------------------------------------------------------------------------

#: By class: whose failure it is, its code, and whether another attempt can help.
_FAILURES: Final[Mapping[ErrorClass, tuple[str, str, bool]]] = {
    ErrorClass.USER: ("user", "FP-JOB-FAILED", True),
    ErrorClass.INVALID: ("user", "FP-JOB-INVALID", False),
    ErrorClass.AUTH: ("system", "FP-JOB-AUTH", False),
    ErrorClass.TRANSIENT: ("system", "FP-JOB-TRANSIENT", True),
    ErrorClass.THROTTLED: ("system", "FP-JOB-TRANSIENT", True),
    ErrorClass.UNAVAILABLE: ("system", "FP-JOB-UNAVAILABLE", True),
    ErrorClass.QUOTA_EXCEEDED: ("system", "FP-JOB-QUOTA", True),
    ErrorClass.PREEMPTED: ("preempted", "FP-JOB-PREEMPTED", True),
    ErrorClass.LOST: ("system", "FP-JOB-LOST", True),
    ErrorClass.OUT_OF_MEMORY: ("system", "FP-OUT-OF-MEMORY", True),
    ErrorClass.CONFLICT: ("system", "FP-JOB-CONFLICT", False),
    ErrorClass.PROTOCOL: ("system", "FP-JOB-PROTOCOL", False),
}
_HINTS: Final[Mapping[ErrorClass, str]] = {
    ErrorClass.AUTH: "check the credentials of this backend's settings, and what they may do",
    ErrorClass.OUT_OF_MEMORY: "raise mem= of its limits",
    ErrorClass.CONFLICT: "somebody else's job bears this name; nothing of it was touched",
    ErrorClass.PROTOCOL: "this is a mistake of the backend's plugin; report it to its authors",
}


def error_of(
    job: Job, error_class: ErrorClass, message: str, hint: str | None = None, exit_code: int | None = None
) -> ErrorRecord:
    """What the attempt of a job fails with."""
    kind, code, recoverable = _FAILURES[error_class]
    return ErrorRecord.model_validate(
        {
            "kind": kind,
            "code": code,
            "type": "flytepath.plugin.backend.BackendError",
            "message": f"{job.task or job.node} on {job.backend}: {message}",
            "place": job.node,
            "actual": None if exit_code is None else f"exit code {exit_code}",
            "hint": hint or _HINTS.get(error_class),
            "recoverable": recoverable,
        }
    )


def waited_too_long(job: Job, seconds: float) -> ErrorRecord:
    """What the attempt of a job fails with that has not begun to run after so many seconds."""
    return ErrorRecord(
        kind="timeout",
        code="FP-QUEUE-TIMEOUT",
        message=f"{job.task} waited longer than its {seconds:g} s for its turn",
        place=job.node,
        hint="raise max_queued_time= of its Timeout, or the limit of the pool it waits for",
        recoverable=False,
    )


def took_too_long(job: Job, seconds: float) -> ErrorRecord:
    """What the attempt of a job fails with that has not ended so many seconds after it was submitted."""
    return ErrorRecord(
        kind="timeout",
        code="FP-TIMEOUT",
        message=f"{job.task} took longer than its {seconds:g} s on {job.backend}",
        place=job.node,
        hint="raise timeout= of the task",
    )


def _why(seen: Observation) -> str:
    return seen.reason or f"the job ended as {seen.raw_state}"


def _cancelled_by_others(job: Job, seen: Observation) -> ErrorRecord:
    if seen.error_class is not None:
        return error_of(job, seen.error_class, _why(seen), exit_code=seen.exit_code)
    record = error_of(job, ErrorClass.USER, f"somebody cancelled the job at the vendor ({_why(seen)})")
    return record.model_copy(update={"code": "FP-JOB-CANCELLED", "recoverable": False})
