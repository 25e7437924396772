"""Doubles of a Kubernetes cluster, for the tests of this package and of those that stand on it.

``pytest_plugins = ["flyte_plugin_kubernetes.testing"]`` in a ``conftest.py`` gives the fixtures.
"""

from __future__ import annotations

from flyte_plugin_kubernetes.testing.access import Access, Ask, Denied, Fault
from flyte_plugin_kubernetes.testing.api_server import ApiServer
from flyte_plugin_kubernetes.testing.definitions import definition_files, definitions_folder, read_definitions
from flyte_plugin_kubernetes.testing.fixtures import api_server, shared_api_server

__all__ = [
    "Access",
    "ApiServer",
    "Ask",
    "Denied",
    "Fault",
    "api_server",
    "definition_files",
    "definitions_folder",
    "read_definitions",
    "shared_api_server",
]
