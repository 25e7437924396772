"""Checkpoints of a training loop that is a gang: every rank calls, rank 0 saves, and all go on from the same state.

They stand on the task's own checkpoint, ``current_context().checkpoint``, and work outside a gang as well.
"""

from __future__ import annotations

import sys
from typing import Any

from flytepath import current_context
from flytepath.plugin import TaskFailedError


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
            _agree(-1)
            raise
    if _agree(step) < 0:
        raise TaskFailedError("rank 0 could not save the checkpoint", hint="its own error says why")


def load_checkpoint() -> Any:
    """The state that was saved last, the same in every rank; ``None`` where nothing was. Every rank calls it.

    Raises:
        TaskFailedError: a rank finds another state than rank 0: they do not reach the same folder.
    """
    checkpoint = current_context().checkpoint
    try:
        state = checkpoint.load()
    except BaseException:
        _agree(-1)
        raise
    own = -2 if state is None else (checkpoint.step or 0)
    of_first = _agree(own)
    if of_first == -1:
        raise TaskFailedError("rank 0 could not load the checkpoint", hint="its own error says why")
    if own != of_first:
        raise TaskFailedError(
            "this rank finds another checkpoint than rank 0",
            expected="none" if of_first == -2 else f"the one of step {of_first}",
            actual="none" if own == -2 else f"the one of step {own}",
            hint="checkpoints must lie where every rank can read them",
        )
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
    if distributed is None:
        return mine
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

    device = "cuda" if "nccl" in distributed.get_backend() else "cpu"
    return torch.tensor([number], dtype=torch.int64, device=device)


def _distributed() -> Any:
    """``torch.distributed``, where this process is in a group."""
    found = sys.modules.get("torch.distributed")
    return found if found is not None and found.is_available() and found.is_initialized() else None
