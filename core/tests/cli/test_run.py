"""``flytepath run`` and ``flytepath executions`` as a user types them."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    import os
    from dataclasses import dataclass
    from flytepath import Deck, task, workflow

    @dataclass
    class Score:
        name: str
        value: float

    @task
    def score(name: str, factor: float = 1.0) -> Score:
        print("scoring", name)
        return Score(name, len(name) * factor)

    @task
    def best(scores: list[Score]) -> Score:
        winner = max(scores, key=lambda s: s.value)
        Deck("best", f"<b>{winner.name}</b>")
        return winner

    @task
    def fail(text: str) -> str:
        raise ValueError(f"cannot take {text}")

    @workflow
    def pipeline(factor: float = 2.0) -> Score:
        '''Score three names and choose the best.'''
        return best(scores=[score(name=n, factor=factor) for n in ("a", "abc", "ab")])

    @workflow
    def broken(text: str = "it") -> str:
        return fail(text=fail(text=text))
"""


def execution_of(done: Any) -> str:
    """The id that a run printed."""
    return next(word for word in done.stdout.split() if word.startswith("x") and len(word) == 19)


def test_a_run_prints_its_outputs_and_id_and_can_be_read_back(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    done = cli.run("run", "flow.py", "pipeline")
    execution = execution_of(done)
    assert '{"name": "abc", "value": 6.0}' in done.stdout
    view = cli.json("executions", "show", execution)
    assert view["status"] == "succeeded"
    assert view["outputs"]["o0"]["data"] == {"name": "abc", "value": 6.0}
    assert [node["status"] for node in view["nodes"]] == ["succeeded"] * 4
    assert Path(view["decks"][0]["uri"].removeprefix("file://")).read_text() == "<b>abc</b>"
    assert [event["seq"] for event in view["events"]] == list(range(1, len(view["events"]) + 1))
    assert not list((cli.home / "attempts").glob("*"))
    shown = cli.run("executions", "show", execution).stdout
    assert "succeeded" in shown
    assert "flow.best" in shown
    assert execution in cli.run("executions", "list").stdout
    assert cli.json("executions", "list")[0]["id"] == execution


def test_inputs_are_typed_from_the_signature(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    assert '"value": 1.5' in cli.run("run", "flow.py", "pipeline", "--factor", "0.5").stdout
    (cli.folder / "inputs.json").write_text(json.dumps({"factor": 10.0}))
    assert '"value": 30.0' in cli.run("run", "flow.py", "pipeline", "--inputs-file", "inputs.json").stdout


def test_a_single_task_runs_like_a_workflow(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    assert '"value": 4.0' in cli.run("run", "flow.py", "score", "--name", "abcd").stdout


def test_a_module_runs_like_a_file_and_a_package_keeps_its_name(cli: Any) -> None:
    cli.write("pack/__init__.py", "")
    cli.write("pack/parts.py", "from flytepath import task\n@task\ndef one() -> int:\n    return 1\n")
    cli.write(
        "pack/flow.py",
        "from flytepath import workflow\nfrom pack.parts import one\n@workflow\ndef wf() -> int:\n    return one()\n",
    )
    assert "o0 = 1" in cli.run("run", "pack/flow.py", "wf").stdout
    done = cli.run("run", "pack.flow", "wf")
    assert "pack.flow.wf" in cli.run("executions", "show", execution_of(done)).stdout


def test_a_file_whose_name_is_no_identifier_runs_all_the_same(cli: Any) -> None:
    cli.write("2-my-flow.py", FLOW)
    assert '"value": 6.0' in cli.run("run", "2-my-flow.py", "pipeline").stdout


def test_what_a_file_offers_is_listed_and_its_inputs_shown(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    listed = cli.run("run", "flow.py").stdout
    assert "pipeline" in listed
    assert "Score three names" in listed
    shown = cli.run("run", "flow.py", "pipeline", "--help").stdout
    assert "--factor" in shown
    assert "default 2.0" in shown


def test_a_failing_task_ends_the_run_with_1_and_an_error_to_read(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    done = cli.run("run", "flow.py", "broken", status=1)
    assert "ValueError: cannot take it" in done.stderr
    assert "in n0" in done.stderr
    assert 'File "flow.py", line' in done.stderr
    assert "flytepath/worker.py" not in done.stderr
    execution = cli.json("executions", "list")[0]["id"]
    view = cli.json("executions", "show", execution)
    assert view["status"] == "failed"
    assert [node["status"] for node in view["nodes"]] == ["failed", "skipped"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "flow.py", "pipelin"], "did you mean 'pipeline'"),
        (["run", "flo.py", "pipeline"], "did you mean flow.py"),
        (["run", "no_such_module", "pipeline"], "no module 'no_such_module'"),
        (["run", ".", "pipeline"], "folder"),
        (["run", "data.txt", "pipeline"], "not a Python file"),
        (["run", "syntax.py", "pipeline"], "not valid Python"),
        (["run", "a.dotted.py", "pipeline"], "rename the file"),
        (["run", "json.py", "pipeline"], "rename the file"),
        (["run", "needs.py", "pipeline"], "'not_there_at_all', which is not installed"),
        (["run", "raises.py", "pipeline"], "RuntimeError: at import"),
        (["run", "leaves.py", "pipeline"], "importing it failed: SystemExit"),
        (["run", "binary.py", "pipeline"], "not valid Python"),
        (["run", "empty.py"], "nothing to run"),
        (["run", "flow.py", "pipeline", "--factor", "many"], "at: --factor"),
        (["run", "flow.py", "pipeline", "--factor"], "needs a value"),
        (["run", "flow.py", "pipeline", "--factor", "1.0", "--factor", "2.0"], "given twice"),
        (["run", "flow.py", "pipeline", "--facto", "1.0"], "did you mean 'factor'"),
        (["run", "flow.py", "pipeline", "extra"], "unexpected argument 'extra'"),
        (["run", "flow.py", "score"], "missing input 'name'"),
        (["run", "flow.py", "pipeline", "--inputs-file", "none.json"], "cannot be read"),
        (["run", "flow.py", "pipeline", "--inputs-file", "data.txt"], "holds no object"),
        (["run", "flow.py", "pipeline", "--inputs-file", "broken.txt"], "not JSON or YAML"),
        (["run", "flow.py", "pipeline", "--project", "No Good"], "cannot name a project"),
        (["run", "nested.py", "wf"], "at the top level"),
        (["run", "wiring.py", "wf"], "expected: integer"),
        (["executions", "show", "x000"], "x000"),
        (["executions", "resume", "x000"], "x000"),
        (["executions", "list", "--limit", "0"], "0"),
        (["no-such-command"], "No such command"),
    ],
)
def test_bad_input_is_one_clear_error_with_status_2(cli: Any, arguments: list[str], said: str) -> None:
    cli.write("flow.py", FLOW)
    cli.write("data.txt", "no json")
    cli.write("broken.txt", "{a: [")
    cli.write("syntax.py", "def broken(:\n")
    cli.write("a.dotted.py", "x = 1\n")
    cli.write("json.py", "x = 1\n")
    cli.write("needs.py", "import not_there_at_all\n")
    cli.write("raises.py", "raise RuntimeError('at import')\n")
    cli.write("leaves.py", "raise SystemExit(0)\n")
    (cli.folder / "binary.py").write_bytes(b"\x7fELF\x00\x01")
    cli.write("empty.py", "x = 1\n")
    cli.write(
        "nested.py",
        """
        from flytepath import task, workflow
        def make():
            @task
            def inner() -> int:
                return 1
            return inner
        made = {"inner": make()}
        @workflow
        def wf() -> int:
            return made["inner"]()
        """,
    )
    cli.write(
        "wiring.py",
        """
        from flytepath import task, workflow
        @task
        def text() -> str:
            return "a"
        @task
        def number(x: int) -> int:
            return x
        @workflow
        def wf() -> int:
            return number(x=text())
        """,
    )
    assert said in cli.error(*arguments, status=2)


def test_a_home_that_cannot_be_one_is_an_error_of_ours(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    cli.home.write_text("a file")
    assert str(cli.home) in cli.error("run", "flow.py", "pipeline", status=1)


def test_a_corrupt_database_is_named_and_left_as_it_is(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    cli.home.mkdir()
    database = cli.home / "store.db"
    database.write_bytes(b"this is not a database" * 500)
    before = database.read_bytes()
    assert str(database) in cli.error("run", "flow.py", "pipeline", status=1)
    assert "FP-STORE-CORRUPT" in cli.error("executions", "list", status=1)
    assert database.read_bytes() == before


RETRIES = """
    import os, pathlib, signal, sys, time
    from flytepath import FlyteRecoverableException, task, workflow

    marks = pathlib.Path(os.environ["MARKS"])

    def tries(name: str) -> int:
        with (marks / name).open("a") as file:
            file.write("x")
        return len((marks / name).read_text())

    @task(retries=2)
    def flaky() -> int:
        n = tries("flaky")
        if n < 3:
            raise RuntimeError(f"try {n}")
        return n

    @task
    def once() -> int:
        tries("once")
        raise RuntimeError("no")

    @task
    def killed() -> int:
        n = tries("killed")
        if n < 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        return n

    @task
    def leaves() -> int:
        tries("leaves")
        os._exit(7)
        return 0

    @task
    def exits() -> int:
        sys.exit(3)
        return 0

    @task(timeout=1.0)
    def slow() -> int:
        tries("slow")
        time.sleep(600)
        return 1

    @task
    def loud() -> int:
        print("to out")
        print("to err", file=sys.stderr)
        os.write(1, b"raw")
        return 1

    @task
    def reads() -> str:
        return sys.stdin.read()

    @task
    def big() -> list[int]:
        return list(range(100_000))

    @task
    def count(values: list[int]) -> int:
        return len(values)

    @workflow
    def large() -> int:
        return count(values=big())

    @workflow
    def part() -> int:
        return pick(values=big()[70_000:] if False else big()[7])

    @task
    def pick(values: int) -> int:
        return values
"""


@pytest.fixture
def marked(cli: Any) -> Any:
    marks = cli.folder / "marks"
    marks.mkdir()
    cli.env["MARKS"] = str(marks)
    cli.write("tries.py", RETRIES)
    return cli


def test_a_failed_attempt_is_tried_again_within_its_budget(marked: Any) -> None:
    assert "o0 = 3" in marked.run("run", "tries.py", "flaky").stdout
    marked.run("run", "tries.py", "once", status=1)
    assert (marked.folder / "marks" / "once").read_text() == "x"


def test_a_worker_killed_by_a_signal_is_a_failure_of_the_system_that_names_it(marked: Any) -> None:
    done = marked.run("run", "tries.py", "killed")
    assert "o0 = 2" in done.stdout
    assert "SIGSEGV" in done.stderr


def test_a_task_that_ends_its_worker_every_time_fails_on_the_system_budget(marked: Any) -> None:
    done = marked.run("run", "tries.py", "leaves", status=1)
    assert "exit status 7" in done.stderr
    assert (marked.folder / "marks" / "leaves").read_text() == "x" * 4


def test_sys_exit_in_a_task_is_the_users_error(marked: Any) -> None:
    assert "SystemExit: 3" in marked.run("run", "tries.py", "exits", status=1).stderr


def test_a_task_over_its_timeout_is_ended(marked: Any) -> None:
    done = marked.run("run", "tries.py", "slow", status=1)
    assert "timeout of 1 s" in done.stderr
    assert (marked.folder / "marks" / "slow").read_text() == "x"


def test_what_a_task_prints_is_shown_and_kept(marked: Any) -> None:
    done = marked.run("run", "tries.py", "loud")
    for text in ("to out", "to err", "raw"):
        assert text in done.stderr
    view = marked.json("executions", "show", execution_of(done))
    kept = Path(view["logs"][0]["log"]["uri"].removeprefix("file://")).read_text()
    assert {"to out", "to err"} <= set(kept.replace("raw", "").split("\n"))


def test_a_task_that_reads_standard_input_gets_none_and_disturbs_nothing(marked: Any) -> None:
    assert 'o0 = ""' in marked.run("run", "tries.py", "reads").stdout


def test_large_values_pass_between_workers(marked: Any) -> None:
    assert "o0 = 100000" in marked.run("run", "tries.py", "large").stdout
    assert "o0 = 7" in marked.run("run", "tries.py", "part").stdout


RESUME = """
    import os, pathlib, time
    from flytepath import task, workflow

    marks = pathlib.Path(os.environ["MARKS"])
    VERSION = 1

    def mark(name: str) -> None:
        with (marks / name).open("a") as file:
            file.write("x")

    @task
    def first(x: int) -> int:
        mark(f"first-{x}")
        return x + 1

    @task
    def gate(x: int) -> int:
        mark("gate")
        while not (marks / "open").exists():
            time.sleep(0.02)
        return x * 10

    @task
    def last(values: list[int]) -> int:
        mark("last")
        return sum(values) * VERSION

    @workflow
    def pipeline() -> int:
        return last(values=[gate(x=first(x=1)), first(x=5)])
"""


@pytest.fixture
def resumable(cli: Any) -> Any:
    (cli.folder / "marks").mkdir()
    cli.env["MARKS"] = str(cli.folder / "marks")
    cli.write("flow.py", RESUME)
    return cli


def interrupted(cli: Any, until: Callable[..., Any], how: signal.Signals) -> tuple[str, int]:
    """Start the pipeline, stop it in the middle with ``how``; the execution's id and the exit status."""
    process = cli.start("run", "flow.py", "pipeline")
    until((cli.folder / "marks" / "gate").exists, "the gate is reached")
    until((cli.folder / "marks" / "first-5").exists, "the other branch has run")
    execution = until(lambda: cli.json("executions", "list"), "the execution is listed")[0]["id"]
    until(
        lambda: [n["status"] for n in cli.json("executions", "show", execution)["nodes"]].count("succeeded") == 2,
        "two nodes have succeeded",
    )
    os.kill(process.pid, how)
    process.communicate(timeout=60)
    return execution, process.returncode


def test_a_run_killed_in_the_middle_is_resumed_without_running_anything_twice(
    resumable: Any, until: Callable[..., Any]
) -> None:
    execution, _ = interrupted(resumable, until, signal.SIGKILL)
    listed = resumable.json("executions", "list")[0]
    assert listed["interrupted"]
    assert "interrupted" in resumable.run("executions", "list").stdout
    marks = resumable.folder / "marks"
    (marks / "open").touch()
    done = resumable.run("executions", "resume", execution)
    assert "o0 = 26" in done.stdout
    assert "2 of 4 nodes had succeeded before" in done.stderr
    assert (marks / "first-1").read_text() == "x"
    assert (marks / "first-5").read_text() == "x"
    assert (marks / "last").read_text() == "x"
    kinds = [event["payload"]["type"] for event in resumable.json("executions", "show", execution)["events"]]
    assert kinds.count("attempt_lost") == 1
    assert kinds.count("node_succeeded") == 4
    assert "already succeeded" in resumable.error("executions", "resume", execution, status=2)


def test_the_workers_of_a_killed_run_end_with_it(resumable: Any, until: Callable[..., Any]) -> None:
    interrupted(resumable, until, signal.SIGKILL)

    def workers() -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"flytepath.worker" in command and str(resumable.home).encode() in line:
                found.append(entry.name)
        return found

    until(lambda: not workers(), "no worker is left")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_the_execution_resumable_and_says_so(
    resumable: Any, until: Callable[..., Any], how: signal.Signals
) -> None:
    execution, status = interrupted(resumable, until, how)
    assert status == 130
    (resumable.folder / "marks" / "open").touch()
    assert "o0 = 26" in resumable.run("executions", "resume", execution).stdout
    assert (resumable.folder / "marks" / "first-1").read_text() == "x"


def test_a_resumed_run_uses_the_code_it_was_started_with(resumable: Any, until: Callable[..., Any]) -> None:
    execution, _ = interrupted(resumable, until, signal.SIGKILL)
    resumable.write("flow.py", RESUME.replace("VERSION = 1", "VERSION = 1000"))
    (resumable.folder / "marks" / "open").touch()
    assert "o0 = 26" in resumable.run("executions", "resume", execution).stdout


def test_an_execution_that_is_running_cannot_be_resumed(resumable: Any, until: Callable[..., Any]) -> None:
    process = resumable.start("run", "flow.py", "pipeline")
    until((resumable.folder / "marks" / "gate").exists, "the gate is reached")
    execution = resumable.json("executions", "list")[0]["id"]
    assert "FP-EXECUTION-STATE" in resumable.error("executions", "resume", execution, status=2)
    (resumable.folder / "marks" / "open").touch()
    out, _ = process.communicate(timeout=60)
    assert "o0 = 26" in out


def test_two_runs_share_a_home(resumable: Any, until: Callable[..., Any]) -> None:
    (resumable.folder / "marks" / "open").touch()
    processes = [resumable.start("run", "flow.py", "pipeline") for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "o0 = 26" in out
    assert len(resumable.json("executions", "list")) == 2


def test_decks_are_written_as_html_files(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    execution = execution_of(cli.run("run", "flow.py", "pipeline"))
    written = cli.run("executions", "deck", execution, "--to", "decks").stdout.split()
    assert [Path(name).suffix for name in written] == [".html"]
    page = (cli.folder / written[0]).read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>best</title>" in page
    assert "<b>abc</b>" in page
    assert "n3" in cli.error("executions", "deck", execution, "n0", status=2)


def test_a_full_disk_ends_the_run_with_one_error_and_loses_nothing_that_was_recorded(cli: Any) -> None:
    cli.write("flow.py", FLOW)
    before = execution_of(cli.run("run", "flow.py", "pipeline"))
    room = (cli.home / "store.db").stat().st_size + 8192

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    statuses = []
    for _ in range(12):
        done = subprocess.run(
            cli.command("run", "flow.py", "pipeline"),
            cwd=cli.folder,
            env=cli.environment(),
            preexec_fn=limited,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        statuses.append(done.returncode)
        if done.returncode:
            break
    assert statuses[-1] == 1, "the store never became full"
    assert "FP-STORE-FULL" in done.stderr
    assert cli.json("executions", "show", before)["status"] == "succeeded"
    unfinished = [row["id"] for row in cli.json("executions", "list") if row["status"] == "running"]
    for execution in unfinished:
        assert '"value": 6.0' in cli.run("executions", "resume", execution).stdout


def test_of_two_that_resume_at_once_one_drives_and_the_other_follows_or_is_told(
    resumable: Any, until: Callable[..., Any]
) -> None:
    execution, _ = interrupted(resumable, until, signal.SIGKILL)
    processes = [resumable.start("executions", "resume", execution) for _ in range(2)]
    until(lambda: resumable.json("executions", "show", execution)["interrupted"] is False, "one of them drives")
    (resumable.folder / "marks" / "open").touch()
    results = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert 0 in {status for _, status in results}
    for (out, err), status in results:
        assert "o0 = 26" in out if status == 0 else "FP-EXECUTION-STATE" in err
    assert (resumable.folder / "marks" / "last").read_text() == "x"


def test_both_ways_to_start_the_command_line_import_the_same(cli: Any) -> None:
    cli.write("flows/flow.py", "import beside\nfrom flytepath import task\n@task\ndef one() -> int:\n    return 1\n")
    cli.write("beside.py", "x = 1\n")
    assert "'beside', which is not installed" in cli.error("run", "flows/flow.py", "one", status=2)


def test_a_failure_ends_what_runs_beside_it_unless_the_workflow_says_otherwise(resumable: Any) -> None:
    resumable.write(
        "beside.py",
        RESUME
        + """
    @task
    def fail(x: int) -> int:
        while not (marks / "gate").exists():
            time.sleep(0.02)
        (marks / "open").touch() if x else None
        raise RuntimeError("no")

    @workflow
    def at_once() -> int:
        return last(values=[gate(x=1), fail(x=0)])

    @workflow(failure_policy="fail_after_executable_nodes_complete")
    def afterwards() -> int:
        return last(values=[first(x=gate(x=1)), fail(x=1)])
""",
    )
    resumable.run("run", "beside.py", "at_once", status=1)
    view = resumable.json("executions", "show", resumable.json("executions", "list")[0]["id"])
    assert [node["status"] for node in view["nodes"]] == ["skipped", "failed", "skipped"]
    assert view["failed_node"] == "n1"
    (resumable.folder / "marks" / "gate").unlink()
    resumable.run("run", "beside.py", "afterwards", status=1)
    view = resumable.json("executions", "show", resumable.json("executions", "list")[0]["id"])
    assert [node["status"] for node in view["nodes"]] == ["succeeded", "succeeded", "failed", "skipped"]


def test_with_json_an_error_is_data_too(cli: Any) -> None:
    done = cli.run("executions", "show", "x000", "--json", status=2)
    assert json.loads(done.stdout)["error"]["code"] == "FP-NOT-FOUND"
    assert "FP-NOT-FOUND" in done.stderr


def test_an_abort_ends_a_run_from_another_terminal(resumable: Any, until: Callable[..., Any]) -> None:
    process = resumable.start("run", "flow.py", "pipeline")
    until((resumable.folder / "marks" / "gate").exists, "the gate is reached")
    execution = resumable.json("executions", "list")[0]["id"]
    assert "asked to end" in resumable.run("executions", "abort", execution, "--reason", "enough").stdout
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "aborted" in err
    view = resumable.json("executions", "show", execution)
    assert view["status"] == "aborted"
    asked = [e for e in view["events"] if e["payload"]["type"] == "abort_requested"]
    assert [e["payload"]["reason"] for e in asked] == ["enough"]
    assert asked[0]["actor"]["kind"] == "user"
    assert {node["status"] for node in view["nodes"]} <= {"succeeded", "skipped"}
    assert "already aborted" in resumable.error("executions", "abort", execution, status=2)
    assert "already aborted" in resumable.error("executions", "resume", execution, status=2)


def test_an_interrupted_execution_is_aborted_at_once(resumable: Any, until: Callable[..., Any]) -> None:
    execution, _ = interrupted(resumable, until, signal.SIGKILL)
    assert "aborted" in resumable.run("executions", "abort", execution).stdout
    assert resumable.json("executions", "show", execution)["status"] == "aborted"
    assert (resumable.folder / "marks" / "gate").read_text() == "x"


def test_in_a_terminal_the_progress_is_a_table_that_moves(resumable: Any, until: Callable[..., Any]) -> None:
    execution, _ = interrupted(resumable, until, signal.SIGKILL)
    (resumable.folder / "marks" / "open").touch()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        resumable.command("executions", "resume", execution),
        cwd=resumable.folder,
        env={**resumable.environment(), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break  # the other end is closed
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert "o0 = 26" in out
    text = shown.decode()
    assert "✓" in text
    assert "2 of 4 nodes" in text
    assert "4 of 4 nodes" in text
    assert "gate" in text
