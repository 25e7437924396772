"""Eager tasks: ``async`` functions whose calls of tasks and workflows are made as they run, and recorded.

In a direct call everything runs in this process. In a durable run each call becomes a node of its own; a conductor,
set by the worker, hands it to the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

from flytepath.authoring.conducting import HERE, CallsHere, Conductor, conducted, conductor
from flytepath.authoring.task import PythonFunctionTask, known_settings
from flytepath.errors import DefinitionError, EagerError, FlytePathError

if TYPE_CHECKING:
    from flytepath.authoring.entity import Entity
    from flytepath.model.events import ErrorRecord


def call_from_eager(entity: Entity, by: Conductor | CallsHere, inputs: dict[str, Any]) -> Any:
    """A call made by an eager task: its outputs, or a coroutine of them where ``entity`` is async."""
    if isinstance(by, CallsHere):
        return _async_here(entity, inputs) if entity.is_async else _here(entity, inputs)
    future = by.call(entity, {key: entity.checked_input(key, value) for key, value in inputs.items()})
    if not entity.is_async:
        return entity.returned(future.result())

    async def outcome() -> Any:
        import asyncio

        outputs = await asyncio.wrap_future(future)
        return entity.returned(outputs)

    return outcome()


def _here(entity: Entity, inputs: dict[str, Any]) -> Any:
    with conducted(None):
        try:
            return entity.run_here(inputs)
        except Exception as error:
            raise called_here(error) from error


async def _async_here(entity: Entity, inputs: dict[str, Any]) -> Any:
    with conducted(None):
        try:
            return await entity.run_async(inputs)
        except Exception as error:
            raise called_here(error) from error


def call_failed(record: ErrorRecord) -> EagerError:
    """The error an eager task sees when something it called has failed.

    It is an :class:`~flytepath.errors.EagerError`, and where the class of the failure is known here also one of that
    class, so that ``except ValueError`` works as in a direct call.
    """
    return _both(_class_named(record.type))(record.message, place=record.place, hint=record.hint)


def called_here(error: Exception) -> Exception:
    """The same for a call made in this process: also an instance of the class of ``error``, where that can be."""
    if isinstance(error, EagerError):
        return error
    from flytepath.authoring.failure import message_of

    failed = _both(type(error))(message_of(error))
    if isinstance(error, FlytePathError):
        failed.place, failed.hint = error.place, error.hint
        failed.expected, failed.actual = error.expected, error.actual
    for name, value in vars(error).items():  # what handlers of that class look at
        if name not in vars(failed) and not name.startswith("__"):
            setattr(failed, name, value)
    failed.__cause__ = error
    return failed


def _class_named(name: str) -> type[Exception] | None:
    """The exception class of a recorded failure, if it is loaded here."""
    module, _, attribute = name.rpartition(".")
    found = getattr(sys.modules.get(module or "builtins"), attribute, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


_kinds: dict[type[Exception] | None, type[EagerError]] = {None: EagerError}


def _without_its_own_arguments(self: EagerError, message: str, **facts: str | None) -> None:
    """In place of the other class's ``__init__``, which may want what is not known here."""
    Exception.__init__(self, message)
    vars(self).update({"message": message, "place": None, "expected": None, "actual": None, "hint": None, **facts})


def _both(kind: type[Exception] | None) -> type[EagerError]:
    found = _kinds.get(kind)
    if found is None:
        try:
            space = {"__module__": EagerError.__module__, "__init__": _without_its_own_arguments}
            found = type(EagerError.__name__, (EagerError, kind), space)  # type: ignore[arg-type]
        except TypeError:  # a class whose instances are laid out in another way
            found = EagerError
        _kinds[kind] = found
    return found


class EagerTask(PythonFunctionTask):
    """A task whose body is a coroutine that calls others as it runs; what ``@eager`` makes."""

    mode = "eager"

    def __init__(self, task_config: Any, task_function: Callable[..., Any], **settings: Any) -> None:
        super().__init__(task_config, task_function, **settings)
        if not self.is_async:
            raise DefinitionError(
                "an eager task is a coroutine", place=self.name, expected="async def", hint="or use @dynamic"
            )

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """The coroutine; what it calls fails with an :class:`~flytepath.errors.EagerError`."""
        return self.task_function(**inputs) if conductor.get() is not None else self._with_calls_here(inputs)

    async def _with_calls_here(self, inputs: Mapping[str, Any]) -> Any:
        with conducted(HERE):
            return await self.task_function(**inputs)

    def __repr__(self) -> str:
        return f"<eager {self.name}>"


@overload
def eager(function: Callable[..., Any], /) -> EagerTask: ...
@overload
def eager(*, task_config: Any = None, **settings: Any) -> Callable[[Callable[..., Any]], EagerTask]: ...
def eager(function: Callable[..., Any] | None = None, /, *, task_config: Any = None, **settings: Any) -> Any:
    """Make a task of an ``async`` function that calls tasks and workflows and works with what they return.

    Called tasks give values, ``async`` ones coroutines to await, several at once with ``asyncio.gather``. In a durable
    run each call is recorded: an execution that is resumed goes on from what has succeeded.

    Args:
        settings: as for :func:`flytepath.task`.

    Example:
        >>> import asyncio
        >>> from flytepath import eager, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @eager
        ... async def over_ten(x: int) -> int:
        ...     while x <= 10:
        ...         x = double(x=x)
        ...     return x
        >>> asyncio.run(over_ten(x=3))
        12
    """

    def decorate(function: Callable[..., Any]) -> EagerTask:
        return EagerTask(task_config, function, **known_settings(settings, function))

    return decorate if function is None else decorate(function)
