"""What a DELETE does: graceful deletion, finalizers, preconditions, and the garbage collection of what was owned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from flyte_plugin_kubernetes.testing.kinds import JOB, NAMESPACE, POD, Kind
from flyte_plugin_kubernetes.testing.object_store import ObjectStore
from flyte_plugin_kubernetes.testing.refusals import bad_request, conflict

Json = dict[str, Any]

FOREGROUND = "foregroundDeletion"
#: What asks the garbage collector for a policy.
_ASKING = {"Foreground": FOREGROUND, "Orphan": "orphan"}


def now_text() -> str:
    """This second, as the API writes moments."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_preconditions(kind: Kind, found: Json, options: Json) -> None:
    """Refuses where the object is not the one that was meant."""
    wanted: Json = options.get("preconditions") or {}
    metadata = found["metadata"]
    for part, name in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(part) and wanted[part] != metadata[part]:
            text = (
                f"Precondition failed: {name} in precondition: {wanted[part]}, {name} in object meta: {metadata[part]}"
            )
            raise conflict(kind.plural, kind.group, metadata["name"], text)


class Deletion:
    """Deletes objects and, after them, what they own. The caller holds the store's lock.

    Args:
        collects: what is owned is deleted here too, as the garbage collector does; else finalizers ask for it alone.
    """

    def __init__(self, store: ObjectStore, kind_of: Callable[[str], Kind | None], *, collects: bool = True) -> None:
        self._collects = collects
        self._store = store
        self._kind_of = kind_of

    def delete(self, kind: Kind, found: Json, options: Json) -> tuple[Json, bool]:
        """Deletes, or begins to.

        Returns:
            The object as it is now, and whether it is gone.
        """
        check_preconditions(kind, found, options)
        policy = self._policy(kind, options)
        metadata = dict(found["metadata"])
        finalizers = list(metadata.get("finalizers") or ())
        if not self._collects and policy in _ASKING and _ASKING[policy] not in finalizers:
            finalizers.append(_ASKING[policy])
        elif policy == "Orphan":
            self._orphan(metadata["uid"])
        elif policy == "Foreground" and FOREGROUND not in finalizers and self._dependents(metadata["uid"]):
            finalizers.append(FOREGROUND)
        grace = self._grace(kind, found, options)
        spec_of_namespace = kind is NAMESPACE and found.get("spec", {}).get("finalizers")
        if not finalizers and grace == 0 and not spec_of_namespace:
            return self._remove(kind, found), True
        waiting = self._marked(metadata, finalizers, grace)
        found = self._store.put(kind.resource, self._terminating(kind, found) | {"metadata": waiting})
        if kind is NAMESPACE:
            self._empty_namespace(metadata["name"])
        if FOREGROUND in finalizers and self._collects:
            self._delete_dependents(metadata["uid"], "Foreground")
        still = self._store.get(kind.resource, metadata.get("namespace", ""), metadata["name"])
        if still is None or still["metadata"]["uid"] != metadata["uid"]:
            return found, True
        return self.settle(kind, still)

    def _policy(self, kind: Kind, options: Json) -> str:
        policy = options.get("propagationPolicy")
        if policy is None and options.get("orphanDependents") is not None:
            policy = "Orphan" if options["orphanDependents"] else "Background"
        if policy not in (None, "Orphan", "Background", "Foreground"):
            raise bad_request(f'invalid propagationPolicy "{policy}"')
        # The default of batch/v1 is from older days than the others: pods of a deleted Job stay.
        return policy or ("Orphan" if kind is JOB else "Background")

    def _grace(self, kind: Kind, found: Json, options: Json) -> int:
        if kind is not POD:
            return 0
        grace = options.get("gracePeriodSeconds")
        if grace is None:
            grace = found["spec"].get("terminationGracePeriodSeconds", 30)
        ended = (found.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if ended or not found["spec"].get("nodeName"):
            return 0
        return max(int(grace), 0)

    def _marked(self, metadata: Json, finalizers: list[str], grace: int) -> Json:
        marked = metadata | ({"finalizers": finalizers} if finalizers else {})
        end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=grace)
        shorter = grace < marked.get("deletionGracePeriodSeconds", grace + 1)
        if "deletionTimestamp" not in marked or shorter:
            marked["deletionTimestamp"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
            marked["deletionGracePeriodSeconds"] = grace
            if "generation" in marked:
                marked["generation"] += 1
        return marked

    def _terminating(self, kind: Kind, found: Json) -> Json:
        if kind is NAMESPACE:
            return found | {"status": (found.get("status") or {}) | {"phase": "Terminating"}}
        return found

    def settle(self, kind: Kind, found: Json) -> tuple[Json, bool]:
        """Takes away an object that is being deleted and that nothing holds any more."""
        metadata = found["metadata"]
        asked = self._collects and FOREGROUND in (metadata.get("finalizers") or ())
        if asked and not self._blocking(metadata["uid"]):
            left = [item for item in metadata["finalizers"] if item != FOREGROUND]
            found = self._store.put(kind.resource, found | {"metadata": metadata | {"finalizers": left}})
            metadata = found["metadata"]
        held = metadata.get("finalizers") or (kind is NAMESPACE and found.get("spec", {}).get("finalizers"))
        if kind is NAMESPACE and not metadata.get("finalizers") and not self._content(metadata["name"]):
            held = None
        if "deletionTimestamp" not in metadata or held or metadata.get("deletionGracePeriodSeconds"):
            return found, False
        return self._remove(kind, found), True

    def _remove(self, kind: Kind, found: Json) -> Json:
        last = self._store.remove(kind.resource, found)
        metadata = last["metadata"]
        if self._collects:
            self._delete_dependents(metadata["uid"], "Background")
        for owner in metadata.get("ownerReferences") or ():
            self._settle_owner(owner["uid"])
        if metadata.get("namespace"):
            namespace = self._store.get(NAMESPACE.resource, "", metadata["namespace"])
            if namespace is not None and "deletionTimestamp" in namespace["metadata"]:
                self.settle(NAMESPACE, namespace)
        return last

    def _settle_owner(self, uid: str) -> None:
        for resource, item in self._store.everything():
            kind = self._kind_of(resource)
            if item["metadata"]["uid"] == uid and "deletionTimestamp" in item["metadata"] and kind is not None:
                self.settle(kind, item)
                return

    def collect_if_orphaned(self, kind: Kind, found: Json) -> None:
        """Deletes an object all of whose owners are gone already, as the garbage collector does soon after."""
        owners = found["metadata"].get("ownerReferences") or ()
        if self._collects and owners and not any(self._lives(owner["uid"]) for owner in owners):
            self.delete(kind, found, {"propagationPolicy": "Background"})

    def _lives(self, uid: str) -> bool:
        return any(item["metadata"]["uid"] == uid for _, item in self._store.everything())

    def _dependents(self, uid: str) -> list[tuple[str, Json]]:
        return [
            (resource, item)
            for resource, item in self._store.everything()
            if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or ())
        ]

    def _blocking(self, uid: str) -> bool:
        return any(
            owner["uid"] == uid and owner.get("blockOwnerDeletion")
            for _, item in self._dependents(uid)
            for owner in item["metadata"]["ownerReferences"]
        )

    def _delete_dependents(self, uid: str, policy: str) -> None:
        for resource, item in self._dependents(uid):
            kind = self._kind_of(resource)
            others = [owner["uid"] for owner in item["metadata"]["ownerReferences"] if owner["uid"] != uid]
            if kind is not None and not any(self._lives(other) for other in others):
                self.delete(kind, item, {"propagationPolicy": policy})

    def _orphan(self, uid: str) -> None:
        for resource, item in self._dependents(uid):
            owners = [owner for owner in item["metadata"]["ownerReferences"] if owner["uid"] != uid]
            self._store.put(resource, item | {"metadata": item["metadata"] | {"ownerReferences": owners}})

    def _content(self, namespace: str) -> list[tuple[str, Json]]:
        return [
            (resource, item)
            for resource, item in self._store.everything()
            if item["metadata"].get("namespace") == namespace
        ]

    def _empty_namespace(self, namespace: str) -> None:
        for resource, item in self._content(namespace):
            kind = self._kind_of(resource)
            # One that went with its owner is not there any more.
            still = self._store.get(resource, namespace, item["metadata"]["name"])
            if kind is not None and still is not None and "deletionTimestamp" not in still["metadata"]:
                self.delete(kind, still, {"propagationPolicy": "Background"})
