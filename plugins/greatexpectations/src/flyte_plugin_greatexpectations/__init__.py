"""Great Expectations for FlytePath: a task that validates a dataset, and a check on those a task takes and gives.

The names are resolved on first use; Great Expectations itself is imported only in the process that validates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.plugin import lazy_names

if TYPE_CHECKING:
    from flyte_plugin_greatexpectations.configuration import GreatExpectationsConfig
    from flyte_plugin_greatexpectations.errors import (
        ActionFailedError,
        ContextRootError,
        DataSourceError,
        ExpectationError,
        ValidationFailedError,
    )
    from flyte_plugin_greatexpectations.requests import BatchRequestConfig, SQLSource
    from flyte_plugin_greatexpectations.result import ExpectationFailure, ValidationResult
    from flyte_plugin_greatexpectations.suite import Expectation, expect, parameter
    from flyte_plugin_greatexpectations.task import GreatExpectationsTask
    from flyte_plugin_greatexpectations.types import GreatExpectationsFlyteConfig, GreatExpectationsType

_HOME_OF = {
    "ActionFailedError": "errors",
    "BatchRequestConfig": "requests",
    "ContextRootError": "errors",
    "DataSourceError": "errors",
    "Expectation": "suite",
    "ExpectationError": "errors",
    "ExpectationFailure": "result",
    "GreatExpectationsConfig": "configuration",
    "GreatExpectationsFlyteConfig": "types",
    "GreatExpectationsTask": "task",
    "GreatExpectationsType": "types",
    "SQLSource": "requests",
    "ValidationFailedError": "errors",
    "ValidationResult": "result",
    "expect": "suite",
    "parameter": "suite",
}

__all__ = [
    "ActionFailedError",
    "BatchRequestConfig",
    "ContextRootError",
    "DataSourceError",
    "Expectation",
    "ExpectationError",
    "ExpectationFailure",
    "GreatExpectationsConfig",
    "GreatExpectationsFlyteConfig",
    "GreatExpectationsTask",
    "GreatExpectationsType",
    "SQLSource",
    "ValidationFailedError",
    "ValidationResult",
    "expect",
    "parameter",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
