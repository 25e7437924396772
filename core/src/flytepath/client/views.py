"""What the door answers with: executions, nodes and registered entities as people see them."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from typing import Generic, TypeVar

from flytepath.model.events import BoundaryChecked, ErrorRecord, Event, LogWritten
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


class NodeView(Record):
    """One node, as people see it.

    ``kind`` is task, dynamic, eager, graph, map, branch or gate; ``parent`` the node it lies below; ``cached`` says
    that its outputs were found, not computed.
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
    """An execution, as people see it. ``interrupted``: unfinished, and no engine owns it."""

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


class ExecutionSummary(Record):
    """A line of a list of executions."""

    id: str
    project: str
    domain: str
    workflow: str
    version: str
    status: str
    interrupted: bool
    created_at: float
    updated_at: float


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
