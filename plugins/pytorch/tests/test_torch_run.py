"""Gangs in durable runs: retries, timeouts, preemption, checkpoints, decks, secrets, caches, maps and logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
import torch
import torch_gang_tasks as tasks
from flytepath import FlytePath
from flytepath.client import LocalClient
from flytepath.client.views import Scope

DEADLINE = 120.0


class Platform:
    """The platform of this process, and all that it knows of an execution."""

    def __init__(self, api: FlytePath) -> None:
        self._api = api

    def begin(self, flow: Any, **inputs: Any) -> Any:
        return self._api.execute(flow, inputs)

    def run(self, flow: Any, **inputs: Any) -> Any:
        return self._api.wait(self.begin(flow, **inputs), DEADLINE)

    def wait(self, execution: Any) -> Any:
        return self._api.wait(execution, DEADLINE)

    def events(self, execution: Any, kind: str) -> list[Any]:
        with LocalClient(self._api.home) as client:
            found = client.events(Scope.of_this_user(), execution.id)
        return [event.payload for event in found if event.payload.type == kind]

    def printed(self, execution: Any) -> str:
        return "".join(text_of(log.log.uri) for log in execution.view.logs)


def text_of(uri: str) -> str:
    return Path(url2pathname(urlparse(uri).path)).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def platform(home: Path) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_SECRET_DB_PASSWORD", "swordfish-42")
        with FlytePath(home=home) as opened:
            yield Platform(opened)


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids_in(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def test_rank_0s_tensors_are_the_outputs(platform: Platform) -> None:
    ended = platform.run(tasks.train_flow, epochs=1)
    expected = dict(tasks.trained(0, 1, epochs=1).state_dict())
    for name, tensor in ended.outputs["o0"].items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-11)


def test_a_killed_rank_is_tried_again_and_goes_on_from_the_checkpoint(platform: Platform, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    ended = platform.run(tasks.stepping_flow, marks=str(marks), kill_at=4)
    assert ended.outputs["o0"] == [1, 2, 3, 4, 5, 6]
    assert marks.read_text().split() == ["1:1", "1:2", "1:3", "2:4", "2:5", "2:6"]
    (failed,) = platform.events(ended, "attempt_failed")
    assert failed.error.kind == "system" and failed.error.code == "FP-TORCH-RANK-DIED"
    assert "rank 1 of 2" in failed.error.message and "SIGKILL" in failed.error.message
    assert failed.progress == 3, "saves of ranks are saves of the attempt"


def test_an_error_of_a_rank_is_the_users_with_its_own_traceback(platform: Platform) -> None:
    ended = platform.run(tasks.failing_flow, how="raise")
    assert ended.error.kind == "user" and ended.error.type == "ValueError"
    assert ended.error.message == "ValueError: rank 1 has had enough"
    assert "in rank 1 of 2" in ended.error.traceback
    assert 'torch_gang_tasks.py", line' in ended.error.traceback


def test_an_error_that_cannot_be_carried_is_the_users_too(platform: Platform) -> None:
    ended = platform.run(tasks.own_error_flow)
    assert ended.error.kind == "user" and ended.error.code == "FP-TORCH-RANK-FAILED"


def test_a_gang_that_hangs_is_ended_with_all_its_processes(platform: Platform, tmp_path: Path) -> None:
    platform.run(tasks.mapped_flow, xs=[1])  # from now on there is a worker that has imported torch
    ended = platform.run(tasks.hanging_flow, pids=str(tmp_path))
    assert ended.error.kind == "timeout"
    pids = pids_in(tmp_path)
    assert len(pids) == 2
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_a_worker_that_is_killed_takes_its_ranks_along(platform: Platform, tmp_path: Path) -> None:
    execution = platform.begin(tasks.patient_flow, folder=str(tmp_path))
    wait_for(lambda: len(pids_in(tmp_path)) == 2)
    pids = pids_in(tmp_path)
    (parent,) = (int(path.stem) for path in tmp_path.glob("*.parent"))
    os.kill(parent, signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    (tmp_path / "go").touch()
    assert platform.wait(execution).outputs["o0"] == 2


def test_a_preempted_gang_saves_and_goes_on(platform: Platform, tmp_path: Path) -> None:
    execution = platform.begin(tasks.preempted_flow, folder=str(tmp_path))
    wait_for(lambda: len(pids_in(tmp_path)) == 2)
    (parent,) = (int(path.stem) for path in tmp_path.glob("*.parent"))
    os.kill(parent, signal.SIGTERM)
    ended = platform.wait(execution)
    assert ended.outputs["o0"] >= 1, "the second attempt found what the first one saved"
    (failed,) = platform.events(ended, "attempt_failed")
    assert failed.error.kind == "preempted" and "a checkpoint was saved at step" in failed.error.message


def test_retry_override_deck_secret_variable_and_cache_go_together(platform: Platform) -> None:
    ended = platform.run(tasks.everything_flow, x=2)
    assert ended.outputs["o0"] == 12
    decks = {deck.name: text_of(deck.uri) for deck in ended.view.decks if deck.attempt == 2}
    assert "rank 0 of attempt 2" in decks["ranks"] and "rank 1 of attempt 2" in decks["ranks (rank 1)"]
    assert "rank 1 of attempt 1" in "".join(text_of(d.uri) for d in ended.view.decks if d.attempt == 1)
    printed = platform.printed(ended)
    assert "[rank 0] the password is" in printed and "[rank 1] the password is" in printed
    assert "swordfish-42" not in printed
    again = platform.run(tasks.everything_flow, x=2)
    assert again.outputs["o0"] == 12 and [node.cached for node in again.view.nodes] == [True]


def test_a_secret_that_only_a_rank_looks_up_is_kept_out_of_what_is_told(platform: Platform) -> None:
    ended = platform.run(tasks.telling_flow)
    assert "swordfish-42" not in ended.error.message and "swordfish-42" not in (ended.error.traceback or "")
    assert "swordfish-42" not in platform.printed(ended)
    assert not any("swordfish-42" in text_of(deck.uri) for deck in ended.view.decks)


def test_files_go_to_new_interpreters_and_come_back(platform: Platform) -> None:
    ended = platform.run(tasks.files_flow, text="a")
    assert ended.status == "succeeded", ended.error
    assert ended.outputs["o0"] == "a+a" == tasks.files_flow(text="a")


def test_each_item_of_a_map_is_a_gang(platform: Platform) -> None:
    assert platform.run(tasks.mapped_flow, xs=[1, 2, 3]).outputs["o0"] == [2, 4, 6]


def test_ranks_of_a_script_run_its_own_function(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os

            import torch
            from flyte_plugin_pytorch import Elastic
            from flytepath import task


            class Net(torch.nn.Linear):
                pass


            @task(task_config=Elastic(nproc_per_node=2))
            def made(x: float) -> torch.Tensor:
                torch.distributed.init_process_group("gloo")
                net = Net(1, 1)
                torch.nn.init.constant_(net.weight, x)
                total = net.weight.detach().clone()
                torch.distributed.all_reduce(total)
                return total


            if __name__ == "__main__":
                print(float(made(x=2.0)))
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=DEADLINE, cwd=tmp_path)
    assert done.stdout.split() == ["4.0"], done.stderr
