"""Successes of items of maps that were reported together, to be recorded together: one event for many."""

from __future__ import annotations

from collections.abc import Iterator

from flytepath.engine.commands import SucceedItems
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.model.events import Usage


class ItemEnds:
    """What was reported of items since the last time events were recorded."""

    def __init__(self) -> None:
        self._by_map: dict[tuple[str, tuple[str, ...]], list[tuple[tuple[int, int, tuple[str, ...]], Usage]]] = {}

    def add(self, state: ExecutionState, node: NodeState, attempt: int, outputs: dict[str, str], usage: Usage) -> bool:
        """Take the success of an item; false where the node is none, or has nodes below it."""
        if state.map_of(node) is None or node.frame is not None:
            return False
        entry = (node.index, attempt, tuple(outputs.values()))
        self._by_map.setdefault((node.parent, tuple(outputs)), []).append((entry, usage))
        return True

    def commands(self) -> Iterator[SucceedItems]:
        """The commands that record them."""
        for (path, names), ends in self._by_map.items():
            yield SucceedItems(path, names, tuple(item for item, _ in ends), tuple(usage for _, usage in ends))
