"""One task for every item of a list: bound inputs, a limit to what runs at once, and items that may fail.

    flytepath run examples/maps.py word_lengths
    flytepath run examples/maps.py readings
    flytepath run examples/maps.py distances

What it shows:

- ``map_task(task)(item=[...])``: results come back as a list in the same order;
- ``functools.partial`` binds what is the same for every item, be it a value or what another task returned;
- ``concurrency``: how many items run at once in a durable run;
- ``min_success_ratio``: how many must succeed; an item that failed is ``None``;
- several lists of the same length, item by item.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import math
from functools import partial

from flytepath import map_task, task, workflow


@task
def zen() -> list[str]:
    """Tim Peters' Zen of Python, which Python itself brings along in a disguise."""
    with contextlib.redirect_stdout(io.StringIO()):  # it introduces itself
        import this

    return codecs.decode(this.s, "rot13").splitlines()[2:]


@task
def count_words(line: str, at_least: int) -> int:
    """How many long words a line has."""
    return sum(len(word.strip(".,-!*")) >= at_least for word in line.split())


@task
def longest(lines: list[str], counts: list[int]) -> str:
    """The line with the most long words."""
    return max(zip(counts, lines, strict=True))[1]


@workflow
def word_lengths(at_least: int = 7) -> str:
    """The weightiest line of the Zen."""
    lines = zen()
    counts = map_task(partial(count_words, at_least=at_least), concurrency=4)(line=lines)
    return longest(lines=lines, counts=counts)


@task
def read(text: str) -> float:
    """A number; a gap in the measurements is an error."""
    return float(text)


@task
def mean(values: list[float | None]) -> float:
    """Of what could be read."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


@workflow
def readings(texts: list[str] = ["14.5", "15.25", "n/a", "15.0"]) -> float:  # noqa: B006 - never changed
    """Three of four readings are enough."""
    return mean(values=map_task(read, min_success_ratio=0.75)(text=texts))


@task
def distance(x: float, y: float) -> float:
    """From the origin."""
    return math.hypot(x, y)


@workflow
def distances(x: list[float] = [3.0, 5.0], y: list[float] = [4.0, 12.0]) -> list[float]:  # noqa: B006 - never changed
    """Two lists, item by item."""
    return map_task(distance)(x=x, y=y)
