"""Tables at ``snowflake://`` in durable runs, each task in a process of its own, with all that a task may ask for."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from snowflake_dataset_asking import Ask, asking, tables

Program = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLES = Path(__file__).parents[1] / "examples"

FLOW = """
    import os

    import pandas as pd
    import pyarrow as pa
    from flyte_plugin_snowflake import SnowflakeConfig, SnowflakeTask, table_uri
    from flytepath import (
        Cache, Deck, Secret, StructuredDataset, current_context, kwtypes, map_task, task, workflow,
    )


    def mark(name):
        with open(os.path.join(os.environ["MARKS"], name), "a") as file:
            file.write("x")


    @task(
        secret_requests=[Secret(group="snowflake", key="password")],
        enable_deck=True,
        retries=1,
        pools={"snowflake/acme-eu": 1},
    )
    def part(n: int) -> StructuredDataset:
        assert current_context().secrets.get("snowflake", "password")
        Deck("part", f"<p>part {n}</p>")
        frame = pd.DataFrame({"N": range(n), "WORD": [str(n)] * n})
        written = StructuredDataset(dataframe=frame, uri=table_uri(f"PART_{n}"))
        if n == 2 and current_context().attempt == 1:
            raise ValueError("once more")
        return written


    @task(cache=Cache(version="1"))
    def count(parts: list[StructuredDataset]) -> int:
        mark("count")
        return sum(len(part.open(pd.DataFrame).all()) for part in parts)


    @workflow
    def mapped() -> int:
        return count(parts=map_task(part)(n=[1, 2, 3]))


    @task
    def there() -> list[StructuredDataset]:
        return [StructuredDataset(uri=table_uri("PART_3"))]


    @workflow
    def referred() -> int:
        return count(parts=there())


    large = SnowflakeTask(
        name="large",
        query_template="select N, WORD from PART_3 where N >= {{ .inputs.least }}",
        inputs=kwtypes(least=int),
        task_config=SnowflakeConfig(result="reference"),
        output_schema_type=StructuredDataset,
    )


    @task
    def rows(found: pd.DataFrame) -> list[int]:
        return sorted(int(n) for n in found["N"])


    @workflow
    def by_reference(least: int) -> list[int]:
        return rows(found=large(least=least))


    @task(retries=0)
    def breaks(n: int) -> StructuredDataset:
        if os.environ.get("BROKEN") == "1":
            raise ValueError("not yet")
        return StructuredDataset(dataframe=pd.DataFrame({"N": [n]}), uri=table_uri("LAST"))


    @workflow
    def recovered() -> int:
        parts = map_task(part)(n=[1, 3])
        total = count(parts=parts)
        breaks(n=total)
        return total


    @task(timeout=float(os.environ.get("TIMEOUT", "600")))
    def endless() -> StructuredDataset:
        import time

        def pieces():
            mark("begun")
            time.sleep(600)

        pieces()
        return StructuredDataset(dataframe=pd.DataFrame({"N": [0]}), uri=table_uri("PART_3"))


    @workflow
    def stuck() -> StructuredDataset:
        return endless()
"""


@pytest.fixture
def asked(snowflake_service: SnowflakeService, account: Account) -> Iterator[Ask]:
    with asking(snowflake_service) as ask:
        yield ask


@pytest.fixture
def run(snowflake_home: Path, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs the command line in the home."""
    (snowflake_home / "flow.py").write_text(textwrap.dedent(FLOW))
    (snowflake_home / "marks").mkdir()
    monkeypatch.setenv("MARKS", str(snowflake_home / "marks"))

    def program(*words: str, fails: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "flytepath", *words],
            cwd=snowflake_home,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    return program


@pytest.mark.proof
def test_what_tasks_may_ask_for_works_together(
    run: Program, asked: Ask, account: Account, snowflake_home: Path
) -> None:
    done = run("run", "flow.py", "mapped")
    assert "o0 = 6" in done.stdout and "once more" in done.stderr
    assert account.password not in done.stdout + done.stderr
    assert tables(asked) == ["PART_1", "PART_2", "PART_3"]
    assert asked("select count(*) from PART_2") == [(2,)]
    name = next(word for word in done.stdout.split() if word.startswith("x01"))
    run("executions", "deck", name, "--to", "decks")
    assert any("part 3" in path.read_text() for path in snowflake_home.rglob("*.html"))

    assert "o0 = 3" in run("run", "flow.py", "referred").stdout
    # A table that was named and not written is the same value as long as its name is.
    assert "o0 = 3" in run("run", "flow.py", "referred").stdout
    assert (snowflake_home / "marks" / "count").read_text() == "xx"

    assert "o0 = [1, 2]" in run("run", "flow.py", "by_reference", "--least", "1").stdout


@pytest.mark.proof
def test_what_was_written_is_not_written_again_when_a_run_is_recovered(run: Program, asked: Ask) -> None:
    failed = run("run", "flow.py", "recovered", fails=True, BROKEN="1")
    name = next(word for word in (failed.stdout + failed.stderr).split() if word.startswith("x01"))
    asked("insert into PART_3 values (9, 'by somebody else')")
    done = run("executions", "recover", name)
    assert "o0 = 4" in done.stdout
    assert asked("select count(*) from PART_3") == [(4,)]
    assert asked("select * from LAST") == [(4,)]


@pytest.mark.proof
def test_a_task_that_is_ended_before_it_writes_leaves_the_table(run: Program, asked: Ask) -> None:
    asked("create table PART_3 (N integer)")
    asked("insert into PART_3 values (7)")
    run("run", "flow.py", "stuck", fails=True, TIMEOUT="4")
    assert asked("select * from PART_3") == [(7,)]
    assert tables(asked) == ["PART_3"]


def test_the_example_reads_and_writes_orders(snowflake_home: Path, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    orders = importlib.import_module("orders")
    asked("create table ORDERS (customer varchar, total number(10, 2))")
    asked("insert into ORDERS values ('Ada', 60.50), ('Ben', 99.99), ('Ada', 40)")
    for _ in range(2):  # run again, no row is there twice
        assert orders.best_customers() == 1
        assert asked("select * from BEST_CUSTOMERS") == [("Ada", Decimal("100.50"))]
