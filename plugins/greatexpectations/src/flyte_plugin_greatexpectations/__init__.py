"""Great Expectations for FlytePath: a task that validates a dataset, and a check on those a task takes and gives.

The names are resolved on first use; Great Expectations itself is imported only in the process that validates.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    room = _HOME_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
