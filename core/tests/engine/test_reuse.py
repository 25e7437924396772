"""Single flight: of all that need the same outputs one computes them, whoever ends, fails or gives up meanwhile."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_machine import cached, number, task_spec
from flytepath.engine.flights import FLIGHTS
from flytepath.engine.ownership import this_process
from flytepath.engine.reuse import Found, Reuses
from flytepath.engine.state import NodeState
from flytepath.errors import UsageError
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.task import TaskSpec
from flytepath.model.types import STRING, LiteralType
from flytepath.model.workflow import NodeSpec, WorkflowSpec
from flytepath.store.cache_entry import Reservation
from flytepath.store.output_cache import OutputCache
from flytepath.testing import MemoryBlobs
from flytepath.testing.outputs import MemoryOutputs

INC = task_spec("flow.inc", "x", cache=cached())
ONE = {"x": number(1)}


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_air() -> Iterator[None]:
    yield
    assert FLIGHTS._flights == {}


def node(path: str = "n0", task: TaskSpec = INC) -> NodeState:
    spec = WorkflowSpec(name="w", interface=task.interface, tasks={task.name: task})
    return NodeState(NodeSpec(path=path, task=task.name), spec, task=task)


def reuses(cache: Any, execution: str = "x", blobs: Any = None, **facts: Any) -> Reuses:
    return Reuses(cache, blobs or MemoryBlobs(), execution, holder=this_process(), **facts)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


async def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def waiting(task: asyncio.Task[Any], cache: MemoryOutputs | None = None) -> None:
    """Until the loop has nothing left to do but to wait for others."""
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert not task.done()


def test_a_result_is_found_by_the_next_execution() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        first, second = reuses(cache, "a"), reuses(cache, "b")
        assert await first.resolve(node(), ONE) is None
        first.kept(node(), {"o0": number(2)})
        await first.close()
        found = await second.resolve(node(), ONE)
        assert isinstance(found, Found)
        assert found.outputs == {"o0": number(2)}
        assert await second.resolve(node("n1"), {"x": number(2)}) is None
        entry = cache.entry(found.key)
        assert entry is not None
        assert (entry.task, entry.execution, entry.node, entry.shown) == ("flow.inc", "a", "n0", {"x": "1"})
        assert entry.signature == "(x: integer) -> (o0: integer)"
        await second.close()
        assert cache.reservations == {}

    run(main())


def test_what_another_engine_has_looked_up_is_kept_too() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        taken_over = node()
        taken_over.inputs = {"x": ONE["x"].digest}
        ours = reuses(cache, "a")
        ours.kept(taken_over, {"o0": number(2)})
        await ours.close()
        assert await reuses(cache, "b").resolve(node(), ONE) is not None

    run(main())


def test_nothing_is_asked_of_a_task_that_is_not_cached() -> None:
    async def main() -> None:
        plain = node(task=task_spec("flow.plain", "x"))
        cache = MemoryOutputs()
        cache.before = pytest.fail
        ours = reuses(cache)
        assert not ours.applies_to(plain)
        assert await ours.resolve(plain, ONE) is None
        ours.kept(plain, {"o0": number(2)})
        ours.forget("n0")
        await ours.close()
        without = reuses(None)
        assert not without.applies_to(node())
        assert await without.resolve(node(), ONE) is None
        without.kept(node(), {})
        await without.close()

    run(main())


def test_what_another_has_put_between_the_look_and_the_reservation_is_found() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours = reuses(cache)
        assert await ours.resolve(node(), ONE) is None
        (key,) = cache.reservations
        await ours.close()

        def before(call: str) -> None:
            if call == "reserve":
                cache.results[key] = ({"o0": number(2)}, "{}", 0.0)

        cache.before = before
        assert isinstance(await reuses(cache, "b").resolve(node(), ONE), Found)
        assert cache.reservations == {}

    run(main())


@pytest.mark.parametrize("same", [True, False])
def test_two_hundred_wait_for_one(same: bool) -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        looks: list[str] = []
        cache.before = looks.append
        every = [reuses(cache, "x" if same else f"x{n}") for n in range(200)]
        if same:
            every = every[:1] * 200
        tasks = [asyncio.create_task(every[n].resolve(node(f"n{n}"), ONE)) for n in range(200)]
        await until(lambda: any(task.done() for task in tasks))
        await waiting(tasks[-1])
        assert [task.done() for task in tasks] == [True] + [False] * 199
        asked = len(looks)
        assert tasks[0].result() is None
        every[0].kept(node("n0"), {"o0": number(2)})
        found = await asyncio.gather(*tasks[1:])
        assert {f.outputs["o0"].data for f in found if f is not None} == {2}
        assert None not in found
        assert asked < 10  # those that wait ask nobody
        assert len(looks) - asked == 2  # put and release; they are given the outputs
        for each in every:
            await each.close()

    run(main())


def test_when_the_one_that_computes_fails_the_next_one_tries() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours, theirs = reuses(cache, "a"), reuses(cache, "b")
        assert await ours.resolve(node("n0"), ONE) is None
        second = asyncio.create_task(theirs.resolve(node("n0"), ONE))
        third = asyncio.create_task(ours.resolve(node("n1"), ONE))
        await waiting(third)
        ours.forget("n0")
        assert await second is None
        await waiting(third)
        (reservation,) = cache.reservations.values()
        assert (reservation.execution, reservation.node) == ("b", "n0")
        theirs.forget("n0")
        assert await third is None
        ours.kept(node("n1"), {"o0": number(2)})
        await ours.close()
        assert isinstance(await theirs.resolve(node("n0"), ONE), Found)
        await theirs.close()
        assert cache.reservations == {}

    run(main())


def test_a_retry_keeps_its_reservation() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours = reuses(cache)
        assert await ours.resolve(node(), ONE) is None
        other = asyncio.create_task(ours.resolve(node("n1"), ONE))
        await waiting(other)
        assert await ours.resolve(node(), ONE) is None
        await waiting(other)
        ours.kept(node(), {"o0": number(2)})
        assert isinstance(await other, Found)
        await ours.close()

    run(main())


def test_who_waits_can_be_stopped() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours = reuses(cache)
        assert await ours.resolve(node("n0"), ONE) is None
        stopped, last = (asyncio.create_task(ours.resolve(node(path), ONE)) for path in ("n1", "n2"))
        await waiting(last)
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
        ours.forget("n1")
        await waiting(last)
        assert len(cache.reservations) == 1  # still that of n0
        ours.forget("n0")
        assert await last is None
        await ours.close()
        assert cache.reservations == {}

    run(main())


@pytest.mark.parametrize("call", ["get", "reserve"])
def test_who_looks_can_be_stopped_and_leaves_nothing_behind(call: str) -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        inside, go_on = threading.Event(), threading.Event()

        def before(name: str) -> None:
            if name == call and not inside.is_set():
                inside.set()
                assert go_on.wait(10)

        cache.before = before
        ours = reuses(cache)
        first = asyncio.create_task(ours.resolve(node("n0"), ONE))
        await until(inside.is_set)
        second = asyncio.create_task(ours.resolve(node("n1"), ONE))
        await waiting(second)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await waiting(second)
        go_on.set()
        assert await second is None
        (reservation,) = cache.reservations.values()
        assert reservation.node == "n1"
        await ours.close()
        assert cache.reservations == {}

    run(main())


def test_closing_lets_others_go_on() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours, theirs = reuses(cache, "a"), reuses(cache, "b")
        assert await ours.resolve(node(), ONE) is None
        other = asyncio.create_task(theirs.resolve(node(), ONE))
        await waiting(other)
        await ours.close()
        assert await other is None
        await theirs.close()
        assert cache.reservations == {}

    run(main())


@pytest.mark.parametrize("by_task", [True, False])
def test_overwriting_looks_at_nothing_and_waits_for_nobody(by_task: bool) -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours = reuses(cache)
        assert await ours.resolve(node("n0"), ONE) is None
        anew = node("n1", INC.model_copy(update={"cache": cached(overwrite=True)})) if by_task else node("n1")
        theirs = reuses(cache, "y", overwrite=not by_task)
        cache.before = pytest.fail
        assert await theirs.resolve(anew, ONE) is None
        cache.before = lambda call: None
        theirs.kept(anew, {"o0": number(7)})
        await theirs.close()
        ours.kept(node("n0"), {"o0": number(2)})
        await ours.close()
        last = reuses(cache, "z", overwrite=not by_task)
        assert await last.resolve(anew, ONE) is None
        last.kept(anew, {"o0": number(8)})
        await last.close()
        found = await reuses(cache).resolve(node(), ONE)
        assert found is not None
        assert found.outputs["o0"].data == 8

    run(main())


def test_what_is_ignored_does_not_count_and_what_does_not_exist_is_refused() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        task = task_spec("flow.t", "x", "verbose", cache=cached(ignored_inputs=("verbose",)))
        ours = reuses(cache)
        assert await ours.resolve(node(task=task), ONE | {"verbose": number(0)}) is None
        ours.kept(node(task=task), {"o0": number(2)})
        await ours.close()
        assert await reuses(cache).resolve(node(task=task), ONE | {"verbose": number(1)}) is not None
        wrong = task_spec("flow.t", "x", cache=cached(ignored_inputs=("y",)))
        with pytest.raises(UsageError, match="does not exist: y"):
            await reuses(cache).resolve(node(task=wrong), ONE)

    run(main())


def test_a_task_does_not_wait_for_the_one_that_waits_for_it() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours = reuses(cache)
        assert await ours.resolve(node("n0"), ONE) is None
        assert await ours.resolve(node("n0/n1"), ONE) is None
        ours.kept(node("n0/n1"), {"o0": number(2)})
        ours.kept(node("n0"), {"o0": number(2)})
        await ours.close()
        assert cache.reservations == {}

    run(main())


def test_a_cache_that_is_gone_holds_up_nothing() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        cache.gone = True
        ours = reuses(cache)
        assert await ours.resolve(node("n0"), ONE) is None
        other = asyncio.create_task(ours.resolve(node("n1"), ONE))
        await waiting(other)
        ours.kept(node("n0"), {"o0": number(2)})
        assert isinstance(await other, Found)  # in one process the outputs are handed over, cache or not
        await ours.close()

    run(main())


def test_a_cache_that_breaks_lets_those_that_wait_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours = reuses(cache)
        assert await ours.resolve(node("n0"), ONE) is None
        other = asyncio.create_task(ours.resolve(node("n1"), ONE))
        await waiting(other)

        def before(call: str) -> None:
            raise RuntimeError("broken")

        cache.before = before
        ours.kept(node("n0"), {"o0": number(2)})
        assert isinstance(await other, Found)
        await ours.close()

    with caplog.at_level(logging.WARNING, "flytepath"):
        run(main())
    assert "broken" in caplog.text


def test_what_refers_to_a_blob_that_is_gone_is_computed_anew(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cache, blobs = MemoryOutputs(), MemoryBlobs()
        gone, there = blobs.put(b"gone"), blobs.put(b"there")
        listed = Literal.make(LiteralType.list_of(STRING), [], refs=(there, gone))
        first = reuses(cache, "a", blobs)
        assert await first.resolve(node(), ONE) is None
        first.kept(node(), {"o0": listed})
        await first.close()
        assert await reuses(cache, "b", blobs).resolve(node(), ONE) is not None
        del blobs.contents[gone.digest]
        again = reuses(cache, "c", blobs)
        assert await again.resolve(node(), ONE) is None
        again.kept(node(), {"o0": number(2)})
        await again.close()
        (entry,) = cache.entries()
        assert (entry.execution, entry.dropped) == ("c", gone.uri)

    with caplog.at_level(logging.WARNING, "flytepath"):
        run(main())
    assert "computed anew" in caplog.text


def test_a_store_that_can_say_what_exists_is_asked_that_once_for_each_blob() -> None:
    class Remote:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def exists(self, ref: BlobRef) -> bool:
            self.asked.append(ref.digest)
            return True

        def open(self, ref: BlobRef) -> Any:
            pytest.fail("it was opened")

    async def main() -> None:
        cache, remote = MemoryOutputs(), Remote()
        refs = tuple(BlobRef("s3://b/x", f"sha256:{n % 3}", 1) for n in range(3000))
        ours = reuses(cache, "a", remote)
        assert await ours.resolve(node(), ONE) is None
        ours.kept(node(), {"o0": Literal.make(LiteralType.list_of(STRING), [], refs=refs)})
        await ours.close()
        assert await reuses(cache, "b", remote).resolve(node(), ONE) is not None
        assert sorted(remote.asked) == ["sha256:0", "sha256:1", "sha256:2"]

    run(main())


def test_waiting_does_not_block_the_loop() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        inside, go_on = threading.Event(), threading.Event()

        def before(call: str) -> None:
            inside.set()
            assert go_on.wait(10)

        cache.before = before
        ours = reuses(cache)
        task = asyncio.create_task(ours.resolve(node(), ONE))
        await until(inside.is_set)
        await waiting(task)  # the loop turns while the cache does not answer
        go_on.set()
        assert await task is None
        await ours.close()

    run(main())


def test_executions_of_other_threads_take_part() -> None:
    cache = MemoryOutputs()
    leads, wait_for = threading.Event(), threading.Event()
    got: list[Found | None] = []

    async def lead() -> None:
        ours = reuses(cache, "a")
        assert await ours.resolve(node(), ONE) is None
        leads.set()
        await asyncio.to_thread(wait_for.wait, 10)
        ours.kept(node(), {"o0": number(2)})
        await ours.close()

    async def follow() -> None:
        theirs = reuses(cache, "b")
        task = asyncio.create_task(theirs.resolve(node(), ONE))
        await waiting(task)
        wait_for.set()
        got.append(await task)
        await theirs.close()

    leader = threading.Thread(target=run, args=(lead(),))
    leader.start()
    assert leads.wait(10)
    run(follow())
    leader.join(10)
    assert isinstance(got[0], Found)


def test_a_loop_that_was_closed_under_the_one_that_computes_does_not_hold_up_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flytepath.engine.flights._GLANCE_SECONDS", 0.02)
    cache = MemoryOutputs()

    async def lead() -> None:
        assert await reuses(cache, "a").resolve(node(), ONE) is None

    run(lead())
    cache.reservations.clear()  # as when it has run out

    async def follow() -> None:
        theirs = reuses(cache, "b")
        assert await theirs.resolve(node(), ONE) is None
        await theirs.close()

    run(follow())


# --- processes ---------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_reuse import ONE, node, number, reuses
from flytepath.store.events import open_store
from flytepath.store.shared_outputs import outputs_in

home, name, mode = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
while not (home / "go").exists():
    time.sleep(0.001)

async def main():
    store = open_store(home, url=sys.argv[6] or None)
    ours = reuses(outputs_in(home, store.database, "p", "d"), name)
    (home / f"{name} asks").touch()
    for n in range(int(sys.argv[5])):
        found = await ours.resolve(node(f"n{n}"), {"x": number(n)})
        if found is None:
            with (home / "ran").open("a") as file:
                file.write(f"{n}\\n")
            if mode == "hang":
                (home / "hangs").touch()
                await asyncio.sleep(600)
            if mode == "fail":
                ours.forget(f"n{n}")
                continue
            await asyncio.sleep(0.01)
            ours.kept(node(f"n{n}"), {"o0": number(n + 1)})
        else:
            assert found.outputs["o0"].data == n + 1
    await ours.close()
    store.close()

asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres").database() if request.param == "postgres" else ""


def child(home: Path, name: str, mode: str = "work", count: int = 1, url: str = "") -> subprocess.Popen[bytes]:
    arguments = [str(Path(__file__).parent), str(home), name, mode, str(count), url]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments])


def ran(home: Path) -> list[int]:
    return sorted(int(line) for line in (home / "ran").read_text().split())


def reached(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_processes_that_start_together_compute_each_result_once(tmp_path: Path, url: str) -> None:
    children = [child(tmp_path, f"x{n}", count=20, url=url) for n in range(4)]
    (tmp_path / "go").touch()
    assert [each.wait(60) for each in children] == [0] * 4
    assert ran(tmp_path) == list(range(20))


def test_a_killed_process_does_not_hold_up_others(tmp_path: Path, url: str) -> None:
    (tmp_path / "go").touch()
    hanging = child(tmp_path, "a", "hang", url=url)
    reached((tmp_path / "hangs").exists)
    others = [child(tmp_path, f"b{n}", url=url) for n in range(2)]
    reached(lambda: all((tmp_path / f"b{n} asks").exists() for n in range(2)))
    hanging.kill()
    hanging.wait(10)
    assert [each.wait(20) for each in others] == [0, 0]
    assert ran(tmp_path) == [0, 0]


def test_after_a_process_that_fails_the_next_one_tries(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    assert child(tmp_path, "a", "fail").wait(20) == 0
    assert child(tmp_path, "b").wait(20) == 0
    assert child(tmp_path, "c").wait(20) == 0
    assert ran(tmp_path) == [0, 0]


def test_a_reservation_of_another_machine_counts_until_it_runs_out() -> None:
    async def main() -> None:
        now = [1000.0]
        cache = MemoryOutputs(clock=lambda: now[0])
        ours = reuses(cache, "a")
        task = asyncio.create_task(ours.resolve(node(), ONE))
        assert await task is None
        (key,) = cache.reservations
        ours.forget("n0")
        await ours.close()
        cache.reservations[key] = Reservation("elsewhere/boot/1/1#2", "z", "n0", 1030.0)
        theirs = reuses(cache, "b")
        task = asyncio.create_task(theirs.resolve(node(), ONE))
        await waiting(task)
        now[0] = 1031.0
        assert await task is None
        assert cache.reservations[key].execution == "b"
        await theirs.close()

    run(main())


def test_the_same_node_of_a_former_owner_is_taken_over() -> None:
    async def main() -> None:
        cache = MemoryOutputs()
        ours = reuses(cache, "a")
        assert await ours.resolve(node("n0"), ONE) is None
        (key,) = cache.reservations
        await ours.close()
        cache.reservations[key] = Reservation("elsewhere/boot/1/1#2", "a", "n0", time.time() + 30)
        again = reuses(cache, "a")
        assert await again.resolve(node("n0"), ONE) is None
        await again.close()

    run(main())


def test_what_is_held_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flytepath.engine.reuse.RENEWAL_SECONDS", 0.01)

    async def main() -> None:
        now = [1000.0]
        cache = MemoryOutputs(clock=lambda: now[0])
        ours = reuses(cache, "a")
        assert await ours.resolve(node(), ONE) is None
        for _ in range(10):
            now[0] += 20.0
            await until(lambda: [each.expires_at for each in cache.reservations.values()] == [now[0] + 30.0])
        await ours.close()

    run(main())


def test_of_those_that_race_for_a_reservation_that_has_run_out_one_wins(tmp_path: Path) -> None:
    now = [1000.0]
    caches = [OutputCache(tmp_path / "cache.db", clock=lambda: now[0]) for _ in range(8)]
    for turn in range(20):
        assert caches[0].reserve("k", f"gone {turn}") is None
        now[0] += 31.0
        barrier, won = threading.Barrier(len(caches)), []

        def race(n: int, barrier: threading.Barrier = barrier, won: list[int] = won, turn: int = turn) -> None:
            barrier.wait(10)
            if caches[n].reserve("k", f"{turn} {n}") is None:
                won.append(n)

        threads = [threading.Thread(target=race, args=(n,)) for n in range(len(caches))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(won) == 1
        now[0] += 31.0
    for cache in caches:
        cache.close()


def test_an_end_that_lies_too_far_ahead_was_written_before_the_clock_was_set_back(tmp_path: Path) -> None:
    now = [10_000.0]
    cache = OutputCache(tmp_path / "cache.db", clock=lambda: now[0])
    assert cache.reserve("k", "elsewhere") is None
    now[0] = 5_000.0
    assert cache.reserve("k", "here") is None
    cache.close()
