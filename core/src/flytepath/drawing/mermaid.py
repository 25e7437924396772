"""A workflow as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flytepath.drawing.picture import Picture, Shape, picture_of
from flytepath.drawing.wording import cut
from flytepath.model.workflow import WorkflowSpec

_BRACKETS = {
    "input": ("([", "])"),
    "output": ("([", "])"),
    "map": ("[[", "]]"),
    "gate": ("{{", "}}"),
    "failure": (">", "]"),
    "branch": ("{", "}"),
}


def draw_mermaid(spec: WorkflowSpec, names: Mapping[str, str] | None = None) -> str:
    """The flowchart; boxes with shapes inside are sub-graphs.

    Example:
        >>> from flytepath.model.task import Interface
        >>> print(draw_mermaid(WorkflowSpec(name="flow.wf", interface=Interface())), end="")
        flowchart TD
    """
    picture = picture_of(spec, names)
    ids = {shape.id: f"s{index}" for index, shape in enumerate(picture.walk())}
    lines = ["flowchart TD"]
    for shape in picture.shapes:
        lines += _shape(shape, ids, "  ")
    lines += _edges(picture, ids)
    return "\n".join(lines) + "\n"


def _shape(shape: Shape, ids: Mapping[str, str], indent: str) -> Iterator[str]:
    label = quoted(shape.title if not shape.note else f"{shape.title}\n{cut(shape.note)}")
    if shape.inside:
        yield f"{indent}subgraph {ids[shape.id]}[{label}]"
        for inner in shape.inside:
            yield from _shape(inner, ids, indent + "  ")
        yield f"{indent}end"
        return
    opening, closing = _BRACKETS.get(shape.kind, ("[", "]"))
    yield f"{indent}{ids[shape.id]}{opening}{label}{closing}"


def _edges(picture: Picture, ids: Mapping[str, str]) -> Iterator[str]:
    for edge in picture.edges:
        start, end = ids[edge.source], ids[edge.target]
        if edge.is_order:
            yield f"  {start} -.-> {end}"
        else:
            yield f"  {start} -->|{quoted(cut(', '.join(edge.labels), 30))}| {end}"


def quoted(text: str) -> str:
    """``text`` as a quoted label: what Mermaid, Markdown or HTML would read otherwise stands as an entity.

    Example:
        >>> quoted('a "b" <c>')
        '"a #quot;b#quot; #lt;c#gt;"'
    """
    out = []
    for character in text:
        if character == "\n":
            out.append("<br>")
        elif character in _ENTITIES:
            out.append(_ENTITIES[character])
        elif character.isprintable():
            out.append(character)
    return '"' + "".join(out) + '"'


_ENTITIES = {
    "#": "#35;",
    "&": "#amp;",
    '"': "#quot;",
    "<": "#lt;",
    ">": "#gt;",
    "`": "#96;",
    "\\": "#92;",
    "*": "#42;",
    "_": "#95;",
    "{": "#123;",
    "}": "#125;",
}
