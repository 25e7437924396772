"""Tasks: typed functions, and tasks without a function that a plugin's task type runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from flytepath.authoring.entity import Entity
from flytepath.authoring.graph import building
from flytepath.authoring.signature import read_signature
from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.resources import Resources

if TYPE_CHECKING:
    from flytepath.plugin.task_type import TaskDeclaration


@dataclass(slots=True, frozen=True)
class TaskMetadata:
    """How a task is run: retries, timeout, resources."""

    retries: int = 0
    timeout_seconds: float | None = None
    requests: Resources = field(default_factory=Resources)
    limits: Resources = field(default_factory=Resources)
    documentation: str = ""


class Task(Entity):
    """A named, typed step. Called in a workflow it becomes a node; called anywhere else it runs right here."""

    body: str = "none"

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        *,
        task_config: Any = None,
        defaults: Mapping[str, Any] | None = None,
        output_tuple: type[Any] | None = None,
        metadata: TaskMetadata | None = None,
    ) -> None:
        super().__init__(name, inputs, outputs, defaults or {}, output_tuple)
        self.task_config = task_config
        self.metadata = metadata or TaskMetadata()
        self._isolate = {name: codec.isolate for name, codec in self.input_codecs.items()}
        if task_config is not None:
            from flytepath.authoring.call import check_config

            check_config(self)
        if any(codec.markers for codec in (*self.input_codecs.values(), *self.output_codecs.values())):
            from flytepath.authoring.call import check_markers

            check_markers(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.bind(args, kwargs)
        graph = building.get()
        if graph is not None:
            return graph.call(self, bound)
        return self.run_here(bound)

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Run one attempt in this process with native inputs, checked and kept apart from the caller's."""
        isolate = self._isolate
        try:
            own = {key: isolate[key](value) for key, value in inputs.items()}
        except TypeTransformerFailedError:
            own = {key: self.checked_input(key, value) for key, value in inputs.items()}
        from flytepath.authoring.call import call_here

        return call_here(self, own)

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Call the user's function; a task without one cannot be called so."""
        raise DefinitionError(
            f"task {self.name} has no body to call", hint="its task type must override execute() and not call the body"
        )

    def as_outputs(self, result: Any) -> dict[str, Any]:
        """What the body returned, by output name, checked."""
        names = tuple(self.outputs)
        if not names:
            if result is not None:
                raise TypeTransformerFailedError(
                    f"task {self.name} declares no output but returned a value",
                    place=f"{self.name}()",
                    expected="None",
                    actual=type(result).__name__,
                    hint="annotate the task's return type",
                )
            return {}
        if self.has_one_output:
            values: tuple[Any, ...] = (result,)
        else:
            if not isinstance(result, tuple) or len(result) != len(names):
                raise TypeTransformerFailedError(
                    f"task {self.name} declares {len(names)} outputs",
                    place=f"{self.name}()",
                    expected=f"a tuple of {len(names)} values",
                    actual=f"{type(result).__name__}{f' of {len(result)}' if isinstance(result, tuple) else ''}",
                )
            values = result
        return dict(zip(names, values, strict=True))

    def declaration(self) -> TaskDeclaration:
        """The task as its task type sees it."""
        from flytepath.plugin.task_type import TaskDeclaration

        return TaskDeclaration(
            name=self.name,
            config=self.task_config,
            inputs={name: codec.literal_type for name, codec in self.input_codecs.items()},
            outputs={name: codec.literal_type for name, codec in self.output_codecs.items()},
            python_inputs=self.inputs,
            python_outputs=self.outputs,
            body=self.body,  # type: ignore[arg-type]
            requests=self.metadata.requests,
            limits=self.metadata.limits,
        )

    def __repr__(self) -> str:
        return f"<task {self.name}>"


class PythonFunctionTask(Task):
    """A task whose body is a Python function."""

    body = "function"

    def __init__(
        self, function: Callable[..., Any], *, task_config: Any = None, metadata: TaskMetadata | None = None
    ) -> None:
        if not callable(function) or not hasattr(function, "__code__"):
            raise DefinitionError(
                "@task takes a plain function", actual=repr(function), hint="decorate a function defined with 'def'"
            )
        signature = read_signature(function, "task")
        self.function = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__wrapped__ = function
        super().__init__(
            f"{function.__module__}.{function.__qualname__}",
            signature.inputs,
            signature.outputs,
            task_config=task_config,
            defaults=signature.defaults,
            output_tuple=signature.output_tuple,
            metadata=metadata,
        )

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Call the function."""
        return self.function(**inputs)


class PythonInstanceTask(Task):
    """A task without a function: the task type of its ``task_config`` does all the work.

    Assign it to a module variable; that is how a worker finds it.

    Args:
        name: the task's name, unique in its project.
        task_config: selects the task type.
        inputs, outputs: types by name, from :func:`kwtypes` or a dict.
        retries, timeout, requests, limits: as for :func:`task`.
    """

    def __init__(
        self,
        name: str,
        task_config: Any,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        *,
        retries: int = 0,
        timeout: dt.timedelta | float | None = None,
        requests: Resources | None = None,
        limits: Resources | None = None,
    ) -> None:
        if task_config is None:
            raise DefinitionError(f"task {name} has no body and no task_config", place=name)
        super().__init__(
            name,
            inputs or {},
            outputs or {},
            task_config=task_config,
            metadata=_metadata(name, retries, timeout, requests, limits, type(self).__doc__),
        )


def kwtypes(**types: Any) -> dict[str, Any]:
    """Types by name, for tasks that have no signature.

    Example:
        >>> kwtypes(x=int, y=str)
        {'x': <class 'int'>, 'y': <class 'str'>}
    """
    return types


def _metadata(
    name: str,
    retries: int,
    timeout: dt.timedelta | float | None,
    requests: Resources | None,
    limits: Resources | None,
    documentation: str | None,
) -> TaskMetadata:
    if type(retries) is not int or retries < 0:
        raise DefinitionError(
            "retries is a whole number from 0", place=f"{name}(retries)", expected="int >= 0", actual=repr(retries)
        )
    seconds = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0):
        raise DefinitionError(
            "timeout is a timedelta or a number of seconds, zero or None for none",
            place=f"{name}(timeout)",
            actual=repr(timeout),
        )
    for label, value in (("requests", requests), ("limits", limits)):
        if value is not None and not isinstance(value, Resources):
            raise DefinitionError(f"{label} takes Resources(...)", place=f"{name}({label})", actual=repr(value))
    return TaskMetadata(
        retries=retries,
        timeout_seconds=float(seconds) if seconds else None,
        requests=requests or Resources(),
        limits=limits or Resources(),
        documentation=(documentation or "").strip(),
    )


@overload
def task(function: Callable[..., Any], /) -> PythonFunctionTask: ...
@overload
def task(
    *,
    task_config: Any = None,
    retries: int = 0,
    timeout: dt.timedelta | float | None = None,
    requests: Resources | None = None,
    limits: Resources | None = None,
) -> Callable[[Callable[..., Any]], PythonFunctionTask]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    task_config: Any = None,
    retries: int = 0,
    timeout: dt.timedelta | float | None = None,
    requests: Resources | None = None,
    limits: Resources | None = None,
) -> PythonFunctionTask | Callable[[Callable[..., Any]], PythonFunctionTask]:
    """Make a task of a typed function.

    Args:
        task_config: a plugin's configuration object; it selects the task type.
        retries: how often a failed attempt is tried again in a durable run, on the task's own budget.
        timeout: the longest one attempt may take, a ``timedelta`` or seconds; none by default.
        requests, limits: the resources an attempt asks for and may use.

    Raises:
        DefinitionError: the function cannot be a task; the error says why.

    Example:
        >>> from flytepath import task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(x=21)
        42
    """

    def decorate(function: Callable[..., Any]) -> PythonFunctionTask:
        name = getattr(function, "__qualname__", repr(function))
        metadata = _metadata(name, retries, timeout, requests, limits, getattr(function, "__doc__", None))
        return PythonFunctionTask(function, task_config=task_config, metadata=metadata)

    return decorate if function is None else decorate(function)
