"""Eager tasks in direct calls: values from calls, coroutines to await, errors that can be caught by their own class."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any, NamedTuple

import pytest
from compiled_specs import compiled
from flytepath import EagerException, LaunchPlan, dynamic, eager, map_task, task, task_mock, workflow
from flytepath.authoring.conducting import conducted
from flytepath.authoring.eager import call_failed
from flytepath.authoring.entity import Entity
from flytepath.errors import DefinitionError, EagerError, InputError, PromiseError, TypeTransformerFailedError
from flytepath.model.events import ErrorRecord


class Ends(NamedTuple):
    low: int
    high: int


class OddError(Exception):
    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"{number} is odd: {reason}")
        self.number = number


@task
def double(x: int) -> int:
    return 2 * x


@task
async def slow_double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
def fails(x: int) -> int:
    raise ValueError(f"not {x}")


@task
def odd(x: int) -> int:
    raise OddError(x, "so")


@task
def nothing(x: int) -> None:
    assert x


@workflow
def quadruple(x: int) -> int:
    return double(x=double(x=x))


@dynamic
def powers(n: int) -> list[int]:
    return [double(x=i) for i in range(n)]


@eager
async def over(x: int, limit: int = 10) -> int:
    while x <= limit:
        x = double(x=x)
    return x


@eager
async def twice(x: int) -> int:
    return await over(x=await over(x=x, limit=3))


def test_calls_give_values_that_python_can_use() -> None:
    assert asyncio.run(over(x=3)) == 12
    assert asyncio.run(over(3, limit=100)) == 192


def test_async_tasks_are_awaited_many_at_once() -> None:
    @eager
    async def flow(n: int) -> list[int]:
        return list(await asyncio.gather(*[slow_double(x=i) for i in range(n)]))

    assert asyncio.run(flow(n=4)) == [0, 2, 4, 6]


def test_async_calls_really_overlap() -> None:
    both = threading.Barrier(2, timeout=10)

    @task
    async def meets(x: int) -> int:
        await asyncio.to_thread(both.wait)
        return x

    @eager
    async def flow() -> int:
        return sum(await asyncio.gather(meets(x=1), meets(x=2)))

    assert asyncio.run(flow()) == 3


def test_eager_tasks_nest() -> None:
    assert asyncio.run(twice(x=1)) == 16


def test_workflows_dynamics_maps_and_launch_plans_are_called_too() -> None:
    plan = LaunchPlan.get_or_create(quadruple, "eager_plan", fixed_inputs={"x": 2})

    @eager
    async def flow(x: int) -> tuple[int, list[int], list[int], int]:
        nothing(x=x)
        return quadruple(x=x), powers(n=x), map_task(double)(x=[x]), plan()

    assert asyncio.run(flow(x=2)) == (8, [0, 2], [4], 8)


def test_named_outputs() -> None:
    @eager
    async def flow(x: int) -> Ends:
        return Ends(double(x=x), quadruple(x=x))

    assert asyncio.run(flow(x=1)) == Ends(2, 4)


def test_in_a_workflow_it_is_one_task_node() -> None:
    @workflow
    def flow(x: int) -> int:
        return double(x=over(x=x))

    assert flow(x=3) == 24
    spec = compiled(flow)
    assert [node.kind for node in spec.nodes] == ["task", "task"]
    assert spec.tasks[over.name].mode == "eager"


def test_in_a_workflow_called_inside_of_a_running_loop() -> None:
    @workflow
    def flow(x: int) -> int:
        return over(x=x)

    async def main() -> int:
        return flow(x=3)

    assert asyncio.run(main()) == 12


def test_a_failure_is_an_eager_error_and_of_its_own_class() -> None:
    caught: list[BaseException] = []

    @eager
    async def flow(x: int) -> int:
        try:
            return fails(x=x)
        except EagerException as error:
            caught.append(error)
        try:
            return fails(x=x)
        except ValueError as error:
            caught.append(error)
        return -1

    assert asyncio.run(flow(x=7)) == -1
    first, second = caught
    assert isinstance(first, EagerError)
    assert isinstance(first, ValueError)
    assert isinstance(second, EagerError)
    assert first.code == "FP-EAGER"
    assert "not 7" in str(first)
    assert isinstance(first.__cause__, ValueError)
    assert any("in task" in note for note in first.__cause__.__notes__)


def test_a_failure_of_a_class_with_an_init_of_its_own_is_still_of_that_class() -> None:
    @eager
    async def flow(x: int) -> str:
        try:
            odd(x=x)
        except OddError as error:
            return f"{error} {error.number}"
        return ""

    assert "3 is odd: so 3" in asyncio.run(flow(x=3))


def test_a_failure_nobody_catches_is_the_eager_tasks_own() -> None:
    @eager
    async def flow(x: int) -> int:
        return fails(x=x)

    with pytest.raises(EagerException, match="not 1") as caught:
        asyncio.run(flow(x=1))
    assert isinstance(caught.value, ValueError)
    assert any("flow" in note for note in caught.value.__notes__)


def test_a_failure_of_one_of_several_reaches_gather() -> None:
    @task
    async def picky(x: int) -> int:
        if x == 1:
            raise ValueError("one")
        return x

    @eager
    async def flow() -> list[str]:
        results = await asyncio.gather(picky(x=1), picky(x=2), return_exceptions=True)
        return [type(r).__name__ if isinstance(r, Exception) else str(r) for r in results]

    assert asyncio.run(flow()) == ["EagerError", "2"]


def test_what_a_called_task_calls_itself_is_its_own_business() -> None:
    @task
    def outer(x: int) -> int:
        try:
            return fails(x=x)
        except ValueError as error:
            return 0 if isinstance(error, EagerError) else 1

    @eager
    async def flow(x: int) -> int:
        return outer(x=x)

    assert asyncio.run(flow(x=1)) == 1


def test_stand_ins_answer_calls() -> None:
    with task_mock(double) as mock:
        mock.return_value = 50
        assert asyncio.run(over(x=1)) == 50
    with task_mock(over) as mock:
        mock.return_value = 4
        assert asyncio.run(twice(x=1)) == 4


def test_a_conductor_makes_the_calls_and_is_given_checked_inputs() -> None:
    made: list[tuple[str, dict[str, Any]]] = []

    class Recorder:
        def call(self, entity: Entity, inputs: Any) -> Future[dict[str, Any]]:
            made.append((entity.name, dict(inputs)))
            future: Future[dict[str, Any]] = Future()
            future.set_result({"o0": inputs["x"] + 100})
            return future

    @eager
    async def flow(x: int) -> list[int]:
        first = double(x=x)
        return [first, *await asyncio.gather(slow_double(x=first), over(x=1))]

    with conducted(Recorder()):
        assert asyncio.run(flow.call_body({"x": 1})) == [101, 201, 101]
    assert made == [
        (double.name, {"x": 1}),
        (slow_double.name, {"x": 101}),
        (over.name, {"x": 1, "limit": 10}),
    ]


def test_a_recorded_failure_is_raised_as_its_own_class_where_that_is_known() -> None:
    error = call_failed(
        ErrorRecord(
            kind="user", code="FP-TASK-FAILED", type="builtins.KeyError", message="gone", place="m.f", hint="look"
        )
    )
    assert isinstance(error, EagerError)
    assert isinstance(error, KeyError)
    assert "gone" in str(error)
    assert (error.place, error.hint) == ("m.f", "look")
    unknown = call_failed(ErrorRecord(kind="user", code="FP-TASK-FAILED", type="nowhere.Lost", message="gone"))
    assert type(unknown) is EagerError
    module = __name__
    own = call_failed(ErrorRecord(kind="user", code="FP-TASK-FAILED", type=f"{module}.OddError", message="3 is odd"))
    assert isinstance(own, OddError)


# --- errors ---


def test_a_plain_function_is_no_eager_task() -> None:
    with pytest.raises(DefinitionError, match="coroutine") as caught:

        @eager
        def flow(x: int) -> int:
            return x

    assert caught.value.expected == "async def"


def test_inputs_and_outputs_are_checked() -> None:
    with pytest.raises(InputError):
        over()

    @eager
    async def wrong(x: int) -> int:
        return str(x)  # type: ignore[return-value]

    with pytest.raises(TypeTransformerFailedError) as caught:
        asyncio.run(wrong(x=1))
    assert "wrong() -> o0" in str(caught.value.place)
    with pytest.raises(TypeTransformerFailedError):
        asyncio.run(wrong(x="1"))


def test_a_call_with_wrong_arguments_says_so() -> None:
    @eager
    async def flow(x: int) -> int:
        return double(y=x)

    with pytest.raises(InputError, match="no input 'y'"):
        asyncio.run(flow(x=1))


def test_an_async_workflow_is_refused_with_the_remedy() -> None:
    with pytest.raises(DefinitionError, match="async") as caught:

        @workflow
        async def flow(x: int) -> int:
            return double(x=x)

    assert "@eager" in str(caught.value.hint)


def test_awaiting_a_promise_is_an_error() -> None:
    @dynamic
    def flow(x: int) -> int:
        return slow_double(x=x).__await__()

    with pytest.raises((PromiseError, AttributeError)):
        flow(x=1)
