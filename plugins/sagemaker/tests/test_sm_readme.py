"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def flows() -> dict[str, Any]:
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    found: dict[str, Any] = {"__name__": "search"}
    exec(compile("\n\n".join(blocks), "README.md", "exec"), found)
    return found


def test_the_workflow_runs(flows: dict[str, Any]) -> None:
    assert flows["search"](rates=[0.1, 0.5]) == "0.001, told by algo-1 of 1"


def test_a_job_without_code_has_the_outputs_that_are_told(flows: dict[str, Any]) -> None:
    assert list(flows["boost"].outputs) == ["result", "model", "metrics"]


def test_the_settings_can_be_read() -> None:
    import tomllib

    from flyte_plugin_sagemaker.settings import read_settings

    blocks = re.findall(r"^```toml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    tables = [tomllib.loads(block).get("backends", {}).get("sagemaker") for block in blocks]
    assert [read_settings(table).region for table in tables if table] == ["eu-west-1"]


def test_every_setting_is_in_the_table() -> None:
    from flyte_plugin_sagemaker import SageMakerSettings, SagemakerTraining

    for name in (*SageMakerSettings.model_fields, *SagemakerTraining.__dataclass_fields__):
        assert f"`{name}`" in README, name
