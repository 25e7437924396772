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

from flytepath.errors import StoreCorruptError, StoreError, StoreFullError
from flytepath.store.disk import folder_error

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Table

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


class SQLite:
    """A database in one file (see :class:`flytepath.store.dialect.Dialect`)."""

    counts_changes = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)

    def inspect(self) -> tuple[str | None, bool]:
        """See :class:`~flytepath.store.dialect.Dialect`; smaller files are checked whole."""
        path = self.path
        try:
            if not path.exists() or path.stat().st_size == 0:
                return None, False
        except OSError as error:
            raise folder_error(error, path) from error
        if not path.is_file():
            raise StoreError("there is no database file", place=str(path), expected="a file", actual="something else")
        with translated(path):
            return patiently(path, self._inspect)

    def _inspect(self) -> tuple[str | None, bool]:
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if self.path.stat().st_size <= CHECKED_SIZE:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise _damaged(self.place, str(verdict))
            if "alembic_version" not in tables:
                return None, bool(tables)
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return (str(row[0]) if row else None), True

    def prepare(self) -> None:
        """Switch the file to a write-ahead log; it stays so."""

        def switch() -> str:
            with closing(sqlite3.connect(self.path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)) as connection:
                return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])

        with translated(self.path):
            mode = patiently(self.path, switch)
        if mode != "wal":
            raise StoreError(
                "this file system cannot hold the database",
                place=self.place,
                expected="one that supports SQLite's write-ahead log (a local disk)",
                actual=f"journal mode {mode!r}",
                hint="choose a local folder with FLYTEPATH_HOME",
            )

    def engines(self) -> tuple[Engine, Engine]:
        """See :class:`~flytepath.store.dialect.Dialect`."""
        from sqlalchemy import create_engine, event

        url = f"sqlite:///{self.path}"
        arguments = {"timeout": LOCK_TIMEOUT_SECONDS, "check_same_thread": False}
        reader = create_engine(url, connect_args=arguments)
        writer = create_engine(url, connect_args=arguments, pool_size=1)
        for engine, begin in ((reader, "BEGIN"), (writer, "BEGIN IMMEDIATE")):
            event.listen(engine, "connect", _prepare_connection)
            event.listen(engine, "begin", _beginning_with(begin))
        return reader, writer

    def guard(self, connection: Connection, what: str) -> None:
        """Nothing to do: a write transaction has the database to itself."""

    def keep(self, connection: Connection, table: Table) -> None:
        """Nothing to do, for the same reason."""

    def patiently(self, attempt: Callable[[], T]) -> T:
        """See :class:`~flytepath.store.dialect.Dialect`: what passes is another's lock."""
        return patiently(self.path, attempt)

    def translate(self, error: BaseException) -> StoreError | None:
        """See :class:`~flytepath.store.dialect.Dialect`."""
        return translate(error, self.path)

    def is_damage(self, error: BaseException) -> bool:
        """See :class:`~flytepath.store.dialect.Dialect`."""
        return primary_code(error) in _CORRUPT

    def is_lost(self, error: BaseException) -> bool:
        """Never: there is no server that could go away."""
        return False

    def now(self, clock: Callable[[], float]) -> ColumnElement[float]:
        """The given clock: all who share a file share a machine."""
        from sqlalchemy import Double, literal

        return literal(clock(), Double)

    def trusts_ends(self) -> bool:
        """No: the clock of a laptop is set back now and then."""
        return False

    def changes(self, connection: Connection) -> int:
        """SQLite's ``data_version``, which commits of this connection itself do not change."""
        (number,) = connection.connection.driver_connection.execute("PRAGMA data_version").fetchone()  # type: ignore[union-attr]
        return int(number)


def patiently(path: Path, attempt: Callable[[], T]) -> T:
    """Call ``attempt``, which uses the file ``path``, until it finds no lock in its way, for a bounded time.

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
    """Errors of the driver and of the system leave as errors of ours, with the file's path."""
    try:
        yield
    except OSError as error:
        raise folder_error(error, path) from error
    except sqlite3.Error as error:
        raise translate(error, path) or error from error


def translate(error: BaseException, path: Path) -> StoreError | None:
    """What a driver's error means, ``None`` where it is not the driver's."""
    cause = _driver_error(error)
    if cause is None:
        return None
    extended, code = getattr(cause, "sqlite_errorcode", 0), primary_code(error)
    if code in _CORRUPT:
        return _damaged(str(path), str(cause))
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


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions by itself, but only before some statements; the "begin" event does it for all.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = FULL")


def _beginning_with(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        connection.connection.driver_connection.execute(statement)  # type: ignore[union-attr]

    return begin


def _driver_error(error: BaseException) -> sqlite3.Error | None:
    if isinstance(error, sqlite3.Error):
        return error
    original = getattr(error, "orig", None)
    return original if isinstance(original, sqlite3.Error) else None


def _damaged(place: str, verdict: str) -> StoreCorruptError:
    return StoreCorruptError(
        "the database is damaged, or the file is not a database",
        place=place,
        expected="a SQLite database written by FlytePath",
        actual=verdict,
        hint="restore the file (with its -wal file, if any) from a backup, or move it away to start afresh",
    )
