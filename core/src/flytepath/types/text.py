"""Values from what people type: a command line's text, and the JSON of an inputs file.

People write less than a literal holds: an enumeration by name or value, a union without its tag, a dataclass without
the fields that have defaults. What they write is read by the declared type and then checked like any value.
"""

from __future__ import annotations

import json
from typing import Any, Final

from flytepath.errors import InputError, TypeTransformerFailedError
from flytepath.plugin.transformer import Converter
from flytepath.types.converter import type_name
from flytepath.types.engine import Codec, codec

_BOOLEANS: Final = {"true": True, "false": False}
_NOT_FINITE: Final = {"NaN", "Infinity", "-Infinity"}
#: Kinds whose text is their value, not JSON.
_PLAIN_KINDS: Final = frozenset({"string", "date", "time", "datetime", "decimal", "uuid", "path", "bytes", "enum"})


def parse_text(t: Any, text: str) -> Any:
    """The value that ``text``, from a command line, means for the declared type ``t``.

    Args:
        t: the annotation of the input.
        text: what was typed: ``3``, ``true``, a date in ISO 8601, an enumeration's name or value; lists, dicts and
            dataclasses as JSON; ``null`` or ``none`` for an optional without a value.

    Raises:
        InputError: the text means no value of the type; ``place`` is the path inside the value.

    Example:
        >>> parse_text(list[int] | None, "[1, 2]")
        [1, 2]
    """
    compiled = codec(t)
    return _checked(compiled, text, lambda: _from_text(compiled.converter, text))


def parse_json(t: Any, data: Any) -> Any:
    """The value that ``data``, from an inputs file, means for the declared type ``t``.

    Raises:
        InputError: the data means no value of the type; ``place`` is the path inside the value.

    Example:
        >>> import datetime
        >>> parse_json(dict[str, datetime.date], {"start": "2024-02-29"})
        {'start': datetime.date(2024, 2, 29)}
    """
    compiled = codec(t)
    return _checked(compiled, data, lambda: _from_json(compiled.converter, data))


def _checked(compiled: Codec[Any], given: Any, read: Any) -> Any:
    try:
        return compiled.isolate(read())
    except (TypeTransformerFailedError, InputError) as error:
        shown = given if isinstance(given, str) else json.dumps(given, default=repr)
        raise InputError(
            f"{shown[:80]!r} is no {type_name(compiled.python_type)}",
            place=error.place,
            expected=error.expected or type_name(compiled.python_type),
            actual=error.actual or shown[:80],
            hint=error.hint or _EXAMPLES.get(compiled.literal_type.kind),
        ) from error


_EXAMPLES: Final = {
    "boolean": "write true or false",
    "integer": "write a whole number, such as 3",
    "float": "write a number, such as 0.5",
    "list": "write a JSON list, such as '[1, 2]'",
    "tuple": "write a JSON list",
    "set": "write a JSON list",
    "frozenset": "write a JSON list",
    "dict": """write a JSON object, such as '{"a": 1}'""",
    "struct": "write a JSON object of its fields",
    "date": "write a date such as 2024-02-29",
    "datetime": "write a moment such as 2024-02-29T12:00:00+01:00",
    "time": "write a time such as 12:30:00",
    "timedelta": "write seconds, or a span such as 1:30:00",
    "bytes": "write base64",
}


def _wrong(expected: str, given: Any, hint: str | None = None) -> InputError:
    actual = given if isinstance(given, str) else json.dumps(given, default=repr)
    return InputError(f"expected {expected}", expected=expected, actual=actual[:80], hint=hint)


def _from_text(converter: Converter[Any], text: str) -> Any:
    kind = converter.literal_type.kind
    if kind == "union":
        return _union_from_text(converter, text)
    if kind in _PLAIN_KINDS or kind == "timedelta":
        return _from_json(converter, text)
    if kind == "boolean":
        if text.strip().lower() not in _BOOLEANS:
            raise _wrong("true or false", text)
        return _BOOLEANS[text.strip().lower()]
    if kind == "none":
        if text.strip().lower() not in ("null", "none", ""):
            raise _wrong("null", text)
        return None
    if kind in ("integer", "float"):
        return _number(kind, text)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise _wrong(str(converter.literal_type), text, _EXAMPLES.get(kind)) from error
    return _from_json(converter, data)


def _number(kind: str, text: str) -> Any:
    try:
        return int(text.strip()) if kind == "integer" else float(text.strip())
    except ValueError as error:
        raise _wrong("a whole number" if kind == "integer" else "a number", text) from error


def _alternatives(converter: Converter[Any]) -> list[Converter[Any]]:
    """A union's alternatives; ``None`` first and strings last, since any text is one."""
    inner: list[Converter[Any]] = [converter.inner] if hasattr(converter, "inner") else list(converter.alternatives)  # type: ignore[attr-defined]
    return sorted(inner, key=lambda item: (item.literal_type.kind == "string", item.literal_type.kind == "path"))


def _takes_none(converter: Converter[Any]) -> bool:
    return any(item.kind == "none" for item in converter.literal_type.items)


def _union_from_text(converter: Converter[Any], text: str) -> Any:
    if _takes_none(converter) and text.strip().lower() in ("null", "none"):
        return None
    return _first(converter, text, _from_text)


def _first(converter: Converter[Any], given: Any, read: Any) -> Any:
    """The value by the first alternative that takes what was given."""
    choices = [item for item in _alternatives(converter) if item.literal_type.kind != "none"]
    for choice in choices:
        try:
            return choice.isolate(read(choice, given))
        except (InputError, TypeTransformerFailedError):
            if len(choices) == 1:
                raise
    raise _wrong(str(converter.literal_type), given)


def _from_json(converter: Converter[Any], data: Any) -> Any:
    kind = converter.literal_type.kind
    if kind in ("struct", "reference"):
        return _struct(converter, data)
    if kind == "union":
        if data is None and _takes_none(converter):
            return None
        return _first(converter, data, _from_json)
    reader = _READERS.get(kind)
    if reader is None:
        raise _wrong(
            str(converter.literal_type),
            data,
            f"a {kind} cannot be written as text: produce it in a task" if kind != "none" else None,
        )
    return reader(converter, data)


def _at(step: str, read: Any) -> Any:
    try:
        return read()
    except (InputError, TypeTransformerFailedError) as error:
        error.place = step + (error.place or "")
        raise


def _struct(converter: Any, data: Any) -> Any:
    converter = getattr(converter, "target", converter)
    if not isinstance(data, dict):
        raise _wrong(str(converter.literal_type), data, _EXAMPLES["struct"])
    fields = {field.name: field for field in converter.fields if field.given}
    unknown = [name for name in data if name not in fields]
    missing = [name for name, field in fields.items() if field.required and name not in data]
    if unknown or missing:
        import difflib

        close = difflib.get_close_matches(unknown[0], fields, n=1) if unknown else []
        raise InputError(
            f"there is no field {unknown[0]!r}" if unknown else f"the field {missing[0]!r} is missing",
            expected="the fields " + ", ".join(fields),
            actual=", ".join(map(str, data)) or "none",
            hint=f"did you mean {close[0]!r}?" if close else None,
        )
    values = {
        name: _at(f".{name}", lambda n=name, d=item: _from_json(fields[n].converter, d)) for name, item in data.items()
    }
    if converter.classes == (dict,):
        return values
    try:
        return converter.classes[0](**values)
    except Exception as error:
        raise _wrong(str(converter.literal_type), data, f"{type(error).__name__}: {error}") from error


def _items(converter: Any, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise _wrong(str(converter.literal_type), data, _EXAMPLES["list"])
    items = getattr(converter, "items", None) or [converter.item] * len(data)
    if len(items) != len(data):
        raise _wrong(f"{len(items)} items", data)
    return [_at(f"[{i}]", lambda i=i: _from_json(items[i], data[i])) for i in range(len(data))]


def _mapping(converter: Any, data: Any) -> Any:
    if isinstance(data, dict):
        pairs = list(data.items())
    elif isinstance(data, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in data):
        pairs = [(key, item) for key, item in data]
    else:
        raise _wrong(str(converter.literal_type), data, _EXAMPLES["dict"])
    return {
        (_from_text(converter.key, key) if isinstance(key, str) else _from_json(converter.key, key)): _at(
            f"[{key!r}]", lambda item=item: _from_json(converter.item, item)
        )
        for key, item in pairs
    }


def _list(converter: Any, data: Any) -> Any:
    items = _items(converter, data)
    return tuple(items) if converter.literal_type.name == "tuple" else items


def _float(converter: Any, data: Any) -> Any:
    if isinstance(data, str) and data in _NOT_FINITE:
        return float(data)
    if isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    raise _wrong("a number", data)


def _same(converter: Any, data: Any) -> Any:
    return data


def _enum(converter: Any, data: Any) -> Any:
    if hasattr(converter, "choices"):
        if isinstance(data, str) and data in converter.choices:
            return converter.choices[data]
        texts = {str(value): value for value in converter.choices.values()}
    else:
        if isinstance(data, str) and data in converter.cls.__members__:
            return converter.cls[data]
        texts = {str(member.value): member for member in converter.cls}
    return texts.get(data, data) if isinstance(data, str) else data


def _written(converter: Any, data: Any) -> Any:
    """What people write as a literal writes it: ISO 8601, base64, digits."""
    kind = converter.literal_type.kind
    if kind == "decimal" and isinstance(data, int) and not isinstance(data, bool):
        data = str(data)
    if not isinstance(data, str) and not (isinstance(data, dict) and kind in ("datetime", "time")):
        raise _wrong(str(converter.literal_type), data, _EXAMPLES.get(kind))
    try:
        return converter.decode(data, None, ())
    except TypeTransformerFailedError as error:
        raise _wrong(str(converter.literal_type), data, _EXAMPLES.get(kind)) from error


def _span(converter: Any, data: Any) -> Any:
    import datetime as dt

    if isinstance(data, int | float) and not isinstance(data, bool):
        return dt.timedelta(seconds=data)
    try:
        parts = [float(part) for part in data.split(":")]
        if len(parts) > 3:
            raise ValueError("more than hours, minutes and seconds")
        return dt.timedelta(seconds=sum(part * 60**power for power, part in enumerate(reversed(parts))))
    except (AttributeError, ValueError, OverflowError) as error:
        raise _wrong("a span of time", data, _EXAMPLES["timedelta"]) from error


_READERS: Final = {
    "any": _same,
    "none": _same,
    "boolean": _same,
    "integer": _same,
    "string": _same,
    "float": _float,
    "list": _list,
    "tuple": lambda converter, data: tuple(_items(converter, data)),
    "set": lambda converter, data: set(_items(converter, data)),
    "frozenset": lambda converter, data: frozenset(_items(converter, data)),
    "dict": _mapping,
    "enum": _enum,
    "timedelta": _span,
    **dict.fromkeys(("bytes", "decimal", "date", "time", "datetime", "uuid", "path"), _written),
}
