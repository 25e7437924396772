"""The plugin keeps to the contract, as the conformance kit tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from flyte_plugin_spark import Spark
from flyte_plugin_spark.task import SparkTaskType
from flytepath import PodTemplate
from flytepath.testing import PluginConformance, TaskTypeConformance


class TestPlugin(PluginConformance):
    plugin = "spark"


@pytest.mark.usefixtures("spark")
class TestTaskType(TaskTypeConformance):
    task_type = SparkTaskType
    name = "spark"

    def config_samples(self) -> Iterable[Any]:
        pod = PodTemplate(pod_spec={"containers": [{"name": "primary"}]}, labels={"a": "b"})
        return [
            Spark(),
            Spark(
                spark_conf={"spark.sql.shuffle.partitions": "2", "spark.master": "local[2]"},
                hadoop_conf={"fs.s3a.endpoint": "http://127.0.0.1:9"},
                executor_path="/usr/bin/python3",
                applications_path="local:///app.py",
                driver_pod=pod,
                executor_pod=pod,
            ),
        ]
