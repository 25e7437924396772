"""Runs Jobs: makes their pods, counts how these end, and writes the status, as the controller of Kubernetes does."""

from __future__ import annotations

import copy
import datetime as dt
import threading
import time
from typing import Any

from flyte_plugin_kubernetes.testing.job_tally import INDEX, Tally, index_of, index_text
from flyte_plugin_kubernetes.testing.kubelet import event_of
from flyte_plugin_kubernetes.testing.pod_status import moment
from flyte_plugin_kubernetes.testing.rest import Informer, Rest, RestRefusal

Json = dict[str, Any]

_TRACKING = "batch.kubernetes.io/job-tracking"
_UID = "batch.kubernetes.io/controller-uid"


class JobController:
    """The double of the Job controller and of the one that deletes finished Jobs, through REST.

    Args:
        rest: the API server.
        backoff: seconds after a failure until the pod that replaces it; doubled by each further one.
    """

    def __init__(self, rest: Rest, *, backoff: float = 0.05) -> None:
        self._rest = rest
        self._backoff = backoff
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._jobs = Informer(rest, "/apis/batch/v1/jobs", self._see)
        self._pods = Informer(rest, "/api/v1/pods", self._see, labelSelector=_UID)
        self._tallies: dict[str, Tally] = {}
        self._started: dict[str, dict[str, Json]] = {}
        self._written: dict[str, Json] = {}
        self._next: float | None = None
        #: What went wrong that is no refusal of the server.
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="job controller", daemon=True)

    def start(self) -> JobController:
        """Begins."""
        for informer in (self._jobs, self._pods):
            informer.start()
            informer.ready.wait(10)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends."""
        self._stopped.set()
        self._jobs.stop()
        self._pods.stop()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _see(self, sort: str, item: Json) -> None:
        del sort, item
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(None if self._next is None else max(0.0, self._next - time.monotonic()))
            self._wake.clear()
            self._next = None
            jobs = {job["metadata"]["uid"]: job for job in self._jobs.all()}
            for uid in set(self._tallies) - set(jobs):
                del self._tallies[uid]
                self._started.pop(uid, None)
                self._written.pop(uid, None)
            pods: dict[str, list[Json]] = {}
            for pod in self._pods.all():
                pods.setdefault(pod["metadata"]["labels"][_UID], []).append(pod)
            for uid, found in pods.items():
                if uid not in jobs and self._gone(uid):
                    for pod in found:
                        self._attempt(self._release, pod)
            for uid, job in jobs.items():
                self._attempt(self._sync, job, pods.get(uid, []))

    def _gone(self, uid: str) -> bool:
        # A pod may be seen before its Job is.
        return self._jobs.get(uid) is None and uid not in self._tallies

    def _attempt(self, step: Any, *args: Any) -> None:
        try:
            step(*args)
        except RestRefusal as refusal:
            if refusal.code not in (404, 409):
                self._again(0.2)
        except OSError:
            self._again(0.2)
        except Exception as error:  # noqa: BLE001  one Job that cannot be run must not stop the others
            self.errors.append(error)

    def _again(self, seconds: float) -> None:
        moment_then = time.monotonic() + seconds
        self._next = moment_then if self._next is None else min(self._next, moment_then)

    # -- One Job

    def _sync(self, job: Json, seen: list[Json]) -> None:
        metadata, spec = job["metadata"], job["spec"]
        uid = metadata["uid"]
        if "deletionTimestamp" in metadata:
            for pod in seen:
                if "deletionTimestamp" in pod["metadata"] or _ended(pod):
                    self._release(pod)
            return
        if any(one["type"] in ("Complete", "Failed") for one in (job.get("status") or {}).get("conditions") or ()):
            self._after_end(job, seen)
            return
        if uid not in self._tallies:
            self._tallies[uid] = Tally.of_status(job)
        tally = self._tallies[uid]
        pods = self._with_started(uid, seen)
        self._count(tally, job, pods)
        active = [pod for pod in pods if not _ended(pod) and "deletionTimestamp" not in pod["metadata"]]
        terminating = [pod for pod in pods if not _ended(pod) and "deletionTimestamp" in pod["metadata"]]
        restarts = _restarts(active) if spec["template"]["spec"].get("restartPolicy") == "OnFailure" else 0
        tally.decide(spec, restarts, len(active))
        self._heed_deadline(tally, job)
        if tally.ending is not None or spec.get("suspend"):
            for pod in active:
                self._delete(pod)
                terminating.append(pod)
            active = []
        else:
            # A failed index runs no more.
            for pod in [one for one in active if index_of(one) in tally.failed_indexes]:
                self._delete(pod)
                active.remove(pod)
                terminating.append(pod)
            waiting = terminating if spec.get("podReplacementPolicy") == "Failed" else []
            active += self._start_pods(tally, job, active, waiting)
        self._write(tally, job, active, terminating)
        for pod in pods:
            if pod["metadata"]["uid"] in tally.counted:
                self._release(pod)

    def _with_started(self, uid: str, seen: list[Json]) -> list[Json]:
        """The pods as seen, and those just made that were not seen yet."""
        known = {pod["metadata"]["uid"] for pod in seen}
        started = self._started.setdefault(uid, {})
        for one in known & set(started):
            del started[one]
        return [*seen, *started.values()]

    def _count(self, tally: Tally, job: Json, pods: list[Json]) -> None:
        for pod in pods:
            if not _ended(pod) or pod["metadata"]["uid"] in tally.counted:
                continue
            tally.counted.add(pod["metadata"]["uid"])
            if _TRACKING not in (pod["metadata"].get("finalizers") or ()):
                continue
            if tally.count(job["spec"], pod):
                tally.next_start = time.monotonic() + min(self._backoff * 2 ** min(tally.failed - 1, 5), 2)

    def _heed_deadline(self, tally: Tally, job: Json) -> None:
        seconds = job["spec"].get("activeDeadlineSeconds")
        if seconds is None or job["spec"].get("suspend") or tally.ending is not None:
            return
        # By a clock of its own: the status tells the second of the beginning only.
        if tally.begun is None:
            tally.begun = time.monotonic()
        left = tally.begun + seconds - time.monotonic()
        if left <= 0:
            tally.ending = ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        else:
            self._again(left)

    def _start_pods(self, tally: Tally, job: Json, active: list[Json], waiting: list[Json]) -> list[Json]:
        spec = job["spec"]
        if time.monotonic() < tally.next_start:
            self._again(tally.next_start - time.monotonic())
            return []
        room = spec["parallelism"] - len(active) - len(waiting)
        wanted: list[int | None]
        if spec.get("completionMode") == "Indexed":
            busy = {index_of(pod) for pod in (*active, *waiting)} | tally.completed | tally.failed_indexes
            wanted = [index for index in range(spec["completions"]) if index not in busy]
        elif spec.get("completions") is None:
            wanted = [None] * (0 if tally.succeeded else room)
        else:
            wanted = [None] * (spec["completions"] - tally.succeeded - len(active) - len(waiting))
        made = []
        for index in wanted[: max(room, 0)]:
            pod = self._start_pod(tally, job, index)
            made.append(pod)
            self._started[job["metadata"]["uid"]][pod["metadata"]["uid"]] = pod
        return made

    def _start_pod(self, tally: Tally, job: Json, index: int | None) -> Json:
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        template = copy.deepcopy(job["spec"]["template"])
        metadata: Json = template.get("metadata") or {}
        labels, annotations = dict(metadata.get("labels") or {}), dict(metadata.get("annotations") or {})
        spec: Json = template["spec"]
        prefix = f"{name}-"
        if index is not None:
            prefix = f"{name}-{index}-"
            labels[INDEX] = annotations[INDEX] = str(index)
            if job["spec"].get("backoffLimitPerIndex") is not None:
                annotations["batch.kubernetes.io/job-index-failure-count"] = str(tally.failures.get(index, 0))
            spec.setdefault("hostname", f"{name}-{index}"[:63])
            variable = {"name": "JOB_COMPLETION_INDEX"}
            field = {"fieldPath": f"metadata.labels['{INDEX}']"}
            for group in ("containers", "initContainers"):
                for container in spec.get(group) or ():
                    if not any(one["name"] == variable["name"] for one in container.get("env") or ()):
                        # First, so that other variables can name it.
                        container["env"] = [
                            variable | {"valueFrom": {"fieldRef": field}},
                            *(container.get("env") or ()),
                        ]
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": name,
            "uid": job["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": prefix,
                "labels": labels,
                "annotations": annotations,
                "finalizers": [_TRACKING],
                "ownerReferences": [owner],
            },
            "spec": spec,
        }
        try:
            made = self._rest.post(f"/api/v1/namespaces/{namespace}/pods", body)
        except RestRefusal as refusal:
            self._tell(job, "Warning", "FailedCreate", f"Error creating: {refusal}")
            raise
        self._tell(job, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        return made

    def _delete(self, pod: Json) -> None:
        metadata = pod["metadata"]
        try:
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
            self._rest.delete(path, preconditions={"uid": metadata["uid"]}, propagationPolicy="Background")
        except RestRefusal as refusal:
            if refusal.code not in (404, 409):
                raise

    def _release(self, pod: Json) -> None:
        """Nothing is to be counted of a pod any more: it may go."""
        metadata = pod["metadata"]
        if _TRACKING not in (metadata.get("finalizers") or ()):
            return
        left = [item for item in metadata["finalizers"] if item != _TRACKING]
        body = {"metadata": {"uid": metadata["uid"], "finalizers": left or None}}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        try:
            self._rest.patch(path, body, "application/merge-patch+json")
        except RestRefusal as refusal:
            if refusal.code not in (404, 409):
                raise

    # -- Its status

    def _write(self, tally: Tally, job: Json, active: list[Json], terminating: list[Json]) -> None:
        spec: Json = job["spec"]
        before: Json = job.get("status") or {}
        uid, now = job["metadata"]["uid"], moment(dt.datetime.now(dt.UTC))
        kept: Json = self._written.get(uid) or before
        status: Json = {
            "active": len(active),
            "ready": sum(_is_ready(pod) for pod in active),
            "terminating": len(terminating),
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "uncountedTerminatedPods": {},
            "conditions": list(kept.get("conditions") or ()),
        }
        if kept.get("startTime"):
            status["startTime"] = kept["startTime"]
        elif not spec.get("suspend"):
            status["startTime"] = now
        if spec.get("completionMode") == "Indexed":
            status["completedIndexes"] = index_text(tally.completed)
            if spec.get("backoffLimitPerIndex") is not None:
                status["failedIndexes"] = index_text(tally.failed_indexes)
        self._conditions(status, tally, spec, bool(active or terminating), now)
        if status == kept:
            return
        path = f"/apis/batch/v1/namespaces/{job['metadata']['namespace']}/jobs/{job['metadata']['name']}/status"
        body = {"metadata": {"uid": uid}, "status": status}
        self._rest.patch(path, body, "application/merge-patch+json")
        self._written[uid] = status
        if tally.ending is not None and not active and not terminating:
            words = "Job completed" if tally.ending[0] == "Complete" else tally.ending[2]
            sort = "Normal" if tally.ending[0] == "Complete" else "Warning"
            reason = "Completed" if tally.ending[0] == "Complete" else tally.ending[1]
            self._tell(job, sort, reason, words)

    @staticmethod
    def _conditions(status: Json, tally: Tally, spec: Json, busy: bool, now: str) -> None:
        conditions: list[Json] = status["conditions"]

        def condition(name: str, reason: str, message: str, holds: str = "True") -> None:
            old = next((one for one in conditions if one["type"] == name), None)
            if old is not None and old["status"] == holds:
                return
            if old is not None:
                conditions.remove(old)
            conditions.append(
                {
                    "type": name,
                    "status": holds,
                    "reason": reason,
                    "message": message,
                    "lastProbeTime": now,
                    "lastTransitionTime": now,
                }
            )

        if spec.get("suspend"):
            status.pop("startTime", None)
            condition("Suspended", "JobSuspended", "Job suspended")
        elif any(one["type"] == "Suspended" for one in conditions):
            condition("Suspended", "JobResumed", "Job resumed", "False")
        if tally.ending is None:
            return
        name, reason, message = tally.ending
        condition("SuccessCriteriaMet" if name == "Complete" else "FailureTarget", reason, message)
        # The last condition comes when nothing of the Job runs any more.
        if not busy:
            condition(name, reason, message)
            if name == "Complete":
                status["completionTime"] = now

    def _after_end(self, job: Json, pods: list[Json]) -> None:
        for pod in pods:
            if not _ended(pod) and "deletionTimestamp" not in pod["metadata"]:
                self._delete(pod)
            self._release(pod)
        keep = job["spec"].get("ttlSecondsAfterFinished")
        if keep is None:
            return
        ended = next(one for one in job["status"]["conditions"] if one["type"] in ("Complete", "Failed"))
        since = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(ended["lastTransitionTime"])
        left = keep - since.total_seconds()
        if left > 0:
            self._again(left)
            return
        metadata = job["metadata"]
        path = f"/apis/batch/v1/namespaces/{metadata['namespace']}/jobs/{metadata['name']}"
        self._rest.delete(path, propagationPolicy="Foreground", preconditions={"uid": metadata["uid"]})

    def _tell(self, job: Json, sort: str, reason: str, message: str) -> None:
        event = event_of({"apiVersion": "batch/v1", "kind": "Job"} | job, sort, reason, message, "job-controller")
        try:
            self._rest.post(f"/api/v1/namespaces/{job['metadata']['namespace']}/events", event)
        except RestRefusal:
            # Its namespace is going: there is nobody to tell.
            return


def _ended(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _restarts(pods: list[Json]) -> int:
    statuses = [one for pod in pods for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    return sum(one["restartCount"] for one in statuses)
