"""The API server double behaves as a real one: the three sorts of patches."""

from __future__ import annotations

from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster, RestRefusal
from flyte_plugin_kubernetes.testing.patches import json_patch, merge_patch, strategic_merge_patch
from hypothesis import given, settings
from hypothesis import strategies as st

Json = dict[str, Any]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=4)


@settings(max_examples=40, deadline=None)
@given(objects)
def test_the_empty_patch_changes_nothing(found: Json) -> None:
    assert merge_patch(found, {}) == found
    assert strategic_merge_patch(found, {}) == found
    assert json_patch(found, []) == found


@settings(max_examples=40, deadline=None)
@given(objects, objects)
def test_a_merge_patch_may_be_repeated(found: Json, patch: Json) -> None:
    once = merge_patch(found, patch)
    assert merge_patch(once, patch) == once


def test_lists_are_merged_by_their_key_and_others_replaced() -> None:
    found = {"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}]}
    patch = {"containers": [{"name": "a", "image": "2", "args": ["y"]}, {"name": "b", "$patch": "delete"}]}
    assert strategic_merge_patch(found, patch) == {"containers": [{"name": "a", "image": "2", "args": ["y"]}]}
    assert strategic_merge_patch({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}) == {"a": {"c": 2}}


def test_a_pod_takes_each_sort(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    spec = {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "i"}]}
    cluster.rest.post(path, {"metadata": {"name": "a"}, "spec": spec})
    cluster.rest.patch(f"{path}/a", {"spec": {"containers": [{"name": "c", "image": "j"}]}})
    merge = {"metadata": {"labels": {"x": "y"}}}
    cluster.rest.patch(f"{path}/a", merge, "application/merge-patch+json")
    add: Any = [{"op": "add", "path": "/metadata/labels/z~1w", "value": "1"}]
    made = cluster.rest.patch(f"{path}/a", add, "application/json-patch+json")
    assert made["spec"]["containers"][0]["image"] == "j"
    assert made["metadata"]["labels"] == {"x": "y", "z/w": "1"}


def test_a_test_that_fails_refuses_the_patch(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    cluster.rest.post(path, {"metadata": {"name": "m"}, "data": {"a": "1"}})
    test: Any = [{"op": "test", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/a"}]
    with pytest.raises(RestRefusal) as error:
        cluster.rest.patch(f"{path}/m", test, "application/json-patch+json")
    assert error.value.code == 422
    assert cluster.rest.get(f"{path}/m")["data"] == {"a": "1"}


def test_conditions_of_others_stay(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    spec = {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "i"}]}
    cluster.rest.post(path, {"metadata": {"name": "a"}, "spec": spec})
    for name in ("One", "Two"):
        condition = {"type": f"example.com/{name}", "status": "True"}
        cluster.rest.patch(f"{path}/a/status", {"status": {"conditions": [condition]}})
    found = {one["type"] for one in cluster.rest.get(f"{path}/a")["status"]["conditions"]}
    assert {"example.com/One", "example.com/Two"} <= found


def test_a_custom_resource_takes_no_strategic_patch(cluster: Cluster) -> None:
    cluster.install_definitions("kubeflow.org")
    path = f"/apis/kubeflow.org/v1/namespaces/{cluster.namespace}/pytorchjobs"
    with pytest.raises(RestRefusal) as error:
        cluster.rest.patch(f"{path}/a", {"metadata": {}})
    assert error.value.code in (404, 415)
