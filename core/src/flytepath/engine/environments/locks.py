"""Who makes an environment, and who uses it: locks between processes that end with the process that holds them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_POLL_SECONDS: Final = 0.1


class FileLock:
    """A lock on a file that names its holder. Taken in this process or in another, it is taken."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def try_alone(self) -> bool:
        """Take it for oneself; false where somebody has it."""
        if not self._try(fcntl.LOCK_EX):
            return False
        holder = {"pid": os.getpid(), "host": platform.node(), "since": time.time()}
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(holder).encode(), 0)
        return True

    def try_shared(self) -> bool:
        """Take it together with others who do; false where somebody has it alone."""
        return self._try(fcntl.LOCK_SH)

    async def alone(self, on_wait: Callable[[str], None]) -> None:
        """Wait until it can be taken for oneself; ``on_wait`` is told once who holds it."""
        told = False
        while not self.try_alone():
            if not told:
                told = True
                on_wait(self.holder())
            await asyncio.sleep(_POLL_SECONDS)

    def holder(self) -> str:
        """Who took it last, for people."""
        try:
            said: Any = json.loads(os.pread(self.descriptor, 4096, 0))
            return f"process {said['pid']} on {said['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def close(self) -> None:
        """Let it go. A tool that was given the descriptor keeps holding it until it ends."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
