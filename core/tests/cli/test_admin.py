"""``flytepath admin``: what it prints, and that runs survive what it does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    import os, pathlib, time
    from flytepath import FlyteFile, task, workflow

    marks = pathlib.Path(os.environ.get("MARKS", "."))

    @task
    def words(count: int) -> list[str]:
        return ["word" * 100] * count

    @task
    def report(lines: list[str]) -> FlyteFile:
        path = pathlib.Path("report.txt")
        path.write_text("\\n".join(lines))
        return FlyteFile(str(path))

    @task
    def held(lines: list[str]) -> int:
        (marks / "started").touch()
        end = time.monotonic() + 60
        while not (marks / "go").exists() and time.monotonic() < end:
            time.sleep(0.02)
        return len(lines)

    @task
    def size(file: FlyteFile, lines: int) -> int:
        return len(open(file).read()) + lines

    @workflow
    def pipeline(count: int = 200) -> FlyteFile:
        return report(lines=words(count=count))

    @workflow
    def slow(count: int = 200) -> int:
        lines = words(count=count)
        return size(file=report(lines=lines), lines=held(lines=lines))
"""


def blobs(home: Path) -> int:
    return sum(1 for path in (home / "blobs").rglob("*") if path.is_file() and len(path.name) == 64)


def aged(home: Path) -> None:
    """As if everything had been written days ago."""
    import os

    for path in home.rglob("*"):
        if path.suffix != ".db":
            os.utime(path, (1.0, 1.0))


@pytest.fixture
def ran(cli: Any) -> Any:
    cli.write("flow.py", FLOW)
    cli.run("run", "--name", "first", "flow.py", "pipeline")
    aged(cli.home)
    return cli


def test_a_prune_says_what_would_go_and_how_to_do_it(ran: Any) -> None:
    before = blobs(ran.home)
    assert before > 0
    said = ran.run("admin", "prune", "--older-than", "0s").stdout
    assert "would remove" in said
    assert "executions       1 (" in said
    assert f"blobs            {before} (" in said
    assert "--apply" in said
    assert ran.json("executions", "show", "first")["status"] == "succeeded"
    assert blobs(ran.home) == before
    done = ran.run("admin", "prune", "--older-than", "0s", "--apply").stdout
    assert "removed" in done
    assert "--apply" not in done
    assert (ran.json("executions", "list"), blobs(ran.home)) == ([], 0)
    assert "no execution" in ran.error("executions", "show", "first", status=2)
    again = ran.json("admin", "prune", "--older-than", "0s", "--apply")
    assert (again["executions"], again["blobs"], again["files"]) == ([], 0, 0)


def test_a_prune_in_json_names_every_execution(ran: Any) -> None:
    report = ran.json("admin", "prune", "--older-than", "0s", "--status", "succeeded", "--status", "failed")
    assert report["executions"] == ["first"]
    assert report["applied"] is False
    assert report["database_bytes"] > 0
    assert ran.json("admin", "prune", "--older-than", "0s", "--status", "failed")["executions"] == []
    assert ran.json("admin", "prune", "--older-than", "90d")["executions"] == []


def test_the_same_workflow_runs_again_after_a_prune(ran: Any) -> None:
    ran.run("admin", "prune", "--older-than", "0s", "--apply", "--vacuum")
    ran.run("run", "--name", "first", "flow.py", "pipeline")
    assert ran.json("executions", "show", "first")["status"] == "succeeded"


def test_a_run_goes_on_while_others_are_pruned(ran: Any, until: Callable[..., Any]) -> None:
    marks = ran.folder / "marks"
    marks.mkdir()
    ran.env["MARKS"] = str(marks)
    process = ran.start("run", "--name", "second", "flow.py", "slow")
    until((marks / "started").exists, "the task holds")
    shared = blobs(ran.home)
    assert ran.json("admin", "prune", "--older-than", "0s", "--apply", "--vacuum")["executions"] == ["first"]
    assert ran.json("admin", "rebuild") == {"executions": 1}
    assert 0 < blobs(ran.home) <= shared
    (marks / "go").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err


def test_rebuilding_gives_what_was_there(ran: Any) -> None:
    before = ran.json("executions", "list")
    with closing(sqlite3.connect(ran.home / "store.db")) as raw, raw:
        raw.execute("UPDATE executions SET state = 'failed', workflow = 'nonsense'")
    assert ran.json("executions", "list") != before
    assert "1 execution" in ran.run("admin", "rebuild").stdout
    assert ran.json("executions", "list") == before


def test_an_erased_value_is_shown_as_erased(ran: Any) -> None:
    done = ran.run("admin", "erase", "first", "--variable", "o0").stdout
    assert "erased sha256:" in done
    assert "1 blob removed" in done
    assert "o0 = erased (file" in ran.run("executions", "show", "first").stdout
    events = ran.json("executions", "show", "first")["events"]
    assert events[-1]["payload"]["type"] == "value_erased"
    report = ran.json("admin", "erase", "first", "--node", "n0", "--variable", "o0")
    assert report["type"] == "list[string]"
    assert ran.json("executions", "show", "first")["status"] == "succeeded"


def test_what_cannot_be_done_is_said(ran: Any) -> None:
    cases = {
        ("prune",): "older-than",
        ("prune", "--older-than", "90"): "90d",
        ("prune", "--older-than", "1d", "--status", "running"): "running",
        ("prune", "--older-than", "1d", "--vacuum"): "--apply",
        ("erase", "first"): "a variable, or a digest",
        ("erase", "first", "--variable", "nothing"): "count, o0",
        ("erase", "nobody", "--variable", "o0"): "nobody",
    }
    for arguments, said in cases.items():
        done = ran.run("admin", *arguments, status=2)
        assert "Traceback" not in done.stderr
        assert said in done.stderr
