"""What there is to draw: shapes, some with shapes inside, and the edges between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from flytepath.drawing.wording import (
    condition_text,
    gate_text,
    interface_text,
    map_text,
    short,
    task_text,
    variable_text,
)
from flytepath.model.workflow import (
    Binding,
    Comparison,
    Condition,
    DictBinding,
    GraphSpec,
    InputBinding,
    ListBinding,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)

#: Graphs that run as one step are drawn open while the picture has fewer shapes than this.
OPEN_LIMIT = 2000
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """One thing in the picture.

    Args:
        id: the node's path, or ``in:`` and ``out:`` with the name of an input or output.
        kind: ``input``, ``output``, ``task``, ``map``, ``workflow``, ``branch``, ``case``, ``gate`` or ``failure``.
        title: what it is called.
        note: a few words more.
        tip: what is said of it when somebody points at it, line by line.
        inside: the shapes it holds.
    """

    id: str
    kind: str
    title: str
    note: str = ""
    tip: tuple[str, ...] = ()
    inside: tuple[Shape, ...] = ()

    def walk(self) -> Iterator[Shape]:
        """The shape and all it holds."""
        yield self
        for shape in self.inside:
            yield from shape.walk()


@dataclass(slots=True)
class Edge:
    """From one shape to another: the inputs that values go to, or none where only the order counts."""

    source: str
    target: str
    labels: list[str] = field(default_factory=list)

    @property
    def is_order(self) -> bool:
        """Whether no value passes."""
        return not self.labels


@dataclass(frozen=True, slots=True)
class Picture:
    """A workflow as shapes and edges."""

    title: str
    tip: tuple[str, ...]
    shapes: tuple[Shape, ...]
    edges: tuple[Edge, ...]

    def walk(self) -> Iterator[Shape]:
        """Every shape."""
        for shape in self.shapes:
            yield from shape.walk()


def picture_of(spec: WorkflowSpec, names: Mapping[str, str] | None = None) -> Picture:
    """The picture of a compiled workflow.

    Args:
        spec: the workflow.
        names: the names of sub-workflows that were laid out in place, by path, where they are known.

    Example:
        >>> from flytepath.model.task import Interface
        >>> picture_of(WorkflowSpec(name="flow.wf", interface=Interface())).title
        'wf'
    """
    maker = _Maker(spec, names or {})
    inputs = [
        Shape(f"in:{item.name}", "input", item.name, str(item.type), (variable_text(item),))
        for item in spec.interface.inputs
    ]
    inner = maker.graph(spec, "", is_outer=True, depth=0)
    outputs = []
    for item in spec.interface.outputs:
        outputs.append(Shape(f"out:{item.name}", "output", item.name, str(item.type), (variable_text(item),)))
        if item.name in spec.outputs:
            maker.bind(f"out:{item.name}", item.name, spec.outputs[item.name], "", is_outer=True)
    shapes = (*inputs, *inner, *outputs)
    known = {inside.id for shape in shapes for inside in shape.walk()}
    edges = tuple(edge for edge in maker.edges.values() if edge.source in known and edge.target in known)
    used = {edge.source for edge in edges}
    tip = (interface_text(spec.name, spec.interface), *_lines(spec.documentation))
    return Picture(
        short(spec.name), tip, tuple(s for s in shapes if s.kind != "input" or s.id in used or len(inputs) < 9), edges
    )


class _Maker:
    """Collects shapes and edges, graph by graph."""

    def __init__(self, spec: WorkflowSpec, names: Mapping[str, str]) -> None:
        self.edges: dict[tuple[str, str], Edge] = {}
        self._spec = spec
        self._names = names
        self._count = 0

    def graph(self, graph: GraphSpec, prefix: str, *, is_outer: bool, depth: int) -> tuple[Shape, ...]:
        """The shapes of a graph whose nodes' paths stand below ``prefix``."""
        shapes = self._grouped([(node, node.path) for node in graph.nodes], "", prefix, is_outer, depth)
        if graph.on_failure is not None:
            handler = graph.on_failure
            self._wire(handler, prefix, is_outer)
            tip = (f"runs when {short(graph.name)} fails", *self._tip(handler))
            called = short(handler.task or handler.graph)
            shapes = (*shapes, Shape(prefix + handler.path, "failure", called, "on failure", tip))
        return shapes

    def _grouped(
        self, nodes: Iterable[tuple[NodeSpec, str]], base: str, prefix: str, is_outer: bool, depth: int
    ) -> tuple[Shape, ...]:
        """Shapes of nodes by the path that is left below ``base``; what shares its first step stands in one box."""
        shapes: list[Shape] = []
        groups: dict[str, list[tuple[NodeSpec, str]]] = {}
        places: dict[str, int] = {}
        for node, rest in nodes:
            step, slash, deeper = rest.partition("/")
            if not slash:
                shapes.append(self._shape(node, prefix, is_outer, depth))
                continue
            if step not in groups:
                groups[step] = []
                places[step] = len(shapes)
                shapes.append(Shape(prefix + base + step, "workflow", ""))
            groups[step].append((node, deeper))
        for step, inner in groups.items():
            path = prefix + base + step
            inside = self._grouped(inner, f"{base}{step}/", prefix, is_outer, depth)
            name = self._names.get(path, "")
            tip = (f"sub-workflow {name}".rstrip(), f"{len(inner)} nodes")
            shapes[places[step]] = Shape(path, "workflow", short(name) or path, path if name else "", tip, inside)
        return tuple(shapes)

    def _shape(self, node: NodeSpec, prefix: str, is_outer: bool, depth: int) -> Shape:
        self._count += 1
        self._wire(node, prefix, is_outer)
        path = prefix + node.path
        title = node.name or short(node.task or node.graph)
        if node.cases:
            return Shape(
                path, "branch", node.name or "branch", path, self._tip(node), self._cases(node, prefix, is_outer, depth)
            )
        if node.gate is not None:
            return Shape(path, "gate", node.gate.signal or "sleep", gate_text(node.gate), self._tip(node))
        note = path
        if node.map is not None:
            note = f"{path} · {map_text(node.map)}"
        elif node.task in self._spec.tasks:
            note = f"{path} · {task_text(self._spec.tasks[node.task])}"
        graph = self._spec.graphs.get(node.graph) if node.graph else None
        inside: tuple[Shape, ...] = ()
        if graph is not None and depth < _DEPTH:
            size = len(graph.nodes)
            if self._count + size <= OPEN_LIMIT:
                inside = self.graph(graph, f"{path}/", is_outer=False, depth=depth + 1)
            else:
                note = f"{note} · {size} nodes"
        kind = "map" if node.map is not None else "workflow" if node.graph else "task"
        return Shape(path, kind, title, note, self._tip(node), inside)

    def _cases(self, node: NodeSpec, prefix: str, is_outer: bool, depth: int) -> tuple[Shape, ...]:
        made = []
        for index, case in enumerate(node.cases):
            path = f"{node.path}/c{index}"
            when = (
                "else"
                if case.condition is None
                else f"{'if' if index == 0 else 'elif'} {condition_text(case.condition)}"
            )
            if case.condition is not None:
                for binding in _sides(case.condition):
                    self.bind(prefix + node.path, "condition", binding, prefix, is_outer=is_outer)
            below = [(inner, inner.path.removeprefix(f"{path}/")) for inner in case.nodes]
            inside = self._grouped(below, f"{path}/", prefix, is_outer, depth)
            if case.error is not None:
                inside = (*inside, Shape(f"{prefix}{path}/fail", "failure", "fails", case.error, (case.error,)))
            made.append(Shape(prefix + path, "case", when, "", (when,), inside))
        return tuple(made)

    def _wire(self, node: NodeSpec, prefix: str, is_outer: bool) -> None:
        for name, binding in node.inputs.items():
            self.bind(prefix + node.path, name, binding, prefix, is_outer=is_outer)
        for before in node.upstream:
            self.edges.setdefault((prefix + before, prefix + node.path), Edge(prefix + before, prefix + node.path))

    def bind(self, target: str, label: str, binding: Binding, prefix: str, *, is_outer: bool) -> None:
        """The edges that a binding makes. Inputs of a graph inside are what its box is bound to."""
        for source in _sources(binding):
            if isinstance(source, OutputBinding):
                start = prefix + source.node
            elif is_outer:
                start = f"in:{source.name}"
            else:
                continue
            edge = self.edges.setdefault((start, target), Edge(start, target))
            if label not in edge.labels:
                edge.labels.append(label)

    def _tip(self, node: NodeSpec) -> tuple[str, ...]:
        lines: list[str] = []
        task = self._spec.tasks.get(node.task)
        graph = self._spec.graphs.get(node.graph)
        interface = node.interface or (task.interface if task else graph.interface if graph else None)
        called = node.task or node.graph or node.name or node.kind
        if interface is not None:
            lines.append(interface_text(called, interface))
        if node.map is not None:
            lines.append(map_text(node.map))
        if node.gate is not None:
            lines.append(gate_text(node.gate))
        if task is not None:
            lines += [task_text(task), *_lines(task.documentation)]
        if graph is not None:
            lines += _lines(graph.documentation)
        if node.line:
            lines.append(node.line)
        return tuple(line for line in lines if line)


def _lines(documentation: str) -> tuple[str, ...]:
    first = documentation.strip().partition("\n")[0]
    return (first,) if first else ()


def _sources(binding: Binding) -> Iterator[InputBinding | OutputBinding]:
    if isinstance(binding, InputBinding | OutputBinding):
        yield binding
    elif isinstance(binding, ListBinding):
        for item in binding.items:
            yield from _sources(item)
    elif isinstance(binding, DictBinding):
        for item in binding.items.values():
            yield from _sources(item)


def _sides(condition: Condition) -> Iterator[Binding]:
    if isinstance(condition, Comparison):
        yield condition.left
        yield condition.right
        return
    for item in condition.items:
        yield from _sides(item)
