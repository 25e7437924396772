"""The cases of authoring: what calls, workflows, compiling and the cache cost, in direct calls of trivial tasks.

Everything is timed after one round that loads what is needed, and a workflow's *first call* includes compiling it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import flytepath
from flytepath.compiler import compile_entity
from flytepath.model.identity import Tenant
from flytepath.plugin.variables import variables_set
from flytepath.testing import MemoryBlobs

from benchmarks.measure import Result

CHAIN, FAN = 100, 500
_CALLS = 200
_FLYTEKIT_ROUNDS = 3

# Functions of a module: flytekit wants to read their source, and our compiler to name the module's variables.
_FLOWS = """
@task
def double(x: int) -> int:
    return 2 * x

@task(cache=True, cache_version="1")
def kept(x: int) -> int:
    return 2 * x

@task
def total(values: list[int]) -> int:
    return sum(values)

def chained(x: int) -> int:
    for _ in range({chain}):
        x = double(x=x)
    return x

def fanned(x: int) -> int:
    return total(values=[double(x=x) for _ in range({fan})])

def of_length(length):
    def flow(x: int) -> int:
        for _ in range(length):
            x = double(x=x)
        return x
    return workflow(flow)
"""


def flows_of(library: Any, folder: Path) -> Any:
    """A module with the same tasks and workflow bodies for either library."""
    source = folder / f"authoring_of_{library.__name__}.py"
    source.write_text(_FLOWS.format(chain=CHAIN, fan=FAN))
    spec = spec_from_file_location(source.stem, source)
    if spec is None or spec.loader is None:
        raise ImportError(str(source))
    module = sys.modules[source.stem] = module_from_spec(spec)
    vars(module).update(task=library.task, workflow=library.workflow)
    spec.loader.exec_module(module)
    return module


def _timed(call: Callable[[], Any], times: int = 1) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) * 1000 / times


def _compiled(length: int, module: Any) -> Callable[[], str]:
    return lambda: compile_entity(module.of_length(length), Tenant(), MemoryBlobs()).model_dump_json()


def _ways(library: Any, module: Any, calls: int) -> dict[str, Callable[[], float]]:
    """How each case is timed once, in milliseconds."""

    def first_call(body: Callable[..., Any], nodes: int) -> float:
        made = library.workflow(body)
        return _timed(lambda: made(x=1)) / nodes

    chain, fan = library.workflow(module.chained), library.workflow(module.fanned)
    return {
        "direct call of a task": lambda: _timed(lambda: module.double(x=1), calls),
        "cache hit in a direct call": lambda: _timed(lambda: module.kept(x=1), calls),
        f"workflow, {CHAIN} in a chain, per node": lambda: _timed(lambda: chain(x=1)) / CHAIN,
        f"workflow, {FAN} fanned out, per node": lambda: _timed(lambda: fan(x=1)) / FAN,
        f"first call, {CHAIN} in a chain, per node": lambda: first_call(module.chained, CHAIN),
        f"first call, {FAN} fanned out, per node": lambda: first_call(module.fanned, FAN),
    }


#: The most a case may take, in milliseconds.
_REACH = {
    "direct call of a task": 0.015,
    "cache hit in a direct call": 0.1,
    f"workflow, {CHAIN} in a chain, per node": 0.03,
    f"workflow, {FAN} fanned out, per node": 0.03,
    f"first call, {CHAIN} in a chain, per node": 0.03,
    f"first call, {FAN} fanned out, per node": 0.03,
}
#: The most a case may take as a ratio to flytekit.
_RATIO = {"direct call of a task": 1 / 100}


def measured(repetitions: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    """Medians of every case, beside flytekit where it is installed; and notes on what is not here to compare with."""
    with (
        tempfile.TemporaryDirectory(prefix="flytepath-benchmarks-") as folder,
        variables_set({"FLYTEPATH_HOME": f"{folder}/home", "FLYTEPATH_LOCAL_CACHE": "1"}),
    ):
        module = flows_of(flytepath, Path(folder))
        ways = _ways(flytepath, module, _CALLS)
        lengths = {1_000: 40.0, 10_000: 400.0}
        for length in lengths:
            ways[f"compile and serialise {length:,} nodes"] = _whole(_compiled(length, module))
        medians = _medians(ways, repetitions, announce)
        reach = _REACH | {f"compile and serialise {length:,} nodes": most for length, most in lengths.items()}
        results = [Result(name, taken, reach=reach[name]) for name, taken in medians.items()]
        if find_spec("flytekit") is None:
            return results, ["flytekit is not installed here: its calls are not measured"]
        return results + _beside_flytekit(medians, Path(folder), announce), []


def _whole(call: Callable[[], Any]) -> Callable[[], float]:
    return lambda: _timed(call)


def _medians(
    ways: dict[str, Callable[[], float]], repetitions: int, announce: Callable[[str], None]
) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(repetitions + 1):
        for name, way in ways.items():
            announce(name)
            took = way()
            if round_number:  # the first warms up
                times[name].append(took)
    return {name: statistics.median(taken) for name, taken in times.items()}


def _beside_flytekit(ours: dict[str, float], folder: Path, announce: Callable[[str], None]) -> list[Result]:
    import flytekit

    ways = _ways(flytekit, flows_of(flytekit, folder), 20)
    theirs = _medians(ways, _FLYTEKIT_ROUNDS, lambda name: announce(f"flytekit: {name}"))
    results = []
    for name, taken in theirs.items():
        results.append(Result(f"flytekit: {name}", taken))
        results.append(Result(f"{name}, beside flytekit", ours[name], "flytekit", ours[name] / taken, _RATIO.get(name)))
    return results
