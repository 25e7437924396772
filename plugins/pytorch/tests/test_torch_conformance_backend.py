"""The backend ``kubeflow`` keeps to the contract, on the doubles of a cluster and of the training operator."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_kubernetes import KubernetesSettings
from flyte_plugin_kubernetes.stamps import KEY, key_label
from flyte_plugin_kubernetes.testing import Cluster, ClusterHome, Informer, definitions_folder
from flyte_plugin_pytorch.kubeflow.backend import KubeflowBackend
from flytepath.plugin import Handle, JobKey, PlanRequest, WorkerLaunch
from flytepath.testing import BackendConformance
from flytepath.testing.backend_conformance import BackendVendor, Course
from torch_operator import JOB_LABEL, Operator

Json = dict[str, Any]

#: Runs until its file is there; told to go, it takes its time where another file is there.
RUNS = (
    "trap '[ -e {linger} ] && sleep 0.3; exit 143' TERM; i=0; "
    "while [ $i -lt 1200 ]; do [ -e {finish} ] && exit 0; i=$((i+1)); sleep 0.05; done"
)
SCRIPTS = {
    Course.RUNS.value: RUNS,
    Course.ENDS.value: "echo begun; echo done",
    Course.FAILS.value: "echo no such table >&2; exit 3",
}


class Vendor(BackendVendor):
    """A cluster with the operator, as the kit plays with it."""

    task_type = "python"

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self._made: dict[str, set[str]] = {}
        self._jobs = f"/apis/kubeflow.org/v1/namespaces/{cluster.namespace}/pytorchjobs"
        cluster.install_definitions("kubeflow.org", beside=Path(__file__).parent)
        self._operator = Operator(cluster.rest).start()
        self._informer = Informer(cluster.rest, self._jobs, self._note)
        self._informer.start()
        self._refusals = 0
        self._double = cluster.double()
        self.token = self._double.add_user("backend")
        self._double.admit(self._admitted)

    # --- what every vendor says ---

    def backend(self) -> KubeflowBackend:
        config = self._double.kubeconfig(self.folder / "kubeconfig", token=self.token)
        return KubeflowBackend(
            KubernetesSettings(kubeconfig=str(config), namespace=self.cluster.namespace, page_size=5)
        )

    def payload(self, course: Course) -> Json:
        return {"script": SCRIPTS[course.value]}

    def complete(self, request: PlanRequest) -> PlanRequest:
        flag = _flag(request.key)
        script = request.payload["script"].replace("{finish}", flag).replace("{linger}", f"{flag}.linger")
        launch = WorkerLaunch(("sh", "-c", script, "sh"), {}, "busybox:1.36", None, "", "")
        return replace(request, worker=launch)

    def count(self, key: JobKey) -> int:
        self.cluster.wait(self._is_up_to_date, "the informer")
        return len(self._made.get(key_label(key), ()))

    def live(self, key: JobKey) -> int:
        chosen = f"{KEY}={key_label(key)}"
        jobs = self.cluster.rest.get(self._jobs, labelSelector=chosen)["items"]
        pods = [pod for pod in self.cluster.pods(chosen) if pod["status"].get("phase") not in ("Succeeded", "Failed")]
        return max(sum(not _ended(job) for job in jobs), int(bool(pods)))

    # --- what may happen to a job ---

    def finish(self, handle: Handle) -> None:
        key = self.cluster.rest.get(self._path(handle))["metadata"]["annotations"][KEY]
        Path(_flag(JobKey(key))).touch()

    def vanish(self, handle: Handle) -> None:
        self.cluster.rest.delete(self._path(handle), gracePeriodSeconds=0, propagationPolicy="Background")
        chosen = f"{JOB_LABEL}={handle.data['name']}"
        self.cluster.wait(lambda: not self.cluster.pods(chosen), "its pods to be gone")

    def preempt(self, handle: Handle) -> None:
        name = self._running(handle)
        self.cluster.node().evict(self.cluster.namespace, name)

    def unknown_state(self, handle: Handle) -> str:
        self._running(handle)
        job = self.cluster.rest.get(self._path(handle))
        conditions = [*job["status"]["conditions"], {"type": "Dreaming", "status": "True", "lastTransitionTime": "9"}]
        self.cluster.rest.patch(
            f"{self._path(handle)}/status", {"status": {"conditions": conditions}}, "application/merge-patch+json"
        )
        return "Dreaming"

    def logged(self, handle: Handle) -> str:
        return f"=== {handle.data['name']}-master-0 pytorch ===\nbegun\ndone\n"

    # --- what may happen to a call ---

    def cut_off_after_accept(self) -> None:
        self._double.cut_after(verb="create", resource="pytorchjobs")

    def refuse_submit(self) -> None:
        self._refusals = 1

    def fail_polls(self, times: int) -> None:
        self._double.access.faults.clear()
        if times:
            self._double.unavailable(times=times, verb="list", resource="pytorchjobs")

    def reject_credentials(self, rejected: bool) -> None:
        if rejected:
            self._double.access.revoke(self.token)
        else:
            self._double.add_user("backend")

    def linger(self, seconds: float) -> None:
        for pod in self.cluster.pods():
            key = (pod["metadata"].get("annotations") or {}).get(KEY)
            if key:
                Path(f"{_flag(JobKey(key))}.linger").touch()

    # --- what others do ---

    def make_foreign(self, name: str) -> str:
        container = {"name": "pytorch", "image": "busybox:1.36", "command": ["sh", "-c", "sleep 60"]}
        replica = {"replicas": 1, "restartPolicy": "Never", "template": {"spec": {"containers": [container]}}}
        body = {
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "metadata": {"name": name},
            "spec": {"pytorchReplicaSpecs": {"Master": replica}},
        }
        made = self.cluster.rest.post(self._jobs, body)
        return f"{name} {made['metadata']['uid']}"

    def is_untouched(self, foreign: str) -> bool:
        name, _, uid = foreign.partition(" ")
        job = self.cluster.find(f"{self._jobs}/{name}")
        return job is not None and job["metadata"]["uid"] == uid and "deletionTimestamp" not in job["metadata"]

    # --- how it is done ---

    def close(self) -> None:
        """Stop watching."""
        self._informer.stop()
        self._operator.stop()

    def _note(self, event: str, thing: Json) -> None:
        metadata = thing["metadata"]
        self._made.setdefault((metadata.get("labels") or {}).get(KEY, ""), set()).add(metadata["uid"])

    def _is_up_to_date(self) -> bool:
        there = self.cluster.rest.get(self._jobs)["items"]
        return {job["metadata"]["uid"] for job in there} == {job["metadata"]["uid"] for job in self._informer.all()}

    def _admitted(self, verb: str, thing: Json) -> str | None:
        if verb == "CREATE" and thing.get("kind") == "PyTorchJob" and self._refusals:
            self._refusals -= 1
            return "no such jobs here"
        return None

    def _path(self, handle: Handle) -> str:
        return f"{self._jobs}/{handle.data['name']}"

    def _running(self, handle: Handle) -> str:
        """The name of the job's pod, as soon as it runs."""

        def look() -> str | None:
            for pod in self.cluster.pods(f"{JOB_LABEL}={handle.data['name']}"):
                if pod["status"].get("phase") == "Running":
                    return str(pod["metadata"]["name"])
            return None

        return self.cluster.wait(look, "the pod to run")


def _ended(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] in ("Succeeded", "Failed") and one["status"] == "True" for one in conditions)


def _flag(key: JobKey) -> str:
    """A file of a job's own, the same in every process."""
    name = hashlib.sha256(f"{os.getuid()} torch {key.value}".encode()).hexdigest()[:20]
    return f"{tempfile.gettempdir()}/flytepath-conformance-{name}"


@functools.cache
def _home() -> ClusterHome:
    """The doubles are shared by all checks: each has a namespace of its own."""
    home = ClusterHome()
    atexit.register(home.close)
    return home


@pytest.mark.skipif(
    definitions_folder(Path(__file__).parent) is None, reason="FLYTEPATH_TEST_CRDS names no folder of definitions"
)
class TestKubeflow(BackendConformance):
    backend = "kubeflow"
    name_pattern = r"[a-z]([-a-z0-9]*[a-z0-9])?"
    patience_seconds = 60.0
    scattered_errors = 200

    @contextmanager
    def vendor(self) -> Iterator[Vendor]:
        cluster = Cluster(_home())
        try:
            with tempfile.TemporaryDirectory() as folder, closing(Vendor(cluster, Path(folder))) as vendor:
                yield vendor
        finally:
            cluster.clean()

    def planner(self) -> KubeflowBackend:
        return KubeflowBackend(KubernetesSettings(namespace="conformance"))
