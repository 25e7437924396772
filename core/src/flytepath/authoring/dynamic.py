"""``dynamic``: tasks that build a graph of native inputs when they run, checked and recorded like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, overload

from flytepath.authoring.graph import Graph
from flytepath.authoring.task import PythonFunctionTask
from flytepath.authoring.workflow import build
from flytepath.errors import DefinitionError


class DynamicTask(PythonFunctionTask):
    """A task whose body is compiled to a graph each time it runs; what ``@dynamic`` makes."""

    mode = "dynamic"
    holds_nodes = True

    def __init__(self, task_config: Any, task_function: Callable[..., Any], **settings: Any) -> None:
        super().__init__(task_config, task_function, **settings)
        if task_config is not None:
            raise DefinitionError(
                "a dynamic task has no task_config: its body only builds a graph",
                place=f"{self.name}(task_config)",
                actual=type(task_config).__name__,
                hint="give it to the tasks that the body calls",
            )
        if self.is_async:
            raise DefinitionError(
                "a dynamic task cannot be async: it builds a graph and runs nothing itself",
                place=self.name,
                hint="use @eager to await calls",
            )

    def compiled_for(self, inputs: Mapping[str, Any]) -> Graph:
        """The graph for these native inputs.

        Raises:
            CompileError: its nodes do not fit together.
        """
        from flytepath.authoring.wiring import check_wiring

        graph = Graph(self.name)
        build(graph, self, "dynamic task", self.task_function, inputs)
        check_wiring(graph, self.output_codecs)
        return graph

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Build the graph and run it in this process."""
        from flytepath.authoring.running import run_graph

        outputs = run_graph(self.compiled_for(inputs), {})
        return self.returned(outputs)

    def __repr__(self) -> str:
        return f"<dynamic {self.name}>"


@overload
def dynamic(function: Callable[..., Any], /) -> DynamicTask: ...
@overload
def dynamic(*, task_config: Any = None, **settings: Any) -> Callable[[Callable[..., Any]], DynamicTask]: ...
def dynamic(function: Callable[..., Any] | None = None, /, *, task_config: Any = None, **settings: Any) -> Any:
    """Make a task whose body builds a graph from native inputs: loops and branches over values are plain Python.

    Inside, calls of tasks, workflows and dynamic tasks return promises, as in a workflow.

    Args:
        settings: as for :func:`flytepath.task`.

    Raises:
        CompileError: when it runs and the graph does not fit together.

    Example:
        >>> from flytepath import dynamic, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @dynamic
        ... def doubled(n: int) -> list[int]:
        ...     return [double(x=i) for i in range(n)]
        >>> doubled(n=3)
        [0, 2, 4]
    """
    from flytepath.authoring.task import known_settings

    def decorate(function: Callable[..., Any]) -> DynamicTask:
        return DynamicTask(task_config, function, **known_settings(settings, function))

    return decorate if function is None else decorate(function)
