"""What attempts print: a file each while they run, read as it grows, and the part of it that is kept."""

from __future__ import annotations

import codecs
import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Final

#: What is kept of a longer log at its beginning and at its end.
KEPT_BYTES: Final = 8 * 1024 * 1024


class LogTail:
    """A log as it grows, from its beginning.

    Args:
        path: the file, which need not exist yet.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "1.log"
        ...     tail = LogTail(path)
        ...     before = tail.read()
        ...     _ = path.write_bytes("caf\\u00e9".encode()[:-1])
        ...     half = tail.read()
        ...     with path.open("ab") as file:
        ...         _ = file.write("caf\\u00e9".encode()[-1:])
        ...     whole = tail.read()
        ...     tail.close()
        >>> before, half, whole == "\\u00e9"
        ('', 'caf', True)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> str:
        """What came since the last time; a removed file is read to its end."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return ""
        return self._decoder.decode(self._file.read())

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()


def is_written(path: Path) -> bool:
    """Whether a process that keeps secrets out of the file still writes to it: it holds a lock on it until it ends."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # this file system has no locks
    finally:
        os.close(descriptor)
    return False


def kept_text(path: Path) -> bytes:
    """The part of a log that is kept: all of it, or its beginning and its end with a note between.

    Raises:
        FileNotFoundError: there is none.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= 2 * KEPT_BYTES:
            return file.read()
        head = file.read(KEPT_BYTES)
        file.seek(size - KEPT_BYTES)
        note = f"\n[{size - 2 * KEPT_BYTES} bytes are left out here]\n".encode()
        return head + note + file.read(KEPT_BYTES)
