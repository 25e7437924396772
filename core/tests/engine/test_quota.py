"""Fair sharing, decision by decision: whose turn it is, what holds somebody up, and what is never allowed."""

from __future__ import annotations

import pytest
from flytepath.engine.quota import (
    PASSES,
    PASSES_ACROSS,
    Account,
    Ask,
    Book,
    Lease,
    PoolAsk,
    PoolAskError,
    PoolRule,
    PoolState,
    Waiter,
)
from flytepath.errors import ConfigError
from flytepath.model.identity import Tenant

A, B, C = (Tenant(name, "production") for name in ("a", "b", "c"))


class Desk:
    """Asks in words: the tenant, how many, of which pools."""

    def __init__(self, *rules: PoolRule) -> None:
        self.book = Book(rules)
        self.number = 0

    def ask(self, tenant: Tenant, times: int = 1, *, now: float = 0.0, **pools: int) -> list[str]:
        keys = []
        for _ in range(times):
            self.number += 1
            keys.append(f"{tenant.project}{self.number}")
            asks = [PoolAsk(pool, tokens) for pool, tokens in (pools or {"p": 1}).items()]
            self.book.ask(Ask.of(keys[-1], tenant, asks), self.number, now)
        return keys

    def grants(self, now: float = 0.0) -> list[str]:
        return [lease.ask.key for lease in self.book.grants(now)]

    def release(self, *keys: str, now: float) -> list[str]:
        for key in keys:
            assert self.book.release(key, now)
        return self.grants(now)

    def tenants(self, granted: list[str]) -> str:
        return "".join(key[0] for key in granted)

    def held(self, pool: str = "p") -> str:
        return "".join(f"{tenant.project}{self.book.held(pool, tenant)}" for tenant in (A, B, C))


def test_tenants_take_turns_by_weight() -> None:
    desk = Desk(PoolRule("p", 1, weights={"b": 2.0}))
    desk.ask(A, 20)
    desk.ask(B, 20)
    order, granted = "", desk.grants()
    for second in range(1, 13):
        order += desk.tenants(granted)
        granted = desk.release(*granted, now=float(second))
    assert order.count("b") == 8
    assert order.count("a") == 4
    assert "aa" not in order
    assert "bbb" not in order


def test_equal_levels_go_by_arrival_and_a_tenants_own_by_arrival_too() -> None:
    desk = Desk(PoolRule("p", 1))
    assert desk.ask(B) + desk.ask(A) + desk.ask(B) == ["b1", "a2", "b3"]
    assert desk.grants() == ["b1"]
    assert desk.release("b1", now=0.0) == ["a2"]
    assert desk.release("a2", now=1.0) == ["b3"]


def test_what_comes_free_at_the_same_instant_does_not_go_to_one_tenant() -> None:
    """What runs is charged at once with what it is expected to take."""
    desk = Desk(PoolRule("p", 6))
    for tenant in (A, B, C):
        desk.ask(tenant, 6)
    desk.grants()
    assert desk.held() == "a2b2c2"


def test_whoever_was_idle_has_earned_nothing_and_whoever_borrowed_owes_nothing() -> None:
    desk = Desk(PoolRule("p", 2))
    desk.ask(A, 200)
    running = desk.grants()
    for second in range(1, 41):
        running = desk.release(*running, now=float(second))
    desk.ask(B, 100, now=40.0)
    order = ""
    for second in range(41, 61):
        running = desk.release(*running, now=float(second))
        order += desk.tenants(running)
    assert abs(order.count("a") - order.count("b")) <= 2
    assert "aaaa" not in order
    assert "bbbb" not in order


def test_borrowed_tokens_come_back_as_jobs_end_and_nobody_is_evicted() -> None:
    desk = Desk(PoolRule("p", 4))
    lent = desk.ask(A, 4)
    assert desk.grants() == lent
    desk.ask(A, 10, now=9.9)
    wanted = desk.ask(B, 10, now=9.9)
    assert desk.grants(9.9) == []
    assert desk.release(lent[0], now=10.0) == wanted[:1]
    desk.release(*lent[1:], now=10.0)
    assert desk.held() == "a2b2c0"


def test_a_job_that_takes_longer_than_expected_counts_while_it_runs() -> None:
    desk = Desk(PoolRule("p", 2))
    (long,) = desk.ask(A)
    desk.ask(B, 30)
    desk.ask(A, 30)
    running, order = desk.grants()[1:], ""
    for second in range(1, 21):
        running = desk.release(*running, now=float(second))
        order += desk.tenants(running)
    assert long in desk.book.leases
    assert order.count("b") >= 18


def test_caps_hold_for_a_domain_and_for_the_sum_of_a_project() -> None:
    staging = Tenant("a", "staging")
    desk = Desk(PoolRule("p", 10, caps={"a": 3, "a/staging": 1}))
    desk.ask(staging, 4)
    desk.ask(A, 4)
    desk.grants()
    assert (desk.book.held("p", staging), desk.book.held("p", A)) == (1, 2)
    desk.ask(B, 9)
    desk.grants()
    assert desk.held() == "a2b7c0"
    standing = desk.book.standing("a2", 0.0)
    assert standing is not None
    assert (standing.blocker, standing.position, standing.pool) == ("cap a", 1, "p")
    assert standing.reason == "a may hold 3 of 'p' at once"


def test_what_a_cap_holds_back_earns_no_credit() -> None:
    desk = Desk(PoolRule("p", 4, caps={"a": 1}))
    desk.ask(A, 100)
    desk.ask(B, 100)
    running = desk.grants()
    for second in range(1, 21):
        running = desk.release(*running, now=float(second))
    desk.book.set_rule(PoolRule("p", 4), 20.0)
    order = ""
    for second in range(21, 26):
        running = desk.release(*running, now=float(second))
        order += desk.tenants(running)
    assert order.count("a") <= 12


def test_an_ask_of_several_pools_is_granted_whole_or_not_at_all() -> None:
    desk = Desk(PoolRule("p", 5), PoolRule("q", 1))
    both = desk.ask(A, 2, p=1, q=1)
    assert desk.grants() == [both[0]]
    assert (desk.book.held("p"), desk.book.held("q")) == (1, 1)
    standing = desk.book.standing(both[1], 0.0)
    assert standing is not None
    assert (standing.pool, standing.reason, standing.blocker) == ("q", "all 1 of 'q' is held", "a/production holds 1")
    assert desk.release(both[0], now=1.0) == [both[1]]


def test_who_lacks_another_pool_or_is_capped_holds_up_nobody() -> None:
    desk = Desk(PoolRule("p", 2, caps={"c": 1}), PoolRule("q", 1))
    stuck = desk.ask(C, p=1, q=1)
    assert desk.grants() == stuck
    desk.ask(A, 5, p=1, q=1)
    desk.ask(C, 5, p=1)
    served = desk.ask(B, 200, p=1)
    running = desk.grants()
    for second in range(1, 150):
        assert running == [served[second - 1]]
        running = desk.release(*running, now=float(second))


def test_a_tenants_small_asks_do_not_wait_behind_its_blocked_ones() -> None:
    desk = Desk(PoolRule("p", 2), PoolRule("q", 0))
    blocked = desk.ask(A, p=1, q=1)
    free = desk.ask(A, 2, p=1)
    assert desk.grants() == free
    standing = desk.book.standing(blocked[0], 0.0)
    assert standing is not None
    assert standing.reason == "'q' is closed: its limit is 0"


@pytest.mark.parametrize("small", [A, B])
def test_a_large_ask_is_passed_over_a_stated_number_of_times(small: Tenant) -> None:
    """By others' small asks, and by those of its own tenant."""
    desk = Desk(PoolRule("p", 4))
    running = desk.ask(small, 4)
    assert desk.grants() == running
    (large,) = desk.ask(A, p=4)
    desk.ask(small, 100)
    second, before = 0.0, 0
    while running and large not in desk.book.leases:
        second += 1.0
        running = running[1:] + (granted := desk.release(running[0], now=second))
        before += len(set(granted) - {large})
        assert before < 20
    assert before <= PASSES + 1
    assert large in desk.book.leases
    assert desk.book.held("p") == 4


def test_while_tokens_are_kept_for_a_large_ask_the_others_are_told_so() -> None:
    desk = Desk(PoolRule("p", 2))
    running = desk.ask(B, 2)
    desk.grants()
    (large,) = desk.ask(A, p=2)
    waiting = desk.ask(B, 30)
    for second in range(1, PASSES + 4):
        granted = desk.release(running[0], now=float(second))
        running = [*running[1:], *granted]
        if not granted:
            break
    standing = desk.book.standing(waiting[-1], 20.0)
    assert standing is not None
    assert standing.blocker == large
    assert standing.reason == "what comes free of 'p' is kept for one that was passed over too often"
    desk.book.withdraw(large)
    assert len(desk.grants(21.0)) == 1


def test_pools_that_are_never_free_together_do_not_starve_who_needs_both() -> None:
    desk = Desk(PoolRule("p", 1), PoolRule("q", 1))
    p_now, q_now = desk.ask(A, p=1), desk.ask(B, q=1)
    assert desk.grants() == [*p_now, *q_now]
    (both,) = desk.ask(C, p=1, q=1)
    desk.ask(A, 500, p=1)
    desk.ask(B, 500, q=1)
    second = 0.0
    while both not in desk.book.leases:
        second += 1.0
        if p_now:
            p_now = desk.release(*p_now, now=second)
        if q_now:
            q_now = desk.release(*q_now, now=second + 0.5)
        granted = [*p_now, *q_now]
        p_now = [key for key in granted if key[0] == "a"]
        q_now = [key for key in granted if key[0] == "b"]
        assert second <= PASSES_ACROSS + 3
    assert desk.book.held("p") == desk.book.held("q") == 1


def test_nothing_of_a_fast_pool_is_kept_while_a_slow_one_is_waited_for() -> None:
    desk = Desk(PoolRule("fast", 1), PoolRule("slow", 1))
    slow = desk.ask(B, slow=1)
    fast = desk.ask(A, fast=1)
    assert desk.grants() == [*fast, *slow] or desk.book.held("slow") == 1
    (both,) = desk.ask(C, fast=1, slow=1)
    desk.ask(A, 2000, fast=1)
    desk.ask(B, 10, slow=1)
    now, idle = 0.0, 0
    for number in range(1, 1500):
        now = float(number)
        if number % 300 == 0 and slow:
            slow = [key for key in desk.release(*slow, now=now) if key[0] == "b"]
        fast = [key for key in desk.release(*fast, now=now) if key[0] == "a"]
        idle += not fast
        if both in desk.book.leases:
            break
    assert both in desk.book.leases
    assert idle <= 1


def test_nothing_is_kept_for_one_whose_other_pool_is_closed() -> None:
    desk = Desk(PoolRule("p", 1), PoolRule("q", 0))
    running = desk.ask(A, p=1)
    desk.grants()
    desk.ask(C, p=1, q=1)
    desk.ask(A, 300, p=1)
    for second in range(1, 2 * PASSES_ACROSS):
        running = desk.release(*running, now=float(second))
        assert len(running) == 1


def test_a_lowered_limit_grants_nothing_until_it_fits_and_evicts_nobody() -> None:
    desk = Desk(PoolRule("p", 4))
    held = desk.ask(A, 4)
    assert desk.grants() == held
    waiting = desk.ask(B, 2)
    desk.book.set_rule(PoolRule("p", 2), 1.0)
    assert desk.grants(1.0) == []
    assert desk.release(*held[:2], now=2.0) == []
    assert desk.release(held[2], now=3.0) == waiting[:1]
    desk.book.set_rule(PoolRule("p", 3), 4.0)
    assert desk.grants(4.0) == waiting[1:]


def test_a_closed_pool_waits_until_it_opens() -> None:
    desk = Desk(PoolRule("p", 0))
    keys = desk.ask(A, p=5)
    assert desk.grants() == []
    desk.book.set_rule(PoolRule("p", 5), 1.0)
    assert desk.grants(1.0) == keys


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        ([PoolAsk("p", 6)], "at most 5, the limit of the pool"),
        ([PoolAsk("p", 3), PoolAsk("p", 3)], "at most 5, the limit of the pool"),
        ([PoolAsk("p", 4)], "at most 3, the cap of a"),
        ([PoolAsk("p", 3)], "at most 2, the cap of a/production"),
        ([PoolAsk("p", 0)], "at least 1"),
        ([PoolAsk("p", -1)], "at least 1"),
        ([PoolAsk("r")], "p"),
    ],
)
def test_what_can_never_be_granted_is_an_error_at_once(asks: list[PoolAsk], expected: str) -> None:
    book = Book([PoolRule("p", 5, caps={"a": 3, "a/production": 2})])
    with pytest.raises(PoolAskError) as caught:
        book.ask(Ask.of("k", A, asks), 1, 0.0)
    assert caught.value.expected == expected
    assert not book.waiters


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"limit": -1}, "pools.p.limit"),
        ({"limit": 1, "weights": {"a": 0.0}}, "pools.p.weights.a"),
        ({"limit": 1, "weights": {"a": float("nan")}}, "pools.p.weights.a"),
        ({"limit": 1, "caps": {"a/b": -2}}, "pools.p.caps.a/b"),
    ],
)
def test_a_rule_that_makes_no_sense_is_an_error(arguments: dict[str, object], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PoolRule("p", **arguments)  # type: ignore[arg-type]
    assert caught.value.place == place


def test_asking_withdrawing_and_releasing_may_be_repeated() -> None:
    desk = Desk(PoolRule("p", 1))
    ask = Ask.of("k", A, [PoolAsk("p")])
    desk.book.ask(ask, 1, 0.0)
    desk.book.ask(ask, 2, 0.0)
    assert desk.grants() == ["k"]
    desk.book.ask(ask, 3, 0.0)
    assert desk.grants() == []
    assert [desk.book.release("k", 1.0), desk.book.release("k", 2.0), desk.book.withdraw("k")] == [True, False, False]
    assert desk.book.held("p") == 0
    assert desk.book.account("p", A).served == 1.0


def test_whoever_withdraws_is_not_granted_and_its_place_is_gone() -> None:
    desk = Desk(PoolRule("p", 1))
    first, second, third = desk.ask(A, 3)
    assert desk.book.withdraw(second)
    assert desk.book.withdraw(first)
    assert desk.book.standing(second, 0.0) is None
    assert desk.grants() == [third]


def test_positions_count_within_the_own_line() -> None:
    desk = Desk(PoolRule("p", 1))
    desk.ask(B)
    desk.grants()
    keys = desk.ask(A, 3)
    found = [desk.book.standing(key, 0.0) for key in keys]
    assert [standing.position for standing in found if standing] == [1, 2, 3]
    assert {standing.blocker for standing in found if standing} == {"b/production holds 1"}
    assert {standing.reason for standing in found if standing} == {"all 1 of 'p' is held"}


def test_jobs_that_ran_on_while_nobody_else_wanted_their_tokens_are_not_held_against_anyone() -> None:
    """Also where they take a thousand times longer than anybody could expect."""
    desk = Desk(PoolRule("p", 4))
    lent = desk.ask(A, 4)
    assert desk.grants() == lent
    desk.ask(A, 20, now=4000.0)
    desk.ask(B, 20, now=4000.0)
    running = desk.release(*lent, now=4000.0)
    order = desk.tenants(running)
    for second in range(1, 5):
        running = desk.release(*running, now=4000.0 + second)
        order += desk.tenants(running)
    # One at a time until it is known that its jobs have become short, but not none.
    assert order.count("a") >= 5
    assert "bbbb" not in order


def test_a_clock_set_back_charges_nothing_and_breaks_nothing() -> None:
    desk = Desk(PoolRule("p", 1))
    keys = desk.ask(A, 3, now=100.0)
    assert desk.grants(100.0) == keys[:1]
    assert desk.release(keys[0], now=50.0) == keys[1:2]
    account = desk.book.account("p", A)
    assert account.served == 0.0
    assert account.vtime >= 0.0


def test_what_changed_is_told_once() -> None:
    desk = Desk(PoolRule("p", 1), PoolRule("q", 1))
    keys = desk.ask(A, 2)
    desk.grants()
    assert set(desk.book.changes().accounts) == {("p", A)}
    desk.release(keys[0], now=3.0)
    changes = desk.book.changes()
    assert set(changes.pools) == {"p"}
    assert changes.pools["p"].mean_seconds == 3.0
    assert changes.accounts["p", A].served == 3.0
    assert desk.book.changes().accounts == {}


def test_tenants_that_come_start_at_the_time_the_pool_has_reached() -> None:
    accounts = {("p", A): Account(vtime=1000.0, mean_seconds=1.0)}
    book = Book([PoolRule("p", 1)], states={"p": PoolState(vtime=900.0)}, accounts=accounts)
    book.ask(Ask.of("b", B, [PoolAsk("p")]), 2, 0.0)
    book.ask(Ask.of("a", A, [PoolAsk("p")]), 1, 0.0)
    assert [lease.ask.key for lease in book.grants(0.0)] == ["b"]
    assert book.account("p", B).vtime == 900.0


def test_what_ran_on_while_nobody_waited_is_not_held_against_whoever_asks_again() -> None:
    desk = Desk(PoolRule("p", 4))
    lent = desk.ask(A, 4)
    assert desk.grants() == lent
    desk.ask(B, 20, now=4000.0)
    desk.ask(A, 20, now=4000.0)
    order = desk.tenants(desk.release(*lent, now=4000.0))
    assert "a" in order


def test_a_job_that_has_just_begun_counts_with_what_it_is_expected_to_take() -> None:
    accounts = {("p", A): Account(0.0, mean_seconds=100.0), ("p", B): Account(20.0, mean_seconds=1.0)}
    book = Book(
        [PoolRule("p", 2)],
        accounts=accounts,
        leases=[Lease(Ask.of("a1", A, [PoolAsk("p")]), granted_at=9.0)],
        waiters=[Waiter(Ask.of("a2", A, [PoolAsk("p")]), 1), Waiter(Ask.of("b1", B, [PoolAsk("p")]), 2)],
    )
    assert [lease.ask.key for lease in book.grants(10.0)] == ["b1"]


def test_an_ask_of_several_pools_waits_for_its_turn_in_each_of_them() -> None:
    book = Book(
        [PoolRule("p", 1), PoolRule("q", 1)],
        accounts={("q", C): Account(100.0, mean_seconds=1.0), ("q", B): Account(0.0, mean_seconds=1.0)},
        waiters=[
            Waiter(Ask.of("both", C, [PoolAsk("p"), PoolAsk("q")]), 1),
            Waiter(Ask.of("one", B, [PoolAsk("q")]), 2),
        ],
    )
    assert [lease.ask.key for lease in book.grants(0.0)] == ["one"]
    book.release("one", 1.0)
    assert [lease.ask.key for lease in book.grants(1.0)] == ["both"]


def test_a_book_made_of_its_parts_forgets_what_a_cap_has_held_back_too() -> None:
    book = Book(
        [PoolRule("p", 3, caps={"a": 1})],
        states={"p": PoolState(vtime=100.0, mean_seconds=1.0)},
        accounts={("p", A): Account(0.0, mean_seconds=1.0), ("p", B): Account(100.0, mean_seconds=1.0)},
        leases=[Lease(Ask.of("a1", A, [PoolAsk("p")]), granted_at=0.0)],
        waiters=[Waiter(Ask.of("a2", A, [PoolAsk("p")]), 1), Waiter(Ask.of("b1", B, [PoolAsk("p")]), 2)],
    )
    assert [lease.ask.key for lease in book.grants(0.0)] == ["b1"]
    assert book.changes().accounts["p", A].vtime == 99.0
