from __future__ import annotations

import asyncio
import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.engine.schedules import RETRY_SECONDS, TICK_SECONDS, Ticker
from flytepath.errors import DefinitionError, StoreError
from flytepath.model.events import Actor, Event, ExecutionAborted, ExecutionCreated
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.types import NONE, LiteralType
from flytepath.store.activations import Activations
from flytepath.store.events import Store, open_store
from scheduled_plans import DATETIME, HOURLY, SHOP, register, runs

HOUR = 3600.0
#: Midnight of a day, and what the clock says when a test begins: a quarter past.
MIDNIGHT = dt.datetime(2026, 5, 4, tzinfo=dt.UTC).timestamp()
START = MIDNIGHT + 900


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url() -> str | None:
    """Where the database is: in the home, but for tests that say otherwise."""
    return None


@pytest.fixture
def store(tmp_path: Path, url: str | None) -> Iterator[Store]:
    with open_store(tmp_path / "home", url=url) as opened:
        yield opened


def active(store: Store, clock: Clock, name: str = "nightly", version: str = "v1", **changes: Any) -> None:
    register(store, name, version, **changes)
    Activations(store.database, clock).activate(changes.get("tenant", SHOP), name, version, "ada")


def tick(ticker: Ticker, clock: Clock, now: float) -> float:
    clock.now = now
    return asyncio.run(ticker.tick())


def test_a_moment_starts_one_execution(store: Store, clock: Clock) -> None:
    active(store, clock, labels={"team": "ads"}, annotations={"note": "x"}, overwrite_cache=True)
    begun: list[str] = []
    ticker = Ticker(store, clock, started=begun.append)
    assert tick(ticker, clock, START) == START + TICK_SECONDS
    assert tick(ticker, clock, MIDNIGHT + HOUR - 1) == MIDNIGHT + HOUR
    assert runs(store) == []
    tick(ticker, clock, MIDNIGHT + HOUR + 0.2)
    tick(ticker, clock, MIDNIGHT + HOUR + 0.3)
    assert runs(store) == [("nightly", "v1", MIDNIGHT + HOUR)]
    (execution,) = begun
    (event,) = store.read(execution)
    assert event.actor == Actor(kind="schedule", name="nightly") and event.at == MIDNIGHT + HOUR + 0.2
    created = event.payload
    assert isinstance(created, ExecutionCreated)
    assert (created.labels, created.annotations, created.overwrite_cache) == ({"team": "ads"}, {"note": "x"}, True)
    assert created.bundle == "sha256:code" and created.environment["python"]
    assert store.literals(execution, created.inputs.values())[created.inputs["size"]].data == 7


def test_the_moment_meant_is_an_input(store: Store, clock: Clock) -> None:
    optional = LiteralType.union_of(DATETIME, NONE)
    zoned = {**HOURLY, "timezone": "Asia/Kolkata", "kickoff_time_input_arg": "when"}
    active(store, clock, "a", schedule=zoned)
    active(store, clock, "b", schedule=zoned, kickoff_type=optional)
    tick(Ticker(store, clock), clock, MIDNIGHT + HOUR)
    (first, second) = [store.read(row.id)[0].payload for row in store.executions()]
    assert isinstance(first, ExecutionCreated) and isinstance(second, ExecutionCreated)
    values = {}
    for row in store.executions():
        created = store.read(row.id)[0].payload
        assert isinstance(created, ExecutionCreated)
        values[created.plan] = store.literal(row.id, created.inputs["when"])
    # India is half an hour off: its full hour is at half past
    assert values["a"] == Literal.make(DATETIME, "2026-05-04T00:30:00+00:00")
    assert values["b"].type == optional and "2026-05-04T00:30:00+00:00" in json.dumps(values["b"].data)


@pytest.mark.parametrize(
    ("catch_up", "expected"), [("none", []), ("latest", [5.0]), ("all", [1.0, 2.0, 3.0, 4.0, 5.0])]
)
def test_moments_that_nobody_saw(
    store: Store, clock: Clock, catch_up: str, expected: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    active(store, clock, schedule={**HOURLY, "catch_up": catch_up})
    tick(Ticker(store, clock), clock, MIDNIGHT + 5.5 * HOUR)
    assert [(at - MIDNIGHT) / HOUR for _, _, at in runs(store)] == expected
    assert ("missed moments" in caplog.text) == (catch_up != "all")
    later = Ticker(store, clock)
    tick(later, clock, MIDNIGHT + 6 * HOUR)
    assert [(at - MIDNIGHT) / HOUR for _, _, at in runs(store)] == [*expected, 6.0]
    assert Activations(store.database).done_until(SHOP, "nightly") == MIDNIGHT + 6 * HOUR


def test_catching_up_has_a_bound(store: Store, clock: Clock) -> None:
    active(store, clock, schedule={"kind": "cron", "schedule": "* * * * *", "catch_up": "all"})
    tick(Ticker(store, clock), clock, MIDNIGHT + 24 * HOUR)
    found = runs(store)
    assert len(found) == 100 and found[-1][2] == MIDNIGHT + 24 * HOUR


def test_an_activation_makes_up_for_nothing(store: Store, clock: Clock) -> None:
    register(store, schedule={**HOURLY, "catch_up": "all"})
    activations, ticker = Activations(store.database, clock), Ticker(store, clock)
    tick(ticker, clock, MIDNIGHT + 3 * HOUR)
    clock.now += 60
    activations.activate(SHOP, "nightly", "v1", "ada")
    tick(ticker, clock, MIDNIGHT + 4 * HOUR)
    activations.deactivate(SHOP, "nightly", "ada")
    tick(ticker, clock, MIDNIGHT + 6.5 * HOUR)
    activations.activate(SHOP, "nightly", "v1", "ada")
    tick(ticker, clock, MIDNIGHT + 7 * HOUR)
    assert [(at - MIDNIGHT) / HOUR for _, _, at in runs(store)] == [4.0, 7.0]


def test_the_version_that_is_active_runs(store: Store, clock: Clock) -> None:
    active(store, clock)
    register(store, version="v2", labels={"new": "yes"})
    activations, ticker = Activations(store.database, clock), Ticker(store, clock)
    tick(ticker, clock, MIDNIGHT + HOUR)
    activations.activate(SHOP, "nightly", "v2", "bob")
    tick(ticker, clock, MIDNIGHT + 2 * HOUR)
    activations.roll_back(SHOP, "nightly", "bob")
    tick(ticker, clock, MIDNIGHT + 3 * HOUR)
    assert [version for _, version, _ in runs(store)] == ["v1", "v2", "v1"]


def test_a_rate_counts_from_the_activation(store: Store, clock: Clock) -> None:
    clock.now = START + 0.7
    active(store, clock, schedule={"kind": "rate", "minutes": 10})
    ticker = Ticker(store, clock)
    for minute in range(0, 35):
        tick(ticker, clock, START + minute * 60)
    assert [at - START for _, _, at in runs(store)] == [600, 1200, 1800]


def test_a_clock_that_is_set_back_repeats_nothing(store: Store, clock: Clock) -> None:
    active(store, clock, schedule={**HOURLY, "catch_up": "all"})
    ticker = Ticker(store, clock)
    tick(ticker, clock, MIDNIGHT + 4 * HOUR)
    before = runs(store)
    for now in (MIDNIGHT + 2.5 * HOUR, MIDNIGHT + 3 * HOUR, MIDNIGHT + 4 * HOUR):
        tick(ticker, clock, now)
        tick(Ticker(store, clock), clock, now)
    assert runs(store) == before
    # not even where the plan is activated again by the clock that is behind
    clock.now = MIDNIGHT + 2.5 * HOUR
    activations = Activations(store.database, clock)
    activations.deactivate(SHOP, "nightly", "ada")
    activations.activate(SHOP, "nightly", "v1", "ada")
    tick(ticker, clock, MIDNIGHT + 5 * HOUR)
    assert runs(store) == [*before, ("nightly", "v1", MIDNIGHT + 5 * HOUR)]


def test_tenants_do_not_meet(store: Store, clock: Clock) -> None:
    other = Tenant("shop", "staging")
    active(store, clock)
    active(store, clock, tenant=other)
    tick(Ticker(store, clock), clock, MIDNIGHT + HOUR)
    assert len(runs(store)) == len(runs(store, other)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"kind": "moon"}},
        {"schedule": {**HOURLY, "timezone": "Atlantis/Capital"}},
        {"schedule": {**HOURLY, "kickoff_time_input_arg": "when"}, "kickoff_type": LiteralType("string")},
        {"concurrency": {"max_concurrency": "many"}},
        {"spec": "sha256:nothing"},
    ],
)
def test_a_broken_launch_plan_stops_no_other(
    store: Store, clock: Clock, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    active(store, clock, "broken", **changes)
    active(store, clock, "works")
    ticker = Ticker(store, clock)
    tick(ticker, clock, MIDNIGHT + HOUR)
    tick(ticker, clock, MIDNIGHT + 2 * HOUR)
    assert [name for name, _, _ in runs(store)] == ["works", "works"]
    assert list(ticker.broken) == ["shop/production/broken@v1"]
    assert caplog.text.count("broken@v1 starts nothing") == 1
    Activations(store.database, clock).deactivate(SHOP, "broken", "ada")
    tick(ticker, clock, MIDNIGHT + 2 * HOUR + 1)
    assert ticker.broken == {}


def test_a_launch_plan_that_is_mended_goes_on(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    import zoneinfo

    known = zoneinfo.ZoneInfo
    monkeypatch.setattr(zoneinfo, "ZoneInfo", lambda key: known("No/Where"))
    active(store, clock, schedule={**HOURLY, "timezone": "Europe/Berlin"})
    ticker = Ticker(store, clock)
    tick(ticker, clock, MIDNIGHT + HOUR)
    assert isinstance(*ticker.broken.values(), DefinitionError)
    monkeypatch.setattr(zoneinfo, "ZoneInfo", known)
    tick(ticker, clock, MIDNIGHT + HOUR + RETRY_SECONDS)
    assert runs(store) == [("nightly", "v1", MIDNIGHT + HOUR)]


def test_no_more_run_than_may(store: Store, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    active(store, clock, schedule={**HOURLY, "catch_up": "all"}, concurrency={"max_concurrency": 2})
    begun: list[str] = []
    ticker = Ticker(store, clock, started=begun.append)
    tick(ticker, clock, MIDNIGHT + 3 * HOUR)
    assert [(at - MIDNIGHT) / HOUR for _, _, at in runs(store)] == [1.0, 2.0]
    assert "as many as may" in caplog.text
    end = Event(
        execution=begun[0], seq=2, at=clock.now, actor=Actor(kind="engine", name="e"), payload=ExecutionAborted()
    )
    store.append(begun[0], 1, 0, [end])
    tick(ticker, clock, MIDNIGHT + 4 * HOUR)
    tick(ticker, clock, MIDNIGHT + 5 * HOUR)
    # what was skipped is not made up for
    assert [(at - MIDNIGHT) / HOUR for _, _, at in runs(store)] == [1.0, 2.0, 4.0]


def test_a_store_that_fails_loses_nothing(store: Store, clock: Clock, tmp_path: Path) -> None:
    active(store, clock, schedule={**HOURLY, "catch_up": "none"})
    with open_store(tmp_path / "home") as other:
        ticker = Ticker(other, clock)
        tick(ticker, clock, START + 1)
    with pytest.raises(StoreError):
        tick(ticker, clock, MIDNIGHT + HOUR)
    tick(Ticker(store, clock), clock, MIDNIGHT + HOUR + 1)
    assert runs(store) == [("nightly", "v1", MIDNIGHT + HOUR)]


def test_launch_plans_without_a_schedule_are_left_alone(store: Store, clock: Clock) -> None:
    active(store, clock, schedule=None)
    assert tick(Ticker(store, clock), clock, MIDNIGHT + HOUR) == MIDNIGHT + HOUR + TICK_SECONDS
    assert runs(store) == []


_ENGINE = """
import asyncio, sys
from pathlib import Path
from flytepath.engine.schedules import Ticker
from flytepath.store.events import open_store
home, url, start, minutes = Path(sys.argv[1]), sys.argv[2] or None, float(sys.argv[3]), int(sys.argv[4])
with open_store(home, url=url) as store:
    ticker = Ticker(store, started=lambda execution: print(execution, flush=True))
    for minute in range(1, minutes + 1):
        asyncio.run(ticker.tick(start + minute * 60))
print("done", flush=True)
"""


class TestOnBothDatabases:
    @pytest.fixture(params=["sqlite", "postgres"])
    def url(self, request: pytest.FixtureRequest) -> str | None:
        return None if request.param == "sqlite" else request.getfixturevalue("postgres").database()

    @pytest.mark.parametrize("catch_up", ["latest", "all"])
    def test_many_tickers_start_each_moment_once(
        self, store: Store, clock: Clock, tmp_path: Path, url: str | None, catch_up: str
    ) -> None:
        names = [f"plan{number}" for number in range(5)]
        for name in names:
            active(store, clock, name, schedule={"kind": "cron", "schedule": "* * * * *", "catch_up": catch_up})
        begun: list[str] = []
        failures: list[Exception] = []
        gate = threading.Barrier(6)

        def engine() -> None:
            try:
                with open_store(tmp_path / "home", url=url) as mine:
                    ticker = Ticker(mine, started=begun.append)
                    for minute in range(1, 11):
                        gate.wait()
                        asyncio.run(ticker.tick(START + minute * 60))
            except Exception as error:  # noqa: BLE001 - shown by the test
                failures.append(error)
                gate.abort()

        threads = [threading.Thread(target=engine) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        expected = sorted((START + minute * 60, name) for minute in range(1, 11) for name in names)
        assert [(at, name) for name, _, at in runs(store)] == expected
        assert len(begun) == len(set(begun)) == len(expected)

    def test_a_ticker_that_is_killed_leaves_every_moment_done_or_untouched(
        self, store: Store, clock: Clock, tmp_path: Path, url: str | None
    ) -> None:
        active(store, clock, schedule={"kind": "cron", "schedule": "* * * * *", "catch_up": "all"})
        minutes = 60
        command = [sys.executable, "-c", _ENGINE, str(tmp_path / "home"), url or "", str(START), str(minutes)]
        for kill_after in (1, 6):
            engines = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
            first = engines[0]
            assert first.stdout is not None
            for _ in range(kill_after):
                if first.stdout.readline() in ("", "done\n"):
                    break
            for engine in engines:
                engine.kill()
                engine.communicate()
        done_until = Activations(store.database).done_until(SHOP, "nightly")
        assert done_until is not None
        # what the log has begun and what the schedule has been moved to are one
        assert [at for _, _, at in runs(store)] == [
            START + 60 * n for n in range(1, round(done_until - START) // 60 + 1)
        ]
        last = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert last.stdout.endswith("done\n"), last.stderr
        assert [at for _, _, at in runs(store)] == [START + 60 * n for n in range(1, minutes + 1)]


def test_reading_again_costs_one_look(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        active(store, clock, f"plan{number}")
    ticker = Ticker(store, clock)
    tick(ticker, clock, START + 1)
    looks: list[Any] = []
    read = store.database.read
    monkeypatch.setattr(store.database, "read", lambda query: looks.append(query) or read(query))
    tick(ticker, clock, START + 2)
    assert len(looks) == 1
