from __future__ import annotations

import datetime as dt
import enum
from typing import Annotated, Any, get_args

import pytest
from flytepath.authoring.context import ExecutionContext, entered
from flytepath.authoring.declared.artifact import (
    Artifact,
    ArtifactQuery,
    Granularity,
    InputBinding,
    Inputs,
    made_artifact,
)
from flytepath.errors import DefinitionError, InputError

Model = Artifact(name="model", partition_keys=["region", "kind"], time_partitioned=True)
DAY = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=5)))


class Kind(enum.Enum):
    LARGE = "large"


def test_an_artifact_marks_an_output() -> None:
    marked = Annotated[int, Model(region="eu")]
    assert get_args(marked)[1] == Model(region="eu") != Model


def test_partitions_come_from_values_and_inputs() -> None:
    bound = Model(region=Inputs.where, kind="large", time_partition=Inputs.when - dt.timedelta(days=1))
    assert bound.resolve({"where": "eu", "when": DAY}) == {
        "region": "eu",
        "kind": "large",
        "time_partition": "2025-12-31T00:00:00+00:00",
    }
    assert Model(region="eu")(kind=Inputs.kind, time_partition=DAY).resolve({"kind": Kind.LARGE})["kind"] == "large"


@pytest.mark.parametrize(
    ("granularity", "start"),
    [
        ("MINUTE", "2026-01-01T22:04:00"),
        ("HOUR", "2026-01-01T22:00:00"),
        ("DAY", "2026-01-01T00:00:00"),
        ("MONTH", "2026-01-01T00:00:00"),
    ],
)
def test_time_is_told_apart_as_finely_as_declared(granularity: str, start: str) -> None:
    artifact = Artifact(name="a", time_partition_granularity=Granularity[granularity])
    assert artifact(time_partition=DAY).resolve({}) == {"time_partition": f"{start}+00:00"}
    assert artifact(time_partition=Inputs.t).resolve({"t": DAY}) == {"time_partition": f"{start}+00:00"}


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        ({}, "where"),
        ({"where": 1.5}, "region"),
        ({"where": ""}, "region"),
        ({"where": True}, "region"),
        ({"where": []}, "region"),
    ],
)
def test_an_input_that_gives_no_partition_is_told(inputs: dict[str, Any], part: str) -> None:
    bound = Artifact(name="a", partition_keys=["region"])(region=Inputs.where)
    with pytest.raises(InputError, match=part):
        bound.resolve(inputs)


def test_a_time_must_be_a_moment() -> None:
    with pytest.raises(InputError, match="datetime"):
        Artifact(name="a", time_partitioned=True)(time_partition=Inputs.t).resolve({"t": "2026-01-01"})


def test_a_partition_nothing_was_said_about_is_told() -> None:
    with pytest.raises(InputError, match="kind"):
        Model(region="eu", time_partition=DAY).resolve({})
    with pytest.raises(InputError, match="time_partition"):
        Model(region="eu", kind="x").resolve({})


@pytest.mark.parametrize(
    "make",
    [
        Artifact,
        lambda: Artifact(name=""),
        lambda: Artifact(name="a", partition_keys="region"),
        lambda: Artifact(name="a", partition_keys=["a b"]),
        lambda: Artifact(name="a", partition_keys=["a", "a"]),
        lambda: Artifact(name="a", partition_keys=["time_partition"]),
        lambda: Artifact(name="a", partition_keys=[f"k{number}" for number in range(11)]),
        lambda: Artifact(name="a", time_partitioned="yes"),
        lambda: Artifact(name="a", time_partition_granularity="day"),
        lambda: Artifact(name="a")(time_partition=DAY),
        lambda: Model(region=3),
        lambda: Model(region=""),
        lambda: Model(planet="mars"),
        lambda: Model(time_partition="today"),
        lambda: Model.query(planet="mars"),
        lambda: Inputs.x - 3,
        lambda: ArtifactQuery("model"),
    ],
)
def test_what_makes_no_artifact_is_refused(make: Any) -> None:
    with pytest.raises(DefinitionError):
        make()


@pytest.mark.parametrize(
    "artifact",
    [
        Artifact(name="a"),
        Model,
        Model(region="eu", kind=Inputs.k, time_partition=DAY),
        Model(time_partition=Inputs.when + dt.timedelta(hours=1)),
        Artifact(project="p", domain="d", name="a", version="v", partitions={"k": "v"}),
        Artifact(name="a", time_partition_granularity=Granularity.HOUR),
    ],
)
def test_json_keeps_an_artifact(artifact: Artifact) -> None:
    assert Artifact.from_json(artifact.to_json()) == artifact


def test_a_query_names_the_inputs_it_needs() -> None:
    query = Model.query(domain="production", region=Inputs.where, time_partition=Inputs.when, partitions={"kind": "x"})
    assert query.bindings == ("where", "when")
    assert query.artifact.domain == "production"
    assert ArtifactQuery.from_json(query.to_json()).to_json() == query.to_json()


def test_a_task_s_code_says_what_only_it_knows() -> None:
    value, other = [1], [1]
    with entered(ExecutionContext(node_path="t")) as context:
        assert made_artifact(context, value) is None
        assert Model.create_from(value, "# Card\n\nfine", region="eu", kind="x", time_partition=DAY) is value
        assert made_artifact(context, other) is None
        found = made_artifact(context, value)
        assert [deck.name for deck in context.decks] == ["Artifact model"]
        assert "<h1>Card</h1>" in context.decks[0].html
    assert found is not None and found.resolve({})["region"] == "eu"


def test_inputs_are_named_by_attribute() -> None:
    assert Inputs.region == InputBinding("region")
    assert not hasattr(Inputs, "__wrapped__")
