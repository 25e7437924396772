"""Literals as bound parameters: pairs of Snowflake's type and text for a plan, and values for the connector.

After Snowflake's pages "Numeric data types" (38 digits), "Date & time data types" and "String & binary data types", and
the connector's "Binding data". What Snowflake could not hold exactly is refused when the query is planned.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn
from zoneinfo import ZoneInfo

from flytepath.plugin import BackendError, ErrorClass, Literal, LiteralType

Json = Any
_LISTS: Final = frozenset({"list", "tuple", "set", "frozenset"})
#: Of a NUMBER, at the most.
DIGITS: Final = 38
_SCALE: Final = 37


def native(literal: Literal, name: str) -> Any:
    """The value of an input.

    Raises:
        BackendError: it is kept as a blob, or no parameter carries it.

    Example:
        >>> native(Literal.make(LiteralType("integer"), 3), "x")
        3
    """
    if literal.ref is not None or literal.refs:
        _refuse(f"input {name!r} is too large to be a parameter of a query", "write it to a table and join with that")
    return _native(literal.type, literal.data, name)


def _native(kind: LiteralType, data: Json, name: str) -> Any:  # noqa: RET503 - _refuse() never returns
    if data is None:
        return None
    match kind.kind:
        case "union":
            if isinstance(data, Mapping) and "tag" in data:
                return _native(kind.items[data["tag"]], data["value"], name)
            return _native(next(item for item in kind.items if item.kind != "none"), data, name)
        case "integer":
            return _whole(int(data), name)
        case "float":
            return float(data)
        case "bytes":
            return base64.b64decode(data)
        case "decimal":
            return _exact(Decimal(data), name)
        case "date":
            return dt.date.fromisoformat(data)
        case "time":
            return _clock(data, name)
        case "datetime":
            return _moment(data, name)
        case "boolean":
            return bool(data)
        case "string" | "uuid":
            return _text(data, name)
        case found if found in _LISTS:
            return [_native(kind.items[0], item, name) for item in data]
    _refuse(f"input {name!r} of type {kind} cannot be a parameter of a query")


def _refuse(message: str, hint: str | None = None) -> NoReturn:
    raise BackendError(message, error_class=ErrorClass.INVALID, accepted=False, hint=hint)


def _text(data: Json, name: str) -> str:
    if isinstance(data, Mapping):
        _refuse(f"input {name!r} is no Unicode text: it holds surrogates", "pass it as bytes")
    if "\0" in data:
        _refuse(f"input {name!r} holds a NUL character, which no text of Snowflake does", "pass it as bytes")
    return str(data)


def _whole(value: int, name: str) -> int:
    if abs(value) >= 10**DIGITS:
        _refuse(f"input {name!r} has more than the {DIGITS} digits of a NUMBER", "pass it as text")
    return value


def _exact(value: Decimal, name: str) -> Decimal:
    if not value.is_finite():
        _refuse(f"input {name!r} is {value}, which no NUMBER is", "pass it as a float")
    parts = value.as_tuple()
    scale = max(0, -int(parts.exponent))
    whole = max(0, len(parts.digits) + int(parts.exponent))
    if scale > _SCALE or whole + scale > DIGITS:
        _refuse(
            f"input {name!r} has more digits than a NUMBER: {DIGITS}, of them {_SCALE} behind the point", "round it"
        )
    return value


def _clock(data: Json, name: str) -> dt.time:
    value = dt.time.fromisoformat(data["at"] if isinstance(data, Mapping) else data)
    if value.tzinfo is not None or (isinstance(data, Mapping) and data.get("zone")):
        _refuse(f"input {name!r} is a time with a zone, and a TIME has none", "pass a datetime")
    return value


def _moment(data: Json, name: str) -> dt.datetime:
    if not isinstance(data, Mapping):
        moment = dt.datetime.fromisoformat(data)
    else:
        moment = dt.datetime.fromisoformat(data["at"])
        if data.get("zone"):
            zone = ZoneInfo(data["zone"])
            moment = moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone, fold=data.get("fold", 0))
    offset = moment.utcoffset()
    if offset is not None and offset % dt.timedelta(minutes=1):
        _refuse(
            f"input {name!r} is {offset} from UTC, and a TIMESTAMP_TZ counts in whole minutes",
            "convert it to UTC first",
        )
    # The zone's name is nothing that Snowflake keeps; its offset at that moment is.
    return moment if offset is None else moment.replace(tzinfo=dt.timezone(offset), fold=0)


def parameter(value: Any) -> list[Json]:
    """A value as a plan keeps it: Snowflake's name of the type, and text.

    Example:
        >>> parameter(Decimal("1.50")), parameter(None), parameter(Decimal("1E+3"))
        (['FIXED', '1.50'], ['ANY', None], ['FIXED', '1000'])
    """
    if value is None:
        return ["ANY", None]
    if isinstance(value, bool):
        return ["BOOLEAN", "true" if value else "false"]
    if isinstance(value, int):
        return ["FIXED", str(value)]
    if isinstance(value, Decimal):
        return ["FIXED", format(value, "f")]
    if isinstance(value, float):
        return [
            "REAL",
            repr(value) if math.isfinite(value) else {"nan": "NaN", "inf": "inf", "-inf": "-inf"}[str(value)],
        ]
    if isinstance(value, bytes):
        return ["BINARY", value.hex()]
    if isinstance(value, dt.datetime):
        return ["TIMESTAMP_TZ" if value.tzinfo else "TIMESTAMP_NTZ", value.isoformat()]
    if isinstance(value, dt.date):
        return ["DATE", value.isoformat()]
    if isinstance(value, dt.time):
        return ["TIME", value.isoformat()]
    return ["TEXT", str(value)]


def bound(kept: list[Json]) -> Any:
    """What the connector binds for a kept parameter: the inverse of :func:`parameter`, with the type where it matters.

    Example:
        >>> bound(["FIXED", "1.50"]), bound(["DATE", "2030-01-02"])
        (('FIXED', '1.50'), datetime.date(2030, 1, 2))
    """
    kind, text = kept
    if text is None:
        return None
    match kind:
        case "BOOLEAN":
            return text == "true"
        case "FIXED":
            # A Decimal the connector would write as Python does, small ones with an exponent: 1E-7.
            return int(text) if text.lstrip("-").isdigit() else (kind, text)
        case "REAL":
            return float(text)
        case "BINARY":
            return bytes.fromhex(text)
        case "TIMESTAMP_TZ" | "TIMESTAMP_NTZ":
            return (kind, dt.datetime.fromisoformat(text))
        case "DATE":
            return dt.date.fromisoformat(text)
        case "TIME":
            return dt.time.fromisoformat(text)
    return text
