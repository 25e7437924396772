"""Which machine of a training job this is: what SageMaker writes into every container.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flyte_plugin_sagemaker.errors import TrainingHostError

Json = Any

#: Where a container has its files, unless this variable of SageMaker's own training toolkit says otherwise.
BASE_VARIABLE: Final = "SAGEMAKER_BASE_DIR"
_BASE: Final = "/opt/ml"
_PORT: Final = 29_500


@dataclass(frozen=True, slots=True)
class TrainingHost:
    """This machine among those of its job, at ``current_context().sagemaker``.

    Attributes:
        current_host: its name, as ``algo-1``.
        hosts: the names of all, in order.
        network_interface_name: the interface they speak over.
        base: the folder with ``input``, ``model``, ``output`` and ``checkpoints``.

    Example:
        >>> host = TrainingHost("algo-2", ("algo-1", "algo-2"), "eth0", Path("/opt/ml"))
        >>> host.rank, host.world_size, host.is_first
        (1, 2, False)
    """

    current_host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    network_interface_name: str = "eth0"
    base: Path = Path(_BASE)

    @property
    def rank(self) -> int:
        """Its place, from 0."""
        return self.hosts.index(self.current_host)

    @property
    def world_size(self) -> int:
        """How many machines there are."""
        return len(self.hosts)

    @property
    def is_first(self) -> bool:
        """Whether its result is the task's."""
        return self.rank == 0

    @property
    def model_dir(self) -> Path:
        """What is left here, SageMaker packs and uploads as the job's model artifact."""
        return self.base / "model"

    def channel(self, name: str) -> Path:
        """Where the data of a channel lie."""
        return self.base / "input" / "data" / name

    def variables(self) -> dict[str, str]:
        """What ``torch.distributed`` wants to know, for one process on each machine."""
        return {
            "MASTER_ADDR": self.hosts[0],
            "MASTER_PORT": str(_PORT),
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": "0",
            "NCCL_SOCKET_IFNAME": self.network_interface_name,
        }


def training_host() -> TrainingHost:
    """This machine; a single one where this is no training container.

    Raises:
        TrainingHostError: the container's own description cannot be read, or does not name this machine.
    """
    base = Path(os.environ.get(BASE_VARIABLE) or _BASE)
    path = base / "input" / "config" / "resourceconfig.json"
    if not path.is_file():
        if os.environ.get("TRAINING_JOB_NAME"):
            raise TrainingHostError("SageMaker has not said which machine this is", place=str(path))
        return TrainingHost(base=base)
    try:
        said: Json = json.loads(path.read_text(encoding="utf-8"))
        # The order of the file is not said to be the same everywhere.
        hosts = tuple(sorted(said["hosts"], key=lambda host: (len(host), host)))
        found = TrainingHost(said["current_host"], hosts, said.get("network_interface_name") or "eth0", base)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingHostError(
            "what SageMaker says of this machine cannot be read", place=str(path), actual=str(error)
        ) from error
    if found.current_host not in found.hosts:
        raise TrainingHostError("this machine is none of the job's", place=str(path), actual=found.current_host)
    return found


__all__ = ["BASE_VARIABLE", "TrainingHost", "training_host"]
