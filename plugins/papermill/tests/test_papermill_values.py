"""Values get into a notebook as parameters or by reference, and out of it exactly as declared."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from flyte_plugin_papermill import NotebookOutputError, NotebookTask, load_dataframe, load_value, record_outputs
from flyte_plugin_papermill.recording import as_json, from_json
from flytepath import FlyteDirectory, FlyteFile, StructuredDataset, kwtypes
from flytepath.plugin import TypeTransformerFailedError
from hypothesis import given
from hypothesis import strategies as st
from papermill_notebooks import USE

Make = Callable[..., NotebookTask]


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float
    y: float


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isnan(one + other) or (one, math.copysign(1, one)) == (other, math.copysign(1, other))
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@given(PLAIN.filter(lambda value: "$flytepath" not in str(value)))
def test_plain_values_are_noted_exactly(value: Any) -> None:
    import json

    assert same(from_json(json.loads(json.dumps(as_json(value), allow_nan=False))), value)


def test_inputs_are_parameters_and_the_source_is_left_alone(task: Make, tmp_path: Path) -> None:
    made = task(
        "x, name, many, more, nothing, rate = 0, '', [], {}, 1, 0.0",
        USE + "open('left', 'w').close()\nrecord_outputs(y=[x, name, many, more, nothing], rate=rate)",
        inputs=kwtypes(x=int, name=str, many=list[int], more=dict[str, list[float]], nothing=int | None, rate=float),
        outputs=kwtypes(y=list, rate=float),
    )
    path = tmp_path / "given" / "note.ipynb"
    before = path.read_bytes()
    found = made(x=2**70, name='it\'s "so"\n', many=[1, 2], more={"a": [0.1]}, nothing=None, rate=math.inf)
    assert found == ([2**70, 'it\'s "so"\n', [1, 2], {"a": [0.1]}, None], math.inf)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["note.ipynb"]


def test_what_json_cannot_say_comes_as_text_or_by_reference(task: Make) -> None:
    made = task(
        "at = price = key = colour = wait = points = marks = data = None",
        USE
        + "import datetime as dt\n"
        + "record_outputs(found=[at, price, key, colour, wait])\n"
        + "marks, data, points = load_value(marks), load_value(data), load_value(points)\n"
        + "record_outputs(marks=marks, total=float(data.sum()), raw=b'\\x00' + bytes([int(points[0].x)]))",
        inputs=kwtypes(
            at=dt.datetime,
            price=Decimal,
            key=UUID,
            colour=Colour,
            wait=dt.timedelta,
            marks=set[int],
            data=np.ndarray,
            points=list[Point],
        ),
        outputs=kwtypes(found=list, marks=set[int], total=float, raw=bytes),
    )
    at = dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC)
    key = UUID(int=7)
    found, marks, total, raw = made(
        at=at,
        price=Decimal("1.10"),
        key=key,
        colour=Colour.RED,
        wait=dt.timedelta(seconds=1.5),
        marks={3, 1},
        data=np.arange(4.0),
        points=[Point(1.0, 2.0)],
    )
    assert found == [at.isoformat(), "1.10", str(key), "red", 1.5]
    assert (marks, total, raw) == ({1, 3}, 6.0, b"\x00\x01")


def test_outputs_are_recorded_as_declared(task: Make) -> None:
    made = task(
        "x = 1",
        USE + "import datetime as dt, numpy as np\n"
        "record_outputs(a=np.float64(0.1), b=np.int64(3), c=(1, 'x'), when=dt.datetime(2024, 1, 1, tzinfo=dt.UTC))\n"
        "record_outputs(nan=float('nan'), days=[dt.date(2024, 1, 1)], array=np.eye(2), none=None, b=4)",
        outputs=kwtypes(
            a=float,
            b=int,
            c=tuple[int, str],
            when=dt.datetime,
            nan=float,
            days=list[dt.date],
            array=np.ndarray,
            none=str | None,
        ),
    )
    a, b, c, when, nan, days, array, none = made()
    assert (a, b, c, none) == (0.1, 4, (1, "x"), None)
    assert (type(a), type(b)) == (float, int)
    assert when == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert math.isnan(nan)
    assert days == [dt.date(2024, 1, 1)]
    assert array.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_frames_go_in_and_out_by_reference_with_all_they_have(task: Make) -> None:
    made = task(
        "rows = other = None",
        USE
        + "frame = load_dataframe(rows)\n"
        + "assert str(type(frame)).count('pandas'), type(frame)\n"
        + "frame['twice'] = frame['x'] * 2\n"
        + "record_outputs(frame=frame, count=len(load_dataframe(other)))",
        inputs=kwtypes(rows=pd.DataFrame, other=StructuredDataset),
        outputs=kwtypes(frame=pd.DataFrame, count=int),
    )
    index = pd.Index(["a", "b"], name="key")
    given = pd.DataFrame({"x": pd.array([1, None], dtype="Int64"), "c": pd.Categorical(["u", "v"])}, index=index)
    found, count = made(rows=given, other=StructuredDataset(dataframe=given))
    pd.testing.assert_frame_equal(found.drop(columns="twice"), given)
    assert found["twice"].dtype == "Int64"
    assert count == 2


def test_files_and_directories_go_in_and_out(task: Make, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("seven")
    (tmp_path / "many" / "deep").mkdir(parents=True)
    (tmp_path / "many" / "deep" / "one.txt").write_text("1")
    made = task(
        "text = folder = texts = ''",
        USE
        + "from pathlib import Path\n"
        + "word = load_file(text).read_text() + (load_dir(folder) / 'deep' / 'one.txt').read_text()\n"
        + "Path('out.txt').write_text(word + open(texts[0]).read())\n"
        + "Path('made').mkdir(); Path('made/a').write_text('A')\n"
        + "record_outputs(file='out.txt', folder=Path('made'), listed=[Path('out.txt')], path=Path('out.txt'))",
        inputs=kwtypes(text=FlyteFile, folder=FlyteDirectory, texts=list[FlyteFile]),
        outputs=kwtypes(file=FlyteFile["txt"], folder=FlyteDirectory, listed=list[FlyteFile], path=Path),
    )
    given = str(tmp_path / "in.txt")
    file, folder, listed, path = made(text=given, folder=str(tmp_path / "many"), texts=[given])
    assert Path(file).read_text() == Path(listed[0]).read_text() == "seven1seven"
    assert (Path(folder) / "a").read_text() == "A"
    assert isinstance(path, Path)


def test_a_large_value_does_not_swell_the_notebook(task: Make) -> None:
    made = task(
        "x = 1",
        USE + "record_outputs(many=list(range(100_000)))",
        outputs=kwtypes(many=list[int]),
        output_notebooks=True,
    )
    many, executed, _ = made()
    assert many == list(range(100_000))
    assert Path(executed).stat().st_size < 50_000


@pytest.mark.parametrize(
    ("declared", "value"),
    [(int, "'7'"), (str, "7"), (list[int], "['a']"), (dt.date, "'2024-01-01'"), (pd.DataFrame, "[1]"), (int, "1.5")],
)
def test_a_value_of_another_type_is_refused_with_its_cell(task: Make, declared: Any, value: str) -> None:
    made = task("x = 1", USE + f"record_outputs(y={value})", outputs=kwtypes(y=declared))
    with pytest.raises(NotebookOutputError, match="cell 2 of the notebook recorded for 'y'") as caught:
        made()
    assert caught.value.place == "note() -> y"
    assert caught.value.expected


def test_an_output_that_is_not_recorded_is_refused(task: Make) -> None:
    with pytest.raises(NotebookOutputError, match="did not record the output 'b'") as caught:
        task("x = 1", USE + "record_outputs(a=1)", outputs=kwtypes(a=int, b=int))()
    assert caught.value.actual == "a"


def test_an_output_that_turns_out_to_be_undeclared_is_refused_in_its_cell(task: Make) -> None:
    with pytest.raises(NotebookOutputError, match="declares no output 'b'") as caught:
        task("x = 1", USE + "record_outputs(**{'b': 1})", outputs=kwtypes(a=int))()
    assert caught.value.place == "note(cell 2)"


def test_a_file_that_is_not_there_is_refused_in_its_cell(task: Make) -> None:
    with pytest.raises(NotebookOutputError, match="where nothing is"):
        task("x = 1", USE + "record_outputs(a='gone.txt')", outputs=kwtypes(a=FlyteFile))()


def test_what_no_output_can_be_is_refused_in_its_cell(task: Make) -> None:
    with pytest.raises(NotebookOutputError, match="cannot be recorded"):
        task("x = 1", USE + "record_outputs(a=(i for i in 'ab'))", outputs=kwtypes(a=list[str]))()


def test_a_notebook_runs_by_hand_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    pd.testing.assert_frame_equal(load_dataframe(tmp_path / "rows.csv"), frame)
    with pytest.raises(ValueError, match="parquet"):
        load_dataframe(__file__)
    with pytest.raises(FileNotFoundError, match="no reference"):
        load_value(tmp_path / "rows.csv")
    record_outputs(x=1, frame=frame, odd=object())


def test_what_was_recorded_counts_even_if_its_cell_shows_it_no_more(task: Make) -> None:
    made = task(
        "x = 1",
        USE + "record_outputs(a=1, b=1)",
        USE + "from IPython.display import clear_output\nrecord_outputs(a=2)\nclear_output()",
        "%%capture\nrecord_outputs(c=3)",
        "import subprocess, sys\nsource = 'import flyte_plugin_papermill as f; f.record_outputs(d=4)'\n"
        "subprocess.run([sys.executable, '-c', source], check=True)",
        outputs=kwtypes(a=int, b=int, c=int, d=int),
    )
    assert made() == (2, 1, 3, 4)


def test_text_that_no_notebook_can_hold_is_refused(task: Make) -> None:
    with pytest.raises(TypeTransformerFailedError, match="half a character"):
        task("x = ''", inputs=kwtypes(x=list[str]))(x=["a", "b\ud800"])
