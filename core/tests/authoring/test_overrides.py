"""``with_overrides``: every setting a node can change, in direct calls and in its spec, and what cannot be honoured."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from compiled_specs import compiled
from flytepath import (
    A100,
    Cache,
    Environment,
    ImageSpec,
    LaunchPlan,
    PodTemplate,
    Resources,
    ShellTask,
    SQLite3Config,
    SQLite3Task,
    StructuredDataset,
    create_node,
    dynamic,
    map_task,
    task,
    workflow,
)
from flytepath.authoring.task import PythonFunctionTask
from flytepath.errors import CompileError, DefinitionError, OverrideError

calls: list[int] = []


class Pair(NamedTuple):
    low: int
    high: int


@task
def double(x: int) -> int:
    return 2 * x


@task
def counted(x: int) -> int:
    calls.append(x)
    return 2 * x


@task(cache=True, cache_version="1", retries=5, timeout=10, interruptible=False, labels={"a": "1"})
def settled(x: int) -> int:
    calls.append(x)
    return 2 * x


@task
def variable(name: str) -> str:
    return os.environ.get(name, "")


@task
def pair(x: int) -> Pair:
    return Pair(x, x + 1)


@task
def nothing(x: int) -> None:
    assert x


@dynamic
def grown(x: int) -> int:
    return double(x=x)


@workflow
def inner(x: int) -> int:
    return double(x=x)


queries = SQLite3Task(
    name="overrides.queries",
    query_template="SELECT x FROM numbers",
    task_config=SQLite3Config(uri="/nowhere.db"),
)
shell = ShellTask(name="overrides.shell", script="true")


def rows(frame: StructuredDataset) -> list[int]:
    pandas = pytest.importorskip("pandas")
    return list(frame.open(pandas.DataFrame).all()["x"])


def overridden(entity: Any = double, **changes: Any) -> Any:
    """The overrides of the one node of a workflow."""

    @workflow
    def flow(x: int) -> int:
        return entity(x=x).with_overrides(**changes)

    return compiled(flow).nodes[0].overrides


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"retries": 3}, "retries", 3),
        ({"retries": 0}, "retries", 0),
        ({"timeout": 30}, "timeout_seconds", 30.0),
        ({"timeout": dt.timedelta(minutes=1)}, "timeout_seconds", 60.0),
        ({"interruptible": True}, "interruptible", True),
        ({"interruptible": False}, "interruptible", False),
        ({"requests": Resources(cpu="1", mem="2Gi")}, "requests", Resources(cpu="1", mem="2Gi")),
        ({"limits": Resources(gpu="1")}, "limits", Resources(gpu="1")),
        ({"container_image": "repo/image:1"}, "environment", "repo/image:1"),
        ({"labels": {"team": "a"}}, "labels", {"team": "a"}),
        ({"annotations": {"note": "b"}}, "annotations", {"note": "b"}),
        ({"environment": {"K": "v"}}, "variables", {"K": "v"}),
        ({"accelerator": A100}, "accelerator", A100.to_json()),
        ({"pod_template_name": "big"}, "pod_template", {"name": "big"}),
        ({"shared_memory": True}, "shared_memory", True),
        ({"shared_memory": "1Gi"}, "shared_memory", "1Gi"),
    ],
)
def test_each_setting_is_recorded_on_its_node_alone(changes: dict[str, Any], field: str, value: Any) -> None:
    made = overridden(**changes)
    assert getattr(made, field) == value
    assert made.model_dump(exclude_none=True).keys() == {field}


def test_requests_and_limits_together() -> None:
    made = overridden(resources=Resources(cpu=("1", "2")))
    assert made.requests == Resources(cpu="1")
    assert made.limits == Resources(cpu="2")


def test_images_and_pod_templates_as_data() -> None:
    made = overridden(container_image=ImageSpec(packages=["numpy"]), pod_template=PodTemplate(labels={"a": "b"}))
    assert made.environment["packages"] == ["numpy"]
    assert made.pod_template["labels"] == {"a": "b"}


def test_caching_is_turned_on_and_off() -> None:
    on = overridden(cache=True, cache_version="2", cache_serialize=True, cache_ignore_input_vars=("x",))
    assert (on.cache.enabled, on.cache.version, on.cache.serialize) == (True, "2", True)
    assert on.cache.ignored_inputs == ("x",)
    assert overridden(cache=Cache(version="3")).cache.version == "3"
    off = overridden(settled, cache=False)
    assert off.cache.enabled is False


def test_a_timeout_is_taken_away_and_the_rest_of_the_task_stays() -> None:
    @workflow
    def flow(x: int) -> int:
        return settled(x=x).with_overrides(timeout=0, retries=1)

    spec = compiled(flow)
    task_ = spec.nodes[0].task_of(spec.tasks)
    assert task_.timeout_seconds is None
    assert task_.retry.retries == 1
    assert task_.cache.enabled
    assert task_.interruptible is False
    assert spec.tasks[settled.name].timeout_seconds == 10.0


def test_later_overrides_add_to_earlier_ones_and_none_changes_nothing() -> None:
    @workflow
    def flow(x: int) -> int:
        made = double(x=x).with_overrides(retries=1, labels={"a": "1"})
        made.with_overrides(retries=2, timeout=None)
        return made.with_overrides(interruptible=True)

    made = compiled(flow).nodes[0].overrides
    assert made is not None
    assert (made.retries, made.labels, made.interruptible) == (2, {"a": "1"}, True)
    assert made.timeout_seconds is None


def test_direct_calls_honour_what_matters_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path))
    calls.clear()

    @workflow
    def flow() -> tuple[str, str, int, int, int]:
        set_ = variable(name="OVERRIDDEN").with_overrides(environment={"OVERRIDDEN": "yes"})
        unset = variable(name="OVERRIDDEN")
        set_ >> unset
        one = counted(x=1).with_overrides(cache=True, cache_version="1")
        two = counted(x=1).with_overrides(cache=True, cache_version="1")
        one >> two
        return set_, unset, one, two, settled(x=7).with_overrides(cache=False)

    assert flow() == ("yes", "", 2, 2, 14)
    assert calls == [1, 7]
    assert flow() == ("yes", "", 2, 2, 14)
    assert calls == [1, 7, 7]
    assert counted(x=1) == 2
    assert calls == [1, 7, 7, 1]


def test_the_task_itself_is_never_changed() -> None:
    before = double.settings
    overridden(retries=9)
    assert double.settings is before


def test_whatever_a_call_gives_can_be_overridden() -> None:
    @workflow
    def flow(x: int) -> tuple[int, int, int]:
        both = pair(x=x).with_overrides(retries=1)
        nothing(x=x).with_overrides(retries=2)
        create_node(double, x=x).with_overrides(retries=3)
        mapped = map_task(double)(x=[x]).with_overrides(retries=4)
        grown_ = grown(x=x).with_overrides(retries=5)
        both >> mapped
        return both.low, both.high, grown_

    assert flow(x=1) == (1, 2, 2)
    assert [n.overrides.retries for n in compiled(flow).nodes if n.overrides is not None] == [1, 2, 3, 4, 5]


def test_names_are_shown_in_place_of_paths() -> None:
    @workflow
    def flow(x: int) -> int:
        return double(x=double(x=x).with_overrides(node_name="first")).with_overrides(name="second")

    spec = compiled(flow)
    assert [n.name for n in spec.nodes] == ["first", "second"]
    assert [n.path for n in spec.nodes] == ["n0", "n1"]


def test_a_named_sub_workflow_and_launch_plan() -> None:
    plan = LaunchPlan.get_or_create(inner, "overrides_plan")

    @workflow
    def flow(x: int) -> int:
        return plan(x=inner(x=x).with_overrides(name="inside")).with_overrides(name="planned")

    assert flow(x=1) == 4
    assert [n.name for n in compiled(flow).nodes] == ["inside", "planned"]


def test_an_interruptible_workflow_is_the_default_of_its_tasks() -> None:
    @workflow(interruptible=True)
    def flow(x: int) -> tuple[int, int, int]:
        return double(x=x), settled(x=x), double(x=x).with_overrides(interruptible=False)

    first, second, third = compiled(flow).nodes
    assert first.overrides is not None
    assert first.overrides.interruptible is True
    assert second.overrides is None
    assert third.overrides is not None
    assert third.overrides.interruptible is False


def test_another_configuration_of_the_same_kind(tmp_path: Path) -> None:
    for number in (1, 2):
        with sqlite3.connect(tmp_path / f"{number}.db") as connection:
            connection.execute("CREATE TABLE numbers (x INTEGER)")
            connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        connection.close()
    first, second = (SQLite3Config(uri=str(tmp_path / f"{number}.db")) for number in (1, 2))
    queries.task_config = first

    @workflow
    def flow() -> tuple[StructuredDataset, StructuredDataset]:
        return queries(), queries().with_overrides(task_config=second)

    assert [rows(frame) for frame in flow()] == [[1], [2]]
    one, two = compiled(flow).nodes
    assert one.overrides is None
    assert two.overrides is not None
    assert two.overrides.payload["uri"] == second.uri
    assert two.overrides.model_dump(exclude_none=True).keys() == {"payload"}


# --- what cannot be ---


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, "no such override"),
        ({"retries": -1}, "retries cannot be -1"),
        ({"retries": "2"}, "retries cannot be '2'"),
        ({"timeout": "1h"}, "timeout cannot be '1h'"),
        ({"interruptible": "yes"}, "interruptible"),
        ({"requests": "1 cpu"}, "requests"),
        ({"labels": {"a": 1}}, "labels"),
        ({"cache": True}, "needs a version"),
        ({"cache_version": "2"}, "cache is off"),
        ({"cache": True, "cache_version": "1", "cache_ignore_input_vars": ("z",)}, "z"),
        ({"container_image": 3}, "container_image"),
        ({"accelerator": "a100"}, "accelerator"),
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"task_config": object()}, "another kind"),
        ({"aliases": {"o0": "y"}}, "renamed"),
    ],
)
def test_what_cannot_be_meant_is_an_error_at_the_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(OverrideError, match=said) as caught:
        overridden(**changes)
    assert caught.value.code == "FP-OVERRIDE"
    assert "test_overrides.py:" in str(caught.value.place)
    assert isinstance(caught.value, CompileError)


@pytest.mark.parametrize("changes", [{"retries": 1}, {"cache": False}, {"requests": Resources(cpu="1")}])
def test_sub_workflows_and_launch_plans_honour_none(changes: dict[str, Any]) -> None:
    plan = LaunchPlan.get_or_create(inner, "overrides_plan")
    for entity in (inner, plan, map_task(inner)):
        with pytest.raises(OverrideError, match=next(iter(changes))) as caught:
            overridden(lambda x, entity=entity: entity(x=[x] if "map" in repr(entity) else x), **changes)
        assert "override the tasks inside" in str(caught.value.hint)


def test_a_task_type_that_cannot_honour_a_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from flytepath.authoring import call

    class Sealed(type(call._plain_type)):  # type: ignore[misc]
        ignored_settings = frozenset({"retries"})

    monkeypatch.setattr(call, "_plain_type", Sealed())
    with pytest.raises(OverrideError, match="cannot honour it"):
        overridden(retries=1)
    assert overridden(timeout=5).timeout_seconds == 5.0


def test_several_wrong_nodes_are_told_together() -> None:
    @workflow
    def flow(x: int) -> int:
        double(y=x)
        return double(x=x).with_overrides(colour="red")

    with pytest.raises(CompileError, match="2 problems"):
        flow(x=1)


# --- Environment ---


def test_an_environment_shares_settings_between_tasks() -> None:
    env = Environment(retries=2, labels={"team": "a"})

    @env.task
    def plain(x: int) -> int:
        return x

    @env.task(retries=5, timeout=3)
    def other(x: int) -> int:
        return x

    @env
    def called(x: int) -> int:
        return x

    @env.dynamic
    def grows(x: int) -> int:
        return plain(x=x)

    assert (plain.settings.retries, plain.settings.labels) == (2, {"team": "a"})
    assert (other.settings.retries, other.settings.timeout_seconds) == (5, 3.0)
    assert isinstance(called, PythonFunctionTask)
    assert called.settings.retries == 2
    assert (grows.settings.retries, grows(x=3)) == (2, 3)


def test_environments_are_extended_and_updated() -> None:
    base = Environment(retries=2)
    more = base.extend(timeout=5, retries=1)
    assert repr(base) == "Environment(retries=2)"
    base.update(retries=7)

    @base.task
    def first(x: int) -> int:
        return x

    @more.task
    def second(x: int) -> int:
        return x

    assert first.settings.retries == 7
    assert (second.settings.retries, second.settings.timeout_seconds) == (1, 5.0)


def test_what_an_environment_shows(capsys: pytest.CaptureFixture[str]) -> None:
    Environment(retries=2).show()
    assert capsys.readouterr().out == "Environment(retries=2)\n"


def test_unknown_settings_of_an_environment_are_refused() -> None:
    with pytest.raises(DefinitionError, match="'colour'"):
        Environment(colour="red")
    with pytest.raises(DefinitionError, match="'colour'"):
        Environment().extend(colour="red")
    with pytest.raises(DefinitionError, match="'colour'"):
        Environment().update(colour="red")
