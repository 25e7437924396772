"""In a durable run a validation does what it does in a direct call, and leaves its report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

FLOW = """
from __future__ import annotations

from typing import Annotated

import pandas as pd

from flyte_plugin_greatexpectations import GreatExpectationsTask, GreatExpectationsType, ValidationResult, expect
from flyte_plugin_greatexpectations import parameter
from flytepath import task, workflow

NAMED = expect("column_values_to_not_match_regex", column="name", regex="script")
Named = Annotated[pd.DataFrame, GreatExpectationsType([NAMED])]
check = GreatExpectationsTask(
    name="check_people",
    expectations=[NAMED, expect("column_values_to_be_between", column="age", min_value=parameter("youngest"))],
    inputs={"people": pd.DataFrame, "youngest": int},
    retries=2,
)


@task
def load(name: str) -> pd.DataFrame:
    return pd.DataFrame({"name": [name, "Ada"], "age": [36, 85]})


@task
def count(people: Named) -> int:
    return len(people)


@workflow
def by_task(name: str, youngest: int = 0) -> ValidationResult:
    return check(people=load(name=name), youngest=youngest)


@workflow
def by_type(name: str) -> int:
    return count(people=load(name=name))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    (folder / "people.py").write_text(FLOW, encoding="utf-8")
    return folder


def run(folder: Path, workflow: str, *inputs: str) -> tuple[int, dict[str, Any]]:
    def flytepath(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flytepath", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)

    done = flytepath("run", "people.py", workflow, *inputs, "--json")
    assert done.stdout, done.stderr
    shown = flytepath("executions", "show", json.loads(done.stdout)["id"], "--json")
    assert shown.returncode == 0, shown.stderr
    view: dict[str, Any] = json.loads(shown.stdout)
    return done.returncode, view


def payloads(view: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event["payload"] for event in view["events"] if event["payload"]["type"] == kind]


def deck(view: dict[str, Any]) -> str:
    [written] = view["decks"]
    return Path(url2pathname(urlparse(written["uri"]).path)).read_text(encoding="utf-8")


def test_a_good_frame_passes_and_the_result_travels(folder: Path) -> None:
    status, view = run(folder, "by_task", "--name", "Grace")
    assert status == 0, view["error"]
    [result] = view["outputs"].values()
    assert result["data"]["success"] is True
    assert result["data"]["evaluated"] == 2


def test_a_failed_validation_fails_the_run_once_and_leaves_its_deck(folder: Path) -> None:
    status, view = run(folder, "by_task", "--name", "<script>alert(1)</script>", "--youngest", "40")
    assert status == 1
    [failed] = payloads(view, "attempt_failed")
    assert failed["error"]["code"] == "FP-GX-VALIDATION-FAILED"
    assert failed["error"]["place"] == "check_people(people)"
    for word in ("'name'", "'age'", "min_value=40"):
        assert word in failed["error"]["actual"]
    assert "<script" not in deck(view)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in deck(view)


def test_a_frame_refused_at_a_boundary_is_an_event_with_its_facts(folder: Path) -> None:
    status, view = run(folder, "by_type", "--name", "<script>alert(1)</script>")
    assert status == 1
    [checked] = payloads(view, "boundary_checked")
    assert (checked["variable"], checked["side"], checked["passed"]) == ("people", "reading", False)
    assert checked["details"]["failures"][0]["unexpected_count"] == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in deck(view)
