"""Spark, through the Spark plugin: its session is around the attempt, so frames are read and looked at by executors."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Any

from flytepath.plugin import DefinitionError, TaskContext, TaskDeclaration


def spark_payload(config: Any, name: str) -> Any:
    """The Spark plugin's payload for a validation; its defaults where the task has no settings.

    Raises:
        DefinitionError: the Spark plugin is not installed, or refuses the settings.
    """
    room = _room(name)
    given = room.Spark() if config is None else config
    return room.SparkTaskType().compile(TaskDeclaration(name=name, config=given))


def session_around(context: TaskContext, payload: Any) -> AbstractContextManager[object]:
    """The Spark plugin's session, from before inputs are read until after outputs are written."""
    around: AbstractContextManager[object] = (
        _room(context.declaration.name).SparkTaskType().around(_WithPayload(context, payload))
    )
    return around


def _room(name: str) -> Any:
    try:
        return importlib.import_module("flyte_plugin_spark.task")
    except ImportError as error:
        raise DefinitionError(
            "Spark frames are validated through the Spark plugin",
            place=name,
            actual=str(error),
            hint="pip install 'flyte-plugin-greatexpectations[spark]'",
        ) from error


class _WithPayload:
    """The attempt as the Spark plugin knows its own: with its payload in place of ours."""

    def __init__(self, context: TaskContext, payload: Any) -> None:
        self._context = context
        self.payload = payload

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
