"""The fold and the decider, without a store, a clock or a process."""

from __future__ import annotations

from typing import Any

import pytest
from flytepath.engine.commands import (
    Abort,
    Command,
    Fail,
    Finish,
    Own,
    Refuse,
    Start,
    Stop,
    Succeed,
)
from flytepath.engine.decisions import ENGINE_LOSSES, decide
from flytepath.engine.fold import apply, fold
from flytepath.engine.state import ExecutionState, ExecutionStatus, NodeStatus
from flytepath.errors import ExecutionStateError
from flytepath.model.events import Actor, ErrorRecord, Event, ExecutionCreated, Payload
from flytepath.model.task import Interface, RetryPolicy, TaskSpec
from flytepath.model.workflow import NodeSpec, OutputBinding, WorkflowSpec
from hypothesis import given, settings
from hypothesis import strategies as st

ENGINE = Actor(kind="engine", name="e")
USER_ERROR = ErrorRecord(kind="user", code="FP-TASK-FAILED", message="no")
SYSTEM_ERROR = ErrorRecord(kind="system", code="FP-WORKER", message="killed")


def graph(
    edges: dict[str, list[str]], *, retries: int = 0, system: int = 3, policy: Any = "fail_immediately"
) -> WorkflowSpec:
    """A workflow whose node ``n`` takes an output of every node in ``edges[n]``."""
    task = TaskSpec(
        name="t", interface=Interface(), retry=RetryPolicy(retries=retries, system=system, backoff_seconds=1)
    )
    nodes = tuple(
        NodeSpec(path=path, task="t", inputs={f"i{k}": OutputBinding(node=up, name="o0") for k, up in enumerate(ups)})
        for path, ups in edges.items()
    )
    return WorkflowSpec(name="w", interface=Interface(), nodes=nodes, tasks={"t": task}, failure_policy=policy)


class Log:
    """A state and the events that made it."""

    def __init__(self, spec: WorkflowSpec) -> None:
        self.spec = spec
        self.state = ExecutionState.of(spec)
        self.events: list[Event] = []
        self.now = 100.0
        self._record(
            ExecutionCreated(project="p", domain="d", workflow="w", workflow_version="v", spec="s", bundle="b")
        )
        self.do(Own("one", 1))

    def _record(self, payload: Payload) -> None:
        event = Event(execution="x", seq=self.state.seq + 1, at=self.now, actor=ENGINE, payload=payload)
        apply(self.state, event)
        self.events.append(event)

    def do(self, command: Command) -> list[str]:
        payloads = decide(self.state, command, self.now)
        for payload in payloads:
            self._record(payload)
        return [payload.type for payload in payloads]

    def start(self, path: str) -> int:
        self.do(Start(path, {}))
        return self.state.nodes[path].attempt

    def succeed(self, path: str) -> None:
        self.do(Succeed(path, self.start(path), {"o0": f"d-{path}"}))

    def fail(self, path: str, error: ErrorRecord = USER_ERROR) -> list[str]:
        return self.do(Fail(path, self.start(path), error))


def test_a_node_becomes_ready_when_the_last_node_it_needs_has_succeeded() -> None:
    log = Log(graph({"a": [], "b": [], "c": ["a", "b"]}))
    log.succeed("a")
    assert list(log.state.ready) == ["b"]
    log.succeed("b")
    assert list(log.state.ready) == ["c"]
    log.succeed("c")
    assert log.do(Finish({})) == ["execution_succeeded"]
    assert log.state.status is ExecutionStatus.SUCCEEDED


def test_a_failure_within_the_budget_is_tried_again_when_its_time_has_come() -> None:
    log = Log(graph({"a": []}, retries=1))
    assert log.fail("a") == ["attempt_failed"]
    assert log.state.nodes["a"].status is NodeStatus.RETRYING
    with pytest.raises(ExecutionStateError):
        log.do(Start("a", {}))
    log.now += 1
    log.succeed("a")
    assert log.state.nodes["a"].attempt == 2


def test_the_last_failure_fails_the_node_and_skips_what_needs_it() -> None:
    log = Log(graph({"a": [], "b": ["a"], "c": ["b"], "d": []}, policy="fail_after_executable_nodes_complete"))
    assert log.fail("a") == ["attempt_failed", "node_failed", "node_skipped", "node_skipped"]
    assert [log.state.nodes[p].status for p in "abc"] == [NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.SKIPPED]
    with pytest.raises(ExecutionStateError):
        log.do(Finish())
    log.succeed("d")
    assert log.do(Finish()) == ["execution_failed"]
    assert log.state.first_failed == "a"


def test_failing_immediately_skips_what_could_still_have_run() -> None:
    log = Log(graph({"a": [], "d": []}))
    log.fail("a")
    with pytest.raises(ExecutionStateError):
        log.do(Start("d", {}))
    assert log.do(Finish()) == ["node_skipped", "execution_failed"]


def test_what_ran_beside_a_failure_is_skipped_and_not_failed() -> None:
    log = Log(graph({"a": [], "b": [], "c": ["b"]}))
    beside = log.start("b")
    log.fail("a")
    assert log.do(Stop("b", beside)) == ["attempt_failed", "node_skipped", "node_skipped"]
    assert log.state.nodes["b"].reason == "ended because a failed"
    assert log.do(Stop("b", beside)) == []
    assert log.do(Finish()) == ["execution_failed"]


def test_failures_of_the_system_do_not_use_up_the_users_budget() -> None:
    log = Log(graph({"a": []}, retries=0, system=2))
    for _ in range(2):
        assert log.fail("a", SYSTEM_ERROR) == ["attempt_failed"]
        log.now += 10
    assert log.fail("a", SYSTEM_ERROR) == ["attempt_failed", "node_failed"]


def test_an_error_that_a_retry_cannot_help_is_not_retried() -> None:
    log = Log(graph({"a": []}, retries=5))
    assert log.fail("a", USER_ERROR.model_copy(update={"recoverable": False})) == ["attempt_failed", "node_failed"]


def test_a_new_owner_starts_lost_attempts_again_and_spares_what_succeeded() -> None:
    log = Log(graph({"a": [], "b": []}))
    log.succeed("a")
    log.start("b")
    assert log.do(Own("two", 2)) == ["execution_owned", "attempt_lost"]
    assert list(log.state.ready) == ["b"]
    assert log.start("b") == 2
    assert log.state.nodes["a"].status is NodeStatus.SUCCEEDED


def test_an_engine_that_is_lost_is_charged_to_no_budget() -> None:
    log = Log(graph({"a": []}, system=0))
    for epoch in range(2, 12):
        log.start("a")
        assert log.do(Own("next", epoch)) == ["execution_owned", "attempt_lost"]
    assert log.state.nodes["a"].status is NodeStatus.READY


def test_a_task_that_kills_its_engine_every_time_fails_in_the_end() -> None:
    log = Log(graph({"a": []}))
    for epoch in range(2, 2 + ENGINE_LOSSES):
        log.start("a")
        log.do(Own("next", epoch))
    log.start("a")
    assert log.do(Own("last", 99)) == ["execution_owned", "attempt_lost", "node_failed"]


def test_a_report_of_an_attempt_that_is_no_longer_current_changes_nothing() -> None:
    log = Log(graph({"a": []}))
    first = log.start("a")
    log.do(Own("two", 2))
    log.start("a")
    assert log.do(Succeed("a", first, {})) == []
    assert log.do(Fail("a", first, USER_ERROR)) == []


def test_an_abort_lets_nothing_start_and_ends_the_execution() -> None:
    log = Log(graph({"a": [], "b": []}))
    attempt = log.start("a")
    assert log.do(Abort("enough")) == ["abort_requested"]
    assert log.do(Abort("again")) == []
    assert log.do(Stop("a", attempt)) == ["attempt_failed", "node_skipped"]
    assert log.do(Finish())[-1] == "execution_aborted"
    with pytest.raises(ExecutionStateError):
        log.do(Abort("late"))


def test_an_event_that_is_missing_is_noticed() -> None:
    log = Log(graph({"a": []}))
    with pytest.raises(ExecutionStateError, match="missing"):
        fold(log.spec, log.events[1:])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_order_of_commands_folds_to_a_consistent_state(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 6))
    edges = {
        f"n{i}": data.draw(st.lists(st.sampled_from([f"n{j}" for j in range(i)]), unique=True, max_size=3)) if i else []
        for i in range(size)
    }
    policy = data.draw(st.sampled_from(["fail_immediately", "fail_after_executable_nodes_complete"]))
    log = Log(graph(edges, retries=1, system=1, policy=policy))
    succeeded: set[str] = set()
    for _ in range(60):
        state = log.state
        if state.status.is_final:
            break
        log.now += data.draw(st.sampled_from([0.0, 0.5, 30.0]))
        choices: list[Command] = [Own("next", state.epoch + 1)]
        if not state.is_stopping:
            due = [p for p, at in state.retrying.items() if at <= log.now]
            choices += [Start(path, {}) for path in [*state.ready, *due]]
            choices += [Refuse(path, USER_ERROR) for path in state.ready]
        for path, attempt in state.running.items():
            choices += [Succeed(path, attempt, {}), Fail(path, attempt, USER_ERROR), Fail(path, attempt, SYSTEM_ERROR)]
            choices += [Stop(path, attempt)] if state.is_stopping else []
        if not state.running and (not state.unfinished or state.is_stopping):
            choices.append(Finish())
        if len(log.events) > 20:
            choices.append(Abort("enough"))
        log.do(data.draw(st.sampled_from(choices)))
        statuses = {path: node.status for path, node in log.state.nodes.items()}
        assert succeeded <= {p for p, s in statuses.items() if s is NodeStatus.SUCCEEDED}
        succeeded = {p for p, s in statuses.items() if s is NodeStatus.SUCCEEDED}
        assert log.state.unfinished == sum(not s.is_final for s in statuses.values())
        assert set(log.state.running) == {p for p, s in statuses.items() if s is NodeStatus.RUNNING}
        assert set(log.state.ready) == {p for p, s in statuses.items() if s is NodeStatus.READY}
        for path in log.state.running:
            assert set(edges[path]) <= succeeded
    assert fold(log.spec, log.events) == log.state
