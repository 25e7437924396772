from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.authoring.checkpoint import Checkpoint, CheckpointError, CheckpointWarning
from flytepath.authoring.context import ExecutionContext, current_context, entered
from flytepath.authoring.task import task
from flytepath.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(params=["folder", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "a place")
    elif request.param == "file":
        yield (tmp_path / "a place").as_uri()
    else:
        import fsspec

        yield f"memory://{tmp_path.name}/place"
        fsspec.filesystem("memory").store.clear()


def test_the_first_attempt_has_nothing_to_start_from(place: str, tmp_path: Path) -> None:
    for checkpoint in (Checkpoint(place), Checkpoint(place, place), Checkpoint(place, f"{place}/other"), Checkpoint()):
        assert not checkpoint.prev_exists()
        assert checkpoint.read() is None
        assert checkpoint.restore(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()


def test_bytes_reach_the_next_attempt(place: str) -> None:
    first = Checkpoint(place)
    first.write(b"epoch 1")
    first.write(memoryview(b"epoch 2"))
    assert first.read() is None, "reading is about earlier attempts"
    second = Checkpoint(f"{place}-2", place)
    assert second.prev_exists()
    assert second.read() == b"epoch 2"
    second.write(b"")
    assert Checkpoint(None, f"{place}-2").read() == b""


def test_one_folder_may_serve_all_attempts(place: str) -> None:
    Checkpoint(place, place).write(b"1")
    second = Checkpoint(place, place)
    second.write(b"2")
    second.write(b"3")
    assert second.read() == b"1", "what the earlier attempt left stays until this one ends"
    assert Checkpoint(place, place).read() == b"3"


def test_a_folder_comes_back_as_it_was(place: str, tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "layers" / "empty").mkdir(parents=True)
    (source / "weights.bin").write_bytes(os.urandom(3_000_000))
    (source / "layers" / "ünï code.txt").write_text("x")
    Checkpoint(place).save(source)
    found = Checkpoint(None, place).restore(str(tmp_path / "back"))
    assert found == tmp_path / "back"
    assert _tree(found) == _tree(source)


def test_a_file_comes_back_under_its_name(place: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    checkpoint = Checkpoint(place)
    checkpoint.save(str(path))
    later = Checkpoint(None, place)
    assert later.read() == b"weights"
    assert _tree(later.restore(tmp_path / "back")) == {"model.pt": b"weights"}
    with path.open("rb") as file:
        checkpoint.save(file)
    assert _tree(Checkpoint(None, place).restore(tmp_path / "again")) == {"model.pt": b"weights"}
    checkpoint.save(io.BytesIO(b"more"))
    assert Checkpoint(None, place).read() == b"more"


def test_restoring_without_a_folder_gives_one_that_goes_away(place: str) -> None:
    Checkpoint(place).write(b"x")
    checkpoint = Checkpoint(None, place)
    folder = checkpoint.restore()
    assert folder is not None and _tree(folder) == {"checkpoint": b"x"}
    checkpoint.close()
    assert not folder.exists()


def test_the_last_three_saves_take_room(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path))
    for number in range(5):
        checkpoint.write(bytes([number]) * 1000)
    assert sorted(path.name[-6:] for path in tmp_path.iterdir()) == ["000003", "000004", "000005"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path))
    checkpoint.write(b"good")

    class Breaks(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 2

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError("the cable fell out")
            return b"half"

    with pytest.raises(OSError, match="cable"):
        checkpoint.save(Breaks())  # type: ignore[arg-type]
    assert Checkpoint(None, str(tmp_path)).read() == b"good"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "what", ["flip", "cut", "grow", "remove", "manifest", "manifest cut", "manifest gone", "empty"]
)
def test_damage_is_passed_over_with_a_warning_that_names_it(tmp_path: Path, what: str) -> None:
    checkpoint = Checkpoint(str(tmp_path))
    checkpoint.write(b"good")
    checkpoint.write(b"weights")
    newest = tmp_path / "unnumbered-000002"
    (data,) = newest.glob("data/*")
    manifest = newest / "manifest.json"
    if what == "flip":
        data.write_bytes(b"weightz")
    elif what in ("cut", "grow"):
        data.write_bytes(b"weigh" if what == "cut" else b"weights!")
    elif what == "remove":
        data.unlink()
    elif what == "manifest":
        manifest.write_bytes(manifest.read_bytes().replace(b"bytes", b"state"))
    elif what == "manifest cut":
        manifest.write_bytes(manifest.read_bytes()[:40])
    elif what == "manifest gone":
        manifest.unlink()
    else:
        manifest.write_bytes(b"")
    with pytest.warns(CheckpointWarning, match="unnumbered-000002 is passed over: "):
        assert Checkpoint(None, str(tmp_path)).read() == b"good"
    with pytest.warns(CheckpointWarning):
        assert Checkpoint(None, str(tmp_path)).load() == b"good"
    shutil.rmtree(tmp_path / "unnumbered-000001")
    with pytest.warns(CheckpointWarning):
        assert not Checkpoint(None, str(tmp_path)).prev_exists()


def test_the_warning_comes_each_time(tmp_path: Path) -> None:
    Checkpoint(str(tmp_path)).write(b"weights")
    next(tmp_path.glob("*/manifest.json")).unlink()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            Checkpoint(None, str(tmp_path)).load()
        assert [str(item.message).partition(": ")[2] for item in caught] == ["it has no manifest"]
        assert caught[0].filename == __file__


def test_the_wrong_shape_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "a").write_text("1")
    (folder / "b").write_text("2")
    place = str(tmp_path / "place")
    checkpoint = Checkpoint(place)
    checkpoint.save(folder)
    with pytest.raises(CheckpointError, match="restore"):
        Checkpoint(None, place).read()
    with pytest.raises(CheckpointError, match="folder"):
        Checkpoint(None, place).restore(folder / "a")


def test_what_cannot_be_saved_is_told(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path / "place"))
    with pytest.raises(CheckpointError, match="nothing to save"):
        checkpoint.save(tmp_path / "nowhere")
    for value in ("text", 3, None, [1]):
        with pytest.raises(InputError, match="bytes"):
            checkpoint.write(value)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="path or an open file"):
        checkpoint.save(3)  # type: ignore[arg-type]
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    with pytest.raises(CheckpointError, match="link"):
        checkpoint.save(folder)
    os.mkfifo(tmp_path / "folder-pipe")
    (folder / "loop").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(CheckpointError, match="only files and folders"):
        checkpoint.save(folder)


def test_a_scheme_that_nobody_knows_is_told() -> None:
    with pytest.raises(CheckpointError, match="fsspec"):
        Checkpoint("nosuchscheme://x").write(b"x")


def test_an_attempt_that_wrote_nothing_hides_nothing(tmp_path: Path) -> None:
    folders = [str(tmp_path / name) for name in ("3", "2", "1")]
    assert Checkpoint(sources=folders).load() is None
    Checkpoint(folders[2]).write(b"old")
    assert Checkpoint(sources=folders).read() == b"old"
    Checkpoint(folders[1]).write(b"new")
    assert Checkpoint(sources=folders).read() == b"new"


def test_threads_of_an_attempt_do_not_tear_it(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path))
    values = [bytes([number]) * 10_000 for number in range(8)]
    threads = [threading.Thread(target=checkpoint.write, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Checkpoint(None, str(tmp_path)).read() in values
    assert sorted(path.name[-6:] for path in tmp_path.iterdir()) == ["000006", "000007", "000008"]


def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from flytepath.authoring.checkpoint import Checkpoint
        checkpoint = Checkpoint(sys.argv[1])
        number = 0
        while True:
            checkpoint.write(bytes([number % 256]) * 2_000_000)
            number += 1
            print(number, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout:
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)  # what it was writing
        content = Checkpoint(None, str(tmp_path)).read()
    assert content is not None and len(content) == 2_000_000 and len(set(content)) == 1


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4))
@settings(max_examples=20)
def test_the_last_bytes_count(contents: list[bytes]) -> None:
    import fsspec

    place = "memory://the-last-bytes"
    try:
        for content in contents:
            Checkpoint(place).write(content)
        assert Checkpoint(None, place).read() == contents[-1]
    finally:
        fsspec.filesystem("memory").store.clear()


def test_a_task_called_directly_has_a_checkpoint_that_is_forgotten() -> None:
    seen: list[Any] = []

    @task
    def train(x: int) -> int:
        checkpoint = current_context().checkpoint
        assert checkpoint is current_context().checkpoint
        seen.append((checkpoint.prev_exists(), checkpoint.read()))
        checkpoint.write(b"state")
        return x

    assert train(x=1) == train(x=1) == 1
    assert seen == [(False, None)] * 2


def test_the_context_passes_places_on(tmp_path: Path) -> None:
    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    with entered(ExecutionContext(checkpoint_destination=first)) as context:
        context.checkpoint.write(b"1")
    with entered(ExecutionContext(checkpoint_sources=(first,), checkpoint_destination=second)) as context:
        assert context.checkpoint.read() == b"1"
        context.checkpoint.write(b"2")
    assert Checkpoint(None, second).read() == b"2"


def _tree(folder: Path | None) -> dict[str, bytes | None]:
    assert folder is not None
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
