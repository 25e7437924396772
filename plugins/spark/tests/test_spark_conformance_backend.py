"""The backend ``spark-operator`` keeps to the contract, on the API server double with an operator that tells states."""

from __future__ import annotations

import atexit
import functools
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from flyte_plugin_kubernetes.stamps import KEY, key_label
from flyte_plugin_kubernetes.testing import Cluster
from flyte_plugin_kubernetes.testing.cluster import ClusterHome
from flyte_plugin_kubernetes.testing.rest import Informer, RestRefusal
from flyte_plugin_spark import Spark
from flyte_plugin_spark.operator_backend import SparkOperatorBackend
from flyte_plugin_spark.operator_settings import SparkOperatorSettings
from flyte_plugin_spark.task import SparkTaskType
from flytepath.plugin import Handle, JobKey, PlanRequest, TaskDeclaration, WorkerLaunch
from flytepath.testing import BackendConformance
from flytepath.testing.backend_conformance import BackendVendor, Course

Json = dict[str, Any]

WORKER = WorkerLaunch(("python", "-m", "flytepath.worker"), {}, "example.com/spark:4", None, "", "")
RESOURCE = "sparkapplications"
_COURSE = "spark.test.course"
_STATES = {Course.RUNS.value: "RUNNING", Course.ENDS.value: "COMPLETED", Course.FAILS.value: "FAILED"}


class Vendor(BackendVendor):
    """A cluster whose operator says at once what becomes of an application."""

    task_type = "spark"

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self._made: dict[str, set[str]] = {}
        self._refusals = 0
        self._lingers = False
        self._path = f"/apis/sparkoperator.k8s.io/v1beta2/namespaces/{cluster.namespace}/{RESOURCE}"
        self._informer = Informer(cluster.rest, self._path, self._seen)
        self._informer.start()
        self._informer.ready.wait(20)
        double = cluster.double()
        self.token = double.add_user("backend")
        double.admit(self._admitted)

    def backend(self) -> SparkOperatorBackend:
        config = self.cluster.double().kubeconfig(self.folder / "kubeconfig", token=self.token)
        return SparkOperatorBackend(
            SparkOperatorSettings(kubeconfig=str(config), namespace=self.cluster.namespace, page_size=5)
        )

    def payload(self, course: Course) -> Json:
        config = Spark(spark_conf={_COURSE: course.value})
        return SparkTaskType().compile(TaskDeclaration(name="flow.sample", config=config))

    def complete(self, request: PlanRequest) -> PlanRequest:
        return replace(request, worker=WORKER)

    def count(self, key: JobKey) -> int:
        self.cluster.wait(self._is_up_to_date, "the informer")
        return len(self._made.get(key_label(key), ()))

    def live(self, key: JobKey) -> int:
        found = self.cluster.rest.get(self._path, labelSelector=f"{KEY}={key_label(key)}")["items"]
        return sum(_state(thing) not in ("COMPLETED", "FAILED") for thing in found)

    def finish(self, handle: Handle) -> None:
        self._tell(handle.data["name"], "COMPLETED")

    def vanish(self, handle: Handle) -> None:
        self.cluster.rest.delete(f"{self._path}/{handle.data['name']}", propagationPolicy="Background")

    def preempt(self, handle: Handle) -> None:
        self._tell(handle.data["name"], "FAILED", "driver pod not found")

    def unknown_state(self, handle: Handle) -> str:
        self._tell(handle.data["name"], "DREAMING")
        return "DREAMING"

    def cut_off_after_accept(self) -> None:
        self.cluster.double().cut_after(verb="create", resource=RESOURCE)

    def refuse_submit(self) -> None:
        self._refusals = 1

    def fail_polls(self, times: int) -> None:
        double = self.cluster.double()
        double.access.faults.clear()
        if times:
            double.unavailable(times=times, verb="list", resource=RESOURCE)

    def throttle(self, seconds: float) -> None:
        double = self.cluster.double()
        self.cluster.wait(lambda: double.asked("watch", RESOURCE), "a watch")
        double.throttle(retry_after=int(seconds), resource=RESOURCE)

    def reject_credentials(self, rejected: bool) -> None:
        double = self.cluster.double()
        if rejected:
            double.access.revoke(self.token)
        else:
            double.add_user("backend")

    def make_foreign(self, name: str) -> str:
        thing = self.backend().plan(_sample(self.payload(Course.RUNS))).spec
        body = {**thing, "metadata": {"name": name}}
        return f"{name} {self.cluster.rest.post(self._path, body)['metadata']['uid']}"

    def is_untouched(self, foreign: str) -> bool:
        name, _, uid = foreign.partition(" ")
        thing = self.cluster.find(f"{self._path}/{name}")
        return thing is not None and thing["metadata"]["uid"] == uid and not thing["metadata"].get("deletionTimestamp")

    def close(self) -> None:
        """Stop watching."""
        self._informer.stop()

    def _seen(self, event: str, thing: Json) -> None:
        metadata = thing["metadata"]
        self._made.setdefault((metadata.get("labels") or {}).get(KEY, ""), set()).add(metadata["uid"])
        if event != "DELETED" and not _state(thing):
            self._tell(metadata["name"], _STATES[thing["spec"]["sparkConf"][_COURSE]])

    def _tell(self, name: str, state: str, message: str = "") -> None:
        said = {"state": state, **({"errorMessage": message} if message else {})}
        try:
            self.cluster.rest.patch(
                f"{self._path}/{name}/status",
                {"status": {"applicationState": said, "driverInfo": {}}},
                "application/merge-patch+json",
            )
        except RestRefusal as refusal:
            if refusal.code != 404:
                raise

    def _is_up_to_date(self) -> bool:
        there = self.cluster.rest.get(self._path)["items"]
        return {thing["metadata"]["uid"] for thing in there} == {
            thing["metadata"]["uid"] for thing in self._informer.all()
        }

    def _admitted(self, verb: str, thing: Json) -> str | None:
        if verb == "CREATE" and thing.get("kind") == "SparkApplication" and self._refusals:
            self._refusals -= 1
            return "no such jobs here"
        return None


def _state(thing: Json) -> str:
    return str(((thing.get("status") or {}).get("applicationState") or {}).get("state") or "")


def _sample(payload: Json) -> PlanRequest:
    from flytepath.plugin import Owner, Resources, Tenant

    return PlanRequest(
        key=JobKey("sha256:" + "0" * 64),
        owner=Owner("other", Tenant(), "e", "n"),
        task="flow.other",
        task_type="spark",
        payload=payload,
        inputs={},
        requests=Resources(),
        limits=Resources(),
        worker=WORKER,
    )


@functools.cache
def _home() -> ClusterHome:
    home = ClusterHome()
    atexit.register(home.close)
    return home


class TestBackend(BackendConformance):
    backend = "spark-operator"
    name_pattern = r"[a-z]([-a-z0-9]*[a-z0-9])?"
    patience_seconds = 60.0
    scattered_errors = 60

    @contextmanager
    def vendor(self) -> Iterator[Vendor]:
        cluster = Cluster(_home())
        try:
            cluster.install_definitions("sparkoperator.k8s.io", beside=Path(__file__))
            with tempfile.TemporaryDirectory() as folder, closing(Vendor(cluster, Path(folder))) as vendor:
                yield vendor
        finally:
            cluster.clean()

    def planner(self) -> SparkOperatorBackend:
        return SparkOperatorBackend(SparkOperatorSettings(namespace="conformance"))
