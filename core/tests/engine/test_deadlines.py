"""Time that is over: of the whole execution, in the queue, of an attempt; and whose budget a failure is charged to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fake_machine import FakePool, Machine, Raised, task_spec
from flytepath.engine.commands import Abort, Expand, Expire, Fail, Finish, Own, Start, StartItems, TimeOut
from flytepath.engine.decisions import ENGINE_LOSSES
from flytepath.engine.state import ExecutionStatus, NodeStatus
from flytepath.model.events import AttemptFailed, AttemptStarted, DeadlinePassed, ErrorRecord, NodeFailed
from flytepath.model.messages import AttemptErred
from flytepath.model.task import Interface, RetryPolicy, TaskSpec
from flytepath.model.workflow import GateSpec, NodeSpec, WorkflowSpec
from shapes import Play, X, created_with, fan, flow, node, order, out, run_of, tasks, told


async def endless(_request: Any, x: int) -> int:
    await asyncio.sleep(60)
    return x


def at_once(_request: Any, x: int) -> int:
    return x


def timed(spec: WorkflowSpec, bodies: dict[str, Any], folder: Path, seconds: float = 0.05, **settings: Any) -> Machine:
    """An execution that may take so long from now on."""
    machine = Machine(spec, bodies, folder, x=1, **settings)
    machine.log.events[0] = machine.log.events[0].model_copy(update={"at": now()})
    return created_with(machine, timeout_seconds=seconds)


def now() -> float:
    import time

    return time.time()


SLOW = flow(node("n0", "slow"), node("n1", "quick", out("n0")), tasks=tasks("slow", "quick"))


def test_what_runs_is_killed_when_the_whole_has_taken_too_long(tmp_path: Path) -> None:
    machine = timed(SLOW, {"slow": endless, "quick": at_once}, tmp_path)
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.kind) == ("FP-EXECUTION-TIMEOUT", "timeout")
    assert state.failed_node is None
    assert machine.ran == ["n0"]
    assert {path: found.status for path, found in state.nodes.items()} == {
        "n0": NodeStatus.SKIPPED,
        "n1": NodeStatus.SKIPPED,
    }
    assert order(machine).count("deadline_passed") == 1


def test_the_timeout_of_the_workflow_holds_where_none_was_asked_for(tmp_path: Path) -> None:
    spec = SLOW.model_copy(update={"timeout_seconds": 0.05})
    machine = timed(spec, {"slow": endless, "quick": at_once}, tmp_path, seconds=0.0)
    assert machine.run().status is ExecutionStatus.FAILED
    shorter = timed(spec.model_copy(update={"timeout_seconds": 3600.0}), machine.bodies, tmp_path, seconds=0.05)
    assert shorter.run().status is ExecutionStatus.FAILED


def test_a_failure_handler_runs_after_the_time_is_over_and_has_time(tmp_path: Path) -> None:
    async def clears(_request: Any, x: int) -> int:
        await asyncio.sleep(0.1)
        return x

    spec = SLOW.model_copy(
        update={"tasks": tasks("slow", "quick", "clears"), "on_failure": node("fn0", "clears")},
    )
    machine = timed(spec, {"slow": endless, "quick": at_once, "clears": clears}, tmp_path)
    state = machine.run()
    assert machine.ran == ["n0", "fn0"]
    assert state.nodes["fn0"].status is NodeStatus.SUCCEEDED
    assert state.status is ExecutionStatus.FAILED
    assert state.error is not None
    assert state.error.code == "FP-EXECUTION-TIMEOUT"


@pytest.mark.parametrize("gate", [GateSpec(kind="approve", signal="ok"), GateSpec(kind="sleep", seconds=60)])
def test_a_gate_does_not_hold_the_time_up(tmp_path: Path, gate: GateSpec) -> None:
    spec = flow(
        NodeSpec(path="n0", gate=gate, interface=Interface()),
        node("n1", "quick", X, upstream=("n0",)),
        tasks=tasks("quick"),
    )
    state = timed(spec, {"quick": at_once}, tmp_path).run()
    assert state.status is ExecutionStatus.FAILED
    assert not state.timers


def test_time_goes_on_while_an_execution_is_paused_or_nobody_drives_it() -> None:
    play = Play(SLOW, timeout_seconds=10.0)
    play.now += 9
    assert play.do(TimeOut()) == []
    play.do(Own("two", 2))
    play.now += 2
    assert play.do(TimeOut()) == ["deadline_passed"]
    assert play.do(TimeOut()) == []
    assert play.do(Finish({}))[-1] == "execution_failed"


def test_an_execution_that_is_aborted_has_no_deadline_any_more() -> None:
    play = Play(SLOW, timeout_seconds=10.0)
    play.do(Abort("enough"))
    play.now += 100
    assert play.do(TimeOut()) == []


def test_an_execution_that_ends_in_time_is_left_alone(tmp_path: Path) -> None:
    machine = timed(SLOW, {"slow": at_once, "quick": at_once}, tmp_path, seconds=3600)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert not told(machine, DeadlinePassed)


# --- in the queue ------------------------------------------------------------------------------------------------


def impatient(name: str = "quick", seconds: float = 0.05) -> TaskSpec:
    return task_spec(name, "x").model_copy(update={"queue_timeout_seconds": seconds})


async def for_a_while(_request: Any, x: int) -> int:
    await asyncio.sleep(0.2)
    return x


@pytest.mark.parametrize("policy", ["fail_immediately", "fail_after_executable_nodes_complete"])
def test_a_node_that_waits_too_long_for_a_slot_fails_and_the_policy_says_what_follows(
    tmp_path: Path, policy: Any
) -> None:
    spec = flow(
        node("n0", "slow"),
        node("n1", "quick"),
        node("n2", "after", out("n0")),
        node("n3", "after", out("n1")),
        tasks=tasks("slow", "after", impatient()),
        failure_policy=policy,
    )
    machine = run_of(spec, {"slow": for_a_while, "quick": at_once, "after": at_once}, tmp_path, slots=1)
    state = machine.state()
    [failed] = told(machine, NodeFailed)
    assert (failed.node, failed.error.code, failed.error.kind) == ("n1", "FP-QUEUE-TIMEOUT", "timeout")
    assert "max_queued_time" in failed.error.hint
    assert state.status is ExecutionStatus.FAILED
    assert state.nodes["n3"].status is NodeStatus.SKIPPED
    goes_on = policy != "fail_immediately"
    assert machine.ran == (["n0", "n2"] if goes_on else ["n0"])


def test_a_node_that_gets_its_slot_in_time_is_left_alone(tmp_path: Path) -> None:
    spec = flow(node("n0", "slow"), node("n1", "quick"), tasks=tasks("slow", impatient(seconds=60)))
    assert run_of(spec, {"slow": for_a_while, "quick": at_once}, tmp_path, slots=1).outputs() == {"o0": 1}


def test_a_node_waits_from_when_it_could_start_and_not_from_the_beginning(tmp_path: Path) -> None:
    spec = flow(node("n0", "slow"), node("n1", "quick", out("n0")), tasks=tasks("slow", impatient()))
    assert run_of(spec, {"slow": for_a_while, "quick": at_once}, tmp_path, slots=1).outputs() == {"o0": 1}


def test_items_of_a_map_wait_for_their_own_turn_and_their_map_tolerates_what_it_says(tmp_path: Path) -> None:
    spec = fan([1, 2, 3], impatient("t"), min_successes=1)
    machine = run_of(spec, {"t": for_a_while}, tmp_path, slots=1)
    assert machine.outputs() == {"o0": [{"tag": 0, "value": 1}, None, None]}
    assert [failed.node for failed in told(machine, NodeFailed)] == ["n0/1", "n0/2"]


def test_what_is_stopped_anyway_does_not_fail_for_having_waited() -> None:
    play = Play(flow(node("n0", "quick"), tasks=tasks(impatient())))
    play.do(Abort("enough"))
    play.now += 100
    assert play.do(Expire("n0")) == []


def test_an_attempt_that_runs_waits_for_no_turn() -> None:
    play = Play(flow(node("n0", "quick"), tasks=tasks(impatient())))
    play.do(Start("n0", {}))
    play.now += 100
    assert play.do(Expire("n0")) == []


# --- budgets -----------------------------------------------------------------------------------------------------


def budget(retries: int, system: int, **facts: Any) -> TaskSpec:
    retry = RetryPolicy(retries=retries, system=system, backoff_seconds=0)
    return task_spec("t", "x").model_copy(update={"retry": retry, **facts})


def error(kind: Any, **facts: Any) -> ErrorRecord:
    return ErrorRecord(kind=kind, code="E", message="no", **facts)


def failing(task: TaskSpec, *kinds: str) -> tuple[Play, list[bool]]:
    """Fail an attempt for each kind; which attempts were interruptible."""
    play, flags = Play(flow(node("n0", "t"), tasks=tasks(task))), []
    for number, kind in enumerate(kinds, 1):
        play.do(Start("n0", {}))
        started = [event.payload for event in play.events if isinstance(event.payload, AttemptStarted)]
        flags.append(started[-1].interruptible)
        play.do(Fail("n0", number, error(kind)))
    return play, flags


@pytest.mark.parametrize(
    ("kinds", "failed"),
    [
        (["user"], False),
        (["user", "user"], True),
        (["timeout", "timeout"], True),
        (["user", "timeout"], True),
        (["system", "preempted"], False),
        (["system", "preempted", "system"], True),
        (["system", "user", "preempted"], False),
        (["system", "user", "preempted", "user"], True),
    ],
)
def test_a_failure_is_charged_to_whose_it_is(kinds: list[str], failed: bool) -> None:
    play, _ = failing(budget(1, 2), *kinds)
    assert play.state.nodes["n0"].status.is_final == failed


def test_the_last_attempt_that_the_system_allows_for_is_not_interruptible() -> None:
    _, flags = failing(budget(1, 2, interruptible=True), "preempted", "user", "preempted")
    assert flags == [True, True, True]
    play, flags = failing(budget(5, 2, interruptible=True), "preempted", "preempted", "user", "user")
    assert flags == [True, True, False, False]
    assert not play.state.nodes["n0"].status.is_final
    _, flags = failing(budget(5, 2), "preempted")
    assert flags == [False]


def test_an_attempt_is_told_whether_it_may_be_taken_away(tmp_path: Path) -> None:
    told_of: list[bool] = []

    class Preempting(FakePool):
        async def _outcome(self, request: Any, report: Any) -> Any:
            told_of.append(request.interruptible)
            return AttemptErred(error=error("preempted"))

    spec = flow(node("n0", "t"), tasks=tasks(budget(0, 2, interruptible=True)))
    machine = Machine(spec, {}, tmp_path, x=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fake_machine.FakePool", Preempting)
        state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert told_of == [True, True, False]
    assert [attempt.interruptible for attempt in told(machine, AttemptStarted)] == told_of
    assert [failed.error.kind for failed in told(machine, AttemptFailed)] == ["preempted"] * 3


def test_items_of_a_map_are_interruptible_each_by_its_own_budget() -> None:
    play = Play(fan([1], budget(0, 1, interruptible=True)))
    play.do(Expand("n0", {}, items=2))
    play.do(StartItems("n0", (0, 1)))
    play.do(Fail("n0/0", 1, error("preempted")))
    assert not play.state.nodes["n0/0"].is_interruptible
    assert play.state.nodes["n0/1"].is_interruptible


def test_attempts_that_were_lost_with_their_engine_are_charged_to_nobody_up_to_a_point() -> None:
    play = Play(flow(node("n0", "t"), tasks=tasks(budget(0, 1, interruptible=True))))
    for number in range(ENGINE_LOSSES):
        play.do(Start("n0", {}))
        assert play.state.nodes["n0"].is_interruptible
        assert play.do(Own("another", number + 2)) == ["execution_owned", "attempt_lost"]
    found = play.state.nodes["n0"]
    assert (found.user_failures, found.system_failures, found.losses) == (0, 0, ENGINE_LOSSES)
    play.do(Start("n0", {}))
    assert play.do(Own("another", 99))[-1] == "node_failed"


def test_pauses_between_attempts_grow_to_their_limit_and_are_scattered() -> None:
    policy = RetryPolicy(retries=9, backoff_seconds=1.0, backoff_factor=3.0, backoff_limit_seconds=10.0, jitter=0.5)
    assert [policy.delay(failures) for failures in (1, 2, 3, 4, 5000)] == [1.0, 3.0, 9.0, 10.0, 10.0]
    assert [policy.delay(failures, 0.5) for failures in (1, 4)] == [1.25, 12.5]
    play = Play(flow(node("n0", "t"), tasks=tasks(budget(9, 9).model_copy(update={"retry": policy}))))
    waits = []
    for attempt in (1, 2, 3):
        play.do(Start("n0", {}))
        play.do(Fail("n0", attempt, error("user"), jitter=0.5))
        waits.append(play.state.retrying["n0"] - play.now)
        play.now += 100
    assert waits == [1.25, 3.75, 11.25]


def test_a_failure_that_no_retry_can_help_is_the_last(tmp_path: Path) -> None:
    play = Play(flow(node("n0", "t"), tasks=tasks(budget(9, 9))))
    play.do(Start("n0", {}))
    play.do(Fail("n0", 1, error("user", recoverable=False)))
    assert play.state.nodes["n0"].status is NodeStatus.FAILED


def test_a_task_that_raises_keeps_nothing_for_the_next_execution(tmp_path: Path) -> None:
    def fails(_request: Any, x: int) -> int:
        raise Raised("no")

    state = run_of(flow(node("n0", "t"), tasks=tasks(budget(2, 0))), {"t": fails}, tmp_path).state()
    assert state.nodes["n0"].attempt == 3
    assert not state.retrying
