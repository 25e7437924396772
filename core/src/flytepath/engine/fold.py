"""The fold: the only thing that changes the state of an execution. Pure, and the same in every process.

``apply(state, event)`` takes what :func:`flytepath.engine.decisions.decide` returned, in the order it was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from flytepath.engine.expansion import bound_below, instantiated, needed
from flytepath.engine.items import Items
from flytepath.engine.jobs import apply_job
from flytepath.engine.state import ExecutionState, ExecutionStatus, Frame, NodeState, NodeStatus, Specs
from flytepath.errors import ExecutionStateError
from flytepath.model.events import (
    AbortRequested,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    CallStarted,
    DeadlinePassed,
    Event,
    ExecutionAborted,
    ExecutionContinued,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionOwned,
    ExecutionPaused,
    ExecutionSucceeded,
    GateOpened,
    HandlerStarted,
    ItemsStarted,
    ItemsSucceeded,
    JobParked,
    JobPlanned,
    NodeExpanded,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    Payload,
    SignalReceived,
)
from flytepath.model.job_events import JobEvent
from flytepath.model.workflow import NodeSpec, WorkflowSpec

#: How many failed items of a map are remembered by name.
REMEMBERED = 5


def fold(spec: WorkflowSpec, events: Sequence[Event], specs: Specs | None = None) -> ExecutionState:
    """The state after ``events``; ``specs`` gives the graphs that came up in the run, by digest."""
    state = ExecutionState.of(spec, specs)
    for event in events:
        apply(state, event)
    return state


def apply(state: ExecutionState, event: Event) -> None:
    """Fold one event into the state, in place."""
    if event.seq != state.seq + 1:
        raise ExecutionStateError(
            "an event is missing or comes twice", expected=str(state.seq + 1), actual=str(event.seq)
        )
    state.seq, state.changed_at = event.seq, event.at
    payload = event.payload
    match payload:
        case ExecutionCreated():
            state.created = payload
            state.created_at = event.at
        case ExecutionOwned():
            state.owner, state.epoch = payload.owner, payload.epoch
            state.wait_anew()
        case AttemptStarted():
            state.at(payload.node).inputs = payload.inputs
            _started(state, payload.node, payload.attempt, event.at)
        case ItemsStarted():
            for index, attempt in payload.items:
                _started(state, f"{payload.node}/{index}", attempt, event.at)
        case ItemsSucceeded():
            for index, attempt, digests in payload.items:
                outputs = dict(zip(payload.names, digests, strict=True))
                _succeeded(
                    state, NodeSucceeded(node=f"{payload.node}/{index}", attempt=attempt, outputs=outputs), event.at
                )
        case AttemptLost():
            _attempt_lost(state, payload)
        case AttemptFailed():
            _attempt_failed(state, payload)
        case NodeExpanded():
            _expanded(state, payload, event.at)
        case CallStarted():
            _called(state, payload, event.at)
        case GateOpened():
            _opened(state, payload, event.at)
        case SignalReceived():
            state.at(payload.node).answer = (payload.approved, payload.value)
        case HandlerStarted():
            _handled(state, payload)
        case NodeSucceeded():
            _succeeded(state, payload, event.at)
        case NodeFailed():
            _failed(state, payload, event.at)
        case NodeSkipped():
            _skipped(state, payload, event.at)
        case JobPlanned():
            apply_job(state.jobs, payload, event.at)
            state.parked.pop(payload.node, None)
            for path in state.jobs[payload.key].paths:
                state.job_of[path] = payload.key
        case JobParked(key="", node=path, reason=reason):
            state.parked[path] = reason
        case _ if isinstance(payload, JobEvent):
            apply_job(state.jobs, payload, event.at)
        case _:
            _whole(state, payload, event.at)


def _whole(state: ExecutionState, payload: Payload, at: float) -> None:
    """What happens to the execution as a whole."""
    match payload:
        case AbortRequested():
            state.abort_reason = payload.reason
        case ExecutionPaused():
            state.paused = payload.reason
        case ExecutionContinued():
            state.paused = None
            state.wait_anew()
        case DeadlinePassed():
            state.overdue = payload.error
        case ExecutionSucceeded():
            state.status, state.outputs, state.ended_at = ExecutionStatus.SUCCEEDED, payload.outputs, at
        case ExecutionFailed():
            state.status, state.error, state.ended_at = ExecutionStatus.FAILED, payload.error, at
            state.failed_node = payload.node
        case ExecutionAborted():
            state.status, state.ended_at = ExecutionStatus.ABORTED, at
        case _:
            return  # facts that change no decision: decks, checks, logs, erased values


# --- attempts ----------------------------------------------------------------------------------------------------


def _started(state: ExecutionState, path: str, attempt: int, at: float) -> None:
    node = state.at(path)
    _leave_queues(state, path)
    node.status, node.attempt, node.retry_at = NodeStatus.RUNNING, attempt, None
    if node.started_at is None:
        node.started_at = at
    state.running[path] = attempt
    state.root.active += 1
    for around in state.around(path):
        if around.frame is not None:
            around.frame.active += 1


def _attempt_ended(state: ExecutionState, path: str) -> None:
    if state.running.pop(path, None) is None:
        return
    state.job_of.pop(path, None)
    state.parked.pop(path, None)
    state.root.active -= 1
    for around in state.around(path):
        if around.frame is not None:
            around.frame.active -= 1
            _look(state, around)


def _attempt_lost(state: ExecutionState, payload: AttemptLost) -> None:
    node = state.at(payload.node)
    _attempt_ended(state, payload.node)
    if not node.status.is_final:
        node.error, node.retry_at = payload.error, None
        node.losses += 1
        state.make_ready(node)


def _attempt_failed(state: ExecutionState, payload: AttemptFailed) -> None:
    path, error, retry_at = payload.node, payload.error, payload.retry_at
    node = state.at(path)
    _attempt_ended(state, path)
    if node.status.is_final:
        return
    node.error, node.retry_at = error, retry_at
    if node.is_further(payload.progress):
        node.progress, node.user_failures, node.system_failures = payload.progress, 0, 0
    if error.kind in ("user", "timeout"):
        node.user_failures += 1
    else:
        node.system_failures += 1
    node.status = NodeStatus.RETRYING
    if retry_at is not None:
        state.retrying[path] = retry_at


# --- nodes below nodes -------------------------------------------------------------------------------------------


def children_of(
    state: ExecutionState, node: NodeState, payload: NodeExpanded
) -> tuple[Frame, list[NodeSpec], WorkflowSpec]:
    """What an expansion puts below ``node``: the frame, the nodes, and the compiled graph their names are in."""
    path, tables = node.path, node.tables
    if payload.spec:
        tables = state.graph(payload.spec)
        return Frame.of(tables, path, bound_below(tables.outputs, path)), _nodes(tables.nodes, path), tables
    if payload.case is not None:
        case = node.spec.cases[payload.case]
        policy = state.frame_around(node).policy
        variables = node.spec.interface.outputs if node.spec.interface is not None else ()
        return Frame(path, policy, case.outputs, variables), list(case.nodes), tables
    if payload.items is not None and node.spec.map is not None:
        tolerated = payload.items - needed(node.spec.map, payload.items)
        items = Items.of(payload.items, node.spec.map.concurrency, is_remote=node.maps_remotely)
        return Frame(path, "fail_immediately", items=items, unfinished=payload.items, tolerated=tolerated), [], tables
    graph = node.graph
    return Frame.of(graph, path, bound_below(graph.outputs, path)), _nodes(graph.nodes, path), tables


def _nodes(nodes: Sequence[NodeSpec], prefix: str) -> list[NodeSpec]:
    return [instantiated(node, prefix) for node in nodes]


def _expanded(state: ExecutionState, payload: NodeExpanded, at: float) -> None:
    node = state.at(payload.node)
    _attempt_ended(state, payload.node)
    _leave_queues(state, payload.node)
    node.status, node.produced = NodeStatus.RUNNING, payload.spec
    if payload.inputs or not payload.attempt:
        node.inputs = payload.inputs
    if node.started_at is None:
        node.started_at = at
    frame, children, tables = children_of(state, node, payload)
    node.frame = frame
    state.add(frame, children, tables)
    state.begin_items(frame)
    _look(state, node)


def _called(state: ExecutionState, payload: CallStarted, at: float) -> None:
    caller = state.nodes[payload.node]
    if caller.frame is None:
        caller.frame = Frame(payload.node, "fail_after_executable_nodes_complete", tolerated=None)
    tables = state.graph(payload.spec)
    path = f"{payload.node}/{payload.call}"
    call = NodeState(NodeSpec(path=path, graph=payload.callee), tables, payload.node, True, None, NodeStatus.RUNNING)
    call.inputs, call.started_at, call.cached = payload.inputs, at, ""
    call.frame = Frame.of(tables, path, bound_below(tables.outputs, path))
    state.nodes[path] = call
    caller.frame.children.append(path)
    caller.frame.unfinished += 1
    state.add(call.frame, _nodes(tables.nodes, path), tables)
    _look(state, call)


def _handled(state: ExecutionState, payload: HandlerStarted) -> None:
    node = state.nodes[payload.node] if payload.node else None
    frame = state.root if node is None else node.frame
    if frame is None or frame.handler is None:
        raise ExecutionStateError("there is no failure handler here", place=payload.node)
    frame.handled, frame.error = True, frame.error or payload.error
    tables = state.spec
    if node is not None:
        # What a dynamic task or a call produced brought its own names along.
        child = next(iter(frame.children), None)
        tables = state.nodes[child].tables if child is not None else node.tables
    state.add(frame, [instantiated(frame.handler, payload.node)], tables)


def _opened(state: ExecutionState, payload: GateOpened, at: float) -> None:
    node = state.at(payload.node)
    _leave_queues(state, payload.node)
    node.status, node.inputs, node.started_at = NodeStatus.PAUSED, payload.inputs, at
    node.due, node.expires = payload.due, payload.expires
    state.timers[payload.node] = payload.due if payload.due is not None else payload.expires


# --- ends --------------------------------------------------------------------------------------------------------


def _succeeded(state: ExecutionState, payload: NodeSucceeded, at: float) -> None:
    node = state.at(payload.node)
    if not _end(state, node, NodeStatus.SUCCEEDED, at):
        return
    node.outputs, node.error = payload.outputs, None
    node.cached, node.recovered = payload.cached, payload.recovered
    if payload.inputs:
        node.inputs = payload.inputs
    _leave_frame(state, node)
    for path in state.downstream.get(payload.node, ()):
        following = state.nodes[path]
        following.waiting_for -= 1
        if following.waiting_for == 0 and following.status is NodeStatus.WAITING:
            state.make_ready(following)


def _failed(state: ExecutionState, payload: NodeFailed, at: float) -> None:
    node = state.at(payload.node)
    if not _end(state, node, NodeStatus.FAILED, at):
        return
    node.error, node.origin = payload.error, payload.origin or payload.node
    frame = state.frame_around(node)
    if frame.handled:
        _leave_frame(state, node)
        return  # the handler's own failure changes nothing
    frame.failed += 1
    if len(frame.failures) < REMEMBERED:
        frame.failures.append(node.path)
    if frame.tolerated is not None and frame.failed > frame.tolerated and frame.first_failed is None:
        first = state.find(frame.failures[0]) or node
        frame.first_failed, frame.origin, frame.error = first.path, first.origin, first.error
        frame.stopping = frame.policy == "fail_immediately"
    _leave_frame(state, node)


def _skipped(state: ExecutionState, payload: NodeSkipped, at: float) -> None:
    node = state.at(payload.node)
    if not _end(state, node, NodeStatus.SKIPPED, at):
        return
    node.reason = payload.reason
    frame = state.frame_around(node)
    frame.skipped = frame.skipped or payload.reason
    _leave_frame(state, node)


def _end(state: ExecutionState, node: NodeState, status: NodeStatus, at: float) -> bool:
    """Give the node its last status; false where it has one."""
    if node.status.is_final:
        return False
    _attempt_ended(state, node.path)
    _leave_queues(state, node.path)
    state.settled.pop(node.path, None)
    node.status, node.ended_at = status, at
    if node.frame is not None and node.frame.items is not None:
        _give_up(state, node.frame.items)
        node.frame.unfinished = node.frame.items.live
    return True


def _give_up(state: ExecutionState, items: Items) -> None:
    """A map has ended: what has not begun never will, and needs no event to say so."""
    items.limit = 0
    for item in list(items.under_way()):
        if item.path not in state.running and item.frame is None:
            _leave_queues(state, item.path)
            item.status, item.ended_at, item.reason = NodeStatus.SKIPPED, state.changed_at, "the map ended without it"
            _keep(state, items, item)


def _keep(state: ExecutionState, items: Items, item: NodeState) -> None:
    items.keep(item.index, item)
    if item.frame is None:
        del state.nodes[item.path]


def _leave_frame(state: ExecutionState, node: NodeState) -> None:
    """Count the end of ``node`` where it lies, and let the next item of a map begin."""
    frame = state.frame_around(node)
    frame.unfinished -= 1
    if frame.items is not None:
        _keep(state, frame.items, node)
        if not frame.stopping:
            state.begin_items(frame)
    if node.parent:
        _look(state, state.nodes[node.parent])


def _look(state: ExecutionState, node: NodeState) -> None:
    """Note a node whose nodes below have come to their end."""
    if node.frame is not None and not node.status.is_final and node.frame.is_settled:
        state.settled[node.path] = None


def _leave_queues(state: ExecutionState, path: str) -> None:
    for queue in (state.instant, state.urgent, state.ready, state.remote, state.retrying, state.timers, state.queued):
        queue.pop(path, None)
