"""The devices a task may ask for by name: GPUs, slices of GPUs, and slices of TPU pods.

``Resources(gpu=...)`` says how many; an accelerator says which. The names are those that nodes carry as labels on
Google Kubernetes Engine, which other installations follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, need_flag, need_optional_text, need_text, need_texts, set_field


@dataclass(frozen=True, slots=True)
class Accelerator(Declared):
    """What every accelerator says: the device and, where it can be cut, which part of it.

    Args:
        device: the device's name, as nodes are labelled with it.
        partition: the slice that is wanted; ``None`` leaves it open.
        whole: only a device that is not cut into slices will do.
    """

    device: str
    partition: str | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        kind = type(self).__name__
        need_text(self.device, f"{kind}(device)")
        need_optional_text(self.partition, f"{kind}(partition)")
        need_flag(self.whole, f"{kind}(whole)")
        if self.whole and self.partition:
            raise DefinitionError(
                "an accelerator is asked for whole or as a slice, not both",
                place=f"{kind}({self.device})",
                actual=f"partition={self.partition!r}, whole=True",
            )


@dataclass(frozen=True, slots=True)
class GPUAccelerator(Accelerator):
    """A GPU by its name.

    Args:
        device: the device's name, as nodes are labelled with it.

    Raises:
        DefinitionError: the name is empty.

    Example:
        >>> GPUAccelerator("nvidia-tesla-t4").to_json()
        {'device': 'nvidia-tesla-t4'}
        >>> T4 == GPUAccelerator("nvidia-tesla-t4")
        True
    """


@dataclass(frozen=True, slots=True)
class MultiInstanceGPUAccelerator(GPUAccelerator):
    """A GPU that can be cut into slices, or an accelerator that comes in slices.

    Args:
        device: the device's name.
        partition: the slice that is wanted; ``None`` leaves it open.
        whole: only a device that is not cut will do.
        sizes: the slices there are; each is also an attribute, ``partition_1g_5gb`` for ``"1g.5gb"``.

    Raises:
        DefinitionError: there is no such slice.

    Example:
        >>> A100.partition_1g_5gb.to_json()
        {'device': 'nvidia-tesla-a100', 'partition': '1g.5gb'}
        >>> A100.partition_1g_5gb == A100.partitioned("1g.5gb")
        True
        >>> A100.unpartitioned.to_json()
        {'device': 'nvidia-tesla-a100', 'whole': True}
        >>> A100.partitioned("9g.90gb")
        Traceback (most recent call last):
        flytepath.errors.DefinitionError: [FP-DEFINITION] nvidia-tesla-a100 has no slice '9g.90gb'
          at: nvidia-tesla-a100
          expected: one of 1g.5gb, 2g.10gb, 3g.20gb, 4g.20gb, 7g.40gb
          actual: 9g.90gb
    """

    sizes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Not super(): a slotted data class is made anew, and the bare form would still mean the old one.
        Accelerator.__post_init__(self)
        set_field(self, "sizes", need_texts(self.sizes, f"{type(self).__name__}(sizes)"))
        if self.partition is not None and self.sizes and self.partition not in self.sizes:
            raise DefinitionError(
                f"{self.device} has no slice {self.partition!r}",
                place=self.device,
                expected=f"one of {', '.join(self.sizes)}",
                actual=self.partition,
            )

    @property
    def unpartitioned(self) -> Self:
        """Only a device that is not cut into slices."""
        return replace(self, whole=True, partition=None)

    def partitioned(self, partition_size: str) -> Self:
        """The slice of a size, for example ``"1g.5gb"``, or ``"2x2"`` of a TPU pod.

        Raises:
            DefinitionError: the device has no such slice.
        """
        return replace(self, whole=False, partition=need_text(partition_size, f"{self.device}.partitioned()"))

    def to_json(self) -> dict[str, Any]:
        """The device and the part of it; which slices there are is the device's own affair."""
        return {key: value for key, value in Declared.to_json(self).items() if key != "sizes"}

    def __getattr__(self, name: str) -> Self:
        head, _, size = name.partition("_")
        if head in ("partition", "slice"):
            for known in self.sizes:
                if size == known.replace(".", "_"):
                    return self.partitioned(known)
        if name.startswith("__") or not self.sizes:
            raise AttributeError(name)
        raise AttributeError(f"{self.device} has no {name!r}; its slices are {', '.join(_attributes(self))}")

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *_attributes(self)]


@dataclass(frozen=True, slots=True)
class TPUAccelerator(MultiInstanceGPUAccelerator):
    """A slice of a TPU pod, by topology.

    Example:
        >>> V5E.slice_2x4.to_json()
        {'device': 'tpu-v5-lite-podslice', 'partition': '2x4'}
    """


def _attributes(accelerator: MultiInstanceGPUAccelerator) -> list[str]:
    head = "slice_" if isinstance(accelerator, TPUAccelerator) else "partition_"
    return [head + size.replace(".", "_") for size in accelerator.sizes]


def accelerator_from_json(data: Mapping[str, Any]) -> Accelerator:
    """The accelerator that wrote ``data`` with ``to_json``: a named one where its device is known here.

    Example:
        >>> accelerator_from_json(A100.partition_1g_5gb.to_json()) == A100.partition_1g_5gb
        True
        >>> accelerator_from_json({"device": "acme-x1"})
        GPUAccelerator(device='acme-x1', partition=None, whole=False)
    """
    read = Accelerator.from_json(data)
    known = _BY_DEVICE.get(read.device)
    if known is None:
        return GPUAccelerator(read.device, read.partition, read.whole)
    return replace(known, partition=read.partition, whole=read.whole)


def _mig(device: str, *sizes: str) -> MultiInstanceGPUAccelerator:
    return MultiInstanceGPUAccelerator(device, sizes=sizes)


def _pod(device: str, *sizes: str) -> TPUAccelerator:
    return TPUAccelerator(device, sizes=sizes)


A10G: Final = GPUAccelerator("nvidia-a10g")
K80: Final = GPUAccelerator("nvidia-tesla-k80")
L4: Final = GPUAccelerator("nvidia-l4")
L4_VWS: Final = GPUAccelerator("nvidia-l4-vws")
L40S: Final = GPUAccelerator("nvidia-l40s")
M60: Final = GPUAccelerator("nvidia-tesla-m60")
P4: Final = GPUAccelerator("nvidia-tesla-p4")
P100: Final = GPUAccelerator("nvidia-tesla-p100")
RTX_PRO_6000: Final = GPUAccelerator("nvidia-rtx-pro-6000")
T4: Final = GPUAccelerator("nvidia-tesla-t4")
V100: Final = GPUAccelerator("nvidia-tesla-v100")

# The profiles are those of NVIDIA's Multi-Instance GPU user guide.
A100: Final = _mig("nvidia-tesla-a100", "1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb")
A100_80GB: Final = _mig("nvidia-a100-80gb", "1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")
H100: Final = _mig("nvidia-h100", "1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")
H200: Final = _mig("nvidia-h200", "1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb")

# The topologies are those of Google's TPU documentation.
V5E: Final = _pod("tpu-v5-lite-podslice", "1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
V5P: Final = _pod(
    "tpu-v5p-slice",
    *("2x2x1", "2x2x2", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16", "16x16x16", "16x16x24"),
)
V6E: Final = _pod("tpu-v6e-slice", "1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")

_BY_DEVICE: Final[Mapping[str, Accelerator]] = {
    one.device: one for one in list(globals().values()) if isinstance(one, Accelerator)
}
