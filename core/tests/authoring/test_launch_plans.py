"""Launch plans: fixed and default inputs, one name for one set of values, and their specs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from compiled_specs import compiled
from flytepath import (
    Annotations,
    ConcurrencyLimitBehavior,
    ConcurrencyPolicy,
    CronSchedule,
    Email,
    FixedRate,
    Labels,
    LaunchPlan,
    Options,
    WorkflowExecutionPhase,
    dynamic,
    reference_workflow,
    task,
    workflow,
)
from flytepath.compiler import compile_launch_plan
from flytepath.errors import InputError, LaunchPlanError, OverrideError, TypeTransformerFailedError
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.testing import MemoryBlobs


@task
def add(x: int, y: int) -> int:
    return x + y


@task
def join(names: list[str], rate: float) -> str:
    return f"{'-'.join(names)} {rate}"


@workflow
def total(x: int, y: int = 5) -> int:
    """Add two."""
    return add(x=x, y=y)


@workflow
def named(names: list[str], rate: float = 0.5) -> str:
    return join(names=names, rate=rate)


@workflow
def timed(at: dt.datetime, x: int = 1) -> int:
    return add(x=x, y=1)


@pytest.fixture(autouse=True)
def _forget() -> Any:
    LaunchPlan.clear_cache()
    yield
    LaunchPlan.clear_cache()


def test_fixed_and_default_inputs() -> None:
    plan = LaunchPlan.get_or_create(total, "ten", fixed_inputs={"y": 10})
    assert plan(x=1) == 11
    assert plan(2) == 12
    with pytest.raises(InputError, match="no input 'y'"):
        plan(x=1, y=2)
    other = LaunchPlan.create("start", total, default_inputs={"x": 3})
    assert [other(), other(x=4), other(x=4, y=1)] == [8, 9, 5]
    assert other.interface.defaults == {"x": 3, "y": 5}


def test_defaults_are_not_shared_with_whoever_gave_them() -> None:
    given = ["a"]
    plan = LaunchPlan.create("own", named, default_inputs={"names": given})
    given.append("b")
    assert plan() == "a 0.5"


def test_in_a_workflow_it_is_a_node_with_a_graph_of_its_own() -> None:
    plan = LaunchPlan.get_or_create(total, "hundred", fixed_inputs={"y": 100})

    @workflow
    def flow(x: int) -> int:
        return add(x=plan(x=x), y=plan(x))

    assert flow(x=1) == 202
    spec = compiled(flow)
    assert [node.kind for node in spec.nodes] == ["graph", "graph", "task"]
    assert spec.nodes[0].graph == "hundred"
    graph = spec.graphs["hundred"]
    assert [v.name for v in graph.interface.inputs] == ["x"]
    assert graph.nodes[0].inputs["y"].kind == "literal"
    assert graph.nodes[0].inputs["x"].kind == "input"


def test_in_a_dynamic() -> None:
    plan = LaunchPlan.get_or_create(total, "dynamically")

    @dynamic
    def flow(n: int) -> list[int]:
        return [plan(x=i) for i in range(n)]

    assert flow(n=2) == [5, 6]


def test_its_own_spec_has_the_fixed_inputs_in_place() -> None:
    plan = LaunchPlan.get_or_create(total, "seven", fixed_inputs={"y": 7}, default_inputs={"x": 2})
    spec = compiled(plan)
    assert spec.name == "seven"
    assert [(v.name, v.required) for v in spec.interface.inputs] == [("x", False)]
    assert spec.nodes[0].inputs["y"].kind == "literal"


def test_a_workflow_that_returns_a_fixed_input() -> None:
    @workflow
    def passing(x: int, names: list[str]) -> tuple[int, str]:
        return add(x=x, y=x), names[0]

    plan = LaunchPlan.get_or_create(passing, "passed", fixed_inputs={"names": ["a", "b"]})
    assert plan(x=1) == (2, "a")
    assert compiled(plan).outputs["o1"].kind == "literal"


def test_the_same_values_give_the_same_launch_plan() -> None:
    schedule = CronSchedule(schedule="0 9 * * *")
    first = LaunchPlan.get_or_create(total, "same", fixed_inputs={"x": 1}, schedule=schedule, labels=Labels({"a": "b"}))
    again = LaunchPlan.get_or_create(
        total, "same", fixed_inputs={"x": 1}, schedule=CronSchedule(schedule="0 9 * * *"), labels=Labels({"a": "b"})
    )
    assert first is again
    assert first.schedule == schedule


@pytest.mark.parametrize(
    ("changed", "named_value"),
    [
        ({"fixed_inputs": {"x": 2}}, "fixed_inputs"),
        ({"fixed_inputs": {}}, "fixed_inputs"),
        ({"fixed_inputs": {"x": 1}, "default_inputs": {"y": 1}}, "default_inputs"),
        ({"fixed_inputs": {"x": 1}, "labels": Labels({"a": "c"})}, "labels"),
        ({"fixed_inputs": {"x": 1}, "max_parallelism": 3}, "max_parallelism"),
        ({"fixed_inputs": {"x": 1}, "overwrite_cache": True}, "overwrite_cache"),
        (
            {"fixed_inputs": {"x": 1}, "notifications": [Email([WorkflowExecutionPhase.FAILED], ["a@b.example"])]},
            "notifications",
        ),
    ],
)
def test_a_name_with_other_values_is_an_error_that_says_which(changed: dict[str, Any], named_value: str) -> None:
    LaunchPlan.get_or_create(total, "taken", fixed_inputs={"x": 1})
    with pytest.raises(LaunchPlanError, match="with other values") as caught:
        LaunchPlan.get_or_create(total, "taken", **changed)
    assert named_value in str(caught.value.expected)
    assert caught.value.code == "FP-LAUNCH-PLAN"
    assert caught.value.place == "taken"


def test_a_name_of_another_workflow_or_created_twice_is_an_error() -> None:
    LaunchPlan.create("once", total)
    with pytest.raises(LaunchPlanError, match="already"):
        LaunchPlan.create("once", total)
    with pytest.raises(LaunchPlanError, match="other values"):
        LaunchPlan.get_or_create(named, "once")


def test_a_workflow_that_is_defined_again_takes_its_launch_plans_along() -> None:
    def define(amount: int) -> Any:
        @workflow
        def again(x: int) -> int:
            return add(x=x, y=amount)

        return again

    LaunchPlan.get_or_create(define(1), "again", fixed_inputs={"x": 1})
    assert LaunchPlan.get_or_create(define(2), "again", fixed_inputs={"x": 1})() == 3
    assert LaunchPlan.create("again", define(3), fixed_inputs={"x": 1})() == 4
    with pytest.raises(LaunchPlanError, match="other values"):
        LaunchPlan.get_or_create(define(2), "again", fixed_inputs={"x": 2})
    with pytest.raises(LaunchPlanError, match="already"):
        LaunchPlan.create("again", define(2), fixed_inputs={"x": 2})


def test_every_workflow_has_a_default_launch_plan() -> None:
    plan = LaunchPlan.get_default_launch_plan(None, total)
    assert plan is LaunchPlan.get_or_create(total)
    assert plan.name == total.name
    assert plan(x=1) == 6

    @workflow(default_options=Options(labels=Labels({"team": "a"}), max_parallelism=3))
    def optioned(x: int) -> int:
        return add(x=x, y=x)

    default = LaunchPlan.get_or_create(optioned)
    assert default.settings["labels"] == Labels({"team": "a"})
    assert default.settings["max_parallelism"] == 3


def test_the_recorded_launch_plan() -> None:
    plan = LaunchPlan.create(
        "recorded",
        total,
        default_inputs={"x": 2},
        fixed_inputs={"y": 3},
        schedule=FixedRate(dt.timedelta(hours=1)),
        notifications=[Email([WorkflowExecutionPhase.FAILED], ["a@b.example"])],
        labels=Labels({"a": "1"}),
        annotations=Annotations({"b": "2"}),
        max_parallelism=4,
        overwrite_cache=True,
        auto_activate=True,
        concurrency=ConcurrencyPolicy(max_concurrency=1, behavior=ConcurrencyLimitBehavior.SKIP),
    )
    spec = compile_launch_plan(plan, "sha256:abc", MemoryBlobs())
    assert LaunchPlanSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.workflow == total.name
    assert spec.fixed["y"].data == 3
    assert [v.name for v in spec.interface.inputs] == ["x"]
    assert spec.schedule is not None
    assert spec.schedule["kind"] == "rate"
    assert spec.notifications[0]["kind"] == "Email"
    assert spec.concurrency is not None
    assert (spec.labels, spec.annotations) == ({"a": "1"}, {"b": "2"})
    assert (spec.max_parallelism, spec.overwrite_cache, spec.auto_activate) == (4, True, True)
    assert spec.documentation == "Add two."
    assert compile_launch_plan(plan, "sha256:abc", MemoryBlobs()) == spec


def test_a_schedule_gives_its_time_to_an_input() -> None:
    plan = LaunchPlan.get_or_create(
        timed, "daily", schedule=CronSchedule(schedule="@daily", kickoff_time_input_arg="at")
    )
    assert plan.schedule is not None
    with pytest.raises(LaunchPlanError, match="not open"):
        LaunchPlan.create("bad", timed, schedule=CronSchedule(schedule="@daily", kickoff_time_input_arg="when"))
    with pytest.raises(LaunchPlanError, match="nobody gives a scheduled run its input 'at'"):
        LaunchPlan.create("lonely", timed, schedule=CronSchedule(schedule="@daily"))


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: LaunchPlan.create("a", total, fixed_inputs={"z": 1}), "a(fixed_inputs['z'])"),
        (lambda: LaunchPlan.create("a", total, default_inputs={"x": "1"}), "a(default_inputs['x'])"),
        (lambda: LaunchPlan.create("a", named, fixed_inputs={"names": ["b", 1]}), "a(fixed_inputs['names'][1])"),
        (lambda: LaunchPlan.create("a", total, {"x": 1}, {"x": 1}), "a(x)"),
        (lambda: LaunchPlan.create("a", add), "a"),
        (lambda: LaunchPlan.create("a", lambda: 1), "a"),
        (lambda: LaunchPlan.create("", total), "LaunchPlan(name)"),
        (lambda: LaunchPlan.create("a", total, schedule="0 9 * * *"), "a(schedule)"),
        (lambda: LaunchPlan.create("a", total, labels={"a": "b"}), "a(labels)"),
        (lambda: LaunchPlan.create("a", total, notifications=["me"]), "a(notifications)"),
        (lambda: LaunchPlan.create("a", total, max_parallelism=-1), "a(max_parallelism)"),
        (lambda: LaunchPlan.create("a", total, auth_role="b"), "a(auth_role)"),
        (lambda: LaunchPlan.get_or_create(total, "a", colour="red"), "a(colour)"),
        (lambda: LaunchPlan.get_or_create(total, fixed_inputs={"x": 1}), "LaunchPlan of"),
        (lambda: LaunchPlan.get_default_launch_plan(None, add), "LaunchPlan"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(make: Any, place: str) -> None:
    with pytest.raises((LaunchPlanError, TypeError)) as caught:
        make()
    assert place in str(getattr(caught.value, "place", caught.value))


def test_a_refused_launch_plan_leaves_its_name_free() -> None:
    with pytest.raises(LaunchPlanError):
        LaunchPlan.create("free", total, fixed_inputs={"z": 1})
    assert LaunchPlan.create("free", total)(x=1) == 6


def test_inputs_are_checked_when_it_is_called() -> None:
    plan = LaunchPlan.get_or_create(total, "checked")
    with pytest.raises(TypeTransformerFailedError):
        plan(x="1")
    with pytest.raises(InputError, match="missing input 'x'"):
        plan()


def test_overrides_of_a_launch_plan_cannot_be_honoured() -> None:
    plan = LaunchPlan.get_or_create(total, "plain")

    @workflow
    def flow(x: int) -> int:
        return plan(x=x).with_overrides(retries=1)

    with pytest.raises(OverrideError, match="retries"):
        flow(x=1)


def test_a_launch_plan_of_a_reference() -> None:
    @reference_workflow(project="p", domain="d", name="lib.total", version="v1")
    def registered(x: int, y: int) -> int: ...

    plan = LaunchPlan.get_or_create(registered, "of_reference", fixed_inputs={"y": 2})
    spec = compiled(plan, fetch=lambda _kind, _identity: (compiled(total), "sha256:b"))
    assert spec.nodes[0].kind == "graph"
    assert spec.nodes[0].inputs["y"].kind == "literal"
    assert [v.name for v in spec.interface.inputs] == ["x"]
