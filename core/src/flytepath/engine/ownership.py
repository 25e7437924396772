"""Who owns an execution: a name that tells, on the same machine, whether its process still lives."""

from __future__ import annotations

import os
import socket
from itertools import count
from pathlib import Path
from typing import Final

#: How long a lease lasts unless it is renewed, which is done three times in that time.
LEASE_SECONDS: Final = 30.0
_NUMBERS: Final = count(1)


def this_process() -> str:
    """``host/boot/pid/start``: never the same for two processes."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{_boot()}/{pid}/{_start_of(pid)}"


def this_engine() -> str:
    """``host/boot/pid/start/number``: a process may hold several engines."""
    return f"{this_process()}/{next(_NUMBERS)}"


def is_dead(owner: str) -> bool:
    """Whether ``owner`` was a process of this machine, since it last booted, that has certainly ended.

    ``False`` for owners of other machines: only their lease tells.

    Example:
        >>> is_dead(this_process())
        False
        >>> is_dead("elsewhere/boot/1/1")
        False
    """
    host, boot, pid, start, *_ = [*owner.split("/"), "", "", ""]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    if boot != _boot():
        return True
    return _start_of(int(pid)) != start


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _start_of(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where it does not exist."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self").exists() else _alive(pid)
    return "" if fields[0] == "Z" else fields[19]


def _alive(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    return "alive"
