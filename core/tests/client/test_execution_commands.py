"""``flytepath executions ...`` on logs that are written event by event: what is printed, and as JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.cli.root import run_command_line
from flytepath.engine.local.places import Places
from flytepath.model.events import ExecutionContinued, ExecutionPaused
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER, LiteralType
from recorded import ADA, Recorded, chain, mapped, number


class Shell:
    """Runs ``flytepath executions`` here and remembers what it printed."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.err = ""

    def __call__(self, *arguments: str, status: int = 0) -> str:
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line(["executions", *arguments])
        out, self.err = self._capture.readouterr()
        assert (ended.value.code or 0) == status, out + self.err
        return out

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., Recorded]]:
    made: list[Recorded] = []

    def make(spec: Any = None, **facts: Any) -> Recorded:
        made.append(Recorded(tmp_path / "home", spec or chain("flow.a", "flow.b"), **facts))
        return made[-1]

    yield make
    for each in made:
        each.close()


def fan(record: Callable[..., Recorded], size: int = 3000) -> Recorded:
    xs = Literal.make(LiteralType.list_of(INTEGER), list(range(size)))
    run = record(mapped(size, ratio=0.0), inputs={"xs": xs})
    run.expand("n0", size, {"x": xs})
    run.start_items("n0", *range(1000))
    run.succeed_items("n0", *range(30, 1000))
    for index in range(25):
        run.fail(f"n0/{index}", f"bad {index}", recoverable=False)
    return run


def test_a_map_is_one_line_and_its_first_failures(shell: Shell, record: Callable[..., Recorded]) -> None:
    fan(record)
    lines = shell("show", "x1").splitlines()
    [line] = [line for line in lines if line.strip().startswith("n0 ")]
    assert "970 of 3,000, 25 failed, 5 running, 2,000 waiting" in line
    assert sum(": bad " in line for line in lines) == 20
    assert "    and 5 more that failed" in lines
    assert len(lines) < 50


def test_items_are_shown_page_by_page(shell: Shell, record: Callable[..., Recorded]) -> None:
    fan(record)
    page = shell("show", "x1", "n0", "--from", "24", "--limit", "3")
    assert [word for word in page.split() if word.startswith("n0/")] == ["n0/24", "n0/25", "n0/26"]
    assert "and 2,973 more: --from 27" in page
    assert "bad 7" in shell("show", "x1", "n0/7")
    data = shell.json("show", "x1", "n0/7")
    assert data["node"]["status"] == "failed"
    assert {event["payload"]["type"] for event in data["events"]} == {"items_started", "attempt_failed", "node_failed"}


def test_the_past_is_marked(shell: Shell, record: Callable[..., Recorded]) -> None:
    run = record()
    run.start("n0", x=number(3))
    run.succeed("n0", 4)
    assert "as it was after event 3" in shell("show", "x1", "--at", "3")
    assert shell.json("show", "x1", "--at", "3")["nodes"][0]["status"] == "running"
    assert len(shell.json("show", "x1", "--at", "3")["events"]) == 3
    assert "past" not in shell("show", "x1", "--at", str(run.state.seq))
    shell("show", "x1", "--at", "tomorrow", status=2)
    assert "--at" in shell.err


def test_states_of_a_running_execution_in_lists(shell: Shell, record: Callable[..., Recorded]) -> None:
    record(id="a1").note(ExecutionPaused(), ADA)
    record(id="b1", labels={"team": "x"}).leave()
    record(id="c1")
    lines = shell("list").splitlines()
    assert [line.split()[1] for line in lines] == ["running", "interrupted", "paused"]
    assert shell("list", "--label", "team=x").split()[0] == "b1"
    assert [row["id"] for row in shell.json("list", "--status", "paused")] == ["a1"]
    first = shell.json("list", "--limit", "1")[0]
    assert [row["id"] for row in shell.json("list", "--cursor", first["cursor"])] == ["b1", "a1"]
    assert shell("list", "--since", "1h ago") == ""
    shell("list", "--since", "nonsense", status=2)
    shell("list", "--label", "team", status=2)


def test_explanations_are_printed_with_their_events(shell: Shell, record: Callable[..., Recorded]) -> None:
    run = record()
    run.start("n0", x=number(3))
    run.fail("n0", "trouble")
    run.finish()
    out = shell("explain", "x1", "n1")
    assert "n0 flow.a: failed: trouble" in out
    assert "[event 4]" in out
    data = shell.json("explain", "x1", "n1")
    assert data["causes"][0]["facts"][0]["seq"] == 4
    assert shell.json("explain", "x1")["status"] == "failed"


def test_differences_are_printed_by_part(shell: Shell, record: Callable[..., Recorded]) -> None:
    record(id="a1")
    record(id="b1", inputs={"x": number(4)}, labels={"k": "v"})
    assert shell("diff", "a1", "b1").splitlines() == ["inputs", "  ~ x: 3 -> 4", "labels", "  + k: v"]
    assert shell("diff", "a1", "a1") == "nothing differs\n"
    assert shell.json("diff", "a1", "b1")["changes"][0] == {"part": "inputs", "name": "x", "before": "3", "after": "4"}


def test_logs_name_the_node_where_several_are_shown(shell: Shell, record: Callable[..., Recorded]) -> None:
    run = record(chain("flow.a", "flow.b", retries=1))
    shell("logs", "x1", status=2)
    assert "has started" in shell.err
    run.start("n0", x=number(3))
    assert shell("logs", "x1") == ""
    assert "nothing was printed" in shell.err
    run.log("n0", "one\ntwo\r\nthree")
    run.fail("n0")
    assert shell("logs", "x1", "n0") == "one\ntwo\nthree\n"
    run.start("n0", x=number(3))
    run.log("n0", "again\n", 2)
    assert shell("logs", "x1", "n0").splitlines() == ["n0 one", "n0 two", "n0 three", "n0#2 again"]
    assert shell("logs", "x1", "n0", "--attempt", "1", "--tail", "1") == "three\n"
    assert shell("logs", "x1", "--tail", "0") == ""
    assert json.loads(shell("logs", "x1", "--attempt", "2", "--json")) == {"node": "n0", "attempt": 2, "line": "again"}
    shell("logs", "x1", "n0", "--attempt", "3", status=2)
    shell("logs", "x1", "n7", status=2)


def test_an_erased_value_is_shown_as_erased_everywhere(shell: Shell, record: Callable[..., Recorded]) -> None:
    from flytepath.client.retention import Keeper
    from recorded import SCOPE

    run = record(chain("flow.a"), inputs={"x": number(424242)})
    run.start("n0", x=number(424242))
    run.succeed("n0", 1)
    run.finish(o0=number(1))
    run.leave()
    other = record(chain("flow.a"), id="x2")
    with Keeper(run.home) as keeper:
        keeper.erase(SCOPE, "x1", variable="x")
    assert "x = erased (integer)" in shell("show", "x1")
    assert "erased" in shell("show", "x1", "n0")
    assert "inputs\n  ~ x: erased (sha256:" in shell("diff", "x1", other.id)
    shell("explain", "x1")
    assert "424242" not in shell("show", "x1", "--json")


def beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_logs_are_followed_over_attempts_to_the_end(shell: Shell, record: Callable[..., Recorded]) -> None:
    run = record()
    printed = Places(run.home, "x1").log("n0", 1)
    printed.parent.mkdir(parents=True)

    def work() -> None:
        run.start("n0", x=number(3))
        with printed.open("wb", buffering=0) as file:
            for line in range(5):
                file.write(f"line {line}\n".encode())
                time.sleep(0.05)  # the reader is to see it grow
        run.log("n0", printed.read_bytes())
        printed.unlink()
        run.succeed("n0")
        run.start("n1", x=number(3))
        run.log("n1", "done\n")
        run.succeed("n1")
        run.finish()

    thread = beside(work)
    out = shell("logs", "x1", "-f")
    thread.join()
    assert out.splitlines() == [*(f"n0 line {line}" for line in range(5)), "n1 done"]


def test_watching_ends_with_the_execution_and_its_status(shell: Shell, record: Callable[..., Recorded]) -> None:
    run = record()
    run.start("n0", x=number(3))

    def work() -> None:
        time.sleep(1.0)  # what happened before somebody looked is not told
        run.note(ExecutionPaused(reason="lunch"), ADA)
        run.note(ExecutionContinued(), ADA)
        run.fail("n0", "trouble")
        run.finish()

    thread = beside(work)
    shell("watch", "x1", status=1)
    thread.join()
    assert "paused by ada: lunch" in shell.err
    assert "n0 a: failed" in shell.err
    assert "[FP-TASK-FAILED] trouble" in shell.err
    lines = shell("watch", "x1", "--json", status=1).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, run.state.seq + 1))


def test_watching_a_map_prints_steps_and_not_items(shell: Shell, record: Callable[..., Recorded]) -> None:
    size = 400
    xs = Literal.make(LiteralType.list_of(INTEGER), list(range(size)))
    run = record(mapped(size, ratio=0.0), inputs={"xs": xs})

    def work() -> None:
        run.expand("n0", size, {"x": xs})
        run.start_items("n0", *range(size))
        for index in range(size):
            run.succeed_items("n0", index)
        run.settle("n0")
        run.start("n1")
        run.succeed("n1")
        run.finish(o0=number(1))

    thread = beside(work)
    out = shell("watch", "x1")
    thread.join()
    assert "o0 = 1" in out
    said = [line for line in shell.err.splitlines() if line.startswith("n0")]
    assert "400 of 400" in "".join(said)
    assert len(said) <= 13


@pytest.mark.parametrize("command", ["show", "watch", "logs", "explain", "abort", "resume", "recover", "relaunch"])
def test_an_unknown_execution_is_one_clear_error(shell: Shell, record: Callable[..., Recorded], command: str) -> None:
    record(id="nightly-7")
    shell(command, "nightly-8", status=2)
    assert shell.err.startswith("Error: [FP-NOT-FOUND] there is no execution 'nightly-8'")
    assert "nightly-7" in shell.err
