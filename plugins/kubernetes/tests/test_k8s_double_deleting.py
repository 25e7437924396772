"""The API server double behaves as a real one: graceful deletion, finalizers, owners, namespaces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import ApiServer, GarbageCollector, Rest, RestRefusal

Json = dict[str, Any]

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
JOBS = "/apis/batch/v1/namespaces/default/jobs"


@pytest.fixture(params=["by itself", "by the collector"])
def collected(request: pytest.FixtureRequest) -> Iterator[Rest]:
    """A server whose objects are collected: by the server itself, or by the collector that serves a real one."""
    alone = request.param == "by itself"
    with ApiServer(collects=alone) as server, Rest(server.configuration()) as made:
        collector = None if alone else GarbageCollector(made).start()
        yield made
        if collector is not None:
            collector.stop()


def gone(rest: Rest, path: str) -> bool:
    """Whether it is gone, within a while."""
    deadline = time.monotonic() + 20
    while there(rest, path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def rest(api_server: ApiServer) -> Iterator[Rest]:
    """The server alone: nothing confirms and nothing collects, but the server itself."""
    with Rest(api_server.configuration()) as made:
        yield made


def there(rest: Rest, path: str) -> bool:
    try:
        rest.get(path)
    except RestRefusal as refusal:
        assert refusal.code == 404
        return False
    return True


def pod(rest: Rest, name: str = "a", **metadata: Any) -> Json:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    return rest.post(PODS, {"metadata": {"name": name} | metadata, "spec": spec})


def bound(rest: Rest, name: str = "a") -> Json:
    pod(rest, name)
    rest.post(f"{PODS}/{name}/binding", {"target": {"kind": "Node", "name": "n"}})
    return rest.get(f"{PODS}/{name}")


def owned_by(owner: Json, *, blocking: bool = True) -> list[Json]:
    about = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "uid": owner["metadata"]["uid"]}
    return [about | {"name": owner["metadata"]["name"], "blockOwnerDeletion": blocking}]


def test_a_pod_on_a_node_waits_for_its_kubelet(rest: Rest) -> None:
    bound(rest)
    answer = rest.delete(f"{PODS}/a", gracePeriodSeconds=5)
    assert (answer["kind"], answer["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 5)
    assert rest.get(f"{PODS}/a")["metadata"]["deletionTimestamp"]
    rest.delete(f"{PODS}/a", gracePeriodSeconds=0)
    assert not there(rest, f"{PODS}/a")


def test_a_pod_without_a_node_or_that_has_ended_goes_at_once(rest: Rest) -> None:
    pod(rest)
    rest.delete(f"{PODS}/a")
    assert not there(rest, f"{PODS}/a")
    bound(rest, "b")
    rest.patch(f"{PODS}/b/status", {"status": {"phase": "Failed"}})
    rest.delete(f"{PODS}/b")
    assert not there(rest, f"{PODS}/b")


def test_a_terminating_pod_still_has_its_name(rest: Rest) -> None:
    bound(rest)
    rest.delete(f"{PODS}/a")
    with pytest.raises(RestRefusal, match="AlreadyExists"):
        pod(rest)


def test_a_finalizer_holds_an_object_until_it_is_taken_off(rest: Rest) -> None:
    rest.post(MAPS, {"metadata": {"name": "m", "finalizers": ["example.com/hold"]}})
    answer = rest.delete(f"{MAPS}/m")
    assert answer["metadata"]["deletionTimestamp"]
    with pytest.raises(RestRefusal, match="no new finalizers can be added"):
        rest.patch(f"{MAPS}/m", {"metadata": {"finalizers": ["example.com/other"]}})
    rest.patch(f"{MAPS}/m", {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    assert not there(rest, f"{MAPS}/m")


def test_another_object_of_the_same_name_is_not_deleted(rest: Rest) -> None:
    made = rest.post(MAPS, {"metadata": {"name": "m"}})
    with pytest.raises(RestRefusal, match="UID in precondition") as error:
        rest.delete(f"{MAPS}/m", preconditions={"uid": "another"})
    assert error.value.code == 409
    with pytest.raises(RestRefusal, match="ResourceVersion in precondition"):
        rest.delete(f"{MAPS}/m", preconditions={"resourceVersion": "1"})
    answer = rest.delete(f"{MAPS}/m", preconditions={"uid": made["metadata"]["uid"]})
    assert (answer["kind"], answer["status"]) == ("Status", "Success")


def test_in_the_background_what_was_owned_goes_after_its_owner(collected: Rest) -> None:
    rest = collected
    owner = rest.post(MAPS, {"metadata": {"name": "m"}})
    pod(rest, ownerReferences=owned_by(owner))
    rest.delete(f"{MAPS}/m", propagationPolicy="Background")
    assert gone(rest, f"{MAPS}/m")
    assert gone(rest, f"{PODS}/a")


def test_in_the_foreground_the_owner_waits_for_what_it_owns(collected: Rest) -> None:
    rest = collected
    owner = rest.post(MAPS, {"metadata": {"name": "m"}})
    bound(rest)
    rest.patch(f"{PODS}/a", {"metadata": {"ownerReferences": owned_by(owner)}})
    rest.delete(f"{MAPS}/m", propagationPolicy="Foreground")
    assert rest.get(f"{MAPS}/m")["metadata"]["finalizers"] == ["foregroundDeletion"]
    deadline = time.monotonic() + 20
    while "deletionTimestamp" not in rest.get(f"{PODS}/a")["metadata"]:
        assert time.monotonic() < deadline
    assert there(rest, f"{MAPS}/m")
    rest.delete(f"{PODS}/a", gracePeriodSeconds=0)
    assert gone(rest, f"{MAPS}/m")


def test_orphans_stay_without_their_owner(collected: Rest) -> None:
    rest = collected
    owner = rest.post(MAPS, {"metadata": {"name": "m"}})
    pod(rest, ownerReferences=owned_by(owner))
    rest.delete(f"{MAPS}/m", propagationPolicy="Orphan")
    assert gone(rest, f"{MAPS}/m")
    assert not rest.get(f"{PODS}/a")["metadata"].get("ownerReferences")


def test_a_job_deleted_without_a_policy_leaves_its_pods(collected: Rest) -> None:
    rest = collected
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    owner = rest.post(JOBS, {"metadata": {"name": "j"}, "spec": {"template": template}})
    pod(rest, ownerReferences=owned_by(owner))
    rest.delete(f"{JOBS}/j")
    assert gone(rest, f"{JOBS}/j")
    assert there(rest, f"{PODS}/a")


def test_what_is_made_for_an_owner_that_is_gone_is_collected(collected: Rest) -> None:
    rest = collected
    owner = rest.post(MAPS, {"metadata": {"name": "m"}})
    rest.delete(f"{MAPS}/m")
    pod(rest, ownerReferences=owned_by(owner))
    assert gone(rest, f"{PODS}/a")


def test_a_namespace_goes_when_it_is_empty_and_takes_nothing_new(rest: Rest) -> None:
    rest.post("/api/v1/namespaces", {"metadata": {"name": "going"}})
    path = "/api/v1/namespaces/going/configmaps"
    rest.post(path, {"metadata": {"name": "m", "finalizers": ["example.com/hold"]}})
    rest.delete("/api/v1/namespaces/going")
    assert rest.get("/api/v1/namespaces/going")["status"]["phase"] == "Terminating"
    with pytest.raises(RestRefusal, match="because it is being terminated") as error:
        rest.post(path, {"metadata": {"name": "n"}})
    assert error.value.code == 403
    rest.patch(f"{path}/m", {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    assert not there(rest, "/api/v1/namespaces/going")


def test_an_eviction_tells_the_disruption_and_deletes(rest: Rest) -> None:
    bound(rest)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "default"}}
    rest.post(f"{PODS}/a/eviction", body)
    found = rest.get(f"{PODS}/a")
    assert found["metadata"]["deletionTimestamp"]
    reasons = {one["type"]: one.get("reason") for one in found["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"


def test_a_collection_is_deleted_by_its_labels(rest: Rest) -> None:
    for name in ("a", "b"):
        pod(rest, name, labels={"app": name})
    rest.ask("DELETE", PODS, {}, {"labelSelector": "app=a"})
    assert (there(rest, f"{PODS}/a"), there(rest, f"{PODS}/b")) == (False, True)
