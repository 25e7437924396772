"""Structs that contain themselves: a reference to the enclosing struct, in the literal type and among converters."""

from __future__ import annotations

import types
import typing
from typing import Any

from flytepath.model.fitting import holds_blobs
from flytepath.model.literal import BlobRef
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, qualified_name, type_name


def struct_name(t: Any) -> str:
    """The name of a struct in its literal type: the class's qualified name, with its type arguments.

    Example:
        >>> import fractions
        >>> struct_name(fractions.Fraction)
        'fractions.Fraction'
    """
    origin = typing.get_origin(t)
    if origin is None:
        return qualified_name(t)
    return f"{qualified_name(origin)}[{', '.join(map(_written, typing.get_args(t)))}]"


def _written(t: Any) -> str:
    """A type argument in the one spelling of all that Python takes for equal."""
    origin, arguments = typing.get_origin(t), typing.get_args(t)
    if origin is typing.Annotated:
        return _written(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(sorted(map(_written, arguments)))
    if origin is typing.Literal:
        return f"Literal[{', '.join(sorted(map(repr, arguments)))}]"
    if t is Ellipsis:
        return "..."
    return type_name(t) if origin is None else f"{type_name(origin)}[{', '.join(map(_written, arguments))}]"


def is_recursive(type: LiteralType) -> bool:
    """Whether a reference is anywhere inside."""
    if type.kind == "reference":
        return True
    return any(map(is_recursive, type.items)) or any(is_recursive(field.type) for field in type.fields)


def may_hold_blobs(type: LiteralType) -> bool:
    """Whether a blob could be inside a value; where a reference leads is not known from here."""
    return holds_blobs(type) or is_recursive(type)


class RecursiveConverter(CoreConverter[Any]):
    """Stands for the converter of an enclosing struct until that one is built, and calls it from then on."""

    target: Converter[Any]

    def __init__(self, t: Any, cls: type[Any]) -> None:
        self.literal_type = LiteralType("reference", name=struct_name(t))
        self.classes = (dict,) if hasattr(cls, "__required_keys__") else (cls,)

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return self.target.encode(value, sink, refs)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        return self.target.decode(data, source, refs)

    def isolate(self, value: Any) -> Any:
        return self.target.isolate(value)
