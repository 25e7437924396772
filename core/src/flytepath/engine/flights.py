"""Single flight within a process: of those who need the outputs of one cache key, one computes, the others wait.

A *flight* has one that leads it, and those that wait in the order in which they came. It lands with outputs, which all
are given; or whoever leads gives up, and the next one leads. Executions may be driven by loops in several threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

from flytepath.model.literal import Literal

#: How often a waiting node looks whether the loop of the one that leads still runs.
_GLANCE_SECONDS: Final = 15.0


@dataclass(eq=False, slots=True, repr=False)
class Ticket:
    """One that needs the outputs of a key: a node of an execution.

    Attributes:
        turn: done when it is decided: the outputs, or ``None`` where this one leads.
        alone: it takes no part, because what leads the flight waits for it.
        left: it has given up.
    """

    key: Hashable
    execution: str
    node: str
    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[dict[str, Literal] | None]
    alone: bool = False
    left: bool = False


@dataclass(slots=True)
class _Flight:
    leader: Ticket
    waiting: deque[Ticket] = field(default_factory=deque)


class Flights:
    """The flights of one process. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight] = {}

    def join(self, key: Hashable, execution: str, node: str) -> Ticket:
        """Take part in the flight of ``key``; who is the first leads it."""
        loop = asyncio.get_running_loop()
        ticket = Ticket(key, execution, node, loop, loop.create_future())
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                self._flights[key] = _Flight(ticket)
                ticket.turn.set_result(None)
            elif flight.leader.execution == execution and node.startswith(f"{flight.leader.node}/"):
                ticket.alone = True
                ticket.turn.set_result(None)
            else:
                flight.waiting.append(ticket)
        return ticket

    async def wait(self, ticket: Ticket) -> dict[str, Literal] | None:
        """The outputs that the flight lands with; ``None`` where ``ticket`` leads it now."""
        while not ticket.turn.done():
            await asyncio.wait((ticket.turn,), timeout=_GLANCE_SECONDS)
            if not ticket.turn.done():
                self._pass_lost_leader(ticket.key)
        return ticket.turn.result()

    def land(self, ticket: Ticket, outputs: Mapping[str, Literal]) -> None:
        """Give ``outputs`` to all that wait; the flight is over."""
        with self._lock:
            flight = self._flights.get(ticket.key)
            if flight is None or flight.leader is not ticket:
                return
            del self._flights[ticket.key]
        for waiting in flight.waiting:
            _decide(waiting, dict(outputs))

    def leave(self, ticket: Ticket) -> None:
        """Give up: who waited no longer does; where ``ticket`` led, the next one leads."""
        with self._lock:
            ticket.left = True
            flight = self._flights.get(ticket.key)
            if flight is not None and flight.leader is ticket:
                self._hand_on(flight)

    def _pass_lost_leader(self, key: Hashable) -> None:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and flight.leader.loop.is_closed():
                self._hand_on(flight)

    def _hand_on(self, flight: _Flight) -> None:
        while flight.waiting:
            following = flight.waiting.popleft()
            if not following.left and _decide(following, None):
                flight.leader = following
                return
        del self._flights[flight.leader.key]


def _decide(ticket: Ticket, outputs: dict[str, Literal] | None) -> bool:
    """Tell the loop of ``ticket``; false where that runs no more."""

    def decide() -> None:
        if not ticket.turn.done():
            ticket.turn.set_result(outputs)

    try:
        ticket.loop.call_soon_threadsafe(decide)
    except RuntimeError:
        return False
    return True


#: The flights of this process.
FLIGHTS: Final = Flights()
