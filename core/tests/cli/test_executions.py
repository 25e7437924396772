"""``flytepath executions``: operating what another process drives, and doing again what has ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.client import LocalClient, Scope

FLOW = """
    import os, pathlib, time
    from flytepath import map_task, task, workflow

    marks = pathlib.Path(os.environ["MARKS"])

    def note(name):
        with (marks / name).open("a") as file:
            file.write("x")

    @task
    def first(x: int) -> int:
        note("first")
        print("before", flush=True)
        while not (marks / "open").exists():
            time.sleep(0.02)
        print("after", flush=True)
        return x + 1

    @task
    def second(x: int, rate: float = 0.5) -> int:
        note("second")
        print("second at", rate)
        if not (marks / "healed").exists():
            raise ValueError("not healed")
        return x * 10

    @task
    def item(x: int) -> int:
        note(f"item{x}")
        if x == 2 and not (marks / "healed").exists():
            raise ValueError(f"item {x} is bad")
        return x

    @task
    def total(xs: list[int]) -> int:
        return sum(xs)

    @workflow
    def pipeline(x: int = 1, rate: float = 0.5) -> int:
        return second(x=first(x=x), rate=rate)

    @workflow
    def fan(xs: list[int]) -> int:
        return total(xs=map_task(item, concurrency=1)(x=xs))

    @workflow
    def named(name: str) -> str:
        return tell(text=name, sizes=[], fast=False)

    @workflow
    def sized(text: str = "a", sizes: list[int] = [1, 2], fast: bool = False) -> str:
        return tell(text=text, sizes=sizes, fast=fast)

    @task
    def tell(text: str, sizes: list[int], fast: bool) -> str:
        return f"{text} {sizes} {fast}"
"""

Until = Callable[[Callable[[], Any], str], Any]


@pytest.fixture
def flow(cli: Any) -> Any:
    (cli.folder / "marks").mkdir()
    cli.env["MARKS"] = str(cli.folder / "marks")
    cli.write("flow.py", FLOW)
    return cli


def touch(flow: Any, name: str) -> None:
    (flow.folder / "marks" / name).touch()


def times(flow: Any, name: str) -> int:
    path: Path = flow.folder / "marks" / name
    return len(path.read_text()) if path.exists() else 0


@pytest.fixture
def driven(flow: Any, until: Until) -> Iterator[subprocess.Popen[str]]:
    """A run that waits in its first task until ``open`` is there."""
    process = flow.start("run", "flow.py", "pipeline", "--name", "p1")
    until((flow.folder / "marks" / "first").exists, "the first task runs")
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_run_is_paused_explained_and_continued_from_elsewhere(flow: Any, driven: Any, until: Until) -> None:
    flow.run("executions", "pause", "p1", "--reason", "maintenance")
    until(lambda: flow.json("executions", "show", "p1")["paused"], "it is paused")
    touch(flow, "open")
    until(lambda: flow.json("executions", "show", "p1")["nodes"][0]["status"] == "succeeded", "what ran has ended")
    assert times(flow, "second") == 0
    assert "paused" in flow.run("executions", "list").stdout
    told = flow.json("executions", "explain", "p1", "n1")
    assert told["summary"] == "the execution is paused: maintenance"
    assert "FP-EXECUTION-STATE" in flow.error("executions", "pause", "p1", status=2)
    touch(flow, "healed")
    watching = flow.start("executions", "watch", "p1")
    flow.run("executions", "continue", "p1")
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == 0, err
    assert "o0 = 20" in out
    driven.communicate(timeout=60)
    assert driven.returncode == 0
    assert "FP-EXECUTION-STATE" in flow.error("executions", "continue", "p1", status=2)


def test_logs_are_followed_while_another_process_runs_it(flow: Any, driven: Any, until: Until) -> None:
    until(lambda: "before" in flow.run("executions", "logs", "p1", "n0").stdout, "the first line is there")
    following = flow.start("executions", "logs", "p1", "-f")
    for name in ("healed", "open"):
        touch(flow, name)
    out, err = following.communicate(timeout=60)
    assert following.returncode == 0, err
    assert out.splitlines() == ["n0 before", "n0 after", "n1 second at 0.5"]
    driven.communicate(timeout=60)
    assert flow.run("executions", "logs", "p1", "n0", "--tail", "1").stdout == "after\n"


def test_ctrl_c_ends_the_watching_and_not_the_run(flow: Any, driven: Any, until: Until) -> None:
    watching = flow.start("executions", "watch", "p1", "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["seq"] == 1
    os.kill(watching.pid, signal.SIGINT)
    watching.communicate(timeout=60)
    assert watching.returncode == 130
    for name in ("healed", "open"):
        touch(flow, name)
    driven.communicate(timeout=60)
    assert driven.returncode == 0


def test_a_running_execution_is_aborted_from_elsewhere(flow: Any, driven: Any) -> None:
    flow.run("executions", "abort", "p1", "--reason", "wrong data")
    driven.communicate(timeout=60)
    assert driven.returncode == 1
    view = flow.json("executions", "show", "p1")
    assert view["status"] == "aborted"
    assert "wrong data" in flow.run("executions", "explain", "p1").stdout
    flow.run("executions", "watch", "p1", status=1)


def test_what_succeeded_does_not_run_again_when_it_is_recovered(flow: Any) -> None:
    flow.run("run", "flow.py", "fan", "--xs", "[1, 2, 3]", "--name", "f1", status=1)
    shown = flow.run("executions", "show", "f1").stdout
    assert "1 of 3, 1 failed, 1 skipped" in shown
    assert "n0/1: ValueError: item 2 is bad" in shown
    touch(flow, "healed")
    done = flow.run("executions", "recover", "f1", "--name", "f2")
    assert "o0 = 6" in done.stdout
    assert [times(flow, f"item{x}") for x in (1, 2, 3)] == [1, 2, 1]
    view = flow.json("executions", "show", "f2")
    assert view["recovers"] == "f1"
    assert "execution f1" in flow.json("executions", "explain", "f2", "n0/0")["summary"]
    assert "FP-EXECUTION-STATE" in flow.error("executions", "recover", "f2", status=2)
    changes = flow.json("executions", "diff", "f1", "f2")["changes"]
    assert {"part": "outcome", "name": "status", "before": "failed", "after": "succeeded"} in changes


def test_a_relaunch_changes_the_inputs_that_are_given(flow: Any) -> None:
    flow.run("run", "flow.py", "sized", "--name", "s1")
    (flow.folder / "flow.py").unlink()  # it runs from its kept code
    done = flow.run("executions", "relaunch", "s1", "--sizes", "3", "--sizes", "4", "--fast", "--name", "s2")
    assert 'o0 = "a [3, 4] True"' in done.stdout
    assert 'o0 = "b [3, 4] False"' in flow.run("executions", "relaunch", "s2", "--text=b", "--no-fast").stdout
    shown = flow.run("executions", "relaunch", "s1", "--help").stdout
    assert "--sizes  list[integer]" in shown
    assert "--detach" in shown
    started = flow.json("executions", "relaunch", "s1", "--detach")
    view = flow.json("executions", "show", started["id"])
    assert (view["relaunches"], view["status"]) == ("s1", "running")
    for arguments, code in (
        (("--size", "3"), "FP-UNKNOWN-INPUT"),
        (("--sizes", "many"), "FP-INPUT"),
        (("--text",), "FP-INPUT"),
        (("text",), "FP-INPUT"),
        (("--text", "a", "--text", "b"), "FP-INPUT"),
    ):
        assert code in flow.error("executions", "relaunch", "s1", *arguments, status=2)


def test_an_input_with_the_name_of_an_option_is_the_input_after_the_id(flow: Any) -> None:
    flow.run("run", "flow.py", "named", "--name", "ada", "--json")
    first = flow.json("executions", "list")[0]["id"]
    done = flow.json("executions", "relaunch", "--name", "again", first, "--name", "bob")
    assert (done["id"], done["inputs"]["name"]["data"]) == ("again", "bob")


def test_an_execution_that_nobody_drives_is_paused_and_resumed(flow: Any, driven: Any) -> None:
    os.killpg(driven.pid, signal.SIGKILL)
    driven.communicate(timeout=60)
    flow.run("executions", "pause", "p1")
    assert "interrupted" in flow.run("executions", "show", "p1").stdout
    for name in ("healed", "open"):
        touch(flow, name)
    assert "o0 = 20" in flow.run("executions", "resume", "p1").stdout
    kinds = [event["payload"]["type"] for event in flow.json("executions", "show", "p1")["events"]]
    assert kinds.count("execution_paused") == kinds.count("execution_continued") == 1


EVERYTHING = """
    import asyncio, datetime
    from flytepath import LaunchPlan, conditional, dynamic, eager, map_task, sleep, task, workflow

    @task
    def double(x: int) -> int:
        print("double", x)
        return 2 * x

    @task
    def even(x: int) -> int:
        if x % 2:
            raise ValueError("odd")
        return x

    @task(cache=True, cache_version="1")
    def cached(x: int) -> int:
        return x

    @workflow
    def sub(x: int) -> int:
        return double(x=double(x=x))

    @dynamic
    def grow(n: int) -> list[int]:
        return [double(x=i) for i in range(n)]

    @eager
    async def both(x: int) -> int:
        return sum(await asyncio.gather(inner(x=x), inner(x=x + 1)))

    @eager
    async def inner(x: int) -> int:
        return double(x=double(x=x))

    @task
    def count(xs: list[int | None]) -> int:
        return len(xs)

    plan = LaunchPlan.get_or_create(sub, "plan")

    @workflow
    def everything(x: int = 1) -> tuple[int, list[int], int, int, int]:
        a = sub(x=x)
        map_task(plan)(x=[1, 2, 3])
        t = count(xs=map_task(even, min_success_ratio=0.4)(x=[1, 2, 3, 4]))
        c = conditional("size").if_(a > 100).then(double(x=a)).elif_(a > 2).then(sub(x=a)).else_().fail("none")
        sleep(datetime.timedelta(seconds=0.1))
        return both(x=a), grow(n=3), t, c, cached(x=a)
"""


def test_every_moment_of_every_construct_can_be_shown_and_explained(flow: Any) -> None:
    flow.write("all.py", EVERYTHING)
    flow.run("run", "all.py", "everything", "--name", "e1")
    scope, seen = Scope.of_this_user(), 0
    with LocalClient(flow.home) as client:
        last = client.execution(scope, "e1").seq
        for seq in {*range(1, last, 5), last}:
            view = client.execution(scope, "e1", at=str(seq))
            assert view.seq == seq
            client.explain(scope, "e1", at=str(seq))
            paths = [node.path for node in view.nodes]
            paths += [f"{node.path}/{item}" for node in view.nodes if node.items for item in range(node.items.total)]
            for path in paths:
                detail = client.node(scope, "e1", path, at=str(seq))
                told = client.explain(scope, "e1", path, at=str(seq))
                assert told.status == detail.node.status
                assert all(fact.seq <= seq for fact in told.facts)
                seen += 1
        assert seen > 100
        assert client.node(scope, "e1", "n1/2/n1").outputs["o0"].data == 12  # below an item of a map of graphs
        assert [node.path for node in client.node(scope, "e1", "n1/2").below] == ["n1/2/n0", "n1/2/n1"]
    shown = flow.run("executions", "logs", "e1", "n1/2").stdout.splitlines()
    assert shown == ["n1/2/n0 double 3", "n1/2/n1 double 6"]
    assert flow.run("executions", "diff", "e1", "e1").stdout == "nothing differs\n"
