"""Runs on a machine with little room: what runs at once fits into it, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from fake_machine import FakePool, Machine, Raised, single, task_spec
from flytepath.engine.local import machine as local_machine
from flytepath.engine.local.machine import LocalAsk
from flytepath.engine.local.places import Places
from flytepath.engine.local.room import Room
from flytepath.engine.local.slots import Slots
from flytepath.engine.reuse import Reuses
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionState, ExecutionStatus
from flytepath.model.messages import RunAttempt
from flytepath.model.resources import Resources
from shapes import fan, flow, node, tasks


class Watching(FakePool):
    """Notes what runs at once, and on which devices."""

    names: list[str]
    most_of: dict[str, int]
    gpus: list[tuple[str, ...]]

    async def run(self, request: RunAttempt, on_report: Any) -> Any:
        name = request.task.name
        self.names.append(name)
        self.gpus.append(request.gpus)
        self.most_of[name] = max(self.most_of.get(name, 0), self.names.count(name))
        try:
            return await super().run(request, on_report)
        finally:
            self.names.remove(name)


def run(machine: Machine, room: Room, slots: int = 4) -> tuple[ExecutionState, Watching]:
    pool = Watching(machine.bodies, machine.blobs)
    pool.names, pool.most_of, pool.gpus = [], {}, []
    scheduler = Scheduler(
        "x",
        machine.state(),
        machine.log,
        machine.blobs,
        pool,
        slots=Slots(slots),
        room=lambda: room,
        places=Places(machine.folder, "x"),
        reuses=Reuses(machine.cache, machine.blobs, "x", holder="h"),
        listener=machine.listener,
        clock=time.time,
        code_path_of=lambda bundle: bundle,
    )

    async def to_its_end() -> ExecutionState:
        return await asyncio.wait_for(scheduler.run("engine", 1), 30)

    state = asyncio.run(to_its_end())
    whole = room.machine
    assert room.free() == LocalAsk(whole.cpu, whole.memory, len(whole.gpus))
    return state, pool


def asking(name: str, **requests: Any) -> Any:
    return task_spec(name, "x").model_copy(update={"requests": Resources(**requests)})


async def brief(_request: Any, x: int) -> int:
    await asyncio.sleep(0.002)
    return x


def test_attempts_that_request_cores_do_not_overrun_the_machine_and_hold_up_no_others(tmp_path: Path) -> None:
    spec = flow(
        *(node(f"n{number}", "big") for number in range(12)),
        *(node(f"m{number}", "small") for number in range(12)),
        tasks=tasks(asking("big", cpu="2", mem="1Mi"), asking("small")),
    )
    machine = Machine(spec, {"big": brief, "small": brief}, tmp_path, x=1)
    state, pool = run(machine, Room(local_machine.Machine(cpu=2, memory=2**30)))
    assert state.status is ExecutionStatus.SUCCEEDED
    assert pool.most_of["big"] == 1
    assert pool.most_of["small"] >= 3


def test_gpus_are_told_to_the_attempts_that_have_them(tmp_path: Path) -> None:
    spec = fan([1] * 6, asking("t", gpu=1), task="t")
    machine = Machine(spec, {"t": brief}, tmp_path, x=1)
    state, pool = run(machine, Room(local_machine.Machine(cpu=2, memory=2**30, gpus=("0", "7"))))
    assert state.status is ExecutionStatus.SUCCEEDED
    assert set(pool.gpus) == {("0",), ("7",)}
    assert pool.most_of["t"] == 2


def test_an_eager_task_that_has_the_whole_machine_leaves_it_to_what_it_calls(tmp_path: Path) -> None:
    child = asking("inc", cpu="2")

    async def body(call: Any, x: int) -> int:
        return sum(await asyncio.gather(*(call(single(child), x=x) for _ in range(3))))

    eager = task_spec("eag", "x", mode="eager").model_copy(update={"requests": Resources(cpu="64")})
    spec = fan([1, 2], eager, child, task="eag")
    machine = Machine(spec, {"eag": body, "inc": brief}, tmp_path, x=1)
    state, _ = run(machine, Room(local_machine.Machine(cpu=2, memory=2**30)), slots=1)
    assert state.status is ExecutionStatus.SUCCEEDED


def test_room_comes_back_when_something_fails_while_others_wait_for_it(tmp_path: Path) -> None:
    async def fails(_request: Any, x: int) -> int:
        raise Raised("no")

    spec = flow(
        node("bad", "fails"),
        *(node(f"n{number}", "t") for number in range(5)),
        tasks=tasks(asking("fails", cpu="2"), asking("t", cpu="2")),
    )
    machine = Machine(spec, {"fails": fails, "t": brief}, tmp_path, x=1)
    state, _ = run(machine, Room(local_machine.Machine(cpu=2, memory=2**30)))
    assert state.status is ExecutionStatus.FAILED
