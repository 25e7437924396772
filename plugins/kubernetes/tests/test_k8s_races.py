"""One object for one key, whatever happens: races, cut calls, objects in the way, and clusters that refuse."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import k8s_backends as backends
import pytest
from flyte_plugin_kubernetes.backend import KubernetesBackend
from flyte_plugin_kubernetes.settings import KubernetesSettings
from flyte_plugin_kubernetes.testing import ApiServer, Denied
from flytepath.plugin import (
    BackendError,
    ErrorClass,
    Found,
    Gone,
    InProgress,
    NotFound,
    NotOurs,
    Owner,
    Tenant,
)
from flytepath.testing import run_unblocked


def refused(call: Any) -> BackendError:
    with pytest.raises(BackendError) as error:
        run_unblocked(call)
    return error.value


def objects(server: ApiServer) -> list[str]:
    return [one.metadata.name for one in server.core().list_namespaced_pod("jobs").items]


# --- one key, one object ---


def test_two_engines_that_submit_one_plan_at_once_get_one_pod(api_server: ApiServer, tmp_path: Path) -> None:
    plan = backends.pods(api_server, tmp_path).plan(backends.request())
    engines = [backends.pods(api_server, tmp_path) for _ in range(6)]

    async def act() -> list[Any]:
        return await asyncio.gather(*(engine.submit(plan) for engine in engines))

    handles = run_unblocked(act())
    assert len(set(handles)) == 1
    assert objects(api_server) == [plan.external_name]


def test_a_call_that_was_cut_after_it_was_taken_is_unclear_and_found(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    api_server.cut_after(verb="create", resource="pods")
    error = refused(backend.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.TRANSIENT, None)
    found = run_unblocked(backend.find(plan))
    assert isinstance(found, Found)
    assert run_unblocked(backend.submit(plan)) == found.handle
    assert objects(api_server) == [plan.external_name]


def test_a_call_that_never_arrived_leaves_nothing(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    api_server.cut_before(verb="create", resource="pods")
    assert refused(backend.submit(plan)).accepted is None
    assert isinstance(run_unblocked(backend.find(plan)), NotFound)


def test_nobody_who_listens_is_told_as_certainly_not_taken(tmp_path: Path) -> None:
    with ApiServer() as server:
        given = backends.settings(server, tmp_path)
    backend = KubernetesBackend(given)
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.UNAVAILABLE, False)


def test_an_object_of_our_name_that_is_being_deleted_is_waited_for(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    held = {**plan.spec, "metadata": {**plan.spec["metadata"], "finalizers": ["example.org/hold"]}}
    api_server.core().create_namespaced_pod("jobs", held)
    api_server.core().delete_namespaced_pod(plan.external_name, "jobs")
    error = refused(backend.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.TRANSIENT, False)
    assert "example.org/hold" in error.message
    # It is there still, and ours: whoever looks for it is told so, and sees it go.
    found = run_unblocked(backend.find(plan))
    assert isinstance(found, Found)
    answer = run_unblocked(backend.cancel(plan.key, found.handle, ""))
    assert isinstance(answer, InProgress)
    assert "example.org/hold" in answer.reason
    api_server.core().patch_namespaced_pod(plan.external_name, "jobs", {"metadata": {"finalizers": None}})
    assert run_unblocked(backend.cancel(plan.key, found.handle, "")) == Gone()
    handle = run_unblocked(backend.submit(plan))
    assert handle != found.handle  # another object of the same name
    assert run_unblocked(backend.poll([found.handle]))[found.handle].gone


def test_somebody_elses_object_of_our_name_is_left_alone(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    foreign = {"metadata": {"name": plan.external_name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = api_server.core().create_namespaced_pod("jobs", foreign)
    for call in (backend.submit(plan), backend.find(plan)):
        assert refused(call).error_class is ErrorClass.CONFLICT
    assert run_unblocked(backend.cancel(plan.key, None, "")) == Gone()
    assert isinstance(run_unblocked(backend.cancel_planned(plan, "")), NotOurs)
    run_unblocked(backend.cleanup(plan.key, None))
    assert api_server.core().read_namespaced_pod(plan.external_name, "jobs").metadata.uid == made.metadata.uid


def test_our_key_with_another_content_or_owner_is_a_conflict(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    asked = backends.request()
    plan = backend.plan(asked)
    run_unblocked(backend.submit(plan))
    other = backend.plan(replace(asked, worker=replace(backends.WORKER, argv=("python", "-c", "1"))))
    stranger = backend.plan(replace(asked, owner=Owner("another", Tenant("vision", "production"), "e1", "n0")))
    for call in (backend.submit(other), backend.find(other), backend.submit(stranger), backend.find(stranger)):
        assert refused(call).error_class is ErrorClass.CONFLICT


def test_a_job_that_is_deleted_and_made_again_under_its_name_is_another(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    first = run_unblocked(backend.submit(plan))
    api_server.core().delete_namespaced_pod(plan.external_name, "jobs", grace_period_seconds=0)
    second = run_unblocked(backend.submit(plan))
    seen = run_unblocked(backend.poll([first, second]))
    assert seen[first].gone
    assert not seen[second].gone


def test_a_pod_whose_labels_were_taken_away_is_not_taken_for_lost(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    handle = run_unblocked(backend.submit(plan))
    bare = {"metadata": {"labels": dict.fromkeys(plan.spec["metadata"]["labels"])}}
    api_server.core().patch_namespaced_pod(plan.external_name, "jobs", bare)
    assert not run_unblocked(backend.poll([handle]))[handle].gone


def test_cancelling_while_it_is_created_leaves_nothing_running(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    api_server.slow(0.2, verb="create", resource="pods")

    async def act() -> None:
        submitted = asyncio.ensure_future(backend.submit(plan))
        await asyncio.sleep(0)
        await backend.cancel(plan.key, None, "")
        handle = await submitted
        for known in (None, handle):
            while not isinstance(await backend.cancel(plan.key, known, ""), Gone):
                await asyncio.sleep(0.01)

    run_unblocked(act())
    assert objects(api_server) == []


# --- clusters that refuse ---


def test_a_namespace_that_is_not_there_is_named(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path, namespace="{project}-{domain}")
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "vision-production" in (error.hint or "")


def test_an_operator_that_is_not_installed_is_named(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.NapBackend(backends.settings(api_server, tmp_path))
    plan = backend.plan(backends.request())
    assert isinstance(run_unblocked(backend.find(plan)), NotFound)
    error = refused(backend.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "the nap operator is not installed" in (error.hint or "")
    assert run_unblocked(backend.cancel(plan.key, None, "")) == Gone()
    assert run_unblocked(backend.list_owned("installation-1")).jobs == ()


def test_a_quota_that_is_used_up_is_waited_for(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    api_server.exhaust_quota()
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.QUOTA_EXCEEDED, False)


@pytest.mark.parametrize("answer", ["no images from there", Denied("bad label", code=400, reason="BadRequest")])
def test_what_admission_refuses_is_invalid_in_its_own_words(
    api_server: ApiServer, tmp_path: Path, answer: str | Denied
) -> None:
    backend = backends.pods(api_server, tmp_path)
    api_server.admit(lambda verb, thing: answer if thing["kind"] == "Pod" else None)
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert (answer if isinstance(answer, str) else answer.message) in error.message


def test_what_the_server_finds_wrong_is_invalid(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    plan.spec["spec"]["containers"][0]["name"] = "No Name"
    error = refused(backend.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "422" in error.message


def test_a_field_that_the_server_does_not_know_is_refused_and_not_left_out(
    api_server: ApiServer, tmp_path: Path
) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request())
    plan.spec["spec"]["nodeSelectors"] = {"zone": "a"}
    error = refused(backend.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "nodeSelectors" in error.message


def test_credentials_that_the_cluster_does_not_know_are_told(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path, token="a stranger's")
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.AUTH, False)


def test_an_account_that_may_not_is_told(api_server: ApiServer, tmp_path: Path) -> None:
    token = api_server.add_user("reader", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}])
    backend = backends.pods(api_server, tmp_path, token=token)
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.AUTH, False)


def test_credentials_that_cannot_be_made_are_told(tmp_path: Path) -> None:
    backend = KubernetesBackend(KubernetesSettings(kubeconfig=str(tmp_path / "nowhere"), namespace="jobs"))
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.AUTH, False)


def test_the_servers_wish_to_wait_is_passed_on(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    api_server.throttle(retry_after=7, verb="create")
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted, error.retry_after) == (ErrorClass.THROTTLED, False, 7.0)


@pytest.mark.parametrize("trouble", ["fail", "unavailable"])
def test_a_server_in_trouble_may_have_taken_it(api_server: ApiServer, tmp_path: Path, trouble: str) -> None:
    backend = backends.pods(api_server, tmp_path)
    getattr(api_server, trouble)(verb="create")
    error = refused(backend.submit(backend.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.UNAVAILABLE, None)


def test_looks_that_fail_are_errors_and_no_ends(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    handle = run_unblocked(backend.submit(backend.plan(backends.request())))
    api_server.unavailable(verb="list", resource="pods")
    answer = run_unblocked(backend.poll([handle]))[handle]
    assert isinstance(answer, BackendError)
    assert answer.error_class is ErrorClass.UNAVAILABLE


# --- namespaces of several tenants ---


def several(server: ApiServer, folder: Path, **more: Any) -> KubernetesBackend:
    for name in ("vision-production", "sound-production", "default-development"):
        if name not in [one.metadata.name for one in server.core().list_namespace().items]:
            server.create_namespace(name)
    return backends.pods(server, folder, namespace="{project}-{domain}", **more)


def test_jobs_of_all_tenants_are_found_by_their_key_and_listed(api_server: ApiServer, tmp_path: Path) -> None:
    backend = several(api_server, tmp_path)
    plans = [
        backend.plan(backends.request(owner=Owner("installation-1", Tenant(project, "production"), "e1", "n0")))
        for project in ("vision", "sound")
    ]
    handles = [run_unblocked(backend.submit(plan)) for plan in plans]
    seen = run_unblocked(backend.poll(handles))
    assert not any(answer.gone for answer in seen.values())
    another = several(api_server, tmp_path)
    assert {job.key for job in listed(another)} == {plan.key for plan in plans}
    assert run_unblocked(another.cancel(plans[0].key, None, "")) == Gone()
    assert {job.key for job in listed(another)} == {plans[1].key}


def test_where_not_all_namespaces_may_be_listed_nothing_is_said_to_be_gone(
    api_server: ApiServer, tmp_path: Path
) -> None:
    resources = {"apiGroups": ["", "batch"], "resources": ["pods", "jobs"], "verbs": ["*"]}
    names = ["vision-production", "sound-production", "default-development"]
    token = api_server.add_user("namespaced", [{**resources, "namespaces": names}])
    backend = several(api_server, tmp_path, token=token)
    plan = backend.plan(backends.request())
    run_unblocked(backend.submit(plan))
    assert [job.key for job in listed(backend)] == [plan.key]
    another = several(api_server, tmp_path, token=token)
    error = refused(another.cancel(plan.key, None, ""))
    assert error.error_class is ErrorClass.AUTH
    assert run_unblocked(another.cancel_planned(plan, "")) == Gone()


def test_namespaces_that_the_settings_name_are_looked_through(api_server: ApiServer, tmp_path: Path) -> None:
    names = ["vision-production", "sound-production", "default-development"]
    rule = {"apiGroups": ["", "batch"], "resources": ["pods", "jobs"], "verbs": ["*"], "namespaces": names}
    token = api_server.add_user("namespaced", [rule])
    backend = several(api_server, tmp_path, token=token)
    plan = backend.plan(backends.request())
    run_unblocked(backend.submit(plan))
    another = several(api_server, tmp_path, token=token, namespaces=names)
    assert [job.key for job in listed(another)] == [plan.key]
    assert run_unblocked(another.cancel(plan.key, None, "")) == Gone()
    assert listed(another) == []
    assert run_unblocked(another.cancel(plan.key, None, "")) == Gone()


def listed(backend: KubernetesBackend) -> list[Any]:
    found, cursor = [], None
    while True:
        page = run_unblocked(backend.list_owned("installation-1", cursor))
        found += page.jobs
        if page.cursor is None:
            return found
        cursor = page.cursor


def test_a_list_whose_place_has_expired_goes_on_where_it_stood(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path, page_size=2)
    keys = {run_unblocked(backend.submit(backend.plan(backends.request()))).data["key"] for _ in range(5)}
    page = run_unblocked(backend.list_owned("installation-1"))
    found = list(page.jobs)
    while page.cursor is not None:
        api_server.compact()
        page = run_unblocked(backend.list_owned("installation-1", page.cursor))
        found += page.jobs
    assert sorted(job.handle.data["key"] for job in found) == sorted(keys)
