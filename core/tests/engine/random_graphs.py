"""Workflows of any shape, for tests that do not choose: every construct, bound at random."""

from __future__ import annotations

import asyncio
from typing import Any

from fake_machine import Raised, interface, number, single, task_spec
from flytepath.model.task import Interface, Variable
from flytepath.model.types import INTEGER, LiteralType
from flytepath.model.workflow import (
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
