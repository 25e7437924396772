"""The Spark operator for tests: it makes the driver's pod of an application, as spark-submit does, and tells its state.

The driver is a real one, with ``local[1]`` for a master: what a task computes in it is computed by Spark.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import spark_servers
from flyte_plugin_kubernetes.testing.rest import Informer, Rest, RestRefusal

Json = dict[str, Any]

_APPLICATIONS = "/apis/sparkoperator.k8s.io/v1beta2"
_DRIVER = "spark-kubernetes-driver"


class SparkOperatorDouble:
    """The controller, through REST.

    Args:
        rest: the API server.
        namespace: whose applications it runs.
        refuses: a message: every submission fails with it.
    """

    def __init__(self, rest: Rest, namespace: str, refuses: str = "") -> None:
        self.rest = rest
        self.refuses = refuses
        self.errors: list[BaseException] = []
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._path = f"{_APPLICATIONS}/namespaces/{namespace}/sparkapplications"
        self._lock = threading.Lock()
        self._informers = [
            Informer(rest, self._path, self._application),
            Informer(rest, self._pods, self._pod, labelSelector="spark-role=driver"),
        ]

    def __enter__(self) -> SparkOperatorDouble:
        for informer in self._informers:
            informer.start()
            assert informer.ready.wait(20)
        return self

    def __exit__(self, *error: object) -> None:
        for informer in self._informers:
            informer.stop()
        found = [error for informer in self._informers for error in informer.errors]
        assert not found, found

    # --- applications ---

    def _application(self, event: str, thing: Json) -> None:
        if event == "DELETED" or thing["metadata"].get("deletionTimestamp"):
            return
        with self._lock:
            if _state(thing) or self._find(thing["metadata"]["name"]) is None:
                return
            if self.refuses:
                self._tell(thing, "SUBMISSION_FAILED", f"failed to submit SparkApplication: {self.refuses}")
                self._tell(thing, "FAILED", f"failed to submit SparkApplication: {self.refuses}")
                return
            self._tell(thing, "SUBMITTED")
            try:
                self.rest.post(self._pods, self.driver_pod(thing))
            except RestRefusal as refusal:
                if refusal.reason != "AlreadyExists":
                    self._tell(thing, "FAILED", f"failed to run spark-submit: {refusal}")

    def driver_pod(self, thing: Json) -> Json:
        """The pod that spark-submit makes of an application's driver and its template."""
        spec, metadata = thing["spec"], thing["metadata"]
        driver = spec["driver"]
        template = driver["template"]
        container = next(one for one in template["spec"]["containers"] if one["name"] == _DRIVER)
        conf = {
            "spark.app.name": metadata["name"],
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            **spec.get("sparkConf", {}),
            **{f"spark.hadoop.{name}": value for name, value in spec.get("hadoopConf", {}).items()},
        }
        command = [str(spark_servers.SPARK_HOME / "bin" / "spark-submit"), "--master", "local[1]"]
        for name, value in conf.items():
            command += ["--conf", f"{name}={value}"]
        command.append(spec["mainApplicationFile"].removeprefix("local://"))
        made = {
            **{key: value for key, value in container.items() if key != "resources"},
            "image": driver["image"],
            "command": command,
            "args": spec["arguments"],
            "env": [
                *container.get("env", ()),
                {"name": "PYSPARK_PYTHON", "value": sys.executable},
                {"name": "SPARK_LOCAL_IP", "value": "127.0.0.1"},
            ],
        }
        labels = {**template["metadata"].get("labels", {}), **metadata["labels"]}
        owner = {
            "apiVersion": thing["apiVersion"],
            "kind": thing["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        others = [one for one in template["spec"]["containers"] if one["name"] != _DRIVER]
        return {
            "metadata": {
                "name": f"{metadata['name']}-driver",
                "labels": {**labels, "spark-role": "driver", "sparkoperator.k8s.io/app-name": metadata["name"]},
                "annotations": template["metadata"].get("annotations", {}),
                "ownerReferences": [owner],
            },
            "spec": {**template["spec"], "restartPolicy": "Never", "containers": [made, *others]},
        }

    # --- drivers ---

    def _pod(self, event: str, pod: Json) -> None:
        name = pod["metadata"]["labels"]["sparkoperator.k8s.io/app-name"]
        with self._lock:
            thing = self._find(name)
            if thing is None or _state(thing) in ("COMPLETED", "FAILED"):
                return
            if event == "DELETED":
                self._tell(thing, "FAILING", "driver pod not found")
                self._tell(thing, "FAILED", "driver pod not found")
                return
            ended = next(
                (
                    one["state"].get("terminated")
                    for one in pod["status"].get("containerStatuses", ())
                    if one["name"] == _DRIVER
                ),
                None,
            )
            if ended is not None:
                well = ended["exitCode"] == 0
                said = (
                    ""
                    if well
                    else f"driver container failed with ExitCode: {ended['exitCode']}, Reason: {ended['reason']}"
                )
                self._tell(thing, "SUCCEEDING" if well else "FAILING", said)
                self._tell(thing, "COMPLETED" if well else "FAILED", said)
            elif pod["status"].get("phase") == "Running" and _state(thing) != "RUNNING":
                self._tell(thing, "RUNNING")

    def _find(self, name: str) -> Json | None:
        try:
            return self.rest.get(f"{self._path}/{name}")
        except RestRefusal as refusal:
            if refusal.code == 404:
                return None
            raise

    def _tell(self, thing: Json, state: str, message: str = "") -> None:
        said = {"state": state, **({"errorMessage": message} if message else {})}
        status = {"applicationState": said, "driverInfo": {"podName": f"{thing['metadata']['name']}-driver"}}
        try:
            self.rest.patch(f"{self._path}/{thing['metadata']['name']}/status", {"status": status}, _MERGE)
        except RestRefusal as refusal:
            if refusal.code != 404:
                raise


_MERGE = "application/merge-patch+json"


def _state(thing: Json) -> str:
    return str(((thing.get("status") or {}).get("applicationState") or {}).get("state") or "")
