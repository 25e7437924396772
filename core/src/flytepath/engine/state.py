"""The state of an execution: its nodes, what lies below them, and what is to be done next. No I/O, no clock.

Only :mod:`flytepath.engine.fold` changes a state; :mod:`flytepath.engine.decisions` says which events follow from it.
A node that runs no task of its own is *expanded* into nodes below its path. Its :class:`Frame` counts them, so that
what an event costs does not grow with the graph.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from flytepath.engine.expansion import HANDLER, below, map_item, upstream_of
from flytepath.engine.items import Items
from flytepath.engine.jobs import Job
from flytepath.model.events import (
    AttemptStarted,
    ErrorRecord,
    ExecutionCreated,
    ItemsStarted,
    ItemsSucceeded,
    JobAmbiguous,
    JobCollected,
    JobEnded,
    JobObserved,
    JobPlanned,
    JobReturned,
    JobSubmitted,
    JobSubmitting,
    LiteralDigests,
    LogWritten,
    NodeSucceeded,
    Payload,
)
from flytepath.model.task import RetryPolicy, TaskSpec, Variable
from flytepath.model.workflow import Binding, FailurePolicy, GraphSpec, NodeSpec, WorkflowSpec

#: A compiled graph by its digest: content-addressed, so that looking one up is no side effect.
Specs = Callable[[str], WorkflowSpec]

NodeKind = Literal["task", "dynamic", "eager", "graph", "map", "branch", "gate"]
#: Events that come by the thousands, and after which whatever runs may go on.
_HARMLESS = (
    AttemptStarted
    | ItemsStarted
    | ItemsSucceeded
    | LogWritten
    | JobPlanned
    | JobSubmitting
    | JobAmbiguous
    | JobReturned
    | JobSubmitted
    | JobObserved
    | JobCollected
    | JobEnded
)
#: Kinds that a worker runs.
ATTEMPTED = frozenset({"task", "dynamic", "eager"})


class NodeStatus(enum.StrEnum):
    """Where a node is. A node with nodes below it is ``running`` while they are; an open gate is ``paused``."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
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
class Frame:
    """The nodes directly below a node, or those of the execution itself.

    Attributes:
        path: the node's path; empty for the execution.
        policy: whether a failure stops what runs beside it.
        outputs, variables: what the outputs are made of, and their declared types. A map has no ``outputs``.
        handler: what runs when it fails.
        children: every node directly below, unless it is a map.
        items: what lies below a map.
        unfinished: how many of them have not ended.
        active: how many attempts run anywhere below.
        tolerated: how many may fail without harm; ``None`` where a failure means nothing (the calls of an eager task).
        failures: the first few that failed, and ``failed`` how many did.
        first_failed, origin: whose failure it dies of, and where that began; ``None`` while it does not.
        stopping: nothing new may start, what runs is ended.
        skipped: why one could not run although none failed.
        handled: its handler has been made ready.
    """

    path: str
    policy: FailurePolicy
    outputs: dict[str, Binding] = field(default_factory=dict)
    variables: tuple[Variable, ...] = ()
    handler: NodeSpec | None = None
    children: list[str] = field(default_factory=list)
    items: Items | None = None
    unfinished: int = 0
    active: int = 0
    tolerated: int | None = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    first_failed: str | None = None
    origin: str = ""
    error: ErrorRecord | None = None
    stopping: bool = False
    skipped: str = ""
    handled: bool = False

    @classmethod
    def of(cls, graph: GraphSpec, path: str, outputs: dict[str, Binding]) -> Frame:
        """The frame of a graph that runs as the node ``path``."""
        return cls(path, graph.failure_policy, outputs, graph.interface.outputs, graph.on_failure)

    @property
    def is_settled(self) -> bool:
        """Whether what lies below has come to its end, so that the node can."""
        if self.tolerated is None:
            return False
        if self.stopping and not self.handled:
            return self.active == 0
        return self.unfinished == 0


@dataclass(slots=True, repr=False)
class NodeState:
    """One node: its attempts, what lies below it, and how it went.

    Attributes:
        tables: the compiled graph that its ``task`` and ``graph`` are names in.
        parent: the node it lies below; empty for a node of the workflow itself.
        called: whether it lies below a call of an eager task, so that somebody's attempt waits for it.
        user_failures, system_failures: what was charged to the budgets of its retry policy.
        progress: how far any of its attempts came, where that is known.
        losses: attempts that were lost with their engine, which is charged to no budget.
        ready_at: when it could first start.
        produced: the digest of the graph that a dynamic task gave.
        cached, recovered: the cache key, or the execution, that its outputs were taken from.
        answer: what a signal said before the gate opened.
    """

    spec: NodeSpec
    tables: WorkflowSpec
    parent: str = ""
    called: bool = False
    task: TaskSpec | None = None
    status: NodeStatus = NodeStatus.WAITING
    waiting_for: int = 0
    attempt: int = 0
    user_failures: int = 0
    system_failures: int = 0
    losses: int = 0
    progress: float | None = None
    ready_at: float | None = None
    retry_at: float | None = None
    inputs: LiteralDigests = field(default_factory=dict)
    outputs: LiteralDigests = field(default_factory=dict)
    frame: Frame | None = None
    produced: str = ""
    due: float | None = None
    expires: float | None = None
    answer: tuple[bool | None, str] | None = None
    cached: str = ""
    recovered: str = ""
    error: ErrorRecord | None = None
    origin: str = ""
    reason: str = ""
    started_at: float | None = None
    ended_at: float | None = None

    def __repr__(self) -> str:
        return f"<node {self.path} {self.status}>"

    @property
    def path(self) -> str:
        """Where it is."""
        return self.spec.path

    @property
    def index(self) -> int:
        """Which item of its map it is."""
        return int(self.path.rpartition("/")[2])

    @property
    def kind(self) -> NodeKind:
        """What it does."""
        if self.task is not None:
            return self.task.mode
        kind = self.spec.kind
        return "graph" if kind == "task" else kind

    @property
    def name(self) -> str:
        """What it runs, or what it was called."""
        gate = self.spec.gate
        return self.spec.task or self.spec.graph or self.spec.name or (gate.signal or gate.kind if gate else "branch")

    @property
    def is_interruptible(self) -> bool:
        """Whether its next attempt may run where it can be taken away; the last one that is allowed for may not."""
        return bool(self.task and self.task.interruptible) and self.system_failures < self.task.retry.system  # type: ignore[union-attr]

    @property
    def is_attempted(self) -> bool:
        """Whether it runs a task, on a worker or as a remote job."""
        return self.task is not None

    def is_further(self, progress: float | None) -> bool:
        """Whether an attempt that came so far has come further than any before."""
        return progress is not None and (self.progress is None or progress > self.progress)

    @property
    def is_remote(self) -> bool:
        """Whether a backend runs it as a job that outlives the engine."""
        return self.task is not None and self.task.backend != "local"

    @property
    def maps_remotely(self) -> bool:
        """Whether it is a map whose items are such jobs."""
        spec = self.spec
        return spec.kind == "map" and bool(spec.task) and spec.task_of(self.tables.tasks).backend != "local"

    @property
    def graph(self) -> GraphSpec:
        """The graph it runs as one step; a call of an eager task runs the whole of what it came with."""
        return self.tables.graphs.get(self.spec.graph, self.tables)


@dataclass(slots=True, repr=False)
class ExecutionState:
    """An execution as its events tell it.

    Attributes:
        graphs: compiled graphs that came up in the run, by digest.
        instant: nodes that are due and need no worker: they expand, or open.
        ready: nodes whose next attempt can start; ``urgent`` those of them that an attempt waits for, ``remote`` those
            that need no worker of ours.
        running: attempts that run, by node.
        retrying: when the next attempt of a node is due.
        timers: open gates, and when time decides for them (``None``: never).
        queued: when those that may not wait for ever have waited long enough.
        paused: why nothing new may start, ``None`` while it may.
        overdue: why it was ended, when its time was over.
        settled: nodes whose nodes below have come to their end.
        jobs: remote jobs that have not ended, by key, and ``job_of`` the key of a node's.
        parked: why a node that is to become a job cannot be planned.
    """

    spec: WorkflowSpec
    specs: Specs = field(compare=False, repr=False)
    root: Frame = field(default_factory=lambda: Frame("", "fail_immediately"))
    created: ExecutionCreated | None = None
    status: ExecutionStatus = ExecutionStatus.RUNNING
    seq: int = 0
    owner: str = ""
    epoch: int = 0
    nodes: dict[str, NodeState] = field(default_factory=dict)
    graphs: dict[str, WorkflowSpec] = field(default_factory=dict)
    downstream: dict[str, list[str]] = field(default_factory=dict)
    instant: dict[str, None] = field(default_factory=dict)
    urgent: dict[str, None] = field(default_factory=dict)
    ready: dict[str, None] = field(default_factory=dict)
    remote: dict[str, None] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    retrying: dict[str, float] = field(default_factory=dict)
    timers: dict[str, float | None] = field(default_factory=dict)
    queued: dict[str, float] = field(default_factory=dict)
    settled: dict[str, None] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    job_of: dict[str, str] = field(default_factory=dict)
    parked: dict[str, str] = field(default_factory=dict)
    paused: str | None = None
    overdue: ErrorRecord | None = None
    abort_reason: str | None = None
    outputs: LiteralDigests = field(default_factory=dict)
    error: ErrorRecord | None = None
    failed_node: str | None = None
    created_at: float = 0.0
    changed_at: float = 0.0
    ended_at: float | None = None

    @classmethod
    def of(cls, spec: WorkflowSpec, specs: Specs | None = None) -> ExecutionState:
        """The state before the first event.

        Args:
            spec: the compiled workflow.
            specs: compiled graphs that came up in the run (of dynamic tasks, of calls), by digest.
        """
        state = cls(spec, specs or _none_known, Frame.of(spec, "", spec.outputs))
        state.add(state.root, spec.nodes, spec)
        return state

    def __repr__(self) -> str:
        # Event loops print what a coroutine gave; with all it holds that would grow with the square of the graph.
        return f"<execution of {self.spec.name} {self.status} at {self.seq}>"

    @property
    def is_stopping(self) -> bool:
        """Whether no further attempt may start: an abort, or a failure under ``fail_immediately``."""
        if self.abort_reason is not None:
            return True
        return (self.overdue is not None or self.root.stopping) and not self.root.handled

    @property
    def deadline(self) -> float | None:
        """When the whole has to have ended (seconds since the epoch, UTC)."""
        asked = self.created.timeout_seconds if self.created is not None else 0.0
        seconds = asked or self.spec.timeout_seconds
        return self.created_at + seconds if seconds else None

    @property
    def first_failed(self) -> str | None:
        """The node of the workflow itself that failed first."""
        return self.root.first_failed

    @property
    def unfinished(self) -> int:
        """How many nodes of the workflow itself have not ended."""
        return self.root.unfinished

    def retry_policy(self, node: NodeState) -> RetryPolicy:
        """The retry policy of the node's task."""
        return node.task.retry if node.task is not None else RetryPolicy()

    def graph(self, digest: str) -> WorkflowSpec:
        """A compiled graph that came up in the run."""
        if digest not in self.graphs:
            self.graphs[digest] = self.specs(digest)
        return self.graphs[digest]

    def frame_around(self, node: NodeState) -> Frame:
        """The frame the node is counted in."""
        frame = self.nodes[node.parent].frame if node.parent else self.root
        return frame if frame is not None else self.root

    def map_of(self, node: NodeState) -> NodeState | None:
        """The map that the node is an item of."""
        parent = self.nodes[node.parent] if node.parent else None
        return parent if parent is not None and parent.kind == "map" else None

    def around(self, path: str) -> Iterator[NodeState]:
        """The nodes that ``path`` lies below, the nearest first."""
        while parent := self.nodes[path].parent:
            yield self.nodes[parent]
            path = parent

    def below(self, path: str) -> Iterator[NodeState]:
        """Every node below ``path``, at any depth."""
        pending = [self.nodes[path]]
        while pending:
            frame = pending.pop().frame
            if frame is None:
                continue
            children = [self.nodes[child] for child in frame.children]
            if frame.items is not None:
                children += frame.items.nodes.values()
            yield from children
            pending += children

    def at(self, path: str) -> NodeState:
        """The node at ``path``; an item of a map that has not begun begins.

        Raises:
            KeyError: there is none.
        """
        node = self.nodes.get(path)
        if node is not None:
            return node
        items, index = self._item(path)
        return self.restored(path) if index in items.ended else self._begin(path, index)

    def find(self, path: str) -> NodeState | None:
        """The node at ``path`` as it is, also an item of a map that has ended; ``None`` where there is none (yet)."""
        node = self.nodes.get(path)
        if node is not None:
            return node
        try:
            items, index = self._item(path)
        except KeyError:
            return None
        return self.restored(path) if index in items.ended else None

    def restored(self, path: str) -> NodeState:
        """What is left of an item that has ended, as a node; changing it changes nothing."""
        items, index = self._item(path)
        return items.restore(index, self._item_node(path, index))

    def _item(self, path: str) -> tuple[Items, int]:
        parent, _, last = path.rpartition("/")
        node = self.nodes.get(parent)
        items = node.frame.items if node is not None and node.frame is not None else None
        if items is None or not last.isdigit() or int(last) >= items.size:
            raise KeyError(path)
        return items, int(last)

    def _item_node(self, path: str, index: int) -> NodeState:
        parent = self.nodes[path.rpartition("/")[0]]
        spec = map_item(parent.spec, index)
        task = spec.task_of(parent.tables.tasks) if spec.task and spec.kind == "task" else None
        called = parent.called or parent.kind == "eager"
        return NodeState(spec, parent.tables, parent.path, called, task)

    def _begin(self, path: str, index: int) -> NodeState:
        items, _ = self._item(path)
        node = self.nodes[path] = items.nodes[index] = self._item_node(path, index)
        items.live += 1
        return node

    def begin_items(self, frame: Frame) -> None:
        """Let the next items of a map begin, as many as may be under way."""
        items = frame.items
        while items is not None and items.live < items.limit and items.begun < items.size:
            index = items.begun
            items.begun += 1
            if index not in items.ended and index not in items.nodes:
                self.make_ready(self._begin(f"{frame.path}/{index}", index))

    def why_stopped(self, path: str) -> str | None:
        """Why nothing of ``path`` may run any more, ``None`` where it may."""
        if self.abort_reason is not None:
            return "the execution was aborted"
        if self.overdue is not None and not self.root.handled:
            return "the execution took too long"
        while True:
            node = self.nodes[path]
            frame = self.frame_around(node)
            if frame.stopping and path != below(frame.path, HANDLER):
                return f"{frame.first_failed} failed"
            if not node.parent:
                return None
            if self.nodes[node.parent].status.is_final:
                return f"{node.parent} ended"
            path = node.parent

    def stopped(self) -> list[tuple[str, str]]:
        """What runs although nothing of it may any more, and why: nodes beside each other are looked at together."""
        if self.abort_reason is None and (self.overdue is None or self.root.handled):
            calm = {parent: self._is_calm(parent) for parent in {self.nodes[path].parent for path in self.running}}
            suspects = [path for path in self.running if not calm[self.nodes[path].parent]]
        else:
            suspects = list(self.running)
        return [(path, why) for path in suspects if (why := self.why_stopped(path)) is not None]

    def stops_nothing(self, payload: Payload) -> bool:
        """Whether what runs may go on after this as before it; false where that is not plain to see."""
        if isinstance(payload, NodeSucceeded):
            node = self.nodes.get(payload.node)
            return node is None or node.frame is None
        return isinstance(payload, _HARMLESS)

    def _is_calm(self, parent: str) -> bool:
        """Whether nothing below ``parent`` (empty: of the execution itself) is being stopped."""
        node = self.nodes[parent] if parent else None
        frame = self.root if node is None or node.frame is None else node.frame
        if frame.stopping:
            return False
        return node is None or (not node.status.is_final and self.why_stopped(parent) is None)

    def queue(self, node: NodeState) -> dict[str, None]:
        """Where the node waits for its turn."""
        if not node.is_attempted:
            return self.instant
        if node.is_remote:
            return self.remote
        return self.urgent if node.called else self.ready

    def add(self, frame: Frame, specs: Iterable[NodeSpec], tables: WorkflowSpec) -> None:
        """Put new nodes below a frame."""
        parent = self.nodes[frame.path] if frame.path else None
        called = parent is not None and (parent.called or parent.kind == "eager")
        added: list[NodeState] = []
        for spec in specs:
            task = spec.task_of(tables.tasks) if spec.task and spec.kind == "task" else None
            node = NodeState(spec, tables, frame.path, called, task)
            self.nodes[spec.path] = node
            frame.children.append(spec.path)
            added.append(node)
        frame.unfinished += len(added)
        for node in added:
            for path in upstream_of(node.spec):
                known = self.nodes.get(path)
                if known is None or known.status is not NodeStatus.SUCCEEDED:
                    node.waiting_for += 1
                    self.downstream.setdefault(path, []).append(node.path)
            if not node.waiting_for:
                self.make_ready(node)

    def make_ready(self, node: NodeState) -> None:
        """Let the node be the next of its queue."""
        node.status = NodeStatus.READY
        self.queue(node)[node.path] = None
        if node.ready_at is None:
            node.ready_at = self.changed_at
        wait = self.patience_of(node)
        if wait is not None:
            self.queued[node.path] = self.changed_at + wait

    def patience_of(self, node: NodeState) -> float | None:
        """How many seconds a node may wait for its turn, ``None`` for any number."""
        return node.task.queue_timeout_seconds if node.task is not None else None

    def wait_anew(self) -> None:
        """Let all that waits for its turn wait from now on: nobody gave turns in the meantime."""
        for path in self.queued:
            self.queued[path] = self.changed_at + (self.patience_of(self.nodes[path]) or 0.0)


def _none_known(digest: str) -> WorkflowSpec:
    raise LookupError(digest)
