"""The request of a training job: what task, configuration and settings make of it, and what is refused."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from flyte_plugin_sagemaker import SageMakerSettings, SagemakerTraining
from flyte_plugin_sagemaker.backend import SageMakerBackend
from flyte_plugin_sagemaker.compile_check import check_request
from flyte_plugin_sagemaker.container_command import container_command
from flyte_plugin_sagemaker.errors import SageMakerRequestError, SageMakerSettingsError, SageMakerTaskError
from flyte_plugin_sagemaker.request_rules import violations
from flyte_plugin_sagemaker.tags import Stamp, may_be_ours, stamp_of, tags_of, tail_of
from flytepath.plugin import BackendError, ErrorClass, JobKey, Owner, Resources, Tenant
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sm_requests import OWNER, WORKER, request

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
SETTINGS: dict[str, Any] = {"role_arn": ROLE, "image": "an/image:1", "output_path": "s3://artifacts/jobs"}


def made(
    config: SagemakerTraining | None = None, settings: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    payload = {} if config is None else config.to_json()
    backend = SageMakerBackend(SageMakerSettings(**{**SETTINGS, **(settings or {})}))
    found: dict[str, Any] = backend.plan(request(payload=payload, **changes)).spec["request"]
    assert list(violations("sagemaker", "CreateTrainingJob", found)) == []
    return found


def test_the_worker_is_the_entry_point() -> None:
    found = made()
    assert found["AlgorithmSpecification"] == {
        "TrainingImage": "an/image:1",
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python", "-m", "flytepath.worker"],
    }
    assert found["RoleArn"] == ROLE
    assert found["OutputDataConfig"] == {"S3OutputPath": "s3://artifacts/jobs"}
    assert found["ResourceConfig"] == {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
    assert found["Environment"]["FLYTEPATH_TERMINATION_SECONDS"] == "120"


def test_a_configuration_says_more() -> None:
    config = SagemakerTraining(
        instance_type="ml.g5.2xlarge",
        instance_count=2,
        volume_gb=100,
        keep_alive_seconds=600,
        hyperparameters={"lr": 0.1, "name": "adam"},
        channels={"train": "s3://data/train"},
        metric_definitions={"loss": "loss=([0-9.]+)"},
        subnets=("subnet-1",),
        security_group_ids=("sg-1",),
        request={"RetryStrategy": {"MaximumRetryAttempts": 2}, "ResourceConfig": {"VolumeKmsKeyId": "key"}},
    )
    found = made(config)
    assert found["ResourceConfig"] == {
        "InstanceType": "ml.g5.2xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 100,
        "KeepAlivePeriodInSeconds": 600,
        "VolumeKmsKeyId": "key",
    }
    assert found["HyperParameters"] == {"lr": "0.1", "name": "adam"}
    assert found["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://data/train"
    assert found["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert found["RetryStrategy"] == {"MaximumRetryAttempts": 2}


def test_a_plain_function_needs_no_configuration() -> None:
    found = made(None, task_type="python")
    assert found["AlgorithmSpecification"]["ContainerEntrypoint"][0] == "python"


@pytest.mark.parametrize(("spot", "interruptible"), [(True, False), (None, True)])
def test_spot_has_a_place_for_checkpoints_that_all_attempts_share(spot: bool | None, interruptible: bool) -> None:
    first, second = (made(SagemakerTraining(spot=spot), interruptible=interruptible) for _ in range(2))
    assert first["EnableManagedSpotTraining"] is True
    assert first["StoppingCondition"]["MaxWaitTimeInSeconds"] >= first["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert first["CheckpointConfig"] == second["CheckpointConfig"]
    assert first["CheckpointConfig"]["S3Uri"].startswith("s3://artifacts/jobs/checkpoints/")
    other = made(SagemakerTraining(spot=True), owner=Owner("installation-1", OWNER.tenant, "e2", OWNER.node_path))
    assert other["CheckpointConfig"] != first["CheckpointConfig"]


def test_spot_false_stands_against_interruptible() -> None:
    assert "EnableManagedSpotTraining" not in made(SagemakerTraining(spot=False), interruptible=True)


def test_sagemaker_is_told_of_the_timeout_with_time_for_core_to_end_it_first() -> None:
    assert made(timeout_seconds=1000.0)["StoppingCondition"] == {"MaxRuntimeInSeconds": 1600}
    assert made()["StoppingCondition"] == {"MaxRuntimeInSeconds": 86_400}
    assert made(timeout_seconds=10.0**8)["StoppingCondition"] == {"MaxRuntimeInSeconds": 28 * 86_400}


def test_labels_and_annotations_are_tags() -> None:
    found = made(labels={"team": "vision"}, annotations={"ticket": "a-1"}, settings={"tags": {"cost": "42"}})
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    assert (tags["team"], tags["ticket"], tags["cost"]) == ("vision", "a-1", "42")


def test_scratch_disk_is_the_volume() -> None:
    assert made(requests=Resources(ephemeral_storage="200Gi"))["ResourceConfig"]["VolumeSizeInGB"] == 200


@pytest.mark.parametrize("missing", ["role_arn", "image", "output_path"])
def test_what_nobody_says_is_said_when_it_is_compiled(missing: str) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != missing}
    with pytest.raises(SageMakerSettingsError) as caught:
        check_request(request(), settings)
    assert caught.value.place == f"backends.sagemaker.{missing}"


@pytest.mark.parametrize(
    "changes",
    [
        {"pod_template": {"pod_spec": {}}},
        {"accelerator": {"device": "nvidia-l4"}},
        {"shared_memory": True},
        {"requests": Resources(mem="64Gi")},
        {"requests": Resources(gpu="1")},
        {"requests": Resources(cpu="64")},
    ],
)
def test_what_no_machine_there_has_is_refused_when_it_is_compiled(changes: dict[str, Any]) -> None:
    with pytest.raises(SageMakerTaskError):
        check_request(request(**changes), SETTINGS)


def test_parameters_that_aws_does_not_know_are_refused_when_it_is_compiled() -> None:
    for extra in ({"NoSuchThing": 1}, {"ResourceConfig": {"InstanceType": "ml.m5.tiny"}}):
        config = SagemakerTraining(request=extra)
        with pytest.raises(SageMakerRequestError) as caught:
            check_request(request(payload=config.to_json()), SETTINGS)
        assert next(iter(extra)) in str(caught.value)


@pytest.mark.parametrize("extra", [{"TrainingJobName": "mine"}, {"EnableNetworkIsolation": True}])
def test_what_would_part_a_job_from_its_key_or_its_storage_is_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(SageMakerTaskError, match=next(iter(extra))):
        check_request(request(payload=SagemakerTraining(request=extra).to_json()), SETTINGS)


@pytest.mark.parametrize("name", ["flytepath:key", "aws:cost"])
def test_tags_that_are_not_the_authors_are_refused_when_it_is_compiled(name: str) -> None:
    for changes in (
        {"labels": {name: "x"}},
        {"payload": SagemakerTraining(request={"Tags": [{"Key": name, "Value": "x"}]}).to_json()},
    ):
        with pytest.raises(SageMakerTaskError, match=name):
            check_request(request(**changes), SETTINGS)


def test_more_tags_than_a_job_may_have_are_refused_when_it_is_compiled() -> None:
    labels = {f"label{number}": "x" for number in range(43)}
    check_request(request(labels=labels), SETTINGS)
    with pytest.raises(SageMakerTaskError, match="50 tags"):
        check_request(request(labels={**labels, "one-more": "x"}), SETTINGS)
    with pytest.raises(SageMakerTaskError, match="50 tags"):
        check_request(request(labels=labels), {**SETTINGS, "tags": {"team": "vision"}})


def test_tags_of_a_request_are_added_to_labels() -> None:
    config = SagemakerTraining(request={"Tags": [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": "2"}]})
    tags = made(config, labels={"team": "b", "ticket": "7"})["Tags"]
    found = {tag["Key"]: tag["Value"] for tag in tags}
    assert (found["team"], found["cost"], found["ticket"]) == ("a", "2", "7")
    assert len(found) == len(tags)


def test_storage_of_this_machine_is_refused() -> None:
    worker = type(WORKER)(WORKER.argv, {}, "", None, "/home/me/blobs/attempt", "")
    with pytest.raises(BackendError) as caught:
        SageMakerBackend(SageMakerSettings(**SETTINGS)).plan(request(worker=worker))
    assert caught.value.error_class is ErrorClass.INVALID
    assert caught.value.place == "store.blobs"
    assert "is /home/me/blobs, expected is s3://bucket/prefix" in caught.value.message


@pytest.mark.parametrize(
    "arguments",
    [
        {"instance_type": "m5.large"},
        {"instance_count": 0},
        {"volume_gb": 1.5},
        {"spot": "yes"},
        {"spot": False, "max_wait_seconds": 10},
        {"max_runtime_seconds": 100, "max_wait_seconds": 10},
        {"max_runtime_seconds": 29 * 86_400},
        {"subnets": ("subnet-1",)},
        {"checkpoint_s3_uri": "/tmp/x"},
        {"input_mode": "Tape"},
        {"hyperparameters": [1]},
        {"hyperparameters": {"rate": object()}},
        {"hyperparameters": {"rate": float("nan")}},
        {"hyperparameters": {1: 2}},
        {"channels": {"train": 5}},
        {"channels": {"train": "/data"}},
        {"metric_definitions": {"loss": 5}},
        {"subnets": "subnet-1", "security_group_ids": "sg-1"},
        {"request": {"ProfilerConfig": object()}},
    ],
)
def test_a_configuration_that_can_mean_nothing_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(SageMakerTaskError) as caught:
        SagemakerTraining(**arguments)
    assert caught.value.place.startswith("SagemakerTraining(")  # type: ignore[union-attr]


# --- the container's command ---


# Each example is a process.
@hypothesis_settings(max_examples=25)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=700), min_size=1, max_size=4),
    st.dictionaries(
        st.from_regex(r"\A[A-Z][A-Z0-9_]{0,8}\Z"),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=1400),
        max_size=3,
    ),
)
def test_a_command_of_any_length_is_the_same_command_there(arguments: list[str], variables: dict[str, str]) -> None:
    program = "import json,os,sys;print(json.dumps([sys.argv[1:],dict(os.environ)]))"
    variables = {f"V_{name}": value for name, value in variables.items()}
    command = container_command(["python3", "-c", program, *arguments], variables, "flow.f")
    body = {
        "AlgorithmSpecification": {"TrainingInputMode": "File", "ContainerEntrypoint": list(command.entrypoint)},
        "Environment": dict(command.environment),
    }
    wrong = [where for where, _ in violations("sagemaker", "CreateTrainingJob", body) if where in ("Environment",)]
    assert wrong == []
    assert all(len(part) <= 256 for part in command.entrypoint)
    assert all(len(value) <= 512 for value in command.environment.values())
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    done = subprocess.run(
        list(command.entrypoint), env={**environment, **command.environment}, capture_output=True, check=True
    )
    given_arguments, given_variables = json.loads(done.stdout)
    assert given_arguments == arguments
    assert {name: given_variables.get(name) for name in variables} == variables


def test_too_many_variables_are_refused() -> None:
    with pytest.raises(SageMakerRequestError, match="more variables"):
        container_command(["a"], {f"V{number}": "" for number in range(101)}, "flow.f")


def test_a_variable_without_a_proper_name_is_refused() -> None:
    with pytest.raises(SageMakerRequestError, match="no variable"):
        container_command(["a"], {"MY-NAME": ""}, "flow.f")


# --- tags and names ---


@given(st.text(max_size=300), st.text(max_size=300), st.text(min_size=1, max_size=50))
def test_whose_it_is_survives_in_tags(installation: str, node: str, key: str) -> None:
    stamp = Stamp(JobKey(key), Owner(installation, Tenant("vision", "production"), "e1", node), "digest")
    tags = tags_of(stamp, {"team": "x"})
    assert stamp_of(tags) == stamp
    body = {"ResourceArn": "arn:aws:sagemaker:eu-west-1:1:training-job/x", "Tags": tags}
    wrong = [place for place, _ in violations("sagemaker", "AddTags", body) if "Tags[" in place]
    assert wrong == []


@given(st.text(min_size=1), st.text(max_size=80), st.sampled_from([32, 63]))
def test_names_hold_a_part_of_the_key(key: str, prefix: str, limit: int) -> None:
    name = JobKey(key).name(prefix, limit)
    assert tail_of(JobKey(key)) in name
    assert may_be_ours(name)


def test_tags_of_others_are_no_stamp() -> None:
    assert stamp_of([{"Key": "team", "Value": "x"}]) is None
    stamp = Stamp(JobKey("k"), OWNER, "d")
    assert stamp_of(tags_of(stamp)[:-1]) is None
