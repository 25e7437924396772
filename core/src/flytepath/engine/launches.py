"""The attempts of one execution on their way: recorded as started, waiting for a slot, running, ended.

Short tasks are recorded as started a little ahead of the slots, many in one append, so that no worker waits for the
disk between two of them. How far ahead follows from how long attempts take: long ones are never started early.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flytepath.engine.local.machine import LocalAsk
from flytepath.engine.local.output import LogTail, kept_text
from flytepath.engine.local.room import RoomOfExecution
from flytepath.engine.local.slots import Share, Slots
from flytepath.engine.outage import patiently
from flytepath.engine.ports import AttemptPool, AttemptResult, Listener, Silent
from flytepath.engine.values import Blobs
from flytepath.model.events import Blob
from flytepath.model.messages import BoundaryResult, CallRequested, DeckReport, GraphProduced, RunAttempt
from flytepath.model.resources import Resources
from flytepath.model.task import TaskSpec

#: Attempts are started ahead for about this long.
AHEAD_SECONDS: Final = 0.1
#: At most so many, and none where one takes longer than so.
AHEAD_LIMIT: Final = 128
SHORT_SECONDS: Final = 0.05
#: How often printed text is shown.
TAIL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt's end, with what it printed already kept; ``spec`` is the digest of the graph it produced."""

    result: AttemptResult
    log: Blob | None = None
    spec: str = ""


@dataclass(frozen=True, slots=True)
class Killed:
    """An attempt was ended by us, with what it had printed."""

    log: Blob | None = None


#: Told what becomes of attempts: node, attempt, what.
Report = Callable[[str, int, Ended | Killed | DeckReport | BoundaryResult | CallRequested], None]


class Launches:
    """The attempts of one execution.

    Args:
        pool: runs them.
        slots: how many may run at once, shared with other executions.
        blobs: keeps what they print.
        code_path_of: where the code of a bundle lies; may take a while, so it is asked in a thread.
        keep_graph: keeps the graph of a dynamic task and gives its digest; asked in a thread.
        report: told what becomes of them.
        wake: called when a slot has come free for an attempt that is not recorded yet.
        listener: shown what they print.
        share: the tenant's share of the slots.
        room: gives the cores, memory and GPUs of the machine when somebody first asks for some; without it nobody does.
    """

    def __init__(
        self,
        pool: AttemptPool,
        slots: Slots,
        blobs: Blobs,
        *,
        code_path_of: Callable[[str], str],
        keep_graph: Callable[[Blob], str],
        report: Report,
        wake: Callable[[], None],
        listener: Listener,
        share: Share | None = None,
        room: Callable[[], RoomOfExecution] | None = None,
    ) -> None:
        self._share = share
        self._room_of = room
        self._room: RoomOfExecution | None = None
        self._asks: dict[Resources, LocalAsk] = {}
        self._pool = pool
        self._slots = slots
        self._blobs = blobs
        self._code_path_of = code_path_of
        self._keep_graph = keep_graph
        self._report = report
        self._wake = wake
        self._listener = listener
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._queue: deque[RunAttempt] = deque()
        self._stopping: set[str] = set()
        self._asleep: set[str] = set()
        self._code: dict[str, str] = {}
        self._tails: dict[str, LogTail] = {}
        self._tailing: asyncio.Task[None] | None = None
        self._granted = 0
        self._reserved = 0
        self._ahead = 0
        self._hungry = False
        self._seconds: dict[str, float] = {}
        self.fault: BaseException | None = None

    # --- room on the machine ---

    def has_room(self, path: str, task: TaskSpec) -> bool:
        """Whether a node has the cores, memory and GPUs its task requests; if not, it waits, and we are woken."""
        if self._room_of is None:
            return True
        ask = self._asks.get(task.requests)
        if ask is None:
            ask = self._asks[task.requests] = LocalAsk.of(task.requests)
        if not ask:
            return True
        if self._room is None:
            self._room = self._room_of()
        return self._room.has(path, ask)

    def is_waiting_for_room(self, path: str) -> bool:
        """Whether a node waits for room on the machine."""
        return self._room is not None and self._room.is_waiting(path)

    def sweep(self, is_gone: Callable[[str], bool]) -> None:
        """Give back the room of nodes that will not begin."""
        if self._room is not None:
            queued = {request.node for request in self._queue}
            self._room.sweep(lambda path: path not in self._running and path not in queued and is_gone(path))

    # --- slots ---

    def reserve(self, task: str) -> bool:
        """Whether one more attempt, of the task of this name, may be recorded as started now."""
        if self._granted:
            self._granted -= 1
            self._reserved += 1
            return True
        if self._slots.take(self._share):
            self._reserved += 1
            return True
        if len(self._queue) + self._ahead < self._far(task):
            self._ahead += 1
            return True
        self._hungry = True
        self._slots.want(self, self._share)
        return False

    def settle(self) -> None:
        """Give back slots that were granted for attempts which are not there any more."""
        while self._granted:
            self._granted -= 1
            self._slots.give(self._share)

    def _far(self, task: str) -> int:
        """How many attempts may wait for a slot, before one of ``task``; none while its pace is unknown."""
        seconds = self._seconds.get(task)
        if seconds is None or seconds > SHORT_SECONDS:
            return 0
        return min(AHEAD_LIMIT, int(self._slots.size * AHEAD_SECONDS / max(seconds, 1e-4)))

    @property
    def is_supplied(self) -> bool:
        """Whether the slots have work for a while, so that what has ended can be recorded together."""
        return bool(self._queue) and len(self._queue) > self._far(self._queue[0].task.name) // 2

    def offer(self) -> bool:
        """A slot has come free: the next attempt that waits runs, or the scheduler is asked for one."""
        if self._queue:
            self._start(self._queue.popleft())
            if self._queue or self._hungry:
                self._slots.want(self, self._share)
            return True
        if not self._hungry:
            return False
        self._hungry = False
        self._granted += 1
        self._wake()
        return True

    # --- attempts ---

    def launch(self, requests: Iterable[RunAttempt]) -> None:
        """Run attempts that are durably recorded as started, as slots come free."""
        self._queue.extend(requests)
        self._ahead = 0
        while self._reserved:
            self._reserved -= 1
            if self._queue:
                self._start(self._queue.popleft())
            else:
                self._slots.give(self._share)
        while self._queue and self._slots.take(self._share):
            self._start(self._queue.popleft())
        if self._queue:
            self._slots.want(self, self._share)

    def _start(self, request: RunAttempt) -> None:
        if self._room is not None and (gpus := self._room.gpus(request.node)):
            request = request.model_copy(update={"gpus": gpus})
        task = self._running[request.node] = asyncio.create_task(self._attempt(request))
        task.add_done_callback(lambda task: self._never_began(request, task))

    def _never_began(self, request: RunAttempt, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step takes none, not even the one that tells of it."""
        if self._running.get(request.node) is not task:
            return
        self._free(request)
        if request.node in self._stopping:
            self._stopping.discard(request.node)
            self._report(request.node, request.attempt, Killed())

    def stop(self, path: str) -> None:
        """End the attempt of a node; :class:`Killed` is reported when it has."""
        if path in self._stopping:
            return
        for request in self._queue:
            if request.node == path:
                self._queue.remove(request)
                if self._room is not None:
                    self._room.ended(path)
                self._report(path, request.attempt, Killed())
                return
        task = self._running.get(path)
        if task is not None:
            self._stopping.add(path)
            task.cancel()

    def sleeps(self, path: str) -> None:
        """The attempt waits for what it called and leaves its slot to that."""
        if path in self._running and path not in self._asleep:
            self._asleep.add(path)
            if self._room is not None:
                self._room.sleeps(path)
            self._slots.give(self._share)

    def wakes(self, path: str) -> None:
        """What it waited for has come."""
        if path in self._asleep:
            self._asleep.discard(path)
            if self._room is not None:
                self._room.wakes(path)
            self._slots.insist(self._share)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, waits for a slot, or has ended without having been reported."""
        return not self._running and not self._queue and not self._ending

    @property
    def is_asleep(self) -> bool:
        """Whether all that runs waits for what it called."""
        return not self._queue and not self._ending and self._running.keys() <= self._asleep

    async def _attempt(self, request: RunAttempt) -> None:
        task = self._running[request.node]
        try:
            await self._to_its_end(request, task)
        except Exception as error:  # noqa: BLE001 - whatever it is, the scheduler must not wait for this attempt
            self.fault = error
            self._wake()
        finally:
            self._ending.discard(task)
            self._stopping.discard(request.node)

    async def _to_its_end(self, request: RunAttempt, task: asyncio.Task[None]) -> None:
        node, attempt = request.node, request.attempt
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            try:
                if request.task.bundle:
                    request = request.model_copy(update={"code_path": await self._located(request.task.bundle)})
                self._follow(request)
                result = await self._pool.run(request, lambda message: self._report(node, attempt, message))
            finally:
                # The slot is free for others while this one is put on record.
                self._free(request, loop.time() - began)
                self._ending.add(task)
            log = await self._kept(request) if result.printed else None
            spec = ""
            if isinstance(result.message, GraphProduced):
                graph = result.message.graph
                spec = await patiently(lambda: asyncio.to_thread(self._keep_graph, graph))
            self._report(node, attempt, Ended(result, log, spec))
        except asyncio.CancelledError:
            if node not in self._stopping:
                raise
            self._report(node, attempt, Killed(await self._kept(request)))

    def _free(self, request: RunAttempt, seconds: float | None = None) -> None:
        node, task = request.node, request.task.name
        if seconds is not None:
            self._seconds[task] = 0.9 * self._seconds.get(task, seconds) + 0.1 * seconds
        del self._running[node]
        if self._room is not None:
            self._room.ended(node)
        if node in self._asleep:
            self._asleep.discard(node)
        else:
            self._slots.give(self._share)

    async def _located(self, bundle: str) -> str:
        if bundle not in self._code:
            self._code[bundle] = await asyncio.to_thread(self._code_path_of, bundle)
        return self._code[bundle]

    # --- what they print ---

    async def _kept(self, request: RunAttempt) -> Blob | None:
        path = Path(request.log_path)
        self._show(request.node)
        tail = self._tails.pop(request.node, None)
        if tail is not None:
            tail.close()
        return await asyncio.to_thread(kept_log, path, self._blobs)

    def _follow(self, request: RunAttempt) -> None:
        if isinstance(self._listener, Silent) or not request.log_path:
            return
        self._tails[request.node] = LogTail(Path(request.log_path))
        if self._tailing is None:
            self._tailing = asyncio.create_task(self._tail())

    async def _tail(self) -> None:
        while True:
            await asyncio.sleep(TAIL_SECONDS)
            for node in list(self._tails):
                if node in self._running:
                    self._show(node)
                else:
                    self._tails.pop(node).close()

    def _show(self, node: str) -> None:
        tail = self._tails.get(node)
        text = tail.read() if tail is not None else ""
        if text:
            self._listener.output(node, "stdout", text)

    async def close(self) -> None:
        """End what runs; nothing is reported any more."""
        self._slots.leave(self)
        tasks = [*self._running.values(), *self._ending, *([self._tailing] if self._tailing is not None else [])]
        self._stopping.clear()
        self._queue.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.settle()
        while self._reserved:
            self._reserved -= 1
            self._slots.give(self._share)
        if self._room is not None:
            self._room.close()
        for tail in self._tails.values():
            tail.close()


def kept_log(path: Path, blobs: Blobs) -> Blob | None:
    """Keep what an attempt printed as a blob, ``None`` where it is nothing; the file stays until that is recorded."""
    try:
        data = kept_text(path)
    except FileNotFoundError:
        return None
    return Blob.of(blobs.put(data)) if data else None


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files that need not be there."""
    for path in paths:
        path.unlink(missing_ok=True)
