"""What no cluster would take, or what could never run a task, found in a pod template before anybody is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flyte_plugin_kubernetes.errors import KubernetesResourcesError, PodSpecError
from flyte_plugin_kubernetes.merging import Data
from flyte_plugin_kubernetes.names import checked_annotations, checked_labels, dns_label
from flyte_plugin_kubernetes.quantities import read_quantity

_VARIABLE: Final = re.compile(r"[ -<>-~]+", re.ASCII)
_METADATA: Final = frozenset({"labels", "annotations"})
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")


def check_template(template: Any, place: str) -> None:
    """Refuse a part of a pod that nothing can be made of, whatever it is laid over.

    Raises:
        PodSpecError, KubernetesNameError, KubernetesResourcesError: what is wrong, and where.
    """
    if not isinstance(template, Mapping):
        raise _wrong("a pod template is an object", place, "metadata and spec", repr(template)[:200])
    for key in template:
        if key not in {"metadata", "spec"}:
            hint = "the fields of the pod itself belong below spec" if key in _KNOWN_IN_SPEC else None
            raise _wrong(f"a pod template has no field {key!r}", place, "metadata and spec", str(key), hint)
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    for name, part in (("metadata", metadata), ("spec", spec)):
        if not isinstance(part, Mapping):
            raise _wrong(f"the {name} of a pod template is an object", f"{place}.{name}", "fields", repr(part)[:200])
    for key in metadata:
        if key not in _METADATA:
            raise _wrong(
                f"the metadata of a pod template has no {key!r}",
                f"{place}.metadata",
                "labels and annotations",
                str(key),
                "names and owners are FlytePath's; namespaces are settings",
            )
    _check_metadata(metadata, place)
    _check_spec(spec, place)


def check_pod(template: Data, primary: str, place: str) -> None:
    """Refuse a whole pod that could not run.

    Args:
        template: ``metadata`` and ``spec``, merged.
        primary: the container that runs the task.
        place: for errors.
    """
    check_template(template, place)
    spec = template["spec"]
    names = [container["name"] for container in spec.get("containers", ())]
    if primary not in names:
        raise _wrong(
            f"the pod has no container {primary!r}, which is to run the task",
            f"{place}.spec.containers",
            primary,
            ", ".join(map(repr, names)) or "no containers",
            "primary_container_name says which one it is",
        )
    volumes = {volume["name"] for volume in spec.get("volumes", ())}
    for where, container in _containers(spec, place):
        if not container.get("image"):
            raise _wrong(
                f"container {container['name']!r} has no image",
                where,
                "an image",
                "none",
                "container_image of the task, `image` in [backends.kubernetes], or the image in the pod template",
            )
        for index, mount in enumerate(container.get("volumeMounts", ())):
            if mount.get("name") not in volumes:
                raise _wrong(
                    f"container {container['name']!r} mounts a volume that the pod does not have",
                    f"{where}.volumeMounts[{index}]",
                    ", ".join(map(repr, sorted(volumes))) or "a volume of the pod",
                    repr(mount.get("name")),
                )
        _check_bounds(container, where)


def _check_metadata(metadata: Data, place: str) -> None:
    for name, check in (("labels", checked_labels), ("annotations", checked_annotations)):
        found = metadata.get(name) or {}
        where = f"{place}.metadata.{name}"
        if not isinstance(found, Mapping):
            raise _wrong(f"the {name} of a pod are texts by key", where, "an object", repr(found)[:200])
        check(found, where)


def _check_spec(spec: Data, place: str) -> None:
    restarts = spec.get("restartPolicy", "Never")
    if restarts != "Never":
        raise _wrong(
            "FlytePath starts attempts anew, the cluster must not",
            f"{place}.spec.restartPolicy",
            "Never",
            repr(restarts),
            "retries= of the task says how often; a sidecar is an init container with restartPolicy: Always",
        )
    for name in (*_CONTAINERS, "volumes", "tolerations", "imagePullSecrets"):
        items = spec.get(name)
        where = f"{place}.spec.{name}"
        if items is not None and not isinstance(items, list | tuple):
            raise _wrong(f"{name} of a pod are a list", where, "a list", type(items).__name__)
        for index, item in enumerate(items or ()):
            if not isinstance(item, Mapping):
                raise _wrong(f"{name} of a pod are objects", f"{where}[{index}]", "an object", repr(item)[:200])
    seen: dict[str, str] = {}
    for where, container in _containers(spec, place):
        name = dns_label(container.get("name"), f"{where}.name", what="name of a container")
        if name in seen:
            raise _wrong(f"two containers are named {name!r}", where, "every name once", f"also {seen[name]}")
        seen[name] = where
        _check_container(container, where)
    names = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        where = f"{place}.spec.volumes[{index}]"
        name = dns_label(volume.get("name"), f"{where}.name", what="name of a volume")
        if name in names:
            raise _wrong(f"two volumes are named {name!r}", where, "every name once", repr(name))
        names.add(name)


def _containers(spec: Data, place: str) -> Iterator[tuple[str, Data]]:
    for kind in _CONTAINERS:
        for index, container in enumerate(spec.get(kind) or ()):
            yield f"{place}.spec.{kind}[{index}]", container


def _check_container(container: Data, where: str) -> None:
    restarts = container.get("restartPolicy")
    if restarts is not None and (restarts != "Always" or ".initContainers" not in where):
        raise _wrong(
            "a container of a task cannot be restarted",
            f"{where}.restartPolicy",
            "none, or Always of an init container, which makes it a sidecar",
            repr(restarts),
            "retries= of the task says how often it is tried",
        )
    for name in ("command", "args"):
        parts = container.get(name)
        if parts is not None and (
            not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts)
        ):
            raise _wrong(f"the {name} of a container is a list of text", f"{where}.{name}", "list[str]", repr(parts))
    variables = set()
    for index, variable in enumerate(_objects(container, "env", where)):
        known = variable.get("name")
        if not isinstance(known, str) or not _VARIABLE.fullmatch(known):
            raise _wrong(f"{known!r} cannot name a variable", f"{where}.env[{index}]", "text without '='", repr(known))
        if known in variables:
            raise _wrong(f"the variable {known} is set twice", f"{where}.env[{index}]", "every name once", known)
        variables.add(known)
        if not isinstance(variable.get("value") or "", str):
            raise _wrong(
                f"the variable {known} is no text",
                f"{where}.env[{index}].value",
                "str",
                repr(variable["value"]),
                f"write {str(variable['value'])!r}",
            )
    paths = set()
    for index, mount in enumerate(_objects(container, "volumeMounts", where)):
        path = mount.get("mountPath")
        if not isinstance(path, str) or not path or ":" in path:
            raise _wrong("a volume is mounted at a path", f"{where}.volumeMounts[{index}]", "mountPath", repr(path))
        if path in paths:
            raise _wrong(f"two volumes are mounted at {path}", f"{where}.volumeMounts[{index}]", "one", path)
        paths.add(path)
    resources = container.get("resources")
    if resources is not None and not isinstance(resources, Mapping):
        raise _wrong("the resources of a container are an object", f"{where}.resources", "requests and limits", "")
    for side in ("requests", "limits"):
        quantities = (resources or {}).get(side) or {}
        if not isinstance(quantities, Mapping):
            raise _wrong(f"{side} are quantities by name", f"{where}.resources.{side}", "an object", repr(quantities))
        for name, quantity in quantities.items():
            read_quantity(quantity, f"{where}.resources.{side}[{name!r}]")


def _check_bounds(container: Data, where: str) -> None:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, quantity in requests.items():
        if name not in limits:
            continue
        least = read_quantity(quantity, f"{where}.resources.requests[{name!r}]")
        most = read_quantity(limits[name], f"{where}.resources.limits[{name!r}]")
        if least > most:
            raise KubernetesResourcesError(
                f"container {container['name']!r} asks for more {name} than it may use",
                place=f"{where}.resources.requests[{name!r}]",
                expected=f"at most the limit, {limits[name]}",
                actual=str(quantity),
                hint="a limit may come from a pod template: resources=Resources(...) of the task sets both",
            )
        if least != most and "/" in name:
            raise KubernetesResourcesError(
                f"{name} cannot be shared, so what is asked for is also the limit",
                place=f"{where}.resources.requests[{name!r}]",
                expected=str(limits[name]),
                actual=str(quantity),
            )


def _objects(container: Data, name: str, where: str) -> list[Data]:
    items = container.get(name) or []
    if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
        raise _wrong(f"{name} of a container are a list of objects", f"{where}.{name}", "a list", repr(items)[:200])
    return list(items)


def _wrong(message: str, place: str, expected: str, actual: str, hint: str | None = None) -> PodSpecError:
    return PodSpecError(message, place=place, expected=expected, actual=actual, hint=hint)


#: Fields of a spec that are often written beside it.
_KNOWN_IN_SPEC: Final = frozenset({*_CONTAINERS, "volumes", "nodeSelector", "tolerations", "affinity"})
