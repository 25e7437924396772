"""Workflows: functions whose body, run once with promises, builds a static graph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, overload

from flytepath.authoring.entity import Entity
from flytepath.authoring.graph import Graph, building, rebuilt
from flytepath.authoring.promise import Promise, VoidPromise, part_of
from flytepath.authoring.signature import read_signature
from flytepath.errors import CompileError, DefinitionError

FAILURE_POLICIES = ("fail_immediately", "fail_after_executable_nodes_complete")


class PythonFunctionWorkflow(Entity):
    """A workflow made of a function. Compiled once, at first need; a direct call runs the compiled graph here."""

    def __init__(self, function: Callable[..., Any], failure_policy: str) -> None:
        signature = read_signature(function, "workflow")
        name = f"{function.__module__}.{function.__qualname__}"
        super().__init__(name, signature.inputs, signature.outputs, signature.defaults, signature.output_tuple)
        self.function = function
        self.failure_policy = failure_policy
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__wrapped__ = function
        self._graph: Graph | None = None
        self._lock = threading.RLock()

    @property
    def graph(self) -> Graph:
        """The compiled graph.

        Raises:
            CompileError: the nodes do not fit together; every finding with the line that made the node.
        """
        with self._lock:
            if self._graph is None:
                self._graph = self._compile()
            return self._graph

    def _compile(self) -> Graph:
        from flytepath.authoring.wiring import check_wiring

        graph = Graph(self.name)
        token = building.set(graph)
        try:
            result = self.function(**{name: Promise(None, name) for name in self.inputs})
        finally:
            building.reset(token)
        graph.outputs = self._outputs_of(result)
        check_wiring(graph, self.input_codecs, self.output_codecs)
        return graph

    def _outputs_of(self, result: Any) -> dict[str, Any]:
        names = tuple(self.outputs)
        if not names:
            if result is not None and not isinstance(result, VoidPromise):
                raise CompileError(f"workflow {self.name} declares no output but returns one", place=self.name)
            return {}
        if self.has_one_output:
            values: tuple[Any, ...] = (result,)
        elif isinstance(result, tuple) and len(result) == len(names):
            values = tuple(result)
        else:
            raise CompileError(
                f"workflow {self.name} declares {len(names)} outputs and returns something else",
                place=self.name,
                expected=f"a tuple of {len(names)}",
                actual=repr(result),
            )
        for name, value in zip(names, values, strict=True):
            if value is None or isinstance(value, VoidPromise):
                raise CompileError(f"output {name!r} of the workflow gets no value", place=f"{self.name}() -> {name}")
        return dict(zip(names, values, strict=True))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.bind(args, kwargs)
        outer = building.get()
        if outer is not None:
            outputs = outer.inline(self.graph, bound)
            return self.returned(outputs)
        return self._run_here({key: self.checked_input(key, value) for key, value in bound.items()})

    def _run_here(self, inputs: dict[str, Any]) -> Any:
        results: dict[str, dict[str, Any]] = {}

        def value_of(bound: Any) -> Any:
            if isinstance(bound, Promise):
                node, name, path = bound._fp_node, bound._fp_name, bound._fp_path
                value = inputs[name] if node is None else results[node.path][name]
                return part_of(value, path, f"{self.name}: {bound!r}") if path else value
            return rebuilt(bound, value_of)

        for node in self.graph.nodes:
            task = node.task
            returned = task.run_here({name: value_of(bound) for name, bound in node.inputs.items()})
            names = tuple(task.outputs)
            results[node.path] = (
                {names[0]: returned} if task.has_one_output else dict(zip(names, returned or (), strict=True))
            )
        return self.returned(
            {name: self.checked_output(name, value_of(bound)) for name, bound in self.graph.outputs.items()}
        )

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


@overload
def workflow(function: Callable[..., Any], /) -> PythonFunctionWorkflow: ...
@overload
def workflow(*, failure_policy: str = ...) -> Callable[[Callable[..., Any]], PythonFunctionWorkflow]: ...
def workflow(
    function: Callable[..., Any] | None = None, /, *, failure_policy: str = "fail_immediately"
) -> PythonFunctionWorkflow | Callable[[Callable[..., Any]], PythonFunctionWorkflow]:
    """Make a workflow of a function that calls tasks and other workflows.

    The body runs once, with promises for its inputs, to build a static graph; what it computes itself it computes then.

    Args:
        failure_policy: ``fail_immediately`` ends the execution with the first node that fails for good;
            ``fail_after_executable_nodes_complete`` first runs everything that does not need the failed node.

    Example:
        >>> from flytepath import task, workflow
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @workflow
        ... def quadruple(x: int) -> int:
        ...     return double(x=double(x=x))
        >>> quadruple(x=3)
        12
    """
    if failure_policy not in FAILURE_POLICIES:
        raise DefinitionError(
            "unknown failure policy",
            place="failure_policy",
            expected=" or ".join(FAILURE_POLICIES),
            actual=failure_policy,
        )

    def decorate(function: Callable[..., Any]) -> PythonFunctionWorkflow:
        if not hasattr(function, "__code__"):
            raise DefinitionError("@workflow takes a plain function", actual=repr(function))
        return PythonFunctionWorkflow(function, failure_policy)

    return decorate if function is None else decorate(function)
