"""A folder for what a direct call leaves behind: it lives as long as the process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path


def folder_of_this_process() -> Path:
    """A new empty folder that is removed when this process ends, if nobody removed it before.

    Example:
        >>> folder_of_this_process() == folder_of_this_process()
        False
    """
    folder = _root() / uuid.uuid4().hex
    folder.mkdir()
    return folder


@cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="flytepath-outputs-"))
    atexit.register(_remove, root, os.getpid())
    return root


def _remove(root: Path, owner: int) -> None:
    # A forked child that ends must not take its parent's files along.
    if os.getpid() == owner:
        shutil.rmtree(root, ignore_errors=True)
