"""Conditionals: one branch runs, conditions on every kind of scalar, and what is wrong is told before anything runs."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from compiled_specs import compiled
from flytepath import ImperativeWorkflow, conditional, create_node, dynamic, task, workflow
from flytepath.errors import (
    BranchFailedError,
    CompileError,
    ConditionalError,
    ForeignPromiseError,
    PromiseBranchError,
    PromiseError,
    TypeMismatchError,
)

ran: list[str] = []


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    low: int
    high: int


@dataclass
class Model:
    name: str
    score: float


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@task
def double(x: int) -> int:
    ran.append("double")
    return 2 * x


@task
def square(x: int) -> int:
    ran.append("square")
    return x * x


@task
def say(text: str) -> str:
    ran.append(text)
    return text


@task
def note(text: str) -> None:
    ran.append(text)


@task
def pair(x: int) -> Pair:
    return Pair(x, x + 1)


@task
def reversed_pair(x: int) -> Pair:
    return Pair(x + 1, x)


@task
def two(x: int) -> tuple[int, str]:
    return x, str(x)


@task
def fit(name: str) -> Model:
    return Model(name, float(len(name)))


@task
def maybe(x: int) -> int | None:
    return x if x > 0 else None


@task
def is_even(x: int) -> bool:
    return x % 2 == 0


def test_only_the_branch_that_is_taken_runs() -> None:
    @workflow
    def flow(x: int) -> int:
        return (
            conditional("size")
            .if_((x > 0) & (x < 5))
            .then(double(x=x))
            .elif_(x >= 5)
            .then(square(x=x))
            .else_()
            .fail("too small")
        )

    assert flow(x=3) == 6
    assert ran == ["double"]
    assert flow(x=6) == 36
    assert ran == ["double", "square"]
    with pytest.raises(BranchFailedError, match="too small") as caught:
        flow(x=-1)
    assert caught.value.code == "FP-BRANCH"
    assert ran == ["double", "square"]


def test_a_conditional_is_one_node_with_a_graph_for_each_case() -> None:
    @workflow
    def flow(x: int) -> int:
        big = square(x=x)
        return conditional("size").if_(big > 10).then(double(x=double(x=big))).else_().fail("no")

    spec = compiled(flow)
    assert [node.path for node in spec.nodes] == ["n0", "n1"]
    branch = spec.nodes[1]
    assert branch.kind == "branch"
    assert branch.name == "size"
    assert branch.line.startswith("test_conditionals.py:")
    first, last = branch.cases
    assert [node.path for node in first.nodes] == ["n1/c0/n0", "n1/c0/n1"]
    assert first.condition is not None
    assert first.condition.kind == "comparison"
    assert last.condition is None
    assert last.error == "no"
    assert branch.interface is not None
    assert [v.name for v in branch.interface.outputs] == ["o0"]


@pytest.mark.parametrize(
    ("declared", "operand", "operator", "true", "false"),
    [
        (int, 3, "==", 3, 4),
        (int, 3, "!=", 4, 3),
        (int, 3, "<", 2, 3),
        (float, 0.5, ">=", 0.5, 0.25),
        (float, 1, ">", 1.5, 1.0),
        (str, "b", "<=", "a", "c"),
        (bool, True, "==", True, False),
        (Colour, Colour.RED, "==", Colour.RED, Colour.BLUE),
        (Colour, Colour.RED, "!=", Colour.BLUE, Colour.RED),
        (dt.date, dt.date(2024, 1, 1), ">", dt.date(2024, 1, 2), dt.date(2023, 1, 1)),
        (
            dt.datetime,
            dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
            "<",
            dt.datetime(2023, 1, 1, tzinfo=dt.UTC),
            dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
        ),
        (dt.timedelta, dt.timedelta(hours=1), ">", dt.timedelta(hours=2), dt.timedelta(minutes=1)),
        (int | None, None, "==", None, 1),
        (int | None, None, "!=", 1, None),
        (int | None, 3, ">", 4, None),
    ],
)
def test_conditions_on_every_kind_of_scalar(declared: Any, operand: Any, operator: str, true: Any, false: Any) -> None:
    compare: Any = {
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }[operator]

    def flow(x: Any) -> str:
        return conditional("c").if_(compare(x, operand)).then(say(text="yes")).else_().then(say(text="no"))

    flow.__annotations__["x"] = declared
    made = workflow(flow)
    assert made(x=true) == "yes"
    assert made(x=false) == "no"
    assert compiled(made).nodes[0].cases[0].condition.operator == operator  # type: ignore[union-attr]


def test_conditions_on_truth_none_and_parts() -> None:
    @workflow
    def flow(x: int, flag: bool) -> str:
        model = fit(name="ada")
        return (
            conditional("c")
            .if_(flag.is_false())
            .then(say(text="off"))
            .elif_(maybe(x=x).is_none())
            .then(say(text="none"))
            .elif_(is_even(x=x).is_true() | (model.score > 10.0))
            .then(say(text="even"))
            .elif_((model.name == "ada") & is_even(x=x).is_false())
            .then(say(text="odd"))
            .else_()
            .fail("never")
        )

    assert flow(x=2, flag=False) == "off"
    assert flow(x=0, flag=True) == "none"
    assert flow(x=2, flag=True) == "even"
    assert flow(x=3, flag=True) == "odd"
    conditions = [case.condition for case in compiled(flow).nodes[-1].cases]
    assert [c.kind for c in conditions if c is not None] == ["comparison", "comparison", "or", "and"]


def test_a_promise_of_a_bool_and_a_plain_bool_are_conditions() -> None:
    @workflow
    def flow(x: int) -> str:
        return (
            conditional("c")
            .if_(False)
            .then(say(text="never"))
            .elif_(is_even(x=x))
            .then(say(text="even"))
            .else_()
            .then(say(text="odd"))
        )

    assert [flow(x=2), flow(x=3)] == ["even", "odd"]
    compiled(flow)


def test_nested_conditionals_and_several_calls_in_a_case() -> None:
    @workflow
    def flow(x: int) -> int:
        return (
            conditional("outer")
            .if_(x > 0)
            .then(
                conditional("inner").if_(x > 10).then(double(x=square(x=x))).else_().then(double(x=x)),
            )
            .else_()
            .then(square(x=x))
        )

    assert [flow(x=20), flow(x=2), flow(x=-3)] == [800, 4, 9]
    outer = compiled(flow).nodes[0]
    inner = outer.cases[0].nodes[0]
    assert inner.path == "n0/c0/n0"
    assert [n.path for n in inner.cases[0].nodes] == ["n0/c0/n0/c0/n0", "n0/c0/n0/c0/n1"]


@workflow
def quadruple(x: int) -> int:
    return double(x=double(x=x))


def test_a_sub_workflow_in_a_case_is_laid_out_below_it() -> None:
    @workflow
    def flow(x: int) -> int:
        return conditional("c").if_(x > 0).then(quadruple(x=x)).else_().then(square(x=x))

    assert [flow(x=1), flow(x=-2)] == [4, 4]
    paths = [n.path for n in compiled(flow).nodes[0].cases[0].nodes]
    assert paths == ["n0/c0/n0/n0", "n0/c0/n0/n1"]


def test_a_conditional_in_a_sub_workflow_and_in_a_dynamic() -> None:
    @workflow
    def inner(x: int) -> int:
        return conditional("c").if_(x > 0).then(double(x=x)).else_().then(square(x=x))

    @workflow
    def outer(x: int) -> int:
        return double(x=inner(x=double(x=x)))

    @dynamic
    def many(values: list[int]) -> list[int]:
        return [conditional(f"c{v}").if_(double(x=v) > 4).then(square(x=v)).else_().then(double(x=v)) for v in values]

    assert [outer(x=1), outer(x=-1)] == [8, 8]
    assert many(values=[1, 3, 2]) == [2, 9, 4]
    branch = compiled(outer).nodes[1]
    assert branch.path == "n1/n0"
    assert branch.cases[0].nodes[0].path == "n1/n0/c0/n0"


def test_several_and_named_outputs() -> None:
    @workflow
    def named(x: int) -> Pair:
        given = conditional("c").if_(x > 0).then(pair(x=x)).else_().then(reversed_pair(x=x))
        return Pair(given.low, given.high)

    @workflow
    def plain(x: int) -> tuple[int, str]:
        first, second = conditional("c").if_(x > 0).then(two(x=x)).else_().then((square(x=x), say(text="neg")))
        return double(x=first), second

    assert named(x=1) == Pair(1, 2)
    assert named(x=-1) == Pair(0, -1)
    assert plain(x=3) == (6, "3")
    assert plain(x=-3) == (18, "neg")
    interface = compiled(named).nodes[0].interface
    assert interface is not None
    assert [v.name for v in interface.outputs] == ["low", "high"]
    compiled(plain)


def test_cases_without_outputs_can_be_ordered() -> None:
    @workflow
    def flow(x: int) -> str:
        said = conditional("c").if_(x > 0).then(note(text="plus")).else_().then(note(text="minus"))
        last = say(text="end")
        said >> last
        return last

    assert flow(x=1) == "end"
    assert ran == ["plus", "end"]
    assert compiled(flow).nodes[1].upstream == ("n0",)


def test_what_was_made_before_a_conditional_can_be_used_in_it_and_as_its_result() -> None:
    @workflow
    def flow(x: int) -> int:
        a, b = double(x=x), square(x=x)
        return conditional("larger").if_(a > b).then(a).else_().then(b)

    assert [flow(x=1), flow(x=5)] == [2, 25]
    assert [n.path for n in compiled(flow).nodes] == ["n0", "n1", "n2"]


def test_a_case_may_give_a_narrower_type() -> None:
    @workflow
    def flow(x: int) -> int | None:
        return conditional("c").if_(x > 5).then(double(x=x)).else_().then(maybe(x=x))

    assert [flow(x=6), flow(x=1), flow(x=0)] == [12, 1, None]
    compiled(flow)


def test_a_node_made_by_create_node_is_a_result() -> None:
    @workflow
    def flow(x: int) -> int:
        return conditional("c").if_(x > 0).then(create_node(double, x=x)).else_().then(create_node(square, x=x))

    assert flow(x=3) == 6


def test_an_imperative_workflow_has_conditionals_too() -> None:
    flow = ImperativeWorkflow("branching")
    x = flow.add_workflow_input("x", int)
    chosen = flow.create_conditional("c").if_(x > 0).then(double(x=x)).else_().then(square(x=x))
    flow.add_workflow_output("y", chosen, int)
    assert ran == []
    assert [flow(x=2), flow(x=-3)] == [4, 9]
    assert double(x=1) == 2
    compiled(flow)


# --- errors ---


def _refused(body: Any, kind: type[CompileError]) -> Any:
    @workflow
    def flow(x: int) -> int:
        return body(x)

    with pytest.raises(kind) as caught:
        _ = flow.nodes
    assert "test_conditionals.py:" in f"{caught.value.place}{caught.value}"
    return caught.value


def test_no_else_is_an_error() -> None:
    error = _refused(lambda x: conditional("c").if_(x > 0).then(double(x=x)) and double(x=x), ConditionalError)
    assert "has no else_" in error.message
    assert "else_()" in error.hint


def test_a_case_without_then_is_an_error() -> None:
    def body(x: Any) -> Any:
        conditional("c").if_(x > 0)
        return double(x=x)

    assert "has no else_" in _refused(body, ConditionalError).message


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (lambda x: conditional("c").if_(x > 0).then(1), ConditionalError, "takes what a task"),
        (lambda x: conditional("c").if_(x > 0).then(None), ConditionalError, "takes what a task"),
        (lambda x: conditional("c").if_(x > 0).fail(""), ConditionalError, "takes a message"),
        (lambda x: conditional("c").if_(x > 0 and x < 3).fail("a"), PromiseBranchError, "cannot branch"),
        (lambda x: conditional("c").if_(not x).fail("a"), PromiseBranchError, "cannot branch"),
        (lambda x: conditional("c").if_(0 < x < 3).fail("a"), PromiseBranchError, "cannot branch"),
        (lambda x: conditional("c").if_(~(x > 3)).fail("a"), PromiseBranchError, "negated"),
        (lambda x: conditional("c").if_("yes").fail("a"), PromiseError, "only conditions"),
        (lambda x: conditional("c").if_((x > 3) & 1).fail("a"), PromiseError, "only conditions"),
        (lambda x: conditional("c").if_(x > 3 & x < 4).fail("a"), PromiseError, "join this with &"),
        (
            lambda x: conditional("c").if_(x > 3).then(conditional("d").if_(x > 4).then(double(x=x))).else_().fail("b"),
            ConditionalError,
            "not complete",
        ),
    ],
)
def test_what_cannot_be_a_case_is_an_error_at_its_line(body: Any, kind: type[CompileError], said: str) -> None:
    assert said in _refused(body, kind).message


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (lambda x: x == "3", "cannot be compared with =="),
        (lambda x: x.is_none(), "cannot be compared with =="),
        (lambda x: x.is_true(), "cannot be compared with =="),
        (lambda x: fit(name="a") == fit(name="a"), "only scalars"),
        (lambda x: x == [1], "only scalars"),
        (lambda x: is_even(x=x) > False, "cannot be compared with >"),
    ],
)
def test_sides_that_can_never_be_compared_are_an_error(condition: Any, said: str) -> None:
    def body(x: Any) -> Any:
        return conditional("c").if_(condition(x)).then(double(x=x)).else_().then(square(x=x))

    error = _refused(body, TypeMismatchError)
    assert said in error.message
    assert error.expected
    assert error.actual


def test_an_enum_is_compared_with_its_members_and_with_their_values() -> None:
    @workflow
    def flow(colour: Colour, name: str) -> str:
        return (
            conditional("c")
            .if_(colour == Colour.RED.value)
            .then(say(text="red"))
            .elif_(colour == name)
            .then(say(text="named"))
            .else_()
            .then(say(text="other"))
        )

    assert flow(colour=Colour.RED, name="") == "red"
    assert flow(colour=Colour.BLUE, name="blue") == "named"
    assert flow(colour=Colour.BLUE, name="BLUE") == "other"
    compiled(flow)

    @workflow
    def misspelt(colour: Colour) -> str:
        return conditional("c").if_(colour == "rde").then(say(text="a")).else_().then(say(text="b"))

    with pytest.raises(TypeMismatchError) as caught:
        misspelt(colour=Colour.RED)
    assert caught.value.hint == "compare an enum with a member, or a member's value"


def test_cases_that_give_different_things_are_an_error() -> None:
    def types(x: Any) -> Any:
        return conditional("c").if_(x > 0).then(double(x=x)).else_().then(say(text="a"))

    def counts(x: Any) -> Any:
        return conditional("c").if_(x > 0).then(double(x=x)).else_().then(two(x=x))

    assert "different types" in _refused(types, TypeMismatchError).message
    assert "different outputs" in str(_refused(counts, CompileError))


def test_what_is_made_in_a_case_cannot_be_used_outside_of_it() -> None:
    kept: list[Any] = []

    def inside(x: Any) -> Any:
        kept.append(double(x=x))
        return kept[-1]

    def leaking(x: Any) -> Any:
        conditional("c").if_(x > 0).then(inside(x)).else_().then(square(x=x))
        return double(x=kept[-1])

    def across(x: Any) -> Any:
        return conditional("c").if_(x > 0).then(inside(x)).else_().then(square(x=kept[-1]))

    assert "a case of a conditional" in _refused(leaking, ForeignPromiseError).message
    assert "a case of a conditional" in _refused(across, ForeignPromiseError).message


def test_a_result_of_all_failing_cases_cannot_be_used() -> None:
    def body(x: Any) -> Any:
        return conditional("c").if_(x > 0).fail("a").else_().fail("b")

    @workflow
    def flow(x: int) -> int:
        return body(x)

    with pytest.raises(CompileError, match="gets no value"):
        flow(x=1)


def test_a_second_if_and_a_case_after_else_are_errors() -> None:
    def twice(x: Any) -> Any:
        section = conditional("c")
        section.if_(x > 0).then(double(x=x))
        return section.if_(x > 1).then(double(x=x))

    def after(x: Any) -> Any:
        section = conditional("c")
        open_ = section.if_(x > 0).then(double(x=x))
        open_.else_().then(double(x=x))
        return open_.elif_(x > 3).then(double(x=x))

    assert "one if_" in _refused(twice, ConditionalError).message
    assert "already ended" in _refused(after, ConditionalError).message


def test_outside_of_a_workflow_it_is_an_error_with_the_remedy() -> None:
    with pytest.raises(PromiseError, match="belongs into a workflow") as caught:
        conditional("c")
    assert caught.value.hint == "use Python's own in a task"


def test_several_findings_in_cases_are_told_together() -> None:
    @workflow
    def flow(x: int) -> int:
        return conditional("c").if_(x == "a").then(double(x=say(text="a"))).else_().then(square(y=x))

    with pytest.raises(CompileError, match="3 problems") as caught:
        flow(x=1)
    assert len(caught.value.findings) == 3
    assert str(caught.value).count("test_conditionals.py:") == 3
