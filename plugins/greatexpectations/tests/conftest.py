"""A home of its own for every test, so that none sees another's plugin index or executions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Before a test imports the library: it knows which warnings of that import are nobody's concern; here they are errors.
import flyte_plugin_greatexpectations.validation  # noqa: F401
import pytest
from flyte_plugin_greatexpectations import GreatExpectationsTask, ValidationResult
from flytepath.plugin import TaskDeclaration
from flytepath.testing import MemoryTaskContext


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(folder))
        yield folder


class Attempt:
    """One attempt of a validation, with what it left behind."""

    def __init__(self, task: GreatExpectationsTask, folder: Path) -> None:
        from flyte_plugin_greatexpectations.task import GreatExpectationsTaskType

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


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[[GreatExpectationsTask], Attempt]:
    return lambda task: Attempt(task, tmp_path)
