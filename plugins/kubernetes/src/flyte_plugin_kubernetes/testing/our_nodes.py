"""Which nodes of an API server are doubles, whose they are, and what a run that was killed has left of them."""

from __future__ import annotations

import os
import socket
from typing import Any

from flyte_plugin_kubernetes.names import label_value
from flyte_plugin_kubernetes.testing.rest import Rest, RestRefusal

Json = dict[str, Any]

#: The labels of every node double: the machine and the process that play it.
HOST_LABEL = "flytepath.org/double-host"
PROCESS_LABEL = "flytepath.org/double-process"

_NODES = "/api/v1/nodes"


def our_labels() -> dict[str, str]:
    """The labels of the nodes that this process plays."""
    return {HOST_LABEL: label_value(socket.gethostname()), PROCESS_LABEL: str(os.getpid())}


def has_own_nodes(rest: Rest) -> bool:
    """Whether the cluster has nodes that are no doubles. Doubles whose process is gone are removed.

    Raises:
        RuntimeError: another process plays a node there: two of them would both run every Job.
    """
    nodes = rest.get(_NODES)["items"]
    if any(PROCESS_LABEL not in _labels(node) for node in nodes):
        return True
    for node in nodes:
        if _is_left_over(node):
            _remove(rest, node["metadata"]["name"])
        elif not _is_ours(node):
            host, process = _labels(node)[HOST_LABEL], _labels(node)[PROCESS_LABEL]
            raise RuntimeError(
                f"process {process} of {host} plays the node {node['metadata']['name']!r} of this API server: "
                "wait for its tests to end, or delete the node if they have ended"
            )
    return False


def _labels(node: Json) -> Json:
    found: Json = node["metadata"].get("labels") or {}
    return found


def _is_ours(node: Json) -> bool:
    return our_labels().items() <= _labels(node).items()


def _is_left_over(node: Json) -> bool:
    labels = _labels(node)
    if labels.get(HOST_LABEL) != our_labels()[HOST_LABEL]:
        return False
    try:
        os.kill(int(labels[PROCESS_LABEL]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _remove(rest: Rest, name: str) -> None:
    """The node, and the pods on it, which nobody else would end."""
    for pod in rest.get("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")["items"]:
        metadata = pod["metadata"]
        _delete(rest, f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", gracePeriodSeconds=0)
    _delete(rest, f"{_NODES}/{name}")


def _delete(rest: Rest, path: str, **options: int) -> None:
    try:
        rest.delete(path, **options)
    except RestRefusal as refusal:
        if refusal.code != 404:
            raise
