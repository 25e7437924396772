"""Tasks that are a job of SageMaker's own: processing, batch transform, hyperparameter tuning; and calls about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flytepath import ImageSpec

from flyte_plugin_sagemaker.boto_task import BotoConfig, BotoTask
from flyte_plugin_sagemaker.service_request import SageMakerTask

Json = Any


class SageMakerProcessingJobTask(SageMakerTask):
    """Runs a processing job to its end; an abort stops it.

    The job is named by the author, or by the run. ``{idempotence_token}`` in the name stands for the run, so that every
    attempt is a job of its own. ``result`` is what ``DescribeProcessingJob`` says at the end.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html

    Example:
        >>> from flytepath import kwtypes
        >>> clean = SageMakerProcessingJobTask(
        ...     name="clean",
        ...     config={
        ...         "AppSpecification": {"ImageUri": "{images.tools}", "ContainerEntrypoint": ["clean"]},
        ...         "ProcessingResources": {
        ...             "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        ...         },
        ...         "Environment": {"DAY": "{inputs.day}"},
        ...     },
        ...     images={"tools": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/tools:1"},
        ...     inputs=kwtypes(day=str),
        ... )
        >>> clean.outputs
        {'result': <class 'dict'>}
    """

    kind: ClassVar[str] = "processing"
    required: ClassVar[tuple[str, ...]] = ("AppSpecification", "ProcessingResources")


class SageMakerTransformJobTask(SageMakerTask):
    """Runs a batch transform job to its end; an abort stops it, and SageMaker then keeps none of its output.

    Names are as for :class:`SageMakerProcessingJobTask`. ``result`` is what ``DescribeTransformJob`` says at the end;
    ``result["TransformOutput"]["S3OutputPath"]`` is where the predictions lie.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
    """

    kind: ClassVar[str] = "transform"
    required: ClassVar[tuple[str, ...]] = ("ModelName", "TransformInput", "TransformOutput", "TransformResources")


class SageMakerHyperParameterTuningJobTask(SageMakerTask):
    """Runs a hyperparameter tuning job to its end; an abort stops it with all its training jobs.

    Names are as for :class:`SageMakerProcessingJobTask`, with at most 32 characters. ``result`` is what
    ``DescribeHyperParameterTuningJob`` says at the end, and ``BestModelArtifacts``: where the best training job has
    left its model.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateHyperParameterTuningJob.html
    """

    kind: ClassVar[str] = "tuning"
    required: ClassVar[tuple[str, ...]] = ("HyperParameterTuningJobConfig",)


class _SageMakerCallTask(BotoTask):
    """One call of the client ``sagemaker``."""

    method: ClassVar[str]

    def __init__(
        self,
        name: str,
        config: Mapping[str, Json],
        region: str | None = None,
        images: Mapping[str, str | ImageSpec] | None = None,
        inputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, BotoConfig("sagemaker", self.method, config, region, images), inputs, **kwargs)


class SageMakerStopProcessingJobTask(_SageMakerCallTask):
    """Asks for the end of a processing job, as a :class:`~flyte_plugin_sagemaker.BotoTask`."""

    method: ClassVar[str] = "stop_processing_job"


class SageMakerDescribeProcessingJobTask(_SageMakerCallTask):
    """Describes a processing job, as a :class:`~flyte_plugin_sagemaker.BotoTask`."""

    method: ClassVar[str] = "describe_processing_job"


class SageMakerStopTransformJobTask(_SageMakerCallTask):
    """Asks for the end of a batch transform job, as a :class:`~flyte_plugin_sagemaker.BotoTask`."""

    method: ClassVar[str] = "stop_transform_job"


class SageMakerDescribeTransformJobTask(_SageMakerCallTask):
    """Describes a batch transform job, as a :class:`~flyte_plugin_sagemaker.BotoTask`."""

    method: ClassVar[str] = "describe_transform_job"


class SageMakerStopHyperParameterTuningJobTask(_SageMakerCallTask):
    """Asks for the end of a tuning job, as a :class:`~flyte_plugin_sagemaker.BotoTask`."""

    method: ClassVar[str] = "stop_hyper_parameter_tuning_job"


class SageMakerDescribeHyperParameterTuningJobTask(_SageMakerCallTask):
    """Describes a tuning job, as a :class:`~flyte_plugin_sagemaker.BotoTask`."""

    method: ClassVar[str] = "describe_hyper_parameter_tuning_job"
