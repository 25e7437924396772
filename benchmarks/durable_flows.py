"""The workflows of the durable benchmarks: trivial tasks, so that what is timed is the engine."""

from __future__ import annotations

import time
from pathlib import Path

from flytepath import map_task, task, workflow


@task
def inc(x: int) -> int:
    """One more."""
    return x + 1


@task
def size(xs: list[int]) -> int:
    """How many there are."""
    return len(xs)


@task
def held(xs: list[int], marker: str) -> int:
    """Say by a file that it has begun, and wait for another one to be told to end."""
    Path(f"{marker}.began").touch()
    while not Path(f"{marker}.go").exists():
        time.sleep(0.01)
    return len(xs)


def _chain(x: int, count: int) -> int:
    for _ in range(count):
        x = inc(x=x)
    return x


@workflow
def chain_100(x: int) -> int:
    return _chain(x, 100)


@workflow
def chain_1000(x: int) -> int:
    return _chain(x, 1_000)


@workflow
def chain_10000(x: int) -> int:
    return _chain(x, 10_000)


@workflow
def chain_100000(x: int) -> int:
    return _chain(x, 100_000)


def _fan(x: int, count: int) -> int:
    return size(xs=[inc(x=x) for _ in range(count)])


@workflow
def fan_2(x: int) -> int:
    return _fan(x, 2)


@workflow
def fan_100(x: int) -> int:
    return _fan(x, 100)


@workflow
def fan_500(x: int) -> int:
    return _fan(x, 500)


@workflow
def fan_1000(x: int) -> int:
    return _fan(x, 1_000)


@workflow
def fan_10000(x: int) -> int:
    return _fan(x, 10_000)


@workflow
def fan_100000(x: int) -> int:
    return _fan(x, 100_000)


@workflow
def mapped(xs: list[int]) -> int:
    return size(xs=map_task(inc)(x=xs))


@workflow
def small(x: int) -> int:
    return inc(x=x)


@workflow
def held_map(xs: list[int], marker: str) -> int:
    """A map, and a node after it that does not end by itself."""
    return held(xs=map_task(inc)(x=xs), marker=marker)


@workflow
def held_fan(x: int, marker: str) -> int:
    """10,000 nodes, and one after them that does not end by itself."""
    return held(xs=[inc(x=x) for _ in range(10_000)], marker=marker)
