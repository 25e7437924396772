"""Tasks that are no function in durable runs: found by their variables, run by workers, ended with their attempt."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    import datetime as dt
    import sqlite3
    from contextlib import closing
    from flytepath import (
        BaseSensor, ContainerTask, Echo, FileSensor, FlyteDirectory, FlyteFile, OutputLocation, ShellTask,
        SQLite3Config, SQLite3Task, kwtypes, task, workflow,
    )
    import pandas as pd

    shout = ShellTask(
        name="shout",
        script_file="scripts/shout.sh",
        inputs=kwtypes(text=str, file=FlyteFile),
        output_locs=[
            OutputLocation("loud", str, "loud"),
            OutputLocation("copy", FlyteFile, "{inputs.file}.copy"),
            OutputLocation("folder", FlyteDirectory, "folder"),
        ],
    )
    listed = ShellTask(
        name="listed",
        script="ls {inputs.folder} | wc -l > {outputs.count}; echo {ctx.execution_id} >> {inputs.folder}/id",
        inputs=kwtypes(folder=FlyteDirectory),
        output_locs=[OutputLocation("count", int, "count")],
    )
    pair = Echo(name="pair", inputs=kwtypes(a=str, b=int))
    asked = SQLite3Task(
        name="asked",
        query_template="select name from pets where age > {{ .inputs.age }} and name <> {{ .inputs.name }}",
        inputs=kwtypes(db=FlyteFile, age=int, name=str),
        task_config=SQLite3Config("{{ .inputs.db }}"),
    )
    arrived = FileSensor(name="arrived", timeout=60)

    class Third(BaseSensor):
        looks = 0
        async def poke(self, needed: int = 3) -> bool:
            self.looks += 1
            return self.looks >= needed

    third = Third("third", poll_interval=0.01)

    @task
    def given() -> FlyteFile:
        file = FlyteFile.new("given.txt")
        with file.open("w") as out:
            out.write("given")
        return file

    @task
    def pets() -> FlyteFile:
        file = FlyteFile.new("pets.db")
        with closing(sqlite3.connect(file.path)) as c, c:
            c.executescript("create table pets(name, age); insert into pets values ('Rex', 7), ('Tom', 9), ('Kit', 1)")
        return file

    @task
    def names(frame: pd.DataFrame) -> list[str]:
        return frame["name"].tolist()

    @task
    def read(file: FlyteFile) -> str:
        with file.open("r") as stream:
            return stream.read()

    @workflow
    def everything(text: str = "it's $(id)", path: str = __file__) -> tuple[str, str, int, list[str]]:
        loud, copy, folder = shout(text=text, file=given())
        word, number = pair(a=loud, b=listed(folder=folder))
        found = names(frame=asked(db=pets(), age=5, name="Tom"))
        arrived(path=path) >> third() >> found
        return word, read(file=copy), number, found

    boxed = ContainerTask(
        name="boxed",
        image="alpine:3.20",
        command=["sh", "-c", 'cat /var/inputs/file > /var/outputs/o; echo "-$0-"', "{{.inputs.x}}"],
        inputs=kwtypes(file=FlyteFile, x=str),
        outputs=kwtypes(o=str),
    )

    @workflow
    def contained(x: str = "a;b") -> str:
        return boxed(file=given(), x=x)

    slow = ShellTask(name="slow", script="sleep 1000 & echo $! > {inputs.to}; wait", inputs=kwtypes(to=str), timeout=3)
    slow_box = ContainerTask(name="slow_box", image="alpine:3.20", command=["sh", "-c", "sleep 1000"], timeout=3)
    failing = ShellTask(name="failing", script="echo the cause >&2; exit 3")

    @workflow
    def too_slow(to: str) -> None:
        slow(to=to)

    @workflow
    def too_slow_box() -> None:
        slow_box()

    @workflow
    def broken() -> None:
        failing()
"""


@pytest.fixture
def flow(cli: Any) -> Any:
    cli.write("flow.py", FLOW)
    cli.write(
        "scripts/shout.sh",
        """
        set -e
        printf '%s' {inputs.text} | tr a-z A-Z > {outputs.loud}
        cp {inputs.file} {outputs.copy}
        mkdir {outputs.folder}; touch {outputs.folder}/one {outputs.folder}/two
        """,
    )
    return cli


@pytest.fixture
def docker(flow: Any, tmp_path: Path) -> Path:
    """The state of a stand-in for docker on the PATH of the command line."""
    programs, state = tmp_path / "bin", tmp_path / "state"
    programs.mkdir()
    state.mkdir()
    script = Path(__file__).parents[1] / "authoring" / "fake_docker.py"
    docker = programs / "docker"
    docker.write_text(f'#!/bin/sh\nexec {sys.executable} -I {script} "$@"\n')
    docker.chmod(0o755)
    flow.env |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "FAKE_DOCKER": str(state)}
    return state


def outputs(flow: Any, workflow: str) -> list[Any]:
    done = flow.json("run", "flow.py", workflow)
    return [literal["data"] for _, literal in sorted(done["outputs"].items())]


def test_all_of_them_run_in_workers(flow: Any) -> None:
    assert outputs(flow, "everything") == ["IT'S $(ID)", "given", 2, ["Rex"]]


def test_a_failing_script_tells_its_cause(flow: Any) -> None:
    told = flow.error("run", "flow.py", "broken", status=1)
    assert "exit status 3" in told
    assert "the cause" in told


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_timeout_ends_the_script_and_its_children(flow: Any, tmp_path: Path, until: Any) -> None:
    told = flow.error("run", "flow.py", "too_slow", "--to", str(tmp_path / "pid"), status=1)
    assert "FP-TIMEOUT" in told
    child = int((tmp_path / "pid").read_text())
    until(lambda: not alive(child), "the script's child to be gone")


def test_a_container_runs_in_a_worker(flow: Any, docker: Path) -> None:
    assert outputs(flow, "contained") == ["given"]


def test_a_timeout_removes_the_container(flow: Any, docker: Path, until: Any) -> None:
    told = flow.error("run", "flow.py", "too_slow_box", status=1)
    assert "FP-TIMEOUT" in told
    until((docker / "removed").exists, "the container to be removed")
    assert not list(docker.glob("flytepath-*"))
