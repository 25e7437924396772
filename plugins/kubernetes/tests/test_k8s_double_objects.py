"""The API server double behaves as a real one: objects, names, versions, conflicts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import ApiServer
from kubernetes import client

Json = dict[str, Any]


def pod(name: str = "a", **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]} | spec}


def refused(call: Any, *args: Any, **more: Any) -> tuple[int, str, str]:
    with pytest.raises(client.ApiException) as error:
        call(*args, **more)
    body = json.loads(error.value.body)
    return error.value.status, body["reason"], body["message"]


def test_a_created_pod_carries_what_a_server_adds(api_server: ApiServer) -> None:
    made = api_server.core().create_namespaced_pod("default", pod())
    assert made.metadata.uid and made.metadata.creation_timestamp
    assert (made.status.phase, made.spec.restart_policy, made.spec.service_account_name) == (
        "Pending",
        "Always",
        "default",
    )


def test_a_name_is_there_once(api_server: ApiServer) -> None:
    core = api_server.core()
    core.create_namespaced_pod("default", pod())
    code, reason, message = refused(core.create_namespaced_pod, "default", pod())
    assert (code, reason, message) == (409, "AlreadyExists", 'pods "a" already exists')


def test_versions_only_grow_and_a_stale_one_is_a_conflict(api_server: ApiServer) -> None:
    core = api_server.core()
    first = core.create_namespaced_config_map("default", {"metadata": {"name": "m"}, "data": {"a": "1"}})
    second = core.replace_namespaced_config_map("m", "default", {"metadata": {"name": "m"}, "data": {"a": "2"}})
    assert int(second.metadata.resource_version) > int(first.metadata.resource_version)
    stale = {"metadata": {"name": "m", "resourceVersion": first.metadata.resource_version}, "data": {"a": "3"}}
    code, reason, message = refused(core.replace_namespaced_config_map, "m", "default", stale)
    assert (code, reason) == (409, "Conflict")
    assert "the object has been modified" in message


def test_what_is_not_there_is_not_found(api_server: ApiServer) -> None:
    core = api_server.core()
    assert refused(core.read_namespaced_pod, "a", "default") == (404, "NotFound", 'pods "a" not found')
    assert refused(core.create_namespaced_pod, "nowhere", pod()) == (
        404,
        "NotFound",
        'namespaces "nowhere" not found',
    )
    missing = refused(api_server.custom().list_namespaced_custom_object, "example.com", "v1", "default", "things")
    assert missing == (404, "NotFound", "the server could not find the requested resource")
