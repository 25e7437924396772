"""The subresources of pods that are actions: binding to a node, eviction, and logs through the node's kubelet."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from flyte_plugin_kubernetes.testing.deletion import now_text
from flyte_plugin_kubernetes.testing.kinds import NODE, POD
from flyte_plugin_kubernetes.testing.objects import Objects
from flyte_plugin_kubernetes.testing.refusals import Refusal, bad_request, conflict, not_found

Json = dict[str, Any]

_SUCCESS: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def with_condition(status: Json, condition: Json) -> Json:
    """A status with one condition set."""
    others = [one for one in status.get("conditions") or () if one["type"] != condition["type"]]
    return status | {"conditions": [*others, condition | {"lastTransitionTime": now_text()}]}


def bind(objects: Objects, namespace: str, name: str, body: Json) -> Json:
    """Gives a pod its node."""
    with objects.store.changed:
        pod = objects.get(POD, namespace, name)
        target = (body.get("target") or {}).get("name", "")
        if not target:
            raise bad_request("name is required")
        if pod["spec"].get("nodeName"):
            text = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict("pods/binding", "", name, text)
        if "deletionTimestamp" in pod["metadata"]:
            raise conflict("pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host")
        status = with_condition(pod.get("status") or {}, {"type": "PodScheduled", "status": "True"})
        changed = pod | {"spec": pod["spec"] | {"nodeName": target}, "status": status}
        objects.store.put(POD.resource, changed)
    return _SUCCESS


def evict(objects: Objects, namespace: str, name: str, body: Json) -> Json:
    """Evicts a pod through the API: the disruption is told in its conditions, then it is deleted."""
    with objects.store.changed:
        pod = objects.get(POD, namespace, name)
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        objects.store.put(POD.resource, pod | {"status": with_condition(pod.get("status") or {}, condition)})
        objects.delete(POD, namespace, name, body.get("deleteOptions") or {})
    return _SUCCESS


def logs(
    objects: Objects, namespace: str, name: str, query: Mapping[str, str], given: Mapping[tuple[str, str, str], str]
) -> Iterator[bytes]:
    """A container's log, from the kubelet of its node.

    Args:
        given: logs that a test has set, by namespace, pod and container; they win.
    """
    pod = objects.get(POD, namespace, name)
    spec = pod["spec"]
    names = [item["name"] for group in ("initContainers", "containers") for item in spec.get(group) or ()]
    apps = [item["name"] for item in spec["containers"]]
    container = query.get("container", "")
    if not container:
        if len(names) > 1:
            text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(apps)}]"
            inits = names[: len(names) - len(apps)]
            text += f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
            raise bad_request(text)
        container = names[0]
    if container not in names:
        raise bad_request(f"container {container} is not valid for pod {name}")
    if (namespace, name, container) in given:
        text = given[namespace, name, container]
        if query.get("tailLines"):
            lines = text.splitlines(keepends=True)
            text = "".join(lines[len(lines) - min(int(query["tailLines"]), len(lines)) :])
        return iter([text.encode()])
    node = spec.get("nodeName", "")
    if not node:
        # A pod without a node has no log yet; the real server answers so too.
        return iter([b""])
    return _from_kubelet(objects, node, f"/containerLogs/{namespace}/{name}/{container}", query)


def _from_kubelet(objects: Objects, node: str, path: str, query: Mapping[str, str]) -> Iterator[bytes]:
    found = objects.store.get(NODE.resource, "", node)
    if found is None:
        raise not_found("nodes", "", node)
    status: Json = found.get("status") or {}
    addresses = {one["type"]: one["address"] for one in status.get("addresses") or ()}
    host = addresses.get("InternalIP") or addresses.get("Hostname") or node
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port", 10250)
    known = ("follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes")
    asked = urllib.parse.urlencode({key: value for key, value in query.items() if key in known})
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.request("GET", f"{path}?{asked}")
        answer = connection.getresponse()
    except OSError as error:
        text = f'Get "https://{host}:{port}{path}": dial tcp {host}:{port}: connect: {error.strerror or error}'
        raise Refusal(500, "InternalError", text) from error
    if answer.status != 200:
        text = answer.read().decode(errors="replace").strip()
        connection.close()
        reasons = {400: "BadRequest", 404: "NotFound"}
        raise Refusal(answer.status, reasons.get(answer.status, "InternalError"), text)
    return _chunks(connection, answer)


def _chunks(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(65536):
            yield chunk
    finally:
        connection.close()
