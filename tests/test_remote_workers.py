"""Python tasks on a backend that runs workers: code, inputs, outputs, decks and checkpoints go through blobs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_platform import PASSWORD, SCOPE, Platform, flows_of_now, until, worker_platform


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    with worker_platform(tmp_path, monkeypatch) as made:
        yield made


# --- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "inputs", "given"),
    [
        ("chain", {"x": 7}, 63),
        ("folders", {"names": ["a.txt", "b/c.txt", "ü.txt"]}, ["a.txt", "b/c.txt", "ü.txt"]),
        ("frames", {"n": 10}, 45),
        ("larger", {"n": 20_000}, list(range(20_000))),
        ("pickled", {"x": 5}, 5),
        ("looked_up", {"key": "b"}, "second"),
        ("shelled", {"name": "ann"}, "hello ann\n"),
        ("growing", {"n": 3}, [0, 3, 6]),
        ("over", {"xs": list(range(7))}, [3 * x for x in range(7)]),
    ],
)
def test_what_goes_there_and_back_is_what_a_direct_call_gives(
    platform: Platform, flow: str, inputs: dict[str, object], given: object
) -> None:
    ended = platform.run(flow, **inputs)
    assert ended.status == "succeeded", (ended.error, platform.log(ended))
    assert ended.outputs == {"o0": given}
    assert getattr(platform.flows, flow)(**inputs) == given
    assert platform.submitted(ended) > 0


def test_files_and_values_pass_between_here_and_there(platform: Platform) -> None:
    ended = platform.run("files", text="hello")
    assert ended.outputs["o0"] == "hello"
    assert ended.outputs["o1"] == platform.flows.Point(5, 2.5)
    assert platform.submitted(ended) == 2


def test_a_worker_knows_what_it_runs(platform: Platform) -> None:
    ended = platform.run("told", x=1)
    (pid, execution, node, code), here = ended.outputs["o0"], ended.outputs["o1"]
    assert execution == ended.id
    assert node == "n0"
    assert Path(code).name == "code"
    assert not Path(code).exists(), "the worker leaves its scratch behind"
    assert int(pid) != here
    assert platform.submitted(ended) == 1, "a task that says local runs here"


def test_an_eager_task_calls_jobs(platform: Platform) -> None:
    ended = platform.run("eagerly", x=4)
    assert ended.outputs == {"o0": 13}
    assert platform.submitted(ended) == 1


def test_a_node_says_where_its_task_runs(platform: Platform) -> None:
    ended = platform.run("here", x=1)
    assert platform.submitted(ended) == 0
    assert str(platform.home) in ended.outputs["o0"][3]
    ended = platform.run("there", x=1)
    assert platform.submitted(ended) == 1
    assert ended.outputs["o0"] != os.getpid()


def test_a_task_that_is_registered_elsewhere_runs_its_own_code(platform: Platform) -> None:
    other = """
        from flytepath import task
        from worker_more import twice

        @task
        def doubled(x: int) -> int:
            return twice(x)
    """
    (platform.work / "worker_other.py").write_text(textwrap.dedent(other))
    (platform.work / "worker_more.py").write_text("def twice(x):\n    return 2 * x\n")
    registering = [sys.executable, "-m", "flytepath", "register", "worker_other.py", "--version", "v1"]
    done = subprocess.run(registering, cwd=platform.work, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    for name in ("worker_other", "worker_more"):
        (platform.work / f"{name}.py").unlink()
    ended = platform.run("referring", x=4)
    assert ended.status == "succeeded", ended.error
    assert ended.outputs == {"o0": 24}
    assert platform.submitted(ended) == 2


def test_what_is_known_is_not_submitted(platform: Platform) -> None:
    assert platform.run("knowing", x=1).outputs == {"o0": 2}
    again = platform.run("knowing", x=1)
    assert again.outputs == {"o0": 2}
    assert platform.submitted(again) == 0
    assert platform.ran() == ["known"]


# --- what is told ------------------------------------------------------------------------------------------------


def test_an_error_is_told_as_of_a_task_that_runs_here(platform: Platform) -> None:
    ended = platform.run("breaking", x=3)
    error = ended.error
    assert error is not None
    assert (error.kind, error.code, error.type) == ("user", "FP-TASK-FAILED", "ValueError")
    assert error.message == "ValueError: no 3 today"
    assert 'File "worker_flow.py"' in error.traceback
    assert "raise ValueError" in error.traceback
    assert "about to break" in platform.log(ended)
    there = error

    source = platform.work / "worker_flow.py"
    source.write_text(source.read_text().replace("@task\ndef broken", '@task(backend="local")\ndef broken'))
    platform.flows = flows_of_now()
    here = platform.run("breaking", x=3)
    assert platform.submitted(here) == 0
    assert here.error == there


@pytest.mark.parametrize(("flow", "said"), [("naming_badly", "/nowhere/\\udcff.txt"), ("giving_wrong", "no number")])
def test_an_odd_error_is_told_as_of_a_task_that_runs_here(platform: Platform, flow: str, said: str) -> None:
    there = platform.run(flow, x=1)
    assert there.error is not None
    assert there.error.kind == "user"
    assert said in there.error.message + str(there.error.actual)
    assert platform.submitted(there) == 1
    source = platform.work / "worker_flow.py"
    source.write_text(source.read_text().replace("@task\ndef", '@task(backend="local")\ndef'))
    platform.flows = flows_of_now()
    here = platform.run(flow, x=1)
    assert platform.submitted(here) == 0
    assert here.error == there.error


@pytest.mark.parametrize("x", [5, -5])
def test_decks_are_kept_also_of_a_failure(platform: Platform, x: int) -> None:
    ended = platform.run("decking", x=x)
    assert ended.status == ("succeeded" if x > 0 else "failed")
    decks = platform.decks(ended)
    assert decks["report"].strip() == f"<p>seen {x}</p>"


def test_checks_are_made_by_the_worker_and_recorded(platform: Platform) -> None:
    ended = platform.run("checking", x=4)
    assert ended.outputs == {"o0": 12}
    checks = platform.events(ended, "boundary_checked")
    assert [(check.variable, check.side, check.passed) for check in checks] == [
        ("x", "reading", True),
        ("o0", "writing", True),
    ]
    ended = platform.run("checking", x=8)
    assert ended.error is not None
    assert "24 of o0" in ended.error.message
    assert [check.passed for check in platform.events(ended, "boundary_checked")] == [True, False]
    ended = platform.run("checking", x=11)
    assert "11 of x" in ended.error.message
    assert platform.submitted(ended) == 1


def test_secrets_are_told_nowhere(platform: Platform) -> None:
    ended = platform.run("telling", x=1)
    assert ended.error is not None
    assert "refused" in ended.error.message
    log = platform.log(ended)
    assert "the password is" in log and "and again" in log
    assert "db.password" in platform.decks(ended)["secret"].lower() or "<p>" in platform.decks(ended)["secret"]
    everything = [path for root in (platform.home, platform.shared) for path in root.rglob("*") if path.is_file()]
    assert len(everything) > 5
    for path in everything:
        assert PASSWORD.encode() not in path.read_bytes(), path


# --- again -------------------------------------------------------------------------------------------------------


def test_a_failed_attempt_is_tried_again(platform: Platform) -> None:
    ended = platform.run("again", x=5)
    assert ended.outputs == {"o0": 5}
    assert platform.submitted(ended) == 2


def test_a_checkpoint_is_found_by_the_next_attempt(platform: Platform) -> None:
    ended = platform.run("going_on", x=5)
    assert ended.outputs == {"o0": 7}
    until(lambda: not list(platform.shared.rglob("checkpoints/*/*")), "the end of the checkpoints")


def test_a_worker_that_is_told_to_go_saves_and_is_tried_again(platform: Platform) -> None:
    begun = platform.begin("saving", x=2)
    (pid,) = until(lambda: [int(line.split()[1]) for line in platform.ran() if line.startswith("pid")])
    os.kill(pid, 15)
    ended = platform.api.wait(begun, 120)
    assert ended.outputs == {"o0": 42}
    (failed,) = platform.events(ended, "attempt_failed")
    assert (failed.error.kind, failed.error.code) == ("preempted", "FP-PREEMPTED")
    assert "saved at step 40" in failed.error.message


def test_an_execution_that_is_recovered_goes_on_from_the_checkpoints_of_the_former(platform: Platform) -> None:
    former = platform.run("resuming", x=5)
    assert former.status == "failed"
    ended = platform.api.wait(platform.api._client.recover(SCOPE, former.id), 120)
    assert ended.outputs == {"o0": 16}
    assert platform.submitted(ended) == 1, "what had succeeded runs again"


def test_variables_of_an_execution_reach_its_workers(platform: Platform) -> None:
    begun = platform.api.execute(platform.flows.having, {"name": "FLAVOUR"}, variables={"FLAVOUR": "sweet"})
    assert platform.api.wait(begun, 120).outputs == {"o0": "sweet"}


def test_a_secret_as_a_variable_is_there_for_the_task(platform: Platform) -> None:
    assert platform.run("secretive", x=1).outputs == {"o0": True}


# --- many --------------------------------------------------------------------------------------------------------


def test_items_fail_each_for_itself(platform: Platform) -> None:
    ended = platform.run("over_odd", xs=[1, 2, 3, 4, 5])
    assert ended.outputs == {"o0": [10, None, 30, None, 50]}
    assert platform.submitted(ended) == 1
    errors = [failed.error for failed in platform.events(ended, "attempt_failed")]
    assert sorted(error.message for error in errors) == ["ValueError: 2 is even", "ValueError: 4 is even"]
    assert all('File "worker_flow.py"' in error.traceback for error in errors)


def test_items_that_fail_are_tried_again_together(platform: Platform) -> None:
    ended = platform.run("over_twice", xs=[1, 2, 3, 4])
    assert ended.outputs == {"o0": [1, 2, 3, 4]}
    assert platform.submitted(ended) in (2, 3), "one job for those that failed by the same look"


def test_a_map_of_more_than_a_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with worker_platform(tmp_path, monkeypatch, array=3) as platform:
        ended = platform.run("over", xs=list(range(7)))
        assert ended.outputs == {"o0": [3 * x for x in range(7)]}
        assert platform.submitted(ended) == 3


def test_a_map_where_there_are_no_array_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with worker_platform(tmp_path, monkeypatch, array=0) as platform:
        ended = platform.run("over", xs=[1, 2, 3])
        assert ended.outputs == {"o0": [3, 6, 9]}
        assert platform.submitted(ended) == 3
