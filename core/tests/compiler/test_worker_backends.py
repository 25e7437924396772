"""Bodies of tasks on a backend with workers: where configuration puts them, what a node changes, what is refused."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions
from flytepath.authoring.remote_tasks import RemoteBodyError, StorageNotSharedError
from flytepath.compiler import compile_entity
from flytepath.errors import (
    ConfigError,
    DefinitionError,
    FlytePathError,
    OverrideError,
    PluginDeniedError,
    PluginNotFoundError,
)
from flytepath.model.identity import Tenant
from flytepath.plugin import manager as managers
from flytepath.testing import MemoryBlobs

MANIFEST = """
    @hookimpl
    def flytepath_backends():
        facts = dict(backend="flytepath.testing.process_backend:ProcessBackend", idempotency="B", name_limit=40,
                     settings="flytepath.testing.process_backend:ProcessSettings")
        return [BackendDeclaration(name="process", runs_workers=True, **facts),
                BackendDeclaration(name="other", runs_workers=True, **facts),
                BackendDeclaration(name="service", **facts)]
"""
CODE = """
    from flytepath import dynamic, eager, map_task, task, workflow

    @task
    def plain(x: int) -> int:
        return x

    @task(backend="local")
    def here(x: int) -> int:
        return x

    @task(backend="other")
    def there(x: int) -> int:
        return x

    @task(backend="service")
    def served(x: int) -> int:
        return x

    @task(backend="nobody")
    def unknown(x: int) -> int:
        return x

    @dynamic
    def grows(x: int) -> int:
        return plain(x=x)

    @eager
    async def leads(x: int) -> int:
        return plain(x=x)

    @workflow
    def all_of_them(x: int) -> int:
        return plain(x=here(x=there(x=x)))

    @workflow
    def changed(x: int) -> int:
        first = here(x=x).with_overrides(backend="process")
        second = there(x=first).with_overrides(backend="local")
        return plain(x=second).with_overrides(backend="other")

    @workflow
    def mapped(xs: list[int]) -> list[int]:
        return map_task(here)(x=xs).with_overrides(backend="process")

    @workflow
    def to_a_service(x: int) -> int:
        return plain(x=x).with_overrides(backend="service")

    @workflow
    def to_nobody(x: int) -> int:
        return plain(x=x).with_overrides(backend="nobody")

    @workflow
    def calls_unknown(x: int) -> int:
        return unknown(x=x)

    @workflow
    def calls_served(x: int) -> int:
        return served(x=x)

    @workflow
    def leading(x: int) -> int:
        return grows(x=leads(x=x))
"""
SHARED = '[store]\nblobs = "/shared"\n'
ROUTED = SHARED + '[task_backends]\npython = "process"\n'

Compiled = Callable[..., Any]


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    made = Distributions(tmp_path / "site", tmp_path / "home")
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FLYTEPATH_BLOBS", raising=False)
    made.add("process", MANIFEST)
    (made.work / "worker_backends.py").write_text(textwrap.dedent(CODE))
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.syspath_prepend(str(made.work))
    monkeypatch.chdir(made.work)
    before = managers.set_current(None)
    yield made
    managers.set_current(before)
    sys.modules.pop("worker_backends", None)


@pytest.fixture
def compiled(fakes: Distributions) -> Compiled:
    def compile_one(name: str, configuration: str = ROUTED, tenant: Tenant | None = None) -> Any:
        fakes.configure(configuration)
        module = importlib.import_module("worker_backends")
        return compile_entity(getattr(module, name), tenant or Tenant(), MemoryBlobs())

    return compile_one


def backends(spec: Any) -> dict[str, str]:
    return {name.rpartition(".")[2]: task.backend for name, task in spec.tasks.items()}


def at_nodes(spec: Any) -> list[str]:
    """Where each node of a workflow runs."""
    return [node.task_of(spec.tasks).backend for node in spec.nodes]


# --- where configuration puts them -------------------------------------------------------------------------------


def test_configuration_says_where_tasks_run_that_say_nothing(compiled: Compiled) -> None:
    assert backends(compiled("all_of_them")) == {"plain": "process", "here": "local", "there": "other"}
    assert backends(compiled("all_of_them", SHARED)) == {"plain": "local", "here": "local", "there": "other"}


@pytest.mark.parametrize(
    ("tenant", "backend"),
    [
        (Tenant("elsewhere", "production"), "process"),
        (Tenant("p", "development"), "other"),
        (Tenant("p", "production"), "local"),
    ],
)
def test_project_and_domain_say_more(compiled: Compiled, tenant: Tenant, backend: str) -> None:
    levels = (
        f'{ROUTED}[projects.p.task_backends]\npython = "other"\n'
        '[projects.p.domains.production.task_backends]\npython = "local"\n'
    )
    assert backends(compiled("all_of_them", levels, tenant))["plain"] == backend


def test_what_leads_other_tasks_stays_here_and_they_go(compiled: Compiled) -> None:
    found = backends(compiled("leading"))
    assert (found["grows"], found["leads"]) == ("local", "local")


@pytest.mark.parametrize("routes", ['python = ""', "python = 3", 'python = ["process"]'])
def test_a_route_that_is_no_name_is_refused(compiled: Compiled, routes: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compiled("all_of_them", f"{SHARED}[task_backends]\n{routes}\n")
    assert "task_backends" in str(raised.value)


def test_a_route_to_a_backend_that_nobody_brings_says_who_says_so(compiled: Compiled) -> None:
    with pytest.raises(PluginNotFoundError) as raised:
        compiled("all_of_them", f'{SHARED}[task_backends]\npython = "kubernets"\n')
    assert "kubernets" in str(raised.value)
    assert "[task_backends]" in str(raised.value.actual)


# --- what a node changes -----------------------------------------------------------------------------------------


def test_a_node_sends_its_task_elsewhere_or_keeps_it(compiled: Compiled) -> None:
    assert at_nodes(compiled("changed")) == ["process", "local", "other"]
    assert at_nodes(compiled("mapped")) == ["process"]


@pytest.mark.parametrize(
    ("flow", "error", "said"),
    [
        ("to_a_service", RemoteBodyError, "nobody to run it"),
        ("to_nobody", PluginNotFoundError, "nobody"),
        ("calls_unknown", PluginNotFoundError, "as the task says"),
        ("calls_served", RemoteBodyError, "function body"),
    ],
)
def test_what_can_never_run_is_refused_when_it_is_compiled(
    compiled: Compiled, flow: str, error: type[FlytePathError], said: str
) -> None:
    with pytest.raises(error) as raised:
        compiled(flow)
    assert said in str(raised.value)
    assert raised.value.hint


def test_a_direct_call_runs_here_whatever_the_backend(fakes: Distributions) -> None:
    fakes.configure(ROUTED)
    module = importlib.import_module("worker_backends")
    assert module.all_of_them(x=3) == 3
    assert module.changed(x=3) == 3


# --- what is missing ---------------------------------------------------------------------------------------------


def test_workers_need_a_storage_that_they_reach(compiled: Compiled, tmp_path: Path) -> None:
    with pytest.raises(StorageNotSharedError) as raised:
        compiled("all_of_them", '[task_backends]\npython = "process"\n')
    error = raised.value
    assert error.code == "FP-STORAGE-NOT-SHARED"
    assert "blobs =" in str(error.hint)
    assert str(error.actual) == str(tmp_path / "home" / "blobs")


def test_the_environment_may_say_where_the_storage_is(compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_BLOBS", "s3://bucket/prefix")
    assert backends(compiled("all_of_them", '[task_backends]\npython = "process"\n'))["plain"] == "process"


def test_a_project_that_may_not_use_the_backend(compiled: Compiled) -> None:
    denied = f'{ROUTED}[projects.strict.plugins]\ndeny = ["process"]\n'
    with pytest.raises(PluginDeniedError, match="process"):
        compiled("all_of_them", denied, Tenant("strict"))
    assert backends(compiled("all_of_them", denied))["plain"] == "process"


@pytest.mark.parametrize("mode", ["dynamic", "eager"])
def test_what_leads_other_tasks_cannot_be_sent_away(fakes: Distributions, mode: str) -> None:
    fakes.configure(ROUTED)
    (fakes.work / "worker_backends.py").write_text(
        textwrap.dedent(
            f"""
            from flytepath import {mode}, task, workflow

            @task
            def plain(x: int) -> int:
                return x

            @{mode}(backend="process")
            {"async " if mode == "eager" else ""}def leads(x: int) -> int:
                return plain(x=x)
            """
        )
    )
    with pytest.raises((RemoteBodyError, DefinitionError)) as raised:
        compile_entity(importlib.import_module("worker_backends").leads, Tenant(), MemoryBlobs())
    assert raised.value.hint


@pytest.mark.parametrize("backend", ["", 3, " process"])
def test_a_backend_that_is_no_name_is_refused_where_it_is_written(fakes: Distributions, backend: Any) -> None:
    from flytepath import task

    with pytest.raises(DefinitionError) as raised:

        @task(backend=backend)
        def plain(x: int) -> int:
            return x

    assert "backend" in str(raised.value)


@pytest.mark.parametrize("backend", ["", 3])
def test_an_override_that_is_no_name_is_refused(fakes: Distributions, backend: Any) -> None:
    from flytepath import workflow

    fakes.configure(ROUTED)
    module = importlib.import_module("worker_backends")
    with pytest.raises((OverrideError, DefinitionError)) as raised:

        @workflow
        def flow(x: int) -> int:
            return module.plain(x=x).with_overrides(backend=backend)

        flow(x=1)
    assert "backend" in str(raised.value)
