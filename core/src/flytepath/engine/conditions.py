"""Which way a branch goes: conditions over literals, without any Python type of the user's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flytepath.model.literal import Literal, compare
from flytepath.model.workflow import Binding, CaseSpec, Condition, Junction

#: The literal of a side of a comparison.
ValueOf = Callable[[Binding], Literal]


def taken(cases: Sequence[CaseSpec], value_of: ValueOf) -> int | None:
    """The index of the first case that holds, ``None`` where none does."""
    for index, case in enumerate(cases):
        if case.condition is None or holds(case.condition, value_of):
            return index
    return None


def holds(condition: Condition, value_of: ValueOf) -> bool:
    """Whether ``condition`` holds. Values without an order are neither less nor greater, and different.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> from flytepath.model.workflow import Comparison, LiteralBinding
        >>> two, three = (LiteralBinding(value=Literal.make(INTEGER, n)) for n in (2, 3))
        >>> holds(Comparison(operator="<", left=two, right=three), lambda binding: binding.value)
        True
    """
    if isinstance(condition, Junction):
        join = all if condition.kind == "and" else any
        return join(holds(item, value_of) for item in condition.items)
    order = _order(value_of(condition.left), value_of(condition.right))
    match condition.operator:
        case "==":
            return order == 0
        case "!=":
            return order != 0
        case "<":
            return order is not None and order < 0
        case "<=":
            return order is not None and order <= 0
        case ">":
            return order is not None and order > 0
        case ">=":
            return order is not None and order >= 0


def _order(left: Literal, right: Literal) -> int | None:
    order = compare(left, right)
    if order is None and (left.type.kind == "enum") != (right.type.kind == "enum"):
        # A member of an enumeration beside a plain value: what counts is the member's value.
        return 0 if _plain(left) == _plain(right) else None
    return order


def _plain(literal: Literal) -> tuple[type, object]:
    data = literal.data
    if literal.type.kind == "enum":
        data = dict(literal.type.values).get(data)
    return type(data), data
