"""Lists of executions by what they are: workflow, age, labels, and whether they are paused.

The rows are those of the projection; what a row does not say is read from the first event of its log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, tuple_

from flytepath.errors import UsageError
from flytepath.model.literal import canonical_text
from flytepath.store.executions import STATES, ExecutionRow, read_cursor
from flytepath.store.schema import EVENTS, EXECUTIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from flytepath.store.database import Database


@dataclass(frozen=True, slots=True)
class Listed:
    """An execution in a list: its row, and the payload of its first event as JSON."""

    row: ExecutionRow
    created: Mapping[str, Any]


def listed(
    database: Database,
    *,
    project: str | None = None,
    domain: str | None = None,
    state: str | None = None,
    workflow: str | None = None,
    since: float | None = None,
    labels: Mapping[str, str] | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> list[Listed]:
    """A page of executions, newest first.

    Args:
        database: where they are kept.
        project, domain, state: list only these.
        workflow: only those of this workflow, task or launch plan: its whole name, or the last part of it.
        since: only those that were created at this time or later (seconds since the epoch, UTC).
        labels: only those that have all of these.
        limit: the most rows.
        cursor: the ``cursor`` of the last row of the page before.

    Raises:
        UsageError: a cursor, state or limit that cannot be.
    """
    if state is not None and state not in STATES:
        raise UsageError(f"there is no state {state!r}", expected=", ".join(STATES), actual=state)
    if limit < 1:
        raise UsageError("a page has at least one row", expected="a limit of 1 or more", actual=str(limit))
    table = EXECUTIONS.c
    query = select(EXECUTIONS, EVENTS.c.body).join(EVENTS, (EVENTS.c.execution == table.id) & (EVENTS.c.seq == 1))
    for column, wanted in ((table.project, project), (table.domain, domain), (table.state, state)):
        if wanted is not None:
            query = query.where(column == wanted)
    if workflow is not None:
        query = query.where((table.workflow == workflow) | table.workflow.endswith(f".{workflow}", autoescape=True))
    if since is not None:
        query = query.where(table.created_at >= since)
    for key, value in (labels or {}).items():
        # Leaves most of the others to the database; which it really is, the parsed event says.
        query = query.where(EVENTS.c.body.contains(f"{canonical_text(key)}:{canonical_text(value)}", autoescape=True))
    query = query.order_by(table.created_at.desc(), table.id.desc())

    def page(connection: Connection) -> list[Listed]:
        found: list[Listed] = []
        after = None if cursor is None else read_cursor(cursor)
        while len(found) < limit:
            next_rows = query if after is None else query.where(tuple_(table.created_at, table.id) < tuple_(*after))
            rows = connection.execute(next_rows.limit(limit)).mappings().all()
            for row in rows:
                fields = dict(row)
                created: dict[str, Any] = json.loads(fields.pop("body"))["payload"]
                own: dict[str, str] = created.get("labels") or {}
                if all(own.get(key) == value for key, value in (labels or {}).items()):
                    found.append(Listed(ExecutionRow(**fields), created))
            if len(rows) < limit:
                break
            after = (rows[-1]["created_at"], rows[-1]["id"])
        return found[:limit]

    return database.read(page)


def paused_among(database: Database, executions: Iterable[str]) -> set[str]:
    """Those of ``executions`` that somebody has paused and nobody has continued since."""
    wanted = list(executions)
    telling = ("execution_paused", "execution_continued")

    def query(connection: Connection) -> set[str]:
        latest = (
            select(EVENTS.c.execution, func.max(EVENTS.c.seq).label("seq"))
            .where(EVENTS.c.execution.in_(wanted), EVENTS.c.type.in_(telling))
            .group_by(EVENTS.c.execution)
            .subquery()
        )
        rows = connection.execute(
            select(EVENTS.c.execution, EVENTS.c.type).join(
                latest, (EVENTS.c.execution == latest.c.execution) & (EVENTS.c.seq == latest.c.seq)
            )
        )
        return {execution for execution, kind in rows if kind == "execution_paused"}

    return database.read(query) if wanted else set()


def near_ids(database: Database, execution: str, limit: int = 3) -> list[str]:
    """Ids that begin as ``execution`` does, or that it begins with; the newest first."""
    import difflib

    def query(connection: Connection) -> list[str]:
        columns = select(EXECUTIONS.c.id).order_by(EXECUTIONS.c.created_at.desc(), EXECUTIONS.c.id.desc())
        starting = columns.where(EXECUTIONS.c.id.startswith(execution, autoescape=True)).limit(limit)
        found = list(connection.execute(starting).scalars())
        newest = list(connection.execute(columns.limit(500)).scalars())
        close = difflib.get_close_matches(execution, newest, n=limit, cutoff=0.7)
        return list(dict.fromkeys([*found, *close]))[:limit]

    return database.read(query)
