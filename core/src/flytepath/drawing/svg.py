"""A workflow as an SVG picture, drawn here: no other program, no font and no script is needed to see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from flytepath.drawing.picture import Edge, picture_of
from flytepath.drawing.placing import Box, Curve, placed
from flytepath.drawing.wording import cut
from flytepath.model.workflow import WorkflowSpec

_MARGIN = 12.0
_TIP = 6.0
_STYLE: Final = """
  .fp { --ink: #1c2430; --soft: #5d6b7d; --line: #9aa7b6; --paper: #ffffff; --card: #ffffff; --edge: #cfd8e3;
        --fill: #f5f8fb; --task: #2f6fde; --map: #7a4fd6; --workflow: #0f8a77; --branch: #c2740a; --gate: #b0368c;
        --failure: #c3312f; --port: #e8eef6; }
  @media (prefers-color-scheme: dark) {
    .fp { --ink: #e6ebf2; --soft: #9fadbd; --line: #66758a; --paper: #12171e; --card: #1b222c; --edge: #364253;
          --fill: #161d26; --task: #6ea2ff; --map: #b094ff; --workflow: #43c7b0; --branch: #f0ab4c; --gate: #ec83cb;
          --failure: #ff7a75; --port: #263140; } }
  .fp text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink); }
  .fp .t { font-size: 13px; font-weight: 600; } .fp .n { font-size: 11px; fill: var(--soft); }
  .fp .h { font-size: 16px; font-weight: 700; }
  .fp .box { fill: var(--card); stroke: var(--edge); } .fp .open { fill: var(--fill); stroke: var(--edge); }
  .fp .dash { stroke-dasharray: 5 4; } .fp .port { fill: var(--port); stroke: var(--edge); }
  .fp .wire { fill: none; stroke: var(--line); stroke-width: 1.4; } .fp .order { stroke-dasharray: 4 4; }
  .fp .tip { fill: var(--line); } .fp g:hover > .wire { stroke: var(--task); stroke-width: 2.2; }
  .fp g.s:hover > .box, .fp g.s:hover > .port { stroke: var(--task); }
  .fp .task { fill: var(--task); } .fp .map { fill: var(--map); } .fp .workflow { fill: var(--workflow); }
  .fp .branch, .fp .case { fill: var(--branch); } .fp .gate { fill: var(--gate); }
  .fp .failure { fill: var(--failure); }
"""


def draw_svg(spec: WorkflowSpec, names: Mapping[str, str] | None = None) -> str:
    """The picture as the text of an SVG file, with light and dark colours; pointing at a shape or line says more.

    Args:
        spec: a compiled workflow.
        names: the names of sub-workflows that were laid out in place, by path, where they are known.

    Example:
        >>> from flytepath.model.task import Interface
        >>> draw_svg(WorkflowSpec(name="flow.wf", interface=Interface())).startswith("<svg")
        True
    """
    picture = picture_of(spec, names)
    box = placed(picture)
    width, height = box.width + 2 * _MARGIN, max(box.height, 40.0) + 2 * _MARGIN
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fp" role="img" {size}>',
        f"<title>{escaped(chr(10).join((spec.name, *picture.tip)))}</title>",
        f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" fill="var(--paper)"/>',
        f'<g transform="translate({_n(_MARGIN)} {_n(_MARGIN)})">',
        f'<text class="h" x="{_n(box.x + 4)}" y="{_n(box.y + 18)}">{escaped(box.title)}</text>',
        *_content(box),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _content(box: Box) -> Iterator[str]:
    for curve in box.curves:
        yield from _wire(curve)
    for inner in box.inside:
        yield from _box(inner)


def _box(box: Box) -> Iterator[str]:
    shape = box.shape
    yield f'<g class="s" data-path="{escaped(shape.id)}">'
    yield f"<title>{escaped(chr(10).join(shape.tip))}</title>"
    x, y, w, h = box.x, box.y, box.width, box.height
    if shape.kind in ("input", "output"):
        yield _rect("port", x, y, w, h, h / 2)
        yield _text("t", x + w / 2, y + (17 if box.note else 19), box.title, "middle")
        if box.note:
            yield _text("n", x + w / 2, y + 31, box.note, "middle")
        yield "</g>"
        return
    if shape.kind == "map":
        yield _rect("box", x + 8, y + 8, w, h, 8)
        yield _rect("box", x + 4, y + 4, w, h, 8)
    looks = "open" if shape.inside else "box"
    dashed = " dash" if shape.kind in ("branch", "case", "gate") else ""
    yield _rect(looks + dashed, x, y, w, h, 8)
    stripe = (30 if box.note else 18) if shape.inside else h - 16
    yield f'<rect class="{shape.kind}" x="{_n(x + 6)}" y="{_n(y + 8)}" width="4" height="{_n(stripe)}" rx="2"/>'
    yield _text("t", x + 18, y + 21, box.title)
    if box.note:
        yield _text("n", x + 18, y + 36, box.note)
    yield from _content(box)
    yield "</g>"


def _wire(curve: Curve) -> Iterator[str]:
    (x1, y1), (_, low), (x2, high), (_, y2) = curve.points
    looks = "wire order" if all(edge.is_order for edge in curve.edges) else "wire"
    tip = _TIP if curve.has_arrow else 0.0
    bend = (high - tip - low) / 2
    path = [f"M{_n(x1)} {_n(y1)}"]
    if low > y1:
        path.append(f"V{_n(low)}")
    path.append(f"C{_n(x1)} {_n(low + bend)} {_n(x2)} {_n(high - tip - bend)} {_n(x2)} {_n(high - tip)}")
    if y2 > high:
        path.append(f"V{_n(y2 - tip)}")
    yield "<g>"
    yield f"<title>{escaped(chr(10).join(_edge_text(edge) for edge in curve.edges[:8]))}</title>"
    yield f'<path class="{looks}" d="{"".join(path)}"/>'
    if curve.has_arrow:
        yield f'<path class="tip" d="M{_n(x2)} {_n(y2)}l-4 -7h8z"/>'
    yield "</g>"


def _edge_text(edge: Edge) -> str:
    ends = f"{edge.source.removeprefix('in:')} → {edge.target.removeprefix('out:')}"
    return f"{ends}: {cut(', '.join(edge.labels))}" if edge.labels else f"{ends}: order only"


def _rect(looks: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    return (
        f'<rect class="{looks}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"/>'
    )


def _text(looks: str, x: float, y: float, text: str, anchor: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{looks}" x="{_n(x)}" y="{_n(y)}"{where}>{escaped(text)}</text>'


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def escaped(text: str) -> str:
    """``text`` as XML takes it: entities for what has a meaning there, nothing for what it cannot hold.

    Example:
        >>> escaped('a < "b"\\x00')
        'a &lt; &quot;b&quot;'
    """
    clean = "".join(
        c for c in text if c in "\t\n" or (c >= " " and not 0xD800 <= ord(c) <= 0xDFFF and c not in "\ufffe\uffff")
    )
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
