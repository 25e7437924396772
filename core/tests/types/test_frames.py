"""Frames and arrays come back with their dtypes, index, categories and order, or are refused when they are written."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")
polars = pytest.importorskip("polars")
numpy = pytest.importorskip("numpy")

from flytepath.errors import DefinitionError, TypeTransformerFailedError  # noqa: E402
from flytepath.types.engine import codec  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

DataFrame = pandas.DataFrame


def frames() -> dict[str, Any]:
    moments = pandas.date_range("2020-01-01", periods=3, freq="D", tz="Europe/Berlin")
    return {
        "numbers": DataFrame({"a": numpy.array([1, 2, 3], dtype="int8"), "b": [0.1, float("nan"), -0.0]}),
        "text": DataFrame({"s": ["é", None, ""]}),
        "categories": DataFrame({"c": pandas.Categorical(["u", "v", None], categories=["v", "u", "w"], ordered=True)}),
        "nullable": DataFrame({"i": pandas.array([1, None, 3], dtype="Int32"), "b": pandas.array([True, None, False])}),
        "moments": DataFrame({"t": moments, "d": moments - moments[0]}, index=moments),
        "dates": DataFrame({"d": [dt.date(2020, 1, 1), None]}),
        "named index": DataFrame({"a": [1, 2]}, index=pandas.Index(["x", "y"], name="key")),
        "levels": DataFrame({"a": [1, 2]}, index=pandas.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["i", "s"])),
        "sliced": DataFrame({"a": range(9)}).iloc[1:8:3],
        "shuffled": DataFrame({"b": [1], "a": [2]}),
        "numbered columns": DataFrame(numpy.zeros((2, 3))),
        "integer columns": DataFrame({3: [1], 1: [2]}),
        "empty": DataFrame(),
        "no rows": DataFrame({"a": pandas.Series([], dtype="float32")}),
        "periods": DataFrame({"p": pandas.period_range("2020", periods=2, freq="M")}),
    }


@pytest.mark.parametrize("name", frames())
def test_a_pandas_frame_comes_back_exactly(name, round_trip):
    frame = frames()[name]
    before = frame.copy(deep=True)
    back = round_trip(DataFrame, frame)
    pandas.testing.assert_frame_equal(
        back, frame, check_exact=True, check_column_type="exact", check_index_type="exact"
    )
    pandas.testing.assert_frame_equal(before, frame)
    assert type(back.index) is type(frame.index)


def test_zeros_keep_their_sign(round_trip):
    back = round_trip(DataFrame, DataFrame({"z": [-0.0, 0.0]}))
    assert numpy.signbit(back["z"]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (DataFrame({"ok": [1], "mixed": pandas.Series([[1, "x"]], dtype=object)}), "mixed"),
        (DataFrame({"mixed": pandas.Series([1, "x"], dtype=object)}), "mixed"),
        (DataFrame({"mixed": pandas.Series([1, 1.5], dtype=object)}), "mixed"),
        (DataFrame({"things": [object()]}), "things"),
        (DataFrame({"complex": [1 + 2j]}), "cannot be kept"),
        (DataFrame([[1, 2]], columns=["a", "a"]), "Duplicate"),
    ],
)
def test_a_pandas_frame_that_would_change_is_refused(frame, says, blobs):
    with pytest.raises(TypeTransformerFailedError, match=r"cannot be kept|come back") as caught:
        codec(DataFrame).encode(frame, blobs)
    assert says in str(caught.value)
    assert caught.value.hint


def test_a_decoded_pandas_frame_can_be_changed(round_trip):
    frame = DataFrame({"a": [1, 2], "b": [1.0, 2.0]})
    back = round_trip(DataFrame, frame)
    back.loc[0, "a"] = 9
    back["b"] += 1
    assert back["a"].tolist() == [9, 2]
    assert frame["a"].tolist() == [1, 2]


def test_a_copy_of_a_pandas_frame_shares_nothing():
    frame = DataFrame({"a": [1, 2], "lists": [[1], [2]]})
    own = codec(DataFrame).isolate(frame)
    own.loc[0, "a"] = 9
    own["lists"].iloc[0].append(9)
    own["new"] = 1
    assert frame.to_dict("list") == {"a": [1, 2], "lists": [[1], [2]]}


POLARS = [
    polars.DataFrame(),
    polars.DataFrame({"a": [1, None], "s": ["é", None]}, schema_overrides={"a": polars.Int16}),
    polars.DataFrame({"c": ["b", "a", "b"]}, schema={"c": polars.Categorical}),
    polars.DataFrame({"e": ["b"]}, schema={"e": polars.Enum(["a", "b"])}),
    polars.DataFrame({"d": [dt.date(2020, 1, 1)], "u": [dt.timedelta(1)], "t": [dt.time(1)], "b": [b"x"], "n": [None]}),
    polars.DataFrame({"t": [dt.datetime(2020, 1, 1)]}, schema={"t": polars.Datetime("ns", "Europe/Berlin")}),
    polars.DataFrame({"l": [[1], []], "s": [{"x": 1}, {"x": None}], "f": [float("nan"), -0.0]}),
    polars.DataFrame({"d": ["1.50"]}).with_columns(polars.col("d").str.to_decimal(scale=2)),
]


@pytest.mark.parametrize("frame", POLARS, ids=[str(index) for index in range(len(POLARS))])
def test_a_polars_frame_comes_back_exactly(frame, round_trip):
    back = round_trip(polars.DataFrame, frame)
    assert back.schema == frame.schema
    assert back.equals(frame)


def test_equal_polars_frames_are_one_literal_in_pieces_or_not(blobs):
    whole = polars.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    pieces = polars.concat([whole[:1], whole[1:]], rechunk=False)
    assert codec(polars.DataFrame).encode(pieces, blobs) == codec(polars.DataFrame).encode(whole, blobs)


def test_a_polars_frame_of_objects_is_refused(blobs):
    frame = polars.DataFrame({"o": [object()]}, schema={"o": polars.Object})
    with pytest.raises(TypeTransformerFailedError, match="'o'"):
        codec(polars.DataFrame).encode(frame, blobs)


def test_an_arrow_table_comes_back_with_its_metadata_and_without_a_copy(round_trip):
    table = pyarrow.table({"a": pyarrow.array([1, 2], pyarrow.uint8()), "b": ["x", None]}).replace_schema_metadata(
        {"k": "v"}
    )
    before = pyarrow.total_allocated_bytes()
    back = round_trip(pyarrow.Table, table)
    assert back.equals(table, check_metadata=True)
    large = pyarrow.table({"a": numpy.zeros(1_000_000)})
    before = pyarrow.total_allocated_bytes()
    back = round_trip(pyarrow.Table, large)
    assert pyarrow.total_allocated_bytes() - before < large.nbytes / 10
    assert back.equals(large)


def test_a_frame_of_another_library_is_converted_as_it_would_be_in_a_durable_run(blobs):
    own = codec(DataFrame).isolate(polars.DataFrame({"a": [1, None, 2**60 + 1], "b": [True, None, False]}))
    assert own["a"].tolist()[2] == 2**60 + 1
    assert (str(own["a"].dtype), str(own["b"].dtype)) == ("Int64", "boolean")
    stored = codec(DataFrame).decode(codec(DataFrame).encode(polars.DataFrame({"a": [1, None]}), blobs), blobs)
    pandas.testing.assert_frame_equal(stored, DataFrame({"a": pandas.array([1, None], dtype="Int64")}))
    assert codec(polars.DataFrame).isolate(DataFrame({"a": [1]})).to_dict(as_series=False) == {"a": [1]}


def test_what_is_no_frame_is_refused():
    with pytest.raises(TypeTransformerFailedError, match=r"pandas\.DataFrame"):
        codec(list[DataFrame]).isolate([{"a": [1]}])

    class Own(DataFrame):
        pass

    with pytest.raises(TypeTransformerFailedError, match="Own"):
        codec(DataFrame).isolate(Own({"a": [1]}))


def test_a_frame_written_by_one_library_is_read_by_another(blobs):
    literal = codec(DataFrame).encode(DataFrame({"a": [1, 2]}), blobs)
    assert codec(polars.DataFrame).decode(literal, blobs)["a"].to_list() == [1, 2]
    assert codec(pyarrow.Table).decode(literal, blobs).column("a").to_pylist() == [1, 2]


def test_frames_in_containers_and_unions_come_back(round_trip):
    frame = frames()["named index"]
    back = round_trip(dict[str, list[DataFrame | None]], {"a": [frame, None], "b": [frame]})
    pandas.testing.assert_frame_equal(back["b"][0], frame)
    assert back["a"][1] is None
    either = DataFrame | polars.DataFrame | None
    assert isinstance(round_trip(either, polars.DataFrame({"a": [1]})), polars.DataFrame)
    pandas.testing.assert_frame_equal(round_trip(either, frame), frame)


def test_equal_frames_have_one_digest_and_are_one_blob(blobs):
    one, other = (codec(DataFrame).encode(frames()["categories"], blobs) for _ in range(2))
    assert one == other
    assert len(blobs.contents) == 1


def test_the_summary_is_plain_data():
    facts = codec(DataFrame).summary(DataFrame({"<b>": [1]}))
    assert json.loads(json.dumps(facts)) == {"rows": 1, "columns": 1, "names": ["<b>"]}
    assert codec(numpy.ndarray).summary(numpy.zeros((2, 3)))["shape"] == [2, 3]


ARRAYS = [
    numpy.arange(6).reshape(2, 3),
    numpy.asfortranarray(numpy.ones((2, 3))),
    numpy.array(3.0),
    numpy.zeros((0, 3), dtype="f4"),
    numpy.array(["a", "é"]),
    numpy.array(["2020", "NaT"], dtype="M8[D]"),
    numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    numpy.array([1], dtype=">i4"),
    numpy.array([1 + 2j]),
    numpy.array([-0.0, numpy.nan]),
    numpy.arange(9)[::2],
]


@pytest.mark.parametrize("array", ARRAYS, ids=[str(index) for index in range(len(ARRAYS))])
def test_an_array_comes_back_bit_by_bit(array, round_trip):
    back = round_trip(numpy.ndarray, array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.flags.f_contiguous == numpy.array(array, order="K").flags.f_contiguous
    assert back.tobytes() == array.tobytes()
    back.flags.writeable = True


def test_an_array_is_checked_and_copied():
    array = numpy.zeros(2)
    codec(NDArray[numpy.float64]).isolate(array)[0] = 1
    assert array.tolist() == [0, 0]
    with pytest.raises(TypeTransformerFailedError, match="expected an array of float64, got one of int64"):
        codec(NDArray[numpy.float64]).isolate(numpy.zeros(2, dtype="int64"))
    assert codec(NDArray[numpy.floating]).isolate(array).tolist() == [0, 0]
    for wrong in (numpy.array([object()]), numpy.ma.array([1]), [1]):
        with pytest.raises(TypeTransformerFailedError):
            codec(numpy.ndarray).isolate(wrong)


def test_a_numpy_scalar_is_no_python_number():
    with pytest.raises(TypeTransformerFailedError, match=r"float\(value\)"):
        codec(float).isolate(numpy.float64(1))
    with pytest.raises(TypeTransformerFailedError, match=r"int\(value\)"):
        codec(int).isolate(numpy.int64(1))


def test_a_pandas_timestamp_is_no_datetime():
    with pytest.raises(TypeTransformerFailedError, match="to_pydatetime"):
        codec(dt.datetime).isolate(pandas.Timestamp("2020-01-01"))


def test_two_kinds_of_one_library_are_ambiguous_only_where_they_overlap():
    assert codec(numpy.ndarray | DataFrame)
    with pytest.raises(DefinitionError, match="ambiguous"):
        codec(numpy.ndarray | NDArray[numpy.float64])


def test_columns_of_polars_frames_are_declared_too(round_trip):
    from typing import Annotated

    from flytepath import kwtypes

    frame = polars.DataFrame({"a": [1], "b": ["x"], "odd": [object()]}, schema_overrides={"odd": polars.Object})
    columns = kwtypes(b=str, a=int)
    for t, given in ((polars.DataFrame, frame), (polars.LazyFrame, frame.lazy())):
        declared = Annotated[t, columns]
        for back in (codec(declared).isolate(given), round_trip(declared, given)):
            assert type(back) is t
            assert back.lazy().collect().to_dict(as_series=False) == {"b": ["x"], "a": [1]}
    with pytest.raises(TypeTransformerFailedError, match="'c'"):
        codec(Annotated[polars.DataFrame, kwtypes(c=int)]).isolate(frame.drop("odd"))


def test_an_arrow_table_may_come_in_pieces_with_dictionaries_of_their_own(round_trip):
    pieces = [pyarrow.array(texts).dictionary_encode() for texts in (["a", "b"], ["c", "a"])]
    table = pyarrow.table({"d": pyarrow.chunked_array(pieces)})
    back = round_trip(pyarrow.Table, table)
    assert back.schema == table.schema
    assert back.column("d").to_pylist() == ["a", "b", "c", "a"]
    nested = pyarrow.table({"l": pyarrow.array([[1], None], pyarrow.list_(pyarrow.int8())), "n": pyarrow.nulls(2)})
    assert round_trip(pyarrow.Table, nested).equals(nested)


def test_rows_without_columns_are_refused_where_they_would_be_lost(blobs):
    with pytest.raises(TypeTransformerFailedError, match="rows but no columns"):
        codec(pyarrow.Table).encode(pyarrow.table({"a": [1, 2]}).select([]), blobs)
    assert codec(DataFrame).decode(codec(DataFrame).encode(DataFrame(index=range(3)), blobs), blobs).shape == (3, 0)


def test_a_pandas_frame_that_an_arrow_task_changed_is_what_that_task_made(round_trip):
    days = pandas.date_range("2020", periods=3, name="at")
    texts = pandas.Series(["x", None, "y"], index=days, dtype=object)
    frame = DataFrame({"t": texts, "n": [1, 2, 3]}, index=days)
    table = round_trip(pyarrow.Table, codec(pyarrow.Table).isolate(frame))
    changed = table.select(["n", "t", "at"]).append_column("gaps", pyarrow.array([1, None, 2])).take([0, 2])
    back = codec(DataFrame).isolate(round_trip(pyarrow.Table, changed))
    assert back.to_dict("list") == {"n": [1, 3], "t": ["x", "y"], "gaps": [1, 2]}
    assert str(back["t"].dtype) == "object"
    assert back.index.name == "at"
    gaps = codec(DataFrame).isolate(table.append_column("gaps", pyarrow.array([1, None, 2])))
    assert str(gaps["gaps"].dtype) == "Int64"
    numbered = codec(pyarrow.Table).isolate(DataFrame(numpy.zeros((2, 3))))
    assert list(codec(DataFrame).isolate(numbered.select(["2", "0"]))) in (["2", "0"], [2, 0])
