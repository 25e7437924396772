"""How one pod template is laid over another: the strategic merge of Kubernetes, on plain data.

Objects are merged field by field, the upper one's scalars win, and ``None`` takes a field away. The lists below are
merged item by item, by the field that names an item; tolerations, pull secrets and the like are joined without doubles.
Every other list, a command for instance, is replaced as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flyte_plugin_kubernetes.errors import PodSpecError

#: Lists of named things, and the field that names them.
MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "resourceClaims": "name",
    "schedulingGates": "name",
}
#: Lists that are joined; what is in both stands there once.
JOINED: Final = frozenset({"tolerations", "topologySpreadConstraints", "envFrom", "image_pull_secrets"})

Data = Mapping[str, Any]


def merge(lower: Data, upper: Data) -> dict[str, Any]:
    """``upper`` over ``lower``; neither is changed, and nothing of either is shared with the result.

    What only the upper one has comes behind what the lower one has, so the order of containers and variables holds.

    Raises:
        PodSpecError: an item of a list that is merged by name has no name, or bears one twice.

    Example:
        >>> lower = {"containers": [{"name": "primary", "image": "a"}], "tolerations": [{"key": "x"}]}
        >>> upper = {"containers": [{"name": "primary", "tty": True}, {"name": "side"}], "tolerations": [{"key": "x"}]}
        >>> merged = merge(lower, upper)
        >>> merged["containers"]
        [{'name': 'primary', 'image': 'a', 'tty': True}, {'name': 'side'}]
        >>> merged["tolerations"]
        [{'key': 'x'}]
    """
    return _objects(lower, upper, "")


def merge_settings(lower: Data, upper: Data) -> dict[str, Any]:
    """The settings of a project over everybody's, or of a domain over its project's: merged like pod templates.

    Example:
        >>> merge_settings({"labels": {"a": "1"}, "image": "x"}, {"labels": {"b": "2"}, "image": "y"})
        {'labels': {'a': '1', 'b': '2'}, 'image': 'y'}
    """
    return merge(lower, upper)


def plain_copy(value: Any) -> Any:
    """``value`` as dicts and lists of its own, without what is ``None``."""
    if isinstance(value, Mapping):
        return {key: plain_copy(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain_copy(item) for item in value]
    return value


def _objects(lower: Data, upper: Data, place: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key, value in lower.items():
        if key not in upper:
            if value is not None:
                merged[key] = plain_copy(value)
        elif upper[key] is not None:
            merged[key] = _values(key, value, upper[key], f"{place}.{key}" if place else str(key))
    for key, value in upper.items():
        if key not in lower and value is not None:
            merged[key] = plain_copy(value)
    return merged


def _values(key: str, lower: Any, upper: Any, place: str) -> Any:
    if isinstance(lower, Mapping) and isinstance(upper, Mapping):
        return _objects(lower, upper, place)
    if isinstance(lower, list | tuple) and isinstance(upper, list | tuple):
        if key in JOINED:
            return _joined([*lower, *upper])
        if key in MERGE_KEYS:
            return _named(MERGE_KEYS[key], lower, upper, place)
    return plain_copy(upper)


def _joined(items: list[Any]) -> list[Any]:
    found: dict[str, Any] = {}
    for item in items:
        copied = plain_copy(item)
        found.setdefault(json.dumps(copied, sort_keys=True, default=repr), copied)
    return list(found.values())


def _named(by: str, lower: list[Any] | tuple[Any, ...], upper: list[Any] | tuple[Any, ...], place: str) -> list[Any]:
    first, second = _by_name(by, lower, place), _by_name(by, upper, place)
    merged = [
        _objects(item, second[name], f"{place}[{item[by]!r}]") if name in second else plain_copy(item)
        for name, item in first.items()
    ]
    return merged + [plain_copy(item) for name, item in second.items() if name not in first]


def _by_name(by: str, items: list[Any] | tuple[Any, ...], place: str) -> dict[Any, Data]:
    found: dict[Any, Data] = {}
    for index, item in enumerate(items):
        name = item.get(by) if isinstance(item, Mapping) else None
        if not isinstance(name, str | int) or name == "":
            raise PodSpecError(
                f"an item of {place.rpartition('.')[2]} has no {by}",
                place=f"{place}[{index}]",
                expected=f"an object with the field {by}, which it is merged by",
                actual=repr(item)[:200],
            )
        # One port number may be open for TCP and for UDP.
        key = (name, item.get("protocol", "TCP")) if by == "containerPort" else name
        if key in found:
            raise PodSpecError(
                f"{name!r} stands twice among {place.rpartition('.')[2]}",
                place=f"{place}[{index}]",
                expected=f"every {by} once",
                actual=repr(name),
            )
        found[key] = item
    return found
