"""Tasks that are one request to SageMaker: the configuration they share, their payload, and the request it becomes.

A request is followed to its end by the backend, under the name that the author gives it or one made of the job's key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from flytepath import ImageSpec, PythonInstanceTask
from flytepath.plugin import DefinitionError, PlanRequest, TaskDeclaration, TaskType

from flyte_plugin_sagemaker.boto_call import without_none
from flyte_plugin_sagemaker.boto_task import REGION, BotoOutputs, image_names, plain_template
from flyte_plugin_sagemaker.parameter_errors import ParameterValueError
from flyte_plugin_sagemaker.placeholders import check_template, content_token, fill, places
from flyte_plugin_sagemaker.plain_values import literal_value
from flyte_plugin_sagemaker.tags import tail_of

Json = Any
_NAME: Final = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
#: Fewer characters of a token are no token.
_SHORTEST_TOKEN: Final = 8
#: What `flytepath render` puts where only a run knows a text; no name and no address holds such.
_STAND_IN: Final = re.compile(r"<[A-Za-z_]\w*>")
_TOKEN_AT_END: Final = re.compile(r"\{(?:inputs\.(?:\w+\.)*\w*)?idempotence_token\}$")


@dataclass(frozen=True, slots=True)
class SageMakerRequest:
    """What a task asks SageMaker for.

    Args:
        kind: which request, as the backend's table of kinds has it.
        config: its parameters, with placeholders as in :class:`~flyte_plugin_sagemaker.BotoConfig`.
        region: empty: the input ``region`` if there is one, else the backend's.
        images: images by name.
        options: what else the kind wants to know.
    """

    kind: str
    config: Mapping[str, Json]
    region: str | None = None
    images: Mapping[str, str | ImageSpec] | None = None
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filled:
    """A request with its values.

    Args:
        parameters: all of them, the name among them.
        token: what ``{idempotence_token}`` stands for in them.
        region: empty for the backend's.
    """

    parameters: dict[str, Json]
    token: str
    region: str


class SageMakerTask(PythonInstanceTask):
    """The base of tasks that are one request. Assign each to a module variable.

    Args:
        name: the task's name, unique in its project.
        config: the parameters of the request, as boto3 takes them, with placeholders.
        region: where; by default the input ``region``, else the backend's region.
        images: what ``{images.x}`` stands for.
        inputs: types by name.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``cache``, ...

    Raises:
        DefinitionError: a placeholder that names nothing, or a parameter that is missing or must not be there.
    """

    #: Which request it is.
    kind: ClassVar[str]
    #: Parameters that must be there; of those with ``|`` between them, one.
    required: ClassVar[tuple[str, ...]] = ()
    #: Whether ``{idempotence_token}`` is an output too.
    gives_token: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        config: Mapping[str, Json],
        region: str | None = None,
        images: Mapping[str, str | ImageSpec] | None = None,
        inputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(config, Mapping):
            raise DefinitionError("config holds parameters by name", place=f"{name}(config)", actual=repr(config)[:200])
        check_template(config, inputs or {}, image_names(images or {}, name), f"{name}(config)")
        for wanted in self.required:
            if not any(one in config for one in wanted.split("|")):
                raise DefinitionError(
                    f"the request needs {wanted.replace('|', ' or ')}",
                    place=f"{name}(config)",
                    expected=", ".join(one.replace("|", " or ") for one in self.required),
                    actual=", ".join(config) or "nothing",
                )
        options = self.options(name, kwargs)
        outputs = self.output_types(kwargs)
        super().__init__(
            name,
            SageMakerRequest(self.kind, config, region, images, options),
            inputs or {},
            outputs,
            task_type=f"sagemaker-{self.kind.replace('_', '-')}",
            output_tuple=BotoOutputs if self.gives_token else None,
            **kwargs,
        )

    def options(self, name: str, given: dict[str, Any]) -> dict[str, Json]:
        """What the class takes beside settings of every task; it is taken out of ``given``."""
        return {}

    def output_types(self, given: dict[str, Any]) -> dict[str, Any]:
        """The outputs; what only they need is taken out of ``given``."""
        return {"result": dict, "idempotence_token": str} if self.gives_token else {"result": dict}


class SageMakerRequestType(TaskType):
    """Compiles a request; the backend makes it."""

    #: Nothing of ours runs there.
    ignored_settings = frozenset({"requests", "limits", "container_image", "environment", "accelerator"})

    def compile(self, declaration: TaskDeclaration) -> Json:
        """The request as data."""
        config = declaration.config
        if not isinstance(config, SageMakerRequest) or declaration.body != "none":
            raise DefinitionError(
                "a request has no function of its own",
                place=declaration.name,
                hint="use one of the classes, as SageMakerModelTask(name, config)",
            )
        return {
            "kind": config.kind,
            "request": plain_template(config.config),
            "region": config.region or "",
            "images": image_names(config.images or {}, declaration.name),
            "options": dict(config.options),
            "outputs": {name: declared.to_json() for name, declared in declaration.outputs.items()},
        }


def filled_request(request: PlanRequest, *, is_per_run: bool, name_field: str, name_limit: int) -> Filled:
    """The parameters of a job's request.

    Args:
        request: the job.
        is_per_run: whether ``{idempotence_token}`` stands for this run; otherwise for the content of the request.
        name_field: the parameter that names it.
        name_limit: the longest name.

    Raises:
        ParameterValueError: a value that cannot stand where its placeholder does, or a name that is none.
    """
    payload, place = request.payload, f"{request.task}(config)"
    template, images = payload["request"], payload["images"]
    inputs = {name: literal_value(literal, f"{request.task}({name})") for name, literal in request.inputs.items()}
    region = payload["region"] or str(inputs.get(REGION) or "")
    if is_per_run:
        # Every name of ours holds it, so that a job is found by its key.
        token = tail_of(request.key)
    else:
        token = content_token(template, inputs=inputs, images=images, salt=f"{payload['kind']} {region}")
    parameters = fill(template, inputs=inputs, images=images, token=token, place=place)
    _shorten(template, parameters, name_limit, len(token), place)
    if name_field in parameters and not needs_value(parameters[name_field]):
        _check_name(parameters[name_field], name_limit, f"{place}[{name_field!r}]")
    return Filled(without_none(parameters), token, region)


def needs_value(parameter: Json) -> bool:
    """Whether an input that only a run knows is missing in it, or stands there as what stands for it in a rendering."""
    return any(True for _ in places(parameter)) or (isinstance(parameter, str) and bool(_STAND_IN.search(parameter)))


def _shorten(template: Json, parameters: Json, limit: int, length: int, place: str) -> None:
    """Let names that end in a token fit, by a shorter token: the same one wherever the name stands."""
    if isinstance(template, Mapping):
        for (key, before), after_key in zip(template.items(), list(parameters), strict=True):
            after = parameters[after_key]
            if isinstance(before, str) and isinstance(after, str) and key.endswith("Name"):
                if len(after) > limit and _TOKEN_AT_END.search(before) and not needs_value(after):
                    if len(after) - limit > length - _SHORTEST_TOKEN:
                        raise ParameterValueError(
                            f"the name {after!r} is too long",
                            place=f"{place}[{key!r}]",
                            expected=f"at most {limit - _SHORTEST_TOKEN} characters before the token",
                            actual=f"{len(after) - length} characters before it",
                        )
                    parameters[after_key] = after[:limit]
            else:
                _shorten(before, after, limit, length, f"{place}[{key!r}]")
    elif isinstance(template, list | tuple):
        for index, (before, after) in enumerate(zip(template, parameters, strict=True)):
            _shorten(before, after, limit, length, f"{place}[{index}]")


def _check_name(name: Json, limit: int, place: str) -> None:
    if not isinstance(name, str) or len(name) > limit or not _NAME.fullmatch(name):
        raise ParameterValueError(
            "SageMaker takes no such name",
            place=place,
            expected=f"1 to {limit} letters, digits and hyphens, with a letter or digit first and last",
            actual=repr(name)[:200],
        )
