"""Ending jobs: only the object that was meant, until neither it nor a pod of it is there any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flytepath.plugin import (
    BackendError,
    ErrorClass,
    Gone,
    InProgress,
    JobKey,
    NotOurs,
    Observation,
    Phase,
    Terminal,
)

from flyte_plugin_kubernetes.api_errors import ApiAnswerError
from flyte_plugin_kubernetes.classification import state_of
from flyte_plugin_kubernetes.looking import JobRef, bounds_of, pods_of, terminating
from flyte_plugin_kubernetes.places import EVERYWHERE, Places
from flyte_plugin_kubernetes.resource_kind import JOB, POD, ResourceKind
from flyte_plugin_kubernetes.stamps import INSTALLATION, KEY, key_label, selector_of, stamp_of

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.custom_resource import CustomResourceBackend

Json = Any
Answer = Gone | Terminal | InProgress | NotOurs


def cancelled(backend: CustomResourceBackend, places: Places, key: JobKey, job: JobRef | None) -> Answer:
    """Ask for the end of a job, and tell how far that has come."""
    thing = _found(backend, places, key, job)
    if thing is None:
        left = _searched_pods(backend, places, key) if job is None else _pods_of_gone(backend, job, key)
        return _still_ending(_delete_pods(backend, left))
    stamp = stamp_of(thing)
    if stamp is None or stamp.key != key:
        return NotOurs(_whose(thing))
    job = _job_of(backend, thing, stamp.items)
    if not thing["metadata"].get("deletionTimestamp"):
        seen = ended_as(backend, job, thing)
        if seen is not None:
            return Terminal(seen)
        backend.client.delete(job.kind, job.namespace, job.name, job.uid)
        again = backend.client.get(job.kind, job.namespace, job.name)
        if again is None or again["metadata"]["uid"] != job.uid:
            return _still_ending(_delete_pods(backend, _pods_of_gone(backend, job, key)))
        thing = again
    if job.kind != POD:
        _delete_pods(backend, _pods_of_gone(backend, job, key))
    return InProgress(terminating(thing) if thing["metadata"].get("deletionTimestamp") else "it is being deleted")


def cleaned(backend: CustomResourceBackend, places: Places, key: JobKey, job: JobRef | None) -> None:
    """Remove a job's object: at once what runs on for no one, what has ended when it is not to be kept."""
    thing = _found(backend, places, key, job)
    stamp = None if thing is None else stamp_of(thing)
    if thing is None or stamp is None or stamp.key != key or thing["metadata"].get("deletionTimestamp"):
        return
    job = _job_of(backend, thing, stamp.items)
    if not backend.settings.keep_finished or ended_as(backend, job, thing) is None:
        backend.client.delete(job.kind, job.namespace, job.name, job.uid)
    elif job.kind != JOB and places.is_due(job.namespace):  # a Job goes by itself
        _expire(backend, job)


def _expire(backend: CustomResourceBackend, job: JobRef) -> None:
    """Remove what has ended, and been kept long enough, of a job's kind in its namespace."""
    now = backend.client.now()
    for thing in backend.client.all(job.kind, job.namespace, labels=selector_of(job.installation)):
        stamp, at = stamp_of(thing), _ended_at(thing)
        if stamp is None or at is None or (now - at).total_seconds() < backend.settings.keep_finished:
            continue
        other = _job_of(backend, thing, stamp.items)
        if ended_as(backend, other, thing) is not None:
            backend.client.delete(other.kind, other.namespace, other.name, other.uid)


def _ended_at(thing: Mapping[str, Json]) -> datetime | None:
    """The last moment that an object's status tells."""
    status = thing.get("status") or {}
    containers = [known.get("state") or {} for known in status.get("containerStatuses") or ()]
    told = [
        *(known.get("lastTransitionTime") for known in status.get("conditions") or ()),
        *((state.get("terminated") or {}).get("finishedAt") for state in containers),
        *(status.get(name) for name in ("completionTime", "terminationTime")),
    ]
    moments = [str(moment) for moment in told if moment]
    try:
        return max((datetime.fromisoformat(moment) for moment in moments), default=None)
    except (TypeError, ValueError):  # nobody knows then, so it is kept
        return None


def ended_as(backend: CustomResourceBackend, job: JobRef, thing: Mapping[str, Json]) -> Observation | None:
    """How a job has ended, if nothing of it runs any more."""
    pods = pods_of(backend, job, fields=backend.pods_fields(job.kind)) if backend.needs_pods(thing) else []
    bounds = bounds_of(backend, [thing, *pods])
    seen = backend.observation(job, thing, pods, bounds)
    if seen.phase not in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED):
        return None
    living = [thing] if job.kind == POD else pods
    return None if any(state_of(pod, bounds).is_alive for pod in living) else seen


def _still_ending(left: int) -> Answer:
    """What follows from the number of pods that still live, of an object that is gone."""
    return InProgress(f"{left} pod(s) of it are still being deleted") if left else Gone()


def _pods_of_gone(backend: CustomResourceBackend, job: JobRef, key: JobKey) -> Iterable[Json]:
    """The pods of an object that is deleted."""
    if job.kind == POD:
        return ()
    of_installation = f",{INSTALLATION}={job.installation}" if job.installation else ""
    chosen = backend.pods_selector(job.name) or f"{KEY}={key_label(key)}{of_installation}"
    return backend.client.all(POD, job.namespace, labels=chosen)


def _searched_pods(backend: CustomResourceBackend, places: Places, key: JobKey) -> Iterable[Json]:
    """What is left of a job of which only the key is known, and whose object is gone."""
    return _search(backend, places, POD, key)


def _delete_pods(backend: CustomResourceBackend, pods: Iterable[Json]) -> int:
    """Ask for the end of the pods of a job whose object is deleted; how many still live.

    The cluster's own garbage collection does the same, in its time. A job is only over when nothing of it runs.
    """
    left = 0
    for pod in pods:
        if not state_of(pod).is_alive:
            continue
        left += 1
        metadata = pod["metadata"]
        if not metadata.get("deletionTimestamp"):
            try:
                backend.client.delete(POD, metadata["namespace"], metadata["name"], metadata["uid"])
            except ApiAnswerError as error:
                if error.status != 403:  # then it is left to the cluster, and waited for
                    raise
    return left


def _found(backend: CustomResourceBackend, places: Places, key: JobKey, job: JobRef | None) -> Json | None:
    """The object of a job, by what is known of it; one that runs before one that has ended."""
    if job is not None:
        return _known(backend, job.kind, lambda: backend.client.get(job.kind, job.namespace, job.name))
    for kind in backend.kinds:
        # The pods of a Job bear the label of its key, and no stamp of their own.
        found = [thing for thing in _search(backend, places, kind, key) if stamp_of(thing) is not None]
        if found:
            return min(found, key=lambda thing: bool(thing["metadata"].get("deletionTimestamp")))
    return None


def _search(backend: CustomResourceBackend, places: Places, kind: ResourceKind, key: JobKey) -> list[Json]:
    """All objects of a kind that bear a key, wherever they are."""
    chosen = f"{KEY}={key_label(key)}"
    if not places.are_known:
        try:
            return _known(backend, kind, lambda: list(backend.client.all(kind, EVERYWHERE, labels=chosen))) or []
        except ApiAnswerError as error:
            if error.status != 403:
                raise
    found: list[Json] = []
    for namespace in places.known(backend.tenant):
        found += _known(backend, kind, lambda at=namespace: list(backend.client.all(kind, at, labels=chosen))) or []
    if not found and not places.are_known:
        raise BackendError(
            f"it cannot be told whether there is a {kind.kind} of job {key.value}: the account may not list all "
            "namespaces, and in those that are known there is none",
            error_class=ErrorClass.AUTH,
            accepted=False,
            hint=f"let the account list {kind.plural} in all namespaces, or name them in `namespaces`",
        )
    return found


def _known(backend: CustomResourceBackend, kind: ResourceKind, call: Any) -> Any:
    """What a call gives; nothing where the cluster does not have the kind."""
    try:
        return call()
    except ApiAnswerError as error:
        if error.is_absent_kind:
            return None
        raise


def _job_of(backend: CustomResourceBackend, thing: Mapping[str, Json], items: tuple[int, ...]) -> JobRef:
    metadata = thing["metadata"]
    labels = metadata.get("labels") or {}
    named = (thing.get("apiVersion"), thing.get("kind"))
    kind = next(kind for kind in backend.kinds if (kind.api_version, kind.kind) == named)
    place = (metadata["namespace"], metadata["name"], metadata["uid"])
    return JobRef(kind, *place, labels.get(INSTALLATION, ""), labels.get(KEY, ""), items)


def _whose(thing: Mapping[str, Json]) -> str:
    stamp = stamp_of(thing)
    return "" if stamp is None else f"{stamp.key.value} of {stamp.owner.installation}"


__all__ = ["cancelled", "cleaned", "ended_as"]
