"""Map tasks: items in order, several mapped and bound inputs, tolerance, and every kind of target."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import pytest
from compiled_specs import compiled
from flytepath import LaunchPlan, Resources, TaskMetadata, dynamic, map_task, task, workflow
from flytepath.errors import (
    CompileError,
    DefinitionError,
    InputError,
    MapFailedError,
    MissingInputError,
    OverrideError,
    TypeMismatchError,
    TypeTransformerFailedError,
)


class Split(NamedTuple):
    whole: int
    rest: int


@task
def double(x: int) -> int:
    return 2 * x


@task
def add(x: int, y: int, z: int = 100) -> int:
    return x + y + z


@task
def split(x: int) -> Split:
    return Split(x // 10, x % 10)


@task
def both(x: int) -> tuple[int, str]:
    return x, str(x)


@task
def picky(x: int) -> int:
    if x % 3 == 0:
        raise ValueError(f"not {x}")
    return x


@task
def nothing(x: int) -> None:
    assert x < 100


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def maybe(x: int | None) -> int | None:
    return x


@workflow
def plus(x: int, y: int = 1) -> int:
    return add(x=x, y=y, z=0)


def test_outputs_keep_the_order_of_the_items() -> None:
    assert map_task(double)(x=[3, 1, 2]) == [6, 2, 4]
    assert map_task(double)(x=[]) == []


def test_several_inputs_are_mapped_together_by_name_or_position() -> None:
    assert map_task(functools.partial(add, z=0))(x=[1, 2], y=[10, 20]) == [11, 22]
    assert map_task(functools.partial(add, z=0))([1, 2], [10, 20]) == [11, 22]
    assert map_task(add, bound_inputs={"y": 1, "z": 0})(x=[1, 2]) == [2, 3]
    assert map_task(functools.partial(functools.partial(add, y=1), z=0))(x=[1, 2]) == [2, 3]


def test_several_and_named_outputs_are_lists_each() -> None:
    assert map_task(both)(x=[1, 2]) == ([1, 2], ["1", "2"])
    assert map_task(split)(x=[12, 34]) == Split([1, 3], [2, 4])  # type: ignore[arg-type]
    assert map_task(nothing)(x=[1, 2]) is None


def test_a_map_in_a_workflow_is_one_node() -> None:
    @workflow
    def flow(n: int) -> int:
        return total(values=map_task(double, concurrency=4, min_success_ratio=1.0)(x=numbers(n=n)))

    assert flow(n=4) == 12
    spec = compiled(flow)
    mapped = spec.nodes[1]
    assert mapped.kind == "map"
    assert mapped.task == double.name
    assert mapped.map is not None
    assert mapped.map.mapped == ("x",)
    assert mapped.map.concurrency == 4
    assert mapped.interface is not None
    assert str(mapped.interface.inputs[0].type) == "list[integer]"


def test_bound_inputs_may_be_promises() -> None:
    @workflow
    def flow(x: int, values: list[int]) -> list[int]:
        return map_task(functools.partial(add, y=double(x=x), z=x))(x=values)

    assert flow(x=1, values=[10, 20]) == [13, 23]
    node = compiled(flow).nodes[1]
    assert node.map is not None
    assert node.map.mapped == ("x",)
    assert node.inputs["y"].kind == "output"
    assert node.inputs["z"].kind == "input"


def test_a_bound_list_is_not_mapped() -> None:
    @task
    def pick(x: int, table: list[int]) -> int:
        return table[x]

    assert map_task(functools.partial(pick, table=[5, 6, 7]))(x=[2, 0]) == [7, 5]


def test_failed_items_are_none_where_not_all_must_succeed() -> None:
    assert map_task(picky, min_success_ratio=0.5)(x=[1, 2, 3]) == [1, 2, None]
    assert map_task(picky, min_successes=1)(x=[3, 4, 6]) == [None, 4, None]
    assert map_task(picky, min_successes=5)(x=[1, 2]) == [1, 2]
    assert map_task(picky, min_success_ratio=0.0)(x=[3, 6]) == [None, None]


def test_too_many_failures_are_an_error_that_names_the_first() -> None:
    with pytest.raises(MapFailedError, match="2 of 4 items") as caught:
        map_task(picky, min_success_ratio=0.75)(x=[3, 1, 6, 2])
    assert caught.value.code == "FP-MAP"
    assert "item 0: ValueError: not 3" in str(caught.value)
    assert "at least 3 successes" in str(caught.value.expected)
    assert isinstance(caught.value.__cause__, ValueError)


def test_without_tolerance_the_items_own_error_comes_through_with_its_index() -> None:
    with pytest.raises(ValueError, match="not 3") as caught:
        map_task(picky)(x=[1, 2, 3])
    notes = "\n".join(caught.value.__notes__)
    assert f"in task {picky.name}" in notes
    assert "item 2 of map_" in notes


def test_a_tolerant_map_gives_optional_items_also_to_the_compiler() -> None:
    @workflow
    def flow(x: list[int]) -> list[int | None]:
        return map_task(picky, min_success_ratio=0.5)(x=x)

    @workflow
    def strict(x: list[int]) -> int:
        return total(values=map_task(picky, min_success_ratio=0.5)(x=x))

    assert flow(x=[1, 3]) == [1, None]
    compiled(flow)
    with pytest.raises(TypeMismatchError) as caught:
        strict(x=[1])
    assert "list[integer | none]" in str(caught.value.actual)


def test_maps_over_workflows_launch_plans_and_maps() -> None:
    plan = LaunchPlan.get_or_create(plus, "maps_plus_ten", fixed_inputs={"y": 10})

    @workflow
    def flow(x: list[int], grid: list[list[int]]) -> tuple[list[int], list[int], list[list[int]]]:
        return map_task(functools.partial(plus, y=1))(x=x), map_task(plan)(x=x), map_task(map_task(double))(x=grid)

    assert flow(x=[1, 2], grid=[[1], [], [2, 3]]) == ([2, 3], [11, 12], [[2], [], [4, 6]])
    spec = compiled(flow)
    assert [node.kind for node in spec.nodes] == ["map", "map", "map"]
    assert [node.task for node in spec.nodes] == ["", "", ""]
    assert spec.graphs[plus.name].nodes[0].path == "n0"
    assert list(spec.graphs["maps_plus_ten"].nodes[0].inputs["y"].model_dump()) == ["kind", "value"]
    assert spec.graphs[spec.nodes[2].graph].nodes[0].kind == "map"


def test_two_maps_of_one_task_stay_apart() -> None:
    @workflow
    def flow(x: list[int]) -> tuple[list[int], list[int], list[int]]:
        a = map_task(functools.partial(add, y=1, z=0))(x=x)
        b = map_task(functools.partial(add, y=2, z=0), concurrency=1)(x=a)
        return a, b, map_task(double)(x=b)

    assert flow(x=[0, 1]) == ([1, 2], [3, 4], [6, 8])
    assert len(compiled(flow).tasks) == 2


def test_two_nested_maps_with_other_settings_stay_apart() -> None:
    @workflow
    def flow(grid: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
        one = map_task(map_task(functools.partial(add, y=1, z=0)))(x=grid)
        two = map_task(map_task(functools.partial(add, y=2, z=0)))(x=grid)
        return one, two

    assert flow(grid=[[1], [2]]) == ([[2], [3]], [[3], [4]])
    assert len(compiled(flow).graphs) == 2


def test_a_map_in_a_dynamic_and_of_a_dynamic() -> None:
    @dynamic
    def many(n: int) -> list[int]:
        return map_task(double)(x=[double(x=i) for i in range(n)])

    @dynamic
    def one(x: int) -> int:
        return double(x=x)

    assert many(n=3) == [0, 4, 8]
    assert map_task(one)(x=[1, 2]) == [2, 4]


def test_optional_items() -> None:
    assert map_task(maybe)(x=[1, None]) == [1, None]
    assert map_task(maybe, min_success_ratio=0.1)(x=[1, None]) == [1, None]


def test_metadata_and_overrides_change_the_items_task_and_leave_the_task_alone() -> None:
    @workflow
    def flow(x: list[int]) -> tuple[list[int], int]:
        first = map_task(double, metadata=TaskMetadata(retries=2, interruptible=True))(x=x)
        first.with_overrides(requests=Resources(cpu="2"), name="doubled")
        return first, double(x=1)

    assert flow(x=[1]) == ([2], 2)
    spec = compiled(flow)
    mapped, single = spec.nodes
    assert mapped.name == "doubled"
    assert mapped.overrides is not None
    assert mapped.overrides.retries == 2
    assert mapped.overrides.interruptible is True
    assert mapped.overrides.requests == Resources(cpu="2")
    assert single.overrides is None
    assert spec.tasks[double.name].retry.retries == 0


def test_a_map_is_run_as_an_entity_of_its_own() -> None:
    spec = compiled(map_task(double))
    assert spec.nodes[0].kind == "map"
    assert [v.name for v in spec.interface.inputs] == ["x"]


# --- errors ---


def test_lists_of_different_lengths_are_an_error_that_names_them() -> None:
    with pytest.raises(InputError, match="different lengths") as caught:
        map_task(functools.partial(add, z=0))(x=[1, 2], y=[1])
    assert caught.value.actual == "x: 2, y: 1"


def test_items_of_another_type_are_named_by_their_index() -> None:
    with pytest.raises(TypeTransformerFailedError) as caught:
        map_task(double)(x=[1, "2"])
    assert str(caught.value.place).endswith("double(x[1])")


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: map_task(len), "test_maps.py:"),
        (lambda: map_task(functools.partial(double, 1)), "test_maps.py:"),
        (lambda: map_task(functools.partial(double, w=1)), "map_task("),
        (lambda: map_task(functools.partial(double, x=1)), "map_task("),
        (lambda: map_task(double, concurrency=-1), "(concurrency)"),
        (lambda: map_task(double, concurrency=1.5), "(concurrency)"),
        (lambda: map_task(double, concurrency=True), "(concurrency)"),
        (lambda: map_task(double, min_successes=-1), "(min_successes)"),
        (lambda: map_task(double, min_success_ratio=1.5), "(min_success_ratio)"),
        (lambda: map_task(double, min_success_ratio=-0.1), "(min_success_ratio)"),
        (lambda: map_task(double, min_success_ratio=float("nan")), "(min_success_ratio)"),
        (lambda: map_task(double, min_success_ratio="half"), "(min_success_ratio)"),
        (lambda: map_task(plus, metadata=TaskMetadata(retries=1)), "(metadata)"),
    ],
)
def test_what_cannot_be_mapped_is_refused_at_once(make: Any, place: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert place in str(caught.value.place)


def test_a_bound_value_of_another_type_is_refused_at_once() -> None:
    with pytest.raises(TypeTransformerFailedError) as caught:
        map_task(functools.partial(add, y="1"))
    assert str(caught.value.place).endswith("add(y)")


def test_wrong_arguments_of_a_call() -> None:
    mapped = map_task(functools.partial(add, z=0))
    with pytest.raises(InputError, match="bound already"):
        mapped(x=[1], y=[1], z=0)
    with pytest.raises(MissingInputError, match="'y'"):
        mapped(x=[1])
    with pytest.raises(InputError, match="has no input 'w'"):
        mapped(x=[1], y=[1], w=1)
    with pytest.raises(InputError, match="takes 2 inputs"):
        mapped([1], [1], [1])


def test_a_single_value_in_place_of_a_list_is_found_at_compile_time() -> None:
    @workflow
    def flow(x: int) -> list[int]:
        return map_task(double)(x=x)

    with pytest.raises(TypeMismatchError) as caught:
        flow(x=1)
    assert caught.value.expected == "list[integer]"


def test_overrides_of_a_map_over_a_workflow_cannot_be_honoured() -> None:
    @workflow
    def flow(x: list[int]) -> list[int]:
        return map_task(functools.partial(plus, y=1))(x=x).with_overrides(retries=2)

    with pytest.raises(OverrideError, match="retries"):
        flow(x=[1])


def test_a_promise_bound_outside_of_its_workflow_is_foreign() -> None:
    kept: list[Any] = []

    @workflow
    def first(x: int) -> int:
        kept.append(double(x=x))
        return kept[0]

    first(x=1)

    @workflow
    def second(x: list[int]) -> list[int]:
        return map_task(functools.partial(add, y=kept[0], z=0))(x=x)

    with pytest.raises(CompileError, match="another workflow"):
        second(x=[1])
