"""The process that a worker's output passes: nothing of a value reaches the file, and nothing else is lost."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flytepath.engine.local.output import is_written
from flytepath.engine.secrets.redaction import PIECE
from flytepath.errors import WorkerError
from flytepath.worker import log_filter
from flytepath.worker.log_filter import LogFilter

DEADLINE = 30.0
VALUE = b"swordfish-7Q"
MARK = b"[secret db.password]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


@pytest.fixture
def filtered(path: Path) -> Iterator[LogFilter]:
    made = LogFilter(str(path))
    made.add("db.password", VALUE)
    yield made
    made.close()
    wait_until(lambda: not is_written(path))


def wait_until(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def pid_of(path: Path) -> int:
    """The process that holds a lock on the file, as soon as there is one."""
    found: list[int] = []

    def is_found() -> bool:
        found.extend(holders(path))
        return bool(found)

    wait_until(is_found)
    return found[0]


def holders(path: Path) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"redaction.py" in (entry / "cmdline").read_bytes() and any(
                link.samefile(path) for link in (entry / "fd").iterdir()
            ):
                yield int(entry.name)
        except OSError:
            continue


def test_values_are_replaced_before_they_reach_the_file(filtered: LogFilter, path: Path) -> None:
    os.write(filtered.descriptor, b"it is " + VALUE + b"\nand more")
    filtered.finish()
    assert path.read_bytes() == b"it is " + MARK + b"\nand more"


def test_a_value_in_two_writes_is_one(filtered: LogFilter, path: Path) -> None:
    for part in (b"it is swor", b"dfi", b"sh-7Q!"):
        os.write(filtered.descriptor, part)
        wait_until(lambda: path.exists() and path.read_bytes().startswith(b"it is "))
        assert b"is swor" not in path.read_bytes()  # the mark itself ends in "password"
    filtered.finish()
    assert path.read_bytes() == b"it is " + MARK + b"!"


def test_the_beginning_of_a_value_that_does_not_come_is_shown_at_the_end(filtered: LogFilter, path: Path) -> None:
    os.write(filtered.descriptor, b"a sword")
    filtered.finish()
    assert path.read_bytes() == b"a sword"


def test_a_value_is_known_before_what_is_written_next(filtered: LogFilter, path: Path) -> None:
    told = b""
    for number in range(200):
        value = b"value-number-%05d" % number
        filtered.add("n", value)
        os.write(filtered.descriptor, value + b"\n")
        told += b"[secret n]\n"
    filtered.finish()
    assert path.read_bytes() == told


def test_what_children_write_passes_it_too(filtered: LogFilter, path: Path) -> None:
    program = f"import os, sys; print('{VALUE.decode()}', flush=True); os.write(2, b'{VALUE.decode()}')"
    subprocess.run([sys.executable, "-c", program], stdout=filtered.descriptor, stderr=filtered.descriptor, check=True)
    filtered.finish()
    assert path.read_bytes() == MARK + b"\n" + MARK


def test_much_output_comes_whole_and_in_order(filtered: LogFilter, path: Path) -> None:
    lines = b"".join(b"line %d %s\n" % (number, VALUE if number % 1000 == 0 else b"") for number in range(200_000))
    view = memoryview(lines)
    while view:
        view = view[os.write(filtered.descriptor, view) :]
    filtered.finish()
    assert path.read_bytes() == lines.replace(VALUE, MARK)


def test_many_threads_can_write_and_be_told_values(filtered: LogFilter, path: Path) -> None:
    def write(number: int) -> None:
        for turn in range(50):
            value = b"of-thread-%d-%d-" % (number, turn)
            filtered.add("t", value)
            os.write(filtered.descriptor, value + b"\n")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    filtered.finish()
    assert path.read_bytes() == b"[secret t]\n" * 200


def test_a_very_long_value_is_kept_out(filtered: LogFilter, path: Path) -> None:
    value = b"".join(b"%08x" % number for number in range(PIECE))
    filtered.add("long", value)
    thread = threading.Thread(target=lambda: os.write(filtered.descriptor, value + b"!"))
    thread.start()
    thread.join()
    filtered.finish()
    assert set(path.read_bytes().split(b"[secret long]")) == {b"", b"!"}


def test_another_file_can_take_over(filtered: LogFilter, path: Path, tmp_path: Path) -> None:
    os.write(filtered.descriptor, b"first")
    filtered.finish()
    path.rename(tmp_path / "1.log")
    filtered.move_to(str(path))
    os.write(filtered.descriptor, b"second " + VALUE)
    filtered.finish()
    assert (tmp_path / "1.log").read_bytes() == b"first"
    assert path.read_bytes() == b"second " + MARK
    assert not is_written(tmp_path / "1.log")
    assert is_written(path)


def test_it_writes_all_and_ends_when_nobody_can_write_any_more(path: Path) -> None:
    made = LogFilter(str(path))
    made.add("db.password", VALUE)
    os.write(made.descriptor, b"the last words: " + VALUE + b" and a sword")
    made.close()
    wait_until(lambda: path.exists() and path.read_bytes().endswith(b"sword"))
    wait_until(lambda: not is_written(path))
    assert path.read_bytes() == b"the last words: " + MARK + b" and a sword"


def test_its_end_is_noticed_and_no_secret_is_given_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = LogFilter(str(path))
    os.kill(pid_of(path), signal.SIGKILL)
    wait_until(lambda: not is_written(path))
    made.finish()
    assert made.is_broken
    with pytest.raises(WorkerError, match="lost"):
        made.add("db.password", VALUE)
    made.close()


def test_where_it_cannot_start_no_secret_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_filter.sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="does not start"):
        LogFilter(str(path))


def test_a_full_disk_does_not_stop_who_writes(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    made = LogFilter("/dev/full")
    for _ in range(100):
        os.write(made.descriptor, b"x" * 4096)
    made.finish()
    assert not made.is_broken
    made.close()


def test_it_is_no_child_and_of_a_session_of_its_own(filtered: LogFilter, path: Path) -> None:
    pid = pid_of(path)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()
    assert os.getsid(pid) != os.getsid(0)


def test_only_a_file_that_is_written_counts_as_written(path: Path) -> None:
    assert not is_written(path)
    with path.open("wb") as file:
        assert not is_written(path)
        fcntl.flock(file, fcntl.LOCK_SH)
        assert is_written(path)
    assert not is_written(path)
