"""The settings of the backend ``kubernetes``, and of every backend that stands on it: ``[backends.kubernetes]``."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from flytepath.plugin import Tenant
from pydantic import BaseModel, ConfigDict, Field, field_validator

from flyte_plugin_kubernetes.names import checked_annotations, checked_labels, dns_label, subdomain

_TENANT_FIELDS: Final = frozenset({"project", "domain"})
_SECRET_FIELDS: Final = frozenset({"project", "domain", "group", "version"})
Texts = dict[str, str]
Objects = tuple[dict[str, Any], ...]


class _Section(BaseModel):
    # What is wrong is shown by its place alone, because a setting may hold what is nobody's business.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Placement(_Section):
    """Which nodes a pod may run on.

    Args:
        node_selector: labels a node must have.
        tolerations: of taints, as in a pod spec.
        affinity: as in a pod spec; what it requires of nodes is required beside what the pod template requires.
    """

    node_selector: Texts = {}
    tolerations: Objects = ()
    affinity: dict[str, Any] = {}


class AcceleratorSettings(Placement):
    """How one device is asked for.

    Args:
        resource: the name its devices have as a resource; empty: ``gpu_resource``.
        partition_resource: the same for a slice, with the slice's size for ``{partition}``, as in
            ``nvidia.com/mig-{partition}``; empty where slices have the device's own.
        label: the label of nodes that names the device; empty: ``accelerator_label``. ``none``: no selector is made.
        partition_label: the label of nodes that names the slice; empty: ``partition_label``.
        value: the label's value; empty: the device's name.
    """

    resource: str = ""
    partition_resource: str = ""
    label: str = ""
    partition_label: str = ""
    value: str = ""


class SecretSettings(_Section):
    """How a pod is given the secrets its task asks for, by references to Kubernetes secrets.

    Args:
        mount: ``env`` by variables, ``file`` by files below ``/etc/secrets``; ``none``: only those that name a scheme.
        name: the Kubernetes secret of a group.
        versioned_name: that of a version of it.
        key: which part of the secret is meant where a task names none.
        ungrouped: the Kubernetes secret with what has no group; empty: a task that asks for it is refused.
    """

    mount: Literal["env", "file", "none"] = "env"
    name: str = "{group}"
    versioned_name: str = "{group}-{version}"
    key: str = "value"
    ungrouped: str = ""

    @field_validator("name", "versioned_name", "ungrouped")
    @classmethod
    def _is_template(cls, value: str) -> str:
        return _template(value, _SECRET_FIELDS)


#: What Google Kubernetes Engine calls them; other clusters put other labels into ``accelerators``.
_TPU: Final[Mapping[str, Any]] = {
    "resource": "google.com/tpu",
    "label": "cloud.google.com/gke-tpu-accelerator",
    "partition_label": "cloud.google.com/gke-tpu-topology",
}


class KubernetesSettings(_Section):
    """Where pods run and what all of them have.

    The tables of everybody, of a project and of its domain are laid over each other like pod templates.

    Args:
        kubeconfig: a kubeconfig file; empty: ``KUBECONFIG``, else ``~/.kube/config``.
        context: the context in it; empty: the current one.
        in_cluster: use the service account of the pod this process runs in; by default where there is one and
            ``kubeconfig`` is empty.
        namespace: with ``{project}`` and ``{domain}``.
        namespaces: all in which jobs of this installation may be, for an account that may not list every namespace.
        service_account: of the pods, with ``{project}`` and ``{domain}``; empty: the namespace's own.
        image: for tasks that name none.
        helper_image: with flytepath in it, for what runs beside a ``ContainerTask``; empty: ``image``.
        helper_resources: its ``requests`` and ``limits``, which a cluster counts only where the task asks for less.
        image_pull_policy, image_pull_secrets: for all containers, and for the pod.
        labels, annotations: of all pods.
        pod_template: ``metadata`` and ``spec`` that all pods begin with.
        pod_templates: the same by name, for ``pod_template_name``.
        gpu_resource: what GPUs are called.
        accelerator_label, partition_label: labels of nodes that name their device, and the size of its slices.
        accelerators: how single devices are asked for.
        interruptible, uninterruptible: where tasks may, or must, run that are the one or the other.
        secrets: how pods are given secrets.
        keep_finished: seconds for which a job's object stays after its end; 0: it goes when its outputs are kept.
        image_pull_seconds: how long an image that cannot be pulled is waited for.
        unschedulable_seconds: how long a pod that fits on no node is waited for; by default as long as the task waits.
        request_seconds: the longest one request may take.
        page_size: how many objects one list asks for.
        connections: how many requests may be under way at a time.

    Example:
        >>> KubernetesSettings(namespace="{project}").namespace_of(Tenant("vision", "production"))
        'vision'
    """

    kubeconfig: str = ""
    context: str = ""
    in_cluster: bool | None = None
    namespace: str = "{project}-{domain}"
    namespaces: tuple[str, ...] = ()
    service_account: str = ""
    image: str = ""
    helper_image: str = ""
    helper_resources: dict[Literal["requests", "limits"], Texts] = {"requests": {"cpu": "100m", "memory": "256Mi"}}
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    image_pull_secrets: tuple[str, ...] = ()
    labels: Texts = {}
    annotations: Texts = {}
    pod_template: dict[str, Any] = {}
    pod_templates: dict[str, dict[str, Any]] = {}
    gpu_resource: Annotated[str, Field(min_length=1)] = "nvidia.com/gpu"
    accelerator_label: str = "cloud.google.com/gke-accelerator"
    partition_label: str = "cloud.google.com/gke-gpu-partition-size"
    accelerators: dict[str, AcceleratorSettings] = {}
    interruptible: Placement = Placement()
    uninterruptible: Placement = Placement()
    secrets: SecretSettings = SecretSettings()
    keep_finished: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    image_pull_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 120.0
    unschedulable_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    request_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    page_size: Annotated[int, Field(ge=1, le=5000)] = 500
    connections: Annotated[int, Field(ge=1, le=256)] = 8

    @field_validator("namespace")
    @classmethod
    def _names_namespace(cls, value: str) -> str:
        if not value:
            raise ValueError("a namespace has a name, as in '{project}-{domain}'")
        return _template(value, _TENANT_FIELDS)

    @field_validator("namespaces")
    @classmethod
    def _name_namespaces(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from flytepath.plugin import DefinitionError

        try:
            return tuple(dns_label(name, "namespaces", what="namespace") for name in value)
        except DefinitionError as error:
            raise ValueError(f"{error.message}; expected {error.expected}") from error

    @field_validator("service_account")
    @classmethod
    def _names_account(cls, value: str) -> str:
        return _template(value, _TENANT_FIELDS)

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, value: Texts) -> Texts:
        return _told(checked_labels, value, "labels")

    @field_validator("annotations")
    @classmethod
    def _are_annotations(cls, value: Texts) -> Texts:
        return _told(checked_annotations, value, "annotations")

    @field_validator("pod_template")
    @classmethod
    def _is_pod(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _pod(value)

    @field_validator("pod_templates")
    @classmethod
    def _are_pods(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {name: _pod(template) for name, template in value.items()}

    def namespace_of(self, tenant: Tenant) -> str:
        """The namespace of a project and domain.

        Raises:
            KubernetesNameError: what the template gives cannot name one.
        """
        return dns_label(
            self.namespace.format(project=tenant.project, domain=tenant.domain),
            f"backends.kubernetes.namespace for {tenant}",
            what="namespace",
            hint=f"say another: [projects.{tenant.project}.domains.{tenant.domain}.backends.kubernetes] namespace",
        )

    def service_account_of(self, tenant: Tenant) -> str:
        """The service account of a project and domain; empty for the namespace's own."""
        if not self.service_account:
            return ""
        return subdomain(
            self.service_account.format(project=tenant.project, domain=tenant.domain),
            f"backends.kubernetes.service_account for {tenant}",
            what="service account",
        )

    def accelerator(self, device: str) -> AcceleratorSettings:
        """How a device is asked for: as configured, else as Google Kubernetes Engine wants it."""
        known = self.accelerators.get(device)
        if known is None:
            known = AcceleratorSettings(**_TPU) if device.startswith("tpu-") else AcceleratorSettings()
        found = {
            "resource": known.resource or self.gpu_resource,
            "label": known.label or self.accelerator_label,
            "partition_label": known.partition_label or self.partition_label,
            "value": known.value or device,
        }
        return known.model_copy(update=found)


def _template(value: str, fields: frozenset[str]) -> str:
    try:
        parts = [part for part in string.Formatter().parse(value) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"it cannot be read: {error}") from error
    if any(name not in fields or form or conversion for _, name, form, conversion in parts):
        raise ValueError(f"it may hold {', '.join(f'{{{name}}}' for name in sorted(fields))} and nothing else in {{}}")
    return value


def _told(check: Any, value: Texts, place: str) -> Texts:
    from flytepath.plugin import DefinitionError

    try:
        found: Texts = check(value, place)
    except DefinitionError as error:
        raise ValueError(f"{error.message}; expected {error.expected}") from error
    return found


def _pod(template: dict[str, Any]) -> dict[str, Any]:
    from flytepath.plugin import DefinitionError

    from flyte_plugin_kubernetes.pod_checks import check_template

    try:
        check_template(template, "pod_template")
    except DefinitionError as error:
        raise ValueError(f"{error.message} (at {error.place}); expected {error.expected}") from error
    return template
