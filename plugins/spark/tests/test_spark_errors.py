"""Errors of Spark in a few lines, and who is to blame for them."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
import spark_servers
from flyte_plugin_spark import SparkJobError, SparkLostError, SparkUnavailableError
from flyte_plugin_spark.errors import shortened, spark_errors, told_of
from pyspark.errors import PySparkException
from pyspark.sql import functions
from spark_servers import Program

STACK = "".join(f"\n\tat org.apache.spark.Some$Thing.call{n}(Some.scala:{n})" for n in range(100))


def raised(message: str) -> PySparkException:
    return PySparkException(message)


@pytest.mark.parametrize(
    ("message", "kind", "blame"),
    [
        ("Job aborted: ExecutorLostFailure (executor 1 exited) Reason: worker lost" + STACK, SparkLostError, "system"),
        (
            "Job aborted: ExecutorLostFailure (executor 1 exited) Reason: Executor decommission",
            SparkLostError,
            "system",
        ),
        (
            "Job aborted: ExecutorLostFailure (executor 2 exited) Container exited with exit code: 137",
            SparkJobError,
            "user",
        ),
        ("All masters are unresponsive! Giving up.", SparkUnavailableError, "system"),
        ("<_InactiveRpcError status = StatusCode.UNAVAILABLE>", SparkUnavailableError, "system"),
        ("[INVALID_HANDLE.SESSION_NOT_FOUND] The handle is invalid", SparkUnavailableError, "system"),
        ("[DIVIDE_BY_ZERO] Division by zero." + STACK, SparkJobError, "user"),
    ],
)
def test_who_is_to_blame(message: str, kind: type, blame: str) -> None:
    told = told_of(raised(message), "flow.count")
    assert type(told) is kind
    assert told.blame == blame
    assert told.place == "flow.count"
    assert "\tat " not in str(told)
    assert len(str(told)) < 700


def test_other_errors_pass_untouched() -> None:
    error = ValueError("mine")
    assert told_of(error, "flow.count") is None
    with pytest.raises(ValueError, match="mine") as caught, spark_errors("flow.count"):
        raise error
    assert caught.value is error


def test_long_messages_are_cut() -> None:
    assert len(shortened("x" * 10_000)) < 1600
    assert shortened("no such table;\n'Project [*]\n+- 'UnresolvedRelation [nope]") == "no such table;"


def test_what_a_function_raises_is_told_with_its_own_frames(spark: Any) -> None:
    def inverse(value):  # type: ignore[no-untyped-def] # Spark takes annotations for something else
        return 1 // value

    with pytest.raises(SparkJobError, match="raised ZeroDivisionError") as caught, spark_errors("flow.count"):
        spark.range(1).select(functions.udf(inverse, "long")("id")).collect()
    assert "in inverse" in str(caught.value)
    assert "pyspark.zip" not in str(caught.value)
    assert len(str(caught.value).splitlines()) < 12


def test_an_error_of_java_is_told_without_its_stack(spark: Any) -> None:
    with pytest.raises(SparkJobError) as caught, spark_errors("flow.count"):
        spark.sparkContext._jvm.java.lang.Integer.parseInt("x")
    assert "NumberFormatException" in str(caught.value)
    assert not re.search(r"\bat java\.", str(caught.value))


def test_what_cannot_be_sent_to_executors_says_so(spark: Any) -> None:
    with pytest.raises(SparkJobError) as caught, spark_errors("flow.count"):
        spark.range(1).select(functions.udf(lambda _: spark.version, "string")("id")).collect()
    assert "must not hold the session" in str(caught.value)


def test_a_connect_server_that_goes_away_is_nobodys_fault(program: Program, tmp_path: Any) -> None:
    with spark_servers.connect(tmp_path / "server") as url:
        log = tmp_path / "server" / "connect.log"
        assert log.exists()
        done = program(
            f"""
            import psutil
            from flyte_plugin_spark import Spark, SparkUnavailableError
            from flytepath import current_context, task

            @task(task_config=Spark(spark_conf={{"spark.remote": "{url}"}}))
            def count() -> int:
                session = current_context().spark_session
                session.client.set_retry_policies([])
                assert session.range(3).count() == 3
                port = int("{url}".rpartition(":")[2])
                listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
                psutil.Process(next(one.pid for one in listening if one.laddr.port == port)).kill()
                return session.range(3).count()

            try:
                count()
            except SparkUnavailableError as error:
                print(error)
            """
        )
    assert "the connection to Spark is lost" in done.stdout
    assert len(done.stdout.splitlines()) < 12


def test_python_is_the_same_on_executors(spark: Any) -> None:
    version = functions.udf(lambda _: __import__("sys").executable, "string")
    assert spark.range(1).select(version("id")).first()[0] == sys.executable
