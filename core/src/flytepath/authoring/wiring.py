"""Whether a graph's nodes fit together: every promise against the type of the place it goes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flytepath.authoring.conditional import Branch, comparison_misfit, needed_by
from flytepath.authoring.expressions import comparisons
from flytepath.authoring.graph import Graph, GraphNode, in_order, promises_in, together
from flytepath.authoring.promise import Promise, VoidPromise, holds_promise, node_of
from flytepath.errors import (
    CompileError,
    ConditionalError,
    CycleError,
    FlytePathError,
    ForeignPromiseError,
    TypeMismatchError,
    TypeTransformerFailedError,
)
from flytepath.model.fitting import fits
from flytepath.model.types import LiteralType
from flytepath.types.engine import Codec

Codecs = Mapping[str, Codec[Any]]


def check_wiring(graph: Graph, outputs: Codecs) -> None:
    """Hold every promise of a graph against the place it goes to, and put its nodes into an order they can run in.

    Raise one error with every finding, each with the task and argument, both types, and the line of the call; of the
    finding's own class where there is but one kind.
    """
    findings = list(graph.findings)
    findings += [_incomplete(section.name, section.line) for section in graph.sections if not section.is_complete]
    known: set[GraphNode] = set()
    for nodes in _levels(graph.nodes):
        known.update(nodes)
    for node in known:
        findings += _node_findings(graph, node, known)
    for name, value in graph.outputs.items():
        finding = _misfit(value, outputs[name], graph, known)
        if finding is not None:
            finding.place = f"{graph.name}() -> {name}{finding.place or ''}  [{graph.name}]"
            findings.append(finding)
    if not findings:
        try:
            for nodes in _levels(graph.nodes):
                nodes[:] = in_order(nodes, needs)
        except CycleError as error:
            findings.append(error)
    if findings:
        raise together(graph.name, findings)


def _incomplete(name: str, line: str) -> ConditionalError:
    return ConditionalError(
        f"the conditional {name!r} has no else_",
        place=line,
        hint="end it with .else_().then(...) or .else_().fail('...')",
    )


def _levels(nodes: list[GraphNode]) -> Iterator[list[GraphNode]]:
    """The nodes themselves, and those of every case of every conditional among them."""
    yield nodes
    for node in nodes:
        if isinstance(node.entity, Branch):
            for case in node.entity.cases:
                yield from _levels(case.nodes)


def needs(node: GraphNode) -> Iterator[GraphNode]:
    """The nodes that must end before ``node`` can start; for a conditional also those its cases refer to."""
    yield from node.upstream
    for value in node.inputs.values():
        for promise in promises_in(value):
            before = promise._fp_node
            if isinstance(before, GraphNode):
                yield before
    if isinstance(node.entity, Branch):
        yield from needed_by(node.entity)


def _node_findings(graph: Graph, node: GraphNode, known: set[GraphNode]) -> Iterator[FlytePathError]:
    for name, value in node.inputs.items():
        finding = _misfit(value, node.entity.input_codecs[name], graph, known)
        if finding is not None:
            finding.place = f"{node.entity.name}({name}{finding.place or ''})  [{node.line}]"
            yield finding
    for before in node.upstream:
        if before not in known:
            yield ForeignPromiseError(f"{before!r} is not a node of this workflow", place=node.line)
    if isinstance(node.entity, Branch):
        yield from _branch_findings(graph, node.entity, known)


def _branch_findings(graph: Graph, branch: Branch, known: set[GraphNode]) -> Iterator[FlytePathError]:
    for case in branch.cases:
        if case.condition is None:
            continue
        for comparison in comparisons(case.condition):
            problem = comparison_misfit(comparison, graph)
            for promise in promises_in([comparison.left, comparison.right]):
                node = node_of(promise)
                if node is not None and node not in known:
                    problem = f"{promise!r} belongs to another workflow"
            if problem is not None:
                place = f"conditional({branch.name!r})  [{comparison.line}]"
                yield TypeMismatchError(problem, place=place)


def _misfit(value: Any, codec: Codec[Any], graph: Graph, known: set[GraphNode]) -> FlytePathError | None:
    if type(value) is Promise:  # by far the most frequent
        return _promise_misfit(value, codec.literal_type, graph, known)
    if holds_promise(value):
        return _mixed_misfit(value, codec.literal_type, graph, known)
    try:
        codec.isolate(value)
    except TypeTransformerFailedError as error:
        return TypeMismatchError(
            error.message, place=error.place, expected=error.expected, actual=error.actual, hint=error.hint
        )
    return None


def _promise_misfit(
    promise: Promise, declared: LiteralType, graph: Graph, known: set[GraphNode]
) -> CompileError | None:
    node = promise._fp_node
    actual = graph.type_of(promise) if node is None or node in known else None
    if actual is None:
        return ForeignPromiseError(
            f"{promise!r} stands for nothing in this workflow: no such part, or a promise of another workflow"
        )
    if actual is declared or fits(actual, declared):
        return None
    return TypeMismatchError(f"expected {declared}, got {actual} from {promise!r}")


def _mixed_misfit(value: Any, declared: LiteralType, graph: Graph, known: set[GraphNode]) -> CompileError | None:
    """What is wrong with ``value``: promises, constants, containers of both."""
    if isinstance(value, VoidPromise):
        return TypeMismatchError(f"expected {declared}, got a task that returns nothing")
    if type(value) is Promise:
        return _promise_misfit(value, declared, graph, known)
    if not holds_promise(value):
        return None
    container = _without_none(declared)
    if isinstance(value, list) and container.kind == "list":
        pairs = [(item, container.items[0]) for item in value]
    elif isinstance(value, tuple) and container.kind == "tuple" and len(value) == len(container.items):
        pairs = list(zip(value, container.items, strict=True))
    elif isinstance(value, dict) and container.kind == "dict" and container.items[0].kind == "string":
        pairs = [(item, container.items[1]) for item in value.values()]
    else:
        return TypeMismatchError(f"expected {declared}, got a {type(value).__name__} that holds promises")
    problems = (_mixed_misfit(item, item_type, graph, known) for item, item_type in pairs)
    return next((problem for problem in problems if problem is not None), None)


def _without_none(declared: LiteralType) -> LiteralType:
    if declared.kind != "union":
        return declared
    rest = [item for item in declared.items if item.kind != "none"]
    return rest[0] if len(rest) == 1 else declared
