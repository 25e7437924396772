"""Walking a JSON payload by its literal type. A reference means the enclosing struct of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from flytepath.errors import LiteralError
from flytepath.model.types import BLOB_KINDS, LiteralType

#: List indices, dict keys and field names, from the outside in.
Path = tuple[str | int, ...]
Scope = Mapping[str, LiteralType]
NO_SCOPE: Final[Scope] = {}


def with_refs(type: LiteralType, data: Any, renumber: Callable[[int], int], scope: Scope = NO_SCOPE) -> Any:
    """The same payload with every reference to a blob renumbered."""
    type, scope = _entered(type, scope)
    if data is None or not _holds_blobs(type, scope):
        return data
    if type.kind in BLOB_KINDS:
        return data if data.get("ref") is None else {**data, "ref": renumber(data["ref"])}

    def inner(item_type: LiteralType, item: Any) -> Any:
        return with_refs(item_type, item, renumber, scope)

    if type.kind in ("list", "set", "frozenset"):
        return [inner(type.items[0], item) for item in data]
    if type.kind == "tuple":
        return [inner(item_type, item) for item_type, item in zip(type.items, data, strict=True)]
    if type.kind == "struct":
        fields = {field.name: field.type for field in type.fields}
        return {name: inner(fields[name], item) for name, item in data.items()}
    if type.kind == "union":
        return {"tag": data["tag"], "value": inner(type.items[data["tag"]], data["value"])}
    if isinstance(data, dict):
        return {key: inner(type.items[1], item) for key, item in data.items()}
    return [[inner(type.items[0], key), inner(type.items[1], item)] for key, item in data]


def misfit(type: LiteralType, data: Any, place: str = "", scope: Scope = NO_SCOPE) -> str:
    """Where a payload is certainly not one of a type, and why; empty where it may well be.

    Looked at are containers, and scalars that JSON has; what only a converter can read is taken as it is.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> misfit(LiteralType.list_of(INTEGER), [1, "many"])
        "[1] is 'many', no integer"
    """
    type, scope = _entered(type, scope)
    kind = type.kind
    if data is None:
        fine = kind in ("none", "any", "union")
    elif kind in ("list", "set", "frozenset"):
        return (
            _first(enumerate(data), lambda at: type.items[0], place, scope)
            if isinstance(data, list)
            else _not(type, data, place)
        )
    elif kind == "tuple":
        if not isinstance(data, list) or len(data) != len(type.items):
            return _not(type, data, place)
        return _first(enumerate(data), lambda at: type.items[int(at)], place, scope)
    elif kind == "dict" and isinstance(data, dict):
        return _first(data.items(), lambda at: type.items[1], place, scope)
    elif kind == "struct" and isinstance(data, dict):
        fields = {field.name: field.type for field in type.fields}
        missing = [field.name for field in type.fields if field.required and field.name not in data]
        unknown = [name for name in data if name not in fields]
        if missing or unknown:
            return f"{place or 'it'} {'lacks ' + missing[0] if missing else 'has no field ' + unknown[0]}"
        return _first(data.items(), lambda at: fields[str(at)], place, scope)
    elif kind == "union" and isinstance(data, dict):
        tag = data.get("tag")
        if not isinstance(tag, int) or not 0 <= tag < len(type.items):
            return _not(type, data, place)
        return misfit(type.items[tag], data.get("value"), place, scope)
    else:
        fine = _SCALARS.get(kind, _whatever)(data)
    return "" if fine else _not(type, data, place)


def _first(
    items: Iterable[tuple[Any, Any]], type_at: Callable[[int | str], LiteralType], place: str, scope: Scope
) -> str:
    found = (misfit(type_at(at), item, f"{place}[{at!r}]", scope) for at, item in items)
    return next((wrong for wrong in found if wrong), "")


def _not(type: LiteralType, data: Any, place: str) -> str:
    return f"{place or 'it'} is {repr(data)[:60]}, no {type}"


def _whatever(_data: Any) -> bool:
    return True


def _is_integer(data: Any) -> bool:
    if isinstance(data, str):
        return data.removeprefix("-").isdecimal()
    return isinstance(data, int) and not isinstance(data, bool)


def _is_float(data: Any) -> bool:
    return data in ("NaN", "Infinity", "-Infinity") or (isinstance(data, int | float) and not isinstance(data, bool))


_SCALARS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "none": lambda data: data is None,
    "boolean": lambda data: isinstance(data, bool),
    "integer": _is_integer,
    "float": _is_float,
    "string": lambda data: isinstance(data, str),
    "bytes": lambda data: isinstance(data, str),
    "struct": lambda data: isinstance(data, dict),
    "union": lambda data: isinstance(data, dict),
    "dict": lambda data: isinstance(data, dict | list),
}


def _entered(type: LiteralType, scope: Scope) -> tuple[LiteralType, Scope]:
    """What a type stands for, and the scope inside it."""
    if type.kind == "reference":
        if type.name not in scope:
            raise LiteralError(f"the type refers to {type.name!r}, which does not enclose it")
        type = scope[type.name]
    return (type, {**scope, type.name: type}) if type.kind == "struct" else (type, scope)


def _holds_blobs(type: LiteralType, scope: Scope, seen: frozenset[str] = frozenset()) -> bool:
    if type.kind in BLOB_KINDS:
        return True
    if type.kind == "reference" and type.name not in seen and type.name in scope:
        return _holds_blobs(scope[type.name], scope, seen | {type.name})
    if type.kind == "struct":
        seen = seen | {type.name}
    return any(_holds_blobs(item, scope, seen) for item in (*type.items, *(field.type for field in type.fields)))


def closed(type: LiteralType, scope: Scope, inside: frozenset[str] = frozenset()) -> LiteralType:
    """The same type outside of ``scope``: each reference out of it becomes the struct it means, each into it stays."""
    if not scope or not (type.items or type.fields or type.kind == "reference"):
        return type
    if type.kind == "reference":
        return type if type.name in inside else closed(scope[type.name], scope, inside)
    if type.kind == "struct":
        if type.name in inside:
            return LiteralType("reference", name=type.name)
        inside = inside | {type.name}
    return replace(
        type,
        items=tuple(closed(item, scope, inside) for item in type.items),
        fields=tuple(replace(field, type=closed(field.type, scope, inside)) for field in type.fields),
    )


def step_into(
    type: LiteralType, data: Any, scope: Scope, step: str | int, path: Path
) -> tuple[LiteralType, Any, Scope]:
    """One step into a payload: the type and payload there, and the structs around them."""
    type, scope = _entered(type, scope)
    try:
        if type.kind == "union" and data is not None:
            return step_into(type.items[data["tag"]], data["value"], scope, step, path)
        if type.kind == "list" and isinstance(step, int):
            return type.items[0], data[step], scope
        if type.kind == "tuple" and isinstance(step, int):
            return type.items[step], data[step], scope
        if type.kind == "dict":
            return type.items[1], _dict_item(data, step), scope
        if type.kind == "struct":
            return next(field.type for field in type.fields if field.name == step), data[step], scope
        if type.kind == "any":
            return type, data[step], scope
    except (KeyError, IndexError, StopIteration, TypeError) as error:
        raise _nothing_at(path, type) from error
    raise _nothing_at(path, type)


def type_at(type: LiteralType, path: Path) -> LiteralType | None:
    """The type of the part at ``path``, closed; ``None`` where no value of ``type`` has such a part.

    A part of an optional is a part of what it holds.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> type_at(LiteralType.dict_of(LiteralType("string"), LiteralType.list_of(INTEGER)), ("a", 0)) == INTEGER
        True
    """
    scope: Scope = NO_SCOPE
    for step in path:
        type, scope = _entered(type, scope)
        if type.kind == "union":
            held = [item for item in type.items if item.kind != "none"]
            if len(held) != 1:
                return None
            type, scope = _entered(held[0], scope)
        found = _item_type(type, step)
        if found is None:
            return None
        type = found
    return closed(type, scope)


def _item_type(type: LiteralType, step: str | int) -> LiteralType | None:
    if type.kind == "list" and isinstance(step, int):
        return type.items[0]
    if type.kind == "tuple" and isinstance(step, int) and -len(type.items) <= step < len(type.items):
        return type.items[step]
    if type.kind == "dict":
        return type.items[1]
    if type.kind == "struct":
        return next((field.type for field in type.fields if field.name == step), None)
    return type if type.kind == "any" else None


def _nothing_at(path: Path, type: LiteralType) -> LiteralError:
    shown = "".join(f"[{part!r}]" for part in path)
    return LiteralError(f"there is nothing at {shown} in a value of type {type}", expected=str(type))


def _dict_item(data: Any, step: str | int) -> Any:
    if isinstance(data, dict):
        if not isinstance(step, str):
            raise KeyError(step)
        return data[step]
    beyond = isinstance(step, int) and abs(step) >= 2**53
    wanted = str(step) if beyond else step
    return next(item for key, item in data if type(key) is type(wanted) and key == wanted)
