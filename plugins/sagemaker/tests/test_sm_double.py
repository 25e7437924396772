"""The double refuses what AWS refuses, and its jobs live as SageMaker's do; seen through boto3 alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flyte_plugin_sagemaker.testing.training import Course

botocore = pytest.importorskip("botocore")


def create(double: SageMakerDouble, name: str = "job-1", **changes: Any) -> Any:
    asked = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": "example.com/any:1",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python", "-c", "print('hello')"],
        },
        "RoleArn": double.settings()["role_arn"],
        "OutputDataConfig": {"S3OutputPath": "s3://artifacts/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    return double.client("sagemaker").create_training_job(**{**asked, **changes})


def described(double: SageMakerDouble, name: str = "job-1") -> Any:
    return double.client("sagemaker").describe_training_job(TrainingJobName=name)


def until(look: Callable[[], Any]) -> Any:
    end = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_a_container_runs_and_its_states_follow_each_other(sagemaker_double: SageMakerDouble) -> None:
    create(sagemaker_double)
    assert sagemaker_double.training.jobs["job-1"].ended.wait(30)
    found = described(sagemaker_double)
    states = [step["Status"] for step in found["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    logs = sagemaker_double.client("logs")
    [stream] = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert stream["logStreamName"].startswith("job-1/algo-1-")
    events = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream["logStreamName"])
    assert [event["message"] for event in events["events"]] == ["hello"]


def test_a_name_is_given_once(sagemaker_double: SageMakerDouble) -> None:
    create(sagemaker_double)
    assert code_of(lambda: create(sagemaker_double)) == "ResourceInUse"
    assert sagemaker_double.training.jobs["job-1"].ended.wait(30)
    assert code_of(lambda: create(sagemaker_double)) == "ResourceInUse"


@pytest.mark.parametrize(
    "changes",
    [
        {"TrainingJobName": "no_underscores"},
        {"TrainingJobName": "x" * 64},
        {"RoleArn": "arn:aws:iam::1:nobody/example"},
        {"ResourceConfig": {"InstanceType": "ml.none.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        {"Environment": {"A": "x" * 513}},
        {"Environment": {"A-B": "x"}},
        {"HyperParameters": {"a": "x" * 2501}},
        {"Tags": [{"Key": "a", "Value": "*"}]},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
        {"Tags": [{"Key": "aws:a", "Value": "1"}]},
        {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
        {"EnableManagedSpotTraining": True},
        {
            "EnableManagedSpotTraining": True,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
        },
    ],
)
def test_what_aws_refuses_is_refused(sagemaker_double: SageMakerDouble, changes: dict[str, Any]) -> None:
    assert code_of(lambda: create(sagemaker_double, **changes)) == "ValidationException"
    assert sagemaker_double.training.made == []


def test_a_job_is_stopping_before_it_is_stopped_and_cannot_be_stopped_then(sagemaker_double: SageMakerDouble) -> None:
    sagemaker_double.training.images["example.com/any:1"] = Course()
    sagemaker_double.training.linger_seconds = 0.3
    client = sagemaker_double.client("sagemaker")
    create(sagemaker_double)
    client.stop_training_job(TrainingJobName="job-1")
    assert described(sagemaker_double)["TrainingJobStatus"] == "Stopping"
    until(lambda: described(sagemaker_double)["TrainingJobStatus"] == "Stopped")
    assert code_of(lambda: client.stop_training_job(TrainingJobName="job-1")) == "ValidationException"


def test_stopping_sends_sigterm_and_keeps_the_model(sagemaker_double: SageMakerDouble) -> None:
    program = (
        "import os, signal, sys, time, pathlib\n"
        "base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"
        "def end(*_):\n    (base / 'checkpoints' / 'last').write_text('x'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(60)\n"
    )
    create(
        sagemaker_double,
        AlgorithmSpecification={
            "TrainingImage": "example.com/any:1",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/sh", "-c", 'exec python -c "$PROGRAM"'],
        },
        Environment={"PROGRAM": program},
        CheckpointConfig={"S3Uri": "s3://artifacts/checkpoints", "LocalPath": "/opt/ml/checkpoints"},
    )
    job = sagemaker_double.training.jobs["job-1"]
    until(lambda: "ready" in job.lines)
    sagemaker_double.client("sagemaker").stop_training_job(TrainingJobName="job-1")
    assert job.ended.wait(30)
    assert job.status == "Stopped"
    kept = sagemaker_double.client("s3").list_objects_v2(Bucket="artifacts", Prefix="checkpoints/")
    assert [found["Key"] for found in kept["Contents"]] == ["checkpoints/last"]


def test_a_job_that_is_not_there_is_refused_as_aws_does(sagemaker_double: SageMakerDouble) -> None:
    assert code_of(lambda: described(sagemaker_double, "nobody")) == "ValidationException"


def test_only_what_has_ended_can_be_deleted(sagemaker_double: SageMakerDouble) -> None:
    sagemaker_double.training.images["example.com/any:1"] = Course()
    client = sagemaker_double.client("sagemaker")
    create(sagemaker_double)
    assert code_of(lambda: client.delete_training_job(TrainingJobName="job-1")) == "ResourceInUse"
    sagemaker_double.training.end("job-1")
    client.delete_training_job(TrainingJobName="job-1")
    assert code_of(lambda: described(sagemaker_double)) == "ValidationException"


def test_lists_come_in_pages_by_state_and_by_a_part_of_the_name(sagemaker_double: SageMakerDouble) -> None:
    sagemaker_double.training.images["example.com/any:1"] = Course()
    for number in range(5):
        create(sagemaker_double, f"job-{number}")
    sagemaker_double.training.end("job-3")
    client = sagemaker_double.client("sagemaker")
    pages = client.get_paginator("list_training_jobs").paginate(
        StatusEquals="InProgress", PaginationConfig={"PageSize": 2}
    )
    assert [one["TrainingJobName"] for page in pages for one in page["TrainingJobSummaries"]] == [
        "job-0",
        "job-1",
        "job-2",
        "job-4",
    ]
    found = client.list_training_jobs(NameContains="-3")["TrainingJobSummaries"]
    assert [one["TrainingJobName"] for one in found] == ["job-3"]


def test_machines_that_are_not_there_fail_the_job(sagemaker_double: SageMakerDouble) -> None:
    sagemaker_double.training.missing_images.add("example.com/any:1")
    create(sagemaker_double)
    assert sagemaker_double.training.jobs["job-1"].ended.wait(30)
    assert described(sagemaker_double)["FailureReason"].startswith("ClientError: Cannot pull the image")


def test_an_account_has_a_limit(sagemaker_double: SageMakerDouble) -> None:
    sagemaker_double.training.images["example.com/any:1"] = Course()
    sagemaker_double.training.limit = 1
    create(sagemaker_double)
    assert code_of(lambda: create(sagemaker_double, "job-2")) == "ResourceLimitExceeded"


def test_two_at_once_get_one_name_once(sagemaker_double: SageMakerDouble) -> None:
    sagemaker_double.training.images["example.com/any:1"] = Course()
    codes: list[str] = []

    def ask() -> None:
        try:
            create(sagemaker_double)
            codes.append("")
        except botocore.exceptions.ClientError as error:
            codes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == ["", "ResourceInUse", "ResourceInUse", "ResourceInUse"]
