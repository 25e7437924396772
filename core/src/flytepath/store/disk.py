"""The disk under the store: folders that exist, names that are durable, and what a refused write means."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flytepath.errors import StoreError, StoreFullError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def create_folder(folder: Path) -> None:
    """Make ``folder`` and its parents, or say why it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise folder_error(error, folder) from error


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Wait for a turn in ``folder`` among the processes of this machine; the system ends it with the process."""
    import fcntl

    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def folder_error(error: OSError, path: Path | str) -> StoreError:
    """What an operating-system error on ``path`` means for the store."""
    if error.errno in _FULL:
        return StoreFullError(
            "the disk is full",
            place=str(path),
            actual=error.strerror,
            hint="free some space or raise the quota, then try again; what was recorded before is intact",
        )
    return StoreError(
        "the store's folder cannot be used",
        place=str(path),
        expected="a folder that this user can read and write",
        actual=error.strerror or str(error),
        hint="choose another with FLYTEPATH_HOME, or change what lies there",
    )
