"""What a rank and its supervisor say to each other: pickles in frames, over a pair of sockets.

Both ends are processes of one attempt, started one by the other; nobody else can reach the sockets.
"""

from __future__ import annotations

import pickle
import signal
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Any, Final

_HEAD: Final = struct.Struct("!I")
_ACKNOWLEDGED: Final = b"\x06"
_AT_ONCE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class News:
    """Something that the attempt must know, as core made it. The rank waits until it was heard."""

    content: Any


@dataclass(frozen=True, slots=True)
class Done:
    """The rank's body has returned; rank 0 has left what it returned."""

    has_result: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The rank's body has raised.

    Args:
        at: seconds since the epoch, when it was caught.
        error: the exception, pickled; empty where it cannot be.
        kind, message: its class and its text.
        trace: its traceback, as text.
        is_lost_peer: it tells of a connection to another rank that broke: as a rule what follows of another's failure.
    """

    at: float
    error: bytes
    kind: str
    message: str
    trace: str
    is_lost_peer: bool


Message = News | Done | Failed


class RankEnd:
    """The rank's end. Any thread may speak; one at a time is heard."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    def receive(self) -> Any:
        """What the supervisor says; waits for it."""
        (size,) = _HEAD.unpack(self._exactly(_HEAD.size))
        return pickle.loads(self._exactly(size))

    def tell(self, content: Any) -> None:
        """Let the attempt know, and wait until it does."""
        with self._lock:
            self._send(News(content))
            self._exactly(1)

    def say(self, message: Message) -> None:
        """Say how this rank ended."""
        with self._lock:
            self._send(message)
            self._exactly(1)

    def _send(self, message: Message) -> None:
        # A hook that runs on SIGTERM may speak too: not in the middle of a message.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        try:
            self._connection.sendall(framed(message))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._connection.recv(min(size - len(parts), _AT_ONCE))
            if not part:
                raise ConnectionError("the supervisor is gone")
            parts += part
        return bytes(parts)


class SupervisorEnd:
    """The supervisor's end, never waiting for a rank to finish a message."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.is_open = True
        self._buffer = bytearray()

    def take(self) -> list[Message]:
        """What has arrived whole; call it when there is something to read."""
        try:
            part = self.connection.recv(_AT_ONCE)
        except ConnectionError:
            part = b""
        if not part:
            self.close()
        self._buffer += part
        found: list[Message] = []
        while len(self._buffer) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._buffer)
            if len(self._buffer) < _HEAD.size + size:
                break
            found.append(pickle.loads(bytes(self._buffer[_HEAD.size : _HEAD.size + size])))
            del self._buffer[: _HEAD.size + size]
        return found

    def acknowledge(self) -> None:
        """Let the rank go on; one that is gone does not."""
        try:
            self.connection.sendall(_ACKNOWLEDGED)
        except ConnectionError:
            self.close()

    def send(self, content: Any) -> None:
        """Say something to a rank that waits for it."""
        try:
            self.connection.sendall(framed(content))
        except ConnectionError:
            self.close()

    def close(self) -> None:
        """Nothing will come any more."""
        if self.is_open:
            self.is_open = False
            self.connection.close()


def framed(content: Any) -> bytes:
    """A message as it is sent."""
    data = pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(len(data)) + data
