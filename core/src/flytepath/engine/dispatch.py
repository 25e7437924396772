"""Local workers: warm processes that run attempts, one each, watched and killed as a group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from flytepath.errors import WorkerError
from flytepath.model.events import ErrorRecord
from flytepath.model.messages import (
    FRAME_LIMIT,
    FROM_WORKER,
    PROTOCOL_VERSION,
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
from flytepath.model.task import Record

#: What an attempt printed is kept up to this many bytes; the rest is counted and dropped.
LOG_LIMIT = 16 * 1024 * 1024
#: How long a process has between SIGTERM and SIGKILL, and a new one to say hello.
TERMINATE_SECONDS = 3.0
HELLO_SECONDS = 120.0

#: Told of decks, boundary checks and calls while an attempt runs.
OnReport = Callable[[DeckReport | BoundaryResult | CallRequested], None]
#: Told of printed text: stream, text.
OnOutput = Callable[[str, str], None]


@dataclass(slots=True)
class _Stream:
    """One output stream of a worker, cut into attempts at the marks."""

    name: str
    pending: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    dropped: int = 0
    mark: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    on_output: OnOutput | None = None

    def begin(self, mark: bytes, on_output: OnOutput | None) -> None:
        self.mark, self.on_output, self.dropped = mark, on_output, 0
        self.kept.clear()
        self.ended.clear()

    def feed(self, data: bytes) -> None:
        self.pending += data
        at = self.pending.find(self.mark) if self.mark else -1
        if at >= 0:
            self._keep(bytes(self.pending[:at]))
            del self.pending[: at + len(self.mark)]
            self.ended.set()
            return
        safe = self.pending.rfind(b"\0") if b"\0" in self.pending[-len(self.mark) or None :] else len(self.pending)
        self._keep(bytes(self.pending[:safe]))
        del self.pending[:safe]

    def close(self) -> None:
        self._keep(bytes(self.pending))
        self.pending.clear()
        self.ended.set()

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        room = max(0, LOG_LIMIT - len(self.kept))
        self.kept += data[:room]
        self.dropped += max(0, len(data) - room)
        if self.on_output is not None:
            self.on_output(self.name, data.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended, and what it printed."""

    message: AttemptSucceeded | GraphProduced | AttemptErred
    log: bytes


class AttemptPool(Protocol):
    """Whatever runs attempts."""

    async def run(
        self, request: RunAttempt, timeout: float | None, on_report: OnReport, on_output: OnOutput | None
    ) -> AttemptResult:
        """Run an attempt to its end, whatever that is."""

    async def tell(self, node: str, attempt: int, message: CallEnded) -> None:
        """Pass a message on to a running attempt; one that has ended needs none."""

    async def close(self) -> None:
        """End everything."""


@dataclass(frozen=True, slots=True)
class WorkerSetting:
    """What all attempts of a worker share; a warm worker is never used under another."""

    project: str
    domain: str
    code_path: str
    blob_root: str
    home: str = ""
    python: str = sys.executable


class LocalWorker:
    """One worker process and its pipes."""

    def __init__(self, process: Process, messages: asyncio.StreamReader, pipe: asyncio.ReadTransport) -> None:
        self._process = process
        self._messages = messages
        self._pipe = pipe
        self._streams = (_Stream("stdout"), _Stream("stderr"))
        self._pumps = [
            asyncio.create_task(self._pump(reader, stream))
            for reader, stream in zip((process.stdout, process.stderr), self._streams, strict=True)
            if reader is not None
        ]

    @classmethod
    async def start(cls, setting: WorkerSetting) -> LocalWorker:
        """Start a process and shake hands.

        Raises:
            WorkerError: it did not come up; with what it printed.
        """
        reading, writing = os.pipe()
        command = [setting.python, "-P", "-m", "flytepath.worker", "--messages", str(writing)]
        messages = asyncio.StreamReader(limit=FRAME_LIMIT)
        pipe: asyncio.ReadTransport | None = None
        try:
            # The pipe comes first: from the process's first moment on, there is somebody who ends it.
            pipe = await _connected(reading, messages)
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, pass_fds=(writing,), start_new_session=True
            )
        except BaseException as error:
            if pipe is not None:
                pipe.close()
            if isinstance(error, OSError):
                raise WorkerError("a worker cannot be started", place=setting.python, actual=str(error)) from error
            raise
        finally:
            os.close(writing)
        worker = cls(process, messages, pipe)
        try:
            await worker._shake_hands(setting)
        except BaseException:  # a cancelled start must not leave a process behind
            await worker.kill()
            raise
        return worker

    async def _shake_hands(self, setting: WorkerSetting) -> None:
        try:
            hello = await asyncio.wait_for(self._receive(), HELLO_SECONDS)
        except (WorkerError, TimeoutError) as error:
            await self.kill()  # then all it printed is here
            raise WorkerError(
                "a worker did not come up",
                place=setting.python,
                actual=self._printed().decode("utf-8", "replace").strip()[-2000:] or str(error),
                hint="the same interpreter must have flytepath installed",
            ) from error
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL_VERSION:
            raise WorkerError(
                "a worker speaks another protocol", expected=str(PROTOCOL_VERSION), actual=repr(hello)[:200]
            )
        await self._send(
            Welcome(
                project=setting.project,
                domain=setting.domain,
                code_path=setting.code_path,
                blob_root=setting.blob_root,
                home=setting.home,
            )
        )

    async def run(
        self, request: RunAttempt, timeout: float | None, on_report: OnReport, on_output: OnOutput | None = None
    ) -> AttemptResult:
        """Run one attempt to its end, whatever that is.

        A process that dies is a system failure that names the signal; one that takes longer than ``timeout`` seconds
        is killed. Both leave this worker unusable: see :attr:`is_alive`.
        """
        mark = end_of_output(request.execution, request.node, request.attempt)
        for stream in self._streams:
            stream.begin(mark, on_output)
        try:
            async with asyncio.timeout(timeout):
                await self._send(request)
                message: AttemptSucceeded | GraphProduced | AttemptErred = await self._result(on_report)
                for stream in self._streams:
                    await stream.ended.wait()
        except TimeoutError:
            await self.kill()
            message = AttemptErred(error=timeout_record(request.task.name, timeout or 0))
        except WorkerError as error:
            await self.kill()
            message = AttemptErred(error=self._death(request.task.name, error))
        return AttemptResult(message, self._printed())

    async def _result(self, on_report: OnReport) -> AttemptSucceeded | GraphProduced | AttemptErred:
        while True:
            message = await self._receive()
            if isinstance(message, AttemptSucceeded | GraphProduced | AttemptErred):
                return message
            if isinstance(message, DeckReport | BoundaryResult | CallRequested):
                on_report(message)

    async def tell(self, message: CallEnded) -> None:
        """Pass a message on to the attempt that runs; a worker that is gone is noticed by :meth:`run`."""
        with contextlib.suppress(WorkerError):
            await self._send(message)

    def _death(self, task: str, error: WorkerError) -> ErrorRecord:
        status = self._process.returncode
        hint = None
        if status is None:
            message = error.message
        elif status < 0:
            name = signal.Signals(-status).name
            hint = "the machine may be short of memory" if name == "SIGKILL" else None
            message = f"the worker was killed by {name}"
        else:
            message = f"the worker ended with exit status {status}"
        return ErrorRecord(kind="system", code="FP-WORKER", message=message, place=task, hint=hint)

    def _printed(self) -> bytes:
        parts = [bytes(stream.kept) for stream in self._streams]
        dropped = sum(stream.dropped for stream in self._streams)
        note = f"\n[{dropped} further bytes were not kept]\n".encode() if dropped else b""
        return b"".join(parts) + note

    async def _send(self, message: Record) -> None:
        if self._process.stdin is None:
            raise WorkerError("the worker has no input")
        try:
            self._process.stdin.write(frame(message))
            await self._process.stdin.drain()
        except (ConnectionError, ValueError) as error:
            raise WorkerError("the worker cannot be spoken to", actual=str(error)) from error

    async def _receive(self) -> Record:
        try:
            size = int.from_bytes(await self._messages.readexactly(4), "big")
            if size > FRAME_LIMIT:
                raise WorkerError(f"a message of {size} bytes is over the limit of {FRAME_LIMIT}")
            return FROM_WORKER.validate_json(await self._messages.readexactly(size))
        except asyncio.IncompleteReadError as error:
            raise WorkerError("the worker closed its messages") from error

    async def _pump(self, reader: asyncio.StreamReader, stream: _Stream) -> None:
        while data := await reader.read(65536):
            stream.feed(data)
        stream.close()

    @property
    def is_alive(self) -> bool:
        """Whether another attempt can run here."""
        return self._process.returncode is None

    async def kill(self) -> None:
        """End the process and everything in its group: asked first, then made to."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), TERMINATE_SECONDS)
        self._signal(signal.SIGKILL)
        await self._process.wait()
        await self._drained()

    async def _drained(self) -> None:
        await asyncio.wait(self._pumps, timeout=TERMINATE_SECONDS)
        self._pipe.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def close(self) -> None:
        """Let an idle worker end by itself."""
        with contextlib.suppress(WorkerError):
            await self._send(Shutdown())
        try:
            await asyncio.wait_for(self._process.wait(), TERMINATE_SECONDS)
        except TimeoutError:
            await self.kill()
            return
        self._signal(signal.SIGKILL)  # what a task left running in the group
        await self._drained()


async def _connected(descriptor: int, reader: asyncio.StreamReader) -> asyncio.ReadTransport:
    """A transport that feeds ``reader`` from ``descriptor`` and owns it; closed if this is cancelled."""
    file = os.fdopen(descriptor, "rb")
    try:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    except BaseException:
        file.close()
        raise
    return transport


def timeout_record(task: str, seconds: float) -> ErrorRecord:
    """The error of an attempt that took too long."""
    return ErrorRecord(
        kind="timeout",
        code="FP-TIMEOUT",
        message=f"the attempt took longer than its timeout of {seconds:g} s and was ended",
        place=task,
        hint="raise timeout= on the task, or make it faster",
    )


class WorkerPool:
    """Workers under one setting, each for one attempt at a time.

    How many attempts run at once is for the scheduler to say, which knows those that only wait for what they called.
    At most ``slots`` idle workers are kept warm.

    Args:
        setting: what attempts share.
        slots: how many attempts run at once, as a rule.
        code_path_of: where the code of a bundle lies, for tasks that were referred to and bring their own.
    """

    def __init__(self, setting: WorkerSetting, slots: int, code_path_of: Callable[[str], str] | None = None) -> None:
        self._setting = setting
        self._slots = slots
        self._code_path_of = code_path_of
        self._idle: list[tuple[WorkerSetting, LocalWorker]] = []
        self._all: set[LocalWorker] = set()
        self._busy: dict[tuple[str, int], LocalWorker] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def run(
        self, request: RunAttempt, timeout: float | None, on_report: OnReport, on_output: OnOutput | None
    ) -> AttemptResult:
        """Run an attempt on an idle worker, or on a new one."""
        try:
            setting = self._setting_of(request)
            worker = await self._take(setting)
        except WorkerError as error:
            record = ErrorRecord.of(error, kind="system")
            return AttemptResult(AttemptErred(error=record), b"")
        self._busy[request.node, request.attempt] = worker
        try:
            return await worker.run(request, timeout, on_report, on_output)
        except asyncio.CancelledError:
            await worker.kill()
            raise
        finally:
            del self._busy[request.node, request.attempt]
            self._give_back(setting, worker)

    async def tell(self, node: str, attempt: int, message: CallEnded) -> None:
        """Pass a message on to a running attempt."""
        worker = self._busy.get((node, attempt))
        if worker is not None:
            await worker.tell(message)

    def _setting_of(self, request: RunAttempt) -> WorkerSetting:
        if not request.task.bundle or self._code_path_of is None:
            return self._setting
        return replace(self._setting, code_path=self._code_path_of(request.task.bundle))

    async def _take(self, setting: WorkerSetting) -> LocalWorker:
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place][0] == setting:
                _, worker = self._idle.pop(place)
                if worker.is_alive:
                    return worker
                self._all.discard(worker)
        worker = await LocalWorker.start(setting)
        self._all.add(worker)
        return worker

    def _give_back(self, setting: WorkerSetting, worker: LocalWorker) -> None:
        if worker.is_alive and len(self._idle) < self._slots:
            self._idle.append((setting, worker))
            return
        self._all.discard(worker)
        if worker.is_alive:
            closing = asyncio.create_task(worker.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End all workers; those in the middle of an attempt are killed."""
        idle = {worker for _, worker in self._idle}
        ending = [w.close() if w in idle else w.kill() for w in self._all]
        await asyncio.gather(*ending, *self._closing, return_exceptions=True)
        self._idle.clear()
        self._all.clear()
