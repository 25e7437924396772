"""``BotoTask``: any method of any boto3 client as a task, with placeholders in its parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from flytepath import ImageSpec, PythonInstanceTask, Secret, current_context
from flytepath.plugin import DefinitionError, TaskContext, TaskDeclaration, TaskType

from flyte_plugin_sagemaker.boto_call import Call, Credentials, make_call
from flyte_plugin_sagemaker.placeholders import check_template, content_token, fill, needs_token
from flyte_plugin_sagemaker.plain_values import plain_value

Json = Any
#: What a direct call says its execution is.
_DIRECT: Final = "local"
#: An input of this name is the region, where the configuration names none.
REGION: Final = "region"
OUTPUTS: Final[Mapping[str, Any]] = {"result": dict, "idempotence_token": str}


class BotoOutputs(NamedTuple):
    """What a call gives.

    Args:
        result: the answer as JSON.
        idempotence_token: what ``{idempotence_token}`` stood for; empty where it stands nowhere.
    """

    result: dict[str, Any]
    idempotence_token: str


@dataclass(frozen=True, slots=True)
class BotoConfig:
    """Which call a :class:`BotoTask` makes.

    Texts in ``config`` hold placeholders: ``{inputs.x}`` for an input, ``{inputs.x.key}`` for what lies in it,
    ``{images.x}`` for an image, ``{idempotence_token}`` for 16 characters that are the same for calls of the same
    content. A text that is nothing but a placeholder becomes the value with its type; ``None`` leaves its parameter
    out. Double braces stand for themselves: ``{{inputs.x}}`` is the text ``{inputs.x}``.

    Args:
        service: boto3's name of the service, as ``sagemaker`` or ``s3``.
        method: a method of its client, as ``create_model``.
        config: the parameters of the method.
        region: empty: the input ``region`` if there is one, else as boto3 finds it.
        images: images by name: their names, or an ``ImageSpec`` with a registry.
        endpoint_url: another address than the service's own.
        role_arn: a role that is assumed for the call.
        access_key_id, secret_access_key, session_token: secrets that hold a key; by default as boto3 finds one, by
            environment, profile, container or machine.
        paginate: ask for all pages of an answer, and put them together.

    Raises:
        DefinitionError: the configuration can never be a call.

    Source: https://boto3.amazonaws.com/v1/documentation/api/latest/reference/services/index.html

    Example:
        >>> BotoConfig("s3", "head_object", {"Bucket": "b", "Key": "{inputs.key}"}).method
        'head_object'
    """

    service: str
    method: str
    config: Mapping[str, Json]
    region: str | None = None
    images: Mapping[str, str | ImageSpec] | None = None
    endpoint_url: str | None = None
    role_arn: str | None = None
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    paginate: bool = False

    def __post_init__(self) -> None:
        for name in ("service", "method"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or value.startswith("_"):
                raise DefinitionError(
                    f"the {name} is its name in boto3", place=f"BotoConfig({name})", actual=repr(value)[:200]
                )
        if not isinstance(self.config, Mapping):
            raise DefinitionError(
                "config holds parameters by name", place="BotoConfig(config)", actual=repr(self.config)[:200]
            )
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise DefinitionError(
                "a key is an id and a secret",
                place="BotoConfig(access_key_id)",
                expected="access_key_id and secret_access_key, or neither",
            )
        for name in ("access_key_id", "secret_access_key", "session_token"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Secret):
                raise DefinitionError(
                    "a key is named, never written down",
                    place=f"BotoConfig({name})",
                    expected="Secret(group, key)",
                    actual=type(value).__name__,
                )

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets that the call needs."""
        return tuple(one for one in (self.access_key_id, self.secret_access_key, self.session_token) if one is not None)


class BotoTask(PythonInstanceTask):
    """A call of an AWS service as a task. Assign it to a module variable.

    Its outputs are ``result``, the answer as JSON, and ``idempotence_token``, empty where ``config`` does not use one.
    Moments in the answer are ISO 8601 text, a stream is read to its end, and bytes are text (``{"base64": ...}`` where
    they are no UTF-8).

    The call is made once, as far as anybody can know: one that was sent and not answered is repeated only if it reads,
    is an HTTP GET, HEAD, PUT or DELETE, or bears a token of the service's (``ClientToken`` and the like; where the
    author gives none, one is made of execution and node, so that a repeated attempt is the same call to the service).

    Args:
        name: the task's name, unique in its project.
        task_config: the call.
        inputs: types by name.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``cache``, ...

    Raises:
        DefinitionError: a placeholder that names nothing, or parameters that are no data.

    A run raises :class:`BotoParameterError`, :class:`BotoAccessError`, :class:`BotoCallError` (the service's own code
    and words), :class:`BotoOutcomeUnknownError`, or, on the system's budget of retries, :class:`BotoUnavailableError`.

    Example:
        >>> from flytepath import kwtypes
        >>> describe = BotoTask(
        ...     name="describe",
        ...     task_config=BotoConfig(
        ...         "sagemaker", "describe_model", {"ModelName": "{inputs.model}"}, region="eu-west-1"
        ...     ),
        ...     inputs=kwtypes(model=str),
        ... )
        >>> sorted(describe.outputs)
        ['idempotence_token', 'result']
    """

    def __init__(
        self,
        name: str,
        task_config: BotoConfig,
        inputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(task_config, BotoConfig):
            raise DefinitionError(
                "a BotoTask is configured by BotoConfig",
                place=f"{name}(task_config)",
                actual=repr(task_config)[:200],
            )
        images = image_names(task_config.images or {}, name)
        check_template(task_config.config, inputs or {}, images, f"{name}(config)")
        secrets = [*(kwargs.pop("secret_requests", None) or ()), *task_config.secrets]
        if secrets:
            kwargs["secret_requests"] = secrets
        super().__init__(
            name, task_config, inputs or {}, dict(OUTPUTS), task_type="boto", output_tuple=BotoOutputs, **kwargs
        )


class BotoTaskType(TaskType):
    """Makes the call where the attempt runs."""

    def compile(self, declaration: TaskDeclaration) -> Json:
        """The call as data."""
        config = declaration.config
        if not isinstance(config, BotoConfig) or declaration.body != "none":
            raise DefinitionError(
                "a call has no function of its own", place=declaration.name, hint="use BotoTask(name, BotoConfig(...))"
            )
        return {
            "service": config.service,
            "method": config.method,
            "config": plain_template(config.config),
            "region": config.region or "",
            "images": image_names(config.images or {}, declaration.name),
            "endpoint_url": config.endpoint_url or "",
            "role_arn": config.role_arn or "",
            "paginate": config.paginate,
            "secrets": [secret.to_json() for secret in config.secrets],
        }

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: Any) -> BotoOutputs:
        """Fill in the parameters and make the call."""
        payload, place = context.payload, context.declaration.name
        values = {name: plain_value(value, f"{place}({name})") for name, value in inputs.items()}
        call = Call(
            service=payload["service"],
            method=payload["method"],
            region=payload["region"] or str(values.get(REGION) or ""),
            endpoint_url=payload["endpoint_url"],
            role_arn=payload["role_arn"],
            paginate=payload["paginate"],
        )
        template, images = payload["config"], payload["images"]
        token = ""
        if needs_token(template):
            token = content_token(template, inputs=values, images=images, salt=f"{call} {call.region}")
        parameters = fill(template, inputs=values, images=images, token=token, place=f"{place}(config)")
        is_direct = context.execution_id == _DIRECT
        result = make_call(
            call,
            parameters,
            place=place,
            seed=None if is_direct else f"{context.execution_id}\0{context.node_path}",
            credentials=credentials_of(context.declaration.config),
        )
        return BotoOutputs(result, token)


def image_names(images: Mapping[str, str | ImageSpec], place: str) -> dict[str, str]:
    """Images as a service is told of them.

    Raises:
        DefinitionError: what stands there is no image.

    Example:
        >>> image_names({"server": "ghcr.io/acme/server:1"}, "deploy")
        {'server': 'ghcr.io/acme/server:1'}
    """
    if not isinstance(images, Mapping):
        raise DefinitionError("images are given by name", place=f"{place}(images)", actual=repr(images)[:200])
    named: dict[str, str] = {}
    for name, image in images.items():
        if isinstance(image, ImageSpec) and image.registry:
            named[name] = image.image_name()
        elif isinstance(image, str) and image.strip():
            named[name] = image
        else:
            raise DefinitionError(
                "an image is its name, or an ImageSpec with a registry",
                place=f"{place}(images[{name!r}])",
                actual=repr(image)[:200],
            )
    return named


def plain_template(config: Json) -> Json:
    """A copy with lists for tuples, which JSON has not."""
    if isinstance(config, Mapping):
        return {key: plain_template(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [plain_template(item) for item in config]
    return copy.copy(config)


def credentials_of(config: BotoConfig) -> Credentials | None:
    """The key that the configuration names, read where the attempt runs; ``None``: as boto3 finds one."""
    if config.access_key_id is None or config.secret_access_key is None:
        return None
    secrets = current_context().secrets

    def value(secret: Secret) -> str:
        return secrets.get(secret.group, secret.key, secret.group_version)

    return Credentials(
        value(config.access_key_id),
        value(config.secret_access_key),
        None if config.session_token is None else value(config.session_token),
    )
