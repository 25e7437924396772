"""Map tasks as Indexed Jobs: one pod for each item, each item with an end of its own, no item tried again by the Job.

Source: ``batch/v1`` Job of the Kubernetes API; per-index back-off is stable since 1.33, pod failure policies are since
1.31.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flytepath.plugin import ErrorClass, ItemPhases, Observation, Phase

from flyte_plugin_kubernetes.classification import Bounds, PodState, state_of
from flyte_plugin_kubernetes.looking import JobRef, terminating
from flyte_plugin_kubernetes.stamps import positions

Json = Any

#: The variable in which a pod of an Indexed Job finds its position.
INDEX: Final = "$(JOB_COMPLETION_INDEX)"
#: Without these its pods have no positions, or are tried again by the Job; since which version a cluster has them.
_NEEDED: Final[Mapping[str, str]] = {"completionMode": "1.24", "backoffLimitPerIndex": "1.29"}
_INDEX_ANNOTATION: Final = "batch.kubernetes.io/job-completion-index"


def job_manifest(template: Mapping[str, Json], size: int, keep_seconds: float) -> dict[str, Json]:
    """The Job of some items.

    Args:
        template: of its pods.
        size: how many items there are.
        keep_seconds: how long it stays after its end; 0: until it is deleted.
    """
    spec: dict[str, Json] = {
        "completionMode": "Indexed",
        "completions": size,
        "parallelism": size,
        # Attempts are core's: an item that fails has failed, and the others go on to the last of them.
        "backoffLimitPerIndex": 0,
        "maxFailedIndexes": size,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "FailIndex", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": dict(template),
    }
    if keep_seconds:
        spec["ttlSecondsAfterFinished"] = max(1, round(keep_seconds))
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}


def job_left_out(thing: Mapping[str, Json]) -> str:
    """What a cluster left out of a Job of items, without which it is none; nothing where all is there."""
    spec = thing.get("spec") or {}
    lacking = [f"{name} (since Kubernetes {since})" for name, since in _NEEDED.items() if spec.get(name) is None]
    return ", ".join(lacking)


def job_observation(
    job: JobRef, thing: Mapping[str, Json], pods: Sequence[Mapping[str, Json]], bounds: Bounds
) -> Observation:
    """How an Indexed Job stands, and each of its items."""
    status: Mapping[str, Json] = thing.get("status") or {}
    states = _by_position(pods, bounds)
    done, failed = positions(status.get("completedIndexes") or ""), positions(status.get("failedIndexes") or "")
    ended = _ended(status)
    phases: dict[int, Phase] = dict.fromkeys(done, Phase.SUCCEEDED) | dict.fromkeys(failed, Phase.FAILED)
    hopeless = next((state for state in states.values() if state.never_begins), None)
    if ended is not None and ended[0] is Phase.FAILED:
        # Whatever stopped the whole Job stopped the items that had not ended.
        phases = dict.fromkeys(range(len(job.items)), Phase.FAILED) | phases
    elif hopeless is not None:
        phases = dict.fromkeys(range(len(job.items)), Phase.FAILED) | phases
    for position, state in states.items():
        if position not in phases and state.phase is not None:
            phases[position] = _phase_of(state)
    items = _items(job, phases, states, ended[2] if ended is not None else "", hopeless)
    if ended is not None:
        phase, raw, reason = ended
        if phase is Phase.FAILED:
            return Observation(phase, raw, _summary(reason, items), _blamed(raw, items), items=items)
        return Observation(phase, raw, items=items)
    if hopeless is not None:
        raw = f"Active/{hopeless.raw_state}"
        return Observation(Phase.FAILED, raw, hopeless.reason, hopeless.error_class, hopeless.exit_code, items=items)
    if job.items and len(phases) == len(job.items) and all(phase.is_terminal for phase in phases.values()):
        # Every item has ended, and what runs on in their pods is nobody's.
        if items.error_classes:
            return Observation(Phase.FAILED, "Active", _summary("", items), _blamed("Active", items), items=items)
        return Observation(Phase.SUCCEEDED, "Active", items=items)
    if thing["metadata"].get("deletionTimestamp"):
        return Observation(Phase.RUNNING, "Terminating", terminating(thing), items=items)
    return _going(status, items, states)


def _phase_of(state: PodState) -> Phase:
    """The phase of an item that its Job has not counted yet.

    The Job counts an item a moment after its pod has ended, and until then it runs. A pod in which only sidecars run
    on, or which a lost node holds, it may never count.
    """
    phase = state.phase or Phase.RUNNING
    return Phase.RUNNING if phase.is_terminal and not state.is_alive else phase


def _going(status: Mapping[str, Json], items: ItemPhases, states: Mapping[int, PodState]) -> Observation:
    waits = next((states[position].reason for position in sorted(states) if states[position].reason), "")
    if (status.get("conditions") or ()) and _holds(status, "Suspended"):
        return Observation(Phase.QUEUED, "Suspended", "somebody has suspended it", items=items)
    begun = {Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED} & set(items.by_phase) or status.get("ready")
    if begun:
        return Observation(Phase.RUNNING, "Active", waits if not status.get("ready") else "", items=items)
    if Phase.INITIALIZING in items.by_phase:
        return Observation(Phase.INITIALIZING, "Active", waits, items=items)
    return Observation(Phase.QUEUED, "Active" if status.get("active") else "Created", waits, items=items)


def _ended(status: Mapping[str, Json]) -> tuple[Phase, str, str] | None:
    """The phase, the word and the text of a Job's end; its pods have ended too."""
    for kind, phase in (("Complete", Phase.SUCCEEDED), ("Failed", Phase.FAILED)):
        found = _holds(status, kind)
        if found is not None:
            reason = str(found.get("reason") or "")
            return phase, f"{kind}/{reason}" if reason else kind, str(found.get("message") or "") or reason
    return None


def _holds(status: Mapping[str, Json], kind: str) -> Mapping[str, Json] | None:
    for known in status.get("conditions") or ():
        if known.get("type") == kind and known.get("status") == "True":
            found: Mapping[str, Json] = known
            return found
    return None


def _by_position(pods: Sequence[Mapping[str, Json]], bounds: Bounds) -> dict[int, PodState]:
    found: dict[int, PodState] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or "")):
        index = str((pod["metadata"].get("annotations") or {}).get(_INDEX_ANNOTATION) or "")
        if index.isdigit():
            found[int(index)] = state_of(pod, bounds)
    return found


def _items(
    job: JobRef, phases: Mapping[int, Phase], states: Mapping[int, PodState], why: str, hopeless: PodState | None
) -> ItemPhases:
    by_phase: dict[Phase, list[int]] = defaultdict(list)
    reasons: dict[int, str] = {}
    classes: dict[int, ErrorClass] = {}
    for position in sorted(phases):
        if position >= len(job.items):
            continue
        index, phase = job.items[position], phases[position]
        by_phase[phase].append(index)
        if phase is not Phase.FAILED:
            continue
        state = states.get(position)
        if state is None or state.phase is not Phase.FAILED:
            state = hopeless
        if state is not None:
            reasons[index], classes[index] = state.reason, state.error_class or ErrorClass.USER
        else:
            # Its pod is gone, and with it what it ended of: as when its node was taken away.
            reasons[index], classes[index] = why or "its pod is gone", ErrorClass.LOST
    return ItemPhases({phase: tuple(indices) for phase, indices in by_phase.items()}, reasons, classes)


def _blamed(raw: str, items: ItemPhases) -> ErrorClass:
    if raw.endswith("/DeadlineExceeded"):
        return ErrorClass.USER
    classes = set(items.error_classes.values())
    return next(iter(classes)) if len(classes) == 1 else ErrorClass.USER


def _summary(reason: str, items: ItemPhases) -> str:
    first = next(iter(items.reasons.items()), None)
    return (
        reason
        if first is None
        else f"{reason}; item {first[0]}: {first[1]}"
        if reason
        else f"item {first[0]}: {first[1]}"
    )


__all__ = ["INDEX", "job_left_out", "job_manifest", "job_observation"]
