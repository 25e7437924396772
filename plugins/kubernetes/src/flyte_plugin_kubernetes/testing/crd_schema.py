"""Structural schemas of custom resources: pruning, defaulting and checking, in the order of the real server.

What is not evaluated: the rules in CEL (``x-kubernetes-validations``), and ``format``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from flyte_plugin_kubernetes.testing.refusals import (
    FieldFault,
    duplicate,
    invalid,
    required,
    too_long,
    unsupported,
    wrong_type,
)

Json = dict[str, Any]

_ALWAYS_KEPT = {"apiVersion", "kind", "metadata"}


def prune(schema: Json, value: Any, path: str = "", *, root: bool = True) -> tuple[Any, list[str]]:
    """The value without what its schema does not know, and the paths of that.

    Example:
        >>> prune({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x", "b": 1})
        ({'a': 'x'}, ['b'])
    """
    unknown: list[str] = []
    return _pruned(schema, value, path, root, unknown), unknown


def _pruned(schema: Json, value: Any, path: str, root: bool, unknown: list[str]) -> Any:
    if isinstance(value, list):
        items = schema.get("items")
        if not isinstance(items, dict):
            return value
        return [_pruned(items, item, f"{path}[{at}]", False, unknown) for at, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties: Json = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    keep = schema.get("x-kubernetes-preserve-unknown-fields") or extra is True
    rooted = root or schema.get("x-kubernetes-embedded-resource")
    found: Json = {}
    for name, item in value.items():
        here = f"{path}.{name}" if path else name
        if rooted and name in _ALWAYS_KEPT:
            found[name] = item
        elif name in properties:
            found[name] = _pruned(properties[name], item, here, False, unknown)
        elif isinstance(extra, dict):
            found[name] = _pruned(extra, item, here, False, unknown)
        elif keep:
            found[name] = item
        else:
            unknown.append(here)
    return found


def with_defaults(schema: Json, value: Any) -> Any:
    """The value with the defaults of its schema.

    Example:
        >>> with_defaults({"type": "object", "properties": {"a": {"default": 1}}}, {})
        {'a': 1}
    """
    if isinstance(value, list):
        items = schema.get("items")
        return [with_defaults(items, item) for item in value] if isinstance(items, dict) else value
    if not isinstance(value, dict):
        return value
    found = dict(value)
    for name, inner in (schema.get("properties") or {}).items():
        missing = name not in found or (found[name] is None and not inner.get("nullable"))
        if missing and "default" in inner:
            found[name] = inner["default"]
        if found.get(name) is not None:
            found[name] = with_defaults(inner, found[name])
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for name, item in list(found.items()):
            if name not in (schema.get("properties") or {}):
                found[name] = with_defaults(extra, item)
    return found


def schema_faults(schema: Json, value: Any, path: str = "", *, root: bool = True) -> list[FieldFault]:
    """What of a value its schema forbids."""
    if value is None:
        if schema.get("nullable") or not (schema.get("type") or schema.get("x-kubernetes-int-or-string")):
            return []
        return [_of_type(path, "null", schema.get("type", "integer or string"))]
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            return [_of_type(path, _type_name(value), "integer or string")]
    elif schema.get("type") and not _is_of(schema["type"], value):
        return [_of_type(path, _type_name(value), schema["type"])]
    faults = _value_faults(schema, value, path)
    if isinstance(value, dict):
        faults += _object_faults(schema, value, path, root)
    elif isinstance(value, list):
        faults += _list_faults(schema, value, path)
    return faults + _combined_faults(schema, value, path)


def _of_type(path: str, found: str, wanted: str) -> FieldFault:
    return wrong_type(path, found, f'{path} in body must be of type {wanted}: "{found}"')


def _type_name(value: Any) -> str:
    names = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _is_of(wanted: str, value: Any) -> bool:
    if wanted == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool)
    types: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool}
    return isinstance(value, types[wanted])


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _value_faults(schema: Json, value: Any, path: str) -> list[FieldFault]:
    faults = []
    if schema.get("enum") is not None and value not in schema["enum"]:
        faults.append(unsupported(path, value, [str(one) for one in schema["enum"]]))
    if isinstance(value, str):
        if "minLength" in schema and len(value) < schema["minLength"]:
            words = f"{path} in body should be at least {schema['minLength']} chars long"
            faults.append(invalid(path, value, words))
        if "maxLength" in schema and len(value) > schema["maxLength"]:
            faults.append(too_long(path, schema["maxLength"]))
        if "pattern" in schema and not _pattern(schema["pattern"]).search(value):
            faults.append(invalid(path, value, f"{path} in body should match '{schema['pattern']}'"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
            word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
            faults.append(invalid(path, value, f"{path} in body should be {word} {low}"))
        if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
            word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
            faults.append(invalid(path, value, f"{path} in body should be {word} {high}"))
        step = schema.get("multipleOf")
        if step and value % step:
            faults.append(invalid(path, value, f"{path} in body should be a multiple of {step}"))
    return faults


def _object_faults(schema: Json, value: Json, path: str, root: bool) -> list[FieldFault]:
    faults = []
    properties: Json = schema.get("properties") or {}
    for name in schema.get("required") or ():
        if name not in value:
            faults.append(required(f"{path}.{name}" if path else name))
    extra = schema.get("additionalProperties")
    for name, item in value.items():
        inner = properties.get(name, extra if isinstance(extra, dict) else None)
        rooted = root or schema.get("x-kubernetes-embedded-resource")
        if isinstance(inner, dict) and not (rooted and name == "metadata"):
            faults += schema_faults(inner, item, f"{path}.{name}" if path else name, root=False)
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        faults.append(invalid(path, len(value), f"{path} in body should have at least {least} properties"))
    if most is not None and len(value) > most:
        faults.append(invalid(path, len(value), f"{path} in body should have at most {most} properties"))
    return faults


def _list_faults(schema: Json, value: list[Any], path: str) -> list[FieldFault]:
    faults = []
    items = schema.get("items")
    if isinstance(items, dict):
        for at, item in enumerate(value):
            faults += schema_faults(items, item, f"{path}[{at}]", root=False)
    if "minItems" in schema and len(value) < schema["minItems"]:
        faults.append(invalid(path, len(value), f"{path} in body should have at least {schema['minItems']} items"))
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        words = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        faults.append(FieldFault(path, "FieldValueTooMany", words))
    seen: list[Any] = []
    sort = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    for at, item in enumerate(value):
        mark = {key: item.get(key) for key in keys} if sort == "map" and isinstance(item, dict) else item
        if sort in ("set", "map") and mark in seen:
            faults.append(duplicate(f"{path}[{at}]", mark))
        seen.append(mark)
    return faults


def _combined_faults(schema: Json, value: Any, path: str) -> list[FieldFault]:
    faults = []
    for inner in schema.get("allOf") or ():
        faults += schema_faults(inner, value, path, root=False)
    any_of, one_of = schema.get("anyOf"), schema.get("oneOf")
    if any_of and all(schema_faults(inner, value, path, root=False) for inner in any_of):
        faults.append(invalid(path, value, f"{path} in body must validate at least one schema (anyOf)"))
    if one_of and sum(not schema_faults(inner, value, path, root=False) for inner in one_of) != 1:
        faults.append(invalid(path, value, f"{path} in body must validate one and only one schema (oneOf)"))
    if schema.get("not") and not schema_faults(schema["not"], value, path, root=False):
        faults.append(invalid(path, value, f"{path} in body must not validate the schema (not)"))
    return faults
