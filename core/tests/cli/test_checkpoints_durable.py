"""A training loop by ``flytepath run``: its worker is killed at random steps, and it ends as an undisturbed one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    import json, os, pathlib, random, signal
    from flytepath import current_context, task, workflow
    from flytepath.authoring.declared.attempts import Retry

    marks = pathlib.Path(os.environ.get("MARKS", "."))

    def perhaps_killed(step, kills):
        left = json.loads(kills)
        attempt = str(current_context().attempt)
        if left.get(attempt, [None])[0] == step:
            os.kill(os.getpid(), left[attempt][1])

    @task(retries=Retry(0, system=20), interruptible=True)
    def train(kills: str, steps: int = 30) -> list[float]:
        checkpoint = current_context().checkpoint
        state = checkpoint.load() or {"step": 0, "w": 0.0, "rng": random.Random(3).getstate()}
        with (marks / "starts").open("a") as file:
            file.write(f"{current_context().attempt}:{state['step']} ")

        @checkpoint.on_preemption
        def save():
            checkpoint.save(state, step=state["step"])

        while state["step"] < steps:
            rng = random.Random()
            rng.setstate(state["rng"])
            w = state["w"] * 0.9 + rng.gauss(0, 1)
            state = {"step": state["step"] + 1, "w": w, "rng": rng.getstate()}
            perhaps_killed(state["step"], kills)
            if state["step"] % 4 == 0:
                save()
        return [state["w"], rng.random()]

    @workflow
    def training(kills: str = "{}") -> list[float]:
        return train(kills=kills)
"""


@pytest.fixture
def flow(cli: Any) -> Any:
    marks: Path = cli.folder / "marks"
    marks.mkdir()
    cli.env["MARKS"] = str(marks)
    cli.write("flow.py", FLOW)
    return cli


def trained(flow: Any, kills: dict[int, tuple[int, int]] | None = None) -> Any:
    view = json.loads(flow.run("run", "--json", "flow.py", "training", "--kills", json.dumps(kills or {})).stdout)
    assert view["status"] == "succeeded"
    return view["outputs"]["o0"]["data"]


def starts(flow: Any) -> dict[int, int]:
    path = flow.folder / "marks" / "starts"
    found = {int(a): int(s) for a, s in (item.split(":") for item in path.read_text().split())}
    path.unlink()
    return found


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.proof), pytest.param(3, marks=pytest.mark.proof)]
)
def test_a_killed_worker_costs_no_more_than_the_steps_since_the_last_save(flow: Any, seed: int) -> None:
    undisturbed = trained(flow)
    assert starts(flow) == {1: 0}
    chance = random.Random(seed)
    steps = sorted(chance.sample(range(2, 30), 3))
    kills = {attempt: (step, 9) for attempt, step in enumerate(steps, start=1)}
    assert trained(flow, kills) == undisturbed
    assert starts(flow) == {1: 0, **{attempt + 1: (step - 1) // 4 * 4 for attempt, (step, _) in kills.items()}}
    assert not list((flow.home / "checkpoints").glob("*")), "what an execution that ended well left is removed"


def test_a_worker_that_is_told_to_go_saves_where_it_stands(flow: Any) -> None:
    undisturbed = trained(flow)
    starts(flow)
    assert trained(flow, {1: (7, 15), 2: (18, 15)}) == undisturbed
    assert starts(flow) == {1: 0, 2: 7, 3: 18}
