"""Looking at many jobs at once: one list of objects per namespace and kind, and one of pods where those are needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import ErrorClass, Handle, Observation, Phase

from flyte_plugin_kubernetes.classification import Bounds, PodState, state_of
from flyte_plugin_kubernetes.conditions import ConditionTable
from flyte_plugin_kubernetes.pod_events import last_warning
from flyte_plugin_kubernetes.resource_kind import POD, ResourceKind
from flyte_plugin_kubernetes.stamps import KEY, positions, selector_of

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.custom_resource import CustomResourceBackend

Json = Any

#: A selector with more keys makes a request too long; then all jobs of the installation are listed.
_KEYS: Final = 100
#: Events are asked for so many jobs of one look that have not begun and do not say why.
_ASKED: Final = 5
_ENDS: Final = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)
_BEFORE: Final = (Phase.QUEUED, Phase.INITIALIZING)


@dataclass(frozen=True, slots=True)
class JobRef:
    """A job's object, as a handle names it.

    Args:
        kind, namespace, name, uid: which object; an empty ``uid``: whichever has the name.
        installation, key: its labels.
        items: the indices of the map it serves, by position.
    """

    kind: ResourceKind
    namespace: str
    name: str
    uid: str
    installation: str
    key: str
    items: tuple[int, ...] = ()


def ref_of(handle: Handle, kinds: Sequence[ResourceKind]) -> JobRef | None:
    """What a handle names; ``None`` where it is none of these kinds'."""
    data = handle.data
    texts = [data.get(name) for name in ("namespace", "name", "uid", "installation", "key")]
    kind = next((kind for kind in kinds if kind.id == data.get("resource")), None)
    if kind is None or not all(isinstance(text, str) and text for text in texts):
        return None
    try:
        items = positions(data.get("items") or "")
    except (TypeError, ValueError, AttributeError):
        return None
    namespace, name, uid, installation, key = (str(text) for text in texts)
    return JobRef(kind, namespace, name, uid, installation, key, items)


def look(backend: CustomResourceBackend, jobs: Sequence[JobRef]) -> dict[JobRef, Observation]:
    """How some jobs of one kind, namespace and installation stand."""
    first, client = jobs[0], backend.client
    keys = [job.key for job in jobs] if len(jobs) <= _KEYS else []
    chosen = selector_of(first.installation, keys)
    things = {thing["metadata"]["uid"]: thing for thing in client.all(first.kind, first.namespace, labels=chosen)}
    for job in jobs:
        if job.uid not in things:  # its labels may have been taken away
            known = client.get(job.kind, job.namespace, job.name)
            if known is not None and known["metadata"]["uid"] == job.uid:
                things[job.uid] = known
    there = [job for job in jobs if job.uid in things]
    pods = _pods(backend, [job for job in there if backend.needs_pods(things[job.uid])])
    seen: dict[JobRef, Observation] = {}
    bounds = bounds_of(
        backend, [*(things[job.uid] for job in there), *(pod for known in pods.values() for pod in known)]
    )
    asked = 0
    for job in jobs:
        thing = things.get(job.uid)
        if thing is None:
            gone = f"the cluster has no {job.kind.kind} {job.namespace}/{job.name} of this job any more"
            seen[job] = Observation(None, "404 NotFound", gone, gone=True)
            continue
        found = backend.observation(job, thing, pods.get(job, ()), bounds)
        if found.phase in _BEFORE and not found.reason and asked < _ASKED:
            asked += 1
            found = _with_reason(found, last_warning(client, thing, pods.get(job, ())))
        seen[job] = found
    return seen


def pods_of(backend: CustomResourceBackend, job: JobRef, *, fields: str = "") -> list[Json]:
    """The pods of one job."""
    if job.kind == POD:
        known = backend.client.get(POD, job.namespace, job.name)
        return [] if known is None or (job.uid and known["metadata"]["uid"] != job.uid) else [known]
    chosen = backend.pods_selector(job.name) or selector_of(job.installation, [job.key])
    return list(backend.client.all(POD, job.namespace, labels=chosen, fields=fields))


def _pods(backend: CustomResourceBackend, jobs: Sequence[JobRef]) -> dict[JobRef, list[Json]]:
    """The pods of several jobs, by one list where they bear our stamp."""
    if not jobs or jobs[0].kind == POD:
        return {}
    fields = backend.pods_fields(jobs[0].kind)
    if backend.pods_selector(jobs[0].name):
        return {job: pods_of(backend, job, fields=fields) for job in jobs}
    keys = [job.key for job in jobs] if len(jobs) <= _KEYS else []
    by_key: dict[str, list[Json]] = defaultdict(list)
    chosen = selector_of(jobs[0].installation, keys)
    for pod in backend.client.all(POD, jobs[0].namespace, labels=chosen, fields=fields):
        by_key[(pod["metadata"].get("labels") or {}).get(KEY, "")].append(pod)
    return {job: by_key.get(job.key, []) for job in jobs}


def bounds_of(backend: CustomResourceBackend, things: Sequence[Mapping[str, Json]]) -> Bounds:
    """How long what may mend itself is waited for; the clock is asked only where something waits."""
    settings = backend.settings
    bounds = Bounds(None, settings.image_pull_seconds, settings.unschedulable_seconds)
    pods = (thing for thing in things if thing.get("kind") == POD.kind)
    if any(state_of(pod, bounds).waits_since is not None for pod in pods):
        return Bounds(backend.client.now(), settings.image_pull_seconds, settings.unschedulable_seconds)
    return bounds


def observation_of(
    table: ConditionTable, thing: Mapping[str, Json], pods: Sequence[Mapping[str, Json]], bounds: Bounds
) -> Observation:
    """How the job of a custom resource stands: by the table, with the reasons and the blame of its pods."""
    read = table.read(thing)
    states = [state_of(pod, bounds) for pod in pods]
    if read.phase is Phase.FAILED:
        cause = first_failure(states)
        parts = [read.reason, cause.reason if cause is not None else ""]
        reason = ": ".join(dict.fromkeys(part for part in parts if part)) or read.raw_state
        blamed = read.error_class or (None if cause is None else cause.error_class) or ErrorClass.USER
        code = cause.exit_code if cause is not None else None
        return Observation(Phase.FAILED, read.raw_state, reason, blamed, code)
    if read.phase in _ENDS:
        return Observation(read.phase, read.raw_state, read.reason)
    if thing["metadata"].get("deletionTimestamp"):
        return Observation(read.phase, f"{read.raw_state}/Terminating", terminating(thing))
    if read.phase in _BEFORE:
        hopeless = first_failure([state for state in states if state.never_begins])
        if hopeless is not None:
            raw = f"{read.raw_state}/{hopeless.raw_state}"
            return Observation(Phase.FAILED, raw, hopeless.reason, hopeless.error_class, hopeless.exit_code)
        begun = any(state.phase in (Phase.INITIALIZING, Phase.RUNNING) for state in states)
        waits = next((state.reason for state in states if state.reason), "")
        return Observation(Phase.INITIALIZING if begun else read.phase, read.raw_state, waits)
    return Observation(read.phase, read.raw_state, read.reason if read.phase is None else "")


def first_failure(states: Sequence[PodState]) -> PodState | None:
    """The pod that failed first: those after it may only have missed it."""
    failed = [state for state in states if state.phase is Phase.FAILED]
    return min(failed, key=lambda state: state.ended_at or "~", default=None)


def terminating(thing: Mapping[str, Json]) -> str:
    """Why an object that is being deleted is still there."""
    metadata = thing["metadata"]
    finalizers = ", ".join(metadata.get("finalizers") or ())
    node = (thing.get("spec") or {}).get("nodeName") if thing.get("kind") == POD.kind else ""
    waits = f", and waits for {finalizers}" if finalizers else f", and its node {node} ends it" if node else ""
    return f"it is being deleted since {metadata['deletionTimestamp']}{waits}"


def _with_reason(seen: Observation, reason: str) -> Observation:
    from dataclasses import replace

    return replace(seen, reason=reason) if reason else seen


__all__ = [
    "JobRef",
    "bounds_of",
    "first_failure",
    "look",
    "observation_of",
    "pods_of",
    "ref_of",
    "terminating",
]
