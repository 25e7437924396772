"""What a pod's status means: the phase, who is to blame, and words that help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flyte_plugin_kubernetes.classification import Bounds, state_of
from flytepath.plugin import ErrorClass, Phase

BORN = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(phase: str = "Running", *containers: dict[str, Any], **status: Any) -> dict[str, Any]:
    names = [container["name"] for container in containers] or ["primary"]
    spec = [{"name": name, "image": "an/image:1", "resources": {"limits": {"memory": "1Gi"}}} for name in names]
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "creationTimestamp": stamp(BORN)},
        "spec": {"restartPolicy": "Never", "containers": spec},
        "status": {"phase": phase, "startTime": stamp(BORN), "containerStatuses": list(containers), **status},
    }


def ended(code: int, reason: str = "Error", name: str = "primary", **more: Any) -> dict[str, Any]:
    ending = {"exitCode": code, "reason": reason, "finishedAt": stamp(BORN), **more}
    return {"name": name, "state": {"terminated": ending}}


def waiting(reason: str, message: str = "", name: str = "primary", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "an/image:1", "state": {"waiting": {"reason": reason, "message": message}}, **more}


def running(name: str = "primary") -> dict[str, Any]:
    return {"name": name, "state": {"running": {"startedAt": stamp(BORN)}}}


def condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> dict[str, Any]:
    at = stamp(BORN)
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


SCHEDULED = condition("PodScheduled")


@pytest.mark.parametrize(
    ("thing", "phase", "raw"),
    [
        (pod("Pending"), Phase.QUEUED, "Pending"),
        (pod("Pending", conditions=[SCHEDULED]), Phase.INITIALIZING, "Pending"),
        (
            pod("Pending", waiting("ContainerCreating"), conditions=[SCHEDULED]),
            Phase.INITIALIZING,
            "Pending/ContainerCreating",
        ),
        (pod("Running", running()), Phase.RUNNING, "Running"),
        (pod("Unknown", running(), conditions=[SCHEDULED]), Phase.RUNNING, "Unknown"),
        (pod("Succeeded", ended(0, "Completed")), Phase.SUCCEEDED, "Succeeded"),
        (pod("Dreaming"), None, "Dreaming"),
        ({"metadata": {}}, Phase.QUEUED, "Pending"),
    ],
)
def test_a_pod_that_goes_well_is_seen_to_go_on(thing: dict[str, Any], phase: Phase | None, raw: str) -> None:
    seen = state_of(thing)
    assert (seen.phase, seen.raw_state, seen.error_class) == (phase, raw, None)


@pytest.mark.parametrize(
    ("thing", "error_class", "code", "words"),
    [
        (pod("Failed", ended(3)), ErrorClass.USER, 3, ["primary", "exit code 3"]),
        (pod("Failed", ended(3, message="no such table")), ErrorClass.USER, 3, ["no such table"]),
        (pod("Failed", ended(137, "OOMKilled")), ErrorClass.OUT_OF_MEMORY, 137, ["OOMKilled", "memory", "1Gi"]),
        (pod("Failed", ended(137)), ErrorClass.LOST, 137, ["SIGKILL"]),
        (pod("Failed", ended(139)), ErrorClass.LOST, 139, ["SIGSEGV"]),
        (pod("Failed", ended(143)), ErrorClass.PREEMPTED, 143, ["SIGTERM"]),
        (pod("Failed", ended(128, "StartError", message="exec: no such file")), ErrorClass.INVALID, 128, ["exec: no"]),
        (pod("Failed", ended(127, "ContainerCannotRun")), ErrorClass.INVALID, 127, ["cannot be started"]),
        (pod("Failed", ended(255)), ErrorClass.USER, 255, ["255"]),
        (pod("Failed"), ErrorClass.LOST, None, ["no container says why"]),
        (
            pod("Failed", reason="Evicted", message="The node was low on resource: memory."),
            ErrorClass.LOST,
            None,
            ["Evicted", "low on resource: memory"],
        ),
        (pod("Failed", reason="Preempting", message="in favour of another"), ErrorClass.PREEMPTED, None, ["in favour"]),
        (pod("Failed", reason="NodeShutdown"), ErrorClass.PREEMPTED, None, ["shut down"]),
        (pod("Failed", reason="Terminated"), ErrorClass.PREEMPTED, None, ["shut down"]),
        (pod("Failed", reason="NodeLost"), ErrorClass.LOST, None, ["node"]),
        (pod("Failed", reason="OutOfnvidia.com/gpu"), ErrorClass.LOST, None, ["OutOfnvidia.com/gpu", "no room"]),
        (pod("Failed", reason="UnexpectedAdmissionError"), ErrorClass.LOST, None, ["node"]),
        (pod("Failed", reason="DeadlineExceeded"), ErrorClass.USER, None, ["activeDeadlineSeconds"]),
        (
            pod("Failed", ended(143), conditions=[condition("DisruptionTarget", reason="PreemptionByScheduler")]),
            ErrorClass.PREEMPTED,
            143,
            ["PreemptionByScheduler"],
        ),
        (
            pod("Failed", ended(137), conditions=[condition("DisruptionTarget", reason="DeletionByTaintManager")]),
            ErrorClass.LOST,
            137,
            ["its node no longer takes it"],
        ),
        (
            pod("Failed", ended(1), conditions=[condition("DisruptionTarget", reason="SomethingNew")]),
            ErrorClass.PREEMPTED,
            1,
            ["SomethingNew"],
        ),
    ],
)
def test_a_failure_is_blamed_on_whoever_it_is_of(
    thing: dict[str, Any], error_class: ErrorClass, code: int | None, words: list[str]
) -> None:
    seen = state_of(thing)
    assert (seen.phase, seen.error_class, seen.exit_code, seen.is_alive) == (Phase.FAILED, error_class, code, False)
    assert all(word in seen.reason for word in words), seen.reason


def test_the_container_that_decides_is_blamed_and_not_those_beside_it() -> None:
    thing = pod("Failed", ended(1, name="proxy"), ended(7))
    thing["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "primary"}
    assert state_of(thing).exit_code == 7


def test_an_init_container_that_fails_is_named() -> None:
    thing = pod("Failed", waiting("PodInitializing"))
    thing["status"]["initContainerStatuses"] = [ended(4, name="fetch")]
    seen = state_of(thing)
    assert seen.exit_code == 4
    assert "fetch" in seen.reason


def test_a_task_that_ended_well_has_succeeded_whatever_became_of_its_sidecars() -> None:
    thing = pod("Failed", ended(0, "Completed"), ended(137, name="proxy"))
    assert state_of(thing).phase is Phase.SUCCEEDED


def test_a_pod_of_several_containers_that_have_all_ended_is_over() -> None:
    seen = state_of(pod("Succeeded", ended(0, "Completed"), ended(0, "Completed", name="proxy")))
    assert (seen.phase, seen.is_alive) == (Phase.SUCCEEDED, False)


@pytest.mark.parametrize(("code", "phase"), [(0, Phase.SUCCEEDED), (9, Phase.FAILED)])
def test_the_end_of_the_primary_container_is_the_end_while_sidecars_run_on(code: int, phase: Phase) -> None:
    seen = state_of(pod("Running", ended(code, "Completed" if not code else "Error"), running("proxy")))
    assert (seen.phase, seen.exit_code, seen.is_alive) == (phase, code, True)


def test_a_container_that_is_started_again_has_not_ended() -> None:
    thing = pod("Running", ended(1), running("proxy"))
    thing["spec"]["restartPolicy"] = "OnFailure"
    assert state_of(thing).phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("reason", "error_class"),
    [
        ("ErrImagePull", ErrorClass.INVALID),
        ("ImagePullBackOff", ErrorClass.INVALID),
        ("CreateContainerConfigError", ErrorClass.INVALID),
        ("CreateContainerError", ErrorClass.INVALID),
        ("RegistryUnavailable", ErrorClass.UNAVAILABLE),
    ],
)
def test_what_may_mend_itself_is_borne_for_a_while_and_then_fails(reason: str, error_class: ErrorClass) -> None:
    thing = pod("Pending", waiting(reason, 'secret "db" not found'), conditions=[SCHEDULED])
    for bounds in (Bounds(), Bounds(BORN + timedelta(seconds=119))):
        early = state_of(thing, bounds)
        assert (early.phase, early.error_class, early.waits_since) == (Phase.INITIALIZING, None, BORN)
        assert 'secret "db" not found' in early.reason
    late = state_of(thing, Bounds(BORN + timedelta(seconds=121)))
    assert (late.phase, late.error_class, late.is_alive) == (Phase.FAILED, error_class, True)
    assert 'secret "db" not found' in late.reason


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_what_cannot_mend_itself_fails_at_once_and_names_the_image(reason: str) -> None:
    seen = state_of(pod("Pending", waiting(reason), conditions=[SCHEDULED]))
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.INVALID)
    assert "an/image:1" in seen.reason


def test_a_container_that_crashes_again_and_again_fails_with_its_exit_code() -> None:
    last = {"lastState": {"terminated": {"exitCode": 5, "finishedAt": stamp(BORN)}}}
    seen = state_of(pod("Running", waiting("CrashLoopBackOff", "back-off 10s", **last)))
    assert (seen.phase, seen.error_class, seen.exit_code) == (Phase.FAILED, ErrorClass.USER, 5)
    beside = pod("Running", running(), waiting("CrashLoopBackOff", name="proxy", **last))
    assert state_of(beside).phase is Phase.RUNNING


def test_a_pod_that_fits_nowhere_waits_with_the_words_of_the_scheduler() -> None:
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    thing = pod("Pending", conditions=[condition("PodScheduled", "False", "Unschedulable", words)])
    later = BORN + timedelta(hours=5)
    seen = state_of(thing, Bounds(later))
    assert (seen.phase, seen.raw_state) == (Phase.QUEUED, "Pending/Unschedulable")
    assert words in seen.reason
    bounded = state_of(thing, Bounds(later, unschedulable_seconds=3600))
    assert (bounded.phase, bounded.error_class) == (Phase.FAILED, ErrorClass.UNAVAILABLE)
    assert words in bounded.reason
    early = state_of(thing, Bounds(BORN + timedelta(seconds=5), unschedulable_seconds=3600))
    assert early.phase is Phase.QUEUED


def test_a_pod_that_is_gated_waits() -> None:
    gated = condition("PodScheduled", "False", "SchedulingGated", "blocked")
    assert state_of(pod("Pending", conditions=[gated])).raw_state == "Pending/SchedulingGated"


def test_a_pod_that_is_being_deleted_has_not_ended() -> None:
    thing = pod("Running", running())
    thing["metadata"]["deletionTimestamp"] = stamp(BORN)
    seen = state_of(thing)
    assert (seen.phase, seen.raw_state) == (Phase.RUNNING, "Running/Terminating")


def test_a_pod_that_its_node_never_ends_is_lost() -> None:
    thing = pod("Running", running(), conditions=[condition("DisruptionTarget", reason="DeletionByTaintManager")])
    thing["metadata"]["deletionTimestamp"] = stamp(BORN)
    assert state_of(thing, Bounds(BORN + timedelta(seconds=60))).phase is Phase.RUNNING
    seen = state_of(thing, Bounds(BORN + timedelta(seconds=600)))
    assert (seen.phase, seen.error_class, seen.is_alive) == (Phase.FAILED, ErrorClass.LOST, True)
    assert "DeletionByTaintManager" in seen.reason


def test_a_worker_that_could_tell_nobody_is_no_fault_of_the_user() -> None:
    thing = pod("Failed", ended(75))
    assert state_of(thing).error_class is ErrorClass.USER
    thing["spec"]["containers"][0]["command"] = ["python", "-m", "flytepath.worker", "--attempt", "s3://b/a"]
    seen = state_of(thing)
    assert (seen.error_class, seen.exit_code) == (ErrorClass.LOST, 75)
    assert "storage" in seen.reason
