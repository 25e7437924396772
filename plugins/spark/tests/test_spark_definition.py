"""What can never run is refused where it is written, with the setting it is about; nothing of Spark is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from flyte_plugin_spark import Spark
from flytepath import PodTemplate, PythonInstanceTask, task
from flytepath.plugin import DefinitionError


@pytest.mark.parametrize(
    ("arguments", "place", "said"),
    [
        ({"spark_conf": {"spark.executor.instances": 2}}, "spark_conf)['spark.executor.instances']", "write '2'"),
        ({"spark_conf": {"spark.ui.enabled": True}}, "spark_conf)['spark.ui.enabled']", "write 'true'"),
        ({"spark_conf": {"spark.a": None}}, "spark_conf)['spark.a']", "as a text"),
        ({"spark_conf": {3: "a"}}, "Spark(spark_conf)", "name"),
        ({"spark_conf": {"spark.a b": "a"}}, "Spark(spark_conf)", "blanks"),
        ({"spark_conf": ["spark.a"]}, "Spark(spark_conf)", "texts by name"),
        ({"spark_conf": {"fs.s3a.endpoint": "x"}}, "spark_conf['fs.s3a.endpoint']", "hadoop_conf"),
        ({"hadoop_conf": {"spark.a": "x"}}, "hadoop_conf['spark.a']", "spark_conf"),
        ({"spark_conf": {"spark.hadoop.a": "1"}, "hadoop_conf": {"a": "2"}}, "spark.hadoop.a", "set twice"),
        ({"spark_conf": {"spark.master": "local", "spark.remote": "sc://h"}}, "spark_conf", "spark.master or"),
        ({"spark_conf": {"spark.master": "sc://h:15002"}}, "spark.master", "spark.remote"),
        ({"spark_conf": {"spark.master": "http://h"}}, "spark.master", "no such master"),
        ({"spark_conf": {"spark.master": "spark://h"}}, "spark.master", "spark://host:7077"),
        ({"spark_conf": {"spark.remote": "spark://h:1"}}, "spark.remote", "sc://host:15002"),
        (
            {"spark_conf": {"spark.remote": "sc://h", "spark.executor.memory": "1g"}},
            "spark.executor.memory",
            "connects",
        ),
        ({"spark_conf": {"spark.submit.deployMode": "cluster"}}, "deployMode", "driver"),
        ({"spark_conf": {"spark.pyspark.driver.python": "x"}}, "driver.python", "own process"),
        ({"executor_path": "/a", "spark_conf": {"spark.pyspark.python": "/b"}}, "executor_path", "one Python"),
        ({"executor_path": ""}, "executor_path", "a path"),
        ({"applications_path": 3}, "applications_path", "a path"),
        ({"driver_pod": {"spec": {}}}, "driver_pod", "PodTemplate"),
        ({"executor_pod": "pod"}, "executor_pod", "PodTemplate"),
    ],
)
def test_what_can_never_run_is_refused(arguments: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Spark(**arguments)
    assert place in str(caught.value.place)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "master",
    [
        "local",
        "local[4]",
        "local[*]",
        "local[2,3]",
        "spark://a:7077,b:7077",
        "spark://[::1]:7077",
        "yarn",
        "k8s://https://h",
    ],
)
def test_masters_that_there_are_are_taken(master: str) -> None:
    assert Spark(spark_conf={"spark.master": master}).spark_conf["spark.master"] == master


def test_the_settings_are_the_tasks_own() -> None:
    conf = {"spark.a": "1"}
    config = Spark(spark_conf=conf)
    conf["spark.a"] = "2"
    assert config.spark_conf == {"spark.a": "1"}
    assert config == Spark(spark_conf={"spark.a": "1"})


def test_a_task_without_a_function_has_no_use_for_a_session() -> None:
    from flyte_plugin_spark.task import SparkTaskType

    odd = PythonInstanceTask("odd", Spark(), {}, {})
    with pytest.raises(DefinitionError, match="gives a session to Python code"):
        SparkTaskType().compile(odd.declaration())


def test_the_payload_holds_the_pods_as_data() -> None:
    from flyte_plugin_spark.task import SparkTaskType

    @task(task_config=Spark(driver_pod=PodTemplate(labels={"a": "b"}), executor_path="/usr/bin/python3"))
    def one() -> int:
        return 1

    payload = SparkTaskType().compile(one.declaration())
    assert payload["driver_pod"]["labels"] == {"a": "b"}
    assert payload["executor_path"] == "/usr/bin/python3"


def test_defining_a_task_imports_nothing_of_spark() -> None:
    source = (
        "import sys\nfrom flytepath import task\nfrom flyte_plugin_spark import Spark\n"
        "@task(task_config=Spark())\ndef f(x: int) -> int:\n    return x\n"
        "heavy = [m for m in sys.modules if m.partition('.')[0] in ('pyspark', 'py4j', 'pandas', 'pyarrow', 'grpc')]\n"
        "assert not heavy, heavy[:5]\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True)
