"""Which nodes and namespaces of an API server are of tests, whose they are, and what a run that was killed has left."""

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

#: Where the definitions of resources are.
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_NODES = "/api/v1/nodes"
#: What lies in a namespace, runs nothing, and would stay for ever where no controller empties it.
_LYING = ("events", "secrets", "configmaps", "serviceaccounts")
_NAMESPACES = "/api/v1/namespaces"


def our_labels() -> dict[str, str]:
    """The labels of the nodes that this process plays, and of the namespaces of its tests."""
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


def remove_what_was_left(rest: Rest) -> None:
    """Removes the namespaces of tests that were killed: their Jobs would be run again, beside those of this run."""
    for namespace in rest.get(_NAMESPACES, labelSelector=f"{HOST_LABEL},{PROCESS_LABEL}")["items"]:
        if _is_left_over(namespace):
            remove_namespace(rest, namespace["metadata"]["name"], has_nodes=False)


def remove_namespace(rest: Rest, namespace: str, *, has_nodes: bool) -> None:
    """Removes a namespace and all in it that runs; where no controller of the cluster's own empties it, this does."""
    for collection in _collections(rest, namespace):
        try:
            found = rest.get(collection)["items"]
        except RestRefusal as refusal:
            if refusal.code != 404:
                raise
            continue
        for item in found:
            path = f"{collection}/{item['metadata']['name']}"
            try:
                if item["metadata"].get("finalizers"):
                    rest.patch(path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
                rest.delete(path, gracePeriodSeconds=0, propagationPolicy="Background")
            except RestRefusal as refusal:
                if refusal.code not in (404, 409):
                    raise
    try:
        rest.delete(f"{_NAMESPACES}/{namespace}")
        if not has_nodes:
            for plural in _LYING:
                rest.delete(f"{_NAMESPACES}/{namespace}/{plural}")
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            rest.put(f"{_NAMESPACES}/{namespace}/finalize", body | {"spec": {"finalizers": []}})
    except RestRefusal as refusal:
        if refusal.code not in (404, 409):
            raise


def _collections(rest: Rest, namespace: str) -> list[str]:
    """What runs in a namespace: custom resources, then Jobs, then pods, so that none makes another anew."""
    found = [f"/apis/batch/v1/namespaces/{namespace}/jobs", f"/api/v1/namespaces/{namespace}/pods"]
    for definition in rest.get(DEFINITIONS)["items"]:
        spec = definition["spec"]
        if spec["scope"] == "Namespaced":
            version = next(one["name"] for one in spec["versions"] if one["served"])
            found.insert(0, f"/apis/{spec['group']}/{version}/namespaces/{namespace}/{spec['names']['plural']}")
    return found


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
