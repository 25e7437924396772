"""Which types of literals stand in for which, and what their payloads become there.

A value fits where it would be passed on unchanged: an alternative in its union, ``list[A]`` for ``list[A | None]``.
The payload may have to be written anew, because a union says which alternative it holds; :func:`refit` does that.
"""

from __future__ import annotations

from typing import Any, Final

from flytepath.errors import LiteralError
from flytepath.model.types import BLOB_KINDS, LiteralType

_SETS: Final = ("set", "frozenset")
_ITEMWISE: Final = ("list", *_SETS)
#: What the values of a ``typing.Literal`` are, where they are all of one kind.
_CHOICES: Final = {"string": str, "integer": int, "boolean": bool}
#: What JSON holds where each plain kind is declared.
_PLAIN_CLASSES: Final[dict[str, type[Any]]] = {
    "none": type(None),
    "boolean": bool,
    "integer": int,
    "float": float,
    "string": str,
    "list": list,
    "dict": dict,
}
#: Beyond it the payload of an integer is a string of digits.
_SAFE_INTEGER: Final = 2**53 - 1
_NAMES_OF_FLOATS: Final = ("NaN", "Infinity", "-Infinity")


def fits(actual: LiteralType, declared: LiteralType) -> bool:
    """Whether a value of type ``actual`` can go where ``declared`` is expected, without a change of the value.

    What JSON holds is not known before there is a value, so that it fits any plain type; :func:`refit` looks then.

    Args:
        actual: the type of a literal; its references, if any, lead to structs inside itself.
        declared: the type of the place.

    Example:
        >>> from flytepath.model.types import INTEGER, NONE
        >>> optional = LiteralType.union_of(INTEGER, NONE)
        >>> fits(LiteralType.list_of(INTEGER), LiteralType.list_of(optional))
        True
        >>> fits(LiteralType.list_of(optional), LiteralType.list_of(INTEGER))
        False
    """
    if actual == declared:
        return True
    if actual.kind == "any":
        return _is_plain_json(declared) or _has_any(declared)
    if actual.kind == "union":
        return all(fits(item, declared) for item in actual.items)
    if declared.kind == "union":
        return any(fits(actual, item) for item in declared.items)
    if declared.kind == "any":
        return _is_plain_json(actual)
    if actual.kind == "enum":
        return _choices_fit(actual, declared)
    if actual.kind == "tuple" and declared.kind in ("tuple", "list"):
        return _tuple_fits(actual, declared)
    if actual.kind != declared.kind:
        return False
    if actual.kind in BLOB_KINDS:
        return _blob_fits(actual, declared)
    if actual.kind in _ITEMWISE:
        ordered = actual.kind == "list" or not holds_blobs(actual)
        return actual.name == declared.name and ordered and fits(actual.items[0], declared.items[0])
    return actual.kind == "dict" and all(map(fits, actual.items, declared.items))


def refit(data: Any, actual: LiteralType, declared: LiteralType) -> Any:
    """The payload of the same value in a place of type ``declared``, which ``actual`` must fit.

    References to blobs stay as they are, in their order.

    Raises:
        LiteralError: the types do not fit, or plain JSON has no form for the value (NaN, infinities, surrogates).

    Example:
        >>> from flytepath.model.types import INTEGER, NONE
        >>> optional = LiteralType.union_of(INTEGER, NONE)
        >>> refit([1, 2], LiteralType.list_of(INTEGER), LiteralType.list_of(optional))
        [{'tag': 0, 'value': 1}, {'tag': 0, 'value': 2}]
    """
    if actual == declared:
        return data
    if declared.kind == "any":
        return _plain(data, actual)
    if actual.kind == "any" and not _has_any(declared):
        return _narrowed(data, declared, "")
    if actual.kind == "union":
        if data is None:
            return refit(None, LiteralType("none"), declared)
        return refit(data["value"], actual.items[data["tag"]], declared)
    if declared.kind == "union":
        return _as_alternative(data, actual, declared)
    if not fits(actual, declared):
        raise LiteralError("the value is not of the type of its place", expected=str(declared), actual=str(actual))
    if actual.kind == "enum" and declared.kind != "enum":
        return dict(actual.values)[data]
    if actual.kind == "tuple":
        items = declared.items if declared.kind == "tuple" else declared.items * len(actual.items)
        return [refit(item, own, wanted) for item, own, wanted in zip(data, actual.items, items, strict=True)]
    if actual.kind in _ITEMWISE:
        refitted = [refit(item, actual.items[0], declared.items[0]) for item in data]
        return _in_canonical_order(refitted) if actual.kind in _SETS else refitted
    if actual.kind == "dict":
        return _refit_dict(data, actual, declared)
    return data


def _as_alternative(data: Any, actual: LiteralType, declared: LiteralType) -> Any:
    """The payload as that of a union; an alternative that is exactly the value's type comes before one it fits."""
    tag = next((tag for tag, item in enumerate(declared.items) if item == actual), None)
    if tag is None:
        tag = next((tag for tag, item in enumerate(declared.items) if fits(actual, item)), None)
    if tag is None:
        raise LiteralError("no alternative of the union fits", expected=str(declared), actual=str(actual))
    if actual.kind == "none":
        return None
    return {"tag": tag, "value": refit(data, actual, declared.items[tag])}


def _refit_dict(data: Any, actual: LiteralType, declared: LiteralType) -> Any:
    key, value = actual.items
    wanted_key, wanted_value = declared.items
    if isinstance(data, dict) and key == wanted_key:
        return {name: refit(item, value, wanted_value) for name, item in data.items()}
    pairs = data.items() if isinstance(data, dict) else data
    refitted = [[refit(name, key, wanted_key), refit(item, value, wanted_value)] for name, item in pairs]
    if wanted_key.kind == "string" and all(isinstance(name, str) for name, _ in refitted):
        return dict(refitted)
    return refitted


def _in_canonical_order(items: list[Any]) -> list[Any]:
    from flytepath.model.literal import canonical_json

    return sorted(items, key=canonical_json)


def _tuple_fits(actual: LiteralType, declared: LiteralType) -> bool:
    if declared.kind == "list":
        return declared.name == "tuple" and all(fits(item, declared.items[0]) for item in actual.items)
    return len(actual.items) == len(declared.items) and all(map(fits, actual.items, declared.items))


def _choices_fit(actual: LiteralType, declared: LiteralType) -> bool:
    """Whether the values of a ``typing.Literal`` are among those of a wider one, or plain values of one kind."""
    if actual.name != "typing.Literal":
        return False
    if declared.kind == "enum":
        return declared.name == actual.name and set(actual.values) <= set(declared.values)
    of_kind = _CHOICES.get(declared.kind)
    # Values that are no JSON stand in the type as text, under a name that is not theirs.
    named = declared.kind != "string" or all(name == value for name, value in actual.values)
    return of_kind is not None and named and all(type(value) is of_kind for _, value in actual.values)


def _blob_fits(actual: LiteralType, declared: LiteralType) -> bool:
    if actual.items != declared.items:
        return False
    return (not declared.format or not actual.format or declared.format == actual.format) and (
        not declared.name or declared.name == actual.name
    )


def holds_blobs(type: LiteralType) -> bool:
    """Whether a blob can be anywhere inside a value."""
    if type.kind in BLOB_KINDS:
        return True
    return any(map(holds_blobs, type.items)) or any(holds_blobs(field.type) for field in type.fields)


def _is_plain_json(type: LiteralType) -> bool:
    """Whether values of ``type`` are what JSON itself has: other payloads would be taken for text."""
    if type.kind == "dict":
        return type.items[0].kind == "string" and _is_plain_json(type.items[1])
    if type.kind in ("list", "union"):
        return not type.name and all(map(_is_plain_json, type.items))
    return type.kind in ("none", "boolean", "integer", "float", "string", "any")


def _has_any(declared: LiteralType) -> bool:
    return declared.kind == "union" and any(item.kind == "any" for item in declared.items)


def _narrowed(data: Any, declared: LiteralType, place: str) -> Any:
    """The payload of a JSON value where a plain type is declared: looked at now, and never converted."""
    kind = declared.kind
    if kind == "any":
        return data
    if kind == "union":
        return _narrowed_alternative(data, declared, place)
    if kind == "list" and not declared.name and type(data) is list:
        return [_narrowed(item, declared.items[0], f"{place}[{index}]") for index, item in enumerate(data)]
    if kind == "dict" and declared.items[0].kind == "string" and type(data) is dict:
        return {key: _narrowed(item, declared.items[1], f"{place}[{key!r}]") for key, item in data.items()}
    if type(data) is not _PLAIN_CLASSES.get(kind):
        raise LiteralError(
            "the JSON value is not of the type of its place",
            place=place or None,
            expected=str(declared),
            actual=type(data).__name__,
        )
    beyond = isinstance(data, int) and not -_SAFE_INTEGER <= data <= _SAFE_INTEGER
    return str(data) if beyond else data


def _narrowed_alternative(data: Any, declared: LiteralType, place: str) -> Any:
    wanted = next((kind for kind, cls in _PLAIN_CLASSES.items() if type(data) is cls), "")
    tag = next((tag for tag, item in enumerate(declared.items) if item.kind == wanted), None)
    if tag is None:
        raise LiteralError(
            "no alternative of the union fits", place=place or None, expected=str(declared), actual=type(data).__name__
        )
    return None if data is None else {"tag": tag, "value": _narrowed(data, declared.items[tag], place)}


def _plain(data: Any, type: LiteralType) -> Any:
    """The JSON value that a payload of a plain type stands for."""
    if not _is_plain_json(type):
        raise LiteralError("the value is no plain JSON", expected="any", actual=str(type))
    if data is None or type.kind == "any":
        return data
    if type.kind == "union":
        return _plain(data["value"], type.items[data["tag"]])
    if type.kind == "list":
        return [_plain(item, type.items[0]) for item in data]
    if type.kind == "dict" and isinstance(data, dict):
        return {key: _plain(item, type.items[1]) for key, item in data.items()}
    if type.kind == "integer" and isinstance(data, str):
        return int(data)
    if isinstance(data, dict | list) or (type.kind == "float" and data in _NAMES_OF_FLOATS):
        raise LiteralError("JSON has no such value", expected="plain JSON", actual=str(data)[:60])
    return data
