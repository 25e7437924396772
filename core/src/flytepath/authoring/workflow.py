"""Workflows: functions whose body, run once with promises, builds a static graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

from flytepath.authoring.entity import Entity, Interface, compiling
from flytepath.authoring.graph import Graph, GraphNode, building, promised, together
from flytepath.authoring.promise import Promise, VoidPromise, caller_line
from flytepath.authoring.signature import read_signature
from flytepath.authoring.task import full_name, take_names
from flytepath.errors import CompileError, CycleError, DefinitionError, UnboundOutputError

if TYPE_CHECKING:
    import datetime as dt

    from flytepath.authoring.declared.documentation import Documentation
    from flytepath.authoring.declared.options import Options, WorkflowFailurePolicy

_NO_PLAIN_BODY = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
FAILURE_POLICIES = ("fail_immediately", "fail_after_executable_nodes_complete")


class Workflow(Entity):
    """A graph with a name, compiled once, at first need; a direct call runs the compiled graph here.

    Args:
        name: its full name.
        inputs, outputs, defaults, output_tuple: its interface.
        failure_policy, timeout: see :func:`workflow`.
        interruptible: the default for its tasks.
        on_failure: what runs when it fails.
        documentation: for people.
        options: the defaults of its default launch plan.
    """

    holds_nodes = True

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        defaults: Mapping[str, Any],
        output_tuple: type[Any] | None,
        *,
        failure_policy: Any = None,
        interruptible: bool = False,
        timeout: dt.timedelta | float | None = None,
        on_failure: Entity | None = None,
        documentation: Documentation | str = "",
        options: Options | None = None,
    ) -> None:
        super().__init__(name, inputs, outputs, defaults, output_tuple)
        self.timeout_seconds = read_timeout(timeout, name)
        self.failure_policy = read_failure_policy(failure_policy, name)
        self.interruptible = interruptible
        self.documentation = documentation
        self.options = options
        self.on_failure = on_failure
        self._graph: Graph | None = None
        self._is_compiling = False
        if on_failure is not None:
            from flytepath.authoring.failure import check_handler

            check_handler(self, on_failure)

    @property
    def graph(self) -> Graph:
        """The compiled graph.

        Raises:
            CompileError: the nodes do not fit together; every finding with the line that made the node.
        """
        if self._graph is None:
            with compiling:
                if self._is_compiling:
                    raise CycleError(
                        f"workflow {self.name} calls itself",
                        place=self.name,
                        hint="a static graph has no end then: repeat inside a @dynamic or @eager task",
                    )
                if self._graph is None:
                    self._is_compiling = True
                    try:
                        self._graph = self._compile()
                    finally:
                        self._is_compiling = False
        return self._graph

    @property
    def workflow_inside(self) -> Workflow | None:
        """This one."""
        return self

    @property
    def nodes(self) -> list[GraphNode]:
        """The nodes of the compiled graph, in an order they can run in."""
        return list(self.graph.nodes)

    @property
    def output_bindings(self) -> dict[str, Any]:
        """What each output is made of: promises, constants, lists and dicts of both."""
        return dict(self.graph.outputs)

    def _compile(self) -> Graph:
        from flytepath.authoring.wiring import check_wiring

        graph = Graph(self.name, {name: codec.literal_type for name, codec in self.input_codecs.items()})
        self._build(graph)
        check_wiring(graph, self.output_codecs, self.on_failure)
        return graph

    def _build(self, graph: Graph) -> None:
        """Fill the graph."""
        raise NotImplementedError

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Run the compiled graph in this process."""
        if self.stand_in is not None:
            return self.answered(inputs)
        from flytepath.authoring.running import run_graph

        graph = self.graph
        own = {key: self.checked_input(key, value) for key, value in inputs.items()}
        try:
            outputs = run_graph(graph, own)
        except Exception as error:
            if self.on_failure is not None:
                from flytepath.authoring.failure import handle_here

                handle_here(self, self.on_failure, own, error)
            raise
        return self.checked(outputs)

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


class PythonFunctionWorkflow(Workflow):
    """A workflow made of a function; what ``@workflow`` makes."""

    def __init__(self, function: Callable[..., Any], *, pickle_untyped: bool = False, **settings: Any) -> None:
        signature = read_signature(function, "workflow", pickle_untyped=pickle_untyped)
        if function.__code__.co_flags & _NO_PLAIN_BODY:
            raise DefinitionError(
                "a workflow can be neither async nor a generator: its body only says what calls what",
                place=full_name(function),
                hint="use @eager to await calls",
            )
        self.function = function
        take_names(self, function)
        super().__init__(
            full_name(function),
            signature.inputs,
            signature.outputs,
            signature.defaults,
            signature.output_tuple,
            **settings,
        )

    @property
    def interface(self) -> Interface:
        """The names and types of inputs and outputs, of a workflow that fits together. Raises ``CompileError``."""
        if not self._is_compiling:
            _ = self.graph
        return super().interface

    def _build(self, graph: Graph) -> None:
        build(graph, self, "workflow", self.function, {name: Promise(None, name) for name in self.inputs})


def build(graph: Graph, entity: Entity, what: str, function: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    """Let the calls that ``function`` makes be nodes of ``graph``, and what it returns its outputs.

    Raises:
        CompileError: the body does what a graph cannot; together with what was wrong before.
    """
    token = building.set(graph)
    try:
        result = function(**inputs)
    except CompileError as error:
        if graph.findings:
            raise together(graph.name, [*graph.findings, *(error.findings or (error,))]) from error
        raise
    finally:
        building.reset(token)
    try:
        graph.outputs = outputs_of(entity, result, what)
    except CompileError as error:
        graph.findings.append(error)  # told with whatever else is wrong


def outputs_of(entity: Entity, result: Any, what: str) -> dict[str, Any]:
    """What a body returned while its graph was built, by output name.

    Raises:
        UnboundOutputError: a declared output gets nothing.
        CompileError: there are more, or fewer, than declared.
    """
    names = tuple(entity.outputs)
    if isinstance(result, GraphNode):
        result = promised(result)
    if not names:
        if result is not None and not isinstance(result, VoidPromise):
            raise CompileError(
                f"{what} {entity.name} declares no output but returns one",
                place=entity.name,
                hint="annotate the return type",
            )
        return {}
    if entity.has_one_output:
        values: tuple[Any, ...] = (result,)
    elif isinstance(result, tuple) and len(result) == len(names):
        values = tuple(result)
    elif result is None or isinstance(result, VoidPromise):
        raise UnboundOutputError(
            f"outputs {', '.join(map(repr, names))} of the {what} get no value", place=f"{entity.name}()"
        )
    else:
        raise CompileError(
            f"{what} {entity.name} declares {len(names)} outputs and returns something else",
            place=entity.name,
            expected=f"a tuple of {len(names)}",
            actual=repr(result)[:200],
        )
    for name, value in zip(names, values, strict=True):
        missing = isinstance(value, VoidPromise) or (value is None and not _takes_none(entity, name))
        if missing:
            raise UnboundOutputError(
                f"output {name!r} of the {what} gets no value",
                place=f"{entity.name}() -> {name}",
                hint="return what a task with an output gave",
            )
    return dict(zip(names, values, strict=True))


def _takes_none(entity: Entity, name: str) -> bool:
    declared = entity.output_codecs[name].literal_type
    return declared.kind in ("none", "any") or any(item.kind == "none" for item in declared.items)


def read_failure_policy(value: Any, place: str) -> str:
    """``fail_immediately`` or the other one, from text or :class:`WorkflowFailurePolicy`."""
    if value is None:
        return FAILURE_POLICIES[0]
    text = getattr(value, "value", value)
    if text not in FAILURE_POLICIES:
        text = str(getattr(value, "name", value)).lower()
    if text not in FAILURE_POLICIES:
        raise DefinitionError(
            "unknown failure policy",
            place=f"{place}(failure_policy)",
            expected="WorkflowFailurePolicy, or " + " or ".join(FAILURE_POLICIES),
            actual=repr(value),
        )
    return str(text)


def read_timeout(value: Any, place: str) -> float | None:
    """How long an execution may take, in seconds; ``None`` for no limit."""
    if value is None:
        return None
    from flytepath.authoring.declared.attempts import Timeout, seconds_of

    if isinstance(value, Timeout):
        raise DefinitionError(
            "a workflow as a whole has one limit",
            place=f"{place}(timeout)",
            expected="a timedelta or a number of seconds",
            actual=repr(value),
            hint="Timeout(...) is for tasks",
        )
    return seconds_of(value, f"{place}(timeout)") or None


class ImperativeWorkflow(Workflow):
    """A workflow put together by calls, for code that makes workflows. Also importable as ``Workflow``.

    Args:
        name: its name.
        failure_policy, interruptible, timeout: as for :func:`workflow`.

    Example:
        >>> from flytepath import ImperativeWorkflow, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> wf = ImperativeWorkflow("doubled")
        >>> x = wf.add_workflow_input("x", int)
        >>> node = wf.add_entity(double, x=x)
        >>> wf.add_workflow_output("y", node.outputs["o0"])
        >>> wf(x=4)
        8
    """

    def __init__(
        self,
        name: str,
        failure_policy: WorkflowFailurePolicy | str | None = None,
        interruptible: bool = False,
        timeout: dt.timedelta | float | None = None,
    ):
        super().__init__(
            name, {}, {}, {}, None, failure_policy=failure_policy, interruptible=interruptible, timeout=timeout
        )
        self._draft = Graph(name)

    def add_workflow_input(self, input_name: str, python_type: Any) -> Promise:
        """Declare an input, and return what stands for it."""
        if input_name in self.inputs:
            raise DefinitionError(
                f"the workflow has an input {input_name!r} already", place=f"{self.name}({input_name})"
            )
        self.input_codecs[input_name] = self._codec(input_name, python_type)
        self.inputs[input_name] = python_type
        self._draft.inputs[input_name] = self.input_codecs[input_name].literal_type
        self._graph = None
        return Promise(None, input_name)

    def add_entity(self, entity: Entity, /, **inputs: Any) -> GraphNode:
        """Add a call of a task, workflow or launch plan.

        Raises:
            InputError: unknown or missing inputs.
        """
        if not isinstance(entity, Entity):
            raise DefinitionError(
                "only a task, workflow or launch plan can be added", place=self.name, actual=repr(entity)
            )
        given = {name: _unwrapped(value) for name, value in inputs.items()}
        node = self._draft.add(entity, entity.bind((), given))
        self._graph = None
        return node

    add_task = add_launch_plan = add_subwf = add_entity

    def add_workflow_output(self, output_name: str, p: Any, python_type: Any = None) -> None:
        """Declare an output, made of a promise, or of a list or dict of promises.

        Raises:
            DefinitionError: the type is not given, and does not follow from the promise.
        """
        if output_name in self.outputs:
            raise DefinitionError(f"the workflow has an output {output_name!r} already", place=self.name)
        value = _unwrapped(p)
        if python_type is None:
            python_type = self._type_of(value)
        if python_type is None:
            raise DefinitionError(
                f"the type of output {output_name!r} does not follow from what it is made of",
                place=f"{self.name}() -> {output_name}",
                hint="name it: add_workflow_output(name, value, python_type=list[int])",
            )
        self.output_codecs[output_name] = self._codec(output_name, python_type)
        self.outputs[output_name] = python_type
        self._draft.outputs[output_name] = value
        self._graph = None

    def _type_of(self, value: Any) -> Any:
        if isinstance(value, list) and value:
            inner = self._type_of(value[0])
            return None if inner is None else list.__class_getitem__(inner)
        if isinstance(value, dict) and value:
            inner = self._type_of(next(iter(value.values())))
            return None if inner is None else dict.__class_getitem__((str, inner))
        if not isinstance(value, Promise) or value._fp_path:
            return None
        node = value._fp_node
        if node is None:
            return self.inputs.get(value._fp_name)
        return node.entity.outputs.get(value._fp_name)  # type: ignore[attr-defined]

    def add_on_failure_handler(self, entity: Entity) -> None:
        """Set what runs when the workflow fails."""
        from flytepath.authoring.failure import check_handler

        check_handler(self, entity)
        self.on_failure = entity

    def create_conditional(self, name: str) -> Any:
        """Begin a conditional in this workflow; see :func:`flytepath.conditional`."""
        from flytepath.authoring.conditional import ConditionalSection

        self._graph = None
        return ConditionalSection(name, self._draft, is_entered=False)

    def ready(self) -> bool:
        """Whether there is anything to run."""
        return bool(self._draft.nodes)

    def _compile(self) -> Graph:
        from flytepath.authoring.wiring import check_wiring

        if not self.ready():
            raise CompileError(f"workflow {self.name} has no nodes", place=self.name, hint="add_entity() adds one")
        check_wiring(self._draft, self.output_codecs, self.on_failure)
        return self._draft


def _unwrapped(value: Any) -> Any:
    """A node with one output stands for that output."""
    if isinstance(value, GraphNode):
        outputs = value.outputs
        if len(outputs) != 1:
            raise DefinitionError(
                f"{value!r} has {len(outputs)} outputs", place=caller_line(), hint="name one: node.outputs['o0']"
            )
        return next(iter(outputs.values()))
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    if type(value) is dict:
        return {key: _unwrapped(item) for key, item in value.items()}
    return value


@overload
def workflow(function: Callable[..., Any], /) -> PythonFunctionWorkflow: ...
@overload
def workflow(
    *,
    failure_policy: WorkflowFailurePolicy | str | None = None,
    interruptible: bool = False,
    on_failure: Entity | None = None,
    docs: Documentation | None = None,
    pickle_untyped: bool = False,
    default_options: Options | None = None,
    timeout: dt.timedelta | float | None = None,
) -> Callable[[Callable[..., Any]], PythonFunctionWorkflow]: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    failure_policy: WorkflowFailurePolicy | str | None = None,
    interruptible: bool = False,
    on_failure: Entity | None = None,
    docs: Documentation | None = None,
    pickle_untyped: bool = False,
    default_options: Options | None = None,
    timeout: dt.timedelta | float | None = None,
) -> PythonFunctionWorkflow | Callable[[Callable[..., Any]], PythonFunctionWorkflow]:
    """Make a workflow of a function that calls tasks and other workflows.

    The body runs once, with promises for its inputs, to build a static graph; what it computes itself it computes then.

    Args:
        failure_policy: ``WorkflowFailurePolicy.FAIL_IMMEDIATELY`` ends the execution with the first node that fails
            for good; ``FAIL_AFTER_EXECUTABLE_NODES_COMPLETE`` first runs all that does not need the failed node.
        interruptible: whether its tasks may run on machines that can be taken away, unless they say otherwise.
        on_failure: a task or workflow that runs when this one fails, with the same inputs and, where it has an input
            ``err: FlyteError | None``, with the error.
        docs: documentation for people, beside the docstring.
        pickle_untyped: take inputs and outputs without annotation, and pickle them.
        default_options: labels and the like of its default launch plan.
        timeout: the longest a durable run of it may take from its creation, a ``timedelta`` or seconds; one that takes
            longer is ended. Called by another workflow, it is under that one's timeout.

    Raises:
        DefinitionError: an argument that cannot be meant.

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
    policy = read_failure_policy(failure_policy, "workflow")
    read_timeout(timeout, "workflow")

    def decorate(function: Callable[..., Any]) -> PythonFunctionWorkflow:
        if not hasattr(function, "__code__"):
            raise DefinitionError("@workflow takes a plain function", actual=repr(function))
        return PythonFunctionWorkflow(
            function,
            failure_policy=policy,
            interruptible=interruptible,
            timeout=timeout,
            on_failure=on_failure,
            documentation=docs or "",
            pickle_untyped=pickle_untyped,
            options=default_options,
        )

    return decorate if function is None else decorate(function)
