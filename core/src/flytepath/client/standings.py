"""Why jobs wait for their turn, as of now: asked of the quota tables once, and only when something waits."""

from __future__ import annotations

import time
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flytepath.client.views import WaitView
from flytepath.errors import FlytePathError

if TYPE_CHECKING:
    from flytepath.engine.quota import Book
    from flytepath.engine.quota.rules import Standing
    from flytepath.store.database import Database
    from flytepath.store.quota_rows import WaiterRow
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
        self._of_line: dict[str, Standing | None] = {}

    def of(self, key: str) -> WaitView | None:
        """Why ``key`` waits; ``None`` where it is in no line."""
        found = self._by_key.get(key)
        return None if found is None else self._view(*found)

    def of_attempt(self, execution: str, node: str) -> WaitView | None:
        """Why the next attempt of a node waits that runs on this machine; ``None`` where it is in no line."""
        key = self._by_node.get((execution, node))
        return None if key is None else self.of(key)

    def _view(self, waiter: WaiterRow, place: int) -> WaitView:
        # Those of one line wait for the same, and differ only in their place.
        if waiter.line not in self._of_line:
            self._of_line[waiter.line] = None if self._book is None else self._book.standing(waiter.key, self._seen.now)
        standing = self._of_line[waiter.line]
        if standing is None:
            pool = waiter.asks[0][0] if waiter.asks else ""
            unknown = "nobody declares its pool here; the engines know more"
            return WaitView(pool=pool, reason=unknown, position=place, since=waiter.asked_at)
        return WaitView(
            pool=standing.pool,
            reason=standing.reason,
            blocker=standing.blocker,
            position=place,
            since=waiter.asked_at,
        )

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
    def _by_key(self) -> dict[str, tuple[WaiterRow, int]]:
        places: Counter[str] = Counter()
        found: dict[str, tuple[WaiterRow, int]] = {}
        for row in self._seen.waiters:
            places[row.line] += 1
            found[row.key] = (row, places[row.line])
        return found

    @cached_property
    def _by_node(self) -> dict[tuple[str, str], str]:
        return {(row.execution, row.node): row.key for row in self._seen.waiters if row.kind == "local"}

    @cached_property
    def _book(self) -> Book | None:
        from flytepath.engine.quota.decision import book_of
        from flytepath.engine.quota.pools import PoolRules

        seen = self._seen
        try:
            rules = PoolRules.here(home=self._home)
        except FlytePathError:  # a file is wrong in this moment: that is told where it is asked for
            return None
        names = {row.pool for row in seen.leases} | {pool for row in seen.waiters for pool, _ in row.asks}
        known = {name: rule for name in names if (rule := rules.find(name)) is not None}
        waiters = [row for row in seen.waiters if all(pool in known for pool, _ in row.asks)]
        return book_of(known.values(), seen.pools, seen.accounts, seen.leases, waiters)
