"""One session at a time: looked up if there is one, else started, and stopped with the task that started it."""

from __future__ import annotations

from typing import Any

import pytest
import spark_servers
from flyte_plugin_spark import Spark, SparkSessionConflictError, new_spark_session
from flytepath import current_context, task
from spark_servers import Program


def test_a_session_that_runs_is_found_and_left_alone(spark: Any) -> None:
    @task(task_config=Spark(spark_conf={"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2"}))
    def same() -> bool:
        return current_context().spark_session is spark

    assert same()
    assert spark.range(2).count() == 2


def test_settings_of_a_session_get_one_of_their_own(spark: Any) -> None:
    conf = {"spark.sql.shuffle.partitions": "7", "spark.hadoop.a.b": "from spark"}

    @task(task_config=Spark(spark_conf=conf, hadoop_conf={"fs.test.c": "from hadoop"}))
    def asked() -> list[str]:
        session = current_context().spark_session
        hadoop = session._jsparkSession.sessionState().newHadoopConf()
        return [session.conf.get("spark.sql.shuffle.partitions"), hadoop.get("a.b"), hadoop.get("fs.test.c")]

    assert asked() == ["7", "from spark", "from hadoop"]
    assert spark.conf.get("spark.sql.shuffle.partitions") == "2"


@pytest.mark.parametrize(
    ("conf", "named"),
    [
        ({"spark.executor.memory": "3g"}, "spark.executor.memory=3g"),
        ({"spark.master": "local[1]"}, "local[1]"),
        ({"spark.remote": "sc://127.0.0.1:1"}, "sc://127.0.0.1:1"),
        ({"spark.app.name": "other"}, "spark.app.name=other"),
    ],
)
def test_settings_that_a_running_session_cannot_take_on_are_an_error(
    spark: Any, conf: dict[str, str], named: str
) -> None:
    @task(task_config=Spark(spark_conf=conf))
    def never() -> int:
        return 1

    with pytest.raises(SparkSessionConflictError) as caught:
        never()
    assert caught.value.expected == named
    assert caught.value.hint


def test_new_spark_session_gives_the_one_that_runs(spark: Any) -> None:
    assert new_spark_session("any") is spark


def test_a_session_ends_with_the_task_that_started_it(program: Program) -> None:
    done = program(
        """
        import os
        from flyte_plugin_spark import Spark, SparkSessionConflictError
        from flytepath import current_context, task
        from pyspark.sql import SparkSession

        @task(task_config=Spark(spark_conf={"spark.master": "local[1]", "spark.sql.shuffle.partitions": "3"}))
        def first() -> str:
            session = current_context().spark_session
            assert SparkSession.builder.getOrCreate() is session
            assert session is current_context().get("SPARK_SESSION")
            return session.sparkContext.master + session.conf.get("spark.sql.shuffle.partitions")

        @task(task_config=Spark(spark_conf={"spark.master": "local[2]"}))
        def second(fail: bool) -> str:
            if fail:
                raise ValueError("mine")
            return current_context().spark_session.sparkContext.master

        @task(task_config=Spark(spark_conf={"spark.driver.memory": "700m"}))
        def roomy() -> int:
            return 1

        before = dict(os.environ)
        assert first() == "local[1]3"
        assert SparkSession.getActiveSession() is None
        try:
            second(fail=True)
        except ValueError as error:
            assert str(error) == "mine"
        assert SparkSession.getActiveSession() is None
        assert second(fail=False) == "local[2]"
        changed = {name for name, value in os.environ.items() if before.get(name) != value}
        assert changed <= {"SPARK_AUTH_SOCKET_TIMEOUT", "SPARK_BUFFER_SIZE"}  # pyspark's own word to its executors
        try:
            roomy()
        except SparkSessionConflictError as error:
            assert error.expected == "spark.driver.memory=700m"
            print("refused")
        """
    )
    assert done.stdout.strip() == "refused"


def test_frames_that_a_direct_call_returns_stay_alive(program: Program) -> None:
    done = program(
        """
        from flyte_plugin_spark import Spark, SparkSessionConflictError, stop_kept_session
        from flytepath import current_context, task
        from pyspark.sql import DataFrame, SparkSession
        from pyspark.errors import PySparkException

        @task(task_config=Spark(spark_conf={"spark.master": "local[1]"}))
        def numbers() -> DataFrame:
            return current_context().spark_session.range(4)

        @task(task_config=Spark())
        def total(frame: DataFrame) -> int:
            return frame.agg({"id": "sum"}).first()[0]

        @task(task_config=Spark(spark_conf={"spark.executor.memory": "2g"}))
        def other() -> int:
            return 1

        frame = numbers()
        assert frame.count() == 4
        assert total(frame=frame) == 6
        assert frame.count() == 4
        try:
            other()
        except SparkSessionConflictError as error:
            print(error.expected)
        stop_kept_session()
        assert SparkSession.getActiveSession() is None
        """
    )
    assert done.stdout.strip() == "spark.executor.memory=2g"


def test_a_plain_task_reads_and_returns_frames_too(program: Program) -> None:
    program(
        """
        import pandas as pd
        from flytepath import task
        from pyspark.sql import DataFrame

        @task
        def doubled(frame: DataFrame) -> DataFrame:
            return frame.selectExpr("a * 2 as a")

        assert doubled(frame=pd.DataFrame({"a": [1, 2]})).toPandas()["a"].tolist() == [2, 4]
        """,
        SPARK_MASTER="local[1]",
    )


def test_nobody_listens_where_the_task_wants_to_go(program: Program) -> None:
    port = spark_servers.free_port()
    done = program(
        f"""
        from flyte_plugin_spark import Spark, SparkUnavailableError
        from flytepath import task

        @task(task_config=Spark(spark_conf={{"spark.master": "spark://127.0.0.1:{port}"}}))
        def cluster() -> int:
            return 1

        @task(task_config=Spark(spark_conf={{"spark.remote": "sc://127.0.0.1:{port}/;token=secret"}}))
        def connect() -> int:
            return 1

        for one in (cluster, connect):
            try:
                one()
            except SparkUnavailableError as error:
                print(error)
                assert error.blame == "system"
        """
    )
    assert "the master does not answer" in done.stdout
    assert "the Connect server does not answer" in done.stdout
    assert "secret" not in done.stdout


def test_without_java_the_error_says_so(program: Program) -> None:
    done = program(
        """
        from flyte_plugin_spark import Spark, SparkSetupError
        from flytepath import task

        @task(task_config=Spark())
        def one() -> int:
            return 1

        try:
            one()
        except SparkSetupError as error:
            print(error)
        """,
        PATH="/nowhere",
        JAVA_HOME="",
    )
    assert done.stdout.splitlines()[0] == "[FP-SPARK-SETUP] Spark needs Java, and there is none"
    assert "openjdk-17" in done.stdout
    program(
        """
        from flyte_plugin_spark import SparkSetupError, new_spark_session
        try:
            new_spark_session("x")
        except SparkSetupError as error:
            assert error.actual == "there is no such file", error
        """,
        JAVA_HOME="/nowhere",
    )


def test_a_java_that_ends_at_once_is_told(program: Program) -> None:
    done = program(
        """
        from flyte_plugin_spark import SparkSetupError, new_spark_session
        try:
            new_spark_session("x", {"spark.driver.memory": "1k"})
        except SparkSetupError as error:
            print(error)
        """
    )
    assert "the session cannot be started" in done.stdout
    assert len(done.stdout.splitlines()) < 8


@pytest.mark.proof
def test_a_connect_session_that_runs_is_found_and_left_alone(program: Program, connect_server: str) -> None:
    done = program(
        f"""
        from flyte_plugin_spark import Spark, SparkSessionConflictError
        from flytepath import current_context, task
        from pyspark.sql import SparkSession

        mine = SparkSession.builder.remote("{connect_server}").getOrCreate()

        def one(**conf: str):
            @task(task_config=Spark(spark_conf=conf))
            def same() -> bool:
                return current_context().spark_session is mine
            return same

        assert one()()
        assert one(**{{"spark.remote": "{connect_server}/"}})()
        others = {{"spark.remote": "sc://127.0.0.1:1", "spark.master": "local", "spark.sql.ansi.enabled": "no"}}
        for name, value in others.items():
            try:
                one(**{{name: value}})()
            except SparkSessionConflictError as error:
                print("refused", error.expected)
        assert mine.range(2).count() == 2
        """
    )
    assert done.stdout.splitlines() == [
        "refused sc://127.0.0.1:1",
        "refused local",
        "refused spark.sql.ansi.enabled=no",
    ]
