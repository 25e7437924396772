"""Commands that tasks run: their output passed on while it comes, their failure told, nothing left running."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from flytepath.errors import TaskFailedError

#: How much of each stream is kept, and how much of it an error shows.
_KEPT: Final = 1024 * 1024
_SHOWN_LINES: Final = 20
_SHOWN_LETTERS: Final = 4000
#: How long the streams of a command that has ended may stay open, because a child of it still holds them.
_GRACE_SECONDS: Final = 0.5


class ProcessFailedError(TaskFailedError):
    """A command that a task ran ended with another status than 0, or could not be started."""

    code = "FP-PROCESS-FAILED"


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """What a command left behind; of each stream the last mebibyte.

    Args:
        returncode: its exit status; a negative number is the signal that ended it.
        output, error: what it wrote to its standard output and standard error.
    """

    returncode: int
    output: str
    error: str


def run_process(
    argv: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    own_group: bool,
    quiet: bool = False,
) -> ProcessResult:
    """Run ``argv`` in ``folder`` to its end, passing on what it prints.

    Args:
        argv: the command and its arguments.
        folder: its working directory.
        env: the whole environment; by default that of this process.
        own_group: give it a process group of its own, and kill what is left of that when it ends or this call is
            interrupted. Inside a worker it belongs to the worker's group, which the engine kills as a whole.
        quiet: keep what it prints, and do not pass it on.

    Raises:
        ProcessFailedError: it cannot be started.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=folder,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0 if own_group else None,
        )
    except (OSError, ValueError) as error:
        raise ProcessFailedError(
            f"{argv[0]} cannot be started: {error}",
            expected="an executable of the machine that runs the task",
            actual=argv[0],
        ) from error
    pumps = [
        _Pump(process.stdout, None if quiet else sys.stdout),
        _Pump(process.stderr, None if quiet else sys.stderr),
    ]
    try:
        status = process.wait()
    finally:
        _end(process, own_group)
        for pump in pumps:
            pump.stop()
    return ProcessResult(status, *(pump.text for pump in pumps))


def _end(process: subprocess.Popen[bytes], own_group: bool) -> None:
    """Kill the command where it still runs, and its children where they are ours to kill."""
    if own_group:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # Nothing of the group is left, the usual case. macOS says so with the second.
            return
        finally:
            process.wait()
    elif process.poll() is None:
        process.kill()
        process.wait()


def failure(what: str, result: ProcessResult, place: str) -> ProcessFailedError:
    """The error of a command that did not end with status 0."""
    tail = "\n".join(result.error.rstrip().splitlines()[-_SHOWN_LINES:])[-_SHOWN_LETTERS:]
    said = f", saying:\n{tail}" if tail else ", saying nothing on its standard error"
    return ProcessFailedError(
        f"{what} {ending(result.returncode)}{said}",
        place=place,
        expected="exit status 0",
        actual=ending(result.returncode).removeprefix("ended with "),
    )


def ending(status: int) -> str:
    """How a command ended, in words.

    Example:
        >>> ending(3), ending(-9)
        ('ended with exit status 3', 'was ended by SIGKILL')
    """
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


class _Pump:
    """One stream, read by a thread of its own: passed on as it comes, and its end kept."""

    def __init__(self, stream: IO[bytes] | None, target: Any) -> None:
        self._stream = stream
        self._target = target
        self._pieces: list[str] = []
        self._size = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="flytepath-output", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if self._stream is None:
            return
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        descriptor = self._stream.fileno()
        while True:
            content = os.read(descriptor, 65536)
            text = decoder.decode(content, final=not content)
            with self._lock:
                if text:
                    self._keep(text)
                    if self._target is not None:
                        self._target.write(text)
                        self._target.flush()
            if not content:
                self._stream.close()
                return

    def _keep(self, text: str) -> None:
        self._pieces.append(text)
        self._size += len(text)
        while self._size - len(self._pieces[0]) >= _KEPT:
            self._size -= len(self._pieces.pop(0))

    def stop(self) -> None:
        """Take what there is; a child that outlives the command can print on, but no longer to us."""
        self._thread.join(_GRACE_SECONDS)
        with self._lock:
            self._target = None

    @property
    def text(self) -> str:
        """The last of what was read."""
        with self._lock:
            return "".join(self._pieces)[-_KEPT:]
