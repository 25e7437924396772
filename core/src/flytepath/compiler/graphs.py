"""Graphs as specs: sub-workflows are laid out in place, whatever has a life of its own becomes a graph beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flytepath.authoring.conditional import Branch
from flytepath.authoring.entity import Entity
from flytepath.authoring.expressions import Comparison, Expression
from flytepath.authoring.expressions import Junction as Joined
from flytepath.authoring.failure import handler_inputs
from flytepath.authoring.gates import Gate
from flytepath.authoring.graph import Graph, GraphNode
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.map_task import MapTask
from flytepath.authoring.overrides import NodeOverrides
from flytepath.authoring.promise import Promise
from flytepath.authoring.reference import ReferenceEntity
from flytepath.authoring.task import Task
from flytepath.authoring.wiring import needs
from flytepath.authoring.workflow import Workflow
from flytepath.compiler.backend_checks import check_on_backend
from flytepath.compiler.bindings import binding_of, part_of_binding
from flytepath.compiler.lines import Lines
from flytepath.compiler.literals import encode, interface_of
from flytepath.compiler.tasks import compile_overrides, compile_task
from flytepath.errors import CompileError, EntityReferenceError
from flytepath.model.fitting import fits
from flytepath.model.identity import Identity, Tenant
from flytepath.model.task import Interface, Overrides, TaskSpec, Variable
from flytepath.model.types import BOOLEAN
from flytepath.model.workflow import (
    Binding,
    CaseSpec,
    Condition,
    FailureBinding,
    GateSpec,
    GraphSpec,
    InputBinding,
    Junction,
    LiteralBinding,
    MapSpec,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)
from flytepath.model.workflow import Comparison as ComparisonSpec
from flytepath.plugin.transformer import BlobSink
from flytepath.types.engine import Codec, codec

#: Finds what is registered: kind and identity to its spec and the digest of its code bundle.
Fetch = Callable[[str, Identity], tuple[TaskSpec | WorkflowSpec, str]]


@dataclass(slots=True)
class _Laid:
    """A sub-workflow whose nodes were laid out in place: what its outputs are bound to, and its nodes' paths."""

    outputs: dict[str, Binding]
    paths: list[str]


@dataclass(slots=True)
class _Scope:
    """Where a graph's nodes go: below ``prefix``, with its inputs bound to ``inputs`` (``None``: inputs of a spec)."""

    prefix: str
    inputs: Mapping[str, Binding] | None
    policy: str
    interruptible: bool | None
    after: frozenset[str] = frozenset()
    known: dict[GraphNode, str | _Laid] = field(default_factory=dict)

    def resolve(self, promise: Promise) -> Binding:
        """The binding of a promise of this graph."""
        node, name, path = promise._fp_node, promise._fp_name, promise._fp_path
        if node is None:
            if self.inputs is None:
                return InputBinding(name=name, path=path)
            return part_of_binding(self.inputs[name], path, name)
        place = self.known[node]  # type: ignore[index]
        if isinstance(place, str):
            return OutputBinding(node=place, name=name, path=path)
        return part_of_binding(place.outputs[name], path, name)

    def paths_of(self, node: GraphNode) -> list[str]:
        """The nodes whose end means that ``node`` has ended."""
        place = self.known[node]
        return [place] if isinstance(place, str) else place.paths


class GraphCompiler:
    """Compiles graphs, and collects the tasks and graphs they need.

    Args:
        tenant: whose policy decides.
        sink: keeps large constants.
        fetch: finds registered entities.
        workers: where tasks run that a worker runs and that name no backend, in place of what configuration says.

    Attributes:
        tasks, graphs: what was collected, by the name nodes refer to.
    """

    def __init__(self, tenant: Tenant, sink: BlobSink, fetch: Fetch | None = None, workers: str = "") -> None:
        self.tasks: dict[str, TaskSpec] = {}
        self.graphs: dict[str, GraphSpec] = {}
        self._tenant = tenant
        self._sink = sink
        self._fetch = fetch
        self._workers = workers
        self._known_tasks: dict[str, Task] = {}
        self._graph_names: dict[Entity, str] = {}
        self._line = Lines()

    def whole(self, graph: Graph, outputs: Mapping[str, Codec[Any]]) -> tuple[tuple[NodeSpec, ...], dict[str, Binding]]:
        """The nodes and outputs of a graph that is a spec's own."""
        scope = _Scope("", None, "fail_immediately", None)
        nodes = tuple(self._nodes(graph.nodes, scope))
        return nodes, self._outputs(graph, outputs, scope)

    def graph_of(self, entity: Entity) -> GraphSpec:
        """The graph of a workflow, or of a launch plan with its fixed inputs in place."""
        plan = entity if isinstance(entity, LaunchPlan) else None
        workflow = plan.workflow if plan else entity
        if plan is not None and isinstance(workflow, ReferenceEntity):
            return self._wrapped(plan, workflow, plan.fixed_inputs)
        if not isinstance(workflow, Workflow):
            raise CompileError(f"{entity!r} has no graph of its own", place=entity.name)
        inputs: dict[str, Binding] | None = None
        if plan is not None and plan.fixed_inputs:
            inputs = {name: InputBinding(name=name) for name in workflow.inputs}
            for name, value in plan.fixed_inputs.items():
                literal = encode(workflow.input_codecs[name], value, self._sink, f"{plan.name}({name})")
                inputs[name] = LiteralBinding(value=literal)
        scope = _Scope("", inputs, workflow.failure_policy, workflow.interruptible or None)
        graph = workflow.graph
        nodes = tuple(self._nodes(graph.nodes, scope))
        return GraphSpec(
            name=entity.name,
            interface=interface_of(entity, self._sink),
            nodes=nodes,
            outputs=self._outputs(graph, workflow.output_codecs, scope),
            failure_policy=workflow.failure_policy,
            on_failure=self._handler(workflow, scope),
            documentation=_documentation(workflow),
        )

    def _outputs(self, graph: Graph, codecs: Mapping[str, Codec[Any]], scope: _Scope) -> dict[str, Binding]:
        return {
            name: binding_of(value, codecs[name], scope.resolve, self._sink, f"{graph.name}() -> {name}")
            for name, value in graph.outputs.items()
        }

    def _handler(self, workflow: Workflow, scope: _Scope) -> NodeSpec | None:
        handler = workflow.on_failure
        if handler is None:
            return None
        inputs: dict[str, Binding] = {}
        sources = handler_inputs(workflow, handler)
        for name, codec_ in handler.input_codecs.items():
            if name not in sources:
                place = f"{handler.name}({name})"
                inputs[name] = LiteralBinding(value=encode(codec_, handler.defaults[name], self._sink, place))
            elif sources[name] is None:
                inputs[name] = FailureBinding()
            else:
                inputs[name] = scope.resolve(Promise(None, name))
        task, graph = self._target(handler)
        return NodeSpec(path="fn0", task=task, graph=graph, inputs=inputs, interface=self._own_interface(handler))

    # --- nodes ---

    def _nodes(self, nodes: list[GraphNode], scope: _Scope) -> Iterator[NodeSpec]:
        for node in nodes:
            entity = node.entity
            if self._is_laid_out(entity, node, scope):
                yield from self._laid_out(node, entity, scope)  # type: ignore[arg-type]
                continue
            path = scope.prefix + node.path
            spec = self._node(node, path, scope)
            scope.known[node] = path
            yield spec

    def _is_laid_out(self, entity: Entity, node: GraphNode, scope: _Scope) -> bool:
        """Whether a sub-workflow needs no life of its own: no handler, and no other policy than the graph around it."""
        return (
            isinstance(entity, Workflow)
            and entity.on_failure is None
            and entity.failure_policy == scope.policy
            and not node.name
        )

    def _laid_out(self, node: GraphNode, workflow: Workflow, scope: _Scope) -> Iterator[NodeSpec]:
        prefix = f"{scope.prefix}{node.path}/"
        inner = _Scope(
            prefix,
            self._inputs(node, scope),
            scope.policy,
            workflow.interruptible or scope.interruptible,
            self._after(node, scope),
        )
        graph = workflow.graph
        paths: list[str] = []
        for spec in self._nodes(graph.nodes, inner):
            paths.append(spec.path)
            yield spec
        # One without nodes ends when what it waits for has ended.
        scope.known[node] = _Laid(self._outputs(graph, workflow.output_codecs, inner), paths or sorted(inner.after))

    def _inputs(self, node: GraphNode, scope: _Scope) -> dict[str, Binding]:
        codecs, name = node.entity.input_codecs, node.entity.name
        resolve = scope.resolve
        return {
            key: resolve(value)
            if type(value) is Promise
            else binding_of(value, codecs[key], resolve, self._sink, f"{name}({key})")
            for key, value in node.inputs.items()
        }

    def _after(self, node: GraphNode, scope: _Scope) -> frozenset[str]:
        """What the node waits for beside its inputs; what its sub-workflow waits for too, if it is a root in there."""
        if not node.upstream and not scope.after:
            return frozenset()
        own = {path for before in node.upstream for path in scope.paths_of(before)}
        if scope.after and not any(before in scope.known for before in needs(node)):
            own |= scope.after
        return frozenset(own)

    def _node(self, node: GraphNode, path: str, scope: _Scope) -> NodeSpec:
        entity = node.entity
        upstream = tuple(sorted(self._after(node, scope)))
        if isinstance(entity, Task):
            self._collect_task(entity, node.line)
            return NodeSpec(
                path=path,
                task=entity.name,
                inputs=self._inputs(node, scope),
                upstream=upstream,
                name=node.name,
                overrides=self._overrides(node.overrides, entity, scope),
                line=self._line(node.line),
            )
        facts: dict[str, Any] = {"path": path, "upstream": upstream, "name": node.name, "line": self._line(node.line)}
        if isinstance(entity, Branch):
            return NodeSpec(cases=self._cases(entity, scope), interface=_outputs_of(node), **facts)
        facts["inputs"] = self._inputs(node, scope)
        if isinstance(entity, Gate):
            return NodeSpec(gate=_gate(entity), interface=_outputs_of(node), **facts)
        if isinstance(entity, MapTask):
            return self._map(node, entity, scope, facts)
        task, graph = self._target(entity)
        return NodeSpec(task=task, graph=graph, interface=self._own_interface(entity), **facts)

    def _map(self, node: GraphNode, entity: MapTask, scope: _Scope, facts: dict[str, Any]) -> NodeSpec:
        task, graph = self._target(entity.target)
        overrides = None
        if isinstance(entity.target, Task):
            made = entity if node.overrides is None else node.overrides.entity(entity)
            overrides = self._overrides(made.overrides, entity.target, scope)  # type: ignore[attr-defined]
        return NodeSpec(
            task=task,
            graph=graph,
            map=MapSpec(
                mapped=entity.mapped,
                concurrency=entity.concurrency,
                min_success_ratio=entity.min_success_ratio,
                min_successes=entity.min_successes,
            ),
            interface=interface_of(entity, self._sink),
            overrides=overrides,
            **facts,
        )

    def _own_interface(self, entity: Entity) -> Interface | None:
        """The interface a node carries, where it runs no task that has one."""
        return None if isinstance(entity, Task) else interface_of(entity, self._sink)

    def _overrides(self, overrides: NodeOverrides | None, task: Task, scope: _Scope) -> Overrides | None:
        made = None
        if overrides is not None:
            made = compile_overrides(task, overrides, self._tenant, self._workers)
            self._collect_task(task, task.name)
            check_on_backend(made.applied(self.tasks[task.name]), self._tenant)
        if scope.interruptible and task.settings.interruptible is None:
            made = made or Overrides()
            if made.interruptible is None:
                made = made.model_copy(update={"interruptible": True})
        return made

    def _target(self, entity: Entity) -> tuple[str, str]:
        """The names of the task, or of the graph, that runs ``entity``; it is collected."""
        if isinstance(entity, Task):
            self._collect_task(entity, entity.name)
            return entity.name, ""
        if isinstance(entity, ReferenceEntity):
            return self._referenced(entity)
        name = self._graph_names.get(entity)
        if name is None:
            taken = set(self._graph_names.values())
            name = entity.name if entity.name not in taken else f"{entity.name}#{len(taken)}"
            self._graph_names[entity] = name
            self.graphs[name] = (
                self._wrapped(entity, entity, {}) if isinstance(entity, MapTask) else self.graph_of(entity)
            )
        return "", name

    def _wrapped(self, entity: Entity, target: Entity, fixed: Mapping[str, Any]) -> GraphSpec:
        """A graph named as ``entity``, whose one node runs ``target``."""
        graph = Graph(entity.name)
        node = graph.add(
            target, {name: fixed[name] if name in fixed else Promise(None, name) for name in target.inputs}
        )
        node.line = ""
        graph.outputs = {name: Promise(node, name) for name in target.outputs}
        nodes, outputs = self.whole(graph, entity.output_codecs)
        interface = interface_of(entity, self._sink)
        return GraphSpec(name=entity.name, interface=interface, nodes=nodes, outputs=outputs)

    def _collect_task(self, task: Task, line: str) -> None:
        known = self._known_tasks.get(task.name)
        if known is task:
            return
        if known is not None:
            raise CompileError(f"two things are named {task.name!r}", place=line, hint="give each a name of its own")
        self.tasks[task.name] = compile_task(task, self._tenant, self._sink, self._workers)
        self._known_tasks[task.name] = task

    def _referenced(self, entity: ReferenceEntity) -> tuple[str, str]:
        """What a reference leads to: a task, or a graph with its tasks, each with the bundle its code lies in."""
        key = f"{entity.reference}"
        kind = entity.kind
        if key in self.tasks or key in self.graphs:
            return (key, "") if kind == "task" else ("", key)
        if self._fetch is None:
            raise EntityReferenceError(
                f"nothing is registered here, so {entity!r} leads nowhere",
                place=entity.name,
                hint="use `flytepath run`",
            )
        spec, bundle = self._fetch(kind, entity.reference)
        _check_reference(entity, spec.interface)
        if isinstance(spec, TaskSpec):
            self.tasks[key] = spec.model_copy(update={"bundle": spec.bundle or bundle})
            return key, ""
        for name, task in spec.tasks.items():
            self.tasks[f"{key}:{name}"] = task.model_copy(update={"bundle": task.bundle or bundle})
        for name, graph in spec.graphs.items():
            self.graphs[f"{key}:{name}"] = _renamed(graph, key)
        self.graphs[key] = _renamed(GraphSpec(**{name: getattr(spec, name) for name in GraphSpec.model_fields}), key)
        return "", key

    # --- conditions ---

    def _cases(self, branch: Branch, scope: _Scope) -> tuple[CaseSpec, ...]:
        return tuple(
            CaseSpec(
                condition=None if case.condition is None else self._condition(case.condition, scope),
                nodes=tuple(self._nodes(case.nodes, scope)),
                outputs={name: scope.resolve(promise) for name, promise in case.outputs.items()},
                error=case.error,
            )
            for case in branch.cases
        )

    def _condition(self, condition: Expression | bool, scope: _Scope) -> Condition:
        if isinstance(condition, bool):
            return ComparisonSpec(operator="==", left=self._side(condition, scope), right=self._side(True, scope))
        if isinstance(condition, Joined):
            return Junction(kind=condition.kind, items=tuple(self._condition(item, scope) for item in condition.items))
        if isinstance(condition, Comparison):
            left, right = self._side(condition.left, scope), self._side(condition.right, scope)
            return ComparisonSpec(operator=condition.operator, left=left, right=right)
        raise CompileError("not a condition", actual=repr(condition))

    def _side(self, value: Any, scope: _Scope) -> Binding:
        if type(value) is Promise:
            return scope.resolve(value)
        return LiteralBinding(value=encode(codec(type(value)), value, self._sink, "condition"))


def _outputs_of(node: GraphNode) -> Interface:
    types = node.types if node.types is not None else {n: c.literal_type for n, c in node.entity.output_codecs.items()}
    inputs = tuple(Variable(name=name, type=types.get(name, BOOLEAN)) for name in node.entity.inputs)
    return Interface(inputs=inputs, outputs=tuple(Variable(name=name, type=type) for name, type in types.items()))


def _gate(gate: Gate) -> GateSpec:
    answer = gate.output_codecs["o0"].literal_type if gate.kind == "input" else None
    return GateSpec(
        kind=gate.kind,
        signal="" if gate.kind == "sleep" else gate.name,
        type=answer,
        seconds=gate.seconds,
        timeout_seconds=gate.timeout_seconds,
    )


def _check_reference(entity: ReferenceEntity, found: Interface) -> None:
    theirs = {variable.name: variable for variable in found.inputs}
    for name, own in entity.input_codecs.items():
        variable = theirs.pop(name, None)
        if variable is None or not fits(own.literal_type, variable.type):
            raise _differs(entity, name, own.literal_type, None if variable is None else variable.type)
    needed = [variable.name for variable in theirs.values() if variable.required]
    if needed:
        raise _differs(entity, needed[0], "an input", "not in the reference")
    outputs = {variable.name: variable.type for variable in found.outputs}
    for name, own in entity.output_codecs.items():
        if name not in outputs or not fits(outputs[name], own.literal_type):
            raise _differs(entity, name, own.literal_type, outputs.get(name))


def _differs(entity: ReferenceEntity, name: str, expected: Any, actual: Any) -> EntityReferenceError:
    return EntityReferenceError(
        f"{entity!r} does not look as it is declared here",
        place=f"{entity.name}({name})",
        expected=str(expected),
        actual="nothing of that name" if actual is None else str(actual),
        hint="declare the inputs and outputs it was registered with",
    )


def _renamed(graph: GraphSpec, key: str) -> GraphSpec:
    """The same graph, whose nodes refer to tasks and graphs under ``key``."""

    def moved(node: NodeSpec) -> NodeSpec:
        changed: dict[str, Any] = {}
        if node.task:
            changed["task"] = f"{key}:{node.task}"
        if node.graph:
            changed["graph"] = f"{key}:{node.graph}"
        if node.cases:
            changed["cases"] = tuple(
                case.model_copy(update={"nodes": tuple(moved(item) for item in case.nodes)}) for case in node.cases
            )
        return node.model_copy(update=changed)

    handler = None if graph.on_failure is None else moved(graph.on_failure)
    return graph.model_copy(update={"nodes": tuple(moved(node) for node in graph.nodes), "on_failure": handler})


def _documentation(workflow: Workflow) -> str:
    declared = workflow.documentation
    own = getattr(workflow, "__wrapped__", None)
    text = (own.__doc__ or "").strip() if own is not None else ""
    if isinstance(declared, str):
        return declared or text
    return declared.short_description or text
