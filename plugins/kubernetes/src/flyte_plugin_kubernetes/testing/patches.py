"""The three sorts of patches: JSON merge patch, JSON patch, strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from flyte_plugin_kubernetes.testing.refusals import Refusal, bad_request

Json = dict[str, Any]

#: By which field the items of a list are told apart, by the last name of its path, of the types that can be patched.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "ownerReferences": "uid",
    "conditions": "type",
    "addresses": "type",
    "podIPs": "ip",
    "secrets": "name",
}
#: Lists of plain values that are joined and not replaced.
_JOINED = {"finalizers"}


def merge_patch(found: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386).

    Example:
        >>> merge_patch({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
        {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(found) if isinstance(found, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def strategic_merge_patch(found: Any, patch: Any) -> Any:
    """Strategic merge patch: lists with a merge key are merged by it, ``$patch`` and ``$deleteFromPrimitiveList`` are
    heeded, ``$setElementOrder`` and ``$retainKeys`` are read over.

    Example:
        >>> strategic_merge_patch({"env": [{"name": "a", "value": "1"}]}, {"env": [{"name": "b", "value": "2"}]})
        {'env': [{'name': 'a', 'value': '1'}, {'name': 'b', 'value': '2'}]}
    """
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(found) if isinstance(found, dict) else {}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            target = name.split("/", 1)[1]
            result[target] = [item for item in result.get(target) or () if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list):
            result[name] = _merged_list(name, result.get(name) or [], value)
        else:
            result[name] = strategic_merge_patch(result.get(name), value)
    return result


def _merged_list(name: str, found: list[Any], patch: list[Any]) -> list[Any]:
    if name in _JOINED:
        return found + [item for item in patch if item not in found]
    key = _MERGE_KEYS.get(name)
    if name == "ports":
        # Of containers; those of services have another key.
        key = "containerPort" if any(isinstance(item, dict) and "containerPort" in item for item in patch) else "port"
    if key is None or any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    result = list(found)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        at = next((at for at, other in enumerate(result) if other.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append({part: value for part, value in item.items() if not part.startswith("$")})
        else:
            result[at] = strategic_merge_patch(result[at], item)
    return result


def json_patch(found: Any, operations: Any) -> Any:
    """JSON patch (RFC 6902).

    Raises:
        Refusal: 422, an operation cannot be done or a test fails; 400, it cannot be read.

    Example:
        >>> json_patch({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}])
        {'a': [1, 2]}
    """
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    root = {"": copy.deepcopy(found)}
    for operation in operations:
        try:
            _one_operation(root, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            place = operation.get("path") if isinstance(operation, dict) else operation
            text = f"the server rejected our request due to an error in our request: {place}: {error}"
            raise Refusal(422, "Invalid", text) from error
    return root[""]


def _one_operation(root: Json, operation: Json) -> None:
    verb = operation["op"]
    parent, name = _place(root, operation["path"])
    if verb == "test":
        if _get(parent, name) != operation["value"]:
            raise ValueError("testing value failed")
    elif verb == "remove":
        del parent[_key(parent, name)]
    elif verb == "replace":
        _get(parent, name)
        parent[_key(parent, name)] = operation["value"]
    elif verb in ("add", "copy", "move"):
        value = operation.get("value")
        if verb != "add":
            source, at = _place(root, operation["from"])
            value = copy.deepcopy(_get(source, at))
            if verb == "move":
                del source[_key(source, at)]
        if isinstance(parent, list):
            parent.insert(len(parent) if name == "-" else int(name), value)
        else:
            parent[name] = value
    else:
        raise ValueError(f"unexpected kind: {verb}")


def _place(root: Json, path: str) -> tuple[Any, str]:
    names = [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")]
    here: Any = root
    for name in names[:-1]:
        here = _get(here, name)
    return here, names[-1]


def _key(parent: Any, name: str) -> Any:
    return int(name) if isinstance(parent, list) else name


def _get(parent: Any, name: str) -> Any:
    return parent[_key(parent, name)]
