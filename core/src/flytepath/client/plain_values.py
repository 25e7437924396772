"""Values from what people type, or from plain data, by the literal type alone: where no Python type is at hand."""

from __future__ import annotations

import datetime
import decimal
import json
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any, Final

from flytepath.errors import FlytePathError, InputError
from flytepath.model.literal import Literal, cast, compose_dict, compose_list
from flytepath.model.types import ANY, LiteralType
from flytepath.plugin.transformer import BlobSink

_PLAIN: Final[Mapping[str, Any]] = {
    "none": type(None),
    "boolean": bool,
    "integer": int,
    "float": float,
    "string": str,
    "bytes": bytes,
    "decimal": decimal.Decimal,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "uuid": uuid.UUID,
    "path": pathlib.Path,
}


def read_value(wanted: LiteralType, text: str, sink: BlobSink, place: str) -> Literal:
    """The value that ``text`` means where a literal of type ``wanted`` is waited for.

    Raises:
        InputError: it means none, or a value of this type cannot be typed.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> from flytepath.testing import MemoryBlobs
        >>> read_value(LiteralType.list_of(INTEGER), "[1, 2]", MemoryBlobs(), "sizes").data
        [1, 2]
    """
    try:
        return _from_text(wanted, text, sink)
    except (FlytePathError, ValueError, TypeError) as error:
        raise InputError(
            f"{text[:80]!r} is no {wanted}",
            place=place,
            expected=str(wanted),
            actual=text[:80],
            hint="write numbers and texts as they are, lists and structs as JSON",
        ) from error


def read_data(wanted: LiteralType, data: Any, sink: BlobSink, place: str) -> Literal:
    """The value that plain ``data``, as JSON has it, means where a literal of type ``wanted`` is needed.

    Raises:
        InputError: it means none.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> from flytepath.testing import MemoryBlobs
        >>> read_data(INTEGER, 3, MemoryBlobs(), "x").data
        3
    """
    try:
        return _from_json(wanted, data, sink)
    except (FlytePathError, ValueError, TypeError) as error:
        raise InputError(
            f"{repr(data)[:80]} is no {wanted}", place=place, expected=str(wanted), actual=type(data).__name__
        ) from error


def _from_text(wanted: LiteralType, text: str, sink: BlobSink) -> Literal:
    from flytepath.types.engine import codec
    from flytepath.types.text import parse_text

    if wanted.kind in _PLAIN:
        python_type = _PLAIN[wanted.kind]
        return codec(python_type).encode(parse_text(python_type, text), sink)
    if wanted.kind == "union":
        return _first(wanted, lambda item: _from_text(item, text, sink))
    if wanted.kind == "enum":
        try:
            return _from_json(wanted, text, sink)
        except InputError:
            return _from_json(wanted, json.loads(text), sink)
    return _from_json(wanted, json.loads(text), sink)


def _from_json(wanted: LiteralType, data: Any, sink: BlobSink) -> Literal:
    from flytepath.types.engine import codec
    from flytepath.types.text import parse_json

    kind = wanted.kind
    if kind in _PLAIN:
        return codec(_PLAIN[kind]).encode(parse_json(_PLAIN[kind], data), sink)
    if kind == "any":
        return Literal.make(ANY, data)
    if kind == "enum":
        for name, value in wanted.values:
            if data == name or (data == value and type(data) is type(value)):
                return Literal.make(wanted, name)
    elif kind == "union":
        return _first(wanted, lambda item: _from_json(item, data, sink))
    elif kind in ("list", "tuple") and isinstance(data, list):
        types = wanted.items if kind == "tuple" else wanted.items * len(data)
        return compose_list(wanted, [_from_json(t, item, sink) for t, item in zip(types, data, strict=True)])
    elif kind in ("dict", "struct") and isinstance(data, dict):
        fields = {field.name: field.type for field in wanted.fields}
        types_of = {name: fields[name] if kind == "struct" else wanted.items[1] for name in data}
        return compose_dict(wanted, {name: _from_json(types_of[name], item, sink) for name, item in data.items()})
    raise InputError("this is no such value", expected=str(wanted), actual=repr(data)[:80])


def _first(union: LiteralType, read: Any) -> Literal:
    """The first alternative that takes the value; ``str`` last, because it takes anything."""
    for item in sorted(union.items, key=lambda item: item.kind == "string"):
        try:
            found: Literal = read(item)
        except (FlytePathError, ValueError, TypeError, KeyError):
            continue
        return cast(found, union)
    raise InputError("no alternative takes this value", expected=str(union))
