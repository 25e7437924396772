"""How each kind of value is read from text, and from the plain data inside JSON and YAML."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from flytepath.errors import InputError, TypeTransformerFailedError
from flytepath.plugin.transformer import Converter
from flytepath.types.text_plain import file_bytes, plain

_BOOLEANS: Final = {"true": True, "false": False}
_NOT_FINITE: Final = {"NaN", "Infinity", "-Infinity"}
#: Kinds whose text is their value, not JSON.
_PLAIN_KINDS: Final = frozenset(
    {"string", "date", "time", "datetime", "timedelta", "decimal", "uuid", "path", "bytes", "enum"}
)
#: Kinds of values that are somewhere else, and have text of their own.
_CONTENT_KINDS: Final = frozenset({"file", "directory", "dataframe", "iterator", "opaque"})


def stands_alone(converter: Converter[Any]) -> bool:
    """Whether a value that was just read belongs to nobody else, so that a copy of it would be waste."""
    return converter.literal_type.kind in _CONTENT_KINDS and hasattr(converter, "transformer")


def from_text(converter: Converter[Any], text: str) -> Any:
    """The value of ``text``; raises ``InputError`` or ``TypeTransformerFailedError`` with the path inside it."""
    kind = converter.literal_type.kind
    if kind == "union":
        from flytepath.types.text_unions import union_from_text

        return union_from_text(converter, text)
    if kind == "bytes" and text.startswith("@"):
        return file_bytes(text[1:])
    if kind in _PLAIN_KINDS:
        return from_data(converter, text)
    if kind in _CONTENT_KINDS:
        from flytepath.types.text_content import content_from_text

        return content_from_text(converter, text)
    if kind == "boolean":
        if text.strip().lower() not in _BOOLEANS:
            raise wrong("true or false", text)
        return _BOOLEANS[text.strip().lower()]
    if kind == "none":
        if text.strip().lower() not in ("null", "none", ""):
            raise wrong("null", text)
        return None
    if kind in ("integer", "float"):
        return _number(kind, text)
    return from_data(converter, plain(text, str(converter.literal_type)))


def from_data(converter: Converter[Any], data: Any) -> Any:
    """The value of plain data; raises ``InputError`` or ``TypeTransformerFailedError`` with the path inside it."""
    kind = converter.literal_type.kind
    if kind in ("struct", "reference"):
        return _struct(converter, data)
    if kind == "union":
        from flytepath.types.text_unions import union_from_data

        return union_from_data(converter, data)
    if kind in _CONTENT_KINDS:
        from flytepath.types.text_content import content_from_data

        return content_from_data(converter, data)
    return _READERS[kind](converter, data)


def wrong(expected: str, given: Any, hint: str | None = None) -> InputError:
    """The error that says what was expected."""
    actual = given if isinstance(given, str) else json.dumps(given, default=repr)
    return InputError(f"expected {expected}", expected=expected, actual=actual[:80], hint=hint)


def nearest(given: Any, names: Any) -> str | None:
    """A hint with the name that was perhaps meant."""
    import difflib

    close = difflib.get_close_matches(str(given), [str(name) for name in names], n=1)
    return f"did you mean {close[0]!r}?" if close else None


def _number(kind: str, text: str) -> Any:
    try:
        return int(text.strip()) if kind == "integer" else float(text.strip())
    except ValueError as error:
        raise wrong("a whole number" if kind == "integer" else "a number", text) from error


def _at(step: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (InputError, TypeTransformerFailedError) as error:
        error.place = step + (error.place or "")
        raise


def _struct(converter: Any, data: Any) -> Any:
    converter = getattr(converter, "target", converter)
    if not isinstance(data, dict):
        raise wrong(str(converter.literal_type), data)
    fields = {field.name: field for field in converter.fields if getattr(field, "given", True)}
    unknown = [name for name in data if name not in fields]
    missing = [name for name, field in fields.items() if field.required and name not in data]
    if unknown or missing:
        raise InputError(
            f"there is no field {unknown[0]!r}" if unknown else f"the field {missing[0]!r} is missing",
            expected="the fields " + ", ".join(fields),
            actual=", ".join(map(str, data)) or "none",
            hint=(nearest(unknown[0], fields) or f"there is no field {unknown[0]!r}")
            if unknown
            else f"give {', '.join(missing)}",
        )
    values = {
        name: _at(f".{name}", lambda n=name, d=item: from_data(fields[n].converter, d))  # type: ignore[misc]
        for name, item in data.items()
    }
    if converter.classes == (dict,):
        return values
    try:
        return converter.classes[0](**values)
    except Exception as error:
        raise wrong(str(converter.literal_type), data, f"{type(error).__name__}: {error}") from error


def items_of(converter: Any, data: Any) -> list[Any]:
    """The items of a list, each by its converter."""
    if not isinstance(data, list):
        raise wrong(str(converter.literal_type), data)
    items = getattr(converter, "items", None) or [converter.item] * len(data)
    if len(items) != len(data):
        raise wrong(f"{len(items)} items", data)
    return [_at(f"[{i}]", lambda i=i: from_data(items[i], data[i])) for i in range(len(data))]  # type: ignore[misc]


def _mapping(converter: Any, data: Any) -> Any:
    if isinstance(data, dict):
        pairs = list(data.items())
    elif isinstance(data, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in data):
        pairs = [(key, item) for key, item in data]
    else:
        raise wrong(str(converter.literal_type), data)
    made: dict[Any, Any] = {}
    for name, item in pairs:
        key = from_text(converter.key, name) if isinstance(name, str) else from_data(converter.key, name)
        if key in made:
            raise wrong("each key once", data, f"the key {key!r} is there twice")
        made[key] = _at(f"[{name!r}]", lambda item=item: from_data(converter.item, item))  # type: ignore[misc]
    return made


def _list(converter: Any, data: Any) -> Any:
    items = items_of(converter, data)
    return tuple(items) if converter.literal_type.name == "tuple" else items


def _float(converter: Any, data: Any) -> Any:
    if isinstance(data, str) and data in _NOT_FINITE:
        return float(data)
    if isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    raise wrong("a number", data)


def _same(converter: Any, data: Any) -> Any:
    return data


def _enum(converter: Any, data: Any) -> Any:
    """A member by its name or its value, a choice by its value."""
    choices: dict[str, Any] = converter.choices if hasattr(converter, "choices") else dict(converter.cls.__members__)
    is_enum = not hasattr(converter, "choices")
    if isinstance(data, str):
        found = [choices[data]] if data in choices else []
        for member in choices.values():
            value = member.value if is_enum else member
            if _same_text(value, data) and member not in found:
                found.append(member)
        if len(found) > 1:
            shown = " or ".join(repr(member) for member in found)
            raise wrong(f"one of {', '.join(choices)}", data, f"it could be {shown}")
        if found:
            return found[0]
        allowed = list(choices) if is_enum else [shown_choice(member) for member in choices.values()]
        hint = nearest(data, allowed)
        raise wrong(f"one of {', '.join(map(repr, allowed)) if not is_enum else ', '.join(allowed)}", data, hint)
    return data


def _same_text(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == text.strip().lower()
    return str(value) == text


def shown_choice(value: Any) -> str:
    """A value of a ``typing.Literal`` as it is typed."""
    import enum

    if isinstance(value, enum.Enum):
        return value.name
    return str(value).lower() if isinstance(value, bool) else str(value)


def _written(converter: Any, data: Any) -> Any:
    """What people write as a literal writes it: ISO 8601, base64, digits."""
    kind = converter.literal_type.kind
    if kind == "decimal" and isinstance(data, int | float) and not isinstance(data, bool):
        data = str(data)
    if not isinstance(data, str) and not (isinstance(data, dict) and kind in ("datetime", "time")):
        raise wrong(str(converter.literal_type), data)
    try:
        return converter.decode(data.strip() if isinstance(data, str) and kind != "path" else data, None, ())
    except TypeTransformerFailedError as error:
        raise wrong(str(converter.literal_type), data) from error


def _span(converter: Any, data: Any) -> Any:
    from flytepath.types.text_spans import span

    return span(data)


_READERS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "any": _same,
    "none": _same,
    "boolean": _same,
    "integer": _same,
    "string": _same,
    "float": _float,
    "list": _list,
    "tuple": lambda converter, data: tuple(items_of(converter, data)),
    "set": lambda converter, data: set(items_of(converter, data)),
    "frozenset": lambda converter, data: frozenset(items_of(converter, data)),
    "dict": _mapping,
    "enum": _enum,
    "timedelta": _span,
    **dict.fromkeys(("bytes", "decimal", "date", "time", "datetime", "uuid", "path"), _written),
}
