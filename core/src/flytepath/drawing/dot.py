"""A workflow in the DOT language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flytepath.drawing.picture import Shape, picture_of
from flytepath.drawing.wording import cut
from flytepath.model.workflow import WorkflowSpec

_LOOKS = {
    "input": "shape=ellipse",
    "output": "shape=ellipse, style=bold",
    "map": "shape=box3d",
    "gate": "shape=hexagon",
    "failure": 'shape=note, color="#b42318"',
    "branch": "shape=diamond",
}


def draw_dot(spec: WorkflowSpec, names: Mapping[str, str] | None = None) -> str:
    """The digraph; boxes with shapes inside are clusters, and an edge to one ends at its border.

    Example:
        >>> from flytepath.model.task import Interface
        >>> print(draw_dot(WorkflowSpec(name="flow.wf", interface=Interface())), end="")
        digraph "wf" {
          compound=true; rankdir=TB; fontname="Helvetica"; labelloc=t;
          node [shape=box, style=rounded, fontname="Helvetica"]; edge [fontname="Helvetica", fontsize=10];
        }
    """
    picture = picture_of(spec, names)
    shapes = {shape.id: shape for shape in picture.walk()}
    lines = [
        f"digraph {quoted(picture.title)} {{",
        '  compound=true; rankdir=TB; fontname="Helvetica"; labelloc=t;',
        '  node [shape=box, style=rounded, fontname="Helvetica"]; edge [fontname="Helvetica", fontsize=10];',
    ]
    for shape in picture.shapes:
        lines += _shape(shape, "  ")
    for edge in picture.edges:
        source, target = shapes[edge.source], shapes[edge.target]
        looks = [f"label={quoted(cut(', '.join(edge.labels), 30))}"] if edge.labels else ["style=dashed"]
        if source.inside:
            looks.append(f"ltail={quoted(f'cluster {source.id}')}")
        if target.inside:
            looks.append(f"lhead={quoted(f'cluster {target.id}')}")
        start, end = quoted(_leaf(source, last=True)), quoted(_leaf(target, last=False))
        lines.append(f"  {start} -> {end} [{', '.join(looks)}];")
    return "\n".join([*lines, "}"]) + "\n"


def _shape(shape: Shape, indent: str) -> Iterator[str]:
    label = quoted(shape.title if not shape.note else f"{shape.title}\n{cut(shape.note)}")
    if not shape.inside:
        looks = [f"label={label}", f"tooltip={quoted(chr(10).join(shape.tip))}"]
        if shape.kind in _LOOKS:
            looks.append(_LOOKS[shape.kind])
        yield f"{indent}{quoted(shape.id)} [{', '.join(looks)}];"
        return
    yield f"{indent}subgraph {quoted(f'cluster {shape.id}')} {{"
    yield f"{indent}  label={label}; style={'dashed' if shape.kind in ('branch', 'case') else 'rounded'};"
    for inner in shape.inside:
        yield from _shape(inner, indent + "  ")
    yield f"{indent}}}"


def _leaf(shape: Shape, *, last: bool) -> str:
    """A shape that an edge can be drawn to: DOT has no edges to clusters."""
    while shape.inside:
        shape = shape.inside[-1 if last else 0]
    return shape.id


def quoted(text: str) -> str:
    """``text`` as a quoted string of DOT.

    Example:
        >>> print(quoted('say "hi"'))
        "say \\"hi\\""
    """
    clean = "".join(character for character in text if character.isprintable() or character == "\n")
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
