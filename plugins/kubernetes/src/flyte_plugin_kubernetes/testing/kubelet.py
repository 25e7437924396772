"""A node for tests: it registers itself, takes the pods bound to it, and runs their containers as local processes.

It speaks to the API server through REST alone, so it serves a real one without nodes as well as the double.
"""

from __future__ import annotations

import datetime as dt
import queue
import shutil
import tempfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyte_plugin_kubernetes.testing.container_setup import base_environment
from flyte_plugin_kubernetes.testing.images import Images
from flyte_plugin_kubernetes.testing.kubelet_logs import LogServer
from flyte_plugin_kubernetes.testing.our_nodes import our_labels
from flyte_plugin_kubernetes.testing.pod_status import ContainerRecord, moment
from flyte_plugin_kubernetes.testing.pod_worker import PodWorker
from flyte_plugin_kubernetes.testing.rest import Informer, Rest, RestRefusal

Json = dict[str, Any]


class Kubelet:
    """The double of a node and its kubelet.

    Args:
        rest: the API server.
        name: of the node.
        capacity: quantities of what pods may ask for.
        labels: of the node, besides those every node has.
        taints: of the node.
        environment: variables every container gets.
        backoff: seconds between tries: of pulling, of waiting for secrets, of restarting.
    """

    def __init__(
        self,
        rest: Rest,
        *,
        name: str = "node-1",
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: list[Json] | None = None,
        environment: Mapping[str, str] | None = None,
        backoff: float = 0.1,
    ) -> None:
        self.rest = rest
        self.name = name
        self.images = Images()
        self.environment: dict[str, str] = dict(environment or {})
        self._first_environment = dict(self.environment)
        self.backoff = backoff
        self.address = "127.0.0.1"
        self.root = Path(tempfile.mkdtemp(prefix="kubelet-"))
        #: What the node could not tell the server.
        self.errors: list[BaseException] = []
        self._capacity = {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "100Gi", "pods": "500"} | dict(
            capacity or {}
        )
        about = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        self._labels = about | our_labels() | dict(labels or {})
        self._taints = list(taints or [])
        self._workers: dict[str, PodWorker] = {}
        self._lock = threading.Lock()
        self._lost = False
        self._events: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self._pods = Informer(rest, "/api/v1/pods", self._see, fieldSelector=f"spec.nodeName={name}")
        self._logs = LogServer(self)
        self._teller = threading.Thread(target=self._tell, name=f"events of {name}", daemon=True)

    # -- Its own life

    def start(self) -> Kubelet:
        """Registers the node and begins to take pods."""
        self._logs.start()
        self.register()
        self._teller.start()
        self._pods.start()
        self._pods.ready.wait(10)
        return self

    def stop(self) -> None:
        """Ends every container and takes the node away."""
        self._pods.stop()
        self._lost = True
        workers = self.workers()
        for worker in workers:
            worker.vanish()
        for worker in workers:
            worker.join(5)
        self._events.put(None)
        if self._teller.is_alive():
            self._teller.join(5)
        try:
            self.rest.delete(f"/api/v1/nodes/{self.name}")
        except (OSError, RestRefusal) as error:
            self.note(error)
        self._logs.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def reset(self) -> None:
        """As just started: no pods, every image, no variables of its own, and a node that is ready."""
        self._lost = True
        for worker in self.workers():
            worker.vanish()
        with self._lock:
            self._workers.clear()
        self.images.clear()
        self.environment.clear()
        self.environment.update(self._first_environment)
        self.errors.clear()
        self.register()

    def register(self) -> None:
        """Makes the node known, or known again."""
        metadata = {"name": self.name, "labels": self._labels}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": self._taints}}
        try:
            self.rest.post("/api/v1/nodes", body)
        except RestRefusal as refusal:
            if refusal.reason != "AlreadyExists":
                raise
        # Also where it is new: a real server gives every new node the taint of one that is not ready.
        fresh = {"spec": {"taints": self._taints or None, "unschedulable": None}}
        self.rest.patch(f"/api/v1/nodes/{self.name}", fresh, "application/merge-patch+json")
        self._lost = False
        self.rest.patch(f"/api/v1/nodes/{self.name}/status", {"status": self._status("True", "KubeletReady")})

    def _status(self, ready: str, reason: str, message: str = "kubelet is posting ready status") -> Json:
        now = moment(dt.datetime.now(dt.UTC))
        condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
        condition |= {"lastHeartbeatTime": now, "lastTransitionTime": now}
        return {
            "capacity": self._capacity,
            "allocatable": self._capacity,
            "conditions": [condition],
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.address},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._logs.port}},
        }

    # -- Pods

    def workers(self) -> list[PodWorker]:
        """Of all pods it knows."""
        with self._lock:
            return list(self._workers.values())

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """Of one pod."""
        return next((one for one in self.workers() if (one.namespace, one.name) == (namespace, name)), None)

    def record(self, namespace: str, name: str, container: str) -> ContainerRecord | None:
        """What is known of one container."""
        worker = self.worker(namespace, name)
        return None if worker is None else worker.record(container)

    def base_environment(self) -> dict[str, str]:
        """What every container finds."""
        return base_environment(self.environment)

    def _see(self, sort: str, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        with self._lock:
            worker = self._workers.get(uid)
            if sort == "DELETED":
                self._workers.pop(uid, None)
            elif worker is None and not self._lost:
                if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                    return
                worker = self._workers[uid] = PodWorker(self, pod)
                worker.start()
                return
        if worker is None or self._lost:
            return
        if sort == "DELETED":
            worker.vanish()
        else:
            worker.update(pod)

    # -- What a test does to it

    def evict(self, namespace: str, name: str, message: str | None = None) -> None:
        """The node is short of memory and ends a pod: phase ``Failed``, reason ``Evicted``."""
        worker = self._need(namespace, name)
        words = message or "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. "
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": words,
            "lastTransitionTime": moment(dt.datetime.now(dt.UTC)),
        }
        self._disrupt(namespace, name, condition)
        self.event(worker.pod, "Warning", "Evicted", words)
        worker.evict(words)

    def preempt(self, namespace: str, name: str) -> None:
        """The scheduler takes a pod's place for one of a higher priority: a condition, and the pod is deleted."""
        worker = self._need(namespace, name)
        words = "default-scheduler: preempting to accommodate a higher priority pod"
        self._disrupt(namespace, name, _disruption("PreemptionByScheduler", words))
        self.event(worker.pod, "Normal", "Preempted", f"Preempted by pod {uuid.uuid4()} on node {self.name}")
        self.rest.delete(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def drain(self) -> None:
        """Cordons the node and evicts its pods through the API."""
        self.rest.patch(f"/api/v1/nodes/{self.name}", {"spec": {"unschedulable": True}})
        for worker in self.workers():
            if not worker.finished:
                path = f"/api/v1/namespaces/{worker.namespace}/pods/{worker.name}/eviction"
                body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": worker.name}}
                self.rest.post(path, body | {"metadata": {"name": worker.name, "namespace": worker.namespace}})

    def lose(self, *, forget: bool = False) -> None:
        """The machine is gone: processes end and nothing is told; the cluster notices.

        The node becomes ``Unknown`` and tainted, its pods are marked and deleted, and stay terminating, as nobody
        confirms.

        Args:
            forget: the node is taken out of the cluster too, so its pods end as ``Failed`` and are removed.
        """
        self._lost = True
        workers = [one for one in self.workers() if not one.finished]
        for worker in self.workers():
            worker.vanish()
        with self._lock:
            self._workers.clear()
        words = "Kubelet stopped posting node status."
        path = f"/api/v1/nodes/{self.name}"
        self.rest.patch(f"{path}/status", {"status": self._status("Unknown", "NodeStatusUnknown", words)})
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        self.rest.patch(path, {"spec": {"taints": [*self._taints, taint]}})
        for worker in workers:
            self._mark_lost(worker)
        if forget:
            self.rest.delete(path)
            for worker in workers:
                self._collect(worker)

    def _mark_lost(self, worker: PodWorker) -> None:
        words = "Taint manager: deleting due to NoExecute taint"
        self._disrupt(worker.namespace, worker.name, _disruption("DeletionByTaintManager", words))
        self.rest.delete(f"/api/v1/namespaces/{worker.namespace}/pods/{worker.name}")

    def _collect(self, worker: PodWorker) -> None:
        path = f"/api/v1/namespaces/{worker.namespace}/pods/{worker.name}"
        condition = _disruption("DeletionByPodGC", "PodGC: node no longer exists")
        try:
            self.rest.patch(f"{path}/status", {"status": {"phase": "Failed", "conditions": [condition]}})
            self.rest.delete(path, gracePeriodSeconds=0, preconditions={"uid": worker.uid})
        except RestRefusal as refusal:
            if refusal.code != 404:
                raise

    def _disrupt(self, namespace: str, name: str, condition: Json) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self.rest.patch(path, {"status": {"conditions": [condition]}})

    def _need(self, namespace: str, name: str) -> PodWorker:
        worker = self.worker(namespace, name)
        if worker is None:
            raise LookupError(f"no pod {namespace}/{name} runs on {self.name}")
        return worker

    # -- What it tells

    def note(self, error: BaseException) -> None:
        """Keeps what could not be told, for the test to see."""
        if not self._lost:
            self.errors.append(error)

    def event(self, pod: Json, sort: str, reason: str, message: str) -> None:
        """Tells an event of a pod, in the background."""
        self._events.put(event_of(pod, sort, reason, message, "kubelet", self.name))

    def _tell(self) -> None:
        while True:
            event = self._events.get()
            if event is None:
                return
            try:
                self.rest.post(f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)
            except (OSError, RestRefusal):
                # Events are told as well as can be: their namespace may be gone.
                continue


def _disruption(reason: str, message: str) -> Json:
    now = moment(dt.datetime.now(dt.UTC))
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return condition | {"lastTransitionTime": now}


def event_of(about: Json, sort: str, reason: str, message: str, component: str, host: str = "") -> Json:
    """An event of core/v1."""
    metadata = about["metadata"]
    now = moment(dt.datetime.now(dt.UTC))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata.get("namespace", "default"),
        },
        "involvedObject": {
            "apiVersion": about.get("apiVersion", "v1"),
            "kind": about.get("kind", "Pod"),
            "name": metadata["name"],
            "namespace": metadata.get("namespace", "default"),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": sort,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": component} | ({"host": host} if host else {}),
        "reportingComponent": component,
        "reportingInstance": host,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
