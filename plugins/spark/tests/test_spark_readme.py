"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def flows(spark: Any) -> dict[str, Any]:
    readme = Path(__file__).parents[1] / "README.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    found: dict[str, Any] = {"__name__": "visits"}
    exec(compile("\n\n".join(blocks), str(readme), "exec"), found)
    return found


def test_the_workflow_runs(flows: dict[str, Any]) -> None:
    assert flows["pipeline"]() == ("Rome", 2)


def test_partitions_and_columns_are_read(flows: dict[str, Any]) -> None:
    assert flows["in_rome"](frame=flows["kept"]()) == 1


def test_every_setting_is_in_the_table() -> None:
    from flyte_plugin_kubernetes import KubernetesSettings
    from flyte_plugin_spark import Spark
    from flyte_plugin_spark.operator_settings import SparkOperatorSettings

    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    own = SparkOperatorSettings.model_fields.keys() - KubernetesSettings.model_fields.keys()
    for name in (*own, *Spark.__dataclass_fields__):
        assert f"`{name}`" in readme, name
