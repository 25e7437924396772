"""Which backend runs a task, and what is refused when compiling: nobody brings it, or may use it, or it cannot work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions
from flytepath import PythonInstanceTask, SQLTask, kwtypes, task
from flytepath.compiler.tasks import compile_task
from flytepath.errors import CompileError, FlytePathError, PluginDeniedError, PluginError, PluginNotFoundError
from flytepath.model.identity import Tenant
from flytepath.model.task import TaskSpec
from flytepath.plugin import BoundaryChecker, BoundaryReport
from flytepath.plugin import manager as managers
from flytepath.testing import MemoryBlobs
from flytepath.testing.reference_task import VendorJob

TASK_TYPE = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="vendor-job", task_type="flytepath.testing.reference_task:VendorJobTask",
                                    config="flytepath.testing.reference_task:VendorJob", default_backend="vendor")]
"""
BACKEND = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(name="vendor", backend="flytepath.testing.reference_backend:VendorBackend",
                                   settings="flytepath.testing.reference_backend:VendorSettings", idempotency="B")]
"""
RENDERER = """
    @hookimpl
    def flytepath_renderers():
        return [RendererDeclaration(task_type="vendor-job", backend="vendor", renderer="nowhere:Renderer")]
"""
CHECK = """
    @hookimpl
    def flytepath_boundary_checks():
        return [BoundaryCheckDeclaration(marker="test_remote_backends.AtMost", checker="test_remote_backends:Checker")]
"""


class AtMost:
    """A marker that somebody checks."""


class Checker(BoundaryChecker):
    """Would check it."""

    def check(self, value: Any, marker: AtMost, context: Any) -> BoundaryReport:
        return BoundaryReport(passed=True)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    made = Distributions(tmp_path / "site", tmp_path / "home")
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.chdir(made.work)
    before = managers.set_current(None)
    yield made
    managers.set_current(before)


def job(**settings: Any) -> PythonInstanceTask:
    return PythonInstanceTask("backends.job", VendorJob(outputs={"rows": 1}), outputs=kwtypes(rows=int), **settings)


def compiled(made: PythonInstanceTask, tenant: Tenant | None = None) -> TaskSpec:
    globals()["made"] = made  # a task is found by the variable of a module that holds it
    return compile_task(made, tenant or Tenant(), MemoryBlobs())


def refused(made: PythonInstanceTask, kind: type[FlytePathError], match: str) -> FlytePathError:
    """The same words when compiling and in a direct call."""
    with pytest.raises(kind, match=match) as caught:
        compiled(made)
    with pytest.raises(kind, match=match) as called:
        made(**dict.fromkeys(made.inputs, 1))
    assert str(caught.value) == str(called.value)
    return caught.value


def test_a_type_that_runs_on_a_backend_says_so_in_its_spec(fakes: Distributions) -> None:
    fakes.add("vendor", TASK_TYPE + BACKEND)
    spec = compiled(job())
    assert (spec.backend, spec.task_type, spec.body.kind) == ("vendor", "vendor-job", "none")
    assert spec.plugin == "flyte-plugin-vendor 1.0"


def test_what_a_service_does_needs_no_variable_by_which_a_worker_finds_it(fakes: Distributions) -> None:
    fakes.add("vendor", TASK_TYPE + BACKEND)
    nameless = [job()]
    spec = compile_task(nameless[0], Tenant(), MemoryBlobs())
    assert (spec.backend, spec.body.entry, spec.body.needs_worker) == ("vendor", "", False)
    assert compiled(nameless[0]).body.entry.endswith(":made")


def test_tasks_of_this_machine_stay_there(fakes: Distributions) -> None:
    @task
    def plain(x: int) -> int:
        return x

    assert compiled(plain).backend == "local"
    query = SQLTask("backends.query", "select 1 as one", outputs=kwtypes(one=list[int]))
    assert compiled(query).backend == "local"


def test_a_backend_that_nobody_brings_names_what_to_install(fakes: Distributions) -> None:
    fakes.add("types", TASK_TYPE)
    error = refused(job(), PluginNotFoundError, "backend 'vendor', which no enabled plugin brings")
    assert "pip install flyte-plugin-vendor" in str(error.hint)
    assert error.place == "backends.job"
    assert "flyte-plugin-types 1.0" in str(error.actual)


def test_a_backend_that_is_installed_and_not_enabled_is_named(fakes: Distributions) -> None:
    fakes.add("types", TASK_TYPE)
    fakes.add("vendor", BACKEND + RENDERER)
    fakes.configure('[plugins]\ndeny = ["vendor"]\n')
    error = refused(job(), PluginNotFoundError, "backend 'vendor'")
    assert "flyte-plugin-vendor" in str(error.hint)
    assert "not enabled" in str(error.hint)


def test_a_backend_that_the_project_may_not_use(fakes: Distributions) -> None:
    fakes.add("types", TASK_TYPE)
    fakes.add("vendor", BACKEND + RENDERER)
    fakes.configure('[projects.strict.plugins]\ndeny = ["vendor"]\n')
    with pytest.raises(PluginDeniedError, match="vendor"):
        compiled(job(), Tenant("strict"))
    assert compiled(job()).backend == "vendor"


def test_a_backend_that_is_broken_tells_its_story(fakes: Distributions) -> None:
    fakes.add("types", TASK_TYPE)
    fakes.add("vendor", BACKEND.replace('idempotency="B"', 'idempotency="Z"'))
    with pytest.raises(PluginError, match="vendor"):
        compiled(job())


def test_a_pair_that_nobody_renders(fakes: Distributions) -> None:
    fakes.add("types", TASK_TYPE)
    fakes.add("vendor", BACKEND)
    error = refused(
        job(), CompileError, "nothing says how a task of type 'vendor-job' becomes a job of backend 'vendor'"
    )
    assert error.code == "FP-RENDERER-MISSING"
    assert "flyte-plugin-types" in str(error.actual)
    assert "flyte-plugin-vendor" in str(error.actual)


def test_a_third_plugin_may_join_the_two(fakes: Distributions) -> None:
    fakes.add("types", TASK_TYPE)
    fakes.add("vendor", BACKEND)
    fakes.add("joined", RENDERER)
    assert compiled(job()).backend == "vendor"


def test_the_plugin_that_joins_them_must_be_enabled_too(fakes: Distributions) -> None:
    fakes.add("types", TASK_TYPE)
    fakes.add("vendor", BACKEND)
    fakes.add("joined", RENDERER)
    fakes.configure('[projects.strict.plugins]\ndeny = ["joined"]\n')
    with pytest.raises(PluginDeniedError, match="joined"):
        compiled(job(), Tenant("strict"))


def test_a_function_has_nobody_to_run_it_there(fakes: Distributions) -> None:
    fakes.add("vendor", TASK_TYPE + BACKEND)

    @task(task_config=VendorJob())
    def body(x: int) -> int:
        return x

    error = refused(body, CompileError, "has a function body, and backend 'vendor' has nobody to run it")
    assert error.code == "FP-REMOTE-BODY"
    assert error.hint

    @task(task_config=VendorJob())
    async def coroutine(x: int) -> int:
        return x

    with pytest.raises(CompileError, match="function body"):
        compiled(coroutine)


def test_a_check_that_nobody_would_make_is_refused(fakes: Distributions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "test_remote_backends", sys.modules[__name__])
    fakes.add("vendor", TASK_TYPE + BACKEND + CHECK)
    marker = AtMost()
    made = PythonInstanceTask(
        "backends.checked",
        VendorJob(outputs={"rows": 1}),
        inputs=kwtypes(x=Annotated[int, marker]),
        outputs=kwtypes(rows=int),
    )
    error = refused(made, CompileError, "input 'x' of backends.checked asks for a check that nobody makes")
    assert error.place == "backends.checked(x)"
