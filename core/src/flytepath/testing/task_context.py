"""A task context in memory: what ``TaskType.execute`` is given in tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flytepath.plugin.task_type import TaskDeclaration


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

    def __post_init__(self) -> None:
        if not self.node_path:
            self.node_path = self.declaration.name

    def add_deck(self, name: str, html: str) -> None:
        """Keep ``html`` under ``name``."""
        self.decks[name] = html
