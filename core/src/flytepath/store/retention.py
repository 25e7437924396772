"""What leaves the database: executions whose time is over, graphs nobody needs, values that must go.

An execution leaves in a transaction of its own or with other small ones: its row, its events, what waits for it. From
then on it never was. Its values follow a few thousand at a time, so that no engine waits long for its turn; until they
have all gone its lease is held in our name, which tells whoever prunes next where an earlier one was cut off.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update

from flytepath.model.events import (
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    Event,
    ExecutionCreated,
    ExecutionOwned,
    ItemsStarted,
    ItemsSucceeded,
    NodeExpanded,
    NodeFailed,
    NodeSucceeded,
    read_event,
)
from flytepath.store.blobs import UNTOUCHED_SECONDS
from flytepath.store.schema import COMMANDS, ENTITIES, EVENTS, EXECUTIONS, JOBS, LEASES, LITERALS, SNAPSHOTS, SPECS
from flytepath.store.sqlite import SQLite, patiently, translated

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from flytepath.store.database import Database

#: Who holds the leases of executions whose rows are being removed.
PRUNER: Final = "flytepath admin prune"
#: How many rows are removed in a transaction, if one execution does not have more.
ROWS: Final = 5000

_ENDED: Final = ("succeeded", "failed", "aborted")
_ENDS: Final = ("execution_succeeded", "execution_failed", "execution_aborted")
_WORK: Final = (
    "attempt_started",
    "attempt_failed",
    "attempt_lost",
    "items_started",
    "items_succeeded",
    "node_expanded",
    "node_failed",
    "node_succeeded",
    "execution_owned",
)
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that has ended.

    Args:
        id: the execution.
        ended_at: when, seconds since the epoch (UTC).
        events: how many events it has.
    """

    id: str
    ended_at: float
    events: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Which executions are meant: those that ended before ``before``, in one of ``states``, of a project and domain."""

    before: float
    states: tuple[str, ...]
    project: str | None = None
    domain: str | None = None


def chosen(connection: Connection, choice: Choice, now: float) -> tuple[list[Ended], list[str]]:
    """The executions of ``choice`` that can go, oldest first, and those that a live one recovers from."""
    wanted = [EXECUTIONS.c.state.in_(choice.states), EXECUTIONS.c.created_at < choice.before, ~_held(now)]
    for column, value in ((EXECUTIONS.c.project, choice.project), (EXECUTIONS.c.domain, choice.domain)):
        if value is not None:
            wanted.append(column == value)
    columns = (EXECUTIONS.c.id, EXECUTIONS.c.updated_at, EXECUTIONS.c.last_seq)
    query = select(*columns).where(*wanted).order_by(EXECUTIONS.c.created_at, EXECUTIONS.c.id)
    rows = [Ended(*row) for row in connection.execute(query)]
    # What was erased later is an event after the end; the time runs from the end itself.
    late = dict(_ends(connection, [row.id for row in rows if row.ended_at >= choice.before]))
    rows = [Ended(row.id, late.get(row.id, row.ended_at), row.events) for row in rows]
    needed = set(recovered(connection))
    old = [row for row in rows if row.ended_at < choice.before]
    return [row for row in old if row.id not in needed], [row.id for row in old if row.id in needed]


def _held(now: float) -> ColumnElement[bool]:
    """Whether an engine that is alive still has its hand on it."""
    held = and_(LEASES.c.execution == EXECUTIONS.c.id, LEASES.c.owner.is_not(None), LEASES.c.expires_at > now)
    return exists().where(held)


def _ends(connection: Connection, executions: Sequence[str]) -> Iterator[tuple[str, float]]:
    for start in range(0, len(executions), _CHUNK):
        ids = EVENTS.c.execution.in_(executions[start : start + _CHUNK])
        query = select(EVENTS.c.execution, func.min(EVENTS.c.at)).where(ids, EVENTS.c.type.in_(_ENDS))
        yield from (tuple(row) for row in connection.execute(query.group_by(EVENTS.c.execution)))


def recovered(connection: Connection) -> Iterator[str]:
    """The executions that one which has not ended takes successes over from."""
    query = (
        select(EVENTS.c.body)
        .join(EXECUTIONS, and_(EXECUTIONS.c.id == EVENTS.c.execution, EVENTS.c.seq == 1))
        .where(EXECUTIONS.c.state.not_in(_ENDED), EVENTS.c.body.like('%"recovers":%'))
    )
    for body in connection.execute(query).scalars():
        payload = _event(body).payload
        if isinstance(payload, ExecutionCreated) and payload.recovers:
            yield payload.recovers


def stored_bytes(connection: Connection, executions: Collection[str]) -> tuple[int, int]:
    """How many values these executions have, and the bytes of their events and values together."""
    ids = list(executions)
    literals = size = 0
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        for table in (EVENTS, LITERALS):
            query = select(func.count(), func.coalesce(func.sum(func.length(table.c.body)), 0))
            count, here = connection.execute(query.where(table.c.execution.in_(some))).one()
            size += int(here)
            literals += int(count) if table is LITERALS else 0
    return literals, size


# --- removing ----------------------------------------------------------------------------------------------------


def remove_executions(database: Database, executions: Sequence[Ended]) -> list[str]:
    """Remove executions that :func:`chosen` gave; those that went. Their values are left to :func:`remove_values`."""
    removed: list[str] = []
    for group in _groups(executions):
        ids = [row.id for row in group]
        removed += _in_turn(database, lambda connection, ids=ids: _remove(connection, ids))
    return removed


def _groups(executions: Sequence[Ended]) -> Iterator[list[Ended]]:
    group: list[Ended] = []
    rows = 0
    for row in executions:
        if group and (rows + row.events > ROWS or len(group) == _CHUNK):
            yield group
            group, rows = [], 0
        group.append(row)
        rows += row.events
    if group:
        yield group


def _remove(connection: Connection, executions: Sequence[str]) -> list[str]:
    needed = set(recovered(connection))  # one may have begun to recover since they were chosen
    known = select(EXECUTIONS.c.id).where(EXECUTIONS.c.id.in_(executions))
    ids = [each for each in connection.execute(known).scalars() if each not in needed]
    for table in (EVENTS, SNAPSHOTS, COMMANDS, JOBS):
        connection.execute(delete(table).where(table.c.execution.in_(ids)))
    connection.execute(delete(EXECUTIONS).where(EXECUTIONS.c.id.in_(ids)))
    leased = set(connection.execute(select(LEASES.c.execution).where(LEASES.c.execution.in_(ids))).scalars())
    ours: dict[str, Any] = {"owner": PRUNER, "expires_at": 0.0}
    if leased:
        change = update(LEASES).where(LEASES.c.execution.in_(leased))
        connection.execute(change.values(epoch=LEASES.c.epoch + 1, **ours))
    if len(leased) < len(ids):
        connection.execute(
            insert(LEASES), [{"execution": each, "epoch": 1, **ours} for each in ids if each not in leased]
        )
    return ids


def unfinished(connection: Connection) -> list[str]:
    """Executions that were removed, but not yet all of their values and files."""
    return list(connection.execute(select(LEASES.c.execution).where(LEASES.c.owner == PRUNER)).scalars())


def remove_values(database: Database, executions: Sequence[str]) -> None:
    """Remove the values of executions that were removed, and then the last that is known of them."""
    counts = database.read(lambda connection: _values(connection, executions))
    for execution in executions:
        if counts.get(execution, 0) > ROWS:
            some = select(LITERALS.c.digest).where(LITERALS.c.execution == execution).limit(ROWS).scalar_subquery()
            values = delete(LITERALS).where(LITERALS.c.execution == execution, LITERALS.c.digest.in_(some))
            while _in_turn(database, lambda connection, values=values: connection.execute(values).rowcount) >= ROWS:
                continue
    for group in _groups([Ended(each, 0.0, min(counts.get(each, 0), ROWS)) for each in executions]):
        _in_turn(database, lambda connection, ids=[row.id for row in group]: _forget(connection, ids))


def _values(connection: Connection, executions: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for start in range(0, len(executions), _CHUNK):
        some = LITERALS.c.execution.in_(executions[start : start + _CHUNK])
        query = select(LITERALS.c.execution, func.count()).where(some).group_by(LITERALS.c.execution)
        counts.update((execution, count) for execution, count in connection.execute(query))
    return counts


def _forget(connection: Connection, executions: Sequence[str]) -> None:
    connection.execute(delete(LITERALS).where(LITERALS.c.execution.in_(executions)))
    connection.execute(delete(LEASES).where(LEASES.c.execution.in_(executions), LEASES.c.owner == PRUNER))


def remove_graphs(database: Database, digests: Sequence[str], since: float) -> list[str]:
    """Remove graphs that nothing referred to at ``since``; those that went.

    A graph is kept before the log refers to it, so none goes while, or if since then, something ran that gives graphs.
    """

    def remove(connection: Connection, some: Sequence[str]) -> list[str]:
        active = connection.execute(select(EXECUTIONS.c.id).where(EXECUTIONS.c.updated_at >= since)).scalars().all()
        if any(_makes_graphs(connection, each) for each in active) or work(connection, since).makes_graphs:
            return []
        connection.execute(delete(SPECS).where(SPECS.c.digest.in_(some)))
        return list(some)

    removed: list[str] = []
    for start in range(0, len(digests), _CHUNK):
        some = digests[start : start + _CHUNK]
        removed += _in_turn(database, lambda connection, some=some: remove(connection, some))
    return removed


def states(database: Database, executions: Sequence[str]) -> dict[str, str]:
    """The states of those of ``executions`` that are there."""

    def ask(connection: Connection) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(executions), _CHUNK):
            query = select(EXECUTIONS.c.id, EXECUTIONS.c.state)
            some = query.where(EXECUTIONS.c.id.in_(executions[start : start + _CHUNK]))
            found.update((execution, state) for execution, state in connection.execute(some))
        return found

    return database.read(ask)


def knows_nothing(connection: Connection) -> bool:
    """Whether the database has neither an execution nor anything registered."""
    return all(connection.execute(select(table).limit(1)).first() is None for table in (EXECUTIONS, ENTITIES))


def give_back(database: Database, *, whole: bool) -> None:
    """Let SQLite return what was freed to the disk; PostgreSQL does so by itself.

    Args:
        database: the open database.
        whole: write the file anew without the gaps, which takes it from others meanwhile and needs as much space again.
    """
    dialect = database.dialect
    if not isinstance(dialect, SQLite):
        return

    def tidy() -> None:
        with closing(sqlite3.connect(dialect.path, isolation_level=None, timeout=1.0)) as connection:
            if whole:
                connection.execute("VACUUM")
            else:
                connection.execute("PRAGMA incremental_vacuum").fetchall()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    with translated(dialect.path):
        patiently(dialect.path, tidy)


def _in_turn(database: Database, operation: Any) -> Any:
    """Write, and leave as much time to the others as it took."""
    begun = time.monotonic()
    result = database.write(operation)
    time.sleep(min(time.monotonic() - begun, 0.2))
    return result


# --- what still runs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Work:
    """What may run at this moment.

    Args:
        since: when the oldest attempt was started, ``None`` where none runs.
        makes_graphs: whether an attempt may give a graph, which is kept before the log refers to it.
    """

    since: float | None = None
    makes_graphs: bool = False


def work(connection: Connection, now: float) -> Work:
    """The attempts that may run. An engine that has not renewed its lease for long is gone, and its workers with it."""
    alive = and_(LEASES.c.owner.is_not(None), LEASES.c.owner != PRUNER, LEASES.c.expires_at > now - UNTOUCHED_SECONDS)
    query = select(EXECUTIONS.c.id).join(LEASES, LEASES.c.execution == EXECUTIONS.c.id)
    live = connection.execute(query.where(alive, EXECUTIONS.c.state.not_in(_ENDED))).scalars().all()
    begun: list[float] = []
    makes_graphs = False
    for execution in live:
        attempts = _open_attempts(connection, execution)
        begun += attempts
        makes_graphs = makes_graphs or (bool(attempts) and _makes_graphs(connection, execution))
    return Work(min(begun, default=None), makes_graphs)


def _makes_graphs(connection: Connection, execution: str) -> bool:
    created = select(EVENTS.c.body).where(EVENTS.c.execution == execution, EVENTS.c.seq == 1)
    payload = _event(connection.execute(created).scalar_one()).payload
    if not isinstance(payload, ExecutionCreated):
        return True
    modes = or_(SPECS.c.body.like('%"mode":"dynamic"%'), SPECS.c.body.like('%"mode":"eager"%'))
    query = select(SPECS.c.digest).where(SPECS.c.digest == payload.spec, modes)
    return connection.execute(query).first() is not None


def _open_attempts(connection: Connection, execution: str) -> Collection[float]:
    query = select(EVENTS.c.body).where(EVENTS.c.execution == execution, EVENTS.c.type.in_(_WORK))
    begun: dict[str, float] = {}
    for body in connection.execute(query.order_by(EVENTS.c.seq)).scalars():
        event = _event(body)
        match event.payload:
            case ExecutionOwned():
                begun.clear()
            case AttemptStarted(node=node):
                begun[node] = event.at
            case ItemsStarted(node=node, items=items):
                begun.update({f"{node}/{index}": event.at for index, _ in items})
            case ItemsSucceeded(node=node, items=items):
                for index, _, _ in items:
                    begun.pop(f"{node}/{index}", None)
            case NodeExpanded(node=node, spec=spec) if spec:  # an eager task expands and goes on
                begun.pop(node, None)
            case AttemptFailed(node=node) | AttemptLost(node=node) | NodeSucceeded(node=node) | NodeFailed(node=node):
                begun.pop(node, None)
            case _:
                continue
    return begun.values()


def _event(body: str) -> Event:
    return read_event(json.loads(body))
