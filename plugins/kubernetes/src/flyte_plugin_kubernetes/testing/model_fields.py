"""Reads a body as the type of a built-in resource: its fields are those that the official client's models name.

The real server decodes into Go types: a value of a wrong type is a 400, an unknown field is dropped and told in a
warning, or refused where the caller asked for strictness.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from flyte_plugin_kubernetes.testing.refusals import bad_request

_GENERIC = re.compile(r"^(list|dict)[\[(](.*)[\])]$", re.IGNORECASE)
_PLACE = re.compile(r"\[\d+\]")
_GO_NAMES = {"str": "string", "int": "int32", "bool": "bool", "float": "float64", "datetime": "v1.Time"}
#: Texts that may be written as a number: quantities.
_QUANTITIES = {"limits", "requests", "capacity", "allocatable", "hard", "used", "overhead"}


@cache
def _fields(model: str) -> dict[str, str]:
    from kubernetes import client

    found = getattr(client, model)
    return {found.attribute_map[name]: kind for name, kind in found.openapi_types.items()}


@cache
def _known(model: str) -> bool:
    from kubernetes import client

    return hasattr(getattr(client, model, None), "openapi_types")


def decode(model: str, kind: str, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The body with what its type knows, and the paths of what it does not.

    Args:
        model: class of the official client.
        kind: for the words of a refusal.

    Raises:
        Refusal: 400, a value is of a wrong type.
    """
    unknown: list[str] = []
    return _object(model, body, "", kind, unknown), unknown


def _object(model: str, value: Any, path: str, kind: str, unknown: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _mismatch(value, model.removeprefix("V1"), path, kind)
    fields = _fields(model)
    found: dict[str, Any] = {}
    for name, item in value.items():
        here = f"{path}.{name}" if path else name
        if name not in fields:
            unknown.append(here)
        elif item is not None:
            found[name] = _value(fields[name], item, here, kind, unknown)
    return found


def _value(declared: str, value: Any, path: str, kind: str, unknown: list[str]) -> Any:
    generic = _GENERIC.match(declared)
    if generic and generic[1].lower() == "list":
        if not isinstance(value, list):
            raise _mismatch(value, f"[]{generic[2]}", path, kind)
        return [_value(generic[2], item, f"{path}[{at}]", kind, unknown) for at, item in enumerate(value)]
    if generic:
        if not isinstance(value, dict):
            raise _mismatch(value, "map[string]string", path, kind)
        inner = generic[2].split(",", 1)[1].strip()
        if path.rsplit(".", 1)[-1] in _QUANTITIES:
            return {name: str(item) for name, item in value.items()}
        return {name: _value(inner, item, f"{path}.{name}", kind, unknown) for name, item in value.items()}
    if declared in ("str", "datetime", "bytes", "bytearray"):
        if path.endswith("sizeLimit") and isinstance(value, int | float):
            return str(value)
        if not isinstance(value, str):
            raise _mismatch(value, _GO_NAMES.get(declared, "string"), path, kind)
        return value
    if declared == "bool":
        if not isinstance(value, bool):
            raise _mismatch(value, "bool", path, kind)
        return value
    if declared in ("int", "float"):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and not (declared == "float" and isinstance(value, float)):
            raise _mismatch(value, _GO_NAMES[declared], path, kind)
        return value
    if _known(declared):
        return _object(declared, value, path, kind, unknown)
    return value


def _mismatch(value: Any, wanted: str, path: str, kind: str) -> Exception:
    names = {bool: "bool", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    text = (
        f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal '
        f"{names.get(type(value), 'null')} into Go struct field {kind}.{_PLACE.sub('', path)} "
        f"of type {wanted}"
    )
    return bad_request(text)
