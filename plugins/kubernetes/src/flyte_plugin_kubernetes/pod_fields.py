"""Which fields a pod has: asked of the official client's own models, for the eyes of whoever writes a pod spec.

The client is imported when a task is compiled, and never where it runs or where jobs are planned. Where it is not
installed the server says what this would have said.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from flyte_plugin_kubernetes.errors import PodSpecError

_LIST: Final = re.compile(r"list\[(.*)\]", re.IGNORECASE)
_MAP: Final = re.compile(r"dict[(\[]str, ?(.*)[)\]]", re.IGNORECASE)
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}
#: Maps of these hold quantities, which YAML people write as numbers too.
_QUANTITIES: Final = frozenset({"requests", "limits", "overhead", "sizeLimit"})


def check_fields(spec: Mapping[str, Any], place: str) -> None:
    """Refuse fields that pods do not have, and values of the wrong kind.

    Raises:
        PodSpecError: the first one, with its place and the name that may have been meant.

    Example:
        >>> check_fields({"containers": [{"name": "primary", "volumeMount": []}]}, "Pod(pod_spec)")
        Traceback (most recent call last):
        flyte_plugin_kubernetes.errors.PodSpecError: [FP-K8S-POD] a container has no field 'volumeMount'
          at: Pod(pod_spec).containers[0]
          actual: volumeMount
          hint: did you mean volumeMounts?
    """
    if spec and find_spec("kubernetes") is not None:
        _check("V1PodSpec", spec, place)


def _check(kind: str, value: Any, place: str) -> None:
    if value is None or kind == "object":
        return
    found = _LIST.fullmatch(kind)
    if found is not None:
        if not isinstance(value, list | tuple):
            raise _mistyped("a list", value, place)
        for index, item in enumerate(value):
            _check(found[1], item, f"{place}[{index}]")
        return
    found = _MAP.fullmatch(kind)
    if found is not None:
        if not isinstance(value, Mapping):
            raise _mistyped("an object", value, place)
        is_quantity = place.rpartition(".")[2] in _QUANTITIES
        for key, item in value.items():
            if not is_quantity:
                _check(found[1], item, f"{place}[{key!r}]")
        return
    if kind.startswith(("V1", "CoreV1")):
        _check_object(kind, value, place)
        return
    kinds = _KINDS.get(kind)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kinds is None or (is_number and place.rpartition(".")[2] in _QUANTITIES):
        return
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise _mistyped({"str": "text", "bool": "true or false"}.get(kind, "a number"), value, place)


def _check_object(kind: str, value: Any, place: str) -> None:
    from kubernetes.client import models

    model = getattr(models, kind)
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.removeprefix("Core").removeprefix("V1")).lower()
    if not isinstance(value, Mapping):
        raise _mistyped(f"a {what}, which is an object", value, place)
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    for name, item in value.items():
        if name not in attributes:
            near = attributes.get(name) or difflib.get_close_matches(str(name), attributes, 1)
            meant = model.attribute_map.get(name) or (near[0] if near else "")
            raise PodSpecError(
                f"a {what} has no field {name!r}",
                place=place,
                actual=str(name),
                hint=f"did you mean {meant}?" if meant else "a newer release of `kubernetes` may know it",
            )
        _check(model.openapi_types[attributes[name]], item, f"{place}.{name}")


def _mistyped(expected: str, value: Any, place: str) -> PodSpecError:
    return PodSpecError(
        f"{place.rpartition('.')[2]} is {expected}", place=place, expected=expected, actual=repr(value)[:200]
    )
