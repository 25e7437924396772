"""Whether a graph's nodes fit together: every promise against the type of the place it goes to."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from flytepath.authoring.conditional import Branch, comparison_misfit, needed_by
from flytepath.authoring.entity import Entity
from flytepath.authoring.expressions import comparisons
from flytepath.authoring.graph import Graph, GraphNode, in_order, promises_in, together
from flytepath.authoring.promise import Promise, VoidPromise, holds_promise
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
from flytepath.types.engine import codec as codec_of

Codecs = Mapping[str, Codec[Any]]
#: The nodes of one level: the workflow's own, or those of one case of a conditional.
Level = list[GraphNode]

_HOLDERS = "lists, tuples and dicts can hold promises; make any other object inside a task"
_STRICT = "types are strict: convert inside a task, or change the annotation"


def check_wiring(graph: Graph, outputs: Codecs, handler: Entity | None = None) -> None:
    """Hold every promise of a graph against the place it goes to, and put its nodes into an order they can run in.

    Sub-workflows are compiled too, and so is the ``handler`` of failures if it is one. Raise one error with every
    finding, each with the task and argument, both types, and the line of the call; of the finding's own class where
    there is but one kind.
    """
    findings = list(graph.findings)
    incomplete: list[FlytePathError] = [_incomplete(s.name, s.line) for s in graph.sections if not s.is_complete]
    if incomplete:  # calls after it went into a case that never ends: what else seems wrong with them is its doing
        raise together(graph.name, findings + incomplete)
    levels = list(_levels(graph.nodes))
    place = {node: number for number, level in enumerate(levels) for node in level}
    _Check(graph, place, findings).whole(outputs)
    if not findings:
        try:
            for level in levels:
                level[:] = in_order(level, needs)
        except CycleError as error:
            findings.append(error)
    for entity in dict.fromkeys([*(node.entity for node in place), handler]):
        findings += inner_findings(entity)
    if findings:
        raise together(graph.name, findings)


def inner_findings(entity: Entity | None) -> list[FlytePathError]:
    """What is wrong inside the workflow that ``entity`` is, maps or launches, told before anything runs."""
    workflow = None if entity is None else entity.workflow_inside
    if workflow is None:
        return []
    try:
        _ = workflow.graph
    except FlytePathError as error:
        return list(getattr(error, "findings", ()) or (error,))
    return []


def _incomplete(name: str, line: str) -> ConditionalError:
    return ConditionalError(
        f"the conditional {name!r} has no else_",
        place=line,
        hint="end it with .else_().then(...) or .else_().fail('...')",
    )


def _levels(nodes: Level) -> Iterator[Level]:
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
        if type(value) is Promise:  # by far the most frequent
            if value._fp_node is not None:
                yield value._fp_node  # type: ignore[misc]
            continue
        for promise in promises_in(value):
            before = promise._fp_node
            if isinstance(before, GraphNode):
                yield before
    if isinstance(node.entity, Branch):
        yield from needed_by(node.entity)


class _Check:
    """One look at a graph.

    Args:
        graph: the graph.
        place: the number of the level each node lies on.
        findings: gets what is wrong.
    """

    def __init__(self, graph: Graph, place: Mapping[GraphNode, int], findings: list[FlytePathError]) -> None:
        self._graph = graph
        self._place = place
        self._findings = findings

    def whole(self, outputs: Codecs) -> None:
        """The nodes of every level, and the outputs."""
        self._level(self._graph.nodes, frozenset({0}))
        for name, value in self._graph.outputs.items():
            self._find(self._misfit(value, outputs[name], frozenset({0})), f"{self._graph.name}() -> {name}", "")

    def _level(self, nodes: Level, seen: frozenset[int]) -> None:
        """Nodes that can use what lies on the levels they have ``seen``: their own, and those around it."""
        for node in nodes:
            entity = node.entity
            codecs = entity.input_codecs
            for name, value in node.inputs.items():
                problem = self._misfit(value, codecs[name], seen)
                if problem is not None:
                    self._find(problem, f"{entity.name}({name})", node.line)
            for before in node.upstream:
                if self._place.get(before) not in seen:
                    self._findings.append(_foreign(before, place=node.line))
            if isinstance(entity, Branch):
                self._branch(entity, seen)

    def _branch(self, branch: Branch, seen: frozenset[int]) -> None:
        for case in branch.cases:
            where = f"conditional({branch.name!r})"
            for comparison in comparisons(case.condition) if case.condition is not None else ():
                sides = [side for side in (comparison.left, comparison.right) if isinstance(side, Promise)]
                lost = next((side for side in sides if not self._sees(side, seen)), None)
                problem = _foreign(lost) if lost is not None else comparison_misfit(comparison, self._graph)
                self._find(problem, where, comparison.line)
            inside = seen | {self._place[case.nodes[0]]} if case.nodes else seen
            self._level(case.nodes, inside)
            for promise in case.outputs.values():
                if not self._sees(promise, inside):
                    self._find(_foreign(promise), where, case.line)

    def _find(self, problem: FlytePathError | None, where: str, line: str) -> None:
        if problem is None:
            return
        inside = problem.place or ""
        shown = f"{where[:-1]}{inside})" if where.endswith(")") and inside else where + inside
        problem.place = f"{shown}  [{line}]" if line else shown
        self._findings.append(problem)

    def _sees(self, promise: Promise, seen: frozenset[int]) -> bool:
        node = promise._fp_node
        return node is None or self._place.get(node) in seen  # type: ignore[call-overload]

    def _misfit(self, value: Any, codec: Codec[Any], seen: frozenset[int]) -> CompileError | None:
        if type(value) is Promise:  # by far the most frequent
            return self._promise(value, codec.literal_type, seen)
        return self._mixed(value, codec.python_type, seen) if holds_promise(value) else self._constant(value, codec)

    def _promise(self, promise: Promise, declared: LiteralType, seen: frozenset[int]) -> CompileError | None:
        if not self._sees(promise, seen):
            return _foreign(promise)
        actual = self._graph.type_of(promise)
        if actual is None:
            return _foreign(promise)
        if actual is declared or fits(actual, declared):
            return None
        return TypeMismatchError(
            "a promise of another type", expected=str(declared), actual=f"{actual} from {promise!r}", hint=_STRICT
        )

    def _constant(self, value: Any, codec: Codec[Any]) -> CompileError | None:
        try:
            codec.isolate(value)
        except FileNotFoundError:
            return None  # it may lie only where runs are started; it is looked for when it is used
        except TypeTransformerFailedError as error:
            hint = _HOLDERS if "promise of" in str(error.actual) else error.hint
            return TypeMismatchError(
                error.message, place=error.place, expected=error.expected, actual=error.actual, hint=hint
            )
        return None

    def _mixed(self, value: Any, python_type: Any, seen: frozenset[int]) -> CompileError | None:
        """What is wrong with ``value``: promises, constants, containers of both."""
        declared = codec_of(python_type).literal_type
        if isinstance(value, VoidPromise):
            return TypeMismatchError(
                "a task that returns nothing",
                expected=str(declared),
                actual=repr(value),
                hint="annotate the task's return type",
            )
        if type(value) is Promise:
            return self._promise(value, declared, seen)
        if not holds_promise(value):
            return self._constant(value, codec_of(python_type))
        if not _can_hold(_without_none(declared), value):
            return TypeMismatchError(
                "a container that holds promises", expected=str(declared), actual=type(value).__name__, hint=_STRICT
            )
        keys = value if isinstance(value, dict) else range(len(value))
        for key, kind in zip(keys, item_types(python_type, value), strict=True):
            problem = self._mixed(value[key], kind, seen)
            if problem is not None:
                problem.place = f"[{key!r}]{problem.place or ''}"
                return problem
        return None


def _can_hold(declared: LiteralType, value: Any) -> bool:
    if isinstance(value, list):
        return declared.kind == "list" and declared.name != "tuple"
    if isinstance(value, dict):
        return declared.kind == "dict" and declared.items[0].kind == "string" and all(type(k) is str for k in value)
    return declared.name == "tuple" or (declared.kind == "tuple" and len(value) == len(declared.items))


def item_types(python_type: Any, value: Any) -> list[Any]:
    """The declared Python type of each item of a list, tuple or dict."""
    origin = typing.get_origin(python_type)
    if origin is typing.Annotated:
        return item_types(typing.get_args(python_type)[0], value)
    if origin in (typing.Union, types.UnionType):
        for alternative in typing.get_args(python_type):
            if typing.get_origin(alternative) is type(value):
                return item_types(alternative, value)
    arguments = typing.get_args(python_type)
    if not arguments and not hasattr(python_type, "_fields"):  # bare: plain JSON
        from flytepath.types.json_values import JSON

        return [JSON] * len(value)
    if isinstance(value, dict):
        return [arguments[1]] * len(value)
    if isinstance(value, tuple):
        fields = getattr(python_type, "_fields", None)
        if fields is not None:
            hints = typing.get_type_hints(python_type, include_extras=True)
            return [hints[name] for name in fields]
        if Ellipsis not in arguments:
            return list(arguments)
    return [arguments[0]] * len(value)


def _foreign(what: Any, place: str | None = None) -> ForeignPromiseError:
    return ForeignPromiseError(
        f"{what!r} stands for nothing here: no such part, another workflow's, or made in a case of a conditional",
        place=place,
        hint="use what was made in this workflow, outside of a conditional or in the same case of it",
    )


def _without_none(declared: LiteralType) -> LiteralType:
    if declared.kind != "union":
        return declared
    rest = [item for item in declared.items if item.kind != "none"]
    return rest[0] if len(rest) == 1 else declared
