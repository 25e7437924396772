"""The workflows of the benchmark of remote jobs: jobs that run until the vendor is told to end them."""

from __future__ import annotations

from flytepath import PythonInstanceTask, kwtypes, map_task, workflow
from flytepath.testing.reference_task import VendorJob

job = PythonInstanceTask(
    "job",
    VendorJob(seconds=None, outputs={"y": {"$input": "x"}}),
    inputs=kwtypes(x=int),
    outputs=kwtypes(y=int),
)


def _jobs(x: int, count: int) -> None:
    for _ in range(count):
        job(x=x)


@workflow
def jobs_20(x: int) -> None:
    _jobs(x, 20)


@workflow
def jobs_100(x: int) -> None:
    _jobs(x, 100)


@workflow
def jobs_1000(x: int) -> None:
    _jobs(x, 1_000)


@workflow
def mapped(xs: list[int]) -> list[int]:
    return map_task(job)(x=xs)
