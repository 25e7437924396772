"""A training loop is killed again and again, and ends with what an undisturbed one gives."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy")

STEPS = 24
#: Runs one attempt as a worker does, and tells on a pipe what it does.
PROGRAM = """
import json, os, sys
import numpy as np
from flytepath.authoring import preemption
from flytepath.authoring.context import ExecutionContext, current_context, entered

home, attempt, pipe, ballast, steps = sys.argv[1], *map(int, sys.argv[2:])

def tell(**what):
    os.write(pipe, json.dumps(what).encode() + b"\\n")

def train():
    checkpoint = current_context().checkpoint
    state = checkpoint.load()
    if state is None:
        state = {"step": 0, "w": np.zeros(8), "rng": np.random.default_rng(5).bit_generator.state, "losses": []}
    tell(started=state["step"])

    @checkpoint.on_preemption
    def save():
        checkpoint.save(state, step=state["step"])

    while state["step"] < steps:
        rng = np.random.default_rng()
        rng.bit_generator.state = state["rng"]
        x = rng.normal(size=8)
        error = state["w"] @ x - x.sum()
        w = state["w"] - 0.1 * error * x
        step = state["step"] + 1
        # A whole new state: a hook may run between any two of these lines.
        state = {
            "step": step, "w": w, "rng": rng.bit_generator.state, "losses": [*state["losses"], float(error)],
            "ballast": np.full(ballast, step % 251, dtype="uint8"),
        }
        tell(stepped=step)
        if step % 3 == 0:
            tell(saving=step)
            checkpoint.save(state, step=step)
            tell(saved=step)
    return {"w": state["w"].tobytes().hex(), "losses": [loss.hex() for loss in state["losses"]]}

preemption.install(lambda report: tell(preempted=report.message, ended=report.ended, step=report.step))
context = ExecutionContext(
    attempt=attempt,
    checkpoint_sources=tuple(f"{home}/{number}" for number in range(attempt - 1, 0, -1)),
    checkpoint_destination=f"{home}/{attempt}",
)
preemption.attempt_begins()
try:
    with entered(context):
        result = train()
finally:
    preemption.attempt_ended()
tell(result=result)
"""


def attempts(
    home: Path, plan: Iterator[tuple[str, int, int]], ballast: int, steps: int = STEPS
) -> tuple[dict[str, Any], list[Any]]:
    """Run attempt after attempt, each killed as ``plan`` says, until one gives the result."""
    history: list[Any] = []
    for number in range(1, 100):
        event, times, sign = next(plan, ("", 0, 0))
        reading, writing = os.pipe()
        command = [sys.executable, "-c", PROGRAM, str(home), *map(str, (number, writing, ballast, steps))]
        process = subprocess.Popen(
            command,
            pass_fds=(writing,),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A busy machine may take its time over a large save.
            env={**os.environ, "FLYTEPATH_TERMINATION_SECONDS": "120"},
        )
        os.close(writing)
        told: list[dict[str, Any]] = []
        with os.fdopen(reading) as file:
            for line in file:
                told.append(json.loads(line))
                times -= event in told[-1]
                if sign and not times:
                    process.send_signal(sign)
                    sign = 0
        printed = process.communicate()[0]
        history.append({"told": told, "printed": printed, "returncode": process.returncode})
        if told and "result" in told[-1]:
            return told[-1]["result"], history
        assert process.returncode in (-signal.SIGKILL, 128 + signal.SIGTERM), printed
    raise AssertionError("it never ended")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return attempts(tmp_path_factory.mktemp("undisturbed"), iter(()), 1)[0]


def plan(seed: int, kills: int) -> Iterator[tuple[str, int, int]]:
    """When to kill an attempt: at which of its events, the how manieth of its kind, and with which signal."""
    chance = random.Random(seed)
    for _ in range(kills):
        event = chance.choice(["stepped", "saving", "saving", "saved", "started"])
        times = 1 if event == "started" else chance.randint(1, 2)
        yield event, times, chance.choice([signal.SIGKILL, signal.SIGTERM])


def check(history: list[Any]) -> None:
    """Nothing that was saved was overlooked, and each attempt told to go saved and said so."""
    saved = 0
    for attempt in history:
        told = attempt["told"]
        for line in told:
            assert line.get("started", saved) >= saved, "an attempt starts where the last save was"
            saved = max(saved, line.get("saved", 0))
            if "preempted" in line:
                assert line["ended"] == "in time", line
                if line["step"] is None:  # before it had given its hook
                    assert len(told) == 2 and "saved no checkpoint" in line["preempted"], told
                    continue
                assert f"saved at step {line['step']}" in line["preempted"]
                saved = max(saved, line["step"])


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_training_ends_as_an_undisturbed_one(undisturbed: Any, tmp_path: Path, seed: int) -> None:
    result, history = attempts(tmp_path, plan(seed, 3), 3_000_000)
    check(history)
    assert result == undisturbed
    assert len(history) > 1


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(4))
def test_thirty_kills_change_nothing(tmp_path: Path, seed: int) -> None:
    steps = 300
    undisturbed, _ = attempts(tmp_path / "undisturbed", iter(()), 1, steps)
    result, history = attempts(tmp_path / "killed", plan(100 + seed, 30), 20_000_000, steps)
    check(history)
    assert result == undisturbed
    assert len(history) == 31


def test_a_damaged_newest_save_is_passed_over_for_the_one_before(undisturbed: Any, tmp_path: Path) -> None:
    def then_damage() -> Iterator[tuple[str, int, int]]:
        yield "saved", 3, signal.SIGKILL
        newest = max(tmp_path.glob("1/*/data/000001.npy"), key=str)
        assert "000000000009" in str(newest)
        content = bytearray(newest.read_bytes())
        content[-1] ^= 1
        newest.write_bytes(content)

    result, history = attempts(tmp_path, then_damage(), 1)
    assert result == undisturbed
    second = history[1]
    assert second["told"][0] == {"started": 6}
    assert "000000000009-000003 is passed over: 000001.npy is not as it was written" in second["printed"]


def test_a_sigterm_saves_where_the_loop_stands(undisturbed: Any, tmp_path: Path) -> None:
    result, history = attempts(tmp_path, iter([("stepped", 7, signal.SIGTERM)]), 1)
    last = history[0]["told"][-1]
    assert last["step"] >= 7 and last["ended"] == "in time"
    assert history[1]["told"][0]["started"] == last["step"]
    assert result == undisturbed
