"""The folders of an execution, here and in a storage that all machines share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from flytepath.engine.local.places import Places, outcome_place, shelf_of
from flytepath.model.messages import AttemptFacts


@pytest.fixture(params=["here", "folder", "url"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "url":
        root = uuid.uuid4().hex
        yield f"memory://{root}/p/d"
        files = fsspec.filesystem("memory")
        if files.exists(f"/{root}"):
            files.rm(f"/{root}", recursive=True)
    else:
        yield "" if request.param == "here" else str(tmp_path / "shared" / "p" / "d")


def saved(places: Places, attempt: int) -> str:
    """A checkpoint of an attempt."""
    file = f"{places.of_attempt('n0/n1', attempt)['checkpoint_destination']}/state"
    if "://" in file:
        fsspec.filesystem("memory").pipe_file(file, b"x")
    else:
        Path(file).parent.mkdir(parents=True)
        Path(file).write_bytes(b"x")
    return file


def is_there(file: str) -> bool:
    return fsspec.filesystem("memory").exists(file) if "://" in file else Path(file).exists()


def test_attempts_find_those_before_them_newest_first(tmp_path: Path, shared: str) -> None:
    places = Places(tmp_path, "x2", shared)
    root = shared or str(tmp_path)
    facts = places.of_attempt("n0/n1", 3, recovers="x1", recovered_attempts=2)
    assert facts["checkpoint_destination"] == f"{root}/checkpoints/x2/n0-n1/3"
    assert facts["checkpoint_sources"] == (
        f"{root}/checkpoints/x2/n0-n1/2",
        f"{root}/checkpoints/x2/n0-n1/1",
        f"{root}/checkpoints/x1/n0-n1/2",
        f"{root}/checkpoints/x1/n0-n1/1",
    )
    assert facts["raw_output_prefix"] == f"{root}/outputs/x2/n0-n1/3"
    assert facts["working_directory"].startswith(str(tmp_path)), "work is done on the machine itself"


def test_outcomes_lie_beside_the_files_of_their_execution(tmp_path: Path, shared: str) -> None:
    facts = Places(tmp_path, "x2", shared).of_attempt("n0/n1", 3)
    attempt = AttemptFacts(execution="x2", node="n0/n1", attempt=3, **facts)
    assert shelf_of(attempt) == f"{shared or tmp_path}/outputs/x2"
    assert outcome_place(shelf_of(attempt), "n0/n1", 3) == f"{facts['raw_output_prefix']}.outcome"


@pytest.mark.parametrize(("ended", "well", "stays"), [(True, True, False), (True, False, True), (False, False, True)])
def test_checkpoints_go_when_the_execution_has_ended_well(
    tmp_path: Path, shared: str, ended: bool, well: bool, stays: bool
) -> None:
    mine, other = Places(tmp_path, "x2", shared), Places(tmp_path, "x22", shared)
    file, others = saved(mine, 1), saved(other, 1)
    mine.sweep(ended=ended, well=well)
    assert is_there(file) is stays
    assert is_there(others)


def test_a_sweep_where_nobody_saved_anything_is_quiet(
    tmp_path: Path, shared: str, caplog: pytest.LogCaptureFixture
) -> None:
    Places(tmp_path, "x3", shared).sweep(ended=True, well=True)
    assert not caplog.records


def test_a_storage_that_is_away_does_not_undo_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    places = Places(tmp_path, "x4", "memory://away/p/d")

    def refuses(*_given: object, **_more: object) -> None:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "rm", refuses)
    places.sweep(ended=True, well=True)
    assert "left behind" in caplog.text
    assert "nobody answers" in caplog.text
