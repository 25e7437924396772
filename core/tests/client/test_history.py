"""The past of an execution, and its nodes and items as they are shown."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.client import LocalClient
from flytepath.client.history import moment
from flytepath.engine.commands import Settle
from flytepath.errors import NotFoundError, UsageError
from flytepath.model.events import ExecutionPaused
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER, LiteralType
from recorded import ADA, SCOPE, Recorded, chain, mapped, number

XS = Literal.make(LiteralType.list_of(INTEGER), list(range(30)))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path / "home", chain("flow.a", "flow.b"), at=time.time() - 1000)
    made.start("n0", x=number(3))
    made.now += 100
    made.succeed("n0", 7)
    made.now += 100
    made.start("n1", x=number(7))
    made.succeed("n1", 8)
    made.finish()
    yield made
    made.close()


@pytest.fixture
def fan(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path / "home", mapped(30, concurrency=10, ratio=0.0), inputs={"xs": XS})
    made.expand("n0", 30, {"x": XS})
    made.start_items("n0", *range(10))
    made.now += 1
    made.succeed_items("n0", 0, 1, 2, 3)
    made.fail("n0/4", "first")
    made.start("n0/4")
    made.fail("n0/4", "no luck\nat all")
    yield made
    made.close()


def statuses(view: Any) -> list[str]:
    return [node.status for node in view.nodes]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("1", ["ready", "waiting"]),
        ("3", ["running", "waiting"]),
        ("4", ["succeeded", "ready"]),
        ("950s ago", ["running", "waiting"]),
        ("16 minutes ago", ["running", "waiting"]),
        ("850 sec ago", ["succeeded", "ready"]),
        ("1s", ["succeeded", "succeeded"]),
    ],
)
def test_the_past_is_what_the_events_up_to_then_say(run: Recorded, at: str, expected: list[str]) -> None:
    with LocalClient(run.home) as client:
        view = client.execution(SCOPE, "x1", at=at)
        assert statuses(view) == expected
        assert view.past == (view.seq < run.state.seq)


def test_times_with_and_without_a_zone_mean_the_same_moment(run: Recorded) -> None:
    then = dt.datetime.fromtimestamp(run.now - 150)
    there = then.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
    with LocalClient(run.home) as client:
        for text in (then.isoformat(), there.isoformat(), then.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")):
            assert client.execution(SCOPE, "x1", at=text).seq == 3


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("0", "there is no event 0"),
        ("-1", "there is no event -1"),
        ("7000", "there is no event 7000"),
        ("2999-01-01", "is in the future"),
        ("2001-01-01T00:00:00Z", "did not exist"),
        ("9999d ago", "did not exist"),
        ("yesterday", "is no moment"),
        ("2026-13-01", "is no moment"),
        ("", "is no moment"),
    ],
)
def test_moments_that_cannot_be_are_refused(run: Recorded, at: str, message: str) -> None:
    with LocalClient(run.home) as client, pytest.raises(UsageError, match=message):
        client.execution(SCOPE, "x1", at=at)


def test_a_clock_that_was_set_back_hides_no_event(run: Recorded) -> None:
    run_2 = Recorded(run.home, chain("flow.a"), id="x2", at=2000.0)
    run_2.now = 1500.0
    run_2.start("n0", x=number(3))
    with LocalClient(run.home) as client:
        assert client.execution(SCOPE, "x2", at="1970-01-01T00:40:00Z").seq == 3
    run_2.close()


def test_moment_reads_units() -> None:
    assert [moment(text, 100_000.0) for text in ("5s ago", "5 min", "2h ago", "1 day ago", "1.5m ago")] == [
        *(99_995.0, 99_700.0, 92_800.0, 13_600.0, 99_910.0)
    ]


def test_a_map_is_one_node_with_counts_and_its_first_failures(fan: Recorded) -> None:
    with LocalClient(fan.home) as client:
        view = client.execution(SCOPE, "x1")
    assert [node.path for node in view.nodes] == ["n0", "n1"]
    items = view.nodes[0].items
    assert items is not None
    counts = (items.total, items.succeeded, items.failed, items.running, items.waiting)
    assert counts == (30, 4, 1, 5, 20)
    assert items.failures == ((4, "no luck\nat all"),)


def test_items_are_listed_page_by_page_and_found_alone(fan: Recorded) -> None:
    with LocalClient(fan.home) as client:
        page = client.node(SCOPE, "x1", "n0", limit=3, after=3)
        assert [(each.path, each.status) for each in page.below] == [
            *(("n0/3", "succeeded"), ("n0/4", "failed"), ("n0/5", "running")),
        ]
        assert page.more == 24
        done = client.node(SCOPE, "x1", "n0/3")
        assert done.inputs["x"].data == 3
        assert done.outputs["o0"].data == 6
        failed = client.node(SCOPE, "x1", "n0/4")
        assert [(each.number, each.outcome) for each in failed.attempts] == [(1, "failed"), (2, "failed")]
        assert client.node(SCOPE, "x1", "n0/29").node.status == "waiting"
        for unknown in ("n0/30", "n0/-1", "n0/x", "n0/1/n0"):
            with pytest.raises(NotFoundError):
                client.node(SCOPE, "x1", unknown)


def test_items_that_never_began_are_skipped_when_the_map_has_ended(tmp_path: Path) -> None:
    made = Recorded(tmp_path / "home", mapped(30, concurrency=2), inputs={"xs": XS})
    made.expand("n0", 30, {"x": XS})
    made.start_items("n0", 0, 1)
    made.succeed_items("n0", 1)
    made.fail("n0/0", "bad", recoverable=False)
    made.do(Settle("n0"))
    with LocalClient(made.home) as client:
        detail = client.node(SCOPE, "x1", "n0", limit=30)
        assert detail.node.items is not None
        assert (detail.node.items.succeeded, detail.node.items.failed, detail.node.items.skipped) == (1, 1, 28)
        assert {each.status for each in detail.below[2:]} == {"skipped"}
        assert client.node(SCOPE, "x1", "n0/29").node.reason
        assert client.explain(SCOPE, "x1", "n0/29").status == "skipped"
    made.close()


def test_pauses_and_what_was_asked_for_are_in_the_view(tmp_path: Path) -> None:
    facts = {"timeout_seconds": 60.0, "recovers": "x0", "plan": "flow.nightly", "scheduled_at": 5.0}
    made = Recorded(tmp_path / "home", chain("flow.a"), labels={"team": "a"}, **facts)  # type: ignore[arg-type]
    made.note(ExecutionPaused(reason="later"), ADA)
    with LocalClient(made.home) as client:
        view = client.execution(SCOPE, "x1")
    assert (view.paused, view.paused_reason, view.deadline) == (True, "later", made.state.created_at + 60.0)
    assert (view.recovers, view.plan, view.scheduled_at, view.seq) == ("x0", "flow.nightly", 5.0, 3)
    made.close()


# --- lists -------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path) -> Iterator[list[Recorded]]:
    home = tmp_path / "home"
    spec = chain("flow.a")
    made = [
        Recorded(home, spec, id=f"e{place}", at=1000.0 + place, labels={"team": "ab"[place % 2], "n": str(place)})
        for place in range(6)
    ]
    made[0].leave()
    made[1].note(ExecutionPaused(), ADA)
    made[2].abort()
    made[2].finish()
    yield made
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["e5", "e4", "e3", "e2", "e1", "e0"]),
        ({"limit": 2}, ["e5", "e4"]),
        ({"status": "running"}, ["e5", "e4", "e3", "e1", "e0"]),
        ({"status": "interrupted"}, ["e0"]),
        ({"status": "paused"}, ["e1"]),
        ({"status": "aborted"}, ["e2"]),
        ({"workflow": "wf"}, ["e5", "e4", "e3", "e2", "e1", "e0"]),
        ({"workflow": "flow.wf", "limit": 1}, ["e5"]),
        ({"workflow": "w%"}, []),
        ({"workflow": "f"}, []),
        ({"since": 1004.0}, ["e5", "e4"]),
        ({"labels": {"team": "a"}}, ["e4", "e2", "e0"]),
        ({"labels": {"team": "a", "n": "2"}}, ["e2"]),
        ({"labels": {"n": "team"}}, []),
        ({"labels": {"team": "a"}, "limit": 2}, ["e4", "e2"]),
    ],
)
def test_lists_are_narrowed(many: list[Recorded], wanted: dict[str, Any], expected: list[str]) -> None:
    with LocalClient(many[0].home) as client:
        assert [row.id for row in client.executions(None, **wanted)] == expected


def test_a_list_goes_on_at_its_cursor(many: list[Recorded]) -> None:
    with LocalClient(many[0].home) as client:
        seen: list[str] = []
        cursor = None
        while rows := client.executions(None, 2, labels={}, cursor=cursor):
            seen += [row.id for row in rows]
            cursor = rows[-1].cursor
        assert seen == ["e5", "e4", "e3", "e2", "e1", "e0"]
        with pytest.raises(UsageError):
            client.executions(None, cursor="nonsense")
        with pytest.raises(UsageError):
            client.executions(None, status="lost")
