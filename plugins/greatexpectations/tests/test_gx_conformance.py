"""The plugin keeps to the contract, as the conformance kit tells it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import pandas as pd
from flyte_plugin_greatexpectations import GreatExpectationsConfig, expect, parameter
from flyte_plugin_greatexpectations.task import GreatExpectationsTaskType
from flytepath.plugin import TaskDeclaration
from flytepath.testing import PluginConformance, TaskTypeConformance


class TestPlugin(PluginConformance):
    plugin = "greatexpectations"


class TestTaskType(TaskTypeConformance):
    task_type = GreatExpectationsTaskType
    name = "great_expectations"
    calls_body = False

    def config_samples(self) -> Iterable[GreatExpectationsConfig]:
        letters = set("the quick brown fox jumps over the lazy dog")
        since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        return [
            GreatExpectationsConfig((expect("column_values_to_not_be_null", column="x"),)),
            GreatExpectationsConfig(
                (
                    expect("column_values_to_be_in_set", column="x", value_set=letters, mostly=0.5),
                    expect("column_values_to_be_between", column="when", min_value=since),
                    expect("table_row_count_to_be_between", min_value=parameter("at_least")),
                ),
                on_failure="return",
                examples=0,
            ),
        ]

    def declaration(self, config: GreatExpectationsConfig) -> TaskDeclaration:
        used = {name: int for expectation in config.expectations for name in expectation.parameters()}
        return TaskDeclaration(
            name="conformance.check", config=config, python_inputs={"frame": pd.DataFrame, **used}, body="none"
        )
