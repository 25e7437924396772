"""list, tuple, set, frozenset and dict of items whose types are declared."""

from __future__ import annotations

import typing
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef, canonical_text
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import (
    CoreConverter,
    InPlaceTransformer,
    at_index,
    group_at,
    mismatch,
    shown,
    type_name,
    unreadable,
    within,
)
from flytepath.types.generated import Part, Shape, write_functions
from flytepath.types.recursion import may_hold_blobs
from flytepath.types.scalars import StringConverter, are_text

_Bulk = Callable[[list[Any]], list[Any]]


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

    def encode_many(self, values: list[list[Any]], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        if set(map(type, values)) != {list}:
            return super().encode_many(values, sink, refs)
        return self._each(values, lambda items: self.item.encode_many(items, sink, refs))

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[list[Any]]:
        if set(map(type, data)) != {list}:
            return super().decode_many(data, source, refs)
        return self._each(data, lambda items: self.item.decode_many(items, source, refs))

    def isolate_many(self, values: list[list[Any]]) -> list[list[Any]]:
        if set(map(type, values)) != {list}:
            return super().isolate_many(values)
        return self._each(values, self.item.isolate_many)

    def _each(self, lists: list[list[Any]], convert: _Bulk) -> list[list[Any]]:
        """All items of all lists at once."""
        try:
            items = iter(convert(list(chain.from_iterable(lists))))
        except TypeTransformerFailedError as error:
            raise at_index(error, lambda index: "[{}][{}]".format(*group_at(lists, index))) from error.__cause__
        return [list(islice(items, len(one))) for one in lists]


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
        # Column by column is faster, but the blobs inside would change their order.
        self._by_column = bool(items) and not may_hold_blobs(self.literal_type)
        functions = write_functions(_tuple_parts(items), _tuple_shape(len(items), shown))
        # The functions take no self: as attributes of the instance they are called without one.
        self.encode, self.decode, self.isolate = functions  # type: ignore[method-assign]

    def encode(self, value: tuple[Any, ...], sink: BlobSink, refs: list[BlobRef]) -> Json:
        raise NotImplementedError

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> tuple[Any, ...]:
        raise NotImplementedError

    def isolate(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        raise NotImplementedError

    def encode_many(self, values: list[tuple[Any, ...]], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        if not self._are(tuple, values):
            return super().encode_many(values, sink, refs)
        return list(map(list, self._columns(values, lambda item, column: item.encode_many(column, sink, refs))))

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[tuple[Any, ...]]:
        if not self._are(list, data):
            return super().decode_many(data, source, refs)
        return list(self._columns(data, lambda item, column: item.decode_many(column, source, refs)))

    def isolate_many(self, values: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if not self._are(tuple, values):
            return super().isolate_many(values)
        return list(self._columns(values, lambda item, column: item.isolate_many(column)))

    def _are(self, cls: type[Any], rows: list[Any]) -> bool:
        return self._by_column and set(map(type, rows)) == {cls} and set(map(len, rows)) == {len(self.items)}

    def _columns(
        self, rows: list[Any], convert: Callable[[CoreConverter[Any], list[Any]], list[Any]]
    ) -> Iterable[tuple[Any, ...]]:
        columns: list[list[Any]] = []
        try:
            for index, item in enumerate(self.items):
                columns.append(convert(item, list(map(itemgetter(index), rows))))
        except TypeTransformerFailedError as error:
            raise at_index(error, lambda index: f"[{index}][{len(columns)}]") from error.__cause__
        return zip(*columns, strict=True)


def _tuple_parts(items: tuple[CoreConverter[Any], ...]) -> list[Part]:
    return [
        Part(item, f"[{index}]", of_value=f"value[{index}]", of_data=f"data[{index}]")
        for index, item in enumerate(items)
    ]


def _tuple_shape(size: int, shown: str) -> Shape:
    made = ["return (" + "".join(f"v{index}, " for index in range(size)) + ")"]
    return Shape(
        check_value=[f"if type(value) is not tuple or len(value) != {size}: raise wrong(value)"],
        check_data=[f"if type(data) is not list or len(data) != {size}: raise unreadable(data)"],
        payload="[" + ", ".join(f"v{index}" for index in range(size)) + "]",
        build=made,
        copy=made,
        scope={
            "wrong": lambda value: _wrong_tuple(value, size, shown),
            "unreadable": lambda data: unreadable(data, shown),
            "unset": lambda error, value: error,
        },
    )


def _wrong_tuple(value: Any, size: int, shown: str) -> TypeTransformerFailedError:
    if type(value) is not tuple:
        return mismatch(value, shown)
    return TypeTransformerFailedError(
        f"expected a tuple of {size} items, got {len(value)}", expected=shown, actual=f"{len(value)} items"
    )


class SetConverter(CoreConverter[Any]):
    """``set[item]`` and ``frozenset[item]``; kept in the order of their items' canonical JSON."""

    def __init__(self, cls: type[Any], item: CoreConverter[Any], shown: str) -> None:
        self.cls = cls
        self.classes = (cls,)
        self.item = item
        self.literal_type = LiteralType(cls.__name__, (item.literal_type,))
        self._may_hold_blobs = may_hold_blobs(item.literal_type)
        self._shown = shown

    def _check(self, value: Any) -> None:
        if type(value) is not self.cls:
            raise mismatch(value, self._shown)

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        self._check(value)
        if self._may_hold_blobs:
            return self._encode_with_blobs(value, sink, refs)
        items = list(value)
        payloads = self._each(self.item.encode_many, items, sink, refs)
        # Integers are their own canonical JSON, which need not be asked for.
        payloads.sort(key=str if set(map(type, payloads)) == {int} else canonical_text)
        return payloads

    def _encode_with_blobs(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        """In order by payload and blobs, so that each item is encoded twice: its blobs' indices depend on the order."""
        keyed = []
        for item in value:
            own: list[BlobRef] = []
            try:
                payload = self.item.encode(item, sink, own)
            except TypeTransformerFailedError as error:
                raise within(error, f"[{shown(item)}]") from error.__cause__
            keyed.append(((canonical_text(payload), [ref.digest for ref in own]), item, payload, bool(own)))
        keyed.sort(key=lambda entry: entry[0])
        return [self.item.encode(item, sink, refs) if blobs else payload for _, item, payload, blobs in keyed]

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        if type(data) is not list:
            raise unreadable(data, self._shown)
        return self.cls(self.item.decode_many(data, source, refs))

    def isolate(self, value: Any) -> Any:
        self._check(value)
        return self.cls(self._each(self.item.isolate_many, list(value)))

    def _each(self, convert: Callable[..., list[Any]], items: list[Any], *context: Any) -> list[Any]:
        try:
            return convert(items, *context)
        except TypeTransformerFailedError as error:
            raise at_index(error, lambda index: f"[{shown(items[index])}]") from error.__cause__


_DICTS: Final = (dict, OrderedDict)


class DictConverter(CoreConverter[dict[Any, Any]]):
    """``dict[key, value]``, in its order; an object where the keys are strings, pairs otherwise.

    An ``OrderedDict`` holds nothing that is lost with it, and libraries return them as dicts.
    """

    classes = (dict,)

    def __init__(self, key: CoreConverter[Any], item: CoreConverter[Any], shown: str) -> None:
        self.key = key
        self.item = item
        self.literal_type = LiteralType.dict_of(key.literal_type, item.literal_type)
        self._strings = type(key) is StringConverter
        self._key_classes = set(key.classes)
        self._shown = shown

    def encode(self, value: dict[Any, Any], sink: BlobSink, refs: list[BlobRef]) -> Json:
        if type(value) not in _DICTS:
            raise mismatch(value, self._shown)
        if self._has_names(value):
            return dict(zip(value, self._items(self.item.encode_many, value, sink, refs), strict=True))
        keys = self._keys(self.key.encode_many, value, sink, refs)
        if not set(map(type, value)) <= self._key_classes and len(set(map(canonical_text, keys))) != len(keys):
            raise self._doubled(value)
        items = self._items(self.item.encode_many, value, sink, refs)
        return [[key, item] for key, item in zip(keys, items, strict=True)]

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> dict[Any, Any]:
        if type(data) is dict and self._strings:
            return dict(zip(data, self._items(self.item.decode_many, data, source, refs), strict=True))
        if type(data) is not list or not all(type(pair) is list and len(pair) == 2 for pair in data):
            raise unreadable(data, self._shown)
        shown_keys = [key if isinstance(key, str | int | float) else index for index, (key, _) in enumerate(data)]
        keys = self._named(self.key.decode_many, [key for key, _ in data], _key_step(shown_keys), source, refs)
        items = self._named(self.item.decode_many, [item for _, item in data], _item_step(shown_keys), source, refs)
        return dict(zip(keys, items, strict=True))

    def isolate(self, value: dict[Any, Any]) -> dict[Any, Any]:
        if type(value) not in _DICTS:
            raise mismatch(value, self._shown)
        keys = self._keys(self.key.isolate_many, value)
        own = dict(zip(keys, self._items(self.item.isolate_many, value), strict=True))
        if len(own) != len(value):
            raise self._doubled(value)
        return own

    def _doubled(self, value: dict[Any, Any]) -> TypeTransformerFailedError:
        return TypeTransformerFailedError(
            "two keys are one once they are converted to their type",
            expected=self._shown,
            actual=", ".join(map(shown, value))[:200],
            hint="pass each member of an enumeration once, as itself or by its value",
        )

    def encode_many(self, values: list[dict[Any, Any]], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        if set(map(type, values)) != {dict} or not all(map(self._has_names, values)):
            return super().encode_many(values, sink, refs)
        return self._all(values, lambda items: self.item.encode_many(items, sink, refs))

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[dict[Any, Any]]:
        if set(map(type, data)) != {dict} or not self._strings:
            return super().decode_many(data, source, refs)
        return self._all(data, lambda items: self.item.decode_many(items, source, refs))

    def isolate_many(self, values: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
        if set(map(type, values)) != {dict} or not all(map(self._has_names, values)):
            return super().isolate_many(values)
        return self._all(values, self.item.isolate_many)

    def _has_names(self, value: dict[Any, Any]) -> bool:
        """Whether all keys are strings of text, which is what an object in JSON can have."""
        return self._strings and set(map(type, value)) <= {str} and are_text(value)

    def _keys(self, convert: Callable[..., list[Any]], value: dict[Any, Any], *context: Any) -> list[Any]:
        return self._named(convert, list(value), _key_step(value), *context)

    def _items(self, convert: Callable[..., list[Any]], value: dict[Any, Any], *context: Any) -> list[Any]:
        return self._named(convert, list(value.values()), _item_step(value), *context)

    def _named(
        self, convert: Callable[..., list[Any]], parts: list[Any], step: Callable[[int], str], *context: Any
    ) -> list[Any]:
        try:
            return convert(parts, *context)
        except TypeTransformerFailedError as error:
            raise at_index(error, step) from error.__cause__

    def _all(self, dicts: list[dict[Any, Any]], convert: _Bulk) -> list[Any]:
        """The values of all dicts at once; the keys are strings, which are their own payloads and copies."""
        try:
            items = iter(convert(list(chain.from_iterable(map(dict.values, dicts)))))
        except TypeTransformerFailedError as error:
            raise at_index(error, lambda index: _step_in(dicts, index)) from error.__cause__
        # zip asks the dict first, so that it takes no item beyond the dict's own.
        return [dict(zip(one, items, strict=False)) for one in dicts]


def _key_step(keys: Iterable[Any]) -> Callable[[int], str]:
    return lambda index: f"[key {shown(list(keys)[index])}]"


def _item_step(keys: Iterable[Any]) -> Callable[[int], str]:
    return lambda index: f"[{_key_text(list(keys)[index])}]"


def _step_in(dicts: list[dict[Any, Any]], index: int) -> str:
    position, item = group_at(dicts, index)
    return f"[{position}][{_key_text(list(dicts[position])[item])}]"


def _key_text(key: Any) -> str:
    return repr(key) if isinstance(key, str | int | float) else shown(key)


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
