"""The fake vendor's door: HTTP/1.1 on loopback, with connections that are kept, cut, or left without an answer."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from flytepath.testing.fake_vendor.faults import FaultKind
from flytepath.testing.fake_vendor.service import Reply, Request, Service

_REASONS: Final = {200: "OK", 201: "Created", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized"}
#: Closing such a socket resets the connection instead of ending it in order.
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_MOST_BODY: Final = 64 * 1024 * 1024
#: Turns of the loop until an accepted connection is served.
_TURNS: Final = 10


class Wire:
    """Serves a :class:`Service` from a thread of its own.

    Args:
        service: what answers.
        host, port: where; port 0 is any free one, and stays the same when the door is opened again.
    """

    def __init__(self, service: Service, host: str = "127.0.0.1", port: int = 0) -> None:
        self._service = service
        self._host, self.port = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-vendor", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()
        self._do(self._open)

    def open(self) -> None:
        """Take connections again."""
        self._do(self._open)

    def shut(self) -> None:
        """Refuse connections, and cut those that there are."""
        self._do(self._shut)

    def stop(self) -> None:
        """Serve no more, and let the thread end."""
        self._do(self._shut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(timeout=30)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, self._host, self.port, backlog=1024)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        for listening in server.sockets:  # closed at once, it would lose, and leave open, what it has just accepted
            self._loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            for writer in list(self._writers):
                _cut(writer)
            for task in list(self._tasks):
                task.cancel()
            await asyncio.sleep(0)
        server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        self._writers.add(writer)
        # The client has gone, or speaks no HTTP; or the vendor stops, and a task that was cancelled would be logged.
        gone = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, asyncio.CancelledError)
        try:
            with suppress(*gone):
                while await self._served(reader, writer):
                    continue
        finally:
            self._writers.discard(writer)
            if task is not None:
                self._tasks.discard(task)
            writer.close()

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = int(headers.get("content-length") or 0)
        if length > _MOST_BODY or "transfer-encoding" in headers:
            writer.write(_message(Reply(413, {"code": "BadRequest", "message": "no such bodies"}), is_last=True))
            return False
        body = await reader.readexactly(length) if length else b""
        request = Request(method, target, headers.get("authorization", "").removeprefix("Bearer "), body)
        asked = self._service.ask(request)
        for fault in asked.faults:
            if fault.kind is FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
        reply = self._service.answer(asked)
        if reply.is_cut:
            _cut(writer)
            return False
        if reply.is_silent:
            await reader.read()  # until the client has had enough
            return False
        is_last = headers.get("connection", "").lower() == "close"
        writer.write(_message(reply, is_last=is_last))
        await writer.drain()
        return not is_last


def _message(reply: Reply, *, is_last: bool) -> bytes:
    body = json.dumps(reply.body, separators=(",", ":")).encode() if reply.raw is None else reply.raw
    lines = [
        f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}",
        f"Content-Type: {'application/json' if reply.raw is None else 'text/html'}",
        f"Content-Length: {len(body)}",
    ]
    if reply.retry_after is not None:
        lines.append(f"Retry-After: {reply.retry_after:.3f}")
    if is_last:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def _cut(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()
