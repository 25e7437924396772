"""Unions: the alternative is known from a value's class, before anything is encoded."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

from flytepath.errors import AmbiguousUnionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef, canonical_json
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, at_index, mismatch, type_name, unreadable
from flytepath.types.recursion import may_hold_blobs

_ABSENT: Final = object()


class OptionalConverter(CoreConverter[Any]):
    """One type, or ``None``."""

    passes_encode = passes_decode = passes_isolate = "{v} is None"

    def __init__(self, inner: CoreConverter[Any], tag: int, literal_type: LiteralType, shown: str) -> None:
        self.inner = inner
        self.literal_type = literal_type
        self.classes = (*_classes(inner), type(None))
        self.subclasses = inner.subclasses
        self.atomic = inner.atomic
        if inner.passes_isolate:
            self.passes_isolate = f"{{v}} is None or {inner.passes_isolate}"
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

    def encode_many(self, values: list[Any], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        payloads = self._present(values, lambda present: self.inner.encode_many(present, sink, refs))
        tag = self._tag
        return [None if value is None else {"tag": tag, "value": next(payloads)} for value in values]

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[Any]:
        if not set(map(type, data)) <= {dict, type(None)}:
            return super().decode_many(data, source, refs)
        present = [item.get("value", _ABSENT) for item in data if item is not None and item.get("tag") == self._tag]
        if _ABSENT in present or len(present) != len(data) - data.count(None):
            return super().decode_many(data, source, refs)
        found = self._present(data, lambda _: self.inner.decode_many(present, source, refs))
        return [None if item is None else next(found) for item in data]

    def isolate_many(self, values: list[Any]) -> list[Any]:
        if self.atomic:
            return super().isolate_many(values)
        own = self._present(values, self.inner.isolate_many)
        return [None if value is None else next(own) for value in values]

    def _present(self, values: list[Any], convert: Callable[[list[Any]], list[Any]]) -> Iterator[Any]:
        """What all values that are not ``None`` become at once; an error names the place among all."""
        try:
            return iter(convert([value for value in values if value is not None]))
        except TypeTransformerFailedError as error:
            places = [index for index, value in enumerate(values) if value is not None]
            raise at_index(error, lambda index: f"[{places[index]}]") from error.__cause__


class UnionConverter(CoreConverter[Any]):
    """Two types or more, and perhaps ``None``; ``tag`` is the index among the literal type's alternatives."""

    def __init__(self, alternatives: list[CoreConverter[Any]], literal_type: LiteralType, shown: str) -> None:
        self.alternatives = alternatives
        self.literal_type = literal_type
        self.classes = tuple(cls for alternative in alternatives for cls in _classes(alternative))
        self.subclasses = any(alternative.subclasses for alternative in alternatives)
        self.atomic = all(alternative.atomic for alternative in alternatives)
        # One alternative after the other is faster, but the blobs inside would change their order.
        self._by_alternative = not may_hold_blobs(literal_type)
        self._shown = shown
        self._tag_of = {cls: tag for tag, one in enumerate(alternatives) for cls in _classes(one)}
        self._bases = [(cls, tag) for tag, one in enumerate(alternatives) if one.subclasses for cls in _classes(one)]

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
        if value is None and type(None) in self._tag_of:
            return None
        return self.alternatives[self._tag(value)].isolate(value)

    def encode_many(self, values: list[Any], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        classes = list(map(type, values))
        if not self._by_alternative or not set(classes) <= self._tag_of.keys():
            return super().encode_many(values, sink, refs)
        tags = [self._tag_of[cls] for cls in classes]
        payloads = {tag: self._encoded(tag, tags, values, sink, refs) for tag in set(tags)}
        return [
            None if value is None else {"tag": tag, "value": next(payloads[tag])}
            for tag, value in zip(tags, values, strict=True)
        ]

    def _encoded(
        self, tag: int, tags: list[int], values: list[Any], sink: BlobSink, refs: list[BlobRef]
    ) -> Iterator[Json]:
        """The payloads of all values of one alternative; an error names the place among all values."""
        places = [index for index, own in enumerate(tags) if own == tag]
        try:
            return iter(self.alternatives[tag].encode_many([values[index] for index in places], sink, refs))
        except TypeTransformerFailedError as error:
            raise at_index(error, lambda index: f"[{places[index]}]") from error.__cause__


def _classes(converter: CoreConverter[Any]) -> tuple[type[Any], ...]:
    return converter.classes or (object,)


def _kind(converter: CoreConverter[Any]) -> tuple[bool, bytes]:
    return converter.literal_type.kind == "none", canonical_json(converter.literal_type.to_json())


class UnionTransformer(InPlaceTransformer):
    """``A | B``, ``Optional[A]``, ``Union[A, B]``. The order in which the alternatives are written has no meaning."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        arguments = _merge_literals(typing.get_args(t))
        if set(arguments) == {Any, type(None)}:
            return _resolved(Any, resolve)
        alternatives: list[CoreConverter[Any]] = sorted((resolve(argument) for argument in arguments), key=_kind)
        for index, one in enumerate(alternatives):
            for other in alternatives[index + 1 :]:
                _check_distinct(t, one, other)
        literal_type = LiteralType.union_of(*(alternative.literal_type for alternative in alternatives))
        if len(alternatives) == 1:
            return alternatives[0]
        if len(alternatives) == 2 and type(None) in _classes(alternatives[1]) and literal_type.items[1].kind == "none":
            return OptionalConverter(alternatives[0], 0, literal_type, type_name(t))
        return UnionConverter(alternatives, literal_type, type_name(t))


def _resolved(t: Any, resolve: Any) -> CoreConverter[Any]:
    converter: CoreConverter[Any] = resolve(t)
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


def _check_distinct(t: Any, one: CoreConverter[Any], other: CoreConverter[Any]) -> None:
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


def _overlaps(base: type[Any], converter: CoreConverter[Any], cls: type[Any]) -> bool:
    return converter.subclasses and issubclass(cls, base)
