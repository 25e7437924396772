"""Layered order: which row each box stands in, and where in the row, so that edges point down and cross little.

The method is that of Sugiyama, Tagawa and Toda (1981): rows by longest path, long edges through points of their own in
every row they pass, and rows sorted again and again by the mean place of their neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Rows longer than this, or than twice the square root of all, are wrapped.
_ROW = 12
#: Above this number of points an edge is drawn straight from its first row to its last.
_POINTS = 30_000
_SWEEPS = 8


@dataclass(slots=True)
class Layers:
    """Vertices in rows. A vertex below ``size`` is a box; the others are points that long edges pass.

    Attributes:
        rows: the vertices of each row, from left to right.
        links: pairs of vertices of neighbouring rows (or further apart, where an edge has no points), in order.
        uses: for each link, the edges that pass it.
    """

    size: int
    rows: list[list[int]]
    links: list[tuple[int, int]] = field(default_factory=list)
    uses: list[list[int]] = field(default_factory=list)
    edges: Sequence[tuple[int, int]] = ()

    def ends(self) -> tuple[list[list[int]], list[list[int]]]:
        """As :meth:`neighbours`, but for a box the boxes at the other ends of its edges, however far."""
        above, below = self.neighbours()
        for vertex in range(self.size):
            above[vertex], below[vertex] = [], []
        for start, end in self.edges:
            above[end].append(start)
            below[start].append(end)
        return above, below

    def neighbours(self) -> tuple[list[list[int]], list[list[int]]]:
        """For every vertex those above and those below."""
        count = sum(map(len, self.rows))
        above: list[list[int]] = [[] for _ in range(count)]
        below: list[list[int]] = [[] for _ in range(count)]
        for start, end in self.links:
            above[end].append(start)
            below[start].append(end)
        return above, below


def layered(size: int, edges: Sequence[tuple[int, int]]) -> Layers:
    """Rows for ``size`` boxes with ``edges`` between them, which must be without cycles; others are left out of count.

    Example:
        >>> layered(3, [(0, 1), (1, 2), (0, 2)]).rows
        [[0], [1, 3], [2]]
    """
    depth = _wrapped(size, edges, _longest_paths(size, edges))
    layers = _with_points(size, edges, depth)
    _reduce_crossings(layers)
    return layers


def _longest_paths(size: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    below: list[list[int]] = [[] for _ in range(size)]
    above: list[list[int]] = [[] for _ in range(size)]
    for start, end in edges:
        below[start].append(end)
        above[end].append(start)
    waiting = [len(items) for items in above]
    ready = [vertex for vertex in range(size) if not waiting[vertex]]
    depth = [0] * size
    order: list[int] = []
    for vertex in ready:
        order.append(vertex)
        for end in below[vertex]:
            depth[end] = max(depth[end], depth[vertex] + 1)
            waiting[end] -= 1
            if not waiting[end]:
                ready.append(end)
    for vertex in reversed(order):  # what nobody is above of moves down to where it is first needed
        if not above[vertex] and below[vertex]:
            depth[vertex] = max(0, min(depth[end] for end in below[vertex]) - 1)
    return depth


def _wrapped(size: int, edges: Sequence[tuple[int, int]], depth: list[int]) -> list[int]:
    """The rows again, where none is much longer than the picture is high."""
    limit = max(_ROW, 2 * math.isqrt(size))
    members: dict[int, list[int]] = {}
    for vertex, row in enumerate(depth):
        members.setdefault(row, []).append(vertex)
    wrapped, at = [0] * size, 0
    for row in sorted(members):
        there = members[row]
        parts = -(-len(there) // limit)
        per_part = -(-len(there) // parts)
        for index, vertex in enumerate(there):
            wrapped[vertex] = at + index // per_part
        at += parts
    return wrapped


def _with_points(size: int, edges: Sequence[tuple[int, int]], depth: list[int]) -> Layers:
    """The rows with a point wherever a long edge passes; edges with one end in common share their points."""
    out_degree, in_degree = [0] * size, [0] * size
    for start, end in edges:
        out_degree[start] += 1
        in_degree[end] += 1
    rows: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for vertex, row in enumerate(depth):
        rows[row].append(vertex)
    layers = Layers(size, rows, edges=edges)
    points: dict[tuple[bool, int, int], int] = {}
    known: dict[tuple[int, int], int] = {}
    for index, (start, end) in enumerate(edges):
        by_end = in_degree[end] > out_degree[start]
        previous = start
        if depth[end] > depth[start]:
            for row in range(depth[start] + 1, depth[end]):
                key = (by_end, end if by_end else start, row)
                point = points.get(key)
                if point is None:
                    if len(points) >= _POINTS:
                        break
                    point = points[key] = size + len(points)
                    rows[row].append(point)
                previous = _link(layers, known, previous, point, index)
        _link(layers, known, previous, end, index)
    return layers


def _link(layers: Layers, known: dict[tuple[int, int], int], start: int, end: int, edge: int) -> int:
    place = known.get((start, end))
    if place is None:
        known[start, end] = len(layers.links)
        layers.links.append((start, end))
        layers.uses.append([edge])
    else:
        layers.uses[place].append(edge)
    return end


def _reduce_crossings(layers: Layers) -> None:
    """Sort the rows by the mean place of their neighbours, down and up, and keep the best order there was."""
    above, below = layers.neighbours()
    place = [0] * len(above)
    for row in layers.rows:
        for index, vertex in enumerate(row):
            place[vertex] = index
    best, fewest = [list(row) for row in layers.rows], _crossings(layers.rows, below, place)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        near = above if down else below
        for row in layers.rows if down else reversed(layers.rows):
            keys = {v: sum(place[n] for n in near[v]) / len(near[v]) if near[v] else float(place[v]) for v in row}
            row.sort(key=lambda vertex: (keys[vertex], place[vertex]))
            for index, vertex in enumerate(row):
                place[vertex] = index
        now = _crossings(layers.rows, below, place)
        if now < fewest:
            best, fewest = [list(row) for row in layers.rows], now
    layers.rows = best


def _crossings(rows: list[list[int]], below: list[list[int]], place: list[int]) -> int:
    """How many links cross, by counting inversions with a Fenwick tree, in O(links x log width)."""
    total = 0
    for row in rows:
        ends = [place[end] for vertex in row for end in sorted(below[vertex], key=place.__getitem__)]
        if len(ends) < 2:
            continue
        width = max(ends) + 1
        tree = [0] * (width + 1)
        for seen, end in enumerate(ends):
            before, at = 0, end + 1
            while at:
                before += tree[at]
                at &= at - 1
            total += seen - before
            at = end + 1
            while at <= width:
                tree[at] += 1
                at += at & -at
    return total
