"""The watch over memory: what the processes of attempts use together, looked at several times a second."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: How often the processes are looked at while an attempt with a limit runs.
WATCH_SECONDS = 0.2


@dataclass(slots=True, eq=False)
class Watched:
    """One attempt that is watched; ``peak`` is the most that was seen of it, in bytes."""

    group: int
    limit: int
    on_over: Callable[[int], None]
    peak: int = 0


class MemoryWatch:
    """Looks at process groups, and tells of those that are over their limit. Costs nothing while nobody is watched.

    Resident pages are summed over the group, which is cheap. What several processes share is then counted several
    times, and mapped files are counted that the system can drop at any time; so a group that seems to be over is
    looked at closely, and what decides is each process's own share of memory that holds no file.
    """

    def __init__(self, seconds: float = WATCH_SECONDS) -> None:
        self._seconds = seconds
        self._watched: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, group: int, limit: int, on_over: Callable[[int], None]) -> Watched:
        """Watch a process group.

        Args:
            group: its id.
            limit: in bytes.
            on_over: told once, on the loop, with the bytes in use.
        """
        item = Watched(group, limit, on_over)
        self._watched.add(item)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        return item

    def remove(self, item: Watched) -> None:
        """Watch it no more."""
        self._watched.discard(item)

    async def close(self) -> None:
        """Watch nothing more."""
        self._watched.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._watched:
            found = await asyncio.to_thread(_memory_of, {item.group: item.limit for item in self._watched})
            for item in tuple(self._watched):
                used = found.get(item.group, 0)
                item.peak = max(item.peak, used)
                if used > item.limit:
                    self._watched.discard(item)
                    item.on_over(used)
            await asyncio.sleep(self._seconds)


def _memory_of(limits: dict[int, int]) -> dict[int, int]:
    """What each process group uses, by its id; exact where that is more than its limit."""
    members = members_of(limits)
    used = {group: sum(map(_resident, pids)) for group, pids in members.items()}
    for group, limit in limits.items():
        if used[group] > limit:
            used[group] = sum(map(_share, members[group]))
    return used


def members_of(groups: Iterable[int]) -> dict[int, list[int]]:
    """The processes of each group."""
    import psutil

    found: dict[int, list[int]] = {group: [] for group in groups}
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            members = found.get(os.getpgid(pid))
            if members is not None:
                members.append(pid)
    return found


def _resident(pid: int) -> int:
    import psutil

    with suppress(psutil.Error, OSError):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _share(pid: int) -> int:
    """A process's share of memory that holds no file; its resident pages where the system does not say."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return _resident(pid)
    sizes = {line.partition(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
    if "Pss_Anon" not in sizes:
        return _resident(pid)
    return 1024 * (int(sizes["Pss_Anon"]) + int(sizes.get("Pss_Shmem", 0)))
