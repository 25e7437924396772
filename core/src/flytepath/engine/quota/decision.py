"""Between the rows of the store and the policy: reads a book from the one, and lets the other decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, Protocol

from flytepath.engine.quota import Book
from flytepath.engine.quota.rules import Account, Ask, Lease, Line, PoolAskError, PoolRule, PoolState, Waiter
from flytepath.model.identity import Tenant
from flytepath.plugin.plans import PoolAsk
from flytepath.store.quota_rows import AccountRow, Asks, Decision, LeaseRow, PoolRow, Truth, WaiterRow


class Rules(Protocol):
    """What is known of pools."""

    def find(self, pool: str) -> PoolRule | None:
        """The rule of a pool; ``None`` where nobody declared it."""


#: How many pools a book is kept of. Each is looked at in every decision.
KEPT_POOLS: Final = 64


def decide(truth: Truth, rules: Rules) -> Decision:
    """Who is granted what.

    What concerns a pool that these rules do not know is left to engines that know it.
    """
    return _OpenBook(truth, rules).decide(truth)


class BookKeeper:
    """Decides as :func:`decide` does, and keeps the book that was read for as long as nobody else changes anything.

    What has been decided becomes known under a stamp that was drawn for it: only who finds that very stamp again, with
    the same rules, goes on with its book. A transaction that came to nothing, or somebody else's, means another stamp.
    """

    def __init__(self) -> None:
        self._book: _OpenBook | None = None
        self._stamp: int | None = None

    def decide(self, truth: Truth, rules: Rules) -> Decision:
        """Who is granted what."""
        book, self._book = self._book, None
        is_current = book is not None and truth.before is not None and truth.before == self._stamp
        if book is None or not is_current or not book.can_go_on(truth, rules):
            # Two that alternate would read all of the other's pools, too, each time.
            also = book.names if book is not None and is_current and len(book.names) < KEPT_POOLS else ()
            book = _OpenBook(truth, rules, also)
        decision = book.decide(truth)
        if book.is_whole:
            self._book, self._stamp = book, truth.after
        return decision


class _OpenBook:
    """A book and the rows it is made of.

    Args:
        truth: where they are read.
        rules: the pools.
        also: names of further pools it is to know.
    """

    def __init__(self, truth: Truth, rules: Rules, also: Iterable[str] = ()) -> None:
        read = truth.rows(also)
        names = {pool for row in (*read.waiters, *truth.new) for pool, _ in row.asks}
        names.update(row.pool for row in read.leases)
        self._found = {name: rules.find(name) for name in sorted(names)}
        self._known = {name: rule for name, rule in self._found.items() if rule is not None}
        before = [row for row in read.waiters if self._knows(row.asks)]
        self._rows = {row.key: row for row in before}
        self._names: dict[Line, str] = {
            ask_of(row).line: name for name, row in {row.line: row for row in before}.items()
        }
        self._book = book_of(self._known.values(), read.pools.values(), read.accounts, read.leases, before, self._more)
        self._fetch = truth.more
        self._now = truth.now
        #: Whether it may be gone on with: nothing of its pools is missing.
        self.is_whole = read.is_whole

    @property
    def names(self) -> list[str]:
        """The pools it knows."""
        return list(self._known)

    def can_go_on(self, truth: Truth, rules: Rules) -> bool:
        """Whether this is the book of what is true but for what happens now."""
        return (
            truth.now >= self._now
            and truth.touched <= self._known.keys()
            and all(key in self._book.leases for key in truth.released)
            and all(rules.find(name) == rule for name, rule in self._found.items())
        )

    def decide(self, truth: Truth) -> Decision:
        """Who is granted what, once what happens now has happened."""
        book, rows = self._book, self._rows
        self._fetch, self._now = truth.more, truth.now
        for key in truth.released:
            book.release(key, truth.now)
        for key in truth.dropped:
            if book.withdraw(key):
                del rows[key]
        for row in truth.new:
            if self._knows(row.asks):
                try:
                    book.ask(ask_of(row), row.number, truth.now)
                except PoolAskError:  # a limit was lowered in this moment: it waits, as others that are too large now
                    self.is_whole = False
                    continue
                rows[row.key] = row
        granted = [rows.pop(lease.ask.key) for lease in book.grants(truth.now)]
        changes = book.changes()
        return Decision(
            granted=granted,
            pools=[PoolRow(name, state.vtime, state.mean_seconds) for name, state in sorted(changes.pools.items())],
            accounts=[
                AccountRow(pool, tenant.project, tenant.domain, account.vtime, account.mean_seconds, account.served)
                for (pool, tenant), account in changes.accounts.items()
            ],
            passed=dict(changes.passed),
        )

    def _more(self, line: Line, after: int, count: int) -> Sequence[Waiter]:
        found = self._fetch(self._names[line], after, count)
        self._rows.update((row.key, row) for row in found)
        return [waiter_of(row) for row in found]

    def _knows(self, asks: Asks) -> bool:
        return all(pool in self._known for pool, _ in asks)


def book_of(
    rules: Iterable[PoolRule],
    pools: Iterable[PoolRow],
    accounts: Iterable[AccountRow],
    leases: Iterable[LeaseRow],
    waiters: Iterable[WaiterRow],
    more: Callable[[Line, int, int], Sequence[Waiter]] | None = None,
) -> Book:
    """The book that rows tell of."""
    return Book(
        rules,
        states={row.pool: PoolState(row.vtime, row.mean_seconds) for row in pools},
        accounts={
            (row.pool, tenant_of(row.project, row.domain)): Account(row.vtime, row.mean_seconds, row.served)
            for row in accounts
        },
        leases=leases_of(leases),
        waiters=[waiter_of(row) for row in waiters],
        more=more,
    )


def ask_of(row: WaiterRow) -> Ask:
    """What a row asks for."""
    return Ask(row.key, tenant_of(row.project, row.domain), _tokens(row.asks))


def waiter_of(row: WaiterRow) -> Waiter:
    """One that waits."""
    return Waiter(ask_of(row), row.number, row.asked_at, row.passed)


def leases_of(rows: Iterable[LeaseRow]) -> list[Lease]:
    """Leases, each with all of its pools that are among the rows."""
    together: dict[str, list[LeaseRow]] = {}
    for row in rows:
        together.setdefault(row.key, []).append(row)
    return [
        Lease(
            Ask(
                key, tenant_of(held[0].project, held[0].domain), _tokens(tuple((row.pool, row.tokens) for row in held))
            ),
            held[0].granted_at,
        )
        for key, held in together.items()
    ]


@lru_cache(maxsize=4096)
def tenant_of(project: str, domain: str) -> Tenant:
    """The tenant of a row, made once."""
    return Tenant(project, domain)


@lru_cache(maxsize=4096)
def _tokens(asks: Asks) -> tuple[PoolAsk, ...]:
    return tuple(PoolAsk(pool, tokens) for pool, tokens in sorted(asks))
