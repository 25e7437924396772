"""Values of inputs as plain data for the parameters of a call: native values of a worker, and literals of a plan.

Both give the same data for the same value. A file, folder or table is where it lies; a moment is ISO 8601 text, which
the service's own client reads; bytes stay bytes.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import os
import uuid
from collections.abc import Mapping
from typing import Any, Final

from flytepath import FlyteDirectory, FlyteFile, StructuredDataset
from flytepath.plugin import Literal, LiteralType

from flyte_plugin_sagemaker.parameter_errors import ParameterValueError

Json = Any
_AS_THEY_ARE: Final = frozenset({"none", "boolean", "date", "uuid", "path", "any", "decimal"})
_LISTS: Final = frozenset({"list", "tuple"})
_SETS: Final = frozenset({"set", "frozenset"})
_LOCATED: Final = frozenset({"file", "directory", "dataframe"})
_MICROSECONDS: Final = 10**6


def plain_value(value: Any, place: str) -> Json:
    """A native value as data.

    Args:
        value: what a task received.
        place: for errors.

    Raises:
        ParameterValueError: it is no data, or lies nowhere a service could read it.

    Example:
        >>> plain_value({"at": dt.date(2026, 1, 2), "n": (1, 2)}, "x")
        {'at': '2026-01-02', 'n': [1, 2]}
    """
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, enum.Enum):
        return plain_value(value.value, place)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, FlyteFile | FlyteDirectory):
        return value.remote_source or value.path
    if isinstance(value, StructuredDataset):
        return _where(value.uri, place)
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        names = [str(plain_value(key, place)) for key in value]
        _check_names(names, place)
        items = [plain_value(item, f"{place}[{key!r}]") for key, item in value.items()]
        return dict(zip(names, items, strict=True))
    if isinstance(value, list | tuple):
        return [plain_value(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((plain_value(item, place) for item in value), key=repr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain_value(getattr(value, name), f"{place}.{name}") for name in names}
    if hasattr(value, "model_dump"):
        return plain_value(value.model_dump(), place)
    raise ParameterValueError(
        f"a {type(value).__qualname__} is no data for a call",
        place=place,
        expected="text, bytes, numbers, dates, dicts, lists, dataclasses, files or datasets",
        actual=type(value).__qualname__,
        hint="write it to a file and hand over the FlyteFile",
    )


def literal_value(literal: Literal, place: str) -> Json:
    """A literal as data, without the Python type it came from.

    Args:
        literal: an input of a job.
        place: for errors.

    Raises:
        ParameterValueError: it is too large to stand in a request, is no data, or lies nowhere.

    Example:
        >>> literal_value(Literal.make(LiteralType("integer"), 3), "count")
        3
    """
    if literal.is_offloaded:
        raise ParameterValueError(
            "the value is too large to stand in a request",
            place=place,
            expected="at most 32 KiB",
            hint="write it to a file and hand over the FlyteFile",
        )
    if literal.type.kind in _LOCATED:
        data = literal.data if isinstance(literal.data, Mapping) else {}
        return _where(data.get("uri") or (literal.ref.uri if literal.ref is not None else None), place)
    return _plain(literal, literal.type, literal.data, place, {})


def _plain(literal: Literal, t: LiteralType, data: Any, place: str, named: Mapping[str, LiteralType]) -> Json:
    kind = t.kind
    if kind == "string" and not isinstance(data, str):
        return base64.b64decode(data["surrogates"]).decode("utf-8", "surrogatepass")
    if kind == "string" or kind in _AS_THEY_ARE:
        return data
    if kind == "integer":
        return int(data)
    if kind == "float":
        return float(data)
    if kind == "bytes":
        return base64.b64decode(data)
    if kind in {"datetime", "time"}:
        return data["at"] if isinstance(data, Mapping) else data
    if kind == "timedelta":
        return data / _MICROSECONDS
    if kind == "enum":
        return dict(t.values).get(data, data)
    if kind == "union":
        return None if data is None else _plain(literal, t.items[data["tag"]], data["value"], place, named)
    if kind == "reference" and t.name in named:
        return _plain(literal, named[t.name], data, place, named)
    if kind == "struct":
        types, inside = {field.name: field.type for field in t.fields}, {**named, t.name: t}
        return {name: _plain(literal, types[name], each, f"{place}.{name}", inside) for name, each in data.items()}
    if kind == "dict":
        of_key, of_value = t.items
        pairs = list(data.items() if isinstance(data, Mapping) else data)
        names = [str(_plain(literal, of_key, key, place, named)) for key, _ in pairs]
        _check_names(names, place)
        items = [_plain(literal, of_value, each, f"{place}[{key!r}]", named) for key, each in pairs]
        return dict(zip(names, items, strict=True))
    if kind in _LISTS | _SETS:
        of_items = t.items if kind == "tuple" else t.items * len(data)
        found = [
            _plain(literal, each, item, f"{place}[{index}]", named)
            for index, (each, item) in enumerate(zip(of_items, data, strict=True))
        ]
        return sorted(found, key=repr) if kind in _SETS else found
    if kind in _LOCATED and isinstance(data, Mapping):
        own, index = data.get("data"), data.get("ref")
        uri = own.get("uri") if isinstance(own, Mapping) else None
        return _where(uri or (None if index is None else literal.refs[index].uri), place)
    raise ParameterValueError(f"a value of type {t} is no data for a call", place=place, actual=str(t))


def _check_names(names: list[str], place: str) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterValueError(
            f"two keys of a dict are both {twice!r} in a request, where names are text", place=place, actual=twice
        )


def _where(uri: Any, place: str) -> str:
    if not uri:
        raise ParameterValueError(
            "the value lies nowhere a service could read it",
            place=place,
            expected="a file or table that was written to a URI",
        )
    return str(uri)
