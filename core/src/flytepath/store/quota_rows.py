"""What passes between the quota tables and those who use them: changes, rows, and what a decision is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from flytepath.model.literal import canonical_text, sha256

#: Pools with the tokens that are wanted of each, sorted by pool.
Asks = tuple[tuple[str, int], ...]
Kind = Literal["remote", "local"]
#: What became of a change: the tokens are held, are waited for; it is done; a newer engine has it; there is none.
Answer = Literal["granted", "waiting", "done", "stale", "none"]


@dataclass(frozen=True, slots=True)
class Ask:
    """Tokens are wanted under ``key``; asking again changes who holds or waits, and nothing else."""

    key: str
    project: str
    domain: str
    asks: Asks
    execution: str
    node: str
    epoch: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Release:
    """What is held or waited for under ``key`` is wanted no longer. ``unless_firm``: a firm lease stays."""

    key: str
    epoch: int
    unless_firm: bool = False


@dataclass(frozen=True, slots=True)
class Confirm:
    """A lease is about to be used by a job that will outlive this engine."""

    key: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Evict:
    """A person takes away what is held under ``key``, whoever holds it."""

    key: str


Change = Ask | Release | Confirm | Evict


@dataclass(frozen=True, slots=True)
class WaiterRow:
    """One that waits; ``number`` is the order of arrival, ``line`` the same for those that differ in nothing else."""

    number: int
    key: str
    project: str
    domain: str
    line: str
    asks: Asks
    execution: str
    node: str
    holder: str
    epoch: int
    kind: Kind
    asked_at: float
    passed: int


@dataclass(slots=True)
class LeaseRow:
    """Tokens of one pool that are held under a key."""

    key: str
    pool: str
    tokens: int
    project: str
    domain: str
    execution: str
    node: str
    holder: str
    epoch: int
    kind: Kind
    granted_at: float
    is_firm: bool


@dataclass(frozen=True, slots=True)
class PoolRow:
    """What fair sharing remembers of a pool."""

    pool: str
    vtime: float
    mean_seconds: float


@dataclass(frozen=True, slots=True)
class AccountRow:
    """What it remembers of a tenant in a pool."""

    pool: str
    project: str
    domain: str
    vtime: float
    mean_seconds: float
    served: float


@dataclass(frozen=True, slots=True)
class Rows:
    """All there is to know about some pools.

    Args:
        pools, accounts: what was remembered.
        leases: all leases of these pools, with those that are released now; where nobody waits, only the latter.
        waiters: of those who waited before, the first few of each line that wants something of these pools.
        is_whole: whether all leases are there.
    """

    pools: dict[str, PoolRow] = field(default_factory=dict)
    accounts: list[AccountRow] = field(default_factory=list)
    leases: list[LeaseRow] = field(default_factory=list)
    waiters: list[WaiterRow] = field(default_factory=list)
    is_whole: bool = False


@dataclass(slots=True)
class Truth:
    """What a decision is made from: what happens now, and all there is to know about the pools that are concerned.

    The rows are read when they are asked for: whoever made the last change to what decisions are made from knows them.

    Args:
        now: seconds; the same clock for all engines.
        before: the stamp of the last such change; ``None`` where what happens now is more than is told here.
        after: the stamp of this one, once it is durable.
        touched: the pools in which something happens.
        released: keys that are held no longer, to be settled.
        dropped: keys that wait no longer.
        new: those who come now, in the order of their arrival.
        more: further ones of a line who waited before: those after a number, so many.
        read: reads the rows of the pools that are touched and of others, and of all that are wanted together with them.
    """

    now: float
    before: int | None
    after: int
    touched: frozenset[str]
    released: list[str]
    dropped: list[str]
    new: list[WaiterRow]
    more: Callable[[str, int, int], list[WaiterRow]]
    read: Callable[[Iterable[str]], Rows]
    _rows: Rows | None = None

    def rows(self, also: Iterable[str] = ()) -> Rows:
        """The rows of the pools that are concerned, and of others; read once."""
        if self._rows is None:
            self._rows = self.read(also)
        return self._rows

    @property
    def pools(self) -> dict[str, PoolRow]:
        """What was remembered of the pools."""
        return self.rows().pools

    @property
    def accounts(self) -> list[AccountRow]:
        """What was remembered of tenants."""
        return self.rows().accounts

    @property
    def leases(self) -> list[LeaseRow]:
        """What is held, and what is released now."""
        return self.rows().leases

    @property
    def waiters(self) -> list[WaiterRow]:
        """The first few of each line, without those who come now."""
        return self.rows().waiters


@dataclass(slots=True)
class Decision:
    """What is to be written.

    Args:
        granted: waiters that now hold what they asked for.
        pools, accounts: those that changed.
        passed: by key, how often a waiter was passed over, where that changed.
    """

    granted: list[WaiterRow] = field(default_factory=list)
    pools: list[PoolRow] = field(default_factory=list)
    accounts: list[AccountRow] = field(default_factory=list)
    passed: dict[str, int] = field(default_factory=dict)


Decide = Callable[[Truth], Decision]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction did.

    Args:
        turn: its number, or that of the last one where nothing changed.
        answers: for each change, in their order.
        granted: keys of this holder that were granted.
        was_lost: this holder had been taken for dead meanwhile, and what it waited for is forgotten.
    """

    turn: int
    answers: tuple[Answer, ...]
    granted: tuple[str, ...]
    was_lost: bool


def line_of(project: str, domain: str, asks: Asks) -> str:
    """The name of a line: of tenant and asks.

    Example:
        >>> line_of("p", "d", (("a", 1),)) == line_of("p", "d", (("a", 2),))
        False
    """
    return sha256(canonical_text([project, domain, [list(ask) for ask in asks]]).encode()).removeprefix("sha256:")
