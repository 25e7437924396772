"""Pause and continue: nothing new starts, what runs goes on, and such time is not held against anyone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine, Quiet, Raised, cached, task_spec
from flytepath.engine.commands import Abort, Continue, Expire, Fail, Finish, Own, Pause, Start, Succeed
from flytepath.engine.starting import Starting
from flytepath.engine.state import ExecutionStatus, NodeStatus
from flytepath.model.events import (
    AttemptFailed,
    ErrorRecord,
    Event,
    ExecutionPaused,
    GateOpened,
    NodeSucceeded,
)
from flytepath.model.task import Interface
from flytepath.model.workflow import GateSpec, NodeSpec
from flytepath.store.output_cache import CACHE_NAME, OutputCache
from shapes import SLEEP, Play, const, flow, node, order, out, post, tasks, told

CHAIN = flow(node("n0", "a"), node("n1", "b", out("n0")), tasks=tasks("a", "b"))


class Watching(Quiet):
    """Calls back when something has become durable."""

    def __init__(self, kind: type[Any], then: Any, path: str = "") -> None:
        self.kind = kind
        self.then = then
        self.path = path

    def event(self, event: Event, name: str = "") -> None:
        if isinstance(event.payload, self.kind) and getattr(event.payload, "node", "") == self.path:
            self.then()


def test_what_runs_goes_on_and_what_follows_waits_until_it_is_continued(tmp_path: Path) -> None:
    machine = Machine(CHAIN, {}, tmp_path, x=1)

    async def pauses(_request: Any, x: int) -> int:
        post(machine, type="pause", reason="lunch", principal="ada")
        while not told(machine, ExecutionPaused):
            await asyncio.sleep(0.001)
        return x + 1

    machine.bodies = {"a": pauses, "b": lambda _r, x: x * 2}
    machine.listener = Watching(NodeSucceeded, lambda: post(machine, type="continue", principal="ada"), "n0")
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    happened = [kind for kind in order(machine) if kind.split()[0] not in ("execution_created", "execution_owned")]
    assert happened == [
        "attempt_started n0",
        "execution_paused",
        "node_succeeded n0",
        "execution_continued",
        "attempt_started n1",
        "node_succeeded n1",
        "execution_succeeded",
    ]
    assert told(machine, ExecutionPaused)[0].reason == "lunch"
    actors = [event.actor.name for event in machine.log.events if isinstance(event.payload, ExecutionPaused)]
    assert actors == ["ada"]


def test_an_execution_that_was_paused_while_nobody_drove_it_stays_so(tmp_path: Path) -> None:
    machine = Machine(CHAIN, {"a": lambda _r, x: x, "b": lambda _r, x: x}, tmp_path, x=1)
    post(machine, type="pause")
    machine.listener = Watching(ExecutionPaused, lambda: post(machine, type="continue"))
    machine.run()
    assert order(machine)[2] == "execution_paused"
    assert order(machine)[3] == "execution_continued"


def test_a_pause_outlives_its_engine(tmp_path: Path) -> None:
    play = Play(CHAIN)
    play.do(Pause("lunch"))
    play.do(Own("two", 2))
    assert play.state.paused == "lunch"


def test_pausing_and_continuing_twice_is_once() -> None:
    play = Play(CHAIN)
    assert play.do(Pause("")) == ["execution_paused"]
    assert play.do(Pause("again")) == []
    assert play.state.paused == ""
    assert play.do(Continue()) == ["execution_continued"]
    assert play.do(Continue()) == []


def test_what_comes_after_the_end_means_nothing() -> None:
    play = Play(CHAIN)
    play.do(Abort("enough"))
    play.do(Finish({}))
    assert play.do(Pause("late")) == []
    assert play.do(Continue()) == []


def test_a_paused_execution_can_be_aborted(tmp_path: Path) -> None:
    machine = Machine(CHAIN, {"a": lambda _r, x: x, "b": lambda _r, x: x}, tmp_path, x=1)
    post(machine, type="pause")
    machine.listener = Watching(ExecutionPaused, lambda: post(machine, type="abort", reason="enough"))
    state = machine.run()
    assert state.status is ExecutionStatus.ABORTED
    assert machine.ran == []
    assert {found.status for found in state.nodes.values()} == {NodeStatus.SKIPPED}


def gated(gate: GateSpec) -> Any:
    shape = Interface()
    return flow(
        NodeSpec(path="n0", gate=gate, interface=shape),
        node("n1", "a", const(3), upstream=("n0",)),
        tasks=tasks("a"),
    )


@pytest.mark.parametrize("gate", [SLEEP, GateSpec(kind="approve", signal="ok")])
def test_a_gate_that_is_open_takes_its_answer_and_its_time_while_paused(tmp_path: Path, gate: GateSpec) -> None:
    machine = Machine(gated(gate), {"a": lambda _r, x: x}, tmp_path, x=1)

    class Steps(Quiet):
        def event(self, event: Event, name: str = "") -> None:
            if isinstance(event.payload, GateOpened):
                post(machine, type="pause")
            elif isinstance(event.payload, ExecutionPaused) and gate.kind == "approve":
                post(machine, type="signal", node="n0", approved=True)
            elif isinstance(event.payload, NodeSucceeded) and event.payload.node == "n0":
                post(machine, type="continue")

    machine.listener = Steps()
    machine.run()
    happened = order(machine)
    succeeded = happened.index("node_succeeded n0")
    if gate.kind == "approve":
        assert happened.index("execution_paused") < succeeded
    if "execution_paused" in happened and happened.index("execution_paused") < succeeded:
        assert happened.index("execution_continued") < happened.index("attempt_started n1")


def test_a_gate_does_not_open_while_paused(tmp_path: Path) -> None:
    machine = Machine(gated(SLEEP), {"a": lambda _r, x: x}, tmp_path, x=1)
    post(machine, type="pause")
    machine.listener = Watching(ExecutionPaused, lambda: post(machine, type="continue"))
    machine.run()
    assert order(machine).index("execution_continued") < order(machine).index("gate_opened n0")


def test_a_retry_that_is_due_waits_for_the_pause_to_end(tmp_path: Path) -> None:
    spec = flow(node("n0", "a"), tasks=tasks(task_spec("a", "x", retries=1)))
    machine = Machine(spec, {}, tmp_path, x=1)

    async def fails_once(request: Any, x: int) -> int:
        if request.attempt == 1:
            post(machine, type="pause")
            while not told(machine, ExecutionPaused):
                await asyncio.sleep(0.001)
            raise Raised("once")
        return x

    machine.bodies = {"a": fails_once}
    machine.listener = Watching(AttemptFailed, lambda: post(machine, type="continue"), "n0")
    machine.run()
    starts = [index for index, what in enumerate(order(machine)) if what == "attempt_started n0"]
    assert starts[1] > order(machine).index("execution_continued")


def patient(seconds: float) -> Any:
    return flow(node("n0", "a"), tasks=tasks(task_spec("a", "x").model_copy(update={"queue_timeout_seconds": seconds})))


def test_a_pause_does_not_count_as_waiting_for_a_turn() -> None:
    play = Play(patient(10))
    play.do(Pause(""))
    play.now += 1000
    assert play.do(Expire("n0")) == []
    play.do(Continue())
    play.now += 9
    assert play.do(Expire("n0")) == []
    play.now += 2
    assert play.do(Expire("n0"))[0] == "node_failed"


def test_time_without_any_engine_does_not_count_as_waiting_for_a_turn() -> None:
    play = Play(patient(10))
    play.now += 1000
    play.do(Own("two", 2))
    assert play.do(Expire("n0")) == []
    play.now += 11
    assert play.do(Expire("n0"))[0] == "node_failed"
    error = play.state.nodes["n0"].error
    assert error is not None
    assert "waited 11.0 s" in error.message


def test_a_result_is_not_kept_from_others_while_paused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is about to compute a result, and is paused, lets another execution compute it."""
    task = task_spec("a", "x").model_copy(update={"cache": cached(serialize=True)})
    shelf = OutputCache(tmp_path / CACHE_NAME)
    busy = flow(node("n0", "busy"), node("n1", "a"), tasks=tasks(task, "busy"))
    first = Machine(busy, {}, tmp_path / "first", slots=1, cache=shelf, x=1)
    paused, done = threading.Event(), threading.Event()
    taken = Starting.found

    def seen(self: Starting, path: str, report: Any, *, starts: bool) -> None:
        taken(self, path, report, starts=starts)
        looked.append(path)

    looked: list[str] = []
    monkeypatch.setattr(Starting, "found", seen)

    async def holds_the_slot(_request: Any, x: int) -> int:
        while not looked:  # n1 is to compute it as soon as there is a slot
            await asyncio.sleep(0.001)
        post(first, type="pause")
        while not done.is_set():
            await asyncio.sleep(0.005)
        post(first, type="continue")
        return x

    first.bodies = {"busy": holds_the_slot, "a": lambda _r, x: x}
    first.listener = Watching(ExecutionPaused, paused.set)
    beside = threading.Thread(target=first.run)
    beside.start()
    try:
        assert paused.wait(10)
        second = Machine(
            flow(node("n0", "a"), tasks=tasks(task)), {"a": lambda _r, x: x}, tmp_path / "second", cache=shelf, x=1
        )
        assert second.run().status is ExecutionStatus.SUCCEEDED
        assert second.ran == ["n0"]
    finally:
        done.set()
        beside.join(20)
    assert first.state().status is ExecutionStatus.SUCCEEDED
    assert first.ran == ["n0"]
    assert [one.node for one in told(first, NodeSucceeded) if one.cached] == ["n1"]


def test_what_succeeds_while_paused_is_not_lost() -> None:
    play = Play(CHAIN)
    play.do(Start("n0", {}))
    play.do(Pause(""))
    assert play.do(Succeed("n0", 1, {"o0": "d"})) == ["node_succeeded"]
    assert play.state.nodes["n1"].status is NodeStatus.READY
    with pytest.raises(Exception, match="n1 cannot start"):
        play.do(Start("n1", {}))
    play.do(Continue())
    assert play.do(Start("n1", {})) == ["attempt_started"]
    error = ErrorRecord(kind="user", code="E", message="no")
    assert play.do(Fail("n1", 1, error))[0] == "attempt_failed"
