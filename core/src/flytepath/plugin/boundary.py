"""Checks at a task's boundary: a marker in ``Annotated`` asks for one, the worker runs it, an event records it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class BoundaryContext:
    """Where a check happens.

    Args:
        task: the task's name.
        variable: the name of the input or output.
        side: ``reading`` for an input, ``writing`` for an output.
        execution_id, node_path, attempt: as in :class:`~flytepath.plugin.TaskContext`.
    """

    task: str
    variable: str
    side: Literal["reading", "writing"]
    execution_id: str = "local"
    node_path: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class BoundaryReport:
    """What a check found.

    Args:
        passed: whether the value is acceptable.
        message: one line: what failed, where, and how much of it.
        on_failure: ``raise`` fails the attempt, ``warn`` records a warning and lets the value pass.
        details: plain JSON for the event.
        decks: (name, HTML) pairs that are kept whether or not the check passed.
    """

    passed: bool
    message: str = ""
    on_failure: Literal["raise", "warn"] = "raise"
    details: Mapping[str, Any] = field(default_factory=dict)
    decks: tuple[tuple[str, str], ...] = ()


class BoundaryChecker(ABC):
    """Checks values whose declared type carries one kind of marker. Stateless."""

    def validate_marker(self, marker: Any, t: Any) -> None:
        """Refuse, with ``DefinitionError``, a marker that can never work on the type ``t``. At definition time."""

    def voucher(self, marker: Any) -> str | None:
        """What a check of this marker vouches for when it has passed: the same text for equal markers, everywhere.

        A value that was checked when its task wrote it is then not checked again where another task reads it, as the
        same type, with a marker of the same voucher. ``None``, the default: every boundary checks.
        """
        return None

    @abstractmethod
    def check(self, value: Any, marker: Any, context: BoundaryContext) -> BoundaryReport:
        """Look at ``value`` without changing it. An exception from here fails the attempt as a system error."""
