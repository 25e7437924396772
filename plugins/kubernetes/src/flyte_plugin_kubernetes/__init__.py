"""Kubernetes for FlytePath: any task or container on a cluster, and the base for plugins that create objects there.

The names are resolved on first use, so that importing this costs nothing; the Kubernetes client is imported where a
cluster is spoken to, and where a ``Pod`` is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.plugin import lazy_names

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.backend import KubernetesBackend
    from flyte_plugin_kubernetes.conditions import ConditionTable, Row
    from flyte_plugin_kubernetes.custom_resource import CustomResourceBackend
    from flyte_plugin_kubernetes.errors import (
        ContainerValueError,
        KubernetesNameError,
        KubernetesResourcesError,
        KubernetesSettingsError,
        PodSpecError,
    )
    from flyte_plugin_kubernetes.merging import merge
    from flyte_plugin_kubernetes.pod import Pod
    from flyte_plugin_kubernetes.pod_spec import pod_template_of, role_template
    from flyte_plugin_kubernetes.resource_kind import JOB, POD, ResourceKind
    from flyte_plugin_kubernetes.settings import KubernetesSettings

_HOME_OF = {
    "ConditionTable": "conditions",
    "ContainerValueError": "errors",
    "CustomResourceBackend": "custom_resource",
    "JOB": "resource_kind",
    "KubernetesBackend": "backend",
    "KubernetesNameError": "errors",
    "KubernetesResourcesError": "errors",
    "KubernetesSettings": "settings",
    "KubernetesSettingsError": "errors",
    "POD": "resource_kind",
    "Pod": "pod",
    "PodSpecError": "errors",
    "ResourceKind": "resource_kind",
    "Row": "conditions",
    "merge": "merging",
    "pod_template_of": "pod_spec",
    "role_template": "pod_spec",
}

__all__ = [
    "JOB",
    "POD",
    "ConditionTable",
    "ContainerValueError",
    "CustomResourceBackend",
    "KubernetesBackend",
    "KubernetesNameError",
    "KubernetesResourcesError",
    "KubernetesSettings",
    "KubernetesSettingsError",
    "Pod",
    "PodSpecError",
    "ResourceKind",
    "Row",
    "merge",
    "pod_template_of",
    "role_template",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
