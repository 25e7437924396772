"""``JSON``: values of no declared shape, as long as JSON itself can write them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import BlobRef
from flytepath.model.types import ANY
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, shown, within
from flytepath.types.scalars import is_text

if TYPE_CHECKING:
    JSON: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
else:

    class JSON:
        """Dicts with string keys, lists, strings, numbers, booleans and ``None``, nested in any way.

        What JSON would bring back different is refused: tuples, sets, other keys, NaN, subclasses of these.

        Example:
            >>> from flytepath.types.engine import codec
            >>> codec(JSON).isolate({"layers": [1, 2.5, None]})
            {'layers': [1, 2.5, None]}
        """

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            raise TypeError("JSON is a name for plain values: write the dict or list itself")


#: What to do about values that are nearly JSON.
_HINTS: dict[type[Any], str] = {
    tuple: "convert it with list(value)",
    set: "convert it with sorted(value)",
    frozenset: "convert it with sorted(value)",
    bytes: "decode it to text, or encode it with base64",
}


class JsonConverter(CoreConverter[Any]):
    """Any JSON value, checked and copied."""

    literal_type = ANY
    classes = (dict, list, str, int, float, bool)

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return _copied(value)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        return _copied(data)

    def isolate(self, value: Any) -> Any:
        return _copied(value)


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is int or kind is bool or value is None:
        return value
    if kind is str:
        if value.isascii() or is_text(value):
            return value
        raise TypeTransformerFailedError("the string is no text", expected="text without surrogates", actual="str")
    if kind is float:
        if math.isfinite(value):
            return value
        raise TypeTransformerFailedError("JSON has no such number", expected="a finite number", actual=repr(value))
    if kind is list:
        return _copied_list(value)
    if kind is dict:
        return _copied_dict(value)
    raise mismatch(value, "JSON (dict, list, str, int, float, bool or None)", _HINTS.get(kind))


def _copied_list(value: list[Any]) -> list[Any]:
    out: list[Any] = []
    try:
        for item in value:
            out.append(_copied(item))
    except TypeTransformerFailedError as error:
        raise within(error, f"[{len(out)}]") from error.__cause__
    return out


def _copied_dict(value: dict[Any, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str or not is_text(key):
            raise TypeTransformerFailedError(
                "the keys of a JSON object are texts",
                expected="str",
                actual=shown(key),
                hint="convert it with str(key)",
            )
        try:
            out[key] = _copied(item)
        except TypeTransformerFailedError as error:
            raise within(error, f"[{key!r}]") from error.__cause__
    return out


class JsonTransformer(InPlaceTransformer):
    """The type ``JSON``."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        return JsonConverter()
