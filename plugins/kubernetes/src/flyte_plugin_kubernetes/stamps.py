"""What marks an object as ours: labels to select by, annotations that hold the whole, and the digest of the content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flytepath.plugin import BackendError, ErrorClass, FlytePathError, Handle, JobKey, Owner, Plan, PlanRequest, Tenant

from flyte_plugin_kubernetes.names import label_value
from flyte_plugin_kubernetes.resource_kind import ResourceKind

Json = Any

PREFIX: Final = "flytepath.org"
#: Labels: within 63 characters, of letters, digits and ``-_.``; what does not fit is shortened with a digest.
INSTALLATION: Final = f"{PREFIX}/installation"
KEY: Final = f"{PREFIX}/key"
#: Annotations: the whole.
OWNER: Final = f"{PREFIX}/owner"
DIGEST: Final = f"{PREFIX}/digest"
ITEMS: Final = f"{PREFIX}/items"


def key_label(key: JobKey) -> str:
    """The label value of a key: no two keys share one."""
    return hashlib.sha256(key.value.encode()).hexdigest()[:40]


def labels_of(request: PlanRequest) -> dict[str, str]:
    """The labels of the object of a job and of all its pods."""
    owner = request.owner
    return {
        "app.kubernetes.io/managed-by": "flytepath",
        INSTALLATION: label_value(owner.installation),
        KEY: key_label(request.key),
        f"{PREFIX}/project": label_value(owner.tenant.project),
        f"{PREFIX}/domain": label_value(owner.tenant.domain),
        f"{PREFIX}/execution": label_value(owner.execution),
        f"{PREFIX}/node": label_value(owner.node_path),
        f"{PREFIX}/task": label_value(request.task),
    }


def annotations_of(request: PlanRequest) -> dict[str, str]:
    """The annotations of the object of a job, but for the digest."""
    owner = request.owner
    tenant = [owner.tenant.project, owner.tenant.domain]
    found = {KEY: request.key.value, OWNER: json.dumps([owner.installation, *tenant, owner.execution, owner.node_path])}
    if request.items:
        found[ITEMS] = spans(request.items)
    return found


def digest_of(manifest: Mapping[str, Json]) -> str:
    """The digest of a manifest as it is before the digest is written into it."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose an object is, as its annotations say."""

    key: JobKey
    owner: Owner
    digest: str
    items: tuple[int, ...]


def stamp_of(thing: Mapping[str, Json]) -> Stamp | None:
    """The stamp of an object; ``None`` where it bears none of ours, or a part of one."""
    annotations = (thing.get("metadata") or {}).get("annotations") or {}
    try:
        installation, project, domain, execution, node_path = json.loads(annotations[OWNER])
        owner = Owner(installation, Tenant(project, domain), execution, node_path)
        items = positions(annotations.get(ITEMS, ""))
        return Stamp(JobKey(annotations[KEY]), owner, annotations[DIGEST], items)
    except (KeyError, TypeError, ValueError, FlytePathError):
        return None


def is_job_of(thing: Mapping[str, Json], plan: Plan) -> bool:
    """Whether an object is the one a plan makes: of this key, owner and content."""
    stamp = stamp_of(thing)
    return stamp is not None and (stamp.key, stamp.owner, stamp.digest) == (plan.key, plan.owner, plan.digest)


def handle_of(kind: ResourceKind, thing: Mapping[str, Json]) -> Handle:
    """How an object of ours is found again, made from nothing but the object."""
    metadata = thing["metadata"]
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    data = {
        "resource": kind.id,
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "installation": labels.get(INSTALLATION, ""),
        "key": labels.get(KEY, ""),
    }
    if annotations.get(ITEMS):
        data["items"] = annotations[ITEMS]
    return Handle(data)


def spans(numbers: Sequence[int]) -> str:
    """Numbers as short text, in their order: ``1-3,7``.

    Example:
        >>> spans([1, 2, 3, 7, 5]), positions("1-3,7,5")
        ('1-3,7,5', (1, 2, 3, 7, 5))
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def positions(text: str) -> tuple[int, ...]:
    """The numbers of such a text; also of a Job's ``completedIndexes``."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def selector_of(installation: str, keys: Iterable[str] = ()) -> str:
    """A label selector for what belongs to an installation, or to some keys of it (as labels)."""
    wanted = sorted(set(keys))
    chosen = f"{INSTALLATION}={installation}"
    if len(wanted) == 1:
        return f"{chosen},{KEY}={wanted[0]}"
    return f"{chosen},{KEY} in ({','.join(wanted)})" if wanted else chosen


def conflict(what: str, known: Mapping[str, Json]) -> BackendError:
    """What to say where an object of a job's name is another's."""
    stamp = stamp_of(known)
    whose = "bears no stamp of ours" if stamp is None else f"is job {stamp.key.value} of {stamp.owner.execution}"
    return BackendError(
        f"{what} is there, and {whose}",
        error_class=ErrorClass.CONFLICT,
        accepted=False,
        hint="it was left as it is: look at its labels and annotations",
    )


__all__ = [
    "DIGEST",
    "INSTALLATION",
    "ITEMS",
    "KEY",
    "OWNER",
    "PREFIX",
    "Stamp",
    "annotations_of",
    "conflict",
    "digest_of",
    "handle_of",
    "is_job_of",
    "key_label",
    "labels_of",
    "positions",
    "selector_of",
    "spans",
    "stamp_of",
]
