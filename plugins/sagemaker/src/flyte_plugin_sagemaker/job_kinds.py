"""Jobs of SageMaker beside training: processing, batch transform and hyperparameter tuning.

States are those of the pages DescribeProcessingJob, DescribeTransformJob and DescribeHyperParameterTuningJob of the
SageMaker API reference. A job that is told to stop is ``Stopping`` until it is ``Stopped``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flytepath.plugin import ErrorClass, Handle, Observation, Phase

from flyte_plugin_sagemaker.request_kind import RequestKind

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api

Json = Any
_JOB_STATES: Final[Mapping[str, Phase]] = {
    "InProgress": Phase.RUNNING,
    "Stopping": Phase.RUNNING,
    "Completed": Phase.SUCCEEDED,
    "Failed": Phase.FAILED,
    "Stopped": Phase.CANCELLED,
}


class ProcessingKind(RequestKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeProcessingJob.html"""

    name: ClassVar[str] = "processing"
    title: ClassVar[str] = "processing job"
    name_field: ClassVar[str] = "ProcessingJobName"
    arn_field: ClassVar[str] = "ProcessingJobArn"
    status_field: ClassVar[str] = "ProcessingJobStatus"
    create_call: ClassVar[str] = "create_processing_job"
    describe_call: ClassVar[str] = "describe_processing_job"
    stop_call: ClassVar[str] = "stop_processing_job"
    list_call: ClassVar[str] = "list_processing_jobs"
    list_field: ClassVar[str] = "ProcessingJobSummaries"
    live_states: ClassVar[tuple[str, ...]] = ("InProgress",)
    states: ClassVar[Mapping[str, Phase]] = _JOB_STATES
    log_group: ClassVar[str] = "/aws/sagemaker/ProcessingJobs"
    console: ClassVar[str] = "processing-jobs/{name}"
    role_field: ClassVar[str] = "RoleArn"

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        """The container's own last words, where it left some, stand beside SageMaker's reason."""
        seen = super().observe(api, handle, description)
        words = str((description or {}).get("ExitMessage") or "")
        if not words or words in seen.reason:
            return seen
        return dataclasses.replace(seen, reason=f"{seen.reason}; the container: {words}" if seen.reason else words)


class TransformKind(RequestKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTransformJob.html"""

    name: ClassVar[str] = "transform"
    title: ClassVar[str] = "batch transform job"
    name_field: ClassVar[str] = "TransformJobName"
    arn_field: ClassVar[str] = "TransformJobArn"
    status_field: ClassVar[str] = "TransformJobStatus"
    create_call: ClassVar[str] = "create_transform_job"
    describe_call: ClassVar[str] = "describe_transform_job"
    stop_call: ClassVar[str] = "stop_transform_job"
    list_call: ClassVar[str] = "list_transform_jobs"
    list_field: ClassVar[str] = "TransformJobSummaries"
    live_states: ClassVar[tuple[str, ...]] = ("InProgress",)
    states: ClassVar[Mapping[str, Phase]] = _JOB_STATES
    log_group: ClassVar[str] = "/aws/sagemaker/TransformJobs"
    console: ClassVar[str] = "transform-jobs/{name}"


class TuningKind(RequestKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeHyperParameterTuningJob.html

    Its log is that of its training jobs. Names have at most 32 characters.
    """

    name: ClassVar[str] = "tuning"
    title: ClassVar[str] = "hyperparameter tuning job"
    name_field: ClassVar[str] = "HyperParameterTuningJobName"
    arn_field: ClassVar[str] = "HyperParameterTuningJobArn"
    status_field: ClassVar[str] = "HyperParameterTuningJobStatus"
    name_limit: ClassVar[int] = 32
    create_call: ClassVar[str] = "create_hyper_parameter_tuning_job"
    describe_call: ClassVar[str] = "describe_hyper_parameter_tuning_job"
    stop_call: ClassVar[str] = "stop_hyper_parameter_tuning_job"
    list_call: ClassVar[str] = "list_hyper_parameter_tuning_jobs"
    list_field: ClassVar[str] = "HyperParameterTuningJobSummaries"
    live_states: ClassVar[tuple[str, ...]] = ("InProgress",)
    states: ClassVar[Mapping[str, Phase]] = {
        **_JOB_STATES,
        # Deleted by somebody, which a job that has ended can be.
        "Deleting": Phase.CANCELLED,
        "DeleteFailed": Phase.CANCELLED,
    }
    log_group: ClassVar[str] = "/aws/sagemaker/TrainingJobs"
    console: ClassVar[str] = "hyper-tuning-jobs/{name}"

    def log_prefix(self, name: str) -> str:
        """Its training jobs are named by it, and more."""
        return f"{name}-"

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        """How many of its training jobs have come how far."""
        seen = super().observe(api, handle, description)
        counts = (description or {}).get("TrainingJobStatusCounters") or {}
        told = ", ".join(f"{count} {word}" for word, count in _counted(counts) if count)
        if not told:
            return seen
        return dataclasses.replace(seen, reason=f"{seen.reason} ({told})" if seen.reason else f"training jobs: {told}")

    def blame(self, state: str, reason: str) -> ErrorClass:
        """Training jobs that all failed are the author's, whatever SageMaker calls it."""
        if "training job" in reason.lower() and "fail" in reason.lower():
            return ErrorClass.USER
        return super().blame(state, reason)

    def outcome(self, api: Api, handle: Handle, description: Mapping[str, Json]) -> dict[str, Json]:
        """What SageMaker says of it, and where the model of the best training job lies."""
        told = super().outcome(api, handle, description)
        best = (told.get("BestTrainingJob") or {}).get("TrainingJobName")
        if best:
            job = api.call("sagemaker", "describe_training_job", TrainingJobName=best)
            told["BestModelArtifacts"] = (job.get("ModelArtifacts") or {}).get("S3ModelArtifacts")
        return told


def _counted(counts: Mapping[str, Json]) -> list[tuple[str, Json]]:
    words = {
        "Completed": "completed",
        "InProgress": "in progress",
        "RetryableError": "to be tried again",
        "NonRetryableError": "failed",
        "Stopped": "stopped",
    }
    return [(word, counts.get(name)) for name, word in words.items()]
