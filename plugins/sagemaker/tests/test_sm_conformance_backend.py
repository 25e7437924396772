"""The backend keeps to the contract, on the double with training jobs that say what becomes of them."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flyte_plugin_sagemaker.backend import SageMakerBackend
from flyte_plugin_sagemaker.settings import SageMakerSettings
from flyte_plugin_sagemaker.tags import stamp_of
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flyte_plugin_sagemaker.testing.training import Course as Played
from flytepath.plugin import Handle, JobKey, PlanRequest, SecretReference, WorkerLaunch
from flytepath.testing import BackendConformance
from flytepath.testing.backend_conformance import BackendVendor, Course

KEY_ID, SECRET, TOKEN = (SecretReference("aws", name) for name in ("id", "secret", "token"))
_IMAGES = {
    Course.RUNS: Played(),
    Course.ENDS: Played("Completed"),
    Course.FAILS: Played("Failed", "AlgorithmError: no such column, exit code: 1"),
}


class Vendor(BackendVendor):
    """A double whose images are played."""

    task_type = "sagemaker-training"

    def __init__(self, double: SageMakerDouble) -> None:
        self.double = double
        double.training.images |= {f"example.com/{course}:1": played for course, played in _IMAGES.items()}

    def backend(self) -> SageMakerBackend:
        settings = self.double.settings(access_key_id=KEY_ID, secret_access_key=SECRET, session_token=TOKEN)
        return SageMakerBackend(SageMakerSettings(**settings))

    def secret(self, reference: SecretReference) -> bytes:
        return {KEY_ID: b"AKIACONFORMANCE", SECRET: b"wJalrXUtnFEMI/K7MDENG", TOKEN: b"IQoJb3JpZ2luX2Vj"}[reference]

    def payload(self, course: Course) -> dict[str, Any]:
        return {"image": f"example.com/{course}:1"}

    def complete(self, request: PlanRequest) -> PlanRequest:
        return replace(request, worker=WorkerLaunch(("python", "-m", "flytepath.worker"), {}, "", None, "", ""))

    def count(self, key: JobKey) -> int:
        return sum(_key(request) == key for request in self.double.training.made)

    def live(self, key: JobKey) -> int:
        return sum(_key(job.request) == key for job in self.double.training.live())

    def finish(self, handle: Handle) -> None:
        self.double.training.end(handle.data["name"])

    def vanish(self, handle: Handle) -> None:
        self.double.training.vanish(handle.data["name"])

    def preempt(self, handle: Handle) -> None:
        self.double.training.end(
            handle.data["name"], "Failed", "CapacityError: Unable to provision requested ML compute"
        )

    def unknown_state(self, handle: Handle) -> str:
        self.double.training.show(handle.data["name"], "InProgress", "Dreaming")
        return "Dreaming"

    def poison(self, handle: Handle) -> None:
        self.double.training.poisoned.add(handle.data["name"])

    def logged(self, handle: Handle) -> str:
        return ""

    def cut_off_after_accept(self) -> None:
        self.double.faults.cut_after("CreateTrainingJob")

    def refuse_submit(self) -> None:
        self.double.faults.refuse("CreateTrainingJob", "ValidationException", "Could not assume role")

    def fail_polls(self, times: int) -> None:
        self.double.faults.clear()
        if times:
            self.double.faults.unavailable("DescribeTrainingJob", times=times)

    def throttle(self, seconds: float) -> None:
        self.double.faults.throttle(retry_after=seconds)

    def reject_credentials(self, rejected: bool) -> None:
        self.double.faults.reject_keys(rejected)

    def hide_new_jobs(self, seconds: float) -> None:
        self.double.faults.hide(seconds)

    def linger(self, seconds: float) -> None:
        self.double.training.linger_seconds = seconds

    def make_foreign(self, name: str) -> str:
        self.double.client("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": f"example.com/{Course.RUNS}:1", "TrainingInputMode": "File"},
            RoleArn=self.double.settings()["role_arn"],
            OutputDataConfig={"S3OutputPath": "s3://artifacts/theirs"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
        return name

    def is_untouched(self, foreign: str) -> bool:
        job = self.double.training.jobs.get(foreign)
        return job is not None and not job.stopping and "Tags" not in job.request


def _key(request: dict[str, Any]) -> JobKey | None:
    stamp = stamp_of(request.get("Tags") or ())
    return None if stamp is None else stamp.key


@functools.cache
def _double() -> SageMakerDouble:
    double = SageMakerDouble()
    atexit.register(double.close)
    return double


class TestBackend(BackendConformance):
    backend = "sagemaker"
    name_pattern = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    patience_seconds = 60.0
    scattered_errors = 60

    @contextmanager
    def vendor(self) -> Iterator[Vendor]:
        double = _double()
        double.reset()
        yield Vendor(double)
        double.reset()
        assert not double.errors

    def planner(self) -> SageMakerBackend:
        settings = {"role_arn": "arn:aws:iam::123456789012:role/r", "image": "an/image:1", "output_path": "s3://b/p"}
        return SageMakerBackend(SageMakerSettings(**settings))
