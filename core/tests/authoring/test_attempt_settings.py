from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from compiled_specs import compiled
from flytepath.authoring.declared.attempts import Retry, Timeout
from flytepath.authoring.environment import Environment
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.map_task import map_task
from flytepath.authoring.settings import TaskMetadata
from flytepath.authoring.task import task
from flytepath.authoring.workflow import ImperativeWorkflow, workflow
from flytepath.errors import DefinitionError, OverrideError
from flytepath.model.task import RetryPolicy, TaskSpec


def task_of(entity: Any) -> TaskSpec:
    """The task of the first node, with the node's own changes."""
    spec = compiled(entity)
    return spec.nodes[0].task_of(spec.tasks)


@task
def plain(x: int) -> int:
    return x


@task(timeout=30, retries=2)
def limited(x: int) -> int:
    return x


@task(
    timeout=Timeout(max_runtime=dt.timedelta(minutes=2), max_queued_time=90),
    retries=Retry(count=4, backoff=dt.timedelta(seconds=1), factor=3, limit=60, jitter=0, system=30),
)
def careful(x: int) -> int:
    return x


PATIENT = Environment(timeout=Timeout(max_queued_time=5), retries=Retry(1, backoff=2), interruptible=True)


@PATIENT.task
def patient(x: int) -> int:
    return x


@workflow
def overridden(x: int) -> int:
    node = careful(x=x)
    node.with_overrides(retries=7, timeout=Timeout(max_runtime=0), interruptible=True)
    return node


@workflow
def replaced(x: int) -> int:
    return limited(x=x).with_overrides(retries=Retry(1, backoff=5), timeout=Timeout(max_queued_time=9))


@workflow
def shortened(x: int) -> int:
    return careful(x=x).with_overrides(timeout=10).with_overrides(retries=Retry(2)).with_overrides(retries=3)


@workflow
def mapped(xs: list[int]) -> list[int]:
    return map_task(plain, metadata=TaskMetadata(retries=Retry(3, backoff=1), timeout=Timeout(max_queued_time=4)))(x=xs)


@workflow
def mapped_overridden(xs: list[int]) -> list[int]:
    return map_task(plain)(x=xs).with_overrides(retries=Retry(3), timeout=Timeout(8, 4), interruptible=True)


@workflow(timeout=dt.timedelta(hours=1))
def bounded(x: int) -> int:
    return plain(x=x)


@workflow
def around(x: int) -> int:
    return bounded(x=x)


def test_a_policy_reaches_the_spec() -> None:
    spec = task_of(careful)
    assert spec.retry == RetryPolicy(
        retries=4, system=30, backoff_seconds=1, backoff_factor=3, backoff_limit_seconds=60, jitter=0
    )
    assert (spec.timeout_seconds, spec.queue_timeout_seconds) == (120, 90)


def test_an_environment_shares_them() -> None:
    spec = task_of(patient)
    assert spec.retry == RetryPolicy(retries=1, backoff_seconds=2)
    assert (spec.timeout_seconds, spec.queue_timeout_seconds, spec.interruptible) == (None, 5, True)


def test_what_says_the_same_compiles_to_the_same() -> None:
    @task(timeout=Timeout(max_runtime=30), retries=Retry(2))
    def other(x: int) -> int:
        return x

    assert other.settings.timeout_seconds == limited.settings.timeout_seconds
    assert task_of(limited).retry == RetryPolicy(retries=2)
    stored = compiled(plain).tasks[plain.name].model_dump(exclude_defaults=True)
    assert not {"retry", "timeout_seconds", "queue_timeout_seconds", "interruptible"} & stored.keys()
    assert "timeout_seconds" not in compiled(around).model_dump(exclude_defaults=True)


def test_a_node_changes_what_it_names_and_nothing_else() -> None:
    spec = task_of(overridden)
    assert spec.retry == task_of(careful).retry.model_copy(update={"retries": 7})
    assert (spec.timeout_seconds, spec.queue_timeout_seconds, spec.interruptible) == (None, 90, True)
    spec = task_of(replaced)
    assert spec.retry == RetryPolicy(retries=1, backoff_seconds=5)
    assert (spec.timeout_seconds, spec.queue_timeout_seconds) == (30, 9)
    spec = task_of(shortened)
    assert spec.retry == RetryPolicy(retries=3)
    assert (spec.timeout_seconds, spec.queue_timeout_seconds) == (10, 90)


@pytest.mark.parametrize("flow", [mapped, mapped_overridden])
def test_items_of_a_map_have_them_too(flow: Any) -> None:
    spec = task_of(flow)
    assert spec.retry.retries == 3 and spec.queue_timeout_seconds == 4


def test_settings_come_back_as_metadata() -> None:
    metadata = careful.metadata
    assert metadata.retries == Retry(4, dt.timedelta(seconds=1), 3, 60, 0, 30)
    assert metadata.timeout == Timeout(dt.timedelta(minutes=2), dt.timedelta(seconds=90))
    assert limited.metadata.retries == 2 and limited.metadata.timeout == dt.timedelta(seconds=30)
    assert task(metadata=metadata)(lambda: None).settings.retry == careful.settings.retry  # type: ignore[call-overload]


def test_a_workflow_limits_its_whole_execution() -> None:
    assert compiled(bounded).timeout_seconds == 3600
    assert compiled(LaunchPlan.get_or_create(bounded, "bounded-plan")).timeout_seconds == 3600
    assert compiled(around).timeout_seconds is None, "the limit is that of the execution's own workflow"
    made = ImperativeWorkflow("made", timeout=5)
    made.add_workflow_output("y", made.add_entity(plain, x=1).outputs["o0"])
    assert compiled(made).timeout_seconds == 5
    assert bounded(x=1) == careful(x=1) == overridden(x=1) == 1


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (Timeout, "Timeout()"),
        (lambda: Timeout(max_runtime=-1), "Timeout(max_runtime)"),
        (lambda: Timeout(max_runtime="1h"), "Timeout(max_runtime)"),  # type: ignore[arg-type]
        (lambda: Timeout(1, max_queued_time=math.nan), "Timeout(max_queued_time)"),
        (lambda: Timeout(True), "Timeout(max_runtime)"),
        (lambda: Timeout(dt.timedelta(seconds=-1)), "Timeout(max_runtime)"),
        (lambda: Retry(-1), "Retry(count)"),
        (lambda: Retry(1.5), "Retry(count)"),  # type: ignore[arg-type]
        (lambda: Retry(True), "Retry(count)"),
        (lambda: Retry(1, backoff=-1), "Retry(backoff)"),
        (lambda: Retry(1, backoff="soon"), "Retry(backoff)"),  # type: ignore[arg-type]
        (lambda: Retry(1, factor=0.5), "Retry(factor)"),
        (lambda: Retry(1, factor=math.inf), "Retry(factor)"),
        (lambda: Retry(1, limit=math.inf), "Retry(limit)"),
        (lambda: Retry(1, jitter=2), "Retry(jitter)"),
        (lambda: Retry(1, system=-1), "Retry(system)"),
        (lambda: task(retries="3")(plain.function), "retries"),  # type: ignore[call-overload]
        (lambda: task(retries=True)(plain.function), "retries"),
        (lambda: task(timeout="1h")(plain.function), "timeout"),  # type: ignore[call-overload]
        (lambda: task(timeout=Retry(1))(plain.function), "timeout"),  # type: ignore[call-overload]
        (lambda: task(retries=Timeout(1))(plain.function), "retries"),  # type: ignore[call-overload]
        (lambda: task(interruptible=1)(plain.function), "interruptible"),  # type: ignore[call-overload]
        (lambda: workflow(timeout=-1), "workflow(timeout)"),
        (lambda: workflow(timeout=Timeout(1)), "workflow(timeout)"),  # type: ignore[call-overload]
        (lambda: ImperativeWorkflow("x", timeout="1h"), "x(timeout)"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_told_where_it_is_written(make: Any, place: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert place in str(caught.value.place)
    assert caught.value.expected


def test_an_override_that_cannot_be_meant_is_told_with_its_line() -> None:
    @workflow
    def wrong(x: int) -> int:
        return plain(x=x).with_overrides(retries="many")

    with pytest.raises(OverrideError) as caught:
        _ = wrong.graph
    assert "retries" in str(caught.value) and "test_attempt_settings.py" in str(caught.value)


def test_waits_grow_to_their_limit_and_are_spread_by_chance() -> None:
    policy = task_of(careful).retry
    assert [policy.delay(failures) for failures in (1, 2, 3, 4, 5, 10_000)] == [1, 3, 9, 27, 60, 60]
    assert policy.delay(2, 0.9) == 3, "without jitter"
    spread = RetryPolicy(backoff_seconds=10, jitter=0.5)
    assert spread.delay(1, 0.0) == 10 and 10 < spread.delay(1, 0.9) < 15
    assert RetryPolicy(retries=3).delay(3, 0.5) == 0
