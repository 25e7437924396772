"""Conditions on promises: comparisons, and what ``&`` and ``|`` make of them. Evaluated when the values are there."""

from __future__ import annotations

import enum
import operator as operators
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from flytepath.authoring.promise import Promise, caller_line
from flytepath.errors import PromiseBranchError, PromiseError

_FUNCTIONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}


class Expression:
    """A condition; only ``conditional`` can use it."""

    __slots__ = ()

    def __and__(self, other: Any) -> Junction:
        return Junction("and", (self, _condition(other)))

    def __or__(self, other: Any) -> Junction:
        return Junction("or", (self, _condition(other)))

    def __bool__(self) -> bool:
        raise PromiseBranchError(
            f"a workflow cannot branch on {self!r}: it has no value until the workflow runs",
            place=caller_line(),
            hint="use conditional(...).if_(...), with & and | between conditions in parentheses",
        )

    def __invert__(self) -> NoReturn:
        raise PromiseBranchError(
            "a condition cannot be negated with '~'", place=caller_line(), hint="write the opposite comparison"
        )


class Comparison(Expression):
    """Two sides, at least one a promise, and an operator such as ``<=``."""

    __slots__ = ("left", "line", "operator", "right")

    def __init__(self, operator: str, left: Any, right: Any, line: str) -> None:
        self.operator = operator
        self.left = left
        self.right = right
        self.line = line

    def __repr__(self) -> str:
        return f"{self.left!r} {self.operator} {self.right!r}"


class Junction(Expression):
    """Conditions that must all hold (``and``), or of which one must (``or``)."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: str, items: tuple[Expression, ...]) -> None:
        self.kind = kind
        self.items = items

    def __repr__(self) -> str:
        sign = " & " if self.kind == "and" else " | "
        return "(" + sign.join(map(repr, self.items)) + ")"


def _condition(value: Any) -> Expression:
    if isinstance(value, Expression):
        return value
    if isinstance(value, Promise):
        return value.is_true()
    raise PromiseError(
        "only conditions can be joined with & and |",
        place=caller_line(),
        expected="a comparison of what a task returned",
        actual=repr(value),
        hint="put each comparison in parentheses: (a > 1) & (b < 2)",
    )


def as_condition(value: Any) -> Expression | bool:
    """What ``if_`` was given, as a condition; a plain ``bool`` is one already."""
    return value if isinstance(value, bool) else _condition(value)


def comparisons(condition: Expression | bool) -> Iterator[Comparison]:
    """Every comparison inside a condition."""
    if isinstance(condition, Comparison):
        yield condition
    elif isinstance(condition, Junction):
        for item in condition.items:
            yield from comparisons(item)


def holds(condition: Expression | bool, value_of: Callable[[Any], Any]) -> bool:
    """Whether a condition is true; ``value_of`` gives the native value of a promise, and constants as they are.

    A value without an order, such as ``None`` or NaN, is never less or greater than anything.
    """
    if isinstance(condition, bool):
        return condition
    if isinstance(condition, Junction):
        results = (holds(item, value_of) for item in condition.items)
        return all(results) if condition.kind == "and" else any(results)
    if isinstance(condition, Comparison):
        left, right = value_of(condition.left), value_of(condition.right)
        if condition.operator not in ("==", "!=") and (left is None or right is None):
            return False
        if isinstance(left, enum.Enum) != isinstance(right, enum.Enum):  # a member beside a member's value
            left, right = getattr(left, "value", left), getattr(right, "value", right)
        return bool(_FUNCTIONS[condition.operator](left, right))
    raise TypeError(f"not a condition: {condition!r}")
