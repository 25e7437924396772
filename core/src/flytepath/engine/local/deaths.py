"""What is recorded of an attempt that did not end by itself: the worker died, or was ended for time or memory."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from flytepath.errors import WorkerError
from flytepath.model.events import ErrorRecord

#: The codes of two endings that are recorded and never raised.
OUT_OF_MEMORY: Final = "FP-OUT-OF-MEMORY"
PREEMPTED: Final = "FP-PREEMPTED"
#: So much of the end of a log is quoted.
_QUOTED: Final = 2000


def death_record(task: str, status: int, *, oom_kills: int = 0, printed: str = "") -> ErrorRecord:
    """The error of an attempt whose worker process ended under it.

    Args:
        task: its name.
        status: the exit status, negative for a signal.
        oom_kills: how many processes the machine has killed for want of memory since the worker came up.
        printed: the last that the attempt printed.
    """
    if status >= 0:
        return _record(
            task,
            f"the worker ended with exit status {status}",
            "something in the task ended the process, such as os._exit() or a library that gave up",
            printed,
        )
    name = _signal_name(-status)
    if name == "SIGKILL" and oom_kills:
        message = "the worker was killed by SIGKILL: the machine ran out of memory"
        hint = "ask for less at once, or set Resources(mem=) so that attempts that do not fit wait"
        return _record(task, message, hint, printed, code=OUT_OF_MEMORY)
    if name == "SIGTERM":
        return ErrorRecord(
            kind="preempted",
            code=PREEMPTED,
            message="the worker was told to go by SIGTERM",
            place=task,
            traceback=printed,
        )
    hint = "the machine may be short of memory" if name == "SIGKILL" else "a library in the task crashed"
    return _record(task, f"the worker was killed by {name}", hint, printed)


def closed_record(task: str) -> ErrorRecord:
    """The error of an attempt that closed the worker's connection to the engine."""
    return _record(
        task, "the worker closed its connection", "the task closed a file descriptor that it had not opened", ""
    )


def timeout_record(task: str, seconds: float) -> ErrorRecord:
    """The error of an attempt that took too long."""
    return ErrorRecord(
        kind="timeout",
        code="FP-TIMEOUT",
        message=f"the attempt took longer than its timeout of {seconds:g} s and was ended",
        place=task,
        hint="raise timeout= on the task, or make it faster",
    )


def memory_record(task: str, limit: int, used: int) -> ErrorRecord:
    """The error of an attempt that used more memory than it may."""
    return ErrorRecord(
        kind="system",
        code=OUT_OF_MEMORY,
        message=f"the attempt used {_shown(used)} of memory, over its limit of {_shown(limit)}",
        place=task,
        expected=f"at most {limit} bytes",
        actual=f"{used} bytes",
        hint="raise Resources(mem=) in limits= of the task, or hold less in memory at once",
    )


def oom_kills() -> int:
    """How many processes this machine has killed for want of memory since it came up; 0 where nobody counts."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def last_lines(path: str | Path, limit: int = _QUOTED) -> str:
    """The end of a log: at most ``limit`` bytes, from the beginning of a line; empty where there is no log."""
    with suppress(OSError), Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = os.pread(file.fileno(), limit, max(0, size - limit))
        if size > limit and b"\n" in data[:-1]:
            data = data[data.index(b"\n") + 1 :]
        return data.decode("utf-8", "replace")
    return ""


def size_of(path: str | Path) -> int:
    """The size of a log; an empty one is removed, and none is empty."""
    with suppress(OSError):
        size = Path(path).stat().st_size
        if not size:
            Path(path).unlink()
        return size
    return 0


def _shown(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _record(task: str, message: str, hint: str, printed: str, *, code: str = WorkerError.code) -> ErrorRecord:
    return ErrorRecord(kind="system", code=code, message=message, place=task, hint=hint, traceback=printed)
