"""One open database: connections to read with, and the one writer of this process.

Every write is an *operation*, a function of a connection, queued to one thread. The thread takes all that wait, runs
each in a savepoint of a single transaction and commits once: many callers share one transaction and one fsync, and an
operation that is refused fails alone. A future is done only when its operation is durable.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flytepath.errors import StoreCorruptError, StoreError
from flytepath.store import sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

#: The most operations in one transaction, so that the write lock is handed on in good time.
BATCH_LIMIT = 256


@dataclass(slots=True)
class _Job:
    operation: Callable[[Connection], Any]
    future: Future[Any]
    result: Any = None
    error: BaseException | None = None


class Database:
    """The database file of one home.

    Args:
        path: the file; it must exist and be at the newest revision before anything is read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Write transactions committed so far by this process.
        self.commits = 0
        self._reader, self._writer = sqlite.create_engines(path)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._damage: StoreCorruptError | None = None

    def read(self, query: Callable[[Connection], T]) -> T:
        """What ``query`` returns; it sees one consistent state, and is asked again if a lock was in its way.

        Raises:
            StoreCorruptError, StoreError: the database is damaged, or cannot be read.
        """

        def attempt() -> T:
            with self._reader.begin() as connection:
                return query(connection)

        if self._closed:
            raise self._closed_error()
        with self._translated():
            return sqlite.patiently(self.path, attempt)

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` in the writer; durable on return."""
        return self.submit(operation).result()

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue ``operation``; it may run twice, so it must not change anything but the database.

        The future is done when the operation is durable, or was refused and left no trace.
        """
        future: Future[T] = Future()
        with self._gate:
            if self._closed:
                raise self._closed_error()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flytepath-store-writer", daemon=True)
                self._thread.start()
            self._queue.put(_Job(operation, future))
        return future

    def close(self) -> None:
        """Finish what is queued and let the file go. Closing twice is allowed."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread is not None:
            thread.join()
        self._reader.dispose()
        self._writer.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction of the caller's own, for what happens before the writer starts: migrations."""
        with self._translated(), sqlite.patiently(self.path, self._writer.connect) as connection:
            with sqlite.patiently(self.path, connection.begin):
                yield connection
            self.commits += 1

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

    def _commit(self, jobs: Sequence[_Job]) -> None:
        failure = self._attempt(jobs)
        if failure is not None and len(jobs) > 1 and self._damage is None:
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
        if not jobs:
            return None
        if self._damage is not None:
            return self._damage
        try:
            with self.transaction() as connection:
                for job in jobs:
                    self._operate(connection, job)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers that wait
            return error
        return None

    def _operate(self, connection: Connection, job: _Job) -> None:
        from sqlalchemy.exc import DBAPIError, IntegrityError

        job.result, job.error = None, None
        try:
            with connection.begin_nested():
                job.result = job.operation(connection)
        except IntegrityError as error:
            job.error = sqlite.translate(error, self.path) or error
        except DBAPIError:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to the caller that waits for this operation
            job.error = error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with sqlite.translated(self.path):
                yield
        except StoreCorruptError as error:
            # A damaged record concerns its execution; in a damaged file, writing on would bury what can still be saved.
            if error.__cause__ is not None and sqlite.primary_code(error.__cause__):
                self._damage = error
            raise

    def _closed_error(self) -> StoreError:
        return StoreError("the store is closed", place=str(self.path), hint="open it again with open_store")
