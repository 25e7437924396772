"""The graph a workflow's body builds while it is compiled, in the author's terms: tasks, native constants, promises."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flytepath.authoring.promise import Promise, VoidPromise, caller_line, part_of

if TYPE_CHECKING:
    from flytepath.authoring.task import Task


@dataclass(slots=True, eq=False)
class GraphNode:
    """One call of a task. ``inputs`` hold promises, constants, and lists and dicts of both."""

    path: str
    task: Task
    inputs: dict[str, Any]
    line: str
    upstream: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Graph:
    """A workflow's nodes in the order of their calls (which is a topological order), and its outputs."""

    name: str
    nodes: list[GraphNode] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    _children: int = 0

    def next_path(self) -> str:
        """A path for the next call: ``n0``, ``n1``, ..."""
        path = f"n{self._children}"
        self._children += 1
        return path

    def call(self, task: Task, inputs: dict[str, Any]) -> Any:
        """Add a node and return what stands for its outputs."""
        node = GraphNode(self.next_path(), task, inputs, caller_line())
        self.nodes.append(node)
        return promised(node, tuple(task.outputs), task.output_tuple)

    def inline(self, graph: Graph, inputs: dict[str, Any]) -> dict[str, Any]:
        """Copy a sub-workflow's nodes below a path of their own; its outputs in terms of this graph."""
        prefix = self.next_path()
        copies: dict[str, GraphNode] = {}

        def moved(value: Any) -> Any:
            if isinstance(value, Promise):
                if value._fp_node is None:
                    return part_of(inputs[value._fp_name], value._fp_path, caller_line())
                return Promise(copies[value._fp_node.path], value._fp_name, value._fp_path)
            return rebuilt(value, moved)

        for node in graph.nodes:
            copy = GraphNode(
                f"{prefix}/{node.path}",
                node.task,
                {name: moved(value) for name, value in node.inputs.items()},
                node.line,
                {f"{prefix}/{path}" for path in node.upstream},
            )
            copies[node.path] = copy
            self.nodes.append(copy)
        return {name: moved(value) for name, value in graph.outputs.items()}


def rebuilt(value: Any, change: Any) -> Any:
    """``value`` with ``change`` applied to the items of lists, tuples and dicts; other constants as they are."""
    if type(value) is list:
        return [change(item) for item in value]
    if type(value) is tuple:
        return tuple(change(item) for item in value)
    if type(value) is dict:
        return {key: change(item) for key, item in value.items()}
    return value


def promised(node: GraphNode, names: tuple[str, ...], output_tuple: type[Any] | None) -> Any:
    """What a call returns in a workflow: nothing to use, one promise, or a tuple of them."""
    if not names:
        return VoidPromise(node)
    if len(names) == 1 and output_tuple is None:
        return Promise(node, names[0])
    promises = [Promise(node, name) for name in names]
    return output_tuple(*promises) if output_tuple is not None else tuple(promises)


#: The graph being built in this thread of execution; ``None`` while tasks run for real.
building: ContextVar[Graph | None] = ContextVar("flytepath_building", default=None)
