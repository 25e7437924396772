"""Values from what people type: a command line's text, and the JSON of an inputs file.

People write less than a literal holds: an enumeration by name or value, a union without its tag, a dataclass without
the fields that have defaults, a file by its path. What they write is read by the declared type and then checked like
any value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from flytepath.errors import InputError, TypeTransformerFailedError
from flytepath.plugin.transformer import Converter
from flytepath.types.converter import type_name
from flytepath.types.engine import Codec, codec
from flytepath.types.text_values import from_data, from_text, stands_alone

#: What a value of a kind looks like.
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
    "timedelta": "write seconds, or a span such as 1h30m, 1:30:00 or PT1H30M",
    "bytes": "write base64, or @ and the path of a file",
    "file": "give the path or URI of a file",
    "directory": "give the path or URI of a folder",
    "dataframe": "give the path or URI of a CSV, Parquet, Arrow or JSON file",
    "iterator": "write a JSON list, or give the path of a .json or .jsonl file",
}
_REPEATED: Final = frozenset({"list", "set", "frozenset", "iterator"})


def parse_text(t: Any, text: str) -> Any:
    """The value that ``text``, from a command line, means for the declared type ``t``.

    Args:
        t: the annotation of the input.
        text: what was typed: ``3``, ``true``, a date in ISO 8601, an enumeration's name or value; lists, dicts and
            dataclasses as JSON or YAML, or ``@`` and the path of a file that holds it; files, folders and frames by
            path or URI; ``null`` or ``none`` for an optional without a value.

    Raises:
        InputError: the text means no value of the type, or more than one; ``place`` is the path inside the value.

    Example:
        >>> parse_text(list[int] | None, "[1, 2]")
        [1, 2]
    """
    compiled = codec(t)
    return _checked(compiled, text, lambda: from_text(compiled.converter, text))


def parse_texts(t: Any, texts: Sequence[str]) -> Any:
    """The value of an option that may be given again and again: for a list, each text is an item.

    One text alone is the whole list, if it can be read as one, or else its only item.

    Raises:
        InputError: as :func:`parse_text`, or the type takes one text only.

    Example:
        >>> parse_texts(list[int], ["1", "2"]), parse_texts(list[int], ["[1, 2]"]), parse_texts(list[int], ["1"])
        ([1, 2], [1, 2], [1])
    """
    compiled = codec(t)
    item = _item_of(compiled.converter)
    if len(texts) != 1 and item is None:
        raise InputError("it is given twice", expected=f"one {type_name(compiled.python_type)}")
    if len(texts) != 1:
        return _checked(compiled, list(texts), lambda: _items(compiled.converter, item, texts))  # type: ignore[arg-type]
    try:
        return parse_text(t, texts[0])
    except InputError:
        if item is None or texts[0].lstrip().startswith(("[", "@")):
            raise
        try:
            return _checked(compiled, list(texts), lambda: _items(compiled.converter, item, texts))
        except InputError:
            pass  # neither: the list is what was asked for
        raise


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
    return _checked(compiled, data, lambda: from_data(compiled.converter, data))


def _item_of(converter: Any) -> Converter[Any] | None:
    """The converter of the items of what may be given item by item."""
    converter = getattr(converter, "inner", converter)
    if converter.literal_type.kind not in _REPEATED:
        return None
    lines = getattr(getattr(converter, "transformer", None), "_lines", None)
    item: Converter[Any] | None = getattr(converter, "item", None) or getattr(lines, "_item", None)
    return item


def _items(converter: Any, item: Converter[Any], texts: Sequence[str]) -> Any:
    kind = getattr(converter, "inner", converter).literal_type
    values = []
    for index, text in enumerate(texts):
        try:
            values.append(from_text(item, text))
        except (InputError, TypeTransformerFailedError) as error:
            error.place = f"[{index}]{error.place or ''}"
            raise
    made = {"set": set, "frozenset": frozenset, "list": tuple if kind.name == "tuple" else list, "iterator": list}
    return made[kind.kind](values)


def _checked(compiled: Codec[Any], given: Any, read: Callable[[], Any]) -> Any:
    shown_type = type_name(compiled.python_type)
    try:
        value = read()
        return value if stands_alone(compiled.converter) else compiled.isolate(value)
    except (TypeTransformerFailedError, InputError) as error:
        shown = given if isinstance(given, str) else json.dumps(given, default=repr)
        own = isinstance(error, FileNotFoundError) or error.message.startswith(
            ("there is no file", "there is no folder")
        )
        raise InputError(
            error.message if own else f"{shown[:80]!r} is no {shown_type}",
            place=None if own and compiled.literal_type.kind in ("file", "directory", "dataframe") else error.place,
            expected=error.expected or shown_type,
            actual=error.actual or shown[:80],
            hint=error.hint or _EXAMPLES.get(compiled.literal_type.kind),
        ) from error
    except RecursionError as error:
        raise InputError("the value is nested too deeply", expected=shown_type) from error
