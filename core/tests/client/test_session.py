"""The Python API: what is begun is durable, whoever waits learns how it went, and every error is one of ours."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flytepath import AsyncFlytePath, Execution, FlytePath
from flytepath.errors import ExecutionStateError, FlytePathError, InputError, NotFoundError, UsageError
from flytepath.model.events import AttemptLost
from flytepath.store.registry import VersionConflictError

SOURCE = """
    import datetime, os, pathlib, time
    from flytepath import LaunchPlan, approve, task, workflow

    @task
    def double(x: int) -> int:
        return 2 * x

    @task
    def wait(mark: str, x: int) -> int:
        pathlib.Path(mark + ".began").open("a").write("x")
        while not pathlib.Path(mark).exists():
            time.sleep(0.01)
        return x

    @task
    def broken(x: int) -> int:
        raise ValueError(f"no {x}")

    @workflow
    def wf(x: int = 3) -> int:
        return double(x=x)

    @workflow
    def waiting(mark: str, x: int = 1) -> int:
        return double(x=wait(mark=mark, x=double(x=x)))

    @workflow
    def failing(x: int) -> int:
        return broken(x=x)

    @workflow
    def gated(x: int = 1) -> int:
        return double(x=approve(x, "ok", timeout=datetime.timedelta(hours=1)))

    plan = LaunchPlan.create(f"{__name__}.plan", wf, fixed_inputs={"x": 21})
"""
#: Far more than any of this takes.
DEADLINE = 60.0


def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("flows")
    (folder / "session_flow.py").write_text(textwrap.dedent(SOURCE))
    sys.path.insert(0, str(folder))
    import session_flow  # type: ignore[import-not-found]

    yield session_flow
    sys.path.remove(str(folder))
    del sys.modules["session_flow"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlytePath]:
    """One session for all tests that leave nothing behind."""
    with FlytePath(home=tmp_path_factory.mktemp("home"), slots=2) as platform:
        yield platform


# --- what can be run ---------------------------------------------------------------------------------------------


def test_workflows_tasks_and_launch_plans_are_run_with_and_without_waiting(shared: FlytePath, flow: ModuleType) -> None:
    done = shared.execute(flow.wf, {"x": 4}, wait=True)
    assert (done.status, done.is_done, done.outputs, done.error) == ("succeeded", True, {"o0": 8}, None)
    assert shared.execute(flow.double, {"x": 5}, wait=True).outputs == {"o0": 10}
    assert shared.execute(flow.plan, wait=True).outputs == {"o0": 42}
    begun = shared.execute(flow.wf)
    assert not begun.is_done
    assert shared.wait(begun).outputs == {"o0": 6}
    assert shared.get(begun.id).status == "succeeded"


def test_what_is_registered_is_run_by_its_name(shared: FlytePath, flow: ModuleType) -> None:
    names = [identity.name for identity in shared.register(flow.wf, flow.double, flow.plan)]
    assert names == ["session_flow.wf", "session_flow.double", "session_flow.plan"]
    assert shared.execute("session_flow.wf", {"x": 1}, wait=True).outputs == {"o0": 2}
    assert shared.execute("session_flow.double", {"x": 2}, wait=True).outputs == {"o0": 4}
    assert shared.execute("session_flow.plan", wait=True).outputs == {"o0": 42}


def test_a_task_that_is_registered_can_be_referred_to(shared: FlytePath, flow: ModuleType) -> None:
    shared.register(flow.double, version="to-refer-to")
    source = """
        from flytepath import reference_task, workflow

        @reference_task(project="default", domain="development", name="session_flow.double", version="to-refer-to")
        def double(x: int) -> int: ...

        @workflow
        def wf(x: int) -> int:
            return double(x=x)
    """
    (Path(flow.__file__).parent / "referring_flow.py").write_text(textwrap.dedent(source))
    referring = importlib.import_module("referring_flow")
    assert shared.execute(referring.wf, {"x": 4}, wait=True).outputs == {"o0": 8}


def test_registering_twice_is_once_and_other_content_under_a_version_is_refused(
    shared: FlytePath, flow: ModuleType
) -> None:
    assert shared.register(flow.wf) == shared.register(flow.wf)
    first = shared.register(flow.wf, version="v1")
    assert shared.register(flow.wf, version="v1") == first
    with FlytePath(home=shared.home, engine=False) as another:
        assert another.register(flow.wf, version="v1") == first
        changed = Path(flow.__file__)
        before = changed.read_text()
        try:
            changed.write_text(before + "\nOTHER = 1\n")
            with pytest.raises(VersionConflictError), FlytePath(home=shared.home, engine=False) as third:
                third.register(flow.wf, version="v1")
        finally:
            changed.write_text(before)


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda p, f: p.execute(f.wf, {"y": 1}), InputError, "'y'"),
        (lambda p, f: p.execute(f.double, {}), InputError, "'x'"),
        (lambda p, f: p.execute(f.wf, {"x": "four"}), FlytePathError, "expected int"),
        (lambda p, f: p.execute(f.wf, [4]), UsageError, "by name"),
        (lambda p, f: p.execute(f.wf, {1: 4}), UsageError, "by name"),
        (lambda p, f: p.execute("session_flow.wf", {"y": 1}), InputError, "'y'"),
        (lambda p, f: p.execute("session_flow.double", {}), InputError, "'x'"),
        (lambda p, f: p.execute("session_flow.wf", {"x": "four"}), InputError, "no integer"),
        (lambda p, f: p.execute("session_flow.wf", {"x": object()}), InputError, "no integer"),
        (lambda p, f: p.execute("nothing.of.the.kind"), NotFoundError, "nothing.of.the.kind"),
        (lambda p, f: p.execute("session_flow.wf", version="nope"), NotFoundError, "session_flow.wf"),
        (lambda p, f: p.execute(lambda: 1), UsageError, "only workflows, tasks and launch plans"),
        (lambda p, f: p.register(3), UsageError, "only workflows, tasks and launch plans"),
        (lambda p, f: p.execute(f.wf, name="No Name"), UsageError, "cannot name an execution"),
        (lambda p, f: p.execute(f.wf, timeout=-1), UsageError, "timeout"),
        (lambda p, f: p.execute(f.wf, timeout=float("nan")), UsageError, "timeout"),
        (lambda p, f: p.execute(f.wf, labels={"a": 1}), UsageError, "labels"),
        (lambda p, f: p.execute(f.wf, variables=["A"]), UsageError, "variables"),
        (lambda p, f: p.get("nothing"), NotFoundError, "nothing"),
        (lambda p, f: p.wait("nothing"), NotFoundError, "nothing"),
        (lambda p, f: p.wait(3), UsageError, "no execution"),
        (lambda p, f: p.abort("nothing"), NotFoundError, "nothing"),
        (lambda p, f: p.list(status="nothing"), UsageError, "nothing"),
    ],
)
def test_what_cannot_be_is_said_by_an_error_of_ours(
    shared: FlytePath, flow: ModuleType, ask: Callable[..., Any], error: type[Exception], says: str
) -> None:
    shared.register(flow.wf, flow.double)
    with pytest.raises(error, match=says) as caught:
        ask(shared, flow)
    assert isinstance(caught.value, FlytePathError)


def test_a_failure_is_told_and_has_no_outputs(shared: FlytePath, flow: ModuleType) -> None:
    done = shared.execute(flow.failing, {"x": 7}, wait=True)
    assert done.status == "failed"
    assert done.error is not None
    assert "no 7" in done.error.message
    with pytest.raises(ExecutionStateError, match="no 7"):
        _ = done.outputs


def test_a_name_is_given_once(shared: FlytePath, flow: ModuleType) -> None:
    assert shared.execute(flow.wf, name="tuesday", wait=True).id == "tuesday"
    with pytest.raises(UsageError, match="'tuesday'"):
        shared.execute(flow.wf, name="tuesday")


def test_executions_are_listed_the_newest_first(tmp_path: Path, flow: ModuleType) -> None:
    with FlytePath(home=tmp_path, slots=1) as platform:
        ids = [platform.execute(flow.wf, {"x": x}, wait=True, labels={"x": str(x)}).id for x in (1, 2)]
        failed = platform.execute(flow.failing, {"x": 1}, wait=True).id
        assert [one.id for one in platform.list()] == [failed, *reversed(ids)]
        assert [one.id for one in platform.list(limit=1)] == [failed]
        assert [one.id for one in platform.list(status="succeeded")] == list(reversed(ids))
        assert platform.list()[1].labels == {"x": "2"}


# --- waiting and ending ------------------------------------------------------------------------------------------


def test_waiting_has_an_end_and_the_execution_goes_on(shared: FlytePath, flow: ModuleType, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    begun = shared.execute(flow.waiting, {"mark": str(mark)})
    for timeout in (0.0, 0.05):
        with pytest.raises(TimeoutError, match=begun.id):
            shared.wait(begun, timeout)
    mark.touch()
    assert shared.wait(begun, DEADLINE).outputs == {"o0": 4}


def test_an_abort_ends_what_runs(shared: FlytePath, flow: ModuleType, tmp_path: Path) -> None:
    begun = shared.execute(flow.waiting, {"mark": str(tmp_path / "mark")})
    until((tmp_path / "mark.began").exists, "the task began")
    shared.abort(begun, "enough")
    done = shared.wait(begun, DEADLINE)
    assert done.status == "aborted"
    with pytest.raises(ExecutionStateError, match="aborted"):
        shared.abort(begun)
    with pytest.raises(ExecutionStateError, match="aborted"):
        _ = done.outputs


def test_an_abort_that_comes_at_once_is_not_overheard(shared: FlytePath, flow: ModuleType, tmp_path: Path) -> None:
    begun = [shared.execute(flow.waiting, {"mark": str(tmp_path / "mark")}) for _ in range(5)]
    for each in begun:
        shared.abort(each)
    assert [shared.wait(each, DEADLINE).status for each in begun] == ["aborted"] * 5


def test_a_session_that_is_closed_leaves_what_runs_to_the_next(tmp_path: Path, flow: ModuleType) -> None:
    """At once: nobody waits for a lease to run out. And the end of its workers is nobody's failure."""
    mark = tmp_path / "mark"
    with FlytePath(home=tmp_path / "home", slots=1) as platform:
        begun = platform.execute(flow.waiting, {"mark": str(mark)})
        until((tmp_path / "mark.began").exists, "the task began")
    mark.touch()
    with FlytePath(home=tmp_path / "home", slots=1) as platform:
        began = time.monotonic()
        assert platform.wait(begun.id, DEADLINE).outputs == {"o0": 4}
        assert time.monotonic() - began < 25, "it waited for the lease"
        events = platform._client.store.read(begun.id)
        lost = [event.payload for event in events if isinstance(event.payload, AttemptLost)]
        assert [one.node for one in lost] == ["n1"]
        assert not [event for event in events if event.payload.type == "attempt_failed"]


def test_a_closed_session_says_so(tmp_path: Path, flow: ModuleType) -> None:
    platform = FlytePath(home=tmp_path, slots=1)
    done = platform.execute(flow.wf, wait=True)
    platform.close()
    platform.close()
    for ask in (
        lambda: platform.execute(flow.wf),
        lambda: platform.register(flow.gated),
        lambda: platform.wait(done),
        lambda: platform.get(done),
        platform.list,
        lambda: platform.abort(done),
        lambda: done.outputs,
    ):
        with pytest.raises(UsageError, match="closed"):
            ask()


def test_who_waits_while_the_session_is_closed_is_told(tmp_path: Path, flow: ModuleType) -> None:
    platform = FlytePath(home=tmp_path, slots=1)
    begun = platform.execute(flow.gated)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(platform.wait, begun, DEADLINE)
        until(lambda: platform._host is not None and platform._host.future_of(begun.id), "it is driven")
        platform.close()
        with pytest.raises(UsageError, match="closed"):
            waiting.result(DEADLINE)


# --- several sessions and threads --------------------------------------------------------------------------------


def test_a_session_without_an_engine_leaves_the_work_to_another(tmp_path: Path, flow: ModuleType) -> None:
    with FlytePath(home=tmp_path, engine=False) as asking, FlytePath(home=tmp_path, slots=1) as driving:
        begun = asking.execute(flow.wf, {"x": 5})
        with pytest.raises(TimeoutError):
            asking.wait(begun, 0.2)
        assert driving.wait(begun.id, DEADLINE).outputs == {"o0": 10}
        assert asking.wait(begun, DEADLINE).outputs == {"o0": 10}


def test_two_sessions_on_one_home_wait_for_what_either_drives(tmp_path: Path, flow: ModuleType) -> None:
    mark = tmp_path / "mark"
    with FlytePath(home=tmp_path, slots=1) as one, FlytePath(home=tmp_path, slots=1) as two:
        begun = one.execute(flow.waiting, {"mark": str(mark)})
        until((tmp_path / "mark.began").exists, "the task began")
        assert [each.id for each in two.list()] == [begun.id]
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(two.wait, begun.id, DEADLINE)
            mark.touch()
            assert waiting.result().outputs == one.wait(begun, DEADLINE).outputs == {"o0": 4}
    assert (tmp_path / "mark.began").read_text() == "x"


def test_a_session_is_used_from_several_threads(shared: FlytePath, flow: ModuleType) -> None:
    def work(x: int) -> Any:
        done = shared.execute(flow.wf, {"x": x}, wait=True)
        return done.outputs["o0"]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(24))) == [2 * x for x in range(24)]


def test_threads_that_wait_for_what_nobody_drives_drive_it_once(tmp_path: Path, flow: ModuleType) -> None:
    with FlytePath(home=tmp_path, engine=False) as asking:
        begun = asking.execute(flow.waiting, {"mark": str(tmp_path / "mark")})
    (tmp_path / "mark").touch()
    with FlytePath(home=tmp_path, slots=2) as platform, ThreadPoolExecutor(6) as threads:
        waiting = [threads.submit(platform.wait, begun.id, DEADLINE) for _ in range(6)]
        assert [one.result().outputs for one in waiting] == [{"o0": 4}] * 6
    assert (tmp_path / "mark.began").read_text() == "x"


# --- asyncio -----------------------------------------------------------------------------------------------------


def test_twenty_executions_are_awaited_together(tmp_path: Path, flow: ModuleType) -> None:
    async def work() -> list[Any]:
        async with AsyncFlytePath(home=tmp_path, slots=2) as platform:
            await platform.register(flow.wf)
            runs = [platform.execute(flow.wf, {"x": x}, wait=True) for x in range(20)]
            done = await asyncio.gather(*runs)
            assert len(await platform.list()) == 20
            return [each.outputs["o0"] for each in done]

    assert asyncio.run(work()) == [2 * x for x in range(20)]


def test_waiting_for_many_blocks_neither_the_loop_nor_the_call_that_ends_them(tmp_path: Path, flow: ModuleType) -> None:
    """More than there are threads to wait in."""

    async def work() -> list[str]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.005)
                beats += 1

        async with AsyncFlytePath(home=tmp_path, slots=1) as platform:
            begun = await asyncio.gather(*(platform.execute(flow.gated) for _ in range(40)))
            heart = asyncio.create_task(beat())
            waits = [asyncio.create_task(platform.wait(each, DEADLINE)) for each in begun]
            await asyncio.sleep(0)
            while beats < 20:
                await asyncio.sleep(0.01)
            await asyncio.gather(*(platform.abort(each.id) for each in begun))
            ended = await asyncio.gather(*waits)
            heart.cancel()
            return [each.status for each in ended]

    assert asyncio.run(asyncio.wait_for(work(), DEADLINE)) == ["aborted"] * 40


def test_whoever_stops_awaiting_leaves_nothing_behind_and_the_execution_goes_on(
    tmp_path: Path, flow: ModuleType
) -> None:
    async def work() -> Execution:
        async with AsyncFlytePath(home=tmp_path, slots=1) as platform:
            begun = await platform.execute(flow.waiting, {"mark": str(tmp_path / "mark")})
            with pytest.raises(TimeoutError, match=begun.id):
                await platform.wait(begun, 0.05)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await platform.wait(begun)
            assert (await platform.get(begun.id)).status == "running"
            (tmp_path / "mark").touch()
            return await platform.wait(begun, DEADLINE)

    assert asyncio.run(asyncio.wait_for(work(), DEADLINE)).status == "succeeded"


# --- scripts -----------------------------------------------------------------------------------------------------


def script(tmp_path: Path, name: str, source: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / name
    path.write_text(textwrap.dedent(source))
    environment = {**os.environ, "FLYTEPATH_HOME": str(tmp_path / "home")}
    return subprocess.run(
        [sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=DEADLINE
    )


def test_a_script_runs_the_workflows_it_defines(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        "as_script.py",
        """
        from dataclasses import dataclass
        from flytepath import FlytePath, task, workflow

        @dataclass
        class Point:
            x: int

        @task
        def moved(point: Point) -> Point:
            return Point(point.x + 1)

        @workflow
        def wf(point: Point) -> Point:
            return moved(point=point)

        if __name__ == "__main__":
            with FlytePath() as platform:
                done = platform.execute(wf, {"point": Point(1)}, wait=True)
                print(done.outputs["o0"] == Point(2), type(done.outputs["o0"]).__module__)
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True __main__\n"


def test_an_entity_that_workers_cannot_import_is_refused(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        "hidden.py",
        """
        from flytepath import FlytePath, task

        def made():
            @task
            def hidden(x: int) -> int:
                return x
            return hidden

        if __name__ == "__main__":
            with FlytePath() as platform:
                platform.execute(made(), {"x": 1}, wait=True)
        """,
    )
    assert done.returncode == 1
    assert "FP-" in done.stderr.splitlines()[-1] or "FP-" in done.stderr
    assert "Traceback" in done.stderr
