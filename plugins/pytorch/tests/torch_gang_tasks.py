"""Tasks that are gangs, for tests: the processes of ranks import them from here."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from flyte_plugin_pytorch import Elastic, Master, PyTorch, Worker, load_checkpoint, preempted, save_checkpoint
from flytepath import Deck, FlyteFile, Resources, Secret, current_context, map_task, task, workflow
from flytepath.plugin import RecoverableError

FORKED = Elastic(nproc_per_node=2, start_method="fork")


class Net(torch.nn.Module):
    """A small classifier of digits."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(64, 16)
        self.second = torch.nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(torch.relu(self.first(x)))
        return out


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    found = load_digits()
    count = 1024
    return torch.tensor(found.data[:count] / 16.0, dtype=torch.float64), torch.tensor(found.target[:count])


def trained(rank: int, world: int, epochs: int = 3) -> torch.nn.Module:
    """Each rank takes its share of every batch; gradients are averaged."""
    torch.manual_seed(7)
    model: torch.nn.Module = Net().double()
    if world > 1:
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x, y = digits()
    for _ in range(epochs):
        for start in range(0, len(x), 128):
            part = slice(start + rank * (128 // world), start + (rank + 1) * (128 // world))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
    return model.module if world > 1 else model


@task(task_config=Elastic(nproc_per_node=2))
def train_two(epochs: int) -> dict[str, torch.Tensor]:
    dist.init_process_group("gloo")
    return dict(trained(dist.get_rank(), dist.get_world_size(), epochs).state_dict())


@task(task_config=PyTorch(master=Master(), worker=Worker(replicas=3)))
def train_four(epochs: int) -> dict[str, torch.Tensor]:
    dist.init_process_group("gloo")
    return dict(trained(dist.get_rank(), dist.get_world_size(), epochs).state_dict())


@task(task_config=Elastic(nproc_per_node=4, start_method="fork"))
def train_four_forked(epochs: int) -> dict[str, torch.Tensor]:
    dist.init_process_group("gloo")
    return dict(trained(dist.get_rank(), dist.get_world_size(), epochs).state_dict())


@task(task_config=FORKED)
def facts(big: torch.Tensor, name: str) -> dict:  # type: ignore[type-arg]
    """What each rank knows, gathered by rank 0."""
    dist.init_process_group("gloo")
    context = current_context()
    rank = dist.get_rank()
    print(f"rank {rank} prints {name}")
    print(f"rank {rank} complains", file=sys.stderr)
    big += rank  # each has its own
    mine = {
        "rank": rank,
        "variables": {key: os.environ[key] for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")},
        "threads": torch.get_num_threads(),
        "address": os.environ["MASTER_ADDR"],
        "node": context.node_path,
        "big": float(big[0]),
        "pid": os.getpid(),
        "parent": os.getppid(),
    }
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, mine)
    return {"ranks": gathered}


@task(task_config=FORKED)
def failing(how: str) -> int:
    """Rank 1 fails, the other waits for it."""
    dist.init_process_group("gloo")
    if dist.get_rank() == 1:
        fail(how)
    dist.barrier()
    time.sleep(60)
    return 1


class OwnError(Exception):
    """Needs two arguments, so no other process can have it as it is."""

    def __init__(self, number: int, word: str) -> None:
        super().__init__(f"{number} {word}")
        self.number = number


class CarriedError(Exception):
    """Keeps a field."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def fail(how: str) -> None:
    if how == "raise":
        raise ValueError("rank 1 has had enough")
    if how == "carried":
        raise CarriedError(3)
    if how == "own":
        raise OwnError(3, "words")
    if how == "recoverable":
        raise RecoverableError("again, please")
    if how == "chained":
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    if how == "exit":
        sys.exit("no more")
    if how == "_exit":
        print("last words", flush=True)
        os._exit(7)
    if how == "_exit0":
        os._exit(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)


@task(task_config=Elastic(nproc_per_node=2, max_restarts=2, start_method="fork"))
def third_time(folder: str) -> list[int]:
    """Fails in its first two rounds; goes on from its own saves."""
    dist.init_process_group("gloo")
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    state = load_checkpoint() or {"steps": []}
    steps = [*state["steps"], restarts]
    save_checkpoint({"steps": steps}, step=len(steps))
    if restarts < 2 and dist.get_rank() == 1:
        os._exit(9)
    dist.barrier()
    return steps


@task(retries=3, task_config=FORKED)
def stepping(marks: str, kill_at: int) -> list[int]:
    """Saves after each step; rank 1 is killed at a step of the first attempt."""
    dist.init_process_group("gloo")
    state = load_checkpoint() or {"step": 0, "seen": []}
    seen = list(state["seen"])
    for step in range(state["step"] + 1, 7):
        if current_context().attempt == 1 and step == kill_at and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        dist.barrier()
        seen.append(step)
        save_checkpoint({"step": step, "seen": seen}, step=step)
        if dist.get_rank() == 0:
            with Path(marks).open("a") as file:
                file.write(f"{current_context().attempt}:{step}\n")
    return seen


@task(timeout=8, task_config=FORKED)
def hanging(pids: str) -> int:
    """Never ends."""
    (Path(pids) / str(os.getpid())).touch()
    (Path(pids) / f"{os.getppid()}.parent").touch()
    time.sleep(300)
    return 1


@task(
    task_config=FORKED,
    retries=1,
    cache=True,
    cache_version="1",
    enable_deck=True,
    environment={"FACTOR": "3"},
    secret_requests=[Secret(group="db", key="password")],
    requests=Resources(cpu="1"),
)
def everything(x: int) -> int:
    """Retry, cache, deck, variable and secret in one."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    Deck("ranks", f"<p>rank {rank} of attempt {current_context().attempt}</p>")
    print("the password is", current_context().secrets.get("db", "password"))
    if current_context().attempt == 1 and rank == 1:
        raise ValueError("not yet")
    total = torch.tensor([x * int(os.environ["FACTOR"])])
    dist.all_reduce(total)
    return int(total)


@task
def written(text: str) -> FlyteFile:
    path = Path(current_context().working_directory) / "text"
    path.write_text(text)
    return FlyteFile(path)


@task(task_config=Elastic(nproc_per_node=2))
def read_by_all(file: FlyteFile) -> FlyteFile:
    """A file goes to new interpreters, and one of rank 0's comes back."""
    dist.init_process_group("gloo")
    texts: list[Any] = [None, None]
    dist.all_gather_object(texts, Path(file).read_text())
    path = Path(current_context().working_directory) / "all"
    path.write_text("+".join(texts))
    return FlyteFile(path)


@task
def read(file: FlyteFile) -> str:
    return Path(file).read_text()


@workflow
def files_flow(text: str) -> str:
    return read(file=read_by_all(file=written(text=text)))


@task(task_config=FORKED)
def patient(folder: str) -> int:
    """Waits until it may go on."""
    (Path(folder) / str(os.getpid())).touch()
    (Path(folder) / f"{os.getppid()}.parent").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return int(os.environ["WORLD_SIZE"])


@task(task_config=FORKED)
def preempted_once(folder: str) -> int:
    """Works until it is told to go, and then saves; the next attempt only tells what it found."""
    dist.init_process_group("gloo")
    state = load_checkpoint()
    if state is not None:
        return int(state["step"])
    step = 0
    while not preempted():
        step += 1
        (Path(folder) / str(os.getpid())).touch()
        (Path(folder) / f"{os.getppid()}.parent").touch()
        time.sleep(0.02)
    save_checkpoint({"step": step}, step=step)
    return -1


@task(task_config=FORKED)
def telling(x: int = 1) -> int:
    """Tells a secret in every way there is."""
    secret = current_context().secrets.get("db", "password")
    print("it is", secret)
    current_context().add_deck("told", f"<p>{secret}</p>")
    raise ValueError(f"no {secret} today")


@task(task_config=FORKED)
def doubled(x: int) -> int:
    dist.init_process_group("gloo")
    total = torch.tensor([x])
    dist.all_reduce(total)
    return int(total)


@task(task_config=Elastic(nproc_per_node=2))
def doubled_anew(x: int) -> int:
    dist.init_process_group("gloo")
    total = torch.tensor([x])
    dist.all_reduce(total)
    return int(total)


@workflow
def train_flow(epochs: int = 1) -> dict[str, torch.Tensor]:
    return train_two(epochs=epochs)


@workflow
def failing_flow(how: str) -> int:
    return failing(how=how)


@workflow
def stepping_flow(marks: str, kill_at: int) -> list[int]:
    return stepping(marks=marks, kill_at=kill_at)


@workflow
def hanging_flow(pids: str) -> int:
    return hanging(pids=pids)


@workflow
def patient_flow(folder: str) -> int:
    return patient(folder=folder)


@workflow
def preempted_flow(folder: str) -> int:
    return preempted_once(folder=folder)


@workflow
def telling_flow() -> int:
    return telling(x=1)


@workflow
def everything_flow(x: int) -> int:
    return everything(x=x).with_overrides(retries=2)


@workflow
def mapped_flow(xs: list[int]) -> list[int]:
    return map_task(doubled)(x=xs)


@workflow
def own_error_flow() -> int:
    return failing(how="own")
