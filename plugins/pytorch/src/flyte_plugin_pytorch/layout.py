"""Who the ranks of a gang on one machine are: their numbers, and the variables that tell each of the others.

The variables are those of ``torchrun``, so code that runs under it runs here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flytepath.plugin import DefinitionError

from flyte_plugin_pytorch.gang import Place


@dataclass(frozen=True, slots=True)
class OneMachine:
    """All nodes of a gang on this machine, stood in for by processes.

    Args:
        nodes: how many.
        per_node: how many ranks on each.
        max_restarts: as the ranks are told.
        run_id: a name for the gang.
        devices: the GPUs of this machine; they are shared out among the nodes.
    """

    nodes: int
    per_node: int
    max_restarts: int
    run_id: str
    devices: int = 0

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return self.nodes * self.per_node

    def places(self, address: str, port: int, restarts: int) -> Sequence[Place]:
        """The ranks, for a store at ``address:port``, after so many restarts."""
        return [
            Place(node * self.per_node + local, self._variables(node, local, address, port, restarts))
            for node in range(self.nodes)
            for local in range(self.per_node)
        ]

    def _variables(self, node: int, local: int, address: str, port: int, restarts: int) -> Mapping[str, str]:
        rank = node * self.per_node + local
        numbers = {
            "RANK": rank,
            "LOCAL_RANK": local,
            "GROUP_RANK": node,
            "ROLE_RANK": rank,
            "WORLD_SIZE": self.world_size,
            "LOCAL_WORLD_SIZE": self.per_node,
            "GROUP_WORLD_SIZE": self.nodes,
            "ROLE_WORLD_SIZE": self.world_size,
            "MASTER_PORT": port,
            "TORCHELASTIC_RESTART_COUNT": restarts,
            "TORCHELASTIC_MAX_RESTARTS": self.max_restarts,
        }
        variables = {name: str(number) for name, number in numbers.items()}
        variables |= {
            "MASTER_ADDR": address,
            "ROLE_NAME": "default",
            "TORCHELASTIC_RUN_ID": self.run_id,
            # The supervisor holds the store: rank 0 must not open another.
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        variables |= defaults(self.world_size, is_one_machine=True)
        if self.nodes > 1 and (share := self.devices // self.nodes):
            own = range(node * share, (node + 1) * share)
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(str(visible(device)) for device in own)
        return variables


def defaults(world_size: int, *, is_one_machine: bool) -> dict[str, str]:
    """Variables that are set unless somebody has set them."""
    wanted = {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}
    if world_size > 1:
        wanted["OMP_NUM_THREADS"] = "1"  # as torchrun does: many ranks with all cores each are slower than one
    if is_one_machine:
        # Otherwise gloo takes the interface of the machine's name, which may be none, or one that others reach.
        wanted["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    return {name: value for name, value in wanted.items() if name not in os.environ}


def visible(device: int) -> str:
    """The name of this process's ``device``-th GPU for its children, which are told anew which ones they see."""
    seen = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    return seen[device] if device < len(seen) else str(device)


def processes(asked: int | str, place: str) -> int:
    """How many ranks a node has.

    Raises:
        DefinitionError: as many as GPUs are asked for, and there are none.
    """
    if isinstance(asked, int):
        return asked
    devices = gpus()
    if asked == "gpu" and not devices:
        raise DefinitionError(
            "there is no GPU that torch can use",
            place=place,
            expected="one at least, for nproc_per_node='gpu'",
            hint="nproc_per_node='auto' takes processors where there is no GPU",
        )
    if asked != "cpu" and devices:
        return devices
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """The GPUs that this process could use; counting them takes none."""
    import torch

    return int(torch.cuda.device_count())
