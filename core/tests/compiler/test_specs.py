"""What constructs compile to: closed, stable specs in which nothing is left of the machine or of Python."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from flytepath import Documentation, LaunchPlan, Resources, Secret, conditional, map_task, task, workflow
from flytepath.compiler import compile_entity, compile_task, entry_of, parse_inputs
from flytepath.errors import CompileError, InputError, NestedTaskError
from flytepath.model.identity import Tenant
from flytepath.model.task import TaskSpec
from flytepath.model.workflow import LiteralBinding, WorkflowSpec
from flytepath.testing import MemoryBlobs


@task
def double(x: int) -> int:
    """Twice as much."""
    return 2 * x


@task(
    retries=3,
    timeout=60,
    interruptible=True,
    requests=Resources(cpu="1"),
    limits=Resources(mem="1Gi"),
    container_image="repo/image:1",
    environment={"K": "v"},
    secret_requests=[Secret(group="g", key="k")],
    cache=True,
    cache_version="7",
    cache_ignore_input_vars=("y",),
    labels={"a": "1"},
    annotations={"b": "2"},
    enable_deck=True,
    deprecated="use double",
    docs=Documentation(short_description="Short."),
)
def full(x: int, y: float = 0.5) -> int:
    return x


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def weigh(table: dict[str, list[int]]) -> int:
    return len(table)


@task
def quiet() -> None: ...


@task
def many(text: str) -> int:
    return len(text)


@workflow
def inner(x: int, y: int = 2) -> int:
    return total(values=[double(x=x), y, 3])


@workflow
def middle(x: int) -> int:
    return double(x=inner(x=double(x=x)))


@workflow
def outer(x: int) -> int:
    """Three levels."""
    first = middle(x=x)
    second = middle(x=1)
    first >> second
    return total(values=[first, second, inner(x=x, y=5)])


def spec_of(entity: Any) -> WorkflowSpec:
    return compile_entity(entity, Tenant(), MemoryBlobs())


def test_a_task_is_recorded_with_all_its_settings() -> None:
    spec = compile_task(full, Tenant(), MemoryBlobs())
    assert TaskSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.body.entry == f"{__name__}:full"
    assert (spec.retry.retries, spec.timeout_seconds, spec.interruptible) == (3, 60.0, True)
    assert (spec.requests, spec.limits) == (Resources(cpu="1"), Resources(mem="1Gi"))
    assert (spec.environment, spec.variables) == ("repo/image:1", {"K": "v"})
    assert spec.secrets[0]["key"] == "k"
    assert (spec.cache.enabled, spec.cache.version, spec.cache.ignored_inputs) == (True, "7", ("y",))
    assert (spec.labels, spec.annotations) == ({"a": "1"}, {"b": "2"})
    assert spec.decks
    assert spec.documentation == "Short."
    assert [(v.name, v.required) for v in spec.interface.inputs] == [("x", True), ("y", False)]
    assert spec.interface.inputs[1].default is not None
    assert compile_task(double, Tenant(), MemoryBlobs()).documentation == "Twice as much."


def test_sub_workflows_are_laid_out_flat_however_deep() -> None:
    spec = spec_of(outer)
    assert [n.path for n in spec.nodes] == [
        "n0/n0",
        "n0/n1/n0",
        "n0/n1/n1",
        "n0/n2",
        "n1/n0",
        "n1/n1/n0",
        "n1/n1/n1",
        "n1/n2",
        "n2/n0",
        "n2/n1",
        "n3",
    ]
    assert not spec.graphs
    assert sorted(spec.tasks) == sorted([double.name, total.name])
    by_path = {n.path: n for n in spec.nodes}
    assert set(by_path["n1/n0"].upstream) == {"n0/n0", "n0/n1/n0", "n0/n1/n1", "n0/n2"}
    assert by_path["n1/n1/n0"].upstream == ()
    assert spec.documentation == "Three levels."


def test_every_binding_leads_to_a_node_or_an_input_of_the_spec() -> None:
    spec = spec_of(outer)
    paths = {n.path for n in spec.nodes}
    text = spec.model_dump_json()
    assert "argument" not in text
    for node in spec.nodes:
        assert set(node.upstream) <= paths
        waiting = list(node.inputs.values())
        while waiting:
            binding = waiting.pop()
            waiting.extend(getattr(binding, "items", ()) if binding.kind == "list" else ())
            if binding.kind == "output":
                assert binding.node in paths
            if binding.kind == "input":
                assert binding.name in {v.name for v in spec.interface.inputs}


def test_a_part_of_a_constant_given_to_a_sub_workflow_is_a_constant() -> None:
    @workflow
    def picks(table: dict[str, list[int]]) -> int:
        return double(x=table["a"][1])

    @workflow
    def flow(x: int) -> tuple[int, int]:
        return picks(table={"a": [1, 2]}), picks(table={"a": [x, double(x=x)]})

    assert flow(x=5) == (4, 20)
    spec = spec_of(flow)
    constant, wired = spec.nodes[0], spec.nodes[2]
    assert isinstance(constant.inputs["x"], LiteralBinding)
    assert constant.inputs["x"].value.data == 2
    assert wired.inputs["x"].kind == "output"

    @workflow
    def lost(x: int) -> int:
        return picks(table={"a": [1]})

    with pytest.raises(CompileError, match="has no part"):
        spec_of(lost)


def test_large_constants_lie_in_blobs() -> None:
    text = "a" * 100_000

    @workflow
    def flow() -> int:
        return many(text=text)

    blobs = MemoryBlobs()
    spec = compile_entity(flow, Tenant(), blobs)
    assert len(spec.model_dump_json()) < 10_000
    binding = spec.nodes[0].inputs["text"]
    assert isinstance(binding, LiteralBinding)
    assert binding.value.ref is not None
    assert flow() == 100_000


def test_constants_have_the_type_of_their_place() -> None:
    @task
    def optional(x: int | None, y: list[float | None]) -> int:
        return 0

    @workflow
    def flow(z: float) -> int:
        return weigh(table={"a": [1], "b": []})

    assert str(spec_of(flow).nodes[0].inputs["table"].value.type) == "dict[string, list[integer]]"  # type: ignore[union-attr]


def test_one_task_is_recorded_once_and_two_of_one_name_are_an_error() -> None:
    @workflow
    def flow(x: int) -> int:
        return double(x=double(x=map_task(double)(x=[x])[0]))

    assert list(spec_of(flow).tasks) == [double.name]

    other = task(double.function)

    @workflow
    def doubled(x: int) -> int:
        return other(x=double(x=x))

    globals()["_other"] = other
    try:
        with pytest.raises(CompileError, match="two things are named"):
            spec_of(doubled)
    finally:
        del globals()["_other"]


def test_graphs_of_one_name_stay_apart() -> None:
    def made(amount: int) -> Any:
        @workflow(on_failure=quiet)
        def same(x: int) -> int:
            return total(values=[x, amount])

        return same

    one, two = made(1), made(2)

    @workflow
    def flow(x: int) -> tuple[int, int, int, int]:
        return one(x=x), two(x=x), LaunchPlan.get_default_launch_plan(one)(x=x), one(x=5)

    assert flow(x=1) == (2, 3, 2, 6)
    spec = spec_of(flow)
    names = [n.graph for n in spec.nodes]
    assert len(set(names)) == 3
    assert names[0] == names[3]
    assert set(names) == set(spec.graphs)


def test_whatever_is_no_workflow_becomes_one_node() -> None:
    plan = LaunchPlan.get_or_create(inner, "specs_plan", fixed_inputs={"y": 9})
    kinds = {}
    for entity in (double, map_task(double), plan):
        spec = spec_of(entity)
        kinds[spec.name] = [n.kind for n in spec.nodes]
    assert list(kinds.values()) == [["task"], ["map"], ["task", "task"]]
    assert spec_of(double).documentation == "Twice as much."


def test_a_spec_does_not_depend_on_the_process_or_on_where_the_code_lies(tmp_path: Path) -> None:
    source = textwrap.dedent("""
        import sys
        from flytepath import conditional, map_task, task, workflow
        from flytepath.compiler import compile_entity
        from flytepath.model.identity import Tenant
        from flytepath.testing import MemoryBlobs

        @task
        def double(x: int) -> int:
            return 2 * x

        @workflow
        def flow(x: int, names: dict[str, int] = {"b": 1, "a": 2}) -> list[int]:
            chosen = conditional("c").if_(x > 1).then(double(x=x)).else_().then(double(x=1))
            a, b, c = double(x=chosen), double(x=2), double(x=3)
            a >> c
            b >> c
            return map_task(double)(x=[a, b, c, names["a"]])

        if __name__ == "__main__":
            import stable_flow
            print(compile_entity(stable_flow.flow, Tenant(), MemoryBlobs()).digest())
    """)
    digests = set()
    for seed in ("1", "2"):
        folder = tmp_path / f"place {seed}"
        folder.mkdir()
        (folder / "stable_flow.py").write_text(source)
        done = subprocess.run(
            [sys.executable, str(folder / "stable_flow.py")],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(folder)},
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert digests.pop()


def test_conditionals_refer_to_what_is_around_them() -> None:
    @workflow
    def flow(x: int) -> int:
        first = double(x=x)
        second = double(x=2)
        return conditional("c").if_(first > second).then(inner(x=first)).else_().then(double(x=second))

    branch = spec_of(flow).nodes[-1]
    comparison = branch.cases[0].condition
    assert comparison is not None
    assert comparison.kind == "comparison"
    assert (comparison.left.node, comparison.right.node) == ("n0", "n1")  # type: ignore[union-attr]
    assert branch.cases[0].nodes[0].inputs["x"].node == "n0"  # type: ignore[union-attr]


def test_thousands_of_nodes_need_no_recursion() -> None:
    def flow(x: int) -> int:
        for _ in range(3_000):
            x = double(x=x)
        return x

    assert len(spec_of(workflow(flow)).nodes) == 3_000


def test_deeply_nested_sub_workflows_compile() -> None:
    made: Any = inner
    for level in range(40):
        made = workflow(_calling(made, f"nested_{level}"))
    assert made(x=1) == 7
    assert len(spec_of(made).nodes) == 2


def _calling(below: Any, name: str) -> Any:
    def nested(x: int) -> int:
        return below(x=x)  # type: ignore[no-any-return]

    nested.__qualname__ = name
    return nested


def test_a_worker_finds_a_task_by_the_variable_that_holds_it() -> None:
    assert entry_of(double) == f"{__name__}:double"

    @task
    def nested(x: int) -> int:
        return x

    with pytest.raises(NestedTaskError):
        entry_of(nested)


def test_inputs_from_texts_values_and_defaults() -> None:
    blobs = MemoryBlobs()
    literals = parse_inputs(inner, {"x": "4"}, {}, blobs)
    assert {name: literal.data for name, literal in literals.items()} == {"x": 4, "y": 2}
    assert parse_inputs(inner, {}, {"x": 1, "y": 3}, blobs)["y"].data == 3
    with pytest.raises(InputError, match="no input 'z'"):
        parse_inputs(inner, {"z": "4"}, {}, blobs)
    with pytest.raises(InputError):
        parse_inputs(inner, {"x": "four"}, {}, blobs)
    with pytest.raises(InputError, match="missing input 'x'"):
        parse_inputs(inner, {}, {}, blobs)
