"""Gangs on a cluster from end to end: real training in pods that an operator has told of each other."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
import torch
from flyte_plugin_kubernetes.testing import Cluster
from flytepath import FlytePath
from flytepath.client import LocalClient
from flytepath.client.views import Scope
from torch_operator import Operator

DEADLINE = 180.0


FLOW = """
    from __future__ import annotations

    import os
    import signal
    import time

    import torch
    import torch.distributed as dist
    from flyte_plugin_pytorch import Elastic, PyTorch, Worker, load_checkpoint, save_checkpoint
    from flytepath import Deck, current_context, task, workflow

    ROLES = PyTorch(worker=Worker(replicas=1))
    NODES = Elastic(nnodes=2, nproc_per_node=1, start_method="fork", rdzv_configs={"timeout": 60, "join_timeout": 60})


    def trained() -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1).double())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        data = torch.randn(32, 4, dtype=torch.float64)
        rank, world = dist.get_rank(), dist.get_world_size()
        for _ in range(5):
            optimizer.zero_grad()
            share = data[rank * (32 // world) : (rank + 1) * (32 // world)]
            model(share).pow(2).mean().backward()
            optimizer.step()
        return dict(model.module.state_dict())


    @task(task_config=ROLES, backend="kubeflow")
    def by_roles() -> dict[str, torch.Tensor]:
        dist.init_process_group("gloo")
        print("rank", dist.get_rank(), "of", dist.get_world_size())
        Deck(f"rank {dist.get_rank()}", "<p>here</p>")
        return trained()


    @task(task_config=NODES, backend="kubeflow")
    def by_nodes() -> dict[str, torch.Tensor]:
        dist.init_process_group("gloo")
        return trained()


    @task(task_config=ROLES, backend="kubeflow", retries=1)
    def failing(how: str) -> list[int]:
        dist.init_process_group("gloo")
        state = load_checkpoint() or {"steps": []}
        steps = [*state["steps"], current_context().attempt]
        save_checkpoint({"steps": steps}, step=len(steps))
        if current_context().attempt == 1 and dist.get_rank() == 1:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("rank 1 of the pods has had enough")
        if current_context().attempt == 1:
            dist.barrier()
        return steps


    @task(task_config=NODES, backend="kubeflow")
    def node_fails() -> int:
        dist.init_process_group("gloo")
        if dist.get_rank() == 1:
            raise ValueError("a rank of a node has had enough")
        dist.barrier()
        return 1


    @task(task_config=Elastic(nnodes=2, max_restarts=1, start_method="fork"), backend="kubeflow")
    def second_round() -> list[int]:
        dist.init_process_group("gloo")
        state = load_checkpoint() or {"rounds": []}
        rounds = [*state["rounds"], int(os.environ["TORCHELASTIC_RESTART_COUNT"])]
        save_checkpoint({"rounds": rounds}, step=len(rounds))
        if rounds == [0]:
            if dist.get_rank() == 1:
                os._exit(5)
            dist.barrier()
        return rounds


    @workflow
    def rounds() -> list[int]:
        return second_round()


    @task(task_config=Elastic(nproc_per_node=2, start_method="fork"), backend="kubernetes")
    def in_a_pod(x: int) -> int:
        dist.init_process_group("gloo")
        total = torch.tensor([x])
        dist.all_reduce(total)
        return int(total)


    @workflow
    def roles() -> dict[str, torch.Tensor]:
        return by_roles()


    @workflow
    def nodes() -> dict[str, torch.Tensor]:
        return by_nodes()


    @workflow
    def fails(how: str) -> list[int]:
        return failing(how=how)


    @workflow
    def fails_on_a_node() -> int:
        return node_fails()


    @task(task_config=ROLES, backend="kubeflow")
    def waiting() -> int:
        time.sleep(300)
        return 1


    @workflow
    def waits() -> int:
        return waiting()


    @workflow
    def pod(x: int) -> int:
        return in_a_pod(x=x)
"""


class Platform:
    """A platform of this process whose gangs run on a cluster."""

    def __init__(self, api: FlytePath, flows: Any) -> None:
        self._api, self.flows = api, flows

    def begin(self, name: str, **inputs: Any) -> Any:
        return self._api.execute(getattr(self.flows, name), inputs)

    def run(self, name: str, **inputs: Any) -> Any:
        return self._api.wait(self.begin(name, **inputs), DEADLINE)

    def abort(self, execution: Any) -> Any:
        self._api.abort(execution, "enough")
        return self._api.wait(execution, DEADLINE)

    def events(self, execution: Any, kind: str) -> list[Any]:
        with LocalClient(self._api.home) as client:
            found = client.events(Scope.of_this_user(), execution.id)
        return [event.payload for event in found if event.payload.type == kind]


@pytest.fixture
def platform(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    if cluster.needs_worker_image:
        pytest.skip("the blobs of this test lie on this machine, where the cluster's nodes do not find them")
    cluster.install_definitions("kubeflow.org", beside=Path(__file__).parent)
    work = tmp_path / "work"
    work.mkdir()
    (work / "kubeflow_flow.py").write_text(textwrap.dedent(FLOW))
    (work / "flytepath.toml").write_text(
        textwrap.dedent(
            f"""
            [store]
            blobs = "{tmp_path / "shared"}"
            [backends.kubernetes]
            kubeconfig = "{cluster.kubeconfig}"
            namespace = "{cluster.namespace}"
            image = "{cluster.worker_image()}"
            """
        )
    )
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.chdir(work)
    operator = Operator(cluster.rest).start()
    try:
        with FlytePath(home=tmp_path / "home") as api:
            yield Platform(api, importlib.import_module("kubeflow_flow"))
        assert not operator.errors
    finally:
        operator.stop()
        monkeypatch.delitem(sys.modules, "kubeflow_flow", raising=False)


def test_two_pods_train_what_one_process_trains(platform: Platform, cluster: Cluster) -> None:
    ended = platform.run("roles")
    assert ended.status == "succeeded", ended.error
    expected = platform.flows.roles()
    for name, tensor in ended.outputs["o0"].items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-11)
    assert sorted(deck.name for deck in ended.view.decks) == ["rank 0", "rank 1"]
    if not cluster.real:  # a server without nodes has no logs
        logs = [Path(url2pathname(urlparse(log.log.uri).path)).read_text(encoding="utf-8") for log in ended.view.logs]
        assert "rank 0 of 2" in "".join(logs) and "rank 1 of 2" in "".join(logs)
    cluster.wait(lambda: not jobs_of(cluster), "the job to be removed")
    cluster.wait(lambda: not cluster.pods(), "its pods to be removed")


def test_two_nodes_find_each_other_and_train(platform: Platform) -> None:
    ended = platform.run("nodes")
    assert ended.status == "succeeded", ended.error
    expected = platform.flows.nodes()
    for name, tensor in ended.outputs["o0"].items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("how", ["kill", "raise"])
def test_a_pod_that_fails_is_tried_again_and_goes_on_from_the_checkpoint(platform: Platform, how: str) -> None:
    ended = platform.run("fails", how=how)
    assert ended.status == "succeeded", ended.error
    assert ended.outputs["o0"] == [1, 2]
    (failed,) = platform.events(ended, "attempt_failed")
    if how == "raise":
        assert failed.error.kind == "user" and failed.error.message == "ValueError: rank 1 of the pods has had enough"
    else:
        assert failed.error.kind == "system", failed.error


def test_the_earliest_error_of_the_nodes_is_told(platform: Platform) -> None:
    ended = platform.run("fails_on_a_node")
    assert ended.error.message == "ValueError: a rank of a node has had enough", ended.error.traceback
    assert "in rank 1 of 2" in ended.error.traceback


@pytest.mark.proof
def test_all_nodes_start_again_after_a_failure_and_go_on(platform: Platform) -> None:
    ended = platform.run("rounds")
    assert ended.status == "succeeded", ended.error
    rounds = ended.outputs["o0"]
    assert rounds[0] == 0 and len(rounds) > 1, "a node that comes late may cost one round more"
    assert rounds == sorted(set(rounds))
    assert not platform.events(ended, "attempt_failed"), "it was one attempt"


def test_a_gang_on_one_node_needs_no_operator(platform: Platform) -> None:
    assert platform.run("pod", x=4).outputs == {"o0": 8}


def test_an_aborted_gang_leaves_no_job_and_no_pod(platform: Platform, cluster: Cluster) -> None:
    execution = platform.begin("waits")
    cluster.wait(lambda: len(running(cluster)) == 2, "both pods to run", seconds=60)
    assert platform.abort(execution).status == "aborted"
    cluster.wait(lambda: not jobs_of(cluster), "the job to be removed")
    cluster.wait(lambda: not cluster.pods(), "its pods to be removed")


def running(cluster: Cluster) -> list[Any]:
    return [pod for pod in cluster.pods() if (pod.get("status") or {}).get("phase") == "Running"]


def jobs_of(cluster: Cluster) -> list[Any]:
    found: list[Any] = cluster.rest.get(f"/apis/kubeflow.org/v1/namespaces/{cluster.namespace}/pytorchjobs")["items"]
    return found
