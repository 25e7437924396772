"""Checkpoints of a training loop: every rank calls, rank 0 saves, and all go on from the same state."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from flyte_plugin_pytorch import Elastic, load_checkpoint, preempted, save_checkpoint
from flytepath import current_context, task
from flytepath.plugin import FlytePathError

GANG = Elastic(nproc_per_node=2, start_method="fork")


@task(task_config=GANG)
def kept(folder: str) -> list[str]:
    """What each rank finds, and when the other ranks go on."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    before = load_checkpoint()
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()} if rank == 0 else None
    save_checkpoint(state, step=4, keep=1)
    found = load_checkpoint()
    (Path(folder) / f"{rank}").write_text(f"{before} {float(found['model']['weight'].sum())}")
    dist.barrier()
    return sorted(path.read_text() for path in Path(folder).iterdir())


@task(task_config=GANG)
def unsaved() -> str:
    dist.init_process_group("gloo")
    try:
        save_checkpoint({"no": object()}, step=1)
    except FlytePathError as error:
        message = f"{type(error).__name__}: {error.message}"
    told: list[Any] = [None, None]
    dist.all_gather_object(told, message)
    return " / ".join(told)


def test_all_ranks_have_what_rank_0_saved(tmp_path: Path) -> None:
    first, second = kept(folder=str(tmp_path))
    assert first == second
    assert first.startswith("None ")


def test_a_save_that_fails_fails_in_every_rank_and_holds_nobody_up() -> None:
    of_first, of_second = unsaved().split(" / ")
    assert of_first.startswith("CheckpointError")
    assert of_second == "TaskFailedError: rank 0 could not save the checkpoint"


def test_outside_a_gang_they_are_the_tasks_own_checkpoint() -> None:
    @task
    def alone() -> list:  # type: ignore[type-arg]
        before = load_checkpoint()
        save_checkpoint({"x": 1}, step=2)
        return [before is None, load_checkpoint()["x"], preempted()]

    assert alone() == [True, 1, False]


def test_a_rank_that_finds_another_state_is_given_rank_0s() -> None:
    @task(task_config=GANG)
    def different() -> list[int]:
        dist.init_process_group("gloo")
        checkpoint = current_context().checkpoint
        if dist.get_rank() == 1:
            assert checkpoint.load() is None  # what was found once stays what is found
        dist.barrier()
        if dist.get_rank() == 0:
            checkpoint.save({"a": torch.tensor(7)}, step=3)
        found: list[Any] = [None, None]
        dist.all_gather_object(found, int(load_checkpoint()["a"]))
        return found

    assert different() == [7, 7]


def test_a_checkpoint_that_rank_0_cannot_read_fails_everywhere() -> None:
    @task(task_config=GANG)
    def unreadable() -> str:
        dist.init_process_group("gloo")
        if dist.get_rank() == 0:
            current_context().checkpoint.save({"a": Fleeting(1)}, step=3)
            del sys.modules[__name__].Fleeting
        dist.barrier()
        try:
            load_checkpoint()
        except FlytePathError as error:
            message = type(error).__name__
        told: list[Any] = [None, None]
        dist.all_gather_object(told, message)
        return " / ".join(told)

    assert unreadable() == "CheckpointError / TaskFailedError"


@dataclasses.dataclass
class Fleeting:
    x: int
