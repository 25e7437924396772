"""Gangs as jobs of the training operator: manifests that the real definition takes, and what its states mean."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_kubernetes import KubernetesSettings
from flyte_plugin_kubernetes.classification import Bounds
from flyte_plugin_kubernetes.looking import JobRef
from flyte_plugin_kubernetes.testing import ApiServer, Cluster
from flyte_plugin_pytorch import CleanPodPolicy, Elastic, Master, PyTorch, RestartPolicy, RunPolicy, Worker
from flyte_plugin_pytorch.kubeflow.backend import KubeflowBackend
from flyte_plugin_pytorch.kubeflow.states import FORMS, PYTORCH_JOB
from flytepath import Resources
from flytepath.plugin import (
    BackendError,
    ErrorClass,
    FlytePathError,
    JobKey,
    Owner,
    Phase,
    PlanRequest,
    SecretReference,
    Tenant,
    WorkerLaunch,
)


def request(config: Any, task_type: str, **changes: Any) -> PlanRequest:
    facts: dict[str, Any] = {
        "key": JobKey("sha256:" + "ab" * 32),
        "owner": Owner("installation-1", Tenant("vision", "production"), "e1", "n0"),
        "task": "flow.train",
        "task_type": task_type,
        "payload": config.to_json() if config is not None else {},
        "inputs": {},
        "requests": Resources(cpu="2", mem="4Gi"),
        "limits": Resources(gpu="1"),
        "worker": WorkerLaunch(("python", "-m", "flytepath.worker"), {"A": "1"}, "train:1", None, "", ""),
        "body": "function",
    }
    return PlanRequest(**{**facts, **changes})


def manifest(config: Any, task_type: str = "pytorch", **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = KubeflowBackend(KubernetesSettings()).plan(request(config, task_type, **changes)).spec
    return spec


POLICY = RunPolicy(
    clean_pod_policy=CleanPodPolicy.RUNNING,
    ttl_seconds_after_finished=60,
    active_deadline_seconds=3600,
    backoff_limit=0,
)
ROLES = PyTorch(
    master=Master(image="master:2", requests=Resources(cpu="1"), limits=Resources()),
    worker=Worker(replicas=3, limits=Resources(gpu="2"), restart_policy=RestartPolicy.FAILURE),
    run_policy=POLICY,
)
SAMPLES = {
    "roles": (ROLES, "pytorch", {}),
    "default": (PyTorch(), "pytorch", {"secrets": (SecretReference("db", "password"),), "interruptible": True}),
    "range": (Elastic(nnodes="2:4", nproc_per_node=8, max_restarts=3, run_policy=POLICY), "pytorch_elastic", {}),
    "auto": (Elastic(nnodes=2, nproc_per_node="auto"), "pytorch_elastic", {"shared_memory": "2Gi"}),
    "one": (Elastic(nproc_per_node=8), "pytorch_elastic", {}),
    "python": (None, "python", {}),
}


def container(replica: dict[str, Any]) -> dict[str, Any]:
    (found,) = replica["template"]["spec"]["containers"]
    return dict(found)


def variables(replica: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in container(replica)["env"]}


def test_roles_have_their_own_images_and_resources() -> None:
    spec = manifest(ROLES)["spec"]
    master, worker = spec["pytorchReplicaSpecs"]["Master"], spec["pytorchReplicaSpecs"]["Worker"]
    assert (master["replicas"], worker["replicas"]) == (1, 3)
    assert (master["restartPolicy"], worker["restartPolicy"]) == ("Never", "OnFailure")
    assert (container(master)["image"], container(worker)["image"]) == ("master:2", "train:1")
    assert container(master)["resources"] == {"requests": {"cpu": "1"}}
    assert container(worker)["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert container(worker)["resources"]["requests"]["cpu"] == "2"
    assert spec["runPolicy"] == {
        "cleanPodPolicy": "Running",
        "ttlSecondsAfterFinished": 60,
        "activeDeadlineSeconds": 3600,
        "backoffLimit": 0,
    }


def test_every_replica_runs_the_worker_and_knows_that_it_is_one() -> None:
    for replica in manifest(ROLES)["spec"]["pytorchReplicaSpecs"].values():
        assert container(replica)["name"] == "pytorch", "the operator looks for this name"
        assert container(replica)["command"] == ["python", "-m", "flytepath.worker"]
        assert variables(replica) == {"A": "1", "FLYTEPATH_PYTORCH_REPLICA": "1"}
        volumes = replica["template"]["spec"]["volumes"]
        assert [one["emptyDir"]["medium"] for one in volumes if "emptyDir" in one] == ["Memory"]
        assert replica["template"]["metadata"]["labels"], "pods bear our stamp"


def test_elastic_nodes_are_workers_with_a_rendezvous() -> None:
    spec = manifest(*SAMPLES["range"][:2])["spec"]
    assert spec["nprocPerNode"] == "8"
    assert spec["elasticPolicy"] == {
        "minReplicas": 2,
        "maxReplicas": 4,
        "maxRestarts": 3,
        "rdzvBackend": "c10d",
        "rdzvConf": [{"key": "join_timeout", "value": "900"}, {"key": "timeout", "value": "900"}],
    }
    assert list(spec["pytorchReplicaSpecs"]) == ["Worker"]
    assert spec["pytorchReplicaSpecs"]["Worker"]["replicas"] == 4


@pytest.mark.parametrize("sample", ["one", "python"])
def test_one_machine_is_one_replica_that_starts_its_own_gang(sample: str) -> None:
    config, task_type, _ = SAMPLES[sample]
    spec = manifest(config, task_type)["spec"]
    (replica,) = spec["pytorchReplicaSpecs"].values()
    assert replica["replicas"] == 1 and "elasticPolicy" not in spec
    assert "FLYTEPATH_PYTORCH_REPLICA" not in variables(replica)


def test_the_name_leaves_room_for_what_the_operator_appends() -> None:
    assert len(manifest(PyTorch(), task="flow." + "x" * 200)["metadata"]["name"] + "-worker-1000") <= 63


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_the_real_definition_takes_the_manifest(sample: str, cluster: Cluster) -> None:
    cluster.install_definitions("kubeflow.org", beside=Path(__file__).parent)
    config, task_type, changes = SAMPLES[sample]
    made = manifest(config, task_type, **changes)
    made["metadata"]["namespace"] = cluster.namespace
    place = f"/apis/kubeflow.org/v1/namespaces/{cluster.namespace}/pytorchjobs"
    found = cluster.rest.ask("POST", place, made, {"dryRun": "All", "fieldValidation": "Strict"})
    assert found["spec"]["pytorchReplicaSpecs"] == made["spec"]["pytorchReplicaSpecs"]


def status(*conditions: tuple[str, str]) -> dict[str, Any]:
    return {
        "status": {
            "conditions": [
                {"type": kind, "status": holds, "reason": f"PyTorchJob{kind}", "message": f"it is {kind}"}
                for kind, holds in conditions
            ]
        }
    }


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        ((), Phase.QUEUED),
        ((("Created", "True"),), Phase.QUEUED),
        ((("Created", "True"), ("Running", "True")), Phase.RUNNING),
        ((("Created", "True"), ("Running", "False"), ("Restarting", "True")), Phase.INITIALIZING),
        ((("Created", "True"), ("Running", "True"), ("Restarting", "False")), Phase.RUNNING),
        ((("Created", "True"), ("Running", "False"), ("Succeeded", "True")), Phase.SUCCEEDED),
        ((("Created", "True"), ("Running", "False"), ("Failed", "True")), Phase.FAILED),
        ((("Created", "True"), ("Suspended", "True"), ("Running", "False")), Phase.QUEUED),
        ((("Created", "True"), ("Suspended", "False"), ("Running", "True")), Phase.RUNNING),
        ((("Created", "True"), ("Dreaming", "True")), None),
    ],
)
def test_what_the_operator_says_means_a_phase(conditions: tuple[Any, ...], phase: Phase | None) -> None:
    assert PYTORCH_JOB.conditions.read(status(*conditions)).phase is phase
    assert FORMS["PyTorchJob"] is PYTORCH_JOB


def test_a_cluster_without_the_operator_is_told_so(api_server: ApiServer, tmp_path: Path) -> None:
    settings = KubernetesSettings(kubeconfig=str(api_server.kubeconfig(tmp_path / "config")), namespace="default")
    backend = KubeflowBackend(settings)
    plan = backend.plan(request(PyTorch(), "pytorch"))
    with pytest.raises(BackendError, match="training operator") as caught:
        asyncio.run(backend.submit(plan))
    assert caught.value.error_class is ErrorClass.INVALID
    asyncio.run(backend.close())


def test_a_plan_is_the_same_for_the_same_request() -> None:
    assert manifest(*SAMPLES["range"][:2]) == manifest(*SAMPLES["range"][:2])


def test_a_job_that_succeeded_is_over_when_its_other_replicas_are(api_server: ApiServer, tmp_path: Path) -> None:
    settings = KubernetesSettings(kubeconfig=str(api_server.kubeconfig(tmp_path / "config")), namespace="default")
    backend = KubeflowBackend(settings)
    ref = JobRef(PYTORCH_JOB.kind, "default", "a", "uid", "installation", "key")
    ended = (backend.client.now()).strftime("%Y-%m-%dT%H:%M:%SZ")
    thing = status(("Created", "True"), ("Succeeded", "True"))
    thing["metadata"] = {"name": "a"}
    thing["status"]["completionTime"] = ended
    running = [{"kind": "Pod", "metadata": {"name": "a-worker-1"}, "status": {"phase": "Running"}}]
    done = [{"kind": "Pod", "metadata": {"name": "a-worker-1"}, "status": {"phase": "Succeeded"}}]
    assert backend.observation(ref, thing, running, Bounds()).phase is Phase.RUNNING
    assert backend.observation(ref, thing, done, Bounds()).phase is Phase.SUCCEEDED
    thing["status"]["completionTime"] = "2020-01-01T00:00:00Z"
    assert backend.observation(ref, thing, running, Bounds()).phase is Phase.SUCCEEDED
    asyncio.run(backend.close())


def test_the_check_says_what_the_plan_would_say() -> None:
    from flyte_plugin_pytorch.kubeflow.compile_check import check_request

    check_request(request(PyTorch(), "pytorch"), {})
    bad = request(PyTorch(worker=Worker(requests=Resources(cpu="4"), limits=Resources(cpu="2"))), "pytorch")
    with pytest.raises(FlytePathError):
        check_request(bad, {})
    with pytest.raises(FlytePathError):
        check_request(request(PyTorch(), "pytorch"), {"no_such_setting": 1})
    misspelt = {"pod_spec": {"containers": [{"name": "pytorch", "imag": "a"}]}}
    with pytest.raises(FlytePathError, match="imag"):
        check_request(request(PyTorch(), "pytorch", pod_template=misspelt), {})
    worker = WorkerLaunch(("python", "-m", "flytepath.worker"), {}, "", None, "", "")
    with pytest.raises(FlytePathError, match="container 'pytorch' has no image"):
        check_request(request(PyTorch(), "pytorch", worker=worker), {})
    own = {"pod_spec": {"containers": [{"name": "pytorch", "image": "own:1"}]}}
    check_request(request(PyTorch(), "pytorch", worker=worker, pod_template=own), {})
