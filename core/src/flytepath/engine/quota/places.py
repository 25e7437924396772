"""The places of fair sharing: a tenant's seat in a pool, its lines of equal asks, and the pool with a heap of seats."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Iterator
from typing import Final

from flytepath.engine.quota.rules import (
    LATEST_COUNTS,
    PRIOR_SECONDS,
    Account,
    Ask,
    Line,
    More,
    PoolRule,
    PoolState,
    Waiter,
)
from flytepath.model.identity import Tenant

#: How many waiters of a line are fetched at a time.
FETCHED: Final = 32


def running_mean(mean: float, latest: float) -> float:
    """The mean with one more measurement; the first one counts whole."""
    return latest if mean <= 0 else mean + LATEST_COUNTS * (latest - mean)


class LineOfAsks:
    """The waiters of one line that are known, in order of arrival.

    Args:
        line: which one.
        more: fetches those behind the last that is known; ``None``: all are known.
    """

    __slots__ = ("_late", "_more", "_waiters", "line")

    def __init__(self, line: Line, more: More | None) -> None:
        self.line = line
        self._more = more
        self._waiters: deque[Waiter] = deque()
        self._late: list[Waiter] = []

    def __iter__(self) -> Iterator[Waiter]:
        yield from self._waiters
        yield from self._late

    def add(self, waiter: Waiter, *, is_known: bool = False) -> None:
        """Put a waiter where it belongs; behind those that are not fetched yet unless it ``is_known`` to be next."""
        waiters = self._waiters
        if waiters and waiter.number < waiters[-1].number:
            ordered = list(waiters)
            insort(ordered, waiter, key=lambda each: each.number)
            self._waiters = deque(ordered)
        elif self._more is None or is_known:
            waiters.append(waiter)
        else:
            insort(self._late, waiter, key=lambda each: each.number)

    def remove(self, waiter: Waiter) -> None:
        """Take one out, wherever it stands."""
        if self._waiters and self._waiters[0] is waiter:
            self._waiters.popleft()
        elif waiter in self._late:
            self._late.remove(waiter)
        else:
            self._waiters.remove(waiter)

    def fetch(self, after: int) -> list[Waiter]:
        """Learn of more waiters if none is known; those which are new."""
        if self._waiters or self._more is None:
            return []
        late = {waiter.ask.key: waiter for waiter in self._late}
        found = [late.pop(waiter.ask.key, waiter) for waiter in self._more(self.line, after, FETCHED)]
        found.sort(key=lambda waiter: waiter.number)
        self._waiters.extend(found)
        self._late = sorted(late.values(), key=lambda waiter: waiter.number)
        if len(found) < FETCHED:
            self._more = None
            self._waiters.extend(self._late)
            self._late = []
        return found

    @property
    def head(self) -> Waiter | None:
        """Who is next."""
        return self._waiters[0] if self._waiters else None


class Seat:
    """One tenant in one pool: its account, what it holds, and its lines."""

    __slots__ = (
        "_at",
        "_guess",
        "_level",
        "account",
        "held",
        "is_parked",
        "leases",
        "lines",
        "serial",
        "tenant",
        "weight",
    )

    def __init__(self, tenant: Tenant, weight: float, account: Account, guess: float) -> None:
        self.tenant = tenant
        self.weight = weight
        self.account = account
        self._guess = guess
        self.held = 0
        #: What is held: since when, and how many tokens.
        self.leases: dict[str, tuple[float, int]] = {}
        self.lines: dict[Line, LineOfAsks] = {}
        #: Names the one valid entry in the heap of the pool; 0: none.
        self.serial = 0
        #: Whether it is out of the heap until what it lacks comes free.
        self.is_parked = False
        self._at: float | None = None
        self._level = 0.0

    @property
    def expected(self) -> float:
        """How long its jobs last, as far as anybody can tell."""
        return self.account.mean_seconds or self._guess

    def learn(self, guess: float) -> None:
        """Expect longer jobs where others' are; never shorter ones: a level must not fall because of what others do."""
        if guess > self._guess and not self.account.mean_seconds:
            self._guess, self._at = guess, None

    def level(self, now: float) -> float:
        """The virtual time it has reached: what has ended, and what runs, as long as it should or already does."""
        if self._at != now:
            charge, expected = 0.0, self.expected
            for granted_at, tokens in self.leases.values():
                elapsed = now - granted_at
                charge += tokens * (elapsed if elapsed > expected else expected)
            self._at, self._level = now, self.account.vtime + charge / self.weight
        return self._level

    def start(self, now: float) -> float:
        """The level without its latest job: about where it was served last, and where who joins it may begin."""
        latest = max((tokens for _, tokens in self.leases.values()), default=1)
        return self.level(now) - latest * self.expected / self.weight

    def changed(self) -> None:
        """What the level is made of is different."""
        self._at = None

    def lift(self, vtime: float, now: float) -> bool:
        """Bring the level to at least ``vtime``; whether it was below."""
        behind = vtime - self.level(now)
        if behind <= 0:
            return False
        self.account.vtime += behind
        self._at = None
        return True

    def hold(self, key: str, granted_at: float, tokens: int, now: float) -> None:
        """Count a lease."""
        self.leases[key] = (granted_at, tokens)
        self.held += tokens
        if self._at == now and granted_at == now:
            self._level += tokens * self.expected / self.weight
        else:
            self._at = None

    def settle(self, key: str, now: float) -> float:
        """End a lease at what it has really cost; how many seconds it was held."""
        granted_at, tokens = self.leases.pop(key)
        seconds = max(0.0, now - granted_at)
        account = self.account
        account.vtime += tokens * seconds / self.weight
        account.served += tokens * seconds
        account.mean_seconds = running_mean(account.mean_seconds, seconds)
        self.held -= tokens
        self._at = None
        return seconds

    @property
    def first_number(self) -> int | None:
        """When the earliest of its waiters came; ``None``: nobody waits."""
        if len(self.lines) == 1:
            for line in self.lines.values():
                head = line.head
                return None if head is None else head.number
        numbers = [line.head.number for line in self.lines.values() if line.head is not None]
        return min(numbers) if numbers else None

    def heads(self) -> list[Waiter]:
        """The first of each line, by arrival."""
        heads = [line.head for line in self.lines.values() if line.head is not None]
        heads.sort(key=lambda waiter: waiter.number)
        return heads


class Pool:
    """A pool: its rule, what it remembers, who sits in it, and a heap of those who wait, least level first.

    Levels only rise while nothing of the tenant ends, so an entry of the heap is a lower bound: it is looked at again
    when it comes to the top. What lowers a level puts in a new entry.
    """

    __slots__ = (
        *("_heap", "_serial", "held", "held_of", "kept_for", "moved_at"),
        *("parked", "passed_over", "rule", "seats", "state"),
    )

    def __init__(self, rule: PoolRule, state: PoolState) -> None:
        self.rule = rule
        self.state = state
        self.held = 0
        self.held_of: dict[str, int] = {}
        #: When something was granted or released last, as far as that is known.
        self.moved_at = float("-inf")
        self.seats: dict[Tenant, Seat] = {}
        #: Who has been passed over so often that what comes free is kept for it.
        self.kept_for: Waiter | None = None
        #: Seats, of any pool, that wait for something of this one to be released.
        self.parked: dict[tuple[str, Tenant], None] = {}
        #: Whose turn it was while what they want did not fit, by key.
        self.passed_over: dict[str, Waiter] = {}
        self._heap: list[tuple[float, int, int, Seat]] = []
        self._serial = 0

    @property
    def free(self) -> int:
        """Tokens nobody holds; below 0 after the limit was lowered."""
        return self.rule.limit - self.held

    def count(self, tenant: Tenant, tokens: int) -> None:
        """Count tokens that are held, or with a minus sign, given back."""
        self.held += tokens
        self.held_of[tenant.project] = self.held_of.get(tenant.project, 0) + tokens

    @property
    def expected(self) -> float:
        """How long jobs last, of whomever."""
        return self.state.mean_seconds or PRIOR_SECONDS

    def put(self, seat: Seat, now: float) -> None:
        """Put a seat in line by its level of now."""
        number = seat.first_number
        if number is None:
            seat.serial = 0
            return
        self._serial += 1
        seat.serial = self._serial
        seat.is_parked = False
        heapq.heappush(self._heap, (seat.level(now), number, self._serial, seat))

    def least(self, now: float) -> Seat | None:
        """The seat whose turn it is."""
        heap = self._heap
        while heap:
            level, number, serial, seat = heap[0]
            if serial != seat.serial:
                heapq.heappop(heap)
                continue
            first = seat.first_number
            if first is None:
                seat.serial = 0
                heapq.heappop(heap)
                continue
            seat.learn(self.expected)
            actual = seat.level(now)
            if actual <= level and first <= number:
                return seat
            heapq.heapreplace(heap, (actual, first, serial, seat))
            if heap[0][2] == serial:  # and not an older entry of the same seat
                return seat
        return None

    def take_out(self, seat: Seat) -> None:
        """Take the seat out of line until it is put back."""
        seat.serial = 0

    def lack(self, ask: Ask, tokens: int) -> tuple[str, str] | None:
        """What of this pool stands against an ask: ``closed``, ``cap``, ``full`` or ``kept``, and its name."""
        rule = self.rule
        if rule.limit <= 0:
            return "closed", rule.name
        if rule.caps:
            for name, cap in rule.caps_of(ask.tenant):
                seat = self.seats.get(ask.tenant)
                held = (seat.held if seat else 0) if "/" in name else self.held_of.get(name, 0)
                if held + tokens > cap:
                    return "cap", name
        if self.held + tokens > rule.limit:
            return "full", rule.name
        keeper = self.kept_for
        if keeper is not None and keeper.ask.key != ask.key:
            kept = next(each.tokens for each in keeper.ask.tokens if each.pool == rule.name)
            if self.held + kept + tokens > rule.limit:
                return "kept", keeper.ask.key
        return None
