"""One worker process: the messages in and out, and the attempts between them."""

from __future__ import annotations

import faulthandler
import os
import platform
import queue
import select
import shutil
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

import flytepath
from flytepath.authoring import preemption
from flytepath.engine.secrets import given
from flytepath.errors import FlytePathError, WorkerError
from flytepath.model.events import ErrorRecord
from flytepath.model.identity import Tenant
from flytepath.model.messages import (
    FRAME_LIMIT,
    PROTOCOL_VERSION,
    TO_WORKER,
    AttemptEnded,
    AttemptErred,
    CallEnded,
    Hello,
    Shutdown,
    StartAttempt,
    TaskGiven,
    Welcome,
    frame,
)
from flytepath.model.task import Record, TaskSpec
from flytepath.store.blobs import BlobFolder
from flytepath.worker.attempts import AttemptRunner, Outcome
from flytepath.worker.surroundings import Streams, Surroundings
from flytepath.worker.telling import without_secrets


class Worker:
    """Serves one engine.

    The main thread reads messages and runs attempts, so a message costs no change of threads. A thread beside it only
    waits for the other end to be closed: then the engine is gone, and nothing may outlive it. An eager task is answered
    while it runs; from the first one on, a thread of their own reads messages.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._pid = os.getpid()
        self._connection = connection
        self._incoming = connection.makefile("rb")
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Record | None] | None = None
        self._tasks: dict[str, TaskSpec] = {}
        self._running: StartAttempt | None = None
        self._streams = Streams()
        threading.Thread(target=self._await_end, name="flytepath-engine", daemon=True).start()
        preemption.install(self._preempted)
        self._deadline = preemption.deadline()
        self._surroundings = Surroundings()

    # --- messages ---

    def _await_end(self) -> None:
        waiting = select.poll()
        waiting.register(self._connection.fileno(), 0)  # only that the other end is closed
        waiting.poll()
        with suppress(OSError):  # nobody else will remove it; a log that was shown has a name of its own
            os.unlink(self._streams.file)  # noqa: PTH108
        os.killpg(os.getpgrp(), signal.SIGKILL)

    def _receive(self) -> Record | None:
        """The next message; none when the engine is gone."""
        if self._inbox is not None:
            return self._inbox.get()
        return self._read()

    def _read(self) -> Record | None:
        head = self._incoming.read(4)
        size = int.from_bytes(head, "big")
        if len(head) < 4 or size > FRAME_LIMIT:
            return None
        body = self._incoming.read(size)
        return TO_WORKER.validate_json(body) if len(body) == size else None

    def _listen(self, runner: AttemptRunner, inbox: queue.SimpleQueue[Record | None]) -> None:
        while (message := self._read()) is not None:
            if isinstance(message, CallEnded):
                runner.answered(message)
            else:
                inbox.put(message)
        inbox.put(None)

    def send(self, message: Record) -> None:
        """Write one frame; decks may come from other threads of a task."""
        self._write(frame(message))

    def _write(self, data: bytes) -> None:
        if os.getpid() != self._pid:
            return  # a child that a task has forked has nothing to say to the engine
        with preemption.shielded(), self._lock:
            self._connection.sendall(data)

    # --- attempts ---

    def serve(self) -> None:
        """Greet, then run attempts until told to end."""
        self.send(Hello(pid=self._pid, python=platform.python_version(), flytepath=flytepath.__version__))
        welcome = self._receive()
        if not isinstance(welcome, Welcome) or welcome.protocol != PROTOCOL_VERSION:
            raise WorkerError(
                "the engine speaks another protocol", expected=str(PROTOCOL_VERSION), actual=repr(welcome)
            )
        self._streams.file = welcome.output
        given.keep(self._streams.keep_out)
        sys.path.insert(0, welcome.code_path)
        self._surroundings.note()
        blobs = BlobFolder(welcome.blob_root, welcome.project, welcome.domain)
        tenant = Tenant(welcome.project, welcome.domain)
        runner = AttemptRunner(
            welcome.code_path, blobs, tenant, self._report, home=welcome.home, importing=self._surroundings.changing
        )
        while (message := self._receive()) is not None and not isinstance(message, Shutdown):
            if isinstance(message, TaskGiven):
                self._tasks[message.task.name] = message.task
            elif isinstance(message, StartAttempt):
                self._run(runner, self._tasks[message.task], message)

    def _report(self, message: Any) -> None:
        """What is told while an attempt runs; what a thread says that an earlier one left behind is dropped."""
        if self._running is not None:
            self.send(message)

    def _run(self, runner: AttemptRunner, task: TaskSpec, start: StartAttempt) -> None:
        if task.mode == "eager" and self._inbox is None:
            self._inbox = queue.SimpleQueue()
            listening = threading.Thread(
                target=self._listen, args=(runner, self._inbox), name="flytepath-answers", daemon=True
            )
            listening.start()
        self._running = start
        self._streams.begin()
        preemption.attempt_begins(self._deadline)
        try:
            outcome = runner.run(task, start, start.processors)
        finally:
            preemption.attempt_ended()  # if it was preempted, this ends the process
        if os.getpid() != self._pid:
            os._exit(0)  # the child of a task that forked and came back
        self._running = None
        self._leave_nothing(start)
        leaving = self._surroundings.restore()
        printed = self._streams.end(start.log_path)
        self._end(start, outcome, printed, leaving or self._streams.are_lost or preemption.is_told_to_go())

    def _end(self, start: StartAttempt, outcome: Outcome, printed: int, leaving: bool) -> None:
        ended = AttemptEnded.model_construct(outcome=outcome, printed=printed, leaving=leaving)
        try:
            data = frame(ended)
        except ValueError as error:
            record = ErrorRecord(
                kind="user",
                code=WorkerError.code,
                message=f"the outputs are too large to be told: {error}",
                place=start.task,
                recoverable=False,
            )
            data = frame(AttemptEnded(outcome=AttemptErred(error=record), printed=printed, leaving=leaving))
        self._write(data)

    @staticmethod
    def _leave_nothing(start: StartAttempt) -> None:
        if os.path.isdir(start.working_directory):  # noqa: PTH112 - once per attempt, and as a rule it is not there
            shutil.rmtree(start.working_directory, ignore_errors=True)

    def _preempted(self, report: preemption.PreemptedReport) -> None:
        """The attempt that runs was ended by SIGTERM, and the process ends after this."""
        start = self._running
        if start is not None:
            printed = self._streams.end(start.log_path)
            record = without_secrets(report.record(start.task))
            self._end(start, AttemptErred(error=record, progress=report.step), printed, leaving=True)


def main() -> None:
    """Take the connection over, and serve."""
    descriptor = int(sys.argv[sys.argv.index("--messages") + 1])
    connection = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to handle
    faulthandler.enable()  # to the log of the attempt that crashes
    try:
        Worker(connection).serve()
    except FlytePathError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"the connection to the engine is lost, or a task has closed it: {error}")
