"""What values need of the attempt they come from, in direct calls: its folder, its context, one look at each item."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from flytepath import current_context, task, workflow
from flytepath.errors import TypeTransformerFailedError
from flytepath.types.directories import FlyteDirectory
from flytepath.types.files import FlyteFile


def test_a_file_in_the_working_directory_outlives_the_call():
    @task
    def write(text: str) -> tuple[FlyteFile, dict[str, list[FlyteDirectory]]]:
        folder = current_context().working_directory
        (folder / "d").mkdir()
        (folder / "d" / "x").write_text(text)
        (folder / "x").write_text(text)
        return FlyteFile(folder / "x"), {"all": [FlyteDirectory(folder / "d"), FlyteDirectory.new("e")]}

    file, folders = write(text="kept")
    assert Path(file).read_text() == Path(folders["all"][0], "x").read_text() == "kept"
    assert Path(folders["all"][1]).is_dir()


def test_what_a_task_downloads_goes_with_its_folder(tmp_path):
    seen = []

    @task
    def read(file: FlyteFile) -> FlyteFile:
        seen.append(Path(file))
        assert current_context().working_directory in Path(file).parents
        return file

    (tmp_path / "x").write_text("x")
    assert Path(read(file=tmp_path / "x")).read_text() == "x"
    assert not seen[0].exists()


def test_a_generator_runs_in_the_context_of_its_task():
    @task
    def names() -> Iterator[str]:
        yield current_context().logging.name
        yield "second"

    assert next(iter(names())) == f"flytepath.task.{names.name}"
    assert logging.getLogger(f"flytepath.task.{names.name}")


def test_an_error_in_a_generator_names_the_task():
    @task
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("no second")

    with pytest.raises(LookupError) as caught:
        failing()
    assert f"in task {failing.name}" in caught.value.__notes__


def test_a_wrong_item_is_not_passed_over():
    @task
    def total(numbers: Iterator[int]) -> int:
        return sum(numbers)

    with pytest.raises(TypeTransformerFailedError) as caught:
        total(numbers=iter([1, "2", 3]))
    assert (caught.value.place or "").endswith("total(numbers[1])")


def test_a_default_may_name_a_file_that_is_not_here():
    @task
    def read(file: FlyteFile = FlyteFile("/only/elsewhere.txt")) -> str:
        return Path(file).read_text()

    @workflow
    def flow() -> str:
        return read()

    with pytest.raises(FileNotFoundError, match="elsewhere"):
        read()
    with pytest.raises((FileNotFoundError, TypeError), match="elsewhere"):
        flow()
