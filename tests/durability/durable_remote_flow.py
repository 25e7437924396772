"""Workflows of remote jobs, for engines of other processes."""

from __future__ import annotations

from flytepath import PythonInstanceTask, kwtypes, map_task, workflow
from flytepath.testing.reference_task import VendorJob

GIVES = {"rows": {"$input": "x"}}
QUERY = {"inputs": kwtypes(x=int), "outputs": kwtypes(rows=int)}
quick = PythonInstanceTask("quick", VendorJob(seconds=1.0, outputs=GIVES), **QUERY)
endless = PythonInstanceTask("endless", VendorJob(seconds=None, outputs=GIVES), **QUERY)


@workflow
def one(x: int) -> int:
    return quick(x=x)


@workflow
def two(x: int) -> int:
    return quick(x=quick(x=x))


@workflow
def fan(xs: list[int]) -> list[int]:
    return map_task(quick)(x=xs)


@workflow
def for_ever(x: int) -> int:
    return endless(x=x)
