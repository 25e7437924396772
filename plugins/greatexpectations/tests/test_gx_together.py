"""Validations in durable runs with what else a workflow is made of, all in a few runs, whose workers import once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from gx_project import snapshot, write_project

FLOW = """
import os
import sys
from typing import Annotated

import pandas as pd

from flyte_plugin_greatexpectations import GreatExpectationsFlyteConfig, GreatExpectationsTask, GreatExpectationsType
from flyte_plugin_greatexpectations import SQLSource, ValidationResult, expect
from flytepath import Cache, FlyteFile, Secret, WorkflowFailurePolicy, conditional, dynamic, kwtypes, map_task, task
from flytepath import workflow

PEOPLE = pd.DataFrame({"name": ["Ada", "Grace", None, "Joan"], "age": [36, 85, 41, -5]})
SUITE = {"expectation_suite_name": "people", "on_failure": "return"}

check = GreatExpectationsTask("check", inputs=kwtypes(people=pd.DataFrame), **SUITE)
cached = GreatExpectationsTask("cached", inputs=kwtypes(people=pd.DataFrame), cache=Cache(version="1"), **SUITE)
of_file = GreatExpectationsTask("of_file", inputs=kwtypes(people=FlyteFile), **SUITE)
of_source = GreatExpectationsTask("of_source", datasource_name="frames", inputs=kwtypes(people=pd.DataFrame), **SUITE)
of_table = GreatExpectationsTask(
    "of_table",
    sql=SQLSource(Secret("warehouse", "url"), query="select * from people where age > {{ .inputs.above }}"),
    inputs=kwtypes(above=int),
    **SUITE,
)
HARMLESS = expect("column_values_to_not_match_regex", column="name", regex="script")
strict = GreatExpectationsTask("strict", expectations=[HARMLESS], inputs=kwtypes(people=pd.DataFrame), retries=3)
broken = GreatExpectationsTask(
    "broken",
    expectation_suite_name="people",
    sql=SQLSource(Secret("warehouse", "url"), table="nobody"),
    retries=2,
)
People = GreatExpectationsType[pd.DataFrame, GreatExpectationsFlyteConfig(expectation_suite_name="people")]


@task
def load(rows: int) -> pd.DataFrame:
    return PEOPLE.head(rows)


@task
def split() -> list[pd.DataFrame]:
    return [PEOPLE.head(rows) for rows in (1, 3, 4)]


@task
def as_file() -> FlyteFile:
    PEOPLE.to_csv("people.csv", index=False)
    return FlyteFile("people.csv")


@task
def failed(results: list[ValidationResult]) -> list[int]:
    return [result.failed for result in results]


@task
def told(result: ValidationResult) -> str:
    with result.report.open("r") as report:
        return report.read()


@task
def good() -> str:
    return "good"


@task
def bad(result: ValidationResult) -> str:
    return f"bad: {result.failures[0].column}"


@dynamic
def each(rows: list[int]) -> list[ValidationResult]:
    return [check(people=load(rows=count)) for count in rows]


@task
def seen(people: People) -> list[int]:
    return [os.getpid(), id(sys.modules["great_expectations"])]


@task
def gives(rows: int) -> People:
    return PEOPLE.head(rows)


@task
def imported() -> bool:
    return "great_expectations" in sys.modules


@workflow
def together() -> tuple[list[int], list[int], str, str, list[int], list[int], list[int]]:
    people = load(rows=4)
    mapped = failed(results=map_task(check)(people=split()))
    grown = failed(results=each(rows=[1, 3]))
    found = check(people=people).with_overrides(node_name="once_more", timeout=300)
    way = conditional("way").if_(found.success.is_true()).then(good()).else_().then(bad(result=found))
    first = cached(people=people)
    second = cached(people=load(rows=4)).with_overrides(node_name="second")
    first >> second
    others = failed(results=[of_file(people=as_file()), of_source(people=people), of_table(above=0), second])
    one = seen(people=load(rows=1))
    two = seen(people=gives(rows=2))
    return mapped, grown, way, told(result=found), others, one, two


@task
def hostile() -> pd.DataFrame:
    return pd.DataFrame({"name": ["Ada", "<script>alert(1)</script>"], "age": [36, 85]})


@task
def takes(people: Annotated[pd.DataFrame, GreatExpectationsType([HARMLESS])]) -> int:
    return len(people)


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def failing() -> None:
    people = hostile()
    strict(people=people)
    takes(people=people)
    broken()


endless = GreatExpectationsTask(
    "endless",
    expectation_suite_name="people",
    sql=SQLSource(
        Secret("warehouse", "url"),
        query="select * from (with recursive c(age) as (select 1 union all select age + 1 from c) select * from c) "
        "where age < 0",
    ),
    timeout=8,
)


@workflow
def too_long() -> ValidationResult:
    return endless()


late = GreatExpectationsTask("late", sql=SQLSource(Secret("warehouse", "url"), table="late"), **SUITE)


@workflow
def in_time() -> list[int]:
    first = check(people=load(rows=3))
    second = late()
    first >> second
    return failed(results=[first, second])


@workflow
def unused() -> bool:
    return imported()
"""


@dataclass
class Flow:
    """A flow in a folder with a context root beside it, and a home of its own."""

    folder: Path
    env: dict[str, str]

    def flytepath(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flytepath", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=240, env=self.env)

    def run(self, workflow: str) -> dict[str, Any]:
        done = self.flytepath("run", "gx_flow.py", workflow, "--json")
        assert done.stdout, done.stderr
        shown = self.flytepath("executions", "show", json.loads(done.stdout)["id"], "--json")
        assert shown.returncode == 0, shown.stderr
        return dict(json.loads(shown.stdout))


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    folder = tmp_path_factory.mktemp("together")
    write_project(folder)
    (folder / "gx_flow.py").write_text(FLOW, encoding="utf-8")
    env = {
        **os.environ,
        "FLYTEPATH_HOME": str(tmp_path_factory.mktemp("together_home")),
        "_FSEC_WAREHOUSE_URL": f"sqlite:///{folder / 'data' / 'people.db'}",
    }
    yield Flow(folder, env)


@pytest.fixture(scope="module")
def together(flow: Flow) -> dict[str, Any]:
    before = snapshot(flow.folder / "gx")
    view = flow.run("together")
    assert view["error"] is None, view["error"]
    assert snapshot(flow.folder / "gx") == before
    return view


def outputs(view: dict[str, Any]) -> list[Any]:
    return [literal["data"] for literal in view["outputs"].values()]


def events(view: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event["payload"] for event in view["events"] if event["payload"]["type"] == kind]


def test_each_item_of_a_map_and_each_node_of_a_dynamic_is_validated(together: dict[str, Any]) -> None:
    mapped, grown, *_ = outputs(together)
    assert mapped == [0, 1, 2]
    assert grown == [0, 1]


def test_a_condition_asks_the_result(together: dict[str, Any]) -> None:
    assert outputs(together)[2] == "bad: name"


def test_the_report_is_an_artifact_of_the_result(together: dict[str, Any]) -> None:
    report = json.loads(outputs(together)[3])
    assert report["evaluated"] == 2
    assert [item["result"]["unexpected_count"] for item in report["expectations"]] == [1, 1]


def test_files_sources_and_tables_are_validated_with_a_suite_that_travels(together: dict[str, Any]) -> None:
    assert outputs(together)[4] == [2, 2, 1, 2]


def test_the_context_root_is_in_the_code_that_workers_get(flow: Flow, together: dict[str, Any]) -> None:
    [bundle] = Path(flow.env["FLYTEPATH_HOME"]).glob("bundles/*/gx")
    there = set(snapshot(bundle))
    assert {"great_expectations.yml", "expectations/people.json", "checkpoints/nightly.json"} <= there
    assert not any(name.startswith("uncommitted") for name in there)


def test_an_equal_validation_is_not_done_again(together: dict[str, Any]) -> None:
    hits = [event for event in events(together, "node_succeeded") if event.get("cached")]
    assert len(hits) == 1


def test_every_validation_leaves_its_deck(together: dict[str, Any]) -> None:
    decks = [deck for deck in together["decks"] if deck["name"].startswith("Great Expectations")]
    assert len(decks) >= 10


def test_a_worker_imports_the_library_once(together: dict[str, Any]) -> None:
    one, two = outputs(together)[5:7]
    assert one[0] != two[0] or one[1] == two[1]


def test_a_dataset_that_was_validated_when_written_is_not_validated_again(together: dict[str, Any]) -> None:
    checks = [(event["variable"], event["side"]) for event in events(together, "boundary_checked")]
    assert sorted(checks) == [("o0", "writing"), ("people", "reading")]


def test_a_worker_that_validates_nothing_does_not_import_the_library(flow: Flow) -> None:
    assert outputs(flow.run("unused")) == [False]


@pytest.fixture(scope="module")
def failing(flow: Flow) -> dict[str, Any]:
    return flow.run("failing")


def of_task(view: dict[str, Any], name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    paths = {node["path"] for node in view["nodes"] if node["task"].rpartition(".")[2] == name}
    return [item for item in found if item["node"] in paths]


def deck(view: dict[str, Any], name: str) -> str:
    [written] = of_task(view, name, view["decks"])
    return Path(url2pathname(urlparse(written["uri"]).path)).read_text(encoding="utf-8")


def test_a_refused_dataset_is_refused_once_and_report_and_deck_are_kept(failing: dict[str, Any]) -> None:
    [failed] = of_task(failing, "strict", events(failing, "attempt_failed"))
    assert failed["error"]["code"] == "FP-GX-VALIDATION-FAILED"
    assert failed["error"]["place"] == "strict(people)"
    place = Path(failed["error"]["hint"].rpartition(" it is ")[2].removeprefix("file://"))
    assert json.loads(place.read_text(encoding="utf-8"))["failed"] == 1
    assert "<script" not in deck(failing, "strict")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in deck(failing, "strict")


def test_a_dataset_refused_at_a_boundary_is_an_event_with_its_facts(failing: dict[str, Any]) -> None:
    [checked] = events(failing, "boundary_checked")
    assert (checked["variable"], checked["side"], checked["passed"]) == ("people", "reading", False)
    assert checked["details"]["failures"][0]["unexpected_count"] == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in deck(failing, "takes")


def test_what_cannot_be_reached_is_tried_again_and_tells_no_secret(flow: Flow, failing: dict[str, Any]) -> None:
    failed = of_task(failing, "broken", events(failing, "attempt_failed"))
    assert [event["error"]["code"] for event in failed] == ["FP-GX-DATA"] * 3
    assert "no such table" in failed[0]["error"]["message"]
    assert flow.env["_FSEC_WAREHOUSE_URL"] not in json.dumps(failing)


@pytest.mark.proof
def test_a_validation_that_takes_too_long_is_ended(flow: Flow) -> None:
    view = flow.run("too_long")
    [failed] = events(view, "attempt_failed")
    assert "TIMEOUT" in failed["error"]["code"]


@pytest.mark.proof
def test_a_recovered_run_validates_only_what_was_not_validated(flow: Flow) -> None:
    first = flow.run("in_time")
    assert first["status"] == "failed"
    with closing(sqlite3.connect(flow.folder / "data" / "people.db")) as connection, connection:
        connection.execute("create table late as select * from people")
    done = flow.flytepath("executions", "recover", first["id"], "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    view = json.loads(flow.flytepath("executions", "show", json.loads(done.stdout)["id"], "--json").stdout)
    assert outputs(view) == [[1, 2]]
    assert of_task(view, "check", events(view, "attempt_started")) == []
    assert len(of_task(view, "late", events(view, "attempt_started"))) == 1
