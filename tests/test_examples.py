"""Every workflow of every example gives the same, called and run; and so does every command in an example's header."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from packages import ROOT
from warm_processes import WarmPython

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
#: Far more than any of this takes; reaching it is a failure.
DEADLINE = 240.0
#: Run in the long tier only: each trains many models.
HEAVY = {"quickstart.py pipeline", "quickstart.py pipeline --folds 3", "ml_pipeline.py tumours --good-enough 0.999"}
#: What no direct call can do: it is one attempt.
NEEDS_ATTEMPTS = {
    "retries.py measure --busy 2",
    "checkpoint.py training --fail-at 6",
    "checkpoints.py training --fail-at 130",
}
#: What only the engine can do: it gives each task an environment of its own.
NEEDS_ENVIRONMENTS = {"conflicting_libraries.py compare --text 'to be or not to be'"}


@dataclass(frozen=True)
class Command:
    """A ``flytepath`` command of a header: its words, and the environment variables that are set before it."""

    words: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return shlex.join(self.words)

    @property
    def group(self) -> tuple[str, ...]:
        return self.words[:2] if self.words[0] == "executions" else self.words[:1]


@dataclass(frozen=True)
class Case:
    """A workflow of an example with the inputs of a command of its header, or with none."""

    path: Path
    name: str
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return shlex.join([self.path.name, self.name, *self.words])

    @property
    def texts(self) -> dict[str, str]:
        pairs = zip(self.words[::2], self.words[1::2], strict=True)
        return {option.removeprefix("--").replace("-", "_"): text for option, text in pairs}

    @property
    def command(self) -> tuple[str, ...]:
        return ("run", *self.options, "--json", f"examples/{self.path.name}", self.name, *self.words)

    @property
    def first(self) -> list[Command]:
        """What the header says has to be there before: other examples, registered."""
        return [command for command in registrations(self.path) if command.words[1] != f"examples/{self.path.name}"]

    @property
    def signals(self) -> list[tuple[str, ...]]:
        """How the header answers its gates: names and answers."""
        return [command.words[3:] for command in commands(self.path) if command.group == ("executions", "signal")]


def header(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def commands(path: Path) -> list[Command]:
    found = re.findall(r"^ +((?:\w+=\S+ )*)flytepath (.+)$", header(path), re.MULTILINE)
    return [
        Command(tuple(shlex.split(words)), dict(variable.split("=", 1) for variable in shlex.split(variables)))
        for variables, words in found
    ]


def registrations(path: Path) -> list[Command]:
    return [command for command in commands(path) if command.words[0] == "register"]


def defined(path: Path) -> Iterator[str]:
    """The names of the workflows and launch plans that an example defines, without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and "workflow" in names_in(*node.decorator_list):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            called = names_in(node.value.func) if isinstance(node.value, ast.Call) else set()
            if called & {"ImperativeWorkflow", "LaunchPlan", "walk"}:
                yield node.targets[0].id


def names_in(*nodes: ast.AST) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def cases_of(path: Path) -> Iterator[Case]:
    told = set()
    for command in commands(path):
        if command.words[0] == "run":
            at = command.words.index(f"examples/{path.name}")
            name = command.words[at + 1]
            told.add(name)
            yield Case(path, name, command.words[at + 2 :], command.words[1:at], command.variables)
    yield from (Case(path, name) for name in defined(path) if name not in told)


CASES = [case for path in EXAMPLES for case in cases_of(path)]


class Machine:
    """A home of its own, the command line, and a process that calls directly."""

    def __init__(self, folder: Path, warm: WarmPython) -> None:
        self.warm = warm
        self.home = folder / "durable"
        self.environment = {**os.environ, "FLYTEPATH_HOME": str(self.home)}
        self.errors = (folder / "called.txt").open("w+", encoding="utf-8")
        self.caller = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "example_calls.py")],
            cwd=ROOT,
            env={**self.environment, "FLYTEPATH_HOME": str(folder / "direct"), "PYTHONPATH": str(ROOT / "examples")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def close(self) -> None:
        self.caller.communicate(timeout=DEADLINE)
        self.errors.close()

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.caller.stdin
        assert self.caller.stdout
        self.caller.stdin.write(json.dumps(request) + "\n")
        self.caller.stdin.flush()
        line = self.caller.stdout.readline()
        self.errors.seek(0)
        assert line, self.errors.read()[-4000:]
        found: dict[str, Any] = json.loads(line)
        assert "broken" not in found, found["broken"]
        return found

    def call(self, case: Case, view: dict[str, Any]) -> dict[str, Any]:
        """The direct call, held against what the durable run gave."""
        return self.ask(
            example=case.path.stem,
            name=case.name,
            texts=case.texts,
            answers=["y" if answer == "--approve" else answer for _, answer in case.signals],
            variables=case.variables,
            home=str(self.home),
            outputs=view["outputs"],
        )

    def flytepath(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.warm.run("flytepath", arguments, cwd=ROOT, env={**self.environment, **variables}, timeout=DEADLINE)

    def run(self, case: Case) -> dict[str, Any]:
        """The durable run, as its command shows it."""
        for command in case.first:
            done = self.flytepath(*command.words)
            assert done.returncode == 0, done.stderr
        with ThreadPoolExecutor(1) as other:
            running = other.submit(self.flytepath, *case.command, **case.variables)
            self.answer(case, running)
            done = running.result()
        assert done.returncode in (0, 1), done.stderr[-4000:]
        assert done.stdout.startswith("{"), done.stdout[-2000:] + done.stderr[-4000:]
        view: dict[str, Any] = json.loads(done.stdout)
        return view

    def answer(self, case: Case, running: Future[Any]) -> None:
        """Answer each gate when it is open, as another person would."""
        until = time.monotonic() + DEADLINE
        for name, answer in case.signals:
            while not running.done() and time.monotonic() < until:
                listed = json.loads(self.flytepath("executions", "list", "--json").stdout or "[]")
                ids = [one["id"] for one in listed if one["workflow"].startswith(f"{case.path.stem}.")]
                if ids and self.flytepath("executions", "signal", ids[0], name, answer).returncode == 0:
                    break


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, warm: WarmPython) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("examples"), warm)
    yield machine
    machine.close()


@pytest.fixture(scope="module")
def runs(machine: Machine, request: pytest.FixtureRequest) -> Iterator[dict[Case, Future[dict[str, Any]]]]:
    """The durable runs of all cases that are asked for, two at a time."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted = [item.callspec.params["case"] for item in tests if "runs" in item.fixturenames]
    with ThreadPoolExecutor(2) as pool:
        yield {case: pool.submit(machine.run, case) for case in wanted if not why_not(case)}


def why_not(case: Case) -> str:
    if case.path.stem != "containers":
        return ""
    for runtime in ("docker", "podman"):
        try:
            if subprocess.run([runtime, "info"], capture_output=True, timeout=30).returncode == 0:
                return ""
        except (OSError, subprocess.TimeoutExpired):
            continue
    return "containers.py needs docker or podman, and none is running here"


def marked(case: Case) -> Any:
    return pytest.param(case, id=str(case), marks=pytest.mark.proof if str(case) in HEAVY else ())


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_it_gives_the_same_called_and_run(
    case: Case, machine: Machine, runs: dict[Case, Future[dict[str, Any]]]
) -> None:
    if case not in runs:
        pytest.skip(why_not(case))
    view = runs[case].result()
    called = machine.call(case, view)
    if str(case) in NEEDS_ATTEMPTS:
        assert called["error"]["type"] == "RecoverableError"
        assert view["status"] == "succeeded", view["error"]
    elif str(case) in NEEDS_ENVIRONMENTS:
        assert called["error"]["type"] == "ModuleNotFoundError"
        assert view["status"] == "succeeded", view["error"]
    elif called["error"] is not None:
        assert view["status"] == "failed", called["error"]["traceback"]
        assert called["error"]["message"] in view["error"]["message"]
        assert called["error"]["type"] in view["error"]["type"]
    else:
        assert view["status"] == "succeeded", view["error"]
        assert called["differences"] == {}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_no_workflow_is_left_out(path: Path, machine: Machine) -> None:
    assert sorted(defined(path)) == machine.ask(list=path.stem)["runnable"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_its_header_says_what_it_shows_and_how_to_run_it(path: Path) -> None:
    first, _, rest = header(path).partition("\n\n")
    assert first.endswith(".")
    assert f"    flytepath run examples/{path.name} " in rest
    assert "\nWhat it shows:\n\n- " in rest


@pytest.mark.parametrize("group", sorted({c.group for path in EXAMPLES for c in commands(path)}), ids=" ".join)
def test_every_command_of_a_header_exists(group: tuple[str, ...], machine: Machine) -> None:
    assert machine.flytepath(*group, "--help").returncode == 0


@pytest.mark.parametrize("command", [command for path in EXAMPLES for command in registrations(path)], ids=str)
def test_what_a_header_registers_can_be_registered(command: Command, machine: Machine) -> None:
    done = machine.flytepath(*command.words)
    assert done.returncode == 0, done.stderr


def programs() -> Iterator[tuple[str, str]]:
    for path in EXAMPLES:
        for program in re.findall(rf"\b(python|pytest) examples/{path.name}", header(path)):
            yield program, path.name


@pytest.mark.parametrize(("program", "name"), [pytest.param(*pair, id=" ".join(pair)) for pair in programs()])
def test_what_python_or_pytest_is_to_run_works(program: str, name: str, machine: Machine) -> None:
    words = [sys.executable, *(["-m", "pytest", "-q"] if program == "pytest" else []), f"examples/{name}"]
    done = subprocess.run(words, cwd=ROOT, env=machine.environment, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_has_a_row_for_every_example() -> None:
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[(\w+\.py)\]\(\1\) \|", page, re.MULTILINE)) == [path.name for path in EXAMPLES]
