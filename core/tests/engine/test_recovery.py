"""A crash at any moment, in a run of any shape: what comes out is the same, and nothing that succeeded runs again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fake_machine import Crash, Machine, interface
from flytepath.engine.state import ExecutionStatus, NodeStatus
from flytepath.model.events import ItemsSucceeded, NodeSucceeded
from flytepath.model.workflow import (
    ArgumentBinding,
    InputBinding,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import GRAPHS, TASKS, bodies, workflows


def succeeded(machine: Machine) -> set[str]:
    """Every node that has succeeded, items of maps too."""
    state = machine.state()
    found = {path for path, node in state.nodes.items() if node.status is NodeStatus.SUCCEEDED}
    for path, node in state.nodes.items():
        items = node.frame.items if node.frame is not None else None
        for index in range(items.size) if items is not None else ():
            if items is not None and items.status_of(index) is NodeStatus.SUCCEEDED:
                found.add(f"{path}/{index}")
    return found


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
    for event in machine.log.events:
        if isinstance(event.payload, ItemsSucceeded):
            ends.update(f"{event.payload.node}/{index}" for index, _, _ in event.payload.items)
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
