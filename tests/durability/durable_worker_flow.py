"""Workflows whose tasks workers run elsewhere, for engines of other processes."""

from __future__ import annotations

import os
from pathlib import Path

from flytepath import current_context, map_task, task, workflow


@task
def step(x: int) -> int:
    context = current_context()
    ran = f"{context.execution_id.name} {context.node_path} {context.attempt} {os.getpid()}\n"
    with Path(os.environ["RAN"]).open("a") as file:
        file.write(ran)
    return x + 1


@workflow
def two(x: int) -> int:
    return step(x=step(x=x))


@workflow
def fan(xs: list[int]) -> list[int]:
    return map_task(step)(x=xs)
