"""The workers of an engine: warm processes by setting, for all its executions."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from flytepath.engine.local.processors import Processors, cores_of
from flytepath.engine.local.watch import MemoryWatch
from flytepath.engine.local.workers import TERMINATION_VARIABLE, WorkerProcess, WorkerSetting
from flytepath.engine.ports import AttemptResult, OnReport
from flytepath.errors import ConfigError, FlytePathError
from flytepath.model.events import ErrorRecord
from flytepath.model.messages import AttemptErred, CallEnded, RunAttempt
from flytepath.model.task import TaskSpec

#: How long a process has between SIGTERM and SIGKILL, unless the environment says otherwise.
TERMINATE_SECONDS: Final = 5.0

_Key = tuple[str, str, int]


class WorkerPool:
    """Warm workers, each for one attempt at a time, kept apart by project, domain, code and interpreter.

    How many attempts run at once is for the caller to say, who knows those that only wait for what they called. At most
    ``slots`` idle workers are kept, over all settings: the one that was not used for longest goes first.

    Args:
        home: the home folder.
        slots: how many attempts run at once, as a rule.
        blob_root: where blobs lie.
        python_of: gives the interpreter of a task that asks for an environment of its own; without it every task runs
            on this one.
        on_close: called when the pool has ended its workers, to let go of what ``python_of`` holds.
        terminate_seconds: between SIGTERM and SIGKILL; by default what ``FLYTEPATH_TERMINATION_SECONDS`` says, or 5.

    Raises:
        ConfigError: the variable is no number of seconds.
    """

    def __init__(
        self,
        *,
        home: Path,
        slots: int,
        blob_root: str,
        python_of: Callable[[TaskSpec], Awaitable[str]] | None = None,
        on_close: Callable[[], Awaitable[None]] | None = None,
        terminate_seconds: float | None = None,
    ) -> None:
        self._home = home
        self._slots = slots
        self._blob_root = blob_root
        self._python_of = python_of
        self._on_close = on_close
        self._terminate_seconds = _termination_seconds() if terminate_seconds is None else terminate_seconds
        self._watch = MemoryWatch()
        self._processors = Processors()
        #: Idle workers, the one used last at the end.
        self._idle: dict[WorkerProcess, None] = {}
        self._all: set[WorkerProcess] = set()
        self._busy: dict[_Key, WorkerProcess] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, request: RunAttempt, on_report: OnReport) -> AttemptResult:
        """Run an attempt on an idle worker, or on a new one; cancelled, it ends the attempt first."""
        try:
            python = await self._python(request.task)
        except FlytePathError as error:
            return _refused(error, request, kind=getattr(error, "kind", "user"))
        setting = WorkerSetting(request.project, request.domain, request.code_path, python, request.gpus)
        worker = self._taken(setting)
        if worker is not None:
            result = await self._run_on(worker, request, on_report)
            if not worker.never_began:
                return result
        # Nobody was idle, or who was had just died, and the attempt has not begun.
        try:
            worker = await self._started(setting)
        except FlytePathError as error:
            # In an environment of the task's own it is the task's packages that are in the way.
            own = python != sys.executable
            return _refused(error, request, kind="user" if own else "system", recoverable=not own)
        return await self._run_on(worker, request, on_report)

    async def _run_on(self, worker: WorkerProcess, request: RunAttempt, on_report: OnReport) -> AttemptResult:
        key, task = (request.execution, request.node, request.attempt), request.task
        processors = self._processors.take(cores_of(task))
        limit = task.limits.mem_bytes if task.limits.mem is not None else None
        watched = None if limit is None else self._watch.add(worker.pid, limit, partial(worker.over_memory, limit))
        self._busy[key] = worker
        try:
            result = await worker.run(request, on_report, processors)
        except asyncio.CancelledError:
            await self._ended(worker)
            raise
        finally:
            if self._busy.get(key) is worker:
                del self._busy[key]
            self._processors.give_back(processors)
            if watched is not None:
                self._watch.remove(watched)
            self._give_back(worker)
        if not worker.is_usable:  # a worker that ends well has done so itself
            await asyncio.to_thread(shutil.rmtree, request.working_directory, ignore_errors=True)
        return result if watched is None else _with_peak(result, watched.peak)

    async def _python(self, task: TaskSpec) -> str:
        if task.environment is None or self._python_of is None:
            return sys.executable
        return await self._python_of(task)

    async def tell(self, execution: str, node: str, attempt: int, message: CallEnded) -> None:
        """Pass a message on to a running attempt."""
        worker = self._busy.get((execution, node, attempt))
        if worker is not None:
            worker.tell(message)

    # --- warm workers ---

    @property
    def idle(self) -> tuple[WorkerProcess, ...]:
        """The workers that wait for an attempt, the one used last at the end."""
        return tuple(self._idle)

    def _taken(self, setting: WorkerSetting) -> WorkerProcess | None:
        for worker in reversed(self._idle):
            if worker.setting == setting and worker.is_usable:
                del self._idle[worker]
                return worker
        return None

    async def _started(self, setting: WorkerSetting) -> WorkerProcess:
        worker = await WorkerProcess.start(
            setting, home=self._home, blob_root=self._blob_root, terminate_seconds=self._terminate_seconds
        )
        self._all.add(worker)
        return worker

    def _give_back(self, worker: WorkerProcess) -> None:
        # An idle worker could still hold memory of its GPUs, which are others' by now.
        if worker.is_usable and not worker.setting.gpus:
            self._idle[worker] = None
        else:
            self._let_go(worker)
        for idle in [other for other in self._idle if not other.is_usable]:
            self._let_go(idle)
        while len(self._idle) > self._slots:
            self._let_go(next(iter(self._idle)))

    def _let_go(self, worker: WorkerProcess) -> None:
        self._idle.pop(worker, None)
        if worker.gone.is_set():
            self._all.discard(worker)
            return
        ending = asyncio.get_running_loop().create_task(self._close(worker))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _close(self, worker: WorkerProcess) -> None:
        await worker.close()
        self._all.discard(worker)

    async def _ended(self, worker: WorkerProcess) -> None:
        worker.end()
        await asyncio.shield(worker.gone.wait())

    async def close(self) -> None:
        """End all workers; those in the middle of an attempt are made to."""
        ending = [worker.close() if worker in self._idle else worker.kill() for worker in self._all]
        await asyncio.gather(*ending, *self._ending, self._watch.close(), return_exceptions=True)
        self._idle.clear()
        self._all.clear()
        if self._on_close is not None:
            await self._on_close()


def _refused(
    error: FlytePathError, request: RunAttempt, *, kind: str, recoverable: bool | None = None
) -> AttemptResult:
    """An attempt that has no worker."""
    if recoverable is None:
        recoverable = bool(getattr(error, "recoverable", False))
    record = ErrorRecord.of(error, place=request.task.name, kind=kind, recoverable=recoverable)
    return AttemptResult(AttemptErred(error=record))


def _with_peak(result: AttemptResult, peak: int) -> AttemptResult:
    """The most that was seen of the whole group counts, where the process itself knows of less."""
    usage = result.message.usage
    if peak <= usage.peak_memory_bytes:
        return result
    usage = usage.model_copy(update={"peak_memory_bytes": peak})
    return AttemptResult(result.message.model_copy(update={"usage": usage}), result.printed)


def _termination_seconds() -> float:
    text = os.environ.get(TERMINATION_VARIABLE, "")
    try:
        seconds = float(text) if text else TERMINATE_SECONDS
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ConfigError("not a number of seconds", place=TERMINATION_VARIABLE, expected="a number", actual=text)
    return seconds
