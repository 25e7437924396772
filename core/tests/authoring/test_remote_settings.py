"""``pools``, ``detach`` and ``idempotent``: where they are taken, checked, changed at a node, and recorded."""

from __future__ import annotations

from typing import Any

import pytest
from compiled_specs import compiled
from flytepath import Environment, Resources, ShellTask, dynamic, map_task, task, workflow
from flytepath.compiler.tasks import compile_task
from flytepath.errors import DefinitionError, FlytePathError, OverrideError
from flytepath.model.identity import Tenant
from flytepath.model.task import TaskSpec
from flytepath.testing import MemoryBlobs


@task(pools={"matlab": 1, "snowflake/acme": 2}, detach=True, idempotent=True)
def asking(x: int) -> int:
    return x


@task
def plain(x: int) -> int:
    return x


shell = ShellTask(name="remote_settings.shell", script="true", pools={"licences": 3}, detach=True, idempotent=True)

shared = Environment(pools={"matlab": 2}, idempotent=True)


@shared.task
def of_environment(x: int) -> int:
    return x


@dynamic(pools={"matlab": 4})
def grown(x: int) -> int:
    return plain(x=x)


def spec_of(entity: Any) -> TaskSpec:
    return compile_task(entity, Tenant(), MemoryBlobs())


@pytest.mark.parametrize(
    ("entity", "pools", "detach", "idempotent"),
    [
        (asking, {"matlab": 1, "snowflake/acme": 2}, True, True),
        (shell, {"licences": 3}, True, True),
        (of_environment, {"matlab": 2}, False, True),
        (grown, {"matlab": 4}, False, False),
        (plain, {}, False, False),
    ],
)
def test_they_are_recorded_with_the_task(entity: Any, pools: dict[str, int], detach: bool, idempotent: bool) -> None:
    spec = spec_of(entity)
    assert (spec.pools, spec.detach, spec.idempotent) == (pools, detach, idempotent)


def test_a_task_with_pools_is_called_as_ever() -> None:
    assert asking(x=3) == 3
    assert grown(x=3) == 3


def test_a_later_change_of_the_dict_changes_nothing() -> None:
    given = {"matlab": 1}

    @task(pools=given)
    def mine(x: int) -> int:
        return x

    given["matlab"] = 9
    assert mine.settings.pools == {"matlab": 1}


@pytest.mark.parametrize(
    "pools",
    [
        {"": 1},
        {" matlab": 1},
        {"mat lab": 1},
        {"matlab\n": 1},
        {"matlab/*": 1},
        {"matlab?": 1},
        {1: 1},
        {"matlab": 0},
        {"matlab": -1},
        {"matlab": 1.0},
        {"matlab": True},
        {"matlab": "1"},
        {"matlab": None},
        ["matlab"],
        "matlab",
        7,
    ],
    ids=repr,
)
def test_pools_that_cannot_be_meant_are_refused_where_they_are_written(pools: Any) -> None:
    with pytest.raises(DefinitionError, match="pools cannot be") as caught:

        @task(pools=pools)
        def mine(x: int) -> int:
            return x

    assert str(caught.value.place).endswith("mine(pools)")
    assert "whole number of tokens" in str(caught.value.expected)


@pytest.mark.parametrize("name", ["detach", "idempotent"])
@pytest.mark.parametrize("value", [1, "yes", [True]])
def test_switches_are_booleans(name: str, value: Any) -> None:
    with pytest.raises(DefinitionError, match=f"{name} cannot be") as caught:
        task(**{name: value})(lambda_task)
    assert caught.value.expected == "bool"


def lambda_task(x: int) -> int:
    return x


def test_a_node_asks_for_other_pools_and_for_none() -> None:
    @workflow
    def flow(x: int) -> int:
        more = asking(x=x).with_overrides(pools={"matlab": 5})
        return asking(x=more).with_overrides(pools={})

    first, second = compiled(flow).nodes
    assert first.overrides is not None
    assert first.overrides.model_dump(exclude_none=True) == {"pools": {"matlab": 5}}
    assert second.overrides is not None
    assert second.overrides.pools == {}
    assert second.overrides.applied(spec_of(asking)).pools == {}
    assert first.overrides.applied(spec_of(asking)).pools == {"matlab": 5}


def test_a_map_asks_for_pools_item_by_item() -> None:
    @workflow
    def flow(xs: list[int]) -> list[int]:
        return map_task(plain)(x=xs).with_overrides(pools={"matlab": 1}, requests=Resources(cpu="1"))

    overrides = compiled(flow).nodes[0].overrides
    assert overrides is not None
    assert overrides.pools == {"matlab": 1}


@pytest.mark.parametrize("pools", [{"matlab": 0}, {"mat lab": 1}, ["matlab"]], ids=repr)
def test_pools_of_a_node_are_checked_too(pools: Any) -> None:
    @workflow
    def flow(x: int) -> int:
        return plain(x=x).with_overrides(pools=pools)

    with pytest.raises(OverrideError, match="pools cannot be"):
        compiled(flow)


@pytest.mark.parametrize("name", ["detach", "idempotent"])
def test_what_concerns_the_task_itself_is_no_override(name: str) -> None:
    @workflow
    def flow(x: int) -> int:
        return plain(x=x).with_overrides(**{name: True})

    with pytest.raises(FlytePathError, match="there is no such override"):
        compiled(flow)
