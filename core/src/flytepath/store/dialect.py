"""What differs between the databases the store can stand on, as one small interface, and statements in a driver's form.

:class:`flytepath.store.sqlite.SQLite` and :class:`flytepath.store.postgres.Postgres` are the two. Everything else in
this package is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import text

from flytepath.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Table
    from sqlalchemy.engine.interfaces import DBAPICursor
    from sqlalchemy.sql import Executable

T = TypeVar("T")


class Dialect(Protocol):
    """One database as its own kind of server or library sees it.

    Attributes:
        place: how errors name the database; never with a password.
        counts_changes: whether :meth:`changes` can be asked.
    """

    place: str
    counts_changes: bool

    def inspect(self) -> tuple[str | None, bool]:
        """Look without writing: the schema's revision, and whether there is any table at all.

        Raises:
            StoreCorruptError, StoreUnavailableError, StoreError: it is damaged, out of reach, or cannot be read.
        """

    def prepare(self) -> None:
        """What must be true before the first table is made."""

    def engines(self) -> tuple[Engine, Engine]:
        """The engine for reading and the one for writing, which differ in how a transaction begins."""

    def guard(self, connection: Connection, what: str) -> None:
        """Wait until no other process is in a write transaction that guards ``what``."""

    def keep(self, connection: Connection, table: Table) -> None:
        """Let no other process write to ``table`` until the transaction ends."""

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt``, a whole transaction, again while what stood in its way may pass, for a bounded time."""

    def translate(self, error: BaseException) -> StoreError | None:
        """What a driver's error means, ``None`` where it is not the driver's."""

    def is_damage(self, error: BaseException) -> bool:
        """Whether a driver's error says that the database itself is damaged, so that nothing more may be written."""

    def is_lost(self, error: BaseException) -> bool:
        """Whether a driver's error says that the connection is gone."""

    def now(self, clock: Callable[[], float]) -> ColumnElement[float]:
        """The time that leases are measured with: of the server where engines of several machines share one."""

    def trusts_ends(self) -> bool:
        """Whether the end of a lease can be believed: no one sets back the clock that it was measured with."""

    def changes(self, connection: Connection) -> int:
        """A number that other connections' commits change, and this one's do not."""


class Statement:
    """A statement compiled once per dialect and run by the driver's own cursor: what is run for every event.

    Errors are the driver's own, unlike those of a :class:`sqlalchemy.Connection`.

    Args:
        build: gives the statement; its parameters are named.

    Example:
        >>> from sqlalchemy import NullPool, create_engine
        >>> put = Statement(lambda: text("INSERT INTO numbers VALUES (:n)"))
        >>> above = Statement(lambda: text("SELECT n FROM numbers WHERE n > :n"))
        >>> with create_engine("sqlite://", poolclass=NullPool).connect() as connection:
        ...     _ = connection.exec_driver_sql("CREATE TABLE numbers (n INTEGER)")
        ...     put.each(connection, [{"n": 1}, {"n": 2}])
        ...     above.one(connection, {"n": 1})
        (2,)
    """

    __slots__ = ("_build", "_forms")

    def __init__(self, build: Callable[[], Executable]) -> None:
        self._build = build
        self._forms: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def one(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Run it and return the first row."""
        cursor = self._cursor(connection)
        try:
            sql, order = self._form(connection)
            cursor.execute(sql, values if order is None else [values[name] for name in order])
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row
        finally:
            cursor.close()

    def every(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it and return all rows."""
        cursor = self._cursor(connection)
        try:
            sql, order = self._form(connection)
            cursor.execute(sql, values if order is None else [values[name] for name in order])
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of ``rows``, which must not return anything."""
        cursor = self._cursor(connection)
        try:
            sql, order = self._form(connection)
            given: list[Any] = list(rows) if order is None else [[row[name] for name in order] for row in rows]
            if len(given) == 1:
                cursor.execute(sql, given[0])
            else:
                cursor.executemany(sql, given)
        finally:
            cursor.close()

    @staticmethod
    def _cursor(connection: Connection) -> DBAPICursor:
        return connection.connection.cursor()

    def _form(self, connection: Connection) -> tuple[str, tuple[str, ...] | None]:
        dialect = connection.dialect
        form = self._forms.get(dialect.name)
        if form is None:
            compiled: Any = self._build().compile(dialect=dialect)  # type: ignore[attr-defined]
            order = tuple(compiled.positiontup) if compiled.positional else None
            form = self._forms[dialect.name] = (str(compiled), order)
        return form


def insert_or_keep(table: Table) -> Statement:
    """Insert rows into ``table`` where there is none of that key yet."""
    columns = [column.name for column in table.columns]
    values = ", ".join(f":{name}" for name in columns)
    return Statement(
        lambda: text(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING")
    )
