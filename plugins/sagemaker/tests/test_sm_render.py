"""``flytepath render`` prints the requests: what would be sent can be seen before anything is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from flyte_plugin_sagemaker.request_rules import violations

FLOW = """
    from flyte_plugin_sagemaker import SagemakerTraining, SageMakerTrainingJobTask
    from flytepath import kwtypes, map_task, task, workflow


    @task(
        task_config=SagemakerTraining(instance_type="ml.g5.xlarge", spot=True),
        environment={"UNIT": "mm"},
        labels={"tier": "batch"},
        timeout=3600,
    )
    def train(epochs: int) -> float:
        return 1 / epochs


    @task(backend="sagemaker")
    def plain(x: float) -> float:
        return x


    boost = SageMakerTrainingJobTask(
        name="boost",
        config={
            "AlgorithmSpecification": {"TrainingImage": "xgboost:1"},
            "HyperParameters": {"num_round": "{inputs.rounds}"},
        },
        inputs=kwtypes(rounds=int),
    )


    @workflow
    def flow(epochs: int) -> None:
        plain(x=train(epochs=epochs).with_overrides(task_config=SagemakerTraining(instance_type="ml.g5.2xlarge")))
        map_task(train)(epochs=[1, 2])
        boost(rounds=epochs)
"""
CONFIGURATION = """
    [store]
    blobs = "s3://acme-flows"
    [backends.sagemaker]
    role_arn = "arn:aws:iam::123456789012:role/SageMakerRole"
    image = "flows:1"
    output_path = "s3://acme-models"
    tags = { cost = "42" }
    [projects.vision.domains.production.backends.sagemaker]
    volume_gb = 99
"""


@pytest.fixture
def rendered(tmp_path: Path) -> Any:
    (tmp_path / "flow.py").write_text(textwrap.dedent(FLOW))
    (tmp_path / "flytepath.toml").write_text(textwrap.dedent(CONFIGURATION))

    def render(*arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "flytepath", "render", "flow.py", "flow", "--epochs", "3", *arguments]
        environment = {**os.environ, "FLYTEPATH_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return render


def test_each_job_is_the_request_that_would_be_sent(rendered: Any) -> None:
    text = rendered("--project", "vision", "--domain", "production")
    jobs = [one for one in yaml.safe_load_all(text) if one]
    by_task = {one["name"].rpartition("-")[0]: one for one in jobs}
    assert {one["kind"] for one in jobs} == {"training"}
    train, plain, boost = (by_task[name]["request"] for name in ("train", "plain", "boost"))
    assert train["ResourceConfig"]["VolumeSizeInGB"] == 99
    assert plain["AlgorithmSpecification"]["TrainingImage"] == "flows:1"
    assert boost["HyperParameters"] == {"num_round": "3"}
    for one in jobs:
        assert list(violations("sagemaker", "CreateTrainingJob", one["request"])) == []
        assert {"Key": "cost", "Value": "42"} in one["request"]["Tags"]
    assert {"Key": "tier", "Value": "batch"} in train["Tags"]
    kinds = [one["request"]["ResourceConfig"]["InstanceType"] for one in jobs]
    assert "ml.g5.2xlarge" in kinds  # the override of a node
    assert text == rendered("--project", "vision", "--domain", "production")
