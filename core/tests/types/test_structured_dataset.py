"""Datasets: a frame or a place, opened as any kind of frame, whole or in pieces, and only the declared columns."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Annotated, Any

import pytest

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")
numpy = pytest.importorskip("numpy")
parquet = pytest.importorskip("pyarrow.parquet")

from flytepath import kwtypes, task, workflow  # noqa: E402
from flytepath.errors import CompileError, DefinitionError, TypeTransformerFailedError, UsageError  # noqa: E402
from flytepath.model.literal import Literal  # noqa: E402
from flytepath.types.engine import codec  # noqa: E402
from flytepath.types.structured_dataset import CSV, PARQUET, StructuredDataset  # noqa: E402
from pydantic import BaseModel  # noqa: E402

DataFrame = pandas.DataFrame
Table = pyarrow.Table


def people() -> Any:
    return DataFrame(
        {
            "name": ["Ada", None, "Grace"],
            "age": numpy.array([36, 41, 85], dtype="int16"),
            "kind": pandas.Categorical(["b", "a", "b"], categories=["b", "a", "c"], ordered=True),
            "born": pandas.date_range("1815-12-10", periods=3, tz="Europe/London"),
        },
        index=pandas.Index([7, 3, 9], name="id"),
    )


def same(back: Any, frame: Any) -> None:
    pandas.testing.assert_frame_equal(back, frame, check_exact=True, check_index_type="exact")


def both_ways(t: Any, value: Any, round_trip: Any) -> list[Any]:
    """What a task receives after a direct call, and after a durable one."""
    return [codec(t).isolate(codec(t).isolate(value)), round_trip(t, value)]


@pytest.mark.parametrize("file_format", ["", PARQUET, "arrow-ipc"])
def test_a_frame_comes_back_exactly_in_every_binary_format(file_format, round_trip):
    for back in both_ways(
        StructuredDataset, StructuredDataset(dataframe=people(), file_format=file_format), round_trip
    ):
        assert isinstance(back, StructuredDataset)
        same(back.open(DataFrame).all(), people())


def test_parquet_keeps_what_parquet_alone_would_forget(round_trip):
    frame = DataFrame(
        {
            "seconds": numpy.array(["2020-01-01", "NaT"], dtype="M8[s]"),
            "numbers": pandas.Categorical([2, 1], categories=[9, 2, 1]),
            "objects": pandas.Series(["a", None], dtype=object),
            "small": numpy.array([1, 2], dtype="uint8"),
            "half": numpy.array([1, 2], dtype="float16"),
            "span": pandas.to_timedelta([1, 2], unit="s"),
        }
    )
    for one in (frame, frame.iloc[:0]):
        back = round_trip(StructuredDataset, StructuredDataset(dataframe=one, file_format=PARQUET))
        same(back.open(DataFrame).all(), one)


def test_nothing_is_read_before_it_is_opened(blobs):
    literal = codec(StructuredDataset).encode(StructuredDataset(dataframe=people()), blobs)
    blobs.contents.clear()
    dataset = codec(StructuredDataset).decode(literal, blobs)
    opened = dataset.open(DataFrame)
    with pytest.raises(Exception, match="no such blob"):
        opened.all()


def test_a_received_dataset_is_opened_not_taken_apart(round_trip):
    for back in both_ways(StructuredDataset, StructuredDataset(dataframe=people()), round_trip):
        assert back.dataframe is None
        with pytest.raises(TypeTransformerFailedError, match="not open"):
            back.all()
    assert StructuredDataset(dataframe=1).dataframe == 1


def test_a_frame_is_taken_for_a_dataset_and_a_dataset_for_a_frame(round_trip, blobs):
    for back in both_ways(StructuredDataset, people(), round_trip):
        same(back.open(DataFrame).all(), people())
    for back in both_ways(DataFrame, StructuredDataset(dataframe=people()), round_trip):
        same(back, people())
    literal = codec(DataFrame).encode(people(), blobs)
    same(codec(StructuredDataset).decode(literal, blobs).open(DataFrame).all(), people())
    literal = codec(StructuredDataset).encode(StructuredDataset(dataframe=people(), file_format=PARQUET), blobs)
    same(codec(DataFrame).decode(literal, blobs), people())


def test_a_dataset_opens_as_the_frame_of_any_library(round_trip):
    polars = pytest.importorskip("polars")
    for back in both_ways(StructuredDataset, StructuredDataset(dataframe=people()), round_trip):
        frame = back.open(polars.DataFrame).all()
        assert frame["name"].to_list() == ["Ada", None, "Grace"]
        assert frame["age"].dtype == polars.Int16
        assert frame["id"].to_list() == [7, 3, 9]
        assert back.open(Table).all().column("age").to_pylist() == [36, 41, 85]
        lazy = back.open(polars.LazyFrame).all()
        assert isinstance(lazy, polars.LazyFrame)
        assert lazy.select(polars.col("age").sum()).collect().item() == 162


def test_a_lazy_frame_arrives_lazy_with_its_result(round_trip):
    polars = pytest.importorskip("polars")
    ran = []
    query = polars.LazyFrame({"a": [1, 2]}).map_batches(
        lambda frame: ran.append(1) or frame, schema={"a": polars.Int64}
    )
    for back in both_ways(polars.LazyFrame, query, round_trip):
        before = len(ran)
        assert isinstance(back, polars.LazyFrame)
        assert back.collect()["a"].to_list() == [1, 2]
        assert len(ran) == before


def test_a_dataset_can_be_open_as_two_kinds_of_frames_at_once():
    dataset = StructuredDataset(dataframe=people())
    table, frame = dataset.open(Table), dataset.open(DataFrame)
    assert isinstance(table.all(), Table)
    assert isinstance(frame.all(), DataFrame)
    assert isinstance(dataset.all(), DataFrame)


def test_iter_gives_pieces_of_the_opened_kind(round_trip, tmp_path):
    frame = DataFrame({"n": numpy.arange(150_000), "t": pandas.Series(["x"] * 150_000, dtype=object)})
    for file_format in ("", PARQUET):
        for back in both_ways(
            StructuredDataset, StructuredDataset(dataframe=frame, file_format=file_format), round_trip
        ):
            pieces = list(back.open(DataFrame).iter())
            assert len(pieces) > 1
            assert [type(piece) for piece in pieces] == [DataFrame] * len(pieces)
            same(pandas.concat(pieces, ignore_index=True), frame)
    place = tmp_path / "n.csv"
    frame.to_csv(place, index=False)
    pieces = list(StructuredDataset(uri=str(place)).open(Table).iter())
    assert sum(piece.num_rows for piece in pieces) == 150_000


# --- declared columns --------------------------------------------------------------------------------------------

Ages = Annotated[StructuredDataset, kwtypes(age=int)]


def test_only_the_declared_columns_are_kept_and_read(round_trip, blobs):
    for back in both_ways(Ages, StructuredDataset(dataframe=people()), round_trip):
        same(back.open(DataFrame).all(), people()[["age"]])
    literal = codec(StructuredDataset).encode(people(), blobs)
    same(codec(Ages).decode(literal, blobs).open(DataFrame).all(), people()[["age"]])
    assert codec(Ages).decode(literal, blobs).open(Table).all().column_names == ["age", "id"]
    assert [list(piece) for piece in codec(Ages).decode(literal, blobs).open(DataFrame).iter()] == [["age"]]


def test_columns_of_a_frame_type_are_declared_too(round_trip, blobs):
    two = Annotated[DataFrame, kwtypes(kind=str, name=str)]
    for back in both_ways(two, people(), round_trip):
        same(back, people()[["kind", "name"]])
    narrow = Annotated[Table, kwtypes(age=pyarrow.int16())]
    literal = codec(Table).encode(pyarrow.table({"age": pyarrow.array([1], pyarrow.int16()), "b": [1]}), blobs)
    assert codec(narrow).decode(literal, blobs).column_names == ["age"]


def test_a_column_that_is_not_asked_for_may_be_anything(round_trip):
    frame = DataFrame({"a": [1], "odd": pandas.Series([object()], dtype=object)})
    for back in both_ways(Annotated[DataFrame, kwtypes(a=int)], frame, round_trip):
        assert back.to_dict("list") == {"a": [1]}


def test_a_missing_column_is_named_with_those_that_are_there(blobs):
    frame = DataFrame({"amount": [1], "b": [1]})
    with pytest.raises(TypeTransformerFailedError) as caught:
        codec(Annotated[DataFrame, kwtypes(amont=int)]).encode(frame, blobs)
    assert caught.value.actual == "amount, b"
    assert "did you mean 'amount'?" in (caught.value.hint or "")


def test_only_the_columns_that_are_asked_for_are_read_from_parquet(blobs, monkeypatch):
    literal = codec(StructuredDataset).encode(StructuredDataset(dataframe=people(), file_format=PARQUET), blobs)
    asked = []
    real = parquet.ParquetFile.read
    monkeypatch.setattr(
        parquet.ParquetFile, "read", lambda self, columns=None: asked.append(columns) or real(self, columns=columns)
    )
    same(codec(Ages).decode(literal, blobs).open(DataFrame).all(), people()[["age"]])
    assert asked == [["age", "id"]]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (kwtypes(agee=int), "no column 'agee'"),
        (kwtypes(age=str), "int16, not str"),
        (kwtypes(age=float), "int16, not float"),
        (kwtypes(name=int), "not int"),
        (kwtypes(age=numpy.int64), "int16, not"),
        (kwtypes(born=dt.date), "not datetime.date"),
    ],
)
def test_a_missing_or_different_column_is_an_error_at_the_boundary(columns, says, blobs):
    for base in (StructuredDataset, DataFrame):
        declared = codec(Annotated[base, columns])
        for act in (declared.isolate, lambda value: declared.encode(value, blobs)):
            with pytest.raises(TypeTransformerFailedError) as caught:
                act(people())
            assert says in str(caught.value)
            assert next(iter(columns)) in (caught.value.place or "")
    for file_format in ("", PARQUET):
        stored = StructuredDataset(dataframe=people(), file_format=file_format)
        literal = codec(StructuredDataset).encode(stored, blobs)
        with pytest.raises(TypeTransformerFailedError, match="column"):
            codec(Annotated[StructuredDataset, columns]).decode(literal, blobs).open(DataFrame).all()


def test_a_type_that_no_column_has_is_refused_at_definition():
    with pytest.raises(DefinitionError, match=r"\['a'\]|no column"):
        codec(Annotated[StructuredDataset, kwtypes(a=StructuredDataset)])
    with pytest.raises(DefinitionError, match="one format"):
        codec(Annotated[StructuredDataset, PARQUET, CSV])


def test_annotations_work_inside_containers(round_trip):
    back = round_trip(dict[str, Annotated[DataFrame, kwtypes(age=int)]], {"a": people()})
    same(back["a"], people()[["age"]])
    back = codec(list[Annotated[DataFrame, kwtypes(age=int)]]).isolate([people()])
    same(back[0], people()[["age"]])


# --- places ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["people.parquet", "people.arrow", "folder"])
def test_a_dataset_with_a_uri_is_written_there(name, tmp_path, round_trip):
    uri = str(tmp_path / name)
    for back in both_ways(StructuredDataset, StructuredDataset(dataframe=people(), uri=uri), round_trip):
        assert back.uri is not None and back.uri.startswith(uri)
        same(back.open(DataFrame).all(), people())
        same(StructuredDataset(uri=uri).open(DataFrame).all(), people())
    assert not list(tmp_path.rglob(".*"))
    if name != "people.arrow":
        assert parquet.read_table(uri).num_rows == 3


def test_a_dataset_can_lie_wherever_fsspec_reaches(round_trip):
    fsspec = pytest.importorskip("fsspec")
    uri = "memory://datasets/people.parquet"
    same(round_trip(StructuredDataset, StructuredDataset(dataframe=people(), uri=uri)).open(DataFrame).all(), people())
    fsspec.filesystem("memory").pipe("/table/part-0.csv", b"a,b\n1,x\n")
    fsspec.filesystem("memory").pipe("/table/part-1.csv", b"a,b\n2,\n")
    for back in both_ways(StructuredDataset, StructuredDataset(uri="memory://table", file_format=CSV), round_trip):
        assert back.open(Table).all().to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
        assert [piece.num_rows for piece in back.open(Table).iter()] == [1, 1]


def test_a_reference_is_equal_while_its_content_is(tmp_path, blobs):
    place = tmp_path / "t.csv"
    place.write_text("a\n1\n")

    def literal() -> Literal:
        return codec(StructuredDataset).encode(StructuredDataset(uri=str(place)), blobs)

    first = literal()
    assert literal() == first
    place.write_text("a\n1\n2\n")
    assert literal().digest != first.digest
    assert not blobs.contents


def test_exports_of_equal_frames_are_equal_literals(tmp_path, blobs):
    uri = str(tmp_path / "t.parquet")
    one, other = (
        codec(StructuredDataset).encode(StructuredDataset(dataframe=people(), uri=uri), blobs) for _ in range(2)
    )
    assert one == other


@pytest.mark.parametrize("uri", ["nothing.parquet", "memory://nothing/here.csv", "nowhere://x/y.parquet"])
def test_a_place_with_nothing_is_an_error_that_names_it(uri, tmp_path, blobs):
    uri = uri if "://" in uri else str(tmp_path / uri)
    for act in (codec(StructuredDataset).isolate, lambda value: codec(StructuredDataset).encode(value, blobs)):
        with pytest.raises(TypeTransformerFailedError) as caught:
            act(StructuredDataset(uri=uri))
        assert uri in str(caught.value)
        assert caught.value.hint
    with pytest.raises(TypeTransformerFailedError):
        StructuredDataset(uri=uri).open(DataFrame).all()


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    for name in ("t.parquet", "t.arrow"):
        place = tmp_path / name
        place.write_bytes(b"no table")
        with pytest.raises(TypeTransformerFailedError, match=name):
            StructuredDataset(uri=str(place)).open(DataFrame).all()
        with pytest.raises(TypeTransformerFailedError, match=name):
            list(StructuredDataset(uri=str(place)).open(DataFrame).iter())


def test_a_failed_export_leaves_what_was_there(tmp_path, blobs):
    place = tmp_path / "t.csv"
    place.write_text("a\n1\n")
    nested = pyarrow.table({"a": [[1]]})
    with pytest.raises(TypeTransformerFailedError, match="csv"):
        codec(StructuredDataset).encode(StructuredDataset(dataframe=nested, uri=str(place)), blobs)
    assert place.read_text() == "a\n1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


# --- CSV ---------------------------------------------------------------------------------------------------------


def test_csv_is_read_by_the_declared_types(tmp_path, round_trip):
    place = tmp_path / "t.csv"
    place.write_text("code,weight,day,rest\n007,1,2020-01-02,x\n042,2.5,2021-01-02,y\n")
    declared = Annotated[StructuredDataset, kwtypes(code=str, weight=float, day=dt.date), CSV]
    for back in both_ways(declared, StructuredDataset(uri=str(place)), round_trip):
        assert back.open(Table).all().to_pylist() == [
            {"code": "007", "weight": 1.0, "day": dt.date(2020, 1, 2)},
            {"code": "042", "weight": 2.5, "day": dt.date(2021, 1, 2)},
        ]
    wrong = Annotated[StructuredDataset, kwtypes(rest=int)]
    with pytest.raises(TypeTransformerFailedError, match=r"t\.csv"):
        codec(wrong).isolate(StructuredDataset(uri=str(place))).open(DataFrame).all()
    missing = Annotated[StructuredDataset, kwtypes(other=int)]
    with pytest.raises(TypeTransformerFailedError, match="'other'"):
        codec(missing).isolate(StructuredDataset(uri=str(place))).open(DataFrame).all()


def test_csv_gives_the_same_in_both_kinds_of_call(round_trip):
    frame = DataFrame({"a": numpy.array([1, 2], dtype="int8"), "b": pandas.Categorical(["x", ""])})
    made = Annotated[StructuredDataset, CSV]
    direct, durable = both_ways(made, StructuredDataset(dataframe=frame), round_trip)
    same(direct.open(DataFrame).all(), durable.open(DataFrame).all())
    assert direct.open(DataFrame).all()["a"].tolist() == [1, 2]
    assert direct.open(Table).all().column("b").to_pylist() == ["x", ""]


def test_csv_that_we_wrote_is_read_as_what_was_written(round_trip, tmp_path):
    frame = DataFrame(
        {"code": ["007", "NA", None, ""], "n": numpy.array([1, 2, 3, 4], dtype="int8"), "f": [1.0, 2, 3, 4]}
    )
    for made in (
        StructuredDataset(dataframe=frame, file_format=CSV),
        StructuredDataset(dataframe=frame, uri=str(tmp_path / "t.csv")),
    ):
        for back in both_ways(StructuredDataset, made, round_trip):
            same(back.open(DataFrame).all(), frame)
            same(pandas.concat(back.open(DataFrame).iter()), frame)


# --- inside other values -----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Split:
    train: StructuredDataset
    test: StructuredDataset | None
    frames: list[DataFrame]


class Report(BaseModel):
    data: StructuredDataset
    name: str


def test_datasets_nest(round_trip):
    value = Split(StructuredDataset(dataframe=people()), None, [people()])
    for back in both_ways(Split, value, round_trip):
        same(back.train.open(DataFrame).all(), people())
        same(back.frames[0], people())
        assert back.test is None
    for back in both_ways(Report, Report(data=StructuredDataset(dataframe=people()), name="r"), round_trip):
        same(back.data.open(DataFrame).all(), people())
    for back in both_ways(list[StructuredDataset | int], [StructuredDataset(dataframe=people()), 3], round_trip):
        same(back[0].open(DataFrame).all(), people())
        assert back[1] == 3


def test_a_pydantic_model_takes_a_dataset_by_its_place_too(tmp_path):
    uri = str(tmp_path / "t.parquet")
    people().to_parquet(uri)
    report = Report.model_validate_json(json.dumps({"data": {"uri": uri}, "name": "r"}))
    same(report.data.open(DataFrame).all(), people())
    assert Report.model_validate_json(report.model_dump_json()).data.uri == uri
    assert Report(data=people(), name="r").data.dataframe is not None
    for wrong in (3, {"url": uri}, {"uri": 3}):
        with pytest.raises(ValueError, match="StructuredDataset"):
            Report(data=wrong, name="r")
    with pytest.raises(ValueError, match="uri"):
        Report(data=people(), name="r").model_dump_json()


def test_a_dataset_is_passed_on_without_a_copy(blobs):
    literal = codec(StructuredDataset).encode(people(), blobs)
    received = codec(StructuredDataset).decode(literal, blobs)
    assert codec(StructuredDataset).encode(received, blobs) == literal
    assert len(blobs.contents) == 1
    narrower = codec(Ages).encode(received, blobs)
    same(codec(DataFrame).decode(narrower, blobs), people()[["age"]])


# --- tasks -------------------------------------------------------------------------------------------------------


@task
def make() -> DataFrame:
    return people()


@task
def wrap(frame: DataFrame) -> StructuredDataset:
    return StructuredDataset(dataframe=frame)


@task
def count(data: StructuredDataset) -> int:
    return len(data.open(DataFrame).all())


@task
def ages(frame: Annotated[DataFrame, kwtypes(age=int)]) -> list[str]:
    frame["more"] = 1
    return list(frame)


@workflow
def all_ways() -> tuple[int, int, list[str]]:
    frame = make()
    data = wrap(frame=frame)
    return count(data=data), count(data=frame), ages(frame=data)


def test_frames_and_datasets_fit_each_other_in_a_workflow():
    assert all_ways() == (3, 3, ["age", "more"])


def test_a_dataset_does_not_fit_a_number():
    @task
    def number(x: int) -> int:
        return x

    @workflow
    def wrong() -> int:
        return number(x=make())

    with pytest.raises(CompileError, match="dataframe"):
        wrong()


def test_a_task_never_sees_the_changes_of_another():
    frame = people()
    data = codec(StructuredDataset).isolate(StructuredDataset(dataframe=frame))
    frame.loc[7, "age"] = 0
    seen = data.open(DataFrame).all()
    seen.loc[3, "age"] = 0
    assert data.open(DataFrame).all()["age"].tolist() == [36, 41, 85]


# --- misuse ------------------------------------------------------------------------------------------------------


def test_misuse_is_an_error_that_says_what_to_do(blobs):
    with pytest.raises(TypeTransformerFailedError, match="empty"):
        codec(StructuredDataset).encode(StructuredDataset(), blobs)
    with pytest.raises(TypeTransformerFailedError, match="nobody reads tables as int"):
        StructuredDataset(dataframe=people()).open(int).all()
    with pytest.raises(TypeTransformerFailedError, match="class of frames"):
        StructuredDataset(dataframe=people()).open("pandas")
    with pytest.raises(TypeTransformerFailedError, match="'xlsx'"):
        codec(StructuredDataset).encode(StructuredDataset(dataframe=people(), file_format="xlsx"), blobs)
    with pytest.raises(TypeTransformerFailedError, match="'xlsx'"):
        codec(StructuredDataset).isolate(StructuredDataset(dataframe=people(), file_format="xlsx"))
    with pytest.raises(TypeTransformerFailedError):
        codec(StructuredDataset).isolate([1, 2])
    with pytest.raises(UsageError, match="uri="):
        StructuredDataset("s3://bucket/table")
    assert StructuredDataset(uri=Path("a") / "b").uri == "a/b"
    assert StructuredDataset.columns() == {} and StructuredDataset.column_names() == []


def test_the_summary_is_plain_data(blobs):
    for value in (
        StructuredDataset(dataframe=people()),
        codec(StructuredDataset).decode(codec(DataFrame).encode(people(), blobs), blobs),
    ):
        facts = json.loads(json.dumps(codec(StructuredDataset).summary(value)))
        assert facts["rows"] == 3
