"""The worker: runs attempts of tasks, one at a time, for the engine at the other end of its standard input.

Started as ``<python> -m flytepath.worker --messages FD``. Messages come framed on standard input and go out on ``FD``;
what tasks print goes to standard output and error as they are. When the input closes, the engine is gone, and the
worker ends itself and everything it started. :class:`InProcessPool` runs attempts without all that, for debuggers.
"""

from __future__ import annotations

import asyncio
import datetime as dt
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
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import flytepath
from flytepath.authoring.call import call_attempt, task_type_of, variables_set
from flytepath.authoring.conducting import conducted
from flytepath.authoring.context import LOCAL_EXECUTION, ExecutionContext, entered
from flytepath.authoring.entity import Entity
from flytepath.authoring.task import Task
from flytepath.engine.dispatch import AttemptResult, OnOutput, OnReport
from flytepath.errors import (
    BoundaryCheckError,
    FlytePathError,
    RecoverableError,
    TypeTransformerFailedError,
    WorkerError,
)
from flytepath.model.events import Blob, ErrorRecord, Usage
from flytepath.model.identity import Identity, Tenant
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    FRAME_LIMIT,
    PROTOCOL_VERSION,
    TO_WORKER,
    AttemptErred,
    AttemptSucceeded,
    BoundaryResult,
    CallEnded,
    CallRequested,
    DeckReport,
    GraphProduced,
    Hello,
    RunAttempt,
    Shutdown,
    Welcome,
    end_of_output,
    frame,
)
from flytepath.model.task import Record, TaskSpec
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin.boundary import BoundaryReport
from flytepath.plugin.task_type import NO_OUTPUT
from flytepath.store.blobs import BlobFolder

_OUR_FOLDER = str(Path(flytepath.__file__).parent)


Outcome = AttemptSucceeded | GraphProduced | AttemptErred
#: Finds what is registered, for references.
Fetch = Callable[[str, Identity], tuple[TaskSpec | WorkflowSpec, str]]


class AttemptRunner:
    """Runs attempts in this process.

    Args:
        code_path: the root of the code bundle; empty where the user's own modules run.
        blobs: the blobs of the tenant.
        tenant: whose tasks.
        send: takes what is to be told while an attempt runs; may be called from any thread.
        home: where registered entities are found.
        interrupts: let Ctrl-C through to the caller, instead of taking it for what a task raised.
    """

    def __init__(
        self,
        code_path: str,
        blobs: BlobFolder,
        tenant: Tenant,
        send: Callable[[Any], None],
        *,
        home: str = "",
        interrupts: bool = False,
    ) -> None:
        self._code_path = code_path
        self._blobs = blobs
        self._tenant = tenant
        self._send = send
        self._fetch = None if not home else partial(_fetched, home)
        self._interrupts = interrupts
        self._calls: _Calls | None = None

    def run(self, request: RunAttempt) -> Outcome:
        """Run one attempt to its end; what a task raises becomes an error record."""
        started, cpu = time.perf_counter(), time.process_time()
        outcome: Outcome
        try:
            with variables_set(request.task.variables):
                outcome = self._attempt(request)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if self._interrupts and isinstance(error, KeyboardInterrupt):
                raise
            outcome = AttemptErred(error=error_record(error, request.task.name, self._code_path))
        usage = Usage(
            wall_seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        return outcome.model_copy(update={"usage": usage})

    def answered(self, message: CallEnded) -> None:
        """A call of the eager task that runs has ended. Called from another thread."""
        if self._calls is not None:
            self._calls.ended(message)

    def _attempt(self, request: RunAttempt) -> AttemptSucceeded | GraphProduced:
        task = find_task(request.task.body.entry)
        inputs = _decoded(task, request.inputs, self._blobs)
        context = ExecutionContext(
            node_path=request.node,
            execution_id=request.execution,
            attempt=request.attempt,
            tenant=self._tenant,
            declare=task.declaration,
            payload=request.task.payload,
            working_directory=Path(request.working_directory),
            on_deck=self._keep_deck,
            task_version=request.version or LOCAL_EXECUTION,
            execution_date=dt.datetime.fromtimestamp(request.created_at, dt.UTC) if request.created_at else None,
            enable_deck=bool(task.settings.decks),
            raw_output_prefix=request.raw_output_prefix or None,
            checkpoint_sources=request.checkpoint_sources,
            checkpoint_source=request.checkpoint_source,
            checkpoint_destination=request.checkpoint_destination,
        )
        if request.task.mode == "dynamic":
            return self._graph(task, inputs, context)
        if request.task.mode == "eager":
            self._calls = _Calls(self._tenant, self._blobs, self._send, self._fetch)
        try:
            with conducted(self._calls):
                outputs = call_attempt(task, task_type_of(task), context, inputs, self._record_check)
        finally:
            self._calls = None
        if outputs is NO_OUTPUT:
            raise WorkerError(f"task {task.name} gave no output", hint="rank 0 of a gang must return the outputs")
        encoded = {}
        for name, value in outputs.items():
            try:
                encoded[name] = task.output_codecs[name].encode(value, self._blobs)
            except TypeTransformerFailedError as error:
                error.place = f"{task.name}() -> {name}{error.place or ''}"
                raise
        return AttemptSucceeded(outputs=encoded)

    def _graph(self, task: Task, inputs: dict[str, Any], context: ExecutionContext) -> GraphProduced:
        from flytepath.authoring.dynamic import DynamicTask
        from flytepath.compiler import compile_dynamic

        if not isinstance(task, DynamicTask):
            raise WorkerError(f"task {task.name} builds no graph", hint="it was changed after it was compiled")
        with entered(context):
            spec = compile_dynamic(task, inputs, self._tenant, self._blobs, self._fetch)
        return GraphProduced(graph=Blob.of(self._blobs.put(spec.model_dump_json(exclude_defaults=True).encode())))

    def _keep_deck(self, name: str, html: str) -> None:
        self._send(DeckReport(name=name, deck=Blob.of(self._blobs.put(html.encode("utf-8", "replace")))))

    def _record_check(self, variable: str, side: Any, checker: str, report: BoundaryReport) -> None:
        self._send(
            BoundaryResult(
                variable=variable,
                side=side,
                checker=checker,
                passed=report.passed,
                message=report.message,
                details=dict(report.details),
            )
        )


def _decoded(task: Task, literals: Mapping[str, Literal], blobs: BlobFolder) -> dict[str, Any]:
    inputs = {}
    for name, literal in literals.items():
        try:
            inputs[name] = task.input_codecs[name].decode(literal, blobs)
        except TypeTransformerFailedError as error:
            error.place = f"{task.name}({name}{error.place or ''})"
            raise
    return inputs


@dataclass(slots=True)
class _Lane:
    """Calls that one coroutine makes one after the other: those that run side by side count apart.

    So the names of calls do not depend on which coroutine is served first.
    """

    owner: object
    name: str = ""
    calls: int = 0
    lanes: int = 0


_lane: ContextVar[_Lane | None] = ContextVar("flytepath_lane", default=None)


@dataclass(slots=True)
class _Calls:
    """The conductor of an eager task's attempt: each call goes to the engine, which runs it and answers."""

    tenant: Tenant
    blobs: BlobFolder
    send: Callable[[Any], None]
    fetch: Fetch | None = None
    _made: int = 0
    _open: dict[int, tuple[Future[dict[str, Any]], Entity]] = field(default_factory=dict)
    _graphs: dict[int, tuple[Entity, Blob]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _root: _Lane = field(default_factory=lambda: _Lane(None))

    def call(self, entity: Entity, inputs: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Ask for a call; a future of its outputs."""
        literals = {name: entity.input_codecs[name].encode(value, self.blobs) for name, value in inputs.items()}
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            graph, name = self._graph(entity), self._name()
            ordinal = self._made
            self._made += 1
            self._open[ordinal] = (future, entity)
        self.send(CallRequested(ordinal=ordinal, call=name, callee=entity.name, graph=graph, inputs=literals))
        return future

    def ended(self, message: CallEnded) -> None:
        """The engine answers."""
        from flytepath.authoring.eager import call_failed

        future, entity = self._open.pop(message.ordinal)
        with suppress(InvalidStateError):  # nobody waits for it any more
            if message.error is not None:
                future.set_exception(call_failed(message.error))
                return
            try:
                codecs = entity.output_codecs
                outputs = {name: codecs[name].decode(literal, self.blobs) for name, literal in message.outputs.items()}
            except FlytePathError as error:
                future.set_exception(error)
                return
            future.set_result(outputs)

    def _graph(self, entity: Entity) -> Blob:
        from flytepath.compiler import compile_entity

        known = self._graphs.get(id(entity))
        if known is None:
            spec = compile_entity(entity, self.tenant, self.blobs, self.fetch)
            blob = Blob.of(self.blobs.put(spec.model_dump_json(exclude_defaults=True).encode()))
            known = self._graphs[id(entity)] = (entity, blob)
        return known[1]

    def _name(self) -> str:
        """The name of the next call: its number, after that of the coroutine that makes it."""
        lane = _lane.get() or self._root
        try:
            current: object = asyncio.current_task()
        except RuntimeError:
            current = None
        if lane.owner is None:
            lane.owner = current
        elif current is not lane.owner:
            # A coroutine that runs beside the one it was started from: it inherited that one's lane.
            lane.lanes += 1
            lane = _Lane(current, f"{lane.name}{lane.lanes - 1}-")
        _lane.set(lane)
        lane.calls += 1
        return f"{lane.name}{lane.calls - 1}"


class Worker:
    """One worker process: the messages in and out, and the attempts between them."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._runner: AttemptRunner | None = None
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
            message = TO_WORKER.validate_json(body)
            if isinstance(message, CallEnded) and self._runner is not None:
                self._runner.answered(message)
            else:
                self._inbox.put(message)
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
        sys.path.insert(0, welcome.code_path)
        blobs = BlobFolder(welcome.blob_root, welcome.project, welcome.domain)
        tenant = Tenant(welcome.project, welcome.domain)
        self._runner = AttemptRunner(welcome.code_path, blobs, tenant, self.send, home=welcome.home)
        while not isinstance(message := self._inbox.get(), Shutdown):
            if isinstance(message, RunAttempt):
                self._run(self._runner, message)

    def _run(self, runner: AttemptRunner, request: RunAttempt) -> None:
        outcome = runner.run(request)
        mark = end_of_output(request.execution, request.node, request.attempt)
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            os.write(descriptor, mark)
        self.send(outcome)


class InProcessPool:
    """Runs attempts in this very process, so that a debugger can stop in them.

    Jobs go to ``jobs``, for the thread that wants to run them; eager tasks get a thread each, because they wait for
    others. What they print goes where it goes; timeouts do not count, and a killed attempt runs on to its end.
    """

    def __init__(self, blobs: BlobFolder, tenant: Tenant, home: str) -> None:
        self._home = home
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._blobs = blobs
        self._tenant = tenant
        self._running: dict[tuple[str, int], AttemptRunner] = {}

    async def run(
        self, request: RunAttempt, timeout: float | None, on_report: OnReport, on_output: OnOutput | None
    ) -> AttemptResult:
        """Run an attempt to its end."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()

        def send(message: Any) -> None:
            loop.call_soon_threadsafe(on_report, message)

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        runner = AttemptRunner("", self._blobs, self._tenant, send, home=self._home, interrupts=True)
        key = request.node, request.attempt
        self._running[key] = runner

        def job() -> None:
            outcome = runner.run(request)
            loop.call_soon_threadsafe(settle, outcome)

        if request.task.mode == "eager":
            threading.Thread(target=job, name=f"flytepath {request.node}", daemon=True).start()
        else:
            self.jobs.put(job)
        try:
            return AttemptResult(await done, b"")
        finally:
            del self._running[key]

    async def tell(self, node: str, attempt: int, message: CallEnded) -> None:
        """Pass a message on to a running attempt."""
        runner = self._running.get((node, attempt))
        if runner is not None:
            runner.answered(message)

    async def close(self) -> None:
        """Let the thread that runs the jobs go."""
        self.jobs.put(None)


def _fetched(home: str, kind: str, identity: Identity) -> tuple[TaskSpec | WorkflowSpec, str]:
    """What is registered in ``home`` under an identity, and the digest of its code."""
    from flytepath.client import LocalClient

    with LocalClient(Path(home)) as client:
        return client.referred(kind, identity)


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
        record = ErrorRecord.of(
            error,
            kind="system" if isinstance(error, WorkerError) else "user",
            type=shown,
            place=task,
            traceback=trace,
            recoverable=not isinstance(error, TypeTransformerFailedError | BoundaryCheckError)
            or isinstance(error, RecoverableError),
        )
        if not code_path or record.place is None:
            return record
        return record.model_copy(update={"place": record.place.replace(f"{code_path}{os.sep}", "")})
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
