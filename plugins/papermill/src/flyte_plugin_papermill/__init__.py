"""Papermill for FlytePath: a Jupyter notebook as a task. The names are resolved on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_papermill.config import NotebookConfig
    from flyte_plugin_papermill.errors import (
        EngineMissingError,
        KernelDiedError,
        KernelMissingError,
        KernelStartError,
        NotebookCellError,
        NotebookError,
        NotebookIncompleteError,
        NotebookOutputError,
        NotebookTimeoutError,
        PapermillMissingError,
    )
    from flyte_plugin_papermill.loading import load_dataframe, load_dir, load_file, load_value
    from flyte_plugin_papermill.recording import OutputRecordingError, record_outputs
    from flyte_plugin_papermill.spark import load_spark_session
    from flyte_plugin_papermill.task import NotebookTask

_HOME_OF = {
    "EngineMissingError": "errors",
    "KernelDiedError": "errors",
    "KernelMissingError": "errors",
    "KernelStartError": "errors",
    "NotebookCellError": "errors",
    "NotebookConfig": "config",
    "NotebookError": "errors",
    "NotebookIncompleteError": "errors",
    "NotebookOutputError": "errors",
    "NotebookTask": "task",
    "NotebookTimeoutError": "errors",
    "OutputRecordingError": "recording",
    "PapermillMissingError": "errors",
    "load_dataframe": "loading",
    "load_dir": "loading",
    "load_file": "loading",
    "load_spark_session": "spark",
    "load_value": "loading",
    "record_outputs": "recording",
}

__all__ = [
    "EngineMissingError",
    "KernelDiedError",
    "KernelMissingError",
    "KernelStartError",
    "NotebookCellError",
    "NotebookConfig",
    "NotebookError",
    "NotebookIncompleteError",
    "NotebookOutputError",
    "NotebookTask",
    "NotebookTimeoutError",
    "OutputRecordingError",
    "PapermillMissingError",
    "load_dataframe",
    "load_dir",
    "load_file",
    "load_spark_session",
    "load_value",
    "record_outputs",
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
