"""Shared pools as people see them: how much there is, who holds it, who waits and why; and taking a lease away."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from flytepath.client.queries import Queries
from flytepath.engine.ownership import LEASE_SECONDS, is_dead, this_process
from flytepath.engine.quota import Book
from flytepath.engine.quota.decision import book_of, decide
from flytepath.engine.quota.pools import PoolRules
from flytepath.engine.quota.rules import PoolRule
from flytepath.errors import NotFoundError
from flytepath.model.identity import Tenant
from flytepath.model.task import Record
from flytepath.store.quota import QuotaTables
from flytepath.store.quota_rows import Decision, Evict, LeaseRow, Truth, WaiterRow
from flytepath.store.quota_views import Survey, survey

#: How many of those who wait are shown of each line.
SHOWN: Final = 20


class PoolSummary(Record):
    """A pool in a list.

    Attributes:
        pool: its name; one with ``*`` or ``{field}`` stands for every pool that is called so.
        limit: how many tokens there are; ``None`` where nobody declares it here, and engines go by what they know.
        held: tokens that are held.
        waiting: how many wait.
        tenants: how many hold or wait.
    """

    pool: str
    limit: int | None
    held: int
    waiting: int
    tenants: int


class PoolLease(Record):
    """Tokens that are held.

    ``stale`` says why the lease stays though its holder is gone; it is empty where all is well.
    """

    key: str
    tenant: str
    tokens: int
    execution: str
    node: str
    kind: str
    since: float
    holder: str
    stale: str = ""


class PoolWaiter(Record):
    """One that waits: since when, at which place of its line, why, and for whom or what."""

    key: str
    execution: str
    node: str
    since: float
    position: int
    reason: str
    blocker: str


class PoolLine(Record):
    """Those of one tenant that want the same, in order: ``waiting`` in all, of whom the first are named."""

    tenant: str
    tokens: dict[str, int]
    waiting: int
    first: tuple[PoolWaiter, ...]


class PoolTenant(Record):
    """One tenant in a pool.

    Attributes:
        weight, cap: as configured; ``cap`` is ``None`` where there is none.
        held, waiting: tokens held, and how many wait.
        served: token-seconds so far, with those of what runs now.
        share: the part of all token-seconds of the pool that is, from 0 to 1.
    """

    tenant: str
    weight: float
    cap: int | None
    held: int
    waiting: int
    served: float
    share: float


class PoolView(PoolSummary):
    """Everything about a pool. ``declared`` is where its limit is said, ``origins`` where each key is."""

    declared: str
    origins: dict[str, str]
    leases: tuple[PoolLease, ...]
    lines: tuple[PoolLine, ...]
    by_tenant: tuple[PoolTenant, ...]


class Pools:
    """The pools of a home, for people.

    Args:
        queries: the client that is asked; it stays open.
        start: the folder whose configuration is meant; the current one by default.
    """

    def __init__(self, queries: Queries, start: Path | None = None) -> None:
        self._database = queries._store.database
        self._rules = PoolRules.here(start, queries.home)
        self._tables = QuotaTables(self._database, this_process(), ttl=LEASE_SECONDS, clock=time.time, is_dead=is_dead)

    def summaries(self) -> list[PoolSummary]:
        """All pools that are declared, held or waited for, by name."""
        seen = self._survey()
        names = {*self._rules.names, *_pools_of(seen)}
        return [self._summary(name, seen) for name in sorted(names)]

    def view(self, pool: str) -> PoolView:
        """One pool.

        Raises:
            PoolUnknownError: nobody declares it, holds it or waits for it.
        """
        seen = self._survey()
        if pool not in _pools_of(seen):
            self._rules.rule(pool)
        origin = self._rules.origin(pool)
        return PoolView(
            **self._summary(pool, seen).model_dump(),
            declared=origin.limit,
            origins=dict(origin.keys),
            leases=tuple(self._lease(row, seen) for row in seen.leases if row.pool == pool),
            lines=self._lines(pool, seen),
            by_tenant=self._tenants(pool, seen),
        )

    def evict(self, pool: str, key: str) -> PoolLease:
        """Take away what is held under ``key``, all of it, and return what it was. A job of it may run on.

        Raises:
            NotFoundError: nothing is held of the pool under this key.
        """
        seen = self._survey()
        row = next((row for row in seen.leases if (row.pool, row.key) == (pool, key)), None)
        if row is None or self._tables.change([Evict(key)], self._settle).result().answers != ("done",):
            held = [row.key for row in seen.leases if row.pool == pool and row.key != key]
            raise NotFoundError(
                f"nothing is held of pool {pool!r} under this key",
                place=pool,
                expected=f"one of {', '.join(held[:SHOWN])}" if held else "somebody who holds",
                actual=key,
                hint=f"'flytepath pools show {pool}' lists who holds",
            )
        return self._lease(row, seen)

    def _settle(self, truth: Truth) -> Decision:
        # Engines give away what is free now: what configuration says in this folder need not hold for them.
        return decide(truth, _Closed(self._rules))

    def _survey(self) -> Survey:
        return survey(self._database, self._tables.now)

    def _summary(self, pool: str, seen: Survey) -> PoolSummary:
        held = [row for row in seen.leases if row.pool == pool]
        waiting = [row for row in seen.waiters if _wants(row, pool)]
        rule = self._rules.find(pool)
        return PoolSummary(
            pool=pool,
            limit=None if rule is None else rule.limit,
            held=sum(row.tokens for row in held),
            waiting=len(waiting),
            tenants=len({(row.project, row.domain) for row in held} | {(row.project, row.domain) for row in waiting}),
        )

    def _lease(self, row: LeaseRow, seen: Survey) -> PoolLease:
        until = seen.holders.get(row.holder)
        stale = ""
        if until is None or self._tables.is_gone(row.holder, until, seen.now):
            stale = "its engine is gone and will be followed by another; the job may still run"
            if not (row.is_firm and row.kind == "remote"):
                stale = "its engine is gone; it is freed when the next engine asks for something"
        return PoolLease(
            key=row.key,
            tenant=f"{row.project}/{row.domain}",
            tokens=row.tokens,
            execution=row.execution,
            node=row.node,
            kind=row.kind,
            since=row.granted_at,
            holder=row.holder,
            stale=stale,
        )

    def _lines(self, pool: str, seen: Survey) -> tuple[PoolLine, ...]:
        book = self._book(seen)
        lines: dict[str, list[WaiterRow]] = {}
        for row in seen.waiters:
            if _wants(row, pool):
                lines.setdefault(row.line, []).append(row)
        return tuple(
            PoolLine(
                tenant=f"{rows[0].project}/{rows[0].domain}",
                tokens=dict(rows[0].asks),
                waiting=len(rows),
                first=tuple(_waiter(row, place, book, seen) for place, row in enumerate(rows[:SHOWN], 1)),
            )
            for rows in lines.values()
        )

    def _book(self, seen: Survey) -> Book:
        known = {name: rule for name in _pools_of(seen) if (rule := self._rules.find(name)) is not None}
        waiters = [row for row in seen.waiters if all(pool in known for pool, _ in row.asks)]
        return book_of(known.values(), seen.pools, seen.accounts, seen.leases, waiters)

    def _tenants(self, pool: str, seen: Survey) -> tuple[PoolTenant, ...]:
        served = {(row.project, row.domain): row.served for row in seen.accounts if row.pool == pool}
        held = dict.fromkeys(served, 0)
        waiting = dict.fromkeys(served, 0)
        for row in seen.leases:
            if row.pool == pool:
                who = (row.project, row.domain)
                held[who] = held.get(who, 0) + row.tokens
                served[who] = served.get(who, 0.0) + row.tokens * max(0.0, seen.now - row.granted_at)
        for waiter in seen.waiters:
            if _wants(waiter, pool):
                who = (waiter.project, waiter.domain)
                waiting[who] = waiting.get(who, 0) + 1
        rule = self._rules.find(pool) or PoolRule(pool, 0)
        total = sum(served.values())
        return tuple(
            PoolTenant(
                tenant="/".join(who),
                weight=rule.weight(Tenant(*who)),
                cap=rule.cap(Tenant(*who)),
                held=held.get(who, 0),
                waiting=waiting.get(who, 0),
                served=served.get(who, 0.0),
                share=served.get(who, 0.0) / total if total else 0.0,
            )
            for who in sorted({*held, *waiting})
        )


class _Closed:
    """Rules by which nothing is given to anybody."""

    def __init__(self, rules: PoolRules) -> None:
        self._rules = rules

    def find(self, pool: str) -> PoolRule | None:
        found = self._rules.find(pool)
        return None if found is None else replace(found, limit=0)


def _pools_of(seen: Survey) -> set[str]:
    return {row.pool for row in seen.leases} | {pool for row in seen.waiters for pool, _ in row.asks}


def _wants(row: WaiterRow, pool: str) -> bool:
    return any(name == pool for name, _ in row.asks)


def _waiter(row: WaiterRow, place: int, book: Book, seen: Survey) -> PoolWaiter:
    standing = book.standing(row.key, seen.now)
    unknown = "nobody declares one of its pools here; the engines know more"
    return PoolWaiter(
        key=row.key,
        execution=row.execution,
        node=row.node,
        since=row.asked_at,
        position=place,
        reason=unknown if standing is None else standing.reason,
        blocker="" if standing is None else standing.blocker,
    )
