"""The backend ``kubernetes`` keeps to the contract, on the doubles and on a real API server where one is named."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flyte_plugin_kubernetes.backend import KubernetesBackend
from flyte_plugin_kubernetes.settings import KubernetesSettings
from flyte_plugin_kubernetes.stamps import KEY, key_label
from flyte_plugin_kubernetes.testing import ApiServer, Cluster
from flyte_plugin_kubernetes.testing.cluster import ClusterHome
from flyte_plugin_kubernetes.testing.rest import Informer
from flytepath.plugin import Handle, JobKey, PlanRequest, WorkerLaunch
from flytepath.testing import BackendConformance
from flytepath.testing.backend_conformance import BackendVendor, CannotDo, Course

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
#: Since then `backoffLimitPerIndex` is there unless somebody has switched it off.
INDEXED_JOBS = (1, 29)
LOGGED = "begun\ndone\n"


class Vendor(BackendVendor):
    """A cluster, as the kit plays with it."""

    task_type = "python"

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self._made: dict[str, set[str]] = {}
        root = f"namespaces/{cluster.namespace}"
        paths = (f"/api/v1/{root}/pods", f"/apis/batch/v1/{root}/jobs")
        self._informers = [Informer(cluster.rest, path, self._note) for path in paths]
        for informer in self._informers:
            informer.start()
        self._refusals = 0
        self.token = ""
        if not cluster.real:
            double = cluster.double()
            self.token = double.add_user("backend")
            double.admit(self._admitted)

    # --- what every vendor says ---

    def backend(self) -> KubernetesBackend:
        config = self.cluster.kubeconfig
        if self.token:
            config = self.cluster.double().kubeconfig(self.folder / "kubeconfig", token=self.token)
        return KubernetesBackend(
            KubernetesSettings(kubeconfig=str(config), namespace=self.cluster.namespace, page_size=5)
        )

    def payload(self, course: Course) -> Json:
        return {"script": SCRIPTS[course.value]}

    def complete(self, request: PlanRequest) -> PlanRequest:
        flag = _flag(request.key)
        script = request.payload["script"].replace("{finish}", flag).replace("{linger}", f"{flag}.linger")
        launch = WorkerLaunch(("sh", "-c", script, "sh"), {}, "busybox:1.36", None, "", "")
        return replace(request, worker=launch)

    def array_payload(self, items: tuple[int, ...], failing: tuple[int, ...]) -> Json:
        if self.cluster.version < INDEXED_JOBS:
            raise CannotDo(f"Jobs of items need Kubernetes 1.29, and this server is {self.cluster.version}")
        positions = " ".join(str(items.index(item)) for item in failing)
        return {"script": f'case " {positions} " in *" $2 "*) echo no such item >&2; exit 3;; esac'}

    def count(self, key: JobKey) -> int:
        self.cluster.wait(self._is_up_to_date, "the informers")
        return len(self._made.get(key_label(key), ()))

    def live(self, key: JobKey) -> int:
        pods, jobs = self._look(key)
        living = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
        alone = [pod for pod in living if not pod["metadata"].get("ownerReferences")]
        open_jobs = [job for job in jobs if not _ended(job)]
        return len(alone) + max(len(open_jobs), int(len(living) > len(alone)))

    # --- what may happen to a job ---

    def finish(self, handle: Handle) -> None:
        self._processes()
        key = self._object(handle)["metadata"]["annotations"][KEY]
        Path(_flag(JobKey(key))).touch()

    def vanish(self, handle: Handle) -> None:
        self.cluster.rest.delete(self._path(handle), gracePeriodSeconds=0, propagationPolicy="Background")

    def preempt(self, handle: Handle) -> None:
        self._running(handle)
        self.cluster.node().evict(self.cluster.namespace, handle.data["name"])

    def unknown_state(self, handle: Handle) -> str:
        self._running(handle)
        self.cluster.rest.patch(f"{self._path(handle)}/status", {"status": {"phase": "Dreaming"}})
        return "Dreaming"

    def logged(self, handle: Handle) -> str:
        return LOGGED

    # --- what may happen to a call ---

    def cut_off_after_accept(self) -> None:
        self._double().cut_after(verb="create", resource="pods")

    def refuse_submit(self) -> None:
        self._double()
        self._refusals = 1

    def fail_polls(self, times: int) -> None:
        double = self._double()
        double.access.faults.clear()
        if times:
            double.unavailable(times=times, verb="list", resource="pods")

    def throttle(self, seconds: float) -> None:
        double, namespace = self._double(), self.cluster.namespace
        # From here on nobody else asks for pods: what watches them has begun to.
        self.cluster.wait(
            lambda: [ask for ask in double.asked("watch", "pods") if ask.namespace == namespace], "a watch"
        )
        double.throttle(retry_after=int(seconds), resource="pods")

    def reject_credentials(self, rejected: bool) -> None:
        double = self._double()
        if rejected:
            double.access.revoke(self.token)
        else:
            double.add_user("backend")

    def linger(self, seconds: float) -> None:
        self._processes()
        for pod in self.cluster.pods():
            key = (pod["metadata"].get("annotations") or {}).get(KEY)
            if key:
                self.cluster.wait(lambda pod=pod: self._is_running(pod["metadata"]["name"]), "the pod to run")
                Path(f"{_flag(JobKey(key))}.linger").touch()

    # --- what others do ---

    def make_foreign(self, name: str) -> str:
        container = {"name": "other", "image": "busybox:1.36", "command": ["sh", "-c", "sleep 60"]}
        body = {"metadata": {"name": name}, "spec": {"containers": [container], "restartPolicy": "Never"}}
        made = self.cluster.rest.post(f"/api/v1/namespaces/{self.cluster.namespace}/pods", body)
        return f"{name} {made['metadata']['uid']}"

    def is_untouched(self, foreign: str) -> bool:
        name, _, uid = foreign.partition(" ")
        pod = self.cluster.pod(name)
        return pod is not None and pod["metadata"]["uid"] == uid and not pod["metadata"].get("deletionTimestamp")

    # --- how it is done ---

    def close(self) -> None:
        """Stop watching."""
        for informer in self._informers:
            informer.stop()

    def _note(self, event: str, thing: Json) -> None:
        metadata = thing["metadata"]
        if not metadata.get("ownerReferences"):
            self._made.setdefault((metadata.get("labels") or {}).get(KEY, ""), set()).add(metadata["uid"])

    def _is_up_to_date(self) -> bool:
        """Whether the informers know of all that is there."""
        for informer in self._informers:
            there = self.cluster.rest.get(informer._path)["items"]
            if {thing["metadata"]["uid"] for thing in there} != {thing["metadata"]["uid"] for thing in informer.all()}:
                return False
        return True

    def _admitted(self, verb: str, thing: Json) -> str | None:
        labels = thing["metadata"].get("labels") or {}
        if verb != "CREATE" or thing.get("kind") not in ("Pod", "Job") or KEY not in labels:
            return None
        if thing["metadata"].get("ownerReferences"):
            return None
        if self._refusals:
            self._refusals -= 1
            return "no such jobs here"
        return None

    def _look(self, key: JobKey) -> tuple[list[Json], list[Json]]:
        """The pods and Jobs of a key."""
        chosen = f"{KEY}={key_label(key)}"
        found = [self.cluster.rest.get(informer._path, labelSelector=chosen)["items"] for informer in self._informers]
        return found[0], found[1]

    def _object(self, handle: Handle) -> Json:
        return self.cluster.rest.get(self._path(handle))

    def _path(self, handle: Handle) -> str:
        root = "/api/v1" if handle.data["resource"] == "pods" else "/apis/batch/v1"
        plural = handle.data["resource"].rpartition("/")[2]
        return f"{root}/namespaces/{handle.data['namespace']}/{plural}/{handle.data['name']}"

    def _running(self, handle: Handle) -> None:
        self.cluster.wait(lambda: self._is_running(handle.data["name"]), "the pod to run")

    def _is_running(self, name: str) -> bool:
        pod = self.cluster.pod(name)
        return pod is None or pod["status"]["phase"] != "Pending"

    def _double(self) -> ApiServer:
        if self.cluster.real:
            raise CannotDo("only the API server double has this lever")
        return self.cluster.double()

    def _processes(self) -> None:
        if self.cluster.needs_worker_image:
            raise CannotDo("containers of a cluster's own nodes see no file of this machine")


def _ended(job: Mapping[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)


def _flag(key: JobKey) -> str:
    """A file of a job's own, the same in every process."""
    name = hashlib.sha256(f"{os.getuid()} {key.value}".encode()).hexdigest()[:20]
    return f"{tempfile.gettempdir()}/flytepath-conformance-{name}"


@functools.cache
def _home() -> ClusterHome:
    """The cluster of a process without fixtures, in which the kit only plans, always of doubles.

    Where there is a real one, another process plays its node.
    """
    home = ClusterHome()
    atexit.register(home.close)
    return home


class Checks(BackendConformance):
    """The kit; what it runs on is said below."""

    backend = "kubernetes"
    name_pattern = r"[a-z]([-a-z0-9]*[a-z0-9])?"
    patience_seconds = 60.0
    scattered_errors = 200
    #: What the other tests of this run share; not there in the processes in which the kit plans again.
    home: ClassVar[ClusterHome | None] = None

    @contextmanager
    def vendor(self) -> Iterator[Vendor]:
        cluster = Cluster(self.home or _home())
        try:
            with tempfile.TemporaryDirectory() as folder, closing(Vendor(cluster, Path(folder))) as vendor:
                yield vendor
        finally:
            cluster.clean()

    @pytest.mark.proof
    def test_an_array_as_large_as_declared_is_taken(self) -> None:
        # A thousand pods are made, and hundreds of processes.
        super().test_an_array_as_large_as_declared_is_taken()

    def planner(self) -> KubernetesBackend:
        return KubernetesBackend(KubernetesSettings(namespace="conformance"))


class TestOnTheDoubles(Checks):
    @pytest.fixture(autouse=True)
    def on_the_doubles(self, double_home: ClusterHome) -> None:
        type(self).home = double_home


class TestOnARealServer(Checks):
    @pytest.fixture(autouse=True)
    def on_a_real_server(self, real_home: ClusterHome) -> None:
        type(self).home = real_home
