"""A container that somebody else runs: a worker writes its files before it, and another reads them after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flytepath import ContainerTask, kwtypes
from flytepath.authoring.call import task_type_of
from flytepath.authoring.kinds.container_run import ContainerRuntimeError
from flytepath.authoring.kinds.processes import ProcessFailedError
from flytepath.plugin import NO_OUTPUT
from flytepath.testing import MemoryTaskContext

AREA = ContainerTask(
    name="area",
    image="alpine:3.20",
    command=["sh", "-c", "echo $(($0 * $1)) > /var/outputs/area", "{{.inputs.a}}", "{{.inputs.b}}"],
    inputs=kwtypes(a=int, b=int),
    outputs=kwtypes(area=int),
)


def stage(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the worker of a stage gives; the files lie in ``folder``."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("FLYTEPATH_CONTAINER_STAGE", name)
    monkeypatch.setenv(f"FLYTEPATH_CONTAINER_{name.upper()}", str(folder))
    declaration, kind = AREA.declaration(), task_type_of(AREA)
    context = MemoryTaskContext(declaration, folder, payload=kind.compile(declaration))
    return kind.execute(context, {"a": 3, "b": 4}, lambda inputs: None)


def test_the_first_stage_writes_the_inputs_and_gives_no_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage("inputs", tmp_path / "in", monkeypatch) is NO_OUTPUT
    assert (tmp_path / "in" / "a").read_text() == "3"
    assert (tmp_path / "in" / "b").read_text() == "4"
    assert (tmp_path / "in" / "inputs.json").exists()


def test_the_last_stage_reads_what_the_container_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "area").write_text("12\n")
    assert stage("outputs", tmp_path / "out", monkeypatch) == 12


def test_an_output_that_was_not_written_fails_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProcessFailedError, match="did not write the output 'area'"):
        stage("outputs", tmp_path / "out", monkeypatch)


@pytest.mark.parametrize("name", ["inputs", "outputs", "neither"])
def test_a_stage_that_knows_no_folder_says_who_is_to_blame(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_CONTAINER_STAGE", name)
    declaration, kind = AREA.declaration(), task_type_of(AREA)
    context = MemoryTaskContext(declaration, Path(), payload=kind.compile(declaration))
    with pytest.raises(ContainerRuntimeError, match="does not say where its files lie"):
        kind.execute(context, {"a": 1, "b": 2}, lambda inputs: None)
