"""Queries run, with values bound and rows brought home, by a direct call of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from flyte_plugin_snowflake import SnowflakeConfig, SnowflakeTask
from flyte_plugin_snowflake.testing.service import SnowflakeService
from flytepath import kwtypes
from flytepath.plugin import DefinitionError

pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API:UserWarning")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[SnowflakeService]:
    with SnowflakeService() as found:
        (home / "flytepath.toml").write_text(
            "[backends.snowflake]\n"
            'account = "acme-eu"\nuser = "ETL"\ndatabase = "SALES"\nschema = "PUBLIC"\n'
            f'host = "127.0.0.1"\nport = {found.port}\nprotocol = "http"\n'
            'password = {group = "snowflake", key = "password"}\n'
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("_FSEC_SNOWFLAKE_PASSWORD", found.account.password)
            patch.chdir(home)
            yield found


def test_a_hostile_value_is_only_a_value(service: SnowflakeService) -> None:
    echo = SnowflakeTask(
        name="echo",
        query_template="select {{ .inputs.word }} as word, {{ .inputs.n }} + 1 as more",
        inputs=kwtypes(word=str, n=int),
        output_schema_type=pa.Table,
    )
    word = "x'; drop table t; --"
    table = echo(word=word, n=41)
    assert [list(row.values()) for row in table.to_pylist()] == [[word, 42]]


def test_a_secret_itself_is_refused_and_not_shown() -> None:
    with pytest.raises(DefinitionError) as caught:
        SnowflakeConfig(password="hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
