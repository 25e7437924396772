"""The doubles of a node and of the Job controller run Indexed Jobs."""

from __future__ import annotations

from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def with_ends_of_indexes(cluster: Cluster) -> None:
    cluster.needs((1, 29), "a limit of failures for each index of a Job")


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


def test_a_pod_that_somebody_deletes_is_replaced(cluster: Cluster) -> None:
    path = start(cluster, job("sleep 30", completions=1))

    def running() -> Json | None:
        return next((pod for pod in cluster.pods() if pod["status"]["phase"] == "Running"), None)

    first = cluster.wait(running, "a running pod")["metadata"]
    cluster.rest.delete(f"/api/v1/namespaces/{cluster.namespace}/pods/{first['name']}")

    def second() -> Json | None:
        pod = running()
        return pod if pod and pod["metadata"]["uid"] != first["uid"] else None

    pod = cluster.wait(second, "the pod that replaces it")
    assert pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "0"
    assert not (cluster.rest.get(path)["status"].get("conditions") or ())


def test_a_job_of_the_same_name_begins_anew(cluster: Cluster) -> None:
    path = start(cluster, job("true", completions=1))
    first = end(cluster, path)
    cluster.rest.delete(path, propagationPolicy="Background")
    cluster.wait(lambda: cluster.find(path) is None and not cluster.pods(), "the first Job to be gone")
    second = end(cluster, start(cluster, job("exit 1", completions=1, backoffLimit=0)))
    assert (first["end"]["type"], second["end"]["type"], second.get("succeeded") or 0) == ("Complete", "Failed", 0)


def test_an_index_is_failed_at_once_where_the_policy_says_so(cluster: Cluster) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"containerName": "main", "operator": "NotIn", "values": [1, 2]}}
    script = 'test "$JOB_COMPLETION_INDEX" != 0 || exit 9'
    body = job(script, completions=2, backoffLimitPerIndex=5, podFailurePolicy={"rules": [rule]})
    status = end(cluster, start(cluster, body))
    assert (status["failedIndexes"], status["completedIndexes"], status["failed"]) == ("0", "1", 1)


def test_too_many_failed_indexes_end_the_job(cluster: Cluster) -> None:
    body = job("exit 1", completions=3, backoffLimitPerIndex=0, maxFailedIndexes=1)
    assert end(cluster, start(cluster, body))["end"]["reason"] in ("MaxFailedIndexesExceeded", "FailedIndexes")


def test_no_more_pods_than_its_parallelism_run_at_once(cluster: Cluster) -> None:
    path = start(cluster, job("sleep 0.1", completions=5, parallelism=2))
    most = 0
    while not any(one["type"] == "Complete" for one in cluster.rest.get(path).get("status", {}).get("conditions", ())):
        live = [pod for pod in cluster.pods() if pod["status"]["phase"] in ("Pending", "Running")]
        most = max(most, len(live))
    assert 1 <= most <= 2


def test_pods_that_a_quota_refuses_come_later(double_cluster: Cluster) -> None:
    server = double_cluster.double()
    server.exhaust_quota("compute")
    path = start(double_cluster, job("true", completions=1))
    events = f"/api/v1/namespaces/{double_cluster.namespace}/events"

    def told() -> bool:
        found = double_cluster.rest.get(events, fieldSelector="involvedObject.kind=Job")["items"]
        return any(one["reason"] == "FailedCreate" and "exceeded quota" in one["message"] for one in found)

    double_cluster.wait(told, "the event")
    server.access.admission.clear()
    assert end(double_cluster, path)["end"]["type"] == "Complete"
