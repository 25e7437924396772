"""The desk where engines ask for tokens of shared pools, and are told when to call: on both databases, with several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flytepath.engine.quota.admission import (
    Admission,
    AdmissionDesk,
    InMemoryAdmission,
    PoolLeaseLostError,
    Request,
)
from flytepath.engine.quota.pools import PoolRules, PoolUnknownError
from flytepath.engine.quota.rules import PoolAskError
from flytepath.errors import ExecutionStateError, SequenceConflictError, StoreUnavailableError, UsageError
from flytepath.model.identity import Tenant
from flytepath.plugin.declarations import RateLimit
from flytepath.plugin.plans import PoolAsk
from flytepath.store.events import Store, open_store
from flytepath.store.quota_rows import Evict
from flytepath.store.quota_views import Survey, survey

POOLS: dict[str, Any] = {
    "db": {"limit": 2},
    "licence": {"limit": 1},
    "capped": {"limit": 10, "caps": {"one": 3}},
    "closed": {"limit": 0},
}


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("postgres").database()


@pytest.fixture
def store(tmp_path: Path, url: str | None) -> Iterator[Store]:
    with open_store(tmp_path / "home", url=url) as opened:
        yield opened


def wants(key: str, *pools: str, tenant: str = "one", epoch: int = 1, kind: Any = "remote", tokens: int = 1) -> Request:
    asks = tuple(PoolAsk(pool, tokens) for pool in pools or ("db",))
    return Request(key, Tenant(tenant, "development"), asks, f"x-{key}", "n0", epoch, kind)


class Desks:
    """Engines at one store, each on a connection of its own."""

    def __init__(self, home: Path, url: str | None) -> None:
        self._home = home
        self._url = url
        self._stores: list[Store] = []
        self._desks: list[Admission] = []
        self.ended: set[str] = set()

    def open(self, name: str, pools: Any = None, *, ttl: float = 30.0, store: Store | None = None) -> Admission:
        if store is None:
            store = open_store(self._home, url=self._url)
            self._stores.append(store)
        rules = pools if isinstance(pools, PoolRules) else PoolRules.of_values(POOLS if pools is None else pools)
        desk = Admission(store, name, rules, ttl=ttl, is_dead=lambda holder: holder in self.ended)
        self._desks.append(desk)
        return desk

    async def close(self) -> None:
        for desk in self._desks:
            await desk.close()
        for store in self._stores:
            store.close()


def running(
    tmp_path: Path, url: str | None, story: Callable[[Desks], Awaitable[None]], *, seconds: float = 60.0
) -> None:
    async def run() -> None:
        desks = Desks(tmp_path / "home", url)
        try:
            async with asyncio.timeout(seconds):
                await story(desks)
        finally:
            await desks.close()

    asyncio.run(run())


async def until(met: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not met():
            await asyncio.sleep(0.005)


def seen(desk: Admission) -> Survey:
    return survey(desk._store.database, desk._tables.now)


def held(desk: Admission) -> list[str]:
    return sorted({row.key for row in seen(desk).leases})


async def waiting(desk: AdmissionDesk, request: Request) -> asyncio.Task[None]:
    """A request that waits in line."""
    task = asyncio.create_task(desk.granted(request))
    if isinstance(desk, Admission):
        await until(lambda: any(row.key == request.key for row in seen(desk).waiters))
    else:
        await asyncio.sleep(0)
    assert not task.done()
    return task


def test_tokens_are_given_out_and_wake_who_waits(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        await desk.granted(wants("a"))
        await desk.granted(wants("b"))
        task = await waiting(desk, wants("c"))
        await desk.release("a", 1)
        await task
        assert held(desk) == ["b", "c"]

    running(tmp_path, url, story)


def test_an_engine_is_woken_by_what_another_releases(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")
        await one.granted(wants("a", "licence"))
        task = await waiting(two, wants("b", "licence"))
        await one.release("a", 1)
        await task
        assert [row.holder for row in seen(one).leases] == ["e2"]

    running(tmp_path, url, story)


def test_who_asks_for_nothing_never_touches_the_store(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        commits = desk._store.commits
        request = Request("a", Tenant("one", "development"), (), "x", "n0", 1, "local")
        await desk.granted(request)
        await desk.firm("a")
        await desk.release("a", 1)
        assert desk._store.commits == commits

    running(tmp_path, None, story)


def test_asks_of_one_moment_share_a_transaction(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1", {"db": {"limit": 500}})
        commits = desk._store.commits
        await asyncio.gather(*(desk.granted(wants(f"k{number}")) for number in range(500)))
        assert desk._store.commits - commits <= 3
        await asyncio.gather(*(desk.release(f"k{number}", 1) for number in range(500)))
        assert desk._store.commits - commits <= 6

    running(tmp_path, None, story)


def test_a_request_that_is_cancelled_is_withdrawn(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        await desk.granted(wants("a", "licence"))
        task = await waiting(desk, wants("b", "licence"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not seen(desk).waiters)
        await desk.release("a", 1)
        assert held(desk) == []

    running(tmp_path, url, story)


def test_a_request_that_is_cancelled_in_the_moment_of_its_grant_holds_nothing(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        for number in range(30):
            task = asyncio.create_task(desk.granted(wants(f"k{number}", "licence")))
            for _ in range(number):
                await asyncio.sleep(0.0003)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
                await desk.release(f"k{number}", 1)
        await until(lambda: not held(desk) and not seen(desk).waiters)

    running(tmp_path, url, story)


def test_one_that_takes_over_goes_on_with_a_lease_and_its_forerunner_is_fenced(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")
        await one.granted(wants("a", "licence", epoch=1))
        await one.firm("a")
        await two.granted(wants("a", "licence", epoch=2))
        await one.release("a", 1)
        assert held(two) == ["a"]
        with pytest.raises(SequenceConflictError):
            await one.granted(wants("a", "licence", epoch=1))
        await two.release("a", 2)
        await two.release("a", 2)
        assert held(two) == []

    running(tmp_path, url, story)


def test_one_that_takes_over_and_is_cancelled_leaves_a_running_job_its_tokens(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")
        await one.granted(wants("a", "licence", epoch=1))
        await one.firm("a")
        for turns in range(12):
            task = asyncio.create_task(two.granted(wants("a", "licence", epoch=2)))
            for _ in range(turns):
                await asyncio.sleep(0.001)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await two.close()
        assert held(one) == ["a"]

    running(tmp_path, None, story)


def test_what_was_released_before_a_desk_closed_is_released(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")
        await one.granted(wants("a"))
        await one.firm("a")
        releasing = asyncio.create_task(one.release("a", 1))
        await asyncio.sleep(0)
        await one.close()
        await releasing
        assert held(two) == []
        with pytest.raises(ExecutionStateError, match="this engine has ended"):
            await one.granted(wants("b"))

    running(tmp_path, None, story)


def test_a_lowered_limit_is_noticed_also_where_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYTEPATH_CONFIG", raising=False)
    file = tmp_path / "flytepath.toml"
    file.write_text("[pools.db]\nlimit = 9\n")

    async def story(desks: Desks) -> None:
        desk = desks.open("e1", PoolRules.here(tmp_path, tmp_path / "home"))
        await desk.granted(wants("a"))
        file.write_text("[pools.db]\nlimit = 1\n")
        await until(lambda: desk.rules.revision == 1)
        task = await waiting(desk, wants("b"))
        await desk.release("a", 1)
        await task

    running(tmp_path, None, story)


def test_a_lease_that_was_taken_away_cannot_become_firm(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        await desk.granted(wants("a", "licence"))
        desk._tables.change([Evict("a")], desk._decide).result()
        with pytest.raises(PoolLeaseLostError):
            await desk.firm("a")
        with pytest.raises(PoolLeaseLostError):
            await desk.firm("never asked for")
        await desk.granted(wants("a", "licence"))
        await desk.firm("a")

    running(tmp_path, url, story)


def test_of_a_dead_engine_waiters_go_local_leases_are_freed_and_firm_ones_stay(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1", {"db": {"limit": 3}}), desks.open("e2", {"db": {"limit": 3}})
        await one.granted(wants("firm"))
        await one.firm("firm")
        await one.granted(wants("unsure"))
        await one.granted(wants("local", kind="local"))
        lost = await waiting(one, wants("lost"))
        first = await waiting(two, wants("first", tenant="two"))
        second = await waiting(two, wants("second", tenant="two"))
        third = await waiting(two, wants("third", tenant="two"))
        desks.ended.add("e1")
        await asyncio.gather(first, second)  # nobody has to release or ask for that
        assert held(two) == ["firm", "first", "second"]
        assert [row.key for row in seen(two).waiters] == ["third"]
        await two.granted(wants("firm", epoch=2))
        await two.release("firm", 2)
        await third
        lost.cancel()

    running(tmp_path, url, story)


def test_an_engine_that_lives_is_not_taken_for_dead_however_long_it_waits(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1", ttl=0.6), desks.open("e2", ttl=0.6)
        await one.granted(wants("a", "licence", kind="local"))
        task = await waiting(two, wants("b", "licence", kind="local"))
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            assert held(one) == ["a"]
            assert not task.done()
            await asyncio.sleep(0.05)
        await one.release("a", 1)
        await task

    running(tmp_path, url, story)


def test_an_engine_that_was_taken_for_dead_asks_again(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1", ttl=0.9), desks.open("e2", ttl=0.9)
        await two.granted(wants("a", "licence"))
        await two.firm("a")
        task = await waiting(one, wants("b", "licence"))
        desks.ended.add("e1")
        await two.granted(wants("c", "db"))
        assert not [row for row in seen(two).waiters if row.key == "b"]
        desks.ended.clear()
        await until(lambda: any(row.key == "b" for row in seen(two).waiters))
        await two.release("a", 1)
        await task

    running(tmp_path, url, story)


def test_a_desk_that_closes_leaves_only_what_is_firm(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")
        await one.granted(wants("a"))
        await one.granted(wants("b"))
        await one.firm("a")
        task = await waiting(one, wants("c"))
        mine = await waiting(two, wants("d"))
        await one.close()
        await mine
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held(two) == ["a", "d"]
        await one.close()

    running(tmp_path, url, story)


def test_caps_hold_and_do_not_hold_up_others(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        for number in range(3):
            await desk.granted(wants(f"k{number}", "capped"))
        more = await waiting(desk, wants("k3", "capped"))
        await desk.granted(wants("other", "capped", tenant="two"))
        await until(lambda: "one may hold 3" in str(desk.standing("k3")))
        standing = desk.standing("k3")
        assert standing is not None
        assert (standing.blocker, standing.position, standing.pool) == ("cap one", 1, "capped")
        await desk.release("k0", 1)
        await more

    running(tmp_path, None, story)


def test_who_waits_is_told_why_and_where(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")
        await one.granted(wants("a", "licence", tenant="two"))
        first = await waiting(one, wants("b", "licence"))
        second = await waiting(two, wants("c", "licence"))
        await until(lambda: "all 1 of 'licence' is held" in str(two.standing("c")))
        standing = two.standing("c")
        assert standing is not None
        assert (standing.blocker, standing.position) == ("two/development holds 1", 2)
        assert two.standing("a") is None
        await one.release("a", 1)
        await first
        await one.release("b", 1)
        await second

    running(tmp_path, url, story)


def test_what_can_never_be_is_an_error_at_once(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        with pytest.raises(PoolAskError):
            await desk.granted(wants("a", tokens=3))
        with pytest.raises(PoolAskError):
            await desk.granted(wants("a", "capped", tokens=4))
        with pytest.raises(PoolUnknownError, match="nobody declares a pool 'matlab'"):
            await desk.granted(wants("a", "matlab"))
        task = await waiting(desk, wants("a", "closed"))
        await until(lambda: "is closed" in str(desk.standing("a")))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    running(tmp_path, None, story)


def test_a_limit_that_is_raised_takes_effect_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYTEPATH_CONFIG", raising=False)
    file = tmp_path / "flytepath.toml"
    file.write_text("[pools.db]\nlimit = 1\n")

    async def story(desks: Desks) -> None:
        desk = desks.open("e1", PoolRules.here(tmp_path, tmp_path / "home"))
        await desk.granted(wants("a"))
        task = await waiting(desk, wants("b"))
        file.write_text("[pools.db]\nlimit = [")
        await asyncio.sleep(0)
        file.write_text("[pools.db]\nlimit = 2\n")
        await task
        file.write_text("[pools.db]\nlimit = 1\n")
        await until(lambda: desk.rules.refresh() or desk.rules.find("db").limit == 1)  # type: ignore[union-attr]
        again = await waiting(desk, wants("c"))
        await desk.release("a", 1)
        assert held(desk) == ["b"]
        await desk.release("b", 1)
        await again

    running(tmp_path, None, story)


def test_an_engine_with_newer_rules_grants_what_another_left(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        old, new = desks.open("e1", {"db": {"limit": 1}}), desks.open("e2", {"db": {"limit": 2}, "x": {"limit": 1}})
        await new.granted(wants("a"))
        await new.granted(wants("x1", "x"))
        b, c = await asyncio.gather(waiting_or_not(new, wants("b")), waiting_or_not(new, wants("c")))
        x2 = await waiting(new, wants("x2", "x"))
        d = asyncio.create_task(old.granted(wants("d")))
        await old.release("nothing", 1)
        await new.release("a", 1)
        await asyncio.gather(b, c)
        await old.release("x1", 1)  # which knows no pool of that name
        await x2
        await new.release("b", 1)
        await new.release("c", 1)
        await d

    async def waiting_or_not(desk: Admission, request: Request) -> asyncio.Task[None]:
        return asyncio.create_task(desk.granted(request))

    running(tmp_path, None, story)


def test_nothing_is_granted_while_the_store_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(desks: Desks) -> None:
        desk = desks.open("e1")
        monkeypatch.setattr("flytepath.engine.quota.admission.AWAY_SECONDS", 0.02)
        real = desk._tables.change
        tries = [0]

        def away(*given: Any, **named: Any) -> Any:
            tries[0] += 1
            raise StoreUnavailableError("the server is gone")

        monkeypatch.setattr(desk._tables, "change", away)
        task = asyncio.create_task(desk.granted(wants("a")))
        releasing = asyncio.create_task(desk.release("b", 1))
        await until(lambda: tries[0] > 5)
        assert not task.done()
        assert not releasing.done()
        standing = desk.standing("a")
        assert standing is not None
        assert standing.reason == "the store cannot be reached"
        monkeypatch.setattr(desk._tables, "change", real)
        await asyncio.gather(task, releasing)

    running(tmp_path, None, story)


def test_a_key_may_be_asked_for_again_after_its_release(tmp_path: Path, url: str | None) -> None:
    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")

        async def work(desk: Admission, name: str) -> None:
            for _ in range(15):
                await desk.granted(wants(name, "licence"))
                assert held(desk) == [name]
                await desk.release(name, 1)

        await asyncio.gather(*(work(desk, f"{number}{desk._tables.holder}") for desk in (one, two) for number in "ab"))

    running(tmp_path, url, story)


def test_engines_share_a_pool_fairly_and_leak_nothing(tmp_path: Path, url: str | None) -> None:
    most = [0, 0]

    async def story(desks: Desks) -> None:
        pools = {"db": {"limit": 4, "caps": {"two": 2}}}
        engines = [desks.open(f"e{number}", pools) for number in range(3)]
        now = {"one": 0, "two": 0, "three": 0}

        async def work(desk: Admission, key: str, tenant: str) -> None:
            await desk.granted(wants(key, tenant=tenant))
            now[tenant] += 1
            most[0] = max(most[0], sum(now.values()))
            most[1] = max(most[1], now["two"])
            await asyncio.sleep(0.002)
            now[tenant] -= 1
            await desk.release(key, 1)

        await asyncio.gather(
            *(
                work(desk, f"{desk._tables.holder}-{tenant}-{number}", tenant)
                for desk in engines
                for tenant in now
                for number in range(12)
            )
        )
        assert held(engines[0]) == []
        assert seen(engines[0]).waiters == []

    running(tmp_path, url, story)
    assert most[0] <= 4
    assert most[1] <= 2


# --- calls -----------------------------------------------------------------------------------------------------------


def test_engines_together_call_no_more_often_than_a_limit_says(tmp_path: Path, url: str | None) -> None:
    limit = RateLimit(per_second=50.0, burst=5)
    calls: list[float] = []

    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")

        async def call(desk: Admission) -> None:
            for _ in range(10):
                await desk.may_call("vendor", limit)
                calls.append(time.monotonic())

        await asyncio.gather(*(call(desk) for desk in (one, two, one, two)))

    running(tmp_path, url, story)
    calls.sort()
    slack = 2  # a call that was allowed may be late by what the machine is busy with, and so closer to the next
    for first, began in enumerate(calls):
        for last in range(first, len(calls)):
            count = last - first + 1
            assert count <= limit.burst + limit.per_second * (calls[last] - began) + slack + count * 0.1
    assert calls[-1] - calls[0] >= (len(calls) - limit.burst) / limit.per_second - 0.1


def test_nobody_calls_before_the_time_that_a_service_asked_for(tmp_path: Path, url: str | None) -> None:
    limit = RateLimit(per_second=1000.0, burst=100)

    async def story(desks: Desks) -> None:
        one, two = desks.open("e1"), desks.open("e2")
        await one.may_call("vendor", limit)
        began = time.monotonic()  # before: what is asked for counts from when it is heard
        await two.hold_back("vendor", 0.4)
        await asyncio.gather(one.may_call("vendor", limit), one.may_call("other", limit))
        assert time.monotonic() - began >= 0.39
        await one.hold_back("vendor", 0.0)
        await one.may_call("vendor", limit)

    running(tmp_path, url, story)


def test_a_call_that_was_booked_before_a_service_asked_for_rest_waits_too(tmp_path: Path) -> None:
    limit = RateLimit(per_second=10.0)

    async def story(desks: Desks) -> None:
        for desk in (desks.open("e1"), InMemoryAdmission()):
            await desk.may_call("vendor", limit)
            booked = asyncio.create_task(desk.may_call("vendor", limit))
            await asyncio.sleep(0.02)
            began = time.monotonic()
            await desk.hold_back("vendor", 0.5)
            await booked
            assert time.monotonic() - began >= 0.49

    running(tmp_path, None, story)


def test_a_limit_that_allows_no_call_is_an_error(tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        for desk in (desks.open("e1"), InMemoryAdmission()):
            with pytest.raises(UsageError, match="no limit on calls"):
                await desk.may_call("vendor", RateLimit(per_second=0.0))

    running(tmp_path, None, story)


# --- without a store -------------------------------------------------------------------------------------------------


def test_the_desk_without_a_store_does_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        desk = InMemoryAdmission(PoolRules.of_values(POOLS))
        await desk.granted(wants("a", "licence"))
        await desk.granted(wants("a", "licence"))
        task = await waiting(desk, wants("b", "licence", "db"))
        gone = await waiting(desk, wants("c", "licence"))
        standing = desk.standing("b")
        assert standing is not None
        assert standing.pool == "licence"
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await desk.release("a", 0)
        assert not task.done()
        await desk.release("a", 1)
        await task
        await desk.firm("b")
        with pytest.raises(PoolAskError):
            await desk.granted(wants("d", tokens=3))
        with pytest.raises(PoolUnknownError):
            await desk.granted(wants("d", "matlab"))
        last = await waiting(desk, wants("e", "licence"))
        await desk.release("b", 1)
        await last
        await desk.close()

    asyncio.run(story())
