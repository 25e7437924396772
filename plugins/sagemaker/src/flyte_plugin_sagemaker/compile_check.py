"""What is refused when a task is compiled for SageMaker: all that its plan would be, and settings it cannot have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import PlanRequest

from flyte_plugin_sagemaker.errors import MissingAwsLibraryError, SageMakerRequestError, SageMakerTaskError
from flyte_plugin_sagemaker.kinds import kind_of
from flyte_plugin_sagemaker.request_rules import violations
from flyte_plugin_sagemaker.settings import SageMakerSettings, read_settings
from flyte_plugin_sagemaker.tags import PREFIX, Stamp, tags_of

_MOST_TAGS: Final = 50
#: As long as any.
_SOME_DIGEST: Final = "0" * 64
#: One step of a place: a name, ``[3]``, or ``['key']``.
_STEP: Final = re.compile(r"(?:^|\.)([^.\[\]()]+)|\[(\d+)\]|[\[(]'(.*?)'[\])]")


def check_request(request: PlanRequest, settings: Mapping[str, Any]) -> None:
    """Raise what would keep a task from becoming a job.

    Args:
        request: the task as far as it is known before it runs.
        settings: ``[backends.sagemaker]`` as the tenant has it.

    Raises:
        DefinitionError: why there is none.
    """
    from flyte_plugin_sagemaker.backend import kind_name

    for name, value, instead in (
        ("pod_template", request.pod_template, "there are no pods at SageMaker"),
        ("accelerator", request.accelerator, "choose the machine: SagemakerTraining(instance_type=...)"),
        ("shared_memory", request.shared_memory, "SageMaker decides how large it is"),
    ):
        if value:
            raise SageMakerTaskError(
                f"SageMaker has no {name}", place=f"{request.task}({name})", actual=str(value)[:200], hint=instead
            )
    kind = kind_of(kind_name(request))
    account = read_settings(settings)
    body = kind.request(request, account)
    _check_parameters(kind.create_call, kind.name_field, body, request.task)
    _check_tags(request, account, body)


def _check_tags(request: PlanRequest, settings: SageMakerSettings, body: Mapping[str, Any]) -> None:
    """Those that are told apart from ours by their names, and not too many with ours."""
    names = {str(tag["Key"]) for tag in body.get("Tags") or ()}
    for name in sorted(names):
        if name.lower().startswith(("aws:", PREFIX)):
            raise SageMakerTaskError(
                f"{name!r} is no tag for a task: AWS and FlytePath mark things by those that begin so",
                place=f"{request.task}(labels)",
                expected=f"names that begin neither with aws: nor with {PREFIX}",
                actual=name,
            )
    ours = len(tags_of(Stamp(request.key, request.owner, _SOME_DIGEST)))
    given = len(names | set(settings.tags))
    if given + ours > _MOST_TAGS:
        raise SageMakerTaskError(
            f"SageMaker takes {_MOST_TAGS} tags, and {ours} of them are FlytePath's own",
            place=f"{request.task}(labels)",
            expected=f"at most {_MOST_TAGS - ours}, those of [backends.sagemaker] among them",
            actual=str(given),
        )


def _check_parameters(call: str, name_field: str, body: Mapping[str, Any], task: str) -> None:
    """AWS's own rules, where botocore is here to tell them; what only a run knows is not looked at."""
    operation = "".join(part.capitalize() for part in call.split("_"))
    try:
        found = [
            (place, what)
            for place, what in violations("sagemaker", operation, body)
            if place != name_field and not _is_open(place, body)
        ]
    except MissingAwsLibraryError:
        return
    if found:
        place, what = found[0]
        raise SageMakerRequestError(
            f"SageMaker would refuse the request: {place} {what}",
            place=f"{task}({place})",
            hint=f"see {operation} in the SageMaker API reference",
        )


def _is_open(place: str, body: Any) -> bool:
    """Whether what stands there waits for a run: a stand-in, or a placeholder."""
    for name, index, key in _STEP.findall(place):
        try:
            body = body[name] if name else body[int(index)] if index else body[key]
        except (KeyError, IndexError, TypeError):
            return False
    text = json.dumps(body, default=str)
    return "<" in text or "{inputs." in text or "{idempotence_token}" in text


__all__ = ["check_request"]
