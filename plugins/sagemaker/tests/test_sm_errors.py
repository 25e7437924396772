"""What AWS refuses, and what never reaches it, is told in AWS's words, with who is to blame and what can be done."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from flyte_plugin_sagemaker import SageMakerSettings
from flyte_plugin_sagemaker.api_errors import ApiError
from flyte_plugin_sagemaker.backend import SageMakerBackend
from flyte_plugin_sagemaker.settings import read_settings
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flyte_plugin_sagemaker.testing.training import Course
from flytepath.plugin import (
    BackendError,
    DefinitionError,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    NotFound,
    NotOurs,
    SecretReference,
    Terminal,
)
from sm_requests import request


@pytest.fixture
def double(sagemaker_double: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[SageMakerDouble]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    sagemaker_double.training.images["example.com/flytepath:1"] = Course()
    yield sagemaker_double


def backend(double: SageMakerDouble, **more: Any) -> SageMakerBackend:
    return SageMakerBackend(SageMakerSettings(**double.settings(**more)))


def refused(backend: SageMakerBackend) -> BackendError:
    with pytest.raises(BackendError) as caught:
        asyncio.run(backend.submit(backend.plan(request())))
    return caught.value


def test_throttling_says_how_long_to_wait(double: SageMakerDouble) -> None:
    double.faults.throttle("CreateTrainingJob", retry_after=7)
    error = refused(backend(double))
    assert (error.error_class, error.retry_after, error.accepted) == (ErrorClass.THROTTLED, 7.0, False)
    assert "ThrottlingException: Rate exceeded" in error.message


def test_a_missing_permission_names_the_call(double: SageMakerDouble) -> None:
    double.faults.deny("CreateTrainingJob")
    error = refused(backend(double))
    assert (error.error_class, error.accepted) == (ErrorClass.AUTH, False)
    assert "not authorized to perform: sagemaker:CreateTrainingJob" in error.message
    assert "README" in str(error.hint)


def test_a_session_that_has_ended_is_told(double: SageMakerDouble) -> None:
    double.faults.expire()
    error = refused(backend(double))
    assert error.error_class is ErrorClass.AUTH
    assert "ExpiredTokenException" in error.message
    assert "renew" in str(error.hint)


def test_keys_that_aws_does_not_know_are_told(double: SageMakerDouble) -> None:
    double.faults.reject_keys(True)
    error = refused(backend(double))
    assert error.error_class is ErrorClass.AUTH
    assert "UnrecognizedClientException" in error.message


def test_no_credentials_at_all_are_told(double: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refused(backend(double))
    assert (error.error_class, error.accepted) == (ErrorClass.AUTH, False)
    assert "access_key_id" in str(error.hint)


def test_no_region_is_told(double: SageMakerDouble) -> None:
    error = refused(backend(double, region="", endpoint_url=""))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "region" in str(error.hint)


def test_a_profile_that_is_not_there_is_told(double: SageMakerDouble) -> None:
    error = refused(backend(double, profile="nobody"))
    assert error.error_class is ErrorClass.AUTH
    assert "nobody" in error.message


def test_a_host_that_is_not_there_is_told_and_nothing_was_sent(double: SageMakerDouble) -> None:
    error = refused(backend(double, endpoint_url="http://127.0.0.1:9", connect_seconds=1.0))
    assert (error.error_class, error.accepted) == (ErrorClass.UNAVAILABLE, False)
    assert "endpoint_url" in str(error.hint)


def test_a_secret_that_is_not_there_is_named(double: SageMakerDouble) -> None:
    keys = {name: SecretReference("aws", name.split("_")[0]) for name in ("access_key_id", "secret_access_key")}
    made = backend(double, **keys)
    made.bind(
        lambda reference, tenant: (
            b"AKIA" if reference.key == "access" else (_ for _ in ()).throw(LookupError(reference.label))
        )
    )
    with pytest.raises(LookupError, match=r"aws\.secret"):
        asyncio.run(made.submit(made.plan(request())))


def test_a_quota_that_is_used_up_is_waited_for(double: SageMakerDouble) -> None:
    double.training.limit = 0
    error = refused(backend(double))
    assert (error.error_class, error.accepted) == (ErrorClass.QUOTA_EXCEEDED, False)
    assert "ml.m5.large for training job usage" in error.message


def test_an_answer_that_is_lost_leaves_it_open_and_the_job_is_found(double: SageMakerDouble) -> None:
    double.faults.cut_after("CreateTrainingJob")
    made = backend(double)
    plan = made.plan(request())
    with pytest.raises(BackendError) as caught:
        asyncio.run(made.submit(plan))
    assert caught.value.accepted is None
    assert isinstance(asyncio.run(made.find(plan)), Found)
    assert len(double.training.made) == 1


def test_trouble_of_the_service_leaves_it_open(double: SageMakerDouble) -> None:
    double.faults.unavailable("CreateTrainingJob")
    error = refused(backend(double))
    assert (error.error_class, error.accepted) == (ErrorClass.UNAVAILABLE, None)


def test_a_role_that_cannot_be_assumed_is_the_requests_fault(double: SageMakerDouble) -> None:
    double.faults.refuse("CreateTrainingJob", "ValidationException", "Could not assume role arn:aws:iam::1:role/x")
    error = refused(backend(double))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)


def test_throttled_looks_stop_at_the_first_refusal(double: SageMakerDouble) -> None:
    double.faults.throttle("DescribeTrainingJob", times=100, retry_after=3)
    handles = [Handle({"kind": "training", "name": f"job-{number}", "arn": "x"}) for number in range(40)]
    seen = asyncio.run(backend(double).poll(handles))
    assert set(seen) == set(handles)
    assert all(isinstance(one, BackendError) and one.retry_after == 3.0 for one in seen.values())
    assert double.faults.asked.count("DescribeTrainingJob") <= 4


def test_looks_are_made_one_by_one_and_never_by_a_list(double: SageMakerDouble) -> None:
    made = backend(double)
    handles = [asyncio.run(made.submit(made.plan(request()))) for _ in range(3)]
    double.faults.asked.clear()
    asyncio.run(made.poll(handles))
    assert double.faults.asked == ["DescribeTrainingJob"] * 3


def test_a_job_that_stops_is_waited_for(double: SageMakerDouble) -> None:
    made = backend(double)
    plan = made.plan(request())
    handle = asyncio.run(made.submit(plan))
    double.training.linger_seconds = 0.5
    assert isinstance(asyncio.run(made.cancel(plan.key, handle, "")), InProgress)
    [job] = double.training.jobs.values()
    assert job.ended.wait(10)
    assert isinstance(asyncio.run(made.cancel(plan.key, handle, "")), Terminal)


def test_what_the_key_alone_names_is_stopped(double: SageMakerDouble) -> None:
    made = backend(double)
    plan = made.plan(request())
    assert isinstance(asyncio.run(made.cancel(plan.key, None, "")), Gone)
    assert isinstance(asyncio.run(made.find(plan)), NotFound)
    asyncio.run(made.submit(plan))
    assert not isinstance(asyncio.run(made.cancel(plan.key, None, "")), Gone | NotOurs)
    [job] = double.training.jobs.values()
    assert job.ended.wait(10)


def test_kinds_that_may_not_be_listed_hinder_neither_a_sweep_nor_a_cancellation(double: SageMakerDouble) -> None:
    made = backend(double)
    plan = made.plan(request())
    asyncio.run(made.submit(plan))
    for kind in ("ProcessingJobs", "TransformJobs", "HyperParameterTuningJobs", "Models", "Endpoint*"):
        double.faults.deny(f"List{kind}")
    found, cursor = [], None
    while True:
        page = asyncio.run(made.list_owned(plan.owner.installation, cursor))
        found += page.jobs
        cursor = page.cursor
        if cursor is None:
            break
    assert [job.key for job in found] == [plan.key]
    assert not isinstance(asyncio.run(made.cancel(plan.key, None, "")), Gone)
    [job] = double.training.jobs.values()
    assert job.ended.wait(10)
    with pytest.raises(BackendError) as caught:
        asyncio.run(made.cancel(made.plan(request()).key, None, ""))
    assert caught.value.error_class is ErrorClass.AUTH  # it is not known to be gone


def test_more_jobs_than_the_pace_allows_are_looked_at_later(
    double: SageMakerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_plugin_sagemaker.backend._LOOK_SECONDS", 0.5)
    made = backend(double, describes_per_second=2.0)
    handles = [Handle({"kind": "training", "name": f"job-{number}", "arn": "x"}) for number in range(12)]
    seen = asyncio.run(made.poll(handles))
    later = [one for one in seen.values() if isinstance(one, BackendError)]
    assert set(seen) == set(handles)
    assert 8 <= len(later) < 12
    assert all(one.error_class is ErrorClass.THROTTLED and one.retry_after for one in later)


@pytest.mark.parametrize(
    ("error", "error_class", "accepted"),
    [
        (ApiError("Unheard", "", 400), ErrorClass.INVALID, False),
        (ApiError("Unheard", "", 403), ErrorClass.AUTH, False),
        (ApiError("Unheard", "", 429), ErrorClass.THROTTLED, False),
        (ApiError("Unheard", "", 503), ErrorClass.UNAVAILABLE, None),
        (ApiError("ReadTimeoutError", "", 0), ErrorClass.UNAVAILABLE, None),
        (ApiError("Unheard", "", 302), ErrorClass.PROTOCOL, None),
    ],
)
def test_codes_that_nobody_knows_go_by_their_status(
    error: ApiError, error_class: ErrorClass, accepted: bool | None
) -> None:
    assert (error.error_class, error.accepted) == (error_class, accepted)


# --- settings ---


@pytest.mark.parametrize(
    "values",
    [
        {"regoin": "eu-west-1"},
        {"role_arn": "SageMakerRole"},
        {"output_path": "/tmp/x"},
        {"instance_type": "m5.large"},
        {"tags": {"flytepath:key": "x"}},
        {"tags": {"a": "b*"}},
        {"max_runtime_seconds": 29 * 86_400},
        {"describes_per_second": 0},
        {"secret_access_key": "AKIAnotAreference"},
        {"endpoint_url": "sagemaker.internal"},
        {"endpoint_urls": {"s3": "minio"}},
    ],
)
def test_settings_that_mean_nothing_name_their_place_and_not_their_value(values: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_settings(values)
    assert str(caught.value.place).startswith(f"backends.sagemaker.{next(iter(values))}")
    assert "AKIAnotAreference" not in str(caught.value)


def test_a_setting_that_is_misspelt_is_offered_as_it_is_spelt() -> None:
    with pytest.raises(DefinitionError, match="there is no such setting") as caught:
        read_settings({"regoin": "eu-west-1"})
    assert caught.value.hint == "is it region?"


@pytest.mark.parametrize(
    "values",
    [{"access_key_id": {"group": "aws", "key": "id"}}, {"subnets": ["subnet-1"]}, {"security_group_ids": ["sg-1"]}],
)
def test_of_what_goes_together_neither_is_given_alone(values: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="are given together"):
        read_settings(values)


# --- what is imported ---


def test_a_missing_boto3_is_told_with_the_command_that_installs_it() -> None:
    code = """
        import sys
        sys.modules["boto3"] = sys.modules["botocore"] = None
        import asyncio
        from flyte_plugin_sagemaker.backend import SageMakerBackend
        from flyte_plugin_sagemaker.settings import SageMakerSettings
        from flytepath.plugin import BackendError, Handle
        from sm_requests import request

        backend = SageMakerBackend(SageMakerSettings(
            role_arn="arn:aws:iam::123456789012:role/r", image="an/image:1", output_path="s3://b/p"
        ))
        handle = Handle({"kind": "training", "name": "x", "arn": "y"})

        async def told(call):
            try:
                await call
            except BackendError as error:
                print(error.error_class, error.accepted, error.hint)

        async def main():
            await told(backend.submit(backend.plan(request())))
            await told(backend.logs(handle))
            [seen] = (await backend.poll([handle])).values()
            print(seen.error_class, seen.accepted, seen.hint)

        asyncio.run(main())
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    # Nothing waits for what no waiting brings, and no job that is there is given up.
    assert done.stdout.splitlines() == [
        "invalid False pip install boto3",
        "unavailable False pip install boto3",
        "unavailable False pip install boto3",
    ]


def test_defining_and_planning_import_no_boto3() -> None:
    code = """
        import sys
        import flyte_plugin_sagemaker
        from flyte_plugin_sagemaker import SagemakerTraining, SageMakerTrainingJobTask
        from flyte_plugin_sagemaker.backend import SageMakerBackend
        SageMakerBackend()
        print([name for name in sys.modules if name.split(".")[0] in ("boto3", "botocore", "s3fs", "moto")])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
