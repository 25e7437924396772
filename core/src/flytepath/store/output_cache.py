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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flytepath.errors import LiteralError
from flytepath.model.literal import Literal, canonical_text

log = logging.getLogger("flytepath")

CACHE_NAME: Final = "cache.db"
#: How long a look-up waits for a writer of another process before it counts as a miss.
LOCK_SECONDS: Final = 5.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outputs (
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    facts TEXT NOT NULL,
    stored_at REAL NOT NULL,
    PRIMARY KEY (project, domain, key)
) WITHOUT ROWID
"""
_GET: Final = "SELECT body FROM outputs WHERE project = ? AND domain = ? AND key = ?"
_PUT: Final = "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?, ?)"


class OutputCache:
    """The outputs kept in one file, for one project and domain.

    Args:
        path: the file; made, with its folder, when something is first put.
        project, domain: whose results; those of others are never seen.

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

    def __init__(self, path: Path, project: str = "default", domain: str = "development") -> None:
        self.path = path
        self.project = project
        self.domain = domain
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._warned = False

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
        """Keep ``outputs`` under ``key``, in place of what is there; ``facts`` are for people."""
        body = canonical_text({name: literal.to_json() for name, literal in outputs.items()})
        row = (self.project, self.domain, key, body, canonical_text(dict(facts or {})), time.time())
        try:
            connection = self._connection(create=True)
            if connection is not None:
                connection.execute(_PUT, row)
        except (sqlite3.Error, OSError) as error:
            self._warn(error)

    def forget(self, key: str) -> None:
        """Drop what is kept under ``key``, because something it refers to is gone."""
        try:
            connection = self._connection(create=False)
            if connection is not None:
                connection.execute(
                    "DELETE FROM outputs WHERE project = ? AND domain = ? AND key = ?",
                    (self.project, self.domain, key),
                )
        except (sqlite3.Error, OSError) as error:
            self._warn(error)

    def clear(self) -> None:
        """Drop every result of this project and domain."""
        try:
            connection = self._connection(create=False)
            if connection is not None:
                connection.execute("DELETE FROM outputs WHERE project = ? AND domain = ?", (self.project, self.domain))
        except (sqlite3.Error, OSError) as error:
            self._warn(error)

    def close(self) -> None:
        """Close every connection. The next use opens a new one."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    def _connection(self, *, create: bool) -> sqlite3.Connection | None:
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is not None:
            return known
        if not create and not self.path.exists():
            return None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Used by one thread; another may only close it.
        connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # a lost result is only computed again
            connection.execute(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._connections.append(connection)
        self._local.connection = connection
        return connection

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.warning("the output cache %s cannot be used, tasks run without it: %s", self.path, error)
