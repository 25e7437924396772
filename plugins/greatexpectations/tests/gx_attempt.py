"""One attempt of a validation, without an engine around it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyte_plugin_greatexpectations import GreatExpectationsTask, ValidationResult
from flyte_plugin_greatexpectations.task import GreatExpectationsTaskType
from flytepath.plugin import TaskDeclaration
from flytepath.testing import MemoryTaskContext


class Attempt:
    """One attempt of a validation, with what it left behind."""

    def __init__(self, task: GreatExpectationsTask, folder: Path) -> None:
        self.task_type = GreatExpectationsTaskType()
        declaration = TaskDeclaration(
            name=task.name,
            config=task.task_config,
            python_inputs=task.inputs,
            python_outputs=task.outputs,
            body="none",
        )
        self.context = MemoryTaskContext(declaration, folder, self.task_type.compile(declaration))

    def run(self, **inputs: Any) -> ValidationResult:
        def no_body(_: Mapping[str, Any]) -> Any:
            raise AssertionError("a validation has no body to call")

        return self.task_type.execute(self.context, inputs, no_body)

    @property
    def deck(self) -> str:
        (deck,) = self.context.decks.values()
        return deck
