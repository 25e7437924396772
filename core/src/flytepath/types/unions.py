"""Unions: the alternative is known from a value's class, before anything is encoded."""

from __future__ import annotations

import typing
from typing import Any

from flytepath.errors import AmbiguousUnionError
from flytepath.model.literal import BlobRef, canonical_json
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, type_name, unreadable


class OptionalConverter(CoreConverter[Any]):
    """One type, or ``None``."""

    def __init__(self, inner: Converter[Any], tag: int, literal_type: LiteralType, shown: str) -> None:
        self.inner = inner
        self.literal_type = literal_type
        self.classes = (*_classes(inner), type(None))
        self.subclasses = getattr(inner, "subclasses", True)
        self._tag = tag
        self._shown = shown

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return None if value is None else {"tag": self._tag, "value": self.inner.encode(value, sink, refs)}

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        if data is None:
            return None
        if type(data) is not dict or data.get("tag") != self._tag or "value" not in data:
            raise unreadable(data, self._shown)
        return self.inner.decode(data["value"], source, refs)

    def isolate(self, value: Any) -> Any:
        return None if value is None else self.inner.isolate(value)


class UnionConverter(CoreConverter[Any]):
    """Two types or more, and perhaps ``None``; ``tag`` is the index among the literal type's alternatives."""

    def __init__(self, alternatives: list[Converter[Any]], literal_type: LiteralType, shown: str) -> None:
        self.alternatives = alternatives
        self.literal_type = literal_type
        self.classes = tuple(cls for alternative in alternatives for cls in _classes(alternative))
        self.subclasses = any(getattr(alternative, "subclasses", True) for alternative in alternatives)
        self._shown = shown
        self._tag_of = {cls: tag for tag, one in enumerate(alternatives) for cls in _classes(one)}
        self._bases = [
            (cls, tag)
            for tag, one in enumerate(alternatives)
            if getattr(one, "subclasses", True)
            for cls in _classes(one)
        ]

    def _tag(self, value: Any) -> int:
        tag = self._tag_of.get(type(value))
        if tag is None:
            tag = next((tag for cls, tag in self._bases if isinstance(value, cls)), None)
        if tag is None:
            raise mismatch(value, self._shown)
        return tag

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        if value is None and type(None) in self._tag_of:
            return None
        tag = self._tag(value)
        return {"tag": tag, "value": self.alternatives[tag].encode(value, sink, refs)}

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        if data is None and type(None) in self._tag_of:
            return None
        try:
            alternative, inner = self.alternatives[data["tag"]], data["value"]
        except (TypeError, KeyError, IndexError) as error:
            raise unreadable(data, self._shown) from error
        return alternative.decode(inner, source, refs)

    def isolate(self, value: Any) -> Any:
        return (
            None if value is None and type(None) in self._tag_of else self.alternatives[self._tag(value)].isolate(value)
        )


def _classes(converter: Converter[Any]) -> tuple[type[Any], ...]:
    """The classes of values a converter takes; a plugin's converter does not say, and might take any."""
    return getattr(converter, "classes", (object,))


def _kind(converter: Converter[Any]) -> tuple[bool, bytes]:
    return converter.literal_type.kind == "none", canonical_json(converter.literal_type.to_json())


class UnionTransformer(InPlaceTransformer):
    """``A | B``, ``Optional[A]``, ``Union[A, B]``. The order in which the alternatives are written has no meaning."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        arguments = _merge_literals(typing.get_args(t))
        if set(arguments) == {Any, type(None)}:
            return _resolved(Any, resolve)
        alternatives = sorted((resolve(argument) for argument in arguments), key=_kind)
        for index, one in enumerate(alternatives):
            for other in alternatives[index + 1 :]:
                _check_distinct(t, one, other)
        literal_type = LiteralType.union_of(*(alternative.literal_type for alternative in alternatives))
        if len(alternatives) == 1:
            only: Converter[Any] = alternatives[0]
            return only
        if len(alternatives) == 2 and type(None) in _classes(alternatives[1]) and literal_type.items[1].kind == "none":
            return OptionalConverter(alternatives[0], 0, literal_type, type_name(t))
        return UnionConverter(alternatives, literal_type, type_name(t))


def _resolved(t: Any, resolve: Any) -> Converter[Any]:
    converter: Converter[Any] = resolve(t)
    return converter


def _merge_literals(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same alternatives with all ``Literal[...]`` in one: their values tell them apart."""
    literals = [argument for argument in arguments if typing.get_origin(argument) is typing.Literal]
    if len(literals) < 2:
        return arguments
    values = tuple(value for literal in literals for value in typing.get_args(literal))
    rest = [argument for argument in arguments if argument not in literals]
    merged: Any = typing.Literal[values]
    return (*rest, merged)


def _check_distinct(t: Any, one: Converter[Any], other: Converter[Any]) -> None:
    for left in _classes(one):
        for right in _classes(other):
            if left is right or _overlaps(left, one, right) or _overlaps(right, other, left):
                raise AmbiguousUnionError(
                    f"the union {type_name(t)} is ambiguous: a value could be {one.literal_type} or"
                    f" {other.literal_type}",
                    expected="alternatives that the class of a value tells apart",
                    actual=f"{type_name(left)} and {type_name(right)}",
                    hint="give each alternative a dataclass of its own",
                )


def _overlaps(base: type[Any], converter: Converter[Any], cls: type[Any]) -> bool:
    return bool(getattr(converter, "subclasses", True)) and issubclass(cls, base)
