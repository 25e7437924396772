"""Frames, datasets and schemas give the same in a direct call and in a durable run of worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

FLOW = """
import dataclasses
from typing import Annotated

import pandas as pd
import pyarrow as pa
from flytepath import CSV, FlyteSchema, StructuredDataset, kwtypes, task, workflow

A = FlyteSchema[kwtypes(a=int)]
Text = Annotated[StructuredDataset, CSV]


@dataclasses.dataclass
class Box:
    data: StructuredDataset
    frames: list[pd.DataFrame]


@task
def make() -> pd.DataFrame:
    kinds = pd.Categorical(["x", "y"], categories=["y", "x", "z"])
    return pd.DataFrame({"a": [1, 2], "b": kinds}, index=pd.Index(["p", "q"], name="k"))


@task
def box(frame: pd.DataFrame) -> Box:
    return Box(StructuredDataset(dataframe=frame), [frame, frame])


@task
def table(frame: pa.Table) -> pa.Table:
    return frame.append_column("c", pa.array([True, None]))


@task
def text(data: StructuredDataset) -> Text:
    return StructuredDataset(dataframe=data.open(pd.DataFrame).all())


@task
def tell(frame: pd.DataFrame, box: Box, schema: A, text: Text) -> list[str]:
    one = box.data.open(pd.DataFrame).all()
    return [
        str(frame.dtypes.astype(str).tolist()),
        frame.to_json(),
        str((one.index.name, one["b"].cat.categories.tolist(), box.data.dataframe is None)),
        str([list(item) for item in box.frames]),
        str(schema.open().all().to_dict()),
        str(text.open(pa.Table).all().to_pylist()),
    ]


@workflow
def flow() -> list[str]:
    made = make()
    return tell(frame=table(frame=made), box=box(frame=made), schema=made, text=text(data=made))
"""


def test_frames_are_the_same_called_and_run(tmp_path: Path) -> None:
    (tmp_path / "frames_flow.py").write_text(FLOW, encoding="utf-8")
    environment = {**os.environ, "FLYTEPATH_HOME": str(tmp_path / "home")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    called = run("-c", "import frames_flow, json; print(json.dumps(frames_flow.flow()))").strip()
    assert "boolean" in called and "'z'" in called
    assert f"o0 = {called}" in run("-m", "flytepath", "run", "frames_flow.py", "flow")
