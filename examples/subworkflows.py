"""Workflows in workflows: a part of a graph with a name and an interface of its own, used several times.

    flytepath run examples/subworkflows.py compare
    flytepath run examples/subworkflows.py fit --y '[1.0, 2.0, 3.0]' --x '[1.0, 2.0, 4.0]'

What it shows:

- a workflow that is called in another one becomes a part of its graph: nothing is started for it;
- outputs with names, by ``NamedTuple``: ``line.slope`` is a promise like any other.

The data are two of Anscombe's four sets: they look nothing alike, and have the same line through them.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from flytepath import task, workflow

X = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0]
FIRST = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
SECOND = [9.14, 8.14, 8.74, 8.77, 9.26, 8.10, 6.13, 3.10, 9.13, 7.26, 4.74]


class Line(NamedTuple):
    """A straight line, and how far the points are from it."""

    slope: float
    intercept: float
    spread: float


@task
def slope(x: list[float], y: list[float]) -> float:
    """By least squares."""
    return statistics.linear_regression(x, y).slope


@task
def intercept(x: list[float], y: list[float], slope: float) -> float:
    """Where the line meets the axis."""
    return statistics.mean(y) - slope * statistics.mean(x)


@task
def spread(x: list[float], y: list[float], slope: float, intercept: float) -> float:
    """The largest distance of a point."""
    return max(abs(b - slope * a - intercept) for a, b in zip(x, y, strict=True))


@workflow
def fit(x: list[float] = X, y: list[float] = FIRST) -> Line:
    """A line through points."""
    m = slope(x=x, y=y)
    b = intercept(x=x, y=y, slope=m)
    return Line(m, b, spread(x=x, y=y, slope=m, intercept=b))


@task
def tell(first: float, second: float, off: list[float]) -> str:
    """What came out."""
    return f"slopes {first:.2f} and {second:.2f}, at most {off[0]:.2f} and {off[1]:.2f} off"


@workflow
def compare() -> str:
    """The same part twice."""
    first, second = fit(), fit(y=SECOND)
    return tell(first=first.slope, second=second.slope, off=[first.spread, second.spread])
