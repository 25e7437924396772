"""Between the rows of the store and the policy: reads a book from the one, and lets the other decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Protocol

from flytepath.engine.quota import Book
from flytepath.engine.quota_rules import Account, Ask, Lease, Line, PoolAskError, PoolRule, PoolState, Waiter
from flytepath.model.identity import Tenant
from flytepath.plugin.backend import PoolAsk
from flytepath.store.quota_rows import AccountRow, Asks, Decision, LeaseRow, PoolRow, Truth, WaiterRow


class Rules(Protocol):
    """What is known of pools."""

    def find(self, pool: str) -> PoolRule | None:
        """The rule of a pool; ``None`` where nobody declared it."""


def decide(truth: Truth, rules: Rules) -> Decision:
    """Who is granted what.

    What concerns a pool that these rules do not know is left to engines that know it.
    """
    rows = {row.key: row for row in (*truth.waiters, *truth.new)}
    names: dict[Line, str] = {}

    def more(line: Line, after: int, count: int) -> Sequence[Waiter]:
        found = truth.more(names[line], after, count)
        rows.update((row.key, row) for row in found)
        return [waiter_of(row) for row in found]

    known = _known(truth, rules)
    before = [row for row in truth.waiters if _is_known(row.asks, known)]
    names.update((ask_of(row).line, name) for name, row in {row.line: row for row in before}.items())
    book = book_of(known.values(), truth.pools.values(), truth.accounts, truth.leases, before, more)
    for key in truth.released:
        book.release(key, truth.now)
    for row in truth.new:
        if _is_known(row.asks, known):
            try:
                book.ask(ask_of(row), row.number, truth.now)
            except PoolAskError:  # a limit was lowered in this moment: it waits, as others that are too large now
                continue
    granted = [rows[lease.ask.key] for lease in book.grants(truth.now)]
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


def _known(truth: Truth, rules: Rules) -> dict[str, PoolRule]:
    names = {pool for row in (*truth.waiters, *truth.new) for pool, _ in row.asks}
    names.update(row.pool for row in truth.leases)
    found = {name: rules.find(name) for name in sorted(names)}
    return {name: rule for name, rule in found.items() if rule is not None}


def _is_known(asks: Asks, known: dict[str, PoolRule]) -> bool:
    return all(pool in known for pool, _ in asks)
