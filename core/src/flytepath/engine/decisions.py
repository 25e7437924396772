"""What follows from a command: ``decide(state, command, now)`` returns the payloads to append. No I/O, no randomness.

What it returns, :func:`flytepath.engine.fold.apply` takes. A command that comes too late leads to nothing; one that
does not fit the state at all is an error.
"""

from __future__ import annotations

from typing import Final

from flytepath.engine.commands import (
    Abort,
    Call,
    Command,
    Continue,
    Expand,
    Expire,
    Fail,
    Finish,
    Open,
    Own,
    Pause,
    Produce,
    Refuse,
    Reuse,
    Ring,
    Settle,
    Signal,
    Start,
    StartItems,
    Stop,
    Succeed,
    SucceedItems,
    TimeOut,
)
from flytepath.engine.expansion import needed, upstream_of
from flytepath.engine.fold import children_of
from flytepath.engine.state import ExecutionState, Frame, NodeState, NodeStatus
from flytepath.errors import ExecutionStateError
from flytepath.model.events import (
    AbortRequested,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    CallStarted,
    DeadlinePassed,
    ErrorRecord,
    ExecutionAborted,
    ExecutionContinued,
    ExecutionFailed,
    ExecutionOwned,
    ExecutionPaused,
    ExecutionSucceeded,
    GateOpened,
    HandlerStarted,
    ItemsStarted,
    ItemsSucceeded,
    LiteralDigests,
    NodeExpanded,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    Payload,
    SignalReceived,
)

#: How often a node may be lost with its engine before it is taken to be what ends the engines.
ENGINE_LOSSES: Final = 20


def decide(state: ExecutionState, command: Command, now: float) -> list[Payload]:
    """The events that ``command`` leads to; none where it came too late to matter.

    Raises:
        ExecutionStateError: the command does not fit the state at all.
    """
    if state.status.is_final:
        if isinstance(command, _LATE):
            return []
        raise ExecutionStateError(f"the execution has already {state.status}", actual=type(command).__name__)
    match command:
        case Own(owner, epoch):
            return [ExecutionOwned(owner=owner, epoch=epoch), *_lost_attempts(state)]
        case Start(path, inputs):
            _check_due(state, path, now)
            node = state.nodes[path]
            flag = node.is_interruptible
            return [AttemptStarted(node=path, attempt=node.attempt + 1, inputs=inputs, interruptible=flag)]
        case StartItems(path, indices):
            for index in indices:
                _check_due(state, f"{path}/{index}", now)
            started = tuple((index, state.nodes[f"{path}/{index}"].attempt + 1) for index in indices)
            return [ItemsStarted(node=path, items=started)] if started else []
        case Reuse(path, outputs, key, recovered, inputs):
            _check_due(state, path, now)
            facts = {"cached": key, "recovered": recovered, "inputs": inputs}
            return [NodeSucceeded(node=path, attempt=state.nodes[path].attempt, outputs=outputs, **facts)]
        case Succeed(path, attempt, outputs, usage):
            if not _is_current(state, path, attempt):
                return []
            done = NodeSucceeded(node=path, attempt=attempt, outputs=outputs, usage=usage)
            return [done, *_abandoned(state, path, f"{path} ended without it")]
        case SucceedItems():
            return _succeed_items(state, command)
        case Fail():
            return _fail(state, command, now)
        case Stop(path, attempt):
            return _stop(state, path, attempt)
        case Refuse(path, error):
            return _failed(state, path, error)
        case Expand(path, inputs, number, items, spec):
            _check_due(state, path, now)
            return _expand(state, NodeExpanded(node=path, inputs=inputs, case=number, items=items, spec=spec))
        case Produce(path, attempt, spec, usage):
            if not _is_current(state, path, attempt):
                return []
            return _expand(state, NodeExpanded(node=path, attempt=attempt, spec=spec, usage=usage))
        case Call():
            return _call(state, command)
        case Open(path, inputs):
            _check_due(state, path, now)
            return _open(state, path, inputs, now)
        case Signal():
            return _signal(state, command)
        case Ring(path):
            return _ring(state, path, now)
        case Expire(path):
            return _expire(state, path, now)
        case Settle(path, outputs, error):
            return _settle(state, path, outputs, error)
        case Pause(reason):
            return [] if state.paused is not None else [ExecutionPaused(reason=reason)]
        case Continue():
            return [] if state.paused is None else [ExecutionContinued()]
        case TimeOut():
            return _time_out(state, now)
        case Abort(reason):
            return [] if state.abort_reason is not None else [AbortRequested(reason=reason)]
        case Finish(outputs, error):
            return _finish(state, outputs, error)


#: What comes too late once the execution has ended, and then means nothing.
_LATE = (
    Succeed | SucceedItems | Fail | Stop | Produce | Call | Signal | Ring | Expire | Settle | Pause | Continue | TimeOut
)


# --- attempts ----------------------------------------------------------------------------------------------------


def _lost_attempts(state: ExecutionState) -> list[Payload]:
    error = ErrorRecord(
        kind="system", code="FP-ENGINE-LOST", message="the engine that ran this attempt ended before its result"
    )
    lost: list[Payload] = []
    failed: list[Payload] = []
    for path, attempt in state.running.items():
        if state.nodes[path].is_remote:
            continue  # its job goes on without any engine
        lost.append(AttemptLost(node=path, attempt=attempt, error=error))
        node = state.nodes[path]
        if node.losses + 1 > ENGINE_LOSSES:
            failed += _failed(state, path, error)
    return lost + failed


def _check_due(state: ExecutionState, path: str, now: float) -> None:
    node = state.find(path)
    if node is None:
        raise ExecutionStateError(f"there is no node {path} yet", place=path)
    due = node.status is NodeStatus.READY or (node.status is NodeStatus.RETRYING and (node.retry_at or 0) <= now)
    if not due or state.paused is not None or state.why_stopped(path) is not None:
        raise ExecutionStateError(f"node {path} cannot start", actual=node.status)


def _is_current(state: ExecutionState, path: str, attempt: int) -> bool:
    return state.running.get(path) == attempt


def _succeed_items(state: ExecutionState, command: SucceedItems) -> list[Payload]:
    current = [
        (item, usage)
        for item, usage in zip(command.items, command.usage, strict=True)
        if _is_current(state, f"{command.node}/{item[0]}", item[1])
    ]
    if not current:
        return []
    used = tuple((usage.wall_seconds, usage.cpu_seconds, usage.peak_memory_bytes) for _, usage in current)
    return [ItemsSucceeded(node=command.node, names=command.names, items=tuple(i for i, _ in current), usage=used)]


def _expire(state: ExecutionState, path: str, now: float) -> list[Payload]:
    at = state.queued.get(path)
    if at is None or at > now or state.paused is not None or state.why_stopped(path) is not None:
        return []
    node = state.nodes[path]
    waited = now - at + (state.patience_of(node) or 0.0)
    error = ErrorRecord(
        kind="timeout",
        code="FP-QUEUE-TIMEOUT",
        message=f"{node.name} waited {waited:.1f} s for its turn, longer than it may",
        place=path,
        hint="raise max_queued_time= of its Timeout, or give the engine more slots",
        recoverable=False,
    )
    return _failed(state, path, error)


def _fail(state: ExecutionState, command: Fail, now: float) -> list[Payload]:
    if not _is_current(state, command.node, command.attempt):
        return []
    node = state.nodes[command.node]
    policy = state.retry_policy(node)
    by_user = command.error.kind in ("user", "timeout")
    failures = (node.user_failures if by_user else node.system_failures) + 1
    if node.is_further(command.progress):
        failures = 1
    budget = policy.retries if by_user else policy.system
    retry_at = None
    if command.error.recoverable and failures <= budget and state.why_stopped(command.node) is None:
        retry_at = now + policy.delay(failures, command.jitter)
    failed = AttemptFailed(
        node=command.node,
        attempt=command.attempt,
        error=command.error,
        retry_at=retry_at,
        usage=command.usage,
        progress=command.progress,
    )
    if retry_at is not None:
        return [failed]
    return [failed, *_failed(state, command.node, command.error)]


def _stop(state: ExecutionState, path: str, attempt: int) -> list[Payload]:
    if not _is_current(state, path, attempt):
        return []
    why = f"ended because {state.why_stopped(path) or 'the execution ends'}"
    error = ErrorRecord(kind="system", code="FP-STOPPED", message=why, recoverable=False)
    return [
        AttemptFailed(node=path, attempt=attempt, error=error),
        NodeSkipped(node=path, reason=why),
        *_abandoned(state, path, why),
        *_skipped(state, path),
    ]


# --- failures and what they take with them -----------------------------------------------------------------------


def _failed(state: ExecutionState, path: str, error: ErrorRecord, origin: str = "") -> list[Payload]:
    """The node fails for good: what lies below it is given up, and what needs it can never run."""
    return [
        NodeFailed(node=path, error=error, origin="" if origin == path else origin),
        *_abandoned(state, path, f"{path} failed"),
        *_skipped(state, path),
    ]


def _abandoned(state: ExecutionState, path: str, reason: str) -> list[Payload]:
    """The end of everything below a node that has ended. Attempts that still run are stopped, and end on their own."""
    return [
        NodeSkipped(node=node.path, reason=reason)
        for node in state.below(path)
        if not node.status.is_final and node.path not in state.running and not _goes_without_saying(state, node)
    ]


def _goes_without_saying(state: ExecutionState, node: NodeState) -> bool:
    """Items of a map that have not begun end with it."""
    return node.frame is None and state.frame_around(node).items is not None


def _skipped(state: ExecutionState, failed: str, reason: str = "") -> list[Payload]:
    """What can never run any more because ``failed`` has: everything downstream of it."""
    out: list[Payload] = []
    seen = {failed}
    pending = list(state.downstream.get(failed, ()))
    while pending:
        path = pending.pop(0)
        if path in seen or state.nodes[path].status.is_final:
            continue
        seen.add(path)
        out.append(NodeSkipped(node=path, reason=reason or f"{failed} failed"))
        pending.extend(state.downstream.get(path, ()))
    return out


# --- nodes below nodes -------------------------------------------------------------------------------------------


def _expand(state: ExecutionState, payload: NodeExpanded) -> list[Payload]:
    """The expansion, and the end of those new nodes that need what has already failed around them."""
    _, children, _ = children_of(state, state.nodes[payload.node], payload)
    out: list[Payload] = [payload]
    dead: set[str] = set()
    for child in children:
        for path in upstream_of(child):
            known = state.nodes.get(path)
            if path in dead or (known is not None and known.status in (NodeStatus.FAILED, NodeStatus.SKIPPED)):
                dead.add(child.path)
                out.append(NodeSkipped(node=child.path, reason=f"{path} failed"))
                break
    return out


def _call(state: ExecutionState, command: Call) -> list[Payload]:
    if not _is_current(state, command.node, command.attempt):
        return []
    path = f"{command.node}/{command.call}"
    known = state.nodes.get(path)
    if known is None:
        return [
            CallStarted(
                node=command.node,
                attempt=command.attempt,
                call=command.call,
                callee=command.callee,
                spec=command.spec,
                inputs=command.inputs,
            )
        ]
    if (known.spec.graph, known.inputs) == (command.callee, command.inputs):
        return []
    changed = [name for name in command.inputs if known.inputs.get(name) != command.inputs[name]]
    error = ErrorRecord(
        kind="user",
        code="FP-EAGER-REPLAY",
        message=f"call {command.call} of this eager task is not the one that an earlier attempt made",
        place=path,
        expected=known.spec.graph + (f" with other values of {', '.join(changed)}" if changed else ""),
        actual=command.callee + (f" with {', '.join(changed)} changed" if changed else ""),
        hint="an eager task must make the same calls each time it runs: take times, random numbers and the like "
        "from a task it calls, and do not let the order of calls depend on which ends first",
        recoverable=False,
    )
    ended = AttemptFailed(node=command.node, attempt=command.attempt, error=error)
    return [ended, *_failed(state, command.node, error)]


def _settle(state: ExecutionState, path: str, outputs: LiteralDigests, error: ErrorRecord | None) -> list[Payload]:
    node = state.nodes[path]
    frame = node.frame
    if frame is None or node.status.is_final or not frame.is_settled:
        return []
    if frame.first_failed is not None and frame.error is not None:
        rest = _abandoned(state, path, f"{frame.first_failed} failed")
        if frame.handler is not None and not frame.handled:
            return [*rest, HandlerStarted(node=path, failed=frame.origin, error=frame.error)]
        failed = NodeFailed(node=path, error=_error_of(state, node, frame, frame.error), origin=frame.origin)
        return [*rest, failed, *_skipped(state, path)]
    if error is not None:
        return _failed(state, path, error)
    if frame.skipped and not frame.failed:
        return [NodeSkipped(node=path, reason=frame.skipped), *_skipped(state, path, frame.skipped)]
    return [NodeSucceeded(node=path, attempt=node.attempt, outputs=outputs)]


def _error_of(state: ExecutionState, node: NodeState, frame: Frame, first: ErrorRecord) -> ErrorRecord:
    """Why a node failed by what lies below it: the first failure, or for a map that tolerates some, what they were."""
    size = frame.items.size if frame.items is not None else len(frame.children)
    if node.spec.map is None or needed(node.spec.map, size) == size:
        return first
    shown = []
    for path in frame.failures[:3]:
        item = state.find(path)
        error = item.error if item is not None else None
        shown.append(f"item {path.rpartition('/')[2]}: {error.message if error is not None else 'failed'}")
    return first.model_copy(
        update={
            "code": "FP-MAP",
            "type": "flytepath.errors.MapFailedError",
            "message": f"{frame.failed} of {size} items of {node.name} failed: {'; '.join(shown)}",
            "place": node.path,
            "expected": f"at least {needed(node.spec.map, size)} successes",
        }
    )


# --- gates -------------------------------------------------------------------------------------------------------


def _open(state: ExecutionState, path: str, inputs: LiteralDigests, now: float) -> list[Payload]:
    node = state.nodes[path]
    gate = node.spec.gate
    if gate is None:
        raise ExecutionStateError(f"node {path} is no gate", place=path)
    due = now + gate.seconds if gate.kind == "sleep" else None
    expires = now + gate.timeout_seconds if gate.timeout_seconds is not None else None
    opened = GateOpened(node=path, kind=gate.kind, signal=gate.signal, inputs=inputs, due=due, expires=expires)
    if node.answer is None:
        return [opened]
    return [opened, *_answered(state, node, inputs, *node.answer)]


def _signal(state: ExecutionState, command: Signal) -> list[Payload]:
    node = state.nodes.get(command.node)
    if node is None or node.spec.gate is None or node.status.is_final or node.answer is not None:
        return []
    received = SignalReceived(
        node=command.node, signal=node.spec.gate.signal, approved=command.approved, value=command.value
    )
    if node.status is not NodeStatus.PAUSED or state.why_stopped(command.node) is not None:
        return [received]
    return [received, *_answered(state, node, node.inputs, command.approved, command.value)]


def _answered(
    state: ExecutionState, node: NodeState, inputs: LiteralDigests, approved: bool | None, value: str
) -> list[Payload]:
    names = [variable.name for variable in node.spec.interface.outputs] if node.spec.interface is not None else []
    if approved is False:
        return _failed(state, node.path, gate_error(node, "was not approved", "user"))
    outputs = {names[0]: value} if value and names else {name: inputs[name] for name in names if name in inputs}
    return [NodeSucceeded(node=node.path, attempt=0, outputs=outputs)]


def _ring(state: ExecutionState, path: str, now: float) -> list[Payload]:
    node = state.nodes[path]
    if node.status is not NodeStatus.PAUSED or state.why_stopped(path) is not None:
        return []
    if node.due is not None and node.due <= now:
        return [NodeSucceeded(node=path, attempt=0)]
    if node.expires is not None and node.expires <= now:
        return _failed(state, path, gate_error(node, "was not answered in time", "timeout"))
    return []


def gate_error(node: NodeState, what: str, kind: str) -> ErrorRecord:
    """Why a gate failed."""
    gate = node.spec.gate
    name = gate.signal if gate is not None and gate.signal else node.path
    seconds = gate.timeout_seconds if gate is not None else None
    return ErrorRecord.model_validate(
        {
            "kind": kind,
            "code": "FP-GATE",
            "type": "flytepath.errors.GateError",
            "message": f"{name} {what}",
            "place": node.path,
            "expected": f"an answer within {seconds:g} s" if kind == "timeout" and seconds else None,
            "recoverable": False,
        }
    )


# --- the whole ---------------------------------------------------------------------------------------------------


def _finish(state: ExecutionState, outputs: LiteralDigests, error: ErrorRecord | None) -> list[Payload]:
    root = state.root
    if state.running:
        raise ExecutionStateError("attempts are still running", actual=", ".join(state.running))
    if state.abort_reason is not None:
        return [*_rest(state, "the execution was aborted"), ExecutionAborted(reason=state.abort_reason)]
    if root.unfinished and not state.is_stopping:
        raise ExecutionStateError("nodes can still run", actual=_unfinished(state, root))
    if state.overdue is not None:
        rest = _rest(state, "the execution took too long")
        if root.handler is not None and not root.handled:
            return [*rest, HandlerStarted(failed="", error=state.overdue)]
        return [*rest, ExecutionFailed(node=None, error=state.overdue)]
    if root.first_failed is not None and root.error is not None:
        first = ErrorRecord.model_validate(error or root.error)
        rest = _rest(state, f"{root.first_failed} failed")
        if root.handler is not None and not root.handled:
            return [*rest, HandlerStarted(failed=root.origin, error=first)]
        return [*rest, ExecutionFailed(node=root.origin, error=first)]
    if error is not None:
        return [ExecutionFailed(node=None, error=error)]
    return [*_rest(state, "nothing needs it any more"), ExecutionSucceeded(outputs=outputs)]


def _time_out(state: ExecutionState, now: float) -> list[Payload]:
    deadline = state.deadline
    if deadline is None or deadline > now or state.overdue is not None or state.is_stopping or state.root.handled:
        return []
    error = ErrorRecord(
        kind="timeout",
        code="FP-EXECUTION-TIMEOUT",
        message=f"the execution took longer than its {deadline - state.created_at:g} s and was ended",
        place=state.spec.name,
        hint="raise the timeout of the workflow or of the run",
        recoverable=False,
    )
    return [DeadlinePassed(error=error)]


def _unfinished(state: ExecutionState, frame: Frame) -> str:
    return ", ".join(path for path in frame.children if not state.nodes[path].status.is_final)


def _rest(state: ExecutionState, reason: str) -> list[Payload]:
    return [
        NodeSkipped(node=path, reason=reason)
        for path, node in state.nodes.items()
        if not node.status.is_final and not _goes_without_saying(state, node)
    ]
