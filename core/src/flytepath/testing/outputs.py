"""Outputs by cache key in memory, for tests of what reuses them; it can be told to be slow, or to be gone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from flytepath.model.literal import Literal, canonical_text
from flytepath.store.cache_entry import RESERVED_SECONDS, CacheEntry, Reservation


class MemoryOutputs:
    """An output cache that lives in memory, of one project and domain.

    Attributes:
        results: outputs and facts by key; open to tests.
        reservations: who computes what.
        gone: while true, nothing is found, kept or reserved, as where a database cannot be reached.
        before: called with the name of each call, in whatever thread makes it; may block.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> cache = MemoryOutputs()
        >>> cache.put("k", {"o0": Literal.make(INTEGER, 3)})
        >>> cache.get("k")["o0"].data, cache.reserve("k", "one"), cache.reserve("k", "two").holder
        (3, None, 'one')
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.results: dict[str, tuple[dict[str, Literal], str, float]] = {}
        self.reservations: dict[str, Reservation] = {}
        self.gone = False
        self.before: Callable[[str], None] = lambda call: None
        self._clock = clock
        self._lock = threading.RLock()

    @property
    def place(self) -> tuple[str, ...]:
        """This object shares its results with no other."""
        return (f"memory {id(self)}",)

    def get(self, key: str) -> dict[str, Literal] | None:
        """The outputs under ``key``."""
        self.before("get")
        found = None if self.gone else self.results.get(key)
        return None if found is None else dict(found[0])

    def put(self, key: str, outputs: Mapping[str, Literal], facts: Mapping[str, Any] | None = None) -> None:
        """Keep outputs."""
        self.before("put")
        if not self.gone:
            self.results[key] = (dict(outputs), canonical_text(dict(facts or {})), self._clock())

    def forget(self, key: str) -> None:
        """Drop what is kept."""
        self.before("forget")
        self.results.pop(key, None)

    def reserve(
        self, key: str, holder: str, *, execution: str = "", node: str = "", instead_of: str = ""
    ) -> Reservation | None:
        """Reserve ``key``, or say who has."""
        self.before("reserve")
        with self._lock:
            now = self._clock()
            known = self.reservations.get(key)
            if self.gone:
                return None
            if known is not None and known.holder not in (holder, instead_of) and known.expires_at >= now:
                return known
            self.reservations[key] = Reservation(holder, execution, node, now + RESERVED_SECONDS)
            return None

    def renew(self, holder: str, keys: Collection[str]) -> None:
        """Let reservations last on."""
        self.before("renew")
        with self._lock:
            for key in keys:
                known = self.reservations.get(key)
                if known is not None and known.holder == holder:
                    end = self._clock() + RESERVED_SECONDS
                    self.reservations[key] = Reservation(holder, known.execution, known.node, end)

    def release(self, key: str, holder: str) -> None:
        """End a reservation."""
        self.before("release")
        with self._lock:
            known = self.reservations.get(key)
            if known is not None and known.holder == holder:
                del self.reservations[key]

    def entry(self, key: str) -> CacheEntry | None:
        """What is known of the result under ``key``."""
        found = self.results.get(key)
        if found is None:
            return None
        return CacheEntry.read(key, str(json.loads(found[1]).get("task", "")), found[1], found[2])

    def entries(self, task: str | None = None, *, limit: int = 1000) -> list[CacheEntry]:
        """The newest results."""
        found = [entry for key in self.results if (entry := self.entry(key)) is not None]
        wanted = [entry for entry in found if task in (None, entry.task)]
        return sorted(wanted, key=lambda entry: -entry.stored_at)[:limit]

    def clear(self, task: str | None = None, *, before: float | None = None) -> int:
        """Drop results; how many."""
        dropped = [
            entry.key
            for entry in self.entries(task, limit=len(self.results))
            if before is None or entry.stored_at < before
        ]
        for key in dropped:
            del self.results[key]
        return len(dropped)

    def close(self) -> None:
        """There is nothing to let go of."""
