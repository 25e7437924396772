"""Appending and reading: the rows of the log and of the literals beside it, inside a transaction somebody else holds.

An append is refused unless its events follow the last one and its epoch is the one of the current lease. Both are
checked in the transaction that inserts, so that an engine that lost its lease can never write again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, insert, select

from flytepath.errors import LiteralError, NotFoundError, SequenceConflictError, StoreCorruptError, StoreError
from flytepath.model.events import Event, read_event
from flytepath.model.literal import Literal, canonical_json
from flytepath.store import executions, jobs, leases
from flytepath.store.collector import collector_paused
from flytepath.store.dialect import Statement, insert_or_keep
from flytepath.store.schema import EVENTS, LEASES, LITERALS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

#: How many digests one query asks for; databases limit the parameters of a statement.
_CHUNK = 500
#: From how many events on the collector of cycles is in the way.
_MANY: Final = 500

EventRow = dict[str, str | int | float]
LiteralRow = dict[str, str]


def event_rows(execution: str, expected_seq: int, events: Sequence[Event]) -> list[EventRow]:
    """``events`` as they are stored, checked to be the next ones of ``execution`` after ``expected_seq``."""
    rows: list[EventRow] = []
    for seq, event in enumerate(events, expected_seq + 1):
        if event.seq != seq or event.execution != execution:
            raise SequenceConflictError(
                "these events do not follow one another",
                place=execution,
                expected=f"event {seq} of {execution}",
                actual=f"event {event.seq} of {event.execution}",
            )
        body = canonical_json(event.to_json()).decode("ascii")
        rows.append({"execution": execution, "seq": seq, "at": event.at, "type": event.payload.type, "body": body})
    return rows


def literal_rows(execution: str, literals: Iterable[Literal]) -> list[LiteralRow]:
    """``literals`` as they are stored, each digest once."""
    return [
        {"execution": execution, "digest": digest, "body": canonical_json(literal.to_json()).decode("ascii")}
        for digest, literal in {literal.digest: literal for literal in literals}.items()
    ]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one append writes: ``events`` and, made ready before the writer's turn, the rows of them and of literals.

    The events follow number ``expected_seq`` of ``execution`` and are written under the lease with ``epoch``.
    """

    execution: str
    expected_seq: int
    epoch: int
    events: Sequence[Event]
    rows: Sequence[EventRow]
    literals: Sequence[LiteralRow]


def append(
    connection: Connection,
    execution: str,
    expected_seq: int,
    epoch: int,
    events: Sequence[Event],
    rows: Sequence[EventRow],
    literals: Sequence[LiteralRow],
) -> None:
    """Insert the rows and bring the projections up to date, or raise :class:`SequenceConflictError`.

    It is refused before anything is written, if at all. Events that are there already, to the letter, are accepted: who
    lost the connection while they were written asks again.
    """
    (refused,) = append_all(connection, [Entry(execution, expected_seq, epoch, events, rows, literals)])
    if refused is not None:
        raise refused


def append_all(connection: Connection, entries: Sequence[Entry]) -> list[StoreError | None]:
    """Append each of ``entries`` as if one came after the other, with as few statements as one needs.

    Returns:
        Of each, the error it is refused with, or ``None``; what is refused leaves no trace.
    """
    heads = _heads(connection, entries)
    pending = _Pending([], [], {}, {})
    refusals: list[StoreError | None] = []
    for entry in entries:
        head = heads[entry.execution]
        mine = entry.epoch == head.epoch or entry.expected_seq == 0
        if entry.rows and head.last > entry.expected_seq and mine:
            pending.write(connection)
            if _are_there(connection, entry):
                refusals.append(None)
                continue
        try:
            _check(entry, head)
            change = executions.change(entry.events) if entry.rows else {}
        except StoreError as error:
            refusals.append(error)
            continue
        pending.add(entry, change)
        head.last += len(entry.rows)
        refusals.append(None)
    pending.write(connection)
    return refusals


@dataclass(slots=True)
class _Head:
    """The epoch of an execution's lease, 0 before the first, and the number of its latest event."""

    epoch: int
    last: int


@dataclass(slots=True)
class _Pending:
    """Rows to write, and what becomes of the rows of executions and of jobs in the lists."""

    events: list[EventRow]
    literals: list[LiteralRow]
    changes: dict[str, executions.Change]
    job_changes: jobs.Changes

    def add(self, entry: Entry, change: executions.Change) -> None:
        self.events += entry.rows
        self.literals += entry.literals
        if change:
            self.changes[entry.execution] = {**self.changes.get(entry.execution, {}), **change}
        jobs.gather(self.job_changes, entry.events)

    def write(self, connection: Connection) -> None:
        if self.events:
            _INSERT_EVENTS.each(connection, self.events)
            executions.project(connection, self.changes)
        if self.job_changes:
            jobs.project(connection, self.job_changes)
        if self.literals:
            _INSERT_LITERALS.each(connection, self.literals)
        self.events, self.literals, self.changes, self.job_changes = [], [], {}, {}


def _check(entry: Entry, head: _Head) -> None:
    if entry.epoch != head.epoch:
        raise SequenceConflictError(
            "another engine has taken this execution over",
            place=entry.execution,
            expected=f"lease epoch {head.epoch}",
            actual=f"lease epoch {entry.epoch}",
            hint="stop working on it; its new owner goes on from the log",
        )
    if entry.expected_seq != head.last:
        raise SequenceConflictError(
            "this execution exists already" if entry.expected_seq == 0 else "another writer appended first",
            place=entry.execution,
            expected=f"last event {head.last}",
            actual=f"last event {entry.expected_seq}",
            hint="read the events after the last one you know, then decide again",
        )


def _heads(connection: Connection, entries: Sequence[Entry]) -> dict[str, _Head]:
    """Where each execution stands. The leases stay locked until the transaction ends: no takeover comes in between."""
    leases.found(connection, sorted({entry.execution for entry in entries if entry.expected_seq == 0}))
    names = sorted({entry.execution for entry in entries})
    heads = _found_heads(connection, names)
    for name in names:
        if name in heads:
            continue
        if connection.execute(_latest(name)).scalar() is None:
            heads[name] = _Head(0, 0)
        else:
            # Created by a release that wrote no lease before somebody took one.
            leases.found(connection, [name])
            heads.update(_found_heads(connection, [name]))
    return heads


def _found_heads(connection: Connection, names: Sequence[str]) -> dict[str, _Head]:
    if len(names) == 1:
        one = _HEAD.one(connection, {"execution": names[0]})
        rows = [] if one is None else [one]
    else:
        # In one order, so that two engines do not wait for each other.
        query = _head().where(LEASES.c.execution.in_(names)).order_by(LEASES.c.execution)
        rows = [tuple(row) for row in connection.execute(query)]
    return {name: _Head(epoch, last or 0) for name, epoch, last in rows}


def _are_there(connection: Connection, entry: Entry) -> bool:
    """Whether the events were appended before, exactly these."""
    until = entry.expected_seq + len(entry.rows)
    found = bodies(connection, entry.execution, entry.expected_seq, until)
    return list(found) == [row["body"] for row in entry.rows]


def _head() -> Select[Any]:
    last = select(func.max(EVENTS.c.seq)).where(EVENTS.c.execution == LEASES.c.execution).scalar_subquery()
    return select(LEASES.c.execution, LEASES.c.epoch, last).with_for_update(of=LEASES)


_HEAD: Final = Statement(lambda: _head().where(LEASES.c.execution == bindparam("execution")))
_INSERT_EVENTS: Final = Statement(lambda: insert(EVENTS))
_INSERT_LITERALS: Final = insert_or_keep(LITERALS)


def bodies(connection: Connection, execution: str, after: int, until: int | None = None) -> Sequence[str]:
    """The stored events of ``execution`` with a ``seq`` over ``after``, and up to ``until``."""
    query = select(EVENTS.c.body).where(EVENTS.c.execution == execution, EVENTS.c.seq > after).order_by(EVENTS.c.seq)
    if until is not None:
        query = query.where(EVENTS.c.seq <= until)
    found = connection.execute(query).scalars().all()
    if not found:
        last_seq(connection, execution)
    return found


def decoded(execution: str, bodies: Sequence[str]) -> list[Event]:
    """Stored events, read; raises :class:`StoreCorruptError` where one is damaged."""
    with collector_paused(len(bodies) > _MANY):
        return [_read(execution, body) for body in bodies]


def _read(execution: str, body: str) -> Event:
    try:
        return read_event(json.loads(body))
    except ValueError as error:
        if isinstance(error, LiteralError) and "upgrade" in (error.hint or ""):
            raise
        raise _damaged(f"an event of execution {execution}", body) from error


def last_seq(connection: Connection, execution: str) -> int:
    """The ``seq`` of the latest event; raises :class:`NotFoundError` where there is no such execution."""
    last = connection.execute(_latest(execution)).scalar()
    if last is None:
        raise leases.no_execution(execution)
    return int(last)


def _latest(execution: str) -> Select[Any]:
    return select(func.max(EVENTS.c.seq)).where(EVENTS.c.execution == execution)


def read_literals(connection: Connection, execution: str, digests: Sequence[str]) -> dict[str, Literal]:
    """Literals by digest; raises :class:`NotFoundError` where one is missing."""
    found = stored_literals(connection, execution, digests)
    for digest in digests:
        if digest not in found:
            raise NotFoundError(
                f"execution {execution!r} keeps no value with this digest",
                place=execution,
                expected=digest,
                hint="the value was erased, or belongs to another execution",
            )
    return {digest: _read_literal(execution, found[digest]) for digest in digests}


def stored_literals(connection: Connection, execution: str, digests: Sequence[str]) -> dict[str, str]:
    """The stored form of those of ``digests`` that are there."""
    found: dict[str, str] = {}
    for start in range(0, len(digests), _CHUNK):
        wanted = LITERALS.c.digest.in_(digests[start : start + _CHUNK])
        query = select(LITERALS.c.digest, LITERALS.c.body).where(LITERALS.c.execution == execution, wanted)
        found.update((digest, body) for digest, body in connection.execute(query))
    return found


def _read_literal(execution: str, body: str) -> Literal:
    try:
        return Literal.from_json(json.loads(body))
    except ValueError as error:
        if isinstance(error, LiteralError) and "upgrade" in (error.hint or ""):
            raise
        raise _damaged(f"a value of execution {execution}", body) from error


def _damaged(place: str, body: str) -> StoreCorruptError:
    return StoreCorruptError(
        "a record of the database is damaged",
        place=place,
        expected="JSON as FlytePath writes it",
        actual=body[:200],
        hint="restore the database from a backup",
    )


def copy_literals(connection: Connection, former: str, execution: str) -> None:
    """Give ``execution`` the values of ``former`` that it does not have."""
    known = select(LITERALS.c.digest).where(LITERALS.c.execution == execution)
    rows = select(bindparam("new", execution), LITERALS.c.digest, LITERALS.c.body)
    rows = rows.where(LITERALS.c.execution == former, LITERALS.c.digest.not_in(known))
    connection.execute(insert(LITERALS).from_select(["execution", "digest", "body"], rows))
