"""Drives one execution: decisions become events, events are made durable, then their effects are carried out."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from flytepath.engine.bindings import LiteralResolver
from flytepath.engine.dispatch import AttemptResult, WorkerPool
from flytepath.engine.state import (
    Abort,
    Command,
    ExecutionState,
    Fail,
    Finish,
    Own,
    Refuse,
    Start,
    Stop,
    Succeed,
    apply,
    decide,
)
from flytepath.errors import FlytePathError, SequenceConflictError
from flytepath.model.events import (
    Actor,
    Blob,
    BoundaryChecked,
    DeckWritten,
    ErrorRecord,
    Event,
    LogWritten,
    Payload,
)
from flytepath.model.literal import Literal
from flytepath.model.messages import AttemptSucceeded, BoundaryResult, DeckReport, RunAttempt
from flytepath.plugin.transformer import BlobSink, BlobSource

LEASE_SECONDS = 30.0
#: How often the inbox is looked at for commands of other processes.
INBOX_SECONDS = 0.5


class Posted(Protocol):
    """A command in the inbox."""

    @property
    def id(self) -> int: ...

    @property
    def command(self) -> Mapping[str, Any]: ...


class Log(Protocol):
    """What the scheduler needs of the event store."""

    def append_later(
        self, execution: str, expected_seq: int, epoch: int, events: list[Event], literals: list[Literal]
    ) -> Future[None]: ...

    def literal(self, execution: str, digest: str) -> Literal: ...

    def heartbeat(self, execution: str, owner: str, epoch: int, ttl: float) -> bool: ...

    def inbox(self, execution: str) -> Sequence[Posted]: ...

    def take(self, ids: Iterable[int]) -> None: ...


class Blobs(BlobSink, BlobSource, Protocol):
    """The blobs of the execution's tenant."""


class Listener(Protocol):
    """Told what happens, after it is durable."""

    def event(self, event: Event) -> None: ...

    def output(self, node: str, stream: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Ended:
    """An attempt's end, with its log already kept."""

    result: AttemptResult
    log: Blob | None


class Scheduler:
    """One execution, owned under a lease, on this machine's workers.

    Args:
        execution: its id.
        state: the state folded from its log.
        log: the event store.
        blobs: the blobs of its tenant.
        pool: local workers set up for its tenant and bundle.
        slots: how many attempts run at once.
        folder: where attempts get their working directories.
        listener: told of events and printed text.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        execution: str,
        state: ExecutionState,
        log: Log,
        blobs: Blobs,
        pool: WorkerPool,
        *,
        slots: int,
        folder: Path,
        listener: Listener,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._execution = execution
        self._state = state
        self._log = log
        self._blobs = blobs
        self._pool = pool
        self._slots = slots
        self._folder = folder
        self._listener = listener
        self._clock = clock
        self._actor = Actor(kind="engine", name=f"{os.getpid()}")
        self._events: list[Event] = []
        self._literals: dict[str, Literal] = {}
        self._known: dict[str, Literal] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._reports: asyncio.Queue[tuple[str, int, _Ended | DeckReport | BoundaryResult]] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._seen: set[int] = set()
        self._handled: list[int] = []

    async def run(self, owner: str, epoch: int) -> ExecutionState:
        """Own the execution and drive it to its end.

        Raises:
            SequenceConflictError: the lease has passed to another engine; nothing more is written.
            StoreError: the log cannot be written; the execution can be resumed.
        """
        self._resolver = LiteralResolver(self._inputs(), self._output_of, self._blobs, self._blobs)
        heart = asyncio.create_task(self._beat(owner, epoch))
        watch = asyncio.create_task(self._watch_inbox())
        try:
            self._do(Own(owner, epoch), Actor(kind="engine", name=owner))
            self._read_inbox(await asyncio.to_thread(self._log.inbox, self._execution))
            await self._commit(epoch)
            while not self._state.status.is_final:
                started = self._start_ready()
                if self._is_over():
                    self._do(self._finish())
                await self._commit(epoch)
                for request, timeout in started:
                    self._launch(request, timeout)
                if not self._state.status.is_final:
                    await self._next_report(heart, watch)
        finally:
            heart.cancel()
            watch.cancel()
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(heart, watch, *self._running.values(), return_exceptions=True)
        return self._state

    async def _watch_inbox(self) -> None:
        while True:
            await asyncio.sleep(INBOX_SECONDS)
            posted = await asyncio.to_thread(self._log.inbox, self._execution)
            if posted:
                self._read_inbox(posted)
                self._wake.set()

    def _read_inbox(self, posted: Sequence[Posted]) -> None:
        """Turn commands into events; they are taken out of the inbox once those are durable."""
        for item in posted:
            if item.id in self._seen:
                continue
            self._seen.add(item.id)
            self._handled.append(item.id)
            if item.command.get("type") == "abort" and not self._state.status.is_final:
                actor = Actor(kind="user", name=str(item.command.get("principal", "")))
                self._do(Abort(str(item.command.get("reason", ""))), actor)

    # --- decisions ---

    def _do(self, command: Command, actor: Actor | None = None) -> None:
        now = self._clock()
        for payload in decide(self._state, command, now):
            self._record(payload, actor, now)

    def _record(self, payload: Payload, actor: Actor | None = None, now: float | None = None) -> None:
        event = Event(
            execution=self._execution,
            seq=self._state.seq + 1,
            at=self._clock() if now is None else now,
            actor=actor or self._actor,
            cause=self._state.seq,
            payload=payload,
        )
        apply(self._state, event)
        self._events.append(event)

    def _start_ready(self) -> list[tuple[RunAttempt, float | None]]:
        now = self._clock()
        started: list[tuple[RunAttempt, float | None]] = []
        if self._state.is_stopping:
            self._kill_running()
            return started
        due = [path for path, at in self._state.retrying.items() if at <= now]
        free = max(0, self._slots - len(self._state.running))
        for path in [*due, *islice(self._state.ready, free)][:free]:
            request = self._prepared(path)
            if request is not None:
                started.append((request, request.task.timeout_seconds))
        return started

    def _prepared(self, path: str) -> RunAttempt | None:
        node = self._state.nodes[path]
        task = self._state.spec.tasks[node.spec.task]
        try:
            types = {variable.name: variable.type for variable in task.interface.inputs}
            inputs = {
                name: self._keep(self._resolver.resolve(binding, types[name]))
                for name, binding in node.spec.inputs.items()
            }
        except FlytePathError as error:
            self._do(Refuse(path, _record_of(error, f"{node.spec.task} at {path}")))
            return None
        self._do(Start(path, {name: literal.digest for name, literal in inputs.items()}))
        return RunAttempt(
            execution=self._execution,
            node=path,
            attempt=node.attempt,
            task=task,
            inputs=inputs,
            working_directory=str(self._folder / path.replace("/", "-") / str(node.attempt)),
        )

    def _kill_running(self) -> None:
        for task in self._running.values():
            task.cancel()

    def _is_over(self) -> bool:
        state = self._state
        if state.status.is_final or self._running or state.running:
            return False
        return state.unfinished == 0 or state.is_stopping

    def _finish(self) -> Finish:
        if self._state.abort_reason is not None or self._state.first_failed is not None:
            return Finish()
        try:
            types = {variable.name: variable.type for variable in self._state.spec.interface.outputs}
            outputs = {
                name: self._keep(self._resolver.resolve(binding, types[name])).digest
                for name, binding in self._state.spec.outputs.items()
            }
        except FlytePathError as error:
            return Finish(error=_record_of(error, f"{self._state.spec.name}() outputs"))
        return Finish(outputs)

    # --- effects ---

    async def _commit(self, epoch: int) -> None:
        if not self._events:
            return
        events, literals, handled = self._events, list(self._literals.values()), self._handled
        self._events, self._literals, self._handled = [], {}, []
        future = self._log.append_later(self._execution, events[0].seq - 1, epoch, events, literals)
        await asyncio.wrap_future(future)
        if handled:  # what they led to is durable now, and not before
            await asyncio.to_thread(self._log.take, handled)
        for event in events:
            self._listener.event(event)

    def _launch(self, request: RunAttempt, timeout: float | None) -> None:
        self._running[request.node] = asyncio.create_task(self._attempt(request, timeout))

    async def _attempt(self, request: RunAttempt, timeout: float | None) -> None:
        node, attempt = request.node, request.attempt
        try:
            result = await self._pool.run(
                request,
                timeout,
                lambda report: self._reports.put_nowait((node, attempt, report)),
                lambda stream, text: self._listener.output(node, stream, text),
            )
            log = Blob.of(await asyncio.to_thread(self._blobs.put, result.log)) if result.log else None
            self._reports.put_nowait((node, attempt, _Ended(result, log)))
        finally:
            self._wake.set()

    async def _next_report(self, heart: asyncio.Task[None], watch: asyncio.Task[None]) -> None:
        """Wait for a report, a due retry, an abort, or the loss of the lease; then take every report there is."""
        self._forget_killed()
        waiting = asyncio.create_task(self._reports.get())
        waking = asyncio.create_task(self._wake.wait())
        timeout = max(0.0, min(self._state.retrying.values()) - self._clock()) if self._state.retrying else None
        try:
            awaited = {waiting, waking, heart, watch}
            await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        self._wake.clear()
        for guard in (heart, watch):
            if guard.done():
                waiting.cancel()
                guard.result()
        if waiting.done():
            self._take(*waiting.result())
        else:
            waiting.cancel()
        while not self._reports.empty():
            self._take(*self._reports.get_nowait())
        self._forget_killed()

    def _forget_killed(self) -> None:
        """Attempts killed because the execution ends leave no report; their end is recorded here."""
        for node, task in list(self._running.items()):
            if task.done() and not task.cancelled():
                task.result()  # a fault of ours must surface, not hang
            elif task.done():
                del self._running[node]
                self._do(Stop(node, self._state.nodes[node].attempt))

    def _take(self, node: str, attempt: int, report: _Ended | DeckReport | BoundaryResult) -> None:
        worker = Actor(kind="worker", name=f"{node}#{attempt}")
        if isinstance(report, DeckReport):
            self._record(DeckWritten(node=node, attempt=attempt, name=report.name, deck=report.deck), worker)
            return
        if isinstance(report, BoundaryResult):
            facts = report.model_dump(exclude={"type"})
            self._record(BoundaryChecked(node=node, attempt=attempt, **facts), worker)
            return
        self._running.pop(node, None)
        shutil.rmtree(self._folder / node.replace("/", "-") / str(attempt), ignore_errors=True)
        if report.log is not None:
            self._record(LogWritten(node=node, attempt=attempt, log=report.log), worker)
        message = report.result.message
        if isinstance(message, AttemptSucceeded):
            outputs = {name: self._keep(literal).digest for name, literal in message.outputs.items()}
            self._do(Succeed(node, attempt, outputs, message.usage), worker)
        else:
            self._do(Fail(node, attempt, message.error, message.usage, random.random()), worker)

    async def _beat(self, owner: str, epoch: int) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            held = await asyncio.to_thread(self._log.heartbeat, self._execution, owner, epoch, LEASE_SECONDS)
            if not held:
                raise SequenceConflictError(
                    "this execution has passed to another engine", place=self._execution, hint="nothing is lost"
                )

    # --- literals ---

    def _inputs(self) -> Mapping[str, Literal]:
        if self._state.created is None:
            return {}
        return {name: self._literal(digest) for name, digest in self._state.created.inputs.items()}

    def _output_of(self, node: str, name: str) -> Literal:
        return self._literal(self._state.nodes[node].outputs[name])

    def _literal(self, digest: str) -> Literal:
        literal = self._known.get(digest)
        if literal is None:
            literal = self._known[digest] = self._log.literal(self._execution, digest)
        return literal

    def _keep(self, literal: Literal) -> Literal:
        if literal.digest not in self._known:
            self._known[literal.digest] = self._literals[literal.digest] = literal
        return literal


def _record_of(error: FlytePathError, place: str) -> ErrorRecord:
    return ErrorRecord.of(error, kind="user", type=type(error).__name__, place=place, recoverable=False)
