"""The graph a workflow's body builds while it is compiled, in the author's terms: entities, constants, promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flytepath.authoring.promise import (
    Promise,
    Promises,
    VoidPromise,
    caller_line,
    named_promises,
    order,
    override,
)
from flytepath.errors import CompileError, CycleError, FlytePathError, InputError, PromiseError

if TYPE_CHECKING:
    from flytepath.authoring.conditional import ConditionalSection
    from flytepath.authoring.entity import Entity
    from flytepath.authoring.overrides import NodeOverrides
    from flytepath.model.types import LiteralType


class GraphNode:
    """One call. ``inputs`` hold promises, constants, and lists and dicts of both.

    Attributes:
        path: unique in its graph: ``n0``, or ``n2/c0/n0`` in a case of a conditional.
        entity: what is called.
        line: the line of the call.
        upstream: nodes it waits for without using their outputs.
        name: shown instead of the path.
        types: the literal types of outputs that the entity alone does not know.
    """

    __slots__ = ("entity", "inputs", "line", "name", "overrides", "path", "types", "upstream")

    def __init__(self, path: str, entity: Entity, inputs: dict[str, Any], line: str) -> None:
        self.path = path
        self.entity = entity
        self.inputs = inputs
        self.line = line
        self.upstream: set[GraphNode] = set()
        self.name = ""
        self.overrides: NodeOverrides | None = None
        self.types: dict[str, LiteralType] | None = None

    @property
    def id(self) -> str:
        """The node's path, as flytekit calls it."""
        return self.path

    @property
    def outputs(self) -> dict[str, Promise]:
        """Promises of the outputs, by name."""
        return {name: Promise(self, name) for name in self.entity.outputs}

    def output_type(self, name: str) -> LiteralType | None:
        """The literal type of an output; ``None`` where there is no such output."""
        if self.types is not None:
            return self.types.get(name)
        codec = self.entity.output_codecs.get(name)
        return None if codec is None else codec.literal_type

    def override(self, changes: dict[str, Any]) -> None:
        """Change how this node is run."""
        from flytepath.authoring.overrides import apply_overrides

        apply_overrides(self, changes)

    def with_overrides(self, **changes: Any) -> GraphNode:
        """Change how this node is run, and return it."""
        override(self, changes)
        return self

    def __rshift__(self, other: Any) -> Any:
        return order(self, other)

    def runs_before(self, other: GraphNode) -> None:
        """Let ``other`` wait for this node."""
        order(self, other)

    def __getattr__(self, name: str) -> Promise:
        if name.startswith("_") or name not in self.entity.outputs:
            raise AttributeError(f"node {self.path} of {self.entity.name} has no output {name!r}")
        return Promise(self, name)

    def __repr__(self) -> str:
        return f"<node {self.path}: {self.entity.name}>"


class Graph:
    """Nodes in the order of their calls, and outputs.

    Attributes:
        name: the workflow's.
        inputs: the literal types of the workflow's inputs.
        nodes: those of conditional cases are in their sections, not here.
        findings: what is wrong with calls, kept until the whole body has been read.
    """

    __slots__ = ("_counters", "_nodes", "findings", "inputs", "name", "outputs", "sections")

    def __init__(self, name: str, inputs: Mapping[str, LiteralType] | None = None) -> None:
        self.name = name
        self.inputs = dict(inputs or {})
        self.outputs: dict[str, Any] = {}
        self.findings: list[FlytePathError] = []
        self.sections: list[ConditionalSection] = []
        self._nodes: list[list[GraphNode]] = [[]]
        self._counters: list[tuple[str, int]] = [("", 0)]

    @property
    def nodes(self) -> list[GraphNode]:
        """The nodes of the outermost level, in the order of their calls."""
        return self._nodes[0]

    def next_path(self) -> str:
        """A path for the next call: ``n0``, ``n1``, ..."""
        prefix, count = self._counters[-1]
        self._counters[-1] = (prefix, count + 1)
        return f"{prefix}n{count}"

    def add(self, entity: Entity, inputs: dict[str, Any], path: str | None = None) -> GraphNode:
        """Add a node for a call."""
        node = GraphNode(path or self.next_path(), entity, inputs, caller_line())
        self._nodes[-1].append(node)
        return node

    def call(self, entity: Entity, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Add a node and return what stands for its outputs. Wrong arguments are findings, reported with all others."""
        try:
            inputs = entity.bind(args, kwargs)
        except InputError as error:
            error.place = f"{error.place or entity.name}  [{caller_line()}]"
            self.findings.append(error)
            inputs = {}
        return promised(self.add(entity, inputs))

    def open_case(self, prefix: str) -> list[GraphNode]:
        """Let the following calls belong to a case of a conditional, until :meth:`close_case`."""
        nodes: list[GraphNode] = []
        self._nodes.append(nodes)
        self._counters.append((f"{prefix}/", 0))
        return nodes

    def close_case(self) -> None:
        """End the innermost case."""
        self._nodes.pop()
        self._counters.pop()

    def type_of(self, promise: Promise) -> LiteralType | None:
        """The literal type of what a promise of this graph stands for; ``None`` where it stands for nothing."""
        from flytepath.model.payload import type_at

        node = promise._fp_node
        declared = self.inputs.get(promise._fp_name) if node is None else node.output_type(promise._fp_name)  # type: ignore[attr-defined]
        if declared is None or not promise._fp_path:
            return declared
        return type_at(declared, promise._fp_path)


def promised(node: GraphNode) -> Any:
    """What a call returns in a workflow: nothing to use, one promise, or a tuple of them."""
    entity = node.entity
    names = tuple(entity.outputs)
    if not names:
        return VoidPromise(node)
    if entity.has_one_output:
        return Promise(node, names[0])
    promises = [Promise(node, name) for name in names]
    return named_promises(entity.output_tuple)(*promises) if entity.output_tuple is not None else Promises(promises)


def rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """``value`` with ``change`` applied to the items of lists, tuples and dicts; other constants as they are."""
    if type(value) is list:
        return [change(item) for item in value]
    if type(value) is dict:
        return {key: change(item) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [change(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def promises_in(value: Any) -> Iterator[Promise]:
    """Every promise inside a value."""
    if type(value) is Promise:
        yield value
    elif type(value) is list or isinstance(value, tuple):
        for item in value:
            yield from promises_in(item)
    elif type(value) is dict:
        for item in value.values():
            yield from promises_in(item)


def in_order(nodes: list[GraphNode], needs: Callable[[GraphNode], Iterator[GraphNode]]) -> list[GraphNode]:
    """``nodes`` so that each comes after those it ``needs``; the order of the calls wherever that is one.

    Raises:
        CycleError: nodes wait for each other in a circle; it names them all.
    """
    place = {node: index for index, node in enumerate(nodes)}
    if all(place.get(before, -1) < index for index, node in enumerate(nodes) for before in needs(node)):
        return nodes
    import heapq

    waiting = {node: {before for before in needs(node) if before in place} for node in nodes}
    following: dict[GraphNode, list[GraphNode]] = {}
    for node, before in waiting.items():
        for item in before:
            following.setdefault(item, []).append(node)
    ready = [index for index, node in enumerate(nodes) if not waiting[node]]
    heapq.heapify(ready)
    ordered: list[GraphNode] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        ordered.append(node)
        for after in following.get(node, ()):
            waiting[after].discard(node)
            if not waiting[after]:
                heapq.heappush(ready, place[after])
    if len(ordered) < len(nodes):
        raise _cycle([node for node in nodes if node not in set(ordered)], waiting)
    return ordered


def _cycle(stuck: list[GraphNode], waiting: Mapping[GraphNode, set[GraphNode]]) -> CycleError:
    """Walk backwards from any stuck node until one comes twice: those in between are a circle."""
    walk = [stuck[0]]
    while (before := min(waiting[walk[-1]] & set(stuck), key=lambda node: node.path)) not in walk:
        walk.append(before)
    circle = [*walk[walk.index(before) :], before][::-1]
    shown = " >> ".join(f"{node.path} ({node.entity.name})" for node in circle)
    return CycleError(
        "nodes wait for each other in a circle",
        place=circle[0].line,
        actual=shown,
        hint="take one of the '>>' between them away",
    )


#: The graph being built in this thread of execution; ``None`` while tasks run for real.
building: ContextVar[Graph | None] = ContextVar("flytepath_building", default=None)


def graph_being_built(what: str) -> Graph:
    """The graph that is being built.

    Raises:
        PromiseError: no workflow is being compiled.
    """
    graph = building.get()
    if graph is None:
        raise PromiseError(
            f"{what} belongs into a workflow or a dynamic task", place=caller_line(), hint="use Python's own in a task"
        )
    return graph


def together(name: str, findings: list[FlytePathError]) -> FlytePathError:
    """One error for all findings: of their class where there is but one, and with each on a line of its own."""
    if len(findings) == 1:
        only = findings[0]
        if isinstance(only, CompileError):
            only.findings = (only,)
        return only
    kinds = {type(finding) for finding in findings}
    kind = kinds.pop() if len(kinds) == 1 else CompileError
    lines = "\n    ".join(_line_of(finding) for finding in findings)
    error = kind(f"workflow {name} does not fit together, {len(findings)} problems:\n    {lines}", place=name)
    vars(error)["findings"] = tuple(findings)
    return error


def _line_of(finding: FlytePathError) -> str:
    facts = [f"expected {finding.expected}"] if finding.expected else []
    facts += [f"got {finding.actual}"] if finding.actual else []
    facts += [finding.hint] if finding.hint else []
    shown = f" ({'; '.join(facts)})" if facts else ""
    return f"{finding.place}: {finding.message}{shown}" if finding.place else f"{finding.message}{shown}"
