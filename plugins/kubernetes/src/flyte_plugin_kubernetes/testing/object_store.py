"""The objects, their versions, and what changed since when: the part of the server that etcd plays."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flyte_plugin_kubernetes.testing.refusals import expired

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One version: what was there and what is now; ``None`` for nothing."""

    version: int
    resource: str
    before: Json | None
    after: Json | None


class ObjectStore:
    """Objects by resource, namespace and name. What is put in is never changed again: a change puts in another.

    Args:
        history: how many changes are remembered for watches.
    """

    def __init__(self, history: int = 20_000) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 1000
        self.epoch = 0
        self.oldest = self.version
        self._objects: dict[str, dict[tuple[str, str], Json]] = {}
        self._changes: deque[Change] = deque()
        self._history = history

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        """The object as it is."""
        return self._objects.get(resource, {}).get((namespace, name))

    def all(self, resource: str, namespace: str = "") -> list[Json]:
        """The objects of a resource in the order of their names; of every namespace where none is given."""
        found = self._objects.get(resource, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def everything(self) -> Iterator[tuple[str, Json]]:
        """Every object with its resource."""
        for resource, found in list(self._objects.items()):
            for item in list(found.values()):
                yield resource, item

    def put(self, resource: str, item: Json) -> Json:
        """Keeps an object under a new version."""
        metadata = item["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            before = self._objects.setdefault(resource, {}).get(key)
            after = self._stamped(item)
            self._objects[resource][key] = after
            self._record(Change(self.version, resource, before, after))
            return after

    def remove(self, resource: str, item: Json) -> Json:
        """Takes an object away; what is given back carries the version of its end."""
        metadata = item["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            before = self._objects.get(resource, {}).pop(key, item)
            last = self._stamped(before)
            self._record(Change(self.version, resource, last, None))
            return last

    def _stamped(self, item: Json) -> Json:
        self.version += 1
        return item | {"metadata": item["metadata"] | {"resourceVersion": str(self.version)}}

    def _record(self, change: Change) -> None:
        self._changes.append(change)
        while len(self._changes) > self._history:
            self.oldest = self._changes.popleft().version
        self.changed.notify_all()

    def changes_since(self, resource: str, version: int) -> list[Change]:
        """What happened to a resource after a version.

        Raises:
            Refusal: 410, they are forgotten.
        """
        with self.changed:
            if version < self.oldest:
                raise expired(version, self.oldest)
            found = []
            for change in reversed(self._changes):
                if change.version <= version:
                    break
                if change.resource == resource:
                    found.append(change)
            return found[::-1]

    def wait_beyond(self, version: int, epoch: int, deadline: float) -> int:
        """Waits until something changed after a version; gives the version then."""
        with self.changed:
            while self.version <= version and self.epoch == epoch:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self.changed.wait(left)
            return self.version

    def forget_history(self) -> None:
        """Watches that begin at an earlier version are told 410 from now on."""
        with self.changed:
            self._changes.clear()
            self.oldest = self.version

    def end_watches(self) -> None:
        """Ends every open watch, as a server does that is restarted."""
        with self.changed:
            self.epoch += 1
            self.changed.notify_all()

    def clear(self) -> None:
        """Forgets every object; versions go on."""
        with self.changed:
            self._objects.clear()
            self.version += 1
            self.forget_history()
            self.end_watches()
