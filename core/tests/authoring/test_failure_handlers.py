"""``on_failure``: what runs when a workflow fails, with its inputs and the error; the failure stays what it was."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from compiled_specs import compiled
from flytepath import FlyteError, LaunchPlan, WorkflowFailurePolicy, conditional, dynamic, map_task, task, workflow
from flytepath.errors import BranchFailedError, CompileError, DefinitionError

log: list[str] = []


@task
def fails(x: int) -> int:
    raise KeyError(f"no {x}")


@task
def double(x: int) -> int:
    log.append(f"double {x}")
    return 2 * x


@task
def told(x: int, err: FlyteError | None = None, channel: str = "mail") -> None:
    log.append(f"{x} {err.message if err else None} at {err.failed_node_id if err else None} by {channel}")


@task
def plainly() -> None:
    log.append("failed")


@task
def strictly(err: FlyteError) -> None:
    log.append(err.message)


@task
def breaks(x: int) -> None:
    raise RuntimeError("the handler too")


@workflow
def cleaning(x: int, err: FlyteError | None = None) -> None:
    double(x=x)
    told(x=x, err=err)


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


@workflow(on_failure=told)
def watched(x: int) -> int:
    return fails(x=double(x=x))


def test_the_handler_gets_the_inputs_and_the_error_and_the_failure_stays() -> None:
    with pytest.raises(KeyError, match="no 4") as caught:
        watched(x=2)
    assert log == ["double 2", "2 KeyError: 'no 4' at n1 by mail"]
    assert any("in task" in note for note in caught.value.__notes__)


def test_it_does_not_run_where_nothing_fails() -> None:
    @workflow(on_failure=told)
    def fine(x: int) -> int:
        return double(x=x)

    assert fine(x=1) == 2
    assert log == ["double 1"]


def test_it_is_a_node_of_its_own_in_the_spec() -> None:
    spec = compiled(watched)
    handler = spec.on_failure
    assert handler is not None
    assert (handler.path, handler.task) == ("fn0", told.name)
    assert {name: binding.kind for name, binding in handler.inputs.items()} == {
        "x": "input",
        "err": "failure",
        "channel": "literal",
    }
    assert told.name in spec.tasks


def test_handlers_that_take_less_or_need_the_error() -> None:
    @workflow(on_failure=plainly)
    def one(x: int) -> int:
        return fails(x=x)

    @workflow(on_failure=strictly)
    def two(x: int) -> int:
        return fails(x=x)

    for flow in (one, two):
        with pytest.raises(KeyError):
            flow(x=1)
        compiled(flow)
    assert log == ["failed", "KeyError: 'no 1'"]


def test_a_workflow_is_a_handler() -> None:
    @workflow(on_failure=cleaning)
    def flow(x: int) -> int:
        return fails(x=x)

    with pytest.raises(KeyError):
        flow(x=3)
    assert log == ["double 3", "3 KeyError: 'no 3' at n0 by mail"]
    spec = compiled(flow)
    assert spec.on_failure is not None
    assert spec.on_failure.kind == "graph"
    assert len(spec.graphs[cleaning.name].nodes) == 2


def test_handlers_of_sub_workflows_run_first_and_each_sees_its_own_node() -> None:
    @workflow(on_failure=plainly)
    def outer(x: int) -> int:
        return double(x=watched(x=x))

    with pytest.raises(KeyError):
        outer(x=1)
    assert log == ["double 1", "1 KeyError: 'no 2' at n1 by mail", "failed"]
    spec = compiled(outer)
    assert [n.kind for n in spec.nodes] == ["graph", "task"]
    assert spec.graphs[watched.name].on_failure is not None


def test_through_a_launch_plan_with_fixed_inputs() -> None:
    plan = LaunchPlan.get_or_create(watched, "handled_plan", fixed_inputs={"x": 5})
    with pytest.raises(KeyError):
        plan()
    assert log[-1].startswith("5 KeyError")
    handler = compiled(plan).on_failure
    assert handler is not None
    assert handler.inputs["x"].kind == "literal"


def test_a_branch_that_fails_is_a_failure_with_its_message() -> None:
    @workflow(on_failure=told)
    def flow(x: int) -> int:
        return conditional("c").if_(x > 0).then(double(x=x)).else_().fail("too small")

    with pytest.raises(BranchFailedError):
        flow(x=-1)
    assert log == ["-1 too small at n0 by mail"]


def test_a_handler_that_fails_does_not_hide_the_failure(caplog: pytest.LogCaptureFixture) -> None:
    @workflow(on_failure=breaks)
    def flow(x: int) -> int:
        return fails(x=x)

    with caplog.at_level(logging.WARNING, "flytepath"), pytest.raises(KeyError) as caught:
        flow(x=1)
    assert any("the handler too" in note for note in caught.value.__notes__)
    assert "failure handler" in caplog.text


def test_a_workflow_of_its_own_policy_or_handler_is_a_graph_beside() -> None:
    @workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
    def patient(x: int) -> int:
        return double(x=x)

    @workflow(failure_policy="fail_after_executable_nodes_complete")
    def outer(x: int) -> int:
        return patient(x=x)

    @workflow
    def hasty(x: int) -> int:
        return patient(x=x)

    assert compiled(outer).nodes[0].path == "n0/n0"
    assert compiled(outer).failure_policy == "fail_after_executable_nodes_complete"
    spec = compiled(hasty)
    assert spec.nodes[0].kind == "graph"
    assert spec.graphs[patient.name].failure_policy == "fail_after_executable_nodes_complete"


def test_a_handler_the_workflow_cannot_call_is_refused_at_definition() -> None:
    @task
    def needs(y: int) -> None:
        assert y

    @task
    def other_type(x: str) -> None:
        assert x

    for handler, said in ((needs, "needs an input 'y'"), (other_type, "another type"), (len, "takes a task")):
        with pytest.raises(DefinitionError, match=said) as caught:

            @workflow(on_failure=handler)
            def flow(x: int) -> int:
                return double(x=x)

        assert str(caught.value.place).endswith("flow(on_failure)")


def test_a_handler_that_does_not_fit_together_is_told_with_the_workflow() -> None:
    @workflow
    def unwired(x: int) -> None:
        double(x="a")

    @workflow(on_failure=unwired)
    def flow(x: int) -> int:
        return double(x=x)

    with pytest.raises(CompileError, match="str"):
        flow(x=1)
    assert log == []


@workflow
def failing_inside(x: int) -> int:
    return double(x=fails(x=x))


@dynamic
def failing_later(x: int) -> int:
    return failing_inside(x=double(x=x))


@workflow
def failing_branch(x: int) -> int:
    return conditional("c").if_(x > 0).then(failing_inside(x=x)).else_().then(fails(x=x))


failing_plan = LaunchPlan.get_or_create(failing_inside, "failing_plan")


@pytest.mark.parametrize(
    ("entity", "node"),
    [
        (failing_inside, "n0/n0"),
        (failing_plan, "n0/n0"),
        (failing_later, "n0/n1/n0"),
        (failing_branch, "n0/n0/c0/n0/n0"),
        (lambda x: map_task(fails)(x=[x])[0], "n0/0"),
        (lambda x: map_task(failing_inside)(x=[x])[0], "n0/0/n0"),
        (fails, "n0"),
    ],
)
def test_the_node_that_failed_first_is_named_by_its_whole_path(entity: Any, node: str) -> None:
    @workflow(on_failure=told)
    def flow(x: int) -> int:
        return entity(x=x)  # type: ignore[no-any-return]

    with pytest.raises(KeyError):
        flow(x=1)
    assert f" at {node} by" in log[-1]
