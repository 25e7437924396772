"""A disk that is full, read-only or not there: a run ends with a clear word, and goes on when the cause is gone.

The disks are small file systems in memory, which only root can mount; elsewhere these tests are skipped, and those that
limit the size of files take their place.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    import os, pathlib, time
    from flytepath import task, workflow

    marks = pathlib.Path(os.environ["MARKS"])

    def mark(name):
        with (marks / name).open("a") as file:
            file.write("x")

    @task
    def step(name: str, inputs: list[int]) -> int:
        mark(name)
        end = time.monotonic() + 60
        while (marks / f"hold-{name}").exists() and time.monotonic() < end:
            time.sleep(0.02)
        return sum(inputs) + 1

    @task
    def large(x: int) -> str:
        mark("large")
        return "y" * 200_000

    @task
    def length(text: str, x: int) -> int:
        mark("length")
        return len(text) + x

    @workflow
    def chain() -> int:
        a = step(name="a", inputs=[])
        b = step(name="b", inputs=[a])
        return length(text=large(x=b), x=step(name="c", inputs=[b]))
"""
RESULT = 200_003
SIZE = 4 * 1024 * 1024

Until = Callable[[Callable[[], Any], str], Any]


@pytest.fixture
def prepared(cli: Any) -> Any:
    cli.write("flow.py", FLOW)
    marks: Path = cli.folder / "marks"
    marks.mkdir()
    cli.env["MARKS"] = str(marks)
    return cli


@pytest.fixture
def disk(prepared: Any) -> Iterator[Any]:
    """A command line whose home is a small file system of its own."""
    prepared.home.mkdir()
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(prepared.home)],
            capture_output=True,
            text=True,
            check=False,
        )
        if os.geteuid() == 0
        else None
    )
    if mounted is None or mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip() if mounted else 'needs root'}")
    yield prepared
    subprocess.run(["umount", "-l", str(prepared.home)], check=True)


def remount(home: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(home)], check=True)


def fill(home: Path, leaving: int = 0) -> Path:
    """Take all the room there is, but for ``leaving`` bytes."""
    ballast = home / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            os.ftruncate(file.fileno(), max(0, file.tell() - leaving))
    return ballast


def held(cli: Any, until: Until, *arguments: str) -> Any:
    """A run that waits in the middle: ``a`` has succeeded, ``b`` goes on when it is let go."""
    (cli.folder / "marks" / "hold-b").touch()
    process = cli.start("run", "--name", "x1", "flow.py", "chain", *arguments)
    until(lambda: (cli.folder / "marks" / "b").exists() or process.poll() is not None, "b runs")
    return process


def let_go(cli: Any, process: Any) -> tuple[int, str]:
    """The exit status and what the run said."""
    (cli.folder / "marks" / "hold-b").unlink()
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def finish(cli: Any, said: str) -> None:
    """Do what the run said would finish it, and look at what came out."""
    advice = re.search(r"flytepath executions (resume|recover) x1", said)
    command = advice[1] if advice else "resume"
    cli.run("executions", command, "x1")
    if command == "resume":
        check_finished(cli)
        return
    [view] = [cli.json("executions", "show", row["id"]) for row in cli.json("executions", "list") if row["id"] != "x1"]
    assert (view["status"], view["outputs"]["o0"]["data"]) == ("succeeded", RESULT)
    assert (cli.folder / "marks" / "a").read_text() == "x"


def check_finished(cli: Any) -> None:
    """All of it is done and recorded, nothing was lost, and nothing that was recorded as done was done again."""
    view = cli.json("executions", "show", "x1")
    assert (view["status"], view["outputs"]["o0"]["data"]) == ("succeeded", RESULT)
    events = view["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    done: set[str] = set()
    started: Counter[str] = Counter()
    for payload in (event["payload"] for event in events):
        if payload["type"] == "attempt_started":
            assert payload["node"] not in done
            started[payload["node"]] += 1
        if payload["type"] == "node_succeeded":
            done.add(payload["node"])
    marks = cli.folder / "marks"
    assert (marks / "a").read_text() == "x"
    for node, name in zip(("n1", "n2", "n3", "n4"), ("b", "large", "c", "length"), strict=True):
        assert 1 <= len((marks / name).read_text()) <= started[node], name


def test_a_full_disk_interrupts_a_run_that_goes_on_when_there_is_room(disk: Any, until: Until) -> None:
    process = held(disk, until)
    ballast = fill(disk.home)
    status, said = let_go(disk, process)
    assert status == 1
    assert "FP-STORE-FULL" in said
    assert "Traceback" not in said
    shown = disk.json("executions", "show", "x1")
    assert (shown["status"], shown["interrupted"]) == ("running", True)
    assert "FP-STORE-FULL" in disk.error("executions", "resume", "x1", status=1)
    ballast.unlink()
    disk.run("executions", "resume", "x1")
    check_finished(disk)


def test_a_run_whose_values_find_no_room_can_be_finished_when_there_is_some(disk: Any, until: Until) -> None:
    process = held(disk, until)
    ballast = fill(disk.home, leaving=160 * 1024)
    status, said = let_go(disk, process)
    assert status == 1
    assert "FP-STORE-FULL" in said
    assert disk.json("executions", "show", "x1")["id"] == "x1"
    ballast.unlink()
    finish(disk, said)


@pytest.mark.proof
def test_a_home_that_was_closed_before_its_disk_was_full_says_so_and_is_whole_afterwards(disk: Any) -> None:
    disk.run("run", "--name", "x1", "flow.py", "chain")
    ballast = fill(disk.home)
    assert "FP-STORE-FULL" in disk.error("run", "flow.py", "chain", status=1)
    ballast.unlink()
    check_finished(disk)
    disk.run("run", "flow.py", "chain")


@pytest.mark.proof
def test_pruning_makes_room_on_a_disk_that_is_nearly_full(disk: Any) -> None:
    disk.run("run", "--name", "x1", "flow.py", "chain")
    ballast = fill(disk.home, leaving=192 * 1024)
    before = os.statvfs(disk.home).f_bavail
    for path in (disk.home / "blobs").rglob("*"):
        os.utime(path, (1.0, 1.0))
    disk.run("admin", "prune", "--older-than", "0s", "--apply")
    assert os.statvfs(disk.home).f_bavail > before
    ballast.unlink()
    disk.run("run", "--name", "x1", "flow.py", "chain")


def test_a_home_that_cannot_be_written_is_refused_and_serves_again_when_it_can(disk: Any) -> None:
    disk.run("run", "--name", "x1", "flow.py", "chain")
    remount(disk.home, "ro")
    try:
        said = disk.error("run", "flow.py", "chain", status=1)
        assert "FP-STORE" in said
        assert str(disk.home) in said
        assert "FP-STORE" in disk.error("admin", "prune", "--older-than", "0s", "--apply", status=1)
    finally:
        remount(disk.home, "rw")
    check_finished(disk)
    disk.run("run", "flow.py", "chain")


def test_a_limit_on_files_that_is_set_during_a_run_interrupts_it(prepared: Any, until: Until) -> None:
    process = held(prepared, until)
    limit = (prepared.home / "store.db-wal").stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    status, said = let_go(prepared, process)
    assert status == 1
    assert "FP-STORE-FULL" in said
    assert prepared.json("executions", "show", "x1")["interrupted"]
    prepared.run("executions", "resume", "x1")
    check_finished(prepared)


@pytest.mark.proof
def test_a_run_whose_folder_is_none_can_be_finished_when_it_is_one_again(prepared: Any, until: Until) -> None:
    process = held(prepared, until)
    blobs, away = prepared.home / "blobs", prepared.home / "away"
    if blobs.exists():
        blobs.rename(away)
    blobs.write_text("no folder")
    status, said = let_go(prepared, process)
    assert status == 1
    assert "FP-STORE" in said
    blobs.unlink()
    if away.exists():
        away.rename(blobs)
    finish(prepared, said)


def test_a_home_that_is_a_file_is_refused(prepared: Any) -> None:
    prepared.home.write_text("no folder")
    said = prepared.error("run", "flow.py", "chain", status=1)
    assert "FP-STORE" in said
    assert str(prepared.home) in said
    assert prepared.home.read_text() == "no folder"
