"""``flytepath run`` with its settings, and of everything that can be run."""

from __future__ import annotations

from typing import Any

import pytest

FLOW = """
    import os
    from pathlib import Path
    from flytepath import FlyteFile, LaunchPlan, dynamic, eager, map_task, task, workflow

    @task
    def double(x: int) -> int:
        return 2 * x

    @task(cache=True, cache_version="1")
    def marked(folder: str) -> int:
        path = Path(folder) / "marks"
        path.write_text(path.read_text() + "x" if path.exists() else "x")
        return len(path.read_text())

    @task
    def variable(name: str) -> str:
        return os.environ.get(name, "none")

    @task
    def where(name: str = "inner") -> int:
        return os.getpid()

    @task
    def read(file: FlyteFile) -> str:
        with open(file) as stream:
            return stream.read()

    @dynamic
    def every(n: int) -> list[int]:
        return [double(x=i) for i in range(n)]

    @eager
    async def later(x: int) -> int:
        return await double.aio(x=x) if hasattr(double, "aio") else double(x=x)

    @workflow
    def flow(x: int, y: int = 1) -> int:
        return double(x=x)

    plan = LaunchPlan.get_or_create(flow, "twenty", fixed_inputs={"y": 3}, default_inputs={"x": 10})
    many = map_task(double)
    LaunchPlan.get_or_create(flow, "nameless", fixed_inputs={"y": 3, "x": 4})
"""


@pytest.fixture
def flow(cli: Any) -> Any:
    cli.write("flow.py", FLOW)
    return cli


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["plan"], "o0 = 20"),
        (["twenty", "--x", "1"], "o0 = 2"),
        (["nameless"], "o0 = 8"),
        (["many", "--x", "1", "--x", "2"], "o0 = [2, 4]"),
        (["every", "--n", "3"], "o0 = [0, 2, 4]"),
    ],
)
def test_everything_a_variable_holds_is_run(flow: Any, arguments: list[str], output: str) -> None:
    assert output in flow.run("run", "flow.py", *arguments).stdout


def test_an_execution_has_the_name_and_labels_it_was_given(flow: Any) -> None:
    flow.run(
        "run", "-p", "team", "--name", "first", "-l", "a=b", "--annotation", "c=d", "flow.py", "double", "--x", "1"
    )
    view = flow.json("executions", "show", "first")
    assert (view["labels"], view["annotations"], view["project"]) == ({"a": "b"}, {"c": "d"}, "team")
    assert "already" in flow.error("run", "--name", "first", "flow.py", "double", "--x", "1", status=2)


def test_variables_reach_the_tasks(flow: Any) -> None:
    flow_run = flow.run("run", "--env", "FP_TEST=a=b", "flow.py", "variable", "--name", "FP_TEST")
    assert 'o0 = "a=b"' in flow_run.stdout
    assert "KEY=VALUE" in flow.error("run", "--env", "A", "flow.py", "variable", "--name", "A", status=2)


def test_an_input_called_like_an_option_is_given_after_name(flow: Any) -> None:
    flow.run("run", "--name", "outer", "flow.py", "where", "--name", "x")
    assert flow.json("executions", "show", "outer")["inputs"]["name"]["data"] == "x"


def test_a_cache_is_overwritten_when_asked(flow: Any) -> None:
    arguments = ["flow.py", "marked", "--folder", str(flow.folder)]
    assert "o0 = 1" in flow.run("run", *arguments).stdout
    assert "o0 = 1" in flow.run("run", *arguments).stdout
    assert "o0 = 2" in flow.run("run", "--overwrite-cache", *arguments).stdout


def test_in_process_the_task_runs_in_the_command_itself(flow: Any) -> None:
    running = flow.start("run", "--in-process", "flow.py", "where")
    out, err = running.communicate(timeout=120)
    assert f"o0 = {running.pid}" in out, err


def test_a_missing_file_is_an_error_before_anything_is_made(flow: Any) -> None:
    assert "none.csv" in flow.error("run", "flow.py", "read", "--file", "none.csv", status=2)
    assert not flow.home.exists()
    flow.write("some.csv", "abc")
    assert 'o0 = "abc"' in flow.run("run", "flow.py", "read", "--file", "some.csv").stdout
