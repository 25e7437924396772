"""Runs that are killed again and again end with the same outputs, and nothing that succeeded runs twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    import os, pathlib, time
    from flytepath import task, workflow

    marks = pathlib.Path(os.environ["MARKS"])

    @task
    def step(name: str, inputs: list[int]) -> int:
        time.sleep(0.05)
        with (marks / name).open("a") as file:
            file.write("x")
        return sum(inputs) + 1

    @workflow
    def diamond() -> int:
        first = step(name="first", inputs=[])
        middle = [step(name=f"middle{i}", inputs=[first, i]) for i in range(5)]
        deep = [step(name=f"deep{i}", inputs=[value]) for i, value in enumerate(middle)]
        return step(name="last", inputs=[*deep])
"""


def crash_until_done(cli: Any, seed: int) -> int:
    """Kill the run after random times until one goes through; the number of kills. Checks everything on the way."""
    dice = random.Random(seed)
    marks: Path = cli.folder / "marks"
    marks.mkdir()
    cli.env["MARKS"] = str(marks)
    cli.write("flow.py", FLOW)
    command = ["run", "flow.py", "diamond"]
    kills = 0
    while True:
        process = cli.start(*command)
        try:
            _, err = process.communicate(timeout=dice.uniform(0.5, 3.0) if kills < 6 else 120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
        listed = cli.json("executions", "list")
        if listed:
            command = ["executions", "resume", listed[0]["id"]]
            check_log(cli.json("executions", "show", listed[0]["id"])["events"])
            if listed[0]["status"] == "succeeded":
                break
        assert process.returncode in (0, -signal.SIGKILL), err
    view = cli.json("executions", "show", listed[0]["id"])
    assert view["outputs"]["o0"]["data"] == 26
    started = Counter(e["payload"]["node"] for e in view["events"] if e["payload"]["type"] == "attempt_started")
    names = {"n0": "first", "n11": "last"} | {f"n{1 + i}": f"middle{i}" for i in range(5)}
    for node, name in (names | {f"n{6 + i}": f"deep{i}" for i in range(5)}).items():
        assert 1 <= len((marks / name).read_text()) <= started[node]
    return kills


def check_log(events: list[dict[str, Any]]) -> None:
    """The log has no gaps, and no attempt starts after its node has succeeded."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    done: set[str] = set()
    for payload in (event["payload"] for event in events):
        if payload["type"] == "attempt_started":
            assert payload["node"] not in done, f"{payload['node']} ran again after it had succeeded"
        if payload["type"] == "node_succeeded":
            assert payload["node"] not in done
            done.add(payload["node"])


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_survives_kills_at_random_moments(cli: Any, seed: int) -> None:
    crash_until_done(cli, seed)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(100, 125))
def test_a_run_survives_kills_at_random_moments_over_and_over(cli: Any, seed: int) -> None:
    crash_until_done(cli, seed)
