"""One worker process: started, spoken to, given one attempt at a time, and ended as a group.

A worker is ``<python> -m flytepath.worker``, a session and process group of its own. Messages go over a socket pair;
standard output and error are one file of its own, which becomes the log of an attempt that printed something. So one
that prints nothing, as most do, leaves the disk alone. A file has two names while an attempt of some length runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flytepath.engine.local.deaths import (
    closed_record,
    death_record,
    last_lines,
    memory_record,
    oom_kills,
    size_of,
    timeout_record,
)
from flytepath.engine.local.frames import FrameReader
from flytepath.engine.local.output import is_written
from flytepath.engine.ports import AttemptResult, OnReport
from flytepath.errors import WorkerError
from flytepath.model.events import ErrorRecord
from flytepath.model.messages import (
    PROTOCOL_VERSION,
    AttemptEnded,
    AttemptErred,
    CallEnded,
    Hello,
    RunAttempt,
    Shutdown,
    StartAttempt,
    TaskGiven,
    Welcome,
    frame,
)
from flytepath.model.task import Record, TaskSpec

#: How long a new process has to say hello.
HELLO_SECONDS: Final = 120.0
#: The variable that tells a worker how long it has between SIGTERM and SIGKILL.
TERMINATION_VARIABLE: Final = "FLYTEPATH_TERMINATION_SECONDS"
#: How long the connection may be closed before the process has ended.
_GRACE_SECONDS: Final = 1.0
#: How long after the end of the process its last message may take to be read.
_LAST_WORDS_SECONDS: Final = 0.05
#: How long what filters the output of a dead worker may take to write the rest of it, and how often it is looked at.
_FILTER_SECONDS: Final = 5.0
_FILTER_LOOKS: Final = 0.02
#: An attempt that runs for longer than so has its log where it was asked for, though nothing may be in it yet.
_SHOWN_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class WorkerSetting:
    """What all attempts of a worker share; a warm worker is never used under another."""

    project: str
    domain: str
    code_path: str
    python: str = sys.executable
    gpus: tuple[str, ...] = ()


class _Process(asyncio.SubprocessProtocol):
    def __init__(self, on_exit: Callable[[], None]) -> None:
        self._on_exit = on_exit

    def process_exited(self) -> None:
        self._on_exit()


class WorkerProcess:
    """A process and the connection to it. Made by :meth:`start`."""

    def __init__(self, setting: WorkerSetting, output: Path, terminate_seconds: float) -> None:
        self.setting = setting
        self._output = output
        self._log = ""
        self._terminate_seconds = terminate_seconds
        self._loop = asyncio.get_running_loop()
        self._oom_kills = oom_kills()
        self._process: asyncio.SubprocessTransport | None = None
        self._connection: asyncio.Transport | None = None
        self._given: dict[str, TaskSpec] = {}
        self._hello: asyncio.Future[Any] = self._loop.create_future()
        self._ended: asyncio.Future[AttemptEnded | None] | None = None
        self._on_report: OnReport | None = None
        self._task_name = ""
        self._first_words = ""
        self._why: ErrorRecord | None = None
        self._broken: Exception | None = None
        self._was_told = False
        self._timers: list[asyncio.TimerHandle] = []
        self.gone = asyncio.Event()
        self.is_leaving = False
        #: The process ended before it took up the attempt that it was given.
        self.never_began = False

    # --- its beginning ---

    @classmethod
    async def start(
        cls, setting: WorkerSetting, *, home: Path, blob_root: str, terminate_seconds: float
    ) -> WorkerProcess:
        """Start a process and shake hands.

        Raises:
            WorkerError: it did not come up; with what it printed.
        """
        worker = cls(setting, _made(home / "logs" / "workers"), terminate_seconds)
        try:
            await worker._launch()
            await worker._shake_hands(blob_root, str(home))
        except BaseException:  # a cancelled start must not leave a process behind
            worker.end(at_once=True)
            if worker._process is not None:
                await asyncio.shield(worker.gone.wait())
            worker._close()
            raise
        return worker

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        output = self._output.open("ab", buffering=0)
        command = [self.setting.python, "-P", "-m", "flytepath.worker", "--messages", str(theirs.fileno())]
        environment = {**os.environ, TERMINATION_VARIABLE: f"{self._terminate_seconds:g}"}
        if self.setting.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.setting.gpus)
        try:
            # The connection comes first: from the process's first moment on, there is somebody who ends it.
            transport, _ = await self._loop.create_unix_connection(
                lambda: FrameReader(self._receive, self._lost), sock=ours
            )
            self._connection = transport
            starting = self._loop.subprocess_exec(
                lambda: _Process(self._exited),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=environment,
            )
            process, _ = await starting
            self._process = process
        except OSError as error:
            raise WorkerError("a worker cannot be started", place=self.setting.python, actual=str(error)) from error
        finally:
            theirs.close()
            output.close()
            if self._connection is None:
                ours.close()

    async def _shake_hands(self, blob_root: str, home: str) -> None:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await self._hello
        except (WorkerError, TimeoutError) as error:
            self.end(at_once=True)
            await self.gone.wait()  # then all it printed is there
            raise WorkerError(
                "a worker did not come up",
                place=self.setting.python,
                actual=self._first_words or str(error) or f"silent for {HELLO_SECONDS:g} s",
                hint="the same interpreter must have flytepath installed",
            ) from error
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL_VERSION:
            raise WorkerError(
                "a worker speaks another protocol", expected=str(PROTOCOL_VERSION), actual=repr(hello)[:200]
            )
        setting = self.setting
        self._send(
            Welcome(
                project=setting.project,
                domain=setting.domain,
                code_path=setting.code_path,
                blob_root=blob_root,
                home=home,
                output=str(self._output),
            )
        )

    # --- attempts ---

    @property
    def pid(self) -> int:
        """Its id, which is that of its group too."""
        return 0 if self._process is None else self._process.get_pid()

    @property
    def is_usable(self) -> bool:
        """Whether another attempt can run here, as far as is known."""
        return not self.is_leaving and not self.gone.is_set()

    async def run(self, request: RunAttempt, on_report: OnReport, processors: tuple[int, ...] = ()) -> AttemptResult:
        """Run one attempt to its end, whatever that is.

        A process that dies is a failure of the system that names the signal, one that takes longer than its task's
        timeout is ended. Both leave this worker unusable: see :attr:`is_usable`.
        """
        task = request.task
        try:
            frames = self._frames(request, processors)
        except ValueError as error:  # over the limit of a frame
            record = ErrorRecord(kind="user", code="FP-WORKER", message=str(error), place=task.name, recoverable=False)
            return AttemptResult(AttemptErred(error=record))
        self._task_name, self._on_report, self._log = task.name, on_report, request.log_path
        self._was_told = False
        self._ended = self._loop.create_future()
        timers = self._timers_of(request)
        try:
            self._write(frames)
            ended = await self._ended
        finally:
            self._ended = self._on_report = None
            for timer in timers:
                timer.cancel()
        if ended is not None:
            self._log = ""
            if not ended.printed and timers and timers[0].when() <= self._loop.time():
                size_of(request.log_path)  # it was shown, and there is nothing in it
            return AttemptResult(ended.outcome, ended.printed)
        # Who closes a connection with something unread in it resets it.
        self.never_began = self._why is None and isinstance(self._broken, ConnectionError) and not self._was_told
        return AttemptResult(AttemptErred(error=self._failure(request)), size_of(request.log_path))

    def _frames(self, request: RunAttempt, processors: tuple[int, ...]) -> bytes:
        """The message that starts the attempt, after its task where the worker does not know that."""
        start, task = frame(StartAttempt.of(request, processors)), request.task
        known = self._given.get(task.name)
        if known is task or known == task:
            return start
        given = frame(TaskGiven(task=task))
        self._given[task.name] = task
        return given + start

    def _timers_of(self, request: RunAttempt) -> list[asyncio.TimerHandle]:
        """What happens while the attempt runs: its log is shown, then its time is over."""
        timers = []
        if request.log_path:
            timers.append(self._loop.call_later(_SHOWN_SECONDS, self._show))
        seconds = request.task.timeout_seconds
        if seconds is not None:
            why = timeout_record(request.task.name, seconds)
            timers.append(self._loop.call_later(seconds, lambda: self.end(why)))
        return timers

    def _show(self) -> None:
        """Let what is printed be read where the log was asked for, while it is printed."""
        # The attempt may have ended just now, or the disk takes no second name: then it is read at the end.
        with suppress(OSError):
            Path(self._log).parent.mkdir(parents=True, exist_ok=True)
            os.link(self._output, self._log)

    def _keep_log(self) -> None:
        """The log of an attempt that could not keep it itself, because the process has ended."""
        if self._log and size_of(self._output) and not os.path.exists(self._log):  # noqa: PTH110
            Path(self._log).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self._output, self._log)
        self._log = ""

    def over_memory(self, limit: int, used: int) -> None:
        """The attempt that runs uses more than it may: end it before the machine suffers."""
        self.end(memory_record(self._task_name, limit, used), at_once=True)

    def _failure(self, request: RunAttempt) -> ErrorRecord:
        """Why the attempt ended without saying so itself."""
        printed = last_lines(request.log_path) if request.log_path else ""
        if self._why is not None:
            return self._why.model_copy(update={"traceback": printed}) if printed else self._why
        if isinstance(self._broken, WorkerError):
            return ErrorRecord.of(self._broken, kind="system", place=request.task.name, traceback=printed)
        status = None if self._process is None else self._process.get_returncode()
        return death_record(request.task.name, status or 0, oom_kills=oom_kills() - self._oom_kills, printed=printed)

    def tell(self, message: CallEnded) -> None:
        """Pass a message on to the attempt that runs; a worker that is gone is noticed by :meth:`run`."""
        self._was_told = True
        self._send(message)

    # --- messages ---

    def _send(self, message: Record) -> None:
        self._write(frame(message))

    def _write(self, frames: bytes) -> None:
        if self._connection is not None and not self._connection.is_closing():
            self._connection.write(frames)

    def _receive(self, message: Any) -> None:
        if isinstance(message, AttemptEnded):
            self.is_leaving = self.is_leaving or message.leaving
            if self._why is None:  # else it was ended, and what it says of it comes too late
                self._settle(message)
        elif isinstance(message, Hello):
            if not self._hello.done():
                self._hello.set_result(message)
        elif self._on_report is not None:
            self._on_report(message)

    def _settle(self, ended: AttemptEnded | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(ended)

    # --- its end ---

    def _lost(self, error: Exception | None) -> None:
        """No message can come any more: the process ends, or the task has closed what is not its own."""
        self._broken = error
        self.is_leaving = True
        if isinstance(error, WorkerError):
            self.end(at_once=True)
        elif not self.gone.is_set():
            self._later(_GRACE_SECONDS, lambda: self.end(closed_record(self._task_name), at_once=True))

    def _exited(self) -> None:
        self._signal(signal.SIGKILL)  # whatever is left of the group
        self._cancel_timers()
        self.is_leaving = True
        if not self._hello.done():
            self._first_words = last_lines(self._output).strip()
            status = None if self._process is None else self._process.get_returncode()
            self._hello.set_exception(WorkerError(f"the worker ended with exit status {status}"))
            self._hello.exception()  # nobody may be waiting
        self._loop.call_later(_LAST_WORDS_SECONDS if self._ended is not None and self._why is None else 0, self._gone)

    def _gone(self, waited: float = 0.0) -> None:
        if waited < _FILTER_SECONDS and is_written(self._output):
            self._loop.call_later(_FILTER_LOOKS, self._gone, waited + _FILTER_LOOKS)
            return
        self.gone.set()
        try:
            self._keep_log()
        finally:
            self._settle(None)
        self._close()

    def _close(self) -> None:
        self._cancel_timers()
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.close()
        if self.gone.is_set() or self._process is None:
            self._output.unlink(missing_ok=True)

    def end(self, why: ErrorRecord | None = None, *, at_once: bool = False) -> None:
        """Make the process and its group end: asked first, unless ``at_once``, then made to.

        Args:
            why: the error of the attempt that runs.
        """
        self.is_leaving = True
        if self._why is None:
            self._why = why
        if self.gone.is_set():
            return
        if at_once:
            self._signal(signal.SIGKILL)
            return
        self._signal(signal.SIGTERM)
        self._later(self._terminate_seconds, lambda: self._signal(signal.SIGKILL))

    async def kill(self) -> None:
        """End it, and wait until it is gone."""
        self.end()
        await self.gone.wait()

    async def close(self) -> None:
        """Let an idle worker end by itself, or else make it."""
        self.is_leaving = True
        self._send(Shutdown())
        self._later(self._terminate_seconds, lambda: self.end(at_once=True))
        await self.gone.wait()

    def _signal(self, number: int) -> None:
        if self.pid and not self.gone.is_set():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, do))

    def _cancel_timers(self) -> None:
        while self._timers:
            self._timers.pop().cancel()


def _made(folder: Path) -> Path:
    """A new file in ``folder``.

    Raises:
        WorkerError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(".log", f"{os.getpid()}-", folder)
    except OSError as error:
        raise WorkerError(
            "the folder of the workers' output cannot be written", place=str(folder), actual=str(error)
        ) from error
    os.close(descriptor)
    return Path(path)
