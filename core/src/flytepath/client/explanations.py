"""What an explanation is made of: facts with the events that say so, and the explanations of what they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flytepath.client.views import WaitView
from flytepath.engine.state import NodeState
from flytepath.model.events import Event
from flytepath.model.task import Record


class Fact(Record):
    """Something that is so; ``seq`` is the event that says it (0: it follows from the graph), ``at`` when that was."""

    text: str
    seq: int = 0
    at: float | None = None


class Explanation(Record):
    """Why something is where it is.

    Attributes:
        node: the path of the node that is explained; empty for the whole execution.
        name: what it runs.
        kind: task, dynamic, eager, graph, map, branch, gate or execution.
        status: where it is.
        summary: why, in a sentence.
        facts: what is known, in order.
        causes: what it waits for, or died of, explained in turn.
        command: the command that moves it on, where there is one.
        waited_seconds: between the moment it could start and its start.
        ran_seconds: from its first start to its end, or until now.
        seq: the event after which this was so.
        past: the execution has gone on since.
    """

    execution: str
    node: str
    name: str
    kind: str
    status: str
    summary: str
    facts: tuple[Fact, ...] = ()
    causes: tuple[Explanation, ...] = ()
    command: str = ""
    waited_seconds: float | None = None
    ran_seconds: float | None = None
    seq: int = 0
    past: bool = False


def _nobody_knows(_key: str) -> WaitView | None:
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the log does not say.

    Attributes:
        now: the present time, or that of the past which is explained.
        is_driven: whether an engine owns the execution.
        computing: where the outputs that a ready node needs are being computed, if somewhere else.
        past: the execution has gone on since.
        waits: why a remote job waits for tokens of a pool, by its key.
        waits_at: why the next attempt of a node does that runs on this machine, by its path.
    """

    now: float
    is_driven: bool
    computing: Callable[[NodeState], str | None]
    past: bool = False
    waits: Callable[[str], WaitView | None] = _nobody_knows
    waits_at: Callable[[str], WaitView | None] = _nobody_knows


def fact_of(text: str, event: Event | None) -> Fact:
    """A fact that ``event`` says; ``None`` where none does."""
    return Fact(text=text) if event is None else Fact(text=text, seq=event.seq, at=event.at)
