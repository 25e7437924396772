"""What the engine needs of others: a log to append to, workers to run attempts, and somebody who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from flytepath.engine.values import Literals
from flytepath.model.events import Event
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    AttemptErred,
    AttemptSucceeded,
    BoundaryResult,
    CallEnded,
    CallRequested,
    DeckReport,
    GraphProduced,
    RunAttempt,
)

#: Told of decks, boundary checks and calls while an attempt runs.
OnReport = Callable[[DeckReport | BoundaryResult | CallRequested], None]


class Posted(Protocol):
    """A command in the inbox."""

    @property
    def id(self) -> int: ...

    @property
    def execution(self) -> str: ...

    @property
    def command(self) -> Mapping[str, Any]: ...


class Log(Literals, Protocol):
    """What the scheduler needs of the event store."""

    def append_later(
        self, execution: str, expected_seq: int, epoch: int, events: list[Event], literals: list[Literal]
    ) -> Future[None]: ...

    def take(self, ids: Iterable[int]) -> None: ...

    def put_spec(self, digest: str, spec: Any) -> None: ...

    def put_snapshot(self, execution: str, seq: int, format: str, body: bytes) -> Future[None]: ...


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended; ``printed`` is the size of what it left at its ``log_path``."""

    message: AttemptSucceeded | GraphProduced | AttemptErred
    printed: int = 0


class AttemptPool(Protocol):
    """Whatever runs attempts. It does not limit how many run: the scheduler does."""

    async def run(self, request: RunAttempt, on_report: OnReport) -> AttemptResult:
        """Run an attempt to its end, whatever that is; cancelled, it ends the attempt first."""

    async def tell(self, execution: str, node: str, attempt: int, message: CallEnded) -> None:
        """Pass a message on to a running attempt; one that has ended needs none."""

    async def close(self) -> None:
        """End everything."""


class Listener(Protocol):
    """Told what happens, after it is durable."""

    def event(self, event: Event, name: str = "") -> None:
        """Something happened; ``name`` is what the node it happened to runs, or its own."""

    def output(self, node: str, stream: str, text: str) -> None:
        """A task printed text, which may end in the middle of a line."""


class Silent:
    """Listens to nothing; attempts are not listened to for its sake."""

    def event(self, event: Event, name: str = "") -> None:
        """Nothing is shown."""

    def output(self, node: str, stream: str, text: str) -> None:
        """Nothing is shown."""


def by_execution(posted: Sequence[Posted]) -> dict[str, list[Posted]]:
    """Commands by the execution they are for, in their order."""
    found: dict[str, list[Posted]] = {}
    for item in posted:
        found.setdefault(item.execution, []).append(item)
    return found
