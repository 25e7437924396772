"""Who may append to an execution: a lease with an owner, an end in time, and an epoch that only ever rises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from flytepath.errors import ExecutionStateError
from flytepath.store import log
from flytepath.store.schema import LEASES

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Lease:
    """Who owns an execution, under which epoch, and until when unless it says that it lives (seconds, UTC)."""

    execution: str
    owner: str
    epoch: int
    expires_at: float


def acquire(
    connection: Connection, execution: str, owner: str, *, now: float, ttl: float, is_dead: Callable[[str], bool]
) -> int:
    """Give ``execution`` to ``owner`` and return the new epoch."""
    log.last_seq(connection, execution)
    row = connection.execute(select(LEASES).where(LEASES.c.execution == execution)).mappings().first()
    if row is None:
        values = {"execution": execution, "owner": owner, "epoch": 1, "expires_at": now + ttl}
        connection.execute(insert(LEASES).values(**values))
        return 1
    holder = row["owner"]
    if holder not in (None, owner) and row["expires_at"] > now and not is_dead(holder):
        raise ExecutionStateError(
            f"execution {execution!r} belongs to another engine",
            place=execution,
            expected="no living owner",
            actual=f"{holder}, which renews its lease",
            hint="send it a command instead, or end that engine first",
        )
    epoch = int(row["epoch"]) + 1
    values = {"owner": owner, "epoch": epoch, "expires_at": now + ttl}
    connection.execute(update(LEASES).where(LEASES.c.execution == execution).values(**values))
    return epoch


def renew(connection: Connection, execution: str, owner: str, epoch: int, expires_at: float) -> bool:
    """Move the end of a lease; false where it has passed to another."""
    return _change(connection, execution, owner, epoch, {"expires_at": expires_at})


def release(connection: Connection, execution: str, owner: str, epoch: int) -> bool:
    """End a lease but keep its epoch; false where it had passed to another."""
    return _change(connection, execution, owner, epoch, {"owner": None, "expires_at": 0.0})


def current(connection: Connection, execution: str) -> Lease | None:
    """The lease of ``execution``, which may have run out; ``None`` where nobody holds one."""
    query = select(LEASES).where(LEASES.c.execution == execution, LEASES.c.owner.is_not(None))
    row = connection.execute(query).mappings().first()
    return None if row is None else Lease(**row)


def _change(
    connection: Connection, execution: str, owner: str, epoch: int, values: dict[str, str | float | None]
) -> bool:
    held = (LEASES.c.execution == execution, LEASES.c.owner == owner, LEASES.c.epoch == epoch)
    return connection.execute(update(LEASES).where(*held).values(**values)).rowcount == 1
