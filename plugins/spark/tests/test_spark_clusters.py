"""The same workflow on a standalone cluster and on a Connect server: the user's code and the frames reach executors."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from spark_servers import Program

HELPER = """
    FACTOR = 3

    def times(value):
        return value * FACTOR
"""
FLOW = """
    import os

    import pandas as pd
    from flyte_plugin_spark import Spark
    from flytepath import StructuredDataset, current_context, task, workflow
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    import rates.tripled

    WHERE = os.environ["WHERE"]
    CONF = {"spark.sql.shuffle.partitions": "2"}
    if WHERE.startswith("sc://"):
        CONF["spark.remote"] = WHERE
    else:
        CONF |= {"spark.master": WHERE, "spark.driver.host": "127.0.0.1", "spark.executor.memory": "512m"}
        CONF |= {"spark.cores.max": "1", "spark.executor.cores": "1"}


    @task
    def given() -> pd.DataFrame:
        return pd.DataFrame({"n": range(100)})


    @task(task_config=Spark(spark_conf=CONF))
    def tripled(frame: DataFrame) -> DataFrame:
        session = current_context().spark_session
        assert session.conf.get("spark.sql.shuffle.partitions") == "2"
        where = F.udf(lambda _: __import__("os").getpid(), "long")
        pids = {row[0] for row in frame.repartition(2).select(where("n")).collect()}
        assert os.getpid() not in pids
        return frame.select(F.udf(rates.tripled.times, "long")("n").alias("n"))


    @task(task_config=Spark(spark_conf=CONF))
    def total(data: StructuredDataset) -> int:
        return data.open(DataFrame).all().agg(F.sum("n")).first()[0]


    @task
    def largest(frame: pd.DataFrame) -> int:
        return int(frame["n"].max())


    @workflow
    def flow() -> tuple[int, int]:
        frame = tripled(frame=given())
        return total(data=frame), largest(frame=frame)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates" / "__init__.py").touch()
    (tmp_path / "rates" / "tripled.py").write_text(textwrap.dedent(HELPER))
    (tmp_path / "flow.py").write_text(textwrap.dedent(FLOW))
    return tmp_path


def check_run(flytepath: Program, where: str) -> None:
    done = flytepath("run", "flow.py", "flow", WHERE=where)
    assert "o0 = 14850" in done.stdout
    assert "o1 = 297" in done.stdout


def check_direct_call(program: Program, where: str) -> None:
    """From another folder than the code's, so that executors find it by no accident."""
    done = program("import flow; print(flow.flow())", WHERE=where)
    assert done.stdout.strip().endswith("(14850, 297)")


def test_a_standalone_cluster_runs_the_users_code(project: Path, flytepath: Program, master: str) -> None:
    check_run(flytepath, master)


@pytest.mark.proof
def test_a_standalone_cluster_serves_direct_calls(project: Path, program: Program, master: str) -> None:
    check_direct_call(program, master)


def test_a_connect_server_runs_the_users_code(project: Path, flytepath: Program, connect_server: str) -> None:
    check_run(flytepath, connect_server)


@pytest.mark.proof
def test_a_connect_server_serves_direct_calls(project: Path, program: Program, connect_server: str) -> None:
    check_direct_call(program, connect_server)
