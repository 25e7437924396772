"""The quickstart, typed as a user would: it runs, it can be read back, and it survives being killed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

#: Far more than any of this takes; reaching it is a failure.
DEADLINE = 240.0


class Machine:
    """One user's machine: a home of its own, and the command line."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.environment = {
            **os.environ,
            "FLYTEPATH_HOME": str(home),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    def flytepath(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["flytepath", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )

    def start(self, errors: Path, *arguments: str) -> subprocess.Popen[bytes]:
        with errors.open("wb") as stream:
            return subprocess.Popen(
                ["flytepath", *arguments],
                cwd=self.root,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )

    def show(self, execution: str) -> dict[str, Any]:
        done = self.flytepath("executions", "show", execution, "--json")
        assert done.returncode == 0, done.stderr
        view: dict[str, Any] = json.loads(done.stdout)
        return view


@pytest.fixture(scope="module")
def machine(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(root, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def finished(machine: Machine) -> subprocess.CompletedProcess[str]:
    return machine.flytepath("run", "examples/quickstart.py", "pipeline", "--folds", "3")


@pytest.fixture(scope="module")
def view(machine: Machine, finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return machine.show(execution_in(finished.stdout))


def execution_in(text: str) -> str:
    found = re.search(r"execution (\S+)", text)
    assert found, f"no execution in {text!r}"
    return found[1]


def types_of(view: dict[str, Any]) -> list[str]:
    return [event["payload"]["type"] for event in view["events"]]


def deck_text(view: dict[str, Any], name: str) -> str:
    [uri] = [deck["uri"] for deck in view["decks"] if deck["name"] == name]
    path = url2pathname(urlparse(uri).path) if "://" in uri else uri
    return Path(path).read_text(encoding="utf-8")


def test_the_smallest_example_greets(machine: Machine) -> None:
    done = machine.flytepath("run", "examples/hello.py", "greet", "--name", "Ada")
    assert done.returncode == 0, done.stderr
    assert "Hello, Ada! Your name has 3 letters." in done.stdout


def test_it_succeeds_and_prints_outputs_and_its_execution(finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert '"strength"' in finished.stdout or "strength" in finished.stdout
    assert "succeeded" in finished.stdout


def test_it_is_listed(machine: Machine, view: dict[str, Any]) -> None:
    listed = machine.flytepath("executions", "list")
    assert view["id"] in listed.stdout
    assert "succeeded" in listed.stdout


def test_the_chosen_model_is_the_best_of_five(view: dict[str, Any]) -> None:
    assert view["status"] == "succeeded"
    [best] = [literal["data"] for literal in view["outputs"].values()]
    assert best["accuracy"] > 0.95
    trained = [node for node in view["nodes"] if node["task"].endswith("train")]
    assert len(trained) == 5
    assert all(node["status"] == "succeeded" for node in trained)


def test_training_starts_only_after_the_validation_has_passed(view: dict[str, Any]) -> None:
    [check] = [node["path"] for node in view["nodes"] if node["task"].endswith("check_tumours")]
    trained = {node["path"] for node in view["nodes"] if node["task"].endswith("train")}
    order = [(event["payload"]["type"], event["payload"].get("node")) for event in view["events"]]
    passed = order.index(("node_succeeded", check))
    assert all(order.index(("attempt_started", node)) > passed for node in trained)


def test_the_report_and_the_validation_left_their_decks(view: dict[str, Any]) -> None:
    report = deck_text(view, "out_rendered_nb")
    assert "malignant tumours are taken for benign" in report
    assert report.count("<tr>") >= 1 + 5 + 3, "a row for each candidate, and the table of what is judged how"
    assert "<script" not in report
    validation = deck_text(view, "Great Expectations")
    assert "all 7 expectations met" in validation
    assert "<script" not in validation
    assert "://" not in validation


def test_killed_half_way_it_resumes_and_what_succeeded_does_not_run_again(machine: Machine, tmp_path: Path) -> None:
    errors = tmp_path / "stderr"
    process = machine.start(errors, "run", "examples/quickstart.py", "pipeline")
    try:
        deadline = time.monotonic() + DEADLINE
        before: dict[str, Any] = {}
        while "node_succeeded" not in (types_of(before) if before else []):
            assert process.poll() is None, f"it ended before it could be killed: {errors.read_text()}"
            assert time.monotonic() < deadline, errors.read_text()
            if re.search(r"execution \S+ of", errors.read_text()):
                before = machine.show(execution_in(errors.read_text()))
    finally:
        process.kill()
        process.wait()
    killed = machine.show(execution_in(errors.read_text()))
    assert "execution_succeeded" not in types_of(killed)
    done_before = {
        event["payload"]["node"] for event in killed["events"] if event["payload"]["type"] == "node_succeeded"
    }

    resumed = machine.flytepath("executions", "resume", killed["id"])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    after = machine.show(killed["id"])
    assert after["status"] == "succeeded"
    assert after["events"][: len(killed["events"])] == killed["events"]
    started_again = {
        event["payload"]["node"]
        for event in after["events"][len(killed["events"]) :]
        if event["payload"]["type"] == "attempt_started"
    }
    assert done_before
    assert not started_again & done_before
    succeeded = Counter(
        event["payload"]["node"] for event in after["events"] if event["payload"]["type"] == "node_succeeded"
    )
    assert set(succeeded.values()) == {1}
    assert len(succeeded) == len(after["nodes"])
