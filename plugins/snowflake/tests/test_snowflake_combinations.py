"""Queries within workflows: what tasks can be asked for, asked of a query, through an engine at the double."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from flytepath import FlytePath
from snowflake_calls import until
from snowflake_vendor import settings_text

#: Far more than any of this takes; reaching it is a failure.
DEADLINE = 60.0

FLOW = """
    from __future__ import annotations

    import pandas as pd
    import pyarrow as pa

    from flytepath import Deck, Secret, StructuredDataset, kwtypes, map_task, task, workflow
    from flyte_plugin_snowflake import SnowflakeConfig, SnowflakeTask


    def query(name: str, text: str, result=pa.Table, config=None, **more):
        given = {key: more.pop(key) for key in list(more) if isinstance(more[key], type)}
        return SnowflakeTask(
            name=f"snowflake_flow.{name}", query_template=text, task_config=config, inputs=kwtypes(**given),
            output_schema_type=result, **more,
        )


    twice = query("twice", "select 2 * {{ .inputs.x }} as n", x=int)
    known = query("known", "select 3 * {{ .inputs.x }} as n", x=int, cache=True, cache_version="1")
    wrong = query("wrong", "select * from nowhere where n = {{ .inputs.x }}", x=int, retries=2)
    endless = query("endless", "call system$wait(600)", result=None)
    limited = query("limited", "call system$wait(600)", result=None, timeout=1)
    brief = query("brief", "call system$wait(2)")
    own = query(
        "own", "select 1 as n", config=SnowflakeConfig(role="LOADER", token=Secret(group="mine", key="token"))
    )
    several = query(
        "several",
        "create or replace table kept (n int); insert into kept values ({{ .inputs.x }}); select n from kept",
        x=int,
    )
    left = query("left", "select 5 * {{ .inputs.x }} as n", result=StructuredDataset, x=int,
        config=SnowflakeConfig(result="reference"))


    @task
    def number(rows: pa.Table) -> int:
        return int(rows.column(0)[0].as_py())

    @task
    def number_of(rows: StructuredDataset) -> int:
        return int(rows.open(pd.DataFrame).all().iloc[0, 0])

    @task
    def total(frames: list[pa.Table]) -> int:
        return sum(int(frame.column(0)[0].as_py()) for frame in frames)

    @task(enable_deck=True)
    def shown(rows: pa.Table) -> int:
        Deck("rows", f"<p>{rows.num_rows} rows</p>")
        return rows.num_rows

    @workflow
    def chain(x: int) -> int:
        return number(rows=twice(x=number(rows=twice(x=x))))

    @workflow
    def over(xs: list[int]) -> int:
        return total(frames=map_task(twice)(x=xs))

    @workflow
    def cached(x: int) -> int:
        return number(rows=known(x=x))

    @workflow
    def failing(x: int) -> int:
        return number(rows=wrong(x=x))

    @workflow
    def forever() -> None:
        endless()

    @workflow
    def too_long() -> None:
        limited()

    @workflow
    def after_a_while() -> int:
        return shown(rows=brief())

    @workflow
    def with_own_secret() -> int:
        return number(rows=own())

    @workflow
    def overridden(x: int) -> int:
        return number(rows=twice(x=x).with_overrides(timeout=30, retries=1, node_name="the_query"))

    @workflow
    def kept(x: int) -> int:
        return number(rows=several(x=x))

    @workflow
    def referred(x: int) -> int:
        return number_of(rows=left(x=x))
"""


class Platform:
    """A platform of this process, the double, and the flows."""

    def __init__(self, api: FlytePath, account: Account, flows: Any) -> None:
        self.api, self.account, self.flows = api, account, flows

    def run(self, name: str, **inputs: Any) -> Any:
        """The execution of a flow, when it has ended."""
        return self.api.wait(self.begin(name, **inputs), DEADLINE)

    def begin(self, name: str, **inputs: Any) -> Any:
        return self.api.execute(getattr(self.flows, name), inputs)

    @property
    def queries(self) -> int:
        """How many were submitted."""
        return sum(query.request != "" for query in self.account.queries.values())


@pytest.fixture
def platform(snowflake_home: Path, account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    (snowflake_home / "snowflake_flow.py").write_text(textwrap.dedent(FLOW))
    monkeypatch.syspath_prepend(str(snowflake_home))
    monkeypatch.delitem(sys.modules, "snowflake_flow", raising=False)
    flows = importlib.import_module("snowflake_flow")
    try:
        with FlytePath(home=snowflake_home) as api:
            yield Platform(api, account, flows)
    finally:
        monkeypatch.delitem(sys.modules, "snowflake_flow", raising=False)
    assert not account.running()


@pytest.mark.parametrize(
    "flow, inputs, given",
    [("chain", {"x": 3}, 12), ("over", {"xs": [1, 2, 3]}, 12), ("overridden", {"x": 4}, 8), ("kept", {"x": 7}, 7)],
)
def test_a_run_gives_what_a_direct_call_gives(
    platform: Platform, flow: str, inputs: dict[str, Any], given: object
) -> None:
    ended = platform.run(flow, **inputs)
    assert ended.status == "succeeded", ended.error
    assert ended.outputs == {"o0": given}
    assert getattr(platform.flows, flow)(**inputs) == given


def test_a_result_that_stayed_there_is_read_by_the_task_that_is_given_it(platform: Platform) -> None:
    ended = platform.run("referred", x=2)
    assert ended.status == "succeeded", ended.error
    assert ended.outputs == {"o0": 10}


def test_what_is_known_is_not_asked_again(platform: Platform) -> None:
    assert platform.run("cached", x=2).outputs == platform.run("cached", x=2).outputs == {"o0": 6}
    assert platform.queries == 1
    assert platform.run("cached", x=3).outputs == {"o0": 9}
    assert platform.queries == 2


def test_a_query_that_fails_is_tried_as_often_as_said_and_told_in_snowflakes_words(platform: Platform) -> None:
    ended = platform.run("failing", x=1)
    assert ended.status == "failed"
    assert "Snowflake 002003 (42S02)" in ended.error.message and "NOWHERE" in ended.error.message
    assert platform.queries == 3


def test_a_query_that_takes_too_long_is_cancelled(platform: Platform) -> None:
    ended = platform.run("too_long")
    assert (ended.status, ended.error.kind) == ("failed", "timeout")
    [query] = platform.account.queries.values()
    assert query.code == 604


def test_an_abort_cancels_the_query(platform: Platform) -> None:
    begun = platform.begin("forever")
    until(lambda: platform.account.running() == 1)
    platform.api.abort(begun, "not wanted")
    until(lambda: not platform.account.running())
    assert platform.api.wait(begun, DEADLINE).status == "aborted"


def test_a_query_may_have_a_secret_of_its_own(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_MINE_TOKEN", "a token of theirs")
    platform.account.oauth_tokens.add("a token of theirs")
    ended = platform.run("with_own_secret")
    assert ended.status == "succeeded", ended.error
    assert platform.account.logins[-1]["AUTHENTICATOR"] == "OAUTH"
    assert platform.account.logins[-1]["query"]["roleName"] == "LOADER"


def test_a_secret_that_is_not_there_is_named(platform: Platform) -> None:
    ended = platform.run("with_own_secret")
    assert ended.status == "failed" and "mine" in ended.error.message and "token" in ended.error.message


def test_a_task_after_the_query_writes_its_deck(platform: Platform) -> None:
    ended = platform.run("after_a_while")
    assert ended.outputs == {"o0": 1}
    assert "rows" in {deck.name for deck in ended.view.decks}


# --- processes that end ------------------------------------------------------------------------------------------


class Commands:
    """The command line, in processes of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        program = f"from flytepath.cli import main; import sys; sys.argv = {['flytepath', *arguments]!r}; main()"
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=self.home,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
        assert process.returncode == 0, out + err
        return out + err

    def latest(self) -> str:
        found: str = json.loads(self.run("executions", "list", "--json"))[0]["id"]
        return found


@pytest.fixture
def commands(snowflake_home: Path) -> Commands:
    (snowflake_home / "snowflake_flow.py").write_text(textwrap.dedent(FLOW))
    return Commands(snowflake_home)


@pytest.mark.proof
def test_a_query_whose_engine_dies_is_gone_on_with_by_another(commands: Commands, account: Account) -> None:
    process = commands.start("run", "snowflake_flow.py", "after_a_while")
    until(lambda: account.running() == 1, DEADLINE)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=DEADLINE)
    assert "o0 = 1" in commands.run("executions", "resume", commands.latest())
    assert len(account.queries) == 1, "it was found again, and not submitted twice"


@pytest.mark.proof
def test_an_engine_that_dies_while_the_answer_is_lost_submits_nothing_twice(
    commands: Commands, account: Account
) -> None:
    account.lost_answers = 1000
    process = commands.start("run", "snowflake_flow.py", "after_a_while")
    until(lambda: len(account.queries) == 1, DEADLINE)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=DEADLINE)
    account.lost_answers = 0
    assert "o0 = 1" in commands.run("executions", "resume", commands.latest())
    assert len(account.queries) == 1


def test_what_is_missing_in_the_settings_is_said_before_anything_is_recorded(
    commands: Commands, snowflake_service: SnowflakeService
) -> None:
    (commands.home / "flytepath.toml").write_text(settings_text(snowflake_service.port, account=""))
    process = commands.start("run", "snowflake_flow.py", "chain", "--x", "1")
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert "FP-SNOWFLAKE-CONFIG" in out + err and "set account in SnowflakeConfig" in out + err
    assert json.loads(commands.run("executions", "list", "--json")) == []


def test_what_would_be_submitted_can_be_seen(commands: Commands, account: Account) -> None:
    told = commands.run("render", "snowflake_flow.py", "kept", "--x", "7")
    assert "insert into kept values (?)" in told and not account.logins
