"""How training jobs live: states that follow each other, containers, stopping, spot; and the levers of tests.

States: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
Stopping (SIGTERM, and 120 seconds later the end): .../API_StopTrainingJob.html
Spot: https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

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
TERMINAL: Final = frozenset({"Completed", "Failed", "Stopped"})


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


class TrainingLives:
    """The lives of the training jobs of a double.

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
        double.closing.append(self.clear)

    def live_on(self, job: TrainingJob) -> None:
        """The life of a job, from its start to its end."""
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
            self.step(job, "InProgress", state)
        return True

    def _play(self, job: TrainingJob, course: Course) -> None:
        if course.ends == "Completed":
            self.step(job, "InProgress", "Uploading")
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
            self.step(job, "InProgress", "Interrupted")
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
        self.step(job, "InProgress", "Uploading")
        job.containers[0].keep_model()
        self._end(job, "Completed", "Completed")
        return "completed"

    def _is_stopping(self, job: TrainingJob) -> bool:
        """Whether somebody has asked for its end meanwhile."""
        with self._lock:
            return job.stopping

    def begin_stop(self, job: TrainingJob, secondary: str) -> None:
        """Stop a job: SIGTERM, and then the end under a secondary state."""
        with self._lock:
            job.stopping = True
            self.step(job, "Stopping", "Stopping")

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
            if job.status in TERMINAL or (job.stopping and status != "Stopped"):
                return
            job.reason = reason
            self.step(job, status, secondary)
        job.ended.set()

    def step(self, job: TrainingJob, status: str, secondary: str) -> None:
        """Reach a state."""
        now = time.time()
        with self._lock:
            if job.steps:
                job.steps[-1]["EndTime"] = now
            job.status, job.secondary = status, secondary
            message = _MESSAGES.get(secondary, secondary)
            job.steps.append({"Status": secondary, "StartTime": now, "StatusMessage": message})

    def metrics(self, job: TrainingJob) -> list[dict[str, Json]]:
        """The last values that the expressions of a job's metrics find in its log."""
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
            self.begin_stop(job, secondary)
        else:
            self._end(job, secondary, secondary, reason)

    def show(self, name: str, status: str, secondary: str) -> None:
        """Let a job be in a state, whatever it is."""
        self.step(self.jobs[name], status, secondary)

    def vanish(self, name: str) -> None:
        """Remove a job without a trace."""
        job = self.jobs.pop(name)
        self._drop(job)

    def live(self) -> list[TrainingJob]:
        """Those that have not ended."""
        with self._lock:
            return [job for job in self.jobs.values() if job.status not in TERMINAL]

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


__all__ = ["GROUP", "TERMINAL", "Course", "TrainingJob", "TrainingLives"]
