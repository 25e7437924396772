"""Apache Spark for FlytePath: tasks with a session, and Spark's frames and pipelines as types.

The names are resolved on first use; Spark itself is imported only in the process that opens a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.plugin import lazy_names

if TYPE_CHECKING:
    from flyte_plugin_spark.errors import (
        SparkJobError,
        SparkLostError,
        SparkSessionConflictError,
        SparkSetupError,
        SparkUnavailableError,
    )
    from flyte_plugin_spark.frames import partitioned_by
    from flyte_plugin_spark.session import new_spark_session, stop_kept_session
    from flyte_plugin_spark.task import Spark

_HOME_OF = {
    "Spark": "task",
    "SparkJobError": "errors",
    "SparkLostError": "errors",
    "SparkSessionConflictError": "errors",
    "SparkSetupError": "errors",
    "SparkUnavailableError": "errors",
    "new_spark_session": "session",
    "partitioned_by": "frames",
    "stop_kept_session": "session",
}

__all__ = [
    "Spark",
    "SparkJobError",
    "SparkLostError",
    "SparkSessionConflictError",
    "SparkSetupError",
    "SparkUnavailableError",
    "new_spark_session",
    "partitioned_by",
    "stop_kept_session",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
