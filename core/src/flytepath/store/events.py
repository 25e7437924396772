"""The event store of a home: one door to the log, the leases, the inbox and the compiled graphs.

It stands on a SQLite file in the home, or on a PostgreSQL database that engines of several machines share. Each process
has one writer thread with group commit; what a call returned is durable, and a call that raised left no trace, unless
it raised :class:`~flytepath.errors.StoreUnavailableError`: then it may be repeated as it was.

Example:
    >>> import tempfile
    >>> from flytepath.model.events import AbortRequested, Actor, Event, ExecutionCreated
    >>> ada = Actor(kind="user", name="ada")
    >>> created = ExecutionCreated(
    ...     project="p", domain="d", workflow="flow.wf", workflow_version="v1", spec="sha256:0", bundle="sha256:0")
    >>> with tempfile.TemporaryDirectory() as home, open_store(Path(home)) as store:
    ...     store.create("x1", [Event(execution="x1", seq=1, at=1.0, actor=ada, payload=created)])
    ...     epoch = store.acquire("x1", "engine-1", ttl=30)
    ...     store.append("x1", 1, epoch, [Event(execution="x1", seq=2, at=2.0, actor=ada, payload=AbortRequested())])
    ...     [event.payload.type for event in store.read("x1")]
    ['execution_created', 'abort_requested']
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import BindParameter, delete, insert, select, update

from flytepath.config import database_url
from flytepath.errors import NotFoundError, StoreCorruptError, StoreError, UsageError
from flytepath.model.events import Event
from flytepath.model.literal import Literal, canonical_json, sha256
from flytepath.store import executions, jobs, leases, log, migrate
from flytepath.store.database import Database
from flytepath.store.dialect import Dialect
from flytepath.store.disk import create_folder, sync_folder
from flytepath.store.executions import ExecutionRow
from flytepath.store.leases import Lease
from flytepath.store.schema import COMMANDS, EXECUTIONS, INSTALLATION, LEASES, SNAPSHOTS, SPECS
from flytepath.store.sqlite import SQLite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

    from flytepath.store.registry import Registry

__all__ = ["DATABASE_NAME", "ExecutionRow", "Lease", "PostedCommand", "Store", "open_store"]

DATABASE_NAME = "store.db"


@dataclass(frozen=True, slots=True)
class PostedCommand:
    """A command in an execution's inbox; ``posted_at`` in seconds since the epoch (UTC)."""

    id: int
    execution: str
    command: Mapping[str, Any]
    posted_at: float


def open_store(home: Path, *, url: str | None = None, clock: Callable[[], float] = time.time) -> Store:
    """Open the store of ``home``, create it where there is none, bring an older one to this release's schema.

    Args:
        home: the folder of everything but the database, and of that too unless it is on a server; made if missing.
        url: ``postgresql://...``; :func:`flytepath.config.database_url` by default, and ``store.db`` in ``home`` where
            that says nothing.
        clock: seconds since the epoch, for times of posting, and for leases where there is no server to ask.

    Raises:
        ConfigError: a configuration file or variable is wrong.
        StoreCorruptError: the database is damaged or is none; nothing was written.
        StoreFullError: there is no room to create or migrate it.
        StoreUnavailableError: the server cannot be reached.
        StoreError: the home cannot be read or written, the URL is none, the driver is missing, or the database is from
            a newer release or somebody else's.
    """
    create_folder(home)
    named = url or database_url(home_folder=home)
    dialect: Dialect
    if named is None:
        dialect = SQLite(home / DATABASE_NAME)
    else:
        from flytepath.store.postgres import Postgres

        dialect = Postgres(named)
    outdated = migrate.needs_migration(*dialect.inspect(), dialect.place)
    if outdated:
        dialect.prepare()
    store = Store(Database(dialect), clock)
    if outdated:
        try:
            store.database.alone(lambda connection: migrate.migrate(connection, dialect.place))
            sync_folder(home)
        except BaseException:
            store.close()
            raise
    return store


def _installation(connection: Connection) -> str | None:
    return connection.execute(select(INSTALLATION.c.id)).scalar()


def _nobody_is_dead(_owner: str) -> bool:
    return False


class Store:
    """The open store. Made by :func:`open_store`; use it as a context manager, or :meth:`close` it.

    Every method may be called from any thread. All may raise :class:`StoreError` and its subclasses where the database
    itself fails. A store must not be carried over a fork.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database = database
        self._clock = clock
        self._installation: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is queued and let the file go. Closing twice is allowed."""
        self.database.close()

    @property
    def place(self) -> str:
        """Where the database lies, without any password."""
        return self.database.dialect.place

    @property
    def commits(self) -> int:
        """Write transactions committed through this store; fewer than appends where appends came together."""
        return self.database.commits

    @property
    def registry(self) -> Registry:
        """The registered versions of tasks, workflows and launch plans in this store."""
        from flytepath.store.registry import Registry

        return Registry(self.database, self._clock)

    def installation(self) -> str:
        """The random name of this database, the same for ever: what its remote jobs are stamped with."""
        if self._installation is None:
            self._installation = self.database.read(_installation) or self.database.write(self._install)
        return self._installation

    def _install(self, connection: Connection) -> str:
        self.database.dialect.guard(connection, "installation")
        known = _installation(connection)
        if known is None:
            known = uuid.uuid4().hex
            connection.execute(insert(INSTALLATION).values(id=known))
        return known

    # --- the log ---

    def create(
        self,
        execution: str,
        events: Sequence[Event],
        literals: Iterable[Literal] = (),
        *,
        values_of: str = "",
        owner: str = "",
        ttl: float = 0.0,
    ) -> None:
        """Begin the log of a new execution; the first event is its ``execution_created``.

        Args:
            execution: its id.
            events, literals: as for :meth:`append`.
            values_of: an execution whose values this one may refer to as well; they are copied.
            owner, ttl: who takes it at once, under a lease of epoch 1, and for how many seconds.

        Raises:
            SequenceConflictError: there is such an execution already.
        """
        if not values_of and not owner:
            self.append(execution, 0, 0, events, literals)
            return
        rows = log.event_rows(execution, 0, events)
        kept = log.literal_rows(execution, literals)

        def operation(connection: Connection) -> None:
            log.append(connection, execution, 0, 0, events, rows, kept)
            if values_of:
                log.copy_literals(connection, values_of, execution)
            if owner:
                leases.begin(connection, execution, owner, clock=self._lease_clock(), ttl=ttl)

        self.database.write(operation)

    def append(
        self,
        execution: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[Event],
        literals: Iterable[Literal] = (),
    ) -> None:
        """Append ``events`` and keep ``literals``: all of it, durable on return, or nothing.

        Args:
            execution: whose log.
            expected_seq: the last event the caller knows; ``events`` carry the numbers after it.
            epoch: the caller's lease, 0 where nobody ever took the execution.
            events: what happened.
            literals: values the events refer to; one that is kept already stays as it is.

        Raises:
            SequenceConflictError: another writer appended first, or the lease has passed to another engine.
            StoreFullError: the disk is full.
            StoreUnavailableError: the server went away; the events may be there or not. To append them again, exactly
                these, is right in both cases: what is there already is accepted.
        """
        self.append_later(execution, expected_seq, epoch, events, literals).result()

    def append_later(
        self,
        execution: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[Event],
        literals: Iterable[Literal] = (),
    ) -> Future[None]:
        """The same as :meth:`append`, without waiting: what is queued together shares one transaction and one fsync.

        Appends are carried out in the order of the calls. The future is done when the events are durable, or holds the
        error; cancelling it helps only before the writer took it.
        """
        rows = log.event_rows(execution, expected_seq, events)
        entry = log.Entry(execution, expected_seq, epoch, events, rows, log.literal_rows(execution, literals))
        return self.database.submit_item(log.append_all, entry)

    def read(self, execution: str, after: int = 0, *, until: int | None = None) -> list[Event]:
        """The events of ``execution`` after number ``after`` and up to ``until``, in order.

        Raises:
            NotFoundError: there is no such execution.
            StoreCorruptError: an event is damaged.
            LiteralError: an event was written by a newer release.
        """
        bodies = self.database.read(lambda connection: log.bodies(connection, execution, after, until))
        return log.decoded(execution, bodies)

    def last_seq(self, execution: str) -> int:
        """The number of the latest event; :class:`NotFoundError` where the execution is unknown."""
        return self.database.read(lambda connection: log.last_seq(connection, execution))

    def literal(self, execution: str, digest: str) -> Literal:
        """One value of an execution; :class:`NotFoundError` where it is not kept (any more)."""
        return self.literals(execution, [digest])[digest]

    def literals(self, execution: str, digests: Iterable[str]) -> dict[str, Literal]:
        """Values of an execution by digest; :class:`NotFoundError` where one is not kept (any more)."""
        return self.database.read(
            lambda connection: log.read_literals(connection, execution, list(dict.fromkeys(digests)))
        )

    # --- leases ---

    def acquire(
        self, execution: str, owner: str, *, ttl: float, is_dead: Callable[[str], bool] = _nobody_is_dead
    ) -> int:
        """Take ``execution`` for ``ttl`` seconds and return the new epoch; appends under an older one now fail.

        Args:
            execution: what to take.
            owner: who takes it; the present owner may take it again.
            ttl: seconds until the lease runs out unless :meth:`heartbeat` renews it.
            is_dead: whether another owner is known to be gone, so that its lease need not be waited for. It is called
                in the writer's thread and must be quick.

        Raises:
            ExecutionStateError: another living owner holds it, named in ``actual``.
            NotFoundError: there is no such execution.
        """

        def operation(connection: Connection) -> int:
            clock = self._lease_clock()
            return leases.acquire(connection, execution, owner, clock=clock, ttl=ttl, is_dead=is_dead)

        return self.database.write(operation)

    def claim(
        self,
        owner: str,
        *,
        limit: int,
        ttl: float,
        is_dead: Callable[[str], bool] = _nobody_is_dead,
        exclude: Collection[str] = (),
    ) -> list[tuple[str, int]]:
        """Take running executions that nobody works on, the oldest first, all in one write.

        Where there are none, nothing is written. Engines that claim at the same time neither wait for one another nor
        get the same.

        Args:
            owner: who takes them.
            limit: the most executions.
            ttl: seconds until the leases run out unless renewed; the same for all engines of a store.
            is_dead: whether an owner is known to be gone, so that its leases need not be waited for.
            exclude: executions to leave alone.

        Returns:
            Each execution with its new epoch.
        """
        if limit < 1:
            return []
        unwanted = frozenset(exclude)
        seen = self.database.read(
            lambda connection: leases.waiting(connection, owner, clock=self._lease_clock(), ttl=ttl, exclude=unwanted)
        )
        dead = [other for other in seen.owners if is_dead(other)]
        if not seen.free and not dead:
            return []
        return self.database.write(
            lambda connection: leases.claim(
                connection,
                owner,
                clock=self._lease_clock(),
                limit=limit,
                ttl=ttl,
                dead=dead,
                exclude=unwanted,
            )
        )

    def renew(self, owner: str, ttl: float) -> dict[str, int]:
        """Renew every lease of ``owner`` for ``ttl`` seconds from now; the epochs it still holds, by execution."""
        return self.database.write(
            lambda connection: leases.renew_all(connection, owner, clock=self._lease_clock(), ttl=ttl)
        )

    def heartbeat(self, execution: str, owner: str, epoch: int, ttl: float) -> bool:
        """Renew a lease for ``ttl`` seconds from now; false where it has passed to another."""
        return self.database.write(
            lambda connection: leases.renew(connection, execution, owner, epoch, clock=self._lease_clock(), ttl=ttl)
        )

    def release(self, execution: str, owner: str, epoch: int) -> bool:
        """Give a lease back; false where it had passed to another."""
        return self.database.write(lambda connection: leases.release(connection, execution, owner, epoch))

    def release_all(self, owner: str, executions: Sequence[str]) -> None:
        """Give back the leases that ``owner`` still holds on ``executions``."""
        if executions:
            self.database.write(lambda connection: leases.release_all(connection, owner, executions))

    def owner(self, execution: str) -> Lease | None:
        """The lease of ``execution``, which may have run out; ``None`` where nobody holds one."""
        return self.database.read(lambda connection: leases.current(connection, execution))

    def _lease_clock(self) -> leases.Clock:
        dialect = self.database.dialect
        now = dialect.now(self._clock)
        return leases.Clock(now, dialect.trusts_ends(), now.value if isinstance(now, BindParameter) else None)

    # --- the list of executions ---

    def executions(
        self,
        *,
        project: str | None = None,
        domain: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        state: str | None = None,
    ) -> list[ExecutionRow]:
        """A page of executions, newest first.

        Args:
            project, domain, state: list only these; ``state`` is running, succeeded, failed or aborted.
            limit: the most rows.
            cursor: the ``cursor`` of the last row of the page before.

        Raises:
            UsageError: a cursor, state or limit that cannot be.
        """
        if state is not None and state not in executions.STATES:
            raise UsageError(f"there is no state {state!r}", expected=", ".join(executions.STATES), actual=state)
        if limit < 1:
            raise UsageError("a page has at least one row", expected="a limit of 1 or more", actual=str(limit))
        return self.database.read(
            lambda connection: executions.newest(
                connection, project=project, domain=domain, state=state, limit=limit, cursor=cursor
            )
        )

    def status(self, execution: str) -> str:
        """Where an execution is: running, succeeded, failed or aborted.

        Raises:
            NotFoundError: there is none.
        """
        query = select(EXECUTIONS.c.state).where(EXECUTIONS.c.id == execution)
        found = self.database.read(lambda connection: connection.execute(query).scalar())
        if found is None:
            raise leases.no_execution(execution)
        return str(found)

    def rebuild_projections(self) -> int:
        """Drop everything that follows from the log and derive it again; the number of executions."""

        def operation(connection: Connection) -> int:
            self.database.dialect.keep(connection, EXECUTIONS)
            jobs.rebuild(connection)
            return executions.rebuild(connection)

        return self.database.write(operation)

    def version(self) -> int | None:
        """A cheap number that changes when another process, or another open store, has written something.

        ``None`` where the database has no such number: then ask always. It never waits; during a write of this store
        it is the number of before.
        """
        return self.database.changes()

    # --- snapshots ---

    def put_snapshot(self, execution: str, seq: int, format: str, body: bytes) -> Future[None]:
        """Keep the state of ``execution`` after event ``seq``, in the place of an older one.

        A snapshot only saves work: where it cannot be kept, the future says why, and no append fails for it.
        """
        row = {"execution": execution, "seq": seq, "format": format, "body": body}
        known = SNAPSHOTS.c.execution == execution

        def operation(connection: Connection) -> None:
            newer = connection.execute(select(SNAPSHOTS.c.seq).where(known).with_for_update()).scalar()
            if newer is None:
                connection.execute(insert(SNAPSHOTS).values(row))
            elif newer <= seq:
                connection.execute(update(SNAPSHOTS).where(known).values(row))

        return self.database.submit(operation)

    def snapshot(self, execution: str) -> tuple[int, str, bytes] | None:
        """The latest state that was kept: the event it follows, its format, and the bytes."""
        query = select(SNAPSHOTS.c.seq, SNAPSHOTS.c.format, SNAPSHOTS.c.body)
        query = query.where(SNAPSHOTS.c.execution == execution)
        row = self.database.read(lambda connection: connection.execute(query).first())
        return None if row is None else (row.seq, row.format, bytes(row.body))

    # --- the inbox ---

    def post(self, execution: str, command: Mapping[str, Any]) -> int:
        """Leave ``command`` (JSON) for the owner of ``execution`` and return its identifier.

        Raises:
            NotFoundError: there is no such execution.
        """
        body = canonical_json(dict(command)).decode("ascii")

        def operation(connection: Connection) -> int:
            log.last_seq(connection, execution)
            # One after the other, so that they come into sight in the order of their identifiers.
            self.database.dialect.guard(connection, "commands")
            values = {"execution": execution, "posted_at": self._clock(), "body": body}
            return int(connection.execute(insert(COMMANDS).values(**values).returning(COMMANDS.c.id)).scalar_one())

        return self.database.write(operation)

    def inbox(self, execution: str) -> list[PostedCommand]:
        """The commands that wait for the owner of ``execution``, in the order they were posted."""
        return self._posted(select(COMMANDS).where(COMMANDS.c.execution == execution))

    def inbox_of(self, owner: str, after: int = 0) -> list[PostedCommand]:
        """The commands for all executions that ``owner`` holds, with an identifier over ``after``, in their order.

        None comes into sight after one with a higher identifier.
        """
        held = select(COMMANDS).join(LEASES, LEASES.c.execution == COMMANDS.c.execution)
        return self._posted(held.where(LEASES.c.owner == owner, COMMANDS.c.id > after))

    def _posted(self, query: Select[Any]) -> list[PostedCommand]:
        ordered = query.order_by(COMMANDS.c.id)
        rows = self.database.read(lambda connection: connection.execute(ordered).mappings().all())
        return [PostedCommand(row["id"], row["execution"], json.loads(row["body"]), row["posted_at"]) for row in rows]

    def take(self, ids: Iterable[int]) -> None:
        """Remove commands from the inbox, after what they led to was appended."""
        wanted = list(ids)
        if wanted:
            self.database.write(
                lambda connection: connection.execute(delete(COMMANDS).where(COMMANDS.c.id.in_(wanted)))
            )

    # --- compiled graphs ---

    def put_spec(self, digest: str, spec: Any) -> None:
        """Keep ``spec`` (JSON) under the digest of its canonical form; keeping it again does nothing.

        Raises:
            StoreError: ``digest`` is not that of ``spec``.
        """
        body = canonical_json(spec)
        if sha256(body) != digest:
            raise StoreError("the digest is not that of the content", expected=sha256(body), actual=digest)

        def operation(connection: Connection) -> None:
            if connection.execute(select(SPECS.c.digest).where(SPECS.c.digest == digest)).first() is None:
                connection.execute(insert(SPECS).values(digest=digest, body=body.decode("ascii")))

        self.database.write(operation)

    def get_spec(self, digest: str) -> Any:
        """What was kept under ``digest``.

        Raises:
            NotFoundError: nothing was.
            StoreCorruptError: it is damaged.
        """
        query = select(SPECS.c.body).where(SPECS.c.digest == digest)
        body = self.database.read(lambda connection: connection.execute(query).scalar())
        if body is None:
            raise NotFoundError("no compiled graph has this digest", place=digest)
        if sha256(body.encode()) != digest:
            raise StoreCorruptError(
                "a compiled graph is damaged", place=digest, expected=digest, actual=sha256(body.encode())
            )
        return json.loads(body)
