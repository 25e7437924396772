"""What a task asks of the machine it runs on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, set_field

_CPU = re.compile(r"(\d+)m|\d+(\.\d+)?", re.ASCII)
_BYTES = re.compile(r"(\d+)(\.\d+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?", re.ASCII)
_FACTORS = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_FACTORS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_NAMES = ("cpu", "mem", "gpu", "ephemeral_storage")

Quantity = str | int | float
#: One quantity, or a pair of request and limit.
Wanted = Quantity | tuple[Quantity, Quantity] | list[Quantity] | None


@dataclass(frozen=True, slots=True)
class Resources(Declared):
    """A request for, or a limit on, a machine's resources, in Kubernetes' quantities.

    Each may be a pair ``(request, limit)``, for the ``resources=`` argument that sets both at once; ``requests=`` and
    ``limits=`` take single quantities. In ``resources=`` a single quantity is both the request and the limit.

    Args:
        cpu: cores, ``"2"``, ``"500m"``, ``1`` or ``0.5``.
        mem: bytes, ``"4Gi"``, ``"500M"``.
        gpu: whole devices.
        ephemeral_storage: bytes of scratch disk.

    Raises:
        DefinitionError: a quantity that cannot be read, a negative one, or a limit below its request.

    Example:
        >>> Resources(cpu="500m", mem="1Gi").cpu_cores
        0.5
        >>> Resources(mem="1Gi").mem_bytes
        1073741824
        >>> both = Resources(cpu=("1", "2"), mem="1Gi")
        >>> both.requests
        Resources(cpu='1', mem='1Gi', gpu=None, ephemeral_storage=None)
        >>> both.limits
        Resources(cpu='2', mem='1Gi', gpu=None, ephemeral_storage=None)
    """

    cpu: Wanted = None
    mem: Wanted = None
    gpu: Wanted = None
    ephemeral_storage: Wanted = None

    def __post_init__(self) -> None:
        for name in _NAMES:
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, list | tuple):
                _read(name, value)
                continue
            if len(value) != 2:
                raise DefinitionError(
                    f"the {name} of a resource request is one quantity, or a request and a limit",
                    place=f"Resources({name})",
                    expected="(request, limit)",
                    actual=repr(value),
                )
            set_field(self, name, tuple(value))
            if _read(name, value[0]) > _read(name, value[1]):
                raise DefinitionError(
                    f"the limit of {name} is below its request",
                    place=f"Resources({name})",
                    expected=f"a limit of at least {value[0]}",
                    actual=str(value[1]),
                )

    @property
    def is_range(self) -> bool:
        """Whether any quantity is a pair of request and limit."""
        return any(isinstance(getattr(self, name), tuple) for name in _NAMES)

    @property
    def requests(self) -> Resources:
        """The first of each pair; single quantities as they are."""
        return self._side(0)

    @property
    def limits(self) -> Resources:
        """The second of each pair; single quantities as they are."""
        return self._side(1)

    def _side(self, side: int) -> Resources:
        if not self.is_range:
            return self
        values = {name: getattr(self, name) for name in _NAMES}
        return Resources(**{name: value[side] if isinstance(value, tuple) else value for name, value in values.items()})

    @property
    def cpu_cores(self) -> float | None:
        """Cores as a number."""
        return self._single("cpu")

    @property
    def mem_bytes(self) -> int | None:
        """Memory in bytes."""
        return self._whole("mem")

    @property
    def gpu_count(self) -> int | None:
        """Whole GPUs."""
        return self._whole("gpu")

    @property
    def ephemeral_storage_bytes(self) -> int | None:
        """Scratch disk in bytes."""
        return self._whole("ephemeral_storage")

    def _single(self, name: str) -> float | None:
        value = getattr(self, name)
        if value is None:
            return None
        if isinstance(value, tuple):
            raise DefinitionError(
                f"the {name} is a request and a limit, where one quantity is meant",
                place=f"Resources({name})",
                expected="one quantity",
                actual=repr(value),
                hint="pairs belong into `resources=`; `requests=` and `limits=` take one quantity each",
            )
        return _read(name, value)

    def _whole(self, name: str) -> int | None:
        value = self._single(name)
        return None if value is None else int(value)


def _read(name: str, value: Any) -> float:
    text = "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value)
    if name == "cpu":
        match = _CPU.fullmatch(text)
        if match is None:
            raise _unreadable(name, value, "a number of cores such as 2, 0.5 or '500m'")
        return int(match[1]) / 1000 if match[1] else float(text)
    if name == "gpu":
        if not (text.isascii() and text.isdecimal()):
            raise _unreadable(name, value, "a whole number of devices")
        return int(text)
    match = _BYTES.fullmatch(text)
    if match is None:
        hint = "the units have no B: write 'Gi' or 'G'" if text.endswith(("B", "b")) else None
        raise _unreadable(name, value, "bytes such as '500M' or '4Gi'", hint)
    factor = _FACTORS[match[3]]
    return int(match[1]) * factor + (int(float(match[2]) * factor) if match[2] else 0)


def _unreadable(name: str, actual: Any, expected: str, hint: str | None = None) -> DefinitionError:
    if str(actual).lstrip().startswith("-"):
        hint = "nobody can be given less than nothing"
    return DefinitionError(
        f"cannot read the {name} of a resource request",
        place=f"Resources({name})",
        expected=expected,
        actual=repr(actual),
        hint=hint,
    )
