"""Three tenants share an account that takes three queries at once: none is refused, and none waits for the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from flyte_plugin_snowflake.testing.service import Account

EXAMPLE = Path(__file__).parents[1] / "examples" / "tenants.py"
#: The first comes long before the others, and wants more than both.
QUERIES = {"research": 18, "sales": 6, "growth": 6}
POOL = """
[pools."snowflake/acme-eu"]
limit = 3
[pools."snowflake/acme-eu".caps]
growth = 2
"""


def started(project: str, home: Path, queries: int) -> subprocess.Popen[str]:
    words = ["run", "--project", project, str(EXAMPLE), "report", "--queries", str(queries)]
    return subprocess.Popen(
        [sys.executable, "-m", "flytepath", *words],
        cwd=home, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def whose(account: Account) -> list[str]:
    """The projects of the queries, in the order in which Snowflake was asked."""
    queries = sorted(account.queries.values(), key=lambda query: query.started)
    return [json.loads(query.tag)["owner"][0] for query in queries]


@pytest.mark.proof
def test_three_tenants_get_their_shares_and_the_account_is_never_asked_too_much(
    snowflake_home: Path, account: Account
) -> None:
    file = snowflake_home / "flytepath.toml"
    file.write_text(file.read_text() + POOL)
    account.concurrent = 3
    runs = [started("research", snowflake_home, QUERIES["research"])]
    deadline = time.monotonic() + 60
    while len(account.queries) < 3:  # the first has the whole account while nobody else is there
        assert time.monotonic() < deadline and runs[0].poll() is None
        time.sleep(0.02)
    runs += [started(project, snowflake_home, QUERIES[project]) for project in ("sales", "growth")]
    try:
        for run in runs:
            output, _ = run.communicate(timeout=200)
            assert run.returncode == 0, output[-3000:]
    finally:
        for run in runs:
            if run.poll() is None:
                run.kill()
                run.communicate()
    assert not [query.message for query in account.queries.values() if query.code >= 0]
    assert account.most == 3, "the account was never full, or asked for more than it takes"
    order = whose(account)
    assert Counter(order) == QUERIES
    # While all three want more than there is, the first gets no more than its share, however long its line is. Shares
    # are of the time that tokens are held, which differs between engines on a busy machine, so counts only come near.
    begun = max(order.index(project) for project in QUERIES)
    ended = min(len(order) - 1 - order[::-1].index(project) for project in QUERIES)
    together = Counter(order[begun : ended + 1])
    assert sum(together.values()) >= 9, order
    assert together["research"] <= sum(together.values()) / 2, order
    assert ended < len(order) - 1
    assert order[-1] == "research", order


@pytest.mark.proof
def test_a_cap_holds_when_nobody_else_wants_any(snowflake_home: Path, account: Account) -> None:
    file = snowflake_home / "flytepath.toml"
    file.write_text(file.read_text() + POOL)
    account.concurrent = 2
    run = started("growth", snowflake_home, 5)
    output, _ = run.communicate(timeout=200)
    assert run.returncode == 0, output[-3000:]
    assert account.most == 2
