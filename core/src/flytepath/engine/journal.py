"""From a command to durable events: what was decided is folded at once, and appended before it takes effect."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from flytepath.engine.commands import Command
from flytepath.engine.decisions import decide
from flytepath.engine.fold import apply
from flytepath.engine.outage import patiently
from flytepath.engine.ports import Log
from flytepath.engine.state import ExecutionState
from flytepath.engine.values import Values
from flytepath.errors import FlytePathError, StoreUnavailableError
from flytepath.model.events import Actor, ErrorRecord, Event, Payload
from flytepath.model.literal import Literal


class Journal:
    """The events of one execution that are not durable yet.

    Args:
        execution: its id.
        state: what the events lead to.
        log: where they are appended.
        values: the literals that go with them.
        clock: seconds since the epoch; never goes back.

    Attributes:
        fault: why nothing more is to be waited for; a store that is away is then not asked again.
    """

    def __init__(
        self, execution: str, state: ExecutionState, log: Log, values: Values, clock: Callable[[], float]
    ) -> None:
        self._execution = execution
        self._state = state
        self._log = log
        self._values = values
        self._clock = clock
        self._actor = Actor(kind="engine", name=f"{os.getpid()}")
        self.events: list[Event] = []
        self.fault: BaseException | None = None

    def do(self, command: Command, actor: Actor | None = None) -> None:
        """Decide on a command, and fold what follows."""
        now = self._clock()
        for payload in decide(self._state, command, now):
            self.record(payload, actor, now)

    def record(self, payload: Payload, actor: Actor | None = None, now: float | None = None) -> None:
        """Fold something that has happened."""
        event = Event(
            execution=self._execution,
            seq=self._state.seq + 1,
            at=self._clock() if now is None else now,
            actor=actor or self._actor,
            cause=self._state.seq,
            payload=payload,
        )
        apply(self._state, event)
        self.events.append(event)

    async def commit(self, epoch: int) -> list[Event]:
        """Make all that was decided durable; what that was."""
        pending = self._values.pending
        events, literals = self.events, list(pending.values())
        self.events = []
        pending.clear()
        if events:
            await self._appended(epoch, events, literals)
        return events

    async def _appended(self, epoch: int, events: list[Event], literals: list[Literal]) -> None:
        """Append; a store that cannot be reached is asked again, because the same append twice is one."""

        def append() -> asyncio.Future[None]:
            before = events[0].seq - 1
            return asyncio.wrap_future(self._log.append_later(self._execution, before, epoch, events, literals))

        await patiently(append, self.has_given_up)

    def has_given_up(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.fault is not None


def record_of(error: FlytePathError, place: str) -> ErrorRecord:
    """An error that no retry mends, as it is kept.

    Raises:
        StoreUnavailableError: that is what ``error`` is. It says nothing against an execution, and is never kept.
    """
    if isinstance(error, StoreUnavailableError):
        raise error
    kind = type(error)
    return ErrorRecord.of(
        error, kind="user", type=f"{kind.__module__}.{kind.__qualname__}", place=place, recoverable=False
    )
