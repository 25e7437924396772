"""Slots: never more in use than there are, none ever lost, and nobody waits for them for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, FakePool, Machine, Raised, single, task_spec
from flytepath.engine.local.places import Places
from flytepath.engine.local.slots import Slots
from flytepath.engine.reuse import Reuses
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionState, ExecutionStatus
from flytepath.model.identity import Tenant
from flytepath.model.messages import RunAttempt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import bodies, workflows
from shapes import created_with, fan, flow, node, post, tasks


class Counting(FakePool):
    """Notes in whose name attempts run, and how many at once over all executions."""

    ran_by: list[str]
    now_of: set[tuple[str, str]]
    peak: list[int]

    async def run(self, request: RunAttempt, on_report: Any) -> Any:
        self.ran_by.append(self.name)
        if request.task.mode != "eager":
            self.now_of.add((self.name, request.node))
            self.peak.append(len(self.now_of))
        try:
            return await super().run(request, on_report)
        finally:
            self.now_of.discard((self.name, request.node))

    name = ""


class Shared:
    """Several executions on the slots of one process."""

    def __init__(self, slots: int, pool: type[Counting] = Counting) -> None:
        self.pool = pool
        self.slots = Slots(slots)
        self.ran_by: list[str] = []
        self.now_of: set[tuple[str, str]] = set()
        self.peak: list[int] = []

    def scheduler(self, machine: Machine, name: str) -> Scheduler:
        pool = self.pool(machine.bodies, machine.blobs)
        pool.name, pool.ran_by, pool.now_of, pool.peak = name, self.ran_by, self.now_of, self.peak
        return Scheduler(
            "x",
            machine.state(),
            machine.log,
            machine.blobs,
            pool,
            slots=self.slots,
            places=Places(machine.folder, "x"),
            reuses=Reuses(machine.cache, machine.blobs, "x", holder=name),
            listener=machine.listener,
            clock=time.time,
            code_path_of=lambda bundle: bundle,
        )

    def run(self, machines: Sequence[Machine]) -> list[ExecutionState]:
        async def all_of_them() -> list[ExecutionState]:
            runs = [
                self.scheduler(machine, str(number)).run(f"engine {number}", 1)
                for number, machine in enumerate(machines)
            ]
            return await asyncio.wait_for(asyncio.gather(*runs), 30)

        return asyncio.run(all_of_them())

    @property
    def are_all_back(self) -> bool:
        return self.slots.free == self.slots.size and not self.slots._line


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[Slots]:
    """The slots of every run of this test's machines."""
    made: list[Slots] = []

    def noted(size: int) -> Slots:
        made.append(Slots(size))
        return made[-1]

    monkeypatch.setattr("fake_machine.Slots", noted)
    return made


def all_back(made: list[Slots]) -> bool:
    return bool(made) and all(slots.free == slots.size and not slots._line for slots in made)


async def brief(_request: Any, x: int) -> int:
    await asyncio.sleep(0.001)
    return x


async def endless(_request: Any, x: int) -> int:
    await asyncio.sleep(60)
    return x


def test_slots_come_back_after_failures_retries_and_what_they_stop(tmp_path: Path, given_back: list[Slots]) -> None:
    def flaky(request: Any, x: int) -> int:
        raise Raised("no")

    spec = flow(
        *(node(f"n{number}", "endless") for number in range(5)),
        node("n9", "flaky"),
        tasks=tasks("endless", task_spec("flaky", "x", retries=2)),
    )
    machine = Machine(spec, {"endless": endless, "flaky": flaky}, tmp_path, slots=6, x=1)
    assert machine.run().status is ExecutionStatus.FAILED
    assert all_back(given_back)


def test_slots_come_back_after_an_abort_and_after_a_deadline(tmp_path: Path, given_back: list[Slots]) -> None:
    machine = Machine(fan([1] * 20), {"t": endless}, tmp_path, slots=3, x=1)
    post(machine, type="abort", reason="enough")
    assert machine.run().status is ExecutionStatus.ABORTED
    late = created_with(Machine(fan([1] * 20), {"t": endless}, tmp_path, slots=3, x=1), timeout_seconds=0.05)
    late.log.events[0] = late.log.events[0].model_copy(update={"at": time.time()})
    assert late.run().status is ExecutionStatus.FAILED
    assert all_back(given_back)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=workflows(), slots=st.integers(1, 4), crash=st.integers(0, 8), abort=st.booleans())
def test_no_slot_is_lost_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, spec: Any, slots: int, crash: int, abort: bool
) -> None:
    """Also where the log cannot be written in the middle, and where the second engine is told to abort."""
    made: list[Slots] = []

    def noted(size: int) -> Slots:
        made.append(Slots(size))
        return made[-1]

    machine = Machine(spec, bodies(), tmp_path_factory.mktemp("machine"), slots=slots, x=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fake_machine.Slots", noted)
        with suppress(Crash):
            machine.run(crash_after=crash)
        if abort:
            post(machine, type="abort", reason="enough")
        if not machine.state().status.is_final:
            machine.run()
    assert machine.most <= slots
    assert all_back(made)


def test_an_eager_task_that_waits_leaves_its_slot_to_what_it_called(tmp_path: Path, given_back: list[Slots]) -> None:
    async def body(call: Any, x: int) -> int:
        return sum(await asyncio.gather(*(call(single(task_spec("inc", "x")), x=x) for _ in range(4))))

    spec = fan([1, 2, 3], task_spec("eag", "x", mode="eager"), "inc", task="eag")
    machine = Machine(spec, {"eag": body, "inc": brief}, tmp_path, slots=1, x=1)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert machine.most == 1
    assert all_back(given_back)


def test_a_long_fan_out_does_not_starve_a_small_execution(tmp_path: Path) -> None:
    """The small one gets its turn after so many attempts of the other as there are slots, give or take one."""
    shared = Shared(2)
    long = Machine(fan([1] * 300), {"t": brief}, tmp_path / "long", x=1)
    chain = flow(node("n0", "t"), *(node(f"n{n}", "t", out_of(n - 1)) for n in range(1, 5)), tasks=tasks("t"))
    small = Machine(chain, {"t": brief}, tmp_path / "small", x=1)
    states = shared.run([long, small])
    assert [state.status for state in states] == [ExecutionStatus.SUCCEEDED] * 2
    turns = [index for index, name in enumerate(shared.ran_by) if name == "1"]
    assert len(turns) == 5
    between = [later - earlier for earlier, later in pairwise(turns)]
    assert max([turns[0], *between]) <= 20
    assert max(shared.peak) <= 2
    assert shared.are_all_back


def out_of(number: int) -> Any:
    from shapes import out

    return out(f"n{number}")


def test_executions_of_one_size_come_along_together(tmp_path: Path) -> None:
    shared = Shared(3)
    machines = [Machine(fan([1] * 40), {"t": brief}, tmp_path / str(n), x=1) for n in range(5)]
    shared.run(machines)
    half = shared.ran_by[: len(shared.ran_by) // 2]
    shares = [half.count(str(n)) for n in range(5)]
    assert min(shares) > 0.5 * max(shares)
    assert max(shared.peak) <= 3
    assert shared.are_all_back


def test_whoever_ends_leaves_the_line(tmp_path: Path) -> None:
    """An execution that fails while it waits for a slot does not take the next one with it."""
    shared = Shared(1)

    async def fails(_request: Any, x: int) -> int:
        await asyncio.sleep(0.02)
        raise Raised("no")

    failing = Machine(
        flow(node("n0", "fails"), node("n1", "t"), node("n2", "t"), tasks=tasks("fails", "t")),
        {"fails": fails, "t": brief},
        tmp_path / "failing",
        x=1,
    )
    other = Machine(fan([1] * 10), {"t": brief}, tmp_path / "other", x=1)
    states = shared.run([failing, other])
    assert [state.status for state in states] == [ExecutionStatus.FAILED, ExecutionStatus.SUCCEEDED]
    assert shared.are_all_back


class Taker:
    """Takes as many slots as it was told to want."""

    def __init__(self, slots: Slots, wanted: int, turns: list[Any]) -> None:
        self.slots, self.wanted, self.turns = slots, wanted, turns

    def offer(self) -> bool:
        if not self.wanted:
            return False
        self.wanted -= 1
        self.turns.append(self)
        if self.wanted:
            self.slots.want(self)
        return True


def test_a_slot_goes_to_the_first_in_line_who_then_goes_to_its_end() -> None:
    slots, turns = Slots(1), []
    one, two = Taker(slots, 3, turns), Taker(slots, 2, turns)
    assert slots.take()
    slots.want(one)
    slots.want(two)
    slots.want(one)
    for _ in range(5):
        slots.give()
    assert turns == [one, two, one, two, one]
    slots.give()
    assert slots.free == 1


def test_who_no_longer_wants_one_holds_up_nobody() -> None:
    slots, turns = Slots(1), []
    content, hungry = Taker(slots, 0, turns), Taker(slots, 1, turns)
    assert slots.take()
    slots.want(content)
    slots.want(hungry)
    slots.give()
    assert turns == [hungry]


def test_what_was_asleep_goes_on_beside_others_and_pays_back_later() -> None:
    slots = Slots(1)
    assert slots.take()
    slots.insist()
    slots.give()
    assert (slots.free, slots.take()) == (0, False)
    slots.give()
    assert slots.free == 1


class Ticks:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def served(slots: Slots, clock: Ticks, wanted: dict[str, list[Any]], seconds: int) -> str:
    """Whose turn it is while every second the longest holder gives its slot back."""
    order, holding = [], list(wanted)[:0]
    turns: list[Any] = []
    takers = {}
    for name, (tenant, count) in wanted.items():
        takers[name] = SharedTaker(slots, slots.join(tenant), count, turns, name)
    for taker in takers.values():
        slots.want(taker, taker.share)
    slots.give()
    for _ in range(seconds):
        clock.now += 1.0
        holding += turns
        turns.clear()
        taker = holding.pop(0)
        order.append(taker.name)
        slots.give(taker.share)
    return "".join(order)


class SharedTaker(Taker):
    """One of an execution of a tenant."""

    def __init__(self, slots: Slots, share: Any, wanted: int, turns: list[Any], name: str) -> None:
        super().__init__(slots, wanted, turns)
        self.share, self.name = share, name

    def offer(self) -> bool:
        if not self.wanted:
            return False
        self.wanted -= 1
        self.turns.append(self)
        if self.wanted:
            self.slots.want(self, self.share)
        return True


def test_tenants_share_slots_by_weight_and_executions_of_one_take_turns() -> None:
    clock = Ticks()
    slots = Slots(1, weight=lambda tenant: 3.0 if tenant.project == "heavy" else 1.0, clock=clock)
    assert slots.take()
    light, heavy = Tenant("light"), Tenant("heavy")
    # Three executions against one: they share what their tenant has.
    order = served(slots, clock, {"a": [light, 90], "b": [light, 90], "c": [light, 90], "H": [heavy, 90]}, 80)
    assert abs(order.count("H") - 60) <= 3
    for name in "abc":
        assert 5 <= order.count(name) <= 8


def test_a_tenant_that_comes_later_gets_its_share_and_no_more() -> None:
    clock = Ticks()
    slots = Slots(1, clock=clock)
    assert slots.take()
    first = served(slots, clock, {"a": [Tenant("a"), 50]}, 40)
    assert first == "a" * 40
    turns: list[Any] = []
    late = SharedTaker(slots, slots.join(Tenant("b")), 50, turns, "b")
    slots.want(late, late.share)
    share = slots.join(Tenant("a"))
    holders = [share]
    order = ""
    for _ in range(10):
        clock.now += 1.0
        slots.give(holders.pop())
        holders.append(late.share if turns else share)
        order += "b" if turns else "a"
        turns.clear()
    assert 4 <= order.count("b") <= 6


def test_a_tenant_that_was_away_while_others_shared_has_earned_nothing() -> None:
    clock = Ticks()
    slots = Slots(1, clock=clock)
    away = slots.join(Tenant("away"))
    assert slots.take()
    served(slots, clock, {"a": [Tenant("a"), 60], "b": [Tenant("b"), 60]}, 100)
    turns: list[Any] = []
    back = SharedTaker(slots, away, 60, turns, "c")
    slots.want(back, away)
    order = ""
    holder = slots.join(Tenant("b"))
    for _ in range(12):
        clock.now += 1.0
        slots.give(holder)
        order += "c" if turns else "."
        holder = away if turns else slots.join(Tenant("a"))
        turns.clear()
    assert order.count("c") <= 6
