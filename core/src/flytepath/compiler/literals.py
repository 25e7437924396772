"""Constants, defaults and interfaces as literals and their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.signature import REQUIRED
from flytepath.errors import DefaultValueError, FlytePathError, TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.task import Interface, Variable
from flytepath.plugin.transformer import BlobSink
from flytepath.types.engine import Codec


def encode(codec: Codec[Any], value: Any, sink: BlobSink, place: str) -> Literal:
    """The literal of ``value``; an error names ``place`` and the path inside the value."""
    try:
        return codec.encode(value, sink)
    except TypeTransformerFailedError as error:
        error.place = f"{place}{error.place or ''}"
        raise


def interface_of(entity: Entity, sink: BlobSink) -> Interface:
    """The inputs and outputs of an entity as they are recorded.

    Raises:
        DefaultValueError: a default that cannot be kept.
    """
    return interface(entity.name, entity.input_codecs, entity.output_codecs, entity.defaults, sink)


def interface(
    name: str,
    inputs: Mapping[str, Codec[Any]],
    outputs: Mapping[str, Codec[Any]],
    defaults: Mapping[str, Any],
    sink: BlobSink,
) -> Interface:
    """An interface put together from codecs and native defaults."""

    def variable(key: str, codec: Codec[Any]) -> Variable:
        default = defaults.get(key, REQUIRED)
        if default is REQUIRED:
            return Variable(name=key, type=codec.literal_type, pickled=codec.pickled)
        return Variable(
            name=key,
            type=codec.literal_type,
            required=False,
            default=_default(codec, default, sink, f"{name}({key})"),
            pickled=codec.pickled,
        )

    return Interface(
        inputs=tuple(variable(key, codec) for key, codec in inputs.items()),
        outputs=tuple(
            Variable(name=key, type=codec.literal_type, pickled=codec.pickled) for key, codec in outputs.items()
        ),
    )


def _default(codec: Codec[Any], value: Any, sink: BlobSink, place: str) -> Literal:
    try:
        return encode(codec, value, sink, place)
    except FlytePathError as error:
        raise DefaultValueError(
            f"a default cannot be kept: {error.message}",
            place=error.place or place,
            expected=error.expected,
            actual=error.actual,
            hint="make the value inside the task, with None as the default",
        ) from error
