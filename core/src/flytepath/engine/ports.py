"""What the engine needs of others: a log to append to, and somebody who is told what happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from flytepath.engine.values import Literals
from flytepath.model.events import Event
from flytepath.model.literal import Literal


class Posted(Protocol):
    """A command in the inbox."""

    @property
    def id(self) -> int: ...

    @property
    def command(self) -> Mapping[str, Any]: ...


class Log(Literals, Protocol):
    """What the scheduler needs of the event store."""

    def append_later(
        self, execution: str, expected_seq: int, epoch: int, events: list[Event], literals: list[Literal]
    ) -> Future[None]: ...

    def heartbeat(self, execution: str, owner: str, epoch: int, ttl: float) -> bool: ...

    def inbox(self, execution: str) -> Sequence[Posted]: ...

    def take(self, ids: Iterable[int]) -> None: ...

    def put_spec(self, digest: str, spec: Any) -> None: ...


class Listener(Protocol):
    """Told what happens, after it is durable."""

    def event(self, event: Event, name: str = "") -> None:
        """Something happened; ``name`` is what the node it happened to runs, or its own."""

    def output(self, node: str, stream: str, text: str) -> None:
        """A task printed text, which may end in the middle of a line."""
