"""Tasks of a deployment: models, endpoint configurations, endpoints, their deletion, and two workflows made of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from flytepath import ImageSpec, ImperativeWorkflow
from flytepath.plugin import DefinitionError

from flyte_plugin_sagemaker.boto_task import REGION
from flyte_plugin_sagemaker.placeholders import TOKEN, needs_token
from flyte_plugin_sagemaker.service_request import SageMakerTask

Json = Any
_SUFFIX: Final = f"-{{{TOKEN}}}"
_INPUT_TOKEN: Final = f"{{inputs.{TOKEN}}}"


class SageMakerModelTask(SageMakerTask):
    """Makes a model of an image and its artifacts, or takes over the one that the same request has made before.

    Outputs are ``result`` (``ModelArn``, ``ModelName``) and ``idempotence_token``.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModel.html

    Example:
        >>> from flytepath import kwtypes
        >>> model = SageMakerModelTask(
        ...     name="model",
        ...     config={
        ...         "ModelName": "churn-{idempotence_token}",
        ...         "PrimaryContainer": {"Image": "{images.server}", "ModelDataUrl": "{inputs.data}"},
        ...     },
        ...     images={"server": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/churn:3"},
        ...     inputs=kwtypes(data=str),
        ... )
        >>> sorted(model.outputs)
        ['idempotence_token', 'result']
    """

    kind: ClassVar[str] = "model"
    required: ClassVar[tuple[str, ...]] = ("PrimaryContainer|Containers|InferenceExecutionConfig",)
    gives_token: ClassVar[bool] = True


class SageMakerEndpointConfigTask(SageMakerTask):
    """Makes an endpoint configuration, or takes over the one that the same request has made before.

    Outputs are ``result`` (``EndpointConfigArn``, ``EndpointConfigName``) and ``idempotence_token``.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html
    """

    kind: ClassVar[str] = "endpoint_config"
    required: ClassVar[tuple[str, ...]] = ("ProductionVariants",)
    gives_token: ClassVar[bool] = True


class SageMakerEndpointTask(SageMakerTask):
    """Makes an endpoint and waits until it serves. An endpoint of that name and configuration is taken over.

    The output ``result`` has ``EndpointArn``, ``EndpointName``, ``EndpointConfigName`` and ``EndpointStatus``. An abort
    while it is being made deletes it, as soon as SageMaker lets it be deleted.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
    """

    kind: ClassVar[str] = "endpoint"
    required: ClassVar[tuple[str, ...]] = ("EndpointConfigName",)


class SageMakerUpdateEndpointTask(SageMakerTask):
    """Gives an endpoint another configuration, and waits until it serves it.

    An update that SageMaker undoes is a failure with SageMaker's reason, and the endpoint serves the old configuration.
    An update cannot be stopped: an abort waits until it is over.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html
    """

    kind: ClassVar[str] = "endpoint_update"
    required: ClassVar[tuple[str, ...]] = ("EndpointName", "EndpointConfigName")


class SageMakerDeleteEndpointTask(SageMakerTask):
    """Deletes an endpoint and waits until it is gone. One that is not there is deleted already.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteEndpoint.html
    """

    kind: ClassVar[str] = "endpoint_deletion"
    required: ClassVar[tuple[str, ...]] = ("EndpointName",)


class SageMakerDeleteEndpointConfigTask(SageMakerTask):
    """Deletes an endpoint configuration. One that is not there is deleted already.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteEndpointConfig.html
    """

    kind: ClassVar[str] = "endpoint_config_deletion"
    required: ClassVar[tuple[str, ...]] = ("EndpointConfigName",)


class SageMakerDeleteModelTask(SageMakerTask):
    """Deletes a model, not its artifacts. One that is not there is deleted already.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteModel.html
    """

    kind: ClassVar[str] = "model_deletion"
    required: ClassVar[tuple[str, ...]] = ("ModelName",)


def create_sagemaker_deployment(
    name: str,
    model_input_types: Mapping[str, Any],
    model_config: Mapping[str, Json],
    endpoint_config_input_types: Mapping[str, Any],
    endpoint_config_config: Mapping[str, Json],
    endpoint_config: Mapping[str, Json],
    images: Mapping[str, str | ImageSpec] | None = None,
    region: str | None = None,
    region_at_runtime: bool = False,
    idempotence_token: bool = True,
    endpoint_input_types: Mapping[str, Any] | None = None,
) -> ImperativeWorkflow:
    """A workflow that makes a model, an endpoint configuration of it and an endpoint, and waits until that serves.

    Its output ``wf_output`` is the list of the three results. Assign it to a module variable.

    Args:
        name: the workflow's name; its tasks are named by it.
        model_input_types, endpoint_config_input_types, endpoint_input_types: inputs of each of the three requests.
        model_config, endpoint_config_config, endpoint_config: their parameters, with placeholders.
        images: what ``{images.x}`` stands for.
        region: where.
        region_at_runtime: take the region as an input, ``region``.
        idempotence_token: put a token of each request's content at the end of its name, and of the names by which one
            request refers to the other: what is the same is made once, and what changed gets a new name.

    Raises:
        DefinitionError: both a region and one at run time, or a request that can never be made.

    Example:
        >>> from flytepath import kwtypes
        >>> deploy = create_sagemaker_deployment(
        ...     name="deploy-churn",
        ...     model_input_types=kwtypes(data=str),
        ...     model_config={
        ...         "ModelName": "churn",
        ...         "PrimaryContainer": {"Image": "{images.server}", "ModelDataUrl": "{inputs.data}"},
        ...     },
        ...     endpoint_config_input_types=kwtypes(instance_type=str),
        ...     endpoint_config_config={
        ...         "EndpointConfigName": "churn",
        ...         "ProductionVariants": [
        ...             {
        ...                 "VariantName": "only",
        ...                 "ModelName": "churn",
        ...                 "InitialInstanceCount": 1,
        ...                 "InstanceType": "{inputs.instance_type}",
        ...             }
        ...         ],
        ...     },
        ...     endpoint_config={"EndpointName": "churn", "EndpointConfigName": "churn"},
        ...     images={"server": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/churn:3"},
        ...     region="eu-west-1",
        ... )
        >>> sorted(deploy.inputs), sorted(deploy.outputs)
        (['data', 'instance_type'], ['wf_output'])
    """
    _check_region(name, region, region_at_runtime)
    configs = [copy.deepcopy(dict(one)) for one in (model_config, endpoint_config_config, endpoint_config)]
    types = [dict(one or {}) for one in (model_input_types, endpoint_config_input_types, endpoint_input_types)]
    if idempotence_token:
        model_config, endpoint_config_config, endpoint_config = configs
        _with_token(model_config, "ModelName", _SUFFIX)
        _with_token(endpoint_config_config, "EndpointConfigName", _SUFFIX)
        if _refers(endpoint_config_config, "ProductionVariants", "ShadowProductionVariants"):
            types[1][TOKEN] = str
        _with_token(endpoint_config, "EndpointName", _SUFFIX)
        if _with_token(endpoint_config, "EndpointConfigName", f"-{_INPUT_TOKEN}"):
            types[2][TOKEN] = str
    workflow = ImperativeWorkflow(name)
    classes = (SageMakerModelTask, SageMakerEndpointConfigTask, SageMakerEndpointTask)
    given: dict[str, Any] = {}
    nodes: list[Any] = []
    for kind, config, inputs in zip(classes, configs, types, strict=True):
        if region_at_runtime:
            inputs[REGION] = str
        task = kind(f"{name}.{kind.kind}", config, None if region_at_runtime else region, images, inputs)
        arguments: dict[str, Any] = {}
        for one, declared in inputs.items():
            if one == TOKEN and nodes:
                arguments[one] = nodes[-1].outputs[TOKEN]
                continue
            if one not in given:
                given[one] = workflow.add_workflow_input(one, declared)
            arguments[one] = given[one]
        node = workflow.add_entity(task, **arguments)
        if nodes:
            nodes[-1].runs_before(node)
        nodes.append(node)
    workflow.add_workflow_output("wf_output", [node.outputs["result"] for node in nodes], list[dict])  # type: ignore[type-arg]
    return workflow


def delete_sagemaker_deployment(
    name: str, region: str | None = None, region_at_runtime: bool = False
) -> ImperativeWorkflow:
    """A workflow that deletes an endpoint, waits until it is gone, and then deletes its configuration and its model.

    Its inputs are ``endpoint_name``, ``endpoint_config_name`` and ``model_name``, as the results of the deployment name
    them. Assign it to a module variable.

    Args:
        name: the workflow's name; its tasks are named by it.
        region: where.
        region_at_runtime: take the region as an input, ``region``.

    Raises:
        DefinitionError: both a region and one at run time.

    Example:
        >>> sorted(delete_sagemaker_deployment("delete-churn", region="eu-west-1").inputs)
        ['endpoint_config_name', 'endpoint_name', 'model_name']
    """
    _check_region(name, region, region_at_runtime)
    workflow = ImperativeWorkflow(name)
    at_runtime = workflow.add_workflow_input(REGION, str) if region_at_runtime else None
    parts: tuple[tuple[type[SageMakerTask], str, str], ...] = (
        (SageMakerDeleteEndpointTask, "EndpointName", "endpoint_name"),
        (SageMakerDeleteEndpointConfigTask, "EndpointConfigName", "endpoint_config_name"),
        (SageMakerDeleteModelTask, "ModelName", "model_name"),
    )
    before: Any = None
    for kind, field, one in parts:
        inputs: dict[str, Any] = {one: str} | ({REGION: str} if region_at_runtime else {})
        task = kind(f"{name}.{kind.kind}", {field: f"{{inputs.{one}}}"}, region, None, inputs)
        arguments = {one: workflow.add_workflow_input(one, str)}
        node = workflow.add_entity(task, **arguments, **({REGION: at_runtime} if region_at_runtime else {}))
        if before is not None:
            before.runs_before(node)
        before = node
    return workflow


def _check_region(name: str, region: str | None, region_at_runtime: bool) -> None:
    if region and region_at_runtime:
        raise DefinitionError(
            "the region is known, or an input", place=f"{name}(region)", expected="region or region_at_runtime=True"
        )


def _with_token(config: dict[str, Json], field: str, suffix: str) -> bool:
    """Let a name end in a token, unless it has one or is not given; whether it was changed."""
    value = config.get(field)
    if not isinstance(value, str) or needs_token(value) or _INPUT_TOKEN in value:
        return False
    config[field] = f"{value}{suffix}"
    return True


def _refers(config: dict[str, Json], *fields: str) -> bool:
    """Let the variants of a configuration name the model with its token; whether one does."""
    variants = [one for field in fields for one in config.get(field) or ()]
    changed = [_with_token(one, "ModelName", f"-{_INPUT_TOKEN}") for one in variants if isinstance(one, dict)]
    return any(changed)
