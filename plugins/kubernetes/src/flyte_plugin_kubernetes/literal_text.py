"""A literal as the text that stands for it in a container's command: the same text that a direct call puts there."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import Literal, LiteralType

from flyte_plugin_kubernetes.errors import ContainerValueError

_AS_THEY_ARE: Final = frozenset({"none", "boolean", "bytes", "decimal", "date", "uuid", "path", "any"})
_LISTS: Final = frozenset({"list", "tuple"})
_SETS: Final = frozenset({"set", "frozenset"})
_MICROSECONDS: Final = 10**6


def text_of(literal: Literal, place: str) -> str:
    """The text of an input: a text or a moment as it is, ``None`` as nothing, everything else as JSON.

    Raises:
        ContainerValueError: it is too long for a command, holds what no argument can, or has no text.

    Example:
        >>> text_of(Literal.make(LiteralType("boolean"), True), "flag")
        'true'
    """
    if literal.is_offloaded:
        raise ContainerValueError(
            "the value is too large to stand in a command",
            place=place,
            expected="at most 32 KiB",
            hint="read the file of that name in the container's folder of inputs",
        )
    plain = _plain(literal.type, literal.data, place, {})
    if plain is None:
        return ""
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    if "\0" in text or not _is_text(text):
        raise ContainerValueError("the value holds what no argument of a command can", place=place)
    return text


def _plain(t: LiteralType, data: Any, place: str, named: Mapping[str, LiteralType]) -> Any:
    """The payload as people write it in JSON."""
    kind = t.kind
    if kind == "string":
        return data if isinstance(data, str) else base64.b64decode(data["surrogates"]).decode("utf-8", "surrogatepass")
    if kind in _AS_THEY_ARE:
        return data
    if kind == "integer":
        return int(data)
    if kind == "float":
        return float(data)
    if kind in {"datetime", "time"}:
        return data["at"] if isinstance(data, Mapping) else data
    if kind == "timedelta":
        return data / _MICROSECONDS
    if kind == "enum":
        known = dict(t.values)
        if data in known:
            return known[data]
    if kind == "union":
        return None if data is None else _plain(t.items[data["tag"]], data["value"], place, named)
    if kind == "reference" and t.name in named:
        return _plain(named[t.name], data, place, named)
    if kind == "struct":
        inside = {**named, t.name: t}
        types = {field.name: field.type for field in t.fields}
        return {name: _plain(types[name], value, f"{place}.{name}", inside) for name, value in data.items()}
    if kind == "dict":
        pairs = data.items() if isinstance(data, Mapping) else data
        of_key, of_value = t.items
        return {
            str(_plain(of_key, key, place, named)): _plain(of_value, value, f"{place}[{key!r}]", named)
            for key, value in pairs
        }
    if kind in _LISTS | _SETS:
        of_items = t.items if kind == "tuple" else t.items * len(data)
        elements = zip(of_items, data, strict=True)
        found = [_plain(each, item, f"{place}[{index}]", named) for index, (each, item) in enumerate(elements)]
        return sorted(found, key=repr) if kind in _SETS else found
    raise ContainerValueError(
        f"a value of type {t} has no text to stand in a command",
        place=place,
        hint="read the file of that name in the container's folder of inputs",
    )


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
