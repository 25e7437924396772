"""The log of a job, read from the vendor when the job has ended and kept among the blobs."""

from __future__ import annotations

import logging
from typing import Final

from flytepath.engine.jobs.troubles import PASSING
from flytepath.engine.jobs.vendor_calls import Patience, Pauses, VendorCalls
from flytepath.engine.local.output import KEPT_BYTES
from flytepath.model.events import Blob
from flytepath.plugin.backend import BackendError, Handle
from flytepath.plugin.transformer import BlobSink

log = logging.getLogger("flytepath")

#: A log that fails so often, or has so many pieces, is kept as far as it was read.
TRIES: Final = 3
PIECES: Final = 10_000
#: A line that grows beyond this is taken without waiting for its end.
LONG_LINE: Final = 1 << 16


async def kept_log(calls: VendorCalls, scope: str, handle: Handle, sink: BlobSink, patience: Patience) -> Blob | None:
    """Keep the log of a job that has ended; ``None`` where there is none, or none can be had.

    Of a long one the beginning and the end are kept. Values of secrets that the backend was given are replaced.
    """
    pauses, tries, cursor, line = Pauses(patience), 0, None, ""
    kept, redactor = _Kept(), calls.instance.redactor
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
        text, line = whole_lines(line + piece.text)
        kept.add(redactor.text(text))
        if piece.complete or (piece.cursor == cursor and not piece.text):
            break
        cursor = piece.cursor
    kept.add(redactor.text(line))
    data = kept.content()
    return Blob.of(sink.put(data)) if data else None


def whole_lines(text: str) -> tuple[str, str]:
    """The lines of a text that are at their end, and the rest: the value of a secret may come in two pieces.

    Example:
        >>> whole_lines("the token is abc\\nthe pass"), whole_lines("")
        (('the token is abc\\n', 'the pass'), ('', ''))
    """
    end = len(text) if len(text) > LONG_LINE else text.rfind("\n") + 1
    return text[:end], text[end:]


class _Kept:
    """The beginning and the end of a text that comes in pieces."""

    def __init__(self) -> None:
        self._head, self._tail, self._left_out = bytearray(), bytearray(), 0

    def add(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        room = max(0, KEPT_BYTES - len(self._head))
        self._head += data[:room]
        self._tail += data[room:]
        over = max(0, len(self._tail) - KEPT_BYTES)
        self._left_out += over
        del self._tail[:over]

    def content(self) -> bytes:
        """All of it, with a line where something is missing."""
        note = f"\n[{self._left_out} bytes left out]\n".encode() if self._left_out else b""
        return bytes(self._head + note + self._tail)
