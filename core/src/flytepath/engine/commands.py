"""The commands: what somebody, or what happened, asks of an execution. Frozen facts, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field

from flytepath.model.events import ErrorRecord, LiteralDigests, Usage


@dataclass(frozen=True, slots=True)
class Own:
    """An engine takes the execution under a lease of ``epoch``."""

    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start a ready node's next attempt."""

    node: str
    inputs: LiteralDigests


@dataclass(frozen=True, slots=True)
class StartItems:
    """Start the next attempts of several ready items of the map ``node``."""

    node: str
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reuse:
    """A ready node's outputs are known already: under the cache ``key``, or in the execution ``recovered``."""

    node: str
    outputs: LiteralDigests
    key: str = ""
    recovered: str = ""
    inputs: LiteralDigests = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Succeed:
    """A worker returned the outputs of an attempt."""

    node: str
    attempt: int
    outputs: LiteralDigests
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class SucceedItems:
    """Workers returned the outputs of attempts of several items of the map ``node``.

    For each ``(index, attempt, digests)`` with the digests in the order of ``names``, and what it used.
    """

    node: str
    names: tuple[str, ...]
    items: tuple[tuple[int, int, tuple[str, ...]], ...]
    usage: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """An attempt ended with an error; ``jitter`` in [0, 1) spreads its retry, ``progress`` is how far it came."""

    node: str
    attempt: int
    error: ErrorRecord
    usage: Usage = field(default_factory=Usage)
    jitter: float = 0.0
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """A running attempt was ended by us, because nothing of it may run any more."""

    node: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """A ready node can never start: its inputs cannot be put together, or its branch says ``fail``."""

    node: str
    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class Expand:
    """A ready node becomes nodes: a graph, the ``case`` of a branch, the ``items`` of a map.

    ``spec`` is the graph that a dynamic task gave in the execution that this one recovers.
    """

    node: str
    inputs: LiteralDigests = field(default_factory=dict)
    case: int | None = None
    items: int | None = None
    spec: str = ""


@dataclass(frozen=True, slots=True)
class Produce:
    """The attempt of a dynamic task gave a graph, kept under the digest ``spec``."""

    node: str
    attempt: int
    spec: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Call:
    """The attempt of an eager task calls something, as its ``call``; the same call of an earlier attempt is joined."""

    node: str
    attempt: int
    call: str
    callee: str
    spec: str
    inputs: LiteralDigests


@dataclass(frozen=True, slots=True)
class Open:
    """A gate is due."""

    node: str
    inputs: LiteralDigests


@dataclass(frozen=True, slots=True)
class Signal:
    """Somebody answers a gate: approves or not, or gives the value with this digest."""

    node: str
    approved: bool | None = None
    value: str = ""


@dataclass(frozen=True, slots=True)
class Ring:
    """The time of an open gate has come."""

    node: str


@dataclass(frozen=True, slots=True)
class Expire:
    """A node has waited for its turn as long as it may."""

    node: str


@dataclass(frozen=True, slots=True)
class Settle:
    """What lies below a node has ended: end it too, with ``outputs`` or the ``error`` of putting them together."""

    node: str
    outputs: LiteralDigests = field(default_factory=dict)
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class Abort:
    """Somebody wants the execution to end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Somebody wants that nothing new starts."""

    reason: str


@dataclass(frozen=True, slots=True)
class Continue:
    """Somebody wants a paused execution to go on."""


@dataclass(frozen=True, slots=True)
class TimeOut:
    """The time of the whole execution is over."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Every node has ended and no attempt runs: end the execution, with ``outputs`` if it succeeded."""

    outputs: LiteralDigests = field(default_factory=dict)
    error: ErrorRecord | None = None


Command = (
    Own
    | Start
    | StartItems
    | Reuse
    | Succeed
    | SucceedItems
    | Fail
    | Stop
    | Refuse
    | Expand
    | Produce
    | Call
    | Open
    | Signal
    | Ring
    | Expire
    | Settle
    | Abort
    | Pause
    | Continue
    | TimeOut
    | Finish
)
