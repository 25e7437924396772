"""Fair sharing under any schedule of asks and releases, of one book, and of one made anew from its parts each time."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest
from flytepath.engine.quota import (
    PASSES,
    Account,
    Ask,
    Book,
    Lease,
    Line,
    PoolAsk,
    PoolRule,
    PoolState,
    Waiter,
)
from flytepath.model.identity import Tenant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TENANTS = [Tenant(project, domain) for project in ("a", "b", "c") for domain in ("x", "y")]
POOLS = ("p", "q")


class Whole:
    """One book for everything."""

    def __init__(self, rules: list[PoolRule]) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.book = Book(rules)
        self.fetched = 0

    def opened(self) -> Book:
        return self.book

    def closed(self, book: Book) -> None:
        book.changes()

    @property
    def leases(self) -> dict[str, Lease]:
        return dict(self.book.leases)

    @property
    def waiters(self) -> dict[str, Waiter]:
        return dict(self.book.waiters)


class Parts(Whole):
    """What a store does: rows, of which a book is made for one decision, with two waiters of each line."""

    FEW = 2

    def __init__(self, rules: list[PoolRule]) -> None:
        super().__init__(rules)
        self._states: dict[str, PoolState] = {}
        self._accounts: dict[tuple[str, Tenant], Account] = {}
        self._leases: dict[str, Lease] = {}
        self._waiters: dict[str, Waiter] = {}

    def opened(self) -> Book:
        lines: dict[Line, list[Waiter]] = {}
        for waiter in sorted(self._waiters.values(), key=lambda each: each.number):
            lines.setdefault(waiter.ask.line, []).append(copy(waiter))
        self._read = [waiter.ask.key for line in lines.values() for waiter in line[: self.FEW]]
        return Book(
            self.rules.values(),
            states={name: copy(state) for name, state in self._states.items()},
            accounts={key: copy(account) for key, account in self._accounts.items()},
            leases=self._leases.values(),
            waiters=[waiter for line in lines.values() for waiter in line[: self.FEW]],
            more=self.more,
        )

    def more(self, line: Line, after: int, count: int) -> list[Waiter]:
        self.fetched += 1
        behind = [copy(each) for each in self._waiters.values() if each.ask.line == line and each.number > after]
        found = sorted(behind, key=lambda each: each.number)[:count]
        self._read += [waiter.ask.key for waiter in found]
        return found

    def closed(self, book: Book) -> None:
        for key in self._read:
            if key not in book.waiters:
                self._waiters.pop(key, None)
        for key, waiter in book.waiters.items():
            self._waiters.setdefault(key, Waiter(waiter.ask, waiter.number, waiter.asked_at))
        self._leases = dict(book.leases)
        changes = book.changes()
        self._states |= {name: copy(state) for name, state in changes.pools.items()}
        self._accounts |= {key: copy(account) for key, account in changes.accounts.items()}
        for key, passed in changes.passed.items():
            self._waiters[key].passed = passed

    @property
    def leases(self) -> dict[str, Lease]:
        return self._leases

    @property
    def waiters(self) -> dict[str, Waiter]:
        return self._waiters


def tokens_held(leases: dict[str, Lease], pool: str, whose: str = "") -> int:
    return sum(
        each.tokens
        for lease in leases.values()
        for each in lease.ask.tokens
        if each.pool == pool and whose in ("", lease.ask.tenant.project, str(lease.ask.tenant))
    )


def fits(ask: Ask, leases: dict[str, Lease], rules: dict[str, PoolRule]) -> bool:
    for each in ask.tokens:
        rule = rules[each.pool]
        if tokens_held(leases, each.pool) + each.tokens > rule.limit:
            return False
        for name, cap in rule.caps_of(ask.tenant):
            if tokens_held(leases, each.pool, name) + each.tokens > cap:
                return False
    return True


class Schedule:
    """Does one thing after the other and checks what must hold in between."""

    def __init__(self, desk: Whole) -> None:
        self.desk = desk
        self.now = 0.0
        self.number = 0

    def step(self, kind: str, what: int, tokens: dict[str, int], seconds: float) -> None:
        self.now += seconds
        book = self.desk.opened()
        if kind == "ask":
            tenant = TENANTS[what % len(TENANTS)]
            ask = Ask.of(f"k{self.number}", tenant, [PoolAsk(pool, count) for pool, count in tokens.items()])
            self.number += 1
            book.ask(ask, self.number, self.now)
        elif kind == "release" and book.leases:
            assert book.release(sorted(book.leases)[what % len(book.leases)], self.now)
        elif kind == "withdraw" and book.waiters:
            assert book.withdraw(sorted(book.waiters)[what % len(book.waiters)])
        self.decide(book)

    def decide(self, book: Book) -> None:
        before = dict(book.leases)
        granted = book.grants(self.now)
        assert dict(book.leases) == {**before, **{lease.ask.key: lease for lease in granted}}
        assert not book.grants(self.now)
        self.desk.closed(book)
        self.check(book)

    def check(self, book: Book) -> None:
        leases, waiters, rules = self.desk.leases, self.desk.waiters, self.desk.rules
        assert not leases.keys() & waiters.keys()
        for pool, rule in rules.items():
            assert tokens_held(leases, pool) == book.held(pool) <= rule.limit
            for name, cap in rule.caps.items():
                assert tokens_held(leases, pool, name) <= cap
        heads: dict[Line, Waiter] = {}
        for waiter in sorted(waiters.values(), key=lambda each: each.number):
            heads.setdefault(waiter.ask.line, waiter)
        for waiter in heads.values():
            if fits(waiter.ask, leases, rules):
                standing = book.standing(waiter.ask.key, self.now)
                assert standing is not None
                assert "is kept" in standing.reason, "something is free and fits"
                assert waiters[standing.blocker].passed >= PASSES
            assert book.standing(waiter.ask.key, self.now)

    def drain(self) -> None:
        """Everybody is served in the end, whatever was asked: the one that runs for longest ends."""
        rounds = 0
        while self.desk.waiters or self.desk.leases:
            rounds += 1
            assert rounds < 1000
            self.now += 1.0
            book = self.desk.opened()
            if book.leases:
                book.release(min(book.leases.values(), key=lambda lease: lease.granted_at).ask.key, self.now)
            self.decide(book)
        assert all(self.desk.opened().held(pool) == 0 for pool in POOLS)


steps = st.tuples(
    st.sampled_from(["ask", "ask", "ask", "release", "release", "withdraw"]),
    st.integers(0, 50),
    st.dictionaries(st.sampled_from(POOLS), st.integers(1, 3), min_size=1),
    st.sampled_from([0.0, 0.0, 0.5, 3.0]),
)
rules = st.tuples(
    *(
        st.builds(
            PoolRule,
            st.just(pool),
            st.integers(3, 5),
            st.dictionaries(st.sampled_from(["a", "b/x"]), st.sampled_from([0.25, 3.0])),
            st.dictionaries(st.sampled_from(["a", "a/x", "c"]), st.integers(3, 4)),
        )
        for pool in POOLS
    )
)


@pytest.mark.parametrize("kind", [Whole, Parts])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(pools=rules, schedule=st.lists(steps, max_size=60))
def test_nothing_is_exceeded_lost_starved_or_left_idle(kind: type[Whole], pools: Any, schedule: list[Any]) -> None:
    run = Schedule(kind(list(pools)))
    for step in schedule:
        run.step(*step)
    run.drain()


@settings(max_examples=60, deadline=None)
@given(larges=st.integers(1, 3), limit=st.integers(2, 5), lengths=st.lists(st.floats(0.1, 3.0), min_size=8, max_size=8))
def test_a_large_ask_is_passed_over_no_more_often_than_stated(larges: int, limit: int, lengths: list[float]) -> None:
    book = Book([PoolRule("p", limit)])
    number = 0

    def ask(tenant: Tenant, tokens: int, now: float) -> str:
        nonlocal number
        number += 1
        book.ask(Ask.of(f"k{number}", tenant, [PoolAsk("p", tokens)]), number, now)
        return f"k{number}"

    for _ in range(4 * limit):
        ask(TENANTS[number % 4], 1, 0.0)
    running = {lease.ask.key: lengths[at % 8] for at, lease in enumerate(book.grants(0.0))}
    waiting = {ask(TENANTS[4], limit, 0.0) for _ in range(larges)}
    now, seen = 0.0, 0
    while waiting:
        key = min(running, key=lambda each: (running[each], each))
        now = max(now, running.pop(key))
        book.release(key, now)
        ask(TENANTS[number % 4], 1, now)
        for lease in book.grants(now):
            seen += 1
            running[lease.ask.key] = now + lengths[seen % 8]
            waiting.discard(lease.ask.key)
        assert all(book.waiters[each].passed <= PASSES for each in waiting)
        assert seen < 1000


def test_further_waiters_of_a_line_are_fetched_when_those_that_are_known_are_used_up() -> None:
    desk = Parts([PoolRule("p", 100), PoolRule("q", 1)])
    run = Schedule(desk)
    for _ in range(3):
        run.step("ask", 0, {"q": 1}, 0.0)
    desk._waiters |= {
        f"late{number}": Waiter(Ask.of(f"late{number}", TENANTS[1], [PoolAsk("p")]), 1000 + number)
        for number in range(120)
    }
    book = desk.opened()
    granted = [lease.ask.key for lease in book.grants(5.0)]
    assert granted == [f"late{number}" for number in range(100)]
    assert 3 <= desk.fetched <= 5
    desk.closed(book)
    assert len(desk.waiters) == 2 + 20


def test_who_asks_in_a_line_of_which_a_part_is_known_stands_at_its_end() -> None:
    desk = Parts([PoolRule("p", 1)])
    desk._waiters = {f"w{n}": Waiter(Ask.of(f"w{n}", TENANTS[0], [PoolAsk("p")]), n) for n in range(1, 41)}
    book = desk.opened()
    book.ask(Ask.of("last", TENANTS[0], [PoolAsk("p")]), 41, 0.0)
    order = []
    while leases := book.grants(0.0):
        order += [lease.ask.key for lease in leases]
        book.release(order[-1], 0.0)
    assert order == [*(f"w{n}" for n in range(1, 41)), "last"]


def water_filled(weights: list[float], caps: list[int | None], limit: int) -> list[float]:
    """The reference: what each gets of a fluid, by weight, where what some may not use is shared by the rest."""
    shares = [0.0] * len(weights)
    left, open_to = float(limit), set(range(len(weights)))
    while open_to:
        total = sum(weights[each] for each in open_to)
        full = {each for each in open_to if (cap := caps[each]) is not None and cap <= left * weights[each] / total}
        for each in full or open_to:
            cap = caps[each]
            shares[each] = float(cap) if full and cap is not None else left * weights[each] / total
        left -= sum(shares[each] for each in full)
        open_to = open_to - full if full else set()
    return shares


@settings(max_examples=30, deadline=None)
@given(
    weights=st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=2, max_size=6),
    caps=st.lists(st.none() | st.integers(1, 3), min_size=6, max_size=6),
    limit=st.integers(1, 8),
    lengths=st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=6, max_size=6),
)
def test_in_the_long_run_everybody_gets_at_least_the_share_that_a_fluid_would_be_divided_into(
    weights: list[float], caps: list[int | None], limit: int, lengths: list[float]
) -> None:
    tenants = [Tenant(f"t{number}") for number in range(len(weights))]
    rule = PoolRule(
        "p",
        limit,
        {tenant.project: weight for tenant, weight in zip(tenants, weights, strict=True)},
        {tenant.project: cap for tenant, cap in zip(tenants, caps, strict=False) if cap is not None},
    )
    book = Book([rule])
    number, now, ends = 0, 0.0, {}

    def ask(index: int) -> None:
        nonlocal number
        number += 1
        book.ask(Ask.of(f"k{number}", tenants[index], [PoolAsk("p")]), number, now)

    for index in range(len(tenants)):
        for _ in range(limit + 1):
            ask(index)
    seconds = 200.0
    while now < seconds:
        while leases := book.grants(now):
            for lease in leases:
                index = tenants.index(lease.ask.tenant)
                ends[lease.ask.key] = now + lengths[index]
                ask(index)
        now = min(ends.values())
        for key in [key for key, end in ends.items() if end <= now]:
            del ends[key]
            book.release(key, now)
    shares = water_filled(weights, list(caps[: len(weights)]), limit)
    for tenant, share in zip(tenants, shares, strict=True):
        served = book.account("p", tenant).served
        # Jobs are no fluid: one whose cap is about its share cannot make up for a token that came late.
        if rule.cap(tenant) is None:
            assert served >= 0.97 * share * seconds - 6.0
        else:
            assert served >= 0.7 * share * seconds - 6.0
