"""The query history: how queries are found by their tag.

The table function ``QUERY_HISTORY_BY_USER`` gives the newest rows of the user who asks, up to a limit and before any
condition; those that run come first. So it is read in pages that go back in time, until one is not full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from flytepath.plugin import BackendError, ErrorClass

_COLUMNS: Final = "query_id, query_tag, execution_status, error_code, error_message"


@dataclass(frozen=True, slots=True)
class Row:
    """One query of the history; ``error_code`` is -1 where there is none."""

    query_id: str
    tag: str
    state: str
    error_code: int = -1
    error_message: str = ""


class Told(Exception):
    """What the history says of a query that failed, in the shape of the connector's errors."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.error_message)
        self.errno, self.msg, self.sqlstate = row.error_code, row.error_message, None


def error_of_row(row: Row) -> Told | None:
    """The error of a query, if it has one."""
    return Told(row) if row.error_code >= 0 else None


def pages(
    connection: Any, *, database: str, hours: int, size: int, condition: str, value: str
) -> Iterator[tuple[Row, ...]]:
    """The queries of the session's user that meet a condition, a page of the history at a time, the newest page first.

    Args:
        connection: where to ask.
        database: any that the role may use: each has the function in its INFORMATION_SCHEMA.
        hours: how far back.
        size: rows of a page before the condition.
        condition: SQL over the columns, with one ``?``.
        value: for the ``?``.

    Yields:
        what is new of each page, those that began first in front.
    """
    seen: set[str] = set()
    before: Any = None
    while True:
        page, oldest, full = _page(connection, database, hours, size, condition, value, before)
        fresh = tuple(row for row in page if row.query_id not in seen)
        seen.update(row.query_id for row in fresh)
        if fresh:
            yield fresh
        if not full or oldest is None or oldest == before:
            return
        before = oldest


def first_of(connection: Any, **asked: Any) -> Row | None:
    """The query of a tag: the first of the newest page that has any.

    The single statements of one with several bear its tag too, begin after it, and end before it does.
    """
    return next((page[0] for page in pages(connection, **asked)), None)


def _page(
    connection: Any, database: str, hours: int, size: int, condition: str, value: str, before: Any
) -> tuple[list[Row], Any, bool]:
    # As a number: how moments are written is a parameter of the account. The next whole millisecond, so that nothing is
    # left out that ended within the same; what comes twice is known by its id.
    until = "" if before is None else f"end_time_range_end => to_timestamp_ltz({int(before) + 1:d}, 3), "
    # Of a query that runs, the end is the beginning of time.
    ended = "case when end_time > '1971-01-01'::timestamp_ltz then end_time end"
    text = (
        f"select {_COLUMNS}, ours, page_rows, date_part(epoch_millisecond, oldest) as oldest "
        f"from (select {_COLUMNS}, start_time, ({condition}) as ours, "
        f"count(*) over () as page_rows, min({ended}) over () as oldest, "
        "row_number() over (order by start_time desc) as place "
        f"from table({quoted(database)}.information_schema.query_history_by_user("
        f"end_time_range_start => dateadd(hour, -{hours:d}, current_timestamp()), {until}result_limit => {size:d}))"
        ") where ours or place = 1 order by start_time"
    )
    with connection.cursor() as cursor:
        rows = cursor.execute(text, (value,)).fetchall()
    found = [
        Row(id, tag or "", str(state), int(code) if code not in (None, "") else -1, message or "")
        for id, tag, state, code, message, ours, *_ in rows
        if ours
    ]
    return found, (rows[0][7] if rows else None), bool(rows) and int(rows[0][6]) >= size


def quoted(name: str) -> str:
    """The name of a database as Snowflake takes it: as it is where that is plain, else between quotes.

    Raises:
        BackendError: there is none.

    Example:
        >>> quoted("SALES"), quoted("my db")
        ('SALES', '"my db"')
    """
    if not name:
        raise BackendError(
            "no database is named: queries are looked for in the INFORMATION_SCHEMA of one",
            error_class=ErrorClass.INVALID,
            accepted=False,
            hint="set database in [backends.snowflake] or SnowflakeConfig",
        )
    if name.isidentifier() and name.isascii():
        return name
    inner = name[1:-1].replace('""', '"') if name.startswith('"') and name.endswith('"') else name
    return '"' + inner.replace('"', '""') + '"'
