"""An account of the fake vendor: its jobs, its limits, and what it keeps count of."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flytepath.testing.fake_vendor.jobs import Job


@dataclass(slots=True)
class Bucket:
    """Calls of one kind that may still be made."""

    per_second: float
    burst: float
    left: float = math.nan
    at: float = 0.0

    def take(self, now: float) -> float:
        """Take a call; 0, or the seconds until there is one."""
        if math.isnan(self.left):
            self.left, self.at = self.burst, now
        self.left, self.at = min(self.burst, self.left + (now - self.at) * self.per_second), now
        if self.left >= 1.0 - 1e-9:
            self.left -= 1.0
            return 0.0
        return (1.0 - self.left) / self.per_second if self.per_second else 60.0


@dataclass(slots=True)
class Account:
    """One customer.

    Args:
        name, token: who it is, and what proves it.
        live_limit: the most jobs that live at once; ``None`` for any number.
        rates: (calls a second, burst) by kind of call; ``*`` for all kinds together.
        name_limit: the longest name of a job.

    Attributes:
        is_token_expired: no call is let in until the token is renewed.
        live: the jobs that have not ended.
        most_live: how many there were at the most.
        made: jobs ever made, by the value of the key's tag.
        refused: refusals by their code.
        calls: calls by kind.
    """

    name: str
    token: str
    live_limit: int | None = None
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    name_limit: int = 40
    is_token_expired: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)
    live: dict[str, Job] = field(default_factory=dict)
    live_names: dict[str, str] = field(default_factory=dict)
    live_keys: Counter[str] = field(default_factory=Counter)
    most_live: int = 0
    made: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    idempotency: dict[str, tuple[str, str]] = field(default_factory=dict)
    _ends: list[tuple[float, str]] = field(default_factory=list)
    _index: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def wait_for(self, call: str, now: float) -> float:
        """Seconds until this call is within the rates; 0 where it is, and it then counts."""
        for kind in (call, "*"):
            if kind in self.rates:
                bucket = self._buckets.setdefault(kind, Bucket(*self.rates[kind]))
                if wait := bucket.take(now):
                    return wait
        return 0.0

    def settle(self, now: float) -> None:
        """Take note of the jobs that have ended meanwhile."""
        while self._ends and self._ends[0][0] <= now:
            _, id = heapq.heappop(self._ends)
            job = self.live.get(id)
            if job is not None and not job.is_live(now):
                del self.live[id]
                if self.live_names.get(job.name) == id:
                    del self.live_names[job.name]
                self.live_keys[job.tags.get("flytepath-key", "")] -= 1

    def changed(self, job: Job) -> None:
        """The end of a job is another than it was."""
        heapq.heappush(self._ends, (job.ends_at, job.id))

    def add(self, job: Job) -> None:
        """Take in a new job."""
        key = job.tags.get("flytepath-key", "")
        self.jobs[job.id] = self.live[job.id] = job
        self.live_names[job.name] = job.id
        self.made[key] += 1
        self.live_keys[key] += 1
        self.most_live = max(self.most_live, len(self.live))
        for pair in (("", job.name), *job.tags.items()):
            self._index.setdefault(pair, []).append(job.id)
        self.changed(job)

    def remove(self, id: str) -> None:
        """Forget a job."""
        job = self.jobs.pop(id)
        if self.live.pop(id, None) is not None:
            self.live_keys[job.tags.get("flytepath-key", "")] -= 1
            if self.live_names.get(job.name) == id:
                del self.live_names[job.name]

    def search(self, pairs: Mapping[str, str], start: int, now: float) -> Iterator[tuple[int, Job]]:
        """The visible jobs with all those tags, and the place after each; a tag without a name is the job's name."""
        lists = [self._index.get(pair, []) for pair in pairs.items()]
        ids = min(lists, key=len) if lists else [*self.jobs]
        for place in range(start, len(ids)):
            job = self.jobs.get(ids[place])
            if job is None or job.visible_at > now:
                continue
            if all((job.tags.get(tag) if tag else job.name) == value for tag, value in pairs.items()):
                yield place + 1, job
