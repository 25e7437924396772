"""What workers elsewhere are started with: one archive of the code, one blob for the attempts of a job."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from flytepath.bundle import Bundle, unpack
from flytepath.engine.jobs import worker_launches
from flytepath.engine.jobs.worker_launches import WorkerLaunches
from flytepath.errors import ConfigError, StoreError, StoreUnavailableError
from flytepath.model.literal import Literal
from flytepath.model.messages import RunAttempt
from flytepath.model.task import Body, Interface, TaskSpec
from flytepath.model.types import INTEGER
from flytepath.store.blobs import BlobFolder
from flytepath.worker.remote import attempts_at

FILES = {"flow.py": b"x = 1\n", "parts/__init__.py": b"", "parts/table.csv": b"a,b\n", "ümlaut.txt": b"u"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLYTEPATH_BLOBS", str(tmp_path / "shared"))
    return tmp_path / "home"


def request(home: Path, number: int = 0, bundle: Bundle | None = None, **changes: Any) -> RunAttempt:
    """An attempt of an item, whose code is that of its execution unless its task has its own."""
    code = unpack(Bundle.of(FILES), home)
    task = TaskSpec(
        name="flow.step",
        interface=Interface(),
        body=Body(kind="function", entry="flow:step"),
        backend="process",
        variables={"A": "1"},
        environment="ghcr.io/acme/train:3",
    )
    if bundle is not None:
        unpack(bundle, home)
        task = task.model_copy(update={"bundle": bundle.digest})
    facts: dict[str, Any] = {
        "execution": "x1",
        "node": f"n0/{number}",
        "attempt": 1,
        "inputs": {"x": Literal.make(INTEGER, number)},
        "working_directory": "/here/alone",
        "log_path": "/here/alone/log",
        "raw_output_prefix": f"{home}/outputs/x1/n0-{number}/1",
        "task": task,
        "project": "p",
        "domain": "d",
        "code_path": str(code),
    }
    return RunAttempt(**{**facts, **changes})


def test_the_code_of_a_thousand_attempts_is_packed_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[Path] = []
    archive = worker_launches._archive
    monkeypatch.setattr(
        worker_launches, "_archive", lambda folder, file: (packed.append(folder), archive(folder, file))
    )
    launches = WorkerLaunches(home)
    made = [launches.of([request(home, number)]) for number in range(1000)]
    assert len(packed) == 1
    assert len({launch.bundle for launch in made}) == 1
    assert len({launch.inputs_uri for launch in made}) == 1000


def test_the_same_attempts_make_the_same_launch_in_any_engine(home: Path, tmp_path: Path) -> None:
    first = WorkerLaunches(home).of([request(home)])
    for path in (home / "bundles").rglob("*.py"):
        os.utime(path, (1, 1))
    assert WorkerLaunches(home).of([request(home)]) == first


def test_a_slice_is_one_blob_with_its_items_in_order(home: Path) -> None:
    launch = WorkerLaunches(home).of([request(home, number) for number in (4, 2, 9)])
    given = attempts_at(launch.inputs_uri)
    assert [attempt.node for attempt in given.attempts] == ["n0/4", "n0/2", "n0/9"]
    assert [place.rsplit("/", 2)[1] for place in given.outcomes] == ["n0-4", "n0-2", "n0-9"]
    assert given.blob_root == os.environ["FLYTEPATH_BLOBS"]
    assert not any(attempt.working_directory or attempt.log_path for attempt in given.attempts)
    assert (launch.image, launch.env) == ("ghcr.io/acme/train:3", {"A": "1"})
    assert launch.argv[-2:] == ("--attempt", launch.inputs_uri)


def test_the_archive_holds_the_code_and_nothing_that_was_made_of_it(home: Path) -> None:
    code = Path(request(home).code_path)
    (code / "parts" / "__pycache__").mkdir()
    (code / "parts" / "__pycache__" / "x.pyc").write_bytes(b"made")
    launch = WorkerLaunches(home).of([request(home)])
    assert launch.bundle is not None
    with zipfile.ZipFile(launch.bundle.uri.removeprefix("file://")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_a_task_of_another_bundle_takes_its_own_code(home: Path) -> None:
    launches = WorkerLaunches(home)
    own, other = launches.of([request(home)]), launches.of([request(home, bundle=Bundle.of({"flow.py": b"y = 2\n"}))])
    assert own.bundle is not None
    assert other.bundle is not None
    assert own.bundle.digest != other.bundle.digest


def test_code_that_is_gone_is_no_outage(home: Path) -> None:
    gone = request(home)
    gone = gone.model_copy(update={"task": gone.task.model_copy(update={"bundle": "sha256:" + "0" * 64})})
    with pytest.raises(StoreError, match="code of this execution is missing") as raised:
        WorkerLaunches(home).of([gone])
    assert not isinstance(raised.value, StoreUnavailableError)


@pytest.mark.parametrize("root", ["file in the way", "wherever://bucket"])
def test_a_storage_that_cannot_be_written_is_an_outage(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    (tmp_path / "shared").write_text("a file")
    if "://" in root:
        monkeypatch.setenv("FLYTEPATH_BLOBS", root)
    launches = WorkerLaunches(home)
    with pytest.raises(StoreUnavailableError, match="cannot be written") as raised:
        launches.of([request(home)])
    assert os.environ["FLYTEPATH_BLOBS"] in raised.value.message
    assert "\n" not in raised.value.message
    monkeypatch.setenv("FLYTEPATH_BLOBS", str(tmp_path / "another"))
    assert launches.of([request(home)]).bundle is not None


class NoCredentialsError(Exception):
    """As the client of S3 has it."""


@pytest.mark.parametrize(
    "refusal", [PermissionError("Access Denied"), NoCredentialsError("Unable to locate credentials")]
)
def test_a_storage_that_refuses_is_no_outage(home: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    def refuses(self: BlobFolder, *_: object) -> None:
        raise OSError("it cannot be written") from refusal

    monkeypatch.setattr(BlobFolder, "put_file", refuses)
    with pytest.raises(ConfigError, match="cannot be written") as raised:
        WorkerLaunches(home).of([request(home)])
    assert raised.value.place == "[store] blobs"
    assert "credentials" in str(raised.value.hint)
