"""``INFORMATION_SCHEMA.QUERY_HISTORY_BY_USER`` of the double, after the page QUERY_HISTORY, QUERY_HISTORY_BY_*.

The limit, of 10,000 at the most, counts before any condition. Without an end of the range queries that run are there
too, and come first; with one, only those that ended before. What runs has the beginning of time as its end. Without
``USER_NAME`` they are those of the current user. Nobody sees more than seven days. A database that is not there, or not
granted, is error 002003.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import Final

from flyte_plugin_snowflake.testing.account import Account, Query, Refusal

_CALL: Final = re.compile(
    r"table\((\"(?:[^\"]|\"\")+\"|[\w$]+)\.information_schema\.query_history_by_user\((.*?result_limit => (\d+))\)\)",
    re.S,
)
_LIMIT: Final = 10_000


def rewritten(account: Account, text: str, user: str) -> str:
    """A statement with the table function replaced by the rows it gives.

    Raises:
        Refusal: an argument that the service refuses.
    """
    return _CALL.sub(lambda found: _rows(account, user, found.group(1), found.group(2), int(found.group(3))), text)


def _rows(account: Account, user: str, database: str, arguments: str, limit: int) -> str:
    name = database[1:-1].replace('""', '"') if database.startswith('"') else database.upper()
    if name not in account.databases:
        raise Refusal("002003", f"SQL compilation error:\nDatabase '{name}' does not exist or not authorized.", "02000")
    if not 1 <= limit <= _LIMIT:
        raise Refusal("001045", f"SQL compilation error:\nresult_limit {limit} is out of range", "22023")
    hours = re.search(r"dateadd\(hour, -(\d+),", arguments)
    if hours is not None and int(hours.group(1)) > 7 * 24:
        raise Refusal("001045", "SQL compilation error:\nthe time range is not within the last 7 days", "22023")
    until = re.search(r"end_time_range_end => to_timestamp_ltz\((\d+), 3\)", arguments)
    found = [q for q in list(account.queries.values()) if q.user == user and time.time() >= q.visible and q.now()]
    if until:
        latest = int(until.group(1)) / 1000
        found = [q for q in found if q.ended is not None and q.ended <= latest]
    found.sort(key=lambda q: (q.ended is None, q.ended or q.started), reverse=True)
    return _table(found[:limit])


def _table(found: list[Query]) -> str:
    def text(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    def moment(at: float | None) -> str:
        return text(dt.datetime.fromtimestamp(at or 0, dt.UTC).replace(tzinfo=None).isoformat(" ")) + "::timestamp_ntz"

    lines = [
        f"select {text(q.id)} as query_id, {text(q.tag)} as query_tag, {text(q.now())} as execution_status, "
        f"{text(str(q.code)) if q.code >= 0 else 'null::varchar'} as error_code, {text(q.message)} as error_message, "
        f"{moment(q.started)} as start_time, {moment(q.ended)} as end_time"
        for q in found
    ]
    nothing = _table([Query("", "", "", "", "", 0, 0, ended=1)])[1:-1] + " where 1 = 0" if not found else ""
    return "(" + (" union all ".join(lines) or nothing) + ")"
