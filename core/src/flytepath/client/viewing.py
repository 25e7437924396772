"""From the state of an execution to what people are shown of it: the execution, a node, a page of a map's items."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from flytepath.client.gates import gates_of
from flytepath.client.history import Attempt, Attempts, created_of
from flytepath.client.job_viewing import JobViews
from flytepath.client.views import (
    AttemptView,
    DeckView,
    ExecutionView,
    GateView,
    ItemsView,
    NodeDetail,
    NodeView,
)
from flytepath.engine.items import Items
from flytepath.engine.state import ExecutionState, NodeState, NodeStatus
from flytepath.errors import ExecutionStateError, NotFoundError
from flytepath.model.events import BoundaryChecked, DeckWritten, Event, LogWritten
from flytepath.model.literal import Literal
from flytepath.model.workflow import CaseSpec, NodeSpec

#: How many failed items of a map are named.
NAMED_FAILURES: Final = 20

#: The literals of digests by name.
Named = Callable[[Mapping[str, str]], dict[str, Literal]]

_COUNTED: Final[Mapping[NodeStatus, str]] = {
    NodeStatus.WAITING: "waiting",
    NodeStatus.READY: "waiting",
    NodeStatus.PAUSED: "waiting",
    NodeStatus.RUNNING: "running",
    NodeStatus.RETRYING: "retrying",
    NodeStatus.SUCCEEDED: "succeeded",
    NodeStatus.FAILED: "failed",
    NodeStatus.SKIPPED: "skipped",
}


def execution_view(
    execution: str,
    state: ExecutionState,
    events: Sequence[Event],
    named: Named,
    *,
    interrupted: bool,
    past: bool = False,
    jobs: JobViews | None = None,
) -> ExecutionView:
    """An execution in a state, which ``events`` led to."""
    created = created_of(state)
    jobs = jobs or JobViews(state)
    return ExecutionView(
        id=execution,
        project=created.project,
        domain=created.domain,
        workflow=created.workflow,
        version=created.workflow_version,
        status=state.status,
        interrupted=interrupted,
        created_at=state.created_at,
        ended_at=state.ended_at,
        inputs=named(created.inputs),
        outputs=named(state.outputs),
        nodes=tuple(node_view(node, jobs) for node in listed(state)),
        decks=_decks(events),
        checks=tuple(e.payload for e in events if isinstance(e.payload, BoundaryChecked)),
        logs=tuple(e.payload for e in events if isinstance(e.payload, LogWritten)),
        error=state.error,
        failed_node=state.failed_node or state.root.origin or None,
        gates=() if state.status.is_final else tuple(_open_gates(state)),
        labels=created.labels,
        annotations=created.annotations,
        paused=state.paused is not None and not state.status.is_final,
        paused_reason=state.paused or "",
        deadline=state.deadline,
        recovers=created.recovers,
        relaunches=created.relaunches,
        plan=created.plan,
        scheduled_at=created.scheduled_at or None,
        seq=state.seq,
        past=past,
    )


def node_detail(
    execution: str,
    state: ExecutionState,
    events: Sequence[Event],
    path: str,
    named: Named,
    given: Callable[[NodeState], dict[str, Literal]],
    *,
    limit: int,
    after: int = 0,
    past: bool = False,
    jobs: JobViews | None = None,
) -> NodeDetail:
    """The node at ``path``; of a map the items from number ``after`` on, at most ``limit`` of them.

    Args:
        execution: its id.
        state, events: the execution, and what led to it.
        path: the node.
        named: the literals of digests.
        given: what a node is given, where no event says so: an item of a map.
        limit, after: which items.
        past: the execution has gone on since.
        jobs: its remote jobs.

    Raises:
        NotFoundError, ExecutionStateError: as :func:`find_node`.
    """
    node = find_node(state, path)
    jobs = jobs or JobViews(state)
    items = node.frame.items if node.frame is not None else None
    last = 0 if items is None else min(items.size, after + limit)
    if items is not None:
        below = tuple(item_view(state, path, items, index, jobs) for index in range(after, last))
    else:
        children = node.frame.children if node.frame is not None else ()
        below = tuple(node_view(state.nodes[child], jobs) for child in children)
    attempts = Attempts(events)
    return NodeDetail(
        execution=execution,
        node=node_view(node, jobs),
        inputs=named(node.inputs) if node.inputs or node.spec.map is not None else given(node),
        outputs=named(node.outputs),
        attempts=tuple(attempt_view(attempt) for attempt in attempts.of(path)),
        below=below,
        more=0 if items is None else items.size - last,
        gate=next((gate for gate in _open_gates(state) if gate.node == path), None),
        decks=tuple(deck for deck in _decks(events) if deck.node == path),
        checks=tuple(e.payload for e in events if isinstance(e.payload, BoundaryChecked) and e.payload.node == path),
        seq=state.seq,
        past=past,
    )


def node_view(node: NodeState, jobs: JobViews | None = None) -> NodeView:
    """One node, and the remote jobs that run it."""
    items = node.frame.items if node.frame is not None else None
    held_up = jobs.held_up(node) if jobs is not None else ""
    return NodeView(
        path=node.path,
        task=node.name,
        status=node.status,
        attempts=node.attempt,
        started_at=node.started_at,
        ended_at=node.ended_at,
        outputs=node.outputs,
        error=node.error,
        reason=node.reason or held_up,
        kind=node.kind,
        parent=node.parent,
        cached=bool(node.cached),
        recovered=node.recovered,
        items=None if items is None else _items_at(node, items, jobs),
        jobs=() if jobs is None or node.status.is_final else jobs.of(node.path),
    )


def _items_at(node: NodeState, items: Items, jobs: JobViews | None) -> ItemsView:
    counts = items_view(items, ended=node.status.is_final)
    phases = {} if jobs is None or node.status.is_final else jobs.phases(node.path)
    return counts.model_copy(update={"phases": phases}) if phases else counts


def item_view(state: ExecutionState, path: str, items: Items, index: int, jobs: JobViews | None = None) -> NodeView:
    """One item of the map at ``path``; one that has not begun waits."""
    node = state.find(f"{path}/{index}")
    if node is not None:
        return node_view(node, jobs)
    parent = state.nodes[path]
    return NodeView(
        path=f"{path}/{index}",
        task=parent.name,
        status=NodeStatus.SKIPPED if parent.status.is_final else NodeStatus.WAITING,
        attempts=0,
        started_at=None,
        ended_at=None,
        outputs={},
        error=None,
        reason="the map ended without it" if parent.status.is_final else "",
        kind="graph" if parent.spec.graph else "task",
        parent=path,
    )


def items_view(items: Items, *, ended: bool) -> ItemsView:
    """The items of a map in numbers; where the map has ``ended``, items that have not begun never will."""
    numbers = dict.fromkeys(_COUNTED.values(), 0)
    counts = items.counts()
    for status, count in counts.items():
        numbers[_COUNTED[status]] += count
    numbers["skipped" if ended else "waiting"] += items.size - sum(counts.values())
    failed = [index for index, status in items.ended.items() if status is NodeStatus.FAILED]
    failures = []
    for index in sorted(failed)[:NAMED_FAILURES]:
        error = items.error_of(index)
        failures.append((index, error.message if error is not None else "failed"))
    return ItemsView(total=items.size, failures=tuple(failures), **numbers)


def attempt_view(attempt: Attempt) -> AttemptView:
    """One attempt."""
    return AttemptView(
        number=attempt.number,
        outcome=attempt.outcome,
        seq=attempt.started,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        error=attempt.error,
        retry_at=attempt.retry_at,
        cpu_seconds=attempt.usage.cpu_seconds,
        peak_memory_bytes=attempt.usage.peak_memory_bytes,
        log=attempt.log,
    )


def listed(state: ExecutionState) -> Iterator[NodeState]:
    """Every node but those below a map, which are too many to list: a map stands for its items."""
    inside: set[str] = set()  # parents come before what lies below them
    for path, node in state.nodes.items():
        if node.parent in inside or state.map_of(node) is not None:
            inside.add(path)
        else:
            yield node


# --- which node is meant -----------------------------------------------------------------------------------------


def find_node(state: ExecutionState, path: str) -> NodeState:
    """The node at ``path``, also an item of a map, begun or not.

    Raises:
        NotFoundError: there is no such node; near matches are named.
        ExecutionStateError: it would be there if its branch had been taken, or is not there yet.
    """
    node = state.find(path)
    if node is not None:
        return node
    parent_path, _, last = path.rpartition("/")
    parent = state.find(parent_path) if parent_path else None
    items = parent.frame.items if parent is not None and parent.frame is not None else None
    if parent is not None and items is not None and last.isdigit() and int(last) < items.size:
        return _not_begun(state, parent, int(last))
    for around in _around(path):
        known = state.find(around)
        if known is not None:
            raise _missing_below(known, path)
    close = difflib.get_close_matches(path, [node.path for node in listed(state)], n=3, cutoff=0.5)
    named = [node.path for node in listed(state) if path in (node.spec.name, node.name, node.name.rpartition(".")[2])]
    near = list(dict.fromkeys([*named, *close]))
    raise NotFoundError(
        f"there is no node {path!r} in this execution",
        place=path,
        expected=", ".join(node.path for node in list(listed(state))[:20]),
        hint=f"did you mean {' or '.join(near)}?" if near else None,
    )


def _not_begun(state: ExecutionState, parent: NodeState, index: int) -> NodeState:
    """A node for an item that has not begun, which is no part of the state."""
    from flytepath.engine.expansion import map_item

    spec = map_item(parent.spec, index)
    task = spec.task_of(parent.tables.tasks) if spec.task and spec.kind == "task" else None
    node = NodeState(spec, parent.tables, parent.path, parent.called, task)
    if parent.status.is_final:
        node.status, node.reason = NodeStatus.SKIPPED, "the map ended without it"
    return node


def _around(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _missing_below(around: NodeState, path: str) -> ExecutionStateError | NotFoundError:
    """Why there is nothing at ``path``, which would lie below the node ``around``."""
    items = around.frame.items if around.frame is not None else None
    if items is not None:
        expected = f"{around.path}/0 to {around.path}/{items.size - 1}" if items.size else "it has no items"
        return NotFoundError(
            f"the map {around.path} has {items.size} items, and {path} is none of them", place=path, expected=expected
        )
    for number, case in enumerate(around.spec.cases):
        if any(path == node.path or path.startswith(f"{node.path}/") for node in _nodes_of(case)):
            if around.frame is None:
                why = f"{around.path} was skipped" if around.status is NodeStatus.SKIPPED else "it is not decided yet"
            else:
                why = f"{around.path} took another"
            return ExecutionStateError(
                f"{path} lies in case {number} of the conditional {around.path}: {why}",
                place=path,
                actual=around.status,
                hint=f"`flytepath executions explain` says more of {around.path}",
            )
    if around.frame is None and not around.status.is_final and around.kind in ("graph", "map", "dynamic", "eager"):
        return ExecutionStateError(
            f"nothing lies below {around.path} yet: it is {around.status}", place=path, actual=around.status
        )
    if around.status is NodeStatus.SKIPPED:
        return ExecutionStateError(
            f"{around.path} was skipped, so nothing lies below it: {around.reason}", place=path, actual=around.status
        )
    below = ", ".join((around.frame.children if around.frame is not None else [])[:20])
    return NotFoundError(
        f"there is no node {path!r} in this execution", place=path, expected=below or f"{around.path}, below it is none"
    )


def _nodes_of(case: CaseSpec) -> Iterator[NodeSpec]:
    for node in case.nodes:
        yield node
        for inner in node.cases:
            yield from _nodes_of(inner)


def _open_gates(state: ExecutionState) -> Iterator[GateView]:
    for node, gate in gates_of(state):
        if node.status is NodeStatus.PAUSED:
            yield GateView(
                node=node.path,
                kind=gate.kind,
                signal=gate.signal,
                type=gate.type,
                until=node.due if node.due is not None else node.expires,
            )


def _decks(events: Sequence[Event]) -> tuple[DeckView, ...]:
    """The last content of each deck; one that was published while it grew was written more than once."""
    views: dict[tuple[str, int, str], DeckView] = {}
    for event in events:
        p = event.payload
        if isinstance(p, DeckWritten):
            key = (p.node, p.attempt, p.name)
            views[key] = DeckView(node=p.node, attempt=p.attempt, name=p.name, **p.deck.model_dump())
    return tuple(views.values())
