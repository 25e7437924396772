"""Appending and reading: the rows of the log and of the literals beside it, inside a transaction somebody else holds.

An append is refused unless its events follow the last one and its epoch is the one of the current lease. Both are
checked in the transaction that inserts, so that an engine that lost its lease can never write again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, insert, select

from flytepath.errors import LiteralError, NotFoundError, SequenceConflictError, StoreCorruptError
from flytepath.model.events import Event, read_event
from flytepath.model.literal import Literal, canonical_json
from flytepath.store import executions, leases
from flytepath.store.dialect import Statement, insert_or_keep
from flytepath.store.schema import EVENTS, LEASES, LITERALS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

#: How many digests one query asks for; databases limit the parameters of a statement.
_CHUNK = 500

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
    current, last = _look(connection, execution, begins=expected_seq == 0)
    mine = epoch == current or expected_seq == 0
    if rows and last > expected_seq and mine and _are_there(connection, execution, expected_seq, rows):
        return
    if current != epoch:
        raise SequenceConflictError(
            "another engine has taken this execution over",
            place=execution,
            expected=f"lease epoch {current}",
            actual=f"lease epoch {epoch}",
            hint="stop working on it; its new owner goes on from the log",
        )
    if last != expected_seq:
        raise SequenceConflictError(
            "this execution exists already" if expected_seq == 0 else "another writer appended first",
            place=execution,
            expected=f"last event {last}",
            actual=f"last event {expected_seq}",
            hint="read the events after the last one you know, then decide again",
        )
    if rows:
        change = executions.change(events)
        _INSERT_EVENTS.each(connection, rows)
        executions.project(connection, execution, change)
    if literals:
        _INSERT_LITERALS.each(connection, literals)


def _look(connection: Connection, execution: str, *, begins: bool) -> tuple[int, int]:
    """The epoch of the lease, which stays locked until the transaction ends, and the number of the latest event."""
    if begins:
        leases.found(connection, [execution])
    found = _CHECK.one(connection, {"execution": execution})
    if found is None and connection.execute(_latest(execution)).scalar() is not None:
        # Created by a release that wrote no lease before somebody took one.
        leases.found(connection, [execution])
        found = _CHECK.one(connection, {"execution": execution})
    epoch, last = found or (0, None)
    return epoch, last or 0


def _are_there(connection: Connection, execution: str, after: int, rows: Sequence[EventRow]) -> bool:
    """Whether the events were appended before, exactly these."""
    wanted = (EVENTS.c.execution == execution, EVENTS.c.seq > after, EVENTS.c.seq <= after + len(rows))
    found = connection.execute(select(EVENTS.c.body).where(*wanted).order_by(EVENTS.c.seq)).scalars().all()
    return found == [row["body"] for row in rows]


def _check() -> Select[Any]:
    last = select(func.max(EVENTS.c.seq)).where(EVENTS.c.execution == LEASES.c.execution).scalar_subquery()
    # Locked, so that no takeover comes between this look and what follows.
    return select(LEASES.c.epoch, last).where(LEASES.c.execution == bindparam("execution")).with_for_update(of=LEASES)


_CHECK: Final = Statement(_check)
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


def decoded(execution: str, bodies: Iterable[str]) -> list[Event]:
    """Stored events, read; raises :class:`StoreCorruptError` where one is damaged."""
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
