"""What fair sharing is about: the rule of a pool, what is asked of it, who waits, who holds, and each tenant's account.

Plain data. :mod:`flytepath.engine.quota` decides over it, and the store keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final

from flytepath.errors import ConfigError, FlytePathError
from flytepath.model.identity import Tenant
from flytepath.plugin.plans import PoolAsk

#: A job is taken to last this long while nobody knows better.
PRIOR_SECONDS: Final = 1.0
#: How much the latest job counts in the running mean of job lengths.
LATEST_COUNTS: Final = 0.2
#: An ask of one pool that does not fit into what is free is passed over so often; then what comes free is kept for it.
PASSES: Final = 8
#: The same for an ask of several pools that are never free together.
PASSES_ACROSS: Final = 64
#: Tokens are not kept for an ask of several pools where one that it lacks has not moved for so many mean jobs.
PATIENT_MEANS: Final = 4


class PoolAskError(FlytePathError, ValueError):
    """More tokens of a pool are asked for than its limit or the tenant's cap will ever allow, or none at all."""

    code = "FP-POOL-ASK"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class PoolRule:
    """What configuration, or a backend, says of a pool.

    Args:
        name: of the pool.
        limit: how many tokens there are; 0 closes the pool: who asks waits.
        weights: how shares compare, by ``project`` or ``project/domain``; the weight of a project holds for each of
            its domains; 1 for all others.
        caps: the most tokens held at once. That of a ``project`` bounds the sum over its domains, that of a
            ``project/domain`` that domain; both may be there.

    Raises:
        ConfigError: a negative limit or cap, or a weight that is not above zero.

    Example:
        >>> rule = PoolRule("db", 10, weights={"research": 3}, caps={"research/production": 4})
        >>> rule.weight(Tenant("research", "production")), rule.weight(Tenant("sales", "production"))
        (3.0, 1.0)
        >>> rule.cap(Tenant("research", "production")), rule.cap(Tenant("research", "staging"))
        (4, None)
    """

    name: str
    limit: int
    weights: Mapping[str, float] = field(default_factory=dict)
    caps: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise self._wrong("limit", "a whole number of at least 0", self.limit)
        for key, weight in self.weights.items():
            if not (isfinite(weight) and weight > 0):
                raise self._wrong(f"weights.{key}", "a number above 0", weight)
        for key, cap in self.caps.items():
            if cap < 0:
                raise self._wrong(f"caps.{key}", "a whole number of at least 0", cap)

    def _wrong(self, what: str, expected: str, actual: object) -> ConfigError:
        return ConfigError(
            f"the {what} of pool {self.name!r} cannot be",
            place=f"pools.{self.name}.{what}",
            expected=expected,
            actual=repr(actual),
        )

    def weight(self, tenant: Tenant) -> float:
        """How much the tenant's share is compared with others'."""
        return float(self.weights.get(str(tenant), self.weights.get(tenant.project, 1.0)))

    def cap(self, tenant: Tenant) -> int | None:
        """The most this tenant may hold, as far as it is known from the rule alone; ``None``: as many as there are."""
        caps = [cap for _, cap in self.caps_of(tenant)]
        return min(caps) if caps else None

    def caps_of(self, tenant: Tenant) -> list[tuple[str, int]]:
        """The caps that bound this tenant: of its project, and its own."""
        if not self.caps:
            return []
        return [(name, self.caps[name]) for name in (tenant.project, str(tenant)) if name in self.caps]

    def check(self, tenant: Tenant, tokens: int) -> None:
        """Raise :class:`PoolAskError` where the tenant can never be given so many tokens; a closed pool may open."""
        if tokens < 1:
            raise self._never(tokens, "at least 1")
        if tokens > self.limit > 0:
            raise self._never(tokens, f"at most {self.limit}, the limit of the pool")
        for name, cap in self.caps_of(tenant):
            if tokens > cap > 0:
                raise self._never(tokens, f"at most {cap}, the cap of {name}")

    def _never(self, tokens: int, expected: str) -> PoolAskError:
        return PoolAskError(
            f"nobody could ever be given {tokens} of pool {self.name!r}",
            place=f"pools.{self.name}",
            expected=expected,
            actual=str(tokens),
            hint="ask for fewer, or raise the limit or the cap in the configuration",
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """What must be held at once, all or nothing. Make it with :meth:`of`.

    Args:
        key: who asks: held and released under this name.
        tenant: whose share it comes from.
        tokens: what of which pool, each pool once, by name.
    """

    key: str
    tenant: Tenant
    tokens: tuple[PoolAsk, ...]

    @classmethod
    def of(cls, key: str, tenant: Tenant, asks: Iterable[PoolAsk]) -> Ask:
        """An ask with the tokens of each pool added up, so that equal asks are equal.

        Example:
            >>> Ask.of("k", Tenant(), [PoolAsk("b"), PoolAsk("a"), PoolAsk("b", 2)]).tokens
            (PoolAsk(pool='a', tokens=1), PoolAsk(pool='b', tokens=3))
        """
        total: dict[str, int] = {}
        for ask in asks:
            total[ask.pool] = total.get(ask.pool, 0) + ask.tokens
        return cls(key, tenant, tuple(PoolAsk(pool, total[pool]) for pool in sorted(total)))

    @property
    def line(self) -> Line:
        """Where it waits."""
        return Line(self.tenant, self.tokens)


@dataclass(frozen=True, slots=True)
class Line:
    """Where asks wait one behind the other: all of one tenant that want the same."""

    tenant: Tenant
    tokens: tuple[PoolAsk, ...]

    def __str__(self) -> str:
        """Canonical text, the same for equal lines.

        Example:
            >>> str(Ask.of("k", Tenant(), [PoolAsk("b", 2), PoolAsk("a")]).line)
            'default/development a=1 b=2'
        """
        return " ".join([str(self.tenant), *(f"{ask.pool}={ask.tokens}" for ask in self.tokens)])


@dataclass(slots=True)
class Account:
    """What one tenant has had of one pool.

    Args:
        vtime: virtual time: token-seconds over weight of all that has ended, lifted when the tenant comes back.
        mean_seconds: the running mean of how long its jobs hold tokens; 0 while unknown.
        served: token-seconds in all.
    """

    vtime: float = 0.0
    mean_seconds: float = 0.0
    served: float = 0.0


@dataclass(slots=True)
class PoolState:
    """What a pool remembers beside its rule.

    Args:
        vtime: the system virtual time, where tenants who come start; never falls.
        mean_seconds: the running mean of how long jobs hold tokens, for tenants nobody knows yet; 0 while unknown.
    """

    vtime: float = 0.0
    mean_seconds: float = 0.0


@dataclass(slots=True)
class Waiter:
    """An ask in line.

    Args:
        number: order of arrival over all lines.
        asked_at: seconds.
        passed: how often others were given what it was its turn to have, because it did not fit.
    """

    ask: Ask
    number: int
    asked_at: float = 0.0
    passed: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """What is held since when."""

    ask: Ask
    granted_at: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Why something waits, for people.

    Args:
        reason: one sentence.
        blocker: who or what is in the way: a tenant, ``cap research``, or the key of a waiter that comes first.
        position: the place in the own line, from 1.
        pool: the pool that is short.
    """

    reason: str
    blocker: str
    position: int
    pool: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different since it was last asked: to be written down.

    Args:
        pools: by name.
        accounts: by pool and tenant.
        passed: by key of a waiter.
    """

    pools: Mapping[str, PoolState] = field(default_factory=dict)
    accounts: Mapping[tuple[str, Tenant], Account] = field(default_factory=dict)
    passed: Mapping[str, int] = field(default_factory=dict)


#: Fetches waiters of a line behind a number, at most so many; fewer, only where there are no more.
More = Callable[[Line, int, int], Sequence[Waiter]]
