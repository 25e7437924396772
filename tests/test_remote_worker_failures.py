"""What goes wrong where a worker runs elsewhere: with it, its machine, the storage, and what it leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.engine.jobs.worker_outcomes import Left, left_at
from flytepath.plugin import BackendError
from worker_platform import Platform, until, worker_platform


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    with worker_platform(tmp_path, monkeypatch) as made:
        yield made


def pids(platform: Platform) -> list[int]:
    return [int(line.split()[1]) for line in platform.ran() if line.startswith("pid")]


def lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def held(platform: Platform) -> Path:
    """The part of the one job, which does not see its process end before :func:`ends`."""
    part: Path = until(lambda: [path.parent for path in platform.jobs.glob("*/0/pid")], "the job")[0]
    (part / "status").mkdir()
    (part / "status" / "in the way").write_text("")
    return part


def ends(part: Path, status: str) -> None:
    """Let the vendor say that the process of a part has ended."""
    (part / "status" / "in the way").unlink()
    (part / "status").rmdir()
    (part / "status").write_text(status)


def result_of(platform: Platform, execution: Any) -> Path:
    outputs = platform.shared / "default" / "development" / "outputs"
    return outputs / execution.id / "n0" / "1.outcome" / "result.json"


# --- processes ---------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_fails_its_attempt_with_what_is_known(platform: Platform) -> None:
    ended = platform.run("dying", x=1)
    assert ended.status == "failed"
    assert ended.error.code == "FP-JOB-FAILED"
    assert ended.error.actual == "exit code 9"
    assert platform.ran() == ["killed"]


def test_a_process_that_ends_well_without_outputs_is_lost_and_tried_again_for_free(platform: Platform) -> None:
    ended = platform.run("leaving", x=2)
    assert ended.outputs == {"o0": 2}
    failures = platform.events(ended, "attempt_failed")
    assert [(failed.error.kind, failed.error.code) for failed in failures] == [("system", "FP-JOB-LOST")] * 2
    assert platform.ran() == ["left"] * 3


def test_a_task_that_always_leaves_fails_in_the_end(platform: Platform) -> None:
    ended = platform.run("leaving", x=1000)
    assert ended.status == "failed"
    assert ended.error.code == "FP-JOB-LOST"
    assert "left no outputs" in ended.error.message


@pytest.mark.parametrize("status", [0, 3])
def test_a_task_that_calls_exit_has_failed(platform: Platform, status: int) -> None:
    ended = platform.run("exiting", x=status)
    assert ended.status == "failed"
    assert ended.error.kind == "user"
    assert "SystemExit" in ended.error.message
    assert "in exits" in ended.error.traceback


def test_the_child_of_a_task_that_forked_gives_no_outputs(platform: Platform) -> None:
    ended = platform.run("forking", x=7)
    assert ended.outputs == {"o0": 7}


def test_a_thread_that_never_ends_does_not_hold_up_the_job(platform: Platform) -> None:
    ended = platform.run("lingering", x=7)
    assert ended.outputs == {"o0": 7}
    assert "left running" in platform.log(ended)


def test_items_whose_processes_leave_are_tried_again(platform: Platform) -> None:
    ended = platform.run("over_lost", xs=[0, 1, 0, 1])
    assert ended.outputs == {"o0": [0, 1, 0, 1]}
    failures = platform.events(ended, "attempt_failed")
    assert sorted(failed.node for failed in failures) == ["n0/1", "n0/3"]
    assert {failed.error.code for failed in failures} == {"FP-JOB-LOST"}


def test_a_person_is_told_what_the_worker_said(platform: Platform) -> None:
    ended = platform.run("breaking", x=3)

    def told(*arguments: str) -> str:
        command = [sys.executable, "-m", "flytepath", *arguments]
        return subprocess.run(
            command, cwd=platform.work, capture_output=True, text=True, timeout=100, check=True
        ).stdout

    assert "n0 failed" in told("executions", "explain", ended.id)
    job = told("jobs", "show", platform.events(ended, "job_planned")[0].key)
    assert "error      ValueError: no 3 today" in job
    assert "flytepath.worker" in job
    assert "about to break" in told("executions", "logs", ended.id)


# --- ends before their time --------------------------------------------------------------------------------------


def test_a_timeout_ends_the_process(platform: Platform) -> None:
    ended = platform.run("limited", seconds=600.0)
    assert ended.status == "failed"
    assert (ended.error.kind, ended.error.code) == ("timeout", "FP-TIMEOUT")
    until(lambda: not any(lives(pid) for pid in pids(platform)), "the end of the worker")
    assert not list(platform.jobs.iterdir())


def test_an_abort_ends_the_process(platform: Platform) -> None:
    begun = platform.begin("sleeping", seconds=600.0)
    until(lambda: pids(platform), "the start of the task")
    platform.api.abort(begun, "enough")
    assert platform.api.wait(begun, 120).status == "aborted"
    until(lambda: not any(lives(pid) for pid in pids(platform)), "the end of the worker")
    assert not list(platform.jobs.iterdir())


def test_an_abort_ends_the_processes_of_a_map(platform: Platform) -> None:
    begun = platform.begin("over_sleeping", xs=[600.0] * 3)
    until(lambda: len(pids(platform)) == 3, "the start of the items")
    platform.api.abort(begun, "enough")
    assert platform.api.wait(begun, 120).status == "aborted"
    until(lambda: not any(lives(pid) for pid in pids(platform)), "the end of the workers")


# --- the storage -------------------------------------------------------------------------------------------------


def away(folder: Path) -> Path:
    """Put a folder where nobody finds it, and a file in its place that nothing can be written under."""
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    folder.write_text("")
    return hidden


def back(folder: Path, hidden: Path) -> None:
    folder.unlink()
    hidden.rename(folder)


def test_a_storage_that_is_away_while_jobs_are_planned_is_waited_for(platform: Platform) -> None:
    assert platform.run("chain", x=1).outputs == {"o0": 9}
    hidden = away(platform.shared)
    begun = platform.begin("sleeping", seconds=0.0)
    try:
        (parked,) = until(lambda: platform.events(begun, "job_parked"), "that it is told")
        assert "cannot be written" in parked.reason
        assert "\n" not in parked.reason
    finally:
        back(platform.shared, hidden)
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 0.0}
    assert not platform.events(ended, "attempt_failed")


def test_an_abort_while_the_storage_is_away_is_not_held_up(platform: Platform) -> None:
    assert platform.run("chain", x=1).outputs == {"o0": 9}
    hidden = away(platform.shared)
    begun = platform.begin("sleeping", seconds=0.0)
    try:
        until(lambda: platform.events(begun, "job_parked"), "that it is told")
        platform.api.abort(begun, "enough")
        assert platform.api.wait(begun, 120).status == "aborted"
    finally:
        back(platform.shared, hidden)


def test_a_storage_that_is_away_for_a_moment_at_the_end_loses_no_work(platform: Platform) -> None:
    begun = platform.begin("sleeping", seconds=2.0)
    until(lambda: pids(platform), "the start of the task")
    hidden = away(platform.shared)
    try:
        log = until(lambda: list(platform.jobs.glob("*/0/log")), "its log")[0]
        until(lambda: "tried again in" in log.read_text(), "that the worker tries again")
    finally:
        back(platform.shared, hidden)
    ended = platform.api.wait(begun, 120)
    assert ended.status == "succeeded", ended.error
    assert len(pids(platform)) == 1


@pytest.mark.proof
def test_an_attempt_whose_outputs_cannot_be_kept_is_nobodys_fault(platform: Platform) -> None:
    begun = platform.begin("sleeping", seconds=1.0)
    until(lambda: pids(platform), "the start of the task")
    hidden = away(platform.shared)
    try:
        until(lambda: list(platform.jobs.glob("*/0/status")), "the end of the worker")
        assert [path.read_text() for path in platform.jobs.glob("*/0/status")] == ["75"]
    finally:
        back(platform.shared, hidden)
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 1.0}
    (failed,) = platform.events(ended, "attempt_failed")
    assert (failed.error.kind, failed.error.code) == ("system", "FP-JOB-LOST")
    assert "storage" in failed.error.message


@pytest.mark.proof
def test_items_whose_outputs_cannot_be_kept_are_nobodys_fault(platform: Platform) -> None:
    begun = platform.begin("over_sleeping", xs=[1.0, 1.5])
    until(lambda: len(pids(platform)) == 2, "the start of the items")
    hidden = away(platform.shared)
    try:
        until(lambda: len(list(platform.jobs.glob("*/*/status"))) == 2, "the end of the workers")
    finally:
        back(platform.shared, hidden)
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": [1.0, 1.5]}
    failures = platform.events(ended, "attempt_failed")
    assert [(failed.error.kind, failed.error.code) for failed in failures] == [("system", "FP-JOB-LOST")] * 2


@pytest.mark.parametrize("how", ["refuses", "is not mounted"])
def test_outputs_that_cannot_be_read_for_a_while_are_waited_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    looks: list[BackendError] = []

    def looked(place: str) -> Left:
        try:
            return left_at(place)
        except BackendError as error:
            looks.append(error)
            raise

    monkeypatch.setattr("flytepath.engine.jobs.of_workers.left_at", looked)
    begun = platform.begin("sleeping", seconds=1.0)
    part = held(platform)
    until(result_of(platform, begun).exists, "the outputs")
    hidden = away(platform.shared)
    if how == "is not mounted":
        platform.shared.unlink()
    ends(part, "0")
    until(lambda: looks, "that somebody looks")
    if how == "is not mounted":
        platform.shared.write_text("")
    back(platform.shared, hidden)
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 1.0}
    assert not platform.events(ended, "attempt_failed")


def test_an_outcome_that_nobody_understands_fails_the_attempt(platform: Platform) -> None:
    begun = platform.begin("sleeping", seconds=1.5)
    until(lambda: pids(platform), "the start of the task")
    result = result_of(platform, begun)
    result.parent.mkdir(parents=True)
    result.write_text("{half")
    ended = platform.api.wait(begun, 120)
    assert ended.status == "failed"
    assert "cannot be understood" in ended.error.message
    assert "image" in str(ended.error.hint)


def test_the_same_attempt_run_by_two_workers_counts_once(platform: Platform) -> None:
    """What the vendor starts twice ends well twice, and gives one result."""
    begun = platform.begin("sleeping", seconds=1.0)
    folder = until(lambda: [path.parent for path in platform.jobs.glob("*/0/pid")], "the job")[0]
    argv = until(lambda: _command(folder), "its command")
    twin = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert twin.returncode == 0, twin.stderr
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 1.0}
    assert [path.name for path in result_of(platform, begun).parent.iterdir()] == ["result.json"]


def _command(part: Path) -> list[str]:
    pid = (part / "pid").read_text()
    try:
        words = (Path("/proc") / pid / "cmdline").read_text().split("\0")
    except OSError:
        return []
    return words[words.index(str(part)) + 1 : -1] if str(part) in words else []


# --- what the vendor says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["1", "137"])
def test_outputs_that_were_committed_count_whatever_became_of_the_machine(platform: Platform, status: str) -> None:
    begun = platform.begin("sleeping", seconds=1.0)
    part = held(platform)
    until(result_of(platform, begun).exists, "the outputs")
    ends(part, status)
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 1.0}
    assert not platform.events(ended, "attempt_failed")


def test_outputs_of_a_job_that_is_gone_count(platform: Platform) -> None:
    begun = platform.begin("sleeping", seconds=1.0)
    part = held(platform)
    until(result_of(platform, begun).exists, "the outputs")
    part.parent.rename(platform.work / "gone")
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 1.0}


def test_a_job_that_is_gone_without_outputs_is_lost(platform: Platform) -> None:
    begun = platform.begin("leaving", x=1)
    part = held(platform)
    until(platform.ran, "the task")
    part.parent.rename(platform.work / "gone")
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 1}
    (failed,) = platform.events(ended, "attempt_failed")
    assert (failed.error.kind, failed.error.code) == ("system", "FP-JOB-LOST")
