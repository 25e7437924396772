"""The double of Kubeflow's training operator: makes the pods of a ``PyTorchJob``, and writes its conditions.

It speaks to the API server through REST, so it serves a real one without the operator as well as the double. What the
pods are told of each other is what the operator tells them; only the addresses are those of this machine.
"""

from __future__ import annotations

import copy
import datetime as dt
import socket
import threading
from contextlib import suppress
from typing import Any

from flyte_plugin_kubernetes.testing import Informer, Rest, RestRefusal

Json = dict[str, Any]

JOB_LABEL = "training.kubeflow.org/job-name"
_JOBS = "/apis/kubeflow.org/v1"
_MERGE = "application/merge-patch+json"


class Operator:
    """Follows jobs and their pods.

    Args:
        rest: the API server.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._jobs = Informer(rest, f"{_JOBS}/pytorchjobs", self._see)
        self._pods = Informer(rest, "/api/v1/pods", self._see, labelSelector=JOB_LABEL)
        self._ports: dict[str, int] = {}
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="training operator", daemon=True)

    def start(self) -> Operator:
        """Begins."""
        for informer in (self._jobs, self._pods):
            informer.start()
            assert informer.ready.wait(10)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends."""
        self._stopped.set()
        self._jobs.stop()
        self._pods.stop()
        self._wake.set()
        self._thread.join(5)

    def _see(self, _sort: str, _item: Json) -> None:
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(0.5)
            self._wake.clear()
            for job in self._jobs.all():
                try:
                    self._sync(job)
                except RestRefusal as refusal:
                    if refusal.code not in (404, 409):
                        self.errors.append(refusal)
                except OSError:
                    self._stopped.wait(0.1)
                except Exception as error:  # noqa: BLE001 - one job must not stop the others
                    self.errors.append(error)

    # --- one job ---

    def _sync(self, job: Json) -> None:
        metadata, spec = job["metadata"], job["spec"]
        if "deletionTimestamp" in metadata:
            return
        conditions = {one["type"]: one["status"] for one in (job.get("status") or {}).get("conditions") or ()}
        if "True" in (conditions.get("Succeeded"), conditions.get("Failed")):
            return
        if (spec.get("runPolicy") or {}).get("suspend"):
            self._tell(job, "Suspended")
            return
        if not conditions:
            self._tell(job, "Created")
            for role, replica in spec["pytorchReplicaSpecs"].items():
                for index in range(replica["replicas"]):
                    self._make(job, role, index)
            return
        pods = [pod for pod in self._pods.all() if _owner(pod) == metadata["uid"]]
        phases = {pod["metadata"]["name"]: (pod.get("status") or {}).get("phase") for pod in pods}
        name = metadata["name"]
        decides = f"{name}-master-0" if "Master" in spec["pytorchReplicaSpecs"] else f"{name}-worker-0"
        if phases.get(decides) == "Succeeded":
            self._tell(job, "Succeeded", message=f"PyTorchJob {name} is successfully completed.")
            self._clean(job, pods)
        elif "Failed" in phases.values():
            failed = sum(phase == "Failed" for phase in phases.values())
            self._tell(job, "Failed", message=f"PyTorchJob {name} is failed because {failed} replica(s) failed.")
            self._clean(job, pods)
        elif phases.get(decides) == "Running" and conditions.get("Running") != "True":
            self._tell(job, "Running", message=f"PyTorchJob {name} is running.")

    def _clean(self, job: Json, pods: list[Json]) -> None:
        policy = (job["spec"].get("runPolicy") or {}).get("cleanPodPolicy") or "None"
        for pod in pods:
            phase = (pod.get("status") or {}).get("phase")
            if policy == "All" or (policy == "Running" and phase in ("Pending", "Running")):
                with suppress(RestRefusal):
                    self._rest.delete(f"/api/v1/namespaces/{job['metadata']['namespace']}/pods/{_name(pod)}")

    def _tell(self, job: Json, condition: str, message: str = "") -> None:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = copy.deepcopy(job.get("status") or {})
        known = [one for one in status.get("conditions") or () if one["type"] != condition]
        for one in known:
            if one["type"] == "Running" and condition in ("Succeeded", "Failed"):
                one["status"] = "False"
        known.append(
            {
                "type": condition,
                "status": "True",
                "reason": f"PyTorchJob{condition}",
                "message": message or f"PyTorchJob {job['metadata']['name']} is {condition.lower()}.",
                "lastUpdateTime": now,
                "lastTransitionTime": now,
            }
        )
        status["conditions"] = known
        if condition == "Succeeded":
            status["completionTime"] = now
        place = f"{_JOBS}/namespaces/{job['metadata']['namespace']}/pytorchjobs/{job['metadata']['name']}/status"
        self._rest.patch(place, {"status": status}, _MERGE)

    def _make(self, job: Json, role: str, index: int) -> None:
        metadata, replica = job["metadata"], job["spec"]["pytorchReplicaSpecs"][role]
        pod = copy.deepcopy(replica["template"])
        pod["metadata"] = {
            **(pod.get("metadata") or {}),
            "name": f"{metadata['name']}-{role.lower()}-{index}",
            "ownerReferences": [
                {
                    "apiVersion": "kubeflow.org/v1",
                    "kind": "PyTorchJob",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        labels = {
            JOB_LABEL: metadata["name"],
            "training.kubeflow.org/replica-type": role.lower(),
            "training.kubeflow.org/replica-index": str(index),
        }
        pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **labels}
        pod["spec"]["restartPolicy"] = replica.get("restartPolicy") or "OnFailure"
        assert any(one["name"] == "pytorch" for one in pod["spec"]["containers"]), "the operator wants it"
        for container in pod["spec"]["containers"]:
            told = [{"name": key, "value": value} for key, value in self._told(job, role, index).items()]
            container["env"] = [*(container.get("env") or ()), *told]
        with suppress(RestRefusal):
            self._rest.post(f"/api/v1/namespaces/{metadata['namespace']}/pods", pod)

    def _told(self, job: Json, role: str, index: int) -> dict[str, str]:
        """The variables of one replica."""
        spec, port = job["spec"], self._port(job["metadata"]["uid"])
        replicas = spec["pytorchReplicaSpecs"]
        told = {"PYTHONUNBUFFERED": "1", "GLOO_SOCKET_IFNAME": "lo"}
        per_node = spec.get("nprocPerNode") or "1"
        if "Master" in replicas:
            rank = index if role == "Master" else index + 1
            told |= {
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(sum(one["replicas"] for one in replicas.values())),
                "RANK": str(rank),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
                "PET_NODE_RANK": str(rank),
                "PET_NPROC_PER_NODE": per_node,
            }
        policy = spec.get("elasticPolicy")
        if policy:
            told |= {
                "PET_RDZV_BACKEND": policy["rdzvBackend"],
                "PET_RDZV_ENDPOINT": f"127.0.0.1:{port}",
                "PET_NNODES": f"{policy['minReplicas']}:{policy['maxReplicas']}",
                "PET_MAX_RESTARTS": str(policy["maxRestarts"]),
                "PET_NPROC_PER_NODE": per_node,
                "PET_RDZV_CONF": ",".join(f"{one['key']}={one['value']}" for one in policy["rdzvConf"]),
                "PET_LOCAL_ADDR": "127.0.0.1",
            }
        return told

    def _port(self, uid: str) -> int:
        if uid not in self._ports:
            with socket.create_server(("127.0.0.1", 0)) as found:
                self._ports[uid] = found.getsockname()[1]
        return self._ports[uid]


def _owner(pod: Json) -> str:
    return next((one["uid"] for one in pod["metadata"].get("ownerReferences") or ()), "")


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])
