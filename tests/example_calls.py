"""Calls the workflows of the examples directly, and holds what they give against what a durable run gave.

One process for all of them: it reads a request a line from standard input and answers each with a line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import math
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flytepath import FlyteDirectory, FlyteFile, FlytePathError, StructuredDataset, task_mock
from flytepath.authoring.entity import Entity
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.reference import ReferenceEntity
from flytepath.authoring.workflow import Workflow
from flytepath.client import LocalClient, Scope
from flytepath.model.literal import Literal
from flytepath.types.text import parse_text


def same(a: Any, b: Any) -> bool:
    """Whether two native values are equal, and of one class all the way down; files and tables by their content."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, FlyteFile | FlyteDirectory):
        return contents(a) == contents(b)
    if isinstance(a, StructuredDataset):
        import pyarrow as pa

        return bool(a.open(pa.Table).all().equals(b.open(pa.Table).all(), check_metadata=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a))
    library = type(a).__module__.partition(".")[0]
    if library == "pandas":
        return same_frames(a, b)
    if library in ("numpy", "pyarrow", "polars"):
        raise NotImplementedError(f"an example has an output of a class that is not compared yet: {type(a)}")
    return bool(a == b)


def same_frames(a: Any, b: Any) -> bool:
    """Equal in every value, dtype, category, name and index."""
    from pandas.testing import assert_frame_equal

    try:
        assert_frame_equal(a, b, check_exact=True)
    except AssertionError as difference:
        print(difference)
        return False
    return True


def contents(value: FlyteFile | FlyteDirectory) -> Any:
    """The bytes of a file with its name, or of every file of a directory."""
    if isinstance(value, FlyteFile):
        path = Path(value)
        return path.name, path.read_bytes()
    root = Path(value)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@contextlib.contextmanager
def stand_ins(module: Any) -> Iterator[None]:
    """For each reference the example that it refers to, which is called here."""
    with contextlib.ExitStack() as stack:
        for value in vars(module).values():
            if isinstance(value, ReferenceEntity):
                example, _, name = value.reference.name.partition(".")
                mock = stack.enter_context(task_mock(value))
                mock.side_effect = getattr(importlib.import_module(example), name)
        yield


def call(entity: Entity, texts: dict[str, str]) -> tuple[Any, dict[str, str] | None]:
    """What a direct call gives, or its error."""
    try:
        inputs = {name: parse_text(entity.inputs[name], text) for name, text in texts.items()}
        return entity(**inputs), None
    except Exception as error:  # noqa: BLE001 - it is the answer
        message = error.message if isinstance(error, FlytePathError) else str(error)
        return None, {"type": type(error).__name__, "message": message, "traceback": traceback.format_exc()}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The direct call's error, or how its outputs differ from the durable ones."""
    module = importlib.import_module(request["example"])
    entity = getattr(module, request["name"])
    sys.stdin = io.StringIO("".join(f"{line}\n" for line in request["answers"]))
    with stand_ins(module), variables(request["variables"]):
        returned, error = call(entity, request["texts"])
    if error is not None:
        return {"error": error, "differences": {}}
    direct = entity.named(returned)
    differences = {}
    with LocalClient(Path(request["home"])) as client:
        blobs = client.blobs(Scope.of_this_user())
        durable = {
            name: entity.output_codecs[name].decode(Literal.from_json(literal), blobs)
            for name, literal in request["outputs"].items()
        }
        for name in {**direct, **durable}:
            if name not in direct or name not in durable or not same(direct[name], durable[name]):
                differences[name] = f"called: {direct.get(name)!r}, run: {durable.get(name)!r}"
    return {"error": None, "differences": differences}


@contextlib.contextmanager
def variables(given: dict[str, str]) -> Iterator[None]:
    """Environment variables for one call."""
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


def runnable(example: str) -> list[str]:
    """The workflows and launch plans that an example defines."""
    found = vars(importlib.import_module(example)).items()
    return sorted(name for name, value in found if isinstance(value, Workflow | LaunchPlan))


def main() -> None:
    """Answer until the requests end. What the examples print goes to the error stream."""
    requests, answers = sys.stdin, sys.stdout
    sys.stdout = sys.stderr
    for line in requests:
        request = json.loads(line)
        try:
            given = {"runnable": runnable(request["list"])} if "list" in request else answer(request)
        except Exception:  # noqa: BLE001 - it is the answer
            given = {"broken": traceback.format_exc()}
        answers.write(json.dumps(given) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
