"""Files, directories and streams between tasks, in direct calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flytepath import task, workflow
from flytepath.errors import CompileError, TypeTransformerFailedError
from flytepath.types.directories import FlyteDirectory
from flytepath.types.file_formats import CSVFile, PNGImageFile
from flytepath.types.files import FlyteFile
from flytepath.types.iterators import FlyteIterator
from flytepath.types.transfers import MissingFileError


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Types with a format are looked for among those of plugins, which must be those of the test."""
    from flytepath.plugin.manager import set_current

    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path_factory.mktemp("home")))
    before = set_current(None)
    yield
    set_current(before)


@task
def read(file: FlyteFile) -> str:
    assert type(file) is FlyteFile
    return Path(file).read_text()


@task
def read_both(first: FlyteFile, second: FlyteFile) -> str:
    return Path(first).read_text() + Path(second).read_text()


def test_paths_become_files_for_the_task_and_paths_become_outputs(tmp_path):
    @task
    def write(folder: Path, text: str) -> FlyteFile:
        place = folder / "always-the-same.txt"
        place.write_text(text)
        return place  # type: ignore[return-value]

    @workflow
    def both(folder: Path) -> str:
        return read_both(first=write(folder=folder, text="1"), second=write(folder=folder, text="2"))

    assert both(folder=tmp_path) == "12"
    (tmp_path / "x").write_text("given")
    assert read(file=str(tmp_path / "x")) == read(file=tmp_path / "x") == read(FlyteFile(tmp_path / "x")) == "given"
    assert type(write(folder=tmp_path, text="3")) is FlyteFile


def test_a_missing_file_names_the_task_and_the_argument(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        read(file=tmp_path / "none")
    assert caught.value.place == f"{__name__}.read(file)"

    @task
    def lose() -> dict[str, FlyteFile]:
        return {"x": FlyteFile("/none")}

    with pytest.raises(TypeTransformerFailedError) as lost:
        lose()
    assert (lost.value.place or "").endswith("lose() -> o0['x']")


def test_files_of_other_formats_do_not_fit_together():
    @task
    def table() -> CSVFile:
        raise NotImplementedError

    @task
    def show(image: PNGImageFile) -> None: ...

    @task
    def take(anything: FlyteFile) -> None: ...

    @workflow
    def wrong() -> None:
        show(image=table())

    @workflow
    def right() -> None:
        take(anything=table())

    with pytest.raises(CompileError, match=r"file\[png\]"):
        wrong()
    with pytest.raises(NotImplementedError):
        right()


def test_a_task_cannot_change_what_another_gave(tmp_path):
    @task
    def spoil(folder: FlyteDirectory) -> int:
        Path(folder, "x").write_text("spoilt")
        return 1

    @task
    def look(folder: FlyteDirectory, after: int) -> str:
        return Path(folder, "x").read_text()

    @workflow
    def two(folder: FlyteDirectory) -> str:
        return look(folder=folder, after=spoil(folder=folder))

    (tmp_path / "x").write_text("whole")
    assert two(folder=FlyteDirectory(tmp_path)) == "whole"
    assert (tmp_path / "x").read_text() == "whole"


def test_a_generator_is_a_task():
    @task
    def numbers(count: int) -> Iterator[int]:
        yield from range(count)

    @task
    def squares(numbers: Iterator[int]) -> Iterator[int]:
        assert len(numbers) == 4  # type: ignore[arg-type]
        return (number * number for number in numbers)

    @task
    def total(numbers: Iterator[int]) -> int:
        return sum(numbers) + sum(numbers)

    @workflow
    def whole(count: int) -> tuple[int, Iterator[int]]:
        made = numbers(count=count)
        return total(numbers=squares(numbers=made)), made

    result, made = whole(count=4)
    assert result == 28
    assert type(made) is FlyteIterator
    assert list(made) == [0, 1, 2, 3]


def test_an_error_in_a_generator_is_its_own_and_tells_of_the_task():
    @task
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("no second")

    with pytest.raises(LookupError, match="no second") as caught:
        failing()
    assert any("failing" in note for note in caught.value.__notes__)

    @task
    def wrong() -> Iterator[int]:
        yield 1
        yield "2"  # type: ignore[misc]

    with pytest.raises(TypeTransformerFailedError) as refused:
        wrong()
    assert (refused.value.place or "").endswith("wrong() -> o0[1]")
