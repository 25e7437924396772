"""The engine of a process: it holds leases while it drives, gives them back at once, leaves what it cannot drive."""

from __future__ import annotations

import asyncio
import logging
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_machine import FakePool
from flytepath import FlytePath
from flytepath.engine.engine import Engine
from flytepath.engine.state import ExecutionState, ExecutionStatus
from flytepath.errors import ExecutionStateError, PluginError, StoreUnavailableError
from flytepath.model.events import AttemptStarted
from flytepath.store.events import Store
from flytepath.testing import MemoryBlobs

SOURCE = """
    from flytepath import task, workflow

    @task
    def engine_task(x: int) -> int:
        return x

    @workflow
    def wf(x: int = 3) -> int:
        return engine_task(x=engine_task(x=x))
"""


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("flows")
    (folder / "engine_flow.py").write_text(textwrap.dedent(SOURCE))
    sys.path.insert(0, str(folder))
    import engine_flow  # type: ignore[import-not-found]

    yield engine_flow
    sys.path.remove(str(folder))
    del sys.modules["engine_flow"]


class House:
    """A home with executions that nobody drives, and engines with workers of these tests."""

    def __init__(self, home: Path, flow: Any) -> None:
        self.platform = FlytePath(home=home, engine=False)
        self.flow = flow
        self.home = home
        self.body: Any = lambda _request, x: x

    @property
    def store(self) -> Store:
        return self.platform._client.store

    def begin(self) -> str:
        return self.platform.execute(self.flow.wf).id

    def engine(self, slots: int = 2) -> Engine:
        async def body(request: Any, x: int) -> int:
            result = self.body(request, x)
            return await result if isinstance(result, Awaitable) else result

        pool = FakePool({"engine_flow.engine_task": body}, MemoryBlobs())
        return Engine(self.home, self.store, pool, slots=slots, outputs_of=lambda tenant: None)

    def owner(self, execution: str) -> str | None:
        lease = self.store.owner(execution)
        return lease.owner if lease is not None else None


@pytest.fixture
def house(tmp_path: Path, flow: Any) -> Iterator[House]:
    made = House(tmp_path, flow)
    yield made
    made.platform.close()


def run(work: Awaitable[Any]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(work, 30)

    return asyncio.run(limited())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def started(house: House, execution: str) -> int:
    return len([one for one in house.store.read(execution) if isinstance(one.payload, AttemptStarted)])


def test_an_execution_is_driven_to_its_end_and_its_lease_given_back(house: House) -> None:
    async def work() -> ExecutionState:
        async with house.engine() as engine:
            execution = house.begin()
            state = await engine.drive(execution)
            assert engine.owned == []
            await until(lambda: house.owner(execution) is None)
            return state

    assert run(work()).status is ExecutionStatus.SUCCEEDED


def test_what_an_engine_drives_it_does_not_drive_twice(house: House) -> None:
    async def work() -> None:
        go = asyncio.Event()

        async def waits(_request: Any, x: int) -> int:
            await go.wait()
            return x

        house.body = waits
        execution = house.begin()
        async with house.engine() as engine:
            first = asyncio.create_task(engine.drive(execution))
            await until(lambda: started(house, execution))
            with pytest.raises(ExecutionStateError, match="drives"):
                await engine.drive(execution)
            async with house.engine() as other:
                with pytest.raises(ExecutionStateError, match="another engine"):
                    await other.drive(execution)
            go.set()
            assert (await first).status is ExecutionStatus.SUCCEEDED

    run(work())


def test_an_engine_that_ends_gives_back_what_it_drives_and_calls_nothing_a_failure(house: House) -> None:
    async def work() -> None:
        async def endless(_request: Any, x: int) -> int:
            await asyncio.sleep(60)
            return x

        house.body = endless
        execution = house.begin()
        async with house.engine() as engine:
            driving = asyncio.create_task(engine.drive(execution))
            await until(lambda: started(house, execution))
        assert house.owner(execution) is None
        with pytest.raises(asyncio.CancelledError):
            await driving
        assert "attempt_failed" not in [event.payload.type for event in house.store.read(execution)]
        house.body = lambda _request, x: x
        async with house.engine() as engine:
            assert (await engine.drive(execution)).status is ExecutionStatus.SUCCEEDED

    run(work())


def test_what_nobody_owns_is_claimed_and_two_engines_never_own_the_same(house: House) -> None:
    async def work() -> None:
        executions = [house.begin() for _ in range(12)]
        async with house.engine() as one, house.engine() as two:
            serving = [asyncio.create_task(each.serve()) for each in (one, two)]
            owned_by_both: list[set[str]] = []

            def all_ended() -> bool:
                owned_by_both.append(set(one.owned) & set(two.owned))
                return all(house.store.status(each) == "succeeded" for each in executions)

            await until(all_ended)
            one.drain()
            two.drain()
            await asyncio.gather(*serving)
            assert not any(owned_by_both)
        for each in executions:
            kinds = [event.payload.type for event in house.store.read(each)]
            assert kinds.count("node_succeeded") == 2
            assert kinds.count("attempt_lost") == 0

    run(work())


def test_what_may_not_run_is_said_once_and_left_alone(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """And holds up nothing else."""

    async def work() -> None:
        refused = house.begin()
        asked: list[str] = []

        def admit(state: ExecutionState) -> None:
            asked.append(str(state.created.workflow if state.created else ""))
            if len(asked) == 1:
                raise PluginError("the plugin is not enabled", hint="enable it")

        async with house.engine() as engine:
            serving = asyncio.create_task(engine.serve(admit=admit))
            await until(lambda: asked)
            later = [house.begin() for _ in range(3)]
            await until(lambda: all(house.store.status(each) == "succeeded" for each in later))
            await until(lambda: house.owner(refused) is None)
            assert len(asked) == 4
            engine.drain()
            await serving
        assert house.store.status(refused) == "running"
        assert [event.payload.type for event in house.store.read(refused)] == ["execution_created"]

    with caplog.at_level(logging.WARNING, "flytepath"):
        run(work())
    assert caplog.text.count("the plugin is not enabled") == 1


def test_a_draining_engine_hands_on_between_two_tasks(house: House) -> None:
    async def work() -> None:
        go = asyncio.Event()

        async def waits(_request: Any, x: int) -> int:
            await go.wait()
            return x

        house.body = waits
        execution = house.begin()
        async with house.engine() as engine:
            serving = asyncio.create_task(engine.serve())
            await until(lambda: started(house, execution))
            engine.drain()
            waiting = house.begin()
            go.set()
            await serving
            await until(lambda: house.owner(execution) is None)
        assert house.store.status(execution) == "running"
        assert started(house, execution) == 1
        assert started(house, waiting) == 0
        async with house.engine() as engine:
            serving = asyncio.create_task(engine.serve())
            await until(lambda: {house.store.status(each) for each in (execution, waiting)} == {"succeeded"})
            engine.drain()
            await serving
        assert "attempt_lost" not in [event.payload.type for event in house.store.read(execution)]

    run(work())


def test_a_store_that_is_away_for_a_while_is_said_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        asked = 0

        def away(_store: Store) -> int:
            nonlocal asked
            asked += 1
            raise StoreUnavailableError("nobody answers")

        execution = house.begin()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flytepath.engine.engine.CLAIM_SECONDS", 0.02)
            async with house.engine() as engine:
                with pytest.MonkeyPatch.context() as gone:
                    gone.setattr(Store, "version", away)
                    serving = asyncio.create_task(engine.serve())
                    await until(lambda: asked > 2)
                await until(lambda: house.store.status(execution) == "succeeded")
                engine.drain()
                await serving

    with caplog.at_level(logging.WARNING, "flytepath"):
        run(work())
    assert caplog.text.count("the store cannot be used") == 1


def test_a_command_is_heard_whatever_moment_it_is_posted_at(house: House) -> None:
    """Also between the claim and the first look at the inbox, and in whatever order executions are claimed."""

    async def work() -> None:
        async def endless(_request: Any, x: int) -> int:
            await asyncio.sleep(60)
            return x

        house.body = endless
        async with house.engine(slots=8) as engine:
            serving = asyncio.create_task(engine.serve())
            executions = []
            for number in range(8):
                executions.append(house.begin())
                await asyncio.sleep(0.03 * (number % 3))
                await asyncio.to_thread(
                    house.store.post, executions[-1], {"type": "abort", "reason": "", "principal": ""}
                )
            await until(lambda: all(house.store.status(each) == "aborted" for each in executions))
            await until(lambda: not any(house.store.inbox(each) for each in executions))
            engine.drain()
            await serving

    run(work())
