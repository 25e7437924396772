"""Doubles of a Kubernetes cluster, for the tests of this package and of those that stand on it.

``pytest_plugins = ["flyte_plugin_kubernetes.testing"]`` in a ``conftest.py`` gives the fixtures.
"""

from __future__ import annotations

from flyte_plugin_kubernetes.testing.access import Access, Ask, Denied, Fault
from flyte_plugin_kubernetes.testing.api_server import ApiServer
from flyte_plugin_kubernetes.testing.cluster import Cluster, ClusterHome
from flyte_plugin_kubernetes.testing.definitions import definition_files, definitions_folder, read_definitions
from flyte_plugin_kubernetes.testing.fixtures import (
    api_server,
    cluster,
    double_cluster,
    double_home,
    real_home,
    shared_api_server,
)
from flyte_plugin_kubernetes.testing.garbage_collector import GarbageCollector
from flyte_plugin_kubernetes.testing.images import Images
from flyte_plugin_kubernetes.testing.job_controller import JobController
from flyte_plugin_kubernetes.testing.kubelet import Kubelet
from flyte_plugin_kubernetes.testing.rest import Informer, Rest, RestRefusal
from flyte_plugin_kubernetes.testing.scheduler import Scheduler

__all__ = [
    "Access",
    "ApiServer",
    "Ask",
    "Cluster",
    "ClusterHome",
    "Denied",
    "Fault",
    "GarbageCollector",
    "Images",
    "Informer",
    "JobController",
    "Kubelet",
    "Rest",
    "RestRefusal",
    "Scheduler",
    "api_server",
    "cluster",
    "definition_files",
    "definitions_folder",
    "double_cluster",
    "double_home",
    "read_definitions",
    "real_home",
    "shared_api_server",
]
