"""Deployments from ``flytepath run`` to endpoints that answer; and what happens to them on the way."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_sagemaker import SageMakerModelTask, create_sagemaker_deployment, delete_sagemaker_deployment
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flytepath import kwtypes
from flytepath.plugin import DefinitionError
from sm_platform import Platform

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/server:1"
EXAMPLE = Path(__file__).parents[1] / "examples" / "deployment.py"
TYPES = {"model_path": str, "execution_role_arn": str}
CONFIGS: dict[str, Any] = {
    "model_config": {
        "ModelName": "churn",
        "PrimaryContainer": {"Image": "{images.server}", "ModelDataUrl": "{inputs.model_path}"},
        "ExecutionRoleArn": "{inputs.execution_role_arn}",
    },
    "endpoint_config_config": {
        "EndpointConfigName": "churn",
        "ProductionVariants": [
            {
                "VariantName": "v",
                "ModelName": "churn",
                "InitialInstanceCount": 1,
                "InstanceType": "{inputs.instance_type}",
            }
        ],
    },
    "endpoint_config": {"EndpointName": "churn", "EndpointConfigName": "churn"},
}

FLOW = f"""
    from flyte_plugin_sagemaker import (
        BotoConfig,
        BotoTask,
        SageMakerEndpointTask,
        SageMakerModelTask,
        SageMakerProcessingJobTask,
        create_sagemaker_deployment,
        delete_sagemaker_deployment,
    )
    from flytepath import Cache, FlyteFile, kwtypes, map_task, task, workflow

    IMAGE = "{IMAGE}"

    process = SageMakerProcessingJobTask(
        "process",
        {{
            "AppSpecification": {{"ImageUri": IMAGE, "ContainerArguments": ["{{inputs.day}}"]}},
            "ProcessingResources": {{
                "ClusterConfig": {{"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}}
            }},
        }},
        inputs=kwtypes(day=str),
        retries=1,
        cache=Cache(version="1"),
    )
    model = SageMakerModelTask("model", {{"ModelName": "m", "PrimaryContainer": {{"Image": IMAGE}}}})
    deploy = SageMakerEndpointTask("deploy", {{"EndpointName": "e", "EndpointConfigName": "c"}})
    put = BotoTask(
        "put",
        BotoConfig("s3", "put_object", {{"Bucket": "artifacts", "Key": "{{inputs.key}}", "Body": "{{inputs.body}}"}}),
        inputs=kwtypes(key=str, body=str),
        retries=1,
    )

    create = create_sagemaker_deployment(
        name="create",
        model_input_types=kwtypes(model_path=str, execution_role_arn=str),
        endpoint_config_input_types=kwtypes(instance_type=str),
        images={{"server": IMAGE}},
        **{CONFIGS!r},
    )
    delete = delete_sagemaker_deployment("delete")

    @task
    def size(job: dict) -> int:
        return len(job["ProcessingJobName"])

    @workflow
    def processed(day: str) -> int:
        return size(job=process(day=day))

    @workflow
    def days(days: list[str]) -> list[dict]:
        return map_task(process)(day=days)

    @workflow
    def short(day: str) -> dict:
        return process(day=day).with_overrides(timeout=4, retries=0)

    @workflow
    def deployed() -> dict:
        return deploy()

    misspelt_model = SageMakerModelTask("misspelt", {{"ModelNam": "m", "PrimaryContainer": {{"Image": IMAGE}}}})

    @workflow
    def misspelt() -> None:
        misspelt_model()

    @workflow
    def kept(key: str, body: str) -> dict:
        result, token = put(key=key, body=body)
        return result
"""


@pytest.fixture
def platform(sagemaker_double: SageMakerDouble, tmp_path: Path) -> Platform:
    return Platform(sagemaker_double, tmp_path, FLOW)


@pytest.mark.proof
def test_the_example_trains_deploys_asks_and_clears_up(sagemaker_double: SageMakerDouble, tmp_path: Path) -> None:
    platform = Platform(sagemaker_double, tmp_path, EXAMPLE.read_text())

    def serve(body: bytes, content_type: str) -> tuple[bytes, str]:
        [model] = [thing for (word, _), thing in sagemaker_double.services.things.items() if word == "Model"]
        bucket, _, key = model.request["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").partition("/")
        archive = sagemaker_double.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            line = json.load(packed.extractfile("line.json"))  # type: ignore[arg-type]
        scores = [line["start"] + line["slope"] * float(cell) for cell in body.decode().split(",")]
        return ",".join(map(str, scores)).encode(), content_type

    sagemaker_double.invocations.model = serve
    out = platform.run("churn", "--months", "[1.0, 24.0]")
    assert "0.5" in out
    assert "0.9" in out or "0.89" in out
    assert sagemaker_double.services.things == {}


@pytest.mark.proof
def test_a_deployment_is_made_once_for_the_same_content_and_deleted_in_its_order(platform: Platform) -> None:
    arguments = ("--model_path", "s3://artifacts/m.tar.gz", "--instance_type", "ml.m5.large")
    role = ("--execution_role_arn", "arn:aws:iam::123456789012:role/SageMakerRole")
    for _ in range(2):
        platform.run("create", *arguments, *role)
    services = platform.double.services
    names = dict(list(services.things))
    assert set(names) == {"Model", "EndpointConfig", "Endpoint"}
    assert set(services.made.values()) == {1}
    assert all(name.startswith("churn-") for name in names.values())
    platform.run(
        "delete",
        *("--endpoint_name", names["Endpoint"]),
        *("--endpoint_config_name", names["EndpointConfig"]),
        *("--model_name", names["Model"]),
    )
    assert services.things == {}
    deletions = [one for one in platform.double.faults.asked if one.startswith("Delete")]
    assert deletions == ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"]


@pytest.mark.proof
def test_a_job_that_failed_is_tried_again_as_a_job_of_its_own(platform: Platform) -> None:
    services = platform.double.services
    services.course("ProcessingJob", ["InProgress", "Failed"], "AlgorithmError: bad luck")
    process = platform.start("run", "sm_flow.py", "processed", "--day", "monday")
    platform.until(lambda: services.made, "the first job")
    services.course("ProcessingJob", ["InProgress", "Completed"])
    platform.ended(process)
    assert len(services.made) == 2
    platform.run("processed", "--day", "monday")
    assert len(services.made) == 2  # the cache had it


@pytest.mark.proof
def test_items_of_a_map_are_jobs(platform: Platform) -> None:
    platform.run("days", "--days", '["a", "b", "c"]')
    days = [one.request["AppSpecification"]["ContainerArguments"] for one in platform.double.services.things.values()]
    assert sorted(days) == [["a"], ["b"], ["c"]]


@pytest.mark.proof
def test_a_job_that_takes_too_long_is_stopped(platform: Platform) -> None:
    platform.double.services.course("ProcessingJob", ["InProgress"])
    out = platform.run("short", "--day", "monday", status=1)
    assert "FP-TIMEOUT" in out or "longer" in out
    [job] = platform.double.services.things.values()
    assert job.state == "Stopped"


@pytest.mark.proof
def test_an_abort_deletes_the_endpoint_that_was_being_made(platform: Platform) -> None:
    services = platform.double.services
    sagemaker = platform.double.client("sagemaker")
    sagemaker.create_model(
        ModelName="m",
        PrimaryContainer={"Image": IMAGE},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/SageMakerRole",
    )
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    services.course("Endpoint", ["Creating"])
    process = platform.start("run", "sm_flow.py", "deployed")
    platform.until(lambda: services.get("Endpoint", "e"), "the endpoint")
    platform.called("executions", "abort", platform.latest())
    platform.until(lambda: "DeleteEndpoint" in platform.double.faults.asked, "the first refusal of its deletion")
    assert services.get("Endpoint", "e") is not None  # while it is Creating, SageMaker deletes nothing
    services.go("Endpoint", "e", "InService")
    process.communicate(timeout=100)
    platform.until(lambda: services.get("Endpoint", "e") is None, "its deletion")


@pytest.mark.proof
def test_a_recovery_keeps_what_was_made_and_makes_what_failed(platform: Platform) -> None:
    services = platform.double.services
    services.course("Endpoint", ["Creating", "Failed"], "The primary container did not pass the ping")
    arguments = ("--model_path", "s3://artifacts/m.tar.gz", "--instance_type", "ml.m5.large")
    role = ("--execution_role_arn", "arn:aws:iam::123456789012:role/SageMakerRole")
    out = platform.run("create", *arguments, *role, status=1)
    assert "did not pass the ping" in out
    creations = [one for one in platform.double.faults.asked if one.startswith("Create")]
    services.course("Endpoint", ["Creating", "InService"])
    platform.called("executions", "recover", platform.latest())
    assert [one for one in platform.double.faults.asked if one.startswith("Create")][:3] == creations
    asked = platform.double.faults.asked
    assert (asked.count("CreateModel"), asked.count("CreateEndpointConfig")) == (1, 1)
    assert {thing.state for (word, _), thing in services.things.items() if word == "Endpoint"} == {"InService"}


def test_a_direct_call_is_followed_to_its_end(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in platform.double.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLYTEPATH_CONFIG", str(platform.work / "flytepath.toml"))
    model = SageMakerModelTask(
        "direct", {"ModelName": "{inputs.name}", "PrimaryContainer": {"Image": IMAGE}}, inputs=kwtypes(name=str)
    )
    made = model(name="direct")
    assert made.result["ModelName"] == "direct"
    assert platform.double.services.made == {("Model", "direct"): 1}


def test_a_call_is_made_by_a_worker(platform: Platform) -> None:
    platform.run("kept", "--key", "x", "--body", "{inputs.key}")
    found = platform.double.client("s3").get_object(Bucket="artifacts", Key="x")
    assert found["Body"].read() == b"{inputs.key}"


def test_a_request_is_rendered_as_sagemaker_would_get_it(platform: Platform) -> None:
    out = platform.called("render", "sm_flow.py", "processed", "--day", "monday")
    assert "ContainerArguments" in out
    assert "monday" in out
    out = platform.called("render", "sm_flow.py", "delete")
    assert "EndpointName: <endpoint_name>" in out
    assert platform.double.services.made == {}


def test_what_sagemaker_would_refuse_is_refused_when_it_is_compiled(platform: Platform) -> None:
    out = platform.called("render", "sm_flow.py", "misspelt", status=2)
    assert "ModelNam is not known" in out
    assert "ModelName" in out


# --- the workflows themselves ---


def deployment(**more: Any) -> Any:
    return create_sagemaker_deployment(
        name="d",
        model_input_types=TYPES,
        endpoint_config_input_types=kwtypes(instance_type=str),
        images={"server": IMAGE},
        **CONFIGS,
        **more,
    )


def test_a_deployment_has_flytekits_interface() -> None:
    made = deployment(region="us-east-2")
    assert sorted(made.inputs) == ["execution_role_arn", "instance_type", "model_path"]
    assert list(made.outputs) == ["wf_output"]
    assert "region" in deployment(region_at_runtime=True).inputs
    gone = delete_sagemaker_deployment("g", region_at_runtime=True)
    assert sorted(gone.inputs) == ["endpoint_config_name", "endpoint_name", "model_name", "region"]
    assert list(gone.outputs) == []


def test_the_authors_own_parameters_are_left_as_they_are() -> None:
    before = json.dumps(CONFIGS)
    deployment()
    deployment(idempotence_token=False)
    assert json.dumps(CONFIGS) == before


def test_a_region_is_known_or_an_input() -> None:
    with pytest.raises(DefinitionError, match="known, or an input"):
        deployment(region="us-east-1", region_at_runtime=True)
