"""Every documented state of a training job means something, and what is not documented is kept and shown."""

from __future__ import annotations

from typing import Any

import pytest
from flyte_plugin_sagemaker.api import Api, Clients
from flyte_plugin_sagemaker.request_rules import _service
from flyte_plugin_sagemaker.settings import SageMakerSettings
from flyte_plugin_sagemaker.training import SECONDARY, TrainingKind, exit_code_of
from flytepath.plugin import ErrorClass, Handle, Observation, Phase

API = Api(Clients(SageMakerSettings(region="eu-west-1")))
HANDLE = Handle({"kind": "training", "name": "train-1", "arn": "arn:aws:sagemaker:eu-west-1:1:training-job/train-1"})


def seen(status: str, secondary: str = "", **more: Any) -> Observation:
    description = {"TrainingJobStatus": status, **({"SecondaryStatus": secondary} if secondary else {}), **more}
    return TrainingKind().observe(API, HANDLE, description)


def test_all_states_that_botocore_knows_are_mapped() -> None:
    model = _service("sagemaker")
    for secondary in model.shape_for("SecondaryStatus").enum:
        assert seen("InProgress", secondary).phase is not None, secondary
    for status in model.shape_for("TrainingJobStatus").enum:
        found = seen(status)
        assert found.gone if status == "Deleting" else found.phase is not None, status


@pytest.mark.parametrize(
    ("status", "secondary", "phase", "error_class"),
    [
        ("InProgress", "Pending", Phase.QUEUED, None),
        ("InProgress", "Starting", Phase.INITIALIZING, None),
        ("InProgress", "Downloading", Phase.INITIALIZING, None),
        ("InProgress", "Training", Phase.RUNNING, None),
        ("InProgress", "Interrupted", Phase.QUEUED, None),
        ("InProgress", "Uploading", Phase.RUNNING, None),
        ("Stopping", "Stopping", Phase.RUNNING, None),
        ("Completed", "Completed", Phase.SUCCEEDED, None),
        ("Stopped", "Stopped", Phase.CANCELLED, None),
        ("Stopped", "MaxRuntimeExceeded", Phase.FAILED, ErrorClass.USER),
        ("Stopped", "MaxWaitTimeExceeded", Phase.FAILED, ErrorClass.PREEMPTED),
        ("InProgress", "Dreaming", None, None),
        ("Dreaming", "", None, None),
    ],
)
def test_a_state_is_a_phase(status: str, secondary: str, phase: Phase | None, error_class: ErrorClass | None) -> None:
    found = seen(status, secondary)
    assert (found.phase, found.error_class) == (phase, error_class)
    assert status in found.raw_state
    assert secondary in found.raw_state


def test_a_job_is_over_only_when_its_primary_state_says_so() -> None:
    for secondary in SECONDARY:
        found = seen("InProgress", secondary).phase
        assert found is not None
        assert not found.is_terminal, secondary


@pytest.mark.parametrize(
    ("reason", "error_class", "code"),
    [
        ("AlgorithmError: , exit code: 1", ErrorClass.USER, 1),
        ("AlgorithmError: ExecuteUserScriptError:\nExitCode 2", ErrorClass.USER, 2),
        ("AlgorithmError: , exit code: 137", ErrorClass.OUT_OF_MEMORY, 137),
        ("AlgorithmError: CUDA out of memory, exit code: 1", ErrorClass.OUT_OF_MEMORY, 1),
        ("AlgorithmError: , exit code: 75", ErrorClass.LOST, 75),
        ("AlgorithmError: , exit code: 143", ErrorClass.PREEMPTED, 143),
        ("CapacityError: Unable to provision requested ML compute capacity.", ErrorClass.PREEMPTED, None),
        ("InternalServerError: We encountered an internal error.  Please try again.", ErrorClass.LOST, None),
        ("ClientError: Data download failed: no S3 objects found under s3://b/p", ErrorClass.INVALID, None),
        ("ResourceLimitExceeded: account-level limit", ErrorClass.QUOTA_EXCEEDED, None),
        ("AlgorithmError: no such room, exit code: 1", ErrorClass.USER, 1),
        ("AlgorithmError: ResourceLimitExceeded, says my own call, exit code: 1", ErrorClass.USER, 1),
        ("AlgorithmError: insufficient shelf capacity, exit code: 1", ErrorClass.USER, 1),
        ("AlgorithmError: OOMKilled, exit code: 1", ErrorClass.OUT_OF_MEMORY, 1),
        ("AlgorithmError: torch.OutOfMemoryError, exit code: 1", ErrorClass.OUT_OF_MEMORY, 1),
        ("Unable to provision requested ML compute capacity due to an error", ErrorClass.PREEMPTED, None),
        ("InsufficientInstanceCapacity: none are left", ErrorClass.PREEMPTED, None),
    ],
)
def test_the_reason_says_who_is_to_blame(reason: str, error_class: ErrorClass, code: int | None) -> None:
    found = seen("Failed", "Failed", FailureReason=reason)
    assert (found.phase, found.error_class, found.exit_code) == (Phase.FAILED, error_class, code)
    assert found.reason == reason
    assert exit_code_of(reason) == code


def test_what_sagemaker_says_of_a_state_is_the_reason() -> None:
    steps = [{"StatusMessage": "Preparing"}, {"StatusMessage": "Waiting for ml.p4d.24xlarge"}]
    assert seen("InProgress", "Pending", SecondaryStatusTransitions=steps).reason == "Waiting for ml.p4d.24xlarge"


def test_links_lead_to_the_console_and_to_the_log() -> None:
    (_, console), (_, log) = seen("InProgress", "Training").links
    assert console == "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/jobs/train-1"
    assert log.endswith(
        "#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FTrainingJobs$3FlogStreamNameFilter$3Dtrain-1$252F"
    )
