"""The cases of values: what passing lists, dicts, dataclasses and models between tasks costs, beside JSON alone.

*Direct* is what a direct call does with a value: check it and hand over a copy. *Durable* is what a value goes through
between two tasks of a durable run, but for the store: payload, canonical JSON, digest, JSON text, and back.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pydantic
from flytepath.model.literal import Literal
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec

from benchmarks.measure import Result

_FLYTEKIT_ROUNDS = 3


@dataclasses.dataclass
class Row:
    """Six fields, as the reach has them."""

    number: int
    ratio: float
    name: str
    flag: bool
    maybe: int | None
    counts: list[int]


@dataclasses.dataclass
class Nested:
    """Dataclasses in a dataclass, and small containers."""

    best: Row
    more: list[Row]
    scores: dict[str, float]
    pair: tuple[int, str]


class Model(pydantic.BaseModel):
    """The same six fields."""

    number: int
    ratio: float
    name: str
    flag: bool
    maybe: int | None
    counts: list[int]


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of value.

    Args:
        name: what the table calls it.
        type: the declared type.
        value: what is passed.
        alone: what JSON alone does with it, and what that is called.
        direct, durable: the most our share may cost, as ratios to that; None where shown for comparison only.
        flytekit: the most a workflow of two tasks may cost, as a ratio to one of flytekit's; None where not compared.
    """

    name: str
    type: Any
    value: Any
    alone: Callable[[Any], Any]
    alone_name: str = "JSON alone"
    direct: float | None = None
    durable: float | None = None
    flytekit: float | None = None


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _as_dicts(value: Any) -> Any:
    return _json([dataclasses.asdict(item) for item in value])


def _dumped(value: Any) -> Any:
    return _json([item.model_dump() for item in value])


def _row(index: int) -> dict[str, Any]:
    maybe = None if index % 2 else index
    return {
        "number": index,
        "ratio": index / 3,
        "name": f"row {index}",
        "flag": index % 3 == 0,
        "maybe": maybe,
        "counts": [1, 2, index],
    }


def cases() -> list[Case]:
    """Every kind of value that has a reach, then those shown for comparison."""
    rows = [Row(**_row(index)) for index in range(5_000)]
    nested = [Nested(row, [row, row], {"a": 0.5, "b": 1.5}, (1, "x")) for row in rows[:2_000]]
    floats = [index / 7 for index in range(100_000)]
    return [
        Case("100,000 ints", list[int], list(range(100_000)), _json, direct=3.0, durable=3.0, flytekit=1 / 100),
        Case(
            "5,000 dataclasses", list[Row], rows, _as_dicts, "asdict and JSON", direct=1.0, durable=1.0, flytekit=1 / 12
        ),
        Case("2,000 nested dataclasses", list[Nested], nested, _as_dicts, "asdict and JSON"),
        Case("5,000 pydantic models", list[Model], [Model(**vars(row)) for row in rows], _dumped, "dump and JSON"),
        Case("100,000 floats", list[float], floats, _json),
        Case("30,000 x 3 floats", list[list[float]], [floats[i : i + 3] for i in range(30_000)], _json),
        Case("dict of 100,000 floats", dict[str, float], {str(i): x for i, x in enumerate(floats)}, _json),
        Case("100,000 strings", list[str], [f"name {i}" for i in range(100_000)], _json),
        Case("100,000 optional ints", list[int | None], [i if i % 3 else None for i in range(100_000)], _json),
    ]


def _durable(case: Case) -> Callable[[], Any]:
    compiled, blobs = codec(case.type), MemoryBlobs()

    def pass_on() -> Any:
        literal = compiled.encode(case.value, blobs)
        return compiled.decode(Literal.from_json(_json(literal.to_json())), blobs)

    return pass_on


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def measured(repetitions: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    """Medians of every case, JSON alone, direct and durable in turn; and notes on what is not here to compare with."""
    results: list[Result] = []
    has_flytekit = find_spec("flytekit") is not None
    for case in cases():
        announce(case.name)
        compiled = codec(case.type)
        ways = {
            "alone": lambda case=case: case.alone(case.value),
            "direct": lambda case=case, compiled=compiled: compiled.isolate(case.value),
            "durable": _durable(case),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for round_number in range(repetitions + 1):
            for name, way in ways.items():
                took = _timed(way)
                if round_number:  # the first warms up
                    times[name].append(took)
        alone, direct, durable = (statistics.median(taken) for taken in times.values())
        baseline = f"{case.name}, {case.alone_name}"
        results += [
            Result(baseline, alone),
            Result(f"{case.name}, direct", direct, case.alone_name, direct / alone, case.direct),
            Result(f"{case.name}, durable", durable, case.alone_name, durable / alone, case.durable),
        ]
        results += _against_flytekit(case) if has_flytekit and case.flytekit is not None else []
    return results, [] if has_flytekit else ["flytekit is not installed here: its values are not measured"]


def _against_flytekit(case: Case) -> list[Result]:
    """A direct call of a workflow whose one task gives the value to another, with each library in turn."""
    import flytekit
    import flytepath

    times: dict[str, list[float]] = {"flytepath": [], "flytekit": []}
    with tempfile.TemporaryDirectory() as folder:
        flows = {library.__name__: flow_of(library, case, Path(folder)) for library in (flytepath, flytekit)}
        for round_number in range(_FLYTEKIT_ROUNDS + 1):
            for name, flow in flows.items():
                took = _timed(flow)
                if round_number:
                    times[name].append(took)
    ours, theirs = (statistics.median(taken) for taken in times.values())
    return [
        Result(f"{case.name}, workflow of two tasks with flytekit", theirs),
        Result(f"{case.name}, workflow of two tasks", ours, "flytekit", ours / theirs, case.flytekit),
    ]


# flytekit wants functions of a module that it can read the source of.
_FLOW = """
@task
def give() -> Given:
    return value

@task
def count(given: Given) -> int:
    return len(given)

@workflow
def flow() -> int:
    return count(given=give())
"""


def flow_of(library: Any, case: Case, folder: Path) -> Callable[[], Any]:
    source = folder / f"flow_of_{library.__name__}.py"
    source.write_text(_FLOW)
    spec = spec_from_file_location(source.stem, source)
    if spec is None or spec.loader is None:
        raise ImportError(str(source))
    module = sys.modules[source.stem] = module_from_spec(spec)
    vars(module).update(task=library.task, workflow=library.workflow, Given=case.type, value=case.value)
    spec.loader.exec_module(module)
    made: Callable[[], Any] = module.flow
    return made
