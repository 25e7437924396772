"""From a task to a ``PyTorchJob``: a master and workers, or the nodes of an elastic gang. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from flyte_plugin_kubernetes import KubernetesSettings, role_template
from flytepath.plugin import PlanRequest, Resources

from flyte_plugin_pytorch.task import REPLICA_VARIABLE

Json = Any

#: The operator looks for a container of this name in every replica.
CONTAINER: Final = "pytorch"
#: Pods stay until core has read what it wants of them; it deletes the job itself.
_CLEAN_POD_POLICY: Final = "None"


def pytorch_job(request: PlanRequest, settings: KubernetesSettings) -> dict[str, Json]:
    """The ``PyTorchJob`` of a task, whatever its type.

    A task of another type, or a gang on one node, becomes a job with one replica, whose worker does the rest.
    """
    payload = request.payload if isinstance(request.payload, Mapping) else {}
    if request.task_type == "pytorch":
        return _with_roles(request, settings, payload)
    if request.task_type == "pytorch_elastic" and list(payload["nodes"]) != [1, 1]:
        return _elastic(request, settings, payload)
    is_gang = request.task_type == "pytorch_elastic"
    shared = _shared_memory(request, payload) if is_gang else request
    replica = _replica(shared, settings, {"replicas": 1}, is_replica=False)
    return _job({"Master": replica}, payload.get("run_policy") if is_gang else None)


def _with_roles(request: PlanRequest, settings: KubernetesSettings, payload: Mapping[str, Json]) -> dict[str, Json]:
    request = _shared_memory(request, payload)
    replicas = {
        "Master": _replica(request, settings, payload["master"]),
        "Worker": _replica(request, settings, payload["worker"]),
    }
    return _job(replicas, payload["run_policy"])


def _elastic(request: PlanRequest, settings: KubernetesSettings, payload: Mapping[str, Json]) -> dict[str, Json]:
    least, most = payload["nodes"]
    replica = _replica(_shared_memory(request, payload), settings, {"replicas": most})
    made = _job({"Worker": replica}, payload["run_policy"])
    made["spec"]["nprocPerNode"] = str(payload["nproc_per_node"])
    made["spec"]["elasticPolicy"] = {
        "minReplicas": least,
        "maxReplicas": most,
        "maxRestarts": payload["max_restarts"],
        "rdzvBackend": "c10d",
        "rdzvConf": [{"key": name, "value": _text(value)} for name, value in sorted(payload["rdzv_configs"].items())],
    }
    return made


def _job(replicas: Mapping[str, Json], run_policy: Mapping[str, Json] | None) -> dict[str, Json]:
    policy = {"cleanPodPolicy": _CLEAN_POD_POLICY, **(run_policy or {})}
    return {"spec": {"runPolicy": policy, "pytorchReplicaSpecs": dict(replicas)}}


def _replica(
    request: PlanRequest, settings: KubernetesSettings, said: Mapping[str, Json], *, is_replica: bool = True
) -> dict[str, Json]:
    marker = [{"name": REPLICA_VARIABLE, "value": "1"}] if is_replica else []
    template = {
        "pod_spec": {"containers": [{"name": CONTAINER, "env": marker}]},
        "primary_container_name": CONTAINER,
    }
    made = role_template(
        request,
        settings,
        template=template,
        primary=CONTAINER,
        image=said.get("image"),
        requests=_resources(said.get("requests")),
        limits=_resources(said.get("limits")),
    )
    # The operator says when a replica is started again, and warns of a pod that says it too.
    made["spec"].pop("restartPolicy", None)
    return {"replicas": said["replicas"], "restartPolicy": said.get("restartPolicy") or "Never", "template": made}


def _resources(said: Json) -> Resources | None:
    return None if said is None else Resources(**said)


def _shared_memory(request: PlanRequest, payload: Mapping[str, Json]) -> PlanRequest:
    """Loaders of data hand batches over in shared memory, of which a container has little by default."""
    if request.shared_memory or not payload.get("increase_shared_mem"):
        return request
    return replace(request, shared_memory=True)


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
