"""The process that the output of a worker goes through once a task was given a secret, as its worker sees it.

What tasks and all that they start write is one pipe. The process at its end writes to the worker's file what it reads,
with the values of secrets replaced. So no value ever stands in a file, whoever reads that while it grows; and what was
printed last is there even if the worker is killed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from flytepath.authoring import preemption
from flytepath.engine.secrets import redaction
from flytepath.errors import WorkerError

#: How long the process may take to write what stands in the pipe.
_SECONDS: Final = 10.0
_BUFFER: Final = 1 << 20


class LogFilter:
    """Starts the process, and speaks to it.

    Args:
        path: the file that takes what is printed.

    Raises:
        WorkerError: it does not start; then no secret may be given.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._finished = 0
        #: Whether the process was lost: what is printed then is lost too.
        self.is_broken = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        reading, self.descriptor = os.pipe()
        ours.settimeout(_SECONDS)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._socket = ours
        self._send(redaction.FILE + os.fsencode(path))
        command = [sys.executable, "-I", "-S", redaction.__file__, str(reading), str(theirs.fileno())]
        # Nothing of the task's own: its variables may hold secrets, and this process outlives them.
        environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ}
        try:
            with preemption.shielded():
                subprocess.run(
                    command,
                    env=environment,
                    cwd=Path(path).parent,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(reading, theirs.fileno()),
                    start_new_session=True,
                    check=True,
                    timeout=_SECONDS,
                )
        except (OSError, subprocess.SubprocessError) as error:
            os.close(self.descriptor)
            ours.close()
            raise WorkerError(
                "the process that keeps secrets out of logs does not start, so none can be given",
                place=sys.executable,
                actual=type(error).__name__,
            ) from None
        finally:
            os.close(reading)
            theirs.close()

    def add(self, label: str, value: bytes) -> None:
        """Keep a value out of all that is printed from now on.

        Raises:
            WorkerError: the process is lost.
        """
        pieces = [value[at : at + redaction.PIECE] for at in range(0, len(value), redaction.PIECE)]
        try:
            for piece in pieces:
                self._send(redaction.VALUE + label.replace("\0", "").encode() + b"\0" + piece)
        except OSError:
            self.is_broken = True
        if self.is_broken:
            raise WorkerError("the process that keeps secrets out of logs is lost, so none can be given")

    def move_to(self, path: str) -> None:
        """From now on another file takes what is printed."""
        try:
            self._send(redaction.FILE + os.fsencode(path))
        except OSError:
            self.is_broken = True

    def finish(self) -> None:
        """Wait until all that was printed so far is in the file."""
        if self.is_broken or not self._lock.acquire(timeout=_SECONDS):
            return
        try:
            self._finished += 1
            token = str(self._finished).encode()
            self._send(redaction.FINISH + token)
            while self._socket.recv(64) != token:
                pass  # the answer to an earlier question, which was not waited for to its end
        except OSError:
            self.is_broken = True
        finally:
            self._lock.release()

    def close(self) -> None:
        """Write nothing more. The process ends when nobody else can write to the pipe either."""
        os.close(self.descriptor)
        self._socket.close()

    def _send(self, message: bytes) -> None:
        with preemption.shielded():
            self._socket.send(message)
