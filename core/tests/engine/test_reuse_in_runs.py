"""Single flight in whole runs: slots stay free for others, several runs compute once, and crashes hold up nobody."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, Machine, Raised, cached, number, task_spec
from flytepath.model.literal import Literal
from flytepath.model.task import Interface, TaskSpec, Variable
from flytepath.model.types import INTEGER, LiteralType
from flytepath.model.workflow import (
    InputBinding,
    ListBinding,
    LiteralBinding,
    MapSpec,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)
from flytepath.testing.outputs import MemoryOutputs

INC = task_spec("inc", "x", cache=cached())


def mapped(values: list[int], task: TaskSpec = INC, **facts: Any) -> WorkflowSpec:
    listed = LiteralType.list_of(INTEGER)
    shape = Interface(inputs=(Variable(name="x", type=listed),), outputs=(Variable(name="o0", type=listed),))
    items = ListBinding(items=tuple(LiteralBinding(value=number(value)) for value in values))
    node = NodeSpec(path="n0", task=task.name, map=MapSpec(mapped=("x",), **facts), inputs={"x": items})
    return WorkflowSpec(
        name="w",
        interface=shape.model_copy(update={"inputs": ()}),
        nodes=(node,),
        tasks={task.name: task},
        outputs={"o0": OutputBinding(node="n0", name="o0")},
    )


def single(task: TaskSpec) -> WorkflowSpec:
    node = NodeSpec(path="n0", task=task.name, inputs={"x": InputBinding(name="x")})
    outputs = {"o0": OutputBinding(node="n0", name="o0")}
    return WorkflowSpec(name="w", interface=task.interface, nodes=(node,), tasks={task.name: task}, outputs=outputs)


def test_items_that_wait_take_no_slot(tmp_path: Path) -> None:
    other_ran = asyncio.Event()

    async def body(_request: Any, x: int) -> int:
        if x == 2:
            other_ran.set()
        await asyncio.wait_for(other_ran.wait(), 10)
        return x + 1

    machine = Machine(mapped([1] * 50 + [2]), {"inc": body}, tmp_path, cache=MemoryOutputs(), slots=2)
    machine.run()
    assert machine.outputs() == {"o0": [2] * 50 + [3]}
    assert len(machine.ran) == 2


def test_a_thousand_items_of_few_values_run_a_few_times(tmp_path: Path) -> None:
    machine = Machine(
        mapped([n % 5 for n in range(1000)]), {"inc": lambda _r, x: x + 1}, tmp_path, cache=MemoryOutputs()
    )
    machine.run()
    assert machine.outputs() == {"o0": [n % 5 + 1 for n in range(1000)]}
    assert len(machine.ran) == 5


def test_runs_at_the_same_time_compute_once(tmp_path: Path) -> None:
    cache, ran = MemoryOutputs(), []
    started, go_on = threading.Event(), threading.Event()

    async def body(_request: Any, x: int) -> int:
        ran.append(x)
        started.set()
        await asyncio.to_thread(go_on.wait, 10)
        return x + 1

    machines = [Machine(single(INC), {"inc": body}, tmp_path, cache=cache, x=1) for _ in range(4)]
    threads = [threading.Thread(target=machine.run) for machine in machines]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert ran == [1]
    assert [machine.outputs() for machine in machines] == [{"o0": 2}] * 4


def test_when_the_first_fails_for_good_the_next_one_tries(tmp_path: Path) -> None:
    tries: list[str] = []

    def body(request: Any, x: int) -> int:
        tries.append(request.node)
        if len(tries) < 3:
            raise Raised("no")
        return x + 1

    spec = mapped([1, 1, 1, 1], min_success_ratio=0.0)
    optional = LiteralType.list_of(LiteralType.union_of(INTEGER, LiteralType("none")))
    shape = Interface(outputs=(Variable(name="o0", type=optional),))
    machine = Machine(spec.model_copy(update={"interface": shape}), {"inc": body}, tmp_path, cache=MemoryOutputs())
    machine.run()
    assert len(tries) == 3
    assert [value is not None for value in machine.outputs()["o0"]].count(True) == 2


@pytest.mark.parametrize("crash_after", range(1, 5))
def test_after_a_crash_the_resumed_run_does_not_wait_for_itself(tmp_path: Path, crash_after: int) -> None:
    cache = MemoryOutputs()
    machine = Machine(single(INC), {"inc": lambda _r, x: x + 1}, tmp_path, cache=cache, x=1)
    try:
        machine.run(crash_after=crash_after)
    except Crash:
        machine.run()
    assert machine.outputs() == {"o0": 2}
    assert cache.reservations == {}


def test_a_cache_that_is_gone_fails_no_run(tmp_path: Path) -> None:
    cache = MemoryOutputs()
    cache.gone = True
    machine = Machine(mapped([1, 1, 2]), {"inc": lambda _r, x: x + 1}, tmp_path, cache=cache)
    machine.run()
    assert machine.outputs() == {"o0": [2, 2, 3]}


def test_a_result_is_put_when_its_success_is_durable_and_not_before(tmp_path: Path) -> None:
    cache = MemoryOutputs()
    machine = Machine(single(INC), {"inc": lambda _r, x: x + 1}, tmp_path, cache=cache, x=1)
    recorded: list[bool] = []

    def before(call: str) -> None:
        if call == "put":
            recorded.append(any(event.payload.type == "node_succeeded" for event in machine.log.events))

    cache.before = before
    machine.run()
    assert recorded == [True]
    [(outputs, _, _)] = cache.results.values()
    assert outputs == {"o0": Literal.make(INTEGER, 2)}
