"""Literals as people read them: JSON, and in a few words what lies in a blob."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flytepath.model.literal import BlobRef
from flytepath.model.types import LiteralType

_LISTS = frozenset({"list", "tuple", "set", "frozenset"})
_BLOBS = frozenset({"file", "directory", "dataframe", "iterator", "opaque"})
_COLUMNS = 12


def show_value(data: Any, type: LiteralType, refs: Sequence[BlobRef] = ()) -> str:
    """The payload of a literal in a line.

    Args:
        data: the payload, by the rules of :mod:`flytepath.model.literal`.
        type: its type.
        refs: the blobs inside it.

    Example:
        >>> from flytepath.model.types import INTEGER, NONE
        >>> show_value([{"tag": 0, "value": 1}, None], LiteralType.list_of(LiteralType.union_of(INTEGER, NONE)))
        '[1, null]'
    """
    try:
        return _shown(data, type, refs, {})
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return json.dumps(data, ensure_ascii=False)  # of a form that this version does not know


def _shown(data: Any, type: LiteralType, refs: Sequence[BlobRef], structs: Mapping[str, LiteralType]) -> str:
    kind = type.kind
    if kind == "reference":
        return _shown(data, structs[type.name], refs, structs)
    if kind == "union":
        return "null" if data is None else _shown(data["value"], type.items[data["tag"]], refs, structs)
    if kind in _LISTS and isinstance(data, list):
        items = type.items if kind == "tuple" else type.items * len(data)
        return f"[{', '.join(_shown(item, t, refs, structs) for item, t in zip(data, items, strict=True))}]"
    if kind == "dict":
        key, value = type.items
        pairs = data.items() if isinstance(data, dict) else data
        inside = (f"{_shown(k, key, refs, structs)}: {_shown(v, value, refs, structs)}" for k, v in pairs)
        return f"{{{', '.join(inside)}}}"
    if kind == "struct":
        known = {**structs, type.name: type}
        types = {field.name: field.type for field in type.fields}
        if not types:
            return json.dumps(data, ensure_ascii=False)
        inside = (f"{json.dumps(k)}: {_shown(v, types[k], refs, known)}" for k, v in data.items())
        return f"{{{', '.join(inside)}}}"
    if kind in _BLOBS:
        ref = None if data["ref"] is None else refs[data["ref"]]
        return show_blob(data["data"], data["format"], ref, type)
    if kind == "timedelta":
        return json.dumps(str(dt.timedelta(microseconds=int(data))))
    if kind in ("integer", "float") and isinstance(data, str):
        return data  # a number that JSON has no number for
    return json.dumps(data, ensure_ascii=False)


def show_blob(data: Any, format: str, ref: BlobRef | None, type: LiteralType) -> str:
    """What is said of content that lies elsewhere: its place, and its shape where that is known.

    Example:
        >>> show_blob({"uri": "s3://bucket/a.csv"}, "file", None, LiteralType("file"))
        's3://bucket/a.csv'
    """
    facts: Mapping[str, Any] = data if isinstance(data, dict) else {}
    place = str(facts.get("uri") or facts.get("path") or (ref.uri if ref is not None else ""))
    if place.startswith("file://"):
        place = _local(place)
    words = [] if type.kind in _BLOBS else [str(type)]
    if type.kind == "file" and facts.get("name") and not place.endswith(str(facts["name"])):
        words.append(str(facts["name"]))
    if type.kind == "dataframe":
        words += _frame(facts)
    if "files" in facts and isinstance(facts["files"], int):
        words.append(f"{facts['files']} files")
    if "count" in facts:
        words.append(f"{facts['count']} items of {type.items[0] if type.items else 'any'}")
    if "shape" in facts:
        words.append(f"{' x '.join(map(str, facts['shape'])) or 'one'} of {facts.get('dtype')}")
    size = facts.get("bytes", ref.size if ref is not None else None)
    if isinstance(size, int):
        words.append(show_size(size))
    if type.kind in ("dataframe", "opaque") and not words:
        words.append(f"{type}, {format}")
    if not words:
        return place or f"<{type}, {format}>"
    return f"{place} ({', '.join(words)})".strip()


def _frame(facts: Mapping[str, Any]) -> list[str]:
    columns = facts.get("columns")
    if not isinstance(columns, list):
        return []
    shown = ", ".join(f"{name}: {dtype}" for name, dtype in columns[:_COLUMNS])
    more = f", and {len(columns) - _COLUMNS} more" if len(columns) > _COLUMNS else ""
    return [f"{facts.get('rows', '?')} rows x {len(columns)} columns [{shown}{more}]"]


def _local(uri: str) -> str:
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(uri).path)


def show_size(size: int) -> str:
    """Bytes with a unit.

    Example:
        >>> show_size(2048)
        '2.0 KiB'
    """
    amount, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"
