"""The backend keeps to the contract with jobs of SageMaker's own, too: processing jobs stand for all of them."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from flyte_plugin_sagemaker import SageMakerProcessingJobTask
from flyte_plugin_sagemaker.backend import SageMakerBackend
from flyte_plugin_sagemaker.service_request import SageMakerRequestType
from flyte_plugin_sagemaker.settings import SageMakerSettings
from flyte_plugin_sagemaker.tags import stamp_of
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flytepath.plugin import Handle, JobKey, SecretReference
from flytepath.testing import BackendConformance
from flytepath.testing.backend_conformance import BackendVendor, Course

KEY_ID, SECRET, TOKEN = (SecretReference("aws", name) for name in ("id", "secret", "token"))
_STATES: dict[str, tuple[Sequence[str], str]] = {
    Course.RUNS: (["InProgress"], ""),
    Course.ENDS: (["InProgress", "InProgress", "Completed"], ""),
    Course.FAILS: (["InProgress", "InProgress", "Failed"], "AlgorithmError: no such column, exit code: 1"),
}
CLUSTER = {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}}
WORD = "ProcessingJob"


def _image(course: str) -> str:
    return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{course}:1"


def _chosen(word: str, body: dict[str, Any]) -> tuple[Sequence[str], str] | None:
    image = (body.get("AppSpecification") or {}).get("ImageUri", "")
    return next((states for course, states in _STATES.items() if image == _image(course)), None)


class Vendor(BackendVendor):
    """A double whose processing jobs go the way that their image names."""

    task_type = "sagemaker-request"

    def __init__(self, double: SageMakerDouble) -> None:
        self.double = double
        self.services = double.services
        self.services.choose = _chosen

    def backend(self) -> SageMakerBackend:
        settings = self.double.settings(access_key_id=KEY_ID, secret_access_key=SECRET, session_token=TOKEN)
        return SageMakerBackend(SageMakerSettings(**settings))

    def secret(self, reference: SecretReference) -> bytes:
        return {KEY_ID: b"AKIACONFORMANCE", SECRET: b"wJalrXUtnFEMI/K7MDENG", TOKEN: b"IQoJb3JpZ2luX2Vj"}[reference]

    def payload(self, course: Course) -> dict[str, Any]:
        config = {"AppSpecification": {"ImageUri": _image(course)}, "ProcessingResources": CLUSTER}
        task = SageMakerProcessingJobTask("conformance", config)
        payload: dict[str, Any] = SageMakerRequestType().compile(task.declaration("sagemaker"))
        return payload

    def count(self, key: JobKey) -> int:
        return sum(_key(request) == key for request in self.services.history)

    def live(self, key: JobKey) -> int:
        things = [thing for thing in self.services.things.values() if thing.state in ("InProgress", "Stopping")]
        return sum(_key(thing.request) == key for thing in things)

    def finish(self, handle: Handle) -> None:
        self.services.go(WORD, handle.data["name"], "Completed")

    def vanish(self, handle: Handle) -> None:
        del self.services.things[WORD, handle.data["name"]]

    def preempt(self, handle: Handle) -> None:
        reason = "CapacityError: Unable to provision requested ML compute"
        self.services.go(WORD, handle.data["name"], "Failed", reason=reason)

    def unknown_state(self, handle: Handle) -> str:
        self.services.go(WORD, handle.data["name"], "Dreaming")
        return "Dreaming"

    def cut_off_after_accept(self) -> None:
        self.double.faults.cut_after("CreateProcessingJob")

    def refuse_submit(self) -> None:
        self.double.faults.refuse("CreateProcessingJob", "ValidationException", "Could not assume role")

    def fail_polls(self, times: int) -> None:
        self.double.faults.clear()
        if times:
            self.double.faults.unavailable("DescribeProcessingJob", times=times)

    def throttle(self, seconds: float) -> None:
        self.double.faults.throttle(retry_after=seconds)

    def reject_credentials(self, rejected: bool) -> None:
        self.double.faults.reject_keys(rejected)

    def hide_new_jobs(self, seconds: float) -> None:
        self.double.faults.hide(seconds)

    def make_foreign(self, name: str) -> str:
        self.double.client("sagemaker").create_processing_job(
            ProcessingJobName=name,
            AppSpecification={"ImageUri": _image(Course.RUNS)},
            ProcessingResources=CLUSTER,
            RoleArn=self.double.settings()["role_arn"],
        )
        return name

    def is_untouched(self, foreign: str) -> bool:
        thing = self.services.get(WORD, foreign)
        return thing is not None and thing.state == "InProgress" and not thing.tags


def _key(request: dict[str, Any]) -> JobKey | None:
    stamp = stamp_of(request.get("Tags") or ())
    return None if stamp is None else stamp.key


@functools.cache
def _double() -> SageMakerDouble:
    double = SageMakerDouble()
    atexit.register(double.close)
    return double


@pytest.mark.proof
class TestProcessingJobs(BackendConformance):
    backend = "sagemaker"
    name_pattern = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    patience_seconds = 60.0

    @contextmanager
    def vendor(self) -> Iterator[Vendor]:
        double = _double()
        double.reset()
        yield Vendor(double)
        double.reset()
        assert not double.errors

    def planner(self) -> SageMakerBackend:
        return SageMakerBackend(SageMakerSettings(role_arn="arn:aws:iam::123456789012:role/r"))
