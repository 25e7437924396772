"""Durable runs of tasks in environments of their own: conflicting libraries, and failures that are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from made_wheels import Wheels

FLOW = """
    from flytepath import ImageSpec, dynamic, map_task, task, workflow

    def image(*packages):
        return ImageSpec(packages=list(packages), pip_extra_args={arguments!r}, env={{"WORD": "image"}})

    def version():
        import conflictlib, os
        return f"{{conflictlib.VERSION}} {{os.environ['WORD']}}"

    @task(container_image=image("conflictlib==1.0"))
    def old() -> str:
        return version()

    @task(container_image=image("conflictlib==2.0"))
    def new(x: int = 0) -> str:
        return version()

    @task
    def plain() -> str:
        try:
            return version()
        except ModuleNotFoundError:
            return "none"

    @dynamic
    def several(n: int) -> list[str]:
        return map_task(new)(x=list(range(n)))

    @workflow
    def all_kinds() -> tuple[str, str, str, list[str]]:
        return old(), new(x=1), plain(), several(n=3)

    @task(container_image=image("nosuchlib"), retries=2)
    def impossible() -> str:
        return "never"

    @workflow
    def fails() -> str:
        return impossible()
"""


@pytest.fixture
def flow(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    wheels = Wheels(tmp_path / "wheels")
    wheels.add("conflictlib", "1.0")
    wheels.add("conflictlib", "2.0")
    cli.write("flow.py", FLOW.format(arguments=wheels.arguments))
    return cli


def test_tasks_with_conflicting_libraries_run_in_one_workflow(flow: Any) -> None:
    view = flow.json("run", "flow.py", "all_kinds")
    assert view["status"] == "succeeded", view["error"]
    assert [output["data"] for output in view["outputs"].values()] == [
        "1.0 image",
        "2.0 image",
        "none",
        ["2.0 image"] * 3,
    ]
    assert len(flow.json("environments", "list")) == 2


def test_a_requirement_that_cannot_be_had_fails_the_task_once(flow: Any) -> None:
    done = flow.run("run", "flow.py", "fails", status=1)
    assert "[FP-ENVIRONMENT]" in done.stderr
    assert "nosuchlib cannot be had" in done.stderr
    assert "attempt 2" not in done.stderr
