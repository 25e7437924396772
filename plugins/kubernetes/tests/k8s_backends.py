"""A custom resource and a backend for it, and backends for a cluster, for the tests of what all backends have."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from flyte_plugin_kubernetes.backend import KubernetesBackend
from flyte_plugin_kubernetes.conditions import ConditionTable, Row
from flyte_plugin_kubernetes.custom_resource import CustomResourceBackend
from flyte_plugin_kubernetes.resource_kind import ResourceKind
from flyte_plugin_kubernetes.settings import KubernetesSettings
from flyte_plugin_kubernetes.testing import ApiServer
from flytepath.plugin import JobKey, Owner, Phase, PlanRequest, Resources, Tenant, WorkerLaunch

_numbers = itertools.count()
WORKER = WorkerLaunch(("python", "-c", "print('hello')"), {}, "an/image:1", None, "", "")

NAPS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "naps.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Nap", "plural": "naps", "singular": "nap", "listKind": "NapList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "minutes": {"type": "integer"},
                                    "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


class NapBackend(CustomResourceBackend):
    """Naps: each is one object and, where somebody runs it, some pods."""

    kinds: ClassVar[tuple[ResourceKind, ...]] = (
        ResourceKind("example.org/v1", "Nap", "naps", operator="the nap operator"),
    )
    conditions: ClassVar[ConditionTable] = ConditionTable(
        Row(condition="Done", phase=Phase.SUCCEEDED),
        Row(condition="Broken", phase=Phase.FAILED),
        Row(condition="Started", phase=Phase.RUNNING),
        Row(condition="Made", phase=Phase.QUEUED),
    )

    def manifest(self, request: PlanRequest) -> dict[str, Any]:
        pod = {"spec": {"containers": [{"name": "nap", "image": "bed"}]}}
        return {"spec": {"minutes": request.payload.get("minutes", 1), "template": pod}}


def key() -> JobKey:
    """A key of its own."""
    return JobKey(f"sha256:{next(_numbers):064x}")


def request(**changes: Any) -> PlanRequest:
    """What core asks for one job."""
    items = changes.get("items", ())
    facts: dict[str, Any] = {
        "key": key(),
        "owner": Owner("installation-1", Tenant("vision", "production"), "e1", "n0"),
        "task": "flow.train",
        "task_type": "python",
        "payload": {},
        "inputs": {},
        "requests": Resources(),
        "limits": Resources(),
        "worker": WORKER,
        "body": "function",
        "item_inputs": tuple({} for _ in items),
    }
    return PlanRequest(**{**facts, **changes})


def settings(server: ApiServer, folder: Path, **more: Any) -> KubernetesSettings:
    """Settings for a server; its namespace is made where it is not there."""
    more = {"namespace": "jobs", **more}
    if "{" not in more["namespace"] and not any(
        one.metadata.name == more["namespace"] for one in server.core().list_namespace().items
    ):
        server.create_namespace(more["namespace"])
    token = more.pop("token", None)
    return KubernetesSettings(kubeconfig=str(server.kubeconfig(folder / "kubeconfig", token=token)), **more)


def pods(server: ApiServer, folder: Path, **more: Any) -> KubernetesBackend:
    """The backend of pods for a server."""
    return KubernetesBackend(settings(server, folder, **more))


def naps(server: ApiServer, folder: Path, **more: Any) -> NapBackend:
    """The backend of naps for a server that has their definition."""
    server.install(NAPS)
    return NapBackend(settings(server, folder, **more))


def set_status(server: ApiServer, thing: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    """Write a status as a controller would."""
    metadata = thing["metadata"]
    if thing["kind"] == "Pod":
        server.core().patch_namespaced_pod_status(metadata["name"], metadata["namespace"], {"status": status})
    elif thing["kind"] == "Job":
        server.batch().patch_namespaced_job_status(metadata["name"], metadata["namespace"], {"status": status})
    else:
        place = ("example.org", "v1", metadata["namespace"], "naps", metadata["name"])
        server.custom().patch_namespaced_custom_object_status(*place, {"status": status})


def conditions(*types: str) -> dict[str, Any]:
    """A status in which some conditions hold."""
    return {
        "conditions": [{"type": kind, "status": "True", "reason": kind, "message": f"it is {kind}"} for kind in types]
    }
