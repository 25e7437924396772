"""A pod for each attempt, an Indexed Job for each slice of a map: what is made, and how each item is seen to end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import k8s_backends as backends
import pytest
from flyte_plugin_kubernetes.backend import KubernetesBackend
from flyte_plugin_kubernetes.settings import KubernetesSettings
from flyte_plugin_kubernetes.testing import ApiServer
from flytepath.plugin import ErrorClass, Gone, Handle, InProgress, ItemPhases, JobKey, Observation, Phase, Plan
from flytepath.testing import run_unblocked

ITEMS = (1, 4, 5, 9)


class Slice:
    """An Indexed Job, and what its controller does."""

    def __init__(self, server: ApiServer, folder: Path, **more: Any) -> None:
        self.server = server
        self.backend: KubernetesBackend = backends.pods(server, folder, **more)
        self.plan: Plan = self.backend.plan(backends.request(items=ITEMS))
        self.handle: Handle = run_unblocked(self.backend.submit(self.plan))

    def has_pod(self, position: int, status: dict[str, Any]) -> None:
        template = self.plan.spec["spec"]["template"]
        note = {"batch.kubernetes.io/job-completion-index": str(position)}
        metadata = template["metadata"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **metadata,
                "annotations": {**metadata.get("annotations", {}), **note},
                "name": f"{self.plan.external_name}-{position}",
                "namespace": "jobs",
            },
            "spec": template["spec"],
        }
        self.server.core().create_namespaced_pod("jobs", pod)
        backends.set_status(self.server, pod, status)

    def says(self, *conditions: tuple[str, str], **status: Any) -> None:
        facts = [{"type": kind, "status": "True", "reason": reason, "message": ""} for kind, reason in conditions]
        times = {"startTime": "2030-01-01T00:00:00Z"}
        if any(kind == "Complete" for kind, _ in conditions):
            times["completionTime"] = "2030-01-01T00:00:01Z"
        backends.set_status(self.server, self.plan.spec, {"conditions": facts, **times, **status})

    def seen(self) -> Observation:
        answer = run_unblocked(self.backend.poll([self.handle]))[self.handle]
        assert isinstance(answer, Observation), answer
        return answer

    def items(self) -> ItemPhases:
        found = self.seen().items
        assert found is not None
        return found


@pytest.fixture
def job(api_server: ApiServer, tmp_path: Path) -> Slice:
    return Slice(api_server, tmp_path)


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": "2030-01-01T00:00:00Z"}}
    facts = {"name": "primary", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    return {"phase": "Failed" if code else "Succeeded", "containerStatuses": [facts]}


# --- what is made ---


def test_an_attempt_is_a_pod_that_is_never_started_again() -> None:
    spec = KubernetesBackend(KubernetesSettings()).plan(backends.request()).spec
    assert (spec["apiVersion"], spec["kind"]) == ("v1", "Pod")
    assert spec["spec"]["restartPolicy"] == "Never"
    assert spec["spec"]["containers"][0]["command"] == ["python", "-c", "print('hello')"]
    assert spec["metadata"]["namespace"] == "vision-production"


def test_a_slice_of_a_map_is_one_indexed_job() -> None:
    plan = KubernetesBackend(KubernetesSettings(keep_finished=90)).plan(backends.request(items=ITEMS))
    spec = plan.spec["spec"]
    assert (plan.spec["kind"], spec["completionMode"], spec["completions"]) == ("Job", "Indexed", len(ITEMS))
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (0, len(ITEMS))
    assert spec["ttlSecondsAfterFinished"] == 90
    assert spec["template"]["spec"]["containers"][0]["command"][-2:] == ["--item", "$(JOB_COMPLETION_INDEX)"]
    assert plan.spec["metadata"]["annotations"]["flytepath.org/items"] == "1,4-5,9"
    # A pod of it is named after the Job and its position, within the 63 characters of a host name.
    assert len(plan.external_name) + len("-99999") <= 63


def test_names_are_made_of_the_task_and_the_key() -> None:
    backend = KubernetesBackend(KubernetesSettings())
    plans = [
        backend.plan(backends.request(key=JobKey(f"sha256:{'a' * 63}{last}"), task="flow.Train_Model" + "x" * 90))
        for last in "bc"
    ]
    names = {plan.external_name for plan in plans}
    assert len(names) == 2
    assert all(len(name) <= 52 and name.startswith("train-model") for name in names)


def test_every_long_fact_of_the_owner_is_short_in_labels_and_whole_in_annotations() -> None:
    from flyte_plugin_kubernetes.stamps import stamp_of
    from flytepath.plugin import Owner, Tenant

    owner = Owner("installation " + "i" * 80, Tenant("vision", "production"), "e" * 100, "n0/" * 90 + "ünï")
    spec = KubernetesBackend(KubernetesSettings()).plan(backends.request(owner=owner)).spec
    assert all(len(value) <= 63 and value.isascii() for value in spec["metadata"]["labels"].values())
    stamp = stamp_of(spec)
    assert stamp is not None
    assert stamp.owner == owner


# --- how its items are seen ---


def test_items_are_told_by_the_indices_of_the_map(job: Slice) -> None:
    assert (job.seen().phase, job.items().by_phase) == (Phase.QUEUED, {})
    job.has_pod(0, {"phase": "Running"})
    job.has_pod(1, {"phase": "Pending"})
    job.says(active=2, ready=1)
    assert job.seen().phase is Phase.RUNNING
    assert job.items().by_phase == {Phase.RUNNING: (1,), Phase.QUEUED: (4,)}
    job.says(completedIndexes="0,2-3", active=1)
    assert job.items().by_phase == {Phase.SUCCEEDED: (1, 5, 9), Phase.QUEUED: (4,)}


def test_an_item_that_fails_has_its_own_reason_and_blame(job: Slice) -> None:
    job.has_pod(1, ended(3))
    job.has_pod(2, ended(137, "OOMKilled"))
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    job.has_pod(3, {**ended(143), "conditions": [disrupted]})
    job.says(completedIndexes="0", failedIndexes="1-3")
    items = job.items()
    assert items.by_phase == {Phase.SUCCEEDED: (1,), Phase.FAILED: (4, 5, 9)}
    assert items.error_classes == {4: ErrorClass.USER, 5: ErrorClass.OUT_OF_MEMORY, 9: ErrorClass.PREEMPTED}
    assert "exit code 3" in items.reasons[4]
    assert "memory" in items.reasons[5]
    assert "evicted" in items.reasons[9]


def test_an_item_whose_pod_is_gone_was_lost(job: Slice) -> None:
    job.says(failedIndexes="2")
    assert job.items().error_classes == {5: ErrorClass.LOST}


def test_a_pod_that_has_just_ended_runs_until_the_job_has_counted_it(job: Slice) -> None:
    job.has_pod(0, ended(1))
    job.says(active=1)
    assert job.items().by_phase == {Phase.RUNNING: (1,)}


def test_a_job_ends_with_all_its_items(job: Slice) -> None:
    job.says(("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached"), completedIndexes="0-3")
    seen = job.seen()
    assert (seen.phase, seen.raw_state) == (Phase.SUCCEEDED, "Complete/CompletionsReached")
    assert job.items().by_phase == {Phase.SUCCEEDED: ITEMS}


def test_a_job_with_items_that_failed_has_failed_and_says_of_what(job: Slice) -> None:
    job.has_pod(1, ended(3))
    job.says(
        ("FailureTarget", "FailedIndexes"), ("Failed", "FailedIndexes"), completedIndexes="0,2-3", failedIndexes="1"
    )
    seen = job.seen()
    assert (seen.phase, seen.error_class, seen.raw_state) == (Phase.FAILED, ErrorClass.USER, "Failed/FailedIndexes")
    assert "item 4" in seen.reason
    assert "exit code 3" in seen.reason
    assert job.items().by_phase == {Phase.SUCCEEDED: (1, 5, 9), Phase.FAILED: (4,)}


def test_a_job_that_was_stopped_leaves_no_item_open(job: Slice) -> None:
    job.says(("FailureTarget", "DeadlineExceeded"), ("Failed", "DeadlineExceeded"), completedIndexes="0")
    items = job.items()
    assert items.by_phase == {Phase.SUCCEEDED: (1,), Phase.FAILED: (4, 5, 9)}
    assert job.seen().error_class is ErrorClass.USER


def test_a_job_whose_end_is_near_still_runs(job: Slice) -> None:
    job.says(("FailureTarget", "FailedIndexes"), failedIndexes="1", active=1, ready=1)
    assert job.seen().phase is Phase.RUNNING


def test_a_job_that_is_suspended_waits(job: Slice) -> None:
    job.says(("Suspended", "JobSuspended"))
    assert (job.seen().phase, job.seen().raw_state) == (Phase.QUEUED, "Suspended")


def test_an_image_that_no_item_can_pull_ends_them_all(api_server: ApiServer, tmp_path: Path) -> None:
    job = Slice(api_server, tmp_path, image_pull_seconds=0)
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    facts = {"name": "primary", "image": "an/image:1", "imageID": "", "ready": False, "restartCount": 0}
    job.has_pod(0, {"phase": "Pending", "containerStatuses": [{**facts, "state": waiting}]})
    job.says(active=1)
    seen = job.seen()
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.INVALID)
    assert set(job.items().error_classes.values()) == {ErrorClass.INVALID}
    assert job.items().by_phase == {Phase.FAILED: ITEMS}


def test_items_whose_sidecars_never_end_have_ended_with_their_primary_container(
    api_server: ApiServer, tmp_path: Path
) -> None:
    proxy = {"spec": {"containers": [{"name": "primary"}, {"name": "proxy", "image": "i"}]}}
    job = Slice(api_server, tmp_path, pod_template=proxy)
    running = {"name": "proxy", "state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}}
    facts = {"image": "i", "imageID": "", "ready": True, "restartCount": 0}
    for position, code in enumerate((0, 0, 3, 0)):
        status = ended(code)
        job.has_pod(
            position, {"phase": "Running", "containerStatuses": [*status["containerStatuses"], {**running, **facts}]}
        )
        seen = job.seen()
        assert (seen.phase is Phase.RUNNING) is (position < 3)
    job.says(active=4, ready=4)
    seen = job.seen()
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.USER)
    assert job.items().by_phase == {Phase.SUCCEEDED: (1, 4, 9), Phase.FAILED: (5,)}
    # Nobody but us ends those sidecars.
    run_unblocked(job.backend.cleanup(job.plan.key, job.handle))
    assert job.seen().gone


def test_an_item_on_a_node_that_does_not_answer_is_lost_and_no_other(api_server: ApiServer, tmp_path: Path) -> None:
    job = Slice(api_server, tmp_path, image_pull_seconds=0)
    job.has_pod(0, {"phase": "Running"})
    job.has_pod(1, {"phase": "Running"})
    name = f"{job.plan.external_name}-0"
    job.server.core().patch_namespaced_pod(name, "jobs", {"metadata": {"finalizers": ["example.org/node"]}})
    job.server.core().delete_namespaced_pod(name, "jobs", grace_period_seconds=0)
    job.says(active=2)
    end = time.monotonic() + 20
    while Phase.FAILED not in job.items().by_phase and time.monotonic() < end:
        time.sleep(0.05)
    assert job.items().by_phase == {Phase.FAILED: (1,), Phase.RUNNING: (4,)}
    assert job.items().error_classes == {1: ErrorClass.LOST}
    assert job.seen().phase is Phase.RUNNING


@pytest.mark.parametrize("with_handle", [True, False])
def test_cancelling_a_slice_ends_its_pods_too(job: Slice, with_handle: bool) -> None:
    job.has_pod(0, {"phase": "Pending"})
    known = job.handle if with_handle else None
    answers = [run_unblocked(job.backend.cancel(job.plan.key, known, "")) for _ in range(3)]
    assert answers[-1] == Gone()
    assert job.server.core().list_namespaced_pod("jobs").items == []
    assert job.seen().gone


def test_pods_that_outlive_their_job_are_ended_by_the_key_alone(job: Slice) -> None:
    job.has_pod(0, {"phase": "Pending"})
    job.server.batch().delete_namespaced_job(job.plan.external_name, "jobs", propagation_policy="Orphan")
    assert isinstance(run_unblocked(job.backend.cancel(job.plan.key, None, "")), InProgress)
    assert run_unblocked(job.backend.cancel(job.plan.key, None, "")) == Gone()
    assert job.server.core().list_namespaced_pod("jobs").items == []


def test_a_large_slice_has_a_handle_that_stays_small(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    plan = backend.plan(backends.request(items=tuple(range(5000))))
    handle = run_unblocked(backend.submit(plan))
    assert handle.data["items"] == "0-4999"
    assert run_unblocked(backend.find(plan)).handle == handle
