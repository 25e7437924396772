"""The frames that come from a worker, put together as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from flytepath.errors import FlytePathError, WorkerError
from flytepath.model.messages import FRAME_LIMIT, FROM_WORKER


class FrameReader(asyncio.Protocol):
    """One end of a connection: whole messages go to ``on_message``, and the end to ``on_lost``, once.

    Args:
        on_message: takes each message.
        on_lost: told when no more can come; with what was wrong with the messages, or with the connection.
    """

    def __init__(self, on_message: Callable[[Any], None], on_lost: Callable[[Exception | None], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._pending = bytearray()
        self._transport: asyncio.BaseTransport | None = None
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what came: as a rule exactly one frame."""
        if not self._pending and len(data) >= 4 and int.from_bytes(data[:4], "big") == len(data) - 4:
            self._read(data[4:])
            return
        self._pending += data
        while not self._is_lost and len(self._pending) >= 4:
            size = int.from_bytes(self._pending[:4], "big")
            if size > FRAME_LIMIT:
                self._lose(WorkerError(f"a message of {size} bytes is over the limit of {FRAME_LIMIT}"))
                return
            if len(self._pending) < 4 + size:
                return
            body = bytes(self._pending[4 : 4 + size])
            del self._pending[: 4 + size]
            self._read(body)

    def _read(self, body: bytes) -> None:
        try:
            message = FROM_WORKER.validate_json(body)
        except (ValidationError, FlytePathError) as error:
            self._lose(WorkerError("the worker sent what is no message", actual=str(error)[:500]))
            return
        self._on_message(message)

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing comes any more."""
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._pending.clear()
        if self._transport is not None:
            self._transport.close()
        self._on_lost(error)
