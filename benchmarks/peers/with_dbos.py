"""The durable cases in DBOS, each in every way that a user would sensibly write it.

``python -m benchmarks.peers.with_dbos CASE FOLDER COUNT [DATABASE]`` prints one line of JSON: the seconds, and the CPU
seconds of the process. DBOS runs steps in its own process and commits once a step; on SQLite it leaves the journal and
``synchronous`` as they come, a rollback journal and FULL, which is durable.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dbos import DBOS, DBOSConfig

QUEUE = "benchmark"
#: Seconds between two looks of the queue; its default of 1 is made for another load.
QUEUE_SECONDS = 0.05


@DBOS.step()
def inc(x: int) -> int:
    """The trivial task."""
    return x + 1


@DBOS.step()
async def ainc(x: int) -> int:
    """The same for asyncio."""
    return x + 1


@DBOS.workflow()
def chain(count: int) -> int:
    """Steps one after another."""
    x = 0
    for _ in range(count):
        x = inc(x)
    return x


@DBOS.workflow()
async def chain_async(count: int) -> int:
    """The same for asyncio."""
    x = 0
    for _ in range(count):
        x = await ainc(x)
    return x


@DBOS.workflow()
async def fan_steps(count: int) -> int:
    """Steps side by side."""
    return len(await asyncio.gather(*[ainc(i) for i in range(count)]))


@DBOS.workflow()
def small(x: int) -> int:
    """One step."""
    return inc(x)


@DBOS.workflow()
def fan_workflows(count: int) -> int:
    """Child workflows side by side."""
    handles = [DBOS.start_workflow(small, i) for i in range(count)]
    return len([handle.get_result() for handle in handles])


@DBOS.workflow()
def fan_queue(count: int) -> int:
    """Child workflows over a queue."""
    handles = [DBOS.enqueue_workflow(QUEUE, small, i) for i in range(count)]
    return len([handle.get_result() for handle in handles])


def executions_threads(count: int) -> int:
    """Workflows begun from a client that is no workflow, run in threads."""
    handles = [DBOS.start_workflow(small, i) for i in range(count)]
    return len([handle.get_result() for handle in handles])


def executions_queue(count: int) -> int:
    """Workflows put on a queue."""
    handles = [DBOS.enqueue_workflow(QUEUE, small, i) for i in range(count)]
    return len([handle.get_result() for handle in handles])


@DBOS.workflow()
async def small_async(x: int) -> int:
    """One step, for asyncio."""
    return await ainc(x)


async def _executions_async(count: int) -> int:
    handles = await asyncio.gather(*[DBOS.start_workflow_async(small_async, i) for i in range(count)])
    return len(await asyncio.gather(*[handle.get_result() for handle in handles]))


CASES: dict[str, Callable[[int], int]] = {
    "chain": chain,
    "chain-async": lambda count: asyncio.run(chain_async(count)),
    "fan-steps": lambda count: asyncio.run(fan_steps(count)),
    "fan-workflows": fan_workflows,
    "fan-queue": fan_queue,
    "executions-threads": executions_threads,
    "executions-queue": executions_queue,
    "executions-async": lambda count: asyncio.run(_executions_async(count)),
}


def main() -> None:
    """Run one case on a fresh database, after a small one to warm up."""
    case, folder, count, *rest = sys.argv[1:]
    config: DBOSConfig = {
        "name": "benchmark",
        "system_database_url": rest[0] if rest else f"sqlite:///{Path(folder) / 'dbos.sqlite'}",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=QUEUE_SECONDS)
    try:
        CASES[case](2)
        began, cpu = time.perf_counter(), time.process_time()
        CASES[case](int(count))
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
    finally:
        DBOS.destroy()
    print(json.dumps({"seconds": seconds, "cpu": used}))


if __name__ == "__main__":
    main()
