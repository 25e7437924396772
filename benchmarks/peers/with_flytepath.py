"""The durable cases in FlytePath, from the Python API: an engine in this process, tasks in worker processes.

``python -m benchmarks.peers.with_flytepath CASE FOLDER COUNT`` prints one line of JSON: the seconds, and the CPU
seconds of this process, which is the engine's. ``FOLDER`` becomes the home; with ``FLYTEPATH_DATABASE`` the events lie
on a server. What is timed begins with a registered workflow and warm workers, as the peers begin with a decorated one.

``hold-map`` and ``hold-fan`` print their line when all nodes but the last have finished, and wait to be killed;
``resume`` goes on with what they left, and its seconds are those until the last node is started again.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flytepath import AsyncFlytePath, FlytePath

import benchmarks.durable_flows

#: How long anything may take.
PATIENCE_SECONDS = 1800.0


def flows_in(folder: Path) -> Any:
    """The workflows as a user's own script, so that their code bundle is not this repository."""
    folder.mkdir()
    shutil.copy(benchmarks.durable_flows.__file__, folder)
    sys.path.insert(0, str(folder))
    return importlib.import_module("durable_flows")


def _ended(platform: FlytePath, flow: Any, inputs: dict[str, Any]) -> None:
    done = platform.execute(flow, inputs, wait=True)
    if done.status != "succeeded":
        raise RuntimeError(f"{done.id} {done.status}: {done.error}")


def chain(platform: FlytePath, flows: Any, count: int) -> None:
    """Nodes one after another."""
    _ended(platform, getattr(flows, f"chain_{count}"), {"x": 0})


def fan(platform: FlytePath, flows: Any, count: int) -> None:
    """Nodes side by side."""
    _ended(platform, getattr(flows, f"fan_{count}"), {"x": 0})


def mapped(platform: FlytePath, flows: Any, count: int) -> None:
    """The items of a map."""
    _ended(platform, flows.mapped, {"xs": list(range(count))})


def executions(platform: FlytePath, flows: Any, count: int) -> None:
    """Executions of one node, begun one after another by one client, and waited for."""
    for begun in [platform.execute(flows.small, {"x": number}) for number in range(count)]:
        if platform.wait(begun).status != "succeeded":
            raise RuntimeError(f"{begun.id} failed")


async def executions_async(folder: Path, flows: Any, count: int) -> dict[str, float]:
    """The same, begun side by side."""
    async with AsyncFlytePath(home=folder) as platform:
        await platform.execute(flows.fan_2, {"x": 0}, wait=True)
        await platform.register(flows.small)
        began, cpu = time.perf_counter(), time.process_time()
        begun = await asyncio.gather(*[platform.execute(flows.small, {"x": number}) for number in range(count)])
        done = await asyncio.gather(*[platform.wait(each) for each in begun])
        if any(each.status != "succeeded" for each in done):
            raise RuntimeError("an execution failed")
        return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


CASES: dict[str, Callable[[FlytePath, Any, int], None]] = {
    "chain": chain,
    "fan": fan,
    "map": mapped,
    "executions": executions,
}


def timed(case: str, folder: Path, count: int) -> dict[str, float]:
    """Run a case of :data:`CASES`."""
    flows = flows_in(folder / "code")
    if case == "executions-async":
        return asyncio.run(executions_async(folder, flows, count))
    with FlytePath(home=folder) as platform:
        _ended(platform, flows.fan_2, {"x": 0})
        names = {"chain": f"chain_{count}", "fan": f"fan_{count}", "map": "mapped", "executions": "small"}
        platform.register(getattr(flows, names[case]))
        began, cpu = time.perf_counter(), time.process_time()
        CASES[case](platform, flows, count)
        return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def hold(case: str, folder: Path, count: int) -> None:
    """Run until only the last node is left, say so, and wait to be killed."""
    flows, marker = flows_in(folder / "code"), str(folder / "last")
    flow = flows.held_map if case == "hold-map" else flows.held_fan
    inputs = {"xs": list(range(count))} if case == "hold-map" else {"x": 0}
    platform = FlytePath(home=folder)
    _ended(platform, flows.fan_2, {"x": 0})
    platform.register(flow)
    began = time.perf_counter()
    begun = platform.execute(flow, {**inputs, "marker": marker})
    while not Path(f"{marker}.began").exists():
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise TimeoutError("the last node does not begin")
        time.sleep(0.01)
    print(json.dumps({"seconds": time.perf_counter() - began, "execution": begun.id}), flush=True)
    time.sleep(PATIENCE_SECONDS)


def resume(folder: Path) -> dict[str, float]:
    """Go on with the newest execution; the seconds until its last node is recorded as started again."""
    Path(folder / "last.go").touch()
    began = time.time()
    with FlytePath(home=folder) as platform:
        (newest,) = platform.list(1)
        done = platform.wait(newest.id, PATIENCE_SECONDS)
        if done.status != "succeeded":
            raise RuntimeError(f"{done.id} {done.status}: {done.error}")
    return {"seconds": _last_start(folder, done.id) - began}


def _last_start(folder: Path, execution: str) -> float:
    from flytepath.model.events import AttemptStarted
    from flytepath.store.events import open_store

    with open_store(folder) as store:
        after = max(0, store.last_seq(execution) - 100)
        return max(event.at for event in store.read(execution, after) if isinstance(event.payload, AttemptStarted))


def main() -> None:
    """Run the case of the command line."""
    case, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if case in ("hold-map", "hold-fan"):
        hold(case, folder, count)
    else:
        print(json.dumps(resume(folder) if case == "resume" else timed(case, folder, count)))


if __name__ == "__main__":
    main()
