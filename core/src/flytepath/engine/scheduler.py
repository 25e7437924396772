"""Drives one execution: decisions become events, events are made durable, then their effects are carried out."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
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
    Ring,
    Settle,
    Signal,
    Stop,
    Succeed,
    TimeOut,
)
from flytepath.engine.conditions import taken
from flytepath.engine.item_ends import ItemEnds
from flytepath.engine.jobs.backends import LOCAL
from flytepath.engine.jobs.of_execution import ExecutionJobs, JobReport, Remote
from flytepath.engine.journal import Journal, record_of
from flytepath.engine.launches import Ended, Killed, Launches, kept_log, remove_files
from flytepath.engine.local.places import Places
from flytepath.engine.local.room import Room, RoomOfExecution
from flytepath.engine.local.slots import Slots
from flytepath.engine.outage import patiently
from flytepath.engine.ports import AttemptPool, Listener, Log, Posted
from flytepath.engine.quota.tokens import Tokens
from flytepath.engine.recovery import Former
from flytepath.engine.reuse import Found, Reuses
from flytepath.engine.snapshots import SnapshotKeeper
from flytepath.engine.starting import Starting
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.engine.values import Blobs, Values
from flytepath.errors import BranchFailedError, FlytePathError, StoreFullError, StoreUnavailableError
from flytepath.model.events import (
    Actor,
    AttemptLost,
    Blob,
    BoundaryChecked,
    DeckWritten,
    LogWritten,
)
from flytepath.model.identity import Tenant
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

_Report = (
    Ended | Killed | DeckReport | BoundaryResult | CallRequested | Offered | Found | JobReport | FlytePathError | None
)


class Scheduler:
    """One execution, owned under a lease, on this machine's workers.

    Args:
        execution: its id.
        state: the state folded from its log.
        log: the event store.
        blobs: the blobs of its tenant.
        pool: local workers.
        slots: how many attempts run at once, shared with other executions of this process.
        room: gives the cores, memory and GPUs of this machine, shared in the same way; without it nobody asks for any.
        places: the folders of its attempts.
        reuses: earlier outputs by cache key.
        listener: told of events and printed text.
        clock: seconds since the epoch; never goes back.
        code_path_of: where the code of a bundle lies.
        remote: runs what is no work for this machine.
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
        room: Callable[[], Room] | None = None,
        places: Places,
        reuses: Reuses,
        listener: Listener,
        clock: Callable[[], float],
        code_path_of: Callable[[str], str],
        remote: Remote | None = None,
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
        self._values = Values(execution, state, log, blobs, known)
        self._journal = Journal(execution, state, log, self._values, clock)
        self._calls = CallDesk(execution, state, log, blobs, pool)
        self._snapshots = SnapshotKeeper(execution, state, log)
        self._wake = asyncio.Event()
        created = state.created
        tenant = Tenant() if created is None else Tenant(created.project, created.domain)
        self._launches = Launches(
            pool,
            slots,
            blobs,
            code_path_of=code_path_of,
            keep_graph=self._calls.kept,
            report=self._report,
            wake=self._wake.set,
            listener=listener,
            share=slots.join(tenant),
            room=None if room is None else lambda: RoomOfExecution(room(), execution, tenant, self._wake.set),
        )
        self._tokens = Tokens(execution, state, remote, self._has_tokens)
        self._starting = Starting(
            execution,
            state,
            self._journal,
            self._values,
            self._launches,
            tokens=self._tokens,
            places=places,
            reuses=reuses,
            report=self._report,
            former=former,
        )
        self._jobs = ExecutionJobs(
            execution, state, self._journal, self._values, remote, blobs, self._job_ended, self._report, clock
        )
        self._code_path_of = code_path_of
        self._kept: list[tuple[NodeState, dict[str, Literal]]] = []
        self._handled: list[int] = []
        self._informed: set[int] = set()
        self._reports: list[tuple[str, int, _Report | None]] = []
        self._offering: set[asyncio.Task[None]] = set()
        self._offers = asyncio.Lock()
        self._draining = False
        self._stopped: list[tuple[str, str]] = []
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
                self._starting.code_path = await asyncio.to_thread(self._code_path_of, created.bundle)
            self._journal.do(Own(owner, epoch), Actor(kind="engine", name=owner))
            await self._keep_logs_of_lost()
            self._jobs.resume(epoch)
            if self._former is not None:
                await asyncio.to_thread(self._values.named, self._former.all_outputs())
            self.inform(posted)
            self._jobs.begin(self._starting.unplanned(self._jobs.is_begun))
            while not self._state.status.is_final:
                started = self._advance()
                await self._commit(epoch)
                await self._calls.answer(self._values, self._launches.wakes)
                self._launches.launch(request for request in started if request.task.backend == LOCAL)
                self._jobs.begin([request for request in started if request.task.backend != LOCAL])
                self._jobs.carry_on()
                self._tokens.sweep()
                self._launches.sweep(self._tokens.is_gone)
                if self._draining and self._is_drained():
                    break
                if not self._state.status.is_final:
                    await self._next_reports()
            await self._commit(epoch)
            self._jobs.carry_on()
        finally:
            for task in self._offering:
                task.cancel()
            await self._launches.close()
            await self._jobs.close()
            await self._tokens.close()
            await self._starting.close()
            await asyncio.gather(*self._offering, return_exceptions=True)
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
                self._journal.do(command, Actor(kind="user", name=str(item.command.get("principal", ""))))
        if posted:
            self._wake.set()

    def _command(self, posted: Mapping[str, Any]) -> Command | None:
        principal = str(posted.get("principal", ""))
        match posted.get("type"):
            case "abort":
                return Abort(str(posted.get("reason", "")))
            case "pause":
                return Pause(str(posted.get("reason", "")))
            case "continue":
                return Continue()
            case "adopt":
                self._jobs.adopt(str(posted.get("job")), posted.get("handle"), Actor(kind="user", name=principal))
            case "signal":
                value = posted.get("value")
                digest = "" if value is None else self._values.keep(Literal.from_json(value))
                return Signal(str(posted.get("node")), posted.get("approved"), digest)
        return None

    def give_up(self, error: BaseException) -> None:
        """Stop driving: the lease is lost, or the process is to end."""
        self._journal.fault = error
        self._wake.set()

    def drain(self) -> None:
        """Start nothing more; :meth:`run` returns when what runs has ended."""
        self._draining = True
        self._jobs.drain()
        self._wake.set()

    def _report(self, node: str, attempt: int, report: _Report | None) -> None:
        if isinstance(report, CallRequested):
            offering = asyncio.create_task(self._offer(node, attempt, report))
            self._offering.add(offering)
            offering.add_done_callback(self._offering.discard)
            return
        self._reports.append((node, attempt, report))
        self._wake.set()

    def _has_tokens(self, path: str, error: FlytePathError | None) -> None:
        """A node holds what it asked for of shared pools, or never will."""
        node = self._state.find(path)
        if error is not None and node is not None and not node.status.is_final:
            self._journal.do(Refuse(path, record_of(error, f"{node.name} at {path}")))
        self._wake.set()

    def _job_ended(self, node: NodeState, outputs: Mapping[str, Literal] | None) -> None:
        """An attempt that ran as a job has given its outputs, or never will: whoever waits for them may know."""
        if outputs is None:
            self._reuses.forget(node.path)
        elif self._reuses.applies_to(node):
            self._kept.append((node, dict(outputs)))

    # --- decisions ---

    def _advance(self) -> list[RunAttempt]:
        """Decide all that follows from the state as it is; the attempts to launch when that is durable."""
        state = self._state
        started: list[RunAttempt] = []
        while not state.status.is_final:
            before, self._looked_at = state.seq, self._clock()
            self._look_at_clock()
            for path in list(state.settled):  # what cannot be read while the store is away is looked at again
                with suppress(StoreUnavailableError):
                    self._settle(path)
            if state.paused is None and not self._draining:
                for path in [path for path in state.instant if state.why_stopped(path) is None]:
                    with suppress(StoreUnavailableError):
                        self._enter(state.nodes[path])
                started += self._starting.ready(self._looked_at)
            elif state.paused is not None:
                self._starting.let_others_compute()
            self._stop_running()
            if self._is_over():
                with suppress(StoreUnavailableError):
                    self._journal.do(self._finish())
            if state.seq == before:
                break
        self._launches.settle()
        return started

    def _look_at_clock(self) -> None:
        state, now = self._state, self._looked_at
        if state.deadline is not None and state.deadline <= now:
            self._journal.do(TimeOut())
        for path, at in list(state.timers.items()):
            if at is not None and at <= now:
                self._journal.do(Ring(path))
        for path, at in list(state.queued.items()):
            if at <= now:
                self._journal.do(Expire(path))

    def _settle(self, path: str) -> None:
        node = self._state.nodes[path]
        if node.status.is_final or node.frame is None:
            return
        if node.frame.first_failed is not None or node.frame.skipped:
            self._journal.do(Settle(path))
            return
        try:
            outputs = self._values.outputs_of(node, node.frame)
        except FlytePathError as error:
            self._journal.do(Settle(path, error=record_of(error, f"{node.name} at {path}")))
            return
        self._journal.do(Settle(path, outputs))
        if node.task is not None and self._reuses.applies_to(node):
            self._kept.append((node, self._values.named(node.outputs)))

    def _enter(self, node: NodeState) -> None:
        """A node that needs no worker is due: it opens, or becomes the nodes below it."""
        path = node.path
        try:
            if node.kind == "branch":
                self._journal.do(Expand(path, case=self._case(node)))
                return
            inputs = self._values.inputs_of(node)
            items = self._values.size(node, inputs) if node.kind == "map" else None
        except FlytePathError as error:
            self._journal.do(Refuse(path, record_of(error, f"{node.name} at {path}")))
            return
        digests = {name: self._values.keep(literal) for name, literal in inputs.items()}
        if self._starting.takes_over(node, digests):
            return
        self._journal.do(Open(path, digests) if node.kind == "gate" else Expand(path, digests, items=items))

    def _case(self, node: NodeState) -> int:
        index = taken(node.spec.cases, self._values.value)
        if index is None:
            raise BranchFailedError(f"no case of the conditional {node.spec.name or node.path} holds", place=node.path)
        message = node.spec.cases[index].error
        if message is not None:
            raise BranchFailedError(message, place=node.spec.name or node.path)
        return index

    def _stop_running(self) -> None:
        # Thousands may run, and most of what happens stops nobody.
        if not self._stopped and all(self._state.stops_nothing(event.payload) for event in self._journal.events):
            return
        self._stopped = self._state.stopped()
        for path, why in self._stopped:
            if self._state.nodes[path].is_remote:
                self._jobs.stop(path, why)
            else:
                self._launches.stop(path)
        self._starting.stop_looking()

    def _is_over(self) -> bool:
        state = self._state
        if state.status.is_final or not self._launches.is_idle or state.running or state.jobs:
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
            return Finish(error=record_of(error, f"{self._state.spec.name}() outputs"))

    # --- effects ---

    async def _commit(self, epoch: int) -> None:
        """Make all that was decided durable, then tell of it."""
        handled, kept = self._handled, self._kept
        self._handled, self._kept = [], []
        events = await self._journal.commit(epoch)
        if handled:  # what they led to is durable now, and not before
            await patiently(lambda: asyncio.to_thread(self._log.take, handled), self._journal.has_given_up)
        for node, outputs in kept:
            self._reuses.kept(node, outputs)
        logs = [
            self._places.log(e.payload.node, e.payload.attempt) for e in events if isinstance(e.payload, LogWritten)
        ]
        if logs:  # they lie among the blobs now
            await asyncio.to_thread(remove_files, logs)
        for event in events:
            path = getattr(event.payload, "node", "") or ""
            node_of = self._state.find(path) if path else None
            self._listener.event(event, "" if node_of is None else node_of.name)
        if events:
            self._snapshots.consider()

    async def _keep_logs_of_lost(self) -> None:
        """Keep what attempts printed that were lost with their engine."""
        lost = [event.payload for event in self._journal.events if isinstance(event.payload, AttemptLost)]
        for node, attempt in [(payload.node, payload.attempt) for payload in lost]:
            kept = await asyncio.to_thread(kept_log, self._places.log(node, attempt), self._blobs)
            if kept is not None and not self._state.status.is_final:
                self._journal.record(LogWritten(node=node, attempt=attempt, log=kept))

    async def _offer(self, node: str, attempt: int, message: CallRequested) -> None:
        """Keep the graph that an eager task calls, so that an event can refer to it."""
        try:
            async with self._offers:  # in the order in which they were made
                keep = partial(asyncio.to_thread, self._calls.kept, message.graph)
                spec = await patiently(keep, self._journal.has_given_up)
                self._reports.append((node, attempt, Offered(message, spec)))
        except (FlytePathError, OSError, ValueError) as error:
            self._journal.fault = error
        self._wake.set()

    async def _next_reports(self) -> None:
        """Wait for a report, a command, the time, or the loss of the lease; then take every report there is."""
        if not self._reports and not self._wake.is_set():
            try:
                async with asyncio.timeout(self._until_due()):
                    await self._wake.wait()
            except TimeoutError:
                return
        if self._reports and self._launches.is_supplied and self._journal.fault is None:
            await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()
        fault = self._journal.fault or self._launches.fault
        if fault is not None:
            raise fault
        reports, self._reports = self._reports, []
        items = ItemEnds()
        for node, attempt, report in reports:
            self._take(node, attempt, report, items)
        for command in items.commands():
            self._journal.do(command)

    def _until_due(self) -> float | None:
        """Seconds until time alone leads to something, ``None`` where it never does.

        What was due when we last looked waits for something else by now: a slot, or its end.
        """
        state = self._state
        known = [*state.retrying.values(), *(at for at in state.timers.values() if at is not None)]
        known += [*state.queued.values(), *([state.deadline] if state.deadline is not None else [])]
        times = [at for at in known if at > self._looked_at]
        return self._values.asked_again(max(0.0, min(times) - self._clock()) if times else None)

    def _take(self, node: str, attempt: int, report: _Report | None, items: ItemEnds) -> None:
        worker = Actor(kind="worker", name=f"{node}#{attempt}")
        if isinstance(report, Ended):
            self._take_end(node, attempt, report, worker, items)
        elif isinstance(report, Killed):
            self._kept_log(node, attempt, report.log, worker)
            self._calls.forget(node)
            self._reuses.forget(node)
            self._journal.do(Stop(node, attempt))
        elif isinstance(report, DeckReport):
            self._journal.record(DeckWritten(node=node, attempt=attempt, name=report.name, deck=report.deck), worker)
        elif isinstance(report, BoundaryResult):
            facts = report.model_dump(exclude={"type"})
            self._journal.record(BoundaryChecked(node=node, attempt=attempt, **facts), worker)
        elif isinstance(report, JobReport):
            self._jobs.take(node, report)
        elif isinstance(report, Offered):
            self._take_call(node, attempt, report, worker)
        else:
            starts = self._state.paused is None and not self._draining
            self._starting.found(node, report, starts=starts)  # type: ignore[arg-type]

    def _take_call(self, node: str, attempt: int, offered: Offered, worker: Actor) -> None:
        message = offered.message
        inputs = {name: self._values.keep(literal) for name, literal in message.inputs.items()}
        self._journal.do(Call(node, attempt, offered.call, message.callee, offered.spec, inputs), worker)
        current = self._state.running.get(node)
        if current == attempt:
            self._calls.asked(node, attempt, offered)
            self._launches.sleeps(node)
        elif current is None:  # it made another call than before; else it has ended, and another attempt runs
            self._launches.stop(node)

    def _take_end(self, node: str, attempt: int, ended: Ended, worker: Actor, items: ItemEnds) -> None:
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
                self._journal.do(Succeed(node, attempt, outputs, message.usage), worker)
        elif isinstance(message, GraphProduced):
            self._journal.do(Produce(node, attempt, ended.spec, message.usage), worker)
        elif message.error.code == StoreFullError.code:
            # Nobody's code is to blame, and the next attempt would fare no better: stop until there is room again.
            self._journal.fault = StoreFullError(
                message.error.message, place=message.error.place, actual=message.error.actual, hint=message.error.hint
            )
            self._wake.set()
        else:
            failed = Fail(node, attempt, message.error, message.usage, random.random(), message.progress)
            self._journal.do(failed, worker)
            if state.status.is_final:
                self._reuses.forget(node)

    def _kept_log(self, node: str, attempt: int, log: Blob | None, worker: Actor) -> None:
        if log is not None:
            self._journal.record(LogWritten(node=node, attempt=attempt, log=log), worker)
