"""Drives one execution: decisions become events, events are made durable, then their effects are carried out."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from flytepath.engine.calls import CallDesk, Offered
from flytepath.engine.commands import (
    Abort,
    Call,
    Command,
    Continue,
    Expand,
    Expire,
    Fail,
    Finish,
    Open,
    Own,
    Pause,
    Produce,
    Refuse,
    Reuse,
    Ring,
    Settle,
    Signal,
    Start,
    StartItems,
    Stop,
    Succeed,
    SucceedItems,
    TimeOut,
)
from flytepath.engine.conditions import taken
from flytepath.engine.decisions import decide
from flytepath.engine.fold import apply
from flytepath.engine.launches import Ended, Killed, Launches, kept_log
from flytepath.engine.places import Places
from flytepath.engine.ports import AttemptPool, Listener, Log, Posted
from flytepath.engine.recovery import Former
from flytepath.engine.reuse import Found, Reuses
from flytepath.engine.slots import Slots
from flytepath.engine.snapshots import SnapshotKeeper
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.engine.values import Blobs, Values
from flytepath.errors import BranchFailedError, FlytePathError, StoreFullError, StoreUnavailableError
from flytepath.model.events import (
    Actor,
    AttemptLost,
    Blob,
    BoundaryChecked,
    DeckWritten,
    ErrorRecord,
    Event,
    LiteralDigests,
    LogWritten,
    Payload,
    Usage,
)
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    AttemptSucceeded,
    BoundaryResult,
    CallRequested,
    DeckReport,
    GraphProduced,
    RunAttempt,
)

log = logging.getLogger("flytepath")

#: While the slots have work, ends of attempts are gathered for so long and recorded together.
GATHER_SECONDS: Final = 0.01
#: How many nodes that could start are looked at together, and how many may be looking for earlier outputs.
LOOK_AT: Final = 256
LOOKUP_LIMIT: Final = 256
#: How long a store that cannot be reached is asked again, and the longest pause between.
STORE_PATIENCE_SECONDS: Final = 120.0
STORE_PAUSE_SECONDS: Final = 2.0

_Report = Ended | Killed | DeckReport | BoundaryResult | CallRequested | Offered | Found | FlytePathError | None


class Scheduler:
    """One execution, owned under a lease, on this machine's workers.

    Args:
        execution: its id.
        state: the state folded from its log.
        log: the event store.
        blobs: the blobs of its tenant.
        pool: local workers.
        slots: how many attempts run at once, shared with other executions of this process.
        places: the folders of its attempts.
        reuses: earlier outputs by cache key.
        listener: told of events and printed text.
        clock: seconds since the epoch; never goes back.
        code_path_of: where the code of a bundle lies.
        former: the execution that this one recovers.
        known: values of the execution that need not be read.
    """

    def __init__(
        self,
        execution: str,
        state: ExecutionState,
        log: Log,
        blobs: Blobs,
        pool: AttemptPool,
        *,
        slots: Slots,
        places: Places,
        reuses: Reuses,
        listener: Listener,
        clock: Callable[[], float],
        code_path_of: Callable[[str], str],
        former: Former | None = None,
        known: Sequence[Literal] = (),
    ) -> None:
        self._execution = execution
        self._state = state
        self._log = log
        self._blobs = blobs
        self._places = places
        self._reuses = reuses
        self._listener = listener
        self._clock = clock
        self._former = former
        self._actor = Actor(kind="engine", name=f"{os.getpid()}")
        self._values = Values(execution, state, log, blobs, known)
        self._calls = CallDesk(execution, state, log, blobs, pool)
        self._snapshots = SnapshotKeeper(execution, state, log)
        self._launches = Launches(
            pool,
            slots,
            blobs,
            code_path_of=code_path_of,
            keep_graph=self._calls.kept,
            report=self._report,
            wake=self._woken,
            listener=listener,
        )
        self._code_path_of = code_path_of
        self._code_path = ""
        self._events: list[Event] = []
        self._kept: list[tuple[NodeState, dict[str, Literal]]] = []
        self._handled: list[int] = []
        self._informed: set[int] = set()
        self._reports: list[tuple[str, int, _Report]] = []
        self._wake = asyncio.Event()
        self._lookups: dict[str, asyncio.Task[None]] = {}
        self._resolved: set[str] = set()
        self._offering: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._draining = False
        self._looked_at = 0.0

    async def run(self, owner: str, epoch: int, posted: Sequence[Posted] = ()) -> ExecutionState:
        """Own the execution and drive it to its end.

        Args:
            owner: who holds the lease.
            epoch: of the lease.
            posted: commands that waited for an owner.

        Raises:
            SequenceConflictError: the lease has passed to another engine; nothing more is written.
            StoreError: the log cannot be written; the execution can be resumed.
        """
        created = self._state.created
        try:
            if created is not None:
                self._code_path = await asyncio.to_thread(self._code_path_of, created.bundle)
            self._do(Own(owner, epoch), Actor(kind="engine", name=owner))
            await self._keep_logs_of_lost()
            if self._former is not None:
                await asyncio.to_thread(self._values.named, self._former.all_outputs())
            self.inform(posted)
            while not self._state.status.is_final:
                started = self._advance()
                await self._commit(epoch)
                await self._calls.answer(self._values, self._launches.wakes)
                self._launches.launch(started)
                if self._draining and self._is_drained():
                    break
                if not self._state.status.is_final:
                    await self._next_reports()
            await self._commit(epoch)
        finally:
            others = [*self._lookups.values(), *self._offering]
            for task in others:
                task.cancel()
            await self._launches.close()
            await asyncio.gather(*others, return_exceptions=True)
            await self._reuses.close()
        return self._state

    # --- what others say ---

    def inform(self, posted: Sequence[Posted]) -> None:
        """Turn commands of others into events; they are taken out of the inbox once those are durable.

        Each is heeded once, however often it is told.
        """
        for item in posted:
            if item.id in self._informed:
                continue
            self._informed.add(item.id)
            self._handled.append(item.id)
            if self._state.status.is_final:
                continue
            try:
                command = self._command(item.command)
            except FlytePathError as error:  # whoever posted it was told; it must not stop what runs
                log.warning("a command for execution %s cannot be read: %s", self._execution, error)
                continue
            if command is not None:
                self._do(command, Actor(kind="user", name=str(item.command.get("principal", ""))))
        if posted:
            self._wake.set()

    def _command(self, posted: Mapping[str, Any]) -> Command | None:
        match posted.get("type"):
            case "abort":
                return Abort(str(posted.get("reason", "")))
            case "pause":
                return Pause(str(posted.get("reason", "")))
            case "continue":
                return Continue()
            case "signal":
                value = posted.get("value")
                digest = "" if value is None else self._values.keep(Literal.from_json(value))
                return Signal(str(posted.get("node")), posted.get("approved"), digest)
        return None

    def give_up(self, error: BaseException) -> None:
        """Stop driving: the lease is lost, or the process is to end."""
        self._fault = error
        self._wake.set()

    def drain(self) -> None:
        """Start nothing more; :meth:`run` returns when what runs has ended."""
        self._draining = True
        self._wake.set()

    def _woken(self) -> None:
        self._wake.set()

    def _report(self, node: str, attempt: int, report: _Report) -> None:
        if isinstance(report, CallRequested):
            offering = asyncio.create_task(self._offer(node, attempt, report))
            self._offering.add(offering)
            offering.add_done_callback(self._offering.discard)
            return
        self._reports.append((node, attempt, report))
        self._wake.set()

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
            self._look_at_clock()
            for path in list(state.settled):
                self._settle(path)
            if state.paused is None and not self._draining:
                for path in [path for path in state.instant if state.why_stopped(path) is None]:
                    self._enter(state.nodes[path])
                started += self._start_ready()
            elif state.paused is not None:
                self._let_others_compute()
            self._stop_running()
            if self._is_over():
                self._do(self._finish())
            if state.seq == before:
                break
        self._launches.settle()
        return started

    def _look_at_clock(self) -> None:
        state, now = self._state, self._looked_at
        if state.deadline is not None and state.deadline <= now:
            self._do(TimeOut())
        for path, at in list(state.timers.items()):
            if at is not None and at <= now:
                self._do(Ring(path))
        for path, at in list(state.queued.items()):
            if at <= now:
                self._do(Expire(path))

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
        if node.task is not None and self._reuses.applies_to(node):
            self._kept.append((node, self._values.named(node.outputs)))

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
        if self._is_taken_over(node, digests):
            return
        self._do(Open(path, digests) if node.kind == "gate" else Expand(path, digests, items=items))

    def _case(self, node: NodeState) -> int:
        index = taken(node.spec.cases, self._values.value)
        if index is None:
            raise BranchFailedError(f"no case of the conditional {node.spec.name or node.path} holds", place=node.path)
        message = node.spec.cases[index].error
        if message is not None:
            raise BranchFailedError(message, place=node.spec.name or node.path)
        return index

    # --- starting ---

    def _start_ready(self) -> list[RunAttempt]:
        started: list[RunAttempt] = []
        items: dict[str, list[tuple[int, RunAttempt]]] = {}
        # Only as many as there may be room for: what is ready can be far more, and is looked at again and again.
        for path in list(islice(self._due(), LOOK_AT)):
            node = self._state.nodes[path]
            if self._has_to_wait(node):
                continue
            inputs = self._inputs_of(node)
            if inputs is None or self._is_known(node, inputs) or self._is_looked_up(node, inputs):
                continue
            if not self._launches.reserve(node.name):
                break
            self._resolved.discard(path)
            request = self._request(node, inputs)
            parent = self._state.nodes[node.parent] if node.parent else None
            if parent is not None and parent.kind == "map":
                items.setdefault(node.parent, []).append((int(path.rpartition("/")[2]), request))
            else:
                self._do(Start(path, {name: self._values.keep(literal) for name, literal in inputs.items()}))
                started.append(request)
        for map_path, requests in items.items():
            self._do(StartItems(map_path, tuple(index for index, _ in requests)))
            started += [request for _, request in requests]
        return started

    def _due(self) -> Iterator[str]:
        """Nodes whose next attempt can start, what others wait for first."""
        again = (path for path, at in self._state.retrying.items() if at <= self._looked_at)
        for path in chain(again, self._state.urgent, self._state.ready):
            if path not in self._lookups and self._state.why_stopped(path) is None:
                yield path

    def _has_to_wait(self, node: NodeState) -> bool:
        """Whether so many nodes are looking for earlier outputs that this one has to wait with that."""
        if len(self._lookups) < LOOKUP_LIMIT or node.path in self._resolved:
            return False
        return self._reuses.applies_to(node)

    def _inputs_of(self, node: NodeState) -> dict[str, Literal] | None:
        """What a node is given; none where that cannot be put together, and it fails."""
        try:
            return self._values.inputs_of(node)
        except FlytePathError as error:
            self._do(Refuse(node.path, _record_of(error, f"{node.name} at {node.path}")))
            return None

    def _is_known(self, node: NodeState, inputs: dict[str, Literal]) -> bool:
        """Take over what the execution that is recovered has of this node."""
        former = self._former
        if former is None or node.attempt:
            return False
        parent = self._state.nodes[node.parent] if node.parent else None
        if parent is not None and parent.kind == "map" and not former.is_same_map(parent.path, parent.inputs):
            return False
        digests = {name: self._values.keep(literal) for name, literal in inputs.items()}
        if self._is_taken_over(node, digests):
            return True
        graph = former.graph_of(node, digests)
        if graph:
            self._do(Expand(node.path, digests, spec=graph))
        return bool(graph)

    def _is_taken_over(self, node: NodeState, inputs: LiteralDigests) -> bool:
        """Take over what the node gave in the execution that is recovered, unless somebody has erased it."""
        former = self._former
        outputs = former.outputs_of(node, inputs) if former is not None else None
        if former is None or outputs is None:
            return False
        if any(literal.is_erased for literal in self._values.named(outputs).values()):
            return False
        parent = self._state.nodes[node.parent] if node.parent else None
        known = {} if parent is not None and parent.kind == "map" else inputs  # a map keeps those of its items
        self._do(Reuse(node.path, outputs, recovered=former.execution, inputs=known))
        return True

    def _is_looked_up(self, node: NodeState, inputs: dict[str, Literal]) -> bool:
        """Begin to look for earlier outputs, before any slot is asked for; false where the node is to compute them."""
        path = node.path
        if path in self._resolved or not self._reuses.applies_to(node):
            return False
        self._lookups[path] = asyncio.create_task(self._look_up(node, inputs))
        return True

    async def _look_up(self, node: NodeState, inputs: dict[str, Literal]) -> None:
        report: _Report = None
        try:
            report = await self._reuses.resolve(node, inputs)
        except FlytePathError as error:
            report = error
        except Exception as error:  # noqa: BLE001 - a fault of ours must surface, not hang
            self._fault = error
        self._reports.append((node.path, -1, report))
        self._wake.set()

    def _request(self, node: NodeState, inputs: dict[str, Literal]) -> RunAttempt:
        task, path, attempt = node.task, node.path, node.attempt + 1
        created, former = self._state.created, self._former
        if task is None or created is None:
            raise ValueError(f"{path} runs no task")
        variables = {**created.variables, **task.variables} if created.variables else task.variables
        places = self._places.of_attempt(
            path,
            attempt,
            former.execution if former is not None else "",
            former.attempts_of(path) if former is not None else 0,
        )
        return RunAttempt(
            execution=self._execution,
            node=path,
            attempt=attempt,
            task=task if variables is task.variables else task.model_copy(update={"variables": variables}),
            inputs=inputs,
            project=created.project,
            domain=created.domain,
            code_path=self._code_path,
            interruptible=node.is_interruptible,
            version=created.workflow_version,
            created_at=self._state.created_at,
            **places,
        )

    def _stop_running(self) -> None:
        for path in list(self._state.running):
            if self._state.why_stopped(path) is not None:
                self._launches.stop(path)
        for path in list(self._lookups):
            if self._is_gone(path):
                self._lookups.pop(path).cancel()
                self._reuses.forget(path)

    def _let_others_compute(self) -> None:
        """Keep nothing back from other executions for nodes that may not start for a long time."""
        for path in self._resolved:
            self._reuses.forget(path)
        self._resolved.clear()

    def _is_gone(self, path: str) -> bool:
        """Whether nothing may come of a node that was about to start."""
        node = self._state.nodes.get(path)
        return node is None or node.status.is_final or self._state.why_stopped(path) is not None

    def _is_over(self) -> bool:
        state = self._state
        if state.status.is_final or not self._launches.is_idle or state.running:
            return False
        return state.unfinished == 0 or state.is_stopping

    def _is_drained(self) -> bool:
        """Whether waiting longer brings no end of an attempt: what still runs waits for what may not start here."""
        return self._launches.is_asleep and not self._reports and not self._offering

    def _finish(self) -> Finish:
        state = self._state
        if state.abort_reason is not None or state.overdue is not None or state.first_failed is not None:
            return Finish()
        try:
            return Finish(self._values.outputs(self._state.root))
        except FlytePathError as error:
            return Finish(error=_record_of(error, f"{self._state.spec.name}() outputs"))

    # --- effects ---

    async def _commit(self, epoch: int) -> None:
        """Make all that was decided durable, then tell of it."""
        if not self._events:
            return
        pending = self._values.pending
        events, literals, handled, kept = self._events, list(pending.values()), self._handled, self._kept
        self._events, self._handled, self._kept = [], [], []
        pending.clear()
        await self._appended(epoch, events, literals)
        if handled:  # what they led to is durable now, and not before
            await asyncio.to_thread(self._log.take, handled)
        for node, outputs in kept:
            self._reuses.kept(node, outputs)
        for event in events:
            path = getattr(event.payload, "node", "") or ""
            node_of = self._state.find(path) if path else None
            self._listener.event(event, "" if node_of is None else node_of.name)
        self._snapshots.consider()

    async def _appended(self, epoch: int, events: list[Event], literals: list[Literal]) -> None:
        """Append; a store that cannot be reached is asked again, because the same append twice is one."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + STORE_PATIENCE_SECONDS, 0.05
        while True:
            try:
                await asyncio.wrap_future(
                    self._log.append_later(self._execution, events[0].seq - 1, epoch, events, literals)
                )
                return
            except StoreUnavailableError:
                if loop.time() > until or self._fault is not None:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, STORE_PAUSE_SECONDS)

    async def _keep_logs_of_lost(self) -> None:
        """Keep what attempts printed that were lost with their engine."""
        lost = [event.payload for event in self._events if isinstance(event.payload, AttemptLost)]
        for node, attempt in [(payload.node, payload.attempt) for payload in lost]:
            kept = await asyncio.to_thread(kept_log, self._places.log(node, attempt), self._blobs)
            if kept is not None and not self._state.status.is_final:
                self._record(LogWritten(node=node, attempt=attempt, log=kept))

    async def _offer(self, node: str, attempt: int, message: CallRequested) -> None:
        """Keep the graph that an eager task calls, so that an event can refer to it."""
        try:
            spec = await asyncio.to_thread(self._calls.kept, message.graph)
            self._reports.append((node, attempt, Offered(message, spec)))
        except (FlytePathError, OSError, ValueError) as error:
            self._fault = error
        self._wake.set()

    async def _next_reports(self) -> None:
        """Wait for a report, a command, the time, or the loss of the lease; then take every report there is."""
        if not self._reports and not self._wake.is_set():
            try:
                async with asyncio.timeout(self._until_due()):
                    await self._wake.wait()
            except TimeoutError:
                return
        if self._reports and self._launches.is_supplied and self._fault is None:
            await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()
        fault = self._fault or self._launches.fault
        if fault is not None:
            raise fault
        reports, self._reports = self._reports, []
        items = _ItemEnds()
        for node, attempt, report in reports:
            self._take(node, attempt, report, items)
        for command in items.commands():
            self._do(command)

    def _until_due(self) -> float | None:
        """Seconds until time alone leads to something, ``None`` where it never does.

        What was due when we last looked waits for something else by now: a slot, or its end.
        """
        state = self._state
        known = [*state.retrying.values(), *(at for at in state.timers.values() if at is not None)]
        known += [*state.queued.values(), *([state.deadline] if state.deadline is not None else [])]
        times = [at for at in known if at > self._looked_at]
        return max(0.0, min(times) - self._clock()) if times else None

    def _take(self, node: str, attempt: int, report: _Report, items: _ItemEnds) -> None:
        worker = Actor(kind="worker", name=f"{node}#{attempt}")
        if isinstance(report, Ended):
            self._take_end(node, attempt, report, worker, items)
        elif isinstance(report, Killed):
            self._kept_log(node, attempt, report.log, worker)
            self._calls.forget(node)
            self._reuses.forget(node)
            self._do(Stop(node, attempt))
        elif isinstance(report, DeckReport):
            self._record(DeckWritten(node=node, attempt=attempt, name=report.name, deck=report.deck), worker)
        elif isinstance(report, BoundaryResult):
            facts = report.model_dump(exclude={"type"})
            self._record(BoundaryChecked(node=node, attempt=attempt, **facts), worker)
        elif isinstance(report, Offered):
            self._take_call(node, attempt, report, worker)
        else:
            self._take_lookup(node, report)  # type: ignore[arg-type]

    def _take_lookup(self, path: str, report: Found | FlytePathError | None) -> None:
        if self._lookups.pop(path, None) is None:
            return
        if report is None and (self._state.paused is not None or self._draining):
            self._reuses.forget(path)  # others may compute it meanwhile
        elif report is None:
            self._resolved.add(path)
        elif self._is_gone(path):
            self._reuses.forget(path)
        elif isinstance(report, FlytePathError):
            self._do(Refuse(path, _record_of(report, path)))
        elif self._state.paused is None:
            outputs = {name: self._values.keep(literal) for name, literal in report.outputs.items()}
            self._do(Reuse(path, outputs, report.key))

    def _take_call(self, node: str, attempt: int, offered: Offered, worker: Actor) -> None:
        message = offered.message
        inputs = {name: self._values.keep(literal) for name, literal in message.inputs.items()}
        self._do(Call(node, attempt, offered.call, message.callee, offered.spec, inputs), worker)
        current = self._state.running.get(node)
        if current == attempt:
            self._calls.asked(node, attempt, offered)
            self._launches.sleeps(node)
        elif current is None:  # it made another call than before; else it has ended, and another attempt runs
            self._launches.stop(node)

    def _take_end(self, node: str, attempt: int, ended: Ended, worker: Actor, items: _ItemEnds) -> None:
        self._calls.forget(node)
        self._kept_log(node, attempt, ended.log, worker)
        message = ended.result.message
        state = self._state.nodes.get(node)
        if state is None or self._state.running.get(node) != attempt:
            return
        if isinstance(message, AttemptSucceeded):
            outputs = {name: self._values.keep(literal) for name, literal in message.outputs.items()}
            if self._reuses.applies_to(state):
                self._kept.append((state, dict(message.outputs)))
            if not items.add(self._state, state, attempt, outputs, message.usage):
                self._do(Succeed(node, attempt, outputs, message.usage), worker)
        elif isinstance(message, GraphProduced):
            self._do(Produce(node, attempt, ended.spec, message.usage), worker)
        elif message.error.code == StoreFullError.code:
            # Nobody's code is to blame, and the next attempt would fare no better: stop until there is room again.
            self._fault = StoreFullError(
                message.error.message, place=message.error.place, actual=message.error.actual, hint=message.error.hint
            )
            self._wake.set()
        else:
            self._do(Fail(node, attempt, message.error, message.usage, random.random()), worker)
            if state.status.is_final:
                self._reuses.forget(node)

    def _kept_log(self, node: str, attempt: int, log: Blob | None, worker: Actor) -> None:
        if log is not None:
            self._record(LogWritten(node=node, attempt=attempt, log=log), worker)


class _ItemEnds:
    """Successes of items of maps that were reported together, to be recorded together."""

    def __init__(self) -> None:
        self._by_map: dict[tuple[str, tuple[str, ...]], list[tuple[tuple[int, int, tuple[str, ...]], Usage]]] = {}

    def add(self, state: ExecutionState, node: NodeState, attempt: int, outputs: dict[str, str], usage: Any) -> bool:
        """Take the success of an item; false where the node is none, or has nodes below it."""
        parent = state.nodes[node.parent] if node.parent else None
        if parent is None or parent.kind != "map" or node.frame is not None:
            return False
        entry = (int(node.path.rpartition("/")[2]), attempt, tuple(outputs.values()))
        self._by_map.setdefault((node.parent, tuple(outputs)), []).append((entry, usage))
        return True

    def commands(self) -> Iterator[SucceedItems]:
        """The commands that record them."""
        for (path, names), ends in self._by_map.items():
            yield SucceedItems(path, names, tuple(item for item, _ in ends), tuple(usage for _, usage in ends))


def _record_of(error: FlytePathError, place: str) -> ErrorRecord:
    kind = type(error)
    return ErrorRecord.of(
        error, kind="user", type=f"{kind.__module__}.{kind.__qualname__}", place=place, recoverable=False
    )
