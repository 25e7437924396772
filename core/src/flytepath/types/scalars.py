"""None, booleans, integers, floats, strings and bytes: the types whose values pass through almost unchanged."""

from __future__ import annotations

import binascii
import math
from collections.abc import Collection
from typing import Any, Final

from flytepath.errors import DefinitionError
from flytepath.model.literal import BlobRef
from flytepath.model.types import BOOLEAN, BYTES, FLOAT, INTEGER, NONE, STRING
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, unreadable

#: The largest integer that every JSON reader keeps exactly.
SAFE_INTEGER: Final = 2**53 - 1
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class NoneConverter(CoreConverter[None]):
    """``None``."""

    literal_type = NONE
    classes = (type(None),)
    atomic = True
    passes_encode = passes_decode = passes_isolate = "{v} is None"

    def encode(self, value: None, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return self.isolate(value)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> None:
        if data is not None:
            raise unreadable(data, "None")

    def isolate(self, value: None) -> None:
        if value is not None:
            raise mismatch(value, "None")


class BooleanConverter(CoreConverter[bool]):
    """``bool``, and no integer."""

    literal_type = BOOLEAN
    classes = (bool,)
    atomic = True
    passes_encode = passes_decode = passes_isolate = "type({v}) is bool"

    def encode(self, value: bool, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return self.isolate(value)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> bool:
        if type(data) is not bool:
            raise unreadable(data, "bool")
        return data

    def isolate(self, value: bool) -> bool:
        if type(value) is bool:
            return value
        raise mismatch(value, "bool", "pass True or False, or convert with bool(value)")


class IntegerConverter(CoreConverter[int]):
    """``int`` of any size; a number in JSON where every reader keeps it exactly, its digits beyond that."""

    literal_type = INTEGER
    classes = (int,)
    atomic = True
    passes_encode = f"type({{v}}) is int and -{SAFE_INTEGER} <= {{v}} <= {SAFE_INTEGER}"
    passes_decode = passes_isolate = "type({v}) is int"

    def encode(self, value: int, sink: BlobSink, refs: list[BlobRef]) -> Json:
        self.isolate(value)
        return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else _digits(value)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> int:
        if type(data) is int:
            return data
        if type(data) is str:
            try:
                return _from_digits(data)
            except ValueError as error:
                raise unreadable(data, "int") from error
        raise unreadable(data, "int")

    def isolate(self, value: int) -> int:
        if type(value) is int:
            return value
        raise mismatch(value, "int", _conversion(value, "int") if _is_number(value) else None)

    def encode_many(self, values: list[int], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        if not values:
            return []
        if set(map(type, values)) == {int} and min(values) >= -SAFE_INTEGER and max(values) <= SAFE_INTEGER:
            return list(values)
        return super().encode_many(values, sink, refs)

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[int]:
        return list(data) if set(map(type, data)) <= {int} else super().decode_many(data, source, refs)


def _conversion(value: Any, name: str) -> str:
    # str() of an enumeration's member is its name, on some versions of Python.
    return "pass its value: value.value" if hasattr(value, "_value_") else f"convert it with {name}(value)"


def _is_number(value: Any) -> bool:
    return hasattr(value, "__index__") or hasattr(value, "__float__")


def _digits(value: int) -> str:
    """The decimal digits, also beyond the limit Python sets to ``str(int)``."""
    if value.bit_length() < 10_000:
        return str(value)
    import decimal

    with decimal.localcontext(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
        return str(decimal.Decimal(value))


def _from_digits(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise ValueError("not decimal digits")
    if len(text) < 4000:
        return int(text)
    import decimal

    with decimal.localcontext(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
        return int(decimal.Decimal(text))


class FloatConverter(CoreConverter[float]):
    """``float``, and no integer; what JSON has no number for goes by name."""

    literal_type = FLOAT
    classes = (float,)
    atomic = True
    passes_encode = "type({v}) is float and {v} - {v} == 0.0"
    passes_decode = passes_isolate = "type({v}) is float"

    def encode(self, value: float, sink: BlobSink, refs: list[BlobRef]) -> Json:
        self.isolate(value)
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> float:
        if type(data) is float:
            return data
        if type(data) is str and data in _NOT_FINITE:
            return _NOT_FINITE[data]
        if type(data) is int:  # a JSON store may drop the ".0"
            return float(data)
        raise unreadable(data, "float")

    def isolate(self, value: float) -> float:
        if type(value) is float:
            return value
        raise mismatch(value, "float", "convert it with float(value)" if _is_number(value) else None)

    def encode_many(self, values: list[float], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        if set(map(type, values)) <= {float} and all(map(math.isfinite, values)):
            return list(values)
        return super().encode_many(values, sink, refs)

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[float]:
        return list(data) if set(map(type, data)) <= {float} else super().decode_many(data, source, refs)


class StringConverter(CoreConverter[str]):
    """``str``. A string with surrogates is no text, and two of them in JSON would be read as one character."""

    literal_type = STRING
    classes = (str,)
    atomic = True
    passes_encode = "type({v}) is str and {v}.isascii()"
    passes_decode = passes_isolate = "type({v}) is str"

    def encode(self, value: str, sink: BlobSink, refs: list[BlobRef]) -> Json:
        self.isolate(value)
        return value if is_text(value) else {"surrogates": _base64(value.encode("utf-8", "surrogatepass"))}

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> str:
        if type(data) is str:
            return data
        if type(data) is dict and type(data.get("surrogates")) is str:
            try:
                return _from_base64(data["surrogates"]).decode("utf-8", "surrogatepass")
            except ValueError as error:
                raise unreadable(data, "str") from error
        raise unreadable(data, "str")

    def isolate(self, value: str) -> str:
        if type(value) is str:
            return value
        raise mismatch(value, "str", _conversion(value, "str"))

    def encode_many(self, values: list[str], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        if set(map(type, values)) <= {str} and are_text(values):
            return list(values)
        return super().encode_many(values, sink, refs)

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[str]:
        return list(data) if set(map(type, data)) <= {str} else super().decode_many(data, source, refs)


def are_text(values: Collection[str]) -> bool:
    """Whether all strings are free of surrogates."""
    if all(map(str.isascii, values)):
        return True
    try:
        for value in values:
            value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_text(value: str) -> bool:
    """Whether a string is free of surrogates."""
    if value.isascii():
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class BytesConverter(CoreConverter[bytes]):
    """``bytes``, as base64."""

    literal_type = BYTES
    classes = (bytes,)
    atomic = True
    passes_isolate = "type({v}) is bytes"

    def encode(self, value: bytes, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return _base64(self.isolate(value))

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> bytes:
        if type(data) is not str:
            raise unreadable(data, "bytes")
        try:
            return _from_base64(data)
        except ValueError as error:
            raise unreadable(data, "bytes") from error

    def isolate(self, value: bytes) -> bytes:
        if type(value) is bytes:
            return value
        other: Any = value
        convertible = isinstance(other, bytearray | memoryview)
        raise mismatch(value, "bytes", "convert it with bytes(value)" if convertible else None)


def _base64(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode("ascii")


def _from_base64(text: str) -> bytes:
    return binascii.a2b_base64(text.encode("ascii"), strict_mode=True) if text else b""


_CONVERTERS: Final[dict[type[Any], type[CoreConverter[Any]]]] = {
    type(None): NoneConverter,
    bool: BooleanConverter,
    int: IntegerConverter,
    float: FloatConverter,
    str: StringConverter,
    bytes: BytesConverter,
}


class ScalarTransformer(InPlaceTransformer):
    """None, bool, int, float, str and bytes."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        found = _CONVERTERS.get(t)
        if found is None:
            raise DefinitionError(f"{t!r} is not a scalar")
        return found()
