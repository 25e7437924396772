"""The worker: runs attempts of tasks, one at a time, for the engine at the other end of its standard input.

Started as ``<python> -m flytepath.worker --messages FD``. Messages come framed on standard input and go out on ``FD``;
what tasks print goes to standard output and error as they are. When the input closes, the engine is gone, and the
worker ends itself and everything it started.
"""

from __future__ import annotations

import importlib
import os
import platform
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import flytepath
from flytepath.authoring.call import call_attempt, task_type_of
from flytepath.authoring.context import ExecutionContext
from flytepath.authoring.task import Task
from flytepath.errors import (
    BoundaryCheckError,
    FlytePathError,
    RecoverableError,
    TypeTransformerFailedError,
    WorkerError,
)
from flytepath.model.events import Blob, ErrorRecord, Usage
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    FRAME_LIMIT,
    PROTOCOL_VERSION,
    TO_WORKER,
    AttemptErred,
    AttemptSucceeded,
    BoundaryResult,
    DeckReport,
    Hello,
    RunAttempt,
    Shutdown,
    Welcome,
    end_of_output,
    frame,
)
from flytepath.model.task import Record
from flytepath.plugin.boundary import BoundaryReport
from flytepath.plugin.task_type import NO_OUTPUT
from flytepath.store.blobs import BlobFolder

_OUR_FOLDER = str(Path(flytepath.__file__).parent)


class Worker:
    """One worker process: the messages in and out, and the attempts between them."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._code_path = ""
        self._inbox: queue.SimpleQueue[Record] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(incoming,), name="engine", daemon=True).start()

    def _listen(self, incoming: BinaryIO) -> None:
        while True:
            head = incoming.read(4)
            if len(head) < 4:
                break
            size = int.from_bytes(head, "big")
            body = incoming.read(size) if size <= FRAME_LIMIT else b""
            if len(body) < size:
                break
            self._inbox.put(TO_WORKER.validate_json(body))
        os.killpg(os.getpgrp(), signal.SIGKILL)  # the engine is gone: nothing may outlive it

    def send(self, message: Record) -> None:
        """Write one frame; decks may come from other threads of a task."""
        with self._lock:
            self._outgoing.write(frame(message))
            self._outgoing.flush()

    def serve(self) -> None:
        """Greet, then run attempts until told to end."""
        self.send(Hello(pid=os.getpid(), python=platform.python_version(), flytepath=flytepath.__version__))
        welcome = self._inbox.get()
        if not isinstance(welcome, Welcome) or welcome.protocol != PROTOCOL_VERSION:
            raise WorkerError(
                "the engine speaks another protocol", expected=str(PROTOCOL_VERSION), actual=repr(welcome)
            )
        self._code_path = welcome.code_path
        sys.path.insert(0, welcome.code_path)
        blobs = BlobFolder(welcome.blob_root, welcome.project, welcome.domain)
        while not isinstance(message := self._inbox.get(), Shutdown):
            if isinstance(message, RunAttempt):
                self._run(message, blobs, Tenant(welcome.project, welcome.domain))

    def _run(self, request: RunAttempt, blobs: BlobFolder, tenant: Tenant) -> None:
        started, cpu = time.perf_counter(), time.process_time()
        outcome: AttemptSucceeded | AttemptErred
        try:
            outputs = self._attempt(request, blobs, tenant)
            outcome = AttemptSucceeded(outputs=outputs)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - everything a task raises is reported
            outcome = AttemptErred(error=error_record(error, request.task.name, self._code_path))
        usage = Usage(
            wall_seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        mark = end_of_output(request.execution, request.node, request.attempt)
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            os.write(descriptor, mark)
        self.send(outcome.model_copy(update={"usage": usage}))

    def _attempt(self, request: RunAttempt, blobs: BlobFolder, tenant: Tenant) -> dict[str, Literal]:
        task = find_task(request.task.body.entry)

        def keep_deck(name: str, html: str) -> None:
            self.send(DeckReport(name=name, deck=Blob.of(blobs.put(html.encode("utf-8", "replace")))))

        def record_check(variable: str, side: Any, checker: str, report: BoundaryReport) -> None:
            self.send(
                BoundaryResult(
                    variable=variable,
                    side=side,
                    checker=checker,
                    passed=report.passed,
                    message=report.message,
                    details=dict(report.details),
                )
            )

        inputs = {}
        for name, literal in request.inputs.items():
            try:
                inputs[name] = task.input_codecs[name].decode(literal, blobs)
            except TypeTransformerFailedError as error:
                error.place = f"{task.name}({name}{error.place or ''})"
                raise
        context = ExecutionContext(
            node_path=request.node,
            execution_id=request.execution,
            attempt=request.attempt,
            tenant=tenant,
            declare=task.declaration,
            payload=request.task.payload,
            working_directory=Path(request.working_directory),
            on_deck=keep_deck,
        )
        outputs = call_attempt(task, task_type_of(task), context, inputs, record_check)
        if outputs is NO_OUTPUT:
            raise WorkerError(f"task {task.name} gave no output", hint="rank 0 of a gang must return the outputs")
        encoded = {}
        for name, value in outputs.items():
            try:
                encoded[name] = task.output_codecs[name].encode(value, blobs)
            except TypeTransformerFailedError as error:
                error.place = f"{task.name}() -> {name}{error.place or ''}"
                raise
        return encoded


def find_task(entry: str) -> Task:
    """The task at ``module:name``.

    Raises:
        WorkerError: the module no longer holds it.
    """
    module_name, _, name = entry.partition(":")
    found = getattr(importlib.import_module(module_name), name, None)
    if not isinstance(found, Task):
        raise WorkerError(
            f"there is no task at {entry}", place=entry, hint="tasks must be module variables that always exist"
        )
    return found


def error_record(error: BaseException, task: str, code_path: str) -> ErrorRecord:
    """The error as it is kept: the user's own frames, our fields where it is one of ours.

    Files of the code bundle at ``code_path`` are named as the user knows them, below the bundle's root.
    """
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OUR_FOLDER)
    ]
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen importlib")]
    text = "".join(traceback.format_list(frames)) if frames else ""
    causes = "".join(traceback.format_exception(error.__cause__)) if error.__cause__ is not None else ""
    trace = f"{causes}{text}".replace(f"{code_path}{os.sep}", "") if code_path else f"{causes}{text}"
    kind = type(error)
    shown = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    if isinstance(error, FlytePathError):
        return ErrorRecord.of(
            error,
            kind="system" if isinstance(error, WorkerError) else "user",
            type=shown,
            place=task,
            traceback=trace,
            recoverable=not isinstance(error, TypeTransformerFailedError | BoundaryCheckError)
            or isinstance(error, RecoverableError),
        )
    message = str(error)
    return ErrorRecord(
        kind="user",
        code="FP-TASK-FAILED",
        type=shown,
        message=f"{shown}: {message}" if message else shown,
        place=task,
        traceback=trace,
    )


def main() -> None:
    """Take the pipes over, so that a task's own use of standard input and output cannot disturb the messages."""
    descriptor = int(sys.argv[sys.argv.index("--messages") + 1])
    incoming = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to handle
    Worker(incoming, os.fdopen(descriptor, "wb")).serve()


if __name__ == "__main__":
    main()
