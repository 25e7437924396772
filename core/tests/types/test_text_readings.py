"""What is typed for inputs of every kind: YAML, files, spans, unions, arrays, frames, iterators; what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from flytepath.errors import InputError
from flytepath.types.directories import FlyteDirectory
from flytepath.types.files import FlyteFile
from flytepath.types.schema import FlyteSchema
from flytepath.types.structured_dataset import StructuredDataset
from flytepath.types.text import parse_json, parse_text, parse_texts
from flytepath.types.text_spans import span
from hypothesis import given
from hypothesis import strategies as st
from sample_types import Layer, Model


class Twisted(enum.Enum):
    ONE = "TWO"
    TWO = "ONE"


class Price(enum.Enum):
    LOW = 1.5
    ON = True


@dataclass
class Left:
    x: int = 0


@dataclass
class Right:
    x: int = 0
    y: int = 0


@dataclass
class Holder:
    file: FlyteFile
    files: list[FlyteFile]


class Odd:
    """A class that only pickle can keep."""


YAML = [
    (list[int], "- 1\n- 2", [1, 2]),
    (dict[str, float], "{a: 1.5, b: 2}", {"a": 1.5, "b": 2.0}),
    (
        dict[str, str],
        "{norway: no, when: 2024-02-29, at: 12:30:00}",
        {"norway": "no", "when": "2024-02-29", "at": "12:30:00"},
    ),
    (dict[str, dt.date], "when: 2024-02-29", {"when": dt.date(2024, 2, 29)}),
    (Layer, "units: 3\nrate: 1e-3", Layer(3, rate=0.001)),
    (dict[str, int | None], "{a: ~, b: null, c: 012}", {"a": None, "b": None, "c": 12}),
]


@pytest.mark.parametrize(("t", "text", "value"), YAML, ids=[str(i) for i in range(len(YAML))])
def test_yaml_is_read_by_the_declared_type(t: Any, text: str, value: Any) -> None:
    assert parse_text(t, text) == value


@pytest.mark.parametrize(
    "text", ["{a: 1, a: 2}", '{"a": 1, "a": 2}', "{a: [}", "!!python/object/apply:os.getcwd []", "? [1]\n: 2", "a: *b"]
)
def test_what_is_neither_json_nor_safe_yaml_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_text(dict[str, int], text)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", '{"units": 3}'), ("a.yaml", "units: 3\n"), ("bom.json", '\ufeff{"units": 3}')],
)
def test_an_at_sign_names_a_file_with_the_value(tmp_path: Any, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    assert parse_text(Layer, f"@{tmp_path / name}") == Layer(3)


def test_json_lines_are_a_list_and_bytes_are_the_file(tmp_path: Any) -> None:
    (tmp_path / "a.jsonl").write_text('{"units": 1}\n\n{"units": 2}\n')
    assert parse_text(list[Layer], f"@{tmp_path}/a.jsonl") == [Layer(1), Layer(2)]
    (tmp_path / "raw").write_bytes(b"\x00\xff")
    assert parse_text(bytes, f"@{tmp_path}/raw") == b"\x00\xff"
    assert parse_text(str, "@home") == "@home"


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Any) -> None:
    with pytest.raises(InputError) as caught:
        parse_text(Layer, f"@{tmp_path}/none.json")
    assert "none.json" in str(caught.value)
    (tmp_path / "raw.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError):
        parse_text(Layer, f"@{tmp_path}/raw.json")
    with pytest.raises(InputError):
        parse_text(bytes, f"@{tmp_path}")


SPANS = [
    ("90", 90),
    ("1.5", 1.5),
    ("1:30", 90),
    ("1:30:00", 5400),
    ("1h30m", 5400),
    ("1h 30min", 5400),
    ("2 days, 3:00:00", 2 * 86400 + 3 * 3600),
    ("-1 day, 23:00:00", -3600),
    ("-90", -90),
    ("PT1H30M", 5400),
    ("P1DT2H", 93600),
    ("P2W", 1209600),
    ("-PT5S", -5),
    ("250ms", 0.25),
    ("0.1s", 0.1),
]


@pytest.mark.parametrize(("text", "seconds"), SPANS)
def test_spans_are_read_in_all_their_forms(text: str, seconds: float) -> None:
    assert parse_text(dt.timedelta, text) == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "-", "1x", "1:2:3:4", "1h30", "nan", "h", "1:-2", "1e400", "99999999999999d"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    if text == "1h30":
        assert parse_text(dt.timedelta, text) == dt.timedelta(hours=1, seconds=30)
        return
    with pytest.raises(InputError, match="timedelta"):
        parse_text(dt.timedelta, text)


@given(st.timedeltas())
def test_every_span_is_read_back_as_python_writes_it(value: dt.timedelta) -> None:
    assert span(str(value)) == value


UNIONS = [
    (int | float, "3", 3),
    (int | float, "3.0", 3.0),
    (int | decimal.Decimal, "3", 3),
    (dt.date | dt.datetime, "2024-02-29", dt.date(2024, 2, 29)),
    (dt.date | dt.datetime, "2024-02-29T01:00:00", dt.datetime(2024, 2, 29, 1)),
    (dt.timedelta | int, "90", 90),
    (dt.timedelta | int, "1h", dt.timedelta(hours=1)),
    (uuid.UUID | str, "00000000-0000-0000-0000-000000000007", uuid.UUID(int=7)),
    (bool | str, "true", True),
    (list[int] | str, "[1]", [1]),
    (list[int] | str, "[a", "[a"),
    (list[int] | dict[str, int], "{a: 1}", {"a": 1}),
    (int | str, "null", "null"),
    (str | None, "null", None),
    (str | None, '"null"', "null"),
    (str | None, "nil", "nil"),
    (Left | Right, '{"y": 1}', Right(y=1)),
    (Twisted | int, "3", 3),
]


@pytest.mark.parametrize(("t", "text", "value"), UNIONS, ids=[str(i) for i in range(len(UNIONS))])
def test_a_union_takes_the_reading_that_fits_best(t: Any, text: str, value: Any) -> None:
    read = parse_text(t, text)
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("t", "text"),
    [
        (Left | Right, '{"x": 1}'),
        (pathlib.Path | str, "a"),
        (dt.time | dt.timedelta, "12:30:00"),
        (float | decimal.Decimal, "3.5"),
        (bytes | str, "abcd"),
    ],
)
def test_two_readings_that_fit_alike_are_an_error_that_lists_them(t: Any, text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_text(t, text)
    assert "2 ways" in str(caught.value.__cause__)
    assert caught.value.actual is not None
    assert caught.value.actual.count(" as ") == 2


def test_a_union_that_nothing_fits_says_why_not_for_each() -> None:
    with pytest.raises(InputError) as caught:
        parse_text(int | list[int], '[1, "a"]')
    assert "no integer" in str(caught.value)
    assert "[1]" in str(caught.value)


def test_choices_are_read_by_name_and_value_and_the_nearest_is_named() -> None:
    assert parse_text(Price, "1.5") is Price.LOW
    assert parse_text(Price, "true") is Price.ON
    assert parse_text(Literal[True, 2, "x"], "true") is True
    with pytest.raises(InputError, match="did you mean 'LOW'"):
        parse_text(Price, "LOWW")
    with pytest.raises(InputError, match="it could be"):
        parse_text(Twisted, "ONE")


def test_options_that_are_repeated_are_the_items_of_a_list() -> None:
    assert parse_texts(list[int], ["1", "2"]) == [1, 2]
    assert parse_texts(list[str], ["a,b"]) == ["a,b"]
    assert parse_texts(set[int] | None, ["1", "2"]) == {1, 2}
    assert parse_texts(tuple[str, ...], ["a", "b"]) == ("a", "b")
    assert parse_texts(list[Layer], ['{"units": 1}']) == [Layer(1)]
    assert parse_texts(list[int] | None, ["null"]) is None
    assert parse_texts(list[list[int]], ["[1]", "[2]"]) == [[1], [2]]
    assert parse_texts(int, ["1"]) == 1
    with pytest.raises(InputError, match="twice"):
        parse_texts(int, ["1", "2"])
    with pytest.raises(InputError) as caught:
        parse_texts(list[int], ["1", "x"])
    assert caught.value.place == "[1]"
    with pytest.raises(InputError, match="JSON list"):
        parse_texts(list[int], ["x"])


def test_files_and_folders_are_paths_that_must_be_there(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert pathlib.Path(parse_text(FlyteFile, "a.csv").path).read_text() == "x\n1\n"
    assert pathlib.Path(parse_text(FlyteFile["csv"] | None, str(tmp_path / "a.csv"))).name == "a.csv"
    assert pathlib.Path(parse_text(FlyteDirectory, ".").path).resolve() == tmp_path.resolve()
    assert parse_text(FlyteFile, "s3://bucket/key").remote_source == "s3://bucket/key"
    for t, text in ((FlyteFile, "none.csv"), (FlyteDirectory, "none"), (FlyteFile, "")):
        with pytest.raises(InputError):
            parse_text(t, text)
    held = parse_text(Holder, '{"file": "a.csv", "files": [{"path": "a.csv"}]}')
    assert [pathlib.Path(file).read_text() for file in (held.file, *held.files)] == ["x\n1\n"] * 2
    with pytest.raises(InputError) as caught:
        parse_json(Holder, {"file": "a.csv", "files": ["none.csv"]})
    assert caught.value.place == ".files[0]"


def test_a_file_or_a_text_is_the_file_where_there_is_one(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x")
    assert isinstance(parse_text(FlyteFile | int, "a.csv"), FlyteFile)
    assert parse_text(FlyteFile | int, "3") == 3


def test_iterators_come_from_lists_and_files(tmp_path: Any) -> None:
    (tmp_path / "a.jsonl").write_text("1\n2\n")
    assert list(parse_text(Iterator[int], "[1, 2]")) == [1, 2]
    assert list(parse_text(Iterator[int], str(tmp_path / "a.jsonl"))) == [1, 2]
    assert list(parse_text(Iterator[int], f"@{tmp_path / 'a.jsonl'}")) == [1, 2]
    assert list(parse_texts(Iterator[int], ["1", "2"])) == [1, 2]
    assert list(parse_json(Iterator[dt.date], ["2024-02-29"])) == [dt.date(2024, 2, 29)]
    with pytest.raises(InputError) as caught:
        parse_text(Iterator[int], '[1, "a"]')
    assert caught.value.place == "[1]"


def test_arrays_come_from_lists_and_npy_files(tmp_path: Any) -> None:
    numpy = pytest.importorskip("numpy")
    typed = numpy.typing.NDArray[numpy.float32]
    assert parse_text(typed, "[[1, 2], [3, 4]]").dtype == numpy.float32
    numpy.save(tmp_path / "a.npy", numpy.arange(3))
    assert parse_text(numpy.ndarray, str(tmp_path / "a.npy")).tolist() == [0, 1, 2]
    numpy.save(tmp_path / "objects.npy", numpy.array([{}]), allow_pickle=True)
    for text in ("[[1], [1, 2]]", "{}", '["a", {}]', str(tmp_path / "none.npy"), str(tmp_path / "objects.npy")):
        with pytest.raises(InputError):
            parse_text(numpy.ndarray, text)


def test_frames_come_from_files(tmp_path: Any) -> None:
    pandas = pytest.importorskip("pandas")
    (tmp_path / "a.csv").write_text("x,y\n1,a\n2,b\n")
    (tmp_path / "a.json").write_text(json.dumps([{"x": 1}, {"x": 2}]))
    assert parse_text(pandas.DataFrame, str(tmp_path / "a.csv"))["x"].tolist() == [1, 2]
    assert parse_text(pandas.DataFrame | None, str(tmp_path / "a.json"))["x"].tolist() == [1, 2]
    for t in (pandas.DataFrame, StructuredDataset, FlyteSchema, StructuredDataset | None):
        for name in ("none.csv", "none.json"):
            with pytest.raises(InputError) as caught:
                parse_text(t, str(tmp_path / name))
            assert name in str(caught.value)


def test_a_dataset_is_named_in_full_since_it_is_read_elsewhere(tmp_path: Any, monkeypatch: Any) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert parse_text(StructuredDataset, "a.csv").uri == str(tmp_path / "a.csv")
    assert parse_text(StructuredDataset, "s3://bucket/a.parquet").uri == "s3://bucket/a.parquet"


@pytest.mark.filterwarnings("ignore::flytepath.types.engine.PickleFallbackWarning")
def test_what_only_pickle_can_keep_is_refused_with_a_remedy() -> None:
    for read in (parse_text, parse_json):
        with pytest.raises(InputError, match="dataclass"):
            read(Odd, "x")
    with pytest.raises(InputError, match="dataclass"):
        parse_json(Odd, {"a": 1})


def test_values_inside_keep_their_place_in_errors() -> None:
    with pytest.raises(InputError) as caught:
        parse_text(Model, "layers: [{units: 1}, {units: x}]")
    assert caught.value.place == ".layers[1].units"


def test_a_key_that_is_there_twice_after_reading_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        parse_text(dict[int, str], '{"1": "a", "01": "b"}')


def test_deep_nesting_is_an_error_of_ours() -> None:
    with pytest.raises(InputError):
        parse_text(list, "[" * 100_000)
