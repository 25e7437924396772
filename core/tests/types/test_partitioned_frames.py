"""A frame whose folders say some of its columns comes back with them, whatever it is opened as."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from flytepath import StructuredDataset, kwtypes
from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.store.blobs import BlobFolder
from flytepath.types.engine import codec


def written(folder: Path, table: pa.Table, *columns: str) -> str:
    pyarrow.dataset.write_dataset(
        table,
        folder,
        format="parquet",
        partitioning=list(columns),
        partitioning_flavor="hive",
        basename_template="p{i}.parquet",
        existing_data_behavior="overwrite_or_ignore",
    )
    (folder / "_SUCCESS").touch()
    return str(folder)


@pytest.fixture
def visits(tmp_path: Path) -> str:
    table = pa.table({"day": [1, 2, 2], "city": ["Rome", "Rome", "a/b c"], "visits": [10, 20, 30]})
    return written(tmp_path / "visits", table, "day", "city")


def rows(frame: Any) -> list[tuple[Any, ...]]:
    return sorted(frame[["day", "city", "visits"]].itertuples(index=False, name=None))


ROWS = [(1, "Rome", 10), (2, "Rome", 20), (2, "a/b c", 30)]


def test_the_columns_of_the_folders_are_there(visits: str) -> None:
    frame = StructuredDataset(uri=visits).open(pd.DataFrame).all()
    assert rows(frame) == ROWS
    assert str(frame["day"].dtype) == "int64"


def test_other_libraries_see_them_too(visits: str) -> None:
    dataset = StructuredDataset(uri=visits)
    assert sorted(dataset.open(pl.DataFrame).all().select("day", "city", "visits").rows()) == ROWS
    assert rows(dataset.open(pa.Table).all().to_pandas()) == ROWS


def test_pieces_have_them(visits: str) -> None:
    assert rows(pd.concat(StructuredDataset(uri=visits).open(pd.DataFrame).iter())) == ROWS


def test_a_file_uri_with_an_escape_is_the_same_folder(tmp_path: Path) -> None:
    uri = Path(written(tmp_path / "a b=c" / "visits", pa.table({"day": [7], "v": [1]}), "day")).as_uri()
    frame = StructuredDataset(uri=uri).open(pd.DataFrame).all()
    assert frame.to_dict("list") == {"v": [1], "day": [7]}


def test_declared_columns_may_be_those_of_folders(visits: str, tmp_path: Path) -> None:
    chosen = codec(Annotated[StructuredDataset, kwtypes(city=str, visits=int)])
    blobs = BlobFolder(tmp_path / "blobs", "p", "d")
    dataset = chosen.decode(chosen.encode(StructuredDataset(uri=visits), blobs), blobs)
    frame = dataset.open(pd.DataFrame).all()
    assert list(frame.columns) == ["city", "visits"]
    assert sorted(frame["city"]) == ["Rome", "Rome", "a/b c"]
    only = codec(Annotated[pd.DataFrame, kwtypes(day=int)])
    assert sorted(only.decode(codec(StructuredDataset).encode(StructuredDataset(uri=visits), blobs), blobs)["day"]) == [
        1,
        2,
        2,
    ]


def test_numbers_with_zeros_before_them_stay_texts(tmp_path: Path) -> None:
    uri = written(tmp_path / "codes", pa.table({"code": ["01", "2"], "v": [1, 2]}), "code")
    assert sorted(StructuredDataset(uri=uri).open(pd.DataFrame).all()["code"]) == ["01", "2"]


def test_a_missing_value_is_missing(tmp_path: Path) -> None:
    uri = written(tmp_path / "gaps", pa.table({"day": [1, None], "v": [1, 2]}), "day")
    found = StructuredDataset(uri=uri).open(pa.Table).all().sort_by("v")
    assert found["day"].to_pylist() == [1, None]


def test_the_type_that_was_noted_is_the_type(tmp_path: Path) -> None:
    uri = written(tmp_path / "codes", pa.table({"code": ["1", "2"], "v": [1, 2]}), "code")
    noted = Literal.make(LiteralType("dataframe"), {"uri": uri, "partitions": [["code", "string"]]}, format="parquet")
    blobs = BlobFolder(tmp_path / "blobs", "p", "d")
    assert sorted(codec(pd.DataFrame).decode(noted, blobs)["code"]) == ["1", "2"]


def test_folders_of_different_columns_are_no_frame(tmp_path: Path) -> None:
    uri = written(tmp_path / "odd", pa.table({"day": [1], "v": [1]}), "day")
    written(tmp_path / "odd", pa.table({"hour": [1], "v": [1]}), "hour")
    with pytest.raises(TypeTransformerFailedError, match="different columns"):
        StructuredDataset(uri=uri).open(pd.DataFrame).all()
