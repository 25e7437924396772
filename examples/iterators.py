"""Streams between tasks: a generator's items are written one by one and read one by one, never all in memory.

    flytepath run examples/iterators.py collatz
    flytepath run examples/iterators.py collatz --limit 100

What it shows:

- a task that is a generator: ``Iterator[int]``;
- an input that is read item by item, can be gone through again, and knows its length;
- ``JSON``: plain data of any shape.
"""

from __future__ import annotations

from collections.abc import Iterator

from flytepath import JSON, task, workflow


@task
def lengths(limit: int) -> Iterator[int]:
    """How many steps each number takes to reach 1, halved where even, and else tripled with one added."""
    for start in range(1, limit):
        number, steps = start, 0
        while number != 1:
            number = number // 2 if number % 2 == 0 else 3 * number + 1
            steps += 1
        yield steps


@task
def records(steps: Iterator[int]) -> Iterator[JSON]:
    """Every number that takes longer than all before it. The input can be gone through again, and knows its length."""
    longest = -1
    for start, count in enumerate(steps, start=1):
        if count > longest:
            longest = count
            yield {"start": start, "steps": count}


@task
def last(found: Iterator[JSON]) -> str:
    """The last record."""
    *_, record = found
    return f"{record['start']} takes {record['steps']} steps"


@workflow
def collatz(limit: int = 1000) -> str:
    """Find the number below the limit that takes longest."""
    return last(found=records(steps=lengths(limit=limit)))
