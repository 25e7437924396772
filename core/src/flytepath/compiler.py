"""From authoring to closed specs: every task a workflow calls, every constant a literal, nothing left of Python."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from flytepath.authoring.call import task_type_name, task_type_of
from flytepath.authoring.promise import Promise, holds_promise
from flytepath.authoring.signature import REQUIRED
from flytepath.authoring.task import PythonFunctionTask, Task
from flytepath.authoring.workflow import PythonFunctionWorkflow
from flytepath.errors import CompileError, TypeTransformerFailedError
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal, cast
from flytepath.model.task import Body, Interface, RetryPolicy, TaskSpec, Variable
from flytepath.model.workflow import (
    Binding,
    DictBinding,
    InputBinding,
    ListBinding,
    LiteralBinding,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)
from flytepath.plugin.transformer import BlobSink
from flytepath.types.engine import Codec


def compile_workflow(workflow: PythonFunctionWorkflow, tenant: Tenant, sink: BlobSink) -> WorkflowSpec:
    """The closed spec of ``workflow`` for one project and domain.

    Args:
        workflow: what the author wrote.
        tenant: whose policy decides which plugins the workflow may use.
        sink: keeps constants that are too large, or of types that are no JSON.

    Raises:
        CompileError: the graph does not fit together, or a task cannot be found by a worker.
        PluginDeniedError: a task needs a plugin that the policy does not enable for ``tenant``.
    """
    graph = workflow.graph
    tasks: dict[str, TaskSpec] = {}
    known: dict[str, Task] = {}
    nodes = []
    for node in graph.nodes:
        task = node.task
        if task.name not in tasks:
            tasks[task.name] = compile_task(task, tenant, sink)
            known[task.name] = task
        elif known[task.name] is not task:
            raise CompileError(
                f"two tasks are named {task.name!r}", place=node.line, hint="give each task a name of its own"
            )
        inputs = {
            name: _binding(value, task.input_codecs[name], sink, f"{task.name}({name})")
            for name, value in node.inputs.items()
        }
        nodes.append(
            NodeSpec(
                path=node.path, task=task.name, inputs=inputs, upstream=tuple(sorted(node.upstream)), line=node.line
            )
        )
    outputs = {
        name: _binding(value, workflow.output_codecs[name], sink, f"{workflow.name}() -> {name}")
        for name, value in graph.outputs.items()
    }
    return WorkflowSpec(
        name=workflow.name,
        interface=_interface(workflow.name, workflow.input_codecs, workflow.output_codecs, workflow.defaults, sink),
        nodes=tuple(nodes),
        outputs=outputs,
        tasks=tasks,
        failure_policy=workflow.failure_policy,
        documentation=(workflow.__doc__ or "").strip(),
    )


def compile_task(task: Task, tenant: Tenant, sink: BlobSink) -> TaskSpec:
    """The spec of one task."""
    _check_boundary_plugins(task, tenant)
    plugin = _allowed_plugin(task, tenant)
    metadata = task.metadata
    return TaskSpec(
        name=task.name,
        task_type=task_type_name(task),
        interface=_interface(task.name, task.input_codecs, task.output_codecs, task.defaults, sink),
        body=Body(kind=task.body, entry=entry_of(task)),
        payload=task_type_of(task).compile(task.declaration()) if task.task_config is not None else None,
        retry=RetryPolicy(retries=metadata.retries),
        timeout_seconds=metadata.timeout_seconds,
        requests=metadata.requests,
        limits=metadata.limits,
        plugin=plugin,
        documentation=metadata.documentation,
    )


def _allowed_plugin(task: Task, tenant: Tenant) -> str:
    if task.task_config is None:
        return ""
    from flytepath.plugin.manager import current

    manager = current()
    claim = manager.task_type_for(type(task.task_config))
    manager.check_enabled(claim, tenant)
    return f"{claim.distribution} {claim.version}"


def _check_boundary_plugins(task: Task, tenant: Tenant) -> None:
    from flytepath.plugin.manager import current

    for codec in (*task.input_codecs.values(), *task.output_codecs.values()):
        for marker in codec.markers:
            claim = current().boundary_check_for(type(marker))
            if claim is not None:
                current().check_enabled(claim, tenant)


def entry_of(task: Task) -> str:
    """``module:name`` under which a worker finds the task.

    Raises:
        CompileError: no module variable holds it, for example because it is nested in a function.
    """
    modules = [sys.modules.get(task.__module__)] if isinstance(task, PythonFunctionTask) else []
    modules += [module for name, module in list(sys.modules.items()) if not name.startswith(("flytepath", "_"))]
    for module in modules:
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is task:
                return f"{module.__name__}:{name}"  # type: ignore[union-attr]
    raise CompileError(
        f"a worker could not find task {task.name}: no module variable holds it",
        place=task.name,
        expected="a task defined at the top level of a module",
        hint="move it out of the function it is nested in, or assign it to a module variable",
    )


def _interface(
    name: str,
    inputs: Mapping[str, Codec[Any]],
    outputs: Mapping[str, Codec[Any]],
    defaults: Mapping[str, Any],
    sink: BlobSink,
) -> Interface:
    def variable(key: str, codec: Codec[Any]) -> Variable:
        default = defaults.get(key, REQUIRED)
        encoded = None if default is REQUIRED else encode(codec, default, sink, f"{name}({key})")
        return Variable(
            name=key, type=codec.literal_type, required=default is REQUIRED, default=encoded, pickled=codec.pickled
        )

    return Interface(
        inputs=tuple(variable(key, codec) for key, codec in inputs.items()),
        outputs=tuple(
            Variable(name=key, type=codec.literal_type, pickled=codec.pickled) for key, codec in outputs.items()
        ),
    )


def encode(codec: Codec[Any], value: Any, sink: BlobSink, place: str) -> Literal:
    """The literal of ``value``; an error names ``place`` and the path inside the value."""
    try:
        return codec.encode(value, sink)
    except TypeTransformerFailedError as error:
        error.place = f"{place}{error.place or ''}"
        raise


def _binding(value: Any, codec: Codec[Any], sink: BlobSink, place: str) -> Binding:
    """What a node's input is bound to. Constants next to promises are encoded by the type of their own place."""
    if not holds_promise(value):
        literal = encode(codec, value, sink, place)
        return LiteralBinding(value=cast(literal, codec.literal_type) if not literal.is_offloaded else literal)
    return _mixed(value, codec.python_type, sink, place)


def _mixed(value: Any, python_type: Any, sink: BlobSink, place: str) -> Binding:
    from flytepath.types.engine import codec

    if isinstance(value, Promise):
        node = value._fp_node
        if node is None:
            return InputBinding(name=value._fp_name, path=value._fp_path)
        return OutputBinding(node=node.path, name=value._fp_name, path=value._fp_path)
    if not holds_promise(value):
        return LiteralBinding(value=encode(codec(python_type), value, sink, place))
    kinds = item_types(python_type, value)
    if isinstance(value, dict):
        return DictBinding(
            items={k: _mixed(v, kinds[i], sink, f"{place}[{k!r}]") for i, (k, v) in enumerate(value.items())}
        )
    return ListBinding(items=tuple(_mixed(item, kinds[i], sink, f"{place}[{i}]") for i, item in enumerate(value)))


def item_types(python_type: Any, value: Any) -> list[Any]:
    """The declared Python type of each item of a list, tuple or dict."""
    import types
    import typing

    origin = typing.get_origin(python_type)
    if origin is typing.Annotated:
        return item_types(typing.get_args(python_type)[0], value)
    if origin in (typing.Union, types.UnionType):
        for alternative in typing.get_args(python_type):
            if typing.get_origin(alternative) is type(value):
                return item_types(alternative, value)
    arguments = typing.get_args(python_type)
    if isinstance(value, dict):
        return [arguments[1]] * len(value)
    if isinstance(value, tuple) and Ellipsis not in arguments:
        return list(arguments)
    return [arguments[0]] * len(value)


def parse_inputs(
    workflow: PythonFunctionWorkflow, texts: Mapping[str, str], natives: Mapping[str, Any], sink: BlobSink
) -> dict[str, Literal]:
    """A run's inputs as literals: ``texts`` as typed on a command line, ``natives`` as Python values, then defaults.

    Raises:
        InputError: an unknown, missing or unreadable input.
    """
    from flytepath.errors import InputError
    from flytepath.types.text import parse_text

    given: dict[str, Any] = dict(natives)
    for name, text in texts.items():
        if name not in workflow.inputs:
            workflow.bind((), {name: text})
        try:
            given[name] = parse_text(workflow.inputs[name], text)
        except InputError as error:
            error.place = f"--{name}{error.place or ''}"
            raise
    bound = workflow.bind((), given)
    return {
        name: encode(workflow.input_codecs[name], value, sink, f"{workflow.name}({name})")
        for name, value in bound.items()
    }
