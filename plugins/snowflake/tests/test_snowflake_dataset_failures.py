"""What goes wrong with tables at ``snowflake://``: told with a cause and a hint, and nothing half done is ever seen."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flyte_plugin_snowflake import SnowflakeConfig, datasets_writing, table_uri
from flyte_plugin_snowflake.datasets_errors import (
    SnowflakeAddressError,
    SnowflakeAwayError,
    SnowflakeTableError,
)
from flyte_plugin_snowflake.datasets_uri import address_of, identifier, quoted
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from flytepath import Secret, StructuredDataset, task
from flytepath.plugin import BackendError, FlytePathError, SecretNotFoundError, SecretReference
from hypothesis import given
from hypothesis import strategies as st
from snowflake_dataset_asking import Ask, asking, tables

TABLE = "snowflake:///orders"
OLD = [("old",)]


@pytest.fixture(autouse=True)
def at_the_double(snowflake_home: Path, account: Account) -> Account:
    return account


@pytest.fixture
def asked(snowflake_service: SnowflakeService, account: Account) -> Iterator[Ask]:
    with asking(snowflake_service) as ask:
        ask('create table ORDERS ("x" varchar)')
        ask("insert into ORDERS values ('old')")
        yield ask


@task
def write(frame: pd.DataFrame, uri: str) -> StructuredDataset:
    return StructuredDataset(dataframe=frame, uri=uri)


@task
def rows(data: StructuredDataset) -> int:
    return len(data.open(pd.DataFrame).all())


NEW = pd.DataFrame({"x": ["new", "er"]})


# --- errors that people can act on -------------------------------------------------------------------------------


def test_no_such_table(asked: Ask) -> None:
    with pytest.raises(SnowflakeTableError) as caught:
        rows(data=StructuredDataset(uri="snowflake:///nowhere"))
    assert "002003" in caught.value.message and "nowhere" in str(caught.value.place)


def test_no_rights(asked: Ask, account: Account) -> None:
    account.forbidden = {"ORDERS"}
    for call in (lambda: rows(data=StructuredDataset(uri=TABLE)), lambda: write(frame=NEW, uri=TABLE)):
        with pytest.raises(SnowflakeTableError) as caught:
            call()
        assert "003001" in caught.value.message and "grant" in str(caught.value.hint)
    account.forbidden = set()
    assert asked("select * from ORDERS") == OLD


def test_a_wrong_password_is_told_and_not_shown(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_SNOWFLAKE_PASSWORD", "hunter2")
    with pytest.raises(SnowflakeTableError) as caught:
        rows(data=StructuredDataset(uri=TABLE))
    assert "Incorrect username or password" in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_secret_that_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_FSEC_SNOWFLAKE_PASSWORD")
    with pytest.raises(SecretNotFoundError):
        rows(data=StructuredDataset(uri=TABLE))


def test_a_service_that_cannot_be_reached_is_nobodys_fault(snowflake_home: Path, snowflake_service: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    file = snowflake_home / "flytepath.toml"
    text = file.read_text().replace("login_seconds = 20", "login_seconds = 1")
    file.write_text(text.replace(f"port = {snowflake_service.port}", f"port = {port}"))
    with pytest.raises(SnowflakeAwayError) as caught:
        rows(data=StructuredDataset(uri=TABLE))
    assert caught.value.blame == "system"


def test_a_missing_connector_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snowflake.connector", None)
    with pytest.raises((FlytePathError, BackendError)) as caught:
        rows(data=StructuredDataset(uri=TABLE))
    assert "pip install" in str(caught.value)


def test_nothing_says_where_or_as_whom(snowflake_home: Path) -> None:
    (snowflake_home / "flytepath.toml").write_text("")
    for uri, missing in (
        ("snowflake:///orders", "account"),
        ("snowflake://acme-eu/orders", "user"),
        ("snowflake://ETL@acme-eu/orders", "log in"),
        ("snowflake://ETL@acme-eu/orders?password_secret=snowflake/password", "database"),
    ):
        with pytest.raises(FlytePathError, match=missing) as caught:
            rows(data=StructuredDataset(uri=uri))
        assert caught.value.hint


def test_settings_give_their_secrets_to_their_own_account_only(account: Account) -> None:
    for uri in ("snowflake://ETL@others/S/P/T", "snowflake://SOMEBODY@acme-eu/S/P/T"):
        with pytest.raises(SnowflakeTableError, match="log in"):
            rows(data=StructuredDataset(uri=uri))
    assert not account.logins


def test_a_table_may_name_its_own_secret(asked: Ask, snowflake_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_OWN_PASSWORD", "wrong")
    config = SnowflakeConfig(database="SALES", schema="PUBLIC", password=Secret(group="own", key="password"))
    uri = table_uri("ORDERS", config)
    assert uri == "snowflake:///SALES/PUBLIC/ORDERS?password_secret=own%2Fpassword"
    with pytest.raises(SnowflakeTableError, match="Incorrect"):
        rows(data=StructuredDataset(uri=uri))
    assert address_of(uri).secrets == {"password": SecretReference("own", "password")}


# --- URIs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "snowflake://ETL:hunter2@acme-eu/S/P/T",
        "snowflake://ETL@acme-eu/S/P/T?password=hunter2",
        "snowflake://ETL@acme-eu/S/P/T?pwd=hunter2",
        "snowflake://ETL@acme-eu/S/P/T?token=hunter2",
    ],
)
def test_a_password_in_a_uri_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(SnowflakeAddressError) as caught:
        rows(data=StructuredDataset(uri=uri))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "snowflake://", "snowflake:///", "snowflake://acme", "snowflake://acme/", "snowflake:///a/b/c/d",
        "snowflake://ETL@evil.com%2F/S/P/T", "snowflake://ETL@a b/S/P/T", "snowflake:///t?mode=append",
        "snowflake:///t?query_id=1", "snowflake:///a//t", "snowflake://[/t", "snowflake:///t#x", "snowflake:///t?role=",
        "snowflake:///%00", "snowflake:///t?password_secret=x",
    ],
)  # fmt: skip
def test_a_uri_that_names_no_table_is_an_error_that_shows_the_form(uri: str) -> None:
    with pytest.raises(SnowflakeAddressError) as caught:
        address_of(uri)
    assert caught.value.place is not None


@given(st.text(max_size=40))
def test_any_uri_is_an_address_or_such_an_error(text: str) -> None:
    try:
        address_of(f"snowflake://{text}")
    except SnowflakeAddressError:
        return


@given(st.text(min_size=1, max_size=60))
def test_any_name_is_one_name_in_sql(name: str) -> None:
    import sqlglot

    try:
        kept = identifier(name, "")
    except SnowflakeAddressError:
        return
    tokens = sqlglot.tokenize(quoted(kept), read="snowflake")
    assert [(token.token_type.name, token.text.replace('""', '"')) for token in tokens] == [("IDENTIFIER", kept)]


def test_the_uris_of_flytekit_are_read_too() -> None:
    for uri in ("snowflake://ETL:acme-eu/SMALL/SALES/PUBLIC/T", "snowflake://ETL/acme-eu/SMALL/SALES/PUBLIC/T"):
        found = address_of(uri)
        assert found.names == ("SALES", "PUBLIC", "T")
        assert found.access == {"account": "acme-eu", "user": "ETL", "warehouse": "SMALL"}
    assert address_of("snowflake://E@a//?query_id=01b2c3d4-0000-1111-2222-333344445555").query_id
    result = address_of("snowflake://ETL:acme-eu/SMALL/SALES/PUBLIC/01b2c3d4-0000-1111-2222-333344445555")
    assert result.query_id.startswith("01b2") and result.names == ("SALES", "PUBLIC")


# --- all or nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stage", "batches"])
def test_a_write_that_is_refused_leaves_what_was_there(asked: Ask, way: str) -> None:
    asked("create table NUMBERS (n integer)")
    asked("insert into NUMBERS values (1)")
    with pytest.raises(SnowflakeTableError):
        write(frame=pd.DataFrame({"n": ["2", "no number"]}), uri=f"snowflake:///numbers?write={way}")
    assert asked("select * from NUMBERS") == [(1,)]
    with pytest.raises(SnowflakeTableError, match="no column 'y'") as caught:
        write(frame=pd.DataFrame({"n": [2], "y": [1]}), uri=f"snowflake:///numbers?write={way}")
    assert "mode=replace" in str(caught.value.hint)
    assert asked("select * from NUMBERS") == [(1,)]
    assert tables(asked) == ["NUMBERS", "ORDERS"]


@pytest.mark.parametrize("mode", ["overwrite", "replace"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_write_whose_answer_is_lost_and_that_is_done_again_is_there_once(
    asked: Ask, monkeypatch: pytest.MonkeyPatch, mode: str, moment: str
) -> None:
    put = datasets_writing._put
    uri = f"{TABLE}?mode={mode}"

    def cut_off(*arguments: Any) -> None:
        if moment == "after":
            put(*arguments)
        raise ConnectionResetError("the connection went away")

    monkeypatch.setattr(datasets_writing, "_put", cut_off)
    with pytest.raises(SnowflakeAwayError):
        write(frame=NEW, uri=uri)
    seen = asked("select * from ORDERS order by 1")
    assert seen == (OLD if moment == "before" else [("er",), ("new",)])
    monkeypatch.setattr(datasets_writing, "_put", put)
    write(frame=NEW, uri=uri)
    assert asked("select * from ORDERS order by 1") == [("er",), ("new",)]
    assert tables(asked) == ["ORDERS"]


def test_readers_see_all_of_the_old_or_all_of_the_new(asked: Ask) -> None:
    """Two writers at once: what is there afterwards is of one of them, and so is all that anybody saw meanwhile."""
    frames = [pd.DataFrame({"x": [str(number)] * 40}) for number in range(2)]
    seen: list[set[str]] = []
    failed: list[BaseException] = []

    def wrote(frame: pd.DataFrame) -> None:
        try:
            for _ in range(3):
                write(frame=frame, uri=TABLE)
        except SnowflakeAwayError:
            return  # fakesnow refuses one of two transactions at once, where the service lets it wait
        except FlytePathError as error:
            failed.append(error)

    writers = [threading.Thread(target=wrote, args=(frame,)) for frame in frames]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.append({str(count) + name for name, count in asked("select x, count(*) from ORDERS group by 1")})
    for writer in writers:
        writer.join()
    assert not failed
    assert {frozenset(state) for state in seen} <= {frozenset({"1old"}), frozenset({"400"}), frozenset({"401"})}


@pytest.mark.parametrize("moment", [pytest.param("before", marks=pytest.mark.proof), "after"])
def test_a_writer_that_is_killed_leaves_the_old_rows_or_the_new(asked: Ask, snowflake_home: Path, moment: str) -> None:
    killed = """
import os, signal
import pandas as pd
from flyte_plugin_snowflake import datasets_writing
from flytepath import StructuredDataset, task

put = datasets_writing._put

def die(*arguments):
    if MOMENT == "after":
        put(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

datasets_writing._put = die

@task
def write() -> StructuredDataset:
    return StructuredDataset(dataframe=pd.DataFrame({"x": ["new"] * 3}), uri="snowflake:///orders?write=stage")

write()
"""
    code = killed.replace("MOMENT", repr(moment))
    done = subprocess.run([sys.executable, "-c", code], cwd=snowflake_home, timeout=100, check=False)
    assert done.returncode == -signal.SIGKILL
    assert asked("select * from ORDERS") == (OLD if moment == "before" else [("new",)] * 3)
    write(frame=NEW, uri=TABLE)
    assert asked("select * from ORDERS order by 1") == [("er",), ("new",)]


def test_where_no_stage_can_be_made_rows_travel_as_batches(
    asked: Ask, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.stages = False
    monkeypatch.setattr(datasets_writing, "FEW_ROWS", 1)
    write(frame=NEW, uri=TABLE)
    assert asked("select * from ORDERS order by 1") == [("er",), ("new",)]
    with pytest.raises(SnowflakeTableError, match="003001"):
        write(frame=NEW, uri=f"{TABLE}?write=stage")


def test_where_the_storage_is_out_of_reach_rows_travel_as_batches(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from snowflake.connector.errors import OperationalError

    def blocked(*_: Any) -> None:
        raise OperationalError(msg="While putting file(s) there was an error", errno=253003)

    monkeypatch.setattr(datasets_writing, "FEW_ROWS", 1)
    monkeypatch.setattr(datasets_writing, "_upload", blocked)
    write(frame=NEW, uri=TABLE)
    assert asked("select * from ORDERS order by 1") == [("er",), ("new",)]
    with pytest.raises(SnowflakeAwayError, match="253003"):
        write(frame=NEW, uri=f"{TABLE}?write=stage")


def test_rows_that_travel_are_nobody_elses_and_go_with_the_session(
    asked: Ask, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets_writing, "_forget", lambda *_: None)
    before = len(account.sessions)
    write(frame=NEW, uri=TABLE)
    assert tables(asked) == ["ORDERS"]
    assert len(account.sessions) == before


def test_overwriting_keeps_the_table_and_replacing_makes_it_anew(asked: Ask) -> None:
    asked("create table MIXED (n number(5, 0), note varchar default 'none')")
    write(frame=pd.DataFrame({"N": [7]}), uri="snowflake:///mixed")
    assert asked("select n, note from MIXED") == [(7, "none")]
    write(frame=pd.DataFrame({"other": [1.5]}), uri="snowflake:///mixed?mode=replace")
    assert asked("select * from MIXED") == [(1.5,)]
