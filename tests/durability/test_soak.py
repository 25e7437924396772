"""Thousands of executions through one session: nothing piles up, and everything that was recorded is in order."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from durable_home import HERE, DurableHome, check_everything

Homes = Callable[[str], DurableHome]


def soaked(home: DurableHome, number: int, seconds: float) -> list[dict[str, int]]:
    """Run them; what the process held at each tenth."""
    command = [sys.executable, str(HERE / "soaking.py"), str(number)]
    done = subprocess.run(
        command,
        cwd=home.folder,
        env=home.environment(PYTHONPATH=str(home.folder)),
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{done.stderr}\n{home.story()}"
    assert done.stderr == ""
    home.gone(home.workers())
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_soaked(home: DurableHome, number: int, samples: list[dict[str, int]]) -> None:
    rows = home.client.store.executions(limit=2 * number)
    assert len(rows) == number
    assert {row.state for row in rows} == {"succeeded"}
    assert len(home.lines()) == number
    check_everything(home)
    warm, last = samples[1], samples[-1]
    assert last["files"] <= warm["files"] + 4, samples
    assert last["threads"] <= warm["threads"] + 2, samples
    for name in ("logs", "attempts", "checkpoints"):
        left = {path.name for path in (home.home / name).glob("*")} & {row.id for row in rows}
        assert not left, f"{name} keeps folders of executions that ended"


def test_two_hundred_executions_leave_nothing_behind(a_home: Homes) -> None:
    home = a_home("sqlite")
    check_soaked(home, 200, soaked(home, 200, 90))


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_ten_thousand_executions_cost_no_memory(a_home: Homes, kind: str) -> None:
    home = a_home(kind)
    samples = soaked(home, 10_000, 1800)
    check_soaked(home, 10_000, samples)
    warm, last = samples[1], samples[-1]
    assert last["rss"] < 1.05 * warm["rss"], samples
