"""Frames of Spark between tasks: exact, by reference, and the same to every library."""

from __future__ import annotations

import datetime as dt
import decimal
import shutil
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyspark.pandas as ps
import pytest
from flyte_plugin_spark import Spark, SparkJobError, partitioned_by
from flytepath import StructuredDataset, current_context, kwtypes, task, workflow
from flytepath.plugin import TypeTransformerFailedError
from flytepath.store.blobs import BlobFolder
from flytepath.types.engine import codec
from flytepath.types.structured_dataset import CSV, PARQUET
from pyspark.sql import DataFrame, Row
from pyspark.sql import types as T

pytestmark = pytest.mark.filterwarnings("ignore::pyspark.pandas.utils.PandasAPIOnSparkAdviceWarning")

UTC = dt.UTC
SCHEMA = T.StructType(
    [
        T.StructField("id", T.LongType()),
        T.StructField("small", T.ByteType()),
        T.StructField("name", T.StringType()),
        T.StructField("price", T.DecimalType(12, 3)),
        T.StructField("at", T.TimestampType()),
        T.StructField("local", T.TimestampNTZType()),
        T.StructField("day", T.DateType()),
        T.StructField("bytes", T.BinaryType()),
        T.StructField("flag", T.BooleanType()),
        T.StructField("ratio", T.DoubleType()),
        T.StructField("tags", T.ArrayType(T.StringType())),
        T.StructField("point", T.StructType([T.StructField("x", T.IntegerType()), T.StructField("y", T.FloatType())])),
        T.StructField("counts", T.MapType(T.StringType(), T.LongType())),
        T.StructField("a name. with `marks`", T.IntegerType()),
    ]
)
MOMENT = dt.datetime(2024, 2, 29, 12, 30, 0, 123456)
FULL = (
    2**62,
    -128,
    "Ünïcode\n'\"",
    decimal.Decimal("123456789.125"),
    MOMENT.replace(tzinfo=UTC),
    MOMENT,
    dt.date(1500, 1, 1),
    b"\x00\xff",
    True,
    0.1,
    ["a", None],
    (1, 2.5),
    {"k": 1, "none": None},
    7,
)
ROWS = [FULL, (None,) * len(FULL)]


@pytest.fixture
def frame(spark: Any) -> Any:
    return spark.createDataFrame(ROWS, SCHEMA)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs", "p", "d")


def through(value: Any, written: Any, read: Any, blobs: BlobFolder) -> Any:
    """The value as another task gets it."""
    return codec(read).decode(codec(written).encode(value, blobs), blobs)


def test_every_type_comes_back(frame: Any, blobs: BlobFolder) -> None:
    found = through(frame, DataFrame, DataFrame, blobs)
    assert found.schema == frame.schema
    assert sorted(found.collect(), key=str) == sorted(frame.collect(), key=str)


def test_arrow_sees_the_same(frame: Any, blobs: BlobFolder) -> None:
    table = through(frame, DataFrame, pa.Table, blobs)
    types = {field.name: str(field.type) for field in table.schema}
    assert types["at"] == "timestamp[us, tz=UTC]"
    assert types["local"] == "timestamp[us]"
    assert types["price"] == "decimal128(12, 3)"
    row = next(row for row in table.to_pylist() if row["id"] is not None)
    assert (row["id"], row["name"]) == (FULL[0], FULL[2])
    assert row["price"] == FULL[3]
    assert row["at"] == FULL[4]
    assert row["local"] == MOMENT
    assert row["day"] == dt.date(1500, 1, 1)
    assert row["point"] == {"x": 1, "y": 2.5}
    assert dict(row["counts"]) == {"k": 1, "none": None}


@pytest.mark.parametrize("reading", [pd.DataFrame, pl.DataFrame, pa.Table])
def test_what_spark_writes_others_read(spark: Any, blobs: BlobFolder, reading: type) -> None:
    found = through(spark.range(5).withColumnRenamed("id", "n"), DataFrame, reading, blobs)
    assert sorted(found["n"].to_pylist() if reading is pa.Table else found["n"].to_list()) == [0, 1, 2, 3, 4]


def test_what_others_write_spark_reads(spark: Any, blobs: BlobFolder) -> None:
    moment = pd.Timestamp("2024-01-01 10:00", tz="Europe/Rome")
    given = pd.DataFrame(
        {
            "n": [1, 2],
            "text": ["a", None],
            "kind": pd.Categorical(["x", "y"]),
            "at": [moment, pd.NaT],
            "wide": pd.array([2**64 - 1, 1], dtype="uint64"),
            "bytes": [b"1", b"2"],
        }
    )
    found = through(given, pd.DataFrame, DataFrame, blobs)
    assert {field.name: field.dataType.simpleString() for field in found.schema} == {
        "n": "bigint",
        "text": "string",
        "kind": "string",
        "at": "timestamp",
        "wide": "decimal(20,0)",
        "bytes": "binary",
    }
    first = found.orderBy("n").first()
    assert first.wide == 2**64 - 1
    assert (first.text, first.kind) == ("a", "x")
    assert found.selectExpr("unix_micros(at) as at").first().at == moment.value // 1000
    polars = through(pl.DataFrame({"l": [[1, 2], []], "s": [{"a": 1}, None]}), pl.DataFrame, DataFrame, blobs)
    assert polars.schema.simpleString() == "struct<l:array<bigint>,s:struct<a:bigint>>"
    assert polars.count() == 2


def test_an_index_without_a_name_is_no_column(spark: Any, blobs: BlobFolder) -> None:
    given = pd.DataFrame({"n": [1, 2]}, index=["i", "j"])
    assert through(given, pd.DataFrame, DataFrame, blobs).columns == ["n"]
    named = given.rename_axis("key")
    assert sorted(through(named, pd.DataFrame, DataFrame, blobs).columns) == ["key", "n"]


def test_what_spark_cannot_hold_is_refused(spark: Any, blobs: BlobFolder) -> None:
    finer = pd.DataFrame({"at": [pd.Timestamp(1)]})
    with pytest.raises(TypeTransformerFailedError, match="'at' would change"):
        through(finer, pd.DataFrame, DataFrame, blobs)
    with pytest.raises(TypeTransformerFailedError, match="no type for the column 't'"):
        through(pd.DataFrame({"t": [dt.time(1, 2)]}), pd.DataFrame, DataFrame, blobs)


def test_an_empty_frame_keeps_its_columns(spark: Any, blobs: BlobFolder) -> None:
    empty = spark.createDataFrame([], "a long, b string")
    assert through(empty, DataFrame, DataFrame, blobs).schema == empty.schema
    assert list(through(empty, DataFrame, pd.DataFrame, blobs).columns) == ["a", "b"]
    assert through(pd.DataFrame({"a": pd.Series([], dtype="int64")}), pd.DataFrame, DataFrame, blobs).count() == 0


def test_only_declared_columns_are_read(frame: Any, blobs: BlobFolder) -> None:
    few = Annotated[DataFrame, kwtypes(name=str, id=int)]
    found = through(frame, DataFrame, few, blobs)
    assert found.columns == ["name", "id"]
    plan = found._jdf.queryExecution().executedPlan().toString()
    assert "ReadSchema: struct<id:bigint,name:string>" in plan
    odd = Annotated[DataFrame, kwtypes(**{"a name. with `marks`": int})]
    assert through(frame, DataFrame, odd, blobs).first()[0] in (7, None)


def test_only_declared_columns_are_written(spark: Any, blobs: BlobFolder) -> None:
    given = spark.createDataFrame([Row(a=1, b=2, c=3)])
    few = Annotated[DataFrame, kwtypes(c=int, a=int)]
    literal = codec(few).encode(partitioned_by(given, "c", "b"), blobs)
    assert [name for name, _ in literal.data["schema"]] == ["c", "a"]
    assert literal.data["partitions"] == [["c", "int64"]]
    assert codec(pd.DataFrame).decode(literal, blobs).to_dict("list") == {"a": [1], "c": [3]}
    with pytest.raises(TypeTransformerFailedError, match="no column 'nope'"):
        codec(Annotated[DataFrame, kwtypes(nope=int)]).encode(given, blobs)


def test_a_missing_column_is_named(spark: Any, blobs: BlobFolder) -> None:
    with pytest.raises(TypeTransformerFailedError, match="no column 'nope'"):
        through(spark.range(1), DataFrame, Annotated[DataFrame, kwtypes(nope=int)], blobs)


def test_partitions_are_folders_and_come_back(spark: Any, blobs: BlobFolder) -> None:
    given = spark.createDataFrame([Row(code="01", day=dt.date(2024, 1, 1), n=1), Row(code="2", day=None, n=2)])
    literal = codec(DataFrame).encode(partitioned_by(given, "code", "day"), blobs)
    folders = {
        path.parent.relative_to(literal.data["uri"]).as_posix() for path in Path(literal.data["uri"]).rglob("*.parquet")
    }
    assert folders == {"code=01/day=2024-01-01", "code=2/day=__HIVE_DEFAULT_PARTITION__"}
    found = codec(DataFrame).decode(literal, blobs)
    assert {field.name: field.dataType.simpleString() for field in found.schema} == {
        "n": "bigint",
        "code": "string",
        "day": "date",
    }
    assert sorted(found.select("code", "day", "n").collect()) == sorted(given.select("code", "day", "n").collect())
    plan = found.where("code = '2'")._jdf.queryExecution().executedPlan().toString()
    assert "PartitionFilters: [isnotnull(code" in plan
    pandas = codec(pd.DataFrame).decode(literal, blobs).sort_values("n")
    assert pandas["code"].tolist() == ["01", "2"]
    assert pandas["day"].tolist() == [dt.date(2024, 1, 1), None]


def test_no_two_frames_are_written_to_one_folder(spark: Any, blobs: BlobFolder) -> None:
    frame = spark.range(1)
    one, other = (codec(DataFrame).encode(frame, blobs).data["uri"] for _ in range(2))
    assert one != other


def test_partitions_need_columns_of_the_frame(spark: Any) -> None:
    for columns in ((), ("nope",), ("id",)):
        with pytest.raises(TypeTransformerFailedError):
            partitioned_by(spark.range(1), *columns)


def test_pandas_on_spark_keeps_its_index(spark: Any, blobs: BlobFolder) -> None:
    given = ps.DataFrame({"n": [1, 2, 3], "t": ["a", "b", "c"]})
    for one in (given, given[given.n > 1], given.set_index("t"), given.set_index(["t", "n"], append=True)):
        found = through(one, ps.DataFrame, ps.DataFrame, blobs)
        pd.testing.assert_frame_equal(found.to_pandas().sort_index(), one.to_pandas().sort_index())
    few = through(given.set_index("t"), ps.DataFrame, Annotated[ps.DataFrame, kwtypes(n=int)], blobs)
    assert few.to_pandas()["n"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert through(given, ps.DataFrame, DataFrame, blobs).columns == ["n", "t"]
    pandas = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["i", "j"]))
    pd.testing.assert_frame_equal(through(pandas, pd.DataFrame, ps.DataFrame, blobs).to_pandas(), pandas)


def test_a_dataset_opens_as_any_frame(spark: Any, blobs: BlobFolder, tmp_path: Path) -> None:
    named = StructuredDataset(dataframe=spark.range(3), uri=str(tmp_path / "out" / "table"))
    found = through(named, StructuredDataset, StructuredDataset, blobs)
    assert found.uri == str(tmp_path / "out" / "table")
    assert found.open(DataFrame).all().count() == 3
    assert len(found.open(pd.DataFrame).all()) == 3
    assert sum(len(piece) for piece in found.open(pl.DataFrame).iter()) == 3
    again = StructuredDataset(dataframe=spark.range(4), uri=str(tmp_path / "out" / "table"))
    second = codec(StructuredDataset).encode(again, blobs)
    assert second.digest != found.literal.digest
    assert codec(DataFrame).decode(second, blobs).count() == 4


def test_a_table_that_lies_somewhere_is_read_in_place(spark: Any, blobs: BlobFolder, tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2], "t": ['x,"y"', None]}).to_csv(tmp_path / "t.csv", index=False)
    found = through(StructuredDataset(uri=tmp_path / "t.csv"), StructuredDataset, DataFrame, blobs)
    assert found.schema.simpleString() == "struct<a:int,t:string>"
    assert found.first().t == 'x,"y"'
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a b%20c.parquet")
    odd = through(StructuredDataset(uri=tmp_path / "a b%20c.parquet"), StructuredDataset, DataFrame, blobs)
    assert odd.count() == 1


def test_csv_is_written_where_it_is_asked_for(spark: Any, blobs: BlobFolder) -> None:
    given = StructuredDataset(dataframe=spark.createDataFrame([(1, 'a "b", c')], "n int, t string"), file_format=CSV)
    literal = codec(StructuredDataset).encode(given, blobs)
    assert literal.format == CSV
    assert codec(pd.DataFrame).decode(literal, blobs)["t"].tolist() == ['a "b", c']
    parquet = StructuredDataset(dataframe=spark.range(1), file_format=PARQUET)
    assert codec(StructuredDataset).encode(parquet, blobs).format == PARQUET
    with pytest.raises(TypeTransformerFailedError, match="no encoder"):
        codec(StructuredDataset).encode(StructuredDataset(dataframe=spark.range(1), file_format="orc"), blobs)


def test_what_cannot_be_read_says_why(spark: Any, blobs: BlobFolder, tmp_path: Path) -> None:
    literal = codec(DataFrame).encode(spark.range(1), blobs)
    shutil.rmtree(literal.data["uri"])
    with pytest.raises(SparkJobError, match="Path does not exist") as caught:
        codec(DataFrame).decode(literal, blobs)
    assert len(str(caught.value).splitlines()) < 8
    assert "PATH_NOT_FOUND" in str(caught.value.actual)


def test_a_direct_call_hands_frames_over(spark: Any) -> None:
    @task
    def pandas_frame() -> pd.DataFrame:
        return pd.DataFrame({"a": [1, 2, 3]})

    @task(task_config=Spark())
    def doubled(frame: DataFrame) -> DataFrame:
        session = current_context().spark_session
        assert session is frame.sparkSession
        return frame.selectExpr("a * 2 as a")

    @task
    def total(frame: pd.DataFrame) -> int:
        return int(frame["a"].sum())

    @workflow
    def flow() -> int:
        return total(frame=doubled(frame=pandas_frame()))

    assert flow() == 12
    assert spark.range(1).count() == 1  # the session was not the task's to stop
