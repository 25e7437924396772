"""The output cache of engines on several machines: in their database, with the same calls as the file of one home.

What is kept may be lost at any time without harm, so a database that is away is a miss and one warning. Reservations
go by the clock that all engines share: the server's.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from flytepath.errors import LiteralError, StoreError
from flytepath.model.literal import Literal, canonical_text
from flytepath.store.cache_entry import RESERVED_SECONDS, CacheEntry, Reservation
from flytepath.store.output_cache import CACHE_NAME, OutputCache
from flytepath.store.schema import OUTPUTS, RESERVATIONS
from flytepath.store.sqlite import SQLite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Insert, Table

    from flytepath.store.database import Database

log = logging.getLogger("flytepath")

T = TypeVar("T")


class SharedOutputs:
    """The outputs that one project and domain keeps in a database.

    Args:
        database: the store's.
        project, domain: whose results; those of others are never seen.
        clock: seconds since the epoch, where the database has no clock of its own.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from flytepath.model.types import INTEGER
        >>> from flytepath.store.events import open_store
        >>> with tempfile.TemporaryDirectory() as home, open_store(Path(home)) as store:
        ...     cache = SharedOutputs(store.database)
        ...     cache.put("sha256:0", {"o0": Literal.make(INTEGER, 3)}, {"task": "flow.double"})
        ...     cache.get("sha256:0")["o0"].data
        3
    """

    def __init__(
        self,
        database: Database,
        project: str = "default",
        domain: str = "development",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._warned = False
        self.project = project
        self.domain = domain

    @property
    def place(self) -> tuple[str, str, str]:
        """What two objects have in common that share their results."""
        return (self._database.dialect.place, self.project, self.domain)

    def get(self, key: str) -> dict[str, Literal] | None:
        """The outputs under ``key``, ``None`` where there are none. Whether their blobs still exist is not checked."""
        query = select(OUTPUTS.c.body).where(*self._ours(OUTPUTS, key))
        body = self._read(lambda connection: connection.execute(query).scalar(), None)
        if body is None:
            return None
        try:
            return {name: Literal.from_json(envelope) for name, envelope in json.loads(body).items()}
        except (ValueError, AttributeError, LiteralError) as error:
            self._warn(error)
            return None

    def put(self, key: str, outputs: Mapping[str, Literal], facts: Mapping[str, Any] | None = None) -> None:
        """Keep ``outputs`` under ``key``, in place of what is there; ``facts`` are for people."""
        told = dict(facts or {})
        values = {
            "task": str(told.get("task", ""))[:255],
            "body": canonical_text({name: literal.to_json() for name, literal in outputs.items()}),
            "facts": canonical_text(told),
        }
        tenant = {"project": self.project, "domain": self.domain, "key": key}

        def operation(connection: Connection) -> None:
            row = tenant | values | {"stored_at": self._now()}
            connection.execute(_upsert(connection, OUTPUTS, row))

        self._write(operation, None)

    def forget(self, key: str) -> None:
        """Drop what is kept under ``key``, because something it refers to is gone."""
        statement = delete(OUTPUTS).where(*self._ours(OUTPUTS, key))
        self._write(lambda connection: _done(connection.execute(statement)), None)

    # --- who computes what ---

    def reserve(
        self, key: str, holder: str, *, execution: str = "", node: str = "", instead_of: str = ""
    ) -> Reservation | None:
        """Reserve ``key``: see :meth:`flytepath.store.output_cache.OutputCache.reserve`."""
        ours = self._ours(RESERVATIONS, key)
        names = {"holder": holder, "execution": execution, "node": node[:1024]}
        tenant = {"project": self.project, "domain": self.domain, "key": key}
        columns = RESERVATIONS.c

        def operation(connection: Connection) -> Reservation | None:
            now = self._now()
            row = tenant | names | {"expires_at": now + RESERVED_SECONDS}
            is_free = or_(
                columns.holder.in_((holder, instead_of or holder)),
                ~columns.expires_at.between(now, now + 2 * RESERVED_SECONDS),
            )
            while connection.execute(_upsert(connection, RESERVATIONS, row, is_free)).rowcount != 1:
                query = select(columns.holder, columns.execution, columns.node, columns.expires_at).where(*ours)
                found = connection.execute(query).first()
                if found is not None:
                    return Reservation(*found)
            return None

        return self._write(operation, None)

    def renew(self, holder: str, keys: Collection[str]) -> None:
        """Let reservations of ``holder`` last on."""
        columns = RESERVATIONS.c
        wanted = (columns.project == self.project, columns.domain == self.domain, columns.holder == holder)

        def operation(connection: Connection) -> None:
            statement = update(RESERVATIONS).where(*wanted, columns.key.in_(list(keys)))
            connection.execute(statement.values(expires_at=self._now() + RESERVED_SECONDS))

        self._write(operation, None)

    def release(self, key: str, holder: str) -> None:
        """End the reservation of ``holder``; that of another stays."""
        statement = delete(RESERVATIONS).where(*self._ours(RESERVATIONS, key), RESERVATIONS.c.holder == holder)
        self._write(lambda connection: _done(connection.execute(statement)), None)

    # --- for people ---

    def reservation(self, key: str) -> Reservation | None:
        """Who computes what will be kept under ``key`` right now."""
        columns = RESERVATIONS.c
        query = select(columns.holder, columns.execution, columns.node, columns.expires_at)
        query = query.where(*self._ours(RESERVATIONS, key), columns.expires_at > self._now())
        row = self._read(lambda connection: connection.execute(query).first(), None)
        return None if row is None else Reservation(*row)

    def entries(self, task: str | None = None, *, limit: int = 1000) -> list[CacheEntry]:
        """The newest results, of one task or of all."""
        columns = OUTPUTS.c
        query = select(columns.key, columns.task, columns.facts, columns.stored_at)
        query = query.where(columns.project == self.project, columns.domain == self.domain)
        if task is not None:
            query = query.where(columns.task == task)
        query = query.order_by(columns.stored_at.desc(), columns.key).limit(limit)
        return self._read(lambda connection: [CacheEntry.read(*row) for row in connection.execute(query)], [])

    def entry(self, key: str) -> CacheEntry | None:
        """What is known of the result under ``key``."""
        columns = OUTPUTS.c
        query = select(columns.key, columns.task, columns.facts, columns.stored_at).where(*self._ours(OUTPUTS, key))
        row = self._read(lambda connection: connection.execute(query).first(), None)
        return None if row is None else CacheEntry.read(*row)

    def clear(self, task: str | None = None, *, before: float | None = None) -> int:
        """Drop results of this project and domain, of a task or put before a time; how many."""
        statement = delete(OUTPUTS).where(OUTPUTS.c.project == self.project, OUTPUTS.c.domain == self.domain)
        if task is not None:
            statement = statement.where(OUTPUTS.c.task == task)
        if before is not None:
            statement = statement.where(OUTPUTS.c.stored_at < before)
        return self._write(lambda connection: connection.execute(statement).rowcount, 0)

    def close(self) -> None:
        """Nothing: the database belongs to the store."""

    def _ours(self, table: Table, key: str) -> tuple[ColumnElement[bool], ...]:
        return (table.c.project == self.project, table.c.domain == self.domain, table.c.key == key)

    def _now(self) -> ColumnElement[float]:
        return self._database.dialect.now(self._clock)

    def _read(self, query: Callable[[Connection], T], otherwise: T) -> T:
        try:
            return self._database.read(query)
        except StoreError as error:
            self._warn(error)
            return otherwise

    def _write(self, operation: Callable[[Connection], T], otherwise: T) -> T:
        try:
            return self._database.write(operation)
        except StoreError as error:
            self._warn(error)
            return otherwise

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.warning("the output cache in the database cannot be used, tasks run without it: %s", error)


def outputs_in(home: Path, database: Database, project: str, domain: str) -> OutputCache | SharedOutputs:
    """The output cache that goes with a database: a file beside one that is a file, else the database itself.

    Args:
        home: the folder that holds everything.
        database: the store's.
        project, domain: whose results.
    """
    if isinstance(database.dialect, SQLite):
        return OutputCache(home / CACHE_NAME, project, domain)
    return SharedOutputs(database, project, domain)


def _upsert(
    connection: Connection, table: Table, row: Mapping[str, Any], where: ColumnElement[bool] | None = None
) -> Insert:
    """One statement, so that of two who race exactly one gets it."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(table).values(**row)
    key = [column.name for column in table.primary_key]
    rest = {name: statement.excluded[name] for name in row if name not in key}
    made = statement.on_conflict_do_update(index_elements=key, set_=rest, where=where)
    return made.execution_options(preserve_rowcount=True)


def _done(_result: object) -> None:
    """A statement's result is of no interest."""
