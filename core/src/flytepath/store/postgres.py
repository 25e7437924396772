"""PostgreSQL's own ways, and nobody else's: the server, its locks, its clock and what its error codes mean.

Transactions that write are ``READ COMMITTED`` and lock the rows whose state they rely on; those that read see one
consistent state. A commit waits for the disk of the server, whatever its configuration says.
"""

from __future__ import annotations

import importlib.util
import random
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, quote_plus

from flytepath.errors import FlytePathError, StoreCorruptError, StoreError, StoreFullError, StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnElement, Connection, Engine, Table

T = TypeVar("T")

#: How long a statement waits for a row that another engine has locked, before the transaction begins afresh.
LOCK_TIMEOUT_SECONDS = 10.0
#: How long a transaction may stand still before the server ends it: an engine that was stopped in the middle of a
#: write, or whose network is gone, must not keep what others need. Less than the others' patience.
STANDSTILL_SECONDS = 20.0
#: How long we go on asking before the caller is told that another engine keeps what it needs.
PATIENCE_SECONDS = 60.0
#: How often a row that another engine has just inserted is taken for news, not for a mistake of ours.
SURPRISES: Final = 5

_DRIVER: Final = "postgresql+psycopg"
_SCHEMES: Final = frozenset({"postgresql", "postgres", _DRIVER})
#: The first half of the keys of our advisory locks.
_LOCKS: Final = int.from_bytes(b"flyt", "big")
#: What passes when the transaction begins afresh: serialization failure, deadlock, a lock that took too long.
_PASSING: Final = frozenset({"40001", "40P01", "55P03"})
_UNIQUE: Final = "23505"
#: The states in which a server is away or going, or has ended the session: connection exception, operator intervention,
#: too many connections, a transaction that stood still.
_AWAY: Final = ("08", "57P", "53300", "25P03")
_FULL: Final = frozenset({"53100"})
_CORRUPT: Final = ("XX001", "XX002")
#: What a server that will be back says while it refuses a connection, which comes without a state.
_COMING_BACK: Final = (
    *("starting up", "shutting down", "recovery mode", "terminating"),
    *("too many clients", "connection slots"),
)
#: A network that went silent is noticed in about half a minute, not in hours.
_CONNECTING: Final[dict[str, str]] = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "flytepath",
}


class Postgres:
    """A database on a server (see :class:`flytepath.store.dialect.Dialect`).

    Args:
        url: ``postgresql://user:password@host:port/database``, with libpq's parameters after ``?``.

    Raises:
        StoreError: the URL is none, or psycopg is not installed.

    Example:
        >>> Postgres("postgresql://ada:secret@db.example/flytepath").place
        'postgresql://ada:***@db.example/flytepath'
    """

    counts_changes = False

    def __init__(self, url: str) -> None:
        self.url, self._secrets = _parse(url)
        self.place = self.url.set(drivername="postgresql").render_as_string(hide_password=True)
        if importlib.util.find_spec("psycopg") is None:
            raise StoreError(
                "the driver for PostgreSQL is not installed",
                place=self.place,
                expected="the package psycopg",
                hint="pip install 'flytepath[postgres]'",
            )

    def inspect(self) -> tuple[str | None, bool]:
        """See :class:`~flytepath.store.dialect.Dialect`; what counts is the schema that comes first in the path."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(self.url, connect_args=self._arguments(), poolclass=NullPool)
        try:
            with engine.connect() as connection:
                return self._inspect(connection)
        except FlytePathError:
            raise
        except Exception as error:
            if (ours := self.translate(error)) is None:
                raise
            raise ours from self._without_password(error)
        finally:
            engine.dispose()

    def _inspect(self, connection: Connection) -> tuple[str | None, bool]:
        tables = connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        names = set(tables.scalars())
        if "alembic_version" not in names:
            return None, bool(names)
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return (None if revision is None else str(revision)), True

    def prepare(self) -> None:
        """Nothing to do: a database is what the server says it is."""

    def engines(self) -> tuple[Engine, Engine]:
        """See :class:`~flytepath.store.dialect.Dialect`."""
        from sqlalchemy import create_engine, event

        reader = create_engine(
            self.url,
            connect_args=self._arguments(),
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )
        writer = create_engine(
            self.url, connect_args=self._arguments(), isolation_level="READ COMMITTED", pool_size=1, max_overflow=0
        )
        event.listen(writer, "connect", _prepare_connection)
        return reader, writer

    def guard(self, connection: Connection, what: str) -> None:
        """See :class:`~flytepath.store.dialect.Dialect`; the lock ends with the transaction."""
        number = zlib.crc32(what.encode()) - 2**31
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCKS}, {number})")

    def keep(self, connection: Connection, table: Table) -> None:
        """See :class:`~flytepath.store.dialect.Dialect`."""
        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE")

    def patiently(self, attempt: Callable[[], T]) -> T:
        """See :class:`~flytepath.store.dialect.Dialect`: what passes are deadlocks, locks, and others that were first.

        Raises:
            StoreError: another engine was in the way all that time.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        surprises = 0
        while True:
            try:
                return attempt()
            except Exception as error:
                state = _state(error)
                surprises += state == _UNIQUE
                if state not in _PASSING and not (state == _UNIQUE and surprises <= SURPRISES):
                    raise
                if time.monotonic() > deadline:
                    raise StoreError(
                        "another engine has kept what this one needs",
                        place=self.place,
                        expected=f"a turn within {PATIENCE_SECONDS:.0f} seconds",
                        actual=str(_driver_error(error)),
                        hint="look in pg_stat_activity for a session that is idle in a transaction",
                    ) from error
            time.sleep(random.uniform(0.001, 0.02))

    def translate(self, error: BaseException) -> StoreError | None:
        """See :class:`~flytepath.store.dialect.Dialect`."""
        cause = _driver_error(error)
        if cause is None:
            return None
        state, said = _state(error), self._without_secrets(str(cause))
        if _is_away(error):
            return StoreUnavailableError(
                "the database server cannot be reached",
                place=self.place,
                actual=said,
                hint="what was recorded before is safe; start the server or the network again, then try again",
            )
        if state in _FULL:
            return StoreFullError(
                "the disk of the database server is full",
                place=self.place,
                actual=said,
                hint="free some space there, then try again; what was recorded before is intact",
            )
        if state.startswith(_CORRUPT):
            return StoreCorruptError(
                "the database is damaged",
                place=self.place,
                actual=said,
                hint="restore it from a backup; the server's log says more",
            )
        return StoreError(
            "the database cannot be used",
            place=self.place,
            expected="a PostgreSQL database in which this user may create tables",
            actual=said,
            hint="check FLYTEPATH_DATABASE, the user's rights, and that the database exists",
        )

    def is_damage(self, error: BaseException) -> bool:
        """See :class:`~flytepath.store.dialect.Dialect`."""
        return _state(error).startswith(_CORRUPT)

    def is_lost(self, error: BaseException) -> bool:
        """See :class:`~flytepath.store.dialect.Dialect`; a connection that never came about was not lost."""
        if getattr(error, "connection_invalidated", False):
            return True
        return _driver_error(error) is error and _is_away(error)

    def now(self, clock: Callable[[], float]) -> ColumnElement[float]:
        """The server's clock, which all engines share."""
        from sqlalchemy import Double, cast, func

        return cast(func.extract("epoch", func.clock_timestamp()), Double)

    def trusts_ends(self) -> bool:
        """Yes: a server's clock is looked after."""
        return True

    def changes(self, connection: Connection) -> int:
        """Not asked: there is no such number that costs less than the question itself."""
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        given = self.url.query
        return {**{name: value for name, value in _CONNECTING.items() if name not in given}, **self._secrets}

    def _without_secrets(self, said: str) -> str:
        for secret in (str(self.url.password or ""), *self._secrets.values()):
            for form in {secret, quote(secret, safe=""), quote_plus(secret)} - {""}:
                said = said.replace(form, "***")
        return said

    def _without_password(self, error: Exception) -> Exception | None:
        """``error`` as a cause, unless what it says would show a password."""
        return error if self._without_secrets(str(error)) == str(error) else None


def _prepare_connection(connection: Any, _record: object) -> None:
    limits = {"lock_timeout": LOCK_TIMEOUT_SECONDS, "idle_in_transaction_session_timeout": STANDSTILL_SECONDS}
    durable = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    with connection.cursor() as cursor:
        for name, seconds in limits.items():
            cursor.execute(f"SET {name} = {int(seconds * 1000)}")
        cursor.execute(durable)
    connection.commit()


def _parse(text: str) -> tuple[URL, dict[str, str]]:
    """The URL, and apart from it the parameters that must never be shown."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not told as the cause, and not repeated: the text may hold a password.
        raise _no_url("text that is no URL") from None
    if url.drivername not in _SCHEMES:
        raise _no_url(f"a URL that begins with {url.drivername}:")
    secrets = {name: "".join(value) for name, value in url.query.items() if "password" in name.lower()}
    url = url.difference_update_query(list(secrets)).set(drivername=_DRIVER)
    if not url.database:
        raise _no_url(f"{url.render_as_string(hide_password=True)}, which names no database")
    return url, secrets


def _no_url(actual: str) -> StoreError:
    return StoreError(
        "this does not say where the database is",
        expected="postgresql://user@host:port/database",
        actual=actual,
        hint="correct FLYTEPATH_DATABASE, or 'database' in the [store] table; without either the database is "
        "a SQLite file in FLYTEPATH_HOME",
    )


def _driver_error(error: BaseException) -> BaseException | None:
    import psycopg

    if isinstance(error, psycopg.Error):
        return error
    original = getattr(error, "orig", None)
    return original if isinstance(original, psycopg.Error) else None


def _state(error: BaseException) -> str:
    """The SQLSTATE of a driver's error, empty where there is none."""
    return getattr(_driver_error(error), "sqlstate", None) or ""


def _is_away(error: BaseException) -> bool:
    import psycopg

    cause = _driver_error(error)
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    if state := _state(error):
        return state.startswith(_AWAY)
    said = str(cause)
    # A server that answered and said no will say it again.
    return "FATAL" not in said or any(words in said for words in _COMING_BACK)
