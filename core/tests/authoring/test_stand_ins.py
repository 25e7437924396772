"""Stand-ins for tests: a mock answers in place of an entity, and is held to what the entity declares."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from flytepath import (
    LaunchPlan,
    conditional,
    dynamic,
    eager,
    map_task,
    patch,
    reference_launch_plan,
    reference_task,
    reference_workflow,
    task,
    task_mock,
    workflow,
)
from flytepath.errors import DefinitionError, EntityReferenceError, InputError, TypeTransformerFailedError


class Pair(NamedTuple):
    low: int
    high: int


@task
def fetch(day: str) -> int:
    raise RuntimeError("no network")


@task
def pair(x: int) -> Pair:
    raise RuntimeError("no network")


@task
def both(x: int) -> tuple[int, str]:
    raise RuntimeError("no network")


@task
def send(text: str) -> None:
    raise RuntimeError("no network")


@task
async def later(x: int) -> int:
    raise RuntimeError("no network")


@workflow
def daily(day: str) -> int:
    return fetch(day=day)


@dynamic
def week(n: int) -> list[int]:
    return [fetch(day=str(i)) for i in range(n)]


@reference_task(project="p", domain="d", name="lib.clean", version="v1")
def clean(rows: int) -> int: ...


@reference_workflow(project="p", domain="d", name="lib.flow", version="v1")
def remote_flow(rows: int) -> Pair: ...


@reference_launch_plan(project="p", domain="d", name="lib.plan", version="v1")
def remote_plan(rows: int) -> None: ...


def test_a_task_answers_directly_and_in_workflows_dynamics_and_maps() -> None:
    with task_mock(fetch) as mock:
        mock.side_effect = lambda day: len(day) + 0
        assert fetch(day="abc") == 3
        assert fetch("abcd") == 4
        assert daily(day="ab") == 2
        assert week(n=2) == [1, 1]
        assert map_task(fetch)(day=["a", "bb"]) == [1, 2]
        mock.assert_called_with(day="bb")
        assert mock.call_count == 7
    with pytest.raises(RuntimeError, match="no network"):
        fetch(day="a")


def test_workflows_launch_plans_and_maps_have_stand_ins() -> None:
    plan = LaunchPlan.get_or_create(daily, "stand_in_plan")

    @workflow
    def outer(day: str) -> tuple[int, int]:
        return daily(day=day), plan(day=day)

    with task_mock(daily) as inner, task_mock(plan) as planned:
        inner.return_value = 1
        planned.return_value = 2
        assert outer(day="a") == (1, 2)
        inner.assert_called_once_with(day="a")
    mapped = map_task(fetch)
    with task_mock(mapped) as mock:
        mock.return_value = [1, 2]
        assert mapped(day=["a"]) == [1, 2]


def test_several_named_and_no_outputs() -> None:
    with task_mock(pair) as named, task_mock(both) as plain, task_mock(send):
        named.return_value = (1, 2)
        plain.return_value = (1, "a")
        assert pair(x=0) == Pair(1, 2)
        assert isinstance(pair(x=0), Pair)
        assert both(x=0) == (1, "a")
        assert send(text="a") is None


def test_async_tasks_and_eager_tasks() -> None:
    @eager
    async def flow(x: int) -> int:
        return await later(x=x) + fetch(day="a")

    async def answer(x: int) -> int:
        return x + 1

    with task_mock(later) as slow, task_mock(fetch) as quick:
        quick.return_value = 10
        slow.return_value = 5
        assert asyncio.run(flow(x=1)) == 15
        slow.side_effect = answer
        assert asyncio.run(flow(x=1)) == 12
        assert asyncio.run(later(x=2)) == 3
    with task_mock(flow) as mock:
        mock.return_value = 3
        assert asyncio.run(flow(x=1)) == 3


def test_references_answer_only_through_a_stand_in() -> None:
    @workflow
    def flow(rows: int) -> int:
        remote_plan(rows=rows)
        return conditional("c").if_(rows > 1).then(clean(rows=rows)).else_().then(clean(rows=remote_flow(rows=1).low))

    with task_mock(clean) as one, task_mock(remote_flow) as two, task_mock(remote_plan):
        one.side_effect = lambda rows: rows * 10
        two.return_value = Pair(7, 8)
        assert flow(rows=2) == 20
        assert flow(rows=1) == 70
    for entity in (clean, remote_flow, remote_plan):
        with pytest.raises(EntityReferenceError, match="not in a direct call") as caught:
            entity(rows=1)
        assert "task_mock" in str(caught.value.hint)


@pytest.mark.parametrize("given", ["7", 7.0, None, [7]])
def test_what_a_mock_returns_is_checked(given: Any) -> None:
    with task_mock(fetch) as mock:
        mock.return_value = given
        for call in (lambda: fetch(day="a"), lambda: daily(day="a")):
            with pytest.raises(TypeTransformerFailedError) as caught:
                call()
            assert "fetch() -> o0" in str(caught.value.place)


def test_what_a_mock_of_anything_returns_is_checked() -> None:
    with task_mock(daily) as mock:
        mock.return_value = "a"
        with pytest.raises(TypeTransformerFailedError, match="str"):
            daily(day="a")
    with task_mock(clean) as mock:
        mock.return_value = "a"
        with pytest.raises(TypeTransformerFailedError):
            clean(rows=1)
    with task_mock(pair) as mock:
        mock.return_value = (1, 2, 3)
        with pytest.raises(TypeTransformerFailedError, match="2 outputs"):
            pair(x=1)


def test_a_mock_without_a_return_value_says_what_is_missing() -> None:
    with task_mock(fetch), pytest.raises(TypeTransformerFailedError) as caught:
        fetch(day="a")
    assert caught.value.expected == "int"
    assert "MagicMock" in str(caught.value.actual)


def test_inputs_of_a_mock_are_checked_too() -> None:
    with task_mock(fetch) as mock:
        mock.return_value = 1
        with pytest.raises(TypeTransformerFailedError):
            fetch(day=3)
        with pytest.raises(InputError):
            fetch(dy="a")
        assert mock.call_count == 0


def test_an_error_of_a_mock_comes_through() -> None:
    with task_mock(fetch) as mock:
        mock.side_effect = KeyError("gone")
        with pytest.raises(KeyError):
            daily(day="a")


def test_mocks_nest_and_end_with_their_context() -> None:
    with task_mock(fetch) as outer:
        outer.return_value = 1
        with task_mock(fetch) as inner:
            inner.return_value = 2
            assert fetch(day="a") == 2
        assert fetch(day="a") == 1
    with pytest.raises(RuntimeError), task_mock(fetch) as mock:
        mock.return_value = 1
        raise RuntimeError
    assert fetch.stand_in is None


def test_a_node_with_overrides_is_answered_too() -> None:
    @workflow
    def flow() -> int:
        return fetch(day="a").with_overrides(retries=1)

    with task_mock(fetch) as mock:
        mock.return_value = 4
        assert flow() == 4


@pytest.fixture
def number() -> int:
    return 5


@patch(fetch)
def test_patch_gives_the_mock_first_and_fixtures_by_name(mock: Any, number: int) -> None:
    mock.return_value = number
    assert daily(day="a") == 5
    mock.assert_called_once_with(day="a")


@patch(daily)
@patch(fetch)
def test_patches_stack_the_innermost_first(first: Any, second: Any, number: int) -> None:
    first.return_value = 1
    second.return_value = number
    assert (fetch(day="a"), daily(day="a")) == (1, 5)


@pytest.mark.parametrize("day", ["a", "b"])
@patch(fetch)
def test_patch_and_parameters(mock: Any, day: str) -> None:
    mock.side_effect = lambda day: ord(day) + 0
    assert fetch(day=day) == ord(day)


class TestInClasses:
    @patch(fetch)
    def test_methods_are_patched(self, mock: Any, number: int) -> None:
        mock.return_value = number
        assert fetch(day="a") == 5


@patch(fetch)
async def _patched_coroutine(mock: Any, x: int) -> int:
    mock.return_value = x
    await asyncio.sleep(0)
    return fetch(day="a")


def test_coroutines_are_patched_for_as_long_as_they_run() -> None:
    assert asyncio.run(_patched_coroutine(x=3)) == 3


def test_only_entities_have_stand_ins() -> None:
    with pytest.raises(DefinitionError, match="stand-in"), task_mock(len):
        pass
