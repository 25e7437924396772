"""One open database: connections to read with, and the one writer of this process.

Every write is an *operation*, a function of a connection, queued to one thread. The thread takes all that wait, runs
them in a single transaction and commits once: many callers share one transaction and one fsync, and an operation that
is refused fails alone. A future is done only when its operation is durable.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from flytepath.errors import FlytePathError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection, RootTransaction

    from flytepath.store.dialect import Dialect

T = TypeVar("T")

#: The most operations in one transaction, so that the write lock is handed on in good time.
BATCH_LIMIT = 256
#: How long the end waits for those who still read.
READ_SECONDS = 5.0


#: Carries out all of its items, and says of each the error that it is refused with, or ``None``.
Common = Callable[["Connection", Sequence[Any]], Sequence["BaseException | None"]]


@dataclass(slots=True)
class _Job:
    future: Future[Any]
    operation: Callable[[Connection], Any] | None = None
    refuses_first: bool = False
    common: Common | None = None
    item: Any = None
    result: Any = None
    error: BaseException | None = None

    @property
    def kind(self) -> object:
        """What jobs side by side have in common that are carried out at once."""
        return self.common or self


class _RefusedAlone(Exception):
    """The only operation of a transaction was refused: end the transaction, and tell its caller."""


class Database:
    """The database of one home.

    Args:
        dialect: which kind it is and where it lies; it must exist and be at the newest revision before anything is
            read or written.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        #: Write transactions committed so far by this process.
        self.commits = 0
        self._reader, self._writer = dialect.engines()
        self._reading = threading.Condition()
        self._readers = 0
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._damage: StoreError | None = None
        # The writer's connection, kept from one transaction to the next, and who uses it now.
        self._connection: Connection | None = None
        self._writing = threading.Lock()
        self._changes: int | None = None

    def read(self, query: Callable[[Connection], T]) -> T:
        """What ``query`` returns; it sees one consistent state, and is asked again where what hindered it may pass.

        Raises:
            StoreCorruptError, StoreUnavailableError, StoreError: the database is damaged, away, or cannot be read.
        """

        def attempt() -> T:
            with self._reader.begin() as connection:
                return query(connection)

        with self._reading:
            if self._closed:
                raise self._closed_error()
            self._readers += 1
        try:
            with self._translated():
                return self._once_more(lambda: self.dialect.patiently(attempt))
        finally:
            with self._reading:
                self._readers -= 1
                self._reading.notify_all()

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` in the writer; durable on return."""
        return self.submit(operation).result()

    def submit(self, operation: Callable[[Connection], T], *, refuses_first: bool = False) -> Future[T]:
        """Queue ``operation``; it may run twice, so it must not change anything but the database.

        The future is done when the operation is durable, or was refused and left no trace. It holds
        :class:`StoreUnavailableError` where the server went away in the middle: then the operation may have been
        carried out or not.

        Args:
            operation: what to do.
            refuses_first: it raises errors of its own only before it has changed anything, which saves a savepoint.
        """
        return self._queued(_Job(Future(), operation, refuses_first))

    def submit_item(self, common: Common, item: Any) -> Future[None]:
        """The same for an ``item`` of something that is done for many at a time: fewer statements than one for each.

        Args:
            common: is given the items that wait side by side, in their order. What it refuses must leave no trace; what
                it raises itself is taken for an error of each.
            item: what is to be done.
        """
        return self._queued(_Job(Future(), common=common, item=item))

    def _queued(self, job: _Job) -> Future[Any]:
        with self._gate:
            if self._closed:
                raise self._closed_error()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flytepath-store-writer", daemon=True)
                self._thread.start()
            self._queue.put(job)
        return job.future

    def alone(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` at once, before the writer starts; no other process does the same meanwhile."""

        def attempt() -> T:
            with self._transaction() as connection:
                self.dialect.guard(connection, "migrations")
                return operation(connection)

        with self._translated(), self._writing:
            return self._once_more(lambda: self.dialect.patiently(attempt))

    def changes(self) -> int | None:
        """A cheap number that changes when another process has committed; ``None`` where there is none.

        It never waits: while this process is in the middle of a write, it is the number of before.
        """
        if self._closed:
            raise self._closed_error()
        if self.dialect.counts_changes and self._writing.acquire(blocking=False):
            try:
                with self._translated():
                    self._count_changes()
            finally:
                self._writing.release()
        return self._changes

    def close(self) -> None:
        """Finish what is queued and let the database go. Closing twice is allowed."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread is not None:
            thread.join()
        with self._writing:
            self._disconnect()
        # A thread whose caller was cancelled may still read: its connection could not be closed from here.
        with self._reading:
            self._reading.wait_for(lambda: not self._readers, READ_SECONDS)
        self._reader.dispose()
        self._writer.dispose()

    # --- the writer's thread ---

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            batch, last = [job], False
            while len(batch) < BATCH_LIMIT and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    last = True
                    break
                batch.append(following)
            self._commit([job for job in batch if job.future.set_running_or_notify_cancel()])
            if last:
                return
            # Nothing of what was written is kept while there is nothing to do: a snapshot may be many megabytes.
            del job, batch
            following = None

    def _commit(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        failure = self._damage or self._attempt(jobs)
        if failure is not None and len(jobs) > 1 and not isinstance(failure, StoreUnavailableError):
            # The transaction is gone as a whole (a full disk, say), and nobody can tell which operation was too much.
            for job in jobs:
                self._commit([job])
            return
        for job in jobs:
            error = failure or job.error
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(job.result)

    def _attempt(self, jobs: Sequence[_Job]) -> BaseException | None:
        """Run ``jobs`` in one transaction; what broke the transaction itself, if anything did."""

        def attempt() -> None:
            with self._transaction() as connection:
                for _, alike in groupby(jobs, key=attrgetter("kind")):
                    self._operate(connection, list(alike), alone=len(jobs) == 1)

        try:
            with self._writing, self._translated():
                self._once_more(lambda: self.dialect.patiently(attempt))
                if self._changes is not None:
                    self._count_again()
        except _RefusedAlone:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers that wait
            return error
        return None

    def _operate(self, connection: Connection, alike: Sequence[_Job], *, alone: bool) -> None:
        first = alike[0]
        if first.common is not None:
            for job, error in zip(alike, first.common(connection, [job.item for job in alike]), strict=True):
                job.error = error
        elif first.operation is not None:
            self._operate_one(connection, first, first.operation, alone=alone)

    def _operate_one(
        self, connection: Connection, job: _Job, operation: Callable[[Connection], Any], *, alone: bool
    ) -> None:
        job.result, job.error = None, None
        try:
            with nullcontext() if alone or job.refuses_first else connection.begin_nested():
                job.result = operation(connection)
        except Exception as error:
            if self.dialect.translate(error) is not None:
                raise  # of the database, which concerns the whole transaction
            job.error = error
            if alone:
                raise _RefusedAlone from error

    def _count_again(self) -> None:
        # Right after a write, so that :meth:`changes` need not wait for a moment between two of them.
        try:
            self._count_changes()
        except Exception:  # noqa: BLE001 - what was written is written; who asks for the number next is told
            self._changes = None

    def _count_changes(self) -> None:
        self._connection = self._connection or self._writer.connect()
        self._changes = self.dialect.changes(self._connection)

    # --- connections ---

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._connection = connection = self._connection or self._writer.connect()
        transaction = connection.begin()
        try:
            yield connection
        except BaseException as error:
            self._roll_back(transaction, error)
            raise
        try:
            transaction.commit()
        except Exception as error:
            # A connection that is closed has no transaction open, whatever went wrong.
            self._disconnect()
            if self.dialect.is_lost(error) and (ours := self.dialect.translate(error)) is not None:
                # Not to be tried again by us: what was written may be there.
                raise ours from error
            raise
        self.commits += 1

    def _roll_back(self, transaction: RootTransaction, error: BaseException) -> None:
        if self.dialect.is_lost(error):
            self._disconnect()
            return
        try:
            transaction.rollback()
        except Exception:  # noqa: BLE001 - the error that led here is the one to tell
            self._disconnect()

    def _once_more(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt``, and again if its connection had been lost since it was last used."""
        try:
            return attempt()
        except FlytePathError:
            raise
        except Exception as error:
            if not self.dialect.is_lost(error):
                raise
        return attempt()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FlytePathError:
            raise
        except Exception as error:
            ours = self.dialect.translate(error)
            if ours is None:
                raise
            # A damaged record concerns its execution; in a damaged file, writing on would bury what can still be saved.
            if self.dialect.is_damage(error):
                self._damage = ours
            raise ours from error

    def _closed_error(self) -> StoreError:
        return StoreError("the store is closed", place=self.dialect.place, hint="open it again with open_store")
