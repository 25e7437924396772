"""What SageMaker's machines have, as far as it is known here: enough to refuse what could never fit.

Sizes of EC2's families that SageMaker offers with the prefix ``ml.``: https://aws.amazon.com/ec2/instance-types/
A machine that is not known here is not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flytepath.plugin import Resources

from flyte_plugin_sagemaker.errors import SageMakerTaskError

_GIB: Final = 2**30
_CORES: Final[Mapping[str, int]] = {
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
    "24xlarge": 96,
}
#: GiB of memory for each core, by family; the sizes of ``c5`` above 4xlarge are of other numbers.
_MEMORY: Final[Mapping[str, float]] = {"m5": 4, "m5d": 4, "m6i": 4, "m7i": 4, "r5": 8, "r6i": 8, "r7i": 8, "c6i": 2}
_GPUS: Final[Mapping[str, tuple[int, float, int]]] = {
    "g4dn.xlarge": (4, 16, 1),
    "g4dn.2xlarge": (8, 32, 1),
    "g4dn.4xlarge": (16, 64, 1),
    "g4dn.8xlarge": (32, 128, 1),
    "g4dn.12xlarge": (48, 192, 4),
    "g4dn.16xlarge": (64, 256, 1),
    "g5.xlarge": (4, 16, 1),
    "g5.2xlarge": (8, 32, 1),
    "g5.4xlarge": (16, 64, 1),
    "g5.8xlarge": (32, 128, 1),
    "g5.12xlarge": (48, 192, 4),
    "g5.16xlarge": (64, 256, 1),
    "g5.24xlarge": (96, 384, 4),
    "g5.48xlarge": (192, 768, 8),
    "p3.2xlarge": (8, 61, 1),
    "p3.8xlarge": (32, 244, 4),
    "p3.16xlarge": (64, 488, 8),
    "p4d.24xlarge": (96, 1152, 8),
    "p5.48xlarge": (192, 2048, 8),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine has.

    Args:
        cores: virtual ones.
        memory: bytes.
        gpus: whole devices.
    """

    cores: int
    memory: int
    gpus: int


def machine_of(instance_type: str) -> Machine | None:
    """What a machine of that name has; ``None`` where it is not known here.

    Example:
        >>> machine_of("ml.m5.xlarge")
        Machine(cores=4, memory=17179869184, gpus=0)
    """
    name = instance_type.removeprefix("ml.")
    if name in _GPUS:
        cores, gib, gpus = _GPUS[name]
        return Machine(cores, int(gib * _GIB), gpus)
    family, _, size = name.partition(".")
    if family in _MEMORY and size in _CORES:
        return Machine(_CORES[size], int(_CORES[size] * _MEMORY[family] * _GIB), 0)
    return None


def check_resources(instance_type: str, requests: Resources, task: str) -> None:
    """Refuse a task that asks for more than its machine has.

    Raises:
        SageMakerTaskError: what does not fit.
    """
    machine = machine_of(instance_type)
    if machine is None:
        return
    for name, wanted, there in (
        ("cpu", requests.cpu_cores, machine.cores),
        ("mem", requests.mem_bytes, machine.memory),
        ("gpu", requests.gpu_count, machine.gpus),
    ):
        if wanted is not None and wanted > there:
            raise SageMakerTaskError(
                f"an {instance_type} has less {name} than {task} asks for",
                place=f"{task}(requests.{name})",
                expected=f"at most {there / _GIB:g}Gi" if name == "mem" else f"at most {there}",
                actual=str(getattr(requests, name)),
                hint="choose the machine: SagemakerTraining(instance_type=...), or instance_type in the settings",
            )


__all__ = ["Machine", "check_resources", "machine_of"]
