"""The Python type of a value that was kept as a literal, for a notebook that does not say it."""

from __future__ import annotations

import functools
import importlib
import operator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flytepath.plugin import LiteralType

_CLASSES: Final = {
    "none": "types:NoneType",
    "boolean": "builtins:bool",
    "integer": "builtins:int",
    "float": "builtins:float",
    "string": "builtins:str",
    "bytes": "builtins:bytes",
    "decimal": "decimal:Decimal",
    "datetime": "datetime:datetime",
    "date": "datetime:date",
    "time": "datetime:time",
    "timedelta": "datetime:timedelta",
    "uuid": "uuid:UUID",
    "path": "pathlib:Path",
    "file": "flytepath:FlyteFile",
    "directory": "flytepath:FlyteDirectory",
    "any": "flytepath:JSON",
    "dataframe": "pandas:DataFrame",
}


def type_of(kept: LiteralType, cls: str = "") -> Any:
    """The type to have a literal as.

    Args:
        kept: the type of the literal.
        cls: the class the value had, as ``module:Class``, where that is known. Containers say themselves what they are.

    Raises:
        ImportError: a class cannot be imported here.

    Example:
        >>> from flytepath.plugin import LiteralType
        >>> type_of(LiteralType("set", (LiteralType("integer"),)))
        set[int]
    """
    items = tuple(type_of(item) for item in kept.items) if kept.kind in _CONTAINERS else ()
    match kept.kind:
        case "list" if kept.name == "tuple":
            return tuple[items[0], ...]  # type: ignore[valid-type]
        case "list" | "set" | "frozenset" if not kept.name:
            return _CONTAINERS[kept.kind][items[0]]
        case "dict":
            return dict[items[0], items[1]]  # type: ignore[valid-type]
        case "tuple" if not kept.name:
            return tuple[items]  # type: ignore[valid-type]
        case "union":
            return functools.reduce(operator.or_, items)
    module, _, name = kept.name.rpartition(".")
    return _imported(cls or _CLASSES.get(kept.kind, "") or f"{module}:{name}")


_CONTAINERS: Final[dict[str, Any]] = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "tuple": tuple,
    "union": None,
}


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(
            f"the value is a {place.replace(':', '.')}, which cannot be imported in this kernel; "
            "say what it is to be: load_value(reference, TheType)"
        ) from error
    return found
