"""The outcome of an attempt: one result that counts, whoever tries, and everybody's failures beside it."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from flytepath.errors import StoreError
from flytepath.store.outcomes import outcomes_at


@pytest.fixture(params=["folder", "file", "memory", "no create"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where outcomes may lie; ``no create`` is a store that cannot refuse a second object of a name."""
    if request.param == "folder":
        yield str(tmp_path / "n0" / "1.outcome")
    elif request.param == "file":
        yield f"file://{tmp_path}/n0 x/1.outcome"
    else:
        files = fsspec.filesystem("memory")
        if request.param == "no create":
            monkeypatch.setattr(type(files), "pipe_file", _without_modes(type(files).pipe_file))
        root = f"/{uuid.uuid4().hex}"
        yield f"memory:/{root}/n0/1.outcome"
        if files.exists(root):
            files.rm(root, recursive=True)


def _without_modes(pipe_file: Any) -> Any:
    def pipe(self: Any, path: str, value: bytes, mode: str = "overwrite", **_options: Any) -> Any:
        if mode == "create":
            raise NotImplementedError
        return pipe_file(self, path, value)

    return pipe


def test_nothing_is_there_at_first(place: str) -> None:
    outcomes = outcomes_at(place)
    assert outcomes.result() is None
    assert outcomes.all_of("errors") == outcomes.all_of("reports") == []


def test_the_first_result_counts_and_is_seen_by_everybody(place: str) -> None:
    mine, theirs = outcomes_at(place), outcomes_at(place)
    assert theirs.result() is None
    assert mine.commit(b"mine")
    assert not theirs.commit(b"theirs")
    assert not mine.commit(b"again")
    assert theirs.result() == mine.result() == outcomes_at(place).result() == b"mine"


def test_what_processes_say_stands_side_by_side(place: str) -> None:
    one, other = outcomes_at(place), outcomes_at(place)
    reader = outcomes_at(place)
    assert reader.all_of("errors") == []
    one.add("errors", b"one")
    other.add("errors", b"other")
    one.add("reports", b"told")
    assert sorted(reader.all_of("errors")) == [b"one", b"other"]
    assert reader.all_of("reports") == [b"told"]
    assert reader.result() is None


def test_what_is_said_again_is_there_once(place: str) -> None:
    """A call whose answer was lost is made again."""
    one = outcomes_at(place)
    one.add("errors", b"one")
    one.add("errors", b"one")
    assert one.all_of("errors") == [b"one"]


def test_of_many_threads_one_wins(place: str) -> None:
    if "memory" in place:
        pytest.skip("the store of a test has no turns")
    start, won = threading.Barrier(16), []

    def commit(number: int) -> None:
        outcomes = outcomes_at(place)
        start.wait()
        if outcomes.commit(str(number).encode() * 10_000):
            won.append(number)

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert outcomes_at(place).result() == str(won[0]).encode() * 10_000


def test_of_many_processes_one_wins_and_nobody_reads_a_half(tmp_path: Path) -> None:
    program = """
import sys
from flytepath.store.outcomes import outcomes_at
outcomes = outcomes_at(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(outcomes.commit(sys.argv[2].encode() * 2_000_000), flush=True)
"""
    place = str(tmp_path / "1.outcome")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, place, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = outcomes_at(place)
    while any(process.poll() is None for process in processes):
        found = outcomes.result()
        assert found is None or len(found) == 2_000_000
    said = [process.communicate()[0] for process in processes]
    assert sorted(said) == ["False\n"] * 3 + ["True\n"]
    assert outcomes.result() == str(said.index("True\n")).encode() * 2_000_000
    assert [path.name for path in (tmp_path / "1.outcome").iterdir()] == ["result.json"], "drafts are left behind"


def test_a_draft_that_was_left_half_written_is_no_result(tmp_path: Path) -> None:
    place = tmp_path / "1.outcome"
    (place / "errors").mkdir(parents=True)
    (place / ".draft").write_bytes(b"{half")
    (place / "errors" / ".draft").write_bytes(b"{half")
    outcomes = outcomes_at(str(place))
    assert outcomes.result() is None
    assert outcomes.all_of("errors") == []
    assert outcomes.commit(b"whole")


@pytest.mark.parametrize("ask", ["commit", "result", "add", "all_of"])
def test_a_folder_that_cannot_be_used_is_an_error_of_the_store(tmp_path: Path, ask: str) -> None:
    (tmp_path / "shared").write_text("a file")
    outcomes = outcomes_at(str(tmp_path / "shared" / "1.outcome"))
    given = {"commit": (b"x",), "result": (), "add": ("errors", b"x"), "all_of": ("errors",)}[ask]
    if ask == "all_of":
        assert outcomes.all_of("errors") == []
        return
    with pytest.raises(StoreError):
        getattr(outcomes, ask)(*given)


@pytest.mark.parametrize("ask", ["commit", "result", "add", "all_of"])
def test_whatever_a_client_raises_is_an_error_of_the_store(monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    outcomes = outcomes_at(f"memory://{uuid.uuid4().hex}/1.outcome")

    class ClientError(Exception):
        """Of no family that anybody knows."""

    def refuses(*_given: Any, **_more: Any) -> Any:
        raise ClientError("SlowDown")

    files = type(fsspec.filesystem("memory"))
    for name in ("pipe_file", "cat_file", "ls", "makedirs"):
        monkeypatch.setattr(files, name, refuses)
    given = {"commit": (b"x",), "result": (), "add": ("errors", b"x"), "all_of": ("errors",)}[ask]
    with pytest.raises(StoreError) as raised:
        getattr(outcomes, ask)(*given)
    assert "SlowDown" in str(raised.value)


def test_a_scheme_that_nobody_knows_says_what_to_install() -> None:
    with pytest.raises(StoreError) as raised:
        outcomes_at("wherever://bucket/1.outcome")
    assert "s3fs" in str(raised.value.hint)
