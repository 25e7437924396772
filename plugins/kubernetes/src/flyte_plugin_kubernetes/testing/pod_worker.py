"""One pod on a node, from its binding to its end: containers in their order, restarts, deadlines, deletion."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import TYPE_CHECKING, Any

from flyte_plugin_kubernetes.testing.container_process import ContainerProcess
from flyte_plugin_kubernetes.testing.container_setup import NotReady, PodFolders, launch_of
from flyte_plugin_kubernetes.testing.pod_status import ContainerRecord, ended_status, pod_status
from flyte_plugin_kubernetes.testing.rest import RestRefusal

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.testing.kubelet import Kubelet

Json = dict[str, Any]


class Ended(Exception):
    """The pod's life is over for a reason from outside: ``deleted``, ``vanished``, ``deadline``, ``evicted``."""


class PodWorker:
    """Runs one pod in a thread of its own.

    Args:
        node: whose pod it is.
        pod: as it was bound.
    """

    def __init__(self, node: Kubelet, pod: Json) -> None:
        self._node = node
        self.pod = pod
        metadata = pod["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self._home = node.root / self.uid
        self._folders = PodFolders(node.rest, pod, self._home, node.root / "claims")
        self._wake = threading.Event()
        self._vanished = False
        self._evicted: str | None = None
        self._started = dt.datetime.now(dt.UTC)
        self._clock = time.monotonic()
        spec = pod["spec"]
        self._inits = [ContainerRecord(item, init=True) for item in spec.get("initContainers") or ()]
        self._apps = [ContainerRecord(item) for item in spec["containers"]]
        self._initialized = False
        self._reported: Json | None = None
        self.finished = False
        self._thread = threading.Thread(target=self._run, name=f"pod {self.name}", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Waits for its thread."""
        self._thread.join(timeout=seconds)

    # -- What is told from outside

    def update(self, pod: Json) -> None:
        """The pod was changed."""
        self.pod = pod
        self._wake.set()
        if self.finished and "deletionTimestamp" in pod["metadata"]:
            threading.Thread(target=self._confirm, name=f"confirm {self.name}", daemon=True).start()

    def vanish(self) -> None:
        """The pod is gone, or its node is: its processes end at once and nothing is told."""
        self._vanished = True
        self._wake.set()
        for record in (*self._apps, *self._inits):
            if record.process is not None:
                record.process.stop(0)

    def evict(self, message: str) -> None:
        """The node is short of something and ends the pod."""
        self._evicted = message
        self._wake.set()

    def record(self, container: str) -> ContainerRecord | None:
        """What is known of a container."""
        return next((one for one in (*self._inits, *self._apps) if one.name == container), None)

    # -- The life

    def _run(self) -> None:
        phase, reason, message = "Succeeded", "", ""
        try:
            phase = self._live()
        except Ended as end:
            cause = str(end)
            if cause == "vanished":
                self._kill_all(0)
                self.finished = True
                return
            grace = float(self.pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            if cause == "deadline":
                grace = float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
                reason, message = "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
            elif cause == "evicted":
                reason, message, grace = "Evicted", self._evicted or "", 0
            self._kill_all(grace)
            phase = self._phase_when_ended() if cause == "deleted" else "Failed"
        except (OSError, RestRefusal) as error:
            # The server is away: a node goes on; what it would tell is told to nobody.
            self._node.note(error)
            self._kill_all(0)
            phase = "Failed"
        self._report(ended_status(phase, reason, message))
        self.finished = True
        if "deletionTimestamp" in self.pod["metadata"]:
            self._confirm()

    def _live(self) -> str:
        self._report({"phase": "Pending"})
        self._set_up()
        for record in self._inits:
            self._start_init(record)
        self._initialized = True
        for record in self._apps:
            self._begin(record)
        self._report({"phase": self._phase_now()})
        while not all(record.over for record in self._apps):
            self._pause(self._next_restart())
            self._restart_what_is_due(self._apps)
            self._restart_what_is_due([record for record in self._inits if record.sidecar])
            self._report({"phase": self._phase_now()})
        # Sidecars live as long as what they serve, and end in the reverse order.
        for record in reversed(self._inits):
            if record.sidecar and record.process is not None and record.process.running:
                self._node.event(self.pod, "Normal", "Killing", f"Stopping container {record.name}")
                record.process.stop(float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)))
                record.see_end("Never")
        return self._phase_when_ended()

    def _set_up(self) -> None:
        told = False
        while True:
            try:
                self._folders.make()
                return
            except NotReady as missing:
                if not told:
                    self._node.event(self.pod, "Warning", "FailedMount", missing.message)
                told = True
                self._pause(self._node.backoff)

    def _start_init(self, record: ContainerRecord) -> None:
        self._begin(record)
        self._report({"phase": "Pending"})
        if record.sidecar:
            return
        while not record.over:
            self._pause(self._next_restart())
            self._restart_what_is_due([one for one in self._inits if one.process is not None])
            self._report({"phase": "Pending"})
        if record.exit_code != 0:
            self._kill_all(0)
            raise _InitFailed

    def _begin(self, record: ContainerRecord) -> None:
        """Starts a container, waiting for its image and for what its variables come from."""
        if not self._pull(record):
            return
        tries = 0
        while True:
            home = self._home / "containers" / record.name
            home.mkdir(parents=True, exist_ok=True)
            try:
                launch = launch_of(
                    self._node.rest,
                    self.pod,
                    record.spec,
                    self._folders,
                    self._node.images,
                    self._node.base_environment(),
                    home,
                )
                self._node.event(self.pod, "Normal", "Created", f"Created container: {record.name}")
                record.begin(
                    ContainerProcess(
                        launch.command,
                        launch.env,
                        launch.folder,
                        memory_limit=launch.memory_limit,
                        ended=self._wake.set,
                    )
                )
            except NotReady as missing:
                record.wait(missing.reason, missing.message)
                if tries == 0:
                    self._node.event(self.pod, "Warning", "Failed", f"Error: {missing.message}")
                tries += 1
                self._report({"phase": self._phase_now()})
                self._pause(self._node.backoff)
            except OSError as error:
                words = (
                    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc "
                    f"create failed: unable to start container process: {error}: unknown"
                )
                self._node.event(self.pod, "Warning", "Failed", f"Error: {words}")
                record.cannot_start(words, self._policy)
                return
            else:
                self._node.event(self.pod, "Normal", "Started", f"Started container {record.name}")
                return

    def _pull(self, record: ContainerRecord) -> bool:
        image, tries = record.spec["image"], 0
        while True:
            fault = self._node.images.fault(image, record.spec.get("imagePullPolicy", "IfNotPresent"))
            if fault is None:
                words = f'Container image "{image}" already present on machine'
                self._node.event(self.pod, "Normal", "Pulled", words)
                return True
            reason, words = fault
            if tries == 0:
                self._node.event(self.pod, "Normal", "Pulling", f'Pulling image "{image}"')
                self._node.event(self.pod, "Warning", "Failed", f'Failed to pull image "{image}": {words}')
                self._node.event(self.pod, "Warning", "Failed", f"Error: {reason}")
            elif tries == 1 and reason == "ErrImagePull":
                self._node.event(self.pod, "Normal", "BackOff", f'Back-off pulling image "{image}"')
                self._node.event(self.pod, "Warning", "Failed", "Error: ImagePullBackOff")
            if tries % 2 and reason == "ErrImagePull":
                reason, words = "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {words}'
            record.wait(reason, words)
            tries += 1
            self._report({"phase": self._phase_now()})
            self._pause(self._node.backoff)

    def _restart_what_is_due(self, records: list[ContainerRecord]) -> None:
        for record in records:
            if record.process is not None and not record.process.running:
                record.see_end(self._policy)
            if record.restart_at is None:
                continue
            if record.backs_off(self._node.backoff):
                place = f"container={record.name} pod={self.name}_{self.namespace}({self.uid})"
                record.wait("CrashLoopBackOff", f"back-off {record.delay_words} restarting failed {place}")
                if not record.told_back_off:
                    record.told_back_off = True
                    text = f"Back-off restarting failed container {record.name} in pod {self.name}_{self.namespace}"
                    self._node.event(self.pod, "Warning", "BackOff", f"{text}({self.uid})")
            elif time.monotonic() >= record.restart_at:
                record.restart_at = None
                record.restarts += 1
                self._begin(record)

    def _next_restart(self) -> float | None:
        moments = [one.restart_at for one in (*self._apps, *self._inits) if one.restart_at is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    @property
    def _policy(self) -> str:
        policy: str = self.pod["spec"].get("restartPolicy", "Always")
        return policy

    def _phase_now(self) -> str:
        if not self._initialized or any(one.process is None and not one.terminated for one in self._apps):
            return "Pending"
        return "Running"

    def _phase_when_ended(self) -> str:
        return "Succeeded" if all(one.exit_code == 0 for one in self._apps) else "Failed"

    # -- Waiting and ending

    def _pause(self, seconds: float | None = None) -> None:
        """Waits for something to happen.

        Raises:
            Ended: the pod's life is over.
        """
        self._check()
        limit = self._deadline_in()
        bounds = [bound for bound in (seconds, limit) if bound is not None]
        self._wake.wait(min(bounds) if bounds else None)
        self._wake.clear()
        self._check()

    def _deadline_in(self) -> float | None:
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        return None if deadline is None else max(0.0, self._clock + deadline - time.monotonic())

    def _check(self) -> None:
        if self._vanished:
            raise Ended("vanished")
        if "deletionTimestamp" in self.pod["metadata"]:
            raise Ended("deleted")
        if self._evicted is not None:
            raise Ended("evicted")
        if self._deadline_in() == 0.0:
            raise Ended("deadline")

    def _kill_all(self, grace: float) -> None:
        alive = [one for one in (*self._apps, *self._inits) if one.process is not None and one.process.running]
        apps = [one for one in alive if not one.init]
        for group in (apps, [one for one in alive if one.init]):
            threads = []
            for record in group:
                if not self._vanished:
                    self._node.event(self.pod, "Normal", "Killing", f"Stopping container {record.name}")
                process = record.process
                if process is not None:
                    threads.append(threading.Thread(target=process.stop, args=(grace,), daemon=True))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for record in (*self._apps, *self._inits):
            record.restart_at = None
            record.see_end("Never")
            if record.state.get("waiting", {}).get("reason") == "CrashLoopBackOff" and record.last_state:
                record.state = record.last_state

    def _report(self, about: Json) -> None:
        if self._vanished:
            return
        status = pod_status(about, self._inits, self._apps, self._initialized, self._started, self._node.address)
        if status == self._reported:
            return
        self._reported = status
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
        try:
            self._node.rest.patch(path, {"metadata": {"uid": self.uid}, "status": status})
        except RestRefusal as refusal:
            if refusal.code not in (404, 409):
                self._node.note(refusal)

    def _confirm(self) -> None:
        """Tells the server that nothing of a deleted pod runs any more."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        try:
            self._node.rest.delete(path, gracePeriodSeconds=0, preconditions={"uid": self.uid})
        except RestRefusal as refusal:
            if refusal.code not in (404, 409):
                self._node.note(refusal)
        except OSError as error:
            self._node.note(error)


class _InitFailed(Ended):
    """An init container has failed for good."""
