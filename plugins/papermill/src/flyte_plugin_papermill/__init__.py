"""Papermill for FlytePath: a Jupyter notebook as a task. The names are resolved on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_papermill.errors import NotebookFailedError, NotebookOutputError
    from flyte_plugin_papermill.recording import record_outputs
    from flyte_plugin_papermill.task import NotebookConfig, NotebookTask

_HOME_OF = {
    "NotebookConfig": "task",
    "NotebookFailedError": "errors",
    "NotebookOutputError": "errors",
    "NotebookTask": "task",
    "record_outputs": "recording",
}

__all__ = ["NotebookConfig", "NotebookFailedError", "NotebookOutputError", "NotebookTask", "record_outputs"]


def __getattr__(name: str) -> Any:
    room = _HOME_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
