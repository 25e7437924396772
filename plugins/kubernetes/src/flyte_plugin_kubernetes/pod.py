"""``Pod(...)``: a task whose worker runs in a pod of the author's own making, with sidecars, volumes and whatever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flytepath import PodTemplate
from flytepath.plugin import DefinitionError, TaskDeclaration, TaskType

from flyte_plugin_kubernetes.errors import PodSpecError


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod a task runs in.

    The worker is put into the container named ``primary_container_name``, in place of its command; one is added where
    the spec has none of this name and says nothing of another. The end of that container is the end of the task,
    whatever runs beside it.

    Args:
        pod_spec: a ``V1PodSpec`` of the Kubernetes client, the same as a dict with the names of the Kubernetes API, or
            a whole ``PodTemplate``.
        primary_container_name: the container that runs the task.
        labels, annotations: of the pod.

    Raises:
        PodSpecError, KubernetesNameError, KubernetesResourcesError: it is no pod, or could run no task.

    Example:
        >>> pod = Pod(pod_spec={"containers": [{"name": "primary"}, {"name": "proxy", "image": "envoy:1"}]})
        >>> pod.to_json()["primary_container_name"]
        'primary'
        >>> Pod(pod_spec={"containers": [{"name": "main", "image": "a"}]})
        Traceback (most recent call last):
        flyte_plugin_kubernetes.errors.PodSpecError: [FP-K8S-POD] the pod has no container 'primary', ...
          at: Pod(pod_spec).containers
          expected: primary
          actual: 'main'
          hint: primary_container_name says which one it is
    """

    pod_spec: Any = None
    primary_container_name: str = "primary"
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        from flyte_plugin_kubernetes.names import dns_label
        from flyte_plugin_kubernetes.pod_checks import check_template

        template = self._template()
        dns_label(template.primary_container_name, "Pod(primary_container_name)", what="name of a container")
        spec = template.to_json().get("pod_spec", {})
        metadata = {"labels": template.labels, "annotations": template.annotations}
        check_template({"metadata": metadata, "spec": spec}, "Pod")
        names = [container["name"] for container in spec.get("containers", ())]
        if names and template.primary_container_name not in names:
            raise PodSpecError(
                f"the pod has no container {template.primary_container_name!r}, which is to run the task",
                place="Pod(pod_spec).containers",
                expected=template.primary_container_name,
                actual=", ".join(map(repr, names)),
                hint="primary_container_name says which one it is",
            )
        for name in ("pod_spec", "primary_container_name", "labels", "annotations"):
            object.__setattr__(self, name, getattr(template, name))

    def _template(self) -> PodTemplate:
        if not isinstance(self.pod_spec, PodTemplate):
            return PodTemplate(self.pod_spec, self.primary_container_name, self.labels, self.annotations)
        for name, default in (("primary_container_name", "primary"), ("labels", None), ("annotations", None)):
            if getattr(self, name) != default:
                raise PodSpecError(
                    f"the PodTemplate says the {name} already",
                    place=f"Pod({name})",
                    expected=f"PodTemplate({name}=...) or Pod(pod_spec=..., {name}=...)",
                    actual=repr(getattr(self, name)),
                )
        return self.pod_spec

    def to_json(self) -> dict[str, Any]:
        """What core keeps of it: a ``PodTemplate`` as JSON."""
        template = PodTemplate(self.pod_spec, self.primary_container_name, self.labels, self.annotations)
        return {**template.to_json(), "primary_container_name": self.primary_container_name}


class PodTaskType(TaskType):
    """A function in a pod of the author's own making. A direct call runs it in this process, without the pod."""

    local_fidelity: ClassVar[Any] = "emulated"

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The pod as canonical data."""
        from flyte_plugin_kubernetes.pod_fields import check_fields

        config = declaration.config
        if not isinstance(config, Pod):
            raise DefinitionError(
                "a task in a pod is configured by Pod(...)", place=declaration.name, actual=repr(config)[:200]
            )
        if declaration.body == "none":
            raise PodSpecError(
                "Pod(...) is for tasks with a body",
                place=declaration.name,
                hint="ContainerTask(..., pod_template=PodTemplate(...)) runs an image as it is",
            )
        # Here and not where it is made: workers make it too, and need no client for that.
        check_fields(config.to_json().get("pod_spec", {}), f"{declaration.name}(Pod(pod_spec))")
        return {"pod": config.to_json()}
