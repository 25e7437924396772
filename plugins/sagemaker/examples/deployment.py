"""A model, trained, deployed, asked and taken away again.

    flytepath run plugins/sagemaker/examples/deployment.py churn

What it shows:

- a Python function that runs as a training job, and the file it leaves in S3;
- a model, an endpoint configuration and an endpoint, made of that file, each named by a token of its content;
- a request to the endpoint, with a typed answer;
- the deletion of all three, in their order.

It needs an account: ``[backends.sagemaker]`` with region, role and image, blobs in S3, and credentials where the worker
runs. ``flyte_plugin_sagemaker.testing.SageMakerDouble`` stands in for one.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from flyte_plugin_sagemaker import (
    SageMakerDeleteEndpointConfigTask,
    SageMakerDeleteEndpointTask,
    SageMakerDeleteModelTask,
    SageMakerEndpointConfigTask,
    SageMakerEndpointTask,
    SageMakerInvokeEndpointTask,
    SageMakerModelTask,
    SagemakerTraining,
)
from flytepath import FlyteFile, kwtypes, task, workflow

#: The container that serves the model; see "Use your own inference code" in AWS's guide.
SERVER = "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn-server:1"


@task(task_config=SagemakerTraining(instance_type="ml.m5.large"))
def train(months: list[float], stayed: list[float]) -> FlyteFile:
    """A line through the points, as the archive that SageMaker unpacks below /opt/ml/model."""
    n, mean_x, mean_y = len(months), sum(months) / len(months), sum(stayed) / len(stayed)
    spread = sum((x - mean_x) ** 2 for x in months) or 1.0
    slope = sum((months[i] - mean_x) * (stayed[i] - mean_y) for i in range(n)) / spread
    Path("line.json").write_text(json.dumps({"slope": slope, "start": mean_y - slope * mean_x}))
    with tarfile.open("model.tar.gz", "w:gz") as archive:
        archive.add("line.json")
    return FlyteFile("model.tar.gz")


make_model = SageMakerModelTask(
    name="make_model",
    config={
        "ModelName": "churn-{idempotence_token}",
        "PrimaryContainer": {"Image": "{images.server}", "ModelDataUrl": "{inputs.data}"},
    },
    images={"server": SERVER},
    inputs=kwtypes(data=FlyteFile),
)

configure = SageMakerEndpointConfigTask(
    name="configure",
    config={
        "EndpointConfigName": "churn-{idempotence_token}",
        "ProductionVariants": [
            {
                "VariantName": "only",
                "ModelName": "{inputs.model.ModelName}",
                "InitialInstanceCount": "{inputs.machines}",
                "InstanceType": "ml.m5.large",
            }
        ],
    },
    inputs=kwtypes(model=dict, machines=int),
)

deploy = SageMakerEndpointTask(
    name="deploy",
    config={
        "EndpointName": "churn-{idempotence_token}",
        "EndpointConfigName": "{inputs.config.EndpointConfigName}",
    },
    inputs=kwtypes(config=dict),
)

predict = SageMakerInvokeEndpointTask(
    name="predict",
    config={"EndpointName": "{inputs.endpoint.EndpointName}", "Body": "{inputs.months}", "ContentType": "text/csv"},
    inputs=kwtypes(endpoint=dict, months=list[float]),
    output_type=list[float],
)

delete_endpoint = SageMakerDeleteEndpointTask(
    name="delete_endpoint",
    config={"EndpointName": "{inputs.endpoint.EndpointName}"},
    inputs=kwtypes(endpoint=dict),
)
delete_config = SageMakerDeleteEndpointConfigTask(
    name="delete_config",
    config={"EndpointConfigName": "{inputs.config.EndpointConfigName}"},
    inputs=kwtypes(config=dict),
)
delete_model = SageMakerDeleteModelTask(
    name="delete_model",
    config={"ModelName": "{inputs.model.ModelName}"},
    inputs=kwtypes(model=dict),
)


@workflow
def churn(months: list[float] = [6.0, 18.0]) -> list[float]:  # noqa: B006 - a workflow never changes its inputs
    """How likely customers are to stay, asked of a model that lives no longer than the question."""
    data = train(months=[1.0, 12.0, 24.0], stayed=[0.5, 0.7, 0.9])
    model, _ = make_model(data=data)
    config, _ = configure(model=model, machines=1)
    endpoint = deploy(config=config)
    answer = predict(endpoint=endpoint, months=months)
    gone = delete_endpoint(endpoint=endpoint)
    answer >> gone
    without_config = delete_config(config=config)
    gone >> without_config
    without_model = delete_model(model=model)
    without_config >> without_model
    return answer
