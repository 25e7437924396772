"""Snowflake for FlytePath: queries as tasks, and tables and results as frames.

The names are resolved on first use; the vendor's connector is imported only where somebody connects.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_snowflake.configuration import SnowflakeConfig
    from flyte_plugin_snowflake.datasets_uri import table_uri
    from flyte_plugin_snowflake.settings import SnowflakeSettings
    from flyte_plugin_snowflake.task import SnowflakeTask

_HOME_OF = {
    "SnowflakeConfig": "configuration",
    "SnowflakeSettings": "settings",
    "SnowflakeTask": "task",
    "table_uri": "datasets_uri",
}

__all__ = ["SnowflakeConfig", "SnowflakeSettings", "SnowflakeTask", "table_uri"]


def __getattr__(name: str) -> Any:
    room = _HOME_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
