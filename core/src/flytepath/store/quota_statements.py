"""The statements on the quota tables, in words that both databases understand, and rows as they come and go."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from flytepath.model.literal import canonical_text
from flytepath.store.dialect import Statement
from flytepath.store.quota_rows import AccountRow, Asks, LeaseRow, PoolRow, WaiterRow
from flytepath.store.schema import QUOTA_LEASES

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: How many keys one statement names; databases limit the parameters of a statement.
_CHUNK: Final = 512

WAITER: Final = tuple(WaiterRow.__slots__)
LEASE: Final = tuple(LeaseRow.__slots__)
#: Leases that stay when their holder is gone.
OUTLIVES: Final = (QUOTA_LEASES.c.kind == "remote") & (QUOTA_LEASES.c.is_firm == 1)


def _sql(words: str) -> Statement:
    return Statement(lambda: text(words))


def _insert(table: str, columns: Iterable[str], then: str = "") -> Statement:
    names = list(columns)
    values = ", ".join(f":{name}" for name in names)
    return _sql(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values}) {then}")


def _upsert(table: str, key: Sequence[str], columns: Sequence[str]) -> Statement:
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return _insert(table, columns, f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}")


TURN: Final = _sql("SELECT turn, stamp FROM quota_turn WHERE id = 1")
NEXT_TURN: Final = _sql(
    "INSERT INTO quota_turn (id, turn, stamp) VALUES (1, :turn, :stamp) "
    "ON CONFLICT (id) DO UPDATE SET turn = excluded.turn, stamp = excluded.stamp"
)
HOLDER: Final = _sql("SELECT expires_at FROM quota_holders WHERE holder = :holder")
HOLDERS: Final = _sql("SELECT holder, expires_at FROM quota_holders")
RENEW: Final = _upsert("quota_holders", ("holder",), ("holder", "expires_at"))
DROP_HOLDER: Final = _sql("DELETE FROM quota_holders WHERE holder = :holder")
WAITS: Final = _sql("SELECT 1 FROM quota_waiters WHERE holder = :holder LIMIT 1")
DROP_WAITERS_OF: Final = _sql("DELETE FROM quota_waiters WHERE holder = :holder")
DROP_WAITER: Final = _sql("DELETE FROM quota_waiters WHERE number = :number")
LAST_NUMBER: Final = _sql("SELECT max(number) FROM quota_waiters")
JOIN: Final = _insert("quota_waiters", WAITER)
MOVE: Final = _sql(
    "UPDATE quota_waiters SET execution = :execution, node = :node, holder = :holder, epoch = :epoch, kind = :kind "
    "WHERE key = :key"
)
PASS: Final = _sql("UPDATE quota_waiters SET passed = :passed WHERE key = :key")
FREE: Final = _sql("DELETE FROM quota_leases WHERE key = :key")
LEND: Final = _insert("quota_leases", (*LEASE, "turn"))
REWRITE: Final = _sql(
    "UPDATE quota_leases SET execution = :execution, node = :node, holder = :holder, epoch = :epoch, kind = :kind, "
    "is_firm = :is_firm WHERE key = :key AND pool = :pool"
)
WAITING: Final = "SELECT key, number, epoch, line, asks FROM quota_waiters"
LEASED: Final = f"SELECT {', '.join(LEASE)} FROM quota_leases"
LEASES_OF: Final = _sql(f"{LEASED} WHERE pool = :pool")
ACCOUNTS_OF: Final = _sql(f"SELECT {', '.join(AccountRow.__slots__)} FROM quota_accounts WHERE pool = :pool")
POOL: Final = _sql(f"SELECT {', '.join(PoolRow.__slots__)} FROM quota_pools WHERE pool = :pool")
REMEMBER_POOL: Final = _upsert("quota_pools", ("pool",), PoolRow.__slots__)
REMEMBER_ACCOUNT: Final = _upsert("quota_accounts", ("pool", "project", "domain"), AccountRow.__slots__)
ALL_POOLS: Final = _sql(f"SELECT {', '.join(PoolRow.__slots__)} FROM quota_pools ORDER BY pool")
ALL_ACCOUNTS: Final = _sql(f"SELECT {', '.join(AccountRow.__slots__)} FROM quota_accounts ORDER BY 1, 2, 3")
ALL_LEASES: Final = _sql(f"{LEASED} ORDER BY granted_at, key, pool")
ALL_WAITERS: Final = _sql(f"SELECT {', '.join(WAITER)} FROM quota_waiters ORDER BY number")
GRANTED_SINCE: Final = _sql("SELECT DISTINCT key, turn FROM quota_leases WHERE holder = :holder AND turn > :turn")
MORE: Final = _sql(
    f"SELECT {', '.join(WAITER)} FROM quota_waiters WHERE line = :line AND number > :after ORDER BY number LIMIT :few"
)
#: From line to line by the index, however many wait in each.
_LINES: Final = """
    WITH RECURSIVE lines(line) AS (
        SELECT min(line) FROM quota_waiters
        UNION ALL
        SELECT (SELECT min(later.line) FROM quota_waiters AS later WHERE later.line > lines.line)
        FROM lines WHERE lines.line IS NOT NULL
    )
"""
_FIRST_FEW: Final = "SELECT number FROM quota_waiters AS v WHERE v.line = lines.line ORDER BY v.number LIMIT :few"
_COLUMNS: Final = ", ".join(f"w.{name}" for name in WAITER)
_HEADS: Final = {
    "sqlite": _sql(
        f"{_LINES} SELECT {_COLUMNS} FROM lines CROSS JOIN quota_waiters AS w ON w.number IN ({_FIRST_FEW})"
    ),
    "postgresql": _sql(
        f"{_LINES} SELECT {_COLUMNS} FROM lines CROSS JOIN LATERAL ({_FIRST_FEW.replace('number', '*', 1)}) AS w"
    ),
}


def heads(connection: Connection, few: int) -> list[WaiterRow]:
    """The first few waiters of each line."""
    return [waiter_of(row) for row in _HEADS[connection.dialect.name].every(connection, {"few": few})]


@lru_cache(maxsize=64)
def _with_keys(words: str, count: int) -> Statement:
    return _sql(f"{words} WHERE key IN ({', '.join(f':k{number}' for number in range(count))})")


def by_keys(connection: Connection, words: str, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows that ``words`` select, of some keys; compiled once for every power of two."""
    found: list[tuple[Any, ...]] = []
    for some in chunks(keys):
        count = 1 << (len(some) - 1).bit_length()
        values = {f"k{number}": some[min(number, len(some) - 1)] for number in range(count)}
        found += _with_keys(words, count).every(connection, values)
    return found


def chunks(keys: Sequence[str]) -> list[Sequence[str]]:
    """The keys in groups that one statement can name."""
    return [keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)]


@lru_cache(maxsize=4096)
def asks_of(body: str) -> Asks:
    """What a waiter asks for, as it is kept."""
    return tuple((str(pool), int(tokens)) for pool, tokens in json.loads(body))


def waiter_of(row: Sequence[Any]) -> WaiterRow:
    """A row of ``quota_waiters``."""
    number, key, project, domain, line, asks, *rest = row
    return WaiterRow(number, key, project, domain, line, asks_of(asks), *rest)


def waiter_values(row: WaiterRow) -> dict[str, Any]:
    """The same, to be written."""
    asks = canonical_text([list(each) for each in row.asks])
    return {**{name: getattr(row, name) for name in WAITER}, "asks": asks}


def lease_of(row: Sequence[Any]) -> LeaseRow:
    """A row of ``quota_leases``."""
    return LeaseRow(*(*row[:-1], bool(row[-1])))


def values_of(row: PoolRow | AccountRow | LeaseRow) -> dict[str, Any]:
    """Any other row, to be written."""
    values = {name: getattr(row, name) for name in row.__slots__}
    return {**values, "is_firm": int(row.is_firm)} if isinstance(row, LeaseRow) else values
