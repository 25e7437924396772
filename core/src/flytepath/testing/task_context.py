"""A task context in memory: what ``TaskType.execute`` is given in tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flytepath.errors import UsageError
from flytepath.plugin.task_type import CarriedAttempt, TaskDeclaration


@dataclass(slots=True)
class MemoryTaskContext:
    """A :class:`~flytepath.plugin.TaskContext` that keeps the decks it is given in ``decks``.

    Example:
        >>> context = MemoryTaskContext(TaskDeclaration(name="flow.train"), Path("."))
        >>> context.add_deck("report", "<p>fine</p>")
        >>> context.decks, context.node_path, context.attempt
        ({'report': '<p>fine</p>'}, 'flow.train', 1)
    """

    declaration: TaskDeclaration
    working_directory: Path
    payload: Any = None
    execution_id: str = "local"
    node_path: str = ""
    attempt: int = 1
    decks: dict[str, str] = field(default_factory=dict)
    raw_output_prefix: str = ""
    code_path: Path | None = None
    attached: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.node_path:
            self.node_path = self.declaration.name
        if not self.raw_output_prefix:
            self.raw_output_prefix = f"{self.working_directory}/outputs/"

    def carried(self) -> CarriedAttempt:
        """A context in memory stays in its process."""
        raise UsageError("a context in memory cannot be carried into another process", hint="run the task itself")

    def heard(self, news: Any) -> None:
        """Nobody tells it anything."""

    def attach(self, name: str, value: Any) -> None:
        """Keep ``value`` under ``name`` in ``attached``."""
        self.attached[name.lower()] = value

    def add_deck(self, name: str, html: str) -> None:
        """Keep ``html`` under ``name``."""
        self.decks[name] = html
