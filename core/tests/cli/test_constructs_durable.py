"""Every construct by ``flytepath run``, in workers of its own: what it gives, and that a kill costs nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    import asyncio, datetime, functools, os, pathlib, time
    from flytepath import (
        LaunchPlan, approve, conditional, current_context, dynamic, eager, map_task, sleep, task, wait_for_input,
        workflow,
    )

    marks = pathlib.Path(os.environ.get("MARKS", "."))

    @task
    def step(name: str, x: int) -> int:
        while (marks / f"hold-{name}").exists():
            time.sleep(0.01)
        with (marks / name).open("a") as file:
            file.write("x")
        return x + 1

    @task
    def boom(x: int) -> int:
        raise ValueError(f"no {x}")

    @workflow
    def sub(x: int) -> int:
        return step(name="sub", x=x)

    plan = LaunchPlan.get_or_create(sub, name="plan", default_inputs={"x": 4})

    @dynamic
    def grow(n: int) -> list[int]:
        with (marks / "body").open("a") as file:
            file.write("x")
        return [step(name=f"grow{i}", x=i) for i in range(n)]

    @dynamic
    def mistaken(x: int) -> int:
        return step(name="a", x="b")

    @workflow
    def growing(n: int) -> list[int]:
        return grow(n=n)

    @workflow
    def mapping(xs: list[int]) -> list[int]:
        return map_task(functools.partial(step, name="item"), concurrency=2)(x=xs)

    @task
    def nap(x: int) -> int:
        return step.task_function(name=f"nap{x}", x=x)

    @workflow
    def naps(xs: list[int]) -> list[int]:
        return map_task(nap)(x=xs)

    @workflow
    def planned(x: int) -> int:
        return plan(x=x)

    @workflow
    def branching(x: int) -> int:
        return conditional("c").if_(x > 3).then(step(name="big", x=x)).else_().fail("too small")

    @eager
    async def calls(x: int) -> int:
        async def chain(name: str, start: int) -> int:
            first = await inner(name=f"{name}1", x=start)
            return await inner(name=f"{name}2", x=first)
        both = await asyncio.gather(chain("a", x), chain("b", x + 1))
        try:
            boom(x=1)
        except ValueError as error:
            print("caught", type(error).__name__)
        return sum(both)

    @eager
    async def inner(name: str, x: int) -> int:
        return step(name=name, x=x)

    @workflow
    def sleeping(seconds: int) -> int:
        waited = sleep(datetime.timedelta(seconds=6))
        after = step(name="after", x=1)
        waited >> after
        return after

    @workflow
    def gated(x: int) -> int:
        value = step(name="before", x=x)
        approve(value, "right", timeout=datetime.timedelta(minutes=5))
        return step(name="given", x=wait_for_input("given", timeout=datetime.timedelta(minutes=5), expected_type=int))

    @task(cache=True, cache_version="1")
    def kept(x: int) -> int:
        with (marks / "kept").open("a") as file:
            file.write("x")
        return x * 2

    @workflow
    def keeping(x: int) -> int:
        return kept(x=x)

    @task(environment={"COLOUR": "red"})
    def variables() -> list[str]:
        return [os.environ["COLOUR"], os.environ.get("SIZE", "")]

    @task(retries=2)
    def resumed() -> str:
        checkpoint = current_context().checkpoint
        seen = (checkpoint.read() or b"").decode()
        checkpoint.write(f"{seen}{current_context().attempt}".encode())
        if len(seen) < 2:
            raise RuntimeError("again")
        return seen

"""


@pytest.fixture
def flow(cli: Any) -> Any:
    marks: Path = cli.folder / "marks"
    marks.mkdir()
    cli.env["MARKS"] = str(marks)
    cli.write("flow.py", FLOW)
    return cli


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def run(flow: Any, *arguments: str) -> Any:
    return json.loads(flow.run("run", "--json", "flow.py", *arguments).stdout)


def value(flow: Any, *arguments: str) -> Any:
    view = run(flow, *arguments)
    assert view["status"] == "succeeded"
    return view["outputs"]["o0"]["data"]


def mark(flow: Any, name: str) -> str:
    path = flow.folder / "marks" / name
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("growing", "--n", "3"), [1, 2, 3]),
        (("growing", "--n", "0"), []),
        (("mapping", "--xs", "[3, 1, 2]"), [4, 2, 3]),
        (("mapping", "--xs", "[]"), []),
        (("planned", "--x", "2"), 3),
        (("branching", "--x", "4"), 5),
        (("calls", "--x", "1"), 7),
        (("variables",), ["red", ""]),
    ],
)
def test_a_construct_gives_what_it_gives_in_a_direct_call(flow: Any, arguments: tuple[str, ...], expected: Any) -> None:
    assert value(flow, *arguments) == expected


def test_checkpoints_pass_from_attempt_to_attempt(flow: Any) -> None:
    assert value(flow, "resumed") == "12"
    assert not (flow.home / "checkpoints").exists() or not list((flow.home / "checkpoints").iterdir())


def test_a_result_is_found_again_in_the_next_run(flow: Any) -> None:
    assert value(flow, "keeping", "--x", "4") == 8
    view = run(flow, "keeping", "--x", "4")
    assert view["outputs"]["o0"]["data"] == 8
    assert [node["cached"] for node in view["nodes"]] == [True]
    assert mark(flow, "kept") == "x"


def test_the_message_of_a_case_that_fails_is_the_error(flow: Any) -> None:
    assert "too small" in flow.error("run", "flow.py", "branching", "--x", "1", status=1)


def test_an_error_in_a_dynamic_graph_names_the_line_as_its_author_knows_it(flow: Any) -> None:
    said = flow.error("run", "flow.py", "mistaken", "--x", "1", status=1)
    assert "FP-TYPE-MISMATCH" in said
    assert "[flow.py:" in said
    assert "bundles" not in said


# --- gates -------------------------------------------------------------------------------------------------------


def test_gates_are_answered_from_another_terminal(flow: Any) -> None:
    process = flow.start("run", "flow.py", "gated", "--x", "1")
    try:
        listed = until(lambda: flow.json("executions", "list"), "the execution")
        identity = listed[0]["id"]
        until(lambda: len(flow.json("executions", "show", identity)["gates"]) == 2, "both gates are open")
        assert "is no integer" in flow.error("executions", "signal", identity, "given", "many", status=2)
        assert "expected: " in flow.error("executions", "signal", identity, "nowhere", status=2)
        assert "waits for a value" in flow.error("executions", "signal", identity, "given", status=2)
        flow.run("executions", "signal", identity, "given", "6")
        assert "answered already" in flow.error("executions", "signal", identity, "given", "7", status=2)
        flow.run("executions", "signal", identity, "right", "--approve")
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "o0 = 7" in out
    assert f"flytepath executions signal {identity}" in err
    assert "has already succeeded" in flow.error("executions", "signal", identity, "given", "7", status=2)


def test_an_interrupted_gate_takes_its_answer_when_it_is_resumed(flow: Any) -> None:
    identity = killed_when(flow, ("gated", "--x", "1"), lambda view: len(view["gates"]) == 2)
    done = flow.run("executions", "signal", identity, "given", "6")
    assert f"flytepath executions resume {identity}" in done.stderr
    assert "answered already" in flow.error("executions", "signal", identity, "given", "7", status=2)
    flow.run("executions", "signal", identity, "right", "--reject")
    assert "right was not approved" in flow.error("executions", "resume", identity, status=1)


# --- kills -------------------------------------------------------------------------------------------------------


def killed_when(flow: Any, arguments: tuple[str, ...], condition: Callable[[dict[str, Any]], bool]) -> str:
    """Start a run and kill it, with no warning, when ``condition`` holds for what is durable; the execution's id."""
    process = flow.start("run", "flow.py", *arguments)
    try:
        identity = until(lambda: flow.json("executions", "list"), "the execution")[0]["id"]
        until(lambda: condition(flow.json("executions", "show", identity)), "the moment of the kill")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return str(identity)


def status_of(view: dict[str, Any], path: str) -> str:
    return next((node["status"] for node in view["nodes"] if node["path"] == path), "")


def succeeded_items(view: dict[str, Any], path: str) -> int:
    items = next((node["items"] for node in view["nodes"] if node["path"] == path), None)
    return items["succeeded"] if items else 0


def resume(flow: Any, identity: str) -> dict[str, Any]:
    view: dict[str, Any] = flow.json("executions", "resume", identity)
    assert view["status"] == "succeeded"
    shown = flow.json("executions", "show", identity)
    ends = Counter(e["payload"]["node"] for e in shown["events"] if e["payload"]["type"] == "node_succeeded")
    assert set(ends.values()) == {1}
    return view


def test_a_killed_dynamic_task_goes_on_with_the_graph_it_had_built(flow: Any) -> None:
    (flow.folder / "marks" / "hold-grow2").touch()
    identity = killed_when(flow, ("growing", "--n", "3"), lambda view: status_of(view, "n0/n0") == "succeeded")
    (flow.folder / "marks" / "hold-grow2").unlink()
    assert resume(flow, identity)["outputs"]["o0"]["data"] == [1, 2, 3]
    assert mark(flow, "body") == "x"
    assert mark(flow, "grow0") == "x"


def test_a_killed_map_runs_only_the_items_that_are_missing(flow: Any) -> None:
    (flow.folder / "marks" / "hold-nap1").touch()
    identity = killed_when(flow, ("naps", "--xs", "[0,1,2,3]"), lambda view: succeeded_items(view, "n0") > 0)
    (flow.folder / "marks" / "hold-nap1").unlink()
    assert resume(flow, identity)["outputs"]["o0"]["data"] == [1, 2, 3, 4]
    assert mark(flow, "nap0") == "x"


def test_a_killed_eager_task_is_told_what_its_calls_had_given(flow: Any) -> None:
    (flow.folder / "marks" / "hold-b2").touch()

    def first_calls_are_there(view: dict[str, Any]) -> bool:
        return mark(flow, "a1") == mark(flow, "b1") == "x" and any(
            n["status"] == "succeeded" and n["kind"] == "eager" for n in view["nodes"]
        )

    identity = killed_when(flow, ("calls", "--x", "1"), first_calls_are_there)
    before = {name: mark(flow, name) for name in ("a1", "b1")}
    shown = flow.json("executions", "show", identity)
    done = [node["path"] for node in shown["nodes"] if node["status"] == "succeeded"]
    (flow.folder / "marks" / "hold-b2").unlink()
    assert resume(flow, identity)["outputs"]["o0"]["data"] == 7
    later = flow.json("executions", "show", identity)["events"][len(shown["events"]) :]
    again = [event["payload"]["node"] for event in later if event["payload"]["type"] == "attempt_started"]
    assert not set(done) & set(again)
    assert before["a1"]


def test_a_killed_sleep_does_not_begin_anew(flow: Any) -> None:
    identity = killed_when(flow, ("sleeping", "--seconds", "4"), lambda view: len(view["gates"]) == 1)
    until_time = flow.json("executions", "show", identity)["gates"][0]["until"]
    resume(flow, identity)
    shown = flow.json("executions", "show", identity)
    opened = [event for event in shown["events"] if event["payload"]["type"] == "gate_opened"]
    assert [event["payload"]["due"] for event in opened] == [until_time]
