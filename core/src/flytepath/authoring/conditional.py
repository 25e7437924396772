"""``conditional``: branches of a workflow, of which only the one that is taken runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Token
from dataclasses import dataclass, field
from typing import Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.expressions import Comparison, Expression, as_condition, comparisons, holds
from flytepath.authoring.graph import Graph, GraphNode, building, graph_being_built, promised, promises_in
from flytepath.authoring.promise import Promise, VoidPromise, caller_line, node_of
from flytepath.errors import BranchFailedError, ConditionalError, FlytePathError, TypeMismatchError
from flytepath.model.fitting import fits
from flytepath.model.types import LiteralType

_NUMBERS = frozenset({"integer", "float", "decimal"})
_ORDERED = frozenset({"string", "datetime", "date", "time", "timedelta", "uuid", "path"})
_COMPARED = _NUMBERS | _ORDERED | {"boolean", "enum", "none"}
_ENUM_HINT = "compare an enum with a member, or a member's value"


@dataclass(slots=True)
class CaseOf:
    """One way to go: what must hold (``None``: anything), what runs then, or the message it fails with."""

    condition: Expression | bool | None
    nodes: list[GraphNode]
    line: str
    result: Any = None
    error: str | None = None
    outputs: dict[str, Any] = field(default_factory=dict)


class Branch(Entity):
    """What the node of a conditional runs: the nodes of its first case that holds."""

    holds_nodes = True

    def __init__(self, name: str) -> None:
        super().__init__(name, {}, {}, {}, None)
        self.cases: list[CaseOf] = []

    def chosen(self, value_of: Callable[[Any], Any]) -> CaseOf:
        """The case to take.

        Raises:
            BranchFailedError: that case says ``fail``.
        """
        for case in self.cases:
            if case.condition is None or holds(case.condition, value_of):
                if case.error is not None:
                    raise BranchFailedError(case.error, place=self.name)
                return case
        raise BranchFailedError(f"no case of the conditional {self.name} holds", place=self.name)


def conditional(name: str) -> ConditionalSection:
    """Begin a branch in a workflow: ``.if_(...).then(...).elif_(...).then(...).else_().then(...)`` or ``.fail(...)``.

    Conditions compare what tasks returned with ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``.is_true()``,
    ``.is_false()``, ``.is_none()``, joined with ``&`` and ``|``. Only calls inside the ``then`` that is taken run.

    Args:
        name: shown for the branch.

    Raises:
        PromiseError: outside of a workflow.
        ConditionalError: there is no ``else_``, or the cases give different things.

    Example:
        >>> from flytepath import conditional, task, workflow
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @task
        ... def square(x: int) -> int:
        ...     return x * x
        >>> @workflow
        ... def grow(x: int) -> int:
        ...     return conditional("size").if_(x > 3).then(square(x=x)).else_().then(double(x=x))
        >>> grow(x=2), grow(x=4)
        (4, 16)
    """
    return ConditionalSection(name, graph_being_built("conditional"))


class ConditionalSection:
    """A conditional that has begun."""

    def __init__(self, name: str, graph: Graph, *, is_entered: bool = True) -> None:
        self.name = name
        # In a workflow that is put together by calls nothing else makes the calls inside of then() its nodes.
        self._is_entered = is_entered
        self._entered: Token[Graph | None] | None = None
        self.line = caller_line()
        self.is_complete = False
        self._graph = graph
        self._branch = Branch(name)
        self._path = graph.next_path()
        graph.sections.append(self)

    def if_(self, condition: Expression | Promise | bool) -> Case:
        """The first case."""
        if self._branch.cases:
            raise ConditionalError("a conditional has one if_", place=caller_line(), hint="use elif_")
        return self.begin(as_condition(condition))

    def begin(self, condition: Expression | bool | None) -> Case:
        """Let the following calls belong to a new case."""
        if self.is_complete:
            raise ConditionalError(
                f"the conditional {self.name!r} has already ended with its else_", place=caller_line()
            )
        nodes = self._graph.open_case(f"{self._path}/c{len(self._branch.cases)}")
        case = CaseOf(condition, nodes, caller_line())
        self._branch.cases.append(case)
        if not self._is_entered:
            self._entered = building.set(self._graph)
        return Case(self, case)

    def end_case(self, is_last: bool) -> Any:
        """A case has what it needs; after the last, what stands for the outputs."""
        self._graph.close_case()
        if self._entered is not None:
            building.reset(self._entered)
            self._entered = None
        if not is_last:
            return Condition(self)
        self.is_complete = True
        node = self._graph.add(self._branch, {}, self._path)
        node.line = self.line
        node.name = self.name
        self._give_outputs(node)
        return promised(node)

    def _give_outputs(self, node: GraphNode) -> None:
        """The outputs all cases that do not fail have; none where one of them gives nothing."""
        given = [case for case in self._branch.cases if case.error is None]
        results = [_named(case) for case in given]
        node.types = {}
        if not results or not all(results):
            return
        first = results[0]
        if any(tuple(result) != tuple(first) for result in results):
            shown = "; ".join(", ".join(result) for result in results)
            self._find(ConditionalError, "the cases give different outputs", actual=shown)
            return
        for name in first:
            types = [self._graph.type_of(result[name]) for result in results]
            known = [found for found in types if found is not None]
            widest = next((found for found in known if all(fits(other, found) for other in known)), None)
            if widest is None and known:
                self._find(
                    TypeMismatchError,
                    f"the cases give different types for {name}",
                    expected="the same type from every case",
                    actual=", ".join(map(str, known)),
                )
            node.types[name] = widest or LiteralType("any")
        for case, result in zip(given, results, strict=True):
            case.outputs = result
        self._branch.outputs = dict.fromkeys(first, Any)
        result = given[0].result
        named = isinstance(result, tuple) and hasattr(result, "_fields")
        self._branch.output_tuple = type(result).__mro__[1] if named else None

    def _find(self, kind: type[FlytePathError], message: str, **facts: Any) -> None:
        self._graph.findings.append(kind(message, place=f"conditional({self.name!r})  [{self.line}]", **facts))


class Case:
    """A case whose condition is known and whose result is not."""

    def __init__(self, section: ConditionalSection, case: CaseOf) -> None:
        self._section = section
        self._case = case

    def then(self, result: Any) -> Any:
        """What the branch gives if this case is taken: the result of the call written here, or a tuple of several."""
        if isinstance(result, Condition):
            raise ConditionalError(
                "the conditional inside of then() is not complete", place=caller_line(), hint="end it with else_()"
            )
        items = result if isinstance(result, tuple) else (result,)
        if any(type(item) is not Promise and not isinstance(item, VoidPromise | GraphNode) for item in items):
            raise ConditionalError(
                "then() takes what a task or workflow returned",
                place=caller_line(),
                expected="a call, as in .then(train(x=x))",
                actual=repr(result)[:100],
                hint="make constants inside a task",
            )
        self._case.result = promised(result) if isinstance(result, GraphNode) else result
        return self._section.end_case(self._case.condition is None)

    def fail(self, message: str) -> Any:
        """Let the workflow fail with ``message`` if this case is taken."""
        if not isinstance(message, str) or not message:
            raise ConditionalError("fail() takes a message", place=caller_line(), actual=repr(message))
        self._case.error = message
        return self._section.end_case(self._case.condition is None)


class Condition:
    """A conditional that waits for its next case."""

    def __init__(self, section: ConditionalSection) -> None:
        self._section = section

    def elif_(self, condition: Expression | Promise | bool) -> Case:
        """The next case."""
        return self._section.begin(as_condition(condition))

    def else_(self) -> Case:
        """The last case, taken when no other is."""
        return self._section.begin(None)


def _named(case: CaseOf) -> dict[str, Any]:
    """A case's promises by output name."""
    result = case.result
    if type(result) is Promise:
        return {"o0": result}
    if isinstance(result, tuple):
        names = getattr(result, "_fields", tuple(f"o{index}" for index in range(len(result))))
        return dict(zip(names, result, strict=True))
    return {}


def _comparisons(case: CaseOf) -> Iterator[Comparison]:
    return iter(()) if case.condition is None else comparisons(case.condition)


def needed_by(branch: Branch) -> Iterator[GraphNode]:
    """The nodes outside of the branch that its conditions and cases refer to."""
    inside: set[GraphNode] = set()
    for case in branch.cases:
        inside.update(case.nodes)
    for case in branch.cases:
        values: list[Any] = [*case.outputs.values()]
        values += [side for item in _comparisons(case) for side in (item.left, item.right)]
        for node in case.nodes:
            values += node.inputs.values()
            yield from (before for before in node.upstream if before not in inside)
            if isinstance(node.entity, Branch):
                yield from (before for before in needed_by(node.entity) if before not in inside)
        for promise in promises_in(values):
            node_ = node_of(promise)
            if isinstance(node_, GraphNode) and node_ not in inside:
                yield node_


def comparison_misfit(comparison: Comparison, graph: Graph) -> TypeMismatchError | None:
    """What is wrong with a comparison: sides that are no scalars, or that are never comparable."""
    sides: list[LiteralType | None] = []
    for side in (comparison.left, comparison.right):
        if isinstance(side, Promise):
            found = graph.type_of(side)
            if found is None:
                return TypeMismatchError(f"{side!r} stands for nothing in this workflow", hint="there is no such part")
            sides.append(found)
        else:
            sides.append(_constant_type(side))
    left, right = (_kinds(side) for side in sides)
    if left is None or right is None:
        return TypeMismatchError(
            "only scalars can be compared",
            expected="numbers, texts, booleans, enums, dates, times, None",
            actual=_sides(comparison, sides),
            hint="compare inside a task that returns a bool",
        )
    for a in left:
        for b in right:
            if _comparable(a, b, comparison.operator) or _are_values(a, b, comparison) or _are_values(b, a, comparison):
                return None
    return TypeMismatchError(
        f"these cannot be compared with {comparison.operator}",
        expected="two sides of one kind; < and > for what has an order",
        actual=_sides(comparison, sides),
        hint="compare an enum with a member, or a member's value"
        if any(s is not None and s.kind == "enum" for s in sides)
        else None,
    )


def _sides(comparison: Comparison, types: list[LiteralType | None]) -> str:
    shown = zip((comparison.left, comparison.right), types, strict=True)
    return f" {comparison.operator} ".join(f"{side!r:.60} ({type or 'no literal'})" for side, type in shown)


def _constant_type(value: Any) -> LiteralType | None:
    from flytepath.types.engine import codec

    try:
        return codec(type(value)).literal_type
    except FlytePathError:
        return None


def _kinds(type: LiteralType | None) -> list[LiteralType] | None:
    if type is None:
        return None
    items = list(type.items) if type.kind == "union" else [type]
    return items if all(item.kind in _COMPARED or item.kind == "any" for item in items) else None


def _are_values(enum: LiteralType, other: LiteralType, comparison: Comparison) -> bool:
    """Whether an enum's member is compared with what could be a member's value: one it has, where it is a constant."""
    if enum.kind != "enum" or comparison.operator not in ("==", "!="):
        return False
    constants = [side for side in (comparison.left, comparison.right) if not isinstance(side, Promise)]
    known = [value for _, value in enum.values]
    return known.count(constants[0]) > 0 if constants else other.kind in ("string", "integer", "float")


def _comparable(left: LiteralType, right: LiteralType, operator: str) -> bool:
    equality = operator in ("==", "!=")
    if left.kind == "any" or right.kind == "any":
        return True
    if left.kind in _NUMBERS and right.kind in _NUMBERS:
        return True
    if equality and "none" in (left.kind, right.kind):
        return left.kind == right.kind
    if left.kind != right.kind:
        return False
    return (equality and left == right) if left.kind in ("enum", "boolean") else True
