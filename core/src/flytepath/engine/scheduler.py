"""Drives one execution: decisions become events, events are made durable, then their effects are carried out."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from flytepath.engine.calls import CallDesk, Offered
from flytepath.engine.commands import (
    Abort,
    Call,
    Command,
    Expand,
    Fail,
    Finish,
    Open,
    Own,
    Produce,
    Refuse,
    Reuse,
    Ring,
    Settle,
    Signal,
    Start,
    Stop,
    Succeed,
)
from flytepath.engine.conditions import taken
from flytepath.engine.decisions import decide
from flytepath.engine.dispatch import AttemptPool, AttemptResult
from flytepath.engine.fold import apply
from flytepath.engine.places import Places
from flytepath.engine.ports import Listener, Log, Posted
from flytepath.engine.reuse import Reuses
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.engine.values import Blobs, Values
from flytepath.errors import BranchFailedError, FlytePathError, SequenceConflictError
from flytepath.model.events import Actor, Blob, BoundaryChecked, DeckWritten, ErrorRecord, Event, LogWritten, Payload
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    AttemptSucceeded,
    BoundaryResult,
    CallRequested,
    DeckReport,
    GraphProduced,
    RunAttempt,
)

LEASE_SECONDS = 30.0
#: How often the inbox is looked at for commands of other processes.
INBOX_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Ended:
    """An attempt's end, with its log already kept; ``spec`` is the digest of the graph it produced."""

    result: AttemptResult
    log: Blob | None
    spec: str = ""


_Report = _Ended | DeckReport | BoundaryResult | Offered


class Scheduler:
    """One execution, owned under a lease, on this machine's workers.

    Args:
        execution: its id.
        state: the state folded from its log.
        log: the event store.
        blobs: the blobs of its tenant.
        pool: local workers set up for its tenant and bundle.
        slots: how many attempts run at once. One that waits for what it called leaves its slot to that.
        places: the folders of its attempts.
        reuses: earlier outputs by cache key.
        listener: told of events and printed text.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        execution: str,
        state: ExecutionState,
        log: Log,
        blobs: Blobs,
        pool: AttemptPool,
        *,
        slots: int,
        places: Places,
        reuses: Reuses,
        listener: Listener,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._execution = execution
        self._state = state
        self._log = log
        self._blobs = blobs
        self._pool = pool
        self._slots = slots
        self._places = places
        self._reuses = reuses
        self._listener = listener
        self._clock = clock
        self._actor = Actor(kind="engine", name=f"{os.getpid()}")
        self._values = Values(execution, state, log, blobs)
        self._calls = CallDesk(state, log, blobs, pool)
        self._events: list[Event] = []
        self._running: dict[str, asyncio.Task[None]] = {}
        self._offering: set[asyncio.Task[None]] = set()
        self._reports: asyncio.Queue[tuple[str, int, _Report]] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._fault: Exception | None = None
        self._looked_at = 0.0
        self._seen: set[int] = set()
        self._handled: list[int] = []

    async def run(self, owner: str, epoch: int) -> ExecutionState:
        """Own the execution and drive it to its end.

        Raises:
            SequenceConflictError: the lease has passed to another engine; nothing more is written.
            StoreError: the log cannot be written; the execution can be resumed.
        """
        heart = asyncio.create_task(self._beat(owner, epoch))
        watch = asyncio.create_task(self._watch_inbox())
        try:
            self._do(Own(owner, epoch), Actor(kind="engine", name=owner))
            self._read_inbox(await asyncio.to_thread(self._log.inbox, self._execution))
            await self._commit(epoch)
            while not self._state.status.is_final:
                started = self._advance()
                await self._commit(epoch)
                await self._calls.answer(self._values)
                for request in started:
                    self._running[request.node] = asyncio.create_task(self._attempt(request))
                if not self._state.status.is_final:
                    await self._next_report(heart, watch)
        finally:
            heart.cancel()
            watch.cancel()
            others = [*self._running.values(), *self._offering]
            for task in others:
                task.cancel()
            await asyncio.gather(heart, watch, *others, return_exceptions=True)
        return self._state

    # --- commands of others ---

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
            if self._state.status.is_final:
                continue
            actor = Actor(kind="user", name=str(item.command.get("principal", "")))
            if item.command.get("type") == "abort":
                self._do(Abort(str(item.command.get("reason", ""))), actor)
            elif item.command.get("type") == "signal":
                value = item.command.get("value")
                digest = "" if value is None else self._values.keep(Literal.from_json(value))
                self._do(Signal(str(item.command.get("node")), item.command.get("approved"), digest), actor)

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

    def _advance(self) -> list[RunAttempt]:
        """Decide all that follows from the state as it is; the attempts to launch when that is durable."""
        state = self._state
        started: list[RunAttempt] = []
        while not state.status.is_final:
            before, self._looked_at = state.seq, self._clock()
            for path, at in list(state.timers.items()):
                if at is not None and at <= self._looked_at:
                    self._do(Ring(path))
            for path in list(state.settled):
                self._settle(path)
            for path in [path for path in state.instant if state.why_stopped(path) is None]:
                self._enter(state.nodes[path])
            started += self._start_ready()
            self._stop_running()
            if self._is_over():
                self._do(self._finish())
            if state.seq == before:
                break
        return started

    def _settle(self, path: str) -> None:
        node = self._state.nodes[path]
        if node.status.is_final or node.frame is None:
            return
        if node.frame.first_failed is not None or node.frame.skipped:
            self._do(Settle(path))
            return
        try:
            outputs = self._values.outputs_of(node, node.frame)
        except FlytePathError as error:
            self._do(Settle(path, error=_record_of(error, f"{node.name} at {path}")))
            return
        self._do(Settle(path, outputs))
        if node.task is not None:
            self._reuses.keep(node, self._values)

    def _enter(self, node: NodeState) -> None:
        """A node that needs no worker is due: it opens, or becomes the nodes below it."""
        path = node.path
        try:
            if node.kind == "branch":
                self._do(Expand(path, case=self._case(node)))
                return
            inputs = self._values.inputs_of(node)
            items = self._values.size(node, inputs) if node.kind == "map" else None
        except FlytePathError as error:
            self._do(Refuse(path, _record_of(error, f"{node.name} at {path}")))
            return
        digests = {name: self._values.keep(literal) for name, literal in inputs.items()}
        self._do(Open(path, digests) if node.kind == "gate" else Expand(path, digests, items=items))

    def _case(self, node: NodeState) -> int:
        index = taken(node.spec.cases, self._values.value)
        if index is None:
            raise BranchFailedError(f"no case of the conditional {node.spec.name or node.path} holds", place=node.path)
        message = node.spec.cases[index].error
        if message is not None:
            raise BranchFailedError(message, place=node.spec.name or node.path)
        return index

    def _start_ready(self) -> list[RunAttempt]:
        started: list[RunAttempt] = []
        free = max(0, self._slots - len(self._state.running) + self._calls.waiting)
        for path in list(islice(self._due(), free)):
            request = self._prepared(self._state.nodes[path])
            if request is not None:
                started.append(request)
        return started

    def _due(self) -> Iterator[str]:
        """Nodes whose next attempt can start, what others wait for first."""
        again = (path for path, at in self._state.retrying.items() if at <= self._looked_at)
        for path in chain(again, self._state.urgent, self._state.ready):
            if self._state.why_stopped(path) is None and not self._reuses.is_awaited(path):
                yield path

    def _prepared(self, node: NodeState) -> RunAttempt | None:
        """The attempt to launch; none where the outputs are known, or the inputs cannot be put together."""
        task, path = node.task, node.path
        if task is None:
            return None
        created = self._state.created
        try:
            inputs = self._values.inputs_of(node)
            found = self._reuses.find(node, inputs)
        except FlytePathError as error:
            self._do(Refuse(path, _record_of(error, f"{task.name} at {path}")))
            return None
        if found is not None:
            outputs = {name: self._values.keep(literal) for name, literal in found.outputs.items()}
            self._do(Reuse(path, outputs, found.key))
            return None
        if self._reuses.is_awaited(path):
            return None
        self._do(Start(path, {name: self._values.keep(literal) for name, literal in inputs.items()}))
        variables = {**(created.variables if created is not None else {}), **task.variables}
        return RunAttempt(
            execution=self._execution,
            node=path,
            attempt=node.attempt,
            task=task.model_copy(update={"variables": variables}) if variables else task,
            inputs=inputs,
            version=created.workflow_version if created is not None else "",
            created_at=self._state.created_at,
            **self._places.of_attempt(path, node.attempt),
        )

    def _stop_running(self) -> None:
        for path, task in self._running.items():
            if self._state.why_stopped(path) is not None:
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
            return Finish(self._values.outputs(self._state.root))
        except FlytePathError as error:
            return Finish(error=_record_of(error, f"{self._state.spec.name}() outputs"))

    # --- effects ---

    async def _commit(self, epoch: int) -> None:
        if not self._events:
            return
        pending = self._values.pending
        events, literals, handled = self._events, list(pending.values()), self._handled
        self._events, self._handled = [], []
        pending.clear()
        future = self._log.append_later(self._execution, events[0].seq - 1, epoch, events, literals)
        await asyncio.wrap_future(future)
        if handled:  # what they led to is durable now, and not before
            await asyncio.to_thread(self._log.take, handled)
        for event in events:
            node = self._state.nodes.get(getattr(event.payload, "node", ""))
            self._listener.event(event, "" if node is None else node.name)
        if self._reuses.flush():
            self._wake.set()

    async def _attempt(self, request: RunAttempt) -> None:
        node, attempt = request.node, request.attempt

        def report(message: DeckReport | BoundaryResult | CallRequested) -> None:
            if isinstance(message, CallRequested):
                offering = asyncio.create_task(self._offer(node, attempt, message))
                self._offering.add(offering)
                offering.add_done_callback(self._offering.discard)
            else:
                self._reports.put_nowait((node, attempt, message))

        try:
            result = await self._pool.run(
                request,
                request.task.timeout_seconds,
                report,
                lambda stream, text: self._listener.output(node, stream, text),
            )
            log = Blob.of(await asyncio.to_thread(self._blobs.put, result.log)) if result.log else None
            spec = ""
            if isinstance(result.message, GraphProduced):
                spec = await asyncio.to_thread(self._calls.kept, result.message.graph)
            self._reports.put_nowait((node, attempt, _Ended(result, log, spec)))
        finally:
            self._wake.set()

    async def _offer(self, node: str, attempt: int, message: CallRequested) -> None:
        """Keep the graph that an eager task calls, so that an event can refer to it."""
        try:
            spec = await asyncio.to_thread(self._calls.kept, message.graph)
            self._reports.put_nowait((node, attempt, Offered(message, spec)))
        except (FlytePathError, OSError, ValueError) as error:
            self._fault = error
            self._wake.set()

    async def _next_report(self, heart: asyncio.Task[None], watch: asyncio.Task[None]) -> None:
        """Wait for a report, a due retry, an abort, or the loss of the lease; then take every report there is."""
        self._forget_killed()
        waiting = asyncio.create_task(self._reports.get())
        waking = asyncio.create_task(self._wake.wait())
        try:
            awaited = {waiting, waking, heart, watch}
            await asyncio.wait(awaited, timeout=self._until_due(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        self._wake.clear()
        if self._fault is not None:
            waiting.cancel()
            raise self._fault
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

    def _until_due(self) -> float | None:
        """Seconds until time alone leads to something, ``None`` where it never does.

        What was due when we last looked waits for something else by now: a slot, or its end.
        """
        state = self._state
        known = [*state.retrying.values(), *(at for at in state.timers.values() if at is not None)]
        times = [at for at in known if at > self._looked_at]
        return max(0.0, min(times) - self._clock()) if times else None

    def _forget_killed(self) -> None:
        """Attempts killed because the execution ends leave no report; their end is recorded here."""
        for node, task in list(self._running.items()):
            if task.done() and not task.cancelled():
                task.result()  # a fault of ours must surface, not hang
            elif task.done():
                del self._running[node]
                self._calls.forget(node)
                self._reuses.forget(node)
                self._do(Stop(node, self._state.nodes[node].attempt))

    def _take(self, node: str, attempt: int, report: _Report) -> None:
        worker = Actor(kind="worker", name=f"{node}#{attempt}")
        if isinstance(report, DeckReport):
            self._record(DeckWritten(node=node, attempt=attempt, name=report.name, deck=report.deck), worker)
        elif isinstance(report, BoundaryResult):
            facts = report.model_dump(exclude={"type"})
            self._record(BoundaryChecked(node=node, attempt=attempt, **facts), worker)
        elif isinstance(report, Offered):
            self._take_call(node, attempt, report, worker)
        else:
            self._take_end(node, attempt, report, worker)

    def _take_call(self, node: str, attempt: int, offered: Offered, worker: Actor) -> None:
        message = offered.message
        inputs = {name: self._values.keep(literal) for name, literal in message.inputs.items()}
        self._do(Call(node, attempt, offered.call, message.callee, offered.spec, inputs), worker)
        if self._state.running.get(node) == attempt:
            self._calls.asked(node, attempt, offered)
        elif task := self._running.get(node):
            task.cancel()  # it made another call than before

    def _take_end(self, node: str, attempt: int, ended: _Ended, worker: Actor) -> None:
        task = self._running.pop(node, None)
        if task is not None and not task.done():
            task.cancel()
        self._calls.forget(node)
        shutil.rmtree(self._places.working_directory(node, attempt), ignore_errors=True)
        if ended.log is not None:
            self._record(LogWritten(node=node, attempt=attempt, log=ended.log), worker)
        message = ended.result.message
        state = self._state.nodes[node]
        if isinstance(message, AttemptSucceeded):
            outputs = {name: self._values.keep(literal) for name, literal in message.outputs.items()}
            self._do(Succeed(node, attempt, outputs, message.usage), worker)
            self._reuses.keep(state, self._values)
        elif isinstance(message, GraphProduced):
            self._do(Produce(node, attempt, ended.spec, message.usage), worker)
        else:
            self._do(Fail(node, attempt, message.error, message.usage, random.random()), worker)
            self._reuses.forget(node)

    async def _beat(self, owner: str, epoch: int) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            held = await asyncio.to_thread(self._log.heartbeat, self._execution, owner, epoch, LEASE_SECONDS)
            if not held:
                raise SequenceConflictError(
                    "this execution has passed to another engine", place=self._execution, hint="nothing is lost"
                )


def _record_of(error: FlytePathError, place: str) -> ErrorRecord:
    kind = type(error)
    return ErrorRecord.of(
        error, kind="user", type=f"{kind.__module__}.{kind.__qualname__}", place=place, recoverable=False
    )
