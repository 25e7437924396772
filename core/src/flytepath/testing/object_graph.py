"""Looking into values without knowing their types: what they consist of, and what two of them share."""

from __future__ import annotations

import dataclasses
import enum
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

#: Libraries whose objects are not looked into: their parts are shared on purpose, immutable or copied on writing. Only
#: handing over the very same object shows; a test's ``mutate`` shows the rest.
_FRAMES = {"pandas": ("DataFrame", "Series"), "polars": ("DataFrame", "Series"), "pyarrow": ()}
#: Beyond this many objects a walk stops; samples are meant to be small.
LIMIT = 100_000

_ATOMS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type,
    enum.Enum,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
)


def fingerprint(value: Any) -> Any:
    """The structure of ``value`` as nested tuples, equal exactly when the structures are.

    Example:
        >>> config = {"layers": [1, 2]}
        >>> before = fingerprint(config)
        >>> config["layers"].append(3)
        >>> fingerprint(config) == before
        False
    """
    return _fingerprint(value, {})


def _fingerprint(value: Any, seen: dict[int, int]) -> Any:
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, _ATOMS):
        return (type(value).__qualname__, value if isinstance(value, (bool, int, str, bytes)) else repr(value))
    if id(value) in seen:
        return ("again", seen[id(value)])
    seen[id(value)] = len(seen)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, Mapping):
        return (name, tuple((_fingerprint(k, seen), _fingerprint(v, seen)) for k, v in value.items()))
    if isinstance(value, (list, tuple, deque)):
        return (name, tuple(_fingerprint(item, seen) for item in value))
    if isinstance(value, (set, frozenset)):
        return (name, tuple(sorted(repr(_fingerprint(item, {})) for item in value)))
    attributes = _attributes(value)
    return (name, tuple((key, _fingerprint(item, seen)) for key, item in attributes.items()) or repr(value))


def shared_mutables(left: Any, right: Any) -> list[str]:
    """Descriptions of the mutable objects that both values reach.

    Example:
        >>> inner = []
        >>> shared_mutables({"a": inner}, [inner]), shared_mutables([[]], [[]])
        (['list at [0]'], [])
    """
    mine = {id(item): item for _, item in _walk(left) if _is_mutable(item)}
    found = [f"{type(item).__name__} at {path or 'the top'}" for path, item in _walk(right) if id(item) in mine]
    arrays = [item for item in mine.values() if _is_array(item)]
    for path, item in _walk(right):
        if _is_array(item) and id(item) not in mine and any(_share_memory(array, item) for array in arrays):
            found.append(f"memory of {type(item).__name__} at {path or 'the top'}")
    return found


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    pending: deque[tuple[str, Any]] = deque([("", value)])
    while pending and len(seen) < LIMIT:
        path, item = pending.popleft()
        if id(item) in seen or isinstance(item, _ATOMS):
            continue
        seen.add(id(item))
        yield path, item
        if isinstance(item, Mapping):
            for key, inner in item.items():
                pending.append((f"{path}.key", key))
                pending.append((f"{path}[{key!r}]", inner))
        elif isinstance(item, (list, tuple, set, frozenset, deque)):
            pending.extend((f"{path}[{index}]", inner) for index, inner in enumerate(item))
        elif not _is_array(item) and _library(item) not in _FRAMES:
            pending.extend((f"{path}.{name}", inner) for name, inner in _attributes(item).items())


def _attributes(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    found.update(getattr(value, "__dict__", {}))
    return found


def _is_mutable(value: Any) -> bool:
    if isinstance(value, (list, dict, set, bytearray, deque)):
        return True
    if isinstance(value, (tuple, frozenset, memoryview)):
        return False
    if _is_array(value):
        return bool(value.flags.writeable)
    if _library(value) in _FRAMES:
        return type(value).__name__ in _FRAMES[_library(value)]
    if dataclasses.is_dataclass(value):
        return not value.__dataclass_params__.frozen  # type: ignore[union-attr]
    config = getattr(type(value), "model_config", None)
    if isinstance(config, dict):
        return not config.get("frozen", False)
    # Classes that are written in C and keep no attributes (datetime, Decimal, UUID) are values, not containers.
    return type(value).__module__ not in sys.stdlib_module_names and bool(getattr(value, "__dict__", None))


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_array(value: Any) -> bool:
    return _library(value) == "numpy" and hasattr(value, "flags")


def _share_memory(left: Any, right: Any) -> bool:
    numpy = sys.modules["numpy"]
    return bool(right.flags.writeable and numpy.shares_memory(left, right))
