"""Tokens of shared pools as rows: what must hold whoever decides, in whatever order things are cut off and repeated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flytepath.store.events import Store, open_store
from flytepath.store.quota import QuotaTables
from flytepath.store.quota_rows import Ask, Confirm, Decision, Evict, Kind, Release, Truth
from flytepath.store.quota_views import Survey, survey

LIMIT = 3


def first_come(truth: Truth) -> Decision:
    """The plainest policy: in the order of arrival, ``LIMIT`` of each pool."""
    free = {}
    for pool in {pool for row in (*truth.waiters, *truth.new) for pool, _ in row.asks}:
        held = sum(row.tokens for row in truth.leases if row.pool == pool and row.key not in truth.released)
        free[pool] = LIMIT - held
    decision = Decision()
    for row in sorted((*truth.waiters, *truth.new), key=lambda each: each.number):
        if all(tokens <= free[pool] for pool, tokens in row.asks):
            decision.granted.append(row)
            for pool, tokens in row.asks:
                free[pool] -= tokens
    return decision


class Desk:
    """An engine at the tables, with a clock of the test's."""

    def __init__(self, store: Store, name: str, *, dead: set[str] | None = None, ttl: float = 30.0) -> None:
        self.skew = 0.0
        self.store = store
        self.tables = QuotaTables(
            store.database, name, ttl=ttl, clock=lambda: 1000.0 + self.skew, is_dead=lambda each: each in (dead or ())
        )

    def ask(self, key: str, *, epoch: int = 1, kind: Kind = "remote", pools: tuple[str, ...] = ("db",)) -> str:
        asks = tuple((pool, 1) for pool in pools)
        ask = Ask(key, "p", "d", asks, f"x-{key}", "n0", epoch, kind)
        return self.tables.change([ask], first_come).result().answers[0]

    def release(self, key: str, epoch: int = 1, *, unless_firm: bool = False) -> str:
        return self.tables.change([Release(key, epoch, unless_firm)], first_come).result().answers[0]

    def confirm(self, key: str, epoch: int = 1) -> str:
        return self.tables.change([Confirm(key, epoch)], first_come).result().answers[0]

    def review(self) -> None:
        self.tables.change([], first_come, review=True).result()

    def seen(self) -> Survey:
        return survey(self.store.database, self.tables.now)

    def held(self) -> list[str]:
        return sorted({row.key for row in self.seen().leases})

    def waiting(self) -> list[str]:
        return [row.key for row in self.seen().waiters]


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store, "one")


def test_what_is_free_is_granted_and_the_rest_waits(desk: Desk) -> None:
    assert [desk.ask(key) for key in "abcd"] == ["granted", "granted", "granted", "waiting"]
    assert desk.held() == ["a", "b", "c"]
    assert desk.waiting() == ["d"]


def test_whoever_releases_grants_to_the_next_of_any_engine(desk: Desk) -> None:
    other = Desk(desk.store, "two")
    for key in "abc":
        desk.ask(key)
    assert other.ask("d") == "waiting"
    before = other.tables.turn()
    assert desk.release("a") == "done"
    assert [key for key, _ in other.tables.granted_since(before)] == ["d"]
    assert desk.tables.granted_since(before) == []


def test_asking_and_releasing_again_change_nothing(desk: Desk) -> None:
    for key in "abcd":
        desk.ask(key)
    turn = desk.tables.turn()
    assert desk.ask("a") == "granted"
    assert desk.ask("d") == "waiting"
    assert desk.confirm("a") == desk.confirm("a") == "done"
    assert desk.release("nobody") == "none"
    assert desk.held() == ["a", "b", "c"]
    assert desk.waiting() == ["d"]
    assert desk.tables.turn() <= turn + 2, "to ask again and to confirm are changes, to confirm twice is none"
    desk.release("a")
    assert desk.release("a") == "none"
    assert desk.held() == ["b", "c", "d"]


def test_one_that_takes_an_execution_over_goes_on_with_its_lease(desk: Desk) -> None:
    successor = Desk(desk.store, "two")
    desk.ask("a", epoch=1)
    desk.confirm("a", 1)
    assert successor.ask("a", epoch=2) == "granted"
    (lease,) = desk.seen().leases
    assert (lease.holder, lease.epoch, lease.is_firm) == ("two", 2, True)


def test_an_engine_that_lost_an_execution_can_neither_release_nor_confirm_nor_ask(desk: Desk) -> None:
    successor = Desk(desk.store, "two")
    desk.ask("a", epoch=1)
    successor.ask("a", epoch=2)
    assert [desk.release("a", 1), desk.confirm("a", 1), desk.ask("a", epoch=1)] == ["stale"] * 3
    assert [row.holder for row in desk.seen().leases] == ["two"]
    for key in "bcd":
        desk.ask(key)
    successor.ask("d", epoch=5)
    assert [desk.release("d", 4), desk.ask("d", epoch=4)] == ["stale", "stale"]
    assert desk.waiting() == ["d"]


def test_one_that_takes_over_keeps_the_place_in_line(desk: Desk) -> None:
    successor = Desk(desk.store, "two")
    for key in "abcde":
        desk.ask(key)
    assert successor.ask("d", epoch=2) == "waiting"
    assert desk.waiting() == ["d", "e"]
    assert [row.holder for row in desk.seen().waiters] == ["two", "one"]


@pytest.mark.parametrize("how", ["it has ended", "its time has run out"])
def test_of_an_engine_that_is_gone_only_firm_leases_stay(desk: Desk, how: str) -> None:
    ended: set[str] = set()
    other = Desk(desk.store, "two", dead=ended, ttl=30.0 if how == "it has ended" else 0.2)
    lost = Desk(desk.store, "one", ttl=0.2) if how == "its time has run out" else desk
    lost.ask("local", kind="local")
    lost.ask("firm")
    lost.confirm("firm")
    lost.ask("unsure")
    lost.ask("waits")
    ended.add("one")
    if how == "its time has run out":
        other.skew = 0.3
        for _ in range(200):  # PostgreSQL goes by the server's clock
            if other.tables.someone_is_gone():
                break
            threading.Event().wait(0.01)
    assert other.tables.someone_is_gone()
    assert [other.ask("x"), other.ask("y")] == ["granted", "granted"]
    assert other.held() == ["firm", "x", "y"]
    assert other.waiting() == []
    assert not other.tables.someone_is_gone()


def test_an_engine_that_was_taken_for_dead_is_told(desk: Desk) -> None:
    other = Desk(desk.store, "two", dead={"one"})
    desk.ask("a")
    assert desk.tables.beat().result() is False
    other.review()
    assert desk.tables.beat().result() is True
    assert desk.tables.known(["a"]) == (set(), set())


def test_a_lease_that_is_adopted_in_time_survives_its_engine(desk: Desk) -> None:
    other = Desk(desk.store, "two", dead={"one"})
    desk.ask("a", kind="local")
    assert other.ask("a", epoch=2, kind="local") == "granted"
    assert [(row.holder, row.epoch) for row in other.seen().leases] == [("two", 2)]


def test_an_engine_that_leaves_keeps_only_what_is_firm(desk: Desk) -> None:
    other = Desk(desk.store, "two")
    for key in "abc":
        desk.ask(key)
    desk.confirm("a")
    desk.ask("d")
    other.ask("e")
    desk.tables.leave(first_come).result()
    assert other.held() == ["a", "e"]
    assert other.waiting() == []


def test_withdrawing_spares_what_is_firm(desk: Desk) -> None:
    for key in "abcd":
        desk.ask(key)
    desk.confirm("a")
    assert desk.release("a", unless_firm=True) == "done"
    assert desk.release("b", unless_firm=True) == "done"
    assert desk.release("nobody", unless_firm=True) == "none"
    assert desk.held() == ["a", "c", "d"]


def test_an_ask_over_several_pools_gets_all_or_nothing(desk: Desk) -> None:
    for key in "abc":
        desk.ask(key, pools=("licence",))
    assert desk.ask("both", pools=("db", "licence")) == "waiting"
    assert desk.ask("d") == "granted"
    desk.release("a")
    assert {row.pool for row in desk.seen().leases if row.key == "both"} == {"db", "licence"}
    desk.release("both")
    assert desk.held() == ["b", "c", "d"]


def test_a_person_can_take_a_lease_away(desk: Desk) -> None:
    desk.ask("a")
    desk.confirm("a")
    assert desk.tables.change([Evict("a"), Evict("b")], first_come).result().answers == ("done", "none")
    assert desk.held() == []
    assert desk.confirm("a") == "none"


def test_changes_of_one_transaction_follow_one_another(desk: Desk) -> None:
    ask = Ask("a", "p", "d", (("db", 1),), "x", "n0", 1, "remote")
    changes = [ask, Confirm("a", 1), Release("a", 1), ask, Release("a", 1)]
    answers = desk.tables.change(changes, first_come).result().answers
    assert answers == ("waiting", "none", "done", "waiting", "done")
    assert (desk.held(), desk.waiting()) == ([], [])


def test_a_clock_that_is_set_back_frees_nobody_and_hangs_nobody(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        one, two = Desk(store, "one"), Desk(store, "two")
        one.ask("a")
        two.ask("b")
        one.skew = two.skew = -20.0
        two.review()
        assert two.held() == ["a", "b"]
        one.skew = two.skew = -3600.0
        assert two.tables.someone_is_gone(), "an end in a far future is not believed"
        one.tables.beat().result()
        assert not two.tables.someone_is_gone()


def test_what_decides_and_fails_leaves_no_trace(desk: Desk) -> None:
    def broken(truth: Truth) -> Decision:
        raise ZeroDivisionError

    ask = Ask("a", "p", "d", (("db", 1),), "x", "n0", 1, "remote")
    with pytest.raises(ZeroDivisionError):
        desk.tables.change([ask], broken).result()
    assert (desk.held(), desk.waiting(), desk.tables.turn()) == ([], [], 0)


def test_further_waiters_of_a_line_are_read_when_they_are_wanted(desk: Desk) -> None:
    for number in range(40):
        desk.ask(f"k{number:02}")
    found: list[str] = []

    def look(truth: Truth) -> Decision:
        found.extend(row.key for row in truth.waiters)
        last = truth.waiters[-1]
        found.extend(row.key for row in truth.more(last.line, last.number, 100))
        return Decision()

    desk.tables.change([], look, review=True).result()
    assert found == [f"k{number:02}" for number in range(LIMIT, 40)]


def test_two_engines_that_race_never_hold_more_than_there_is(tmp_path: Path, url: str | None) -> None:
    most = [0]
    stop = threading.Event()

    def watch(home: Callable[[], Store]) -> None:
        with home() as store:
            desk = Desk(store, "watcher")
            while not stop.is_set():
                most[0] = max(most[0], sum(row.tokens for row in desk.seen().leases))

    def work(name: str) -> int:
        done = 0
        with open_store(tmp_path, url=url) as store:
            desk = Desk(store, name)
            for number in range(25):
                key = f"{name}-{number}"
                if desk.ask(key) == "granted":
                    done += 1
                desk.release(key)
        return done

    open_store(tmp_path, url=url).close()
    with ThreadPoolExecutor(5) as pool:
        watching = pool.submit(watch, lambda: open_store(tmp_path, url=url))
        counts = list(pool.map(work, ["one", "two", "three", "four"]))
        stop.set()
        watching.result()
    assert sum(counts) > 25
    assert most[0] <= LIMIT
    with open_store(tmp_path, url=url) as store:
        desk = Desk(store, "after")
        assert (desk.held(), desk.waiting()) == ([], [])
