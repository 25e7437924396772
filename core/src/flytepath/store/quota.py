"""Shared limits as rows: who waits for tokens of a pool, and who holds them.

A row in ``quota_leases`` is the one source of truth. It is made in the transaction that has looked at all leases of the
pool, and such transactions follow one another, whichever process they come from: so no two engines ever grant the same
token. Who is granted what is decided by the function that is given, from what this module has read; here is only what
must be true whatever is decided.

What an engine holds is fenced twice. Each row carries the epoch of the execution's lease: an engine that has lost an
execution can neither release nor confirm what its successor holds. And each engine renews one row of its own: once that
has run out, or its process has certainly ended, whoever changes something next drops its waiters and frees its leases,
but for those that are *firm*: their jobs run on at a vendor, whatever has become of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, select

from flytepath.store.dialect import Statement
from flytepath.store.quota_rows import Change, Decide, Outcome
from flytepath.store.quota_statements import (
    GRANTED_SINCE,
    HOLDER,
    HOLDERS,
    RENEW,
    TURN,
    chunks,
)
from flytepath.store.quota_turn import Turn
from flytepath.store.schema import QUOTA_LEASES, QUOTA_WAITERS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from flytepath.store.database import Database


class QuotaTables:
    """The rows of one database, as one holder changes them.

    Args:
        database: the store's.
        holder: who waits and holds: an engine.
        ttl: for how many seconds it is believed to be alive after a sign of life.
        clock: seconds since the epoch, where there is no server to ask.
        is_dead: whether another holder has certainly ended; called in the writer's thread.
    """

    def __init__(
        self,
        database: Database,
        holder: str,
        *,
        ttl: float,
        clock: Callable[[], float],
        is_dead: Callable[[str], bool],
    ) -> None:
        self.holder = holder
        self._database = database
        self._ttl = ttl
        self._clock = clock
        self._is_dead = is_dead
        now = database.dialect.now(clock)
        self._server_clock = None if isinstance(now, BindParameter) else Statement(lambda: select(now))

    # --- changing ---

    def change(self, changes: Sequence[Change], decide: Decide, *, review: bool = False) -> Future[Outcome]:
        """Carry out ``changes`` in their order, then decide who is granted what: all of it, durably, or nothing.

        To repeat the same changes is right whether or not they had been carried out.

        Args:
            changes: what to do.
            decide: says who is granted what; called in the writer's thread, with the tables to itself, maybe twice.
            review: decide about all pools that somebody waits for, also where nothing was changed.
        """
        return self._database.submit(lambda connection: Turn(self, connection).run(changes, decide, review))

    def beat(self) -> Future[bool]:
        """Give a sign of life; whether this holder had been taken for dead."""

        def operation(connection: Connection) -> bool:
            known = HOLDER.one(connection, {"holder": self.holder})
            self.renew(connection, self.now(connection))
            return known is None

        return self._database.submit(operation)

    def leave(self, decide: Decide) -> Future[Outcome]:
        """Say that this holder is gone: what it waits for is dropped, what it holds is freed unless it is firm."""
        return self._database.submit(lambda connection: Turn(self, connection).leave(decide))

    def now(self, connection: Connection) -> float:
        """The time, of the clock that all holders share."""
        if self._server_clock is None:
            return float(self._clock())
        row: Any = self._server_clock.one(connection, {})
        return float(row[0])

    def renew(self, connection: Connection, now: float) -> None:
        """Put off the end of this holder."""
        RENEW.each(connection, [{"holder": self.holder, "expires_at": now + self._ttl}])

    def guard(self, connection: Connection) -> None:
        """Wait for one's turn."""
        self._database.dialect.guard(connection, "quota")

    def is_gone(self, holder: str, expires_at: float, now: float) -> bool:
        """Whether a holder is gone for good."""
        ended = expires_at <= now or (not self._database.dialect.trusts_ends() and expires_at > now + 2 * self._ttl)
        return ended or (holder != self.holder and self._is_dead(holder))

    def is_due(self, expires_at: float, now: float) -> bool:
        """Whether it is time for a sign of life."""
        return not now + self._ttl / 2 < expires_at <= now + 2 * self._ttl

    # --- looking ---

    def turn(self) -> int:
        """How often something has changed: cheap enough to be asked all the time."""
        row = self._database.read(lambda connection: TURN.one(connection, {}))
        return 0 if row is None else int(row[0])

    def granted_since(self, turn: int) -> list[tuple[str, int]]:
        """What this holder was granted after ``turn``: keys, and the turns that granted them."""
        values = {"holder": self.holder, "turn": turn}
        rows = self._database.read(lambda connection: GRANTED_SINCE.every(connection, values))
        return [(str(key), int(at)) for key, at in rows]

    def known(self, keys: Iterable[str]) -> tuple[set[str], set[str]]:
        """Which of ``keys`` this holder waits for, and which it holds."""
        wanted = list(keys)

        def query(connection: Connection) -> tuple[set[str], set[str]]:
            waiting: set[str] = set()
            held: set[str] = set()
            for some in chunks(wanted):
                for table, into in ((QUOTA_WAITERS, waiting), (QUOTA_LEASES, held)):
                    ours = (table.c.key.in_(some), table.c.holder == self.holder)
                    into.update(connection.execute(select(table.c.key).where(*ours)).scalars())
            return waiting, held

        return self._database.read(query)

    def someone_is_gone(self) -> bool:
        """Whether the waiters or leases of a holder that is gone are still there."""

        def query(connection: Connection) -> bool:
            rows = HOLDERS.every(connection, {})
            now = self.now(connection)
            return any(self.is_gone(holder, expires_at, now) for holder, expires_at in rows if holder != self.holder)

        return self._database.read(query)
