"""The output cache: outputs of tasks by cache key, shared by direct calls and durable runs of one home.

Plain ``sqlite3``, because a direct call looks here: a hit costs microseconds and imports no more than that. The cache
may be lost at any time without harm, so a damaged or locked file is a miss and one warning, never a failed task.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from flytepath.errors import LiteralError
from flytepath.model.literal import Literal, canonical_text
from flytepath.store.cache_entry import RESERVED_SECONDS, CacheEntry, Reservation

log = logging.getLogger("flytepath")

CACHE_NAME: Final = "cache.db"
#: How long a look-up waits for a writer of another process before it counts as a miss.
LOCK_SECONDS: Final = 5.0
#: Raised when the tables change; a file of an older version is made anew.
FILE_VERSION: Final = 2

_SCHEMA: Final = (
    "DROP TABLE IF EXISTS outputs",
    "DROP TABLE IF EXISTS reservations",
    """
    CREATE TABLE outputs (
        project TEXT NOT NULL,
        domain TEXT NOT NULL,
        key TEXT NOT NULL,
        task TEXT NOT NULL,
        body TEXT NOT NULL,
        facts TEXT NOT NULL,
        stored_at REAL NOT NULL,
        PRIMARY KEY (project, domain, key)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX outputs_by_task ON outputs (project, domain, task, stored_at)",
    """
    CREATE TABLE reservations (
        project TEXT NOT NULL,
        domain TEXT NOT NULL,
        key TEXT NOT NULL,
        holder TEXT NOT NULL,
        execution TEXT NOT NULL,
        node TEXT NOT NULL,
        expires_at REAL NOT NULL,
        PRIMARY KEY (project, domain, key)
    ) WITHOUT ROWID
    """,
    f"PRAGMA user_version = {FILE_VERSION}",
)
_OURS: Final = "project = ? AND domain = ?"
_GET: Final = f"SELECT body FROM outputs WHERE {_OURS} AND key = ?"
_PUT: Final = "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?)"
# One statement, so that of two who ask for the same key, or for an expired one, exactly one gets it. An end that lies
# further ahead than any reservation lasts was written before the clock was set back.
_RESERVE: Final = """
INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project, domain, key) DO UPDATE
SET holder = excluded.holder, execution = excluded.execution, node = excluded.node, expires_at = excluded.expires_at
WHERE reservations.holder IN (excluded.holder, ?) OR reservations.expires_at NOT BETWEEN ? AND ?
"""


def _closed(connections: list[sqlite3.Connection]) -> None:
    """Close connections that nobody uses any more; also those of a cache that was let go of without being closed."""
    while connections:
        connections.pop().close()


class OutputCache:
    """The outputs kept in one file, for one project and domain.

    Args:
        path: the file; made, with its folder, when something is first put.
        project, domain: whose results; those of others are never seen.
        clock: seconds since the epoch.

    Example:
        >>> import tempfile
        >>> from flytepath.model.types import INTEGER
        >>> with tempfile.TemporaryDirectory() as home:
        ...     cache = OutputCache(Path(home) / CACHE_NAME)
        ...     before = cache.get("sha256:0")
        ...     cache.put("sha256:0", {"o0": Literal.make(INTEGER, 3)}, {"task": "flow.double"})
        ...     found = cache.get("sha256:0")
        ...     cache.close()
        >>> before, found["o0"].data
        (None, 3)
    """

    def __init__(
        self,
        path: Path,
        project: str = "default",
        domain: str = "development",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.project = project
        self.domain = domain
        self._clock = clock
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._warned = False
        weakref.finalize(self, _closed, self._connections)

    @property
    def place(self) -> tuple[str, str, str]:
        """What two objects have in common that share their results."""
        return (str(self.path), self.project, self.domain)

    def get(self, key: str) -> dict[str, Literal] | None:
        """The outputs under ``key``, ``None`` where there are none. Whether their blobs still exist is not checked."""
        try:
            connection = self._connection(create=False)
            row = None if connection is None else connection.execute(_GET, (self.project, self.domain, key)).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._warn(error)
            return None
        if row is None:
            return None
        try:
            return {name: Literal.from_json(envelope) for name, envelope in json.loads(row[0]).items()}
        except (ValueError, AttributeError, LiteralError) as error:
            self._warn(error)
            return None

    def put(self, key: str, outputs: Mapping[str, Literal], facts: Mapping[str, Any] | None = None) -> None:
        """Keep ``outputs`` under ``key``, in place of what is there.

        Args:
            key: the cache key.
            outputs: literals by name.
            facts: where they come from, for people: :func:`~flytepath.store.cache_entry.facts_of`.
        """
        body = canonical_text({name: literal.to_json() for name, literal in outputs.items()})
        told = dict(facts or {})
        row = (self.project, self.domain, key, str(told.get("task", "")), body, canonical_text(told), self._clock())
        self._change(_PUT, row, create=True)

    def forget(self, key: str) -> None:
        """Drop what is kept under ``key``, because something it refers to is gone."""
        self._change(f"DELETE FROM outputs WHERE {_OURS} AND key = ?", (self.project, self.domain, key))

    # --- who computes what ---

    def reserve(
        self, key: str, holder: str, *, execution: str = "", node: str = "", instead_of: str = ""
    ) -> Reservation | None:
        """Reserve ``key``, so that others wait for what ``holder`` computes.

        Args:
            key: the cache key.
            holder: who asks; its own reservation is made anew.
            execution, node: what for.
            instead_of: another holder, known to be gone, whose reservation does not count.

        Returns:
            The reservation of another that is in force, ``None`` where ``holder`` has it now. It also has it where the
            file cannot be used: caching never holds up a task.
        """
        now = self._clock()
        tenant = (self.project, self.domain, key)
        values = (*tenant, holder, execution, node, now + RESERVED_SECONDS)
        try:
            connection = self._connection(create=True)
            while connection is not None:
                asked = (*values, instead_of or holder, now, now + 2 * RESERVED_SECONDS)
                if connection.execute(_RESERVE, asked).rowcount == 1:
                    return None
                row = connection.execute(
                    f"SELECT holder, execution, node, expires_at FROM reservations WHERE {_OURS} AND key = ?", tenant
                ).fetchone()
                if row is not None:
                    return Reservation(*row)
        except (sqlite3.Error, OSError) as error:
            self._warn(error)
        return None

    def renew(self, holder: str, keys: Collection[str]) -> None:
        """Let reservations of ``holder`` last on."""
        end = self._clock() + RESERVED_SECONDS
        for key in keys:
            self._change(
                f"UPDATE reservations SET expires_at = ? WHERE {_OURS} AND key = ? AND holder = ?",
                (end, self.project, self.domain, key, holder),
            )

    def release(self, key: str, holder: str) -> None:
        """End the reservation of ``holder``; that of another stays."""
        self._change(
            f"DELETE FROM reservations WHERE {_OURS} AND key = ? AND holder = ?",
            (self.project, self.domain, key, holder),
        )

    # --- for people ---

    def reservation(self, key: str) -> Reservation | None:
        """Who computes what will be kept under ``key`` right now."""
        query = f"SELECT holder, execution, node, expires_at FROM reservations WHERE {_OURS} AND key = ?"
        try:
            connection = self._connection(create=False)
            row = None if connection is None else connection.execute(query, (*self.place[1:], key)).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._warn(error)
            return None
        found = None if row is None else Reservation(*row)
        return found if found is not None and found.expires_at > self._clock() else None

    def entries(self, task: str | None = None, *, limit: int = 1000) -> list[CacheEntry]:
        """The newest results, of one task or of all."""
        query = f"SELECT key, task, facts, stored_at FROM outputs WHERE {_OURS}"
        values: list[Any] = [self.project, self.domain]
        if task is not None:
            query += " AND task = ?"
            values.append(task)
        try:
            connection = self._connection(create=False)
            if connection is None:
                return []
            found = connection.execute(f"{query} ORDER BY stored_at DESC, key LIMIT ?", (*values, limit))
            return [CacheEntry.read(*row) for row in found]
        except (sqlite3.Error, OSError) as error:
            self._warn(error)
            return []

    def entry(self, key: str) -> CacheEntry | None:
        """What is known of the result under ``key``."""
        query = f"SELECT key, task, facts, stored_at FROM outputs WHERE {_OURS} AND key = ?"
        try:
            connection = self._connection(create=False)
            row = None if connection is None else connection.execute(query, (*self.place[1:], key)).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._warn(error)
            return None
        return None if row is None else CacheEntry.read(*row)

    def clear(self, task: str | None = None, *, before: float | None = None) -> int:
        """Drop results of this project and domain; how many.

        A file that is damaged is removed, with what all projects and domains keep in it: it serves nobody.

        Args:
            task: only those of this task.
            before: only those put before this time (seconds since the epoch, UTC).
        """
        query = f"DELETE FROM outputs WHERE {_OURS}"
        values: list[Any] = [self.project, self.domain]
        if task is not None:
            query += " AND task = ?"
            values.append(task)
        if before is not None:
            query += " AND stored_at < ?"
            values.append(before)
        try:
            connection = self._connection(create=False)
            return 0 if connection is None else connection.execute(query, values).rowcount
        except sqlite3.Error as error:
            if _code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                self.close()
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            else:
                self._warn(error)
        except OSError as error:
            self._warn(error)
        return 0

    def close(self) -> None:
        """Close every connection. The next use opens a new one."""
        with self._lock:
            _closed(self._connections)
            self._local = threading.local()

    def _change(self, statement: str, values: tuple[Any, ...], *, create: bool = False) -> None:
        try:
            connection = self._connection(create=create)
            if connection is not None:
                connection.execute(statement, values)
        except (sqlite3.Error, OSError) as error:
            self._warn(error)

    def _connection(self, *, create: bool) -> sqlite3.Connection | None:
        identity = _identity_of(self.path)
        local = self._local
        known: sqlite3.Connection | None = getattr(local, "connection", None)
        if known is not None:
            if local.identity == identity:
                return known
            # The file was removed or put in place of another: what this connection sees, nobody else does.
            self._drop(known)
        if not create and identity is None:
            return None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Used by one thread; another may only close it.
        connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._connections.append(connection)
        local.connection, local.identity = connection, _identity_of(self.path)
        return connection

    def _drop(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
        connection.close()
        self._local.connection = None

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "the output cache %s cannot be used, tasks run without it (`flytepath cache clear` makes it anew): %s",
                self.path,
                error,
            )


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return (facts.st_dev, facts.st_ino)


def _prepare(connection: sqlite3.Connection) -> None:
    """Set the connection up; make the tables, where the file is new or of an older version."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # Of several processes that find a new file only one can switch it, and SQLite lets the others not wait.
            if _code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.005)
    connection.execute("PRAGMA synchronous = NORMAL")  # a lost result is only computed again
    if _version_of(connection) == FILE_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version_of(connection)  # another process may have been faster
        if found > FILE_VERSION:
            raise sqlite3.DatabaseError(f"it was written by a newer release (version {found} of the file)")
        if found < FILE_VERSION:
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _code_of(error: sqlite3.Error) -> int:
    """SQLite's error code without its extension; 0 for an error of our own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
