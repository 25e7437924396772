"""What a job has written is read from CloudWatch piece by piece: each line once, in order, also by another process."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest
from flyte_plugin_sagemaker import SageMakerSettings, SagemakerTraining
from flyte_plugin_sagemaker.backend import SageMakerBackend
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flytepath.plugin import BackendError, ErrorClass, Handle
from sm_requests import WORKER, request

PROGRAM = "import sys\nfor number in range(int(sys.argv[1])): print('line', number, flush=True)"


@pytest.fixture
def backend(sagemaker_double: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> SageMakerBackend:
    for name, value in sagemaker_double.environment().items():
        monkeypatch.setenv(name, value)
    return SageMakerBackend(SageMakerSettings(**sagemaker_double.settings()))


def submitted(backend: SageMakerBackend, lines: int, machines: int = 1) -> Handle:
    worker = dataclasses.replace(WORKER, argv=("python", "-c", PROGRAM, str(lines)))
    payload: dict[str, Any] = SagemakerTraining(instance_count=machines).to_json()
    return asyncio.run(backend.submit(backend.plan(request(worker=worker, payload=payload))))


def read(backend: SageMakerBackend, handle: Handle) -> list[str]:
    lines: list[str] = []
    cursor, end = None, time.monotonic() + 60
    while time.monotonic() < end:
        chunk = asyncio.run(backend.logs(handle, cursor))
        lines += chunk.text.splitlines()
        cursor = chunk.cursor
        if chunk.complete:
            return lines
    raise AssertionError("the log does not end")


def test_each_line_is_read_once_while_the_job_runs(backend: SageMakerBackend) -> None:
    handle = submitted(backend, 300)
    assert read(backend, handle) == [f"line {number}" for number in range(300)]


def test_what_is_longer_than_a_page_is_read_to_its_end(
    backend: SageMakerBackend, sagemaker_double: SageMakerDouble
) -> None:
    handle = submitted(backend, 1)
    [job] = sagemaker_double.training.jobs.values()
    assert job.ended.wait(30)
    logs = sagemaker_double.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    [stream] = logs.describe_log_streams(logGroupName=group)["logStreams"]
    now = int(time.time() * 1000)
    events = [{"timestamp": now + number, "message": f"more {number}"} for number in range(2500)]
    logs.put_log_events(logGroupName=group, logStreamName=stream["logStreamName"], logEvents=events)
    assert read(backend, handle) == ["line 0", *(f"more {number}" for number in range(2500))]


def test_machines_are_told_apart(backend: SageMakerBackend) -> None:
    lines = read(backend, submitted(backend, 2, machines=2))
    assert len(lines) == 4
    assert all(line.startswith(("[algo-1-", "[algo-2-")) for line in lines)
    assert len({line.partition("]")[0] for line in lines}) == 2


def test_before_the_first_line_there_is_nothing(backend: SageMakerBackend, sagemaker_double: SageMakerDouble) -> None:
    sagemaker_double.training.gates.add("Training")
    handle = submitted(backend, 1)
    chunk = asyncio.run(backend.logs(handle))
    assert (chunk.text, chunk.complete) == ("", False)
    sagemaker_double.training.gates.clear()
    assert read(backend, handle) == ["line 0"]


def test_a_handle_of_another_backend_is_refused(backend: SageMakerBackend) -> None:
    with pytest.raises(BackendError) as caught:
        asyncio.run(backend.logs(Handle({"id": "1"})))
    assert caught.value.error_class is ErrorClass.PROTOCOL
