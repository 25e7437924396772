"""Great Expectations for FlytePath: a task that validates a frame, and a check on the frames a task takes and gives.

The names are resolved on first use; Great Expectations itself is imported only in the process that validates.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_greatexpectations.errors import ExpectationError, ValidationFailedError
    from flyte_plugin_greatexpectations.result import ExpectationFailure, ValidationResult
    from flyte_plugin_greatexpectations.suite import Expectation, expect, parameter
    from flyte_plugin_greatexpectations.task import GreatExpectationsConfig, GreatExpectationsTask
    from flyte_plugin_greatexpectations.types import GreatExpectationsType

_HOME_OF = {
    "Expectation": "suite",
    "ExpectationError": "errors",
    "ExpectationFailure": "result",
    "GreatExpectationsConfig": "task",
    "GreatExpectationsTask": "task",
    "GreatExpectationsType": "types",
    "ValidationFailedError": "errors",
    "ValidationResult": "result",
    "expect": "suite",
    "parameter": "suite",
}

__all__ = [
    "Expectation",
    "ExpectationError",
    "ExpectationFailure",
    "GreatExpectationsConfig",
    "GreatExpectationsTask",
    "GreatExpectationsType",
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
