"""The log of a job that has ended is kept without the values of secrets, wherever its pieces begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from flytepath.engine.jobs.logs import LONG_LINE, kept_log
from flytepath.engine.jobs.vendor_calls import Patience, VendorCalls
from flytepath.engine.local.output import KEPT_BYTES
from flytepath.engine.secrets.redaction import Redactor
from flytepath.model.literal import BlobRef
from flytepath.plugin.backend import BackendError, ErrorClass, Handle, LogChunk
from flytepath.testing import MemoryBlobs


class Vendor:
    """Gives pieces of a log; then it may break."""

    def __init__(self, *pieces: str, breaks: bool = False) -> None:
        self._pieces, self._breaks = pieces, breaks
        redactor = Redactor()
        redactor.add("db.password", b"swordfish")
        self.instance = SimpleNamespace(name="vendor", redactor=redactor, backend=SimpleNamespace(logs=self._logs))

    async def _logs(self, handle: Handle, cursor: str | None) -> LogChunk:
        place = int(cursor or 0)
        if self._breaks and place == len(self._pieces):
            raise BackendError("it is gone", error_class=ErrorClass.LOST)
        is_last = not self._breaks and place + 1 == len(self._pieces)
        return LogChunk(self._pieces[place], str(place + 1), complete=is_last)

    async def make(self, call: str, scope: str, made: Callable[..., Any], *args: Any) -> Any:
        return await made(*args)


def kept(vendor: Vendor) -> bytes:
    blobs = MemoryBlobs()
    log = asyncio.run(kept_log(cast(VendorCalls, vendor), "", Handle({}), blobs, Patience()))
    return b"" if log is None else blobs.get(BlobRef(log.uri, log.digest, log.size))


def test_a_secret_that_comes_in_two_pieces_is_replaced() -> None:
    assert kept(Vendor("say sword", "fish\nsay ", "swordfish")) == b"say [secret db.password]\nsay [secret db.password]"


def test_what_came_before_the_vendor_broke_is_kept_to_its_last_byte() -> None:
    assert kept(Vendor("one\ntw", breaks=True)) == b"one\ntw"
    assert kept(Vendor("")) == b""


def test_of_a_long_log_the_beginning_and_the_end_are_kept() -> None:
    piece = "x" * (LONG_LINE - 1) + "\n"
    count = 2 * KEPT_BYTES // len(piece) + 3
    found = kept(Vendor("first\n", *[piece] * count, "last\n"))
    left_out = len("first\n") + count * len(piece) + len("last\n") - 2 * KEPT_BYTES
    assert found.startswith(b"first\n")
    assert found.endswith(b"x\nlast\n")
    assert f"\n[{left_out} bytes left out]\n".encode() in found
