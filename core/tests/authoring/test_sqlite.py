"""SQLite tasks: a database in a file, near, far, packed or given, asked read-only."""

from __future__ import annotations

import datetime as dt
import gzip
import sqlite3
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from flytepath import kwtypes, task, workflow
from flytepath.authoring.call import task_type_name
from flytepath.authoring.kinds.sqlite import QueryFailedError, SQLite3Config, SQLite3Task, frame_of
from flytepath.errors import DefinitionError, InputError, TypeTransformerFailedError
from flytepath.plugin import Identifier
from flytepath.types.files import FlyteFile
from flytepath.types.structured_dataset import StructuredDataset
from flytepath.types.transfers import MissingFileError


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    """A database of five tracks, in a path that a URI would have to quote."""
    path = tmp_path / "a db?#%.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "create table tracks(id integer, name text, price real, added text);"
            "insert into tracks values (1, 'One', 0.5, '2024-01-01'), (2, 'Two', 1.5, '2024-02-29'),"
            "(3, 'it''s', 2.5, '2024-03-01'), (4, null, null, null), (5, 'Five', 4.5, '2025-01-01');"
        )
    return path


def names(uri: Any, inputs: dict[str, Any] | None = None, where: str = "1", **arguments: Any) -> SQLite3Task:
    compressed = arguments.pop("compressed", False)
    return SQLite3Task(
        name="names",
        query_template=f"select id, name from tracks where {where} order by id",
        inputs=inputs,
        task_config=SQLite3Config(uri=uri, compressed=compressed),
        output_schema_type=arguments.pop("output_schema_type", pd.DataFrame),
        **arguments,
    )


def test_a_query_with_inputs_gives_a_frame(tracks: Path) -> None:
    asked = names(str(tracks), kwtypes(least=int, name=str), "id >= {{ .inputs.least }} and name <> {{ .inputs.name }}")
    frame = asked(least=2, name="Two")
    assert frame.to_dict("list") == {"id": [3, 5], "name": ["it's", "Five"]}
    assert asked(least=2, name="' or 1=1 --")["id"].tolist() == [2, 3, 5]
    assert asked(least=9, name="")["id"].tolist() == []


def test_the_kinds_of_results(tracks: Path) -> None:
    query = "select id, name, price from tracks where id > {{ .inputs.least }}"

    def asked(kind: Any) -> Any:
        return SQLite3Task("kinds", query, kwtypes(least=int), SQLite3Config(str(tracks)), kind)(least=3)

    dataset = asked(None)
    assert isinstance(dataset, StructuredDataset)
    assert dataset.open(pd.DataFrame).all()["id"].tolist() == [4, 5]
    assert asked(pa.Table).to_pydict() == {"id": [4, 5], "name": [None, "Five"], "price": [None, 4.5]}
    assert asked(Annotated[pd.DataFrame, kwtypes(id=int)]).columns.tolist() == ["id"]
    with pytest.raises(DefinitionError, match="the result of a query is a frame"):
        asked(int)


def test_an_empty_arrow_table_keeps_its_columns() -> None:
    assert frame_of(["a", "b"], [], pa.Table).column_names == ["a", "b"]


def test_large_integers_beside_gaps_stay_the_same() -> None:
    frame = frame_of(["a", "b", "b"], [(2**60 + 1, None, 1.5), (None, None, 2)], pd.DataFrame)
    assert frame["a"].dtype == "Int64"
    assert frame["a"][0] == 2**60 + 1
    assert frame.columns.tolist() == ["a", "b", "b"]
    assert frame_of(["a"], [], pd.DataFrame).columns.tolist() == ["a"]


def test_a_column_of_several_types_is_no_column_of_every_library() -> None:
    assert frame_of(["a"], [(1,), ("x",)], pd.DataFrame)["a"].tolist() == [1, "x"]
    with pytest.raises(QueryFailedError, match="pyarrow cannot make a frame"):
        frame_of(["a"], [(1,), ("x",)], pa.Table)


def test_it_feeds_tasks_in_a_workflow(tracks: Path) -> None:
    asked = names(str(tracks), kwtypes(least=int), "id > {{ .inputs.least }}", output_schema_type=None)

    @task
    def count(frame: pd.DataFrame) -> int:
        return len(frame)

    @workflow
    def counted(least: int = 2) -> int:
        return count(frame=asked(least=least))

    assert counted() == 3


def test_lists_dates_and_identifiers(tracks: Path) -> None:
    asked = SQLite3Task(
        "many",
        "select {{ .inputs.column }} as c from tracks where added >= {{ .inputs.since }} and id in {{ .inputs.ids }}",
        kwtypes(column=Identifier, since=dt.date, ids=list[int]),
        SQLite3Config(str(tracks)),
        pd.DataFrame,
    )
    since = dt.date(2024, 2, 1)
    assert asked(column="name", since=since, ids=[1, 2, 3])["c"].tolist() == ["Two", "it's"]
    assert asked(column="price", since=since, ids=[])["c"].tolist() == []
    with pytest.raises(InputError, match="name of a table or column"):
        asked(column="name; drop table tracks", since=since, ids=[])
    with pytest.raises(InputError, match="64 bits"):
        asked(column="name", since=since, ids=[2**70])


# --- where the database is ---------------------------------------------------------------------------------------


def packed(kind: str, tracks: Path, folder: Path) -> Path:
    archive = folder / f"tracks.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("../README", "not this one")
            zipped.write(tracks, "folder/../../escape.db")
    elif kind == "tar.gz":
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tracks, "inside/tracks.db")
    else:
        archive.write_bytes(gzip.compress(tracks.read_bytes()))
    return archive


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "gz"])
def test_compressed_databases_are_unpacked_without_their_paths(kind: str, tracks: Path, tmp_path: Path) -> None:
    archive = packed(kind, tracks, tmp_path)
    assert len(names(str(archive), compressed=True)()) == 5
    assert not (tmp_path.parent / "escape.db").exists()


def test_remote_and_file_uris(tracks: Path) -> None:
    with fsspec.open("memory://dbs/tracks.db", "wb") as file:
        file.write(tracks.read_bytes())
    assert len(names("memory://dbs/tracks.db")()) == 5
    assert len(names(tracks.as_uri())()) == 5
    assert len(names(tracks)()) == 5


def test_the_database_may_be_an_input(tracks: Path) -> None:
    asked = names("{{ .inputs.db }}", kwtypes(db=FlyteFile, least=int), "id > {{ .inputs.least }}")
    assert asked(db=tracks, least=3)["id"].tolist() == [4, 5]
    with pytest.raises(DefinitionError, match="the database is the input 'nothing'"):
        names("{{ .inputs.nothing }}", kwtypes(db=FlyteFile))
    with pytest.raises(DefinitionError, match="the database is a file"):
        names("{{ .inputs.db }}", kwtypes(db=int))


def test_what_is_no_database(tmp_path: Path, tracks: Path) -> None:
    with pytest.raises(MissingFileError):
        names(str(tmp_path / "nowhere.db"))()
    assert not (tmp_path / "nowhere.db").exists()
    text = tmp_path / "text.db"
    text.write_text("this is not a database, but long enough to be taken for one")
    with pytest.raises(QueryFailedError, match="no SQLite database"):
        names(str(text))()
    with pytest.raises(QueryFailedError, match="no archive"):
        names(str(text), compressed=True)()
    with pytest.raises(QueryFailedError, match="compressed=True"):
        names(str(packed("gz", tracks, tmp_path)))()
    whole = packed("zip", tracks, tmp_path).read_bytes()
    (tmp_path / "torn.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(QueryFailedError, match="archive"):
        names(str(tmp_path / "torn.zip"), compressed=True)()
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as zipped:
        zipped.write(tracks, "a.db")
        zipped.write(tracks, "b.db")
    with pytest.raises(QueryFailedError, match="does not hold one database"):
        names(str(tmp_path / "two.zip"), compressed=True)()


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["delete from tracks", "create table t(a)", "insert into tracks(id) values (9)", "attach 'x.db' as x", "vacuum"],
)
def test_nothing_is_written(query: str, tracks: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    before = tracks.read_bytes()
    with pytest.raises(QueryFailedError):
        SQLite3Task("write", query, task_config=SQLite3Config(str(tracks)))()
    assert tracks.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [tracks.name]


def test_a_wrong_query_says_what_the_database_said(tracks: Path) -> None:
    with pytest.raises(QueryFailedError, match="no such column: absent") as caught:
        names(str(tracks), where="absent = 1")()
    assert caught.value.place == "names"


def test_declarations_that_cannot_work(tracks: Path) -> None:
    with pytest.raises(DefinitionError, match="one statement at a time"):
        names(str(tracks), where="1; select 2")
    with pytest.raises(DefinitionError, match="needs a database"):
        SQLite3Task("none", "select 1")
    for wrong in ("", " ", 3, None):
        with pytest.raises(DefinitionError, match="a path or a URI"):
            SQLite3Config(uri=wrong)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="True or False"):
        SQLite3Config(uri="x", compressed="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeTransformerFailedError):
        names(str(tracks), kwtypes(least=int), "id > {{ .inputs.least }}")(least="1")


def test_settings_of_tasks_are_taken(tracks: Path) -> None:
    asked = names(str(tracks), retries=2, container_image="image:1")
    assert task_type_name(asked) == "sqlite3"
    assert asked.settings.retries == 2
    assert asked.settings.image == "image:1"
