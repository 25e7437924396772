"""What a test may do to the node double: shortage, preemption, loss; and where its scheduler puts pods."""

from __future__ import annotations

import shutil
import ssl
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster, Kubelet

Json = dict[str, Any]


@pytest.fixture
def node(double_cluster: Cluster) -> Kubelet:
    return double_cluster.node()


def start(cluster: Cluster, name: str = "a", *, wait: bool = True, **spec: Any) -> str:
    main = {"name": "main", "image": "busybox:1.36", "command": ["sleep", "60"]}
    main |= {"resources": spec.pop("resources", {})}
    body = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [main]} | spec
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    cluster.rest.post(path, {"metadata": {"name": name}, "spec": body})
    if wait:
        cluster.wait(lambda: cluster.rest.get(f"{path}/{name}")["status"]["phase"] == "Running", "the pod to run")
    return f"{path}/{name}"


def hold(cluster: Cluster, path: str) -> None:
    """Keeps the object of a pod, so that its last state can be seen."""
    cluster.rest.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}}, "application/merge-patch+json")


def condition(pod: Json, name: str) -> Json:
    return next((one for one in pod["status"].get("conditions") or () if one["type"] == name), {})


def unschedulable(cluster: Cluster, path: str) -> str:
    def look() -> str | None:
        found = condition(cluster.rest.get(path), "PodScheduled")
        return found.get("message") if found.get("reason") == "Unschedulable" else None

    return cluster.wait(look, "the pod to be unschedulable")


def test_an_evicted_pod_has_failed(double_cluster: Cluster, node: Kubelet) -> None:
    path = start(double_cluster)
    node.evict(double_cluster.namespace, "a")

    def look() -> Json | None:
        found = double_cluster.rest.get(path)
        return found if found["status"]["phase"] == "Failed" else None

    pod = double_cluster.wait(look, "the pod to have failed")
    assert (pod["status"]["reason"], pod["status"]["message"][:37]) == (
        "Evicted",
        "The node was low on resource: memory.",
    )
    assert condition(pod, "DisruptionTarget")["reason"] == "TerminationByKubelet"


def test_a_preempted_pod_is_deleted_with_its_reason(double_cluster: Cluster, node: Kubelet) -> None:
    path = start(double_cluster)
    hold(double_cluster, path)
    node.preempt(double_cluster.namespace, "a")

    def look() -> Json | None:
        found = double_cluster.rest.get(path)
        return found if found["status"]["phase"] == "Failed" else None

    pod = double_cluster.wait(look, "the pod to have ended")
    assert pod["metadata"]["deletionTimestamp"]
    assert condition(pod, "DisruptionTarget")["reason"] == "PreemptionByScheduler"


def test_a_drained_node_ends_its_pods_and_takes_none(double_cluster: Cluster, node: Kubelet) -> None:
    path = start(double_cluster)
    node.drain()
    double_cluster.wait(lambda: double_cluster.find(path) is None, "the pod to be gone")
    assert "node(s) were unschedulable" in unschedulable(double_cluster, start(double_cluster, "b", wait=False))


def test_the_pods_of_a_lost_node_stay_terminating(double_cluster: Cluster, node: Kubelet) -> None:
    path = start(double_cluster)
    node.lose()
    pod = double_cluster.rest.get(path)
    assert pod["metadata"]["deletionTimestamp"]
    assert condition(pod, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
    assert pod["status"]["phase"] == "Running"
    assert "untolerated taint" in unschedulable(double_cluster, start(double_cluster, "b", wait=False))


def test_the_pods_of_a_node_that_is_forgotten_are_collected(double_cluster: Cluster, node: Kubelet) -> None:
    path = start(double_cluster)
    hold(double_cluster, path)
    node.lose(forget=True)
    pod = double_cluster.rest.get(path)
    assert (pod["status"]["phase"], condition(pod, "DisruptionTarget")["reason"]) == ("Failed", "DeletionByPodGC")


def test_a_node_comes_back(double_cluster: Cluster, node: Kubelet) -> None:
    node.lose()
    path = start(double_cluster, wait=False)
    unschedulable(double_cluster, path)
    node.register()
    double_cluster.wait(lambda: double_cluster.rest.get(path)["status"]["phase"] == "Running", "the pod to run")


def test_what_a_node_has_not_is_insufficient(double_cluster: Cluster) -> None:
    asks = {"limits": {"nvidia.com/gpu": "1"}}
    words = unschedulable(double_cluster, start(double_cluster, wait=False, resources=asks))
    assert words.startswith("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")


def test_a_selector_that_no_node_has(cluster: Cluster) -> None:
    words = unschedulable(cluster, start(cluster, wait=False, nodeSelector={"no": "where"}))
    assert "didn't match Pod's node affinity/selector" in words


def test_a_pod_waits_until_there_is_room(double_cluster: Cluster) -> None:
    asks = {"requests": {"cpu": "10"}}
    first = start(double_cluster, resources=asks)
    second = start(double_cluster, "b", wait=False, resources=asks)
    assert "1 Insufficient cpu" in unschedulable(double_cluster, second)
    double_cluster.rest.delete(first)
    double_cluster.wait(lambda: double_cluster.rest.get(second)["status"]["phase"] == "Running", "the second pod")


@pytest.fixture
def gpu_node(double_cluster: Cluster) -> Iterator[Kubelet]:
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    made = Kubelet(
        double_cluster.rest,
        name="gpu-1",
        capacity={"nvidia.com/gpu": "2"},
        labels={"accelerator": "a100"},
        taints=[taint],
    ).start()
    yield made
    made.stop()


def test_selectors_affinity_and_tolerations_find_a_node(double_cluster: Cluster, gpu_node: Kubelet) -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    term = {"matchExpressions": [{"key": "accelerator", "operator": "In", "values": ["a100", "h100"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    asks = {"limits": {"nvidia.com/gpu": "2"}}
    path = start(double_cluster, resources=asks, tolerations=[toleration], affinity=affinity)
    assert double_cluster.rest.get(path)["spec"]["nodeName"] == gpu_node.name
    untolerated = start(double_cluster, "b", wait=False, nodeSelector={"accelerator": "a100"})
    words = unschedulable(double_cluster, untolerated)
    assert "1 node(s) had untolerated taint {nvidia.com/gpu: present}" in words
    assert words.startswith("0/2 nodes are available: ")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no program openssl here, for a certificate")
def test_a_real_api_server_asks_for_logs_by_tls(double_cluster: Cluster, node: Kubelet) -> None:
    start(double_cluster)
    about = double_cluster.rest.get(f"/api/v1/nodes/{node.name}")["status"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = about["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    url = f"https://{about['addresses'][0]['address']}:{port}/containerLogs/{double_cluster.namespace}/a/main"
    with urllib.request.urlopen(url, context=context) as answer:
        assert (answer.status, answer.read()) == (200, b"")


def test_nothing_runs_after_the_node_is_stopped(double_cluster: Cluster) -> None:
    extra = Kubelet(double_cluster.rest, name="extra", labels={"mine": "yes"}).start()
    start(double_cluster, nodeSelector={"mine": "yes"})
    [worker] = extra.workers()
    process = worker.record("main")
    extra.stop()
    assert process is not None and process.process is not None and not process.process.running
    assert not extra.root.exists()
    assert double_cluster.find("/api/v1/nodes/extra") is None
