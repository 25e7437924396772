"""The log of a job, read from the vendor when the job has ended and kept among the blobs."""

from __future__ import annotations

import logging
from typing import Final

from flytepath.engine.output import KEPT_BYTES
from flytepath.engine.vendor_calls import PASSING, Patience, Pauses, VendorCalls
from flytepath.model.events import Blob
from flytepath.plugin.backend import BackendError, Handle
from flytepath.plugin.transformer import BlobSink

log = logging.getLogger("flytepath")

#: A log that fails so often, or has so many pieces, is kept as far as it was read.
TRIES: Final = 3
PIECES: Final = 10_000


async def kept_log(calls: VendorCalls, scope: str, handle: Handle, sink: BlobSink, patience: Patience) -> Blob | None:
    """Keep the log of a job that has ended; ``None`` where there is none, or none can be had.

    Of a long one the beginning and the end are kept. Values of secrets that the backend was given are replaced.
    """
    pauses, tries, cursor = Pauses(patience), 0, None
    head, tail, left_out = bytearray(), bytearray(), 0
    for _ in range(PIECES):
        try:
            piece = await calls.make("logs", scope, calls.instance.backend.logs, handle, cursor)
        except BackendError as error:
            tries += 1
            if error.error_class not in PASSING or tries >= TRIES:
                log.info("the log of a job of %s cannot be read: %s", calls.instance.name, error)
                break
            await pauses.wait(error.retry_after or 0.0)
            continue
        data = calls.instance.redactor.text(piece.text).encode()
        room = max(0, KEPT_BYTES - len(head))
        head += data[:room]
        tail += data[room:]
        left_out += max(0, len(tail) - KEPT_BYTES)
        del tail[: max(0, len(tail) - KEPT_BYTES)]
        if piece.complete or (piece.cursor == cursor and not piece.text):
            break
        cursor = piece.cursor
    if left_out:
        head += f"\n[{left_out} bytes left out]\n".encode()
    data = bytes(head + tail)
    return Blob.of(sink.put(data)) if data else None
