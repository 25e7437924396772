"""What a backend does, on the doubles and unchanged on a real API server: objects, stamps, ends, and what is not ours.

The pods are gated, so that no scheduler takes them and what a test writes into their status stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import k8s_backends as backends
import pytest
from flyte_plugin_kubernetes.backend import KubernetesBackend
from flyte_plugin_kubernetes.client import KubernetesClient
from flyte_plugin_kubernetes.resource_kind import JOB, ResourceKind
from flyte_plugin_kubernetes.settings import KubernetesSettings
from flyte_plugin_kubernetes.testing import Cluster
from flytepath.plugin import (
    BackendError,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    NotFound,
    NotOurs,
    Observation,
    Owner,
    Phase,
    Tenant,
)
from flytepath.testing import run_unblocked

GATED = {"spec": {"schedulingGates": [{"name": "example.org/held"}]}}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"


def settings(cluster: Cluster, **more: Any) -> KubernetesSettings:
    given = {"namespace": cluster.namespace, "pod_template": GATED, **more}
    return KubernetesSettings(kubeconfig=str(cluster.kubeconfig), **given)


@pytest.fixture
def pods(cluster: Cluster) -> KubernetesBackend:
    return KubernetesBackend(settings(cluster))


@pytest.fixture
def naps(cluster: Cluster) -> Iterator[backends.NapBackend]:
    path = f"{DEFINITIONS}/naps.example.org"
    if cluster.find(path) is None:
        cluster.rest.post(DEFINITIONS, backends.NAPS)

    def is_served() -> bool:
        known = ((cluster.find(path) or {}).get("status") or {}).get("conditions") or ()
        served = cluster.find(f"/apis/example.org/v1/namespaces/{cluster.namespace}/naps") is not None
        return served and any(one["type"] == "Established" and one["status"] == "True" for one in known)

    cluster.wait(is_served, "the kind to be served")
    yield backends.NapBackend(settings(cluster))
    cluster.rest.delete(path)


def path_of(handle: Handle) -> str:
    root = {"pods": "/api/v1", "batch/v1/jobs": "/apis/batch/v1"}.get(handle.data["resource"], "/apis/example.org/v1")
    plural = handle.data["resource"].rpartition("/")[2]
    return f"{root}/namespaces/{handle.data['namespace']}/{plural}/{handle.data['name']}"


def refused(call: Any) -> BackendError:
    with pytest.raises(BackendError) as error:
        run_unblocked(call)
    return error.value


def seen(backend: Any, handle: Handle) -> Observation:
    answer = run_unblocked(backend.poll([handle]))[handle]
    assert isinstance(answer, Observation), answer
    return answer


def test_two_engines_that_submit_one_plan_at_once_get_one_pod(cluster: Cluster) -> None:
    engines = [KubernetesBackend(settings(cluster)) for _ in range(6)]
    plan = engines[0].plan(backends.request())

    async def act() -> list[Any]:
        return await asyncio.gather(*(engine.submit(plan) for engine in engines))

    assert len(set(run_unblocked(act()))) == 1
    assert [pod["metadata"]["name"] for pod in cluster.pods()] == [plan.external_name]


@pytest.mark.parametrize("items", [(), (1, 4, 5)])
def test_a_job_is_made_found_listed_and_ended(
    pods: KubernetesBackend, cluster: Cluster, items: tuple[int, ...]
) -> None:
    cluster.needs((1, 29) if items else (1, 27), "Jobs of items" if items else "gates before scheduling")
    plan = pods.plan(backends.request(items=items))
    assert isinstance(run_unblocked(pods.find(plan)), NotFound)
    handle = run_unblocked(pods.submit(plan))
    assert run_unblocked(pods.submit(plan)) == handle
    another = KubernetesBackend(settings(cluster))
    assert run_unblocked(another.find(plan)) == Found(handle)
    assert seen(another, handle).phase is Phase.QUEUED
    page, found = run_unblocked(another.list_owned("installation-1")), []
    while page.cursor is not None:
        found += page.jobs
        page = run_unblocked(another.list_owned("installation-1", page.cursor))
    mine = [job for job in [*found, *page.jobs] if job.key == plan.key]
    assert [(job.handle, job.owner, job.digest) for job in mine] == [(handle, plan.owner, plan.digest)]

    def is_gone() -> bool:
        return isinstance(run_unblocked(another.cancel(plan.key, None, "")), Gone)

    cluster.wait(is_gone, "the job to be gone")
    assert seen(another, handle).gone
    cluster.wait(lambda: not cluster.pods(), "its pods to be gone")


def test_an_object_of_our_name_that_is_being_deleted_is_waited_for(pods: KubernetesBackend, cluster: Cluster) -> None:
    cluster.needs((1, 27), "gates before scheduling")
    plan = pods.plan(backends.request())
    held = {**plan.spec, "metadata": {**plan.spec["metadata"], "finalizers": ["example.org/hold"]}}
    collection = f"/api/v1/namespaces/{cluster.namespace}/pods"
    cluster.rest.post(collection, held)
    cluster.rest.delete(f"{collection}/{plan.external_name}")
    error = refused(pods.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.TRANSIENT, False)
    found = run_unblocked(pods.find(plan))
    assert isinstance(found, Found)
    answer = run_unblocked(pods.cancel(plan.key, found.handle, ""))
    assert isinstance(answer, InProgress)
    assert "example.org/hold" in answer.reason
    cluster.rest.patch(f"{collection}/{plan.external_name}", {"metadata": {"finalizers": None}}, MERGE)
    assert run_unblocked(pods.cancel(plan.key, found.handle, "")) == Gone()
    assert run_unblocked(pods.submit(plan)) != found.handle


def test_somebody_elses_object_of_our_name_is_left_alone(pods: KubernetesBackend, cluster: Cluster) -> None:
    plan = pods.plan(backends.request())
    spec = {**GATED["spec"], "containers": [{"name": "c", "image": "i"}]}
    body = {"metadata": {"name": plan.external_name}, "spec": spec}
    made = cluster.rest.post(f"/api/v1/namespaces/{cluster.namespace}/pods", body)
    for call in (pods.submit(plan), pods.find(plan)):
        assert refused(call).error_class is ErrorClass.CONFLICT
    assert run_unblocked(pods.cancel(plan.key, None, "")) == Gone()
    assert isinstance(run_unblocked(pods.cancel_planned(plan, "")), NotOurs)
    left = cluster.pod(plan.external_name)
    assert left is not None
    assert left["metadata"]["uid"] == made["metadata"]["uid"]


def test_our_key_with_another_content_or_owner_is_a_conflict(pods: KubernetesBackend) -> None:
    asked = backends.request()
    run_unblocked(pods.submit(pods.plan(asked)))
    other = pods.plan(replace(asked, worker=replace(backends.WORKER, argv=("true",))))
    stranger = pods.plan(replace(asked, owner=Owner("another", Tenant("vision", "production"), "e1", "n0")))
    for call in (pods.submit(other), pods.find(other), pods.submit(stranger), pods.find(stranger)):
        assert refused(call).error_class is ErrorClass.CONFLICT


def test_a_pod_that_somebody_deletes_is_gone(pods: KubernetesBackend, cluster: Cluster) -> None:
    handle = run_unblocked(pods.submit(pods.plan(backends.request())))
    cluster.rest.delete(path_of(handle), gracePeriodSeconds=0)
    cluster.wait(lambda: seen(pods, handle).gone, "the pod to be gone")
    assert run_unblocked(pods.logs(handle)).complete


def test_what_the_server_refuses_is_invalid_in_its_own_words(pods: KubernetesBackend, cluster: Cluster) -> None:
    plan = pods.plan(backends.request())
    plan.spec["spec"]["containers"][0]["name"] = "No Name"
    error = refused(pods.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    nowhere = KubernetesBackend(settings(cluster, namespace=f"{cluster.namespace}-nowhere"))
    error = refused(nowhere.submit(nowhere.plan(backends.request())))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert f"{cluster.namespace}-nowhere" in (error.hint or "")


def test_a_field_that_the_server_does_not_know_is_refused(pods: KubernetesBackend, cluster: Cluster) -> None:
    cluster.needs((1, 25), "strict validation of fields")
    plan = pods.plan(backends.request())
    plan.spec["spec"]["nodeSelectors"] = {"zone": "a"}
    error = refused(pods.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "nodeSelectors" in error.message


class OldClient(KubernetesClient):
    """As a server that does not know some fields of Jobs takes them: without, and saying nothing of it."""

    forgets = ("completionMode", "backoffLimitPerIndex", "maxFailedIndexes", "podReplacementPolicy", "podFailurePolicy")

    def create(self, kind: ResourceKind, namespace: str, thing: Mapping[str, Any]) -> Any:
        spec = {name: value for name, value in thing["spec"].items() if name not in self.forgets}
        return super().create(kind, namespace, {**thing, "spec": {**spec, "parallelism": 0}})


def test_a_cluster_that_is_too_old_for_items_is_told_and_nothing_is_left(cluster: Cluster) -> None:
    backend = KubernetesBackend(settings(cluster))
    backend.client = OldClient(backend.settings)
    plan = backend.plan(backends.request(items=(1, 4, 5)))
    jobs = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs"
    error = refused(backend.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "backoffLimitPerIndex (since Kubernetes 1.29)" in error.message
    cluster.wait(lambda: not cluster.rest.get(jobs)["items"], "the Job to be gone")
    # The process that made it died before it took it back.
    backend.client.create(JOB, cluster.namespace, plan.spec)
    assert isinstance(run_unblocked(backend.find(plan)), NotFound)
    cluster.wait(lambda: not cluster.rest.get(jobs)["items"], "the Job to be gone")


def test_an_operator_that_is_not_installed_is_named(cluster: Cluster) -> None:
    backend = backends.NapBackend(settings(cluster))
    plan = backend.plan(backends.request())
    error = refused(backend.submit(plan))
    assert (error.error_class, error.accepted) == (ErrorClass.INVALID, False)
    assert "the nap operator is not installed" in (error.hint or "")
    assert isinstance(run_unblocked(backend.find(plan)), NotFound)
    assert run_unblocked(backend.cancel(plan.key, None, "")) == Gone()


def test_a_custom_resource_lives_by_its_table_and_its_pods(naps: backends.NapBackend, cluster: Cluster) -> None:
    plan = naps.plan(backends.request())
    handle = run_unblocked(naps.submit(plan))
    assert run_unblocked(naps.find(plan)) == Found(handle)
    phases = []
    for types in (["Made"], ["Made", "Started"]):
        cluster.rest.patch(f"{path_of(handle)}/status", {"status": backends.conditions(*types)}, MERGE)
        phases.append(seen(naps, handle).phase)
    assert phases == [Phase.QUEUED, Phase.RUNNING]
    labels = plan.spec["spec"]["template"]["metadata"]["labels"]
    spec = {**GATED["spec"], "containers": [{"name": "nap", "image": "bed"}], "restartPolicy": "Never"}
    pod = {"metadata": {"name": "nap-0", "labels": labels}, "spec": spec}
    cluster.rest.post(f"/api/v1/namespaces/{cluster.namespace}/pods", pod)
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": ""}
    status = {"status": {"phase": "Failed", "conditions": [disrupted]}}
    cluster.rest.patch(f"/api/v1/namespaces/{cluster.namespace}/pods/nap-0/status", status, MERGE)
    cluster.rest.patch(f"{path_of(handle)}/status", {"status": backends.conditions("Made", "Broken")}, MERGE)
    assert (seen(naps, handle).phase, seen(naps, handle).error_class) == (Phase.FAILED, ErrorClass.PREEMPTED)
    run_unblocked(naps.cleanup(plan.key, handle))
    assert seen(naps, handle).gone


def test_jobs_are_listed_page_by_page(cluster: Cluster) -> None:
    backend = KubernetesBackend(settings(cluster, page_size=2))
    owner = Owner("installation-of-pages", Tenant("vision", "production"), "e1", "n0")
    keys = {run_unblocked(backend.submit(backend.plan(backends.request(owner=owner)))).data["key"] for _ in range(5)}
    page, found = run_unblocked(backend.list_owned("installation-of-pages")), []
    while True:
        found += page.jobs
        if page.cursor is None:
            break
        page = run_unblocked(backend.list_owned("installation-of-pages", page.cursor))
    assert sorted(job.handle.data["key"] for job in found) == sorted(keys)
