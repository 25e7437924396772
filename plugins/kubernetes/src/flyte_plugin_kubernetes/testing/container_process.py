"""One container as one local process: its output with times, its end, its memory."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


def precise_now() -> str:
    """This moment, as the runtime stamps lines of a log."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


class ContainerLog:
    """The lines a container has written, each with its moment."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, bytes]] = []
        self._ended = False
        self._more = threading.Condition()

    def write(self, line: bytes) -> None:
        """Adds a line, with its end where it has one."""
        with self._more:
            self._lines.append((precise_now(), line))
            self._more.notify_all()

    def end(self) -> None:
        """Nothing follows."""
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for_end(self, seconds: float) -> None:
        """Waits until nothing follows, at most so long."""
        with self._more:
            self._more.wait_for(lambda: self._ended, seconds)

    def read(
        self,
        *,
        follow: bool = False,
        since: str = "",
        tail: int | None = None,
        stamps: bool = False,
        limit: int | None = None,
    ) -> Iterator[bytes]:
        """The lines, and those to come where they are followed.

        Args:
            since: only those of this moment and later.
            tail: only so many of the last.
            limit: bytes in all.
        """
        with self._more:
            at = 0
            if since:
                at = next((n for n, (moment, _) in enumerate(self._lines) if moment >= since), len(self._lines))
            if tail is not None:
                at = max(at, len(self._lines) - tail)
        left = limit
        while True:
            with self._more:
                while follow and at >= len(self._lines) and not self._ended:
                    self._more.wait()
                found = self._lines[at:]
                at += len(found)
            if not found:
                return
            chunk = b"".join(moment.encode() + b" " + line if stamps else line for moment, line in found)
            if left is not None:
                chunk = chunk[:left]
                left -= len(chunk)
            yield chunk
            if not follow or left == 0:
                return

    def last(self, limit: int = 2048) -> str:
        """The end of it."""
        with self._more:
            return b"".join(line for _, line in self._lines[-80:])[-limit:].decode(errors="replace")


class ContainerProcess:
    """A running container.

    Args:
        memory_limit: bytes that the process and its children may have; more is the end, as OOMKilled.
        ended: called, in a thread of its own, when it has ended.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        *,
        memory_limit: int | None,
        ended: Callable[[], None],
    ) -> None:
        self.log = ContainerLog()
        self.started_at = dt.datetime.now(dt.UTC)
        self.finished_at: dt.datetime | None = None
        self.out_of_memory = False
        self.exit_code: int | None = None
        self._ended = ended
        self._process = subprocess.Popen(
            list(command),
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._memory_limit = memory_limit
        self._reader = threading.Thread(target=self._read, name=f"log of {self._process.pid}", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name=f"container {self._process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the first process of the container, which leads its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.exit_code is None

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is not None:
            with stream:
                for line in stream:
                    self.log.write(line)
        self.log.end()

    def _wait(self) -> None:
        code = self._process.wait() if self._memory_limit is None else self._watch_memory(self._memory_limit)
        # What the first process left running ends with the container.
        self.signal(signal.SIGKILL)
        self.log.wait_for_end(1.0)
        self.finished_at = dt.datetime.now(dt.UTC)
        self.exit_code = 137 if self.out_of_memory else 128 - code if code < 0 else code
        self._ended()

    def _watch_memory(self, limit: int) -> int:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout=0.05)
            if _memory_of_tree(self._process.pid) > limit:
                self.out_of_memory = True
                self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Sends a signal to every process of the container."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def stop(self, grace: float) -> None:
        """SIGTERM to the first process, and SIGKILL to all when the time is over; waits for the end."""
        if grace > 0 and self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            self._until_ended(grace)
        if self.running:
            self.signal(signal.SIGKILL)
            self._until_ended(5)

    def _until_ended(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        while self.running and time.monotonic() < deadline:
            threading.Event().wait(0.005)


def _memory_of_tree(first: int) -> int:
    """Bytes of resident memory of a process and all below it; 0 where the system does not tell."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, left = 0, [first]
    while left:
        folder = Path("/proc") / str(left.pop())
        try:
            total += int((folder / "statm").read_text(encoding="ascii").split()[1]) * page
            for task in (folder / "task").iterdir():
                left += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
        except OSError:
            # It has ended meanwhile, or there is no such folder on this system.
            continue
    return total
