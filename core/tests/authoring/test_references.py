"""References: fetched when a workflow is compiled, held against what is registered, and never run here."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from compiled_specs import compiled
from flytepath import (
    conditional,
    get_reference_entity,
    kwtypes,
    map_task,
    reference_launch_plan,
    reference_task,
    reference_workflow,
    task,
    workflow,
)
from flytepath.compiler import compile_task
from flytepath.errors import DefinitionError, EntityReferenceError, MissingAnnotationError, NotFoundError, OverrideError
from flytepath.model.identity import Identity, Tenant
from flytepath.testing import MemoryBlobs


class Pair(NamedTuple):
    low: int
    high: int


@task
def double(x: int) -> int:
    return 2 * x


@task
def pair(x: int, step: int = 1) -> Pair:
    return Pair(x, x + step)


@workflow
def inner(x: int) -> int:
    return conditional("c").if_(x > 0).then(double(x=x)).else_().then(double(x=double(x=x)))


@workflow
def outer(x: int) -> int:
    return double(x=inner(x=x).with_overrides(name="inside"))


@reference_task(project="p", domain="d", name="lib.double", version="v1")
def remote_double(x: int) -> int: ...


@reference_task("p", "d", "lib.pair", "v1")
def remote_pair(x: int) -> Pair:
    raise NotImplementedError


@reference_workflow(project="p", domain="d", name="lib.outer", version="v2")
def remote_outer(x: int) -> int: ...


@reference_launch_plan(project="p", domain="d", name="lib.plan", version="v3")
def remote_plan(x: int) -> int: ...


asked: list[tuple[str, Identity]] = []


def registered(kind: str, identity: Identity) -> Any:
    asked.append((kind, identity))
    blobs = MemoryBlobs()
    if kind == "task":
        return compile_task({"lib.double": double, "lib.pair": pair}[identity.name], Tenant(), blobs), "sha256:bundle"
    return compiled(outer), "sha256:other"


@pytest.fixture(autouse=True)
def _ask_nobody() -> None:
    asked.clear()


def test_a_task_is_taken_as_it_was_registered_with_its_own_bundle() -> None:
    @workflow
    def flow(x: int) -> int:
        return remote_double(x=double(x=x))

    spec = compiled(flow, fetch=registered)
    identity = Identity("p", "d", "lib.double", "v1")
    assert asked[0] == ("task", identity)
    assert spec.nodes[1].task == str(identity)
    assert spec.tasks[str(identity)].bundle == "sha256:bundle"
    assert spec.tasks[str(identity)].name == double.name
    assert spec.tasks[double.name].bundle == ""


def test_it_is_fetched_once_for_all_its_calls() -> None:
    @workflow
    def flow(x: int) -> int:
        return remote_double(x=remote_double(x=remote_double(x=x)))

    compiled(flow, fetch=registered)
    assert len(asked) == 2  # `compiled` compiles twice


def test_workflows_and_launch_plans_become_graphs_with_all_they_need() -> None:
    @workflow
    def flow(x: int) -> tuple[int, int]:
        return remote_outer(x=x), remote_plan(x=x)

    spec = compiled(flow, fetch=registered)
    first, second = spec.nodes
    assert (first.kind, second.kind) == ("graph", "graph")
    for node in spec.nodes:
        graph = spec.graphs[node.graph]
        names: set[str] = set()
        waiting = [graph]
        while waiting:
            for inside in waiting.pop().nodes:
                cases = [n for case in inside.cases for n in case.nodes]
                names.update(n.task for n in [inside, *cases] if n.task)
                if inside.graph:
                    waiting.append(spec.graphs[inside.graph])
                assert all(not n.graph or n.graph in spec.graphs for n in cases)
        assert names == {f"{node.graph}:{double.name}"}
        assert spec.tasks[f"{node.graph}:{double.name}"].bundle == "sha256:other"
    assert (asked[0][0], asked[1][0]) == ("workflow", "launch_plan")


def test_maps_conditionals_and_named_outputs_of_references() -> None:
    @workflow
    def flow(x: int) -> tuple[list[int], int, int]:
        both = remote_pair(x=x)
        chosen = conditional("c").if_(both.low > 1).then(remote_double(x=x)).else_().then(double(x=x))
        return map_task(remote_double)(x=[x]), both.high, chosen

    spec = compiled(flow, fetch=registered)
    assert [n.kind for n in spec.nodes] == ["task", "branch", "map"]


def test_an_interface_given_as_types() -> None:
    entity = get_reference_entity("task", "p", "d", "lib.double", "v1", kwtypes(x=int), kwtypes(o0=int))

    @workflow
    def flow(x: int) -> int:
        return entity(x=x)

    assert "p/d/lib.double@v1" in compiled(flow, fetch=registered).tasks
    with pytest.raises(DefinitionError, match="of this kind"):
        get_reference_entity("schedule", "p", "d", "n", "v", {}, {})


def test_a_reference_compiled_on_its_own() -> None:
    assert compiled(remote_double, fetch=registered).nodes[0].task == "p/d/lib.double@v1"
    assert compiled(remote_outer, fetch=registered).nodes[0].kind == "graph"


@pytest.mark.parametrize(
    ("inputs", "outputs", "place"),
    [
        (kwtypes(x=str), kwtypes(o0=int), "(x)"),
        (kwtypes(y=int), kwtypes(o0=int), "(y)"),
        (kwtypes(), kwtypes(o0=int), "(x)"),
        (kwtypes(x=int), kwtypes(o0=str), "(o0)"),
        (kwtypes(x=int), kwtypes(o0=int, o1=int), "(o1)"),
    ],
)
def test_another_interface_than_the_registered_one_is_an_error(inputs: Any, outputs: Any, place: str) -> None:
    entity = get_reference_entity("task", "p", "d", "lib.double", "v1", inputs, outputs)
    with pytest.raises(EntityReferenceError, match="not look as it is declared") as caught:
        compiled(entity, fetch=registered)
    assert caught.value.code == "FP-REFERENCE"
    assert str(caught.value.place).endswith(place)
    assert caught.value.expected
    assert caught.value.actual
    assert isinstance(caught.value, LookupError)


def test_inputs_with_defaults_may_be_left_out() -> None:
    compiled(remote_pair, fetch=registered)


def test_where_nothing_is_registered() -> None:
    with pytest.raises(EntityReferenceError, match="nothing is registered here"):
        compiled(remote_double)

    def missing(kind: str, identity: Identity) -> Any:
        raise NotFoundError(f"no {kind} {identity}")

    with pytest.raises(NotFoundError, match=r"lib\.double"):
        compiled(remote_double, fetch=missing)


def test_a_reference_is_declared_with_types_and_a_whole_identity() -> None:
    with pytest.raises(MissingAnnotationError):

        @reference_task("p", "d", "n", "v")
        def untyped(x) -> int: ...  # type: ignore[no-untyped-def]

    for identity in (
        ("", "d", "n", "v"),
        ("p", "", "n", "v"),
        ("p", "d", "", "v"),
        ("p", "d", "n", ""),
        ("p", "d", 1, "v"),
    ):
        with pytest.raises(DefinitionError, match="needs a"):
            reference_workflow(*identity)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="plain function"):
        reference_launch_plan("p", "d", "n", "v")(len)


def test_overrides_of_a_reference_cannot_be_honoured() -> None:
    @workflow
    def flow(x: int) -> int:
        return remote_double(x=x).with_overrides(retries=1)

    with pytest.raises(OverrideError, match="retries"):
        _ = flow.nodes
