"""Which resources the API server has: the built-in ones, and those a CustomResourceDefinition adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: What can be done with a resource itself.
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of one version of an API group.

    Args:
        model: the class of the official client that names its fields; empty for custom resources.
        schema: the structural schema of a custom resource's version.
        storage: the name under which all versions of the resource share their objects.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    model: str = ""
    singular: str = ""
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    schema: dict[str, Any] | None = field(default=None, hash=False, compare=False)

    @property
    def api_version(self) -> str:
        """As an object names it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The resource with its group, such as ``jobs.batch``: the same for all of its versions."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition made it."""
        return not self.model

    @property
    def has_status(self) -> bool:
        """Whether its status is changed only through ``/status``."""
        return "status" in self.subresources


def _core(plural: str, kind: str, model: str, **more: Any) -> Kind:
    return Kind("", "v1", plural, kind, model=model, singular=kind.lower(), **more)


POD = _core("pods", "Pod", "V1Pod", short_names=("po",), subresources=("status", "log", "binding", "eviction"))
NAMESPACE = _core(
    "namespaces", "Namespace", "V1Namespace", namespaced=False, short_names=("ns",), subresources=("status", "finalize")
)
NODE = _core("nodes", "Node", "V1Node", namespaced=False, short_names=("no",), subresources=("status",))
SECRET = _core("secrets", "Secret", "V1Secret")
CONFIG_MAP = _core("configmaps", "ConfigMap", "V1ConfigMap", short_names=("cm",))
SERVICE_ACCOUNT = _core("serviceaccounts", "ServiceAccount", "V1ServiceAccount", short_names=("sa",))
EVENT = _core("events", "Event", "CoreV1Event", short_names=("ev",))
JOB = Kind("batch", "v1", "jobs", "Job", model="V1Job", singular="job", subresources=("status",))
CRD = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    model="V1CustomResourceDefinition",
    singular="customresourcedefinition",
    short_names=("crd", "crds"),
    subresources=("status",),
)
BUILT_IN = (
    POD,
    NAMESPACE,
    NODE,
    SECRET,
    CONFIG_MAP,
    SERVICE_ACCOUNT,
    EVENT,
    _core("services", "Service", "V1Service", short_names=("svc",), subresources=("status",)),
    _core("podtemplates", "PodTemplate", "V1PodTemplate"),
    _core(
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        "V1PersistentVolumeClaim",
        short_names=("pvc",),
        subresources=("status",),
    ),
    JOB,
    CRD,
    Kind(
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "PriorityClass",
        namespaced=False,
        model="V1PriorityClass",
        singular="priorityclass",
        short_names=("pc",),
    ),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", model="V1Lease", singular="lease"),
)


def kinds_of_definition(definition: dict[str, Any]) -> list[Kind]:
    """The served versions of a CustomResourceDefinition."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Kind(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular") or names["kind"].lower(),
            short_names=tuple(names.get("shortNames") or ()),
            subresources=("status",) if "status" in (version.get("subresources") or {}) else (),
            schema=(version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"},
        )
        for version in spec["versions"]
        if version.get("served")
    ]
