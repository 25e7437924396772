"""The doubles of node and controllers serve an API server that is not theirs, through its kubeconfig alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import ApiServer, Cluster, ClusterHome, Rest
from flyte_plugin_kubernetes.testing.our_nodes import PROCESS_LABEL, our_labels

Json = dict[str, Any]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """One that leaves to controllers what a real one leaves to them."""
    with ApiServer(collects=False) as made:
        yield made


@pytest.fixture
def foreign(server: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    home = ClusterHome(server.kubeconfig(tmp_path / "kubeconfig"))
    made = Cluster(home)
    yield made
    made.clean()
    home.close()


def job(completions: int, script: str) -> Json:
    main = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script]}
    template = {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main]}}
    spec = {"completionMode": "Indexed", "completions": completions, "parallelism": completions, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}


def test_it_runs_jobs_and_collects_their_pods(foreign: Cluster) -> None:
    assert foreign.real and foreign.has_kubelet and not foreign.needs_worker_image
    path = f"/apis/batch/v1/namespaces/{foreign.namespace}/jobs"
    foreign.rest.post(path, job(2, "echo done"))
    foreign.wait(lambda: (foreign.rest.get(f"{path}/j").get("status") or {}).get("succeeded") == 2, "two indexes")
    foreign.rest.delete(f"{path}/j", propagationPolicy="Foreground")
    foreign.wait(lambda: foreign.find(f"{path}/j") is None and not foreign.pods(), "the Job and its pods to be gone")


def test_its_levers_are_refused_by_skipping(foreign: Cluster) -> None:
    with pytest.raises(pytest.skip.Exception, match="only the API server double"):
        foreign.double()


def test_nothing_is_left_behind(server: ApiServer, tmp_path: Path) -> None:
    home = ClusterHome(server.kubeconfig(tmp_path / "kubeconfig"))
    cluster = Cluster(home)
    path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs"
    cluster.rest.post(path, job(2, "sleep 60"))
    cluster.wait(lambda: len(cluster.pods()) == 2, "two pods")
    cluster.clean()
    cluster.wait(lambda: cluster.find(f"/api/v1/namespaces/{cluster.namespace}") is None, "the namespace to be gone")
    left = [item for item in server.objects.store.all("pods") if item["metadata"]["namespace"] == cluster.namespace]
    assert not left
    home.close()
    assert not server.objects.store.all("nodes")


def test_a_cluster_with_nodes_is_left_to_them(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.client() as api:
        from kubernetes import client

        client.CoreV1Api(api).create_node({"metadata": {"name": "theirs"}})
    home = ClusterHome(server.kubeconfig(tmp_path / "kubeconfig"))
    assert (home.has_nodes, home.kubelet, home.jobs) == (True, None, None)
    home.close()


def test_two_homes_of_a_process_share_what_is_played(server: ApiServer, tmp_path: Path) -> None:
    first = ClusterHome(server.kubeconfig(tmp_path / "kubeconfig"))
    second = ClusterHome(tmp_path / "kubeconfig")
    assert not second.has_nodes
    assert second.kubelet is first.kubelet and second.jobs is first.jobs
    second.close()
    assert [node["metadata"]["name"] for node in server.objects.store.all("nodes")] == ["node-1"]
    first.close()


def left_node(process: int) -> Json:
    return {"metadata": {"name": "node-1", "labels": {**our_labels(), PROCESS_LABEL: str(process)}}}


def test_the_node_of_a_run_that_was_killed_is_no_node_of_the_cluster(server: ApiServer, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    with Rest.of_kubeconfig(kubeconfig) as rest:
        rest.post("/api/v1/nodes", left_node(gone.pid))
    home = ClusterHome(kubeconfig)
    assert not home.has_nodes
    assert home.kubelet is not None
    home.close()


def test_a_node_that_another_process_plays_is_named(server: ApiServer, tmp_path: Path) -> None:
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    with Rest.of_kubeconfig(kubeconfig) as rest:
        rest.post("/api/v1/nodes", left_node(os.getppid()))
    with pytest.raises(RuntimeError, match=rf"process {os.getppid()} of .* plays the node 'node-1'"):
        ClusterHome(kubeconfig)


def test_what_a_killed_run_has_left_is_not_run_again(server: ApiServer, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    labels = {**our_labels(), PROCESS_LABEL: str(gone.pid)}
    with Rest.of_kubeconfig(kubeconfig) as rest:
        for name, owned in (("test-left", labels), ("theirs", {})):
            rest.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": owned}})
            rest.post(f"/apis/batch/v1/namespaces/{name}/jobs", job(2, "sleep 60"))
        home = ClusterHome(kubeconfig)
        made = Cluster(home)
        made.wait(lambda: made.find("/api/v1/namespaces/test-left") is None, "the namespace to be gone")
        assert [one["metadata"]["namespace"] for one in rest.get("/apis/batch/v1/jobs")["items"]] == ["theirs"]
        made.clean()
        home.close()


def test_a_job_that_a_double_cannot_run_fails_one_test_only(foreign: Cluster) -> None:
    assert foreign.jobs is not None
    foreign.jobs.errors.append(KeyError("of an earlier test"))
    foreign.clean()
    assert not foreign.jobs.errors


def test_an_older_server_skips_what_it_does_not_have(foreign: Cluster) -> None:
    foreign.needs(foreign.version, "what it has")
    major, minor = foreign.version
    with pytest.raises(pytest.skip.Exception, match=f"gangs: since Kubernetes {major}.{minor + 1}, and this server is"):
        foreign.needs((major, minor + 1), "gangs")


def test_a_server_that_is_away_is_named(server: ApiServer, tmp_path: Path) -> None:
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    server.close()
    with pytest.raises(ConnectionError, match=rf"the API server that {kubeconfig} names gives no answer"):
        ClusterHome(kubeconfig)


def test_nothing_lies_on_a_real_server_that_nobody_tidies(real_home: ClusterHome) -> None:
    made = Cluster(real_home)
    if made.needs_worker_image:
        pytest.skip("this cluster empties its namespaces itself")
    for plural in ("secrets", "configmaps"):
        made.rest.post(f"/api/v1/namespaces/{made.namespace}/{plural}", {"metadata": {"name": "left"}})
    made.clean()
    assert made.find(f"/api/v1/namespaces/{made.namespace}") is None
    for plural in ("secrets", "configmaps", "serviceaccounts"):
        left = made.rest.get(f"/api/v1/{plural}", fieldSelector=f"metadata.namespace={made.namespace}")["items"]
        assert not left
