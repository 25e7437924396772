"""Dynamic tasks: native inputs, promises from calls, and the checks of a workflow each time they run."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from compiled_specs import compiled
from flytepath import conditional, create_node, dynamic, map_task, task, workflow
from flytepath.compiler import compile_dynamic
from flytepath.errors import (
    CompileError,
    CycleError,
    DefinitionError,
    InputError,
    MissingReturnError,
    PromiseBranchError,
    PromiseError,
    TypeMismatchError,
    TypeTransformerFailedError,
    UnboundOutputError,
)
from flytepath.model.identity import Tenant
from flytepath.model.workflow import WorkflowSpec
from flytepath.testing import MemoryBlobs


class Ends(NamedTuple):
    first: int
    last: int


log: list[str] = []


@task
def double(x: int) -> int:
    return 2 * x


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def write(line: str) -> None:
    log.append(line)


@workflow
def quadruple(x: int) -> int:
    return double(x=double(x=x))


@dynamic
def sums(n: int, step: int = 1) -> int:
    """Add up."""
    return total(values=[double(x=i * step) for i in range(n)])


@dynamic
def countdown(n: int) -> list[int]:
    if n == 0:
        return []
    return joined(head=double(x=n), rest=countdown(n=n - 1))


@task
def joined(head: int, rest: list[int]) -> list[int]:
    return [head, *rest]


@dynamic
def ends(values: list[int]) -> Ends:
    return Ends(double(x=values[0]), double(x=values[-1]))


def test_inputs_are_native_and_calls_are_promises() -> None:
    seen: list[Any] = []

    @dynamic
    def flow(n: int) -> int:
        made = double(x=n)
        seen.extend([n, repr(made)])
        return made

    assert flow(n=2) == 4
    assert seen == [2, "<promise of n0.o0>"]


def test_it_is_built_anew_for_each_call() -> None:
    assert sums(n=3) == 6
    assert sums(4) == 12
    assert sums(n=2, step=5) == 10


def test_dynamics_nest_and_call_themselves() -> None:
    assert countdown(n=3) == [6, 4, 2]


def test_sub_workflows_maps_conditionals_and_order_inside() -> None:
    log.clear()

    @dynamic
    def flow(n: int) -> tuple[int, list[int], int]:
        first = create_node(write, line="b")
        second = create_node(write, line="a")
        second >> first
        chosen = conditional("c").if_(double(x=n) > 4).then(quadruple(x=n)).else_().then(double(x=n))
        return quadruple(x=n), map_task(double)(x=[n, n + 1]), chosen

    assert flow(n=2) == (8, [4, 6], 4)
    assert flow(n=3) == (12, [6, 8], 12)
    assert log == ["a", "b", "a", "b"]


def test_constants_and_inputs_are_outputs_too() -> None:
    @dynamic
    def flow(n: int) -> tuple[int, list[int], dict[str, int]]:
        return n, [1, double(x=n)], {"a": double(x=n), "b": 3}

    @dynamic
    def nothing(n: int) -> None:
        if n:
            write(line=str(n))

    assert flow(n=2) == (2, [1, 4], {"a": 4, "b": 3})
    assert nothing(n=0) is None


def test_named_outputs() -> None:
    assert ends(values=[1, 2, 3]) == Ends(2, 6)


def test_a_dynamic_in_a_workflow_is_one_task_node_whose_graph_comes_later() -> None:
    @workflow
    def flow(n: int) -> int:
        return double(x=sums(n=n).with_overrides(retries=1))

    assert flow(n=3) == 12
    spec = compiled(flow)
    assert [node.kind for node in spec.nodes] == ["task", "task"]
    assert spec.tasks[sums.name].mode == "dynamic"
    assert spec.tasks[sums.name].documentation == "Add up."
    assert double.name in spec.tasks


def test_the_graph_of_a_run_is_a_closed_spec_without_inputs() -> None:
    blobs = MemoryBlobs()
    spec = compile_dynamic(ends, {"values": [1, 2]}, Tenant(), blobs)
    assert spec.interface.inputs == ()
    assert [v.name for v in spec.interface.outputs] == ["first", "last"]
    assert [node.path for node in spec.nodes] == ["n0", "n1"]
    assert spec.digest() == compile_dynamic(ends, {"values": [1, 2]}, Tenant(), blobs).digest()
    assert WorkflowSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_dynamic_of_its_own_is_compiled_to_one_node() -> None:
    spec = compiled(sums)
    assert [v.name for v in spec.interface.inputs] == ["n", "step"]
    assert not spec.interface.inputs[1].required


# --- errors ---


def test_inputs_and_outputs_are_checked_as_those_of_a_task() -> None:
    with pytest.raises(TypeTransformerFailedError) as caught:
        sums(n="3")
    assert str(caught.value.place).endswith("sums(n)")
    with pytest.raises(InputError):
        sums()


def test_wiring_errors_are_told_when_it_runs_all_at_once_before_any_task() -> None:
    log.clear()

    @dynamic
    def flow(n: int) -> int:
        write(line="ran")
        double(x=[double(x=n)])
        double(y=n)
        return double(x="a")

    with pytest.raises(CompileError, match="3 problems") as caught:
        flow(n=1)
    assert str(caught.value).count("test_dynamics.py:") == 3
    assert log == []
    assert any("in task" in note for note in caught.value.__notes__)


def test_a_promise_of_another_type_is_a_mismatch_with_the_line() -> None:
    @dynamic
    def flow(n: int) -> int:
        return total(values=double(x=n))

    with pytest.raises(TypeMismatchError) as caught:
        flow(n=1)
    assert caught.value.expected == "list[integer]"
    assert "test_dynamics.py:" in str(caught.value.place)
    with pytest.raises(TypeMismatchError):
        compile_dynamic(flow, {"n": 1}, Tenant(), MemoryBlobs())


def test_promises_inside_are_no_values() -> None:
    @dynamic
    def branching(n: int) -> int:
        return double(x=n) if double(x=n) > 3 else double(x=1)

    @dynamic
    def computing(n: int) -> int:
        return double(x=n) + 1

    with pytest.raises(PromiseBranchError):
        branching(n=1)
    with pytest.raises(PromiseError, match="compute with a promise"):
        computing(n=1)


def test_circles_are_found() -> None:
    @dynamic
    def flow(n: int) -> None:
        a, b = create_node(write, line="a"), create_node(write, line="b")
        a >> b
        b >> a

    with pytest.raises(CycleError, match="circle"):
        flow(n=1)


def test_an_output_that_gets_no_value() -> None:
    @dynamic
    def flow(n: int) -> int:
        return write(line=str(n))

    with pytest.raises(UnboundOutputError):
        flow(n=1)
    with pytest.raises(MissingReturnError):

        @dynamic
        def bare(n: int) -> int:
            double(x=n)


def test_an_async_dynamic_is_refused() -> None:
    with pytest.raises(DefinitionError, match="cannot be async") as caught:

        @dynamic
        async def flow(n: int) -> int:
            return n

    assert "@eager" in str(caught.value.hint)


def test_an_error_of_a_task_inside_keeps_its_type_and_names_both() -> None:
    @task
    def fails(x: int) -> int:
        raise KeyError("gone")

    @dynamic
    def flow(n: int) -> int:
        return fails(x=n)

    with pytest.raises(KeyError) as caught:
        flow(n=1)
    notes = " ".join(caught.value.__notes__)
    assert "fails" in notes
    assert "flow" in notes


def test_a_task_config_belongs_to_the_tasks_that_the_body_calls() -> None:
    from flytepath.authoring.kinds.shell import ShellConfig

    with pytest.raises(DefinitionError, match="only builds a graph") as caught:

        @dynamic(task_config=ShellConfig("true", "", ()))
        def grown(n: int) -> int:
            return n

    assert caught.value.place and caught.value.place.endswith("(task_config)")
