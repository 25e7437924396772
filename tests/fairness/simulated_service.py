"""A service with a limit, shared by tenants whose engines come and go, on a clock of its own that only events move.

Jobs of tenants ask the book for a token, hold it while they run and give it back. Engines die: what they had in line
vanishes and is asked anew by another engine; of what they held, some is kept until it is adopted, and some expires.
After each event, what must hold at every instant is checked; what holds over time is noted for the test to judge.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from flytepath.engine.quota import Ask, Book, Lease, PoolAsk, PoolRule
from flytepath.model.identity import Tenant

POOL = "warehouse"
TAKEN_OVER_SECONDS = 0.5
EXPIRY_SECONDS = 0.75


@dataclass(frozen=True)
class Pattern:
    """How a tenant behaves.

    Args:
        lengths: the shortest and the longest of its jobs.
        backlog: so many always wait; 0 for one that comes in bursts.
        burst: the most that come at once.
        idle: the longest spell between two bursts.
    """

    lengths: tuple[float, float]
    backlog: int = 0
    burst: int = 0
    idle: float = 0.0


@dataclass
class Job:
    """One job on its way; ``k`` waiters of its tenant, with itself, were there when it asked, which held ``n``."""

    key: str
    tenant: Tenant
    seconds: float
    engine: int
    asked_at: float = 0.0
    k: int = 0
    n: int = 0
    granted_at: float | None = None
    run: int = 0


@dataclass
class Record:
    """What happened.

    Args:
        served: for each tenant, times and the token-seconds it has had until then.
        idle: token-seconds that were free while somebody could have used them.
        supply: token-seconds there were while somebody waited.
        waits: for each grant: how long it waited, and the bound without the factors that are known only at the end.
        stretch: how many times longer than its tenant's mean a job was, at most.
    """

    grants: int = 0
    idle: float = 0.0
    supply: float = 0.0
    waits: list[tuple[float, int, int, float]] = field(default_factory=list)
    stretch: float = 1.0
    longest: float = 1.0
    marks: list[tuple[float, dict[Tenant, float]]] = field(default_factory=list)


class Service:
    """The simulation.

    Args:
        rule: of the pool.
        tenants: who comes, and how.
        chance: decides lengths, bursts and deaths.
        engines: how many there are; one dies now and then, unless there is only one.
        life: how long until the next one dies, at most.
        mark_every: how often what each tenant has had is noted.
    """

    def __init__(
        self,
        rule: PoolRule,
        tenants: dict[Tenant, Pattern],
        chance: Random,
        *,
        engines: int = 4,
        life: float = 20.0,
        mark_every: float = 10.0,
    ) -> None:
        self.rule = rule
        self.book = Book([rule])
        self.tenants = tenants
        self.record = Record()
        self.now = 0.0
        self._chance = chance
        self._engines = engines
        self._life = life
        self._mark_every = mark_every
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._jobs: dict[str, Job] = {}
        self._waiting: dict[Tenant, int] = dict.fromkeys(tenants, 0)
        self._running: dict[str, Job] = {}
        self._had: dict[Tenant, float] = dict.fromkeys(tenants, 0.0)

    def run(self, until: float) -> Record:
        """Let it run, then let everything end, so that nothing may be left."""
        for tenant, pattern in self.tenants.items():
            self._burst(tenant, pattern, until)
        if self._engines > 1:
            self._after(self._chance.uniform(0, self._life), self._die_now(until))
        self._after(0, lambda: self._mark(until))
        while self._events:
            at, _, event = heapq.heappop(self._events)
            self._pass_time(at)
            event()
            if not self._events or self._events[0][0] > at:
                self._decide(until)
        return self.record

    # --- what comes and goes ---

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def _burst(self, tenant: Tenant, pattern: Pattern, until: float) -> None:
        if self.now >= until:
            return
        for _ in range(pattern.backlog or self._chance.randint(1, pattern.burst)):
            self._come(tenant)
        if not pattern.backlog:
            self._after(self._chance.uniform(0, pattern.idle), lambda: self._burst(tenant, pattern, until))

    def _come(self, tenant: Tenant) -> None:
        number = next(self._numbers)
        seconds = self._chance.uniform(*self.tenants[tenant].lengths)
        self.record.longest = max(self.record.longest, seconds)
        job = self._jobs[f"j{number}"] = Job(f"j{number}", tenant, seconds, self._chance.randrange(self._engines))
        self._ask(job, number)

    def _ask(self, job: Job, number: int) -> None:
        self._waiting[job.tenant] += 1
        job.asked_at, job.k, job.n = self.now, self._waiting[job.tenant], self.book.held(POOL, job.tenant)
        self.book.ask(Ask.of(job.key, job.tenant, (PoolAsk(POOL),)), number, self.now)

    def _end(self, job: Job, run: int) -> None:
        """The job has ended; its engine gives the token back, or the one that has adopted it by then."""
        if job.run != run or job.key not in self._running:
            return
        del self._running[job.key], self._jobs[job.key]
        self._stretched(job)
        assert self.book.release(job.key, self.now)

    def _die_now(self, until: float) -> Callable[[], None]:
        def die() -> None:
            engine = self._chance.randrange(self._engines)
            for job in [job for job in self._jobs.values() if job.engine == engine]:
                job.engine = (engine + 1) % self._engines
                if job.granted_at is None:
                    if not self.book.withdraw(job.key):
                        continue
                    self._waiting[job.tenant] -= 1
                    self._after(self._chance.uniform(0, TAKEN_OVER_SECONDS), lambda job=job: self._again(job))
                elif self._chance.random() < 0.5:
                    job.run += 1
                    left = max(job.granted_at + job.seconds - self.now, TAKEN_OVER_SECONDS)
                    self._after(left, lambda job=job, run=job.run: self._end(job, run))
                    self.record.longest = max(self.record.longest, self.now + left - job.granted_at)
                else:
                    job.run += 1
                    self._after(EXPIRY_SECONDS, lambda job=job, run=job.run: self._expire(job, run))
                    self.record.longest = max(self.record.longest, self.now + EXPIRY_SECONDS - job.granted_at)
            if self.now < until:
                self._after(self._chance.uniform(0, self._life), die)

        return die

    def _again(self, job: Job) -> None:
        if job.key in self._jobs and job.granted_at is None and job.key not in self.book.waiters:
            self._ask(job, next(self._numbers))

    def _expire(self, job: Job, run: int) -> None:
        if job.run != run or job.key not in self._running:
            return
        del self._running[job.key]
        self._stretched(job)
        assert self.book.release(job.key, self.now)
        job.granted_at = None
        self._ask(job, next(self._numbers))

    # --- what is seen ---

    def _decide(self, until: float) -> None:
        while leases := self.book.grants(self.now):
            for lease in leases:
                self._granted(lease, until)
        held = self.book.held(POOL)
        assert held == len(self._running) == len(self.book.leases), "a lease is lost or nobody's"
        assert held <= self.rule.limit
        for tenant, waiting in self._waiting.items():
            if waiting and held < self.rule.limit:
                assert self._is_capped(tenant), f"{tenant} waits for what is free"
        for name, cap in self.rule.caps.items():
            used = sum(name in (str(job.tenant), job.tenant.project) for job in self._running.values())
            assert used <= cap, f"{name} holds {used} above its cap"

    def _is_capped(self, tenant: Tenant) -> bool:
        return any(
            sum(name in (str(job.tenant), job.tenant.project) for job in self._running.values()) >= cap
            for name, cap in self.rule.caps_of(tenant)
        )

    def _granted(self, lease: Lease, until: float) -> None:
        job = self._jobs[lease.ask.key]
        pattern = self.tenants[job.tenant]
        self._waiting[job.tenant] -= 1
        self._running[job.key] = job
        job.granted_at = self.now
        job.run += 1
        self._stretched(job)
        self._after(job.seconds, lambda run=job.run: self._end(job, run))
        if pattern.backlog and self.now < until:
            self._come(job.tenant)
        self.record.grants += 1
        if not self.rule.caps_of(job.tenant):
            self.record.waits.append((self.now - job.asked_at, job.k, job.n, self.rule.weight(job.tenant)))

    def _stretched(self, job: Job) -> None:
        mean = self.book.expected(POOL, job.tenant)
        self.record.stretch = max(self.record.stretch, job.seconds / mean)

    def _pass_time(self, at: float) -> None:
        seconds, self.now = at - self.now, at
        if seconds <= 0:
            return
        for job in self._running.values():
            self._had[job.tenant] += seconds
        if any(waiting and not self._is_capped(tenant) for tenant, waiting in self._waiting.items()):
            self.record.supply += seconds * self.rule.limit
            self.record.idle += seconds * (self.rule.limit - len(self._running))

    def _mark(self, until: float) -> None:
        self.record.marks.append((self.now, dict(self._had)))
        if self.now < until:
            self._after(self._mark_every, lambda: self._mark(until))


def bound(record: Record, service: Service, k: int, n: int, weight: float) -> float:
    """The longest a waiter may wait, as docs/fair-sharing.md derives it."""
    tenants, total = len(service.tenants), sum(service.rule.weight(tenant) for tenant in service.tenants)
    stretch = record.stretch
    each = (tenants + k + stretch * (k + n) * total / weight) / service.rule.limit
    return record.longest * (1 + stretch + each)


def jain(shares: list[float]) -> float:
    """Jain's index of fairness: 1 where all are equal, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def windows(record: Record, seconds: float) -> Iterator[dict[Tenant, float]]:
    """What each tenant had in each window of at least that length."""
    begin = 0
    for end in range(1, len(record.marks)):
        if record.marks[end][0] - record.marks[begin][0] >= seconds:
            before, after = record.marks[begin][1], record.marks[end][1]
            yield {tenant: after[tenant] - before[tenant] for tenant in after}
            begin = end
