"""The status of a pod, as a kubelet writes it."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from typing import Any

from flyte_plugin_kubernetes.testing.container_process import ContainerProcess

Json = dict[str, Any]


def moment(value: dt.datetime) -> str:
    """As the API writes moments."""
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ContainerRecord:
    """What is known of one container of a pod.

    Args:
        spec: its part of the pod's spec.
        init: it is one of the init containers.
    """

    def __init__(self, spec: Json, *, init: bool = False) -> None:
        self.spec = spec
        self.init = init
        self.name: str = spec["name"]
        self.sidecar = init and spec.get("restartPolicy") == "Always"
        self.process: ContainerProcess | None = None
        self.previous: ContainerProcess | None = None
        self.state: Json = {"waiting": {"reason": "PodInitializing" if not init else "ContainerCreating"}}
        self.last_state: Json = {}
        self.restarts = 0
        self.restart_at: float | None = None
        self.told_back_off = False
        self.exit_code: int | None = None
        self._id = ""

    @property
    def terminated(self) -> bool:
        """Whether its last run has ended."""
        return "terminated" in self.state

    @property
    def over(self) -> bool:
        """Whether it has ended and is not started again."""
        return self.exit_code is not None and self.restart_at is None and not self.running

    @property
    def running(self) -> bool:
        """Whether its state says so."""
        return "running" in self.state

    def wait(self, reason: str, message: str) -> None:
        """It cannot run now."""
        if self.terminated:
            self.last_state = self.state
        self.state = {"waiting": {"reason": reason, "message": message}}

    def begin(self, process: ContainerProcess) -> None:
        """It runs."""
        self.previous, self.process = self.process, process
        if self.terminated:
            self.last_state = self.state
        self.exit_code = None
        self._id = f"containerd://{uuid.uuid4().hex}{uuid.uuid4().hex}"
        self.state = {"running": {"startedAt": moment(process.started_at)}}

    def cannot_start(self, message: str, policy: str) -> None:
        """The runtime could not start it."""
        now = moment(dt.datetime.now(dt.UTC))
        self._id = f"containerd://{uuid.uuid4().hex}{uuid.uuid4().hex}"
        self.state = {
            "terminated": {
                "exitCode": 128,
                "reason": "StartError",
                "message": message,
                "startedAt": "1970-01-01T00:00:00Z",
                "finishedAt": now,
                "containerID": self._id,
            }
        }
        self.exit_code = 128
        self._plan_restart(policy)

    def see_end(self, policy: str) -> None:
        """Takes note of the end of its process, and whether it is started again."""
        process = self.process
        if process is None or process.exit_code is None or not self.running:
            return
        reason = "Completed" if process.exit_code == 0 else "Error"
        ended: Json = {
            "exitCode": process.exit_code,
            "reason": "OOMKilled" if process.out_of_memory else reason,
            "startedAt": moment(process.started_at),
            "finishedAt": moment(process.finished_at or dt.datetime.now(dt.UTC)),
            "containerID": self._id,
        }
        if process.exit_code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            ended["message"] = process.log.last()
        self.exit_code = process.exit_code
        self.state = {"terminated": ended}
        self._plan_restart(policy)

    def _plan_restart(self, policy: str) -> None:
        own = self.spec.get("restartPolicy")
        effective = own or ("OnFailure" if self.init and policy == "Always" else policy)
        again = effective == "Always" or (effective == "OnFailure" and self.exit_code != 0)
        if policy == "Never" and own is None:
            again = False
        self.restart_at = time.monotonic() if again else None

    def backs_off(self, backoff: float) -> bool:
        """Whether its next start has to wait: the first restart comes at once, each further one later."""
        if self.restart_at is None or self.restarts == 0:
            return False
        if self.terminated:
            self.restart_at += min(backoff * 2 ** (self.restarts - 1), backoff * 30)
        return time.monotonic() < self.restart_at

    @property
    def delay_words(self) -> str:
        """The back-off, as a kubelet writes it: as if its base were the real one of 10 s."""
        seconds = min(10 * 2 ** max(self.restarts - 1, 0), 300)
        minutes, rest = divmod(seconds, 60)
        return f"{minutes}m{rest}s" if minutes else f"{rest}s"

    def status(self) -> Json:
        """As in ``containerStatuses``."""
        running = self.running
        ended_well = self.init and not self.sidecar and self.exit_code == 0
        image = self.spec["image"]
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": running or ended_well if self.init else running,
            "started": running,
            "restartCount": self.restarts,
            "image": image,
            "imageID": f"{image}@sha256:{'0' * 64}" if self._id else "",
            "containerID": self._id,
        }


def ended_status(phase: str, reason: str, message: str) -> Json:
    """The end of a pod, with why where that is not its containers' own doing."""
    status = {"phase": phase}
    if reason:
        status |= {"reason": reason, "message": message}
    return status


def pod_status(
    about: Json,
    inits: list[ContainerRecord],
    apps: list[ContainerRecord],
    initialized: bool,
    started: dt.datetime,
    address: str,
) -> Json:
    """The whole status, as a strategic merge patch: conditions that others have set stay."""
    phase = about["phase"]
    ready = phase == "Running" and all(one.running for one in apps)
    why = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
    unready = "" if ready else why
    names = " ".join(one.name for one in apps if not one.running)
    words = "" if ready or phase in ("Succeeded", "Failed") else f"containers with unready status: [{names}]"

    def condition(name: str, holds: bool, reason: str = "", message: str = "") -> Json:
        found = {"type": name, "status": "True" if holds else "False", "lastTransitionTime": moment(started)}
        return found | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})

    conditions = [
        condition("PodReadyToStartContainers", phase not in ("Succeeded", "Failed")),
        condition("Initialized", initialized, "" if initialized else "ContainersNotInitialized"),
        condition("Ready", ready, unready, words),
        condition("ContainersReady", ready, unready, words),
        condition("PodScheduled", True),
    ]
    status = about | {
        "conditions": conditions,
        "hostIP": address,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": moment(started),
        "containerStatuses": [one.status() for one in apps],
    }
    if inits:
        status["initContainerStatuses"] = [one.status() for one in inits]
    return status
