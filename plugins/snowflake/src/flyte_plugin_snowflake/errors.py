"""What is refused before anything is asked of Snowflake: configurations, and tasks that could never run."""

from __future__ import annotations

from flytepath.plugin import DefinitionError


class SnowflakeConfigError(DefinitionError):
    """A ``SnowflakeConfig``, or ``[backends.snowflake]``, that cannot be meant."""

    code = "FP-SNOWFLAKE-CONFIG"


class SnowflakeTaskError(DefinitionError):
    """A query that could never run as a task: a template, an input or a result that Snowflake does not take."""

    code = "FP-SNOWFLAKE-TASK"
