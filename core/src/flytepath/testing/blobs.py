"""Blobs in memory: a sink and a source in one, for tests of transformers."""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO
from weakref import finalize

from flytepath.errors import LiteralError
from flytepath.model.literal import BlobRef, sha256


class _Writer:
    """A blob being written; ``ref`` is known once it is closed."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()
        self._ref: BlobRef | None = None

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        return self.buffer.write(data)

    @property
    def ref(self) -> BlobRef:
        if self._ref is None:
            raise LiteralError(
                "the blob is not closed yet",
                hint="read ref after the with block of sink.create()",
            )
        return self._ref

    def close(self, ref: BlobRef) -> None:
        self._ref = ref


class MemoryBlobs:
    """A :class:`~flytepath.plugin.BlobSink` and :class:`~flytepath.plugin.BlobSource` that keeps everything in memory.

    As the real ones it is content addressed and checks content against its digest when it is read. ``contents`` is
    open to tests: bytes by digest.

    Example:
        >>> blobs = MemoryBlobs()
        >>> ref = blobs.put(b"weights")
        >>> blobs.get(ref), blobs.put(b"weights") == ref
        (b'weights', True)
        >>> with blobs.create() as writer:
        ...     _ = writer.write(b"more")
        >>> blobs.open(writer.ref).read()
        b'more'
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def put(self, content: bytes) -> BlobRef:
        """Keep ``content``."""
        digest = sha256(content)
        self.contents.setdefault(digest, bytes(content))
        return BlobRef(f"memory://blobs/{digest.removeprefix('sha256:')}", digest, len(content))

    def put_file(self, path: Path) -> BlobRef:
        """Keep the file at ``path``."""
        return self.put(Path(path).read_bytes())

    def create(self) -> AbstractContextManager[_Writer]:
        """A writer whose blob is kept when the context ends without an exception, and never otherwise."""
        return self._create()

    @contextmanager
    def _create(self) -> Iterator[_Writer]:
        writer = _Writer()
        yield writer
        writer.close(self.put(writer.buffer.getvalue()))

    def get(self, ref: BlobRef) -> bytes:
        """The whole blob; :class:`LiteralError` where there is none or it is not what the reference says."""
        content = self.contents.get(ref.digest)
        if content is None:
            raise LiteralError("there is no such blob", place=ref.uri, expected=ref.digest)
        if sha256(content) != ref.digest or len(content) != ref.size:
            raise LiteralError("the blob is damaged", place=ref.uri, expected=f"{ref.digest}, {ref.size} bytes")
        return content

    def open(self, ref: BlobRef) -> BinaryIO:
        """The blob as a seekable stream."""
        return io.BytesIO(self.get(ref))

    def local_path(self, ref: BlobRef) -> Path:
        """A read-only file with the blob's content; it is removed with this object."""
        with self._lock:  # directories are fetched by several threads
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="flytepath-blobs-"))
                finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            path = self._folder / ref.digest.removeprefix("sha256:")
            if not path.exists():
                path.write_bytes(self.get(ref))
                path.chmod(0o444)
        return path
