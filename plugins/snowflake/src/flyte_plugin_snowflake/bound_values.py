"""Literals as bound parameters: pairs of Snowflake's type and text for a plan, and values for the connector."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from flytepath.plugin import BackendError, ErrorClass, Literal, LiteralType

Json = Any
_LISTS = frozenset({"list", "tuple", "set", "frozenset"})


def native(literal: Literal, name: str) -> Any:
    """The value of an input.

    Raises:
        BackendError: it is kept as a blob, or of a kind that no parameter carries.

    Example:
        >>> native(Literal.make(LiteralType("integer"), 3), "x")
        3
    """
    if literal.ref is not None or literal.refs:
        raise BackendError(
            f"input {name!r} is too large to be a parameter of a query",
            error_class=ErrorClass.INVALID,
            accepted=False,
            hint="write it to a table first, and join with that",
        )
    return _native(literal.type, literal.data, name)


def _native(kind: LiteralType, data: Json, name: str) -> Any:
    if data is None:
        return None
    match kind.kind:
        case "union":
            if isinstance(data, Mapping) and "tag" in data:
                return _native(kind.items[data["tag"]], data["value"], name)
            return _native(next(item for item in kind.items if item.kind != "none"), data, name)
        case "integer":
            return int(data)
        case "float":
            return float(data)
        case "bytes":
            return base64.b64decode(data)
        case "decimal":
            return Decimal(data)
        case "date":
            return dt.date.fromisoformat(data)
        case "time":
            return dt.time.fromisoformat(data["at"] if isinstance(data, Mapping) else data)
        case "datetime":
            return _moment(data)
        case "boolean" | "string" | "uuid":
            if isinstance(data, Mapping):
                break_text(name)
            return data
        case found if found in _LISTS:
            return [_native(kind.items[0], item, name) for item in data]
    raise BackendError(
        f"input {name!r} of type {kind} cannot be a parameter of a query",
        error_class=ErrorClass.INVALID,
        accepted=False,
    )


def break_text(name: str) -> None:
    """Refuse text that is no Unicode."""
    raise BackendError(
        f"input {name!r} is no Unicode text: it holds surrogates", error_class=ErrorClass.INVALID, accepted=False
    )


def _moment(data: Json) -> dt.datetime:
    if not isinstance(data, Mapping):
        return dt.datetime.fromisoformat(data)
    moment = dt.datetime.fromisoformat(data["at"])
    if data.get("zone"):
        moment = (
            moment.astimezone(ZoneInfo(data["zone"]))
            if moment.tzinfo
            else moment.replace(tzinfo=ZoneInfo(data["zone"]), fold=data.get("fold", 0))
        )
    return moment


def parameter(value: Any) -> list[Json]:
    """A value as a plan keeps it: Snowflake's name of the type, and text.

    Example:
        >>> parameter(Decimal("1.50")), parameter(None)
        (['FIXED', '1.50'], ['ANY', None])
    """
    if value is None:
        return ["ANY", None]
    if isinstance(value, bool):
        return ["BOOLEAN", "true" if value else "false"]
    if isinstance(value, int | Decimal):
        return ["FIXED", str(value)]
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
    """What the connector binds for a kept parameter."""
    kind, text = kept
    if text is None:
        return None
    match kind:
        case "BOOLEAN":
            return text == "true"
        case "FIXED":
            return int(text) if text.lstrip("-").isdigit() else Decimal(text)
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
