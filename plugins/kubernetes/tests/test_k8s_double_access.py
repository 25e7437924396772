"""The API server double refuses, throttles and breaks as a test asks it to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import ApiServer, Denied, Rest, RestRefusal
from kubernetes import client, config

Json = dict[str, Any]

POD = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def rest(api_server: ApiServer) -> Iterator[Rest]:
    with Rest(api_server.configuration()) as made:
        yield made


def refused(call: Any, *args: Any) -> tuple[int, Json, Any]:
    with pytest.raises(client.ApiException) as error:
        call(*args)
    return error.value.status, json.loads(error.value.body), error.value.headers


def test_a_token_nobody_has_is_unauthorized(api_server: ApiServer) -> None:
    with Rest(api_server.configuration("wrong")) as rest, pytest.raises(RestRefusal) as error:
        rest.get(PODS)
    assert (error.value.code, error.value.reason) == (401, "Unauthorized")


def test_who_shows_no_token_may_do_nothing(api_server: ApiServer) -> None:
    about = client.Configuration()
    about.host = api_server.url
    with Rest(about) as rest, pytest.raises(RestRefusal, match="system:anonymous") as error:
        rest.get(PODS)
    assert (error.value.code, error.value.reason) == (403, "Forbidden")


def test_a_revoked_token_is_unauthorized(api_server: ApiServer) -> None:
    token = api_server.add_user("engine")
    with Rest(api_server.configuration(token)) as rest:
        rest.get(PODS)
        api_server.access.revoke(token)
        with pytest.raises(RestRefusal, match="401"):
            rest.get(PODS)


def test_a_user_may_do_what_the_rules_of_a_role_allow(api_server: ApiServer) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["create", "get", "list"]}]
    core = client.CoreV1Api(api_server.client("engine", rules))
    core.create_namespaced_pod("default", POD)
    assert core.read_namespaced_pod_log("a", "default") == ""
    code, body, _ = refused(core.delete_namespaced_pod, "a", "default")
    assert (code, body["reason"]) == (403, "Forbidden")
    assert body["message"] == (
        'pods "a" is forbidden: User "engine" cannot delete resource "pods" in API group "" in the namespace "default"'
    )


def test_a_rule_may_hold_in_one_namespace_only(api_server: ApiServer) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"], "namespaces": ["team"]}]
    core = client.CoreV1Api(api_server.client("engine", rules))
    api_server.create_namespace("team")
    core.list_namespaced_pod("team")
    assert refused(core.list_namespaced_pod, "default")[0] == 403


def test_an_admission_function_refuses_in_the_name_of_its_webhook(api_server: ApiServer) -> None:
    def no_latest(verb: str, item: Json) -> Denied | None:
        if verb == "CREATE" and item["kind"] == "Pod" and item["metadata"]["namespace"] == "default":
            return Denied("images must be pinned", 400, "BadRequest")
        return None

    api_server.admit(no_latest, "images.example.com")
    code, body, _ = refused(api_server.core().create_namespaced_pod, "default", POD)
    assert (code, body["reason"]) == (400, "BadRequest")
    assert body["message"] == 'admission webhook "images.example.com" denied the request: images must be pinned'


def test_a_quota_that_is_used_up_is_forbidden(api_server: ApiServer) -> None:
    api_server.exhaust_quota("compute")
    code, body, _ = refused(api_server.core().create_namespaced_pod, "default", POD)
    assert (code, body["reason"]) == (403, "Forbidden")
    assert "exceeded quota: compute, requested: pods=1" in body["message"]
    api_server.core().create_namespaced_config_map("default", {"metadata": {"name": "m"}})


def test_throttling_says_when_to_come_back(api_server: ApiServer) -> None:
    api_server.throttle(retry_after=7, verb="create", resource="pods")
    code, body, headers = refused(api_server.core().create_namespaced_pod, "default", POD)
    assert (code, body["details"]["retryAfterSeconds"], headers["Retry-After"]) == (429, 7, "7")
    api_server.core().create_namespaced_pod("default", POD)


def test_a_call_may_be_done_and_its_answer_lost(api_server: ApiServer, rest: Rest) -> None:
    api_server.cut_after(verb="create", resource="pods")
    with pytest.raises(OSError):
        rest.post(PODS, POD)
    assert rest.get(f"{PODS}/a")["metadata"]["name"] == "a"


def test_a_call_may_be_lost_before_anything_is_done(api_server: ApiServer, rest: Rest) -> None:
    api_server.cut_before(verb="create", resource="pods")
    with pytest.raises(OSError):
        rest.post(PODS, POD)
    with pytest.raises(RestRefusal, match="404"):
        rest.get(f"{PODS}/a")


def test_the_server_may_fail_so_often_and_no_more(api_server: ApiServer, rest: Rest) -> None:
    api_server.unavailable(times=2)
    api_server.fail(times=1)
    codes = []
    for _ in range(3):
        with pytest.raises(RestRefusal) as error:
            rest.get(PODS)
        codes.append(error.value.code)
    assert codes == [503, 503, 500]
    rest.get(PODS)


def test_a_server_may_be_slow(api_server: ApiServer) -> None:
    api_server.slow(30, verb="list", times=None)  # the official client tries again by itself
    with pytest.raises(Exception, match="timed out"):
        api_server.core().list_namespaced_pod("default", _request_timeout=1)


def test_what_was_asked_is_remembered(api_server: ApiServer) -> None:
    core = api_server.core()
    core.create_namespaced_pod("default", POD)
    with api_server.counting() as inside:
        core.list_namespaced_pod("default", label_selector="a=b")
    assert [(ask.verb, ask.resource, ask.query["labelSelector"]) for ask in inside] == [("list", "pods", "a=b")]
    assert len(api_server.asked("create", "pods")) == 1
    api_server.reset()
    assert api_server.requests == []


def test_a_kubeconfig_leads_to_it(api_server: ApiServer, tmp_path: Path) -> None:
    path = api_server.kubeconfig(tmp_path / "kubeconfig")
    with config.new_client_from_config(str(path)) as found:
        assert client.VersionApi(found).get_code().major == "1"
        client.CoreV1Api(found).list_namespaced_pod("default")


def test_the_dynamic_client_finds_its_way(api_server: ApiServer) -> None:
    from kubernetes import dynamic

    found = dynamic.DynamicClient(api_server.client())
    jobs = found.resources.get(api_version="batch/v1", kind="Job")
    assert jobs.get(namespace="default").items == []


def test_logs_may_be_given(api_server: ApiServer) -> None:
    core = api_server.core()
    core.create_namespaced_pod("default", POD)
    api_server.given_logs["default", "a", "c"] = "one\ntwo\n"
    assert core.read_namespaced_pod_log("a", "default", tail_lines=1) == "two\n"
    code, body, _ = refused(core.read_namespaced_pod_log, "b", "default")
    assert (code, body["message"]) == (404, 'pods "b" not found')
