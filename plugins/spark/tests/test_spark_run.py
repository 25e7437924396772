"""Spark tasks in durable runs: each attempt its own driver, which ends with it, and every setting of a task works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from spark_servers import Program

FLOW = """
    import os

    import pandas as pd
    from flyte_plugin_spark import Spark
    from flytepath import Cache, Deck, Secret, current_context, map_task, task, workflow
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    CONF = {"spark.master": "local[1]", "spark.sql.shuffle.partitions": "1"}


    def mark(name):
        with open(os.path.join(os.environ["MARKS"], name), "a") as file:
            file.write(f"{os.getpid()}\\n")


    def heap():
        # What the driver's Java may use: settings of one attempt are not those of the next in a warm worker.
        return current_context().spark_session._jvm.java.lang.Runtime.getRuntime().maxMemory() // 2**20


    @task(
        task_config=Spark(spark_conf={**CONF, "spark.driver.memory": "600m"}),
        secret_requests=[Secret(group="db", key="password")],
        enable_deck=True,
        retries=1,
        environment={"FACTOR": "3"},
    )
    def all_at_once(n: int) -> DataFrame:
        context = current_context()
        session = context.spark_session
        assert heap() <= 600
        Deck("plan", "<p>a deck of Spark</p>")
        if context.attempt == 1:
            session.range(3).count()
            raise ValueError("once more")
        length = len(context.secrets.get("db", "password"))
        return session.range(n).select((F.col("id") * int(os.environ["FACTOR"]) + length).alias("v"))


    @task(task_config=Spark(spark_conf=CONF), cache=Cache(version="1"))
    def counted(n: int) -> int:
        mark("counted")
        assert heap() > 900
        assert current_context().spark_session.conf.get("spark.sql.shuffle.partitions") == os.environ["EXPECTED"]
        return current_context().spark_session.range(n).count()


    @task
    def most(frame: pd.DataFrame) -> int:
        return int(frame["v"].max())


    @workflow
    def combined(n: int) -> tuple[int, list[int]]:
        counts = map_task(counted, concurrency=1)(n=[2, 3]).with_overrides(
            task_config=Spark(spark_conf={**CONF, "spark.sql.shuffle.partitions": "5"}), environment={"EXPECTED": "5"}
        )
        return most(frame=all_at_once(n=n)), counts


    @workflow
    def again() -> list[int]:
        return map_task(counted)(n=[3, 2])


    @task(task_config=Spark(spark_conf=CONF), timeout=float(os.environ.get("TIMEOUT", "600")))
    def endless() -> int:
        session = current_context().spark_session
        mark("java." + str(session.sparkContext._gateway.proc.pid))
        sleep = F.udf(lambda _: __import__("time").sleep(600), "long")
        return session.range(1).select(sleep("id")).collect()[0][0]


    @workflow
    def stuck() -> int:
        return endless()


    @task(task_config=Spark(spark_conf=CONF))
    def misspelt() -> int:
        return current_context().spark_session.sql("select nothing from nowhere").count()


    @task(task_config=Spark(spark_conf=CONF))
    def broken_function() -> int:
        broken = F.udf(lambda value: 1 // value, "long")
        return current_context().spark_session.range(1).select(broken("id")).collect()[0][0]


    @workflow
    def wrong_name() -> int:
        return misspelt()


    @workflow
    def wrong_function() -> int:
        return broken_function()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "flow.py").write_text(textwrap.dedent(FLOW))
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("MARKS", str(marks))
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "12345")
    return tmp_path


def test_what_tasks_may_ask_for_works_together(project: Path, flytepath: Program) -> None:
    done = flytepath("run", "flow.py", "combined", "--n", "4")
    assert "o0 = 14" in done.stdout
    assert "o1 = [2, 3]" in done.stdout
    assert "once more" in done.stderr
    name = next(word for word in done.stdout.split() if word.startswith("x01"))
    flytepath("executions", "deck", name, "--to", "decks")
    assert any("a deck of Spark" in path.read_text() for path in project.rglob("*.html"))
    assert "o0 = [3, 2]" in flytepath("run", "flow.py", "again").stdout
    assert len((project / "marks" / "counted").read_text().split()) == 2
    assert "12345" not in done.stdout + done.stderr
    assert not javas_of(project)


def javas_of(folder: Path) -> list[int]:
    """The Java processes that were noted and still run."""
    noted = [int(path.suffix[1:]) for path in (folder / "marks").glob("java.*")]
    return [pid for pid in noted if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def wait_until_gone(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while javas_of(folder):
        assert time.monotonic() < deadline, f"Java {javas_of(folder)} outlives its attempt"
        time.sleep(0.05)


def test_a_timeout_ends_the_driver_and_its_java(project: Path, flytepath: Program) -> None:
    done = flytepath("run", "flow.py", "stuck", fails=True, TIMEOUT="12")
    assert "12" in done.stderr + done.stdout
    assert list((project / "marks").glob("java.*"))
    wait_until_gone(project)


def test_a_killed_engine_leaves_no_driver_behind(project: Path) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-m", "flytepath", "run", "flow.py", "stuck"],
        cwd=project,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 90
        while not list((project / "marks").glob("java.*")):
            assert time.monotonic() < deadline
            assert engine.poll() is None
            time.sleep(0.05)
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait(20)
    wait_until_gone(project)


def test_errors_of_spark_are_told_in_a_few_lines(project: Path, flytepath: Program) -> None:
    done = flytepath("run", "flow.py", "wrong_name", fails=True)
    shown = done.stdout + done.stderr
    story = shown[shown.index("Error in") :]
    assert "[FP-SPARK-JOB] AnalysisException: [TABLE_OR_VIEW_NOT_FOUND]" in story
    assert "error condition TABLE_OR_VIEW_NOT_FOUND, SQLSTATE 42P01" in story
    assert 'session.sql("select nothing from nowhere")' in story.replace("spark_session", "session")
    assert "at org.apache" not in story
    assert "py4j" not in story
    assert len(story.splitlines()) < 25

    done = flytepath("run", "flow.py", "wrong_function", fails=True)
    shown = done.stdout + done.stderr
    story = shown[shown.index("Error in") :]
    assert "a function on an executor raised ZeroDivisionError" in story
    assert "broken = F.udf(lambda value: 1 // value" in story
    assert "at org.apache" not in story
    assert len(story.splitlines()) < 30
