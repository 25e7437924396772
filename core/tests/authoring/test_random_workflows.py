"""Random workflows of every construct give what plain Python gives, and compile to closed specs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from compiled_specs import compiled
from flytepath import LaunchPlan, conditional, dynamic, map_task, task, workflow
from flytepath.model.workflow import NodeSpec
from hypothesis import given, settings
from hypothesis import strategies as st

#: One step: what it does, and which earlier values it takes, counted from the last one.
Step = tuple[str, int, int, int]


@task
def double(x: int) -> int:
    return 2 * x


@task
def add(x: int, y: int) -> int:
    return x + y


@task
def total(values: list[int]) -> int:
    return sum(values)


@dynamic
def grown(n: int) -> int:
    return total(values=[double(x=i) for i in range(n % 3)])


@workflow
def sub(x: int, y: int) -> int:
    return conditional("in sub").if_(x > y).then(add(x=x, y=double(x=y))).else_().then(double(x=y))


plan = LaunchPlan.get_or_create(sub, "random_plan", fixed_inputs={"y": 3})


def plain_sub(x: int, y: int) -> int:
    return x + 2 * y if x > y else 2 * y


BUILT: dict[str, Callable[[Any, Any, Any], Any]] = {
    "double": lambda a, b, c: double(x=a),
    "add": lambda a, b, c: add(x=a, y=b),
    "constant": lambda a, b, c: add(x=a, y=7),
    "total": lambda a, b, c: total(values=[a, b, 5, c]),
    "sub": lambda a, b, c: sub(x=a, y=b),
    "plan": lambda a, b, c: plan(x=a),
    "dynamic": lambda a, b, c: grown(n=a),
    "map": lambda a, b, c: total(values=map_task(double)(x=[a, b, c])),
    "if": lambda a, b, c: conditional("c").if_((a > b) | (b == c)).then(double(x=a)).else_().then(sub(x=b, y=c)),
    "nested if": lambda a, b, c: (
        conditional("outer")
        .if_(a <= b)
        .then(conditional("inner").if_(b != c).then(add(x=b, y=c)).else_().then(double(x=c)))
        .elif_(a > 1000)
        .then(total(values=[a, b]))
        .else_()
        .then(double(x=add(x=a, y=c)))
    ),
}
PLAIN: dict[str, Callable[[int, int, int], int]] = {
    "double": lambda a, b, c: 2 * a,
    "add": lambda a, b, c: a + b,
    "constant": lambda a, b, c: a + 7,
    "total": lambda a, b, c: a + b + 5 + c,
    "sub": lambda a, b, c: plain_sub(a, b),
    "plan": lambda a, b, c: plain_sub(a, 3),
    "dynamic": lambda a, b, c: sum(2 * i for i in range(a % 3)),
    "map": lambda a, b, c: 2 * (a + b + c),
    "if": lambda a, b, c: 2 * a if a > b or b == c else plain_sub(b, c),
    "nested if": lambda a, b, c: (b + c if b != c else 2 * c) if a <= b else a + b if a > 1000 else 2 * (a + c),
}
STEPS = st.lists(st.tuples(st.sampled_from(sorted(BUILT)), *[st.integers(0, 4)] * 3), min_size=1, max_size=12)


def applied(steps: list[Step], table: dict[str, Any], x: Any, y: Any) -> list[Any]:
    values = [x, y]
    for kind, *back in steps:
        values.append(table[kind](*(values[-1 - (offset % len(values))] for offset in back)))
    return values[2:]


def every(nodes: tuple[NodeSpec, ...]) -> Iterator[NodeSpec]:
    for node in nodes:
        yield node
        for case in node.cases:
            yield from every(case.nodes)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(-5, 5), st.integers(-5, 5))
def test_a_random_workflow_gives_what_python_gives(steps: list[Step], x: int, y: int) -> None:
    @workflow
    def flow(x: int, y: int) -> list[int]:
        return applied(steps, BUILT, x, y)

    assert flow(x=x, y=y) == applied(steps, PLAIN, x, y)
    spec = compiled(flow)
    paths = [node.path for node in every(spec.nodes)]
    assert len(set(paths)) == len(paths)
    for node in every(spec.nodes):
        assert set(node.upstream) <= set(paths)
        assert all(b.node in paths for b in node.inputs.values() if b.kind == "output")
        assert not node.task or node.task in spec.tasks
        assert not node.graph or node.graph in spec.graphs


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_nodes_run_in_an_order_that_keeps_every_arrow(order: list[int], arrows: set[tuple[int, int]]) -> None:
    kept = [(a, b) for a, b in arrows if order.index(a) < order.index(b)]

    @workflow
    def flow() -> list[int]:
        nodes = [double(x=i) for i in range(6)]
        for before, after in kept:
            nodes[before] >> nodes[after]
        return nodes

    assert flow() == [0, 2, 4, 6, 8, 10]
    ran = [int(node.path[1:]) for node in flow.nodes]
    assert all(ran.index(before) < ran.index(after) for before, after in kept)
    assert {int(n.path[1:]): len(n.upstream) for n in compiled(flow).nodes} == {
        i: len({a for a, b in kept if b == i}) for i in range(6)
    }
