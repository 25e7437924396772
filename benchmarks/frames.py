"""The cases of frames: what a large frame costs between two tasks of a durable run, beside Arrow alone.

*Arrow alone* is pyarrow writing the same Arrow IPC file, making it durable as a blob is, and reading it back into a
frame. *Durable* is what a frame goes through between two tasks: written to the blob store and digested, its literal
sent as JSON, and read by another process's view of the store.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from flytepath.model.literal import Literal
from flytepath.store.blobs import BlobFolder
from flytepath.types.engine import codec

from benchmarks.measure import Result

ROWS = 1_000_000
_FLYTEKIT_ROUNDS = 3


def measured(repetitions: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    """Medians of every way, each in turn; and notes on what is not here to compare with."""
    if not find_spec("pandas") or not find_spec("pyarrow"):
        return [], ["pandas and pyarrow are not installed here: frames are not measured"]
    import numpy
    import pandas

    numbers = pandas.DataFrame(numpy.random.default_rng(0).random((ROWS, 10)), columns=list("abcdefghij"))
    mixed = pandas.DataFrame(
        {
            "text": [f"name {row % 1000}" for row in range(ROWS)],
            "kind": pandas.Categorical.from_codes(numpy.arange(ROWS) % 7, categories=list("abcdefg")),
            "at": pandas.date_range("2020", periods=ROWS, freq="s", tz="UTC"),
            "whole": pandas.array(numpy.arange(ROWS), dtype="Int64"),
        },
        index=pandas.Index(numpy.arange(ROWS)[::-1], name="key"),
    )
    results: list[Result] = []
    for name, frame, reach in (("1,000,000 x 10 floats", numbers, 1 / 0.8), ("1,000,000 rows, mixed", mixed, None)):
        announce(name)
        results += _beside_arrow(name, frame, reach, repetitions)
    if not find_spec("flytekit"):
        return results, ["flytekit is not installed here: its frames are not measured"]
    announce("frames with flytekit")
    ours = next(result for result in results if result.name.endswith("floats, durable"))
    direct, theirs = _workflows(numbers)
    results += [
        Result("1,000,000 x 10 floats, direct workflow of two tasks with flytekit", theirs),
        Result("1,000,000 x 10 floats, direct workflow of two tasks", direct, "flytekit", direct / theirs, 1 / 3),
        Result("1,000,000 x 10 floats, durable", ours.milliseconds, "flytekit, direct", ours.milliseconds / theirs),
    ]
    return results, []


def _beside_arrow(name: str, frame: Any, reach: float | None, repetitions: int) -> list[Result]:
    times: dict[str, list[float]] = {"raw": [], "cached": [], "durable": []}
    with tempfile.TemporaryDirectory(prefix="flytepath-frames-") as folder:
        places = (Path(folder) / f"{number}" for number in count())
        ways: dict[str, Callable[[Path], Any]] = {
            "raw": lambda place: _raw(frame, place, durable=True),
            "cached": lambda place: _raw(frame, place, durable=False),
            "durable": lambda place: _passed_on(frame, place),
        }
        for round_number in range(repetitions + 1):
            for way, run in ways.items():
                place = next(places)
                took = _timed(lambda run=run, place=place: run(place))
                _remove(place)
                if round_number:  # the first warms up
                    times[way].append(took)
    raw, cached, durable = (statistics.median(taken) for taken in times.values())
    megabytes = frame.memory_usage(index=True).sum() / 1e6
    rate = f" ({megabytes / durable * 1000:.0f} MB/s)"
    return [
        Result(f"{name}, Arrow alone, not durable", cached),
        Result(f"{name}, Arrow alone", raw),
        Result(f"{name}, durable", durable, f"Arrow alone{rate}", durable / raw, reach),
    ]


def _raw(frame: Any, place: Path, *, durable: bool) -> Any:
    import pyarrow

    table = pyarrow.Table.from_pandas(frame)
    with pyarrow.OSFile(str(place), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    if durable:
        descriptor = os.open(place, os.O_RDWR)
        os.fsync(descriptor)
        os.close(descriptor)
    return pyarrow.ipc.open_file(pyarrow.memory_map(str(place))).read_all().to_pandas()


def _passed_on(frame: Any, place: Path) -> Any:
    frames = codec(type(frame))
    literal = frames.encode(frame, BlobFolder(place, "benchmarks", "frames"))
    sent = Literal.from_json(json.loads(json.dumps(literal.to_json())))
    return frames.decode(sent, BlobFolder(place, "benchmarks", "frames"))


def _workflows(frame: Any) -> tuple[float, float]:
    """A direct call of a workflow in which one task gives the frame to another: ours, and flytekit's."""
    import flytekit
    import flytepath

    from benchmarks.values import Case, flow_of

    case = Case("frame", type(frame), frame, lambda value: value)
    times: dict[str, list[float]] = {"flytepath": [], "flytekit": []}
    with tempfile.TemporaryDirectory() as folder:
        flows = {library.__name__: flow_of(library, case, Path(folder)) for library in (flytepath, flytekit)}
        for round_number in range(_FLYTEKIT_ROUNDS + 1):
            for name, run in flows.items():
                took = _timed(run)
                if round_number:
                    times[name].append(took)
    return statistics.median(times["flytepath"]), statistics.median(times["flytekit"])


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _remove(place: Path) -> None:
    import shutil

    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
