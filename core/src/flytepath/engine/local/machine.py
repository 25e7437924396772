"""What this machine has for attempts: cores, memory and GPUs, as far as this process may use them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flytepath.model.resources import Resources

#: cgroup v1 says "no limit" with a number about as large as memory can be.
_NO_LIMIT: Final = 2**60


@dataclass(frozen=True, slots=True)
class LocalAsk:
    """What an attempt asks of the machine besides a slot.

    Example:
        >>> LocalAsk.of(Resources(cpu="500m", mem="1Gi"))
        LocalAsk(cpu=0.5, memory=1073741824, gpus=0)
        >>> bool(LocalAsk.of(Resources()))
        False
    """

    cpu: float = 0.0
    memory: int = 0
    gpus: int = 0

    @classmethod
    def of(cls, requests: Resources) -> LocalAsk:
        """What a task requests."""
        return cls(requests.cpu_cores or 0.0, requests.mem_bytes or 0, requests.gpu_count or 0)

    def __bool__(self) -> bool:
        return bool(self.cpu or self.memory or self.gpus)


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is.

    Args:
        cpu: cores; a fraction where a container is given one.
        memory: bytes.
        gpus: the names of the devices, as ``CUDA_VISIBLE_DEVICES`` takes them.
    """

    cpu: float
    memory: int
    gpus: tuple[str, ...] = ()

    @classmethod
    def detect(cls, cpu: float | None = None, memory: int | None = None, gpu: int | None = None) -> Machine:
        """This machine, or what a person says instead.

        Args:
            cpu, memory: in place of what is found.
            gpu: so many of the devices; more than are found are counted on from the last.
        """
        devices = visible_gpus(os.environ, Path("/dev"))
        if gpu is not None:
            more = (str(number) for number in range(10**6) if str(number) not in devices)
            devices = (*devices, *(next(more) for _ in range(gpu - len(devices))))[:gpu]
        return cls(cores() if cpu is None else cpu, memory_bytes() if memory is None else memory, devices)

    def clamp(self, ask: LocalAsk) -> LocalAsk:
        """The ask, of nothing more than there is: a workflow that is made for a cluster runs here too, alone.

        Example:
            >>> Machine(2, 2**30).clamp(LocalAsk(cpu=64, memory=2**40, gpus=8))
            LocalAsk(cpu=2, memory=1073741824, gpus=0)
        """
        return LocalAsk(min(ask.cpu, self.cpu), min(ask.memory, self.memory), min(ask.gpus, len(self.gpus)))


def cores(root: Path = Path("/")) -> float:
    """Cores this process may use: those it is bound to, or the quota of its control group where that is less."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [float(bound)]
    for text in _of_groups(root, "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    for quota, period in zip(
        _of_groups(root, "cpu.cfs_quota_us", "cpu"), _of_groups(root, "cpu.cfs_period_us", "cpu"), strict=False
    ):
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas)


def memory_bytes(root: Path = Path("/")) -> int:
    """Bytes of memory this process may use: the machine's, or the limit of its control group where that is less."""
    import psutil

    limits = [int(psutil.virtual_memory().total)]
    found = [*_of_groups(root, "memory.max"), *_of_groups(root, "memory.limit_in_bytes", "memory")]
    limits += [int(text) for text in found if text.isdigit() and 0 < int(text) < _NO_LIMIT]
    return min(limits)


def visible_gpus(environment: Mapping[str, str], devices: Path) -> tuple[str, ...]:
    """The GPUs this process may use: what ``CUDA_VISIBLE_DEVICES`` names, else the devices there are.

    Example:
        >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-8f3a"}, Path("/dev"))
        ('2', 'GPU-8f3a')
        >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, Path("/dev"))
        ()
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        found: list[str] = []
        for name in (part.strip() for part in named.split(",")):
            # The driver stops at the first one that it does not know; so names after a -1 do not count.
            if not name or name.startswith("-") or name.lower() in ("nodevfiles", "none", "void"):
                break
            found.append(name)
        return tuple(found)
    numbers = [match[1] for path in devices.glob("nvidia[0-9]*") if (match := re.fullmatch(r"nvidia(\d+)", path.name))]
    return tuple(sorted(numbers, key=int))


def _of_groups(root: Path, name: str, controller: str = "") -> list[str]:
    """What a file says in the control group of this process and in those around it; v2, or v1 of a controller."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    mount = root / "sys/fs/cgroup" / controller
    found: list[str] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(","):
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mount):
                break
            try:
                found.append((folder / name).read_text().strip())
            except OSError:  # not every group has a limit, and a container sees its own as the root
                continue
    return found
