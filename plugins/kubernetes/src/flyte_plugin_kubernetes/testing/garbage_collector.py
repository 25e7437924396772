"""Deletes what was owned by what is gone, through REST: for a real API server that runs without controllers.

The API server double does the same by itself, unless it is told to leave it.
"""

from __future__ import annotations

import threading
from typing import Any

from flyte_plugin_kubernetes.testing.rest import Informer, Rest, RestRefusal

Json = dict[str, Any]

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"
_MERGE = "application/merge-patch+json"
_FIRST = (("/api/v1", "pods"), ("/api/v1", "configmaps"), ("/apis/batch/v1", "jobs"))


class GarbageCollector:
    """The double of the garbage collector.

    Args:
        rest: the API server.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._informers: dict[tuple[str, str], Informer] = {}
        self._thread = threading.Thread(target=self._run, name="garbage collector", daemon=True)

    def start(self) -> GarbageCollector:
        """Begins, with pods, Jobs and config maps."""
        for root, plural in _FIRST:
            self.follow(root, plural)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends."""
        self._stopped.set()
        for informer in self._informers.values():
            informer.stop()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def follow(self, root: str, plural: str) -> None:
        """Minds a resource more.

        Args:
            root: of its API: ``/apis/<group>/<version>``.
        """
        if (root, plural) not in self._informers:
            made = Informer(self._rest, f"{root}/{plural}", self._see)
            made.start()
            made.ready.wait(10)
            self._informers = self._informers | {(root, plural): made}

    def _see(self, sort: str, item: Json) -> None:
        waits = set(item["metadata"].get("finalizers") or ()) & {_FOREGROUND, _ORPHAN}
        if sort == "DELETED" or waits or (sort == "ADDED" and item["metadata"].get("ownerReferences")):
            self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._wake.clear()
            found = [(place, item) for place, informer in self._informers.items() for item in informer.all()]
            try:
                self._collect(found)
            except (OSError, RestRefusal):
                # What was changed meanwhile is seen again.
                if not self._stopped.wait(0.1):
                    self._wake.set()

    def _collect(self, found: list[tuple[tuple[str, str], Json]]) -> None:
        alive = {item["metadata"]["uid"] for _, item in found}
        dependents: dict[str, list[tuple[tuple[str, str], Json]]] = {}
        for place, item in found:
            owners = [owner["uid"] for owner in item["metadata"].get("ownerReferences") or ()]
            for uid in owners:
                dependents.setdefault(uid, []).append((place, item))
            if owners and not alive & set(owners) and not self._any_owner_lives(item):
                self._delete(place, item, "Background")
        for place, item in found:
            metadata = item["metadata"]
            if "deletionTimestamp" not in metadata:
                continue
            owned = dependents.get(metadata["uid"], [])
            if _ORPHAN in (metadata.get("finalizers") or ()):
                for where, one in owned:
                    left = [o for o in one["metadata"]["ownerReferences"] if o["uid"] != metadata["uid"]]
                    self._patch(where, one, {"ownerReferences": left or None})
                self._without(place, item, _ORPHAN)
            elif _FOREGROUND in (metadata.get("finalizers") or ()):
                for where, one in owned:
                    self._delete(where, one, "Background")
                if not owned:
                    self._without(place, item, _FOREGROUND)

    def _any_owner_lives(self, item: Json) -> bool:
        """Asks the server: an owner may be of a resource that is not followed, or not seen yet."""
        for owner in item["metadata"]["ownerReferences"]:
            version = owner["apiVersion"]
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            plural = f"{owner['kind'].lower()}s"
            path = f"{root}/namespaces/{item['metadata'].get('namespace', 'default')}/{plural}/{owner['name']}"
            try:
                if self._rest.get(path)["metadata"]["uid"] == owner["uid"]:
                    return True
            except RestRefusal as refusal:
                if refusal.code != 404:
                    raise
        return False

    def _path(self, place: tuple[str, str], item: Json) -> str:
        root, plural = place
        return f"{root}/namespaces/{item['metadata']['namespace']}/{plural}/{item['metadata']['name']}"

    def _delete(self, place: tuple[str, str], item: Json, policy: str) -> None:
        if "deletionTimestamp" in item["metadata"]:
            return
        uid = {"uid": item["metadata"]["uid"]}
        self._quietly("DELETE", self._path(place, item), {"propagationPolicy": policy, "preconditions": uid})

    def _without(self, place: tuple[str, str], item: Json, finalizer: str) -> None:
        left = [one for one in item["metadata"]["finalizers"] if one != finalizer]
        self._patch(place, item, {"finalizers": left or None})

    def _patch(self, place: tuple[str, str], item: Json, metadata: Json) -> None:
        body = {"metadata": metadata | {"uid": item["metadata"]["uid"]}}
        self._quietly("PATCH", self._path(place, item), body)

    def _quietly(self, method: str, path: str, body: Json) -> None:
        try:
            self._rest.ask(method, path, body, content=_MERGE if method == "PATCH" else "application/json")
        except RestRefusal as refusal:
            if refusal.code not in (404, 409):
                raise
