"""Coordinates: boxes inside boxes, each level laid out in rows, and the curves between them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flytepath.drawing.layers import Layers, layered
from flytepath.drawing.picture import Edge, Picture, Shape
from flytepath.drawing.wording import cut

GAP_X, GAP_Y = 28.0, 46.0
PADDING, HEADER = 16.0, 34.0
_PASSES = 12
_TITLE, _NOTE = 13.0, 11.0


@dataclass(slots=True)
class Box:
    """A shape with its place: ``x`` and ``y`` of the upper left corner, in the whole picture."""

    shape: Shape
    title: str
    note: str
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    inside: list[Box] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


@dataclass(slots=True)
class Curve:
    """A line: straight down through its own row, bent to the next, straight again. ``edges`` are those that take it."""

    points: tuple[tuple[float, float], ...]
    edges: tuple[Edge, ...]
    has_arrow: bool


def placed(picture: Picture) -> Box:
    """The picture laid out, as one box with everything inside."""
    top = Shape("", "picture", picture.title, "", picture.tip, picture.shapes)
    parents: dict[str, str] = {}
    _note_parents(top, parents)
    edges: dict[str, dict[tuple[str, str], list[Edge]]] = {}
    for edge in picture.edges:
        lifted = _lifted(edge, parents)
        if lifted is not None:
            level, pair = lifted
            edges.setdefault(level, {}).setdefault(pair, []).append(edge)
    box = _laid_out(top, edges)
    _move(box, 0.0, 0.0)
    return box


def _note_parents(shape: Shape, parents: dict[str, str]) -> None:
    for inner in shape.inside:
        parents[inner.id] = shape.id
        _note_parents(inner, parents)


def _lifted(edge: Edge, parents: Mapping[str, str]) -> tuple[str, tuple[str, str]] | None:
    """The level where an edge is drawn, and the two boxes of that level that hold its ends."""
    chain = [edge.source]
    while chain[-1]:
        chain.append(parents[chain[-1]])
    places = {name: index for index, name in enumerate(chain)}
    end = edge.target
    while parents[end] not in places:
        end = parents[end]
    level = parents[end]
    if end in places:  # one end is a box around the other
        return None
    return level, (chain[places[level] - 1], end)


def _laid_out(shape: Shape, edges: Mapping[str, Mapping[tuple[str, str], list[Edge]]]) -> Box:
    box = _sized(shape)
    if not shape.inside:
        return box
    box.inside = [_laid_out(inner, edges) for inner in shape.inside]
    index = {inner.id: place for place, inner in enumerate(shape.inside)}
    pairs = edges.get(shape.id, {})
    layers = layered(len(box.inside), [(index[start], index[end]) for start, end in pairs])
    widths = [inner.width for inner in box.inside]
    centres = _centres(layers, widths)
    header = HEADER + (16.0 if box.note else 0.0)
    tops, y = [], header
    for row in layers.rows:
        tops.append(y)
        y += max((box.inside[v].height for v in row if v < layers.size), default=0.0) + GAP_Y
    left = min((centres[v] - _half(v, widths) for row in layers.rows for v in row), default=0.0)
    right = max((centres[v] + _half(v, widths) for row in layers.rows for v in row), default=0.0)
    inner_width = max(right - left, box.width - 2 * PADDING)
    shift = PADDING - left + (inner_width - (right - left)) / 2
    spots: dict[int, tuple[float, float, float]] = {}
    for row, top in zip(layers.rows, tops, strict=True):
        height = max((box.inside[v].height for v in row if v < layers.size), default=0.0)
        for vertex in row:
            spots[vertex] = (centres[vertex] + shift, top, top + height)
            if vertex < layers.size:
                inner = box.inside[vertex]
                inner.x = centres[vertex] + shift - inner.width / 2
                inner.y = top if shape.kind == "branch" else top + (height - inner.height) / 2
    box.width = inner_width + 2 * PADDING
    box.height = y - GAP_Y + PADDING
    box.curves = _curves(box, layers, list(pairs.values()), spots)
    return box


def _curves(
    box: Box, layers: Layers, edges: Sequence[Sequence[Edge]], spots: Mapping[int, tuple[float, float, float]]
) -> list[Curve]:
    """The links as lines; ``spots`` holds for every vertex its middle and the top and bottom of its row."""
    curves = []
    for (start, end), uses in zip(layers.links, layers.uses, strict=True):
        (x1, _, low), (x2, high, y2) = spots[start], spots[end]
        y1 = low
        if start < layers.size:
            y1 = box.inside[start].y + box.inside[start].height
        if end < layers.size:
            y2 = box.inside[end].y
        using = tuple(edge for use in uses for edge in edges[use])
        curves.append(Curve(((x1, y1), (x1, low), (x2, high), (x2, y2)), using, end < layers.size))
    return curves


def _sized(shape: Shape) -> Box:
    title = cut(shape.title, 36)
    note = cut(shape.note, 48)
    width = max(text_width(title, _TITLE) * 1.1, text_width(note, _NOTE)) + 2 * PADDING + 8
    if shape.kind in ("input", "output"):
        return Box(shape, title, note, max(64.0, width), 40.0 if note else 28.0)
    return Box(shape, title, note, max(96.0, width), 46.0 if note else 34.0)


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif face.

    Example:
        >>> text_width("ii", 10) < text_width("WW", 10)
        True
    """
    total = 0.0
    for character in text:
        if character in "iljtfrI.,:;|'!()[] ":
            total += 0.34
        elif character in "mwMW@%":
            total += 0.92
        elif unicodedata.east_asian_width(character) in "WF":
            total += 1.05
        else:
            total += 0.66 if character.isupper() else 0.57
    return total * size


def _half(vertex: int, widths: Sequence[float]) -> float:
    return widths[vertex] / 2 if vertex < len(widths) else 4.0


def _centres(layers: Layers, widths: Sequence[float]) -> list[float]:
    """The middle of every vertex: as near to the mean of its neighbours as the order of its row allows."""
    above, below = layers.ends()
    centres = [0.0] * len(above)
    for row in layers.rows:
        at = 0.0
        for vertex in row:
            centres[vertex] = at + _half(vertex, widths)
            at += 2 * _half(vertex, widths) + GAP_X
        for vertex in row:
            centres[vertex] -= (at - GAP_X) / 2
    for step in range(_PASSES):
        down = step % 2 == 0
        near = above if down else below
        for row in layers.rows if down else reversed(layers.rows):
            _settle(row, near, centres, widths)
    return centres


def _settle(row: Sequence[int], near: Sequence[Sequence[int]], centres: list[float], widths: Sequence[float]) -> None:
    """Move a row to the least sum of squares from the wished places, by pooling adjacent violators."""
    offsets: list[float] = []
    at = 0.0
    for index, vertex in enumerate(row):
        if index:
            at += _half(row[index - 1], widths) + GAP_X + _half(vertex, widths)
        offsets.append(at)
    blocks: list[tuple[float, float, int]] = []  # sum of weighted wishes, weight, members
    for vertex, offset in zip(row, offsets, strict=True):
        around = near[vertex]
        wish = sum(centres[n] for n in around) / len(around) if around else centres[vertex]
        weight = 0.2 if not around else 0.5 if vertex >= len(widths) else 1.0
        blocks.append(((wish - offset) * weight, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append((last[0] + before[0], last[1] + before[1], last[2] + before[2]))
    index = 0
    for total, weight, members in blocks:
        for _ in range(members):
            centres[row[index]] = total / weight + offsets[index]
            index += 1


def _move(box: Box, x: float, y: float) -> None:
    """From places inside the box around to places in the picture."""
    box.x += x
    box.y += y
    box.curves = [
        Curve(tuple((px + box.x, py + box.y) for px, py in curve.points), curve.edges, curve.has_arrow)
        for curve in box.curves
    ]
    for inner in box.inside:
        _move(inner, box.x, box.y)
