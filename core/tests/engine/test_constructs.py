"""Every construct through the scheduler, on workers in memory: what runs, in which order, and what comes out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, Machine, Posted, Raised, cached, interface, number, single, task_spec
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionStatus, NodeStatus
from flytepath.model.events import NodeSkipped, NodeSucceeded
from flytepath.model.task import Interface, Variable
from flytepath.model.types import INTEGER, STRING, Field, LiteralType
from flytepath.model.workflow import (
    Binding,
    CaseSpec,
    Comparison,
    Condition,
    FailureBinding,
    GateSpec,
    GraphSpec,
    InputBinding,
    Junction,
    ListBinding,
    LiteralBinding,
    MapSpec,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)
from flytepath.store.output_cache import CACHE_NAME, OutputCache

INC = task_spec("inc", "x")
ADD = task_spec("add", "x", "y")
FAIL = task_spec("fail", "x")
LIST = LiteralType.list_of(INTEGER)
SPECS = {task.name: task for task in (INC, ADD, FAIL)}


def fail(_request: Any, x: int) -> int:
    raise Raised(f"no {x}")


BODIES: dict[str, Any] = {"inc": lambda _r, x: x + 1, "add": lambda _r, x, y: x + y, "fail": fail}


def out(node: str) -> Binding:
    return OutputBinding(node=node, name="o0")


def const(value: int) -> Binding:
    return LiteralBinding(value=number(value))


def node(path: str, task: str, **facts: Any) -> NodeSpec:
    inputs = {name: facts.pop(name) for name in ("x", "y") if name in facts}
    return NodeSpec(path=path, task=task, inputs=inputs, **facts)


def flow(*nodes: NodeSpec, output: Binding, **facts: Any) -> WorkflowSpec:
    tasks = SPECS | facts.pop("tasks", {})
    return WorkflowSpec(
        name="w",
        interface=facts.pop("interface", interface("x")),
        nodes=nodes,
        tasks=tasks,
        outputs={"o0": output},
        **facts,
    )


def compare(operator: Any, left: Binding, right: int) -> Comparison:
    return Comparison(operator=operator, left=left, right=const(right))


def paths(machine: Machine, status: NodeStatus) -> list[str]:
    return [path for path, found in machine.state().nodes.items() if found.status is status]


# --- branches ----------------------------------------------------------------------------------------------------


def branching(*cases: CaseSpec, **facts: Any) -> WorkflowSpec:
    branch = NodeSpec(path="n1", cases=cases, interface=interface(), name="size")
    return flow(node("n0", "inc", x=InputBinding(name="x")), branch, output=out("n1"), **facts)


def case(number_: int, task: str, condition: Condition | None) -> CaseSpec:
    path = f"n1/c{number_}/n0"
    return CaseSpec(condition=condition, nodes=(node(path, task, x=out("n0")),), outputs={"o0": out(path)})


@pytest.mark.parametrize(("x", "taken", "result"), [(9, "n1/c0/n0", 11), (2, "n1/c1/n0", 4), (5, "n1/c2/n0", 7)])
def test_only_the_case_that_holds_first_runs(tmp_path: Path, x: int, taken: str, result: int) -> None:
    either = Junction(kind="or", items=(compare("==", out("n0"), 3), compare("<", out("n0"), 0)))
    spec = branching(case(0, "inc", compare(">", out("n0"), 9)), case(1, "inc", either), case(2, "inc", None))
    machine = Machine(spec, BODIES, tmp_path, x=x)
    machine.run()
    assert machine.outputs() == {"o0": result}
    assert machine.ran == ["n0", taken]
    assert set(machine.state().nodes) == {"n0", "n1", taken}


def test_a_case_that_fails_says_its_message_and_is_not_tried_again(tmp_path: Path) -> None:
    spec = branching(case(0, "inc", compare(">", out("n0"), 9)), CaseSpec(error="too small"))
    machine = Machine(spec, BODIES, tmp_path, x=1)
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.message, state.error.kind) == ("FP-BRANCH", "too small", "user")
    assert machine.ran == ["n0"]


def test_a_conditional_of_which_no_case_holds_fails(tmp_path: Path) -> None:
    machine = Machine(branching(case(0, "inc", compare(">", out("n0"), 9))), BODIES, tmp_path, x=1)
    state = machine.run()
    assert state.error is not None
    assert "no case of the conditional size holds" in state.error.message


def test_a_case_may_need_a_node_that_fails_later(tmp_path: Path) -> None:
    branch = NodeSpec(
        path="n1",
        cases=(CaseSpec(nodes=(node("n1/c0/n0", "inc", x=out("n2")),), outputs={"o0": out("n1/c0/n0")}),),
        interface=interface(),
    )
    spec = flow(
        branch,
        node("n2", "fail", x=InputBinding(name="x")),
        node("n3", "inc", x=out("n1")),
        output=out("n3"),
        failure_policy="fail_after_executable_nodes_complete",
    )
    machine = Machine(spec, BODIES, tmp_path, x=1)
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert state.failed_node == "n2"
    assert paths(machine, NodeStatus.SKIPPED) == ["n1", "n3", "n1/c0/n0"]


# --- graphs ------------------------------------------------------------------------------------------------------


def twice(**facts: Any) -> GraphSpec:
    nodes = (node("n0", "inc", x=InputBinding(name="x")), node("n1", "inc", x=out("n0")))
    return GraphSpec(
        **{"name": "twice", "interface": interface("x"), "nodes": nodes, "outputs": {"o0": out("n1")}} | facts
    )


def test_a_graph_runs_as_one_node_and_may_hold_another(tmp_path: Path) -> None:
    outer = GraphSpec(
        name="outer",
        interface=interface("x"),
        nodes=(NodeSpec(path="n0", graph="twice", inputs={"x": InputBinding(name="x")}),),
        outputs={"o0": out("n0")},
    )
    spec = flow(
        NodeSpec(path="n0", graph="outer", inputs={"x": InputBinding(name="x")}),
        output=out("n0"),
        graphs={"twice": twice(), "outer": outer},
    )
    machine = Machine(spec, BODIES, tmp_path, x=1)
    machine.run()
    assert machine.outputs() == {"o0": 3}
    assert machine.ran == ["n0/n0/n0", "n0/n0/n1"]


def test_a_branch_inside_a_graph_gets_the_paths_of_the_graph(tmp_path: Path) -> None:
    inner = branching(case(0, "inc", compare(">", out("n0"), 5)), case(1, "inc", None))
    graph = GraphSpec(name="g", interface=interface("x"), nodes=inner.nodes, outputs=inner.outputs)
    spec = flow(
        NodeSpec(path="n0", graph="g", inputs={"x": InputBinding(name="x")}), output=out("n0"), graphs={"g": graph}
    )
    machine = Machine(spec, BODIES, tmp_path, x=7)
    machine.run()
    assert machine.outputs() == {"o0": 9}
    assert machine.ran == ["n0/n0", "n0/n1/c0/n0"]


def test_the_failure_of_a_graph_names_the_node_it_began_with(tmp_path: Path) -> None:
    graph = twice(nodes=(node("n0", "inc", x=InputBinding(name="x")), node("n1", "fail", x=out("n0"))))
    spec = flow(
        NodeSpec(path="n0", graph="twice", inputs={"x": InputBinding(name="x")}),
        output=out("n0"),
        graphs={"twice": graph},
    )
    state = Machine(spec, BODIES, tmp_path, x=1).run()
    assert (state.failed_node, state.error and state.error.message) == ("n0/n1", "no 2")


@pytest.mark.parametrize(
    ("policy", "ran"), [("fail_immediately", False), ("fail_after_executable_nodes_complete", True)]
)
def test_what_can_still_run_beside_a_failure_is_for_the_graphs_policy_to_say(
    tmp_path: Path, policy: Any, ran: bool
) -> None:
    beside = (node("n1", "inc", x=InputBinding(name="x")), node("n2", "inc", x=out("n1")))
    graph = twice(
        nodes=(node("n0", "fail", x=InputBinding(name="x")), *beside), outputs={"o0": out("n0")}, failure_policy=policy
    )
    spec = flow(
        NodeSpec(path="n0", graph="twice", inputs={"x": InputBinding(name="x")}),
        output=out("n0"),
        graphs={"twice": graph},
    )
    machine = Machine(spec, BODIES, tmp_path, x=1)
    machine.run()
    assert ("n0/n2" in machine.ran) is ran


# --- failure handlers --------------------------------------------------------------------------------------------

ERROR = LiteralType(
    "struct", fields=(Field("message", STRING), Field("failed_node_id", STRING)), name="flytepath.FlyteError"
)
HANDLED = Interface(
    inputs=(
        Variable(name="x", type=INTEGER),
        Variable(name="err", type=LiteralType.union_of(ERROR, LiteralType("none"))),
    )
)
HANDLER = task_spec("handle").model_copy(update={"interface": HANDLED})


def handled(task: str) -> WorkflowSpec:
    handler = NodeSpec(path="fn0", task=task, inputs={"x": InputBinding(name="x"), "err": FailureBinding()})
    return flow(
        node("n0", "fail", x=InputBinding(name="x")),
        node("n1", "inc", x=out("n0")),
        output=out("n1"),
        on_failure=handler,
        tasks={"handle": HANDLER},
    )


def test_the_failure_handler_is_given_the_inputs_and_the_error(tmp_path: Path) -> None:
    seen: list[Any] = []
    bodies = BODIES | {"handle": lambda _r, **given: seen.append(given) or 0}
    machine = Machine(handled("handle"), bodies, tmp_path, x=4)
    state = machine.run()
    assert seen == [{"x": 4, "err": {"tag": 0, "value": {"message": "no 4", "failed_node_id": "n0"}}}]
    assert state.status is ExecutionStatus.FAILED
    assert state.error is not None
    assert state.error.message == "no 4"
    assert machine.ran == ["n0", "fn0"]


def test_the_failure_of_a_failure_handler_is_recorded_and_hides_nothing(tmp_path: Path) -> None:
    def broken(_request: Any, **_given: Any) -> int:
        raise Raised("the handler too")

    machine = Machine(handled("handle"), BODIES | {"handle": broken}, tmp_path, x=4)
    state = machine.run()
    assert state.error is not None
    assert state.error.message == "no 4"
    assert machine.state().nodes["fn0"].status is NodeStatus.FAILED


def test_a_graph_handles_its_own_failure(tmp_path: Path) -> None:
    handler = NodeSpec(path="fn0", task="inc", inputs={"x": InputBinding(name="x")})
    graph = twice(nodes=(node("n0", "fail", x=InputBinding(name="x")),), outputs={"o0": out("n0")}, on_failure=handler)
    spec = flow(
        NodeSpec(path="n0", graph="twice", inputs={"x": InputBinding(name="x")}),
        output=out("n0"),
        graphs={"twice": graph},
    )
    machine = Machine(spec, BODIES, tmp_path, x=1)
    state = machine.run()
    assert machine.ran == ["n0/n0", "n0/fn0"]
    assert state.failed_node == "n0/n0"


# --- maps --------------------------------------------------------------------------------------------------------


def mapping(values: list[int], *, task: str = "inc", optional: bool = False, **facts: Any) -> WorkflowSpec:
    item = LiteralType.union_of(INTEGER, LiteralType("none")) if optional else INTEGER
    result = LiteralType.list_of(item)
    shape = Interface(inputs=(Variable(name="x", type=LIST),), outputs=(Variable(name="o0", type=result),))
    mapped = NodeSpec(
        path="n0",
        task=task,
        map=MapSpec(mapped=("x",), **facts),
        inputs={"x": ListBinding(items=tuple(const(value) for value in values))},
        interface=shape,
    )
    whole = Interface(outputs=(Variable(name="o0", type=result),))
    return flow(mapped, output=out("n0"), interface=whole, tasks={"some": task_spec("some", "x", retries=1)})


@pytest.mark.parametrize("values", [[], [1], [3, 1, 2, 5, 4, 9, 8]])
def test_a_map_keeps_the_order_of_its_items(tmp_path: Path, values: list[int]) -> None:
    async def slow_first(_request: Any, x: int) -> int:
        for _ in range(20 - 2 * x):
            await asyncio.sleep(0)
        return x + 1

    machine = Machine(mapping(values), {"inc": slow_first}, tmp_path, slots=4)
    machine.run()
    assert machine.outputs() == {"o0": [value + 1 for value in values]}


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (3, 3), (None, 5)])
def test_no_more_items_run_at_once_than_the_map_allows(tmp_path: Path, concurrency: int | None, most: int) -> None:
    async def slow(_request: Any, x: int) -> int:
        await asyncio.sleep(0.001)
        return x

    machine = Machine(mapping(list(range(9)), concurrency=concurrency), {"inc": slow}, tmp_path, slots=5)
    machine.run()
    assert machine.most == most
    assert machine.outputs() == {"o0": list(range(9))}


def some(_request: Any, x: int) -> int:
    if x % 3 == 0:
        raise Raised(f"no {x}")
    return x


def test_a_map_that_tolerates_failures_gives_none_for_them(tmp_path: Path) -> None:
    spec = mapping([1, 2, 3, 4, 5], task="some", optional=True, min_success_ratio=0.8)
    machine = Machine(spec, {"some": some}, tmp_path)
    machine.run()
    assert machine.outputs() == {
        "o0": [{"tag": 0, "value": 1}, {"tag": 0, "value": 2}, None, {"tag": 0, "value": 4}, {"tag": 0, "value": 5}]
    }
    assert machine.ran.count("n0/2") == 2


def test_a_map_with_too_many_failures_names_the_first(tmp_path: Path) -> None:
    spec = mapping([1, 3, 2, 6, 5], task="some", optional=True, min_success_ratio=0.8)
    state = Machine(spec, {"some": some}, tmp_path).run()
    assert state.error is not None
    assert state.error.code == "FP-MAP"
    assert state.error.message == "2 of 5 items of some failed: item 1: no 3; item 3: no 6"
    assert state.error.expected == "at least 4 successes"


def test_lists_of_different_lengths_are_an_error_that_names_both(tmp_path: Path) -> None:
    shape = Interface(
        inputs=(Variable(name="x", type=LIST), Variable(name="y", type=LIST)),
        outputs=(Variable(name="o0", type=LIST),),
    )
    lists = {"x": ListBinding(items=(const(1),)), "y": ListBinding(items=(const(1), const(2)))}
    mapped = NodeSpec(path="n0", task="add", map=MapSpec(mapped=("x", "y")), inputs=lists, interface=shape)
    state = Machine(flow(mapped, output=out("n0")), BODIES, tmp_path, x=1).run()
    assert state.error is not None
    assert "'x' and 'y' are not of one length" in state.error.message


def test_items_of_a_map_may_be_graphs(tmp_path: Path) -> None:
    spec = mapping([1, 5, 7])
    mapped = spec.nodes[0].model_copy(update={"task": "", "graph": "twice"})
    spec = spec.model_copy(update={"nodes": (mapped,), "graphs": {"twice": twice()}})
    machine = Machine(spec, BODIES, tmp_path)
    machine.run()
    assert machine.outputs() == {"o0": [3, 7, 9]}


# --- gates -------------------------------------------------------------------------------------------------------


def gated(kind: str, **facts: Any) -> WorkflowSpec:
    inputs = {"value": InputBinding(name="x")} if kind == "approve" else {}
    name = "value" if kind == "approve" else "o0"
    shape = Interface(
        inputs=tuple(Variable(name=key, type=INTEGER) for key in inputs),
        outputs=() if kind == "sleep" else (Variable(name=name, type=INTEGER),),
    )
    gate = NodeSpec(
        path="n0", gate=GateSpec.model_validate({"kind": kind, "signal": "ok"} | facts), interface=shape, inputs=inputs
    )
    after = node("n1", "inc", x=InputBinding(name="x"), upstream=("n0",))
    return flow(gate, after, output=OutputBinding(node="n0", name=name) if kind != "sleep" else out("n1"))


def test_an_approval_passes_its_input_on(tmp_path: Path) -> None:
    machine = Machine(gated("approve"), BODIES, tmp_path, x=5)
    machine.log.posted.append(Posted(1, {"type": "signal", "node": "n0", "approved": True, "principal": "bob"}))
    machine.run()
    assert machine.outputs() == {"o0": 5}
    assert machine.log.posted == []
    assert [event.actor.name for event in machine.log.events if event.payload.type == "signal_received"] == ["bob"]


def test_a_refusal_fails_the_gate(tmp_path: Path) -> None:
    machine = Machine(gated("approve"), BODIES, tmp_path, x=5)
    machine.log.posted.append(Posted(1, {"type": "signal", "node": "n0", "approved": False}))
    state = machine.run()
    assert state.error is not None
    assert (state.error.code, state.error.kind, state.error.message) == ("FP-GATE", "user", "ok was not approved")


def test_a_value_that_is_waited_for_is_the_gates_output(tmp_path: Path) -> None:
    machine = Machine(gated("input", type=INTEGER), BODIES, tmp_path, x=5)
    value = number(42).to_json()
    machine.log.posted.append(Posted(1, {"type": "signal", "node": "n0", "value": value}))
    machine.log.posted.append(Posted(2, {"type": "signal", "node": "n0", "value": number(7).to_json()}))
    machine.run()
    assert machine.outputs() == {"o0": 42}


def test_a_gate_that_nobody_answers_in_time_fails(tmp_path: Path) -> None:
    state = Machine(gated("approve", timeout_seconds=0.01), BODIES, tmp_path, x=5).run()
    assert state.error is not None
    assert state.error.kind == "timeout"


def test_a_sleep_that_began_before_a_crash_does_not_begin_anew(tmp_path: Path) -> None:
    machine = Machine(gated("sleep", seconds=0.2), BODIES, tmp_path, x=5)
    with pytest.raises(Exception, match="crashed"):
        machine.run(crash_after=2)
    opened = [event for event in machine.log.events if event.payload.type == "gate_opened"]
    machine.run()
    assert [event for event in machine.log.events if event.payload.type == "gate_opened"] == opened
    assert machine.outputs() == {"o0": 6}


# --- dynamic -----------------------------------------------------------------------------------------------------


def dynamic(**facts: Any) -> tuple[WorkflowSpec, dict[str, Any]]:
    task = task_spec("dyn", "x", mode="dynamic", **facts)

    def body(request: Any, x: int) -> WorkflowSpec:
        built.append(request.attempt)
        if x < 0 and request.attempt == 1:
            raise Raised("not yet")
        nodes = (node("n0", "inc", x=const(abs(x))), node("n1", "inc", x=out("n0")))
        return WorkflowSpec(name="dyn", interface=interface(), nodes=nodes, outputs={"o0": out("n1")}, tasks=SPECS)

    built: list[int] = []
    spec = flow(node("n0", "dyn", x=InputBinding(name="x")), output=out("n0"), tasks={"dyn": task})
    return spec, BODIES | {"dyn": body, "built": built}


def test_a_dynamic_task_becomes_the_graph_it_built(tmp_path: Path) -> None:
    spec, bodies = dynamic()
    machine = Machine(spec, bodies, tmp_path, x=1)
    machine.run()
    assert machine.outputs() == {"o0": 3}
    assert machine.ran == ["n0", "n0/n0", "n0/n1"]


def test_a_dynamic_body_is_retried_and_runs_no_more_once_its_graph_is_durable(tmp_path: Path) -> None:
    spec, bodies = dynamic(retries=1)
    machine = Machine(spec, bodies, tmp_path, x=-1)
    crash = 3
    while not any(event.payload.type == "node_expanded" for event in machine.log.events):
        with pytest.raises(Exception, match="crashed"):
            machine.run(crash_after=crash)
        crash += 1
    built = len(bodies["built"])
    machine.run()
    assert len(bodies["built"]) == built
    assert machine.outputs() == {"o0": 3}


def test_a_graph_of_constants_alone_is_fine(tmp_path: Path) -> None:
    task = task_spec("dyn", "x", mode="dynamic")
    spec = flow(node("n0", "dyn", x=InputBinding(name="x")), output=out("n0"), tasks={"dyn": task})
    empty = WorkflowSpec(name="dyn", interface=interface(), outputs={"o0": const(7)})
    machine = Machine(spec, BODIES | {"dyn": lambda _r, x: empty}, tmp_path, x=1)
    machine.run()
    assert machine.outputs() == {"o0": 7}


# --- eager -------------------------------------------------------------------------------------------------------


def eager(body: Any, **facts: Any) -> tuple[WorkflowSpec, dict[str, Any]]:
    task = task_spec("eag", "x", mode="eager", **facts)
    spec = flow(node("n0", "eag", x=InputBinding(name="x")), output=out("n0"), tasks={"eag": task})
    return spec, BODIES | {"eag": body}


def test_calls_of_an_eager_task_are_nodes_below_it_and_need_no_second_slot(tmp_path: Path) -> None:
    async def body(call: Any, x: int) -> int:
        both = await asyncio.gather(call(single(INC), x=x), call(single(INC), x=x + 1))
        return await call(single(ADD), x=both[0], y=both[1])

    spec, bodies = eager(body)
    machine = Machine(spec, bodies, tmp_path, x=1, slots=1)
    machine.run()
    assert machine.outputs() == {"o0": 5}
    assert machine.ran == ["n0", "n0/0/n0", "n0/1/n0", "n0/2/n0"]


def test_eager_tasks_that_call_eager_tasks_share_one_slot(tmp_path: Path) -> None:
    async def body(call: Any, x: int) -> int:
        if x == 0:
            return await call(single(INC), x=10)
        task = task_spec("eag", "x", mode="eager")
        return sum(await asyncio.gather(call(single(task), x=x - 1), call(single(task), x=x - 1)))

    spec, bodies = eager(body)
    machine = Machine(spec, bodies, tmp_path, x=3, slots=1)
    machine.run()
    assert machine.outputs() == {"o0": 8 * 11}


def test_a_call_that_fails_raises_in_the_task_and_fails_nothing_else(tmp_path: Path) -> None:
    async def body(call: Any, x: int) -> int:
        try:
            return await call(single(FAIL), x=x)
        except Raised as error:
            return len(str(error))

    spec, bodies = eager(body)
    machine = Machine(spec, bodies, tmp_path, x=1)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert machine.outputs() == {"o0": 4}


def test_a_retry_of_an_eager_task_keeps_the_calls_that_succeeded(tmp_path: Path) -> None:
    attempts: list[int] = []

    async def body(call: Any, x: int) -> int:
        attempts.append(x)
        found = await call(single(INC), x=x)
        if len(attempts) == 1:
            raise Raised("once")
        return found

    spec, bodies = eager(body, retries=1)
    machine = Machine(spec, bodies, tmp_path, x=1)
    machine.run()
    assert machine.outputs() == {"o0": 2}
    assert machine.ran == ["n0", "n0/0/n0", "n0"]


def test_another_call_than_before_is_an_error_that_names_both(tmp_path: Path) -> None:
    attempts: list[int] = []

    async def body(call: Any, x: int) -> int:
        attempts.append(x)
        await call(single(INC), x=len(attempts))
        raise Raised("again")

    spec, bodies = eager(body, retries=3)
    state = Machine(spec, bodies, tmp_path, x=1).run()
    assert state.error is not None
    assert state.error.code == "FP-EAGER-REPLAY"
    assert len(attempts) == 2
    assert "inc with other values of x" in str(state.error.expected)


def test_a_call_nobody_waits_for_is_stopped_when_its_task_has_ended(tmp_path: Path) -> None:
    async def never(_request: Any, x: int) -> int:
        await asyncio.sleep(60)
        return x

    async def body(call: Any, x: int) -> int:
        call(single(INC), x=x).close()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        return 7

    spec, bodies = eager(body)
    machine = Machine(spec, bodies | {"inc": never}, tmp_path, x=1)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    reasons = [event.payload.reason for event in machine.log.events if isinstance(event.payload, NodeSkipped)]
    assert any("n0 ended" in reason for reason in reasons)


def test_calls_beside_one_that_fails_are_stopped_with_their_task(tmp_path: Path) -> None:
    began = asyncio.Event()

    async def never(_request: Any, x: int) -> int:
        began.set()
        await asyncio.sleep(60)
        return x

    async def failing(request: Any, x: int) -> int:
        await began.wait()
        return int(fail(request, x))

    async def body(call: Any, x: int) -> int:
        return sum(await asyncio.gather(call(single(INC), x=x), call(single(FAIL), x=x)))

    spec, bodies = eager(body)
    machine = Machine(spec, bodies | {"inc": never, "fail": failing}, tmp_path, x=1)
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert state.nodes["n0/0/n0"].status is NodeStatus.SKIPPED
    assert all(found.status.is_final for found in state.nodes.values())


def test_a_crash_beside_a_call_nobody_waits_for_leaves_nothing_open(tmp_path: Path) -> None:
    async def never(_request: Any, x: int) -> int:
        await asyncio.sleep(60)
        return x

    async def body(call: Any, x: int) -> int:
        call(single(INC), x=x).close()
        await asyncio.sleep(0.05)
        return 7

    for crash_after in range(2, 6):
        spec, bodies = eager(body)
        machine = Machine(spec, bodies | {"inc": never}, tmp_path, x=1)
        with suppress(Crash):
            machine.run(crash_after=crash_after)
        if not machine.state().status.is_final:
            machine.run()
        assert machine.outputs() == {"o0": 7}
        assert all(found.status.is_final for found in machine.state().nodes.values())


def test_a_retry_that_waits_for_a_slot_burns_no_time(tmp_path: Path) -> None:
    async def busy(_request: Any, x: int) -> int:
        await asyncio.sleep(0.3)
        return x

    def flaky(request: Any, x: int) -> int:
        if request.attempt == 1:
            raise Raised("once")
        return x

    one = node("n0", "flaky", x=InputBinding(name="x"))
    two = node("n1", "inc", x=InputBinding(name="x"))
    spec = flow(one, two, output=out("n0"), tasks={"flaky": task_spec("flaky", "x", retries=1)})
    machine = Machine(spec, {"flaky": flaky, "inc": busy}, tmp_path, slots=1, x=1)
    turns = 0

    def counted(self: Scheduler) -> list[Any]:
        nonlocal turns
        turns += 1
        return advance(self)

    advance = Scheduler._advance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scheduler, "_advance", counted)
        machine.run()
    assert machine.outputs() == {"o0": 1}
    assert turns < 20


# --- reuse -------------------------------------------------------------------------------------------------------


def test_a_result_is_found_again_and_not_computed(tmp_path: Path) -> None:
    tasks = {"inc": INC.model_copy(update={"cache": cached()})}
    spec = flow(node("n0", "inc", x=InputBinding(name="x")), node("n1", "inc", x=out("n0")), output=out("n1"))
    spec = spec.model_copy(update={"tasks": tasks})
    shelf = OutputCache(tmp_path / CACHE_NAME)
    first = Machine(spec, BODIES, tmp_path, cache=shelf, x=1)
    first.run()
    again = Machine(spec, BODIES, tmp_path, cache=shelf, x=2)
    again.run()
    assert (first.ran, again.ran) == (["n0", "n1"], ["n1"])
    assert again.outputs() == {"o0": 4}
    keys = [event.payload.cached for event in again.log.events if isinstance(event.payload, NodeSucceeded)]
    assert shelf.get(keys[0]) is not None
    assert keys[1] == ""


def test_overwriting_looks_nothing_up_and_keeps_what_came_out(tmp_path: Path) -> None:
    tasks = {"inc": INC.model_copy(update={"cache": cached(overwrite=True)})}
    spec = flow(node("n0", "inc", x=InputBinding(name="x")), output=out("n0")).model_copy(update={"tasks": tasks})
    shelf = OutputCache(tmp_path / CACHE_NAME)
    for _ in range(2):
        machine = Machine(spec, BODIES, tmp_path, cache=shelf, x=1)
        machine.run()
        assert machine.ran == ["n0"]
    assert len(shelf.entries()) == 1


def test_a_serialized_cache_computes_a_result_once(tmp_path: Path) -> None:
    tasks = {"inc": INC.model_copy(update={"cache": cached(serialize=True)})}
    spec = mapping([1, 1, 2, 1, 2]).model_copy(update={"tasks": tasks})
    machine = Machine(spec, BODIES, tmp_path, cache=OutputCache(tmp_path / CACHE_NAME), slots=5)
    machine.run()
    assert machine.outputs() == {"o0": [2, 2, 3, 2, 3]}
    assert sorted(machine.ran) == ["n0/0", "n0/2"]
