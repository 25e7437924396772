"""Tables at ``snowflake://``: what is written comes back, whatever its type, its way and its library."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flyte_plugin_snowflake.datasets_types import columns_of
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from flytepath import StructuredDataset, kwtypes, task
from flytepath.plugin import FlytePathError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snowflake_dataset_asking import Ask, asking

TABLE = "snowflake://ETL@acme-eu/SALES/PUBLIC/orders"


@pytest.fixture(autouse=True)
def at_the_double(snowflake_home: Path, account: Account) -> Account:
    return account


@pytest.fixture
def asked(snowflake_service: SnowflakeService, account: Account) -> Iterator[Ask]:
    """Asks the service by itself; there are no tables yet."""
    with asking(snowflake_service) as ask:
        yield ask


@task
def kept(data: StructuredDataset, uri: str, into: str) -> StructuredDataset:
    kind = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table}[into]
    return StructuredDataset(dataframe=data.open(kind).all(), uri=uri)


@task
def read(data: StructuredDataset) -> pa.Table:
    return data.open(pa.Table).all()


def round_trip(table: pa.Table, uri: str = TABLE, into: str = "arrow") -> pa.Table:
    return read(data=kept(data=StructuredDataset(dataframe=table), uri=uri, into=into))


EVERY = pa.table(
    {
        "small": pa.array([1, None, -128], pa.int8()),
        "whole": pa.array([2**62, None, -(2**63)], pa.int64()),
        "huge": pa.array([2**64 - 1, 0, None], pa.uint64()),
        "real": pa.array([0.1, None, -1e300], pa.float64()),
        "single": pa.array([0.1, None, 2.0], pa.float32()),
        "money": pa.array([Decimal("1.50"), Decimal("-99999999.99"), None], pa.decimal128(10, 2)),
        "yes": pa.array([True, None, False]),
        "text": pa.array(['it\'s \\ "{{ .inputs.x }}" -- ü🙂', "", None]),
        "raw": pa.array([b"\x00\xff'", b"", None], pa.binary()),
        "day": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        "clock": pa.array([dt.time(23, 59, 59, 999999), dt.time(0), None], pa.time64("us")),
        "moment": pa.array(
            [dt.datetime(2026, 3, 29, 2, 30, 0, 123456), None, dt.datetime(1, 1, 1)], pa.timestamp("us")
        ),
        "fine": pa.array([1_700_000_000_123_456_000, None, -1000], pa.timestamp("ns")),
        "zoned": pa.array(
            [dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC), None, None], pa.timestamp("us", "Europe/Berlin")
        ),
        "kind": pa.array(["a", None, "a"]).dictionary_encode(),
        "things": pa.array([[1, None], [], None], pa.list_(pa.int64())),
        "thing": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
        'Odd name; "x"\'': pa.array([1, 2, 3]),
        "nothing": pa.nulls(3),
    }
)


@pytest.mark.parametrize("way", ["stage", "batches"])
def test_every_type_comes_back_as_it_was(asked: Ask, way: str) -> None:
    back = round_trip(EVERY, f"{TABLE}?write={way}")
    for name in EVERY.column_names:
        assert back.column(name).to_pylist() == EVERY.column(name).to_pylist(), name
        assert back.schema.field(name).type == EVERY.schema.field(name).type, name
    assert back.column_names == EVERY.column_names


@pytest.mark.parametrize("way", ["stage", "batches"])
@pytest.mark.parametrize("into", ["pandas", "polars", "arrow"])
def test_each_library_writes_and_reads(asked: Ask, into: str, way: str) -> None:
    table = pa.table(
        {"n": [1, 2], "word": ["a", None], "at": pa.array([dt.datetime(2026, 1, 1)] * 2, pa.timestamp("us"))}
    )
    back = round_trip(table, f"{TABLE}?write={way}", into)
    assert back.to_pylist() == table.to_pylist()
    assert asked('select "n", "word" from ORDERS order by "n"') == [(1, "a"), (2, None)]


@pytest.mark.parametrize("way", ["stage", "batches"])
def test_a_frame_without_rows_makes_a_table_with_columns(asked: Ask, way: str) -> None:
    back = round_trip(EVERY.slice(0, 0), f"{TABLE}?write={way}")
    assert back.num_rows == 0
    assert [str(kind) for kind in back.schema.types] == [str(kind) for kind in EVERY.schema.types]
    assert asked("select count(*) from ORDERS") == [(0,)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=20),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.binary(max_size=8),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=4,
    ),
    way=st.sampled_from(["stage", "batches"]),
)
def test_any_value_is_only_a_value(asked: Ask, rows: list[tuple[Any, ...]], way: str) -> None:
    kinds = [pa.string(), pa.int64(), pa.binary(), pa.float64()]
    columns = list(zip(*rows, strict=True)) or [()] * 4
    table = pa.table({name: pa.array(list(c), k) for name, c, k in zip("abcd", columns, kinds, strict=True)})
    assert round_trip(table, f"{TABLE}?write={way}&mode=replace").equals(table)


def test_floats_that_are_no_numbers_stay_what_they_are(asked: Ask) -> None:
    for way in ("stage", "batches"):
        table = pa.table({"x": [float("inf"), float("-inf"), None]})
        assert round_trip(table, f"{TABLE}?write={way}&mode=replace").equals(table)


def test_a_table_of_others_is_read_with_types_that_stay_the_same(asked: Ask, account: Account) -> None:
    asked("create table KINDS (n integer, price number(10, 2), big number(38, 0), seen timestamp_ntz(9), v variant)")
    asked(
        "insert into KINDS select column1, column2, column3, column4, parse_json(column5) from values "
        "(1, 1.5, 300, '2026-01-01 00:00:00', '{\"a\": 1}'), (70000, 2.25, 9223372036854775807, null, null)"
    )
    account.chunk_rows = 1
    table = read(data=StructuredDataset(uri="snowflake:///kinds"))
    assert [str(kind) for kind in table.schema.types[:3]] == ["int64", "decimal128(10, 2)", "int64"]
    assert table.column("PRICE").to_pylist() == [Decimal("1.50"), Decimal("2.25")]
    assert table.column("N").to_pylist() == [1, 70000]
    wide = read(data=StructuredDataset(uri="snowflake:///kinds?integers=decimal"))
    assert wide.column("BIG").to_pylist() == [Decimal(300), Decimal(2**63 - 1)]


def test_only_declared_columns_are_asked_for(asked: Ask, account: Account) -> None:
    @task
    def few(data: Annotated[StructuredDataset, kwtypes(B=str, a=int)]) -> pd.DataFrame:
        return data.open(pd.DataFrame).all()

    # Whoever asks for the third column has it computed, which fails.
    asked("create view WIDE as select 1 as a, 'x' as b, cast(concat('no', ' number') as integer) as c")
    with pytest.raises(FlytePathError, match="no number"):
        read(data=StructuredDataset(uri="snowflake:///wide"))
    frame = few(data=StructuredDataset(uri="snowflake:///wide"))
    assert frame.to_dict("list") == {"B": ["x"], "a": [1]}

    @task
    def missing(data: Annotated[StructuredDataset, kwtypes(z=int)]) -> int:
        return len(data.open(pd.DataFrame).all())

    with pytest.raises(FlytePathError, match="no column 'z'") as caught:
        missing(data=StructuredDataset(uri="snowflake:///wide"))
    assert "A, B, C" in str(caught.value)


def test_a_frame_as_the_type_of_an_input_is_read_from_a_table_too(asked: Ask) -> None:
    @task
    def total(frame: pd.DataFrame, few: Annotated[pl.DataFrame, kwtypes(n=int)]) -> int:
        assert few.columns == ["n"]
        return int(frame["N"].sum()) + few["n"].sum()

    asked("create table SUMS (n integer, m integer)")
    asked("insert into SUMS values (1, 0), (2, 0)")
    there = StructuredDataset(uri="snowflake:///sums")
    assert total(frame=there, few=there) == 6


def test_rows_are_read_as_they_are_asked_for(asked: Ask, account: Account) -> None:
    """What is in memory is what the connector has fetched ahead, whatever the table holds."""
    rows, ahead = 4_000, 40

    @task
    def first(data: StructuredDataset) -> int:
        pieces = data.open(pd.DataFrame).iter()
        begun = len(next(pieces))
        fetched = len(account.chunks_given)
        assert fetched < rows / 100 / 2, fetched
        return begun + sum(len(piece) for piece in pieces)

    kept(data=StructuredDataset(dataframe=pa.table({"n": range(rows)})), uri=TABLE, into="arrow")
    account.chunk_rows = 100
    assert first(data=StructuredDataset(uri=TABLE)) == rows
    assert len(account.chunks_given) < ahead + 1


def test_a_large_frame_travels_in_several_files_and_statements(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from flyte_plugin_snowflake import datasets_writing

    for name in ("FILE_ROWS", "BATCH_VALUES", "FEW_ROWS"):
        monkeypatch.setattr(datasets_writing, name, 100)
    table = pa.table({"n": range(250), "m": [str(n) for n in range(250)]})
    for way in ("stage", "batches", "auto"):
        round_trip(table, f"{TABLE}?write={way}")
        assert asked('select count(*), count(distinct "n"), sum("n") from ORDERS') == [(250, 250, 31125)]


def test_the_index_of_pandas_is_written_where_it_has_a_name(asked: Ask) -> None:
    named = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["x", "y"], name="key"))
    loose = pd.DataFrame({"n": [1, 2, 3]})[lambda frame: frame["n"] > 1]
    kept(data=StructuredDataset(dataframe=named), uri=TABLE, into="pandas")
    assert asked('select "key", "n" from ORDERS order by 1') == [("x", 1), ("y", 2)]
    kept(data=StructuredDataset(dataframe=loose), uri=f"{TABLE}?mode=replace", into="pandas")
    assert asked("select * from ORDERS order by 1") == [(2,), (3,)]


def test_no_digit_of_a_time_is_left_behind() -> None:
    """The double keeps microseconds only, so this is seen on the way."""
    moments = pa.chunked_array([pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "Europe/Berlin"))])
    clocks = pa.chunked_array([pa.array([3_723_000_000_001, None], pa.time64("ns"))])
    moment, clock = columns_of(pa.schema([("m", moments.type), ("c", clocks.type)]), "T")
    assert moment.travelling(moments).to_pylist() == ["2023-11-14 22:13:20.123456789+00:00", None]
    assert (moment.final, clock.final) == ("TIMESTAMP_TZ(9)", "TIME(9)")
    assert clock.travelling(clocks).to_pylist() == ["01:02:03.000000001", None]


def test_what_snowflake_has_no_like_of_is_refused_before_anything_is_sent(account: Account) -> None:
    for kind in (pa.duration("s"), pa.decimal256(60, 2), pa.decimal128(5, -2)):
        with pytest.raises(FlytePathError) as caught:
            kept(data=StructuredDataset(dataframe=pa.table({"x": pa.nulls(1, kind)})), uri=TABLE, into="arrow")
        assert "'x'" in str(caught.value) and caught.value.hint
    assert not account.logins
