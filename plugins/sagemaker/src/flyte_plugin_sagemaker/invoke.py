"""``SageMakerInvokeEndpointTask``: a request to an endpoint, answered at once, or through S3 when the model is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath import FlyteFile, PythonInstanceTask, Secret
from flytepath.plugin import DefinitionError, TaskContext, TaskDeclaration, TaskType

from flyte_plugin_sagemaker.boto_call import Call, answer_as_json, make_call
from flyte_plugin_sagemaker.boto_task import REGION, BotoConfig, credentials_of, plain_template
from flyte_plugin_sagemaker.inference_bodies import JSON, check_result_type, decoded_body, encoded_body, is_frame
from flyte_plugin_sagemaker.placeholders import check_template, fill, places
from flyte_plugin_sagemaker.plain_values import plain_value
from flyte_plugin_sagemaker.service_request import SageMakerRequest

Json = Any
#: Parameters by which a request is one that S3 answers.
_ASYNCHRONOUS: Final = frozenset(
    {"InputLocation", "RequestTTLSeconds", "InvocationTimeoutSeconds", "S3OutputPathExtension", "Filename"}
)


@dataclass(frozen=True, slots=True)
class InvocationConfig:
    """A request that the model answers at once.

    Args:
        call: the request, with placeholders.
        wanted: the type of the result; ``None`` for all that the answer says.
    """

    call: BotoConfig
    wanted: Any = None


class SageMakerInvokeEndpointTask(PythonInstanceTask):
    """A request to an endpoint. Assign it to a module variable.

    With ``Body`` in ``config`` it is ``InvokeEndpoint``, made by a worker: the model answers within 60 seconds.
    With ``InputLocation``, or ``asynchronous=True``, it is ``InvokeEndpointAsync``: the endpoint must have an
    ``AsyncInferenceConfig``, and the task is done when the result lies in S3, or the failure does.

    A ``Body`` is text or bytes as they are, a frame as CSV without header (or as its ``ContentType`` says: JSON, JSON
    lines, Parquet), a ``FlyteFile`` its content, anything else JSON. With ``asynchronous=True`` it is put into S3 below
    the backend's ``output_path`` first.

    Args:
        name: the task's name, unique in its project.
        config: the parameters, as boto3 takes them: ``EndpointName``, ``Body`` or ``InputLocation``, ``ContentType``,
            ``Accept``, ``CustomAttributes``, ``InferenceId``, ``TargetModel``, ...
        region: where; by default the input ``region``, else as boto3 or the backend finds it.
        inputs: types by name.
        output_type: the type of ``result``: ``str``, ``bytes``, ``pandas.DataFrame``, ``FlyteFile`` (asynchronous), or
            what JSON or CSV holds, dataclasses too. By default a dict of all that the answer says, its ``Body`` among
            it (asynchronous: where output and failure lie).
        asynchronous: by default whether the parameters are those of ``InvokeEndpointAsync``.
        wait: asynchronous: ``False`` is done as soon as the request is taken, as in flytekit.
        endpoint_url, role_arn, access_key_id, secret_access_key, session_token: as for
            :class:`~flyte_plugin_sagemaker.BotoConfig`; not for asynchronous ones, which the backend makes.
        **kwargs: as for ``task``.

    Raises:
        DefinitionError: a parameter that is missing, or a type that no answer can be read as.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html

    Example:
        >>> from flytepath import kwtypes
        >>> score = SageMakerInvokeEndpointTask(
        ...     name="score",
        ...     config={"EndpointName": "churn", "Body": "{inputs.rows}", "ContentType": "text/csv"},
        ...     inputs=kwtypes(rows=list[list[float]]),
        ...     output_type=list[float],
        ... )
        >>> score.outputs
        {'result': list[float]}
    """

    def __init__(
        self,
        name: str,
        config: Mapping[str, Json],
        region: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        *,
        output_type: Any = None,
        asynchronous: bool | None = None,
        wait: bool = True,
        endpoint_url: str | None = None,
        role_arn: str | None = None,
        access_key_id: Secret | None = None,
        secret_access_key: Secret | None = None,
        session_token: Secret | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(config, Mapping) or "EndpointName" not in config:
            raise DefinitionError("a request needs an EndpointName", place=f"{name}(config)", actual=repr(config)[:200])
        check_template(config, inputs or {}, {}, f"{name}(config)")
        is_asynchronous = bool(_ASYNCHRONOUS & set(config)) if asynchronous is None else asynchronous
        _check_body(name, config, is_asynchronous)
        if output_type is not None:
            check_result_type(output_type, f"{name}(output_type)")
        task_config: Any
        if is_asynchronous:
            _check_asynchronous(name, output_type, (endpoint_url, role_arn, access_key_id, secret_access_key))
            options = {"wait": wait, "typed": output_type is not None}
            task_config = SageMakerRequest("async_inference", config, region, None, options)
            secrets: tuple[Secret, ...] = ()
        else:
            if not wait:
                raise DefinitionError("a model that answers at once is always waited for", place=f"{name}(wait)")
            if output_type is FlyteFile:
                raise DefinitionError(
                    "only an asynchronous request leaves its result in a file", place=f"{name}(output_type)"
                )
            call = BotoConfig(
                "sagemaker-runtime",
                "invoke_endpoint",
                config,
                region,
                None,
                endpoint_url,
                role_arn,
                access_key_id,
                secret_access_key,
                session_token,
            )
            task_config, secrets = InvocationConfig(call, output_type), call.secrets
        wanted_secrets = [*(kwargs.pop("secret_requests", None) or ()), *secrets]
        if wanted_secrets:
            kwargs["secret_requests"] = wanted_secrets
        outputs = {"result": dict if output_type is None else output_type}
        super().__init__(name, task_config, inputs or {}, outputs, task_type="sagemaker-invocation", **kwargs)


class InvocationTaskType(TaskType):
    """Makes the request where the attempt runs, and reads the answer."""

    def compile(self, declaration: TaskDeclaration) -> Json:
        """The request as data."""
        config = declaration.config
        if not isinstance(config, InvocationConfig) or declaration.body != "none":
            raise DefinitionError(
                "a request has no function of its own",
                place=declaration.name,
                hint="use SageMakerInvokeEndpointTask(name, config)",
            )
        call = config.call
        return {
            "config": plain_template(call.config),
            "region": call.region or "",
            "endpoint_url": call.endpoint_url or "",
            "role_arn": call.role_arn or "",
            "typed": config.wanted is not None,
            "secrets": [secret.to_json() for secret in call.secrets],
        }

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: Any) -> Any:
        """Ask the model."""
        payload, place = context.payload, context.declaration.name
        config: InvocationConfig = context.declaration.config
        template = dict(payload["config"])
        body_template = template.pop("Body")
        values = _values(template, inputs, place)
        parameters = fill(template, inputs=values, images={}, place=f"{place}(config)")
        body, content_type = encoded_body(
            _body(body_template, inputs, place), str(parameters.get("ContentType") or ""), f"{place}(config['Body'])"
        )
        call = Call(
            "sagemaker-runtime",
            "invoke_endpoint",
            region=payload["region"] or str(inputs.get(REGION) or ""),
            endpoint_url=payload["endpoint_url"],
            role_arn=payload["role_arn"],
        )

        def read(answer: Any) -> Any:
            content = answer["Body"].read()
            answered = str(answer.get("ContentType") or "")
            if config.wanted is not None:
                return decoded_body(content, answered, config.wanted, f"{place}() -> result")
            told = answer_as_json({**answer, "Body": content})
            if answered.partition(";")[0].strip() == JSON and isinstance(told["Body"], str):
                told["Body"] = json.loads(told["Body"])
            return told

        return make_call(
            call,
            {**parameters, "Body": body, "ContentType": content_type},
            place=place,
            credentials=credentials_of(config.call),
            read=read,
            # A prediction changes nothing: what was not answered is asked again.
            is_harmless=True,
        )


def _values(template: Json, inputs: Mapping[str, Any], place: str) -> dict[str, Json]:
    """The inputs that the parameters name, as data; a frame that is only the body is none of them."""
    named = {one.name for one in places(template) if one.root == "inputs"}
    return {name: plain_value(inputs[name], f"{place}({name})") for name in sorted(named)}


def _body(template: Json, inputs: Mapping[str, Any], place: str) -> Any:
    """The body: the value itself where an input is all of it."""
    named = list(places(template))
    if len(named) == 1 and template == str(named[0]) and not named[0].path:
        return inputs[named[0].name]
    return fill(template, inputs=_values(template, inputs, place), images={}, place=f"{place}(config['Body'])")


def _check_body(name: str, config: Mapping[str, Json], is_asynchronous: bool) -> None:
    given = [one for one in ("Body", "InputLocation") if one in config]
    wanted = ("Body", "InputLocation") if is_asynchronous else ("Body",)
    if len(given) != 1 or given[0] not in wanted:
        raise DefinitionError(
            "a request has one body",
            place=f"{name}(config)",
            expected=" or ".join(wanted),
            actual=" and ".join(given) or "none",
        )


def _check_asynchronous(name: str, output_type: Any, of_worker: tuple[Any, ...]) -> None:
    if any(one is not None for one in of_worker):
        raise DefinitionError(
            "an asynchronous request is made by the backend, with its address and credentials",
            place=f"{name}(asynchronous)",
            hint="set them in [backends.sagemaker]",
        )
    if output_type in (None, FlyteFile, bytes, str) or is_frame(output_type):
        return
    from flytepath import TypeEngine

    if _has_class(TypeEngine.to_literal_type(output_type)):
        raise DefinitionError(
            "the backend reads an asynchronous result without your classes",
            place=f"{name}(output_type)",
            expected="str, bytes, FlyteFile, pandas.DataFrame, dict, list, numbers, booleans",
            actual=repr(output_type)[:200],
            hint="read a FlyteFile in a task of your own",
        )


def _has_class(declared: Any) -> bool:
    return declared.kind in ("struct", "enum", "opaque", "reference") or any(map(_has_class, declared.items))


__all__ = ["InvocationConfig", "InvocationTaskType", "SageMakerInvokeEndpointTask"]
