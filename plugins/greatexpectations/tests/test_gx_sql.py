"""Tables and queries are validated where they lie, by the database, and values reach it as parameters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_greatexpectations import (
    DataSourceError,
    ExpectationError,
    GreatExpectationsTask,
    SQLSource,
    ValidationFailedError,
    expect,
    parameter,
)
from flytepath import Identifier, Secret, kwtypes
from flytepath.plugin import DefinitionError
from gx_attempt import Attempt
from gx_project import write_database
from hypothesis import given, settings
from hypothesis import strategies as st

NAMED = expect("column_values_to_not_be_null", column="name")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("database") / "people$HOME.db"
    write_database(path)
    return f"sqlite:///{path}"


def check(source: SQLSource, *expectations: Any, **options: Any) -> GreatExpectationsTask:
    return GreatExpectationsTask(
        name="check_people",
        sql=source,
        expectations=list(expectations) or [NAMED],
        **{"on_failure": "return", **options},
    )


@pytest.fixture
def url(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secret]:
    monkeypatch.setenv("_FSEC_WAREHOUSE_URL", database)
    return Secret("warehouse", "url")


def test_a_table_is_validated_by_its_database(url: Secret) -> None:
    found = check(
        SQLSource(url, table="people"), NAMED, expect("column_max_to_be_between", column="age", max_value=80)
    )()
    assert [(f.column, f.unexpected_count, f.observed) for f in found.failures] == [
        ("name", 1, "null"),
        ("age", None, "85"),
    ]
    assert found.engine.endswith("(sqlite)")


def test_a_query_takes_its_parameters_from_inputs(url: Secret) -> None:
    validation = check(
        SQLSource(url, query="select * from people where age > {{ .inputs.above }} and note = '10% :b'"),
        NAMED,
        expect("table_row_count_to_equal", value=parameter("rows")),
        inputs=kwtypes(above=int, rows=int),
    )
    assert validation(above=50, rows=1).success
    missed = validation(above=0, rows=4)
    assert [failure.expectation for failure in missed.failures] == [
        "expect_column_values_to_not_be_null",
        "expect_table_row_count_to_equal",
    ]


def test_lists_and_names_stand_in_a_query_too(url: Secret) -> None:
    validation = check(
        SQLSource(
            url, query="with p as (select * from {{ .inputs.t }}) select * from p where age in {{ .inputs.ages }}"
        ),
        expect("table_row_count_to_equal", value=2),
        inputs={"t": Identifier, "ages": list[int]},
    )
    assert validation(t="people", ages=[36, 85]).success


@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=20).filter(lambda text: "\0" not in text and text.isprintable()))
def test_no_value_is_ever_read_as_sql(database: str, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_FSEC_WAREHOUSE_URL", database)
        source = SQLSource(Secret("warehouse", "url"), query="select {{ .inputs.x }} as x, ':a %s %' as y")
        same = check(
            source,
            expect("column_values_to_be_in_set", column="x", value_set=[text]),
            expect("column_values_to_be_in_set", column="y", value_set=[":a %s %"]),
            inputs=kwtypes(x=str),
        )
        assert same(x=text).success


def test_values_that_look_like_sql_are_values(url: Secret, database: str) -> None:
    hostile = "x'; drop table people; --"
    validation = check(
        SQLSource(url, query="select * from people where name = {{ .inputs.who }}"),
        expect("table_row_count_to_equal", value=0),
        inputs=kwtypes(who=str),
    )
    assert validation(who=hostile).success
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
        tables = connection.execute("select name from sqlite_master").fetchall()
    assert tables == [("people",)], "nothing is dropped, and no temporary table is left"


@pytest.mark.parametrize("what", [{"table": "nobody"}, {"query": "select * from nobody"}])
def test_what_the_database_refuses_is_told_in_its_words(url: Secret, what: dict[str, str]) -> None:
    with pytest.raises(DataSourceError) as caught:
        check(SQLSource(url, **what))()
    assert "no such table: nobody" in caught.value.message
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_missing_column_is_named(url: Secret) -> None:
    with pytest.raises(ExpectationError, match="no column 'nam'; did you mean 'name'"):
        check(SQLSource(url, table="people"), expect("column_values_to_not_be_null", column="nam"))()


def test_a_database_that_is_not_there_is_no_failed_validation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("_FSEC_WAREHOUSE_URL", f"sqlite:///{tmp_path}/none/people.db?password=tiger")
    with pytest.raises(DataSourceError) as caught:
        check(SQLSource(Secret("warehouse", "url"), table="people"))()
    assert not isinstance(caught.value, ValidationFailedError)


def test_no_error_tells_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_WAREHOUSE_URL", "postgresql+nodriver://me:tig%24er@127.0.0.1:1/x")
    with pytest.raises(DataSourceError) as caught:
        check(SQLSource(Secret("warehouse", "url"), table="people"))()
    told = "".join(map(str, (caught.value, caught.value.__cause__, caught.value.__context__)))
    assert "tig" not in str(caught.value)
    assert "tig%24er" not in told


def test_a_password_does_not_stand_in_code() -> None:
    with pytest.raises(DefinitionError, match="password"):
        SQLSource("postgresql://me:tiger@host/db", table="people")
    SQLSource("postgresql://me:${PASSWORD}@host/db", table="people")


def test_a_variable_of_the_environment_may_stand_in_the_connection(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEOPLE_DB", database.removeprefix("sqlite:///"))
    assert check(SQLSource("sqlite:///${PEOPLE_DB}", table="people"))().failed == 1


@pytest.mark.parametrize(
    ("source", "options", "word"),
    [
        ({"table": "a", "query": "select 1"}, {}, "one of table and query"),
        ({}, {}, "one of table and query"),
        ({"table": "a; drop table b"}, {}, "name of a table"),
        ({"query": "select {{ .inputs.x }}"}, {}, "does not take"),
        ({"query": "select 1; select 2"}, {}, "one query"),
        ({"query": "select '{{ .inputs.x }}'"}, {"inputs": kwtypes(x=str)}, "check_people(sql)"),
        ({"query": "select 1"}, {"inputs": kwtypes(x=str)}, "no part in the validation"),
    ],
)
def test_what_can_never_be_asked_is_refused_when_it_is_defined(
    source: dict[str, str], options: dict[str, Any], word: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        check(SQLSource("sqlite:///x.db", **source), **options)
    assert word in str(caught.value)


def test_the_payload_names_the_secret_and_never_its_value(url: Secret, tmp_path: Path, database: str) -> None:
    attempt = Attempt(check(SQLSource(url, table="people")), tmp_path)
    assert attempt.context.payload["sql"]["connection"] == {"secret": {"group": "warehouse", "key": "url"}}
    assert database not in repr(attempt.context.payload)


def test_postgresql_is_asked_as_sqlite_is(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    psycopg = pytest.importorskip("psycopg")
    url = postgres.database()
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        connection.execute("create schema kept")
        connection.execute("create table kept.people (name text, age integer)")
        connection.execute("insert into kept.people values ('Ada', 36), (null, 41)")
    monkeypatch.setenv("_FSEC_WAREHOUSE_URL", url)
    secret = Secret("warehouse", "url")
    assert check(SQLSource(secret, table="kept.people"))().failures[0].unexpected_count == 1
    validation = check(
        SQLSource(secret, query="select * from kept.people where age % 10 = {{ .inputs.digit }} and name like 'A%'"),
        expect("table_row_count_to_equal", value=1),
        inputs=kwtypes(digit=int),
    )
    found = validation(digit=6)
    assert found.success
    assert found.engine.endswith("(postgresql)")


def test_rows_that_a_query_finds_are_unexpected(url: Secret) -> None:
    validation = check(
        SQLSource(url, query="select * from people where age > {{ .inputs.above }}"),
        expect("unexpected_rows_expectation", unexpected_rows_query="select * from {batch} where age < 0"),
        inputs=kwtypes(above=int),
    )
    assert validation(above=0).success
    [failure] = validation(above=-10).failures
    assert failure.observed == "1"


def test_a_password_does_not_stand_in_the_query_of_a_url() -> None:
    with pytest.raises(DefinitionError, match="password"):
        SQLSource("postgresql://host/db?user=me&Password=tiger", table="people")
    assert SQLSource("postgresql://host/db?user=me&password=${PASSWORD}", table="people").table == "people"


@pytest.mark.parametrize("dialect", ["nosuchdialect", "postgresql+nosuchdriver"])
def test_a_driver_that_is_not_there_is_told_with_the_remedy(dialect: str) -> None:
    with pytest.raises(DataSourceError) as caught:
        check(SQLSource(f"{dialect}://host/db", table="people"), NAMED)()
    assert "driver" in (caught.value.hint or "")
