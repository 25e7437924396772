"""One request to SageMaker as core makes it, without core: planned, submitted, looked at, collected, cancelled."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable
from typing import Any

from flyte_plugin_sagemaker.backend import SageMakerBackend
from flyte_plugin_sagemaker.service_request import SageMakerRequestType
from flyte_plugin_sagemaker.settings import SageMakerSettings
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flytepath import TypeEngine
from flytepath.plugin import (
    BackendError,
    Handle,
    JobKey,
    Observation,
    Owner,
    Plan,
    PlanRequest,
    Resources,
    Tenant,
)
from flytepath.testing import MemoryBlobs

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/server:1"


def request_of(task: Any, run: str = "run-1", tenant: Tenant | None = None, **inputs: Any) -> PlanRequest:
    """The job of a task in one run."""
    types = task.inputs
    return PlanRequest(
        key=JobKey("sha256:" + hashlib.sha256(f"{run}/{task.name}".encode()).hexdigest()),
        owner=Owner("here", tenant or Tenant("vision", "development"), run, f"n0/{task.name}"),
        task=task.name,
        task_type="sagemaker-request",
        payload=SageMakerRequestType().compile(task.declaration("sagemaker")),
        inputs={name: TypeEngine.to_literal(value, types[name]) for name, value in inputs.items()},
        requests=Resources(),
        limits=Resources(),
    )


@functools.cache
def account_at(double: SageMakerDouble) -> Account:
    """The account of a double, whose clients are made once for all tests."""
    return Account(double)


class Account:
    """The backend of one account."""

    def __init__(self, double: SageMakerDouble, **settings: Any) -> None:
        self.double = double
        environment = double.environment()
        self.backend = SageMakerBackend(SageMakerSettings(**double.settings(**settings)))
        from flytepath.plugin import SecretReference

        keys = {"id": environment["AWS_ACCESS_KEY_ID"], "secret": environment["AWS_SECRET_ACCESS_KEY"]}
        self.backend.settings = self.backend.settings.model_copy(
            update={
                "access_key_id": SecretReference("aws", "id"),
                "secret_access_key": SecretReference("aws", "secret"),
            }
        )
        self.backend.bind(lambda reference, tenant: keys[reference.key].encode())

    def call(self, method: str, *arguments: Any) -> Any:
        return asyncio.run(getattr(self.backend, method)(*arguments))

    def plan(self, task: Any, run: str = "run-1", tenant: Tenant | None = None, **inputs: Any) -> Plan:
        return self.backend.plan(request_of(task, run, tenant, **inputs))

    def submit(self, task: Any, run: str = "run-1", tenant: Tenant | None = None, **inputs: Any) -> Handle:
        handle: Handle = self.call("submit", self.plan(task, run, tenant, **inputs))
        return handle

    def look(self, handle: Handle) -> Observation:
        [seen] = self.call("poll", [handle]).values()
        if isinstance(seen, BackendError):
            raise seen
        return seen  # type: ignore[no-any-return]

    def until(self, handle: Handle, is_right: Callable[[Observation], bool], looks: int = 20) -> Observation:
        """The first look of that sort; states of the double go on with each look, so no clock is needed."""
        seen = []
        for _ in range(looks):
            seen.append(self.look(handle))
            if is_right(seen[-1]):
                return seen[-1]
        raise AssertionError(f"looked in vain: {seen}")

    def end(self, handle: Handle) -> Observation:
        return self.until(handle, lambda seen: seen.phase is not None and seen.phase.is_terminal)

    def outputs(self, handle: Handle) -> dict[str, Any]:
        blobs = MemoryBlobs()
        found = self.call("collect", handle, blobs)
        return {name: literal.data for name, literal in found.items()}

    def result(self, task: Any, run: str = "run-1", **inputs: Any) -> Any:
        """The result of a request that succeeds."""
        handle = self.submit(task, run, **inputs)
        seen = self.end(handle)
        assert seen.phase == "succeeded", seen
        return self.outputs(handle)["result"]
