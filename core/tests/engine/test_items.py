"""Maps: compact, in order, never more at once than allowed; what failed is told, what is given up costs nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, Machine, Raised, cached, interface, number, single, task_spec
from flytepath.engine.commands import Abort, Expand, Finish, Settle, Start, StartItems, SucceedItems
from flytepath.engine.decisions import decide
from flytepath.engine.fold import apply, fold
from flytepath.engine.items import REMOTE_UNDER_WAY, UNDER_WAY
from flytepath.engine.snapshots import restored, taken
from flytepath.engine.state import ExecutionState, ExecutionStatus, NodeStatus
from flytepath.errors import ExecutionStateError
from flytepath.model.events import AttemptFailed, ItemsStarted, ItemsSucceeded, NodeFailed, NodeSkipped, Usage
from flytepath.model.task import RetryPolicy, TaskSpec
from flytepath.model.workflow import GraphSpec, NodeSpec, OutputBinding
from flytepath.store.output_cache import CACHE_NAME, OutputCache
from shapes import Play, fan, flow, mapped, node, of_lists, order, out, post, run_of, tasks, told

MANY = 10_000


def begun(size: int, **facts: Any) -> Play:
    """A map that has begun, by hand."""
    play = Play(fan([1], **facts))
    play.do(Expand("n0", {}, items=size))
    return play


def batches(play: Play, size: int) -> Any:
    """Run the items that can start, so many at a time, and say after each what is under way."""
    while play.state.ready:
        indices = tuple(int(path.rpartition("/")[2]) for path in list(play.state.ready)[:size])
        play.do(StartItems("n0", indices))
        yield
        ends = tuple((index, 1, ("digest",)) for index in indices)
        play.do(SucceedItems("n0", ("o0",), ends, tuple(Usage() for _ in indices)))
        yield


def test_ten_thousand_items_have_nodes_only_while_they_are_under_way() -> None:
    play = begun(MANY)
    for _ in batches(play, 500):
        assert len(play.state.nodes) <= 1 + UNDER_WAY
    assert list(play.state.nodes) == ["n0"]
    assert play.do(Settle("n0", {"o0": "list"})) == ["node_succeeded"]
    assert play.do(Finish({"o0": "list"})) == ["execution_succeeded"]
    assert len(play.events) < 60
    assert len(taken(play.state)) < 100 * MANY
    assert fold(play.spec, play.events) == play.state


def test_items_begin_in_their_order_and_as_many_as_may_be_under_way() -> None:
    play = begun(10, concurrency=3)
    assert list(play.state.ready) == ["n0/0", "n0/1", "n0/2"]
    play.do(StartItems("n0", (1,)))
    play.do(SucceedItems("n0", ("o0",), ((1, 1, ("digest",)),), (Usage(),)))
    assert list(play.state.ready) == ["n0/0", "n0/2", "n0/3"]


@pytest.mark.parametrize(
    ("task", "facts", "under_way"),
    [
        (task_spec("t", "x", backend="vendor"), {}, REMOTE_UNDER_WAY),
        (task_spec("t", "x", backend="vendor"), {"concurrency": 7}, 7),
        (task_spec("t", "x"), {}, UNDER_WAY),
    ],
)
def test_items_that_are_jobs_elsewhere_begin_by_the_thousands(task: TaskSpec, facts: Any, under_way: int) -> None:
    play = Play(fan([1], task, **facts))
    play.do(Expand("n0", {}, items=REMOTE_UNDER_WAY + 5))
    waiting = play.state.remote if task.backend != "local" else play.state.ready
    assert len(waiting) == under_way


@pytest.mark.parametrize("start", [Start("n0/7", {}), StartItems("n0", (7,))])
def test_asking_for_an_item_whose_turn_has_not_come_changes_nothing(start: Any) -> None:
    play = begun(10, concurrency=3)
    before = taken(play.state)
    with pytest.raises(ExecutionStateError, match="n0/7"):
        decide(play.state, start, play.now)
    assert taken(play.state) == before


@pytest.mark.parametrize("concurrency", [1, 2, 4])
def test_the_log_never_shows_more_items_under_way_than_allowed(tmp_path: Path, concurrency: int) -> None:
    """Also where items fail and wait for their next attempt: they are under way as well."""

    async def flaky(request: Any, x: int) -> int:
        await asyncio.sleep(0.001 * (x % 3))
        if request.attempt == 1 and x % 2:
            raise Raised("once")
        return x

    spec = fan(list(range(20)), task_spec("t", "x", retries=1), concurrency=concurrency)
    machine = run_of(spec, {"t": flaky}, tmp_path, slots=8)
    assert machine.most <= concurrency
    assert machine.outputs() == {"o0": list(range(20))}
    state = ExecutionState.of(spec)
    for event in machine.log.events:
        apply(state, event)
        frame = state.nodes["n0"].frame
        if frame is not None and frame.items is not None:
            assert frame.items.live <= concurrency
            assert frame.active <= concurrency


def odd(_request: Any, x: int) -> int:
    if x % 2:
        raise Raised(f"no {x}")
    return x


@pytest.mark.parametrize(("least", "status"), [(3, "succeeded"), (4, "failed"), (99, "failed"), (0, "succeeded")])
def test_a_map_succeeds_with_as_many_items_as_it_asks_for(tmp_path: Path, least: int, status: str) -> None:
    machine = run_of(fan([0, 1, 2, 3, 4, 5], min_successes=least), {"t": odd}, tmp_path)
    assert machine.state().status == status


def test_a_map_that_can_no_longer_succeed_begins_nothing_more(tmp_path: Path) -> None:
    machine = run_of(fan([1] * 50, concurrency=1), {"t": odd}, tmp_path)
    assert machine.ran == ["n0/0"]
    state = machine.state()
    assert state.status is ExecutionStatus.FAILED
    assert state.error is not None
    assert state.error.message == "no 1"
    assert state.failed_node == "n0/0"


def test_only_the_first_failures_are_told_and_counted_are_all(tmp_path: Path) -> None:
    machine = run_of(fan([1] * 30, min_success_ratio=0.5), {"t": odd}, tmp_path)
    state = machine.state()
    frame = state.nodes["n0"].frame
    assert frame is not None
    assert len(frame.failures) == 5
    assert frame.failed == len(told(machine, NodeFailed)) - 1
    assert state.error is not None
    assert state.error.code == "FP-MAP"
    assert "item 0: no 1; item 1: no 1; item 2: no 1" in state.error.message


def test_each_item_has_a_budget_and_a_back_off_of_its_own(tmp_path: Path) -> None:
    task = task_spec("t", "x").model_copy(update={"retry": RetryPolicy(retries=2, backoff_seconds=0.02, jitter=0.0)})
    tried: dict[int, int] = {}

    def stubborn(request: Any, x: int) -> int:
        tried[x] = request.attempt
        if request.attempt <= x:
            raise Raised("not yet")
        return x

    machine = run_of(fan([0, 1, 2], task), {"t": stubborn}, tmp_path)
    assert tried == {0: 1, 1: 2, 2: 3}
    failures = [event for event in machine.log.events if isinstance(event.payload, AttemptFailed)]
    waits = [event.payload.retry_at - event.at for event in failures]  # type: ignore[union-attr, operator]
    assert len(waits) == 3
    assert all(wait > 0.019 for wait in waits)
    items = machine.state().nodes["n0"].frame.items  # type: ignore[union-attr]
    assert items is not None
    assert [items.attempts_of(index) for index in range(3)] == [1, 2, 3]


def test_items_may_be_dynamic_or_eager_tasks(tmp_path: Path) -> None:
    inc = task_spec("inc", "x")

    def dyn(_request: Any, x: int) -> Any:
        return single(inc).model_copy(update={"nodes": (node("n0", "inc", number_binding(x)),)})

    async def eag(call: Any, x: int) -> int:
        return int(await call(single(inc), x=x))

    bodies = {"inc": lambda _r, x: x + 1, "dyn": dyn, "eag": eag}
    for mode in ("dyn", "eag"):
        task = task_spec(mode, "x", mode="dynamic" if mode == "dyn" else "eager")
        machine = run_of(fan([1, 2, 3], task, "inc", task=mode), bodies, tmp_path / mode)
        assert machine.outputs() == {"o0": [2, 3, 4]}
        assert len([path for path in machine.ran if path.count("/") > 1]) == 3


def number_binding(value: int) -> Any:
    from flytepath.model.workflow import LiteralBinding

    return LiteralBinding(value=number(value))


def test_an_empty_map_is_done_at_once(tmp_path: Path) -> None:
    machine = run_of(fan([], min_success_ratio=0.5), {"t": odd}, tmp_path)
    assert machine.ran == []
    assert machine.outputs() == {"o0": []}


def test_a_map_may_lie_in_the_items_of_a_map(tmp_path: Path) -> None:
    total = task_spec("total").model_copy(update={"interface": of_lists_input()})
    inner = GraphSpec(
        name="inner",
        interface=interface("x"),
        nodes=(
            mapped([1, 2, 3]),
            NodeSpec(path="n1", task="total", inputs={"x": OutputBinding(node="n0", name="o0")}),
            node("n2", "t", out("n1"), upstream=("n0",)),
        ),
        outputs={"o0": out("n2")},
    )
    spec = flow(mapped([10, 20], graph="inner", concurrency=1), tasks=tasks("t", total), graphs={"inner": inner})
    machine = run_of(of_lists(spec), {"t": lambda _r, x: x + 1, "total": lambda _r, x: sum(x)}, tmp_path)
    assert machine.outputs() == {"o0": [10, 10]}
    assert machine.state().find("n0/1/n0/2") is not None
    assert sorted(machine.ran) == sorted(
        f"n0/{item}/{path}" for item in (0, 1) for path in ("n0/0", "n0/1", "n0/2", "n1", "n2")
    )


def of_lists_input() -> Any:
    from flytepath.model.task import Interface, Variable
    from flytepath.model.types import INTEGER, LiteralType

    return Interface(
        inputs=(Variable(name="x", type=LiteralType.list_of(INTEGER)),),
        outputs=(Variable(name="o0", type=INTEGER),),
    )


def test_items_that_are_found_again_are_not_computed(tmp_path: Path) -> None:
    task = task_spec("t", "x").model_copy(update={"cache": cached()})
    shelf = OutputCache(tmp_path / CACHE_NAME)
    run_of(fan([1, 2, 3], task), {"t": lambda _r, x: x}, tmp_path, cache=shelf)
    again = run_of(fan([1, 2, 3, 4], task), {"t": lambda _r, x: x}, tmp_path, cache=shelf)
    assert again.ran == ["n0/3"]
    assert again.outputs() == {"o0": [1, 2, 3, 4]}
    items = again.state().nodes["n0"].frame.items  # type: ignore[union-attr]
    assert items is not None
    assert sorted(items.sources) == [0, 1, 2]
    assert [items.attempts_of(index) for index in range(4)] == [0, 0, 0, 1]


def test_a_map_that_a_failure_beside_it_gives_up_needs_no_event_for_each_item(tmp_path: Path) -> None:
    async def slow(_request: Any, x: int) -> int:
        await asyncio.sleep(30)
        return x

    def fail(_request: Any, x: int) -> int:
        raise Raised("no")

    spec = of_lists(flow(node("n1", "fail"), mapped([1] * 400), tasks=tasks("t", "fail"), output="n0"))
    machine = run_of(spec, {"t": slow, "fail": fail}, tmp_path, slots=3)
    state = machine.state()
    assert state.status is ExecutionStatus.FAILED
    assert len(machine.log.events) < 25
    assert len(told(machine, NodeSkipped)) <= 3
    assert state.nodes["n0"].status is NodeStatus.SKIPPED
    assert not [path for path, found in state.nodes.items() if not found.status.is_final]


def test_an_abort_gives_a_map_up_without_an_event_for_each_item(tmp_path: Path) -> None:
    machine = Machine(fan([1] * 400), {}, tmp_path, slots=3, x=1)

    async def slow(_request: Any, x: int) -> int:
        if not machine.log.posted:
            post(machine, type="abort", reason="enough")
        await asyncio.sleep(30)
        return x

    machine.bodies = {"t": slow}
    assert machine.run().status is ExecutionStatus.ABORTED
    assert len(machine.log.events) < 25
    assert not machine.state().ready


def test_an_abort_of_ten_thousand_items_is_a_handful_of_events() -> None:
    play = begun(MANY)
    play.do(Abort("enough"))
    assert play.do(Finish({})) == ["node_skipped", "execution_aborted"]


def test_a_map_that_is_taken_over_in_the_middle_runs_only_what_is_missing(tmp_path: Path) -> None:
    """With retries that are waiting: an item that has failed once has one attempt left, not two."""

    def flaky(request: Any, x: int) -> int:
        if x % 3 == 0 and request.attempt < 2:
            raise Raised("once")
        return x

    spec = fan(list(range(12)), task_spec("t", "x", retries=1), concurrency=4)
    whole = run_of(spec, {"t": flaky}, tmp_path / "whole", slots=2)
    for crash_after in range(1, whole.log.appends):
        machine = Machine(spec, {"t": flaky}, tmp_path / str(crash_after), slots=2, x=1)
        with suppress(Crash):
            machine.run(crash_after=crash_after)
        done = {f"n0/{index}" for payload in told(machine, ItemsSucceeded) for index, _, _ in payload.items}
        machine.ran = []
        state = machine.state() if machine.state().status.is_final else machine.run()
        assert state.status is ExecutionStatus.SUCCEEDED
        assert not done & set(machine.ran)
        assert machine.outputs() == {"o0": list(range(12))}
        assert len([one for one in told(machine, AttemptFailed) if one.node == "n0/0"]) <= 1


def test_starts_and_ends_of_items_are_recorded_together(tmp_path: Path) -> None:
    machine = run_of(fan(list(range(200))), {"t": lambda _r, x: x}, tmp_path, slots=2)
    started = sum(len(payload.items) for payload in told(machine, ItemsStarted))
    assert started == 200
    assert len(machine.log.events) < 200
    assert order(machine)[-1] == "execution_succeeded"


def test_items_under_way_are_small_in_snapshots_and_the_same_when_read() -> None:
    play = Play(fan([1], task_spec("t", "x", backend="vendor")))
    play.do(Expand("n0", {}, items=1000))
    body = taken(play.state)
    assert len(body) < 250 * 1000
    assert restored(body, play.spec, play.state.specs) == play.state
