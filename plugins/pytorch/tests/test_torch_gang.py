"""Gangs over gloo in direct calls: what they compute, what their ranks know, and how they fail."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_gang_tasks as tasks
from flyte_plugin_pytorch import Elastic, RankDiedError, RankFailedError
from flyte_plugin_pytorch.channel import Failed
from flyte_plugin_pytorch.gang import Failure, first_of
from flytepath import task
from flytepath.plugin import DefinitionError, RecoverableError

DEADLINE = 60.0


@pytest.fixture(scope="module")
def alone() -> dict[str, torch.Tensor]:
    return dict(tasks.trained(0, 1, epochs=2).state_dict())


def assert_close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=1e-9, atol=1e-11, msg=name)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_processes_learn_what_one_learns(alone: dict[str, torch.Tensor]) -> None:
    assert_close(tasks.train_two(epochs=2), alone)


def test_four_processes_learn_what_one_learns(alone: dict[str, torch.Tensor]) -> None:
    assert_close(tasks.train_four_forked(epochs=2), alone)


@pytest.mark.proof
def test_a_master_and_three_workers_learn_what_one_process_learns(alone: dict[str, torch.Tensor]) -> None:
    assert_close(tasks.train_four(epochs=2), alone)


@pytest.fixture(scope="module")
def known() -> Iterator[tuple[list[dict[str, Any]], torch.Tensor]]:
    big = torch.zeros(100_000)
    yield tasks.facts(big=big, name="a line")["ranks"], big


def test_each_rank_is_a_process_of_its_own_that_knows_its_place(known: tuple[Any, torch.Tensor]) -> None:
    first, second = known[0]
    assert first["pid"] != second["pid"] != os.getpid()
    assert first["parent"] == second["parent"] == os.getpid()
    assert first["variables"] == {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    assert second["variables"] == {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    assert second["threads"] == 1
    assert second["address"] == "127.0.0.1"
    assert first["node"] == second["node"] == "torch_gang_tasks.facts"


def test_a_rank_changes_its_own_inputs_alone(known: tuple[Any, torch.Tensor]) -> None:
    assert [rank["big"] for rank in known[0]] == [0.0, 1.0]
    assert float(known[1].sum()) == 0.0


def test_what_ranks_print_stands_behind_their_numbers(capfd: pytest.CaptureFixture[str]) -> None:
    tasks.facts(big=torch.zeros(1), name="hello")
    out, err = capfd.readouterr()
    assert "[rank 0] rank 0 prints hello\n" in out and "[rank 1] rank 1 prints hello\n" in out
    assert "[rank 0] rank 0 complains\n" in err and "[rank 1] rank 1 complains\n" in err


def test_what_ranks_print_goes_where_this_process_prints() -> None:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        tasks.facts(big=torch.zeros(1), name="in a notebook")
    assert "[rank 1] rank 1 prints in a notebook\n" in shown.getvalue()


def test_nothing_is_left_in_this_process(known: tuple[Any, torch.Tensor]) -> None:
    assert "RANK" not in os.environ
    assert not torch.distributed.is_initialized()
    assert not any(is_alive(rank["pid"]) for rank in known[0])


def failure(how: str) -> BaseException:
    begun = time.monotonic()
    with pytest.raises(BaseException) as caught:
        tasks.failing(how=how)
    assert time.monotonic() - begun < 30, "the other rank would have slept for a minute"
    return caught.value


def test_what_a_rank_raises_is_raised_with_its_type_and_names_the_rank() -> None:
    error = failure("raise")
    assert type(error) is ValueError and str(error) == "rank 1 has had enough"
    assert "in rank 1 of 2" in error.__notes__
    assert 'raise ValueError("rank 1 has had enough")' in str(error.__cause__)


def test_an_error_keeps_its_fields_and_its_own_cause() -> None:
    carried = failure("carried")
    assert type(carried) is tasks.CarriedError and carried.number == 3
    assert "KeyError: 'inner'" in str(failure("chained").__cause__)


def test_an_error_that_cannot_be_carried_is_told() -> None:
    error = failure("own")
    assert type(error) is RankFailedError
    assert "torch_gang_tasks.OwnError: 3 words" in str(error) and "rank 1 of 2" in str(error)


def test_the_cause_counts_before_what_it_led_to_whichever_is_told_first() -> None:
    def raised(rank: int, at: float, *, is_lost_peer: bool) -> Failure:
        return Failure(rank, 100 + rank, at, Failed(at, b"", "RuntimeError", "text", "", is_lost_peer))

    lost, died = raised(0, 1.0, is_lost_peer=True), Failure(1, 101, 1.5, status=-9)
    assert first_of([lost, died]) is died
    assert first_of([lost, raised(2, 3.0, is_lost_peer=True)]) is lost
    early, late = raised(3, 1.2, is_lost_peer=False), raised(2, 1.4, is_lost_peer=False)
    assert first_of([lost, late, died, early]) is early


def test_recoverable_stays_recoverable() -> None:
    assert type(failure("recoverable")) is RecoverableError


def test_sys_exit_is_what_the_rank_came_to() -> None:
    error = failure("exit")
    assert type(error) is SystemExit and error.code == "no more"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("kill", "was killed by SIGKILL"),
        ("segfault", "was killed by SIGSEGV"),
        ("_exit", "ended with exit status 7"),
        ("_exit0", "ended with exit status 0"),
    ],
)
def test_a_rank_that_dies_is_named_and_is_the_systems_failure(how: str, says: str) -> None:
    error = failure(how)
    assert type(error) is RankDiedError
    assert "rank 1 of 2" in error.message and says in error.message
    if how == "_exit":
        assert "last words" in str(error.__cause__)


def test_what_ranks_have_started_goes_with_them(tmp_path: Path) -> None:
    @task(task_config=tasks.FORKED)
    def with_children(folder: str) -> int:
        import subprocess

        child = subprocess.Popen(["sleep", "300"])
        (Path(folder) / str(child.pid)).touch()
        while len(list(Path(folder).iterdir())) < 2:
            time.sleep(0.01)
        if os.environ["RANK"] == "1":
            raise ValueError("rank 1")
        return child.wait()

    with pytest.raises(ValueError, match="rank 1"):
        with_children(folder=str(tmp_path))
    wait_for(lambda: not any(is_alive(int(path.name)) for path in tmp_path.iterdir()))


def test_a_gang_is_started_again_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    assert tasks.third_time(folder=str(tmp_path)) == [0, 1, 2]


def in_thread(call: Callable[[], Any]) -> Any:
    """What a call in another thread gives, or raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(DEADLINE)


def test_gangs_at_the_same_time_do_not_meet() -> None:
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(lambda x=x: tasks.doubled_anew(x=x)) for x in (1, 2)]
        assert [one.result(DEADLINE) for one in running] == [2, 4]


def test_ranks_are_not_forked_in_a_thread_where_they_might_hang() -> None:
    with pytest.raises(DefinitionError, match="main thread"):
        in_thread(lambda: tasks.doubled(x=1))


def test_a_gang_of_one_runs_in_this_process_and_leaves_nothing() -> None:
    @task(task_config=Elastic())
    def alone(x: int) -> list[int]:
        torch.distributed.init_process_group("gloo")
        total = torch.tensor([x])
        torch.distributed.all_reduce(total)
        return [int(total), os.getpid(), int(os.environ["WORLD_SIZE"])]

    assert alone(x=4) == [4, os.getpid(), 1]
    assert not torch.distributed.is_initialized()
    assert "WORLD_SIZE" not in os.environ


def test_nodes_are_stood_in_for_by_processes() -> None:
    @task(task_config=Elastic(nnodes="2:3", nproc_per_node=1, start_method="fork"))
    def where() -> list[str]:
        torch.distributed.init_process_group("gloo")
        mine = ",".join(os.environ[name] for name in ("GROUP_RANK", "GROUP_WORLD_SIZE", "LOCAL_RANK", "RANK"))
        found: list[Any] = [None, None]
        torch.distributed.all_gather_object(found, mine)
        return found

    assert where() == ["0,2,0,0", "1,2,0,1"]


def test_a_function_of_a_test_goes_to_new_interpreters_too(tmp_path: Path) -> None:
    factor = 3

    @task(task_config=Elastic(nproc_per_node=2))
    def nested(x: int, folder: str) -> int:
        import atexit

        import torch

        torch.distributed.init_process_group("gloo")
        total = torch.tensor([x * factor])
        torch.distributed.all_reduce(total)
        atexit.register((Path(folder) / os.environ["RANK"]).touch)
        return int(total)

    assert nested(x=2, folder=str(tmp_path)) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"], "what is done at a process's end was done"


def test_only_rank_0s_result_counts() -> None:
    @task(task_config=tasks.FORKED)
    def named() -> str:
        return f"rank {os.environ['RANK']}"

    assert named() == "rank 0"


def test_outputs_that_cannot_leave_the_process_are_told() -> None:
    import typing

    @task(task_config=tasks.FORKED)
    def stream() -> typing.Iterator[int]:
        return (x for x in range(3))

    with pytest.raises(Exception, match="cannot be carried out of its process"):
        list(stream())


def test_gpus_are_needed_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)

    @task(task_config=Elastic(nproc_per_node="gpu"))
    def on_gpus() -> int:
        return 1

    with pytest.raises(DefinitionError, match="no GPU"):
        on_gpus()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
def test_each_rank_takes_its_own_gpu() -> None:
    @task(task_config=Elastic(nproc_per_node="gpu", max_restarts=1))
    def devices() -> list[int]:
        import torch

        torch.distributed.init_process_group("nccl")
        local = int(os.environ["LOCAL_RANK"])
        torch.cuda.set_device(local)
        found: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, torch.cuda.current_device())
        return found

    assert devices() == list(range(torch.cuda.device_count()))
