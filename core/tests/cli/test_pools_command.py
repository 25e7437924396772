"""``flytepath pools``: what a terminal shows of shared pools, and what a person can take away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from flytepath.engine.ownership import this_engine, this_process
from flytepath.engine.quota.admission import Admission, Request
from flytepath.engine.quota.pools import PoolRules
from flytepath.model.identity import Tenant
from flytepath.plugin.plans import PoolAsk
from flytepath.store.events import open_store
from flytepath.store.quota_views import survey

from conftest import CommandLine

CONFIGURATION = """
    [pools."db/acme"]
    limit = 2
    [pools."db/acme".weights]
    research = 3
    [pools."db/acme".caps]
    sales = 1
"""


def request(key: str, project: str) -> Request:
    tenant = Tenant(project, "production")
    return Request(key, tenant, (PoolAsk("db/acme"),), f"x-{key}", f"n-{key}", 1, "remote")


async def fill(home: Path, rules: PoolRules, holder: str) -> None:
    """Two that hold, one of them for good, and two that wait; the engine is not closed."""
    with open_store(home) as store:
        desk = Admission(store, holder, rules, is_dead=lambda _: False)
        await desk.granted(request("a", "research"))
        await desk.firm("a")
        await desk.granted(request("b", "sales"))
        tasks = [asyncio.create_task(desk.granted(request(key, "sales"))) for key in ("c", "d")]
        async with asyncio.timeout(20):
            while len(survey(store.database, desk._tables.now).waiters) < 2:
                await asyncio.sleep(0.01)
        for task in desk._watches:
            task.cancel()
        for wait in desk._waits.values():
            wait.future.add_done_callback(lambda _: None)
        desk._is_closed = True  # killed: nothing is given back
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def filled(cli: CommandLine) -> CommandLine:
    cli.write("flytepath.toml", CONFIGURATION)
    asyncio.run(fill(cli.home, PoolRules.here(cli.folder, cli.home), this_engine()))
    return cli


def test_without_any_pool_there_is_nothing_to_see(cli: CommandLine) -> None:
    assert "there are no pools" in cli.run("pools", "list").stderr
    assert json.loads(cli.run("pools", "list", "--json").stdout) == []
    error = cli.run("pools", "show", "db", status=2).stderr
    assert "[FP-POOL-UNKNOWN] nobody declares a pool 'db'" in error
    assert '[pools."db"] limit' in error


def test_pools_are_listed_with_what_is_held_and_waited_for(filled: CommandLine) -> None:
    assert filled.run("pools", "list").stdout.split("\n")[1].split() == ["db/acme", "2", "2", "2", "2"]
    (found,) = json.loads(filled.run("pools", "list", "--json").stdout)
    assert found == {"pool": "db/acme", "limit": 2, "held": 2, "waiting": 2, "tenants": 2}


def test_a_pool_is_shown_with_its_rule_its_holders_and_its_lines(filled: CommandLine) -> None:
    text = filled.run("pools", "show", "db/acme").stdout
    assert f"limit     2  ({filled.folder / 'flytepath.toml'}: pools." in text
    assert f"by {this_process()}" in text
    assert "sales may hold 1 of 'db/acme' at once [cap sales]" in text
    found = json.loads(filled.run("pools", "show", "db/acme", "--json").stdout)
    assert [(row["key"], row["tenant"], row["stale"]) for row in found["leases"]] == [
        ("a", "research/production", ""),
        ("b", "sales/production", ""),
    ]
    (line,) = found["lines"]
    assert [(row["key"], row["position"]) for row in line["first"]] == [("c", 1), ("d", 2)]
    assert [(row["tenant"], row["weight"], row["cap"], row["held"]) for row in found["by_tenant"]] == [
        ("research/production", 3.0, None, 1),
        ("sales/production", 1.0, 1, 1),
    ]
    assert sum(row["share"] for row in found["by_tenant"]) == pytest.approx(1)
    assert set(found["origins"]) == {"limit", "weights.research", "caps.sales"}


def test_a_lease_whose_engine_is_gone_is_called_stale(cli: CommandLine) -> None:
    cli.write("flytepath.toml", CONFIGURATION)
    gone = this_process().rpartition("/")[0] + "/0/1"  # a process that was there before one of this number
    asyncio.run(fill(cli.home, PoolRules.here(cli.folder, cli.home), gone))
    leases = json.loads(cli.run("pools", "show", "db/acme", "--json").stdout)["leases"]
    assert "the job may still run" in leases[0]["stale"]
    assert "freed when the next engine" in leases[1]["stale"]


def test_a_lease_can_be_taken_away(filled: CommandLine) -> None:
    asked = filled.run("pools", "evict", "db/acme", "a", status=130)  # nobody answers
    assert "research/production  x-a n-a" in asked.stdout
    assert "--json does not ask" in filled.run("pools", "evict", "db/acme", "a", "--json", status=2).stderr
    assert "nothing is held of pool 'db/acme'" in filled.run("pools", "evict", "db/acme", "x", status=2).stderr
    assert "one of a, b" in filled.run("pools", "evict", "db/acme", "x", "--yes", status=2).stderr
    done = filled.run("pools", "evict", "db/acme", "a", "--yes")
    assert "evicted a of research/production" in done.stdout
    assert "its job may still run" in done.stderr
    assert [row["key"] for row in json.loads(filled.run("pools", "show", "db/acme", "--json").stdout)["leases"]] == [
        "b"
    ], "and engines, not this command, say who comes next"
    filled.run("pools", "evict", "db/acme", "a", "--yes", status=2)
