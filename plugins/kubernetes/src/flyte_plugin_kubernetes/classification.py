"""What a pod's status means: its phase, the reason for people, and who is to blame; told by tables.

Sources: the pod life cycle, disruption conditions and node-pressure eviction as documented by Kubernetes, and the
reasons that the kubelet and the scheduler write.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from flytepath.plugin import ErrorClass, Phase

Json = Any

#: The annotation of a pod that names the container whose end is the task's.
PRIMARY: Final = "kubectl.kubernetes.io/default-container"

#: The exit code of a worker that could tell nobody how its attempt went.
UNTOLD: Final = 75


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long what may mend itself is waited for.

    Args:
        now: by the clock of the cluster; ``None``: nothing is taken for hopeless yet.
        start_seconds: a container that cannot be started.
        unschedulable_seconds: a pod that fits on no node; ``None``: for ever.
    """

    now: datetime | None = None
    start_seconds: float = 120.0
    unschedulable_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PodState:
    """What a pod's status means.

    Args:
        phase: ``None`` for a word that is not known.
        raw_state: the cluster's own words.
        reason: for people.
        error_class: for a failure.
        exit_code: of the container that decides.
        is_alive: whether any of its processes may still run: also true where ``phase`` is an end that this plugin
            alone declares, as for a sidecar that runs on, or an image that can never be pulled.
        never_begins: of a failure: its containers cannot be started.
        ended_at: when the deciding container ended, as text that sorts.
        waits_since: since when it has not got on, where it may be hopeless after a while.
    """

    phase: Phase | None
    raw_state: str
    reason: str = ""
    error_class: ErrorClass | None = None
    exit_code: int | None = None
    is_alive: bool = True
    never_begins: bool = False
    ended_at: str = ""
    waits_since: datetime | None = None


class _Wait(NamedTuple):
    """What a waiting container's reason means: who is to blame when it does not pass, and whether it may."""

    error_class: ErrorClass
    may_pass: bool = True


#: Reasons of containers that wait and can not just be waited for.
_STUCK: Final[Mapping[str, _Wait]] = {
    "ErrImagePull": _Wait(ErrorClass.INVALID),
    "ImagePullBackOff": _Wait(ErrorClass.INVALID),
    "ImageInspectError": _Wait(ErrorClass.INVALID),
    "ErrImageNeverPull": _Wait(ErrorClass.INVALID, may_pass=False),
    "RegistryUnavailable": _Wait(ErrorClass.UNAVAILABLE),
    "SignatureValidationFailed": _Wait(ErrorClass.INVALID, may_pass=False),
    "InvalidImageName": _Wait(ErrorClass.INVALID, may_pass=False),
    "CreateContainerConfigError": _Wait(ErrorClass.INVALID),
    "CreateContainerError": _Wait(ErrorClass.INVALID),
    "RunContainerError": _Wait(ErrorClass.INVALID),
    "CrashLoopBackOff": _Wait(ErrorClass.USER),
}

#: ``status.reason`` of a pod that has failed, where the container's own end is not the story.
_POD_REASONS: Final[Mapping[str, tuple[ErrorClass, str]]] = {
    "Evicted": (ErrorClass.LOST, "the node evicted it"),
    "Preempting": (ErrorClass.PREEMPTED, "it made room for a more important pod"),
    "Preempted": (ErrorClass.PREEMPTED, "it made room for a more important pod"),
    "NodeShutdown": (ErrorClass.PREEMPTED, "its node was shut down"),
    "Shutdown": (ErrorClass.PREEMPTED, "its node was shut down"),
    "Terminated": (ErrorClass.PREEMPTED, "its node was shut down"),
    "NodeLost": (ErrorClass.LOST, "its node no longer answers"),
    "DeadlineExceeded": (ErrorClass.USER, "it ran longer than activeDeadlineSeconds"),
    "UnexpectedAdmissionError": (ErrorClass.LOST, "its node could not take it"),
    "NodeAffinity": (ErrorClass.LOST, "its node could not take it"),
    "NodePorts": (ErrorClass.LOST, "its node could not take it"),
    "NodeName": (ErrorClass.LOST, "its node could not take it"),
}

#: Reasons of the condition ``DisruptionTarget``.
_DISRUPTIONS: Final[Mapping[str, tuple[ErrorClass, str]]] = {
    "PreemptionByScheduler": (ErrorClass.PREEMPTED, "it made room for a more important pod"),
    "EvictionByEvictionAPI": (ErrorClass.PREEMPTED, "somebody evicted it, as for the draining of its node"),
    "TerminationByKubelet": (ErrorClass.PREEMPTED, "its node ended it"),
    "DeletionByTaintManager": (ErrorClass.LOST, "its node no longer takes it"),
    "DeletionByPodGC": (ErrorClass.LOST, "its node is gone"),
}

#: Reasons of a container that has ended, where the exit code is not the story.
_ENDINGS: Final[Mapping[str, tuple[ErrorClass, str]]] = {
    "OOMKilled": (ErrorClass.OUT_OF_MEMORY, "it was killed for want of memory"),
    "StartError": (ErrorClass.INVALID, "its command cannot be started"),
    "ContainerCannotRun": (ErrorClass.INVALID, "its command cannot be started"),
    "ContainerStatusUnknown": (ErrorClass.LOST, "nobody knows how it ended"),
}


def state_of(pod: Mapping[str, Json], bounds: Bounds | None = None) -> PodState:
    """What a pod's status means.

    Example:
        >>> state_of({"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}}).reason
        'Evicted: the node evicted it: low on memory'
    """
    bounds = bounds or Bounds()
    status: Mapping[str, Json] = pod.get("status") or {}
    phase = str(status.get("phase") or "Pending")
    if phase == "Failed":
        return _failed(pod, status)
    if phase == "Succeeded":
        return PodState(Phase.SUCCEEDED, phase, exit_code=0, is_alive=False, ended_at=_end_of_pod(status))
    ended = _ended_primary(pod, status)
    if ended is not None:
        return ended
    if phase in ("Pending", "Running", "Unknown"):
        return _going(pod, status, phase, bounds)
    return PodState(None, phase, str(status.get("message") or ""))


# --- pods that have ended ---


def _failed(pod: Mapping[str, Json], status: Mapping[str, Json]) -> PodState:
    word, message = str(status.get("reason") or ""), str(status.get("message") or "")
    name, container = _culprit(pod, status)
    ended = (container.get("state") or {}).get("terminated") or {}
    code = ended.get("exitCode")
    at = str(ended.get("finishedAt") or "") or _end_of_pod(status)
    primary = (_statuses(status).get(primary_of(pod), {}).get("state") or {}).get("terminated") or {}
    if primary.get("exitCode") == 0:  # whatever became of those beside it
        return PodState(Phase.SUCCEEDED, "Failed/Completed", exit_code=0, is_alive=False, ended_at=at)
    disruption = _condition(status, "DisruptionTarget")
    if word.startswith("OutOf"):
        found = (ErrorClass.LOST, "its node had no room for it")
    elif word in _POD_REASONS:
        found = _POD_REASONS[word]
    elif disruption is not None:
        word = str(disruption.get("reason") or "DisruptionTarget")
        found = _DISRUPTIONS.get(word, (ErrorClass.PREEMPTED, "it was disrupted"))
        message = message or str(disruption.get("message") or "")
    else:
        state = _terminated(pod, name, container, at)
        return PodState(Phase.FAILED, f"Failed/{state[0]}", state[1], state[2], code, is_alive=False, ended_at=at)
    return PodState(
        Phase.FAILED, f"Failed/{word}", _said(word, found[1], message), found[0], code, is_alive=False, ended_at=at
    )


def _ended_primary(pod: Mapping[str, Json], status: Mapping[str, Json]) -> PodState | None:
    """The end of the container that decides, while others run on; only of a pod that will not start it again."""
    spec = pod.get("spec") or {}
    if len(spec.get("containers") or ()) < 2 or spec.get("restartPolicy") not in ("Never", None):
        return None
    name = primary_of(pod)
    container = _statuses(status).get(name)
    ended = ((container or {}).get("state") or {}).get("terminated")
    if container is None or not ended:
        return None
    at = str(ended.get("finishedAt") or "")
    if ended.get("exitCode") == 0:
        return PodState(Phase.SUCCEEDED, f"{status.get('phase')}/{name} Completed", exit_code=0, ended_at=at)
    disruption = _condition(status, "DisruptionTarget")
    word, reason, error_class = _terminated(pod, name, container, at)
    if disruption is not None:
        word = str(disruption.get("reason") or "DisruptionTarget")
        error_class, why = _DISRUPTIONS.get(word, (ErrorClass.PREEMPTED, "it was disrupted"))
        reason = _said(word, why, str(disruption.get("message") or ""))
    return PodState(Phase.FAILED, f"{status.get('phase')}/{word}", reason, error_class, ended["exitCode"], ended_at=at)


def _terminated(
    pod: Mapping[str, Json], name: str, container: Mapping[str, Json], at: str
) -> tuple[str, str, ErrorClass]:
    """The word, the text and the class of a container's end."""
    ended = (container.get("state") or {}).get("terminated") or {}
    word, message = str(ended.get("reason") or ""), str(ended.get("message") or "").strip()
    code = ended.get("exitCode")
    if word in _ENDINGS:
        error_class, why = _ENDINGS[word]
        if word == "OOMKilled":
            limit = _limit(pod, name, "memory")
            why += f" (limit {limit})" if limit else ", without a limit of its own: the node was short of it"
        return word, _said(word, f"container {name}: {why}", message), error_class
    if code is None:
        return (
            word or "Error",
            _said(word or "Failed", "the pod failed, and no container says why", message),
            (ErrorClass.LOST),
        )
    number = ended.get("signal") or (code - 128 if 128 < code < 128 + 65 else 0)
    if number:
        text = f"container {name} was killed by {_signal_name(number)} (exit code {code})"
        error_class = ErrorClass.PREEMPTED if number == signal.SIGTERM else ErrorClass.LOST
        return word or "Error", _said("", text, message), error_class
    if code == UNTOLD and _runs_worker(pod, name):
        text = f"the worker in container {name} could not reach the storage to tell how the attempt went"
        return word or "Error", _said("", text, message), ErrorClass.LOST
    return word or "Error", _said("", f"container {name} ended with exit code {code}", message), ErrorClass.USER


def _culprit(pod: Mapping[str, Json], status: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
    """The container that made the pod fail: the one that decides, else the first that ended badly."""
    known = _statuses(status)
    primary = primary_of(pod)
    names = [primary, *sorted(known, key=lambda name: _finished_at(known[name]))]
    for name in names:
        code = ((known.get(name, {}).get("state") or {}).get("terminated") or {}).get("exitCode")
        if code:
            return name, known[name]
    return primary, known.get(primary, {})


def _finished_at(container: Mapping[str, Json]) -> str:
    return str(((container.get("state") or {}).get("terminated") or {}).get("finishedAt") or "~")


# --- pods that have not ended ---


def _going(pod: Mapping[str, Json], status: Mapping[str, Json], phase: str, bounds: Bounds) -> PodState:
    metadata = pod.get("metadata") or {}
    disruption = _condition(status, "DisruptionTarget")
    reason = ""
    if disruption is not None:
        word = str(disruption.get("reason") or "")
        reason = _said(word, _DISRUPTIONS.get(word, (None, "it is being disrupted"))[1], str(disruption.get("message")))
    if metadata.get("deletionTimestamp"):
        return _terminating(metadata, phase, reason or "it is being deleted", bounds)
    stuck = _stuck(status)
    if stuck is not None:
        return _waiting(pod, status, phase, stuck, bounds)
    if phase == "Running":
        return PodState(Phase.RUNNING, phase, reason)
    scheduled = _condition(status, "PodScheduled", "False")
    if phase == "Pending" and (scheduled is not None or _condition(status, "PodScheduled") is None):
        return _unscheduled(phase, scheduled or {}, bounds)
    words = {str(_waits(container).get("reason") or "") for container in _statuses(status).values()} - {""}
    raw = "/".join([phase, *sorted(words)[:1]])
    return PodState(Phase.INITIALIZING if phase == "Pending" else Phase.RUNNING, raw, reason)


def _terminating(metadata: Mapping[str, Json], phase: str, reason: str, bounds: Bounds) -> PodState:
    """A pod that is being deleted. One that its node does not end in time is lost, as the node may be."""
    raw, due = f"{phase}/Terminating", _time(metadata["deletionTimestamp"])
    if bounds.now is not None and due is not None and (bounds.now - due).total_seconds() > bounds.start_seconds:
        return PodState(Phase.FAILED, raw, f"{reason}; its node has not ended it since {due}", ErrorClass.LOST)
    return PodState(Phase.QUEUED if phase == "Pending" else Phase.RUNNING, raw, reason, waits_since=due)


def _unscheduled(phase: str, condition: Mapping[str, Json], bounds: Bounds) -> PodState:
    word, message = str(condition.get("reason") or ""), str(condition.get("message") or "")
    raw = f"{phase}/{word}" if word else phase
    since = _time(condition.get("lastTransitionTime"))
    if word != "Unschedulable" or bounds.unschedulable_seconds is None:
        return PodState(Phase.QUEUED, raw, _said(word, message, ""))
    if bounds.now is None or since is None or (bounds.now - since).total_seconds() < bounds.unschedulable_seconds:
        return PodState(Phase.QUEUED, raw, _said(word, message, ""), waits_since=since)
    why = f"no node could take it for {bounds.unschedulable_seconds:g} s"
    return PodState(Phase.FAILED, raw, _said(word, why, message), ErrorClass.UNAVAILABLE, never_begins=True)


def _stuck(status: Mapping[str, Json]) -> tuple[str, str, Mapping[str, Json]] | None:
    for name, container in _statuses(status).items():
        waiting = _waits(container)
        if waiting.get("reason") in _STUCK:
            return name, str(waiting["reason"]), container
    return None


def _waiting(
    pod: Mapping[str, Json],
    status: Mapping[str, Json],
    phase: str,
    stuck: tuple[str, str, Mapping[str, Json]],
    bounds: Bounds,
) -> PodState:
    """A container that may never start: borne for a while, and then the end of the job."""
    name, word, container = stuck
    meaning = _STUCK[word]
    message = str(_waits(container).get("message") or "")
    image = str(container.get("image") or _image(pod, name))
    about = f"container {name}, image {image}" if "Image" in word or "Registry" in word else f"container {name}"
    reason = _said(word, about, message)
    raw = f"{phase}/{word}"
    last = (container.get("lastState") or {}).get("terminated") or {}
    code = last.get("exitCode") if word == "CrashLoopBackOff" else None
    if code is not None:
        reason = _said(word, f"container {name} ended with exit code {code} again and again", message)
    since = _time(last.get("finishedAt")) if code is not None else None
    since = since or _time(status.get("startTime")) or _time((pod.get("metadata") or {}).get("creationTimestamp"))
    if meaning.may_pass and word != "CrashLoopBackOff":
        waited = None if bounds.now is None or since is None else (bounds.now - since).total_seconds()
        if waited is None or waited < bounds.start_seconds:
            return PodState(Phase.INITIALIZING, raw, reason, waits_since=since)
    elif word == "CrashLoopBackOff" and name != primary_of(pod):
        return PodState(Phase.RUNNING if phase == "Running" else Phase.INITIALIZING, raw, reason)
    return PodState(Phase.FAILED, raw, reason, meaning.error_class, code, never_begins=code is None)


# --- small things ---


def primary_of(pod: Mapping[str, Json]) -> str:
    """The container that decides about the pod's end: as annotated, else the first."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    named = annotations.get(PRIMARY)
    containers: Sequence[Mapping[str, Json]] = (pod.get("spec") or {}).get("containers") or ()
    return str(named or (containers[0].get("name") if containers else "") or "")


def _statuses(status: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """The states of all containers by name, those that come first first."""
    lists = (status.get("initContainerStatuses") or (), status.get("containerStatuses") or ())
    return {str(container.get("name")): container for known in lists for container in known}


def _waits(container: Mapping[str, Json]) -> Mapping[str, Json]:
    found: Mapping[str, Json] = (container.get("state") or {}).get("waiting") or {}
    return found


def _condition(status: Mapping[str, Json], kind: str, value: str = "True") -> Mapping[str, Json] | None:
    for known in status.get("conditions") or ():
        if known.get("type") == kind and known.get("status") == value:
            found: Mapping[str, Json] = known
            return found
    return None


def _limit(pod: Mapping[str, Json], container: str, resource: str) -> str:
    for known in _specs(pod):
        if known.get("name") == container:
            return str(((known.get("resources") or {}).get("limits") or {}).get(resource) or "")
    return ""


def _runs_worker(pod: Mapping[str, Json], container: str) -> bool:
    for known in (pod.get("spec") or {}).get("containers") or ():
        if known.get("name") == container:
            return "flytepath.worker" in [*(known.get("command") or ()), *(known.get("args") or ())]
    return False


def _image(pod: Mapping[str, Json], container: str) -> str:
    return next((str(known.get("image") or "") for known in _specs(pod) if known.get("name") == container), "")


def _specs(pod: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    spec = pod.get("spec") or {}
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _end_of_pod(status: Mapping[str, Json]) -> str:
    ends = [_finished_at(container) for container in _statuses(status).values()]
    return max((end for end in ends if end != "~"), default="")


def _time(text: Json) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _said(word: str, why: str, message: str) -> str:
    parts = [part.strip() for part in (word, why, message) if part and part.strip() and part != "None"]
    return ": ".join(dict.fromkeys(parts))


__all__ = ["Bounds", "PodState", "primary_of", "state_of"]
