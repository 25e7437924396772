"""A few facts about a plain value, for people: what it is, how much of it, and how it begins."""

from __future__ import annotations

from typing import Any

from flytepath.types.converter import shown, type_name


def summary(value: Any) -> dict[str, Any]:
    """Plain data; whoever shows it escapes it.

    Example:
        >>> summary([1, 2, 3])
        {'type': 'list', 'size': 3}
    """
    facts: dict[str, Any] = {"type": type_name(type(value))}
    if isinstance(value, list | tuple | set | frozenset | dict | str | bytes):
        facts["size"] = len(value)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        facts["value"] = shown(value).partition(" ")[2] or "None"
    return facts
