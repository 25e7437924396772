"""The two task types: what their configuration compiles to, and how an attempt becomes a gang."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, Final, Literal

from flytepath.plugin import CallBody, DefinitionError, TaskContext, TaskDeclaration, TaskType, variables_set

from flyte_plugin_pytorch.config import Elastic, PyTorch

#: Says to the worker in a replica's pod that an operator has made it one of a gang.
REPLICA_VARIABLE: Final = "FLYTEPATH_PYTORCH_REPLICA"
#: Where a gang may have several nodes: pods of a job, or on this machine processes in their place.
_BACKENDS_WITH_NODES: Final = ("local", "kubeflow")


class PyTorchTaskType(TaskType):
    """A master and workers, one process each. A direct call stands in for the pods with processes of this machine."""

    local_fidelity: ClassVar[Literal["full", "emulated", "unsupported"]] = "emulated"

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The configuration as canonical data."""
        config: PyTorch = _config(declaration, PyTorch)
        return config.to_json()

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: CallBody) -> Any:
        """Run the body in every rank; what rank 0 returned."""
        if os.environ.get(REPLICA_VARIABLE):
            from flyte_plugin_pytorch.replica import run_as_rank

            return run_as_rank(inputs, call_body)
        config = _config(context.declaration, PyTorch)
        return _on_this_machine(context, inputs, call_body, config.world_size, Elastic(nproc_per_node=1))


class ElasticTaskType(TaskType):
    """Processes as ``torchrun`` starts them: the same in a direct call, in a worker, and in a pod."""

    local_fidelity: ClassVar[Literal["full", "emulated", "unsupported"]] = "full"

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The configuration as canonical data.

        Raises:
            DefinitionError: it has several nodes, on a backend that gives a task one machine.
        """
        config: Elastic = _config(declaration, Elastic)
        if config.nodes != (1, 1) and declaration.backend not in _BACKENDS_WITH_NODES:
            raise DefinitionError(
                f"a gang of several nodes cannot run on {declaration.backend!r}, which gives a task one machine",
                place=f"{declaration.name}(task_config.nnodes)",
                expected=" or ".join(repr(name) for name in _BACKENDS_WITH_NODES),
                actual=f"nnodes={config.nnodes!r} on {declaration.backend!r}",
                hint="@task(backend='kubeflow') makes it a PyTorchJob; nnodes=1 runs everywhere",
            )
        return config.to_json()

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: CallBody) -> Any:
        """Run the body in every rank; what rank 0 returned."""
        config = _config(context.declaration, Elastic)
        if os.environ.get(REPLICA_VARIABLE) and config.nodes != (1, 1):
            from flyte_plugin_pytorch.replica import run_as_node

            return run_as_node(context, inputs, config)
        return _on_this_machine(context, inputs, call_body, config.nodes[0], config)


def _on_this_machine(
    context: TaskContext, inputs: Mapping[str, Any], call_body: CallBody, nodes: int, config: Elastic
) -> Any:
    from flyte_plugin_pytorch.layout import OneMachine, gpus, processes
    from flyte_plugin_pytorch.supervisor import GangRun, supervise

    name = context.declaration.name
    per_node = processes(config.nproc_per_node, name)
    devices = gpus() if nodes > 1 else 0
    layout = OneMachine(nodes, per_node, config.max_restarts, f"{context.execution_id}/{context.node_path}", devices)
    if layout.world_size == 1 and not config.max_restarts:
        return _alone(layout, inputs, call_body)
    return supervise(
        GangRun(context, inputs, config.start_method),
        layout,
        restarts=config.max_restarts,
        interval=config.monitor_interval,
        world_size=layout.world_size,
    )


def _alone(layout: Any, inputs: Mapping[str, Any], call_body: CallBody) -> Any:
    """A gang of one needs no process of its own."""
    from flyte_plugin_pytorch.replica import leaving_process_group
    from flyte_plugin_pytorch.supervisor import store

    with ExitStack() as stack:
        address, port = stack.enter_context(store())
        (place,) = layout.places(address, port, 0)
        stack.enter_context(variables_set(place.variables))
        stack.enter_context(leaving_process_group())
        return call_body(inputs)


def _config(declaration: TaskDeclaration, kind: type[Any]) -> Any:
    config = declaration.config
    if not isinstance(config, kind):
        raise DefinitionError(
            f"this task is configured by {kind.__name__}", place=declaration.name, actual=repr(config)[:200]
        )
    if declaration.body != "function":
        raise DefinitionError(
            f"{kind.__name__} runs a function in every rank",
            place=declaration.name,
            expected=f"@task(task_config={kind.__name__}(...)) on a function",
            actual=f"a {declaration.body} body",
        )
    return config
