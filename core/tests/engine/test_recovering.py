"""What failed is recovered, in runs of any shape: the same outputs, and what succeeded does not run again."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, Machine, Raised, interface, task_spec
from flytepath.engine.recovery import Former
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionState, NodeStatus
from flytepath.model.events import ItemsSucceeded, NodeSucceeded
from flytepath.model.workflow import InputBinding, NodeSpec, OutputBinding, WorkflowSpec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import bodies, workflows


def unlucky(seed: int) -> dict[str, Any]:
    """The tasks of random graphs, but some nodes fail; which ones follows from the seed."""

    def luckless(name: str, body: Any) -> Any:
        async def eager(call: Any, x: int) -> int:
            result: int = await body(call, x)
            return failing(f"eager {x}", result)

        def plain(request: Any, x: Any) -> Any:
            return failing(request.node, body(request, x))

        def failing(where: str, result: Any) -> Any:
            if zlib.crc32(f"{seed} {where}".encode()) % 5 == 0:
                raise Raised("unlucky")
            return result

        return eager if name == "eag" else plain

    return {name: luckless(name, body) for name, body in bodies().items()}


def recovered(machine: Machine, folder: Path, tasks: Mapping[str, Any], **settings: Any) -> Machine:
    """Run it again as a recovery of ``machine``."""
    again = Machine(machine.spec, tasks, folder, **settings)
    again.log.kept.update(machine.log.kept)
    again.log.specs.update(machine.log.specs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fake_machine.Scheduler", partial(Scheduler, former=Former("x", machine.state())))
        again.run()
    return again


def taken_over(machine: Machine) -> set[str]:
    return {
        event.payload.node
        for event in machine.log.events
        if isinstance(event.payload, NodeSucceeded) and event.payload.recovered
    }


def done_tasks(state: ExecutionState) -> set[str]:
    """Attempted nodes that have succeeded on inputs that are the same in every run: those that nothing precedes."""
    return {
        path
        for path, node in state.nodes.items()
        if node.status is NodeStatus.SUCCEEDED and node.task is not None and "/" not in path
    }


def check_recovery(folder: Path, spec: WorkflowSpec, seed: int, slots: int, x: int, crash: int) -> None:
    whole = Machine(spec, bodies(), folder, slots=slots, x=x)
    expected = whole.run()
    first = Machine(spec, unlucky(seed), folder, slots=slots, x=x)
    try:
        first.run(crash_after=crash)
    except Crash:
        first.log.posted = []
        first.run()
    ended = first.state()
    again = recovered(first, folder, bodies(), slots=slots, x=x)
    assert again.state().status is expected.status
    if again.outputs():
        assert again.outputs() == whole.outputs()
    assert not taken_over(again) & set(again.ran)
    # The outputs of tasks follow from their inputs, so what succeeded is given the same again.
    assert not done_tasks(ended) & set(again.ran)
    succeeded = {event.payload.node for event in first.log.events if isinstance(event.payload, NodeSucceeded)}
    for event in first.log.events:
        if isinstance(event.payload, ItemsSucceeded):
            succeeded |= {f"{event.payload.node}/{index}" for index, _, _ in event.payload.items}
    assert taken_over(again) <= succeeded
    # What was recovered can be recovered in its turn.
    third = recovered(again, folder, bodies(), slots=slots, x=x)
    assert third.state().status is expected.status
    assert third.outputs() == again.outputs()
    assert not done_tasks(again.state()) & set(third.ran)


CASES = {
    "spec": workflows(),
    "seed": st.integers(0, 1000),
    "slots": st.integers(1, 3),
    "x": st.integers(0, 30),
    "crash": st.integers(0, 12),
}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(**CASES)
def test_a_recovery_gives_what_an_undisturbed_run_gives(
    tmp_path_factory: pytest.TempPathFactory, spec: WorkflowSpec, seed: int, slots: int, x: int, crash: int
) -> None:
    check_recovery(tmp_path_factory.mktemp("machine"), spec, seed, slots, x, crash)


@pytest.mark.proof
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(**CASES)
def test_a_recovery_gives_what_an_undisturbed_run_gives_over_and_over(
    tmp_path_factory: pytest.TempPathFactory, spec: WorkflowSpec, seed: int, slots: int, x: int, crash: int
) -> None:
    check_recovery(tmp_path_factory.mktemp("machine"), spec, seed, slots, x, crash)


def test_a_failure_handler_runs_again_for_another_failure(tmp_path: Path) -> None:
    """It clears up behind what has failed, which has just been done again."""
    tasks = {name: task_spec(name, "x") for name in ("made", "used", "cleared")}
    given_x = {"x": InputBinding(name="x")}
    spec = WorkflowSpec(
        name="w",
        interface=interface("x"),
        nodes=(
            NodeSpec(path="n0", task="made", inputs=given_x),
            NodeSpec(path="n1", task="used", inputs={"x": OutputBinding(node="n0", name="o0")}),
        ),
        outputs={"o0": OutputBinding(node="n1", name="o0")},
        tasks=tasks,
        on_failure=NodeSpec(path="fn0", task="cleared", inputs=given_x),
    )

    def used(_request: Any, x: int) -> int:
        raise Raised("no")

    run = {"made": lambda _r, x: x, "used": used, "cleared": lambda _r, x: x}
    first = Machine(spec, run, tmp_path, x=1)
    first.run()
    assert first.ran == ["n0", "n1", "fn0"]
    again = recovered(first, tmp_path, run, x=1)
    assert again.ran == ["n1", "fn0"]
