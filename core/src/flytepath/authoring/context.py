"""What a running task can ask about itself: ``flytepath.current_context()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    import tempfile
    from pathlib import Path

    from flytepath.model.identity import Tenant
    from flytepath.plugin.task_type import TaskDeclaration

LOCAL_EXECUTION = "local"


class ExecutionContext:
    """One attempt of one task, as the code inside it sees it.

    ``tenant`` is the project and domain it runs for, ``None`` in a direct call. Outside any task it is an anonymous
    local context, so that library code can call it anywhere.
    """

    __slots__ = (
        "_decks",
        "_declare",
        "_folder",
        "_logger",
        "_on_deck",
        "_working_directory",
        "attempt",
        "execution_id",
        "node_path",
        "payload",
        "tenant",
    )

    def __init__(
        self,
        *,
        node_path: str = "",
        execution_id: str = LOCAL_EXECUTION,
        attempt: int = 1,
        tenant: Tenant | None = None,
        declare: Callable[[], TaskDeclaration] | None = None,
        payload: Any = None,
        working_directory: Path | None = None,
        on_deck: Callable[[str, str], None] | None = None,
    ) -> None:
        self.node_path = node_path
        self.execution_id = execution_id
        self.attempt = attempt
        self.payload = payload
        self.tenant = tenant
        self._declare = declare
        self._working_directory = working_directory
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._logger: logging.Logger | None = None
        self._on_deck = on_deck
        self._decks: list[tuple[str, str]] | None = None

    @property
    def declaration(self) -> TaskDeclaration:
        """The task as declared, with its configuration."""
        if self._declare is None:
            from flytepath.plugin.task_type import TaskDeclaration

            return TaskDeclaration(name=self.node_path)
        return self._declare()

    @property
    def working_directory(self) -> Path:
        """An empty folder of this attempt's own; removed with it in a direct call."""
        if self._working_directory is None:
            import tempfile
            from pathlib import Path

            self._folder = tempfile.TemporaryDirectory(prefix="flytepath-")
            self._working_directory = Path(self._folder.name)
        self._working_directory.mkdir(parents=True, exist_ok=True)
        return self._working_directory

    @property
    def logging(self) -> logging.Logger:
        """A logger named after the task."""
        if self._logger is None:
            import logging

            self._logger = logging.getLogger(f"flytepath.task.{self.node_path}" if self.node_path else "flytepath.task")
        return self._logger

    @property
    def decks(self) -> tuple[tuple[str, str], ...]:
        """The (name, HTML) pairs written so far."""
        return tuple(self._decks or ())

    def add_deck(self, name: str, html: str) -> None:
        """Keep ``html`` as a deck of this attempt, also if the attempt fails afterwards."""
        if self._decks is None:
            self._decks = []
        self._decks.append((name, html))
        if self._on_deck is not None:
            self._on_deck(name, html)

    def close(self) -> None:
        """Remove the folder of a direct call."""
        if self._folder is not None:
            self._folder.cleanup()


_current: ContextVar[ExecutionContext | None] = ContextVar("flytepath_context", default=None)


def current_context() -> ExecutionContext:
    """The context of the task that is running, or an anonymous one outside any task.

    Example:
        >>> current_context().execution_id
        'local'
    """
    context = _current.get()
    return context if context is not None else ExecutionContext()


@contextmanager
def entered(context: ExecutionContext) -> Iterator[ExecutionContext]:
    """Make ``context`` the current one."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
        context.close()
