"""Workflows, and whatever else can be run, as closed specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flytepath.authoring.dynamic import DynamicTask
from flytepath.authoring.entity import Entity
from flytepath.authoring.graph import Graph, promised
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.promise import Promise
from flytepath.authoring.workflow import Workflow
from flytepath.compiler.graphs import Fetch, GraphCompiler
from flytepath.compiler.literals import interface_of
from flytepath.model.identity import Tenant
from flytepath.model.task import Interface
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin.transformer import BlobSink


def compile_entity(
    entity: Entity, tenant: Tenant, sink: BlobSink, fetch: Fetch | None = None, workers: str = ""
) -> WorkflowSpec:
    """The closed spec of anything that can be run; what is no workflow becomes the one node of one.

    Args:
        entity: a task, workflow, launch plan, map or reference.
        tenant: whose policy decides which plugins it may use.
        sink: keeps constants that are too large, or of types that are no JSON.
        fetch: finds registered entities by kind and identity, for references.
        workers: where tasks run that a worker runs and that name no backend, in place of what configuration says.

    Raises:
        CompileError: the graph does not fit together.
        NestedTaskError: a task cannot be found by a worker.
        PluginDeniedError: a task needs a plugin that the policy does not enable for ``tenant``.
        EntityReferenceError: a reference leads nowhere.
    """
    compiler = GraphCompiler(tenant, sink, fetch, workers)
    if isinstance(entity, Workflow | LaunchPlan):
        own = compiler.graph_of(entity)
        workflow = entity.workflow if isinstance(entity, LaunchPlan) else entity
        limit = workflow.timeout_seconds if isinstance(workflow, Workflow) else None
        return WorkflowSpec(**dict(own), timeout_seconds=limit, tasks=compiler.tasks, graphs=compiler.graphs)
    graph = Graph(entity.name, {name: codec.literal_type for name, codec in entity.input_codecs.items()})
    node = graph.add(entity, {name: Promise(None, name) for name in entity.inputs})
    node.line = ""
    graph.outputs = entity.named(promised(node)) if entity.outputs else {}
    nodes, outputs = compiler.whole(graph, entity.output_codecs)
    return WorkflowSpec(
        name=entity.name,
        interface=interface_of(entity, sink),
        nodes=nodes,
        outputs=outputs,
        tasks=compiler.tasks,
        graphs=compiler.graphs,
        documentation=(entity.__doc__ or "").strip() if hasattr(entity, "__name__") else "",
    )


def compile_dynamic(
    task: DynamicTask, inputs: Mapping[str, Any], tenant: Tenant, sink: BlobSink, fetch: Fetch | None = None
) -> WorkflowSpec:
    """The graph a dynamic task builds for these native inputs: no inputs, and the task's outputs."""
    graph = task.compiled_for(inputs)
    compiler = GraphCompiler(tenant, sink, fetch)
    nodes, outputs = compiler.whole(graph, task.output_codecs)
    return WorkflowSpec(
        name=task.name,
        interface=Interface(outputs=interface_of(task, sink).outputs),
        nodes=nodes,
        outputs=outputs,
        tasks=compiler.tasks,
        graphs=compiler.graphs,
    )
