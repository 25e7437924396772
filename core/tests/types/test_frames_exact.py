"""What a pandas frame can hold beyond numbers: each comes back as it was, or is refused with the column's name."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import pytest

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")
numpy = pytest.importorskip("numpy")

from flytepath.errors import TypeTransformerFailedError  # noqa: E402
from flytepath.types.engine import codec  # noqa: E402
from flytepath.types.structured_dataset import PARQUET, StructuredDataset  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

DataFrame, Series = pandas.DataFrame, pandas.Series


def same(back: Any, frame: Any) -> None:
    pandas.testing.assert_frame_equal(
        back, frame, check_exact=True, check_column_type="exact", check_index_type="exact"
    )
    assert type(back.index) is type(frame.index)
    for position, dtype in enumerate(frame.dtypes):
        if str(dtype) == "object":
            ours, theirs = back.iloc[:, position], frame.iloc[:, position]
            assert [type(item) for item in ours] == [type(item) for item in theirs]


moments = pandas.date_range("2020-01-01", periods=3, freq="h")

COLUMNS = {
    "float16": numpy.array([1, 2, 3], dtype="float16"),
    "uint64": numpy.array([0, 1, 2**64 - 1], dtype="uint64"),
    "int64 bounds": [-(2**63), 0, 2**63 - 1],
    "infinities": [float("inf"), -float("inf"), 5e-324],
    "seconds": numpy.array(["2020", "NaT", "1677-01-01"], dtype="M8[s]"),
    "milliseconds": numpy.array([1, 2, "NaT"], dtype="m8[ms]"),
    "offset": pandas.date_range("2020", periods=3, tz=dt.timezone(dt.timedelta(hours=2))),
    "summer time": pandas.date_range("2020-10-25", periods=3, freq="h", tz="Europe/Berlin"),
    "texts of objects": Series(["a", None, ""], dtype=object),
    "texts with NaN": Series(["a", numpy.nan, ""], dtype=object),
    "nothing of objects": Series([None, None, None], dtype=object),
    "bytes": Series([b"a", None, b""], dtype=object),
    "decimals": Series([decimal.Decimal("1.50"), None, decimal.Decimal("2.25")], dtype=object),
    "days": Series([dt.date(2020, 1, 1), None, dt.date(1, 1, 1)], dtype=object),
    "times": Series([dt.time(1, 2, 3, 4), None, dt.time()], dtype=object),
    "moments of objects": Series([dt.datetime(2020, 1, 1), None, dt.datetime(1, 1, 1)], dtype=object),
    "booleans of objects": Series([True, None, False], dtype=object),
    "whole numbers of objects": Series([1, None, 2**60 + 1], dtype=object),
    "python texts": Series(["a", None, "b"], dtype=pandas.StringDtype("python")),
    "arrow numbers": Series([1, None, 3], dtype="int64[pyarrow]"),
    "nullable floats": Series([1.5, None, 2.5], dtype="Float64"),
    "spans": Series(pandas.interval_range(0, 3)),
    "categories of numbers": pandas.Categorical([2, 1, None], categories=[9, 2, 1]),
    "categories of moments": pandas.Categorical(moments, categories=pandas.DatetimeIndex(list(moments[::-1]))),
    "many categories": pandas.Categorical(["300", None, "1"], categories=[str(n) for n in range(400)], ordered=True),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_exactly(name, round_trip):
    frame = DataFrame({"before": [1.0, 2.0, 3.0], name: COLUMNS[name]})
    same(round_trip(DataFrame, frame), frame)
    same(round_trip(DataFrame, frame.iloc[:0]), frame.iloc[:0])
    same(codec(DataFrame).isolate(frame), frame)


INDEXES = {
    "texts of objects": pandas.Index(["x", "y", None], dtype=object, name="key"),
    "texts": pandas.Index(["x", "y", "z"]),
    "floats": pandas.Index([1.5, numpy.nan, -0.0]),
    "doubled": pandas.Index([1, 1, 2]),
    "categories": pandas.CategoricalIndex(["b", "a", "b"], categories=["b", "a", "c"]),
    "moments": pandas.date_range("2020", periods=3, freq="2D", tz="UTC", name="at"),
    "irregular moments": pandas.DatetimeIndex(["2020", "2022", "2021"]),
    "durations": pandas.timedelta_range("1D", periods=3),
    "periods": pandas.period_range("2020-01", periods=3, freq="M"),
    "steps": pandas.RangeIndex(5, 20, 5, name="step"),
    "backwards": pandas.RangeIndex(3, 0, -1),
    "levels": pandas.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)], names=["letter", None]),
    "levels with gaps": pandas.MultiIndex.from_tuples([("a", 1.5), ("b", numpy.nan), ("a", 2.5)]),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_comes_back_exactly(name, round_trip):
    frame = DataFrame({"a": [1, 2, 3]}, index=INDEXES[name])
    back = round_trip(DataFrame, frame)
    same(back, frame)
    assert back.index.equals(frame.index)
    assert getattr(back.index, "freq", None) == getattr(frame.index, "freq", None)


LABELS = {
    "levels": pandas.MultiIndex.from_tuples([("a", "x"), ("a", "y")], names=["upper", None]),
    "numbers": pandas.Index([7, 3]),
    "named": pandas.Index(["a", "b"], name="kind"),
    "numbered": pandas.RangeIndex(2),
    "unicode": pandas.Index(["ä ö", ""]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_columns_come_back_exactly(name, round_trip):
    frame = DataFrame([[1, 2.5], [3, 4.5]], columns=LABELS[name])
    same(round_trip(DataFrame, frame), frame)


REFUSED = {
    "text and number": Series(["a", 1, None], dtype=object),
    "number and truth": Series([1, True, 0], dtype=object),
    "text and fraction": Series(["a", 1.5, numpy.nan], dtype=object),
    "text of numpy": Series([numpy.str_("a"), "b", "c"], dtype=object),
    "None and NaN": Series(["a", None, numpy.nan], dtype=object),
    "sparse": Series(pandas.arrays.SparseArray([0, 0, 1])),
    "big endian": numpy.array([1, 2, 3], dtype=">i4"),
    "half a character": Series(["\ud800", "", ""], dtype=object),
    "tuples": Series([(1, 2), (3, 4), (5, 6)], dtype=object),
    "sets": Series([{1}, {2}, set()], dtype=object),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_column_that_would_change_is_refused_with_its_name(name, blobs):
    frame = DataFrame({"fine": [1, 2, 3], name: REFUSED[name]})
    with pytest.raises(TypeTransformerFailedError) as caught:
        codec(DataFrame).encode(frame, blobs)
    assert name in str(caught.value)
    assert caught.value.hint
    assert not blobs.contents


@pytest.mark.parametrize("name", [*COLUMNS, *(f"index: {name}" for name in INDEXES), *(f"labels: {n}" for n in LABELS)])
def test_parquet_keeps_as_much(name, round_trip):
    kind, _, which = name.partition(": ")
    if kind == "index":
        frame = DataFrame({"a": [1, 2, 3]}, index=INDEXES[which])
    elif kind == "labels":
        frame = DataFrame([[1, 2.5], [3, 4.5]], columns=LABELS[which])
    else:
        frame = DataFrame({"before": [1.0, 2.0, 3.0], name: COLUMNS[name]})
    for one in (frame, frame.iloc[:1]):
        made = StructuredDataset(dataframe=one, file_format=PARQUET)
        same(round_trip(StructuredDataset, made).open(DataFrame).all(), one)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_received_column_can_be_changed(name, round_trip):
    for rows in (slice(None), slice(0, 1), slice(2, 3)):
        frame = DataFrame({name: COLUMNS[name], "other": [1, 2, 3]}).iloc[rows].reset_index(drop=True)
        back = round_trip(DataFrame, frame)
        back.loc[0, name] = frame.loc[0, name]
        back[name].array[0] = frame[name].array[0]
        back["other"] += 1
        same(back[[name]], frame[[name]])


def test_attributes_and_flags_come_back(round_trip):
    frame = DataFrame({"a": [1]})
    frame.attrs = {"unit": "m", "levels": [1, {"x": None}]}
    frame.flags.allows_duplicate_labels = False
    back = round_trip(DataFrame, frame)
    assert back.attrs == frame.attrs
    assert not back.flags.allows_duplicate_labels


@pytest.mark.parametrize("attrs", [{"a": (1, 2)}, {1: "a"}, {"a": object()}, {"a": float("nan")}])
def test_attributes_that_would_change_are_refused(attrs, blobs):
    frame = DataFrame({"a": [1]})
    frame.attrs = attrs
    with pytest.raises(TypeTransformerFailedError, match="attrs"):
        codec(DataFrame).encode(frame, blobs)


def test_writing_leaves_the_frame_as_it_was(blobs):
    frame = DataFrame({"a": Series(["x", None], dtype=object)})
    frame.attrs = {"k": 1}
    codec(DataFrame).encode(frame, blobs)
    assert frame.attrs == {"k": 1}
    assert str(frame["a"].dtype) == "object"


def test_values_of_exact_dtypes_are_not_read_back(blobs, monkeypatch):
    frame = DataFrame(numpy.zeros((1000, 3)), columns=list("abc"))
    read = []
    from flytepath.types import pandas_frames

    real = pandas_frames.from_table
    monkeypatch.setattr(pandas_frames, "from_table", lambda table: read.append(table.num_rows) or real(table))
    codec(DataFrame).encode(frame, blobs)
    assert read == [1]


cells = {
    "int8": st.integers(-128, 127),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=True),
    "float32": st.floats(width=32),
    "bool": st.booleans(),
    "str": st.none() | st.text(st.characters(codec="utf-8")),
    "object": st.none() | st.text(st.characters(codec="utf-8")),
    "Int32": st.none() | st.integers(-(2**31), 2**31 - 1),
    "boolean": st.none() | st.booleans(),
    "category": st.none() | st.sampled_from(["a", "b", "c"]),
    "datetime64[us]": st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
}


@st.composite
def drawn_frames(draw: Any) -> Any:
    rows = draw(st.integers(0, 6))
    names = draw(st.lists(st.text(st.characters(codec="utf-8"), max_size=4), unique=True, max_size=5))
    frame = DataFrame(index=pandas.RangeIndex(rows))
    for name in names:
        dtype = draw(st.sampled_from(sorted(cells)))
        frame[name] = Series(draw(st.lists(cells[dtype], min_size=rows, max_size=rows)), dtype=dtype)
    if rows and draw(st.booleans()):
        frame.index = pandas.Index(draw(st.lists(cells["int64"], min_size=rows, max_size=rows)), name="key")
    return frame.sample(frac=1, random_state=1) if draw(st.booleans()) else frame


@given(drawn_frames())
@settings(deadline=None, max_examples=150)
def test_any_frame_of_usual_columns_comes_back(frame):
    from flytepath.model.literal import Literal
    from flytepath.testing import MemoryBlobs

    blobs = MemoryBlobs()
    literal = codec(DataFrame).encode(frame, blobs)
    same(codec(DataFrame).decode(Literal.from_json(json.loads(json.dumps(literal.to_json()))), blobs), frame)


def test_a_large_frame_of_numbers_comes_back_exactly_from_its_pieces(round_trip):
    rows = 600_001
    numbers = numpy.arange(rows)
    frame = DataFrame(
        {
            3: numpy.where(numbers % 5, numbers / 7, numpy.nan),
            1: numbers.astype("uint8"),
            2: numbers % 3 == 0,
            7: numpy.where(numbers % 11, numbers, "NaT").astype("M8[s]"),
            8: numbers.astype("m8[ms]"),
            9: (numbers % 1000).astype("float16"),
        },
        index=pandas.RangeIndex(5, 5 + 2 * rows, 2, name="step"),
    )
    frame.flags.allows_duplicate_labels = False
    for one in (frame, frame.iloc[::-1].iloc[: rows - 1], DataFrame(numpy.zeros((rows, 2)))):
        back = round_trip(DataFrame, one)
        same(back, one)
        assert back.flags.allows_duplicate_labels == one.flags.allows_duplicate_labels
        back.iloc[0, 0] = 1.0
