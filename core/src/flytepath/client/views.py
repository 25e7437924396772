"""What the door answers with: executions, nodes and registered entities as people see them."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from typing import Generic, TypeVar

from flytepath.model.events import Blob, BoundaryChecked, ErrorRecord, Event, LogWritten
from flytepath.model.identity import Identity, Tenant
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.task import Record
from flytepath.model.types import LiteralType

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, and for which project and domain."""

    tenant: Tenant
    principal: str

    @classmethod
    def of_this_user(cls, tenant: Tenant | None = None) -> Scope:
        """The scope of the person at this machine."""
        try:
            principal = getpass.getuser()
        except (KeyError, OSError):
            principal = str(os.getuid())
        return cls(tenant or Tenant(), principal)


class ItemsView(Record):
    """The items of a map in numbers: ``waiting`` are those that have not begun, or wait for a slot or an answer.

    ``failures`` are the first that failed, as ``(index, message)``. ``phases`` counts those that remote jobs run.
    """

    total: int
    succeeded: int = 0
    failed: int = 0
    running: int = 0
    retrying: int = 0
    waiting: int = 0
    skipped: int = 0
    failures: tuple[tuple[int, str], ...] = ()
    phases: dict[str, int] = {}


class WaitView(Record):
    """Why something waits for its turn in a shared pool: who or what is in the way, and its place in its line."""

    pool: str
    reason: str
    blocker: str = ""
    position: int = 0
    since: float | None = None


class JobView(Record):
    """A remote job, as people see it.

    Attributes:
        node: the node it runs, or for a slice the map.
        phase: where it is; ``raw_state`` is the vendor's own word, ``reason`` what was said last.
        external_name: what the vendor calls it.
        since: when it was last heard of (seconds since the epoch, UTC).
        items: of a slice, how many of its items are in which phase.
        cancelling: why it is to end.
        parked: why nothing can be done for it.
        waits: why it waits for its turn.
        doing: what is being done for it, in a sentence.
    """

    key: str
    node: str
    backend: str
    phase: str
    raw_state: str = ""
    reason: str = ""
    external_name: str = ""
    since: float
    submission: int = 0
    items: dict[str, int] = {}
    links: tuple[tuple[str, str], ...] = ()
    cancelling: str = ""
    parked: str = ""
    waits: WaitView | None = None
    doing: str


class NodeView(Record):
    """One node, as people see it.

    ``kind`` is task, dynamic, eager, graph, map, branch or gate; ``parent`` the node it lies below; ``cached`` says
    that its outputs were found, not computed, and ``recovered`` names the execution they were taken over from. A map
    has ``items``, which are no nodes of their own in a list. ``jobs`` are the remote jobs that run it now: one, or of a
    map its first few slices.
    """

    path: str
    task: str
    status: str
    attempts: int
    started_at: float | None
    ended_at: float | None
    outputs: dict[str, str]
    error: ErrorRecord | None
    reason: str
    kind: str = "task"
    parent: str = ""
    cached: bool = False
    recovered: str = ""
    items: ItemsView | None = None
    jobs: tuple[JobView, ...] = ()


class AttemptView(Record):
    """One attempt of a node. ``outcome`` is running, succeeded, failed, lost or stopped.

    ``seq`` is the event it began with, ``retry_at`` when the next one was due, where there is one.
    """

    number: int
    outcome: str
    seq: int
    started_at: float
    ended_at: float | None = None
    error: ErrorRecord | None = None
    retry_at: float | None = None
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log: Blob | None = None


class GateView(Record):
    """An open gate: ``kind`` approve, input or sleep; ``until`` is when time decides for it."""

    node: str
    kind: str
    signal: str
    type: LiteralType | None
    until: float | None


class DeckView(Record):
    """A deck, where it lies."""

    node: str
    attempt: int
    name: str
    uri: str
    digest: str
    size: int

    @property
    def ref(self) -> BlobRef:
        """The blob with the deck's HTML."""
        return BlobRef(self.uri, self.digest, self.size)


class ExecutionView(Record):
    """An execution, as people see it, after its event number ``seq``.

    Attributes:
        interrupted: unfinished, and no engine owns it.
        paused, paused_reason: whether somebody has asked that nothing new starts, and why.
        deadline: when the whole has to have ended (seconds since the epoch, UTC).
        recovers, relaunches: the execution whose successes it took over, or that it repeats.
        plan, scheduled_at: the launch plan whose schedule asked for it, and for which moment.
        past: it has gone on since; this is how it was.
    """

    id: str
    project: str
    domain: str
    workflow: str
    version: str
    status: str
    interrupted: bool
    created_at: float
    ended_at: float | None
    inputs: dict[str, Literal]
    outputs: dict[str, Literal]
    nodes: tuple[NodeView, ...]
    decks: tuple[DeckView, ...]
    checks: tuple[BoundaryChecked, ...]
    logs: tuple[LogWritten, ...]
    error: ErrorRecord | None
    failed_node: str | None
    gates: tuple[GateView, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    paused: bool = False
    paused_reason: str = ""
    deadline: float | None = None
    recovers: str = ""
    relaunches: str = ""
    plan: str = ""
    scheduled_at: float | None = None
    seq: int = 0
    past: bool = False


class NodeDetail(Record):
    """One node with what it was given and gave, its attempts, and the nodes below it.

    ``below`` are the nodes directly below it; of a map the items, ``more`` of which are left out.
    """

    execution: str
    node: NodeView
    inputs: dict[str, Literal]
    outputs: dict[str, Literal]
    attempts: tuple[AttemptView, ...] = ()
    below: tuple[NodeView, ...] = ()
    more: int = 0
    gate: GateView | None = None
    decks: tuple[DeckView, ...] = ()
    checks: tuple[BoundaryChecked, ...] = ()
    seq: int = 0
    past: bool = False


class ExecutionSummary(Record):
    """A line of a list of executions. ``cursor`` is where the list goes on after it, ``jobs`` counts live remote jobs
    by phase.
    """

    id: str
    project: str
    domain: str
    workflow: str
    version: str
    status: str
    interrupted: bool
    created_at: float
    updated_at: float
    paused: bool = False
    labels: dict[str, str] = {}
    plan: str = ""
    recovers: str = ""
    relaunches: str = ""
    cursor: str = ""
    jobs: dict[str, int] = {}


class SilentListener:
    """Listens to nothing."""

    def event(self, event: Event, name: str = "") -> None:
        """Nothing is shown."""

    def output(self, node: str, stream: str, text: str) -> None:
        """Nothing is shown."""


@dataclass(frozen=True, slots=True)
class Registered(Generic[S]):
    """A registered version, and what it holds; ``bundle`` is the digest of its code."""

    identity: Identity
    spec: S
    bundle: str
    registered_at: float
