"""Workflows put together by calls, and nodes that are held on to: the same graphs, the same checks."""

from __future__ import annotations

from typing import Any

import pytest
from compiled_specs import compiled
from flytepath import (
    FlyteError,
    ImperativeWorkflow,
    LaunchPlan,
    NodeOutput,
    Resources,
    Workflow,
    create_node,
    dynamic,
    map_task,
    task,
    workflow,
)
from flytepath.errors import (
    CompileError,
    CycleError,
    DefinitionError,
    ForeignPromiseError,
    InputError,
    MissingInputError,
    PromiseError,
    TypeMismatchError,
    UnknownInputError,
)

log: list[str] = []


@task
def double(x: int) -> int:
    return 2 * x


@task
def both(x: int) -> tuple[int, str]:
    return x, str(x)


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def write(line: str) -> None:
    log.append(line)


@task
def fails(x: int) -> int:
    raise ValueError("no")


@task
def told(x: int, err: FlyteError | None = None) -> None:
    log.append(f"{x} {err.message if err else None}")


@workflow
def quadruple(x: int) -> int:
    return double(x=double(x=x))


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


def test_inputs_nodes_and_outputs() -> None:
    flow = ImperativeWorkflow("put_together")
    x = flow.add_workflow_input("x", int)
    first = flow.add_entity(double, x=x)
    second = flow.add_task(double, x=first.outputs["o0"])
    flow.add_workflow_output("y", second.outputs["o0"])
    flow.add_workflow_output("all", [first.o0, second.o0, x], list[int])
    assert flow.ready()
    assert flow(x=1) == (4, [2, 4, 1])
    assert flow(2) == (8, [4, 8, 2])
    spec = compiled(flow)
    assert spec.name == "put_together"
    assert list(spec.outputs) == ["y", "all"]
    assert spec.nodes[0].line.startswith("test_imperative.py:")


def test_it_is_importable_as_workflow_too_and_grows_after_a_run() -> None:
    assert Workflow is ImperativeWorkflow
    flow = Workflow("growing")
    flow.add_workflow_output("y", flow.add_entity(double, x=1).outputs["o0"])
    assert flow() == 2
    flow.add_workflow_output("z", flow.add_entity(double, x=3))
    assert flow() == (2, 6)


def test_sub_workflows_launch_plans_and_maps() -> None:
    plan = LaunchPlan.get_or_create(quadruple, "imperative_plan")
    flow = ImperativeWorkflow("mixed")
    x = flow.add_workflow_input("x", int)
    a = flow.add_subwf(quadruple, x=x)
    b = flow.add_launch_plan(plan, x=x)
    c = flow.add_entity(map_task(double), x=[a, b.o0, 1])
    flow.add_workflow_output("y", c)
    assert flow(x=1) == [8, 8, 2]
    assert [n.path for n in compiled(flow).nodes] == ["n0/n0", "n0/n1", "n1", "n2"]


def test_it_is_a_sub_workflow_of_others() -> None:
    flow = ImperativeWorkflow("inner_by_calls")
    flow.add_workflow_output("y", flow.add_entity(double, x=flow.add_workflow_input("x", int)))

    @workflow
    def outer(x: int) -> int:
        return double(x=flow(x=x))

    assert outer(x=1) == 4
    compiled(outer)


def test_order_and_overrides_of_its_nodes() -> None:
    flow = ImperativeWorkflow("ordered")
    late = flow.add_entity(write, line="late")
    early = flow.add_entity(write, line="early").with_overrides(requests=Resources(cpu="1"))
    early >> late
    flow()
    assert log == ["early", "late"]
    early.runs_before(late)
    spec = compiled(flow)
    assert [n.path for n in spec.nodes] == ["n1", "n0"]
    assert spec.nodes[0].overrides is not None


def test_a_failure_handler() -> None:
    flow = ImperativeWorkflow("handled")
    x = flow.add_workflow_input("x", int)
    flow.add_workflow_output("y", flow.add_entity(fails, x=x))
    flow.add_on_failure_handler(told)
    with pytest.raises(ValueError, match="no"):
        flow(x=3)
    assert log == ["3 ValueError: no"]
    assert compiled(flow).on_failure is not None


def test_what_does_not_fit_is_refused_when_it_is_added() -> None:
    flow = ImperativeWorkflow("refusing")
    x = flow.add_workflow_input("x", int)
    with pytest.raises(DefinitionError, match="already"):
        flow.add_workflow_input("x", int)
    with pytest.raises(UnknownInputError, match="'y'"):
        flow.add_entity(double, y=x)
    with pytest.raises(MissingInputError, match="'x'"):
        flow.add_entity(double)
    with pytest.raises(DefinitionError, match="only a task"):
        flow.add_entity(len, x=x)
    with pytest.raises(DefinitionError, match="2 outputs"):
        flow.add_workflow_output("y", flow.add_entity(both, x=x))
    with pytest.raises(DefinitionError, match="does not follow"):
        flow.add_workflow_output("y", [])
    with pytest.raises(DefinitionError):
        flow.add_on_failure_handler(len)
    flow.add_workflow_output("y", x)
    with pytest.raises(DefinitionError, match="already"):
        flow.add_workflow_output("y", x)


def test_wiring_is_checked_when_it_is_first_needed() -> None:
    flow = ImperativeWorkflow("unwired")
    flow.add_workflow_output("y", flow.add_entity(total, values=flow.add_entity(both, x=1).outputs["o1"]))
    with pytest.raises(TypeMismatchError) as caught:
        flow()
    assert "test_imperative.py:" in str(caught.value.place)
    with pytest.raises(CompileError, match="no nodes"):
        ImperativeWorkflow("empty")()
    with pytest.raises(DefinitionError, match="failure policy"):
        ImperativeWorkflow("hopeful", failure_policy="hope")


# --- create_node ---


def test_a_node_that_is_held_on_to() -> None:
    @workflow
    def flow(x: int) -> tuple[int, str]:
        node = create_node(both, x=x)
        assert isinstance(node.o0, NodeOutput)
        assert (node.id, list(node.outputs)) == ("n0", ["o0", "o1"])
        node.with_overrides(retries=2, name="pair")
        return create_node(double, node.o0).o0, node.outputs["o1"]

    assert flow(x=2) == (4, "2")
    spec = compiled(flow)
    assert spec.nodes[0].name == "pair"
    assert spec.nodes[0].overrides is not None


def test_nodes_run_in_the_order_of_the_arrows_whatever_the_order_of_calls() -> None:
    @workflow
    def flow() -> None:
        nodes = [create_node(write, line=str(i)) for i in range(4)]
        nodes[3] >> nodes[2]
        nodes[2] >> nodes[1]
        nodes[1] >> nodes[0]

    flow()
    assert log == ["3", "2", "1", "0"]
    assert [n.path for n in compiled(flow).nodes] == ["n3", "n2", "n1", "n0"]


def test_arrows_can_be_chained_and_mix_promises_nodes_and_sub_workflows() -> None:
    @workflow
    def inner() -> None:
        write(line="b")
        write(line="c")

    @workflow
    def flow() -> int:
        last = double(x=1)
        middle = inner()
        first = write(line="a")
        first >> middle >> last
        return last

    assert flow() == 2
    assert log == ["a", "b", "c"]
    by_path = {n.path: n for n in compiled(flow).nodes}
    assert by_path["n1/n0"].upstream == ("n2",)
    assert by_path["n1/n1"].upstream == ("n2",)
    assert by_path["n0"].upstream == ("n1/n0", "n1/n1")


def test_an_empty_sub_workflow_keeps_the_order_around_it() -> None:
    @workflow
    def passes(x: int) -> int:
        return x

    @workflow
    def flow(x: int) -> int:
        first = create_node(write, line="a")
        middle = create_node(passes, x=x)
        last = create_node(double, x=x)
        first >> middle
        middle >> last
        return last.o0

    assert flow(x=1) == 2
    assert {n.path: n.upstream for n in compiled(flow).nodes} == {"n0": (), "n2": ("n0",)}


def test_circles_are_errors_that_name_every_node() -> None:
    @workflow
    def flow() -> None:
        a, b, c = (create_node(write, line=i) for i in "abc")
        a >> b
        b >> c
        c >> a

    with pytest.raises(CycleError) as caught:
        flow()
    assert caught.value.code == "FP-CYCLE"
    assert all(f"n{i} (test_imperative.write)" in str(caught.value.actual) for i in range(3))
    assert "test_imperative.py:" in str(caught.value.place)
    assert ">>" in str(caught.value.hint)


def test_a_node_before_itself_and_a_circle_with_data_are_circles_too() -> None:
    @workflow
    def alone() -> None:
        a = create_node(write, line="a")
        a >> a

    @workflow
    def with_data() -> int:
        first = double(x=1)
        second = double(x=first)
        second >> first
        return second

    for flow in (alone, with_data):
        with pytest.raises(CycleError):
            flow()


def test_a_workflow_that_calls_itself_has_no_end() -> None:
    @workflow
    def endless(x: int) -> int:
        return endless(x=double(x=x))

    with pytest.raises(CycleError, match="calls itself") as caught:
        endless(x=1)
    assert "@dynamic" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (lambda x: create_node(len, x=x), DefinitionError, "create_node takes"),
        (lambda x: create_node(double, y=x), InputError, "no input 'y'"),
        (lambda x: create_node(double), InputError, "missing input 'x'"),
        (lambda x: create_node(double, x=x).o1, AttributeError, "no output 'o1'"),
        (lambda x: double(x=x) >> 3, PromiseError, "can come after"),
        (lambda x: double(x=x) >> x, PromiseError, "can come after"),
        (lambda x: x.with_overrides(retries=1), PromiseError, "nothing to override"),
        (lambda x: write(line="a").o0, PromiseError, "returns nothing"),
        (lambda x: 1 if write(line="a") else 2, PromiseError, "branch on"),
    ],
)
def test_what_nodes_cannot_do(body: Any, kind: type[Exception], said: str) -> None:
    @workflow
    def flow(x: int) -> None:
        body(x)

    with pytest.raises(kind, match=said):
        _ = flow.nodes


def test_create_node_belongs_into_a_graph() -> None:
    with pytest.raises(PromiseError, match="belongs into a workflow"):
        create_node(double, x=1)

    @dynamic
    def flow(n: int) -> int:
        return create_node(double, x=n)

    assert flow(n=2) == 4


def test_a_node_of_another_workflow_cannot_be_waited_for() -> None:
    kept: list[Any] = []

    @workflow
    def first() -> None:
        kept.append(create_node(write, line="a"))

    _ = first.nodes

    @workflow
    def second() -> None:
        kept[0] >> create_node(write, line="b")

    with pytest.raises(ForeignPromiseError) as caught:
        second()
    assert "test_imperative.py:" in str(caught.value.place)
