"""What a task asks of the machine it runs on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flytepath.errors import DefinitionError

_CPU = re.compile(r"(\d+)m|\d+(\.\d+)?")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?")
_FACTORS = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_FACTORS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


@dataclass(frozen=True, slots=True)
class Resources:
    """A request for, or a limit on, a machine's resources, in Kubernetes' quantities.

    Args:
        cpu: cores, ``"2"``, ``"500m"``, ``1`` or ``0.5``.
        mem: bytes, ``"4Gi"``, ``"500M"``.
        gpu: whole devices.
        ephemeral_storage: bytes of scratch disk.

    Raises:
        DefinitionError: a quantity that cannot be read.

    Example:
        >>> Resources(cpu="500m", mem="1Gi").cpu_cores
        0.5
        >>> Resources(mem="1Gi").mem_bytes
        1073741824
    """

    cpu: str | int | float | None = None
    mem: str | int | None = None
    gpu: str | int | None = None
    ephemeral_storage: str | int | None = None

    def __post_init__(self) -> None:
        _ = self.cpu_cores, self.mem_bytes, self.gpu_count, self.ephemeral_storage_bytes

    @property
    def cpu_cores(self) -> float | None:
        """Cores as a number."""
        if self.cpu is None:
            return None
        text = str(self.cpu)
        match = _CPU.fullmatch(text)
        if match is None:
            raise _unreadable("cpu", text, "a number of cores such as 2, 0.5 or '500m'")
        return int(match[1]) / 1000 if match[1] else float(text)

    @property
    def mem_bytes(self) -> int | None:
        """Memory in bytes."""
        return _bytes("mem", self.mem)

    @property
    def gpu_count(self) -> int | None:
        """Whole GPUs."""
        if self.gpu is None:
            return None
        if not str(self.gpu).isdigit():
            raise _unreadable("gpu", str(self.gpu), "a whole number of devices")
        return int(self.gpu)

    @property
    def ephemeral_storage_bytes(self) -> int | None:
        """Scratch disk in bytes."""
        return _bytes("ephemeral_storage", self.ephemeral_storage)

    def to_json(self) -> dict[str, Any]:
        """Only the quantities that are set, as they were written."""
        pairs = (
            ("cpu", self.cpu),
            ("mem", self.mem),
            ("gpu", self.gpu),
            ("ephemeral_storage", self.ephemeral_storage),
        )
        return {name: value for name, value in pairs if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Resources:
        """The inverse of :meth:`to_json`."""
        return cls(**data)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from flytepath.model.pydantic_support import json_object_schema

        return json_object_schema(cls)


def _bytes(name: str, value: str | int | None) -> int | None:
    if value is None:
        return None
    match = _BYTES.fullmatch(str(value))
    if match is None:
        raise _unreadable(name, str(value), "bytes such as '500M' or '4Gi'")
    return int(float(match[1]) * _FACTORS[match[2]])


def _unreadable(name: str, actual: str, expected: str) -> DefinitionError:
    return DefinitionError(f"cannot read the {name} of a resource request", expected=expected, actual=actual)
