"""The ranks of a gang on this machine: processes that are started, listened to, and ended together.

What a rank prints is passed on line by line with the rank in front of it. A rank that is gone is noticed at once, by
the end of its channel; nothing here waits for one rank alone.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flyte_plugin_pytorch.channel import Done, Failed, Message, News, SupervisorEnd

#: How long ranks that were told to end may take before they are killed.
GRACE_SECONDS: Final = 5.0
#: How long ranks whose bodies have returned may take to end, with what libraries do at the end of a process.
LINGER_SECONDS: Final = 30.0
#: So much of a line is passed on before its end has come.
_LONG_LINE: Final = 1 << 16
_READ: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Place:
    """One rank: its number, and the variables that tell it of the gang."""

    rank: int
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Started:
    """A process that has been started for a rank.

    Args:
        pid: of the process.
        poll: its exit status as soon as it has ended, negative for a signal; ``None`` until then.
    """

    pid: int
    poll: Callable[[], int | None]


@dataclass(frozen=True, slots=True)
class Pipes:
    """What a rank's process is started with: its end of the channel, and where it prints."""

    channel: socket.socket
    out: int
    err: int


#: Starts the process of a rank.
Starter = Callable[[Place, Pipes], Started]


@dataclass(frozen=True, slots=True)
class Failure:
    """How a rank failed.

    Args:
        rank: which one.
        pid: of its process.
        at: seconds since the epoch.
        report: what it said; ``None`` where it died without a word.
        status: its exit status then, negative for a signal.
        printed: the last that it printed.
    """

    rank: int
    pid: int
    at: float
    report: Failed | None = None
    status: int = 0
    printed: str = ""

    @property
    def is_consequence(self) -> bool:
        """Whether another rank's end is behind it, as far as this one can tell."""
        return self.report is not None and self.report.is_lost_peer


def first_of(failures: Iterable[Failure]) -> Failure:
    """The one that made the others: the earliest that is not about a lost connection to another rank."""
    return min(failures, key=lambda failure: (failure.is_consequence, failure.at, failure.rank))


@dataclass(slots=True, eq=False)
class _Stream:
    """What one rank prints to one of its two streams."""

    source: int
    target: int
    prefix: bytes
    keep: Callable[[bytes], None]
    rest: bytearray = field(default_factory=bytearray)

    def read(self) -> bool:
        """Pass on what has come; whether more may follow."""
        try:
            part = os.read(self.source, _READ)
        except BlockingIOError:
            return True
        except OSError:
            part = b""
        self.rest += part
        while (end := self.rest.find(b"\n")) >= 0:
            self._pass_on(bytes(self.rest[: end + 1]))
            del self.rest[: end + 1]
        if self.rest and (not part or len(self.rest) > _LONG_LINE):
            self._pass_on(bytes(self.rest) + b"\n")
            self.rest.clear()
        return bool(part)

    def _pass_on(self, line: bytes) -> None:
        self.keep(line)
        _write(self.target, self.prefix + line)


@dataclass(slots=True, eq=False)
class _Rank:
    """One rank's process."""

    place: Place
    process: Started
    end: SupervisorEnd
    streams: list[_Stream]
    printed: bytearray
    outcome: Done | Failure | None = None
    status: int | None = None
    family: dict[int, str] = field(default_factory=dict)

    @property
    def is_alive(self) -> bool:
        return self.status is None


class Gang:
    """The ranks of one machine, from their start to their end.

    Args:
        places: the ranks.
        start: starts the process of one.
        hear: takes news of the attempt.
    """

    def __init__(self, places: Sequence[Place], start: Starter, hear: Callable[[Any], None]) -> None:
        self._places = places
        self._start = start
        self._hear = hear
        self._selector = selectors.DefaultSelector()
        self._ranks: list[_Rank] = []
        self._is_told = False
        self._is_closed = False
        self._done_at: float | None = None

    def start(self, opening: Any) -> None:
        """Start all ranks; ``opening`` is the first thing each of them is told (pickled)."""
        try:
            for place in self._places:
                self._ranks.append(self._started(place))
            for rank in self._ranks:
                rank.end.send(opening)
        except BaseException:
            self.stop(0.0)
            raise

    # --- what became of it ---

    @property
    def is_running(self) -> bool:
        """Whether a process is left."""
        return any(rank.is_alive for rank in self._ranks)

    @property
    def is_done(self) -> bool:
        """Whether every rank's body has returned."""
        return all(isinstance(rank.outcome, Done) for rank in self._ranks)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for: no process is left, or those that are have long returned."""
        if not self.is_running:
            return True
        if not self.is_done:
            self._done_at = None
            return False
        self._done_at = self._done_at or time.monotonic()
        return time.monotonic() > self._done_at + LINGER_SECONDS

    @property
    def failures(self) -> list[Failure]:
        """Those of ranks that have failed by themselves."""
        return [rank.outcome for rank in self._ranks if isinstance(rank.outcome, Failure)]

    @property
    def has_result(self) -> bool:
        """Whether rank 0 is one of these, and has left what its body returned."""
        return any(isinstance(rank.outcome, Done) and rank.outcome.has_result for rank in self._ranks)

    # --- what happens ---

    def attend(self, seconds: float) -> None:
        """Listen to the ranks for so long at most; returns at once when something came or one has ended."""
        events = self._selector.select(seconds)
        for key, _ in events:
            if isinstance(key.data, _Stream):
                if not key.data.read():
                    self._selector.unregister(key.fileobj)
                    os.close(key.data.source)
            else:
                self._listen(key.data)
        for rank in self._ranks:
            if rank.is_alive:
                rank.status = rank.process.poll()
                if rank.status is not None:
                    self._ended(rank)

    def tell_to_go(self) -> None:
        """Send SIGTERM to every rank: its checkpoint hooks run, and it ends. Failures from now on do not count."""
        self._is_told = True
        self._note_families()
        self._signal(signal.SIGTERM)

    def attend_until(self, deadline: float, *, at_end: Callable[[], bool] | None = None) -> bool:
        """Listen until all have ended, or ``at_end``, or the deadline (monotonic clock); whether it came in time."""
        while self.is_running and not (at_end is not None and at_end()):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.attend(min(left, 0.05))
        return True

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """End whatever still runs, with what the ranks have started, and let go of everything. Safe to call again."""
        if self.is_running and grace > 0:
            self.tell_to_go()
            self.attend_until(time.monotonic() + grace)
        self._is_told = True
        while self.is_running:
            self._note_families()
            self._signal(signal.SIGKILL)
            self.attend_until(time.monotonic() + 0.5)
        for rank in self._ranks:
            kill_those(rank.family)
        self._close()

    # --- how ---

    def _started(self, place: Place) -> _Rank:
        ours, theirs = socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        try:
            process = self._start(place, Pipes(theirs, out_end, err_end))
        except BaseException:
            ours.close()
            os.close(out)
            os.close(err)
            raise
        finally:
            theirs.close()
            os.close(out_end)
            os.close(err_end)
        printed = bytearray()

        def keep(line: bytes) -> None:
            printed.extend(line)
            del printed[:-2000]

        prefix = f"[rank {place.rank}] ".encode()
        streams = [_Stream(out, 1, prefix, keep), _Stream(err, 2, prefix, keep)]
        rank = _Rank(place, process, SupervisorEnd(ours), streams, printed)
        for stream in streams:
            os.set_blocking(stream.source, False)
            self._selector.register(stream.source, selectors.EVENT_READ, stream)
        self._selector.register(ours, selectors.EVENT_READ, rank)
        return rank

    def _listen(self, rank: _Rank) -> None:
        for message in rank.end.take():
            self._take(rank, message)
        if not rank.end.is_open:
            self._unregister(rank)

    def _take(self, rank: _Rank, message: Message) -> None:
        if isinstance(message, News):
            self._hear(message.content)
            rank.end.acknowledge()
            return
        # It waits for the answer, so what it has started can still be told to be its own.
        rank.family |= descendants(rank.process.pid)
        if isinstance(message, Done):
            rank.outcome = message
        elif not self._is_told:
            rank.outcome = Failure(rank.place.rank, rank.process.pid, message.at, message)
        rank.end.acknowledge()

    def _note_families(self) -> None:
        """What the ranks have started so far, while it can be told."""
        for rank in self._ranks:
            if rank.is_alive:
                rank.family |= descendants(rank.process.pid)

    def _ended(self, rank: _Rank) -> None:
        """The process has ended: what it still said and printed is read, and what became of it is settled."""
        while rank.end.is_open and _is_readable(rank.end.connection):
            self._listen(rank)
        for stream in rank.streams:
            while stream.source in self._selector.get_map() and _is_readable(stream.source):
                if not stream.read():
                    self._selector.unregister(stream.source)
                    os.close(stream.source)
        if rank.outcome is None and not self._is_told:
            printed = rank.printed.decode("utf-8", "replace")
            status = rank.status or 0
            rank.outcome = Failure(rank.place.rank, rank.process.pid, time.time(), None, status, printed)

    def _signal(self, number: int) -> None:
        for rank in self._ranks:
            if rank.is_alive:
                with suppress(ProcessLookupError):
                    os.kill(rank.process.pid, number)

    def _unregister(self, rank: _Rank) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(rank.end.connection)

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for rank in self._ranks:
            for stream in rank.streams:
                if stream.source in self._selector.get_map():
                    stream.read()
                    self._selector.unregister(stream.source)
                    os.close(stream.source)
            if rank.end.is_open:
                self._unregister(rank)
                rank.end.close()
        self._selector.close()


def descendants(pid: int) -> dict[int, str]:
    """The processes that ``pid`` has started, and those that they have, each with the moment of its start.

    None where nobody can tell.
    """
    children: dict[int, list[int]] = {}
    begun: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        facts = _facts(entry)
        if facts is not None:
            number = int(entry.parent.name)
            children.setdefault(facts[0], []).append(number)
            begun[number] = facts[1]
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found[child] = begun[child]
            waiting.append(child)
    return found


def kill_those(processes: Mapping[int, str]) -> None:
    """End processes that :func:`descendants` has found, but none that has one of their numbers by now."""
    for pid, begun in processes.items():
        facts = _facts(Path(f"/proc/{pid}/stat"))
        if facts is not None and facts[1] == begun:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _facts(entry: Path) -> tuple[int, str] | None:
    """The parent of a process, and when it was started; ``None`` for one that is gone."""
    try:
        # The name may hold spaces and parentheses; what follows the last of them does not.
        fields = entry.read_text().rpartition(")")[2].split()
        return int(fields[1]), fields[19]
    except (OSError, ValueError, IndexError):
        return None


def _is_readable(source: Any) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        return bool(selector.select(0))


def _write(target: int, data: bytes) -> None:
    """To this process's standard output or error: past Python's stream where that is the descriptor itself."""
    stream = sys.stdout if target == 1 else sys.stderr
    with suppress(OSError, ValueError):  # a full disk, or a stream that is closed, must not end a training
        if _is_descriptor(stream, target):
            while data:
                data = data[os.write(target, data) :]
        else:  # a notebook's cell, for one
            stream.write(data.decode("utf-8", "backslashreplace"))


def _is_descriptor(stream: Any, descriptor: int) -> bool:
    try:
        return bool(stream is None or stream.fileno() == descriptor)
    except (OSError, ValueError, AttributeError):
        return False
