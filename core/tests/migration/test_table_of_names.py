"""The table: every target exists, every documented name has an answer, and plugins add their rows."""

from __future__ import annotations

import importlib
import importlib.util

import flytepath
import pytest
from flytepath.migration import names as data
from flytepath.migration.python import rewrite_python
from flytepath.migration.table import Carried, Refused, Table
from flytepath.plugin import MigrationDeclaration

TABLE = Table.of(())
TARGETS = TABLE.targets()


def test_every_name_that_rewritten_code_imports_exists() -> None:
    assert sorted(name for name in TARGETS["flytepath"] if not hasattr(flytepath, name)) == []


def test_every_name_of_a_plugin_exists_where_the_plugin_is_installed() -> None:
    for package in sorted(set(TARGETS) - {"flytepath"}):
        if importlib.util.find_spec(package) is not None:
            module = importlib.import_module(package)
            assert [name for name in TARGETS[package] if not hasattr(module, name)] == [], package


def test_a_name_that_is_another_in_the_plugin_is_carried_over_as_that() -> None:
    carried = TABLE.resolve(["flytekitplugins", "papermill", "load_flytefile"])
    assert carried == Carried("flyte_plugin_papermill", "load_file", 3)


def test_the_rows_are_well_formed() -> None:
    for module, listed in data.CORE.items():
        assert len(set(listed.split())) == len(listed.split()), module
        assert module.startswith("flytekit")
        assert all(name.isidentifier() for name in listed.split())
    for name, hint in {**data.REFUSED, **data.ABSORBED}.items():
        assert name.startswith("flytekit") and hint
    packages = {target for target, _ in data.PLUGINS.values()} - {"flytepath"}
    assert {package.replace("_", "-") for package in packages} == set(data.DISTRIBUTIONS.values()) - {"flytepath"}


@pytest.mark.parametrize(
    ("old", "module", "name"),
    [
        ("flytekit.task", "flytepath", "task"),
        ("flytekit.core.workflow.workflow", "flytepath", "workflow"),
        ("flytekit.core.workflow", "flytepath", ""),
        ("flytekit.types.file.file.FlyteFile", "flytepath", "FlyteFile"),
        ("flytekit.models.security.Secret", "flytepath", "Secret"),
        ("flytekit.exceptions.base.FlyteException", "flytepath", "FlyteException"),
        ("flytekitplugins.spark.task.Spark", "flyte_plugin_spark", "Spark"),
        ("flytekitplugins.deck.renderer.MarkdownRenderer", "flytepath", "MarkdownRenderer"),
        (
            "flytekitplugins.awssagemaker.SagemakerTrainingJobConfig",
            "flyte_plugin_sagemaker",
            "SagemakerTrainingJobConfig",
        ),
    ],
)
def test_old_names_lead_to_new_ones(old: str, module: str, name: str) -> None:
    found = TABLE.resolve(old.split("."))
    assert found == Carried(module, name, old.count(".") + 1)


@pytest.mark.parametrize(
    "old",
    [
        "flytekit.remote.FlyteRemote",
        "flytekit.clis.sdk_in_container",
        "flytekit.models.task.Resources",
        "flytekit.configuration.Config",
        "flytekit.extend.backend.base_agent.AsyncAgentBase",
        "flytekit.extend.TaskPlugins",
        "flytekit.types.structured.StructuredDatasetEncoder",
        "flytekit.core.type_engine.SimpleTransformer",
        "flytekit.not_a_name",
        "flytekit.not.a.module",
        "flytekitplugins.mlflow.mlflow_autolog",
        "flytekitplugins.polars",
    ],
)
def test_what_has_no_successor_says_what_to_do(old: str) -> None:
    found = TABLE.resolve(old.split("."))
    assert isinstance(found, Refused)
    assert found.name == old
    assert found.hint


def test_other_names_are_no_business_of_the_table() -> None:
    assert TABLE.resolve(["flytekitten", "task"]) is None
    assert TABLE.resolve([]) is None


def test_a_plugins_row_adds_a_package_and_renames_names() -> None:
    row = MigrationDeclaration(
        source="flytekitplugins.mlflow", target="flyte_plugin_mlflow", names=(("mlflow_autolog", "autolog"),)
    )
    table = Table.of([row])
    source = b"from flytekitplugins.mlflow import mlflow_autolog, Other\nimport flytekitplugins.mlflow as m\nm.x.y"
    outcome, new = rewrite_python("x.py", source, table)
    assert new == (
        b"from flyte_plugin_mlflow import autolog as mlflow_autolog, Other\nimport flyte_plugin_mlflow as m\nm.y"
    )
    assert outcome.findings == []


def test_a_plugins_row_takes_the_place_of_cores_for_its_package_but_not_for_flytekits() -> None:
    rows = [
        MigrationDeclaration(source="flytekitplugins.spark", target="flyte_plugin_other"),
        MigrationDeclaration(source="flytekit", target="flyte_plugin_other", names=(("task", "task"), ("More", "M"))),
        MigrationDeclaration(source="flytekit.extras.pytorch", target="flyte_plugin_other"),
    ]
    table = Table.of(rows)
    assert table.resolve(["flytekitplugins", "spark", "Spark"]) == Carried("flyte_plugin_other", "Spark", 3)
    assert table.resolve(["flytekit", "task"]) == Carried("flytepath", "task", 2)
    assert table.resolve(["flytekit", "More"]) == Carried("flyte_plugin_other", "M", 2)
    assert table.resolve(["flytekit", "Other"]).name == "flytekit.Other"  # type: ignore[union-attr]
    assert table.resolve(["flytekit", "extras", "pytorch", "PyTorchCheckpoint"]) == Carried(
        "flyte_plugin_other", "PyTorchCheckpoint", 4
    )
