"""Large constants of a graph that is compiled without a store: kept in memory, by digest."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flytepath.errors import LiteralError
from flytepath.model.literal import BlobRef, sha256


class _Writer(io.BytesIO):
    """A blob being written; ``ref`` is known once it is kept."""

    kept: BlobRef | None = None

    @property
    def ref(self) -> BlobRef:
        if self.kept is None:
            raise LiteralError("the blob is not closed yet")
        return self.kept


class ConstantBlobs:
    """A blob sink that remembers what it was given.

    Example:
        >>> blobs = ConstantBlobs()
        >>> blobs.put(b"abc").size, len(blobs.contents)
        (3, 1)
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, content: bytes) -> BlobRef:
        """Keep ``content``."""
        digest = sha256(content)
        self.contents[digest] = bytes(content)
        return BlobRef(f"constant:{digest}", digest, len(content))

    def put_file(self, path: Path) -> BlobRef:
        """Keep the file at ``path``."""
        return self.put(path.read_bytes())

    @contextmanager
    def create(self) -> Iterator[_Writer]:
        """A writer whose blob is kept when the context ends without an exception."""
        writer = _Writer()
        yield writer
        writer.kept = self.put(writer.getvalue())
