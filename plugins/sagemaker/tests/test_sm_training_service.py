"""Training jobs without code of ours: SageMaker's algorithms, and requests that the author has written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_sagemaker import (
    AlgorithmSpecification,
    InputContentType,
    MetricDefinition,
    SagemakerBuiltinAlgorithmsTask,
    SageMakerTaskError,
    SagemakerTrainingJobConfig,
    SageMakerTrainingJobTask,
    TrainingJobResourceConfig,
)
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flyte_plugin_sagemaker.training_task import SagemakerTrainingType
from flytepath import kwtypes, task
from flytepath.plugin import TaskDeclaration
from sm_platform import Platform

FLOW = """
    from flyte_plugin_sagemaker import (
        AlgorithmSpecification,
        MetricDefinition,
        SagemakerBuiltinAlgorithmsTask,
        SagemakerTrainingJobConfig,
        SageMakerTrainingJobTask,
        TrainingJobResourceConfig,
    )
    from flytepath import FlyteDirectory, FlyteFile, kwtypes, map_task, task, workflow

    START = "import json, os; path = os.environ['SAGEMAKER_BASE_DIR'] + '/input/config/hyperparameters.json'; "
    START += "exec(json.load(open(path))['program'])"
    PROGRAM = '''
    import json, os, pathlib, sys
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    given = json.loads((base / "input/config/hyperparameters.json").read_text())
    if given.get("fail"):
        (base / "output/failure").write_text("no such objective")
        sys.exit(1)
    rows = sum(len(path.read_text().splitlines()) for path in (base / "input/data/train").glob("*"))
    (base / "model" / "model.txt").write_text(f"{rows} rows, eta {given['eta']}")
    print(f"train-rmse={rows / 2}")
    '''

    builtin = SagemakerBuiltinAlgorithmsTask(
        name="sm.builtin",
        task_config=SagemakerTrainingJobConfig(
            TrainingJobResourceConfig("ml.m5.xlarge", volume_size_in_gb=25),
            AlgorithmSpecification("xgboost:1", metric_definitions=[MetricDefinition("rmse", "train-rmse=([0-9.]+)")]),
        ),
    )
    own = SageMakerTrainingJobTask(
        name="sm.own",
        config={
            "AlgorithmSpecification": {
                "TrainingImage": "own:1",
                "ContainerEntrypoint": ["python", "-c", START],
                "MetricDefinitions": [{"Name": "rmse", "Regex": "train-rmse=([0-9.]+)"}],
            },
            "HyperParameters": {"eta": "{inputs.eta}", "fail": "{inputs.fail}", "program": "{inputs.program}"},
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "{inputs.train}"}},
                }
            ],
        },
        inputs=kwtypes(program=str, eta=float, fail=str, train=str),
    )

    @task
    def opened(model: FlyteFile["tar.gz"]) -> str:
        import tarfile
        with tarfile.open(model) as archive:
            return archive.extractfile("model.txt").read().decode()

    @workflow
    def boost(rounds: int) -> FlyteFile["tar.gz"]:
        model, metrics = builtin(
            static_hyperparameters={"num_round": rounds, "eta": 0.2},
            train=FlyteDirectory("s3://artifacts/data/train", remote_directory=False),
            validation=None,
        )
        return model

    @workflow
    def by_hand(eta: float, fail: str) -> tuple[str, dict[str, float]]:
        _, model, metrics = own(program=PROGRAM, eta=eta, fail=fail, train="s3://artifacts/data/train")
        return opened(model=model), metrics
"""


@pytest.fixture
def platform(sagemaker_double: SageMakerDouble, tmp_path: Path) -> Iterator[Platform]:
    for name, rows in (("a.csv", "1\n2\n3\n"), ("b.csv", "4\n")):
        sagemaker_double.client("s3").put_object(Bucket="artifacts", Key=f"data/train/{name}", Body=rows.encode())
    made = Platform(sagemaker_double, tmp_path, FLOW)
    yield made
    made.until(made.is_empty, "all jobs to end")


def test_a_request_of_the_authors_runs_and_gives_its_artifact_and_its_metrics(platform: Platform) -> None:
    told = platform.run("by_hand", "--eta", "0.25", "--fail", "")
    assert "4 rows, eta 0.25" in told
    assert "{'rmse': 2.0}" in told or '{"rmse": 2.0}' in told
    [made] = platform.double.training.made
    assert (made["HyperParameters"]["eta"], made["HyperParameters"]["fail"]) == ("0.25", "")
    assert made["RoleArn"] == platform.double.settings()["role_arn"]
    assert made["TrainingJobName"].startswith("own-")


@pytest.mark.proof
def test_what_the_container_says_of_its_failure_is_told(platform: Platform) -> None:
    told = platform.run("by_hand", "--eta", "0.25", "--fail", "yes", status=1)
    assert "AlgorithmError: no such objective, exit code: 1" in told


@pytest.mark.proof
def test_an_algorithm_of_sagemakers_gets_its_channels_and_its_parameters(platform: Platform) -> None:
    from flyte_plugin_sagemaker.testing.training import Course

    platform.double.training.images["xgboost:1"] = Course("Completed")
    told = platform.run("boost", "--rounds", "7")
    [made] = platform.double.training.made
    assert made["HyperParameters"] == {"num_round": "7", "eta": "0.2"}
    [channel] = made["InputDataConfig"]
    assert (channel["ChannelName"], channel["ContentType"]) == ("train", "text/csv")
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == "s3://artifacts/data/train"
    assert made["ResourceConfig"] == {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 25}
    assert f"s3://artifacts/jobs/{made['TrainingJobName']}/output/model.tar.gz" in told


def test_a_configuration_of_another_kind_is_refused() -> None:
    wrong: Any = {"instance": "ml.m5.large"}
    with pytest.raises(SageMakerTaskError, match="SagemakerTrainingJobConfig"):
        SagemakerBuiltinAlgorithmsTask(name="wrong", task_config=wrong)


def test_flytekits_names_are_what_they_were() -> None:
    config = SagemakerTrainingJobConfig(
        training_job_resource_config=TrainingJobResourceConfig(
            instance_type="ml.m4.xlarge", instance_count=1, volume_size_in_gb=25
        ),
        algorithm_specification=AlgorithmSpecification(
            image="x:1",
            input_content_type=InputContentType.TEXT_CSV,
            metric_definitions=[MetricDefinition(name="Minimize", regex="validation:error")],
        ),
    )
    found = SagemakerBuiltinAlgorithmsTask(name="same", task_config=config)
    assert list(found.inputs) == ["static_hyperparameters", "train", "validation"]


def test_a_function_is_configured_by_flytekits_name_too() -> None:
    @task(task_config=SagemakerTrainingJobConfig(TrainingJobResourceConfig("ml.m5.xlarge", volume_size_in_gb=25)))
    def doubled(x: int) -> int:
        return 2 * x

    assert doubled(x=2) == 4
    declaration = TaskDeclaration("flow.doubled", doubled.task_config)
    payload = SagemakerTrainingType().compile(declaration)
    assert payload == {"instance_type": "ml.m5.xlarge", "volume_gb": 25}


def test_an_algorithm_without_an_image_is_refused() -> None:
    with pytest.raises(SageMakerTaskError, match="which algorithm"):
        SagemakerBuiltinAlgorithmsTask(
            name="none", task_config=SagemakerTrainingJobConfig(TrainingJobResourceConfig("ml.m5.xlarge", 25))
        )


def test_a_request_without_an_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="AlgorithmSpecification"):
        SageMakerTrainingJobTask(name="nothing", config={}, inputs=kwtypes(x=int))
