"""The API server double behaves as a real one: objects, names, versions, conflicts, checks."""

from __future__ import annotations

from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster, RestRefusal

Json = dict[str, Any]


def pod(name: str = "a", metadata: Json | None = None, container: Json | None = None, **spec: Any) -> Json:
    """A pod that no node takes."""
    made = {"name": "c", "image": "i"} | (container or {})
    body = {"nodeSelector": {"no": "where"}, "containers": [made]} | spec
    return {"metadata": {"name": name} | (metadata or {}), "spec": body}


def pods(cluster: Cluster) -> str:
    return f"/api/v1/namespaces/{cluster.namespace}/pods"


def refused(cluster: Cluster, method: str, path: str, body: Any = None, **query: str) -> RestRefusal:
    with pytest.raises(RestRefusal) as error:
        cluster.rest.ask(method, path, body, query)
    return error.value


def test_a_created_pod_carries_what_a_server_adds(cluster: Cluster) -> None:
    made = cluster.rest.post(pods(cluster), pod())
    assert made["metadata"]["uid"] and made["metadata"]["creationTimestamp"] and made["metadata"]["resourceVersion"]
    assert (made["status"]["phase"], made["spec"]["restartPolicy"]) == ("Pending", "Always")
    if not cluster.real:  # a real server fills it in only with the admission plugin ServiceAccount
        assert made["spec"]["serviceAccountName"] == "default"
    assert made["spec"]["terminationGracePeriodSeconds"] == 30


def test_a_name_is_there_once(cluster: Cluster) -> None:
    cluster.rest.post(pods(cluster), pod())
    refusal = refused(cluster, "POST", pods(cluster), pod())
    assert (refusal.code, refusal.reason) == (409, "AlreadyExists")
    assert 'pods "a" already exists' in str(refusal)


def test_a_generated_name_is_unlike_any_other(cluster: Cluster) -> None:
    body = pod() | {"metadata": {"generateName": "run-"}}
    names = {cluster.rest.post(pods(cluster), body)["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("run-") and len(name) == 9 for name in names)


def test_versions_only_grow_and_a_stale_one_is_a_conflict(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    first = cluster.rest.post(path, {"metadata": {"name": "m"}, "data": {"a": "1"}})
    second = cluster.rest.put(f"{path}/m", {"metadata": {"name": "m"}, "data": {"a": "2"}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    refusal = refused(cluster, "PUT", f"{path}/m", first | {"data": {"a": "3"}})
    assert (refusal.code, refusal.reason) == (409, "Conflict")
    assert "the object has been modified" in str(refusal)


def test_what_is_not_there_is_not_found(cluster: Cluster) -> None:
    refusal = refused(cluster, "GET", f"{pods(cluster)}/a")
    assert (refusal.code, refusal.reason) == (404, "NotFound")
    refusal = refused(cluster, "POST", "/api/v1/namespaces/nowhere-at-all/pods", pod())
    assert (refusal.code, refusal.reason) == (404, "NotFound")
    assert 'namespaces "nowhere-at-all" not found' in str(refusal)


def test_a_kind_nobody_defined_is_not_found(cluster: Cluster) -> None:
    path = f"/apis/nobody.example.com/v1/namespaces/{cluster.namespace}/things"
    assert refused(cluster, "GET", path).code == 404
    assert refused(cluster, "POST", path, {"metadata": {"name": "a"}}).code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (pod("Upper"), "metadata.name: Invalid value"),
        (pod("a" * 254), "metadata.name"),
        (pod(metadata={"labels": {"a": "b" * 64}}), "63"),
        (pod(metadata={"labels": {"a": "b c"}}), "a valid label must be an empty string or consist of"),
        (pod(metadata={"labels": {"x/y/z": "b"}}), "metadata.labels"),
        (pod(metadata={"annotations": {"a b": "c"}}), "metadata.annotations"),
        (pod(metadata={"annotations": {"a": "b" * 262_145}}), "metadata.annotations: Too long"),
        (pod(containers=[]), "spec.containers: Required value"),
        (pod(container={"image": ""}), "spec.containers[0].image: Required value"),
        (pod(container={"name": "A"}), "spec.containers[0].name: Invalid value"),
        (pod(containers=[{"name": "c", "image": "i"}] * 2), "spec.containers[1].name: Duplicate value"),
        (pod(restartPolicy="Sometimes"), "spec.restartPolicy: Unsupported value"),
        (pod(volumes=[{"name": "v", "emptyDir": {}}] * 2), "spec.volumes[1].name: Duplicate value"),
        (pod(container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}), "Not found"),
        (
            pod(container={"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            "must be less than or equal to cpu limit",
        ),
        (pod(container={"resources": {"requests": {"nvidia.com/gpu": "1"}}}), "non overcommitable"),
        (pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds"),
        (pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]), "spec.tolerations[0].operator"),
    ],
)
def test_what_cannot_be_is_told_with_its_field(cluster: Cluster, body: Json, words: str) -> None:
    refusal = refused(cluster, "POST", pods(cluster), body)
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    assert words in str(refusal)


def test_a_value_of_another_type_is_a_bad_request(cluster: Cluster) -> None:
    refusal = refused(cluster, "POST", pods(cluster), pod(container={"command": "sh"}))
    assert (refusal.code, refusal.reason) == (400, "BadRequest")
    refusal = refused(cluster, "POST", pods(cluster), pod(container={"env": [{"name": "A", "value": 1}]}))
    assert refusal.code == 400


def test_a_service_account_must_be_there(cluster: Cluster) -> None:
    cluster.double()  # a real server checks it only with the admission plugin ServiceAccount
    refusal = refused(cluster, "POST", pods(cluster), pod(serviceAccountName="spark"))
    assert (refusal.code, refusal.reason) == (403, "Forbidden")
    assert 'serviceaccount "spark" not found' in str(refusal)


def test_an_unknown_field_is_dropped_or_refused_where_asked(cluster: Cluster) -> None:
    cluster.needs((1, 25), "fieldValidation")
    body = pod(containerz=[])
    made = cluster.rest.post(pods(cluster), body)
    assert "containerz" not in made["spec"]
    refusal = refused(cluster, "POST", pods(cluster), pod("b", containerz=[]), fieldValidation="Strict")
    assert (refusal.code, refusal.reason) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "spec.containerz"' in str(refusal)


def test_an_unknown_field_is_told_in_a_warning(cluster: Cluster) -> None:
    import json
    import urllib.request

    server = cluster.double()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    body = json.dumps(pod(containerz=[])).encode()
    with urllib.request.urlopen(urllib.request.Request(server.url + pods(cluster), body, headers)) as answer:
        assert answer.headers["Warning"] == '299 - "unknown field \\"spec.containerz\\""'


def test_a_dry_run_checks_and_makes_nothing(cluster: Cluster) -> None:
    made = cluster.rest.ask("POST", pods(cluster), pod(), {"dryRun": "All"})
    assert made["spec"]["restartPolicy"] == "Always"
    assert cluster.pod("a") is None
    assert refused(cluster, "POST", pods(cluster), pod("UP"), dryRun="All").code == 422


def test_the_spec_of_a_pod_stays(cluster: Cluster) -> None:
    made = cluster.rest.post(pods(cluster), pod())
    changed = {"metadata": {"name": "a"}, "spec": made["spec"] | {"restartPolicy": "Never"}}
    refusal = refused(cluster, "PUT", f"{pods(cluster)}/a", changed)
    assert refusal.code == 422
    assert "pod updates may not change fields other than" in str(refusal)


def test_the_template_of_a_job_stays(cluster: Cluster) -> None:
    cluster.needs((1, 27), "labels of a Job's pods with the prefix batch.kubernetes.io")
    path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs"
    template = pod()["spec"] | {"restartPolicy": "Never"}
    body = {"metadata": {"name": "j"}, "spec": {"template": {"spec": template}}}
    made = cluster.rest.post(path, body)
    assert made["spec"]["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid": made["metadata"]["uid"]}
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}}
    with pytest.raises(RestRefusal, match="field is immutable"):
        cluster.rest.patch(f"{path}/j", image)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"completionMode": "Indexed"}, "spec.completions: Required value"),
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex"),
        ({"completionMode": "Indexed", "completions": 2, "maxFailedIndexes": 1}, "spec.backoffLimitPerIndex"),
        ({"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}, "spec.template.spec.restartPolicy"),
        (
            {"podFailurePolicy": {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [0]}}]}},
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]",
        ),
    ],
)
def test_a_job_that_cannot_be_is_told_with_its_field(cluster: Cluster, spec: Json, words: str) -> None:
    if "template" not in spec:
        cluster.needs((1, 29), "limits and policies of failures of Jobs")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "j"}, "spec": {"template": template} | spec}
    refusal = refused(cluster, "POST", f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs", body)
    assert (refusal.code, words in str(refusal)) == (422, True), str(refusal)


def test_the_status_is_changed_only_by_its_own_path(cluster: Cluster) -> None:
    cluster.rest.post(pods(cluster), pod())
    path = f"{pods(cluster)}/a"
    cluster.rest.patch(path, {"status": {"phase": "Running"}})
    assert cluster.rest.get(path)["status"]["phase"] == "Pending"
    cluster.rest.patch(f"{path}/status", {"status": {"phase": "Running"}})
    assert cluster.rest.get(path)["status"]["phase"] == "Running"


def test_a_secret_keeps_plain_text_as_data(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    made = cluster.rest.post(path, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"k": "dg=="}, "Opaque", False)
