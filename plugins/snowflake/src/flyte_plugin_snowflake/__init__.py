"""Snowflake for FlytePath: queries as tasks, and tables and results as frames.

The names are resolved on first use; the vendor's connector is imported only where somebody connects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.plugin import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
