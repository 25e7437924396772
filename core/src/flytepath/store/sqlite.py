"""SQLite's own ways, and nobody else's: the file, its pragmas, its locks and what its error codes mean.

A write-ahead log lets readers and one writer work side by side, ``synchronous=FULL`` makes a commit durable, and every
write transaction begins ``IMMEDIATE``, so that it either has the write lock from its first statement or has not begun.
Waiting for that lock is a bounded retry with jitter: no caller ever sees "database is locked".
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flytepath.errors import FlytePathError, StoreCorruptError, StoreError, StoreFullError
from flytepath.store.disk import folder_error

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

#: How long a statement waits inside SQLite, whose pauses grow, before our own retry gives it an even chance again.
LOCK_TIMEOUT_SECONDS = 0.05
#: How long we go on asking before the caller is told that another process keeps the database.
PATIENCE_SECONDS = 60.0
#: Smaller files are checked whole when they are opened; in larger ones damage shows when its page is read.
CHECKED_SIZE = 16 * 1024 * 1024

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# A quota or a limit on file sizes reaches SQLite as a failed write, not as a full disk.
_FULL = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC})


def inspect(path: Path) -> tuple[str | None, bool]:
    """Look at a database without writing: its schema revision, and whether it has any table at all.

    Raises:
        StoreCorruptError: the file is damaged or is no database.
        StoreError: it cannot be read.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return None, False
    except OSError as error:
        raise folder_error(error, path) from error
    if not path.is_file():
        raise StoreError("there is no database file", place=str(path), expected="a file", actual="something else")
    with translated(path):
        return patiently(path, lambda: _inspect(path))


def _inspect(path: Path) -> tuple[str | None, bool]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if path.stat().st_size <= CHECKED_SIZE:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _damaged(path, str(verdict))
        if "alembic_version" not in tables:
            return None, bool(tables)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return (str(row[0]) if row else None), True


def create_engines(path: Path) -> tuple[Engine, Engine]:
    """The engine for reading and the one for writing, which differ in how a transaction begins."""
    from sqlalchemy import create_engine, event

    url = f"sqlite:///{path}"
    arguments = {"timeout": LOCK_TIMEOUT_SECONDS, "check_same_thread": False}
    reader = create_engine(url, connect_args=arguments)
    writer = create_engine(url, connect_args=arguments, pool_size=1)
    for engine, begin in ((reader, "BEGIN"), (writer, "BEGIN IMMEDIATE")):
        event.listen(engine, "connect", _prepare_connection)
        event.listen(engine, "begin", _beginning_with(begin))
    return reader, writer


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions by itself, but only before some statements; the "begin" event does it for all.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = FULL")


def _beginning_with(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin


def use_write_ahead_log(path: Path) -> None:
    """Switch the file to a write-ahead log; it stays so."""

    def switch() -> str:
        with closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)) as connection:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])

    with translated(path):
        mode = patiently(path, switch)
    if mode != "wal":
        raise StoreError(
            "this file system cannot hold the database",
            place=str(path),
            expected="one that supports SQLite's write-ahead log (a local disk)",
            actual=f"journal mode {mode!r}",
            hint="choose a local folder with FLYTEPATH_HOME",
        )


def patiently(path: Path, attempt: Callable[[], T]) -> T:
    """Call ``attempt`` until it finds no lock in its way, for a bounded time.

    Raises:
        StoreError: another process kept the lock all that time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return attempt()
        except Exception as error:
            if primary_code(error) not in _LOCKED:
                raise
            if time.monotonic() > deadline:
                raise StoreError(
                    "another process has kept the database to itself",
                    place=str(path),
                    expected=f"a turn within {PATIENCE_SECONDS:.0f} seconds",
                    hint="look for a process that stopped in the middle of a write, or another tool with the file open",
                ) from error
        time.sleep(random.uniform(0.001, 0.02))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of the driver leave as errors of ours, with the file's path."""
    try:
        yield
    except FlytePathError:
        raise
    except Exception as error:
        ours = translate(error, path)
        if ours is None:
            raise
        raise ours from error


def translate(error: BaseException, path: Path) -> StoreError | None:
    """What a driver's error means, ``None`` where it is not the driver's."""
    if isinstance(error, OSError):
        return folder_error(error, path)
    cause = _driver_error(error)
    if cause is None:
        return None
    extended, code = getattr(cause, "sqlite_errorcode", 0), primary_code(error)
    if code in _CORRUPT:
        return _damaged(path, str(cause))
    if code == sqlite3.SQLITE_FULL or extended in _FULL:
        return StoreFullError(
            "the disk is full",
            place=str(path),
            actual=str(cause),
            hint="free some space or raise the quota, then try again; what was recorded before is intact",
        )
    return StoreError(
        "the database cannot be used",
        place=str(path),
        expected="a file and a folder that this user can read and write",
        actual=str(cause),
        hint="check the permissions of the folder and the disk, or choose another home with FLYTEPATH_HOME",
    )


def primary_code(error: BaseException) -> int:
    """SQLite's error code without its extension, 0 where there is none."""
    cause = _driver_error(error)
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF


def _driver_error(error: BaseException) -> sqlite3.Error | None:
    if isinstance(error, sqlite3.Error):
        return error
    original = getattr(error, "orig", None)
    return original if isinstance(original, sqlite3.Error) else None


def _damaged(path: Path, verdict: str) -> StoreCorruptError:
    return StoreCorruptError(
        "the database is damaged, or the file is not a database",
        place=str(path),
        expected="a SQLite database written by FlytePath",
        actual=verdict,
        hint="restore the file (with its -wal file, if any) from a backup, or move it away to start afresh",
    )
