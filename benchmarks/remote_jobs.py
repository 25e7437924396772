"""Ten thousand live remote jobs in one engine: what they cost while nothing happens, and how soon an end is noticed.

Each shape runs once, in a process of its own with a fresh home (:mod:`benchmarks.remote_engine`), against the fake
vendor in another process: jobs that run until they are told to end, with the reference backend, which is blocking and
made of threads as many real ones are. Rate limits and pools are on: every job holds a token, every call is metered.

Judged are the processor and the memory of the engine, for at least a minute after all jobs live, and how many poll
intervals go by until the engine has recorded that a job succeeded, for a hundredth of the jobs, which end at once while
the others live on. The interval is the one that was in force when the job ended. The rest is shown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Result
from benchmarks.processes import run

JOBS = 10_000
#: How long nothing happens.
STEADY_SECONDS = 60.0
SHAPES = {
    "static": "10 executions of 1,000 jobs",
    "map": "a map of 10,000 items, a job each",
    "arrays": "a map of 10,000 items, 10 array jobs",
}
CORES_REACH = 0.5
MEMORY_REACH = 300.0
INTERVALS_REACH = 2.0


def rows(name: str, facts: dict[str, float], memory: float, count: int) -> list[Result]:
    """What is told of one shape."""
    cpu = (facts["ramp_cpu"] + facts["drain_cpu"]) * 1000 / count
    return [
        Result(f"{name}: the engine while nothing happens", facts["steady_share"], reach=CORES_REACH, unit="cores"),
        Result(f"{name}: the engine's memory, the most", memory, reach=MEMORY_REACH, unit="MB"),
        Result(f"{name}: an end is noticed, median", facts["noticed_p50"], unit="intervals"),
        Result(f"{name}: an end is noticed, 99 of 100", facts["noticed_p99"], unit="intervals"),
        Result(f"{name}: an end is noticed, the last", facts["noticed_max"], reach=INTERVALS_REACH, unit="intervals"),
        Result(f"{name}: submitted", count / facts["ramp_seconds"], unit="a second"),
        Result(f"{name}: ended, collected, cleaned up", count / facts["drain_seconds"], unit="a second"),
        Result(f"{name}: the engine's processor for each, in all", cpu),
        Result(f"{name}: events for each", facts["events"] / count, unit="events"),
        Result(f"{name}: on the disk for each", facts["store_bytes"] / count / 1000, unit="kB"),
    ]


def measured(repetitions: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    """All rows; the shapes run once, because what is judged is a state that lasts."""
    results: list[Result] = []
    for shape, name in SHAPES.items():
        announce(name)
        with tempfile.TemporaryDirectory(prefix="flytepath-remote-") as folder:
            outcome = run("benchmarks.remote_engine", [shape, str(Path(folder)), str(JOBS), str(STEADY_SECONDS)])
        facts = dict(outcome.facts)
        results += rows(name, facts, max(facts["memory"], outcome.own_bytes / 2**20), JOBS)
    return results, []
