"""The list of executions: a projection of the log, folded event by event, rebuilt from the log at any time.

What a row says follows from the events alone, so that a rebuilt table is equal to the one it replaces.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from sqlalchemy import and_, bindparam, delete, func, insert, select, tuple_, update

from flytepath.errors import StoreError, UsageError
from flytepath.model.events import (
    Event,
    ExecutionAborted,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionOwned,
    ExecutionSucceeded,
    read_event,
)
from flytepath.store.dialect import Statement
from flytepath.store.schema import EVENTS, EXECUTIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

ExecutionState = Literal["running", "succeeded", "failed", "aborted"]
STATES: Final = ("running", "succeeded", "failed", "aborted")

_END_STATE: Final[Mapping[type, ExecutionState]] = {
    ExecutionSucceeded: "succeeded",
    ExecutionFailed: "failed",
    ExecutionAborted: "aborted",
}
#: How many rows are read and written at a time when all are.
_CHUNK: Final = 500
#: The only events whose payload a row depends on.
_TELLING: Final = (
    "execution_created",
    "execution_owned",
    "execution_succeeded",
    "execution_failed",
    "execution_aborted",
)


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """One execution in a list.

    Args:
        id: the execution.
        project, domain: whose it is.
        workflow, version: what runs.
        state: ``running`` until its last event says otherwise.
        created_at, updated_at: when its first and its latest event were appended, seconds since the epoch (UTC).
        last_seq: the ``seq`` of its latest event.
        owner: the engine that took it last, ``None`` before the first.
    """

    id: str
    project: str
    domain: str
    workflow: str
    version: str
    state: ExecutionState
    created_at: float
    updated_at: float
    last_seq: int
    owner: str | None = None

    @property
    def cursor(self) -> str:
        """Where a list goes on after this row."""
        return f"{self.created_at!r}|{self.id}"


#: The values to set in the row of an execution when events are appended to it.
Change = dict[str, Any]


def change(events: Sequence[Event]) -> Change:
    """What ``events``, which are about to be appended, do to the row of their execution.

    Raises:
        StoreError: they are the first of a log and do not begin with its creation.
    """
    if events[0].seq > 1:
        return _changes(events)
    row: ExecutionRow | None = None
    for event in events:
        row = fold(row, event)
    return asdict(cast(ExecutionRow, row))


def project(connection: Connection, changes: Mapping[str, Change]) -> None:
    """Bring the rows of executions up to date."""
    alike: dict[tuple[str, ...], list[Change]] = {}
    for execution, values in changes.items():
        if "created_at" in values:
            alike.setdefault((), []).append(values)
        else:
            columns = tuple(column for column in _CHANGING if column in values)
            alike.setdefault(columns, []).append({**values, "execution": execution})
    for columns, rows in alike.items():
        _WRITE[columns].each(connection, rows)


def _update(*columns: str) -> Statement:
    values: dict[str, Any] = {name: bindparam(name) for name in columns}
    return Statement(lambda: update(EXECUTIONS).where(EXECUTIONS.c.id == bindparam("execution")).values(values))


_CHANGING: Final[tuple[str, ...]] = ("updated_at", "last_seq", "owner", "state")
#: By the columns that change, because some of them stand in indexes; none: a row that is new.
_WRITE: Final[Mapping[tuple[str, ...], Statement]] = {
    (): Statement(lambda: insert(EXECUTIONS)),
    **{columns: _update(*columns) for columns in (_CHANGING, _CHANGING[:3], _CHANGING[:2], (*_CHANGING[:2], "state"))},
}


def rebuild(connection: Connection) -> int:
    """Drop every row and fold the whole log again; the number of executions.

    Of the events that a row does not depend on only the number and the time are read, and rows are written as they are
    told, so that a long log needs no more memory than a short one.
    """
    connection.execute(delete(EXECUTIONS))
    last = select(EVENTS.c.execution, func.max(EVENTS.c.seq).label("seq")).group_by(EVENTS.c.execution).subquery()
    same = (EVENTS.c.execution == last.c.execution, EVENTS.c.seq == last.c.seq)
    latest = select(EVENTS.c.execution, EVENTS.c.seq, EVENTS.c.at).join(last, and_(*same)).subquery()
    telling = (
        select(EVENTS.c.execution, EVENTS.c.body, latest.c.seq, latest.c.at)
        .join(latest, EVENTS.c.execution == latest.c.execution)
        .where(EVENTS.c.type.in_(_TELLING))
        .order_by(EVENTS.c.execution, EVENTS.c.seq)
    )
    count = 0
    found = connection.execute(telling, execution_options={"yield_per": _CHUNK})
    rows: list[ExecutionRow] = []
    for _, told in groupby(found, key=itemgetter(0)):
        row: ExecutionRow | None = None
        for _, body, seq, at in told:
            row = replace(fold(row, read_event(json.loads(body))), updated_at=at, last_seq=seq)
        rows.append(cast(ExecutionRow, row))
        if len(rows) == _CHUNK:
            connection.execute(insert(EXECUTIONS), [asdict(item) for item in rows])
            count, rows = count + len(rows), []
    if rows:
        connection.execute(insert(EXECUTIONS), [asdict(item) for item in rows])
    return count + len(rows)


def fold(row: ExecutionRow | None, event: Event) -> ExecutionRow:
    """The row after ``event``."""
    payload = event.payload
    if row is None:
        if not isinstance(payload, ExecutionCreated):
            raise StoreError(
                "a log begins with the creation of its execution",
                place=event.execution,
                expected="execution_created",
                actual=payload.type,
            )
        return ExecutionRow(
            id=event.execution,
            project=payload.project,
            domain=payload.domain,
            workflow=payload.workflow,
            version=payload.workflow_version,
            state="running",
            created_at=event.at,
            updated_at=event.at,
            last_seq=event.seq,
        )
    return replace(row, **_changes([event]))


def _changes(events: Sequence[Event]) -> Change:
    changes: Change = {"updated_at": events[-1].at, "last_seq": events[-1].seq}
    for event in events:
        if isinstance(event.payload, ExecutionOwned):
            changes["owner"] = event.payload.owner
        elif type(event.payload) in _END_STATE:
            changes["state"] = _END_STATE[type(event.payload)]
    return changes


def newest(
    connection: Connection,
    *,
    project: str | None,
    domain: str | None,
    state: str | None,
    limit: int,
    cursor: str | None,
) -> list[ExecutionRow]:
    """A page of the list, newest first."""
    query = select(EXECUTIONS).order_by(EXECUTIONS.c.created_at.desc(), EXECUTIONS.c.id.desc()).limit(limit)
    for column, wanted in ((EXECUTIONS.c.project, project), (EXECUTIONS.c.domain, domain), (EXECUTIONS.c.state, state)):
        if wanted is not None:
            query = query.where(column == wanted)
    if cursor is not None:
        query = query.where(tuple_(EXECUTIONS.c.created_at, EXECUTIONS.c.id) < tuple_(*read_cursor(cursor)))
    return [ExecutionRow(**row) for row in connection.execute(query).mappings()]


def read_cursor(cursor: str) -> tuple[float, str]:
    """Where a page begins: the time and the id of the row before; raises :class:`UsageError` where it is none."""
    at, _, execution = cursor.partition("|")
    try:
        return float(at), execution
    except ValueError as error:
        raise UsageError(
            "this is not where a list can go on", expected="the cursor of a listed row", actual=cursor
        ) from error
