"""The benchmark of remote jobs, small: it runs, and what it tells is there. Nothing here asserts a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.processes import run
from benchmarks.remote_jobs import rows

JOBS = 200


@pytest.mark.proof
@pytest.mark.parametrize("shape", ["static", "map", "arrays"])
def test_the_benchmark_of_remote_jobs_runs_to_its_end(shape: str, tmp_path: Path) -> None:
    outcome = run("benchmarks.remote_engine", [shape, str(tmp_path), str(JOBS), "1"])
    told = {row.name.partition(": ")[2]: row for row in rows(shape, dict(outcome.facts), 1.0, JOBS)}
    assert all(row.milliseconds > 0 for row in told.values())
    # What it costs is counted, and not by a clock: a job is a handful of events, an item of an array far less.
    assert told["events for each"].milliseconds < (1 if shape == "arrays" else 12)
