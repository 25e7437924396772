"""A store that is away for a while: it is waited for, and nothing of it is held against an execution."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, Machine, MemoryLog, Posted
from flytepath.engine import outage
from flytepath.engine.journal import record_of
from flytepath.engine.state import ExecutionStatus
from flytepath.errors import StoreUnavailableError
from flytepath.model.events import Event
from flytepath.model.literal import Literal
from flytepath.model.workflow import WorkflowSpec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import bodies, workflows
from shapes import flow, node, out, tasks

GONE = "the server is gone"


class ShakyLog(MemoryLog):
    """A log that cannot be reached now and then; what it was told then may have been carried out."""

    def __init__(self, dice: random.Random, share: float) -> None:
        super().__init__()
        self.dice = dice
        self.share = share
        self.failures = 0

    def _is_away(self) -> bool:
        away = self.dice.random() < self.share
        self.failures += away
        return away

    def append_later(
        self, execution: str, expected_seq: int, epoch: int, events: list[Event], literals: list[Literal]
    ) -> Future[None]:
        future: Future[None] = Future()
        if not self._is_away():
            return super().append_later(execution, expected_seq, epoch, events, literals)
        future.set_exception(StoreUnavailableError(GONE))
        return future

    def literals(self, execution: str, digests: Iterable[str]) -> dict[str, Literal]:
        if self._is_away():
            raise StoreUnavailableError(GONE)
        return super().literals(execution, digests)

    def take(self, ids: Iterable[int]) -> None:
        if self._is_away():
            raise StoreUnavailableError(GONE)
        super().take(ids)

    def put_spec(self, digest: str, spec: Any) -> None:
        super().put_spec(digest, spec)
        if self._is_away():
            raise StoreUnavailableError(GONE)


def shaky(machine: Machine, seed: int, share: float) -> ShakyLog:
    """Let the log of a machine be away in that share of the times it is asked."""
    log = ShakyLog(random.Random(seed), share)
    log.events, log.kept, log.specs = machine.log.events, machine.log.kept, machine.log.specs
    machine.log = log
    return log


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> Iterable[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outage, "STORE_FIRST_PAUSE_SECONDS", 0.001)
        patch.setattr(outage, "STORE_PAUSE_SECONDS", 0.002)
        yield


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=workflows(), x=st.integers(0, 30), seed=st.integers(0, 2**16), crash=st.integers(0, 8))
def test_a_store_that_is_away_now_and_then_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, spec: WorkflowSpec, x: int, seed: int, crash: int
) -> None:
    """Whatever the graph; also for an engine that takes over, which knows no value and has to read each."""
    folder = tmp_path_factory.mktemp("machine")
    whole = Machine(spec, bodies(), folder, x=x)
    expected = whole.run()
    machine = Machine(spec, bodies(), folder, x=x)
    shaky(machine, seed, 0.4)
    with suppress(Crash):
        machine.run(crash_after=crash)
    if not machine.state().status.is_final:
        machine.run()
    assert machine.state().status is expected.status
    assert machine.outputs() == whole.outputs()
    assert machine.state().unfinished == expected.unfinished
    assert "FP-STORE-UNAVAILABLE" not in str(machine.log.events)


def test_what_waits_for_a_slot_begins_when_the_store_is_back(tmp_path: Path) -> None:
    """Its inputs are read when it is about to start, by an engine that has read nothing yet."""
    spec = flow(node("n0", "a"), node("n1", "b", out("n0")), tasks=tasks("a", "b"))
    machine = Machine(spec, {"a": lambda _r, x: x + 1, "b": lambda _r, x: x * 2}, tmp_path, x=3)
    log = shaky(machine, 1, 0.9)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert machine.outputs() == {"o0": 8}
    assert log.failures


def test_commands_are_heeded_once_however_often_the_store_is_away(tmp_path: Path) -> None:
    async def endless(_request: Any, x: int) -> int:
        await asyncio.sleep(60)
        return x

    spec = flow(node("n0", "a"), tasks=tasks("a"))
    machine = Machine(spec, {"a": endless}, tmp_path, x=3)
    log = shaky(machine, 5, 0.7)
    log.posted.append(Posted(1, {"type": "abort", "reason": "enough", "principal": "ada"}))
    assert machine.run().status is ExecutionStatus.ABORTED
    assert not log.posted
    assert [event.payload.type for event in log.events].count("execution_aborted") <= 1


def test_a_store_that_stays_away_leaves_the_execution_to_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "STORE_PATIENCE_SECONDS", 0.05)
    spec = flow(node("n0", "a"), tasks=tasks("a"))
    machine = Machine(spec, {"a": lambda _r, x: x + 1}, tmp_path, x=3)
    log = shaky(machine, 1, 1.0)
    with pytest.raises(StoreUnavailableError):
        machine.run()
    assert machine.state().status is ExecutionStatus.RUNNING
    log.share = 0.0
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert machine.outputs() == {"o0": 4}


def test_a_store_that_is_away_is_never_the_error_of_an_execution() -> None:
    with pytest.raises(StoreUnavailableError, match=GONE):
        record_of(StoreUnavailableError(GONE), "n0")


def test_the_pauses_grow_and_end() -> None:
    now = 100.0
    away = outage.Outage(StoreUnavailableError(GONE), clock=lambda: now)
    pauses = []
    while not away.is_enough:
        pauses.append(away.pause)
        now += away.pause
        away.goes_on(StoreUnavailableError(GONE))
    assert pauses[0] < pauses[1] <= outage.STORE_PAUSE_SECONDS
    assert max(pauses) <= outage.STORE_PAUSE_SECONDS + 1e-9
    assert (
        outage.STORE_PATIENCE_SECONDS <= now - 100.0 <= outage.STORE_PATIENCE_SECONDS + 2 * outage.STORE_PAUSE_SECONDS
    )
