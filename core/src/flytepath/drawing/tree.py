"""A workflow as a tree of text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flytepath.drawing.picture import Picture, Shape, picture_of
from flytepath.drawing.wording import binding_text, cut, variable_text
from flytepath.model.workflow import NodeSpec, WorkflowSpec

#: A name with so many inputs is not shown in full.
_INPUTS = 8


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the tree: the path, what stands there, where its values come from, and the lines below it."""

    path: str
    kind: str
    title: str
    detail: str = ""
    below: tuple[Item, ...] = ()


def tree_of(spec: WorkflowSpec, names: Mapping[str, str] | None = None) -> Item:
    """The tree of a compiled workflow; see :func:`flytepath.drawing.picture_of` for ``names``."""
    picture = picture_of(spec, names)
    wiring = dict(_wiring(spec))
    below = [_item(shape, wiring, picture) for shape in picture.shapes if shape.kind not in ("input", "output")]
    below += [
        Item("", "output", f"-> {variable_text(item)}", f"= {binding_text(spec.outputs[item.name])}")
        for item in spec.interface.outputs
        if item.name in spec.outputs
    ]
    inputs = ", ".join(map(variable_text, spec.interface.inputs))
    return Item("", "workflow", f"{spec.name}({inputs})", "", tuple(below))


def draw_tree(spec: WorkflowSpec, names: Mapping[str, str] | None = None) -> str:
    """The tree as plain text.

    Example:
        >>> from flytepath.model.task import Interface
        >>> print(draw_tree(WorkflowSpec(name="flow.wf", interface=Interface())), end="")
        flow.wf()
    """
    top = tree_of(spec, names)
    return "\n".join([line_of(top), *_lines(top, "")]) + "\n"


def line_of(item: Item) -> str:
    """The text of one line."""
    words = [item.path, item.title if item.path == "" else f"{item.kind} {item.title}".strip(), item.detail]
    return "  ".join(word for word in words if word)


def _lines(item: Item, indent: str) -> Iterator[str]:
    for index, inner in enumerate(item.below):
        is_last = index == len(item.below) - 1
        yield f"{indent}{'└── ' if is_last else '├── '}{line_of(inner)}"
        yield from _lines(inner, indent + ("    " if is_last else "│   "))


def _item(shape: Shape, wiring: Mapping[str, str], picture: Picture) -> Item:
    below = tuple(_item(inner, wiring, picture) for inner in shape.inside)
    detail = wiring.get(shape.id, "")
    if shape.kind in ("gate", "failure"):
        detail = f"({cut(shape.note)}) {detail}".rstrip()
    elif " · " in shape.note and shape.kind == "map":
        detail = f"({shape.note.partition(' · ')[2]}) {detail}".rstrip()
    after = sorted(edge.source for edge in picture.edges if edge.target == shape.id and edge.is_order)
    if after:
        detail = f"{detail} after {', '.join(after[:_INPUTS])}".strip()
    path = shape.id.rpartition("/")[2]
    if shape.kind == "case":
        return Item("", "case", shape.title, "", below)
    if shape.title == "fails" and path == "fail":
        return Item("", "failure", "fails", detail)
    title = shape.title if shape.title not in (shape.id, shape.kind) else ""
    return Item(path, shape.kind, title, detail, below)


def _wiring(spec: WorkflowSpec) -> Iterator[tuple[str, str]]:
    """Where each node's inputs come from, by the node's path in the picture."""
    yield from _wires(spec.nodes, "", spec, 0)
    if spec.on_failure is not None:
        yield spec.on_failure.path, _arguments(spec.on_failure)


def _wires(nodes: tuple[NodeSpec, ...], prefix: str, spec: WorkflowSpec, depth: int) -> Iterator[tuple[str, str]]:
    for node in nodes:
        yield prefix + node.path, _arguments(node)
        for case in node.cases:
            yield from _wires(case.nodes, prefix, spec, depth)
        graph = spec.graphs.get(node.graph)
        if graph is not None and depth < 20:
            yield from _wires(graph.nodes, f"{prefix}{node.path}/", spec, depth + 1)


def _arguments(node: NodeSpec) -> str:
    given = [f"{name}={binding_text(binding)}" for name, binding in node.inputs.items()]
    more = f", … {len(given) - _INPUTS} more" if len(given) > _INPUTS else ""
    return ", ".join(given[:_INPUTS]) + more
