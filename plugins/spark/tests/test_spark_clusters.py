"""The same workflow on a standalone cluster and on a Connect server: the user's code and the frames reach executors."""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

import pytest
import spark_servers
from flyte_plugin_spark import spark_driver
from spark_servers import Program

HELPER = """
    FACTOR = 3

    def times(value):
        return value * FACTOR
"""
FLOW = """
    import os

    import pandas as pd
    from flyte_plugin_spark import Spark, partitioned_by
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
        made = frame.select(F.udf(rates.tripled.times, "long")("n").alias("n"), (F.col("n") % 2).alias("odd"))
        return partitioned_by(made, "odd")


    @task(task_config=Spark(spark_conf=CONF))
    def total(data: StructuredDataset) -> int:
        return data.open(DataFrame).all().agg(F.sum("n")).first()[0]


    @task
    def largest(frame: pd.DataFrame) -> int:
        assert sorted(set(frame["odd"])) == [0, 1]
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


def test_spark_submit_starts_the_program_that_the_driver_is_told(project: Path, master: str) -> None:
    """As in a pod: Java comes first, the driver's program turns into what it is given, and has its exit code."""
    (project / "program.py").write_text(
        textwrap.dedent(
            """
            import os, sys
            from flyte_plugin_spark import Spark
            from flytepath import current_context, task
            from pyspark.sql import SparkSession
            from pyspark.sql import functions as F
            import rates.tripled

            @task(task_config=Spark(spark_conf={"spark.sql.shuffle.partitions": "3"}))
            def tripled() -> int:
                session = current_context().spark_session
                assert session.sparkContext.master == os.environ["WHERE"]
                assert session.sparkContext.appName == "submitted"
                assert session.conf.get("spark.sql.shuffle.partitions") == "3"
                times = F.udf(rates.tripled.times, "long")
                return session.range(5).select(times("id").alias("n")).agg(F.sum("n")).first()[0]

            print("total", tripled())
            assert SparkSession.getActiveSession() is None
            sys.exit(int(sys.argv[1]))
            """
        )
    )
    command = [str(spark_servers.SPARK_HOME / "bin" / "spark-submit"), "--master", master, "--name", "submitted"]
    command += ["--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.cores.max=1", "--executor-memory", "512m"]
    command += [spark_driver.__file__, "python", "program.py", "7"]
    environment = {**spark_servers.environment(), "WHERE": master, "FLYTEPATH_HOME": os.environ["FLYTEPATH_HOME"]}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert "total 30" in done.stdout, done.stderr[-3000:]
    assert done.returncode == 7
