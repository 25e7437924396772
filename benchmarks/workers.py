"""The cases of workers: what a trivial attempt costs the engine and the worker, in processor time and by the clock.

``python -m benchmarks.workers`` measures these alone.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flytepath.engine.local.worker_pool import WorkerPool
from flytepath.engine.local.workers import WorkerProcess
from flytepath.model.literal import Literal
from flytepath.model.messages import AttemptSucceeded, RunAttempt
from flytepath.model.task import Body, Interface, TaskSpec, Variable
from flytepath.model.types import INTEGER

from benchmarks.measure import CaseFailedError, Result

ATTEMPTS = 1_000
_FLOW = """
from flytepath import task

@task
def increment(x: int) -> int:
    return x + 1
"""
_SIDES = ("engine", "worker", "by the clock")
_REACH = {"engine": 0.25, "worker": 0.3, "by the clock": None}
_TASK = TaskSpec(
    name="flow.increment",
    interface=Interface(inputs=(Variable(name="x", type=INTEGER),), outputs=(Variable(name="o0", type=INTEGER),)),
    body=Body(entry="flow:increment"),
)


def measured(repetitions: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    """Medians per attempt with one and with two at once; and notes on what cannot be measured here."""
    if not Path("/proc/self/schedstat").exists():
        return [], ["this system does not say what threads have used: workers are not measured"]
    results = []
    for lanes in (1, 2):
        announce(f"workers, {lanes} at once")
        with tempfile.TemporaryDirectory(prefix="flytepath-benchmarks-") as folder:
            rounds = asyncio.run(_rounds(Path(folder), lanes, max(3, repetitions // 3)))
        for index, side in enumerate(_SIDES):
            milliseconds = statistics.median(found[index] for found in rounds)
            results.append(Result(f"an attempt, {lanes} at once: {side}", milliseconds, reach=_REACH[side]))
    return results, []


async def _rounds(folder: Path, lanes: int, rounds: int) -> list[tuple[float, float, float]]:
    (folder / "flow.py").write_text(_FLOW)
    pool = WorkerPool(home=folder / "home", slots=lanes, blob_root=str(folder / "blobs"))
    try:
        await asyncio.gather(*(_attempt(pool, _request(folder, number)) for number in range(lanes)))
        workers = list(pool.idle)
        return [await _round(pool, workers, [_request(folder, n) for n in range(ATTEMPTS)]) for _ in range(rounds)]
    finally:
        await pool.close()


async def _round(
    pool: WorkerPool, workers: list[WorkerProcess], requests: list[RunAttempt]
) -> tuple[float, float, float]:
    """Milliseconds per attempt: of the engine's processor, of the workers', and by the clock."""
    waiting = iter(requests)

    async def lane() -> None:
        for request in waiting:
            await _attempt(pool, request)

    clock, ours, theirs = time.perf_counter(), time.process_time(), sum(map(_used, workers))
    await asyncio.gather(*(lane() for _ in workers))
    spent = time.process_time() - ours, sum(map(_used, workers)) - theirs, time.perf_counter() - clock
    engine, worker, by_the_clock = (1000 * seconds / len(requests) for seconds in spent)
    return engine, worker, by_the_clock


async def _attempt(pool: WorkerPool, request: RunAttempt) -> None:
    result = await pool.run(request, lambda _: None)
    if not isinstance(result.message, AttemptSucceeded):
        raise CaseFailedError(str(result.message.model_dump()))


def _used(worker: WorkerProcess) -> float:
    """Processor seconds of a worker's threads, by the scheduler's own count."""
    threads = Path(f"/proc/{worker.pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _request(folder: Path, number: int) -> RunAttempt:
    return RunAttempt(
        execution="x",
        node=f"n{number}",
        attempt=1,
        task=_TASK,
        inputs={"x": Literal.make(INTEGER, number)},
        project="default",
        domain="development",
        code_path=str(folder),
        working_directory=str(folder / "attempts" / str(number)),
        raw_output_prefix=str(folder / "outputs" / str(number)),
        log_path=str(folder / "logs" / f"{number}.log"),
        version="v",
        created_at=1.0,
    )


if __name__ == "__main__":
    from benchmarks.__main__ import announce, table

    found, notes = measured(15, announce)
    announce("")
    print("\n".join([table(found), *notes]))
