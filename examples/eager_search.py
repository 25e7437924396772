"""Calls made as the code runs: an eager task awaits what others return, and goes on from what it sees.

    flytepath run examples/eager_search.py minimum
    flytepath run examples/eager_search.py roots

What it shows:

- ``@eager``: an ``async`` function whose calls of tasks are made when Python comes to them;
- ``asyncio.gather``: several calls of ``async`` tasks at once; a call of a plain task gives its value;
- a failure of a called task is an ``EagerException``, and keeps its own class: ``except ValueError`` works;
- in a durable run each call is recorded: an execution that is resumed goes on from what has succeeded.
"""

from __future__ import annotations

import asyncio
import math

from flytepath import eager, task, workflow


@task
async def loss(x: float) -> float:
    """What is to be as small as possible."""
    return (x - 1.75) ** 2 + 0.5


@task
def root(x: float) -> float:
    """A square root, where there is one."""
    return math.sqrt(x)


@eager
async def search(low: float, high: float, rounds: int) -> float:
    """Try five points at once, then look more closely around the best."""
    best = low
    for _ in range(rounds):
        points = [low + (high - low) * step / 4 for step in range(5)]
        losses = await asyncio.gather(*(loss(x=point) for point in points))
        best = points[losses.index(min(losses))]
        quarter = (high - low) / 4
        low, high = best - quarter, best + quarter
    return best


@eager
async def all_roots(values: list[float]) -> dict[str, float]:
    """The roots of those that have one."""
    found: dict[str, float] = {}
    for value in values:
        try:
            found[f"{value:g}"] = root(x=value)
        except ValueError:
            found[f"{value:g}"] = math.nan
    return found


@workflow
def minimum(low: float = 0.0, high: float = 8.0, rounds: int = 4) -> float:
    """An eager task in a workflow is a node like any other."""
    return search(low=low, high=high, rounds=rounds)


@workflow
def roots(values: list[float] = [4.0, -1.0, 9.0]) -> dict[str, float]:  # noqa: B006 - never changed
    """Two roots and a gap."""
    return all_roots(values=values)
