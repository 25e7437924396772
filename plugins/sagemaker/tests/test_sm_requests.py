"""Jobs, models and endpoints at SageMaker: names, states, adoption, conflicts, what becomes of them at an abort."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flyte_plugin_sagemaker import (
    ParameterValueError,
    SageMakerDeleteEndpointConfigTask,
    SageMakerDeleteEndpointTask,
    SageMakerDeleteModelTask,
    SageMakerEndpointConfigTask,
    SageMakerEndpointTask,
    SageMakerHyperParameterTuningJobTask,
    SageMakerModelTask,
    SageMakerProcessingJobTask,
    SageMakerTransformJobTask,
    SageMakerUpdateEndpointTask,
)
from flyte_plugin_sagemaker.kinds import KINDS, kind_of
from flyte_plugin_sagemaker.service_request import SageMakerRequestType
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flyte_plugin_sagemaker.testing.training import Course
from flytepath import kwtypes
from flytepath.plugin import (
    BackendError,
    DefinitionError,
    ErrorClass,
    Found,
    Gone,
    InProgress,
    NotFound,
    NotOurs,
    Phase,
    Tenant,
    Terminal,
)
from flytepath.testing import TaskTypeConformance
from sm_account import IMAGE, Account, account_at

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
VARIANT = {"VariantName": "only", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
TRAINING = {
    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://artifacts/tuned"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def processing(name: str = "", **more: Any) -> SageMakerProcessingJobTask:
    config = {
        "AppSpecification": {"ImageUri": "{images.tools}", "ContainerArguments": ["--day", "{inputs.day}"]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": "{inputs.machines}", "VolumeSizeInGB": 1}
        },
        **({"ProcessingJobName": name} if name else {}),
        **more,
    }
    return SageMakerProcessingJobTask("clean", config, images={"tools": IMAGE}, inputs=kwtypes(day=str, machines=int))


def transform(name: str = "") -> SageMakerTransformJobTask:
    config = {
        "ModelName": "{inputs.model}",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://artifacts/in"}}},
        "TransformOutput": {"S3OutputPath": "s3://artifacts/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **({"TransformJobName": name} if name else {}),
    }
    return SageMakerTransformJobTask("predict", config, inputs=kwtypes(model=str))


def tuning(name: str = "") -> SageMakerHyperParameterTuningJobTask:
    config = {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": "{inputs.most}", "MaxParallelTrainingJobs": 1},
        },
        "TrainingJobDefinition": TRAINING,
        **({"HyperParameterTuningJobName": name} if name else {}),
    }
    return SageMakerHyperParameterTuningJobTask("tune", config, inputs=kwtypes(most=int))


def model(name: str = "churn", data: str = "s3://artifacts/model.tar.gz") -> SageMakerModelTask:
    config = {"ModelName": name, "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": data}}
    return SageMakerModelTask("model", config)


def endpoint_config(name: str = "churn", model: str = "churn", count: int = 1) -> SageMakerEndpointConfigTask:
    variant = {**VARIANT, "ModelName": model, "InitialInstanceCount": count}
    return SageMakerEndpointConfigTask("config", {"EndpointConfigName": name, "ProductionVariants": [variant]})


def endpoint(name: str = "churn", config: str = "churn") -> SageMakerEndpointTask:
    return SageMakerEndpointTask("endpoint", {"EndpointName": name, "EndpointConfigName": config})


def update(name: str = "churn", config: str = "second") -> SageMakerUpdateEndpointTask:
    return SageMakerUpdateEndpointTask("update", {"EndpointName": name, "EndpointConfigName": config})


def delete_endpoint(name: str = "churn") -> SageMakerDeleteEndpointTask:
    return SageMakerDeleteEndpointTask("delete", {"EndpointName": name})


@pytest.fixture
def account(sagemaker_double: SageMakerDouble) -> Account:
    return account_at(sagemaker_double)


@pytest.fixture
def hosting(account: Account) -> Account:
    """An account with a model and two configurations."""
    account.result(model())
    for name, count in (("churn", 1), ("second", 2)):
        account.result(endpoint_config(name, count=count), f"run-{name}")
    return account


JOBS: list[tuple[Any, dict[str, Any], str]] = [
    (processing, {"day": "monday", "machines": 2}, "ProcessingJob"),
    (transform, {"model": "churn"}, "TransformJob"),
    (tuning, {"most": 3}, "HyperParameterTuningJob"),
]


# --- jobs ---


@pytest.mark.parametrize(("job", "inputs", "word"), JOBS)
def test_a_job_runs_to_its_end(hosting: Account, job: Any, inputs: dict[str, Any], word: str) -> None:
    handle = hosting.submit(job(), **inputs)
    assert hosting.look(handle).phase is Phase.RUNNING
    seen = hosting.end(handle)
    assert (seen.phase, seen.raw_state) == (Phase.SUCCEEDED, "Completed")
    assert any("CloudWatch" in title for title, _ in seen.links)
    result = hosting.outputs(handle)["result"]
    assert result[f"{word}Name"] == handle.data["name"]
    assert result[f"{word}Arn"] == handle.data["arn"]


def test_values_reach_sagemaker_with_their_types(account: Account) -> None:
    handle = account.submit(processing(), day="monday; rm -rf /", machines=3)
    made = account.double.services.get("ProcessingJob", handle.data["name"]).request
    assert made["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 3
    assert made["AppSpecification"] == {"ImageUri": IMAGE, "ContainerArguments": ["--day", "monday; rm -rf /"]}
    assert made["RoleArn"] == ROLE


@pytest.mark.parametrize(("job", "inputs", "word"), JOBS)
def test_a_job_that_fails_says_why(hosting: Account, job: Any, inputs: dict[str, Any], word: str) -> None:
    hosting.double.services.course(word, ["InProgress", "Failed"], "AlgorithmError: no such column, exit code: 1")
    seen = hosting.end(hosting.submit(job(), **inputs))
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.USER)
    assert "no such column" in seen.reason


@pytest.mark.parametrize(("job", "inputs", "word"), JOBS)
def test_an_abort_stops_a_job_until_it_is_stopped(
    hosting: Account, job: Any, inputs: dict[str, Any], word: str
) -> None:
    hosting.double.services.course(word, ["InProgress"])
    plan = hosting.plan(job(), **inputs)
    handle = hosting.call("submit", plan)
    answers = [hosting.call("cancel", plan.key, handle, "enough") for _ in range(4)]
    assert isinstance(answers[0], InProgress)
    ends = [answer for answer in answers if isinstance(answer, Terminal)]
    assert ends[-1].observation.raw_state == "Stopped"


@pytest.mark.parametrize(("job", "inputs", "word"), JOBS)
def test_a_call_that_was_cut_off_is_found_again(hosting: Account, job: Any, inputs: dict[str, Any], word: str) -> None:
    plan = hosting.plan(job(), **inputs)
    hosting.double.faults.cut_after(f"Create{word}")
    with pytest.raises(BackendError) as cut:
        hosting.call("submit", plan)
    assert cut.value.accepted is None
    found = hosting.call("find", plan)
    assert isinstance(found, Found)
    assert hosting.double.services.made[word, plan.external_name] == 1
    ended = hosting.call("cancel", plan.key, None, "by its key alone")
    assert not isinstance(ended, Gone)


@pytest.mark.parametrize(("job", "inputs", "word"), JOBS)
def test_two_runs_of_one_job_are_two_jobs(hosting: Account, job: Any, inputs: dict[str, Any], word: str) -> None:
    task = job("mine-{idempotence_token}")
    first, second = (hosting.submit(task, run, **inputs) for run in ("run-1", "run-2"))
    assert first.data["name"] != second.data["name"]
    assert first.data["name"].startswith("mine-")
    assert len(first.data["name"]) <= kind_of(first.data["kind"]).name_limit


def test_a_fixed_name_that_is_taken_is_a_conflict(account: Account) -> None:
    account.submit(processing("mine"), day="a", machines=1)
    with pytest.raises(BackendError) as refused:
        account.submit(processing("mine"), "run-2", day="a", machines=1)
    assert refused.value.error_class is ErrorClass.CONFLICT


def test_the_best_model_of_a_tuning_job_is_a_result(account: Account) -> None:
    account.double.training.images[IMAGE] = Course("Completed")
    handle = account.submit(tuning(), most=1)
    account.double.client("sagemaker").create_training_job(TrainingJobName="best", **TRAINING)
    thing = account.double.services.get("HyperParameterTuningJob", handle.data["name"])
    thing.facts["BestTrainingJob"] = {
        "TrainingJobName": "best",
        "TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/best",
        "TrainingJobStatus": "Completed",
        "CreationTime": 1_790_000_000.0,
        "TunedHyperParameters": {},
    }
    assert "1 completed" in account.end(handle).reason
    result = account.outputs(handle)["result"]
    assert result["BestTrainingJob"]["TrainingJobName"] == "best"
    assert "BestModelArtifacts" in result


# --- states ---


@pytest.mark.parametrize("name", [name for name in KINDS if name != "training"])
def test_every_documented_state_of_every_kind_is_known(name: str) -> None:
    import botocore.session

    kind = kind_of(name)
    if not kind.status_field or kind.status_field == "State":
        return
    model = botocore.session.Session().get_service_model("sagemaker")
    documented = set(model.shape_for(kind.status_field).enum)
    assert documented <= set(kind.states)


def test_a_state_that_nobody_has_documented_keeps_the_phase(account: Account) -> None:
    account.double.services.course("ProcessingJob", ["Dreaming"])
    seen = account.look(account.submit(processing(), day="a", machines=1))
    assert (seen.phase, seen.raw_state) == (None, "Dreaming")


# --- models and configurations ---


def test_what_is_the_same_is_made_once(account: Account) -> None:
    first = account.result(model(), "run-1")
    second = account.result(model(), "run-2")
    assert first == second == {"ModelName": "churn", "ModelArn": first["ModelArn"]}
    assert account.double.services.made["Model", "churn"] == 1


def test_the_same_name_for_something_else_is_a_conflict(account: Account) -> None:
    account.result(model())
    with pytest.raises(BackendError) as refused:
        account.submit(model(data="s3://artifacts/other.tar.gz"), "run-2")
    assert refused.value.error_class is ErrorClass.CONFLICT
    assert "is of another request" in refused.value.message
    assert "{idempotence_token}" in str(refused.value.hint)
    with pytest.raises(BackendError, match="run-1"):
        account.submit(model(), "run-3", Tenant("other", "development"))


def test_what_nobody_of_ours_has_made_is_left_alone(account: Account) -> None:
    sagemaker = account.double.client("sagemaker")
    sagemaker.create_model(ModelName="churn", PrimaryContainer={"Image": "theirs"}, ExecutionRoleArn=ROLE)
    with pytest.raises(BackendError, match="no tags of ours") as refused:
        account.submit(model())
    assert refused.value.error_class is ErrorClass.CONFLICT
    assert sagemaker.describe_model(ModelName="churn")["PrimaryContainer"] == {"Image": "theirs"}


def test_a_token_of_the_content_names_what_changed(account: Account) -> None:
    def named(data: str, run: str) -> Any:
        handle = account.submit(model("churn-{idempotence_token}", data), run)
        return account.outputs(handle)

    first, again, other = named("s3://a/1", "r1"), named("s3://a/1", "r2"), named("s3://a/2", "r3")
    assert first == again
    assert first["result"]["ModelName"] == f"churn-{first['idempotence_token']}"
    assert other["idempotence_token"] != first["idempotence_token"]


def test_a_name_that_is_too_long_has_a_shorter_token(account: Account) -> None:
    long = "x" * 50
    result = account.result(model(f"{long}-{{idempotence_token}}"))
    assert len(result["ModelName"]) == 63
    with pytest.raises(ParameterValueError, match="too long"):
        account.plan(model(f"{'x' * 60}-{{idempotence_token}}"))


@pytest.mark.parametrize("name", ["-churn", "churn_1", "churn-", "", "x" * 64, "a b"])
def test_a_name_that_is_none_is_refused_before_anything_is_asked(account: Account, name: str) -> None:
    task = SageMakerModelTask(
        "model", {"ModelName": "{inputs.name}", "PrimaryContainer": {"Image": IMAGE}}, inputs=kwtypes(name=str)
    )
    with pytest.raises(ParameterValueError, match="no such name"):
        account.plan(task, name=name)


def test_an_abort_leaves_a_model_where_it_is(account: Account) -> None:
    plan = account.plan(model())
    handle = account.call("submit", plan)
    assert isinstance(account.call("cancel", plan.key, handle, "enough"), Terminal)
    assert account.double.services.get("Model", "churn") is not None


# --- endpoints ---


def test_an_endpoint_is_waited_for_until_it_serves(hosting: Account) -> None:
    hosting.double.services.course("Endpoint", ["Creating", "Creating", "InService"])
    handle = hosting.submit(endpoint())
    assert hosting.look(handle).phase is Phase.INITIALIZING
    assert hosting.end(handle).raw_state == "InService"
    result = hosting.outputs(handle)["result"]
    assert (result["EndpointName"], result["EndpointConfigName"]) == ("churn", "churn")


def test_an_endpoint_that_cannot_serve_says_why_and_makes_way_for_the_next_attempt(hosting: Account) -> None:
    hosting.double.services.course("Endpoint", ["Creating", "Failed"], "The primary container did not pass the ping")
    seen = hosting.end(hosting.submit(endpoint(), "attempt-1"))
    assert seen.phase is Phase.FAILED
    assert "ping" in seen.reason
    hosting.double.services.course("Endpoint", ["Creating", "InService"])
    plan = hosting.plan(endpoint(), "attempt-2")
    refused = []
    while len(refused) < 5:
        try:
            handle = hosting.call("submit", plan)
            break
        except BackendError as error:
            refused.append((error.error_class, error.accepted))
    assert set(refused) == {(ErrorClass.TRANSIENT, False)}
    assert hosting.end(handle).phase is Phase.SUCCEEDED


def test_the_same_endpoint_is_taken_over_and_another_is_a_conflict(hosting: Account) -> None:
    hosting.result(endpoint(), "run-1")
    hosting.result(endpoint(), "run-2")
    assert hosting.double.services.made["Endpoint", "churn"] == 1
    with pytest.raises(BackendError) as refused:
        hosting.submit(endpoint(config="second"), "run-3")
    assert refused.value.error_class is ErrorClass.CONFLICT


def test_an_abort_deletes_what_was_being_made_as_soon_as_it_may_be(hosting: Account) -> None:
    hosting.double.services.course("Endpoint", ["Creating", "Creating", "Creating", "Creating", "InService"])
    plan = hosting.plan(endpoint())
    handle = hosting.call("submit", plan)
    answers = [hosting.call("cancel", plan.key, handle, "enough") for _ in range(6)]
    assert isinstance(answers[0], InProgress)
    assert isinstance(answers[-1], Gone)
    assert hosting.double.services.get("Endpoint", "churn") is None


def test_an_abort_does_not_touch_what_another_run_has_made(hosting: Account) -> None:
    hosting.result(endpoint(), "run-1")
    plan = hosting.plan(endpoint(), "run-2")
    handle = hosting.call("submit", plan)
    assert isinstance(hosting.call("cancel", plan.key, handle, "enough"), NotOurs)
    assert hosting.double.services.get("Endpoint", "churn").state == "InService"


# --- updates ---


@pytest.fixture
def serving(hosting: Account) -> Account:
    hosting.result(endpoint())
    return hosting


def test_an_update_is_waited_for_until_the_new_configuration_serves(serving: Account) -> None:
    serving.double.services.course("EndpointUpdate", ["Updating", "Updating", "SystemUpdating", "InService"])
    handle = serving.submit(update())
    assert serving.look(handle).phase is Phase.RUNNING
    serving.end(handle)
    assert serving.outputs(handle)["result"]["EndpointConfigName"] == "second"


def test_an_update_that_is_undone_has_failed(serving: Account) -> None:
    serving.double.services.course("EndpointUpdate", ["Updating", "RollingBack", "InService"], "alarm tripped")
    seen = serving.end(serving.submit(update()))
    assert seen.phase is Phase.FAILED
    assert "alarm tripped" in seen.reason
    assert "serves churn" in seen.reason


def test_an_update_whose_undoing_failed_has_failed(serving: Account) -> None:
    serving.double.services.course("EndpointUpdate", ["Updating", "UpdateRollbackFailed"], "nothing worked")
    seen = serving.end(serving.submit(update()))
    assert (seen.phase, seen.raw_state) == (Phase.FAILED, "UpdateRollbackFailed")


def test_what_serves_already_is_not_updated_again(serving: Account) -> None:
    serving.result(update(), "run-1")
    serving.result(update(), "run-2")
    assert serving.double.services.made["EndpointUpdate", "churn"] == 1


def test_an_update_whose_answer_was_lost_is_found_and_not_made_twice(serving: Account) -> None:
    plan = serving.plan(update())
    assert isinstance(serving.call("find", plan), NotFound)
    serving.double.faults.cut_after("UpdateEndpoint")
    with pytest.raises(BackendError):
        serving.call("submit", plan)
    found = serving.call("find", plan)
    assert isinstance(found, Found)
    assert serving.end(found.handle).phase is Phase.SUCCEEDED
    assert serving.double.services.made["EndpointUpdate", "churn"] == 1


def test_an_update_waits_for_the_one_before(serving: Account) -> None:
    serving.double.services.go("Endpoint", "churn", "Updating", "Updating", "InService")
    with pytest.raises(BackendError) as refused:
        serving.submit(update())
    assert (refused.value.error_class, refused.value.accepted) == (ErrorClass.TRANSIENT, False)


def test_an_update_of_nothing_is_refused(hosting: Account) -> None:
    with pytest.raises(BackendError, match="no endpoint churn to update") as refused:
        hosting.submit(update())
    assert refused.value.error_class is ErrorClass.INVALID


def test_an_abort_waits_for_an_update_to_be_over(serving: Account) -> None:
    serving.double.services.course("EndpointUpdate", ["Updating", "Updating", "Updating", "InService"])
    plan = serving.plan(update())
    handle = serving.call("submit", plan)
    answers = [serving.call("cancel", plan.key, handle, "enough") for _ in range(4)]
    assert isinstance(answers[0], InProgress)
    assert isinstance(answers[-1], Gone)


# --- deletions ---


def test_an_endpoint_is_deleted_until_it_is_gone(serving: Account) -> None:
    serving.double.services.course("EndpointDeletion", ["Deleting", "Deleting", ""])
    handle = serving.submit(delete_endpoint())
    assert serving.look(handle).phase is Phase.RUNNING
    assert serving.end(handle).phase is Phase.SUCCEEDED
    assert serving.outputs(handle)["result"] == {"EndpointName": "churn"}
    assert serving.double.services.get("Endpoint", "churn") is None


@pytest.mark.parametrize(
    "task",
    [
        delete_endpoint("nothing"),
        SageMakerDeleteModelTask("model", {"ModelName": "nothing"}),
        SageMakerDeleteEndpointConfigTask("config", {"EndpointConfigName": "nothing"}),
    ],
)
def test_what_is_not_there_is_deleted_already(account: Account, task: Any) -> None:
    account.result(task)
    assert not [one for one in account.double.faults.asked if one.startswith("Delete")]


def test_models_and_configurations_are_deleted_at_once(hosting: Account) -> None:
    hosting.result(SageMakerDeleteEndpointConfigTask("c", {"EndpointConfigName": "churn"}))
    hosting.result(SageMakerDeleteModelTask("m", {"ModelName": "churn"}))
    assert hosting.double.services.get("Model", "churn") is None
    assert hosting.double.services.get("EndpointConfig", "churn") is None


def test_nobody_deletes_or_updates_what_another_tenant_has_made(serving: Account) -> None:
    for task in (delete_endpoint(), update()):
        with pytest.raises(BackendError, match="vision/development") as refused:
            serving.submit(task, "run-9", Tenant("other", "production"))
        assert refused.value.error_class is ErrorClass.CONFLICT
    assert serving.double.services.get("Endpoint", "churn").state == "InService"


def test_an_endpoint_made_elsewhere_is_the_accounts_own(hosting: Account) -> None:
    hosting.double.client("sagemaker").create_endpoint(EndpointName="theirs", EndpointConfigName="churn")
    hosting.double.services.go("Endpoint", "theirs", "InService")
    hosting.result(delete_endpoint("theirs"))
    assert hosting.double.services.get("Endpoint", "theirs") is None


def test_a_deletion_waits_for_what_sagemaker_is_at_work_on(serving: Account) -> None:
    serving.double.services.go("Endpoint", "churn", "Updating", "Updating", "Updating", "InService")
    with pytest.raises(BackendError) as refused:
        serving.submit(delete_endpoint())
    assert (refused.value.error_class, refused.value.accepted) == (ErrorClass.TRANSIENT, False)


# --- definition ---


class TestSageMakerRequestType(TaskTypeConformance):
    task_type = SageMakerRequestType
    name = "sagemaker-request"
    calls_body = False

    def config_samples(self) -> list[Any]:
        return [task.task_config for task in (processing("x"), model("m-{idempotence_token}"), endpoint(), update())]

    def declaration(self, config: Any) -> Any:
        return dataclasses.replace(super().declaration(config), body="none")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SageMakerModelTask("m", {"ModelName": "x"}), "needs PrimaryContainer or"),
        (lambda: SageMakerEndpointConfigTask("m", {}), "needs ProductionVariants"),
        (lambda: SageMakerEndpointTask("m", {"EndpointName": "{inputs.x}", "EndpointConfigName": "c"}), "no input"),
        (lambda: SageMakerDeleteEndpointTask("m", {}), "needs EndpointName"),
        (lambda: SageMakerModelTask("m", {"PrimaryContainer": {"Image": "{images.x}"}}), "no image"),
        (lambda: SageMakerModelTask("m", ["x"]), "parameters by name"),  # type: ignore[arg-type]
    ],
)
def test_what_can_never_be_asked_for_is_refused_at_definition(make: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        make()


def test_a_region_is_that_of_the_task_or_of_its_input(account: Account) -> None:
    task = SageMakerModelTask(
        "model",
        {"ModelName": "churn", "PrimaryContainer": {"Image": IMAGE}},
        inputs=kwtypes(region=str),
    )
    handle = account.submit(task, region="eu-west-1")
    assert handle.data["region"] == "eu-west-1"
    assert ":eu-west-1:" in handle.data["arn"]
    fixed = dataclasses.replace(task.task_config, region="eu-west-3")
    assert fixed.region == "eu-west-3"


def test_tags_of_the_author_stay(account: Account) -> None:
    config = {"PrimaryContainer": {"Image": IMAGE}, "Tags": [{"Key": "team", "Value": "{inputs.team}"}]}
    task = SageMakerModelTask("model", config, inputs=kwtypes(team=str))
    handle = account.submit(task, team="vision")
    tags = account.double.services.get("Model", handle.data["name"]).tags
    assert {"Key": "team", "Value": "vision"} in tags
    assert any(tag["Key"] == "flytepath:key" for tag in tags)
