"""Suites, data sources and checkpoints of a context root: read when a validation is defined, never written to."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from flyte_plugin_greatexpectations import (
    ActionFailedError,
    BatchRequestConfig,
    ContextRootError,
    DataSourceError,
    GreatExpectationsFlyteConfig,
    GreatExpectationsTask,
    GreatExpectationsType,
    ValidationFailedError,
    ValidationResult,
    expect,
)
from flytepath import FlyteFile, kwtypes, task
from flytepath.plugin import BoundaryCheckError, DefinitionError
from great_expectations.checkpoint import UpdateDataDocsAction, ValidationAction
from gx_attempt import Attempt
from gx_project import PEOPLE, snapshot, write_project

told: list[tuple[str, bool]] = []
reporting: list[bool | None] = []


class TellingAction(ValidationAction):
    """Tells this test, and fails where it is asked to."""

    type: Literal["gx_test_telling"] = "gx_test_telling"
    fails: bool = False

    def run(self, checkpoint_result: Any, action_context: Any = None) -> dict[str, Any]:
        told.append((self.name, checkpoint_result.success))
        reporting.append(self._data_context.config.analytics_enabled)
        if self.fails:
            raise RuntimeError("nobody listens")
        return {}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    return write_project(folder)


@pytest.fixture
def root(written: Path) -> Iterator[Path]:
    """The context root, which must be as it was afterwards."""
    told.clear()
    before = snapshot(written.parent)
    yield written
    assert snapshot(written.parent) == before, "a validation wrote to the context root"


def make(root: Path, **options: Any) -> GreatExpectationsTask:
    given = {"name": "check", "context_root_dir": root, "on_failure": "return", **options}
    return GreatExpectationsTask(**given)


def columns(result: ValidationResult) -> list[str | None]:
    return [failure.column for failure in result.failures]


def test_a_suite_of_the_context_root_is_held_against_any_dataset(root: Path) -> None:
    check = make(root, expectation_suite_name="people", inputs=kwtypes(people=pd.DataFrame))
    found = check(people=PEOPLE)
    assert columns(found) == ["name", "age"]
    assert found.suite == "people"


def test_a_suite_of_an_older_version_is_understood(tmp_path: Path, written: Path) -> None:
    root = tmp_path / "great_expectations"
    shutil.copytree(written, root)
    older = {
        "expectation_suite_name": "people.warning",
        "expectations": [
            {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "name"}, "meta": {}}
        ],
    }
    (root / "expectations" / "people").mkdir()
    (root / "expectations" / "people" / "warning.json").write_text(json.dumps(older))
    check = make(root, expectation_suite_name="people.warning", inputs=kwtypes(people=pd.DataFrame))
    assert columns(check(people=PEOPLE)) == ["name"]


@pytest.mark.parametrize("module", ["gx_beside_flow.py", "gx_pack/__init__.py", "gx_pack/deep/flow.py"])
def test_the_context_root_is_found_from_the_module(
    module: str, tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(written, tmp_path / "gx")
    path = tmp_path / module
    for folder in (path.parent, path.parent.parent):
        if folder not in (tmp_path, tmp_path.parent):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
    path.write_text(
        "import pandas as pd\n"
        "from flyte_plugin_greatexpectations import GreatExpectationsTask\n"
        "check = GreatExpectationsTask(name='check', expectation_suite_name='people', inputs={'p': pd.DataFrame})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    try:
        loaded = importlib.import_module(name)
    finally:
        for known in [known for known in sys.modules if known.partition(".")[0] == name.partition(".")[0]]:
            del sys.modules[known]
    assert loaded.check.task_config.root.folder == (tmp_path / "gx").resolve()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expectation_suite_name": "peopel"}, ["no suite 'peopel'", "did you mean 'people'?"]),
        ({"expectation_suite_name": "../checkpoints/nightly"}, ["no suite"]),
        ({"datasource_name": "fils", "expectation_suite_name": "people"}, ["no data source 'fils'", "'files'"]),
        (
            {"datasource_name": "files", "data_asset_name": "x", "expectation_suite_name": "people"},
            ["asset of the data source 'files' 'x'"],
        ),
        (
            {
                "datasource_name": "files",
                "data_asset_name": "people",
                "data_connector_name": "al",
                "expectation_suite_name": "people",
            },
            ["batch definition of the asset 'people' 'al'", "did you mean 'all'?"],
        ),
        ({"checkpoint": "nightl"}, ["no checkpoint 'nightl'", "'nightly'"]),
        ({"context_root_dir": "nowhere", "expectation_suite_name": "people"}, ["no context root 'nowhere'"]),
    ],
)
def test_what_the_context_root_does_not_hold_is_refused_when_it_is_defined(
    root: Path, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ContextRootError) as caught:
        make(**{"root": root, "inputs": kwtypes(people=pd.DataFrame), **options})
    for word in words:
        assert word in str(caught.value)
    assert (caught.value.place or "").startswith("check(")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"checkpoint": "nightly", "expectation_suite_name": "people"}, "its own suites"),
        ({"checkpoint": "nightly", "datasource_name": "files"}, "from one place"),
        ({"expectation_suite_name": "people", "expectations": [expect("table_row_count_to_equal", value=1)]}, "both"),
        ({"expectation_suite_name": "people", "task_config": {"query": "select 1"}}, "BatchRequestConfig"),
        ({"expectation_suite_name": "people", "outputs": kwtypes(x=int)}, "gives its result"),
        ({"expectation_suite_name": "people", "actions": [{"name": "x"}]}, "says its type"),
        ({"expectation_suite_name": "people", "checkpoint_params": {"action_list": []}}, "action_list"),
    ],
)
def test_what_contradicts_itself_is_refused_when_it_is_defined(root: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make(root, inputs=kwtypes(people=pd.DataFrame), **options)
    assert word in str(caught.value)


def test_a_file_of_a_data_source_is_named_by_text(root: Path) -> None:
    check = make(root, datasource_name="files", expectation_suite_name="people", inputs=kwtypes(path=str))
    assert columns(check(path="people.csv")) == ["name", "age"]
    with pytest.raises(DataSourceError, match=r"nobody\.csv"):
        check(path="nobody.csv")


def test_a_batch_definition_of_a_data_source_needs_no_input(root: Path) -> None:
    check = make(
        root,
        datasource_name="files",
        data_asset_name="people",
        data_connector_name="all",
        expectation_suite_name="people",
    )
    assert columns(check()) == ["name", "age"]


def test_a_file_that_is_an_input_is_read_by_the_data_source(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.csv"
    PEOPLE.head(1).to_csv(path, index=False)
    check = make(
        root,
        datasource_name="files",
        data_connector_name="all",
        data_asset_name="people",
        expectation_suite_name="people",
        local_file_path="/tmp/people.csv",
        inputs=kwtypes(people=FlyteFile),
    )
    assert check(people=FlyteFile(str(path))).success


def test_a_frame_is_handed_to_a_data_source_of_frames(root: Path) -> None:
    check = make(root, datasource_name="frames", expectation_suite_name="people", inputs=kwtypes(people=pd.DataFrame))
    assert columns(check(people=PEOPLE)) == ["name", "age"]


def test_a_table_of_a_data_source_is_named_by_text_or_asked_by_a_query(root: Path) -> None:
    by_name = make(root, datasource_name="database", expectation_suite_name="people", inputs=kwtypes(table=str))
    assert columns(by_name(table="people")) == ["name", "age"]
    by_query = make(
        root,
        datasource_name="database",
        expectation_suite_name="people",
        inputs=kwtypes(above=int),
        task_config=BatchRequestConfig(
            runtime_parameters={"query": "select * from people where age > {{ .inputs.above }}"},
            batch_identifiers={"stage": "nightly run"},
        ),
    )
    assert columns(by_query(above=0)) == ["name"]


def test_a_checkpoint_runs_its_validations_and_its_actions_in_a_copy(root: Path) -> None:
    found = make(root, checkpoint="nightly")()
    assert columns(found) == ["name", "age"]
    assert (found.suite, found.evaluated) == ("nightly", 2)


def test_actions_see_the_result_and_one_that_fails_takes_nothing_with_it(root: Path, tmp_path: Path) -> None:
    actions = [
        TellingAction(name="first", fails=True),
        {"type": "gx_test_telling", "name": "second"},
        {"type": "gx_test_unheard_of", "name": "third"},
    ]
    options = {
        "expectations": [expect("column_values_to_not_be_null", column="name")],
        "inputs": kwtypes(people=pd.DataFrame),
        "actions": actions,
    }
    attempt = Attempt(GreatExpectationsTask("check", on_failure="return", **options), tmp_path)
    with pytest.raises(ActionFailedError) as caught:
        attempt.run(people=PEOPLE)
    assert told == [("first", False), ("second", False)]
    assert "nobody listens" in str(caught.value)
    assert "'third'" in str(caught.value)
    assert "second: done" in attempt.deck
    assert "nobody listens" in attempt.deck
    with pytest.raises(ValidationFailedError) as failed:
        GreatExpectationsTask("check", **options)(people=PEOPLE)
    assert any("nobody listens" in note for note in failed.value.__notes__)


def test_nothing_is_reported_to_the_makers_of_the_library(root: Path) -> None:
    reporting.clear()
    action = TellingAction(name="looks")
    make(root, expectation_suite_name="people", inputs=kwtypes(people=pd.DataFrame), actions=[action])(people=PEOPLE)
    make(
        None,
        expectations=[expect("table_row_count_to_equal", value=4)],
        inputs=kwtypes(p=pd.DataFrame),
        actions=[action],
    )(p=PEOPLE)
    assert reporting == [False, False]


def test_data_docs_are_an_action_as_in_flytekit(root: Path) -> None:
    for options in (
        {"checkpoint_params": {"site_names": ["local_site"]}},
        {"actions": [UpdateDataDocsAction(name="docs")]},
    ):
        check = make(root, expectation_suite_name="people", inputs=kwtypes(people=pd.DataFrame), **options)
        assert columns(check(people=PEOPLE)) == ["name", "age"]


def test_runs_side_by_side_do_not_meet(root: Path) -> None:
    check = make(
        root,
        datasource_name="frames",
        expectation_suite_name="people",
        inputs=kwtypes(people=pd.DataFrame),
        actions=[UpdateDataDocsAction(name="docs")],
    )

    def failed(rows: int) -> int:
        return check(people=PEOPLE.head(rows)).failed

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(failed, [1, 3, 4])) == [0, 1, 2]


def test_a_changed_context_root_is_another_payload_and_no_silent_change(tmp_path: Path, written: Path) -> None:
    root = tmp_path / "gx"
    shutil.copytree(written, root)
    check = make(root, datasource_name="frames", expectation_suite_name="people", inputs=kwtypes(p=pd.DataFrame))
    first = Attempt(check, tmp_path)
    assert str(tmp_path) not in json.dumps({**first.context.payload, "root": None})
    suite = root / "expectations" / "people.json"
    suite.write_text(suite.read_text().replace("130", "140"))
    with pytest.raises(ContextRootError, match="not what the task was compiled with"):
        first.run(p=PEOPLE)
    again = make(root, datasource_name="frames", expectation_suite_name="people", inputs=kwtypes(p=pd.DataFrame))
    assert Attempt(again, tmp_path).context.payload != first.context.payload


def test_a_type_takes_its_suite_from_the_context_root_in_flytekits_words(root: Path) -> None:
    config = GreatExpectationsFlyteConfig(expectation_suite_name="people", context_root_dir=root)
    people = GreatExpectationsType[pd.DataFrame, config]
    table = GreatExpectationsType[
        str,
        GreatExpectationsFlyteConfig("database", "people", context_root_dir=root),
    ]

    @task
    def takes(frame: people) -> int:
        return len(frame)

    @task
    def takes_table(table: table) -> str:
        return table

    assert takes(frame=PEOPLE.head(1)) == 1
    with pytest.raises(BoundaryCheckError, match="column 'age'"):
        takes(frame=PEOPLE)
    with pytest.raises(BoundaryCheckError, match="column 'name'"):
        takes_table(table="people")
    with pytest.raises(BoundaryCheckError, match="nobody"):
        takes_table(table="nobody")


@pytest.mark.parametrize("item", [pd.DataFrame, (pd.DataFrame, 3), (pd.DataFrame, {"a": 1})])
def test_a_type_says_what_it_is_made_of(item: Any) -> None:
    with pytest.raises(DefinitionError, match="GreatExpectationsFlyteConfig"):
        GreatExpectationsType[item]
