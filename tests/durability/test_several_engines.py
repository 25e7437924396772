"""Several engines on one store, killed, stopped and drained under load: all ends right, nothing runs twice."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import durable_flow
import pytest
from durable_flow import medium_gives
from durable_home import SCOPE, DurableHome, Moment, check_everything, outputs
from flytepath import FlytePath

Homes = Callable[[str], DurableHome]


def begun(home: DurableHome, number: int) -> dict[str, int]:
    """Ask for executions that engines elsewhere have to drive; what each has to give."""
    expected = {}
    with FlytePath(home=home.home, engine=False) as platform:
        for x in range(number):
            entity, result = (durable_flow.medium, medium_gives(x)) if x % 3 == 0 else (durable_flow.small, x + 1)
            expected[platform.execute(entity, {"x": x}).id] = result
    return expected


def done(home: DurableHome) -> int:
    return len(home.client.store.executions(limit=1000, state="succeeded"))


def all_right(home: DurableHome, expected: dict[str, int], seconds: float) -> None:
    home.until(lambda: not home.client.store.executions(limit=1000, state="running"), "all have ended", seconds)
    for execution, result in expected.items():
        assert outputs(home, execution) == [result]
    check_everything(home)


def killed_under_load(home: DurableHome, engines: int, executions: int, kills: int, seed: int) -> None:
    """Kill engines at random moments, and start others in their place, while executions run and more are begun."""
    dice = random.Random(seed)
    running = [home.engine() for _ in range(engines)]
    expected = begun(home, executions)
    moments = []
    for kill in range(kills):
        wanted = min(executions - 1, (kill + 1) * executions // (kills + 2))
        home.until(lambda wanted=wanted: done(home) >= wanted, f"{wanted} of {executions} have ended")
        time.sleep(dice.uniform(0, 0.3))  # not to wait for anything, but to hit another moment each time
        victim = running.pop(dice.randrange(len(running)))
        home.kill(victim)
        moments.append(Moment.of(home))
        running.append(home.engine())
    all_right(home, expected, 240)
    for moment in moments:
        moment.check_after(home)
    home.end(*running)


def test_engines_are_killed_under_load(a_home: Homes) -> None:
    killed_under_load(a_home("postgres"), engines=2, executions=20, kills=2, seed=1)


@pytest.mark.proof
@pytest.mark.parametrize(
    ("kind", "engines", "executions", "kills"),
    [("postgres", 2, 100, 8), ("postgres", 4, 200, 16), ("sqlite", 2, 100, 8), ("sqlite", 1, 40, 6)],
)
@pytest.mark.parametrize("seed", [11, 12])
def test_engines_are_killed_under_load_over_and_over(
    a_home: Homes, kind: str, engines: int, executions: int, kills: int, seed: int
) -> None:
    killed_under_load(a_home(kind), engines, executions, kills, seed)


def lasting(home: DurableHome, seconds: float) -> str:
    with FlytePath(home=home.home, engine=False) as platform:
        return platform.execute(durable_flow.lasting, {"x": 1, "seconds": seconds}).id


def runs(home: DurableHome, execution: str, node: str) -> bool:
    return node in home.state(execution).running


@pytest.mark.parametrize("kind", ["postgres", pytest.param("sqlite", marks=pytest.mark.proof)])
def test_an_engine_that_stood_still_for_longer_than_its_lease_changes_nothing(a_home: Homes, kind: str) -> None:
    home = a_home(kind)
    first = home.engine(LEASE_SECONDS="1.5")
    execution = lasting(home, 2.0)
    home.until(lambda: runs(home, execution, "n1"), "the slow task runs")
    stand_still(home, first)
    second = home.engine(LEASE_SECONDS="1.5")
    home.until(lambda: len(owners(home, execution)) == 2, "another engine takes over")
    owner = home.client.store.owner(execution)
    assert owner is not None
    first.send_signal(signal.SIGCONT)
    all_right(home, {execution: 4}, 60)
    assert len(owners(home, execution)) == 2
    assert owners(home, execution)[1] == owner.owner
    for node, attempt in results(home, execution):
        assert (node, attempt) != ("n1", 1), "the result of an attempt that was given up was taken"
    assert first.poll() is None, home.said(first)
    # Both are well: each takes its part of what comes next.
    all_right(home, {**begun(home, 6), execution: 4}, 60)
    home.end(first, second)


def stand_still(home: DurableHome, engine: subprocess.Popen[bytes]) -> None:
    """Stop a process where it is in the middle of no transaction, as one who sleeps usually is."""
    engine.send_signal(signal.SIGSTOP)


def owners(home: DurableHome, execution: str) -> list[str]:
    payloads = [event.payload for event in home.events(execution)]
    return [each.owner for each in payloads if each.type == "execution_owned"]


def results(home: DurableHome, execution: str) -> list[tuple[str, int]]:
    payloads: list[Any] = [event.payload for event in home.events(execution)]
    return [(each.node, each.attempt) for each in payloads if each.type == "node_succeeded"]


def test_an_engine_that_is_told_to_end_hands_on_what_it_has_not_begun(a_home: Homes) -> None:
    home = a_home("postgres")
    first = home.engine()
    execution = lasting(home, 1.5)
    home.until(lambda: runs(home, execution, "n1"), "the slow task runs")
    first.terminate()
    assert home.ended(first) == 0, home.said(first)
    assert "drained" in home.said(first)
    assert ("n1", 1) in results(home, execution), "what ran was not let go on to its end"
    assert home.client.store.status(execution) == "running"
    assert home.client.store.owner(execution) is None or not home.client.is_driven(SCOPE, execution)
    second = home.engine()
    all_right(home, {execution: 4}, 60)
    assert [line[2] for line in home.lines()] == [1, 1, 1]
    home.end(second)
