"""``PodTemplate``: the Kubernetes pod a task's container runs in, as plain JSON and without a Kubernetes library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, need_text, need_text_map, set_field

PRIMARY_CONTAINER = "primary"


@dataclass(frozen=True, slots=True)
class PodTemplate(Declared):
    """A pod into which the task's own container is put.

    Args:
        pod_spec: a ``V1PodSpec`` of the Kubernetes client, or the same as a dict with the names of the Kubernetes
            API (``restartPolicy``). It is kept as that dict.
        primary_container_name: the container that runs the task; one is added if the spec has none of this name.
        labels, annotations: of the pod.

    Raises:
        DefinitionError: the spec holds what JSON cannot, or an argument is of the wrong kind.

    Example:
        >>> spec = {"containers": [{"name": "primary"}], "nodeSelector": {"disk": "ssd"}}
        >>> template = PodTemplate(pod_spec=spec, labels={"team": "vision"})
        >>> template.to_json()["labels"]
        {'team': 'vision'}
        >>> PodTemplate.from_json(template.to_json()) == template
        True
    """

    pod_spec: Any = None
    primary_container_name: str = PRIMARY_CONTAINER
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        spec = {} if self.pod_spec is None else _plain(self.pod_spec, "pod_spec")
        if not isinstance(spec, dict):
            raise DefinitionError(
                "a pod spec is an object",
                place="PodTemplate(pod_spec)",
                expected="a V1PodSpec or a dict",
                actual=type(self.pod_spec).__name__,
            )
        containers = spec.get("containers", [])
        if not isinstance(containers, list) or not all(isinstance(one, dict) for one in containers):
            raise DefinitionError(
                "the containers of a pod spec are a list of objects",
                place="PodTemplate(pod_spec.containers)",
                actual=repr(containers),
            )
        set_field(self, "pod_spec", spec)
        need_text(self.primary_container_name, "PodTemplate(primary_container_name)")
        set_field(self, "labels", need_text_map(self.labels, "PodTemplate(labels)"))
        set_field(self, "annotations", need_text_map(self.annotations, "PodTemplate(annotations)"))

    def to_json(self) -> dict[str, Any]:
        """What is not empty, as JSON; changing it does not change the template."""
        found = {name: value for name, value in Declared.to_json(self).items() if value}
        copied: dict[str, Any] = json.loads(json.dumps(found))
        return copied

    def version_hash(self) -> str:
        """A digest that is the same for equal templates, in every process."""
        import hashlib

        return hashlib.sha256(self._canonical().encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self._canonical())

    def _canonical(self) -> str:
        return json.dumps(self.to_json(), sort_keys=True)


def _plain(value: Any, place: str) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DefinitionError(
                    "a pod spec has texts as keys", place=f"PodTemplate({place})", expected="str", actual=repr(key)
                )
        return {key: _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    # The generated classes of the Kubernetes client say which attribute has which name in the API.
    names = getattr(type(value), "attribute_map", None)
    if isinstance(names, Mapping):
        pairs = ((name, getattr(value, attribute)) for attribute, name in names.items())
        return {name: _plain(item, f"{place}.{name}") for name, item in pairs if item is not None}
    to_dict = getattr(value, "to_dict", None)
    if callable(to_dict) and not isinstance(value, type):
        return _plain(to_dict(), place)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise DefinitionError(
        "a pod spec holds what JSON can hold",
        place=f"PodTemplate({place})",
        expected="text, numbers, lists, dicts, or objects of the Kubernetes client",
        actual=type(value).__name__,
    )
