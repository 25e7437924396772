"""Workflows: compiled once, run here by direct call, and refused with every finding when they do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from flytepath import task, workflow
from flytepath.compiler import compile_entity
from flytepath.errors import CompileError, DefinitionError, InputError, TypeTransformerFailedError
from flytepath.model.identity import Tenant
from flytepath.testing import MemoryBlobs


@dataclass
class Score:
    name: str
    value: float


@dataclass
class Tree:
    value: int
    children: list[Tree]
    best: Tree | None = None


@task
def grow(value: int) -> Tree:
    return Tree(value, [Tree(value + 1, [])], Tree(value + 2, []))


@task
def double(x: int) -> int:
    return 2 * x


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def score(name: str) -> Score:
    return Score(name, float(len(name)))


@task
def shout(text: str) -> str:
    return text.upper()


@task
def note(text: str) -> None:
    assert text


def test_a_direct_call_runs_the_compiled_graph() -> None:
    @workflow
    def flow(x: int = 2) -> int:
        return total(values=[double(x=x), double(x=3), 4])

    assert flow() == 14
    assert flow(x=5) == 20
    assert [node.path for node in flow.graph.nodes] == ["n0", "n1", "n2"]


def test_parts_of_outputs_are_promises_too() -> None:
    @workflow
    def flow(name: str) -> str:
        return shout(text=score(name=name).name)

    assert flow(name="ada") == "ADA"


def test_a_sub_workflow_becomes_part_of_the_graph() -> None:
    @workflow
    def inner(x: int) -> int:
        return double(x=double(x=x))

    @workflow
    def outer(x: int) -> int:
        return total(values=[inner(x=x), inner(x=1)])

    assert outer(x=3) == 16
    assert [n.path for n in outer.graph.nodes] == ["n0", "n1", "n2"]
    spec = compile_entity(outer, Tenant(), MemoryBlobs())
    assert [n.path for n in spec.nodes] == ["n0/n0", "n0/n1", "n1/n0", "n1/n1", "n2"]
    assert not spec.graphs


def test_a_sub_workflow_that_takes_a_part_of_its_input() -> None:
    @workflow
    def inner(given: Score) -> str:
        return shout(text=given.name)

    @workflow
    def outer(name: str) -> str:
        return inner(given=score(name=name))

    assert outer(name="bob") == "BOB"


def test_several_outputs_and_named_ones() -> None:
    class Both(NamedTuple):
        first: int
        second: str

    @workflow
    def flow(x: int) -> Both:
        return Both(double(x=x), shout(text="a"))

    assert flow(x=1) == Both(2, "A")


def test_tasks_that_return_nothing_can_be_ordered() -> None:
    @workflow
    def flow(text: str) -> str:
        said = note(text=text)
        loud = shout(text=text)
        said >> loud
        return loud

    assert flow(text="hey") == "HEY"
    said, loud = flow.nodes
    assert loud.upstream == {said}
    assert compile_entity(flow, Tenant(), MemoryBlobs()).nodes[1].upstream == ("n0",)


def test_all_wiring_errors_are_told_at_once_each_with_its_line() -> None:
    @workflow
    def flow(x: int) -> str:
        double(x=shout(text="a"))
        shout(text=x)
        return double(x=x)

    with pytest.raises(CompileError) as caught:
        flow(x=1)
    message = str(caught.value)
    assert "3 problems" in message
    assert message.count("test_workflow.py:") == 2
    assert "double(x)" in message
    assert "expected integer; got string from <promise of n0.o0>" in message


@pytest.mark.parametrize(
    ("misuse", "said"),
    [
        (lambda p: p + 1, "compute with a promise"),
        (lambda p: [*p], "iterate over a promise"),
        (lambda p: 1 if p else 2, "branch on a promise"),
        (lambda p: p and p, "branch on a promise"),
        (lambda p: 1 if p > 1 else 2, "branch on <promise"),
        (lambda p: p == 1 or p > 2, "branch on <promise"),
        (lambda p: ~p, "negate a promise"),
        (lambda p: f"{p}", "write a promise into text"),
        (float, "make a number of a promise"),
        (lambda p: 1 in p, "look into a promise"),
        (lambda p: p(), "call a promise"),
        (lambda p: -p, "compute with a promise"),
        (len, "length of a promise"),
        (lambda p: p[1:2], "index it with"),
    ],
)
def test_what_python_cannot_do_with_a_promise_is_an_error_with_the_remedy(misuse: Any, said: str) -> None:
    @workflow
    def flow(x: int) -> int:
        misuse(double(x=x))
        return double(x=x)

    with pytest.raises(CompileError, match=said) as caught:
        flow(x=1)
    assert caught.value.hint
    assert "test_workflow.py" in str(caught.value.place)


def test_missing_inputs_inside_a_workflow_are_input_errors() -> None:
    @workflow
    def flow() -> int:
        return double()

    with pytest.raises(InputError, match="missing input 'x'"):
        flow()


def test_a_constant_of_another_type_is_found_at_compile_time() -> None:
    @workflow
    def flow() -> int:
        return double(x="two")

    with pytest.raises(CompileError, match="expected int"):
        flow()


def test_a_part_that_does_not_exist_is_found_at_compile_time() -> None:
    @workflow
    def flow() -> str:
        return shout(text=score(name="a").nome)

    with pytest.raises(CompileError, match="no such part"):
        flow()


def test_a_workflow_checks_its_own_inputs() -> None:
    @workflow
    def flow(x: int) -> int:
        return double(x=x)

    with pytest.raises(TypeTransformerFailedError):
        flow(x="1")
    with pytest.raises(InputError):
        flow(y=1)


def test_a_workflow_without_a_value_for_its_output_is_refused() -> None:
    @workflow
    def flow() -> int:
        return note(text="x")

    with pytest.raises(CompileError, match="gets no value"):
        flow()


def test_an_unknown_failure_policy_is_refused() -> None:
    with pytest.raises(DefinitionError, match="failure policy"):
        workflow(failure_policy="hope")


def test_a_chain_of_thousands_has_no_recursion_limit() -> None:
    @workflow
    def flow(x: int) -> int:
        for _ in range(3000):
            x = double(x=x)
        return x

    assert len(flow.graph.nodes) == 3000
    assert flow(x=0) == 0


def test_a_promise_of_another_workflow_is_refused() -> None:
    kept: list[Any] = []

    @workflow
    def first(a: int) -> int:
        kept.extend([a, double(x=a)])
        return double(x=a)

    first(a=1)
    for promise in kept:

        @workflow
        def second(b: int) -> int:
            return double(x=promise)

        with pytest.raises(CompileError, match="another workflow"):
            second(b=1)


def test_parts_of_a_recursive_type_and_of_an_optional_are_promises_too() -> None:
    @workflow
    def flow(x: int) -> int:
        tree = grow(value=x)
        return total(values=[tree.children[0].value, tree.best.value, tree.children[0].children[0].value])

    assert [node.path for node in flow.graph.nodes] == ["n0", "n1"]

    @workflow
    def shallow(x: int) -> int:
        tree = grow(value=x)
        return total(values=[tree.children[0].value, tree.best.value])

    assert shallow(x=1) == 5
