"""The README's example runs as it stands, and its tables leave nothing out."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_snowflake import SnowflakeConfig, SnowflakeSettings
from flyte_plugin_snowflake.testing.service import SnowflakeService
from snowflake_vendor import settings_text

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_workflow_runs(snowflake_service: SnowflakeService, snowflake_home: Path) -> None:
    [settings] = re.findall(r"^```toml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    # The double is a password's; all else is as it stands.
    pool = settings[settings.index("[pools") :]
    (snowflake_home / "flytepath.toml").write_text(settings_text(snowflake_service.port) + pool)
    found: dict[str, Any] = {"__name__": "report"}
    for block in re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE):
        exec(compile(block, "README.md", "exec"), found)
    assert found["report"]() == "Grace: 20.50 in 3 orders"
    assert found["report"](names=["Ada"]) == "Ada: 15.25 in 3 orders"


def test_the_settings_are_settings() -> None:
    import tomllib

    [text] = re.findall(r"^```toml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    SnowflakeSettings(**tomllib.loads(text)["backends"]["snowflake"])


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(SnowflakeConfig)])
def test_every_field_is_in_a_table(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", list(SnowflakeSettings.model_fields))
def test_every_setting_is_in_a_table(name: str) -> None:
    assert f"`{'schema' if name == 'schema_name' else name}`" in README
