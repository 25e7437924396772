"""The quota tables as a whole, for people and for telling why something waits. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flytepath.store.quota_rows import AccountRow, LeaseRow, PoolRow, WaiterRow
from flytepath.store.quota_statements import (
    ALL_ACCOUNTS,
    ALL_LEASES,
    ALL_POOLS,
    ALL_WAITERS,
    HOLDERS,
    lease_of,
    waiter_of,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from flytepath.store.database import Database


@dataclass(frozen=True, slots=True)
class Survey:
    """All there is, at one moment.

    Args:
        now: seconds; the clock that all engines share.
        pools, accounts, leases, waiters: the rows; waiters in the order of their arrival, leases as they were granted.
        holders: until when each is believed to be alive.
    """

    now: float
    pools: list[PoolRow]
    accounts: list[AccountRow]
    leases: list[LeaseRow]
    waiters: list[WaiterRow]
    holders: dict[str, float]


def survey(database: Database, now: Callable[[Connection], float]) -> Survey:
    """Read everything."""

    def query(connection: Connection) -> Survey:
        return Survey(
            now=now(connection),
            pools=[PoolRow(*row) for row in ALL_POOLS.every(connection, {})],
            accounts=[AccountRow(*row) for row in ALL_ACCOUNTS.every(connection, {})],
            leases=[lease_of(row) for row in ALL_LEASES.every(connection, {})],
            waiters=[waiter_of(row) for row in ALL_WAITERS.every(connection, {})],
            holders={holder: float(expires_at) for holder, expires_at in HOLDERS.every(connection, {})},
        )

    return database.read(query)
