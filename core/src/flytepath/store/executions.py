"""The list of executions: a projection of the log, folded event by event, rebuilt from the log at any time.

What a row says follows from the events alone, so that a rebuilt table is equal to the one it replaces.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from sqlalchemy import delete, insert, select, tuple_, update

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


def project(connection: Connection, execution: str, events: Sequence[Event]) -> None:
    """Bring the row of ``execution`` up to date with ``events``, which were just appended."""
    first = events[0]
    if first.seq == 1:
        connection.execute(insert(EXECUTIONS).values(**asdict(_fold_all(None, events))))
        return
    changes = _changes(events)
    connection.execute(update(EXECUTIONS).where(EXECUTIONS.c.id == execution).values(**changes))


def rebuild(connection: Connection) -> int:
    """Drop every row and fold the whole log again; the number of executions."""
    connection.execute(delete(EXECUTIONS))
    rows: list[ExecutionRow] = []
    count = 0
    query = select(EVENTS.c.execution, EVENTS.c.seq, EVENTS.c.at, EVENTS.c.type, EVENTS.c.body)
    row: ExecutionRow | None = None
    for execution, seq, at, kind, body in connection.execute(query.order_by(EVENTS.c.execution, EVENTS.c.seq)):
        if row is not None and row.id != execution:
            rows.append(row)
            row = None
            count += 1
        if kind in _TELLING:
            row = fold(row, read_event(json.loads(body)))
        elif row is not None:
            row = replace(row, updated_at=at, last_seq=seq)
    if row is not None:
        rows.append(row)
        count += 1
    if rows:
        connection.execute(insert(EXECUTIONS), [asdict(item) for item in rows])
    return count


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


def _fold_all(row: ExecutionRow | None, events: Sequence[Event]) -> ExecutionRow:
    for event in events:
        row = fold(row, event)
    return cast(ExecutionRow, row)


def _changes(events: Sequence[Event]) -> dict[str, Any]:
    changes: dict[str, Any] = {"updated_at": events[-1].at, "last_seq": events[-1].seq}
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
        query = query.where(tuple_(EXECUTIONS.c.created_at, EXECUTIONS.c.id) < tuple_(*_read_cursor(cursor)))
    return [ExecutionRow(**row) for row in connection.execute(query).mappings()]


def _read_cursor(cursor: str) -> tuple[float, str]:
    at, _, execution = cursor.partition("|")
    try:
        return float(at), execution
    except ValueError as error:
        raise UsageError(
            "this is not where a list can go on", expected="the cursor of a listed row", actual=cursor
        ) from error
