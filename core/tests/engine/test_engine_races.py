"""Races of one engine: no command is overheard, and no lease is taken for lost that was not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_machine import USER, FakePool
from flytepath.bundle import collect, unpack
from flytepath.engine import engine as engines
from flytepath.engine.engine import Begun, Engine
from flytepath.model.events import Event, ExecutionCreated
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import Interface, Variable
from flytepath.model.types import INTEGER
from flytepath.model.workflow import GateSpec, NodeSpec, OutputBinding, WorkflowSpec
from flytepath.store.events import Store, open_store
from flytepath.testing import MemoryBlobs

ABORT = {"type": "abort", "reason": "enough", "principal": "ada"}
PAUSE = {"type": "pause", "reason": "lunch", "principal": "ada"}


def waiting() -> WorkflowSpec:
    """A workflow that waits for a person."""
    shape = Interface(outputs=(Variable(name="o0", type=INTEGER),))
    gate = NodeSpec(path="n0", gate=GateSpec(kind="input", signal="given", type=INTEGER), interface=shape)
    outputs = {"o0": OutputBinding(node="n0", name="o0")}
    return WorkflowSpec(name="w", interface=shape, nodes=(gate,), outputs=outputs, tasks={})


class Home:
    """A store with executions of that workflow, and an engine on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = open_store(folder / "home")
        self.spec = waiting()
        code = folder / "code"
        code.mkdir()
        (code / "flow.py").write_text("")
        bundle = collect(code / "flow.py", code)
        unpack(bundle, folder / "home")
        self.bundle = bundle.digest
        self.digest = sha256(canonical_json(self.spec.model_dump(mode="json", exclude_defaults=True)))
        self.store.put_spec(self.digest, self.spec.model_dump(mode="json", exclude_defaults=True))

    def create(self, name: str, owner: str = "") -> Begun:
        facts = {"project": "p", "domain": "d", "workflow": "w", "workflow_version": "v"}
        payload = ExecutionCreated(spec=self.digest, bundle=self.bundle, **facts)
        event = Event(execution=name, seq=1, at=1.0, actor=USER, payload=payload)
        self.store.create(name, [event], owner=owner, ttl=30)
        return Begun(event, self.spec)

    def engine(self) -> Engine:
        pool: Any = FakePool({}, MemoryBlobs())
        return Engine(self.folder / "home", self.store, pool, slots=2, outputs_of=lambda tenant: None)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.01)

    def kinds(self, name: str) -> list[str]:
        return [event.payload.type for event in self.store.read(name)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.store.close()


def test_a_command_is_heard_that_came_before_one_for_an_execution_taken_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOOK_SECONDS", 1.0)

    async def run() -> None:
        home.create("first")
        home.create("second")
        async with home.engine() as engine:
            first = asyncio.create_task(engine.drive("first"))
            await home.until(lambda: "gate_opened" in home.kinds("first"))
            home.store.post("first", ABORT)
            home.store.post("second", ABORT)
            async with asyncio.timeout(20):
                await engine.drive("second")
                await first

    asyncio.run(run())
    assert home.kinds("first")[-1] == home.kinds("second")[-1] == "execution_aborted"


def test_a_command_is_heard_that_came_before_the_engine_began_to_drive_what_it_owns(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOOK_SECONDS", 0.01)

    async def run() -> None:
        home.create("other")
        async with home.engine() as engine:
            other = asyncio.create_task(engine.drive("other"))
            await home.until(lambda: "gate_opened" in home.kinds("other"))
            begun = home.create("begun", owner=engine.name)
            home.store.post("begun", PAUSE)
            home.store.post("begun", ABORT)
            home.store.post("other", PAUSE)
            await home.until(lambda: "execution_paused" in home.kinds("other"))  # it has looked
            async with asyncio.timeout(20):
                await engine.drive("begun", begun=begun)
            home.store.post("other", ABORT)
            await other

    asyncio.run(run())
    assert home.kinds("begun")[-1] == "execution_aborted"
    assert home.kinds("begun").count("execution_paused") == 1
    assert not home.store.inbox("begun")


def test_a_renewal_of_leases_says_nothing_of_what_is_begun_meanwhile(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(engines, "LOOK_SECONDS", 0.01)
    renew = home.store.renew
    renewed, began = threading.Event(), threading.Event()

    def slow_answer(owner: str, ttl: float) -> dict[str, int]:
        held = renew(owner, 30)
        renewed.set()
        began.wait(20)
        return held

    async def run() -> None:
        home.create("other")
        async with home.engine() as engine:
            other = asyncio.create_task(engine.drive("other"))
            await home.until(lambda: "gate_opened" in home.kinds("other"))
            monkeypatch.setattr(home.store, "renew", slow_answer)
            renewed.clear()
            await home.until(renewed.is_set)
            begun = asyncio.create_task(engine.drive("begun", begun=home.create("begun", owner=engine.name)))
            await home.until(lambda: "gate_opened" in home.kinds("begun"))
            monkeypatch.setattr(home.store, "renew", lambda owner, ttl: renew(owner, 30))
            began.set()
            for name in ("begun", "other"):
                home.store.post(name, ABORT)
            async with asyncio.timeout(20):
                await asyncio.gather(begun, other)

    asyncio.run(run())
    assert home.kinds("begun")[-1] == "execution_aborted"
