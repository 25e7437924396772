"""Jobs that are custom resources: the table tells the phase, their pods the reasons and the blame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import k8s_backends as backends
import pytest
from flyte_plugin_kubernetes.testing import ApiServer
from flytepath.plugin import ErrorClass, Gone, Handle, InProgress, Observation, Phase, Plan, Terminal
from flytepath.testing import run_unblocked

DISRUPTED = {
    "phase": "Failed",
    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
}


class Nap:
    """A nap that was submitted, and what its operator does."""

    def __init__(self, server: ApiServer, folder: Path, **more: Any) -> None:
        self.server = server
        self.backend = backends.naps(server, folder, **more)
        self.plan: Plan = self.backend.plan(backends.request(payload={"minutes": 3}))
        self.handle: Handle = run_unblocked(self.backend.submit(self.plan))

    def says(self, *types: str) -> None:
        backends.set_status(self.server, self.plan.spec, backends.conditions(*types))

    def has_pod(self, name: str, status: dict[str, Any]) -> dict[str, Any]:
        template = self.plan.spec["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": name, "namespace": "jobs"},
            "spec": {**template["spec"], "restartPolicy": "Never"},
        }
        self.server.core().create_namespaced_pod("jobs", pod)
        backends.set_status(self.server, pod, status)
        return pod

    def seen(self) -> Observation:
        answer = run_unblocked(self.backend.poll([self.handle]))[self.handle]
        assert isinstance(answer, Observation), answer
        return answer

    def cancelled(self) -> Any:
        return run_unblocked(self.backend.cancel(self.plan.key, self.handle, ""))


@pytest.fixture
def nap(api_server: ApiServer, tmp_path: Path) -> Nap:
    return Nap(api_server, tmp_path)


def test_the_table_tells_the_phase(nap: Nap) -> None:
    phases = [nap.seen().phase]
    for types in (["Made"], ["Made", "Started"], ["Made", "Started", "Done"]):
        nap.says(*types)
        phases.append(nap.seen().phase)
    assert phases == [Phase.QUEUED, Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED]
    assert nap.cancelled() == Terminal(Observation(Phase.SUCCEEDED, "Done", "it is Done"))


def test_an_unknown_condition_keeps_the_phase(nap: Nap) -> None:
    nap.says("Made", "Dreaming")
    assert (nap.seen().phase, nap.seen().raw_state) == (None, "Dreaming")


def test_a_failure_without_pods_is_the_users(nap: Nap) -> None:
    nap.says("Broken")
    assert (nap.seen().phase, nap.seen().error_class, nap.seen().reason) == (
        Phase.FAILED,
        ErrorClass.USER,
        "it is Broken",
    )


def test_the_pod_that_failed_first_is_blamed(nap: Nap) -> None:
    def ended(code: int, at: str) -> dict[str, Any]:
        state = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": f"2030-01-01T00:00:0{at}Z"}}
        status = {"name": "nap", "image": "bed", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        return {"phase": "Failed", "containerStatuses": [status]}

    nap.has_pod("a", ended(1, "5"))
    nap.has_pod("b", ended(137, "3"))
    nap.says("Made", "Broken")
    seen = nap.seen()
    assert (seen.error_class, seen.exit_code) == (ErrorClass.LOST, 137)
    assert "it is Broken" in seen.reason
    assert "SIGKILL" in seen.reason


def test_a_machine_that_was_taken_away_is_nobodys_fault(nap: Nap) -> None:
    nap.has_pod("a", DISRUPTED)
    nap.says("Broken")
    assert nap.seen().error_class is ErrorClass.PREEMPTED


def test_pods_say_why_it_does_not_begin(nap: Nap) -> None:
    nap.says("Made")
    words = "0/1 nodes are available: 1 Insufficient cpu."
    held = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    nap.has_pod("a", {"phase": "Pending", "conditions": [held]})
    assert nap.seen().phase is Phase.QUEUED
    assert words in nap.seen().reason


def test_an_image_that_cannot_be_pulled_fails_it_after_a_while(api_server: ApiServer, tmp_path: Path) -> None:
    nap = Nap(api_server, tmp_path, image_pull_seconds=0)
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    status = {"name": "nap", "image": "bed", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    nap.has_pod("a", {"phase": "Pending", "containerStatuses": [status]})
    seen = nap.seen()
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.INVALID)
    assert "bed" in seen.reason
    # It would still wait for that image: cleaning up ends it.
    run_unblocked(nap.backend.cleanup(nap.plan.key, nap.handle))
    assert nap.seen().gone


def test_events_are_reasons_where_the_status_says_nothing(nap: Nap) -> None:
    event = {
        "metadata": {"name": "e", "namespace": "jobs"},
        "involvedObject": {"kind": "Nap", "namespace": "jobs", "name": nap.plan.external_name, "uid": ""},
        "type": "Warning",
        "reason": "FailedCreate",
        "message": "exceeded quota: beds",
    }
    event["involvedObject"]["uid"] = nap.handle.data["uid"]
    nap.server.core().create_namespaced_event("jobs", event)
    assert nap.seen().reason == "FailedCreate: exceeded quota: beds"


def test_it_is_gone_when_its_pods_are(nap: Nap) -> None:
    pod = nap.has_pod("a", {"phase": "Running"})
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    nap.server.core().patch_namespaced_pod("a", "jobs", held)
    first = nap.cancelled()
    assert isinstance(first, InProgress)
    assert nap.seen().gone
    assert isinstance(nap.cancelled(), InProgress)
    nap.server.core().patch_namespaced_pod(pod["metadata"]["name"], "jobs", {"metadata": {"finalizers": None}})
    assert nap.cancelled() == Gone()


def test_a_finalizer_that_hangs_is_named(nap: Nap) -> None:
    place = ("example.org", "v1", "jobs", "naps", nap.plan.external_name)
    nap.server.custom().patch_namespaced_custom_object(*place, {"metadata": {"finalizers": ["example.org/hold"]}})
    for _ in range(2):
        answer = nap.cancelled()
        assert isinstance(answer, InProgress)
        assert "example.org/hold" in answer.reason
    assert nap.seen().raw_state.endswith("Terminating")


def test_what_has_ended_goes_unless_it_is_to_be_kept(api_server: ApiServer, tmp_path: Path) -> None:
    for keep, gone in ((0, True), (3600, False)):
        nap = Nap(api_server, tmp_path, keep_finished=keep)
        nap.says("Done")
        run_unblocked(nap.backend.cleanup(nap.plan.key, None))
        run_unblocked(nap.backend.cleanup(nap.plan.key, nap.handle))
        assert nap.seen().gone is gone


def test_what_was_kept_long_enough_goes_with_the_next_that_ends(api_server: ApiServer, tmp_path: Path) -> None:
    naps = [Nap(api_server, tmp_path, keep_finished=60) for _ in range(4)]
    old, young, running, last = naps
    for nap, moment in ((old, "2001-01-01T00:00:00Z"), (young, "2999-01-01T00:00:00Z"), (last, "2999-01-01T00:00:00Z")):
        status = backends.conditions("Done")
        status["conditions"][0]["lastTransitionTime"] = moment
        backends.set_status(api_server, nap.plan.spec, status)
    running.says("Started")
    run_unblocked(last.backend.cleanup(last.plan.key, last.handle))
    assert [nap.seen().gone for nap in naps] == [True, False, False, False]


def test_many_jobs_are_looked_at_with_one_list_of_objects_and_one_of_pods(
    api_server: ApiServer, tmp_path: Path
) -> None:
    naps = [Nap(api_server, tmp_path) for _ in range(5)]
    for nap in naps:
        nap.says("Made", "Broken")
    with api_server.counting() as asked:
        seen = run_unblocked(naps[0].backend.poll([nap.handle for nap in naps]))
    assert {answer.phase for answer in seen.values() if isinstance(answer, Observation)} == {Phase.FAILED}
    assert [(ask.verb, ask.resource) for ask in asked] == [("list", "naps"), ("list", "pods")]


def test_the_stamp_stands_on_the_object_and_on_its_pods(nap: Nap) -> None:
    template = nap.plan.spec["spec"]["template"]["metadata"]["labels"]
    labels = nap.plan.spec["metadata"]["labels"]
    assert labels.items() <= template.items()
    assert all(len(value) <= 63 for value in labels.values())
    assert len(nap.plan.external_name) <= 52


def test_a_plan_needs_no_client(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, k8s_backends as b\n"
        "from flyte_plugin_kubernetes.settings import KubernetesSettings\n"
        "backend = b.NapBackend(KubernetesSettings())\n"
        "backend.plan(b.request())\n"
        "b.KubernetesBackend(KubernetesSettings()).plan(b.request())\n"
        "assert 'kubernetes.client' not in sys.modules, 'the client was imported'\n"
    )
    folder = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
