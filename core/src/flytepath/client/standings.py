"""Why jobs wait for their turn, as of now: asked of the quota tables once, and only when something waits."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flytepath.client.views import WaitView
from flytepath.errors import FlytePathError

if TYPE_CHECKING:
    from flytepath.engine.quota import Book
    from flytepath.store.database import Database
    from flytepath.store.quota_views import Survey


class Standings:
    """What those who wait for tokens of shared pools wait for.

    Args:
        database: the store's.
        home: where the configuration of this person lies.
    """

    def __init__(self, database: Database, home: Path) -> None:
        self._database = database
        self._home = home

    def of(self, key: str) -> WaitView | None:
        """Why ``key`` waits; ``None`` where it is in no line."""
        seen = self._seen
        waiter = next((row for row in seen.waiters if row.key == key), None)
        if waiter is None:
            return None
        standing = self._book.standing(key, seen.now) if self._book is not None else None
        if standing is not None:
            return WaitView(
                pool=standing.pool,
                reason=standing.reason,
                blocker=standing.blocker,
                position=standing.position,
                since=waiter.asked_at,
            )
        place = sum(row.line == waiter.line and row.number <= waiter.number for row in seen.waiters)
        pool = waiter.asks[0][0] if waiter.asks else ""
        unknown = "nobody declares its pool here; the engines know more"
        return WaitView(pool=pool, reason=unknown, position=place, since=waiter.asked_at)

    def held(self, key: str) -> dict[str, int]:
        """The tokens held under ``key``, by pool."""
        return {row.pool: row.tokens for row in self._seen.leases if row.key == key}

    @cached_property
    def _seen(self) -> Survey:
        from flytepath.engine.ownership import LEASE_SECONDS, is_dead, this_process
        from flytepath.store.quota import QuotaTables
        from flytepath.store.quota_views import survey

        tables = QuotaTables(self._database, this_process(), ttl=LEASE_SECONDS, clock=time.time, is_dead=is_dead)
        return survey(self._database, tables.now)

    @cached_property
    def _book(self) -> Book | None:
        from flytepath.engine.pools import PoolRules
        from flytepath.engine.quota_decision import book_of

        seen = self._seen
        try:
            rules = PoolRules.here(home=self._home)
        except FlytePathError:  # a file is wrong in this moment: that is told where it is asked for
            return None
        names = {row.pool for row in seen.leases} | {pool for row in seen.waiters for pool, _ in row.asks}
        known = {name: rule for name in names if (rule := rules.find(name)) is not None}
        waiters = [row for row in seen.waiters if all(pool in known for pool, _ in row.asks)]
        return book_of(known.values(), seen.pools, seen.accounts, seen.leases, waiters)
