"""Who may append to an execution: a lease with an owner, an end in time, and an epoch that only ever rises.

Times are those of one clock that all engines share: of the machine where they share a file, of the server otherwise.
Engines of one home take leases of one length: where the clock may be set back, an end that lies more than twice that
ahead is not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Double, and_, bindparam, cast, func, literal_column, null, or_, select, update

from flytepath.errors import ExecutionStateError, NotFoundError
from flytepath.store.dialect import Statement, insert_or_keep
from flytepath.store.schema import EVENTS, EXECUTIONS, LEASES

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

#: How many executions one statement names; databases limit the parameters of a statement.
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Lease:
    """Who owns an execution, under which epoch, and until when unless it says that it lives (seconds, UTC)."""

    execution: str
    owner: str
    epoch: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Clock:
    """What leases are measured with.

    Args:
        now: the present, as an expression that the database evaluates.
        is_trusted: whether ends in a far future are believed.
        at: the same as a number, where it is not the server that knows.
    """

    now: ColumnElement[float]
    is_trusted: bool
    at: float | None = None

    def has_ended(self, ttl: float) -> ColumnElement[bool]:
        """Whether a row's lease is over, where leases last ``ttl`` seconds."""
        ended = LEASES.c.expires_at <= self.now
        return ended if self.is_trusted else or_(ended, LEASES.c.expires_at > self.now + 2 * ttl)


def found(connection: Connection, names: Iterable[str]) -> None:
    """Write the rows that executions begin with, which nobody owns, where there are none."""
    rows = [{"execution": name, "epoch": 0, "owner": None, "expires_at": 0.0} for name in names]
    if rows:
        _FOUND.each(connection, rows)


def acquire(
    connection: Connection, execution: str, owner: str, *, clock: Clock, ttl: float, is_dead: Callable[[str], bool]
) -> int:
    """Give ``execution`` to ``owner`` and return the new epoch."""
    ended = clock.has_ended(ttl).label("ended")
    query = select(LEASES.c.owner, LEASES.c.epoch, ended).where(LEASES.c.execution == execution).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        if connection.execute(select(EVENTS.c.seq).where(EVENTS.c.execution == execution).limit(1)).first() is None:
            raise no_execution(execution)
        found(connection, [execution])
        row = connection.execute(query).one()
    if row.owner not in (None, owner) and not row.ended and not is_dead(row.owner):
        raise ExecutionStateError(
            f"execution {execution!r} belongs to another engine",
            place=execution,
            expected="no living owner",
            actual=f"{row.owner}, which renews its lease",
            hint="send it a command instead, or end that engine first",
        )
    _take(connection, [execution], owner, clock, ttl)
    return int(row.epoch) + 1


def waiting(connection: Connection, owner: str, *, clock: Clock, ttl: float, exclude: Collection[str]) -> Waiting:
    """What :func:`claim` would find."""
    free = or_(LEASES.c.owner.is_(None), clock.has_ended(ttl))
    query = select(LEASES.c.owner, free.label("free")).distinct().select_from(EXECUTIONS)
    query = query.outerjoin(LEASES, LEASES.c.execution == EXECUTIONS.c.id)
    rows = connection.execute(_running(query, exclude)).all()
    others = {row.owner for row in rows} - {owner, None}
    return Waiting(any(row.owner is None or row.free for row in rows), tuple(sorted(others)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whether a running execution is ``free``, and the ``owners`` of those that are not."""

    free: bool
    owners: tuple[str, ...]


def claim(
    connection: Connection,
    owner: str,
    *,
    clock: Clock,
    limit: int,
    ttl: float,
    dead: Collection[str],
    exclude: Collection[str],
) -> list[tuple[str, int]]:
    """Give running executions that nobody, or one of the ``dead``, holds to ``owner``: the oldest, with new epochs."""
    unfounded = select(EXECUTIONS.c.id).where(EXECUTIONS.c.state == "running")
    unfounded = unfounded.where(~select(LEASES.c.epoch).where(LEASES.c.execution == EXECUTIONS.c.id).exists())
    found(connection, list(connection.execute(unfounded).scalars()))
    free = or_(LEASES.c.owner.is_(None), clock.has_ended(ttl), LEASES.c.owner.in_(dead))
    query = select(EXECUTIONS.c.id, LEASES.c.epoch).join(LEASES, LEASES.c.execution == EXECUTIONS.c.id)
    query = _running(query.where(free), exclude).order_by(EXECUTIONS.c.created_at, EXECUTIONS.c.id).limit(limit)
    # Those that another engine is claiming right now are its own: neither waited for nor fought over.
    rows = connection.execute(query.with_for_update(of=LEASES, skip_locked=True))
    taken = [(row.id, int(row.epoch) + 1) for row in rows]
    _take(connection, [name for name, _ in taken], owner, clock, ttl)
    return taken


def renew_all(connection: Connection, owner: str, *, clock: Clock, ttl: float) -> dict[str, int]:
    """Move the end of every lease of ``owner``; the epochs of those it holds, by execution."""
    statement = update(LEASES).where(LEASES.c.owner == owner).values(expires_at=clock.now + ttl)
    rows = connection.execute(statement.returning(LEASES.c.execution, LEASES.c.epoch))
    return {row.execution: int(row.epoch) for row in rows}


def renew(connection: Connection, execution: str, owner: str, epoch: int, *, clock: Clock, ttl: float) -> bool:
    """Move the end of a lease; false where it has passed to another."""
    return _change(connection, execution, owner, epoch, {"expires_at": clock.now + ttl})


def release(connection: Connection, execution: str, owner: str, epoch: int) -> bool:
    """End a lease but keep its epoch; false where it had passed to another."""
    return _change(connection, execution, owner, epoch, {"owner": None, "expires_at": 0.0})


def begin(connection: Connection, execution: str, owner: str, *, clock: Clock, ttl: float) -> None:
    """Give an execution that was created in this transaction to ``owner``, under epoch 1."""
    values = {"lease_of": execution, "owner": owner, "ttl": ttl}
    if clock.at is None:
        _BEGIN_BY_SERVER.each(connection, [values])
    else:
        _BEGIN.each(connection, [{**values, "at": clock.at}])


def release_all(connection: Connection, owner: str, executions: Sequence[str]) -> None:
    """End the leases of ``owner`` on ``executions``, those that it still holds."""
    _RELEASE.each(connection, [{"lease_of": execution, "owner": owner} for execution in sorted(executions)])


def current(connection: Connection, execution: str) -> Lease | None:
    """The lease of ``execution``, which may have run out; ``None`` where nobody holds one."""
    query = select(LEASES).where(LEASES.c.execution == execution, LEASES.c.owner.is_not(None))
    row = connection.execute(query).mappings().first()
    return None if row is None else Lease(**row)


def no_execution(execution: str) -> NotFoundError:
    """There is no such execution."""
    return NotFoundError(
        f"there is no execution {execution!r}",
        place=execution,
        hint="'flytepath executions list' shows those of this home",
    )


_FOUND: Final = insert_or_keep(LEASES)
_ONE: Final = LEASES.c.execution == bindparam("lease_of")
_TTL: Final = bindparam("ttl", type_=Double)
_FIRST: Final[dict[str, Any]] = {"owner": bindparam("owner"), "epoch": literal_column("1")}
_BEGIN: Final = Statement(
    lambda: update(LEASES).where(_ONE).values(**_FIRST, expires_at=bindparam("at", type_=Double) + _TTL)
)
_BEGIN_BY_SERVER: Final = Statement(
    lambda: (
        update(LEASES)
        .where(_ONE)
        .values(**_FIRST, expires_at=cast(func.extract("epoch", func.clock_timestamp()), Double) + _TTL)
    )
)
_RELEASE: Final = Statement(
    lambda: (
        update(LEASES)
        .where(_ONE, LEASES.c.owner == bindparam("owner"))
        .values(owner=null(), expires_at=literal_column("0.0"))
    )
)


def _running(query: Select[Any], exclude: Collection[str]) -> Select[Any]:
    query = query.where(EXECUTIONS.c.state == "running")
    return query.where(EXECUTIONS.c.id.not_in(list(exclude))) if exclude else query


def _take(connection: Connection, names: Sequence[str], owner: str, clock: Clock, ttl: float) -> None:
    values = {"owner": owner, "epoch": LEASES.c.epoch + 1, "expires_at": clock.now + ttl}
    for start in range(0, len(names), _CHUNK):
        wanted = LEASES.c.execution.in_(names[start : start + _CHUNK])
        connection.execute(update(LEASES).where(wanted).values(values))


def _change(connection: Connection, execution: str, owner: str, epoch: int, values: dict[str, Any]) -> bool:
    held = and_(LEASES.c.execution == execution, LEASES.c.owner == owner, LEASES.c.epoch == epoch)
    return connection.execute(update(LEASES).where(held).values(values)).rowcount == 1
