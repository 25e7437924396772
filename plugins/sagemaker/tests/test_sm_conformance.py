"""The plugin keeps to the contract, as the conformance kit tells it."""

from __future__ import annotations

from collections.abc import Iterable

from flyte_plugin_sagemaker import SagemakerTraining
from flyte_plugin_sagemaker.training_task import SagemakerTrainingType
from flytepath.testing import PluginConformance, TaskTypeConformance


class TestPlugin(PluginConformance):
    plugin = "sagemaker"


class TestTrainingType(TaskTypeConformance):
    task_type = SagemakerTrainingType
    name = "sagemaker-training"

    def config_samples(self) -> Iterable[SagemakerTraining]:
        return [
            SagemakerTraining(),
            SagemakerTraining(
                instance_type="ml.g5.xlarge",
                instance_count=1,
                spot=True,
                hyperparameters={"b": 2, "a": [1.5, "x"]},
                channels={"train": "s3://data/train"},
                metric_definitions={"loss": "loss=(.*)"},
                subnets=("subnet-1",),
                security_group_ids=("sg-1",),
                request={"RetryStrategy": {"MaximumRetryAttempts": 3}},
            ),
        ]
