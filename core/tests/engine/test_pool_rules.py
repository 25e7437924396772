"""Which pools there are and who asks for them: configuration over what backends declare, read again when it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flytepath.config.settings import load_configuration
from flytepath.engine.quota.pools import DeclaredPool, PoolRules, PoolUnknownError
from flytepath.engine.quota.rules import PoolAskError
from flytepath.errors import ConfigError
from flytepath.model.identity import Tenant
from flytepath.model.task import Interface, TaskSpec
from flytepath.plugin.plans import PoolAsk

TENANT = Tenant("research", "production")
SNOWFLAKE = DeclaredPool("snowflake", "snowflake", "snowflake/{account}", 8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FLYTEPATH_CONFIG", raising=False)
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def task(name: str = "etl.load", **more: Any) -> TaskSpec:
    return TaskSpec(name=name, interface=Interface(), **more)


def test_configuration_says_how_much_there_is_and_for_whom() -> None:
    rule = PoolRules.of_values({"db": {"limit": 4, "weights": {"research": 3.0}, "caps": {"research": 2}}}).rule("db")
    assert (rule.limit, rule.weight(TENANT), rule.cap(TENANT)) == (4, 3.0, 2)


def test_a_backend_declares_a_pool_for_every_value_of_its_fields() -> None:
    rules = PoolRules.of_values({}, [SNOWFLAKE])
    assert rules.rule("snowflake/acme").limit == 8
    assert rules.find("snowflake/") is None
    assert rules.find("bigquery/acme") is None
    assert rules.origin("snowflake/acme").limit == "backend snowflake of plugin snowflake"


def test_configuration_is_stronger_than_a_declaration_key_by_key() -> None:
    values = {"snowflake/acme": {"limit": 3}, "snowflake/*": {"weights": {"research": 2.0}}}
    rules = PoolRules.of_values(values, [SNOWFLAKE])
    acme, other = rules.rule("snowflake/acme"), rules.rule("snowflake/other")
    assert (acme.limit, acme.weight(TENANT)) == (3, 2.0)
    assert (other.limit, other.weight(TENANT)) == (8, 2.0)


def test_the_more_precise_of_two_patterns_speaks_first() -> None:
    rules = PoolRules.of_values({"*": {"limit": 1}, "db/*": {"limit": 2}, "db/a": {"limit": 3}})
    assert [rules.rule(name).limit for name in ("x", "db/x", "db/a")] == [1, 2, 3]


def test_a_pool_that_nobody_declares_is_an_error_that_says_what_to_add() -> None:
    with pytest.raises(PoolUnknownError) as caught:
        PoolRules.of_values({"db": {"limit": 1}}, [SNOWFLAKE]).rule("matlab")
    assert caught.value.expected == "one of db, snowflake/{account}"
    assert caught.value.hint is not None
    assert '[pools."matlab"] limit' in caught.value.hint


def test_a_job_asks_for_the_most_that_plan_task_and_configuration_want() -> None:
    rules = PoolRules.of_values(
        {
            "db": {"limit": 9, "tokens": 2, "applies_to": {"tasks": ["etl.*"], "backends": ["local"]}},
            "all": {"limit": 9, "applies_to": {}},
            "sql": {"limit": 9, "applies_to": {"task_types": ["sql"]}},
        }
    )
    planned = (PoolAsk("db", 1), PoolAsk("db", 3))
    assert rules.asks_for(task(), TENANT) == (PoolAsk("all", 1), PoolAsk("db", 2))
    assert rules.asks_for(task(), TENANT, planned) == (PoolAsk("all", 1), PoolAsk("db", 3))
    assert rules.asks_for(task("train"), TENANT) == (PoolAsk("all", 1),)
    assert rules.asks_for(task("train", task_type="sql"), TENANT) == (PoolAsk("all", 1), PoolAsk("sql", 1))
    assert rules.asks_for(task("train", pools={"db": 4}), TENANT) == (PoolAsk("all", 1), PoolAsk("db", 4))


def test_an_ask_that_can_never_be_granted_is_an_error_at_once() -> None:
    rules = PoolRules.of_values({"db": {"limit": 4, "caps": {"research": 2}}})
    with pytest.raises(PoolAskError, match="nobody could ever be given 3"):
        rules.asks_for(task(), TENANT, [PoolAsk("db", 3)])
    with pytest.raises(PoolUnknownError):
        rules.asks_for(task(), TENANT, [PoolAsk("dbs")])
    assert rules.asks_for(task(), TENANT, [PoolAsk("db", 2)])


def test_a_task_without_pools_asks_for_nothing() -> None:
    assert PoolRules.of_values({"db": {"limit": 4}}).asks_for(task(), TENANT) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pools.db]\nlimit = -1", "pools.db.limit has a value of the wrong kind"),
        ("[pools.db]\nlimt = 1", "unknown key 'limt'"),
        ("[pools.db]\nlimit = 1\n[pools.db.weights]\nresearch = 0", "pools.db.weights.research has a value"),
        ('[pools.db]\nlimit = 1\n[pools.db.caps]\n"No Project" = 1', "has a value of the wrong kind"),
        ("[pools.db]\nlimit = 1\n[pools.db.applies_to]\ntask = []", "unknown key 'task'"),
        ("[pools.db.weights]\nresearch = 1", "pool 'db' has no limit"),
        ('[pools."db/*"]\nlimit = 1\napplies_to = {}', "tasks can only ask for a pool with a full name"),
        ("[local]\ncpus = 1", "unknown key 'cpus'"),
        ("[local]\ncpu = 0", "local.cpu has a value of the wrong kind"),
    ],
)
def test_a_table_that_cannot_be_is_an_error_that_names_the_key(folder: Path, text: str, message: str) -> None:
    (folder / "flytepath.toml").write_text(text)
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        PoolRules.here(folder)


def test_what_a_machine_gives_is_configured_beside() -> None:
    Path("flytepath.toml").write_text('[local]\ncpu = 2.5\nmemory = "4Gi"\ngpu = 0\n')
    assert load_configuration().get("local") == {"cpu": 2.5, "memory": "4Gi", "gpu": 0}


def test_rules_tell_where_they_are_said(folder: Path) -> None:
    (folder / "home").mkdir()
    (folder / "home" / "flytepath.toml").write_text("[pools.db]\nlimit = 3\n[pools.db.caps]\nresearch = 1\n")
    (folder / "flytepath.toml").write_text("[pools.db]\nlimit = 2\n")
    rules = PoolRules.here(folder)
    assert rules.rule("db").limit == 2
    assert rules.origin("db").limit == f"{folder / 'flytepath.toml'}: pools.db.limit"
    assert rules.origin("db").keys["caps.research"].startswith(str(folder / "home"))


def test_rules_follow_their_files_and_outlive_broken_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("flytepath.engine.quota.pools.LOOK_SECONDS", 0.0)
    file = folder / "flytepath.toml"
    rules = PoolRules.here(folder)
    assert rules.find("db") is None
    file.write_text("[pools.db]\nlimit = 2\n")
    assert rules.refresh()
    assert not rules.refresh()
    assert (rules.rule("db").limit, rules.revision) == (2, 1)
    file.write_text("[pools.db]\nlimit = ")
    assert not rules.refresh()
    assert not rules.refresh()
    assert rules.rule("db").limit == 2
    assert caplog.text.count("pools stay as they were") == 1, "said once for one state of the file"
    file.write_text("# others\n[pools.db]\nlimit = 2\n")
    assert not rules.refresh(), "nothing that pools are about is different"
    file.unlink()
    assert rules.refresh()
    assert rules.find("db") is None


def test_files_are_not_looked_at_all_the_time(folder: Path) -> None:
    rules = PoolRules.here(folder)
    (folder / "flytepath.toml").write_text("[pools.db]\nlimit = 2\n")
    assert not rules.refresh()
