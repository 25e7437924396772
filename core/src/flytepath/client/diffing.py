"""What is not the same in two executions: what went in, what ran, where it ran, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flytepath.client.viewing import items_view, listed
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.model.events import ExecutionCreated
from flytepath.model.literal import Literal
from flytepath.model.task import Record
from flytepath.model.workflow import GraphSpec, NodeSpec, WorkflowSpec

#: The parts of a comparison, in the order in which they are listed.
PARTS: Final = (
    *("inputs", "workflow", "code", "graph", "environment", "plugins", "settings", "labels", "outcome", "outputs"),
    "nodes",
)
#: A duration is worth a line where it changed by this factor, and by more than this many seconds.
FACTOR: Final = 2.0
SECONDS: Final = 1.0
#: How much of a value is shown.
WIDTH: Final = 120

_PLUGIN = "plugin:"


class Change(Record):
    """Something that differs: ``before`` in the first execution, ``after`` in the second; ``None`` where it is not."""

    part: str
    name: str
    before: str | None
    after: str | None


class ExecutionDiff(Record):
    """What differs between execution ``a`` and execution ``b``."""

    a: str
    b: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two executions.

    Attributes:
        created, state, spec: what was asked for, what came of it, and the graph.
        inputs, outputs: values; one that was erased is missing.
        code: the folder with its code; ``None`` where that is not here.
    """

    id: str
    created: ExecutionCreated
    state: ExecutionState
    inputs: Mapping[str, Literal]
    outputs: Mapping[str, Literal]
    code: Path | None

    @property
    def spec(self) -> WorkflowSpec:
        """Its compiled graph."""
        return self.state.spec


def diff(a: Side, b: Side) -> ExecutionDiff:
    """What differs."""
    return ExecutionDiff(a=a.id, b=b.id, changes=tuple(_changes(a, b)))


def _changes(a: Side, b: Side) -> Iterator[Change]:
    yield from _values("inputs", a.created.inputs, b.created.inputs, a.inputs, b.inputs)
    yield from _facts("workflow", _workflow(a.created), _workflow(b.created))
    yield from _code(a, b)
    if a.created.spec != b.created.spec:
        yield from _graphs(a.spec, b.spec)
    environments = a.created.environment, b.created.environment
    yield from _facts("environment", *(_without(each, _PLUGIN) for each in environments))
    yield from _facts("plugins", *(_only(each, _PLUGIN) for each in environments))
    yield from _facts("settings", _settings(a.created), _settings(b.created))
    yield from _facts("labels", a.created.labels, b.created.labels)
    yield from _facts("labels", a.created.annotations, b.created.annotations)
    yield from _facts("outcome", _outcome(a.state), _outcome(b.state))
    yield from _values("outputs", a.state.outputs, b.state.outputs, a.outputs, b.outputs)
    yield from _nodes(a.state, b.state)


def _facts(part: str, a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            before, after = _cut_alike(a.get(name), b.get(name))
            yield Change(part=part, name=name, before=before, after=after)


def _values(
    part: str,
    a: Mapping[str, str],
    b: Mapping[str, str],
    values_a: Mapping[str, Literal],
    values_b: Mapping[str, Literal],
) -> Iterator[Change]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            before = None if name not in a else _value(values_a.get(name), a[name])
            after = None if name not in b else _value(values_b.get(name), b[name])
            if before == after and before is not None:  # they differ where they were cut, or in what lies in blobs
                before, after = f"{before} ({_short(a[name])})", f"{after} ({_short(b[name])})"
            yield Change(part=part, name=name, before=before, after=after)


def _value(literal: Literal | None, digest: str) -> str:
    if literal is None or literal.is_erased:
        return f"erased ({_short(digest)})"
    if literal.ref is not None:
        return f"{literal.type}, {literal.ref.size} bytes ({_short(literal.digest)})"
    return _cut(json.dumps(literal.data, ensure_ascii=False))


def _workflow(created: ExecutionCreated) -> dict[str, str]:
    facts = {
        "name": created.workflow,
        "version": created.workflow_version,
        "project": created.project,
        "domain": created.domain,
        "launch plan": created.plan,
    }
    return {name: text for name, text in facts.items() if text}


def _settings(created: ExecutionCreated) -> dict[str, str]:
    facts = {f"variable {name}": value for name, value in created.variables.items()}
    if created.overwrite_cache:
        facts["overwrite_cache"] = "true"
    if created.timeout_seconds:
        facts["timeout"] = f"{created.timeout_seconds:g} s"
    return facts


def _outcome(state: ExecutionState) -> dict[str, str]:
    facts = {"status": str(state.status)}
    if state.error is not None:
        facts["error"] = _cut(state.error.message)
    if state.failed_node:
        facts["failed node"] = state.failed_node
    return facts


def _without(facts: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name: value for name, value in facts.items() if not name.startswith(prefix)}


def _only(facts: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in facts.items() if name.startswith(prefix)}


# --- code and graph ----------------------------------------------------------------------------------------------


def _code(a: Side, b: Side) -> Iterator[Change]:
    if a.created.bundle == b.created.bundle:
        return
    yield Change(part="code", name="bundle", before=_short(a.created.bundle), after=_short(b.created.bundle))
    if a.code is None or b.code is None:
        return
    yield from _facts("code", _files(a.code), _files(b.code))


def _files(folder: Path) -> dict[str, str]:
    """The files of a code bundle, each as the digest of its content; what Python made of them left out."""
    import hashlib

    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return found


def _graphs(a: WorkflowSpec, b: WorkflowSpec) -> Iterator[Change]:
    yield from _compared(a, b, "")
    for name in dict.fromkeys([*a.graphs, *b.graphs]):
        inner_a, inner_b = a.graphs.get(name), b.graphs.get(name)
        if inner_a is None or inner_b is None:
            yield _presence(f"graph {name}", inner_a, inner_b)
        else:
            yield from _compared(inner_a, inner_b, f"{name}: ")
    for name in dict.fromkeys([*a.tasks, *b.tasks]):
        task_a, task_b = a.tasks.get(name), b.tasks.get(name)
        if task_a is None or task_b is None:
            yield _presence(f"task {name}", task_a, task_b)
        else:
            # Its code is compared file by file, and where that of a reference lies says nothing of what it does.
            yield from _facts("graph", _fields(task_a, f"task {name}: "), _fields(task_b, f"task {name}: "))


def _presence(name: str, a: object, b: object) -> Change:
    return Change(part="graph", name=name, before=None if a is None else "there", after=None if b is None else "there")


def _compared(a: GraphSpec, b: GraphSpec, prefix: str) -> Iterator[Change]:
    """Which nodes there are, and of those that both have every field that differs."""
    nodes_a = {node.path: node for node in a.nodes}
    nodes_b = {node.path: node for node in b.nodes}
    runs = [{f"{prefix}node {path}": _runs(node) for path, node in nodes.items()} for nodes in (nodes_a, nodes_b)]
    yield from _facts("graph", *runs)
    left_out = ("path", "line", "name", "task", "graph")
    for path in (path for path in nodes_a if path in nodes_b):
        fields = [_fields(nodes[path], f"{prefix}node {path}: ", left_out) for nodes in (nodes_a, nodes_b)]
        yield from _facts("graph", *fields)
    for name in ("outputs", "failure_policy", "on_failure", "interface"):
        own = [{f"{prefix}{name}": _text(getattr(graph, name))} for graph in (a, b)]
        yield from _facts("graph", *own)


def _runs(node: NodeSpec) -> str:
    return node.name or node.task or node.graph or node.kind


def _fields(
    record: Record, prefix: str, leave_out: tuple[str, ...] = ("name", "documentation", "bundle")
) -> dict[str, str]:
    data = record.model_dump(mode="json", exclude_defaults=True)
    return {f"{prefix}{name}": _text(value) for name, value in data.items() if name not in leave_out}


def _text(value: Any) -> str:
    if isinstance(value, Record):
        value = value.model_dump(mode="json", exclude_defaults=True)
    elif isinstance(value, dict):
        value = {
            key: item.model_dump(mode="json", exclude_defaults=True) if isinstance(item, Record) else item
            for key, item in value.items()
        }
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


# --- nodes -------------------------------------------------------------------------------------------------------


def _nodes(a: ExecutionState, b: ExecutionState) -> Iterator[Change]:
    nodes_a = {node.path: node for node in listed(a)}
    nodes_b = {node.path: node for node in listed(b)}
    for path in dict.fromkeys([*nodes_a, *nodes_b]):
        one, other = nodes_a.get(path), nodes_b.get(path)
        if one is None or other is None:
            yield Change(
                part="nodes",
                name=path,
                before=None if one is None else _went(one),
                after=None if other is None else _went(other),
            )
            continue
        if _went(one) != _went(other):
            yield Change(part="nodes", name=path, before=_went(one), after=_went(other))
        before, after = _seconds(one), _seconds(other)
        if before is not None and after is not None and _differ(before, after):
            yield Change(part="nodes", name=f"{path}: duration", before=f"{before:.1f} s", after=f"{after:.1f} s")


def _went(node: NodeState) -> str:
    """How a node went, in a few words."""
    words = [str(node.status)]
    if node.cached:
        words.append("cached")
    if node.recovered:
        words.append("taken over")
    if node.attempt > 1:
        words.append(f"{node.attempt} attempts")
    if node.frame is not None and node.frame.items is not None:
        items = items_view(node.frame.items, ended=node.status.is_final)
        words.append(f"{items.succeeded} of {items.total} items")
    return ", ".join(words)


def _seconds(node: NodeState) -> float | None:
    if node.started_at is None or node.ended_at is None:
        return None
    return node.ended_at - node.started_at


def _differ(a: float, b: float) -> bool:
    return abs(a - b) > SECONDS and max(a, b) > FACTOR * min(a, b)


def _short(digest: str) -> str:
    return digest[:19]


def _cut_alike(a: str | None, b: str | None) -> tuple[str | None, str | None]:
    """Both texts short enough for a line, and so that what differs is in them."""
    if a is None or b is None or max(len(a), len(b)) <= WIDTH:
        return None if a is None else _cut(a), None if b is None else _cut(b)
    same = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, same - WIDTH // 4)
    lead = "..." if start else ""
    return lead + _cut(a[start:]), lead + _cut(b[start:])


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}..."
