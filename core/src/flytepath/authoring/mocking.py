"""Stand-ins for tests: ``task_mock`` and ``patch`` let a mock answer in place of a task, workflow or reference."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flytepath.authoring.entity import Entity
from flytepath.errors import DefinitionError

if TYPE_CHECKING:
    from unittest.mock import MagicMock


@contextmanager
def task_mock(entity: Entity) -> Iterator[MagicMock]:
    """Let a mock answer every direct call of ``entity``, also those made by workflows that run here.

    The call's inputs are checked before, and what the mock returns is checked after, as they always are.

    Raises:
        DefinitionError: ``entity`` is no task, workflow, launch plan or reference.

    Example:
        >>> from flytepath import task, task_mock, workflow
        >>> @task
        ... def fetch(day: str) -> int:
        ...     raise RuntimeError("no network")
        >>> @workflow
        ... def daily(day: str) -> int:
        ...     return fetch(day=day)
        >>> with task_mock(fetch) as mock:
        ...     mock.return_value = 7
        ...     daily(day="monday")
        7
    """
    from unittest.mock import MagicMock

    if not isinstance(entity, Entity):
        raise DefinitionError("only a task, workflow, launch plan or reference has a stand-in", actual=repr(entity))
    mock = MagicMock(name=entity.name)
    before = entity.stand_in
    entity.stand_in = mock
    try:
        yield mock
    finally:
        entity.stand_in = before


def patch(target: Entity) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a test so that it runs with a mock in place of ``target``, given as its first argument.

    Of several, the innermost comes first. Fixtures of a test runner are given by name.

    Example:
        >>> from flytepath import patch, task
        >>> @task
        ... def fetch() -> int:
        ...     return 1
        >>> @patch(fetch)
        ... def check(mock):
        ...     mock.side_effect = lambda: 5
        ...     return fetch()
        >>> check()
        5
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        patched: Any
        signature = inspect.signature(function)
        first = 1 if next(iter(signature.parameters), "") == "self" else 0
        if inspect.iscoroutinefunction(function):

            async def patched(*args: Any, **kwargs: Any) -> Any:
                with task_mock(target) as mock:
                    return await function(*args[:first], mock, *args[first:], **kwargs)
        else:

            def patched(*args: Any, **kwargs: Any) -> Any:
                with task_mock(target) as mock:
                    return function(*args[:first], mock, *args[first:], **kwargs)

        functools.update_wrapper(patched, function)
        # A test runner must not take the mock for a fixture of that name, and gives fixtures by name.
        patched.__signature__ = _without(signature, first)
        return patched  # type: ignore[no-any-return]

    return decorate


def _without(signature: inspect.Signature, position: int) -> inspect.Signature:
    """The signature without the argument that gets the mock."""
    parameters = list(signature.parameters.values())
    del parameters[position : position + 1]
    return signature.replace(parameters=parameters)
