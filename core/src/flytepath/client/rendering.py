"""What a compiled workflow would submit to its backends, from its graph alone: nothing is run, nobody is asked.

The keys, owners and blobs of a run are stood in for by fixed words, so that the same code and settings give the same
text to the byte. An input that only a run knows is stood in for by a value of its type.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from flytepath.client.plain_values import read_data
from flytepath.compiler.backend_checks import BackendRefusalError
from flytepath.engine.bindings import LiteralResolver
from flytepath.engine.expansion import HANDLER, below, instantiated, map_item
from flytepath.engine.jobs import job_key
from flytepath.engine.jobs.backends import LOCAL, BackendInstance, Backends
from flytepath.engine.jobs.planning import after_policies, checked, plan_request
from flytepath.engine.jobs.worker_launches import placeholder_launch
from flytepath.errors import FlytePathError, InputError
from flytepath.model.identity import Tenant
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.task import Interface, Record, TaskSpec
from flytepath.model.types import LiteralType
from flytepath.model.workflow import Binding, FailureBinding, ListBinding, NodeSpec, WorkflowSpec
from flytepath.plugin.backend import BackendError, BlobAccess, ErrorClass
from flytepath.plugin.plans import JobKey, Owner, Plan, PlanRequest
from flytepath.plugin.secrets import SecretNotFoundError, SecretReference

#: Stand for what only a run knows: who submits, and for which execution.
INSTALLATION: Final = "installation"
EXECUTION: Final = "execution"
_NO_DIGEST: Final = "sha256:" + "0" * 64


class RenderedJob(Record):
    """One job as it would be submitted.

    Attributes:
        node, task: what it runs; of a map, the map.
        backend: where.
        name: what the vendor would call it; in a run it is made of another key.
        items: how many items of a map go into it; 0 where it is no array job.
        jobs: how many jobs like it there would be; the first is shown.
        unknown: inputs that only a run knows; values of their types stand in for them.
        policies: the resource policies that changed what was asked for.
        spec: what the backend submits.
    """

    node: str
    task: str
    backend: str
    name: str
    items: int = 0
    jobs: int = 1
    unknown: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    spec: Any = None


class NotRendered(Record):
    """A node that has no job to show, and why."""

    node: str
    task: str
    why: str


class Rendering(Record):
    """All jobs of a workflow, and what runs elsewhere: ``here`` on this machine, ``later`` is known in a run only."""

    jobs: tuple[RenderedJob, ...] = ()
    here: tuple[NotRendered, ...] = ()
    later: tuple[NotRendered, ...] = ()


class UnknownNow(Exception):
    """A value that only a run knows."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A node whose task runs on a backend, with its inputs as far as they are known, and how many there are like it."""

    node: NodeSpec
    task: TaskSpec
    inputs: Mapping[str, Literal]
    unknown: tuple[str, ...]
    times: int
    size: int | None = None
    items: Callable[[int], tuple[Mapping[str, Literal], tuple[str, ...]]] | None = None


def render_jobs(spec: WorkflowSpec, tenant: Tenant, inputs: Mapping[str, Literal], blobs: BlobAccess) -> Rendering:
    """What a workflow would submit.

    Args:
        spec: the compiled workflow.
        tenant: by whose settings and policies.
        inputs: of the workflow, as far as they are known.
        blobs: holds the large constants of the graph.

    Raises:
        BackendUnavailableError: a backend is missing, or its settings are wrong.
        BackendRefusalError: a backend cannot run a task so.
        FlytePathError: a resource policy refuses what is asked for.
    """
    walk = _Walk(spec, inputs, blobs)
    walk.nodes(spec.nodes, ())
    if spec.on_failure is not None:
        walk.nodes((spec.on_failure,), ())
    return Rendering(
        jobs=tuple(asyncio.run(_rendered(walk.asked, tenant))), here=tuple(walk.here), later=tuple(walk.later)
    )


class _Walk:
    """Goes through all graphs of a workflow, node by node."""

    def __init__(self, spec: WorkflowSpec, inputs: Mapping[str, Literal], blobs: BlobAccess) -> None:
        self.asked: list[_Asked] = []
        self.here: list[NotRendered] = []
        self.later: list[NotRendered] = []
        self._spec = spec
        self._inputs = {v.name: v.default for v in spec.interface.inputs if v.default is not None} | dict(inputs)
        self._arguments: dict[str, Mapping[str, Literal]] = {}
        self._resolver = LiteralResolver(self._input_of, _unknown_output, self._argument_of, blobs, blobs)
        self._blobs = blobs
        self._times = 1

    def nodes(self, nodes: Iterable[NodeSpec], around: tuple[str, ...]) -> None:
        """Take in nodes; ``around`` are the names of the graphs they lie in."""
        for node in nodes:
            match node.kind:
                case "branch":
                    for case in node.cases:
                        self.nodes(case.nodes, around)
                case "graph":
                    self._graph(node, node.path, around)
                case "map":
                    self._map(node, around)
                case "task":
                    self._task(node)
                case "gate":
                    pass

    def _graph(self, node: NodeSpec, path: str, around: tuple[str, ...]) -> None:
        if node.graph in around:
            self.later.append(NotRendered(node=path, task=node.graph, why="it is in itself: a run knows how often"))
            return
        graph = self._spec.graphs[node.graph]
        self._arguments[path] = self._known(node, graph.interface)
        within = (*around, node.graph)
        self.nodes((instantiated(inner, path) for inner in graph.nodes), within)
        if graph.on_failure is not None:
            handler = instantiated(graph.on_failure, path).model_copy(update={"path": below(path, HANDLER)})
            self.nodes((handler,), within)

    def _map(self, node: NodeSpec, around: tuple[str, ...]) -> None:
        self._arguments[node.path] = known = self._known(node, node.interface or Interface())
        size = self._size(node, known)
        if size == 0:
            self.later.append(NotRendered(node=node.path, task=node.task or node.graph, why="it has no items"))
        elif node.graph:  # its items are alike
            item, times = map_item(node, 0), self._times
            self._times = times * (size or 1)
            self._graph(item, item.path, around)
            self._times = times
        else:
            task = node.task_of(self._spec.tasks)
            if self._is_job(node, task):
                of_item = partial(self._values, node, task)
                self.asked.append(_Asked(node, task, {}, (), self._times, size or 1, of_item))

    @staticmethod
    def _size(node: NodeSpec, known: Mapping[str, Literal]) -> int | None:
        """How many items a map has, if that can be known."""
        for name in node.map.mapped if node.map is not None else ():
            binding = node.inputs[name]
            if name in known:
                return len(known[name].data)
            if isinstance(binding, ListBinding):
                return len(binding.items)
        return None

    def _task(self, node: NodeSpec) -> None:
        task = node.task_of(self._spec.tasks)
        if self._is_job(node, task):
            inputs, unknown = self._values(node, task)
            self.asked.append(_Asked(node, task, inputs, unknown, self._times))

    def _is_job(self, node: NodeSpec, task: TaskSpec) -> bool:
        if task.mode != "task":
            why = f"it is {task.mode}: what it calls is known only when it runs"
            self.later.append(NotRendered(node=node.path, task=task.name, why=why))
        elif task.backend == LOCAL:
            self.here.append(NotRendered(node=node.path, task=task.name, why="it runs on this machine"))
        else:
            return True
        return False

    # --- values ---

    def _known(self, node: NodeSpec, interface: Interface) -> dict[str, Literal]:
        """The inputs of a node that are known now."""
        types = {variable.name: variable.type for variable in interface.inputs}
        found: dict[str, Literal] = {}
        for name, binding in node.inputs.items():
            if isinstance(binding, FailureBinding):
                continue
            try:
                found[name] = self._resolver.value(binding) if name not in types else self._whole(binding, types[name])
            except UnknownNow:
                continue
        return found

    def _whole(self, binding: Any, declared: LiteralType) -> Literal:
        from flytepath.store.literals import inline

        return inline(self._resolver.resolve(binding, declared), self._blobs)

    def _values(
        self, node: NodeSpec, task: TaskSpec, index: int | None = None
    ) -> tuple[dict[str, Literal], tuple[str, ...]]:
        """The inputs of a task, or of one item of a map of it, and the names of those that a run knows only."""
        bindings = node.inputs if index is None else _of_item(node, index)
        found: dict[str, Literal] = {}
        unknown: list[str] = []
        for variable in task.interface.inputs:
            binding = bindings.get(variable.name)
            if binding is None:
                continue
            try:
                if isinstance(binding, FailureBinding):
                    raise UnknownNow
                found[variable.name] = self._resolver.resolve(binding, variable.type)
            except UnknownNow:
                found[variable.name] = stand_in(variable.name, variable.type, self._blobs)
                unknown.append(variable.name)
        return found, tuple(unknown)

    def _input_of(self, name: str) -> Literal:
        if name not in self._inputs:
            raise UnknownNow
        return self._inputs[name]

    def _argument_of(self, path: str, name: str) -> Literal:
        known = self._arguments.get(path, {})
        if name not in known:
            raise UnknownNow
        return known[name]


def _of_item(node: NodeSpec, index: int) -> dict[str, Binding]:
    """The bindings of one item. One of a list that is put together in the graph may be known where others are not."""
    mapped = node.map.mapped if node.map is not None else ()
    lists = {name: binding for name, binding in node.inputs.items() if name in mapped}
    own = {name: each.items[index] for name, each in lists.items() if isinstance(each, ListBinding)}
    return {**map_item(node, index).inputs, **own}


def _unknown_output(_path: str, _name: str) -> Literal:
    raise UnknownNow


_PLAIN: Final[Mapping[str, Any]] = {
    "none": None,
    "boolean": False,
    "integer": 0,
    "float": 0.0,
    "bytes": "",
    "decimal": "0",
    "datetime": "1970-01-01T00:00:00+00:00",
    "date": "1970-01-01",
    "time": "00:00:00",
    "timedelta": "0s",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


def stand_in(name: str, wanted: LiteralType, blobs: BlobAccess) -> Literal:
    """A value in the place of one that is not known yet: text says ``<name>``, numbers are 0, lists are empty.

    Whatever is none of this is a blob that lies at ``<name>``.
    """
    try:
        return read_data(wanted, _plain(name, wanted), blobs, name)
    except InputError:
        return Literal.make(wanted, None, ref=BlobRef(f"<{name}>", _NO_DIGEST, 0))


def _plain(name: str, wanted: LiteralType) -> Any:
    match wanted.kind:
        case "list":
            return []
        case "dict":
            return {}
        case "tuple":
            return [_plain(name, item) for item in wanted.items]
        case "struct":
            return {field.name: _plain(field.name, field.type) for field in wanted.fields}
        case "enum":
            return wanted.values[0][0]
        case "union":
            return None if any(item.kind == "none" for item in wanted.items) else _plain(name, wanted.items[0])
        case kind:
            return _PLAIN.get(kind, f"<{name}>")


# --- plans -------------------------------------------------------------------------------------------------------


async def _rendered(asked: Sequence[_Asked], tenant: Tenant) -> list[RenderedJob]:
    backends = Backends(_no_secrets)
    try:
        jobs = []
        for each in asked:
            instance = await backends.get(each.task.backend, tenant, each.task.task_type)
            jobs.append(await asyncio.to_thread(_job, each, instance, tenant))
        return jobs
    finally:
        await backends.close()


def _no_secrets(reference: SecretReference, _tenant: Tenant) -> bytes:
    raise SecretNotFoundError(
        "what is only rendered needs no secret", place=reference.label, hint="a plan is made without any I/O"
    )


def _job(asked: _Asked, instance: BackendInstance, tenant: Tenant) -> RenderedJob:
    """One node's job; of several the first."""
    node, task, limit = asked.node.path, asked.task, instance.declaration.array_limit
    indices: tuple[int, ...] = ()
    jobs, inputs, unknown = asked.times, asked.inputs, asked.unknown
    item_inputs: tuple[Mapping[str, Literal], ...] = ()
    if asked.items is not None and asked.size is not None:
        each = min(limit, asked.size) if limit > 0 else 1
        jobs *= -(-asked.size // each)
        found = [asked.items(index) for index in range(each)]
        unknown = tuple(dict.fromkeys(name for _, names in found for name in names))
        if limit > 0:
            indices, item_inputs = tuple(range(each)), tuple(values for values, _ in found)
        else:
            node, inputs = f"{node}/0", found[0][0]
    key = job_key(tenant.project, tenant.domain, EXECUTION, node, 1, 0, [(index, 1) for index in indices])
    owner = Owner(INSTALLATION, tenant, EXECUTION, node)
    try:
        requested, changed = after_policies(task, tenant)
        request = replace(
            plan_request(task, JobKey(key), owner, requested),
            inputs=inputs,
            worker=placeholder_launch(task) if task.body.needs_worker else None,
            items=indices,
            item_inputs=item_inputs,
            interruptible=bool(task.interruptible),
        )
        plan = _planned(instance, request)
    except BackendError as error:
        raise BackendRefusalError(
            f"backend {instance.name!r} cannot run {task.name}: {error.message}",
            place=error.place or node,
            expected=error.expected,
            actual=error.actual,
            hint=error.hint,
        ) from error
    except FlytePathError as error:
        error.place = error.place or node
        raise
    return RenderedJob(
        node=node,
        task=task.name,
        backend=instance.name,
        name=plan.external_name,
        items=len(indices),
        jobs=jobs,
        unknown=unknown,
        policies=tuple(changed.get("policies", ())),
        spec=plan.spec,
    )


def _planned(instance: BackendInstance, request: PlanRequest) -> Plan:
    try:
        return checked(instance.render(request), request, instance)
    except FlytePathError:
        raise
    except Exception as error:
        raise BackendError(
            f"plugin {instance.plugin} raised {type(error).__name__}: {error}",
            error_class=ErrorClass.PROTOCOL,
            hint="this is a mistake of the backend's plugin; report it to its authors",
        ) from error
