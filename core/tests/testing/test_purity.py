"""What the kit takes for impure is what the plan did, and nothing that happened to come between."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flytepath.testing.backend_conformance.purity import observed


@contextmanager
def a_clock_at_every_collection() -> Iterator[list[float]]:
    """As profilers and test frameworks do it."""
    looked: list[float] = []

    def look(_phase: str, _facts: dict[str, int]) -> None:
        looked.append(time.perf_counter())

    before = gc.get_threshold()
    gc.callbacks.append(look)
    gc.set_threshold(1)
    try:
        yield looked
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(look)


def garbage() -> int:
    return len([[number] for number in range(10_000)])


def test_what_hangs_on_a_garbage_collection_is_no_fault_of_the_plan() -> None:
    with a_clock_at_every_collection() as looked:
        garbage()
        assert looked
        result, seen = observed(garbage)
    assert result == 10_000
    assert not seen
    assert gc.isenabled()


def test_a_clock_that_the_plan_itself_looks_at_is_seen() -> None:
    with a_clock_at_every_collection():
        _, seen = observed(time.perf_counter)
    assert [each.what for each in seen] == ["the clock (time.perf_counter)"]


def test_collection_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        observed(garbage)
        assert not gc.isenabled()
    finally:
        gc.enable()
