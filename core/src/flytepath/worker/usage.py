"""What an attempt uses: time, processors and memory, with the processes it started."""

from __future__ import annotations

import os
import resource
import sys
import time
from contextlib import suppress

from flytepath.model.events import Usage

_CLEAR_PEAK = b"5"
#: The kernels that count in bytes are not Linux.
_UNIT = 1 if sys.platform == "darwin" else 1024


class Meter:
    """Measures from its making to :meth:`read`.

    The peak of memory is this attempt's own where the system lets it be reset. Elsewhere it is the process's, if that
    rose in this attempt, and else what is in use at the end. That of ended child processes counts if it was a new one.
    """

    __slots__ = ("_children", "_cpu", "_is_reset", "_peak", "_started")

    def __init__(self) -> None:
        self._is_reset = _reset_peak()
        self._peak = 0 if self._is_reset else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._started, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Usage:
        """What was used until now."""
        now, before = resource.getrusage(resource.RUSAGE_CHILDREN), self._children
        peak = self._own_peak()
        if now.ru_maxrss > before.ru_maxrss:
            peak = max(peak, now.ru_maxrss * _UNIT)
        children = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
        return Usage.model_construct(
            wall_seconds=time.perf_counter() - self._started,
            cpu_seconds=time.process_time() - self._cpu + children,
            peak_memory_bytes=peak,
        )

    def _own_peak(self) -> int:
        if self._is_reset:
            return _status(b"VmHWM:")
        lifetime = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return lifetime * _UNIT if lifetime > self._peak else _status(b"VmRSS:")


def _reset_peak() -> bool:
    """Let the peak of memory start at what is in use now; whether the system can."""
    try:
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.write(descriptor, _CLEAR_PEAK) == len(_CLEAR_PEAK)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _status(field: bytes) -> int:
    """A size in ``/proc/self/status`` in bytes; 0 where there is none."""
    with suppress(OSError, ValueError):
        descriptor = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, 8192)
        finally:
            os.close(descriptor)
        at = text.find(field)
        if at >= 0:
            return int(text[at + len(field) :].split(None, 1)[0]) * 1024
    return 0
