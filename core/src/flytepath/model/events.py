"""The events: everything that ever happens to an execution, appended before it takes effect.

Each class is one kind of event, each with its own schema version. Stored events are never changed; a newer version of
a kind brings an upcaster from the older one (``UPCASTERS``), and the archived logs under ``core/tests/golden`` are
folded by every later version. Events hold digests and references; values lie beside the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter

from flytepath.errors import LiteralError
from flytepath.model.facts import Actor, Blob, ErrorRecord, EventPayload, LiteralDigests, Usage
from flytepath.model.job_events import (
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
)
from flytepath.model.task import Record


class ExecutionCreated(EventPayload):
    """Somebody asked for a workflow to run. ``spec`` is the digest of the stored graph.

    ``variables`` are environment variables of its tasks. With ``overwrite_cache`` no task looks for an earlier result.
    After ``timeout_seconds`` (0: never) the whole is ended. ``recovers`` names the execution whose successes it takes
    over, ``relaunches`` the one it repeats, ``plan`` and ``scheduled_at`` the launch plan whose schedule asked for it,
    and for which moment (seconds since the epoch, UTC).
    """

    added: ClassVar[tuple[str, ...]] = (
        *("overwrite_cache", "variables", "labels", "annotations"),
        *("timeout_seconds", "recovers", "relaunches", "plan", "scheduled_at"),
    )
    type: Literal["execution_created"] = "execution_created"
    project: str
    domain: str
    workflow: str
    workflow_version: str
    spec: str
    bundle: str
    inputs: LiteralDigests = {}
    environment: dict[str, str] = {}
    overwrite_cache: bool = False
    variables: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    timeout_seconds: float = 0.0
    recovers: str = ""
    relaunches: str = ""
    plan: str = ""
    scheduled_at: float = 0.0


class ExecutionOwned(EventPayload):
    """An engine took the execution, new or over from one that is gone; attempts of the former owner are void."""

    type: Literal["execution_owned"] = "execution_owned"
    owner: str
    epoch: int


class AttemptStarted(EventPayload):
    """A node's attempt was handed to the workers. ``interruptible``: it may run where it can be taken away."""

    added: ClassVar[tuple[str, ...]] = ("interruptible",)
    type: Literal["attempt_started"] = "attempt_started"
    node: str
    attempt: int
    inputs: LiteralDigests = {}
    interruptible: bool = False


class ItemsStarted(EventPayload):
    """Attempts of several items of the map ``node``: ``(index, attempt)`` of each.

    What an item is given follows from the inputs of the map.
    """

    type: Literal["items_started"] = "items_started"
    node: str
    items: tuple[tuple[int, int], ...]


class ItemsSucceeded(EventPayload):
    """Several items of the map ``node`` have their outputs and never run again.

    For each item ``(index, attempt, digests)``, with the digests in the order of ``names``, and what its attempt used:
    ``(wall seconds, CPU seconds, peak bytes of memory)``.
    """

    type: Literal["items_succeeded"] = "items_succeeded"
    node: str
    names: tuple[str, ...]
    items: tuple[tuple[int, int, tuple[str, ...]], ...]
    usage: tuple[tuple[float, float, int], ...] = ()


class AttemptLost(EventPayload):
    """The worker or its engine is gone without a result. The next attempt is charged to the system."""

    type: Literal["attempt_lost"] = "attempt_lost"
    node: str
    attempt: int
    error: ErrorRecord


class AttemptFailed(EventPayload):
    """An attempt ended with an error. ``retry_at`` is when the next one is due; ``None``: there will be none.

    ``progress`` is how far it came, as its checkpoints or its job tell: who comes further than any attempt before has
    the whole of both budgets again.
    """

    added: ClassVar[tuple[str, ...]] = ("progress",)
    type: Literal["attempt_failed"] = "attempt_failed"
    node: str
    attempt: int
    error: ErrorRecord
    retry_at: float | None = None
    usage: Usage = Usage()
    progress: float | None = None


class NodeExpanded(EventPayload):
    """A node became nodes below its own path; it ends when they have. What its kind needs to find the same ones again:

    ``case``: the branch's case that was taken; ``items``: how many a map has; ``spec``: the digest of the graph that a
    dynamic task's ``attempt`` gave. ``inputs`` are the node's own, which its new nodes refer to.
    """

    type: Literal["node_expanded"] = "node_expanded"
    node: str
    attempt: int = 0
    inputs: LiteralDigests = {}
    case: int | None = None
    items: int | None = None
    spec: str = ""
    usage: Usage = Usage()


class CallStarted(EventPayload):
    """The attempt of an eager task called something: its node is ``call`` below the task's own path.

    A later attempt that makes the same call is given what became of this one.
    """

    type: Literal["call_started"] = "call_started"
    node: str
    attempt: int
    call: str
    callee: str
    spec: str
    inputs: LiteralDigests = {}


class GateOpened(EventPayload):
    """A node waits: for a person until ``expires``, or for the time ``due`` (seconds since the epoch, UTC).

    ``kind`` is what is waited for, ``signal`` the name it is answered by.
    """

    added: ClassVar[tuple[str, ...]] = ("kind", "signal")
    type: Literal["gate_opened"] = "gate_opened"
    node: str
    kind: str = ""
    signal: str = ""
    inputs: LiteralDigests = {}
    due: float | None = None
    expires: float | None = None


class SignalReceived(EventPayload):
    """Somebody answered a gate: ``approved`` or not, or the ``value`` it asked for (a digest)."""

    type: Literal["signal_received"] = "signal_received"
    node: str
    signal: str
    approved: bool | None = None
    value: str = ""


class HandlerStarted(EventPayload):
    """A graph failed, nothing of it runs any more, and its failure handler may start. ``node`` is empty for the whole.

    ``failed`` is the path of the node that failed first, ``error`` why.
    """

    type: Literal["handler_started"] = "handler_started"
    node: str = ""
    failed: str
    error: ErrorRecord


class NodeSucceeded(EventPayload):
    """A node has its outputs. Never runs again. ``cached`` is the key they were found under, if they were.

    ``recovered`` is the execution they were taken over from, if they were; ``inputs`` are then what the node was given.
    """

    added: ClassVar[tuple[str, ...]] = ("cached", "recovered", "inputs")
    type: Literal["node_succeeded"] = "node_succeeded"
    node: str
    attempt: int
    outputs: LiteralDigests = {}
    usage: Usage = Usage()
    cached: str = ""
    recovered: str = ""
    inputs: LiteralDigests = {}


class NodeFailed(EventPayload):
    """A node's last attempt failed, or what it needs can never come. ``origin`` is the node below it that failed."""

    added: ClassVar[tuple[str, ...]] = ("origin",)
    type: Literal["node_failed"] = "node_failed"
    node: str
    error: ErrorRecord
    origin: str = ""


class NodeSkipped(EventPayload):
    """A node will not run: a branch not taken, or something upstream that failed."""

    type: Literal["node_skipped"] = "node_skipped"
    node: str
    reason: str


class DeckWritten(EventPayload):
    """An attempt wrote a report, also if the attempt failed afterwards."""

    type: Literal["deck_written"] = "deck_written"
    node: str
    attempt: int
    name: str
    deck: Blob


class BoundaryChecked(EventPayload):
    """A value was checked as it entered or left a task."""

    type: Literal["boundary_checked"] = "boundary_checked"
    node: str
    attempt: int
    variable: str
    side: Literal["reading", "writing"]
    checker: str
    passed: bool
    message: str = ""
    details: dict[str, Any] = {}


class LogWritten(EventPayload):
    """What an attempt printed, kept when it ended."""

    type: Literal["log_written"] = "log_written"
    node: str
    attempt: int
    log: Blob


class ValueErased(EventPayload):
    """Somebody had a value erased after the execution had ended. Its digest and its type stay.

    ``node`` is empty where it was a value of the whole execution, ``variable`` where it was named by its digest.
    """

    type: Literal["value_erased"] = "value_erased"
    node: str = ""
    variable: str = ""
    digest: str


class AbortRequested(EventPayload):
    """Somebody asked for the execution to end."""

    type: Literal["abort_requested"] = "abort_requested"
    reason: str = ""


class ExecutionPaused(EventPayload):
    """Somebody asked that nothing new starts; what runs goes on."""

    type: Literal["execution_paused"] = "execution_paused"
    reason: str = ""


class ExecutionContinued(EventPayload):
    """Somebody asked that a paused execution goes on."""

    type: Literal["execution_continued"] = "execution_continued"


class DeadlinePassed(EventPayload):
    """The time that the whole execution was given is over: what runs is ended, nothing new starts."""

    type: Literal["deadline_passed"] = "deadline_passed"
    error: ErrorRecord


class ExecutionSucceeded(EventPayload):
    """All outputs are there."""

    type: Literal["execution_succeeded"] = "execution_succeeded"
    outputs: LiteralDigests = {}


class ExecutionFailed(EventPayload):
    """The execution ended without its outputs. ``node`` is the first that failed."""

    type: Literal["execution_failed"] = "execution_failed"
    node: str | None = None
    error: ErrorRecord


class ExecutionAborted(EventPayload):
    """The execution ended because somebody asked for it; nothing of it runs any more."""

    type: Literal["execution_aborted"] = "execution_aborted"
    reason: str = ""


Payload = Annotated[
    ExecutionCreated
    | ExecutionOwned
    | AttemptStarted
    | ItemsStarted
    | ItemsSucceeded
    | AttemptLost
    | AttemptFailed
    | NodeExpanded
    | CallStarted
    | GateOpened
    | SignalReceived
    | HandlerStarted
    | NodeSucceeded
    | NodeFailed
    | NodeSkipped
    | JobPlanned
    | JobSubmitting
    | JobAmbiguous
    | JobReturned
    | JobSubmitted
    | JobObserved
    | JobParked
    | JobCollected
    | JobCancelling
    | JobEnded
    | DeckWritten
    | BoundaryChecked
    | LogWritten
    | ValueErased
    | AbortRequested
    | ExecutionPaused
    | ExecutionContinued
    | DeadlinePassed
    | ExecutionSucceeded
    | ExecutionFailed
    | ExecutionAborted,
    Field(discriminator="type"),
]


class Event(Record):
    """One line of an execution's log.

    Args:
        execution: the execution it belongs to.
        seq: its place in that log, from 1, without gaps.
        at: when it was appended, seconds since the epoch (UTC).
        actor: who made it happen.
        cause: the ``seq`` of the event that led to it, 0 for a command from outside.
        payload: what happened.
    """

    execution: str
    seq: int = Field(ge=1)
    at: float
    actor: Actor
    cause: int = 0
    payload: Payload

    def to_json(self) -> dict[str, Any]:
        """The stored form; ``v`` is the schema version of the payload."""
        data = {**self.model_dump(mode="json"), "v": type(self.payload).version}
        for name in type(self.payload).added:
            if not data["payload"][name]:
                del data["payload"][name]
        return data


#: ``(type, from version) -> payload of the next version``. Filled when a kind of event changes.
UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}

_READ: Callable[[dict[str, Any]], Event] = TypeAdapter(Event).validator.validate_python
_VERSIONS: dict[str, int] = {
    kind.model_fields["type"].default: kind.version
    for kind in EventPayload.__subclasses__()
    if "type" in kind.model_fields
}


def read_event(data: Mapping[str, Any]) -> Event:
    """Read a stored event of any released version.

    Raises:
        LiteralError: an unknown kind, a newer version, or a damaged record.

    Example:
        >>> event = Event(execution="x", seq=1, at=0.0, actor=Actor(kind="user", name="ada"),
        ...               payload=AbortRequested(reason="enough"))
        >>> read_event(event.to_json()) == event
        True
    """
    try:
        envelope = dict(data)
        payload = envelope["payload"]
        kind, version = payload["type"], int(envelope.pop("v", 1))
        current = _VERSIONS[kind]
        if version > current:
            raise LiteralError(
                f"event {kind!r} has schema version {version}, this release reads up to {current}",
                hint="upgrade flytepath on this machine",
            )
        if version != current:
            payload = dict(payload)
            for step in range(version, current):
                payload = UPCASTERS[kind, step](payload)
            envelope["payload"] = payload
        return _READ(envelope)
    except LiteralError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise LiteralError("not an event of any released version", actual=repr(data)[:200]) from error


__all__ = [
    "UPCASTERS",
    "AbortRequested",
    "Actor",
    "AttemptFailed",
    "AttemptLost",
    "AttemptStarted",
    "Blob",
    "BoundaryChecked",
    "CallStarted",
    "DeadlinePassed",
    "DeckWritten",
    "ErrorRecord",
    "Event",
    "ExecutionAborted",
    "ExecutionContinued",
    "ExecutionCreated",
    "ExecutionFailed",
    "ExecutionOwned",
    "ExecutionPaused",
    "ExecutionSucceeded",
    "GateOpened",
    "HandlerStarted",
    "ItemsStarted",
    "ItemsSucceeded",
    "JobAmbiguous",
    "JobCancelling",
    "JobCollected",
    "JobEnded",
    "JobObserved",
    "JobParked",
    "JobPlanned",
    "JobReturned",
    "JobSubmitted",
    "JobSubmitting",
    "LiteralDigests",
    "LogWritten",
    "NodeExpanded",
    "NodeFailed",
    "NodeSkipped",
    "NodeSucceeded",
    "Payload",
    "SignalReceived",
    "Usage",
    "ValueErased",
    "read_event",
]
