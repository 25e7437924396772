"""What tasks print is read to the last byte, wherever it lies at the moment of the look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flytepath.client import LocalClient
from flytepath.client.logs import LogReader
from flytepath.engine.local.places import Places
from flytepath.errors import NotFoundError
from flytepath.model.events import AttemptLost, ErrorRecord
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER, LiteralType
from recorded import SCOPE, Recorded, chain, mapped, number


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path / "home", chain("flow.a", "flow.b", retries=1))
    made.start("n0", x=number(3))
    yield made
    made.close()


@pytest.fixture
def client(run: Recorded) -> Iterator[LocalClient]:
    with LocalClient(run.home) as opened:
        yield opened


def file_of(run: Recorded, node: str = "n0", attempt: int = 1) -> Path:
    path = Places(run.home, run.id).log(node, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def text(reader: LogReader) -> str:
    return "".join(printed.text for printed in reader.read())


def news(run: Recorded, reader: LogReader, after: int) -> None:
    reader.learn(run.store.read(run.id, after))


def test_a_running_attempt_is_read_as_it_writes(run: Recorded, client: LocalClient) -> None:
    with client.logs(SCOPE, "x1") as reader:
        assert text(reader) == ""
        with file_of(run).open("wb", buffering=0) as file:
            file.write("grü".encode())
            assert text(reader) == "grü"
            file.write("ß".encode()[:1])
            assert text(reader) == ""
            file.write("ß".encode()[1:] + b"e\n")
            assert text(reader) == "ße\n"
        assert text(reader) == ""


@pytest.mark.parametrize("looked", [True, False])
def test_a_log_that_moves_between_two_looks_is_read_once_and_whole(
    run: Recorded, client: LocalClient, looked: bool
) -> None:
    with client.logs(SCOPE, "x1") as reader:
        path = file_of(run)
        path.write_bytes(b"one\n")
        if looked:
            assert text(reader) == "one\n"
        with path.open("ab") as file:
            file.write(b"two\n")
        known = run.state.seq
        run.log("n0", "one\ntwo\n")
        path.unlink()
        run.succeed("n0")
        news(run, reader, known)
        assert text(reader) == ("two\n" if looked else "one\ntwo\n")
        assert text(reader) == ""


def test_a_shortened_log_loses_nothing_to_who_followed_it(run: Recorded, client: LocalClient) -> None:
    with client.logs(SCOPE, "x1") as reader:
        path = file_of(run)
        path.write_bytes(b"0123456789")
        assert text(reader) == "0123456789"
        with path.open("ab") as file:
            file.write(b"abcdef")
        run.log("n0", "01...ef")
        path.unlink()
        news(run, reader, 3)
        assert text(reader) == "abcdef"


def test_an_attempt_that_ended_before_its_log_was_noted_is_not_lost(run: Recorded, client: LocalClient) -> None:
    with client.logs(SCOPE, "x1") as reader:
        run.succeed("n0")
        news(run, reader, 3)
        assert text(reader) == ""
        known = run.state.seq
        run.log("n0", "late\n")
        news(run, reader, known)
        assert text(reader) == "late\n"
        assert text(reader) == ""


def test_the_file_of_a_lost_attempt_is_read(run: Recorded, client: LocalClient) -> None:
    file_of(run).write_bytes(b"last words")
    error = ErrorRecord(kind="system", code="FP-ENGINE-LOST", message="gone")
    run.note(AttemptLost(node="n0", attempt=1, error=error))
    with client.logs(SCOPE, "x1", "n0") as reader:
        assert text(reader) == "last words"


def test_a_log_that_was_erased_says_so(run: Recorded, client: LocalClient) -> None:
    run.log("n0", "secret\n")
    run.succeed("n0")
    for blob in (run.home / "blobs").rglob("*"):
        if blob.is_file():
            blob.chmod(0o600)
            blob.unlink()
    with client.logs(SCOPE, "x1") as reader:
        assert "cannot be read" in text(reader)


def test_attempts_are_chosen_by_node_and_number(run: Recorded, client: LocalClient) -> None:
    run.log("n0", "first\n")
    run.fail("n0")
    run.start("n0", x=number(3))
    run.log("n0", "second\n", 2)
    run.succeed("n0")
    run.start("n1", x=number(3))
    run.log("n1", "third\n")
    with client.logs(SCOPE, "x1") as reader:
        assert [(p.node, p.attempt, p.text) for p in reader.read() if p.text] == [
            *(("n0", 1, "first\n"), ("n0", 2, "second\n"), ("n1", 1, "third\n")),
        ]
    with client.logs(SCOPE, "x1", "n0", attempt=2) as reader:
        assert text(reader) == "second\n"
    with client.logs(SCOPE, "x1", "n1") as reader:
        assert text(reader) == "third\n"
    with client.logs(SCOPE, "x1", "n1", attempt=5) as reader:
        assert not reader.attempts
    with pytest.raises(NotFoundError):
        client.logs(SCOPE, "x1", "n9")


def test_items_of_a_map_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    xs = Literal.make(LiteralType.list_of(INTEGER), list(range(12)))
    made = Recorded(tmp_path / "home", mapped(12), inputs={"xs": xs})
    made.expand("n0", 12, {"x": xs})
    made.start_items("n0", 0, 1, 10)
    file_of(made, "n0/0").write_bytes(b"\xff\xfebytes\n")
    made.log("n0/10", "ten\n")
    made.log("n0/1", "one\n")
    made.succeed_items("n0", 1, 10)
    with LocalClient(made.home) as client:
        with client.logs(SCOPE, "x1", "n0") as reader:
            found = {printed.node: printed.text for printed in reader.read() if printed.text}
        assert found == {"n0/0": "\ufffd\ufffdbytes\n", "n0/1": "one\n", "n0/10": "ten\n"}
        with client.logs(SCOPE, "x1", "n0/1") as reader:
            assert text(reader) == "one\n"
    made.close()
