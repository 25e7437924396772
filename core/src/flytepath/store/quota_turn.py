"""One transaction on the quota tables: changes are carried out, then it is decided who is granted what comes free."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from flytepath.store.dialect import Statement
from flytepath.store.quota_rows import (
    AccountRow,
    Answer,
    Ask,
    Asks,
    Change,
    Confirm,
    Decide,
    Decision,
    Evict,
    LeaseRow,
    Outcome,
    PoolRow,
    Release,
    Rows,
    Truth,
    WaiterRow,
    line_of,
)
from flytepath.store.quota_statements import (
    ACCOUNTS_OF,
    DROP_HOLDER,
    DROP_WAITER,
    DROP_WAITERS_OF,
    FREE,
    HOLDERS,
    JOIN,
    LAST_NUMBER,
    LEASE,
    LEASED,
    LEASES_OF,
    LEND,
    MORE,
    MOVE,
    NEXT_TURN,
    OUTLIVES,
    PASS,
    POOL,
    REMEMBER_ACCOUNT,
    REMEMBER_POOL,
    REWRITE,
    TURN,
    WAITING,
    WAITS,
    asks_of,
    by_keys,
    heads,
    lease_of,
    values_of,
    waiter_of,
    waiter_values,
)
from flytepath.store.schema import QUOTA_LEASES

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from flytepath.store.quota import QuotaTables

#: How many waiters of each line are read before one is granted; the rest is read when those are used up.
FEW: Final = 2


@dataclass(slots=True)
class _Waiting:
    """A row of ``quota_waiters`` as it is, or with ``ask`` as it is to be."""

    number: int | None
    epoch: int
    line: str
    asks: Asks
    ask: Ask | None = None


class Turn:
    """One transaction."""

    def __init__(self, tables: QuotaTables, connection: Connection) -> None:
        self._tables = tables
        self._connection = connection
        tables.guard(connection)
        row = TURN.one(connection, {})
        self.turn = 0 if row is None else int(row[0])
        self._before: int | None = None if row is None else int(row[1])
        # By chance, not by counting: a number that was counted and rolled back would be counted again by another.
        self._stamp = secrets.randbits(62)
        self.now = tables.now(connection)
        self._waiting: dict[str, _Waiting] = {}
        self._held: dict[str, list[LeaseRow]] = {}
        self._orphaned: dict[str, list[LeaseRow]] = {}
        self._freed: dict[str, list[LeaseRow]] = {}
        self._rewritten: set[str] = set()
        self._dropped: dict[str, int] = {}
        self._touched: set[str] = set()
        self._review = False
        self._is_plain = True
        self._changed = False
        self._is_stamped = False

    def run(self, changes: Sequence[Change], decide: Decide, review: bool) -> Outcome:
        """Carry out ``changes`` and decide."""
        self._review = review
        was_lost = self._sweep(needs_us=any(isinstance(change, Ask) for change in changes))
        self._look_up(dict.fromkeys(change.key for change in changes))
        answers = [self._apply(change) for change in changes]
        self._write_changes()
        mine = {row.key for row in self._decide(decide) if row.holder == self._tables.holder}
        told: list[Answer] = []
        for change, answer in zip(changes, answers, strict=True):
            told.append("granted" if answer == "waiting" and change.key in mine else answer)
        return Outcome(self._close(), tuple(told), tuple(sorted(mine)), was_lost)

    def leave(self, decide: Decide) -> Outcome:
        """Remove what does not outlive the holder."""
        self._sweep(needs_us=False)
        self._remove_holder(self._tables.holder)
        self._write_changes()
        self._decide(decide)
        return Outcome(self._close(), (), (), False)

    def _close(self) -> int:
        if self._changed:
            self.turn += 1
        if self._changed or self._is_stamped:
            stamp = self._stamp if self._is_stamped or self._before is None else self._before
            NEXT_TURN.each(self._connection, [{"turn": self.turn, "stamp": stamp}])
        return self.turn

    # --- who is alive ---

    def _sweep(self, *, needs_us: bool) -> bool:
        """Drop what those that are gone left; whether this holder itself had been dropped."""
        tables, ours = self._tables, None
        for holder, expires_at in HOLDERS.every(self._connection, {}):
            if holder == tables.holder:
                ours = float(expires_at)
            elif tables.is_gone(holder, expires_at, self.now):
                self._remove_holder(holder)
        if needs_us and (ours is None or tables.is_due(ours, self.now)):
            tables.renew(self._connection, self.now)
        return needs_us and ours is None

    def _remove_holder(self, holder: str) -> None:
        for row in self._leases(QUOTA_LEASES.c.holder == holder, ~OUTLIVES):
            self._orphaned.setdefault(row.key, []).append(row)
        ours = [{"holder": holder}]
        if WAITS.one(self._connection, ours[0]) is not None:
            DROP_WAITERS_OF.each(self._connection, ours)
            self._review = True  # what was kept for one of them is free
        DROP_HOLDER.each(self._connection, ours)
        self._changed = self._is_stamped = True
        self._is_plain = False

    # --- changes ---

    def _look_up(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        for key, number, epoch, line, asks in by_keys(self._connection, WAITING, wanted):
            self._waiting[key] = _Waiting(number, epoch, line, asks_of(asks))
        for row in map(lease_of, by_keys(self._connection, LEASED, wanted)):
            if row.key not in self._orphaned:
                self._held.setdefault(row.key, []).append(row)

    def _apply(self, change: Change) -> Answer:
        match change:
            case Ask():
                return self._ask(change)
            case Release():
                return self._release(change)
            case Confirm():
                return self._confirm(change)
            case Evict():
                return self._free(change.key) if change.key in self._held else "none"

    def _ask(self, ask: Ask) -> Answer:
        if ask.key in self._orphaned:  # its successor is quick enough to go on with it
            self._held[ask.key] = self._orphaned.pop(ask.key)
        held = self._held.get(ask.key)
        if held is not None:
            if held[0].epoch > ask.epoch:
                return "stale"
            for row in held:
                if (row.holder, row.epoch) != (self._tables.holder, ask.epoch):
                    row.holder, row.epoch = self._tables.holder, ask.epoch
                    row.execution, row.node, row.kind = ask.execution, ask.node, ask.kind
                    self._rewritten.add(ask.key)
            return "granted"
        line = line_of(ask.project, ask.domain, ask.asks)
        known = self._waiting.get(ask.key)
        if known is not None and known.epoch > ask.epoch:
            return "stale"
        if known is not None and known.line != line:
            self._drop(ask.key)
            known = None
        number = None if known is None else known.number
        self._waiting[ask.key] = _Waiting(number, ask.epoch, line, ask.asks, ask)
        self._touched.update(pool for pool, _ in ask.asks)
        return "waiting"

    def _release(self, change: Release) -> Answer:
        held, waiting = self._held.get(change.key), self._waiting.get(change.key)
        if held is not None:
            if held[0].epoch > change.epoch:
                return "stale"
            if change.unless_firm and held[0].is_firm:
                return "done"
            return self._free(change.key)
        if waiting is None:
            return "done" if change.key in self._orphaned else "none"
        if waiting.epoch > change.epoch:
            return "stale"
        return self._drop(change.key)

    def _confirm(self, change: Confirm) -> Answer:
        held = self._held.get(change.key)
        if held is None:
            return "none"
        if held[0].epoch != change.epoch or held[0].holder != self._tables.holder:
            return "stale"
        for row in held:
            if not row.is_firm:
                row.is_firm = True
                self._rewritten.add(change.key)
        return "done"

    def _free(self, key: str) -> Answer:
        self._freed[key] = self._held.pop(key)
        self._rewritten.discard(key)
        return "done"

    def _drop(self, key: str) -> Answer:
        waiting = self._waiting.pop(key)
        if waiting.number is not None:
            self._dropped[key] = waiting.number
        self._touched.update(pool for pool, _ in waiting.asks)
        return "done"

    def _write_changes(self) -> None:
        self._freed.update(self._orphaned)
        for rows in self._freed.values():
            self._touched.update(row.pool for row in rows)
        moved = [waiting.ask for waiting in self._waiting.values() if waiting.ask and waiting.number is not None]
        rewritten = [row for key in self._rewritten for row in self._held[key]]
        self._write(DROP_WAITER, [{"number": number} for number in self._dropped.values()])
        self._write(FREE, [{"key": key} for key in self._freed])
        self._write(MOVE, [self._mover(ask) for ask in moved])
        self._is_plain = self._is_plain and not moved
        if rewritten:  # who holds a lease, and whether it is firm, is nothing that decisions are made from
            self._changed = True
            REWRITE.each(self._connection, [values_of(row) for row in rewritten])

    def _mover(self, ask: Ask) -> dict[str, Any]:
        names = ("key", "execution", "node", "epoch", "kind")
        return {**{name: getattr(ask, name) for name in names}, "holder": self._tables.holder}

    def _write(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._changed = self._is_stamped = True
            statement.each(self._connection, rows)

    def _remember(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._is_stamped = True
            statement.each(self._connection, rows)

    # --- deciding ---

    def _decide(self, decide: Decide) -> list[WaiterRow]:
        if not self._touched and not self._review:
            return []
        new = self._new_waiters()
        truth = Truth(
            now=self.now,
            before=self._before if self._is_plain and not self._review else None,
            after=self._stamp,
            touched=frozenset(self._touched),
            released=list(self._freed),
            dropped=list(self._dropped),
            new=new,
            more=self._more,
            read=lambda also: self._read(new, also),
        )
        decision = decide(truth)
        self._carry_out(decision, new)
        return decision.granted

    def _read(self, new: Sequence[WaiterRow], also: Iterable[str]) -> Rows:
        first = heads(self._connection, FEW)
        concerned = _closure({*self._touched, *also}, [*first, *new], everything=self._review)
        waiters = [row for row in first if row.asks[0][0] in concerned]
        is_whole = bool(waiters or new)
        if not is_whole and not self._freed:
            return Rows()
        leases = [row for rows in self._freed.values() for row in rows]
        pools: dict[str, PoolRow] = {}
        accounts: list[AccountRow] = []
        for pool in sorted(concerned):
            values = {"pool": pool}
            if is_whole:  # else nothing is given away: what was freed is settled, whatever else is held
                leases += [lease_of(row) for row in LEASES_OF.every(self._connection, values)]
            accounts += [AccountRow(*row) for row in ACCOUNTS_OF.every(self._connection, values)]
            pools.update((row[0], PoolRow(*row)) for row in POOL.every(self._connection, values))
        return Rows(pools, accounts, leases, waiters, is_whole)

    def _new_waiters(self) -> list[WaiterRow]:
        asks = [waiting for waiting in self._waiting.values() if waiting.ask is not None and waiting.number is None]
        if not asks:
            return []
        last = LAST_NUMBER.one(self._connection, {})
        number = 0 if last is None or last[0] is None else int(last[0])
        return [
            WaiterRow(
                number=number + place,
                key=ask.key,
                project=ask.project,
                domain=ask.domain,
                line=waiting.line,
                asks=ask.asks,
                execution=ask.execution,
                node=ask.node,
                holder=self._tables.holder,
                epoch=ask.epoch,
                kind=ask.kind,
                asked_at=self.now,
                passed=0,
            )
            for place, waiting in enumerate(asks, 1)
            if (ask := waiting.ask) is not None
        ]

    def _more(self, line: str, after: int, count: int) -> list[WaiterRow]:
        values = {"line": line, "after": after, "few": count}
        return [waiter_of(row) for row in MORE.every(self._connection, values)]

    def _carry_out(self, decision: Decision, new: Sequence[WaiterRow]) -> None:
        granted = {row.key for row in decision.granted}
        came = {row.key for row in new}
        passed = decision.passed
        staying = [replace(row, passed=passed.get(row.key, 0)) for row in new if row.key not in granted]
        leases = [
            LeaseRow(
                key=row.key,
                pool=pool,
                tokens=tokens,
                project=row.project,
                domain=row.domain,
                execution=row.execution,
                node=row.node,
                holder=row.holder,
                epoch=row.epoch,
                kind=row.kind,
                granted_at=self.now,
                is_firm=False,
            )
            for row in decision.granted
            for pool, tokens in row.asks
        ]
        self._write(JOIN, [waiter_values(row) for row in staying])
        self._write(DROP_WAITER, [{"number": row.number} for row in decision.granted if row.key not in came])
        self._write(LEND, [{**values_of(row), "turn": self.turn + 1} for row in leases])
        # What is remembered gives nobody anything to look for.
        self._remember(PASS, [{"key": key, "passed": times} for key, times in passed.items() if key not in came])
        self._remember(REMEMBER_POOL, [values_of(row) for row in decision.pools])
        self._remember(REMEMBER_ACCOUNT, [values_of(row) for row in decision.accounts])

    def _leases(self, *where: ColumnElement[bool]) -> list[LeaseRow]:
        columns = [QUOTA_LEASES.c[name] for name in LEASE]
        return [lease_of(row) for row in self._connection.execute(select(*columns).where(*where))]


def _closure(touched: Iterable[str], waiters: Iterable[WaiterRow], *, everything: bool) -> set[str]:
    """The pools that are touched, and those that one who waits for them wants as well."""
    together = {tuple(pool for pool, _ in row.asks) for row in waiters}
    if everything:
        return {*touched, *(pool for pools in together for pool in pools)}
    found, size = set(touched), -1
    while size != len(found):
        size = len(found)
        for pools in together:
            if not found.isdisjoint(pools):
                found.update(pools)
    return found
