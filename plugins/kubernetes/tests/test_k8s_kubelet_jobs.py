"""The doubles of a node and of the Job controller run Indexed Jobs."""

from __future__ import annotations

from typing import Any

from flyte_plugin_kubernetes.testing import Cluster

Json = dict[str, Any]


def job(script: str, *, completions: int = 3, name: str = "j", **spec: Any) -> Json:
    container = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    body = {"completionMode": "Indexed", "completions": completions, "parallelism": completions}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": body | spec | {"template": {"spec": pod}},
    }


def start(cluster: Cluster, body: Json) -> str:
    path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs"
    cluster.rest.post(path, body)
    return f"{path}/{body['metadata']['name']}"


def end(cluster: Cluster, path: str) -> Json:
    def look() -> Json | None:
        status: Json = cluster.rest.get(path).get("status") or {}
        ended = [one for one in status.get("conditions") or () if one["type"] in ("Complete", "Failed")]
        return status | {"end": ended[0]} if ended else None

    return cluster.wait(look, "the end of the Job")


def test_every_index_runs_and_knows_itself(cluster: Cluster) -> None:
    path = start(cluster, job("echo index $JOB_COMPLETION_INDEX", completions=4))
    status = end(cluster, path)
    assert (status["end"]["type"], status["succeeded"], status["completedIndexes"]) == ("Complete", 4, "0-3")
    pods = cluster.pods("batch.kubernetes.io/job-name=j")
    mark = "batch.kubernetes.io/job-completion-index"
    assert sorted(pod["metadata"]["annotations"][mark] for pod in pods) == ["0", "1", "2", "3"]
    for pod in pods:
        assert pod["metadata"]["name"].startswith(f"j-{pod['metadata']['annotations'][mark]}-")
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "Job"


def test_an_index_that_fails_leaves_the_others(cluster: Cluster) -> None:
    path = start(cluster, job('test "$JOB_COMPLETION_INDEX" != 1', backoffLimitPerIndex=0))
    status = end(cluster, path)
    assert (status["end"]["type"], status["end"]["reason"]) == ("Failed", "FailedIndexes")
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("0,2", "1", 1)


def test_failures_are_replaced_up_to_the_limit(cluster: Cluster) -> None:
    path = start(cluster, job("exit 1", completions=1, backoffLimit=2))
    status = end(cluster, path)
    assert (status["end"]["reason"], status["failed"]) == ("BackoffLimitExceeded", 3)


def test_a_policy_ends_the_job_at_an_exit_code(cluster: Cluster) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    path = start(cluster, job("exit 42", completions=1, podFailurePolicy={"rules": [rule]}))
    status = end(cluster, path)
    assert status["end"]["reason"] == "PodFailurePolicy"
    assert "exit code 42 matching FailJob rule at index 0" in status["end"]["message"]


def test_a_disruption_is_not_counted_where_the_policy_ignores_it(cluster: Cluster) -> None:
    node = cluster.node()
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    path = start(cluster, job("sleep 30", completions=1, backoffLimit=0, podFailurePolicy={"rules": [rule]}))

    def running() -> Json | None:
        return next((pod for pod in cluster.pods() if pod["status"]["phase"] == "Running"), None)

    first = cluster.wait(running, "a running pod")
    node.preempt(cluster.namespace, first["metadata"]["name"])

    def second() -> Json | None:
        pod = running()
        return pod if pod and pod["metadata"]["uid"] != first["metadata"]["uid"] else None

    cluster.wait(second, "the pod that replaces it")
    assert (cluster.rest.get(path)["status"].get("failed") or 0) == 0


def test_a_deadline_ends_the_job(cluster: Cluster) -> None:
    status = end(cluster, start(cluster, job("sleep 30", completions=1, activeDeadlineSeconds=1)))
    assert status["end"]["reason"] == "DeadlineExceeded"
    assert not [pod for pod in cluster.pods() if pod["status"]["phase"] == "Running"]


def test_what_is_deleted_takes_its_pods_along(cluster: Cluster) -> None:
    path = start(cluster, job("sleep 30", completions=2))
    cluster.wait(lambda: len([p for p in cluster.pods() if p["status"]["phase"] == "Running"]) == 2, "two pods")
    cluster.rest.delete(path, propagationPolicy="Background")
    cluster.wait(lambda: not cluster.pods(), "the pods to be gone")


def test_a_finished_job_goes_after_its_time(cluster: Cluster) -> None:
    path = start(cluster, job("true", completions=1, ttlSecondsAfterFinished=0))
    cluster.wait(lambda: cluster.find(path) is None, "the Job to be gone")
    cluster.wait(lambda: not cluster.pods(), "the pods to be gone")


def test_a_suspended_job_runs_nothing_until_it_is_resumed(cluster: Cluster) -> None:
    path = start(cluster, job("true", completions=1, suspend=True))
    cluster.wait(lambda: (cluster.rest.get(path).get("status") or {}).get("conditions"), "the condition")
    assert cluster.pods() == []
    cluster.rest.patch(path, {"spec": {"suspend": False}})
    assert end(cluster, path)["end"]["type"] == "Complete"
