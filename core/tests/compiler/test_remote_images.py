"""Which image a worker elsewhere is started in, where the task describes one instead of naming it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions
from flytepath import ContainerTask, ImageSpec, map_task, task, workflow
from flytepath.authoring.remote_tasks import RemoteImageError
from flytepath.compiler import compile_entity
from flytepath.engine.jobs.worker_launches import placeholder_launch
from flytepath.model.identity import Tenant
from flytepath.model.task import TaskSpec
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin import manager as managers
from flytepath.testing import MemoryBlobs

MANIFEST = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="flytepath.testing.process_backend:ProcessBackend",
            settings="flytepath.testing.process_backend:ProcessSettings", idempotency="B", runs_workers=True)]
"""
HELD = ImageSpec(name="Train", packages=["pandas"], registry="ghcr.io/Acme/")
UNHELD = ImageSpec(name="train", packages=["pandas"])


@task(backend="process", container_image=HELD)
def held(x: int) -> int:
    return x


@task(backend="process", container_image=UNHELD)
def unheld(x: int) -> int:
    return x


@task(container_image=HELD)
def here(x: int) -> int:
    return x


@task(container_image=UNHELD)
def here_unheld(x: int) -> int:
    return x


raw = ContainerTask("raw", UNHELD, ["true"], backend="process")


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    made = Distributions(tmp_path / "site", tmp_path / "home")
    made.add("process", MANIFEST)
    made.configure(f'[store]\nblobs = "{tmp_path}/shared"\n[backends.process]\nfolder = "{tmp_path}/jobs"\n')
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.chdir(made.work)
    before = managers.set_current(None)
    yield made
    managers.set_current(before)


def compiled(entity: Any, workers: str = "") -> WorkflowSpec:
    return compile_entity(entity, Tenant(), MemoryBlobs(), workers=workers)


def only(spec: WorkflowSpec) -> TaskSpec:
    """The task of the first node, as it runs there."""
    return spec.nodes[0].task_of(spec.tasks)


def test_an_image_that_a_registry_holds_is_named_in_full() -> None:
    spec = only(compiled(held))
    assert placeholder_launch(spec).image == HELD.image_name() == f"ghcr.io/acme/train:{HELD.tag}"
    assert spec.environment["packages"] == ["pandas"]


def test_an_image_that_nobody_builds_is_refused_with_what_to_do() -> None:
    with pytest.raises(RemoteImageError, match="an image that nobody builds") as caught:
        compiled(unheld)
    assert caught.value.code == "FP-REMOTE-IMAGE"
    assert caught.value.place == f"{unheld.name}(container_image)"
    assert "registry=" in str(caught.value.hint)
    assert "container_image=" in str(caught.value.hint)


def test_what_stays_here_is_the_same_wherever_images_are_pushed() -> None:
    assert "image" not in only(compiled(here)).environment
    assert only(compiled(here_unheld)).environment == UNHELD.compiled()


def test_a_node_that_goes_elsewhere_takes_the_name_with_it_and_leaves_it_there() -> None:
    @workflow
    def moved(x: int) -> int:
        return here(x=x).with_overrides(backend="process")

    @workflow
    def back(x: int) -> int:
        return held(x=x).with_overrides(backend="local")

    @workflow
    def other(xs: list[int]) -> list[int]:
        return map_task(held)(x=xs).with_overrides(container_image="ghcr.io/acme/other:1")

    @workflow
    def wrong(x: int) -> int:
        return here_unheld(x=x).with_overrides(backend="process")

    assert placeholder_launch(only(compiled(moved))).image == HELD.image_name()
    assert only(compiled(back)).environment == HELD.compiled()
    assert placeholder_launch(only(compiled(other))).image == "ghcr.io/acme/other:1"
    with pytest.raises(RemoteImageError):
        compiled(wrong)


def test_a_task_that_names_no_backend_is_compiled_for_the_one_that_is_asked_for() -> None:
    assert only(compiled(here, workers="process")).backend == "process"
    assert placeholder_launch(only(compiled(here, workers="process"))).image == HELD.image_name()
    with pytest.raises(RemoteImageError):
        compiled(here_unheld, workers="process")


def test_a_container_task_starts_what_it_says_and_needs_no_registry() -> None:
    assert only(compiled(raw)).payload["image"] == UNHELD.image_name()
