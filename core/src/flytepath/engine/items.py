"""The items of a map: one entry each in compact arrays, and a node only for those that are under way.

Ten thousand items cost a few megabytes. Items begin in their order, at most ``limit`` at a time; one that has ended
leaves its node behind and keeps what others may ask for: how it went, its outputs, its error.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flytepath.model.events import ErrorRecord, LiteralDigests

if TYPE_CHECKING:
    from flytepath.engine.state import NodeState, NodeStatus

#: How many items of a map that sets no ``concurrency`` are under way at once.
UNDER_WAY: Final = 1024
#: The same where each is a job elsewhere: there it waits for its turn, ours or the vendor's, and needs nothing of us.
REMOTE_UNDER_WAY: Final = 10_000


@dataclass(slots=True)
class Items:
    """The items of one map.

    Attributes:
        size: how many there are.
        limit: how many may be under way at once.
        begun: how many have begun; they do so in their order.
        nodes: the nodes of those that are under way, and of those that have nodes below them.
        live: how many are under way.
        ended: how each ended, by the status of its last event; one that has not is missing.
        attempts, started, finished: of those that have ended: how often they were tried, and when (seconds, UTC).
        outputs, errors, origins, reasons, sources: what is left of those that have ended. ``sources`` says where
            outputs were found that no attempt computed: ``(cache key, execution)``.
    """

    size: int
    limit: int
    begun: int = 0
    nodes: dict[int, NodeState] = field(default_factory=dict)
    live: int = 0
    ended: dict[int, NodeStatus] = field(default_factory=dict)
    attempts: array[int] = field(default_factory=lambda: array("L"))
    started: array[float] = field(default_factory=lambda: array("d"))
    finished: array[float] = field(default_factory=lambda: array("d"))
    outputs: dict[int, LiteralDigests] = field(default_factory=dict)
    errors: dict[int, ErrorRecord] = field(default_factory=dict)
    origins: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    sources: dict[int, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, size: int, concurrency: int | None, *, is_remote: bool = False) -> Items:
        """The items of a map that begins.

        Args:
            size: how many there are.
            concurrency: how many its author wants under way at once.
            is_remote: whether they are jobs elsewhere.
        """
        zeros = [0] * size
        return cls(
            size,
            concurrency or (REMOTE_UNDER_WAY if is_remote else UNDER_WAY),
            attempts=array("L", zeros),
            started=array("d", zeros),
            finished=array("d", zeros),
        )

    def keep(self, index: int, node: NodeState) -> None:
        """Keep what is left of an item that has ended; its node goes, unless nodes lie below it."""
        self.live -= 1
        self.ended[index] = node.status
        self.attempts[index] = node.attempt
        self.started[index] = node.started_at or 0.0
        self.finished[index] = node.ended_at or 0.0
        if node.outputs:
            self.outputs[index] = node.outputs
        if node.error is not None:
            self.errors[index] = node.error
        if node.origin:
            self.origins[index] = node.origin
        if node.reason:
            self.reasons[index] = node.reason
        if node.cached or node.recovered:
            self.sources[index] = (node.cached, node.recovered)
        if node.frame is None:
            del self.nodes[index]

    def restore(self, index: int, node: NodeState) -> NodeState:
        """Fill a new ``node`` with what is left of an item that has ended."""
        node.status = self.ended[index]
        node.attempt = self.attempts[index]
        node.started_at = self.started[index] or None
        node.ended_at = self.finished[index] or None
        node.outputs = self.outputs.get(index, {})
        node.error = self.errors.get(index)
        node.origin = self.origins.get(index, "")
        node.reason = self.reasons.get(index, "")
        node.cached, node.recovered = self.sources.get(index, ("", ""))
        return node

    def status_of(self, index: int) -> NodeStatus | None:
        """Where an item is; ``None`` before it has begun."""
        node = self.nodes.get(index)
        return node.status if node is not None else self.ended.get(index)

    def counts(self) -> Counter[NodeStatus]:
        """How many items are where; those that have not begun are not counted."""
        counts = Counter(self.ended.values())
        counts.update(node.status for index, node in self.nodes.items() if index not in self.ended)
        return counts

    def attempts_of(self, index: int) -> int:
        """How often an item was tried."""
        node = self.nodes.get(index)
        return node.attempt if node is not None else self.attempts[index]

    def outputs_of(self, index: int) -> LiteralDigests | None:
        """The outputs of an item that succeeded."""
        from flytepath.engine.state import NodeStatus

        return self.outputs.get(index, {}) if self.ended.get(index) is NodeStatus.SUCCEEDED else None

    def error_of(self, index: int) -> ErrorRecord | None:
        """The latest error of an item."""
        node = self.nodes.get(index)
        return node.error if node is not None else self.errors.get(index)

    def under_way(self) -> Iterator[NodeState]:
        """The nodes of the items that have begun and have not ended."""
        return (node for index, node in self.nodes.items() if index not in self.ended)
