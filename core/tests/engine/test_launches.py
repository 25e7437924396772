"""Attempts on their way: short ones are recorded ahead of their slots, long ones never, and no end of one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine, MemoryLog, Quiet, number, single, task_spec
from flytepath.engine.launches import AHEAD_LIMIT, SHORT_SECONDS, Ended, Killed, Launches
from flytepath.engine.local.slots import Slots
from flytepath.engine.ports import AttemptResult
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionState, ExecutionStatus
from flytepath.model.events import AttemptLost, AttemptStarted, NodeSucceeded
from flytepath.model.messages import AttemptSucceeded, RunAttempt
from flytepath.testing import MemoryBlobs
from shapes import flow, node, out, tasks, told
from test_slots import Counting, Shared


class Workers:
    """Attempts that end when they are told to."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Event] = {}
        self.cleaned: list[str] = []

    async def run(self, request: RunAttempt, on_report: Any) -> AttemptResult:
        self.running[request.node] = asyncio.Event()
        try:
            await self.running[request.node].wait()
            return AttemptResult(AttemptSucceeded(outputs={"o0": number(1)}))
        finally:
            del self.running[request.node]
            self.cleaned.append(request.node)

    async def tell(self, execution: str, node: str, attempt: int, message: Any) -> None:
        """Nobody listens."""

    async def close(self) -> None:
        """Nothing to end."""


class Bench:
    """Launches on workers that end on demand, with what was reported."""

    def __init__(self, size: int, located: Callable[[str], str] = str) -> None:
        self.workers = Workers()
        self.slots = Slots(size)
        self.reports: list[tuple[str, Any]] = []
        self.woken = 0
        self.launches = Launches(
            self.workers,
            self.slots,
            MemoryBlobs(),
            code_path_of=located,
            keep_graph=lambda blob: "",
            report=lambda node, _attempt, what: self.reports.append((node, type(what))),
            wake=self._wake,
            listener=Quiet(),
        )

    def _wake(self) -> None:
        self.woken += 1

    def ask(self, path: str, task: str = "t") -> RunAttempt | None:
        """An attempt, if it may be recorded as started now."""
        return request(path, task) if self.launches.reserve(task) else None

    async def until(self, condition: Callable[[], Any]) -> None:
        for _ in range(500):
            if condition():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not come")

    def pace(self, task: str, seconds: float) -> None:
        """Attempts of ``task`` have taken so long."""
        self.launches._seconds[task] = seconds


def request(path: str, task: str = "t") -> RunAttempt:
    return RunAttempt(
        execution="x",
        node=path,
        attempt=1,
        task=task_spec(task, "x"),
        inputs={},
        project="p",
        domain="d",
        code_path="",
        version="v",
        created_at=1.0,
        working_directory="",
        checkpoint_sources=(),
        checkpoint_destination="",
        raw_output_prefix="",
        log_path="/nowhere/1.log",
    )


def bench(work: Callable[[Bench], Awaitable[None]], size: int = 1, **settings: Any) -> Bench:
    async def run() -> Bench:
        made = Bench(size, **settings)
        await work(made)
        await made.launches.close()
        assert made.slots.free == made.slots.size
        assert not made.slots._line
        return made

    return asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize(
    ("seconds", "ahead"), [(None, 0), (10.0, 0), (SHORT_SECONDS * 1.01, 0), (0.01, 20), (0.0, AHEAD_LIMIT)]
)
def test_only_short_tasks_are_started_ahead_and_not_far(seconds: float | None, ahead: int) -> None:
    async def work(on: Bench) -> None:
        if seconds is not None:
            on.pace("t", seconds)
        started = [path for path in (f"n{n}" for n in range(500)) if on.ask(path)]
        assert len(started) == 2 + ahead
        on.launches.launch([request(path) for path in started])
        await on.until(lambda: len(on.workers.running) == 2)
        assert not on.launches.is_idle

    bench(work, size=2)


def test_the_pace_of_one_task_says_nothing_of_another() -> None:
    """A long task that follows many short ones is not started ahead."""

    async def work(on: Bench) -> None:
        on.pace("short", 0.001)
        assert on.ask("n0", "short")
        assert on.ask("n1", "short")
        assert on.ask("n2", "long") is None

    bench(work)


def test_attempts_that_never_began_do_not_make_a_long_task_short() -> None:
    async def work(on: Bench) -> None:
        on.pace("t", 10.0)
        for number_ in range(100):
            path = f"n{number_}"
            assert on.ask(path)
            on.launches.launch([request(path)])
            on.launches.stop(path)
            await on.until(lambda path=path: (path, Killed) in on.reports)
        assert on.ask("a")
        assert on.ask("b") is None

    bench(work)


def test_an_attempt_that_waits_for_its_slot_is_stopped_without_having_run() -> None:
    async def work(on: Bench) -> None:
        on.pace("t", 0.001)
        started = [asked for asked in (on.ask("n0"), on.ask("n1")) if asked]
        on.launches.launch(started)
        on.launches.stop("n1")
        assert on.reports == [("n1", Killed)]
        await on.until(lambda: "n0" in on.workers.running)
        on.workers.running["n0"].set()
        await on.until(lambda: ("n0", Ended) in on.reports)
        assert on.launches.is_idle

    made = bench(work)
    assert made.workers.cleaned == ["n0"]


def test_an_attempt_that_runs_is_reported_as_killed_when_it_has_ended() -> None:
    async def work(on: Bench) -> None:
        assert on.ask("n0")
        on.launches.launch([request("n0")])
        await on.until(lambda: "n0" in on.workers.running)
        on.launches.stop("n0")
        on.launches.stop("n0")
        await on.until(lambda: on.reports)
        assert on.reports == [("n0", Killed)]
        assert on.workers.cleaned == ["n0"]

    bench(work)


def test_a_slot_that_comes_free_wakes_who_had_to_wait_and_comes_back_if_there_is_nothing_any_more() -> None:
    async def work(on: Bench) -> None:
        assert on.ask("n0")
        on.launches.launch([request("n0")])
        assert on.ask("n1") is None
        await on.until(lambda: "n0" in on.workers.running)
        on.workers.running["n0"].set()
        await on.until(lambda: on.woken)
        assert on.slots.free == 0
        on.launches.settle()
        assert on.slots.free == 1

    bench(work)


def test_slots_for_attempts_that_were_never_launched_come_back() -> None:
    async def work(on: Bench) -> None:
        assert on.ask("n0")
        on.launches.launch([])
        assert on.slots.free == 1
        assert on.ask("n0")  # and the engine is told to end before it can be recorded

    bench(work)


def test_code_that_cannot_be_had_is_a_fault_and_holds_no_slot() -> None:
    def missing(bundle: str) -> str:
        raise OSError("the disk is gone")

    async def work(on: Bench) -> None:
        assert on.ask("n0")
        task = task_spec("t", "x").model_copy(update={"bundle": "b"})
        on.launches.launch([request("n0").model_copy(update={"task": task})])
        await on.until(lambda: on.launches.fault)
        assert isinstance(on.launches.fault, OSError)
        assert on.launches.is_idle

    bench(work, located=missing)


def test_a_log_that_cannot_be_kept_is_a_fault_and_not_an_attempt_without_end(tmp_path: Path) -> None:
    async def work(on: Bench) -> None:
        assert on.ask("n0")
        on.launches.launch([request("n0").model_copy(update={"log_path": str(tmp_path)})])
        await on.until(lambda: "n0" in on.workers.running)
        on.launches.stop("n0")
        await on.until(lambda: on.launches.fault)
        assert on.launches.is_idle

    bench(work)


# --- draining ----------------------------------------------------------------------------------------------------


def drained(machine: Machine, when: Callable[[], bool], pool: type[Counting] = Counting) -> ExecutionState:
    """Drive it until ``when``, then let the engine drain."""
    shared = Shared(machine.slots, pool)

    async def run() -> ExecutionState:
        scheduler: Scheduler = shared.scheduler(machine, "0")
        running = asyncio.create_task(scheduler.run("engine 0", 1))
        while not when() and not running.done():
            await asyncio.sleep(0.001)
        scheduler.drain()
        return await asyncio.wait_for(running, 10)

    state = asyncio.run(run())
    assert shared.are_all_back
    return state


def test_a_drained_engine_lets_what_runs_end_and_starts_nothing(tmp_path: Path) -> None:
    machine = Machine(flow(node("n0", "t"), node("n1", "t", out("n0")), tasks=tasks("t")), {}, tmp_path, x=1)

    async def slow(_request: Any, x: int) -> int:
        await asyncio.sleep(0.1)
        return x

    machine.bodies = {"t": slow}
    state = drained(machine, lambda: bool(told(machine, AttemptStarted)))
    assert state.status is ExecutionStatus.RUNNING
    assert [one.node for one in told(machine, NodeSucceeded)] == ["n0"]
    assert [one.node for one in told(machine, AttemptStarted)] == ["n0"]
    machine.run()
    assert not told(machine, AttemptLost)
    assert machine.ran == ["n1"]


def test_a_drain_waits_for_what_has_ended_and_is_still_to_be_recorded(tmp_path: Path) -> None:
    """The worker has ended, but what it printed is being kept: the attempt counts, and does not run again."""
    machine = Machine(flow(node("n0", "t"), tasks=tasks("t")), {"t": lambda _r, x: x}, tmp_path, x=1)
    ended = []

    class Printing(Counting):
        async def run(self, request: RunAttempt, on_report: Any) -> AttemptResult:
            result = await super().run(request, on_report)
            Path(request.log_path).parent.mkdir(parents=True)
            Path(request.log_path).write_text("a lot\n" * 1000)
            ended.append(request.node)
            return AttemptResult(result.message, printed=6000)

    state = drained(machine, lambda: bool(ended), Printing)
    assert [one.node for one in told(machine, NodeSucceeded)] == ["n0"]
    assert not state.running


def test_a_drain_does_not_wait_for_calls_that_may_not_start_any_more(tmp_path: Path) -> None:
    """An eager task that waits for what cannot start here is handed on, and finds its calls again there."""

    async def body(call: Any, x: int) -> int:
        first = await call(single(task_spec("inc", "x")), x=x)
        reached.append(first)
        return int(await call(single(task_spec("inc", "x")), x=first))

    async def slow(_request: Any, x: int) -> int:
        await asyncio.sleep(0.05)
        return x + 1

    reached: list[int] = []
    spec = flow(node("n0", "eag"), tasks=tasks(task_spec("eag", "x", mode="eager"), "inc"))
    machine = Machine(spec, {"eag": body, "inc": slow}, tmp_path, x=1)
    state = drained(machine, lambda: any(one.node == "n0/0/n0" for one in told(machine, AttemptStarted)))
    assert state.status is ExecutionStatus.RUNNING
    machine.run()
    assert machine.outputs() == {"o0": 3}
    assert sorted(machine.ran) == ["n0", "n0/1/n0"]


def test_what_is_reported_while_the_log_is_written_is_recorded_before_a_drain_ends(tmp_path: Path) -> None:
    """Two attempts end one after the other; the second while the end of the first is being made durable."""
    machine = Machine(flow(node("n0", "t"), node("n1", "t"), tasks=tasks("t"), output="n0"), {}, tmp_path, x=1)
    second = asyncio.Event()

    class SlowLog(MemoryLog):
        def append_later(self, execution: str, expected_seq: int, epoch: int, events: Any, literals: Any) -> Any:
            if any(isinstance(event.payload, NodeSucceeded) for event in events):
                second.set()
            return super().append_later(execution, expected_seq, epoch, events, literals)

    log = SlowLog()
    log.events, log.kept = machine.log.events, machine.log.kept
    machine.log = log

    async def task(request: RunAttempt, x: int) -> int:
        if request.node == "n1":
            await second.wait()
        else:
            await asyncio.sleep(0.02)
        return x

    machine.bodies = {"t": task}
    state = drained(machine, lambda: len(told(machine, AttemptStarted)) == 2)
    assert sorted(one.node for one in told(machine, NodeSucceeded)) == ["n0", "n1"]
    assert not state.running
