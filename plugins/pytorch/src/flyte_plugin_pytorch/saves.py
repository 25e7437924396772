"""Checkpoints of a training loop that is a gang: every rank calls, rank 0 saves, and all go on from the same state.

They stand on the task's own checkpoint, ``current_context().checkpoint``, and work outside a gang as well.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from flytepath import current_context
from flytepath.plugin import TaskFailedError

#: What is told in place of a step.
_FAILED: Final = -1
_NOTHING: Final = -2


def save_checkpoint(state: Any, *, step: int, keep: int | None = None) -> None:
    """Save a state for the next attempt. Every rank calls it; nobody goes on before it is on the disk.

    Args:
        state: of rank 0; what ``checkpoint.save(state, step=...)`` takes, such as state dicts. Other ranks may give
            ``None``.
        step: where the loop stands; the same in every rank.
        keep: how many saves are kept.

    Raises:
        CheckpointError: something in it cannot be kept; in rank 0.
        TaskFailedError: rank 0 could not save; in the others.

    Example:
        >>> save_checkpoint({"epoch": 3}, step=3)
    """
    if _rank() == 0:
        try:
            current_context().checkpoint.save(state, step=step, keep=keep)
        except BaseException:
            _agree(_FAILED)
            raise
    if _agree(step) == _FAILED:
        raise TaskFailedError("rank 0 could not save the checkpoint", hint="its own error says why")


def load_checkpoint() -> Any:
    """The state that was saved last, the same in every rank; ``None`` where nothing was. Every rank calls it.

    It is read from where it lies by each; one that does not find what rank 0 finds is given it by rank 0.

    Raises:
        TaskFailedError: rank 0 could not load it.

    Example:
        >>> load_checkpoint() is None
        True
    """
    checkpoint = current_context().checkpoint
    try:
        state = checkpoint.load()
        own = _NOTHING if state is None else (checkpoint.step or 0)
    except BaseException:
        if _rank() == 0:
            _agree(_FAILED)
            raise
        state, own = None, _FAILED
    of_first = _agree(own)
    if of_first == _FAILED:
        raise TaskFailedError("rank 0 could not load the checkpoint", hint="its own error says why")
    distributed = _distributed()
    if distributed is not None and _any(distributed, own != of_first):
        given = [state]
        distributed.broadcast_object_list(given, src=0, device=_device(distributed))
        return given[0]
    return state


def preempted() -> bool:
    """Whether a rank was told that its machine is taken away. Every rank calls it, and all get the same answer.

    As with ``checkpoint.preempted``, a task that asks is not interrupted: save, and return.

    Example:
        >>> preempted()
        False
    """
    mine = current_context().checkpoint.preempted
    distributed = _distributed()
    return mine if distributed is None else _any(distributed, mine)


def _any(distributed: Any, mine: bool) -> bool:
    """Whether it is so in any rank."""
    number = _number(distributed, int(mine))
    distributed.all_reduce(number, op=distributed.ReduceOp.MAX)
    return bool(number.item())


def _rank() -> int:
    distributed = _distributed()
    return 0 if distributed is None else int(distributed.get_rank())


def _agree(number: int) -> int:
    """Rank 0's number, in every rank, when all have come here."""
    distributed = _distributed()
    if distributed is None:
        return number
    told = _number(distributed, number)
    distributed.broadcast(told, src=0)
    # Rank 0 does not wait for the others in a broadcast.
    distributed.barrier()
    return int(told.item())


def _number(distributed: Any, number: int) -> Any:
    import torch

    return torch.tensor([number], dtype=torch.int64, device=_device(distributed))


def _device(distributed: Any) -> Any:
    """Where the group's messages have to lie."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if "nccl" in distributed.get_backend() else "cpu"


def _distributed() -> Any:
    """``torch.distributed``, where this process is in a group."""
    found = sys.modules.get("torch.distributed")
    return found if found is not None and found.is_available() and found.is_initialized() else None
