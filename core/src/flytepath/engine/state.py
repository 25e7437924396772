"""The state of an execution, folded from its events, and the decisions made on it. No I/O, no clock, no randomness.

``apply(state, event)`` is the only thing that changes a state. ``decide(state, command, now)`` returns the payloads to
append; what it returns, ``apply`` takes. Counters of unfinished upstream nodes and a set of ready ones keep the cost of
an event independent of the size of the graph.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flytepath.errors import ExecutionStateError
from flytepath.model.events import (
    AbortRequested,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    ErrorRecord,
    Event,
    ExecutionAborted,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionOwned,
    ExecutionSucceeded,
    LiteralDigests,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    Payload,
    Usage,
)
from flytepath.model.task import RetryPolicy
from flytepath.model.workflow import Binding, DictBinding, ListBinding, NodeSpec, OutputBinding, WorkflowSpec


class NodeStatus(enum.StrEnum):
    """Where a node is."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        """Whether the node will never run again."""
        return self in (NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED)


class ExecutionStatus(enum.StrEnum):
    """Where an execution is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self is not ExecutionStatus.RUNNING


@dataclass(slots=True)
class NodeState:
    """One node: its attempts and how they went."""

    spec: NodeSpec
    status: NodeStatus = NodeStatus.WAITING
    waiting_for: int = 0
    attempt: int = 0
    user_failures: int = 0
    system_failures: int = 0
    retry_at: float | None = None
    outputs: LiteralDigests = field(default_factory=dict)
    error: ErrorRecord | None = None
    reason: str = ""
    started_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class ExecutionState:
    """An execution as its events tell it."""

    spec: WorkflowSpec
    created: ExecutionCreated | None = None
    status: ExecutionStatus = ExecutionStatus.RUNNING
    seq: int = 0
    owner: str = ""
    epoch: int = 0
    nodes: dict[str, NodeState] = field(default_factory=dict)
    downstream: dict[str, list[str]] = field(default_factory=dict)
    ready: dict[str, None] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    retrying: dict[str, float] = field(default_factory=dict)
    unfinished: int = 0
    first_failed: str | None = None
    abort_reason: str | None = None
    outputs: LiteralDigests = field(default_factory=dict)
    error: ErrorRecord | None = None
    created_at: float = 0.0
    ended_at: float | None = None

    @classmethod
    def of(cls, spec: WorkflowSpec) -> ExecutionState:
        """The state before the first event."""
        state = cls(spec)
        for node in spec.nodes:
            upstream = upstream_of(node)
            waiting = NodeStatus.WAITING if upstream else NodeStatus.READY
            state.nodes[node.path] = NodeState(node, waiting, len(upstream))
            if not upstream:
                state.ready[node.path] = None
            for path in upstream:
                state.downstream.setdefault(path, []).append(node.path)
        state.unfinished = len(spec.nodes)
        return state

    @property
    def is_stopping(self) -> bool:
        """Whether no further attempt may start: an abort, or a failure under ``fail_immediately``."""
        failed_fast = self.first_failed is not None and self.spec.failure_policy == "fail_immediately"
        return self.abort_reason is not None or failed_fast

    def retry_policy(self, node: NodeState) -> RetryPolicy:
        """The retry policy of the node's task."""
        return self.spec.tasks[node.spec.task].retry


def upstream_of(node: NodeSpec) -> set[str]:
    """The paths of the nodes whose end ``node`` waits for."""
    paths = set(node.upstream)
    for binding in node.inputs.values():
        paths.update(_outputs_in(binding))
    return paths


def _outputs_in(binding: Binding) -> Iterator[str]:
    if isinstance(binding, OutputBinding):
        yield binding.node
    elif isinstance(binding, ListBinding):
        for item in binding.items:
            yield from _outputs_in(item)
    elif isinstance(binding, DictBinding):
        for item in binding.items.values():
            yield from _outputs_in(item)


# --- commands ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Own:
    """An engine takes the execution under a lease of ``epoch``."""

    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start a ready node's next attempt."""

    node: str
    inputs: LiteralDigests


@dataclass(frozen=True, slots=True)
class Succeed:
    """A worker returned the outputs of an attempt."""

    node: str
    attempt: int
    outputs: LiteralDigests
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Fail:
    """An attempt ended with an error; ``jitter`` in [0, 1) spreads its retry."""

    node: str
    attempt: int
    error: ErrorRecord
    usage: Usage = field(default_factory=Usage)
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Stop:
    """A running attempt was ended by us, because the execution ends."""

    node: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """A ready node can never start: its inputs cannot be put together."""

    node: str
    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class Abort:
    """Somebody wants the execution to end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Every node has ended and no attempt runs: end the execution, with ``outputs`` if it succeeded."""

    outputs: LiteralDigests = field(default_factory=dict)
    error: ErrorRecord | None = None


Command = Own | Start | Succeed | Fail | Stop | Refuse | Abort | Finish


def decide(state: ExecutionState, command: Command, now: float) -> list[Payload]:
    """The events that ``command`` leads to; none where it came too late to matter.

    Raises:
        ExecutionStateError: the command does not fit the state at all.
    """
    if state.status.is_final:
        if isinstance(command, Succeed | Fail | Stop):
            return []
        raise ExecutionStateError(f"the execution has already {state.status}", actual=type(command).__name__)
    match command:
        case Own(owner, epoch):
            return [ExecutionOwned(owner=owner, epoch=epoch), *_lost_attempts(state)]
        case Start(path, inputs):
            return _start(state, path, inputs, now)
        case Succeed(path, attempt, outputs, usage):
            if not _is_current(state, path, attempt):
                return []
            return [NodeSucceeded(node=path, attempt=attempt, outputs=outputs, usage=usage)]
        case Fail():
            return _fail(state, command, now)
        case Stop(path, attempt):
            return _stop(state, path, attempt)
        case Refuse(path, error):
            return [NodeFailed(node=path, error=error), *_skipped(state, path)]
        case Abort(reason):
            return [] if state.abort_reason is not None else [AbortRequested(reason=reason)]
        case Finish(outputs, error):
            return _finish(state, outputs, error)


def _lost_attempts(state: ExecutionState) -> list[Payload]:
    error = ErrorRecord(
        kind="system", code="FP-ENGINE-LOST", message="the engine that ran this attempt ended before its result"
    )
    out: list[Payload] = []
    for path, attempt in state.running.items():
        out.append(AttemptLost(node=path, attempt=attempt, error=error))
        node = state.nodes[path]
        if node.system_failures + 1 > state.retry_policy(node).system:
            out += [NodeFailed(node=path, error=error), *_skipped(state, path)]
    return out


def _start(state: ExecutionState, path: str, inputs: LiteralDigests, now: float) -> list[Payload]:
    node = state.nodes[path]
    due = node.status is NodeStatus.READY or (node.status is NodeStatus.RETRYING and (node.retry_at or 0) <= now)
    if state.is_stopping or not due:
        raise ExecutionStateError(f"node {path} cannot start", actual=node.status)
    return [AttemptStarted(node=path, attempt=node.attempt + 1, inputs=inputs)]


def _is_current(state: ExecutionState, path: str, attempt: int) -> bool:
    node = state.nodes[path]
    return node.status is NodeStatus.RUNNING and node.attempt == attempt


def _fail(state: ExecutionState, command: Fail, now: float) -> list[Payload]:
    if not _is_current(state, command.node, command.attempt):
        return []
    node = state.nodes[command.node]
    policy = state.retry_policy(node)
    by_user = command.error.kind in ("user", "timeout")
    failures = (node.user_failures if by_user else node.system_failures) + 1
    budget = policy.retries if by_user else policy.system
    retry_at = None
    if command.error.recoverable and failures <= budget and not state.is_stopping:
        delay = min(policy.backoff_seconds * policy.backoff_factor ** (failures - 1), policy.backoff_limit_seconds)
        retry_at = now + delay * (1 + command.jitter)
    failed = AttemptFailed(
        node=command.node, attempt=command.attempt, error=command.error, retry_at=retry_at, usage=command.usage
    )
    if retry_at is not None:
        return [failed]
    return [failed, NodeFailed(node=command.node, error=command.error), *_skipped(state, command.node)]


def _stop(state: ExecutionState, path: str, attempt: int) -> list[Payload]:
    if not _is_current(state, path, attempt):
        return []
    why = "the execution was aborted" if state.abort_reason is not None else f"{state.first_failed} failed"
    error = ErrorRecord(kind="system", code="FP-STOPPED", message=f"ended because {why}", recoverable=False)
    return [
        AttemptFailed(node=path, attempt=attempt, error=error),
        NodeSkipped(node=path, reason=f"ended because {why}"),
        *_skipped(state, path),
    ]


def _skipped(state: ExecutionState, failed: str) -> list[Payload]:
    """What can never run any more because ``failed`` has: everything downstream of it."""
    out: list[Payload] = []
    seen = {failed}
    pending = list(state.downstream.get(failed, ()))
    while pending:
        path = pending.pop(0)
        if path in seen or state.nodes[path].status.is_final:
            continue
        seen.add(path)
        out.append(NodeSkipped(node=path, reason=f"{failed} failed"))
        pending.extend(state.downstream.get(path, ()))
    return out


def _finish(state: ExecutionState, outputs: LiteralDigests, error: ErrorRecord | None) -> list[Payload]:
    if state.running:
        raise ExecutionStateError("attempts are still running", actual=", ".join(state.running))
    if state.abort_reason is not None:
        return [*_rest(state, "the execution was aborted"), ExecutionAborted(reason=state.abort_reason)]
    if state.first_failed is not None:
        if state.unfinished and not state.is_stopping:
            raise ExecutionStateError("nodes can still run", actual=", ".join(state.ready))
        failed = state.nodes[state.first_failed]
        first = ErrorRecord.model_validate(error or failed.error)
        return [
            *_rest(state, f"{state.first_failed} failed"),
            ExecutionFailed(node=state.first_failed, error=first),
        ]
    if state.unfinished:
        raise ExecutionStateError("nodes can still run", actual=", ".join(state.ready))
    if error is not None:
        return [ExecutionFailed(node=None, error=error)]
    return [ExecutionSucceeded(outputs=outputs)]


def _rest(state: ExecutionState, reason: str) -> list[Payload]:
    return [NodeSkipped(node=p, reason=reason) for p, n in state.nodes.items() if not n.status.is_final]


# --- the fold ----------------------------------------------------------------------------------------------------


def apply(state: ExecutionState, event: Event) -> None:
    """Fold one event into the state, in place."""
    if event.seq != state.seq + 1:
        raise ExecutionStateError(
            "an event is missing or comes twice", expected=str(state.seq + 1), actual=str(event.seq)
        )
    state.seq = event.seq
    payload = event.payload
    match payload:
        case ExecutionCreated():
            state.created = payload
            state.created_at = event.at
        case ExecutionOwned():
            state.owner, state.epoch = payload.owner, payload.epoch
        case AttemptStarted():
            _apply_started(state, payload, event.at)
        case AttemptLost():
            _apply_ended_attempt(state, payload.node, payload.error, None)
            state.nodes[payload.node].status = NodeStatus.READY
            state.ready[payload.node] = None
        case AttemptFailed():
            _apply_ended_attempt(state, payload.node, payload.error, payload.retry_at)
        case NodeSucceeded():
            _apply_succeeded(state, payload, event.at)
        case NodeFailed():
            node = state.nodes[payload.node]
            _apply_final(state, payload.node, NodeStatus.FAILED, event.at)
            node.error = payload.error
            if state.first_failed is None:
                state.first_failed = payload.node
        case NodeSkipped():
            _apply_final(state, payload.node, NodeStatus.SKIPPED, event.at)
            state.nodes[payload.node].reason = payload.reason
        case AbortRequested():
            state.abort_reason = payload.reason
        case ExecutionSucceeded():
            state.status, state.outputs, state.ended_at = ExecutionStatus.SUCCEEDED, payload.outputs, event.at
        case ExecutionFailed():
            state.status, state.error, state.ended_at = ExecutionStatus.FAILED, payload.error, event.at
        case ExecutionAborted():
            state.status, state.ended_at = ExecutionStatus.ABORTED, event.at
        case _:
            return  # facts that change no decision: decks, checks, logs


def fold(spec: WorkflowSpec, events: Sequence[Event]) -> ExecutionState:
    """The state after ``events``."""
    state = ExecutionState.of(spec)
    for event in events:
        apply(state, event)
    return state


def _apply_started(state: ExecutionState, payload: AttemptStarted, at: float) -> None:
    node = state.nodes[payload.node]
    node.status, node.attempt, node.retry_at = NodeStatus.RUNNING, payload.attempt, None
    if node.started_at is None:
        node.started_at = at
    state.ready.pop(payload.node, None)
    state.retrying.pop(payload.node, None)
    state.running[payload.node] = payload.attempt


def _apply_ended_attempt(state: ExecutionState, path: str, error: ErrorRecord, retry_at: float | None) -> None:
    node = state.nodes[path]
    node.error, node.retry_at = error, retry_at
    if error.kind in ("user", "timeout"):
        node.user_failures += 1
    else:
        node.system_failures += 1
    state.running.pop(path, None)
    node.status = NodeStatus.RETRYING
    if retry_at is not None:
        state.retrying[path] = retry_at


def _apply_succeeded(state: ExecutionState, payload: NodeSucceeded, at: float) -> None:
    _apply_final(state, payload.node, NodeStatus.SUCCEEDED, at)
    node = state.nodes[payload.node]
    node.outputs, node.error = payload.outputs, None
    for path in state.downstream.get(payload.node, ()):
        following = state.nodes[path]
        following.waiting_for -= 1
        if following.waiting_for == 0 and following.status is NodeStatus.WAITING:
            following.status = NodeStatus.READY
            state.ready[path] = None


def _apply_final(state: ExecutionState, path: str, status: NodeStatus, at: float) -> None:
    node = state.nodes[path]
    if not node.status.is_final:
        state.unfinished -= 1
    node.status, node.ended_at = status, at
    state.ready.pop(path, None)
    state.running.pop(path, None)
    state.retrying.pop(path, None)
