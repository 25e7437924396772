"""The API server double behaves as a real one: selectors, pages, watches."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster, Informer, RestRefusal

Json = dict[str, Any]


def maps(cluster: Cluster) -> str:
    return f"/api/v1/namespaces/{cluster.namespace}/configmaps"


def make(cluster: Cluster, name: str, **labels: str) -> Json:
    return cluster.rest.post(maps(cluster), {"metadata": {"name": name, "labels": {"mine": "yes"} | labels}})


def names(cluster: Cluster, **query: str) -> list[str]:
    return [item["metadata"]["name"] for item in cluster.rest.get(maps(cluster), **query)["items"]]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("app=web", ["a", "b"]),
        ("app==web,tier!=back", ["a"]),
        ("tier in (back, side)", ["b"]),
        ("mine,app notin (web)", ["c"]),
        ("mine,!app", ["c"]),
        ("app", ["a", "b"]),
    ],
)
def test_labels_choose(cluster: Cluster, selector: str, chosen: list[str]) -> None:
    make(cluster, "a", app="web", tier="front")
    make(cluster, "b", app="web", tier="back")
    make(cluster, "c")
    assert names(cluster, labelSelector=selector) == chosen


def test_fields_choose(cluster: Cluster) -> None:
    for name in ("a", "b"):
        make(cluster, name)
    assert names(cluster, fieldSelector="metadata.name=b") == ["b"]
    assert "b" not in names(cluster, fieldSelector="metadata.name!=b")


def test_a_selector_that_cannot_be_read_is_a_bad_request(cluster: Cluster) -> None:
    for query in ({"labelSelector": "a in b"}, {"fieldSelector": "spec.nonsense=1"}):
        with pytest.raises(RestRefusal) as error:
            cluster.rest.get(maps(cluster), **query)
        assert (error.value.code, error.value.reason) == (400, "BadRequest")


def test_a_list_comes_by_pages(cluster: Cluster) -> None:
    for name in "abcde":
        make(cluster, name)
    found, token, pages = [], None, 0
    while True:
        page = cluster.rest.get(maps(cluster), limit=2, labelSelector="mine", **({"continue": token} if token else {}))
        found += [item["metadata"]["name"] for item in page["items"]]
        token, pages = page["metadata"].get("continue"), pages + 1
        if not token:
            break
    assert (found, pages) == (list("abcde"), 3)


def test_a_page_of_forgotten_history_is_gone(cluster: Cluster) -> None:
    server = cluster.double()
    for name in "abc":
        make(cluster, name)
    token = cluster.rest.get(maps(cluster), limit=1)["metadata"]["continue"]
    make(cluster, "d")
    server.compact()
    with pytest.raises(RestRefusal) as error:
        cluster.rest.get(maps(cluster), limit=1, **{"continue": token})
    assert (error.value.code, error.value.reason) == (410, "Expired")


def test_a_watch_tells_what_happens_after_a_version(cluster: Cluster) -> None:
    make(cluster, "before")
    version = cluster.rest.get(maps(cluster))["metadata"]["resourceVersion"]
    make(cluster, "a")
    cluster.rest.patch(f"{maps(cluster)}/a", {"data": {"x": "1"}})
    cluster.rest.delete(f"{maps(cluster)}/a")
    with cluster.rest.watch(maps(cluster), version, labelSelector="mine", timeoutSeconds="10") as events:
        found = [next(events) for _ in range(3)]
    assert [event["type"] for event in found] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in found]
    assert versions == sorted(set(versions)) and versions[0] > int(version)


def test_what_a_selector_loses_is_told_as_deleted(cluster: Cluster) -> None:
    version = make(cluster, "a", app="web")["metadata"]["resourceVersion"]
    cluster.rest.patch(f"{maps(cluster)}/a", {"metadata": {"labels": {"app": "other"}}})
    cluster.rest.patch(f"{maps(cluster)}/a", {"metadata": {"labels": {"app": "web"}}})
    with cluster.rest.watch(maps(cluster), version, labelSelector="app=web", timeoutSeconds="10") as events:
        assert [next(events)["type"], next(events)["type"]] == ["DELETED", "ADDED"]


def test_a_watch_ends_at_its_time_with_a_bookmark(cluster: Cluster) -> None:
    server = cluster.double()
    make(cluster, "a")
    version = str(server.objects.store.version)
    with cluster.rest.watch(maps(cluster), version, timeoutSeconds="1") as events:
        last = list(events)[-1]
    assert last["type"] == "BOOKMARK"
    assert int(last["object"]["metadata"]["resourceVersion"]) >= int(version)


def test_a_watch_from_forgotten_history_is_told_410(cluster: Cluster) -> None:
    server = cluster.double()
    version = make(cluster, "a")["metadata"]["resourceVersion"]
    make(cluster, "b")
    server.compact()
    with cluster.rest.watch(maps(cluster), version, timeoutSeconds="10") as events:
        found = next(events)
    assert (found["type"], found["object"]["code"], found["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_an_informer_outlives_the_end_of_watches_and_of_history(cluster: Cluster) -> None:
    server = cluster.double()
    seen: list[tuple[str, str]] = []
    more = threading.Event()

    def changed(sort: str, item: Json) -> None:
        seen.append((sort, item["metadata"]["name"]))
        more.set()

    informer = Informer(cluster.rest, maps(cluster), changed, labelSelector="mine")
    informer.start()
    assert informer.ready.wait(10)
    server.compact()
    server.end_watches()
    make(cluster, "a")
    cluster.wait(lambda: ("ADDED", "a") in seen or ("MODIFIED", "a") in seen, "the informer to see it")
    informer.stop()
    server.end_watches()
    informer.join()


def test_the_official_client_watches(cluster: Cluster) -> None:
    from kubernetes import client, watch

    make(cluster, "a")
    with cluster.client() as api:
        core = client.CoreV1Api(api)
        listed = core.list_namespaced_config_map(cluster.namespace, label_selector="mine")
        make(cluster, "b")
        watcher = watch.Watch()
        for event in watcher.stream(
            core.list_namespaced_config_map,
            cluster.namespace,
            label_selector="mine",
            resource_version=listed.metadata.resource_version,
            timeout_seconds=10,
        ):
            assert (event["type"], event["object"].metadata.name) == ("ADDED", "b")
            watcher.stop()
