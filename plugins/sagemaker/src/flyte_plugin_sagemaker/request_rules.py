"""AWS's own rules for the parameters of a call, as botocore's description of the service holds them.

botocore checks names and types before it sends; lengths, patterns and choices only AWS checks. Here all of them are
checked, before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from flyte_plugin_sagemaker.errors import MissingAwsLibraryError
from flyte_plugin_sagemaker.service_models import service_models

Json = Any

#: Java's classes of letters, inside brackets.
_CLASSES: Final = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s", r"\p{M}": "", r"\p{S}": "", r"\p{P}": ""}
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "list": (list, tuple),
    "map": (dict,),
    "structure": (dict,),
}


def violations(service: str, operation: str, parameters: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """What is wrong with the parameters of a call: (place, what is wrong), in order.

    Args:
        service: boto3's name of it.
        operation: AWS's name, as ``CreateTrainingJob``.
        parameters: of the call.

    Raises:
        MissingAwsLibraryError: botocore is not installed.
    """
    model = _service(service)
    # A service that is not asked by this name checks its parameters itself.
    shape = model.operation_model(operation).input_shape if operation in model.operation_names else None
    if shape is not None:
        yield from _of(shape, dict(parameters), "")


@cache
def _service(name: str) -> Json:
    try:
        from botocore.model import ServiceModel

        models = service_models()
    except ImportError as error:
        raise MissingAwsLibraryError(
            "requests are checked with botocore, which is not installed",
            actual=str(error),
            hint="pip install boto3",
        ) from error
    return ServiceModel(models.load_service_model(name, "service-2"), name)


def _of(shape: Json, value: Json, place: str) -> Iterator[tuple[str, str]]:
    kinds = _KINDS.get(shape.type_name)
    if kinds is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        yield place, f"is a {shape.type_name}, not {value!r}"
        return
    if shape.type_name == "structure":
        yield from _of_structure(shape, value, place)
    elif shape.type_name == "list":
        yield from _between(shape, len(value), place, "items")
        for index, item in enumerate(value):
            yield from _of(shape.member, item, f"{place}[{index}]")
    elif shape.type_name == "map":
        yield from _between(shape, len(value), place, "entries")
        for key, item in value.items():
            yield from _of(shape.key, key, f"{place}({key!r})")
            yield from _of(shape.value, item, f"{place}[{key!r}]")
    elif shape.type_name == "string":
        yield from _of_text(shape, value, place)
    elif kinds is not None and bool not in kinds:
        yield from _between(shape, value, place, "")


def _of_structure(shape: Json, value: Mapping[str, Json], place: str) -> Iterator[tuple[str, str]]:
    for name in shape.required_members:
        if name not in value:
            yield f"{place}.{name}".lstrip("."), "is missing"
    for name, item in value.items():
        below = f"{place}.{name}".lstrip(".")
        if name not in shape.members:
            yield below, f"is not known; there are {', '.join(sorted(shape.members))}"[:300]
        else:
            yield from _of(shape.members[name], item, below)


def _of_text(shape: Json, value: str, place: str) -> Iterator[tuple[str, str]]:
    yield from _between(shape, len(value), place, "characters")
    if shape.enum and value not in shape.enum:
        yield place, f"is one of {', '.join(shape.enum)}"[:300] + f", not {value!r}"
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield place, f"{value[:100]!r} does not match {pattern}"


def _between(shape: Json, number: float, place: str, what: str) -> Iterator[tuple[str, str]]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and number < least:
        yield place, f"has at least {least} {what}, not {number}" if what else f"is at least {least}, not {number}"
    if most is not None and number > most:
        yield place, f"has at most {most} {what}, not {number}" if what else f"is at most {most}, not {number}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, ours in _CLASSES.items():
        pattern = pattern.replace(java, ours)
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error:  # Java knows more than this; AWS will say it
        return re.compile(".*", re.DOTALL)


__all__ = ["violations"]
