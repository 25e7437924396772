"""A crash at any moment, in a run of any shape: what comes out is the same, and nothing that succeeded runs again."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, Machine, Raised, interface, number, single, task_spec
from flytepath.engine.state import ExecutionStatus, NodeStatus
from flytepath.model.events import NodeSucceeded
from flytepath.model.task import Interface, Variable
from flytepath.model.types import INTEGER, LiteralType
from flytepath.model.workflow import (
    ArgumentBinding,
    Binding,
    CaseSpec,
    Comparison,
    GateSpec,
    GraphSpec,
    InputBinding,
    ListBinding,
    LiteralBinding,
    MapSpec,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LIST = LiteralType.list_of(INTEGER)
TASKS = {
    "inc": task_spec("inc", "x"),
    "flaky": task_spec("flaky", "x", retries=1),
    "fail": task_spec("fail", "x"),
    "dyn": task_spec("dyn", "x", mode="dynamic"),
    "eag": task_spec("eag", "x", mode="eager", retries=1),
    "total": task_spec("total").model_copy(
        update={
            "interface": Interface(
                inputs=(Variable(name="x", type=LIST),), outputs=(Variable(name="o0", type=INTEGER),)
            )
        }
    ),
}
GRAPHS = {
    "twice": GraphSpec(
        name="twice",
        interface=interface("x"),
        nodes=(
            NodeSpec(path="n0", task="inc", inputs={"x": InputBinding(name="x")}),
            NodeSpec(path="n1", task="flaky", inputs={"x": OutputBinding(node="n0", name="o0")}),
        ),
        outputs={"o0": OutputBinding(node="n1", name="o0")},
    ),
    "mended": GraphSpec(
        name="mended",
        interface=interface("x"),
        nodes=(NodeSpec(path="n0", task="fail", inputs={"x": InputBinding(name="x")}),),
        outputs={"o0": OutputBinding(node="n0", name="o0")},
        on_failure=NodeSpec(path="fn0", task="inc", inputs={"x": InputBinding(name="x")}),
    ),
}


def bodies() -> dict[str, Any]:
    """Tasks without any memory of their own: what they do follows from the attempt and the inputs."""

    def flaky(request: Any, x: int) -> int:
        if request.attempt == 1:
            raise Raised("once")
        return x + 10

    def fail(_request: Any, x: int) -> int:
        raise Raised(f"no {x}")

    def dyn(_request: Any, x: int) -> WorkflowSpec:
        nodes = tuple(
            NodeSpec(path=f"n{index}", task="inc", inputs={"x": LiteralBinding(value=number(x + index))})
            for index in range(x % 3)
        )
        last: Binding = OutputBinding(node=nodes[-1].path, name="o0") if nodes else LiteralBinding(value=number(x))
        return WorkflowSpec(name="dyn", interface=interface(), nodes=nodes, outputs={"o0": last}, tasks=TASKS)

    async def eag(call: Any, x: int) -> int:
        both = await asyncio.gather(call(single(TASKS["inc"]), x=x), call(single(TASKS["flaky"]), x=x))
        try:
            await call(single(TASKS["fail"]), x=x)
        except Raised:
            return await call(single(TASKS["dyn"]), x=sum(both))
        return 0

    return {
        "inc": lambda _r, x: x + 1,
        "flaky": flaky,
        "fail": fail,
        "dyn": dyn,
        "eag": eag,
        "total": lambda _r, x: sum(x),
    }


KINDS = ("inc", "flaky", "dyn", "eag", "graph", "map", "branch", "sleep", "fail", "mended")


@st.composite
def workflows(draw: st.DrawFn) -> WorkflowSpec:
    nodes: list[NodeSpec] = []
    givers: list[str] = []

    def value() -> Binding:
        if givers and draw(st.booleans()):
            return OutputBinding(node=draw(st.sampled_from(givers)), name="o0")
        return draw(st.sampled_from([InputBinding(name="x"), LiteralBinding(value=number(3))]))

    for index in range(draw(st.integers(1, 5))):
        path = f"n{index}"
        kind = draw(
            st.sampled_from(["inc", "flaky", "dyn", "eag", "graph", "map", "branch", "sleep", "fail", "mended"])
        )
        upstream = tuple(draw(st.lists(st.sampled_from([n.path for n in nodes]), max_size=1)) if nodes else [])
        facts: dict[str, Any] = {"path": path, "upstream": upstream}
        if kind in TASKS:
            nodes.append(NodeSpec(task=kind, inputs={"x": value()}, **facts))
        elif kind in ("graph", "mended"):
            nodes.append(NodeSpec(graph="twice" if kind == "graph" else kind, inputs={"x": value()}, **facts))
        elif kind == "sleep":
            gate = GateSpec(kind="sleep", seconds=0.002)
            nodes.append(NodeSpec(gate=gate, interface=Interface(), **facts))
            continue
        elif kind == "map":
            items = ListBinding(items=tuple(value() for _ in range(draw(st.integers(0, 3)))))
            shape = Interface(inputs=(Variable(name="x", type=LIST),), outputs=(Variable(name="o0", type=LIST),))
            target = draw(st.sampled_from([{"task": "flaky"}, {"graph": "twice"}, {"task": "dyn"}]))
            concurrency = draw(st.sampled_from([None, 1]))
            mapped = MapSpec(mapped=("x",), concurrency=concurrency)
            nodes.append(NodeSpec(map=mapped, inputs={"x": items}, interface=shape, **target, **facts))
            facts = {"path": f"{path}t"}
            nodes.append(NodeSpec(task="total", inputs={"x": OutputBinding(node=path, name="o0")}, **facts))
        else:
            condition = Comparison(operator="<", left=value(), right=LiteralBinding(value=number(20)))
            cases = tuple(
                CaseSpec(
                    condition=condition if number_ == 0 else None,
                    nodes=(NodeSpec(path=f"{path}/c{number_}/n0", task=task, inputs={"x": value()}),),
                    outputs={"o0": OutputBinding(node=f"{path}/c{number_}/n0", name="o0")},
                )
                for number_, task in enumerate(draw(st.permutations(["flaky", "eag"])))
            )
            nodes.append(NodeSpec(cases=cases, interface=interface(), **facts))
        givers.append(nodes[-1].path)
    return WorkflowSpec(
        name="w",
        interface=interface("x"),
        nodes=tuple(nodes),
        outputs={f"o{n}": OutputBinding(node=path, name="o0") for n, path in enumerate(givers)},
        tasks=TASKS,
        graphs=GRAPHS,
        failure_policy=draw(st.sampled_from(["fail_immediately", "fail_after_executable_nodes_complete"])),
    ).model_copy(
        update={
            "interface": Interface(
                inputs=interface("x").inputs,
                outputs=tuple(Variable(name=f"o{n}", type=INTEGER) for n, _ in enumerate(givers)),
            )
        }
    )


def succeeded(machine: Machine) -> set[str]:
    return {path for path, node in machine.state().nodes.items() if node.status is NodeStatus.SUCCEEDED}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=workflows(), slots=st.integers(1, 3), x=st.integers(0, 30))
def test_a_crash_at_any_moment_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, spec: WorkflowSpec, slots: int, x: int
) -> None:
    crash_everywhere(tmp_path_factory, spec, slots, x)


@pytest.mark.proof
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=workflows(), slots=st.integers(1, 3), x=st.integers(0, 30))
def test_a_crash_at_any_moment_changes_nothing_over_and_over(
    tmp_path_factory: pytest.TempPathFactory, spec: WorkflowSpec, slots: int, x: int
) -> None:
    crash_everywhere(tmp_path_factory, spec, slots, x)


def crash_everywhere(tmp_path_factory: pytest.TempPathFactory, spec: WorkflowSpec, slots: int, x: int) -> None:
    """Run it whole, then once for each append, with a crash there and an engine that takes over."""
    folder: Path = tmp_path_factory.mktemp("machine")
    whole = Machine(spec, bodies(), folder, slots=slots, x=x)
    expected = whole.run()
    for crash_after in range(whole.log.appends):
        machine = Machine(spec, bodies(), folder, slots=slots, x=x)
        try:
            machine.run(crash_after=crash_after)
        except Crash:
            pass
        else:
            break  # it came through with fewer appends than the first: how many go together is a matter of time
        before = machine.state()
        assert all(node.status is not NodeStatus.READY or not node.waiting_for for node in before.nodes.values())
        done, machine.ran = succeeded(machine), []
        state = machine.run()
        assert state.status is expected.status
        assert not done & set(machine.ran)
        assert done <= succeeded(machine)
        if expected.status is ExecutionStatus.SUCCEEDED:
            assert machine.outputs() == whole.outputs()
        check_consistent(machine)


def check_consistent(machine: Machine) -> None:
    """What the fold says of the end, and that no node succeeded twice."""
    state = machine.state()
    assert all(node.status.is_final for node in state.nodes.values())
    assert not state.running
    assert not state.retrying
    assert not state.timers
    assert state.root.active == 0
    ends = Counter(event.payload.node for event in machine.log.events if isinstance(event.payload, NodeSucceeded))
    assert not [path for path, times in ends.items() if times > 1]
    for node in state.nodes.values():
        if node.frame is not None:
            assert node.frame.active == 0
            unfinished = [path for path in node.frame.children if not state.nodes[path].status.is_final]
            assert node.frame.unfinished == len(unfinished)


def test_arguments_are_bound_to_the_node_around(tmp_path: Path) -> None:
    spec = WorkflowSpec(
        name="w",
        interface=interface("x"),
        nodes=(NodeSpec(path="n0", graph="twice", inputs={"x": InputBinding(name="x")}),),
        outputs={"o0": OutputBinding(node="n0", name="o0")},
        tasks=TASKS,
        graphs=GRAPHS,
    )
    machine = Machine(spec, bodies(), tmp_path, x=1)
    state = machine.run()
    assert state.nodes["n0/n0"].spec.inputs == {"x": ArgumentBinding(node="n0", name="x")}
    assert machine.outputs() == {"o0": 12}
