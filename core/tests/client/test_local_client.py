"""The door itself: what is registered, how an execution is asked for, and runs inside this process."""

from __future__ import annotations

import datetime as dt
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flytepath.bundle import Bundle, collect
from flytepath.client import LocalClient, Scope, SilentListener
from flytepath.compiler import compile_entity, compile_launch_plan, compile_task, parse_inputs
from flytepath.errors import ExecutionStateError, InputError, NotFoundError, UsageError
from flytepath.model.identity import Tenant
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER, STRING
from flytepath.store.registry import VersionConflictError

SOURCE = """
    import asyncio, datetime, os, threading
    from flytepath import LaunchPlan, current_context, dynamic, eager, map_task, task, wait_for_input, workflow

    threads = []

    @task
    def double(x: int) -> int:
        threads.append(threading.get_ident())
        return 2 * x

    @task(cache=True, cache_version="1")
    def colour(x: int) -> str:
        threads.append(threading.get_ident())
        return os.environ.get("COLOUR", "none")

    @dynamic
    def grow(n: int) -> list[int]:
        return [double(x=i) for i in range(n)]

    @eager
    async def both(x: int) -> int:
        return sum(await asyncio.gather(inner(x=x), inner(x=x + 1)))

    @eager
    async def inner(x: int) -> int:
        return double(x=double(x=x))

    @task
    def about(x: int) -> list[str]:
        context = current_context()
        return [str(context.execution_id), context.task_id.version, context.execution_date.isoformat()]

    @workflow
    def wf(x: int = 3) -> int:
        return double(x=x)

    @workflow
    def asking() -> int:
        return double(x=wait_for_input("number", timeout=datetime.timedelta(minutes=1), expected_type=int))

    plan = LaunchPlan.create(f"{__name__}.plan", wf, fixed_inputs={"x": 21})
"""


class Door:
    """A client on a home of its own, with the module of these tests."""

    def __init__(self, client: LocalClient, module: ModuleType, folder: Path) -> None:
        self.client = client
        self.module = module
        self.scope = Scope(Tenant(), "ada")
        self.blobs = client.blobs(self.scope)
        self.bundle: Bundle = collect(folder / f"{module.__name__}.py", folder)

    def compiled(self, name: str) -> Any:
        return compile_entity(getattr(self.module, name), self.scope.tenant, self.blobs)

    def create(self, entity_name: str, texts: dict[str, str] | None = None, **settings: Any) -> str:
        entity = getattr(self.module, entity_name)
        identity = self.client.register(self.scope, self.compiled(entity_name), self.bundle)
        inputs = parse_inputs(entity, texts or {}, {}, self.blobs)
        return self.client.create_execution(self.scope, identity, inputs, **settings)

    def run(self, name: str, texts: dict[str, str] | None = None, **settings: Any) -> Any:
        execution = self.create(name, texts, **settings)
        view = self.client.wait(self.scope, execution, SilentListener(), in_process=True)
        assert view.status == "succeeded", view.error
        return view


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    name = f"door_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__(name)
    with LocalClient(tmp_path / "home", slots=2) as client:
        yield Door(client, module, tmp_path)
    del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "texts", "expected"),
    [("wf", {"x": "4"}, 8), ("grow", {"n": "3"}, [0, 2, 4]), ("both", {"x": "1"}, 12)],
)
def test_in_process_gives_the_same_in_this_very_thread(door: Door, name: str, texts: Any, expected: Any) -> None:
    assert door.run(name, texts).outputs["o0"].data == expected
    assert set(door.module.threads) == {threading.get_ident()}


def test_ctrl_c_in_process_leaves_an_execution_that_can_be_resumed(door: Door) -> None:
    def interrupted(x: int) -> int:
        raise KeyboardInterrupt

    execution = door.create("wf")
    function, door.module.double.function = door.module.double.function, interrupted
    with pytest.raises(KeyboardInterrupt):
        door.client.wait(door.scope, execution, SilentListener(), in_process=True)
    door.module.double.function = function
    view = door.client.wait(door.scope, execution, SilentListener(), in_process=True)
    assert view.outputs["o0"].data == 6


def test_an_execution_is_called_what_its_user_calls_it_once(door: Door) -> None:
    assert door.create("wf", name="nightly-7") == "nightly-7"
    with pytest.raises(UsageError, match="there is an execution 'nightly-7' already"):
        door.create("wf", name="nightly-7")


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "-a", "a-", "x" * 64, "..", "a b"])
def test_a_name_that_cannot_be_one_is_refused(door: Door, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name an execution"):
        door.create("wf", name=name)


def test_a_task_is_told_of_its_execution(door: Door) -> None:
    view = door.run("about", {"x": "1"})
    created = dt.datetime.fromtimestamp(view.created_at, dt.UTC)
    assert view.outputs["o0"].data == [view.id, view.version, created.isoformat()]


def test_variables_labels_and_annotations_go_along(door: Door) -> None:
    view = door.run("colour", {"x": "1"}, variables={"COLOUR": "red"}, labels={"team": "a"}, annotations={"b": "c"})
    assert view.outputs["o0"].data == "red"
    assert (view.labels, view.annotations) == ({"team": "a"}, {"b": "c"})


def test_overwriting_the_cache_computes_anew_and_keeps_it(door: Door) -> None:
    first = door.run("colour", {"x": "2"}, variables={"COLOUR": "red"})
    found = door.run("colour", {"x": "2"}, variables={"COLOUR": "blue"})
    anew = door.run("colour", {"x": "2"}, variables={"COLOUR": "blue"}, overwrite_cache=True)
    later = door.run("colour", {"x": "2"})
    assert [view.outputs["o0"].data for view in (first, found, anew, later)] == ["red", "red", "blue", "blue"]
    assert [view.nodes[0].cached for view in (first, found, anew, later)] == [False, True, False, True]


def test_a_direct_call_and_a_durable_run_share_results(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME", str(door.client.home))
    monkeypatch.delenv("FLYTEPATH_LOCAL_CACHE", raising=False)
    monkeypatch.setenv("COLOUR", "green")
    assert door.module.colour(x=5) == "green"
    monkeypatch.setenv("COLOUR", "white")
    assert door.run("colour", {"x": "5"}).outputs["o0"].data == "green"
    assert door.run("colour", {"x": "6"}).outputs["o0"].data == "white"
    monkeypatch.setenv("COLOUR", "black")
    assert door.module.colour(x=6) == "white"


def test_a_version_of_the_users_own_never_changes(door: Door) -> None:
    spec = door.compiled("wf")
    identity = door.client.register(door.scope, spec, door.bundle, "v1")
    assert identity.version == "v1"
    assert door.client.register(door.scope, spec, door.bundle, "v1") == identity
    with pytest.raises(VersionConflictError):
        door.client.register(door.scope, spec.model_copy(update={"documentation": "other"}), door.bundle, "v1")


def test_what_is_registered_can_be_listed_and_fetched(door: Door) -> None:
    client, scope = door.client, door.scope
    task = compile_task(door.module.double, scope.tenant, door.blobs)
    client.register_task(scope, task, door.bundle, "v1")
    client.register_task(scope, task.model_copy(update={"documentation": "newer"}), door.bundle, "v2")
    assert client.entities(scope, "workflow") == []
    assert [identity.version for identity in client.entities(scope, "task")] == ["v2"]
    assert client.fetch(scope, "task", task.name).spec.documentation == "newer"
    first = client.fetch(scope, "task", task.name, "v1")
    assert (first.spec, first.bundle) == (task, door.bundle.digest)
    assert client.referred("task", first.identity) == (task, door.bundle.digest)
    with pytest.raises(NotFoundError, match="there is no task nowhere"):
        client.fetch(scope, "task", "nowhere")
    with pytest.raises(NotFoundError):
        client.fetch(scope, "task", task.name, "v3")
    other = Scope(Tenant("other"), "ada")
    assert client.entities(other, "task") == []


def test_a_launch_plan_is_registered_listed_and_run(door: Door) -> None:
    client, scope = door.client, door.scope
    spec = door.compiled("plan")
    plan = compile_launch_plan(door.module.plan, spec.digest(), door.blobs)
    identity = client.register_launch_plan(scope, plan, spec, door.bundle)
    listed = client.launch_plans(scope)
    assert [(item.identity, item.spec.name) for item in listed] == [(identity, door.module.plan.name)]
    assert isinstance(client.fetch(scope, "launch_plan", identity.name).spec, LaunchPlanSpec)
    assert client.referred("launch_plan", identity)[0] == spec
    execution = client.create_execution(scope, identity, {}, kind="launch_plan")
    assert client.wait(scope, execution, SilentListener(), in_process=True).outputs["o0"].data == 42


@pytest.mark.parametrize("caller", ["wf", "dyn", "eag"])
def test_a_task_that_is_referred_to_runs_the_code_it_was_registered_with(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caller: str
) -> None:
    client, scope = door.client, door.scope
    task = compile_task(door.module.double, scope.tenant, door.blobs)
    client.register_task(scope, task, door.bundle, "v1")
    other = tmp_path / "other"
    other.mkdir()
    name = f"other_{tmp_path.name.replace('-', '_')}"
    (other / f"{name}.py").write_text(
        "from flytepath import dynamic, eager, reference_task, workflow\n"
        f"@reference_task(project='default', domain='development', name={task.name!r}, version='v1')\n"
        "def double(x: int) -> int: ...\n"
        "@workflow\n"
        "def wf(x: int) -> int:\n"
        "    return double(x=double(x=x))\n"
        "@dynamic\n"
        "def dyn(x: int) -> int:\n"
        "    return double(x=double(x=x))\n"
        "@eager\n"
        "async def eag(x: int) -> int:\n"
        "    return double(x=double(x=x))\n"
    )
    monkeypatch.syspath_prepend(str(other))
    module = __import__(name)
    spec = compile_entity(getattr(module, caller), scope.tenant, door.blobs, client.referred)
    identity = client.register(scope, spec, collect(other / f"{name}.py", other))
    execution = client.create_execution(scope, identity, {"x": Literal.make(INTEGER, 3)})
    view = client.wait(scope, execution, SilentListener())
    assert view.status == "succeeded", view.error
    assert view.outputs["o0"].data == 12


def test_a_gate_takes_only_a_value_of_its_type(door: Door) -> None:
    client, scope = door.client, door.scope
    execution = door.create("asking")
    with pytest.raises(InputError, match="not of the type"):
        client.signal(scope, execution, "number", value=Literal.make(STRING, "x"))
    with pytest.raises(InputError, match="waits for a value"):
        client.signal(scope, execution, "number", approve=True)
    with pytest.raises(NotFoundError, match="no gate of this execution is called 'other'"):
        client.signal(scope, execution, "other", approve=True)
    client.signal(scope, execution, "number", value=Literal.make(INTEGER, 4))
    with pytest.raises(ExecutionStateError, match="answered already"):
        client.signal(scope, execution, "number", value=Literal.make(INTEGER, 5))
    view = client.wait(scope, execution, SilentListener(), in_process=True)
    assert view.outputs["o0"].data == 8
