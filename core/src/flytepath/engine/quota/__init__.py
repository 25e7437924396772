"""Who is given tokens of a shared pool next: weighted fair sharing of token-seconds by virtual time.

Pure: no clock, no chance, no I/O; every method is told what time it is.

A tenant's level in a pool is the virtual time it has reached: the token-seconds of what has ended over its weight, and
what runs now, charged with the longer of what it has taken and what such jobs take. A token goes to the least level;
of equal ones, to whoever waits longest. A tenant that comes, or comes back, starts at the system virtual time, the
level of those served last, so idle time earns nothing, and what was borrowed while nobody else wanted it is forgotten.
Nobody is evicted: lent shares come back as jobs end.

The bound on waiting: in a pool of L tokens whose N tenants have the total weight W and ask for one token at a time, no
job lasts longer than D, nor longer than r times what is expected of it. Then the k-th waiter of a tenant of weight w,
which holds n tokens and is held back by no cap, waits at most ``D * (1 + r + (N + k + r * (k + n) * W / w) / L)``.
Why, and what holds for larger asks: docs/fair-sharing.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flytepath.engine.quota.places import LineOfAsks, Pool, Seat, running_mean
from flytepath.engine.quota.rules import (
    PASSES,
    PASSES_ACROSS,
    PATIENT_MEANS,
    Account,
    Ask,
    Changes,
    Lease,
    Line,
    More,
    PoolAskError,
    PoolRule,
    PoolState,
    Standing,
    Waiter,
)
from flytepath.model.identity import Tenant
from flytepath.plugin.plans import PoolAsk

__all__ = [
    "PASSES",
    "PASSES_ACROSS",
    "Account",
    "Ask",
    "Book",
    "Changes",
    "Lease",
    "Line",
    "More",
    "PoolAsk",
    "PoolAskError",
    "PoolRule",
    "PoolState",
    "Standing",
    "Waiter",
]


class Book:
    """Who holds and who waits, in some pools, and who is next.

    It may be made of a part of the truth, to decide once and write down what changed: all leases of the pools, the
    accounts of those who hold or wait, and the first few waiters of each line, with ``more`` to fetch further ones.
    Pools that waiters ask for together must all be there; what leases hold of pools that are not there is ignored.

    Args:
        rules: the pools.
        states: what the pools remember, by name.
        accounts: by pool and tenant; those that are missing begin.
        leases: all that is held.
        waiters: all who wait, or the first few of each line.
        more: fetches further waiters of a line; called only when those that are known are used up.
        passes_across: how often an ask of several pools is passed over.

    Example:
        >>> book = Book([PoolRule("db", 1)])
        >>> book.ask(Ask.of("a", Tenant("one"), [PoolAsk("db")]), 1, now=0)
        >>> book.ask(Ask.of("b", Tenant("two"), [PoolAsk("db")]), 2, now=0)
        >>> [lease.ask.key for lease in book.grants(now=0)]
        ['a']
        >>> book.standing("b", now=1).reason
        "all 1 of 'db' is held"
        >>> book.release("a", now=5)
        True
        >>> [lease.ask.key for lease in book.grants(now=5)]
        ['b']
    """

    def __init__(
        self,
        rules: Iterable[PoolRule],
        *,
        states: Mapping[str, PoolState] | None = None,
        accounts: Mapping[tuple[str, Tenant], Account] | None = None,
        leases: Iterable[Lease] = (),
        waiters: Iterable[Waiter] = (),
        more: More | None = None,
        passes_across: int = PASSES_ACROSS,
    ) -> None:
        states = states or {}
        self._accounts = dict(accounts or {})
        self._pools = {rule.name: Pool(rule, states.get(rule.name) or PoolState()) for rule in rules}
        self._leases: dict[str, Lease] = {}
        self._waiters: dict[str, Waiter] = {}
        self._lines: dict[Line, LineOfAsks] = {}
        self._more = more
        self._passes_across = passes_across
        self._insistent: dict[str, Waiter] = {}
        self._dirty_pools: set[str] = set()
        self._dirty_accounts: set[tuple[str, Tenant]] = set()
        self._dirty_passed: set[str] = set()
        self._now = float("-inf")
        for lease in leases:
            self._leases[lease.ask.key] = lease
            for ask in lease.ask.tokens:
                if ask.pool in self._pools:
                    self._count(lease, ask, lease.granted_at)
        for waiter in sorted(waiters, key=lambda each: each.number):
            self._stand(waiter, is_known=True)
        for pool in self._pools.values():
            for seat in pool.seats.values():
                # The entry is a lower bound at any time, and looked at again when it comes to the top.
                pool.put(seat, float("-inf"))
                seat.changed()

    # --- what is known ---

    @property
    def pools(self) -> Mapping[str, PoolRule]:
        """The rules, by name."""
        return {name: pool.rule for name, pool in self._pools.items()}

    @property
    def leases(self) -> Mapping[str, Lease]:
        """What is held, by key."""
        return self._leases

    @property
    def waiters(self) -> Mapping[str, Waiter]:
        """Who is known to wait, by key."""
        return self._waiters

    def expected(self, pool: str, tenant: Tenant) -> float:
        """How long a tenant's jobs are taken to hold tokens of a pool."""
        return self._seat(self._pools[pool], tenant).expected

    def held(self, pool: str, tenant: Tenant | None = None) -> int:
        """Tokens of a pool that are held, by everybody or by one tenant."""
        if tenant is None:
            return self._pools[pool].held
        seat = self._pools[pool].seats.get(tenant)
        return 0 if seat is None else seat.held

    def account(self, pool: str, tenant: Tenant) -> Account:
        """What a tenant has had of a pool."""
        return self._accounts.get((pool, tenant)) or Account()

    def changes(self) -> Changes:
        """What is different since the last call."""
        changes = Changes(
            {name: self._pools[name].state for name in self._dirty_pools},
            {key: self._accounts[key] for key in self._dirty_accounts},
            {key: self._waiters[key].passed for key in self._dirty_passed if key in self._waiters},
        )
        self._dirty_pools, self._dirty_accounts, self._dirty_passed = set(), set(), set()
        return changes

    # --- what happens ---

    def ask(self, ask: Ask, number: int, now: float) -> None:
        """Put an ask in line; nothing happens where its key waits or holds already.

        Args:
            ask: what is wanted.
            number: the order of arrival over all lines, rising.
            now: seconds.

        Raises:
            PoolAskError: it can never be granted, or there is no such pool.
        """
        if ask.key in self._waiters or ask.key in self._leases:
            return
        self.check(ask)
        now = self._tick(now)
        waiter = Waiter(ask, number, now)
        comes = [pool for pool in self._pools_of(ask) if self._seat(pool, ask.tenant).first_number is None]
        for pool in comes:
            self._advance(pool, now)
        self._stand(waiter, is_known=False)
        for pool in self._pools_of(ask):
            seat = pool.seats[ask.tenant]
            if pool in comes:
                self._lift(pool, seat, now)
            if pool in comes or seat.is_parked:
                self._unpark(pool, seat, now)

    def check(self, ask: Ask) -> None:
        """Raise :class:`PoolAskError` where an ask can never be granted, or names a pool that is not there."""
        for each in ask.tokens:
            pool = self._pools.get(each.pool)
            if pool is None:
                raise PoolAskError(
                    f"there is no pool {each.pool!r}",
                    place=ask.key,
                    expected=", ".join(sorted(self._pools)) or "no pools at all",
                    actual=repr(each.pool),
                )
            pool.rule.check(ask.tenant, each.tokens)

    def withdraw(self, key: str) -> bool:
        """Take an ask out of line; whether it was there."""
        waiter = self._waiters.get(key)
        if waiter is None:
            return False
        self._unstand(waiter)
        return True

    def insist(self, ask: Ask, now: float) -> Lease:
        """Count an ask as held, even above the limit: what it is for goes on whatever there is.

        Nothing is granted until what is held fits again.
        """
        now = self._tick(now)
        self.withdraw(ask.key)
        lease = self._leases[ask.key] = Lease(ask, now)
        for each in ask.tokens:
            self._count(lease, each, now)
        return lease

    def release(self, key: str, now: float) -> bool:
        """Give back what is held and settle what it has cost; whether it was held."""
        lease = self._leases.pop(key, None)
        if lease is None:
            return False
        now = self._tick(now)
        tenant = lease.ask.tenant
        for each in lease.ask.tokens:
            pool = self._pools.get(each.pool)
            if pool is None:
                continue
            seat = pool.seats[tenant]
            pool.moved_at = now
            seconds = seat.settle(key, now)
            pool.count(tenant, -each.tokens)
            pool.state.mean_seconds = running_mean(pool.state.mean_seconds, seconds)
            self._dirty_pools.add(each.pool)
            self._dirty_accounts.add((each.pool, tenant))
            if not seat.is_parked:
                pool.put(seat, now)
            self._wake(pool, now)
        return True

    def set_rule(self, rule: PoolRule, now: float) -> None:
        """Go by another rule from now on. What is held above a lowered limit stays until it is released."""
        now = self._tick(now)
        pool = self._pools.get(rule.name)
        if pool is None:
            self._pools[rule.name] = Pool(rule, PoolState())
            return
        pool.rule = rule
        for seat in pool.seats.values():
            seat.weight = rule.weight(seat.tenant)
            seat.changed()
            if not seat.is_parked:
                pool.put(seat, now)
        self._wake(pool, now)

    # --- who is next ---

    def grants(self, now: float) -> list[Lease]:
        """Give what is free to whose turn it is; the new leases, in that order."""
        now = self._tick(now)
        granted: list[Lease] = []
        self._serve_insistent(granted, now)
        deferred: dict[str, Waiter] = {}
        aside: list[tuple[Pool, Seat]] = []
        while True:
            before = len(granted)
            for pool in self._pools.values():
                while pool.free > 0:
                    waiter = self._pick(pool, deferred, aside, now)
                    if waiter is None:
                        break
                    granted.append(self._grant(waiter, now, is_in_order=True))
                    if self._insistent:
                        self._serve_insistent(granted, now)
            if len(granted) > before:
                continue
            # What is left of those who would have been second in one of their pools: nobody who was first could use it.
            for waiter in sorted(deferred.values(), key=lambda each: each.number):
                if waiter.ask.key in self._waiters and self._lack(waiter.ask) is None:
                    granted.append(self._grant(waiter, now, is_in_order=False))
            if len(granted) == before:
                break
            deferred.clear()
            self._put_back(aside, now)
        self._put_back(aside, now)
        return granted

    def standing(self, key: str, now: float) -> Standing | None:
        """Why something waits; ``None`` where it does not."""
        waiter = self._waiters.get(key)
        if waiter is None:
            return None
        ask = waiter.ask
        position = 1 + sum(each.number < waiter.number for each in self._lines[ask.line])
        lacks = [(self._pools[each.pool], self._pools[each.pool].lack(ask, each.tokens)) for each in ask.tokens]
        found = [(pool, *lack) for pool, lack in lacks if lack is not None]
        if not found:
            pool = self._pools[ask.tokens[0].pool]
            first = pool.least(max(now, self._now))
            ahead = str(first.tenant) if first is not None and first.tenant != ask.tenant else str(ask.tenant)
            return Standing(f"others come first in {pool.rule.name!r}", ahead, position, pool.rule.name)
        pool, kind, name = min(found, key=lambda each: ("closed", "cap", "kept", "full").index(each[1]))
        limit = pool.rule.limit
        wanted = next(each.tokens for each in ask.tokens if each.pool == pool.rule.name)
        if kind == "closed":
            return Standing(f"{name!r} is closed: its limit is 0", f"limit of {name}", position, name)
        if kind == "cap":
            cap = pool.rule.caps[name]
            reason = f"{name} may hold {cap} of {pool.rule.name!r} at once"
            return Standing(reason, f"cap {name}", position, pool.rule.name)
        if kind == "kept":
            reason = f"what comes free of {pool.rule.name!r} is kept for one that was passed over too often"
            return Standing(reason, name, position, pool.rule.name)
        most = max(pool.seats.values(), key=lambda seat: seat.held)
        if pool.free > 0:
            reason = f"{wanted} of {name!r} are wanted and {pool.free} of {limit} are free"
        else:
            reason = f"all {limit} of {name!r} {'is' if limit == 1 else 'are'} held"
        return Standing(reason, f"{most.tenant} holds {most.held}", position, name)

    # --- inside ---

    def _tick(self, now: float) -> float:
        """Time that never goes back, whatever the clock does."""
        self._now = max(self._now, now)
        return self._now

    def _pools_of(self, ask: Ask) -> list[Pool]:
        return [self._pools[each.pool] for each in ask.tokens]

    def _seat(self, pool: Pool, tenant: Tenant) -> Seat:
        seat = pool.seats.get(tenant)
        if seat is None:
            name = pool.rule.name
            account = self._accounts.get((name, tenant))
            if account is None:
                account = self._accounts[name, tenant] = Account()
                self._dirty_accounts.add((name, tenant))
            seat = pool.seats[tenant] = Seat(tenant, pool.rule.weight(tenant), account, pool.expected)
        return seat

    def _count(self, lease: Lease, ask: PoolAsk, now: float) -> None:
        pool = self._pools[ask.pool]
        self._seat(pool, lease.ask.tenant).hold(lease.ask.key, lease.granted_at, ask.tokens, now)
        pool.count(lease.ask.tenant, ask.tokens)
        pool.moved_at = max(pool.moved_at, lease.granted_at)

    def _stand(self, waiter: Waiter, *, is_known: bool) -> None:
        """Put a waiter into its line, and the line into the seats of its pools."""
        ask = waiter.ask
        line = self._lines.get(ask.line)
        if line is None:
            # A line that begins after the book was opened is known whole.
            line = self._lines[ask.line] = LineOfAsks(ask.line, self._more if is_known else None)
        for pool in self._pools_of(ask):
            self._seat(pool, ask.tenant).lines[ask.line] = line
        line.add(waiter, is_known=is_known)
        self._note(waiter)

    def _note(self, waiter: Waiter) -> None:
        self._waiters[waiter.ask.key] = waiter
        if waiter.passed >= self._patience(waiter.ask):
            self._insistent[waiter.ask.key] = waiter

    def _unstand(self, waiter: Waiter) -> None:
        ask = waiter.ask
        del self._waiters[ask.key]
        self._insistent.pop(ask.key, None)
        for pool in self._pools_of(ask):
            pool.passed_over.pop(ask.key, None)
        line = self._lines[ask.line]
        line.remove(waiter)
        if line.head is None:
            for found in line.fetch(waiter.number):
                self._note(found)
        if line.head is None:
            del self._lines[ask.line]
            for pool in self._pools_of(ask):
                del pool.seats[ask.tenant].lines[ask.line]

    def _advance(self, pool: Pool, now: float) -> None:
        """Bring the system virtual time to where those are who wait for this pool, before somebody joins them.

        Where nobody does, everybody has had what they wanted: then nothing that was had is to be held against anyone.
        """
        first = pool.least(now)
        if first is not None and self._waits_for(pool, first):
            reached = first.start(now)
        elif waiting := [seat for seat in pool.seats.values() if seat.lines and self._waits_for(pool, seat)]:
            reached = min(seat.start(now) for seat in waiting)
        else:
            reached = max((seat.start(now) for seat in pool.seats.values() if seat.leases), default=0.0)
        if reached > pool.state.vtime:
            pool.state.vtime = reached
            self._dirty_pools.add(pool.rule.name)

    def _waits_for(self, pool: Pool, seat: Seat) -> bool:
        """Whether it is this pool that a tenant waits for, and not another one or a cap."""
        for waiter in seat.heads():
            lack = self._lack(waiter.ask)
            if lack is None or (lack[0] is pool and lack[1] in ("full", "kept")):
                return True
        return False

    def _lift(self, pool: Pool, seat: Seat, now: float) -> None:
        if seat.lift(pool.state.vtime, now):
            self._dirty_accounts.add((pool.rule.name, seat.tenant))

    def _lack(self, ask: Ask) -> tuple[Pool, str, str] | None:
        for each in ask.tokens:
            pool = self._pools[each.pool]
            lack = pool.lack(ask, each.tokens)
            if lack is not None:
                return pool, *lack
        return None

    def _pick(
        self, pool: Pool, deferred: dict[str, Waiter], aside: list[tuple[Pool, Seat]], now: float
    ) -> Waiter | None:
        """The next waiter of a pool that can be given all it asks for."""
        while (seat := pool.least(now)) is not None:
            blockers: list[Pool] = []
            is_short_here = has_deferred = False
            for waiter in seat.heads():
                lack = self._lack(waiter.ask)
                if lack is None:
                    if len(waiter.ask.tokens) == 1 or self._is_first_everywhere(waiter.ask, pool, now):
                        return waiter
                    deferred[waiter.ask.key] = waiter
                    has_deferred = True
                    continue
                blocker, kind, _ = lack
                blockers.append(blocker)
                is_short_here = is_short_here or (blocker is pool and kind != "cap")
                if kind == "full":
                    pool.passed_over[waiter.ask.key] = waiter
            pool.take_out(seat)
            if has_deferred:
                aside.append((pool, seat))
                continue
            if not is_short_here:
                # What a cap or another pool holds back has no claim on what it could not have taken.
                self._lift(pool, seat, now)
            seat.is_parked = True
            for blocker in blockers:
                blocker.parked[pool.rule.name, seat.tenant] = None
        return None

    def _is_first_everywhere(self, ask: Ask, here: Pool, now: float) -> bool:
        """Whether nobody in the other pools of an ask has a better claim to what it would take there."""
        for pool in self._pools_of(ask):
            if pool is not here:
                first = pool.least(now)
                if first is not None and first.level(now) < pool.seats[ask.tenant].level(now):
                    return False
        return True

    def _put_back(self, aside: list[tuple[Pool, Seat]], now: float) -> None:
        for pool, seat in aside:
            pool.put(seat, now)
        aside.clear()

    def _wake(self, pool: Pool, now: float) -> None:
        """Let those look again who waited for something of this pool."""
        parked, pool.parked = pool.parked, {}
        for name, tenant in parked:
            where = self._pools[name]
            seat = where.seats[tenant]
            if seat.is_parked:
                if all(waiter.ask.key not in where.passed_over for waiter in seat.heads()):
                    self._lift(where, seat, now)
                self._unpark(where, seat, now)

    def _unpark(self, pool: Pool, seat: Seat, now: float) -> None:
        seat.is_parked = False
        pool.put(seat, now)

    def _grant(self, waiter: Waiter, now: float, *, is_in_order: bool) -> Lease:
        ask = waiter.ask
        lease = self._leases[ask.key] = Lease(ask, now)
        self._unstand(waiter)
        for each in ask.tokens:
            pool = self._pools[each.pool]
            seat = pool.seats[ask.tenant]
            level = seat.level(now)
            if is_in_order and level > pool.state.vtime:
                pool.state.vtime = level
                self._dirty_pools.add(each.pool)
            self._count(lease, each, now)
            for passed in list(pool.passed_over.values()):
                passed.passed += 1
                self._dirty_passed.add(passed.ask.key)
                if passed.passed >= self._patience(passed.ask):
                    self._insistent[passed.ask.key] = passed
        return lease

    def _serve_insistent(self, granted: list[Lease], now: float) -> None:
        """First come those who were passed over too often; what they lack is kept for them, the earliest first."""
        for pool in self._pools.values():
            before, pool.kept_for = pool.kept_for, None
            if before is not None and before.ask.key not in self._waiters:
                self._wake(pool, now)
        for waiter in sorted(self._insistent.values(), key=lambda each: each.number):
            if self._lack(waiter.ask) is None:
                granted.append(self._grant(waiter, now, is_in_order=False))
            elif self._may_insist(waiter.ask, now):
                self._keep(waiter)

    def _keep(self, waiter: Waiter) -> None:
        """Keep what comes free: of the slowest pool first, and of a faster one only once there is enough of that.

        So nothing of a fast pool lies idle for as long as a slow one takes.
        """
        for pool in sorted(self._pools_of(waiter.ask), key=lambda pool: -pool.expected / max(1, pool.rule.limit)):
            pool.kept_for = pool.kept_for or waiter
            wanted = next(each.tokens for each in waiter.ask.tokens if each.pool == pool.rule.name)
            if pool.lack(waiter.ask, wanted) is not None:
                break

    def _may_insist(self, ask: Ask, now: float) -> bool:
        """Whether what an ask lacks will come free before long, so that the rest may be kept for it until then."""
        for each in ask.tokens:
            pool = self._pools[each.pool]
            lack = pool.lack(ask, each.tokens)
            if lack is None:
                continue
            if lack[0] != "full" or each.tokens > pool.rule.limit:
                return False
            if len(ask.tokens) > 1 and now - pool.moved_at > PATIENT_MEANS * pool.expected:
                return False
        return True

    def _patience(self, ask: Ask) -> int:
        """How often it is passed over."""
        return PASSES if len(ask.tokens) == 1 else self._passes_across
