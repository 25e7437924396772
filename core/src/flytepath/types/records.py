"""NamedTuple and TypedDict: records that are tuples and dicts at run time."""

from __future__ import annotations

import typing
from typing import Any

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef
from flytepath.model.types import Field, LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, type_name, unreadable, within
from flytepath.types.recursion import struct_name
from flytepath.types.structs import StructConverter, StructField, field_converter, field_types


class TypedDictConverter(CoreConverter[dict[str, Any]]):
    """A dict with the declared keys and no others."""

    classes = (dict,)

    def __init__(self, t: Any, fields: tuple[StructField, ...]) -> None:
        self.fields = fields
        self.literal_type = LiteralType(
            "struct",
            fields=tuple(Field(field.name, field.converter.literal_type, field.required) for field in fields),
            name=struct_name(t),
        )
        self._converters = {field.name: field.converter for field in fields}
        self._required = [field.name for field in fields if field.required]
        self._shown = type_name(t)

    def encode(self, value: dict[str, Any], sink: BlobSink, refs: list[BlobRef]) -> Json:
        return self._each(value, lambda converter, item: converter.encode(item, sink, refs))

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> dict[str, Any]:
        if type(data) is not dict:
            raise unreadable(data, self._shown)
        return self._each(data, lambda converter, item: converter.decode(item, source, refs))

    def isolate(self, value: dict[str, Any]) -> dict[str, Any]:
        return self._each(value, lambda converter, item: converter.isolate(item))

    def _each(self, value: Any, convert: typing.Callable[[CoreConverter[Any], Any], Any]) -> dict[str, Any]:
        if type(value) is not dict:
            raise mismatch(value, self._shown)
        missing = [name for name in self._required if name not in value]
        unknown = [name for name in value if name not in self._converters]
        if missing or unknown:
            raise TypeTransformerFailedError(
                f"{self._shown} misses the key {missing[0]!r}"
                if missing
                else f"{self._shown} has no key {unknown[0]!r}",
                expected="the keys " + ", ".join(self._converters),
                actual=", ".join(map(str, value)) or "no keys",
            )
        out: dict[str, Any] = {}
        name = ""
        try:
            for name, item in value.items():
                out[name] = convert(self._converters[name], item)
        except TypeTransformerFailedError as error:
            raise within(error, f"[{name!r}]") from error.__cause__
        return out


class RecordTransformer(InPlaceTransformer):
    """NamedTuple classes and TypedDict classes."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        cls = typing.get_origin(t) or t
        types = field_types(t)
        if issubclass(cls, tuple):
            return self._named_tuple(t, cls, types, resolve)
        fields = []
        for name, hint in types.items():
            said, bare = _qualified(hint)
            required = name in cls.__required_keys__ if said is None else said
            fields.append(StructField(name, field_converter(resolve, bare, name), required))
        return TypedDictConverter(t, tuple(fields))

    def _named_tuple(self, t: Any, cls: Any, types: dict[str, Any], resolve: Any) -> Converter[Any]:
        untyped = [name for name in cls._fields if name not in types]
        if untyped:
            raise DefinitionError(
                f"the field {untyped[0]!r} of {type_name(cls)} has no type",
                place=f".{untyped[0]}",
                hint="define the class with typing.NamedTuple and annotate its fields",
            )
        fields = tuple(
            StructField(name, field_converter(resolve, types[name], name), name not in cls._field_defaults)
            for name in cls._fields
        )
        return StructConverter(t, fields, "call", immutable=True)


def _qualified(hint: Any) -> tuple[bool | None, Any]:
    """What ``Required`` or ``NotRequired`` says of a key, and its type; ``from __future__`` hides them elsewhere."""
    origin = typing.get_origin(hint)
    wrapper = getattr(origin, "_name", None) or getattr(origin, "__name__", "")
    if wrapper not in ("Required", "NotRequired", "ReadOnly"):
        return None, hint
    said, bare = _qualified(typing.get_args(hint)[0])
    return said if wrapper == "ReadOnly" else wrapper == "Required", bare
