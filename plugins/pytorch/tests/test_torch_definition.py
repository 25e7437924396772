"""What is wrong with a configuration is refused when it is made or compiled; what is right compiles to plain data."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_pytorch import (
    CleanPodPolicy,
    Elastic,
    Master,
    PyTorch,
    RestartPolicy,
    RunPolicy,
    Worker,
)
from flyte_plugin_pytorch.task import ElasticTaskType, PyTorchTaskType
from flytepath import PythonInstanceTask, Resources, task, workflow
from flytepath.plugin import DefinitionError, FlytePathError, TaskDeclaration, Tenant
from flytepath.testing import TaskTypeConformance

POLICY = RunPolicy(
    clean_pod_policy=CleanPodPolicy.ALL,
    ttl_seconds_after_finished=60,
    active_deadline_seconds=3600,
    backoff_limit=0,
)


class TestPyTorchCompiles(TaskTypeConformance):
    task_type = PyTorchTaskType
    name = "pytorch"
    calls_body = False  # in this process; test_torch_gang.py runs gangs

    def config_samples(self) -> list[Any]:
        return [
            PyTorch(),
            PyTorch(num_workers=4),
            PyTorch(
                master=Master(image="train:1", requests=Resources(cpu="1"), restart_policy=RestartPolicy.FAILURE),
                worker=Worker(replicas=3, limits=Resources(mem="1Gi", gpu="1"), restart_policy=RestartPolicy.NEVER),
                run_policy=POLICY,
                increase_shared_mem=False,
            ),
        ]


class TestElasticCompiles(TaskTypeConformance):
    task_type = ElasticTaskType
    name = "pytorch_elastic"
    calls_body = False

    def config_samples(self) -> list[Any]:
        return [
            Elastic(),
            Elastic(nnodes="1:4", nproc_per_node="auto", start_method="fork", max_restarts=3, run_policy=POLICY),
            Elastic(nnodes=2, nproc_per_node=8, rdzv_configs={"join_timeout": 60, "a": "b", "c": True, "d": 0.5}),
        ]


class TestElasticOfOneRuns(TaskTypeConformance):
    task_type = ElasticTaskType

    def config_samples(self) -> list[Any]:
        return [Elastic()]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Elastic, {"nnodes": 0}),
        (Elastic, {"nnodes": -1}),
        (Elastic, {"nnodes": "3:1"}),
        (Elastic, {"nnodes": "0:1"}),
        (Elastic, {"nnodes": "1:"}),
        (Elastic, {"nnodes": "two"}),
        (Elastic, {"nnodes": True}),
        (Elastic, {"nnodes": 1.0}),
        (Elastic, {"nnodes": None}),
        (Elastic, {"nproc_per_node": 0}),
        (Elastic, {"nproc_per_node": -2}),
        (Elastic, {"nproc_per_node": True}),
        (Elastic, {"nproc_per_node": "many"}),
        (Elastic, {"nproc_per_node": 1.5}),
        (Elastic, {"start_method": "forkserver"}),
        (Elastic, {"start_method": None}),
        (Elastic, {"monitor_interval": 0}),
        (Elastic, {"monitor_interval": 3600}),
        (Elastic, {"monitor_interval": float("nan")}),
        (Elastic, {"monitor_interval": "1"}),
        (Elastic, {"max_restarts": -1}),
        (Elastic, {"max_restarts": 1.0}),
        (Elastic, {"rdzv_configs": [("timeout", 1)]}),
        (Elastic, {"rdzv_configs": {"timeout": "900"}}),
        (Elastic, {"rdzv_configs": {"join_timeout": 0}}),
        (Elastic, {"rdzv_configs": {1: 2}}),
        (Elastic, {"rdzv_configs": {"a": None}}),
        (Elastic, {"rdzv_configs": {"a": float("inf")}}),
        (Elastic, {"rdzv_configs": {"timeout": float("nan")}}),
        (Elastic, {"increase_shared_mem": 1}),
        (Elastic, {"run_policy": {}}),
        (Worker, {"replicas": 0}),
        (Worker, {"replicas": -1}),
        (Worker, {"replicas": "3"}),
        (Worker, {"image": 3}),
        (Worker, {"requests": {"cpu": "1"}}),
        (Master, {"limits": "1Gi"}),
        (Master, {"restart_policy": "Never"}),
        (RunPolicy, {"clean_pod_policy": "All"}),
        (RunPolicy, {"ttl_seconds_after_finished": -1}),
        (RunPolicy, {"active_deadline_seconds": 0}),
        (RunPolicy, {"backoff_limit": "1"}),
        (PyTorch, {"master": None}),
        (PyTorch, {"worker": Master()}),
        (PyTorch, {"num_workers": 0}),
        (PyTorch, {"num_workers": 2, "worker": Worker(replicas=3)}),
        (PyTorch, {"run_policy": 1}),
        (PyTorch, {"increase_shared_mem": "yes"}),
    ],
)
def test_a_value_that_can_never_run_is_refused_when_it_is_made(kind: type[Any], given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        kind(**given)
    assert caught.value.place and caught.value.place.startswith(kind.__name__)
    assert caught.value.expected and caught.value.actual


def test_numbers_are_read() -> None:
    assert Elastic(nnodes="2:4").nodes == (2, 4)
    assert Elastic(nnodes="2").nodes == Elastic(nnodes=2).nodes == (2, 2)
    assert PyTorch(worker=Worker(replicas=3)).world_size == PyTorch(num_workers=3).world_size == 4
    assert PyTorch().world_size == 2


def test_a_gang_runs_a_function() -> None:
    declaration = TaskDeclaration(name="t", config=Elastic(), body="none")
    with pytest.raises(DefinitionError, match="runs a function"):
        ElasticTaskType().compile(declaration)
    with pytest.raises(DefinitionError, match="configured by PyTorch"):
        PyTorchTaskType().compile(TaskDeclaration(name="t", config=Elastic()))


def compiled(entity: Any) -> Any:
    from flytepath.compiler import compile_entity
    from flytepath.testing.blobs import MemoryBlobs

    return compile_entity(entity, Tenant(), MemoryBlobs())


def test_a_task_without_a_function_is_refused_when_it_is_compiled() -> None:
    made = PythonInstanceTask("no_function", Elastic(), inputs={}, outputs={"o0": int})
    globals()["no_function"] = made

    @workflow
    def flow() -> int:
        result: int = made()
        return result

    with pytest.raises(FlytePathError, match="runs a function"):
        compiled(flow)


@task(task_config=Elastic(nnodes=2), backend="kubernetes")
def two_nodes(x: int) -> int:
    return x


@task(task_config=PyTorch(), backend="kubernetes")
def roles(x: int) -> int:
    return x


@workflow
def nodes_flow(x: int) -> int:
    return two_nodes(x=x)


@workflow
def roles_flow(x: int) -> int:
    return roles(x=x)


def test_a_gang_that_a_pod_cannot_hold_is_refused_when_it_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLYTEPATH_BLOBS", str(tmp_path))
    with pytest.raises(FlytePathError, match="one machine"):
        compiled(nodes_flow)
    with pytest.raises(FlytePathError, match="'pytorch' becomes a job of backend 'kubernetes'"):
        compiled(roles_flow)


def test_defining_a_gang_imports_no_torch() -> None:
    program = """
        import sys
        from flyte_plugin_pytorch import Elastic, PyTorch
        from flytepath import task, workflow

        @task(task_config=Elastic(nproc_per_node=4))
        def train(x: int) -> int:
            return x

        @workflow
        def flow(x: int) -> int:
            return train(x=x)

        loaded = {name.partition(".")[0] for name in sys.modules}
        print(sorted(loaded & {"torch", "numpy", "kubernetes", "safetensors", "flyte_plugin_kubernetes"}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_several_nodes_are_refused_on_a_backend_with_one_machine() -> None:
    declaration = TaskDeclaration(name="t", config=Elastic(nnodes="1:2"), backend="kubernetes")
    with pytest.raises(DefinitionError, match="one machine") as caught:
        ElasticTaskType().compile(declaration)
    assert caught.value.hint and "kubeflow" in caught.value.hint
    for backend in ("local", "kubeflow"):
        ElasticTaskType().compile(TaskDeclaration(name="t", config=Elastic(nnodes=2), backend=backend))
    ElasticTaskType().compile(TaskDeclaration(name="t", config=Elastic(), backend="kubernetes"))


@pytest.mark.parametrize("made", ["eager"])
def test_a_task_that_leads_others_is_no_gang(made: str) -> None:
    import flytepath

    with pytest.raises(FlytePathError):

        @getattr(flytepath, made)(task_config=Elastic(nproc_per_node=2))
        def leading(x: int) -> int:
            return x


def test_a_subclass_of_a_configuration_is_a_gang_too() -> None:
    class Ours(Elastic):
        pass

    @task(task_config=Ours())
    def made(x: int) -> int:
        return x + 1

    assert made(x=1) == 2
