"""Reuse of outputs in durable runs: the look-up before an attempt, and what is kept after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from flytepath.engine.state import NodeState, NodeStatus
from flytepath.engine.values import Values
from flytepath.errors import FlytePathError
from flytepath.model.cache_key import cache_key
from flytepath.model.literal import Literal
from flytepath.plugin.transformer import BlobSource


class Outputs(Protocol):
    """Outputs by cache key."""

    def get(self, key: str) -> dict[str, Literal] | None: ...

    def put(self, key: str, outputs: Mapping[str, Literal], facts: Mapping[str, Any] | None = None) -> None: ...

    def forget(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Outputs that were there already."""

    key: str
    outputs: dict[str, Literal]


class Reuses:
    """What one execution finds in the cache and adds to it.

    Args:
        cache: the outputs of its project and domain; ``None`` where nothing is reused.
        source: the blobs that outputs refer to.
        execution: its id, kept as a fact.
        overwrite: look nothing up, but keep what comes out.
    """

    def __init__(self, cache: Outputs | None, source: BlobSource, execution: str, *, overwrite: bool = False) -> None:
        self._cache = cache
        self._source = source
        self._execution = execution
        self._overwrite = overwrite
        self._computing: dict[str, str] = {}  # key -> the node whose attempt computes it
        self._awaiting: dict[str, str] = {}  # node -> the key it waits for
        self._new: list[tuple[str, dict[str, Literal], dict[str, str]]] = []

    def find(self, node: NodeState, inputs: Mapping[str, Literal]) -> Found | None:
        """Outputs for a node that is about to start."""
        task = node.task
        if self._cache is None or task is None or not task.cache.enabled:
            return None
        key = _key(node, {name: literal.hash or literal.digest for name, literal in inputs.items()})
        if not self._overwrite and not task.cache.overwrite:
            # What this very execution has just computed may not have been put there yet.
            fresh = next((outputs for known, outputs, _ in self._new if known == key), None)
            outputs = self._cache.get(key) if fresh is None else fresh
            if outputs is not None and self._are_there(outputs):
                return Found(key, outputs)
            if outputs is not None:
                self._cache.forget(key)
        if task.cache.serialize:
            if key in self._computing and self._computing[key] != node.path:
                self._awaiting[node.path] = key
                return None
            self._computing[key] = node.path
        return None

    def is_awaited(self, path: str) -> bool:
        """Whether another node computes what ``path`` needs, and it is to wait for that."""
        key = self._awaiting.get(path)
        if key is None:
            return False
        if key in self._computing:
            return True
        del self._awaiting[path]
        return False

    def keep(self, node: NodeState, values: Values) -> None:
        """Keep the outputs of a node that has succeeded, once that is durable."""
        task = node.task
        if self._cache is None or task is None or not task.cache.enabled or node.status is not NodeStatus.SUCCEEDED:
            return
        inputs = values.named(node.inputs)
        key = _key(node, {name: literal.hash or literal.digest for name, literal in inputs.items()})
        facts = {"task": task.name, "execution": self._execution, "node": node.path}
        self._new.append((key, values.named(node.outputs), facts))

    def forget(self, path: str) -> None:
        """The attempt of a node has failed: let another compute what it would have given."""
        for key in [key for key, node in self._computing.items() if node == path]:
            del self._computing[key]

    def flush(self) -> bool:
        """Put what is durable now into the cache; whether a node may have waited for it."""
        freed = bool(self._new and self._awaiting)
        for key, outputs, facts in self._new:
            if self._cache is not None:
                self._cache.put(key, outputs, facts)
            self._computing.pop(key, None)
        self._new.clear()
        return freed

    def _are_there(self, outputs: Mapping[str, Literal]) -> bool:
        for literal in outputs.values():
            for ref in (*literal.refs, *((literal.ref,) if literal.ref is not None else ())):
                try:
                    self._source.open(ref).close()
                except (FlytePathError, OSError):
                    return False
        return True


def _key(node: NodeState, inputs: Mapping[str, str]) -> str:
    task = node.task
    if task is None:
        raise ValueError(f"{node.path} runs no task")
    return cache_key(
        task=task.name,
        interface=task.interface,
        version=task.cache.version,
        inputs=inputs,
        ignored=task.cache.ignored_inputs,
    )
