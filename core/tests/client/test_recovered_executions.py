"""Recovery and relaunch through the door, with workers: what succeeded is taken over, what failed is done again."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath import FlytePath
from flytepath.errors import ExecutionStateError
from flytepath.model.events import AttemptStarted, ItemsStarted
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER

SOURCE = """
    import pathlib
    from flytepath import LaunchPlan, current_context, dynamic, map_task, task, workflow

    @task
    def first(x: int) -> int:
        return x + 1

    @task
    def item(x: int, home: str) -> int:
        if x == 2 and not pathlib.Path(home, "mended").exists():
            raise ValueError("not yet")
        return x

    @dynamic
    def grown(n: int) -> int:
        return first(x=first(x=n))

    @task
    def last(numbers: list[int], x: int, home: str) -> int:
        checkpoint = current_context().checkpoint
        before = checkpoint.read()
        checkpoint.write(b"been here")
        if not pathlib.Path(home, "mended twice").exists():
            raise ValueError("not yet either")
        return sum(numbers) + x + (1000 if before else 0)

    @workflow
    def wf(home: str, x: int = 1) -> int:
        from functools import partial
        grew = grown(n=first(x=x))
        numbers = map_task(partial(item, home=home), min_success_ratio=1.0)(x=[1, 2, 3])
        return last(numbers=numbers, x=grew, home=home)

    plan = LaunchPlan.create(f"{__name__}.plan", wf, default_inputs={"x": 5})
"""


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("flows")
    (folder / "recovered_flow.py").write_text(textwrap.dedent(SOURCE))
    sys.path.insert(0, str(folder))
    import recovered_flow  # type: ignore[import-not-found]

    yield recovered_flow
    sys.path.remove(str(folder))
    del sys.modules["recovered_flow"]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[FlytePath]:
    with FlytePath(home=tmp_path / "home", slots=2) as made:
        yield made


def ran(platform: FlytePath, execution: str) -> set[str]:
    """Every node that an attempt was started of."""
    found: set[str] = set()
    for event in platform._client.store.read(execution):
        if isinstance(event.payload, AttemptStarted):
            found.add(event.payload.node)
        elif isinstance(event.payload, ItemsStarted):
            found |= {f"{event.payload.node}/{index}" for index, _ in event.payload.items}
    return found


def recover(platform: FlytePath, execution: str) -> Any:
    return platform.wait(platform._client.recover(platform._scope, execution), 60)


def test_what_succeeded_is_taken_over_again_and_again(platform: FlytePath, flow: Any, tmp_path: Path) -> None:
    """Tasks, graphs that were made in the run, and items of a map; also by a recovery of a recovery."""
    failed = platform.execute(flow.wf, {"home": str(tmp_path)}, wait=True)
    assert failed.status == "failed"
    (tmp_path / "mended").touch()
    second = recover(platform, failed.id)
    assert second.status == "failed"
    again = ran(platform, second.id)
    done_before = {node.path for node in failed.view.nodes if node.status == "succeeded"}
    assert not again & done_before
    assert {path for path in again if path.count("/") == 1 and path.rpartition("/")[2] == "1"}
    (tmp_path / "mended twice").touch()
    third = recover(platform, second.id)
    assert third.status == "succeeded"
    assert third.outputs == {"o0": 1010}, "and its checkpoint was found"
    assert len(ran(platform, third.id)) == 1
    with pytest.raises(ExecutionStateError, match="has succeeded"):
        platform._client.recover(platform._scope, third.id)


def test_a_relaunch_runs_everything_anew_on_the_inputs_it_is_given(
    platform: FlytePath, flow: Any, tmp_path: Path
) -> None:
    for name in ("mended", "mended twice"):
        (tmp_path / name).touch()
    done = platform.execute(flow.plan, {"home": str(tmp_path)}, wait=True)
    assert done.outputs == {"o0": 14}
    client, scope = platform._client, platform._scope
    again = platform.wait(client.relaunch(scope, done.id), 60)
    assert again.outputs == {"o0": 14}
    assert ran(platform, again.id) == ran(platform, done.id)
    changed = platform.wait(client.relaunch(scope, done.id, {"x": Literal.make(INTEGER, 7)}), 60)
    assert changed.outputs == {"o0": 16}


def test_what_still_runs_cannot_be_recovered(platform: FlytePath, flow: Any, tmp_path: Path) -> None:
    with FlytePath(home=platform.home, engine=False) as asking:
        begun = asking.execute(flow.wf, {"home": str(tmp_path)})
        with pytest.raises(ExecutionStateError, match="has not ended"):
            asking._client.recover(asking._scope, begun.id)
