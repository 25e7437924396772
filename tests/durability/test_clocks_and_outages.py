"""The clock goes back, the database goes away: runs go on when they can, and say what is wrong when they cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import durable_flow
import pytest
from durable_flow import EVERYTHING
from durable_home import DurableHome, check_everything, outputs
from flytepath import FlytePath
from test_several_engines import all_right, begun

Homes = Callable[[str], DurableHome]
HOUR = 3600


def everything(home: DurableHome) -> str:
    with FlytePath(home=home.home, engine=False) as platform:
        return platform.execute(durable_flow.everything, {"x": 5}).id


def kinds(home: DurableHome, execution: str) -> set[str]:
    return {event.payload.type for event in home.events(execution)}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.proof)])
def test_a_clock_that_is_set_back_holds_up_nothing(a_home: Homes, kind: str) -> None:
    """Retries, sleeps and leases go on, also in an engine that starts with the wrong time and takes over."""
    home = a_home(kind)
    clock: Path = home.folder / "clock"
    first = home.engine(CLOCK=str(clock))
    execution = everything(home)
    home.until(lambda: {"attempt_started", "gate_opened"} <= kinds(home, execution), "it runs, and sleeps")
    clock.write_text(str(-HOUR))
    home.until(lambda: {"items_succeeded", "call_started"} <= kinds(home, execution), "it goes on in the past")
    home.kill(first)
    second = home.engine(CLOCK=str(clock))
    home.answer_gates(execution)
    all_right(home, begun(home, 3), 60)
    assert tuple(outputs(home, execution)) == EVERYTHING
    at = [event.at for event in home.events(execution)]
    assert at == sorted(at), "times of events go back"
    home.end(second)


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_clock_that_was_an_hour_ahead_when_its_engine_died_holds_up_nothing(a_home: Homes, kind: str) -> None:
    home = a_home(kind)
    clock: Path = home.folder / "clock"
    clock.write_text(str(HOUR))
    first = home.engine(CLOCK=str(clock))
    execution = everything(home)
    home.until(lambda: "attempt_failed" in kinds(home, execution), "an attempt has failed")
    home.kill(first)
    second = home.engine()
    home.answer_gates(execution)
    home.until(lambda: home.client.has_ended(execution), "it has ended")
    assert tuple(outputs(home, execution)) == EVERYTHING
    check_everything(home)
    home.end(second)


def outage(home: DurableHome, postgres: Any, seconds: float, executions: int, engines: int) -> None:
    running = [home.engine("--no-schedules") for _ in range(engines)]
    expected = begun(home, executions)
    execution = everything(home)
    home.until(lambda: "attempt_started" in kinds(home, execution), "it runs")
    postgres.stop()
    try:
        with pytest.raises(AssertionError):  # nothing to wait for but the time it is away
            home.until(lambda: any(each.poll() is not None for each in running), "an engine gives up", seconds)
    finally:
        postgres.start()
    home.answer_gates(execution)
    all_right(home, expected, 120)
    assert tuple(outputs(home, execution)) == EVERYTHING
    for engine in running:
        assert engine.poll() is None
    home.end(*running)


def test_a_database_that_goes_away_and_comes_back_costs_nothing(a_home: Homes, postgres: Any) -> None:
    outage(a_home("postgres"), postgres, 2, executions=4, engines=1)


@pytest.mark.proof
def test_a_database_that_goes_away_for_longer_costs_two_engines_nothing(a_home: Homes, postgres: Any) -> None:
    outage(a_home("postgres"), postgres, 5, executions=30, engines=2)


def test_a_run_whose_database_does_not_come_back_says_so_and_can_be_resumed(a_home: Homes, postgres: Any) -> None:
    home = a_home("postgres")
    run = home.start("run", "durable_flow.py", "lasting", "--x", "1", "--seconds", "1", STORE_PATIENCE_SECONDS="1")
    home.until(home.executions, "it has begun")
    [execution] = home.executions()
    home.until(lambda: "n1" in home.state(execution).running, "the slow task runs")
    postgres.stop()
    try:
        status = home.ended(run)
        said = home.said(run)
    finally:
        postgres.start()
    assert status == 1, said
    assert "Traceback" not in said
    assert "FP-STORE-UNAVAILABLE" in said, said
    assert f"flytepath executions resume {execution}" in said, said
    home.gone(home.workers())
    assert home.ended(home.start("executions", "resume", execution)) == 0
    assert outputs(home, execution) == [4]
    check_everything(home)
