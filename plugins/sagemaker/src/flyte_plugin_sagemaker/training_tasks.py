"""Training jobs that run no code of ours: the author's request, and SageMaker's algorithms under flytekit's names."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from flytepath import FlyteDirectory, FlyteFile

from flyte_plugin_sagemaker.errors import SageMakerTaskError
from flyte_plugin_sagemaker.service_request import SageMakerTask
from flyte_plugin_sagemaker.training_config import SagemakerTraining
from flyte_plugin_sagemaker.training_request import channel

Json = Any

#: What SageMaker packs of ``/opt/ml/model``.
_ARTIFACT: Final = FlyteFile.__class_getitem__("tar.gz")


class SageMakerTrainingJobTask(SageMakerTask):
    """Runs a training job to its end; an abort stops it.

    The job is named by the author, or by the run. ``{idempotence_token}`` in the name stands for the run, so that
    every attempt is a job of its own. Role, output path, machines and limits that ``config`` leaves out are those of
    the settings. Outputs: ``result``, what ``DescribeTrainingJob`` says at the end; ``model``, the artifact;
    ``metrics``, the last value of each metric.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html

    Example:
        >>> from flytepath import kwtypes
        >>> boost = SageMakerTrainingJobTask(
        ...     name="boost",
        ...     config={
        ...         "AlgorithmSpecification": {"TrainingImage": "{images.xgboost}"},
        ...         "HyperParameters": {"num_round": "{inputs.rounds}"},
        ...     },
        ...     images={"xgboost": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"},
        ...     inputs=kwtypes(rounds=int),
        ... )
        >>> sorted(boost.outputs)
        ['metrics', 'model', 'result']
    """

    kind: ClassVar[str] = "training"
    required: ClassVar[tuple[str, ...]] = ("AlgorithmSpecification",)

    def output_types(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"result": dict, "model": _ARTIFACT, "metrics": dict[str, float]}


class InputMode(enum.StrEnum):
    """How an algorithm gets its data."""

    FILE = "File"
    PIPE = "Pipe"
    FASTFILE = "FastFile"


class InputContentType(enum.StrEnum):
    """What the data of a channel are."""

    TEXT_CSV = "text/csv"
    LIBSVM = "text/libsvm"
    PARQUET = "application/x-parquet"
    RECORDIO = "application/x-recordio-protobuf"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A metric, and the regular expression that finds its values in the log."""

    name: str
    regex: str


@dataclass(frozen=True, slots=True)
class TrainingJobResourceConfig:
    """The machines of a job.

    Args:
        instance_type: as ``ml.m5.xlarge``.
        volume_size_in_gb: the disk of each.
        instance_count: how many.
    """

    instance_type: str
    volume_size_in_gb: int
    instance_count: int = 1


@dataclass(frozen=True, slots=True)
class AlgorithmSpecification:
    """One of SageMaker's algorithms.

    Args:
        image: its container, as AWS lists it for a region. flytekit looks it up by ``algorithm_name``, with a table
            that ages; here it is said. Empty for a function of your own: its image is the task's.
        input_mode: how it gets its data.
        input_content_type: what they are.
        metric_definitions: metrics beside the algorithm's own.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html
    """

    image: str = ""
    input_mode: InputMode = InputMode.FILE
    input_content_type: InputContentType | str = InputContentType.TEXT_CSV
    metric_definitions: list[MetricDefinition] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SagemakerTrainingJobConfig:
    """An algorithm on machines: of :class:`SagemakerBuiltinAlgorithmsTask`, and of a function under flytekit's name."""

    training_job_resource_config: TrainingJobResourceConfig
    algorithm_specification: AlgorithmSpecification = field(default_factory=AlgorithmSpecification)

    def for_function(self) -> SagemakerTraining:
        """The same for a function of your own."""
        machines, algorithm = self.training_job_resource_config, self.algorithm_specification
        return SagemakerTraining(
            instance_type=machines.instance_type,
            instance_count=machines.instance_count,
            volume_gb=machines.volume_size_in_gb,
            image=algorithm.image,
            input_mode=algorithm.input_mode.value,
            metric_definitions={metric.name: metric.regex for metric in algorithm.metric_definitions},
        )


class SagemakerBuiltinAlgorithmsTask(SageMakerTrainingJobTask):
    """Trains one of SageMaker's own algorithms. Its inputs are ``static_hyperparameters``, ``train``, ``validation``.

    Args:
        name: the task's name, unique in its project.
        task_config: the algorithm and its machines.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``cache``, ...

    Raises:
        SageMakerTaskError: a configuration of another kind.

    Example:
        >>> boost = SagemakerBuiltinAlgorithmsTask(
        ...     name="builtin_boost",
        ...     task_config=SagemakerTrainingJobConfig(
        ...         TrainingJobResourceConfig("ml.m5.xlarge", volume_size_in_gb=25),
        ...         AlgorithmSpecification("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"),
        ...     ),
        ... )
        >>> sorted(boost.inputs)
        ['static_hyperparameters', 'train', 'validation']
    """

    def __init__(self, name: str, task_config: SagemakerTrainingJobConfig, **kwargs: Any) -> None:
        if not isinstance(task_config, SagemakerTrainingJobConfig):
            raise SageMakerTaskError(
                "a built-in algorithm is configured by SagemakerTrainingJobConfig",
                place=f"{name}(task_config)",
                actual=repr(task_config)[:200],
            )
        machines, algorithm = task_config.training_job_resource_config, task_config.algorithm_specification
        if not algorithm.image:
            raise SageMakerTaskError(
                "nothing says which algorithm it is",
                place=f"{name}(algorithm_specification.image)",
                expected="the image of the algorithm in your region",
                hint="AWS lists them: docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths",
            )
        specification: dict[str, Json] = {
            "TrainingImage": algorithm.image,
            "TrainingInputMode": str(algorithm.input_mode),
        }
        if algorithm.metric_definitions:
            specification["MetricDefinitions"] = [
                {"Name": metric.name, "Regex": metric.regex} for metric in algorithm.metric_definitions
            ]
        content = str(algorithm.input_content_type)
        config: Mapping[str, Json] = {
            "AlgorithmSpecification": specification,
            "HyperParameters": "{inputs.static_hyperparameters}",
            "InputDataConfig": [channel(one, f"{{inputs.{one}}}", content) for one in ("train", "validation")],
            "ResourceConfig": {
                "InstanceType": machines.instance_type,
                "InstanceCount": machines.instance_count,
                "VolumeSizeInGB": machines.volume_size_in_gb,
            },
        }
        inputs = {"static_hyperparameters": dict, "train": FlyteDirectory, "validation": FlyteDirectory | None}
        super().__init__(name, config, inputs=inputs, channels=True, **kwargs)

    def options(self, name: str, given: dict[str, Any]) -> dict[str, Json]:
        return {"channels": given.pop("channels", False)}

    def output_types(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"model": _ARTIFACT, "metrics": dict[str, float]}


__all__ = [
    "AlgorithmSpecification",
    "InputContentType",
    "InputMode",
    "MetricDefinition",
    "SageMakerTrainingJobTask",
    "SagemakerBuiltinAlgorithmsTask",
    "SagemakerTrainingJobConfig",
    "TrainingJobResourceConfig",
]
