"""list, tuple, set, frozenset and dict of items whose types are declared."""

from __future__ import annotations

import typing
from typing import Any

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef, canonical_json
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, shown, type_name, unreadable, within
from flytepath.types.scalars import StringConverter, is_text


class ListConverter(CoreConverter[list[Any]]):
    """``list[item]``."""

    classes = (list,)

    def __init__(self, item: CoreConverter[Any], shown: str) -> None:
        self.item = item
        self.literal_type = LiteralType.list_of(item.literal_type)
        self._shown = shown

    def encode(self, value: list[Any], sink: BlobSink, refs: list[BlobRef]) -> Json:
        if type(value) is not list:
            raise mismatch(value, self._shown, _listed(value))
        return self.item.encode_many(value, sink, refs)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> list[Any]:
        if type(data) is not list:
            raise unreadable(data, self._shown)
        return self.item.decode_many(data, source, refs)

    def isolate(self, value: list[Any]) -> list[Any]:
        if type(value) is not list:
            raise mismatch(value, self._shown, _listed(value))
        return self.item.isolate_many(value)


def _listed(value: Any) -> str | None:
    return "convert it with list(value)" if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else None


class VariadicTupleConverter(CoreConverter[tuple[Any, ...]]):
    """``tuple[item, ...]``: a list to everybody else, with a name that says tuple."""

    classes = (tuple,)

    def __init__(self, item: CoreConverter[Any], shown: str) -> None:
        self.item = item
        self.literal_type = LiteralType("list", (item.literal_type,), name="tuple")
        self._shown = shown

    def encode(self, value: tuple[Any, ...], sink: BlobSink, refs: list[BlobRef]) -> Json:
        if type(value) is not tuple:
            raise mismatch(value, self._shown)
        return self.item.encode_many(list(value), sink, refs)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> tuple[Any, ...]:
        if type(data) is not list:
            raise unreadable(data, self._shown)
        return tuple(self.item.decode_many(data, source, refs))

    def isolate(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if type(value) is not tuple:
            raise mismatch(value, self._shown)
        return tuple(self.item.isolate_many(list(value)))


class FixedTupleConverter(CoreConverter[tuple[Any, ...]]):
    """``tuple[a, b, c]``."""

    classes = (tuple,)

    def __init__(self, items: tuple[CoreConverter[Any], ...], shown: str) -> None:
        self.items = items
        self.literal_type = LiteralType("tuple", tuple(item.literal_type for item in items))
        self._shown = shown

    def _check(self, value: Any) -> None:
        if type(value) is not tuple:
            raise mismatch(value, self._shown)
        if len(value) != len(self.items):
            raise TypeTransformerFailedError(
                f"expected a tuple of {len(self.items)} items, got {len(value)}",
                expected=self._shown,
                actual=f"{len(value)} items",
            )

    def encode(self, value: tuple[Any, ...], sink: BlobSink, refs: list[BlobRef]) -> Json:
        self._check(value)
        return self._each(value, lambda item, part: item.encode(part, sink, refs))

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> tuple[Any, ...]:
        if type(data) is not list or len(data) != len(self.items):
            raise unreadable(data, self._shown)
        return tuple(self._each(data, lambda item, part: item.decode(part, source, refs)))

    def isolate(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        self._check(value)
        return tuple(self._each(value, lambda item, part: item.isolate(part)))

    def _each(self, parts: typing.Sequence[Any], convert: typing.Callable[[CoreConverter[Any], Any], Any]) -> list[Any]:
        out: list[Any] = []
        try:
            for item, part in zip(self.items, parts, strict=True):
                out.append(convert(item, part))
        except TypeTransformerFailedError as error:
            raise within(error, f"[{len(out)}]") from error.__cause__
        return out


class SetConverter(CoreConverter[Any]):
    """``set[item]`` and ``frozenset[item]``; kept in the order of their items' canonical JSON."""

    def __init__(self, cls: type[Any], item: CoreConverter[Any], shown: str) -> None:
        self.cls = cls
        self.classes = (cls,)
        self.item = item
        self.literal_type = LiteralType(cls.__name__, (item.literal_type,))
        self._shown = shown

    def _check(self, value: Any) -> None:
        if type(value) is not self.cls:
            raise mismatch(value, self._shown)

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        self._check(value)
        keyed = []
        for item in value:
            own: list[BlobRef] = []
            try:
                payload = self.item.encode(item, sink, own)
            except TypeTransformerFailedError as error:
                raise within(error, f"[{shown(item)}]") from error.__cause__
            keyed.append(((canonical_json(payload), [ref.digest for ref in own]), item, payload, bool(own)))
        keyed.sort(key=lambda entry: entry[0])
        return [self.item.encode(item, sink, refs) if blobs else payload for _, item, payload, blobs in keyed]

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        if type(data) is not list:
            raise unreadable(data, self._shown)
        return self.cls(self.item.decode_many(data, source, refs))

    def isolate(self, value: Any) -> Any:
        self._check(value)
        items = list(value)
        try:
            return self.cls(self.item.isolate_many(items))
        except TypeTransformerFailedError as error:
            raise _named(error, [shown(item) for item in items]) from error.__cause__


class DictConverter(CoreConverter[dict[Any, Any]]):
    """``dict[key, value]``, in its order; an object where the keys are strings, pairs otherwise."""

    classes = (dict,)

    def __init__(self, key: CoreConverter[Any], item: CoreConverter[Any], shown: str) -> None:
        self.key = key
        self.item = item
        self.literal_type = LiteralType.dict_of(key.literal_type, item.literal_type)
        self._strings = type(key) is StringConverter
        self._shown = shown

    def _keys(self, value: Any) -> list[Any]:
        if type(value) is not dict:
            raise mismatch(value, self._shown)
        return list(value)

    def encode(self, value: dict[Any, Any], sink: BlobSink, refs: list[BlobRef]) -> Json:
        keys = self._keys(value)
        own_keys = self._each_key(lambda: self.key.encode_many(keys, sink, refs), keys)
        items = self._each_item(lambda: self.item.encode_many(list(value.values()), sink, refs), keys)
        if self._strings and all(map(is_text, keys)):
            return dict(zip(keys, items, strict=True))
        return [[key, item] for key, item in zip(own_keys, items, strict=True)]

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> dict[Any, Any]:
        if type(data) is dict and self._strings:
            keys = list(data)
            items = self._each_item(lambda: self.item.decode_many(list(data.values()), source, refs), keys)
            return dict(zip(keys, items, strict=True))
        if type(data) is not list or not all(type(pair) is list and len(pair) == 2 for pair in data):
            raise unreadable(data, self._shown)
        keys = self._each_key(lambda: self.key.decode_many([k for k, _ in data], source, refs), [k for k, _ in data])
        items = self._each_item(lambda: self.item.decode_many([v for _, v in data], source, refs), keys)
        return dict(zip(keys, items, strict=True))

    def isolate(self, value: dict[Any, Any]) -> dict[Any, Any]:
        keys = self._keys(value)
        own_keys = self._each_key(lambda: self.key.isolate_many(keys), keys)
        items = self._each_item(lambda: self.item.isolate_many(list(value.values())), keys)
        return dict(zip(own_keys, items, strict=True))

    def _each_key(self, convert: typing.Callable[[], list[Any]], keys: list[Any]) -> list[Any]:
        try:
            return convert()
        except TypeTransformerFailedError as error:
            raise _named(error, [f"key {shown(key)}" for key in keys]) from error.__cause__

    def _each_item(self, convert: typing.Callable[[], list[Any]], keys: list[Any]) -> list[Any]:
        try:
            return convert()
        except TypeTransformerFailedError as error:
            names = [repr(key) if isinstance(key, str | int | float) else shown(key) for key in keys]
            raise _named(error, names) from error.__cause__


def _named(error: TypeTransformerFailedError, names: list[str]) -> TypeTransformerFailedError:
    """The error of a bulk conversion, with the name of the item in place of its index."""
    index, _, rest = (error.place or "[0]").removeprefix("[").partition("]")
    error.place = f"[{names[int(index)]}]{rest}"
    return error


class CollectionTransformer(InPlaceTransformer):
    """``list[A]``, ``tuple[A, B]``, ``tuple[A, ...]``, ``set[A]``, ``frozenset[A]``, ``dict[K, V]``."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        origin, arguments, shown = typing.get_origin(t), typing.get_args(t), type_name(t)
        if origin is tuple:
            return _tuple(arguments, resolve, shown)
        items = [_inside(resolve, argument, step) for argument, step in zip(arguments, _STEPS[origin], strict=True)]
        if origin is dict:
            _check_hashable(t, items[0], "key")
            return DictConverter(items[0], items[1], shown)
        if origin is list:
            return ListConverter(items[0], shown)
        _check_hashable(t, items[0], "item")
        return SetConverter(typing.cast(Any, origin), items[0], shown)


_STEPS: dict[Any, tuple[str, ...]] = {dict: ("key", "value"), list: ("item",), set: ("item",), frozenset: ("item",)}


def _tuple(arguments: tuple[Any, ...], resolve: Any, shown: str) -> Converter[Any]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return VariadicTupleConverter(_inside(resolve, arguments[0], "item"), shown)
    items = tuple(_inside(resolve, argument, f"item {index}") for index, argument in enumerate(arguments))
    return FixedTupleConverter(items, shown)


def _inside(resolve: Any, t: Any, step: str) -> CoreConverter[Any]:
    try:
        converter: CoreConverter[Any] = resolve(t)
    except DefinitionError as error:
        error.place = f"[{step}]{error.place or ''}"
        raise
    return converter


def _check_hashable(t: Any, converter: CoreConverter[Any], what: str) -> None:
    for cls in converter.classes:
        if cls.__hash__ is None:
            raise DefinitionError(
                f"{type_name(t)} cannot exist: {type_name(cls)} is not hashable",
                place=f"[{what}]",
                expected=f"a hashable {what} type",
                actual=type_name(cls),
            )
