"""Training jobs as SageMaker has them: names that are taken once, states that follow each other, stopping, spot.

States: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
Stopping (SIGTERM, and 120 seconds later the end): .../API_StopTrainingJob.html
Spot: https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flyte_plugin_sagemaker.testing.calls import Call, Refusal, invalid
from flyte_plugin_sagemaker.testing.containers import Container

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.testing.server import SageMakerDouble

Json = Any

GROUP: Final = "/aws/sagemaker/TrainingJobs"
_MESSAGES: Final = {
    "Pending": "Training job waiting for capacity",
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading the training image",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}
_TERMINAL: Final = frozenset({"Completed", "Failed", "Stopped"})


@dataclass(slots=True)
class Course:
    """What becomes of a job whose image is played and not run.

    Args:
        ends: ``Completed``, ``Failed``, or empty: it trains until it is told otherwise.
        reason: why it fails.
    """

    ends: str = ""
    reason: str = ""


@dataclass
class TrainingJob:
    """One job."""

    request: dict[str, Json]
    arn: str
    made_at: float
    status: str = "InProgress"
    secondary: str = "Starting"
    reason: str = ""
    steps: list[dict[str, Json]] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    starts: int = 0
    stopping: bool = False
    interrupted: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.request["TrainingJobName"])

    @property
    def lines(self) -> list[str]:
        """What its machines that run now have written."""
        return [line for container in self.containers for line in container.lines]


class TrainingJobs:
    """The training jobs of a double, at ``double.training``.

    Attributes:
        images: what is played for an image in place of running its container.
        missing_images: images that no registry has.
        image_environment: variables of the images themselves.
        poisoned: jobs at which nobody can look.
        stop_seconds: between SIGTERM and SIGKILL; SageMaker's 120 unless a test has no time.
        linger_seconds: how long a job that was stopped goes on stopping.
        limit: how many jobs may be in progress.
        gates: secondary states before which jobs wait until they are taken out.
    """

    def __init__(self, double: SageMakerDouble) -> None:
        self._double = double
        self._lock = threading.RLock()
        self.jobs: dict[str, TrainingJob] = {}
        self.made: list[dict[str, Json]] = []
        self.images: dict[str, Course] = {}
        self.missing_images: set[str] = set()
        self.image_environment: dict[str, str] = {}
        self.poisoned: set[str] = set()
        self.gates: set[str] = set()
        self.stop_seconds = 120.0
        self.linger_seconds = 0.0
        self.limit = 1_000_000
        for operation, handler in (
            ("CreateTrainingJob", self._create),
            ("DescribeTrainingJob", self._describe),
            ("StopTrainingJob", self._stop),
            ("DeleteTrainingJob", self._delete),
            ("ListTrainingJobs", self._list),
        ):
            double.handle(operation, handler)
        double.closing.append(self.clear)

    # --- calls ---

    def _create(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        body = call.body
        name = body["TrainingJobName"]
        with self._lock:
            if name in self.jobs:
                raise Refusal("ResourceInUse", f"Training job names must be unique within an AWS account: {name}")
            self._check(body)
            if sum(job.status not in _TERMINAL for job in self.jobs.values()) >= self.limit:
                kind = body["ResourceConfig"]["InstanceType"]
                raise Refusal(
                    "ResourceLimitExceeded",
                    f"The account-level service limit '{kind} for training job usage' is {self.limit} Instances, "
                    f"with current utilization of {self.limit} Instances and a request delta of 1 Instances.",
                )
            answer = forward()
            job = TrainingJob(dict(body), answer["TrainingJobArn"], time.monotonic())
            self.jobs[name] = job
            self.made.append(dict(body))
            self._step(job, "InProgress", "Starting")
        threading.Thread(target=self._live, args=(job,), name=f"training job {name}", daemon=True).start()
        return answer

    def _check(self, body: dict[str, Json]) -> None:
        """What AWS refuses beyond the shape of a request."""
        condition = body.get("StoppingCondition") or {}
        run, wait = condition.get("MaxRuntimeInSeconds", 86_400), condition.get("MaxWaitTimeInSeconds")
        spot = body.get("EnableManagedSpotTraining", False)
        if run > 28 * 86_400:
            raise invalid("Invalid MaxRuntimeInSeconds. It must be at most 2419200")
        if wait is not None and not spot:
            raise invalid("Invalid MaxWaitTimeInSeconds. It is only supported for managed spot training")
        if spot and (wait is None or wait < run):
            raise invalid("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntime")
        for tag in body.get("Tags") or ():
            if tag["Key"].lower().startswith("aws:"):
                raise invalid("aws: prefixed tag key names are not allowed for external use.")
        keys = [tag["Key"] for tag in body.get("Tags") or ()]
        if len(keys) != len(set(keys)):
            raise invalid("Duplicate tag keys found")
        channels = [channel["ChannelName"] for channel in body.get("InputDataConfig") or ()]
        if len(channels) != len(set(channels)):
            raise invalid("Duplicate channel names")

    def _describe(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        job = self._seen(call.body["TrainingJobName"])
        if job is None:
            raise invalid("Requested resource not found.")
        if job.name in self.poisoned:
            raise Refusal("InternalFailure", "The request processing has failed", 500)
        answer = forward()
        with self._lock:
            kept = {name: value for name, value in job.request.items() if name != "Tags"}
            answer |= kept | {
                "TrainingJobArn": job.arn,
                "TrainingJobStatus": job.status,
                "SecondaryStatus": job.secondary,
                "SecondaryStatusTransitions": [dict(step) for step in job.steps],
                "FinalMetricDataList": self._metrics(job),
            }
            answer.pop("FailureReason", None)
            if job.reason:
                answer["FailureReason"] = job.reason
            if job.status != "Completed":
                answer.pop("ModelArtifacts", None)
            if job.status not in _TERMINAL:
                answer.pop("TrainingEndTime", None)
        return answer

    def _stop(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        job = self._seen(call.body["TrainingJobName"])
        if job is None:
            raise invalid("Requested resource not found.")
        with self._lock:
            if job.status in _TERMINAL:
                raise invalid(f"The request was rejected because the training job is in status {job.status}.")
            if job.stopping:
                return {}
        self._begin_stop(job, "Stopped")
        return {}

    def _delete(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        job = self._seen(call.body["TrainingJobName"])
        if job is None:
            raise Refusal("ResourceNotFound", "Requested resource not found.")
        if job.status not in _TERMINAL:
            raise Refusal("ResourceInUse", f"The training job is in status {job.status}.")
        del self.jobs[job.name]
        return {}

    def _list(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        body = call.body
        with self._lock:
            found = [
                job
                for name, job in sorted(self.jobs.items())
                if body.get("NameContains", "") in name
                and body.get("StatusEquals", job.status) == job.status
                and not self._double.faults.is_hidden(job.made_at)
            ]
            after, most = body.get("NextToken", ""), body.get("MaxResults", 10)
            page = [job for job in found if job.name > after][: most + 1]
            answer: dict[str, Json] = {
                "TrainingJobSummaries": [
                    {
                        "TrainingJobName": job.name,
                        "TrainingJobArn": job.arn,
                        "CreationTime": job.steps[0]["StartTime"],
                        "TrainingJobStatus": job.status,
                    }
                    for job in page[:most]
                ]
            }
        if len(page) > most:
            answer["NextToken"] = page[most - 1].name
        return answer

    def _seen(self, name: str) -> TrainingJob | None:
        job = self.jobs.get(name)
        return None if job is None or self._double.faults.is_hidden(job.made_at) else job

    # --- lives ---

    def _live(self, job: TrainingJob) -> None:
        try:
            self._lived(job)
        except Exception as error:  # noqa: BLE001 - the double's own mistakes are told to the test
            self._double.errors.append(error)
            self._end(job, "Failed", "Failed", f"InternalServerError: {error!r}")

    def _lived(self, job: TrainingJob) -> None:
        image = job.request["AlgorithmSpecification"].get("TrainingImage", "")
        if image in self.missing_images:
            self._end(job, "Failed", "Failed", f"ClientError: Cannot pull the image {image}")
            return
        while True:
            for state in ("Downloading", "Training"):
                if not self._pass(job, state):
                    return
            job.interrupted.clear()
            course = self.images.get(image)
            if course is not None:
                self._play(job, course)
                return
            if self._run(job) != "interrupted":
                return

    def _pass(self, job: TrainingJob, state: str) -> bool:
        """Reach a state, when nothing holds the job before it; ``False`` where the job is being stopped."""
        while state in self.gates and not job.stopping and not job.ended.is_set():
            time.sleep(0.01)
        with self._lock:
            if job.stopping or job.status != "InProgress":
                return False
            self._step(job, "InProgress", state)
        return True

    def _play(self, job: TrainingJob, course: Course) -> None:
        if course.ends == "Completed":
            self._step(job, "InProgress", "Uploading")
            self._end(job, "Completed", "Completed")
        elif course.ends:
            self._end(job, "Failed", "Failed", course.reason or "AlgorithmError: , exit code: 1")

    def _run(self, job: TrainingJob) -> str:
        count = job.request["ResourceConfig"]["InstanceCount"]
        hosts = [f"algo-{number + 1}" for number in range(count)]
        job.starts += 1
        stamp = int(time.time() * 1000)
        with self._lock:
            if job.stopping:
                return "stopped"
            job.containers = [
                Container(
                    self._double,
                    job.request,
                    host,
                    hosts,
                    self._double.folder / job.name / f"{job.starts}" / host,
                    GROUP,
                    f"{job.name}/{host}-{stamp}",
                )
                for host in hosts
            ]
        codes: dict[str, int] = {}
        while len(codes) < count:
            for container in job.containers:
                if container.host not in codes and (code := container.wait(0.02)) is not None:
                    codes[container.host] = code
                    if code:
                        # One that fails ends the job, and with it the others.
                        for other in job.containers:
                            other.kill()
        for container in job.containers:
            container.keep_checkpoints()
        if job.interrupted.is_set():
            self._step(job, "InProgress", "Interrupted")
            if not self._pass(job, "Starting"):
                return "stopped"
            return "interrupted"
        if self._is_stopping(job):
            return "stopped"
        bad = [(code, container) for container in job.containers if (code := codes[container.host])]
        if bad:
            # Those that were killed for another's sake are not the reason.
            code, container = min(bad, key=lambda each: each[0] == 137)
            self._end(job, "Failed", "Failed", f"AlgorithmError: {container.failure()}, exit code: {code}")
            return "failed"
        self._step(job, "InProgress", "Uploading")
        job.containers[0].keep_model()
        self._end(job, "Completed", "Completed")
        return "completed"

    def _is_stopping(self, job: TrainingJob) -> bool:
        """Whether somebody has asked for its end meanwhile."""
        with self._lock:
            return job.stopping

    def _begin_stop(self, job: TrainingJob, secondary: str) -> None:
        with self._lock:
            job.stopping = True
            self._step(job, "Stopping", "Stopping")

        def stop() -> None:
            until = time.monotonic() + self.linger_seconds
            for container in job.containers:
                container.stop(self.stop_seconds)
                container.keep_checkpoints()
            while time.monotonic() < until and not job.ended.is_set():
                time.sleep(0.01)
            self._end(job, "Stopped", secondary)

        threading.Thread(target=stop, name=f"stopping {job.name}", daemon=True).start()

    def _end(self, job: TrainingJob, status: str, secondary: str, reason: str = "") -> None:
        with self._lock:
            if job.status in _TERMINAL or (job.stopping and status != "Stopped"):
                return
            job.reason = reason
            self._step(job, status, secondary)
        job.ended.set()

    def _step(self, job: TrainingJob, status: str, secondary: str) -> None:
        now = time.time()
        with self._lock:
            if job.steps:
                job.steps[-1]["EndTime"] = now
            job.status, job.secondary = status, secondary
            message = _MESSAGES.get(secondary, secondary)
            job.steps.append({"Status": secondary, "StartTime": now, "StatusMessage": message})

    def _metrics(self, job: TrainingJob) -> list[dict[str, Json]]:
        found = []
        for metric in job.request["AlgorithmSpecification"].get("MetricDefinitions") or ():
            values = [hit.group(1) for line in job.lines for hit in re.finditer(metric["Regex"], line)]
            if values:
                found.append({"MetricName": metric["Name"], "Value": float(values[-1]), "Timestamp": time.time()})
        return found

    # --- for tests ---

    def interrupt(self, name: str, *, seconds: float = 120.0) -> None:
        """Take the spot machines of a job away: SIGTERM, then the container starts again on others."""
        job = self.jobs[name]
        if not job.request.get("EnableManagedSpotTraining"):
            raise ValueError(f"{name} is no spot job: its machines are not taken away")
        job.interrupted.set()
        for container in job.containers:
            container.stop(seconds)

    def end(self, name: str, secondary: str = "Completed", reason: str = "") -> None:
        """Let a job end now, in any of the secondary states that are the last."""
        job = self.jobs[name]
        if secondary in ("Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
            self._begin_stop(job, secondary)
        else:
            self._end(job, secondary, secondary, reason)

    def show(self, name: str, status: str, secondary: str) -> None:
        """Let a job be in a state, whatever it is."""
        self._step(self.jobs[name], status, secondary)

    def vanish(self, name: str) -> None:
        """Remove a job without a trace."""
        job = self.jobs.pop(name)
        self._drop(job)

    def live(self) -> list[TrainingJob]:
        """Those that have not ended."""
        with self._lock:
            return [job for job in self.jobs.values() if job.status not in _TERMINAL]

    def clear(self) -> None:
        """End and forget all of them."""
        with self._lock:
            jobs = list(self.jobs.values())
            self.jobs.clear()
            self.made.clear()
            self.images.clear()
            self.missing_images.clear()
            self.image_environment.clear()
            self.poisoned.clear()
            self.gates.clear()
            self.stop_seconds, self.linger_seconds, self.limit = 120.0, 0.0, 1_000_000
        for job in jobs:
            self._drop(job)

    def _drop(self, job: TrainingJob) -> None:
        job.stopping = True
        job.ended.set()
        for container in job.containers:
            container.kill()


def install(double: SageMakerDouble) -> None:
    """Add training jobs to a double."""
    double.training = TrainingJobs(double)


__all__ = ["Course", "TrainingJob", "TrainingJobs", "install"]
