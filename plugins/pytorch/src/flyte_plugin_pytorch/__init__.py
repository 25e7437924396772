"""PyTorch for FlytePath: gangs of processes, and tensors, modules and checkpoints as types.

The names are resolved on first use; torch itself is imported only in the processes that run a task with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.plugin import lazy_names

if TYPE_CHECKING:
    from flyte_plugin_pytorch.config import (
        CleanPodPolicy,
        Elastic,
        Master,
        PyTorch,
        RestartPolicy,
        RunPolicy,
        Worker,
    )
    from flyte_plugin_pytorch.errors import RankDiedError, RankFailedError, RankOutOfMemoryError
    from flyte_plugin_pytorch.saves import load_checkpoint, preempted, save_checkpoint
    from flyte_plugin_pytorch.types.checkpoint import PyTorchCheckpoint

_HOME_OF = {
    "CleanPodPolicy": "config",
    "Elastic": "config",
    "Master": "config",
    "PyTorch": "config",
    "PyTorchCheckpoint": "types.checkpoint",
    "RankDiedError": "errors",
    "RankFailedError": "errors",
    "RankOutOfMemoryError": "errors",
    "RestartPolicy": "config",
    "RunPolicy": "config",
    "Worker": "config",
    "load_checkpoint": "saves",
    "preempted": "saves",
    "save_checkpoint": "saves",
}

__all__ = [
    "CleanPodPolicy",
    "Elastic",
    "Master",
    "PyTorch",
    "PyTorchCheckpoint",
    "RankDiedError",
    "RankFailedError",
    "RankOutOfMemoryError",
    "RestartPolicy",
    "RunPolicy",
    "Worker",
    "load_checkpoint",
    "preempted",
    "save_checkpoint",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
