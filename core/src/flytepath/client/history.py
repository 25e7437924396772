"""The history of an execution: its state after any of its events, and what was tried at each of its nodes.

Everything here is read from the log. Nothing is kept, so what is shown of the past is what the engine knew then.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from flytepath.engine.fold import apply
from flytepath.engine.state import ExecutionState, Specs
from flytepath.errors import StoreError, UsageError
from flytepath.model.events import (
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    Blob,
    ErrorRecord,
    Event,
    ExecutionAborted,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionSucceeded,
    ItemsStarted,
    ItemsSucceeded,
    LogWritten,
    NodeExpanded,
    NodeSkipped,
    NodeSucceeded,
    Usage,
)

#: The events after which there is none.
ENDS: Final = (ExecutionSucceeded, ExecutionFailed, ExecutionAborted)

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)(?:\s+ago)?")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXPECTED: Final = "the number of an event, an ISO time such as 2026-01-31T12:00, or 10m ago"


def moment(text: str, now: float) -> float:
    """The time that ``text`` means: an ISO time, local where it names no zone, or a time that has passed, ``10m ago``.

    Args:
        text: what was typed.
        now: the present time, seconds since the epoch (UTC).

    Raises:
        UsageError: it means no time.

    Example:
        >>> moment("10m ago", 1000.0), moment("1970-01-01T00:01:00Z", 1000.0)
        (400.0, 60.0)
    """
    wanted = text.strip()
    ago = _AGO.fullmatch(wanted.lower())
    if ago is not None:
        return now - float(ago[1]) * _UNITS[ago[2][0]]
    try:
        return dt.datetime.fromisoformat(wanted).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{text!r} is no time", expected="an ISO time such as 2026-01-31T12:00, or 10m ago", actual=text
        ) from error


def seq_at(text: str, events: Sequence[Event], now: float) -> int:
    """The number of the last event at the moment that ``text`` means: its own number, or a time.

    Raises:
        UsageError: it means no moment, or one before the execution was created, or in the future.
    """
    last = events[-1]
    if re.fullmatch(r"[+-]?\d+", text.strip()):
        seq = int(text)
        if not 1 <= seq <= last.seq:
            raise UsageError(
                f"there is no event {seq} in this execution", expected=f"1 to {last.seq}", actual=text, place="--at"
            )
        return seq
    try:
        at = moment(text, now)
    except UsageError as error:
        raise UsageError(f"{text!r} is no moment", expected=_EXPECTED, actual=text, place="--at") from error
    if at > now:
        raise UsageError(f"{text} is in the future", place="--at", expected="a moment that has passed", actual=text)
    if at < events[0].at:
        created = dt.datetime.fromtimestamp(events[0].at).astimezone().isoformat(sep=" ", timespec="seconds")
        raise UsageError(
            f"the execution did not exist at {text}", place="--at", expected=f"{created} or later", actual=text
        )
    # Clocks are set back at times: what counts is the order of the log, not that its times rise.
    return next(event.seq for event in reversed(events) if event.at <= at)


def created_of(state: ExecutionState) -> ExecutionCreated:
    """The first event of an execution.

    Raises:
        StoreError: its log does not begin with it.
    """
    if state.created is None:
        raise StoreError("the log does not begin with the execution's creation")
    return state.created


class Follower:
    """The state of an execution that another process drives, kept up with the log.

    Args:
        read: the events after a number.
        specs: compiled graphs by digest.
    """

    def __init__(self, read: Callable[[int], Sequence[Event]], specs: Specs) -> None:
        self._read = read
        events = list(read(0))
        created = events[0].payload
        if not isinstance(created, ExecutionCreated):
            raise StoreError("the log does not begin with the execution's creation", place=events[0].execution)
        self.state = ExecutionState.of(specs(created.spec), specs)
        self._pending = events

    def advance(self) -> Iterator[Event]:
        """What has happened since, each event after it was folded into :attr:`state`."""
        events, self._pending = self._pending or list(self._read(self.state.seq)), []
        for event in events:
            apply(self.state, event)
            yield event


# --- what was tried ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Attempt:
    """One attempt of a node, as the log tells it; ``ended`` is the number of the event that ended it."""

    node: str
    number: int
    started: int
    started_at: float
    outcome: str = "running"
    ended: int = 0
    ended_at: float | None = None
    error: ErrorRecord | None = None
    retry_at: float | None = None
    usage: Usage = field(default_factory=Usage)
    log: Blob | None = None


class Attempts:
    """Every attempt of an execution by node and number, in the order they began."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self.by_node: dict[str, dict[int, Attempt]] = {}
        for event in events:
            self.add(event)

    def __iter__(self) -> Iterator[Attempt]:
        for attempts in self.by_node.values():
            yield from attempts.values()

    def of(self, path: str) -> list[Attempt]:
        """The attempts of a node."""
        return list(self.by_node.get(path, {}).values())

    def add(self, event: Event) -> list[Attempt]:
        """Take in the next event; the attempts it began, ended or added a log to."""
        payload = event.payload
        match payload:
            case AttemptStarted():
                return [self._start(payload.node, payload.attempt, event)]
            case ItemsStarted():
                return [self._start(f"{payload.node}/{index}", number, event) for index, number in payload.items]
            case ItemsSucceeded():
                changed = []
                for place, (index, number, _) in enumerate(payload.items):
                    path = f"{payload.node}/{index}"
                    wall, cpu, peak = payload.usage[place] if place < len(payload.usage) else (0.0, 0.0, 0)
                    usage = Usage(wall_seconds=wall, cpu_seconds=cpu, peak_memory_bytes=peak)
                    changed += self._end(path, number, event, "succeeded", usage=usage)
                return changed
            case NodeSucceeded() | NodeExpanded():
                return self._end(payload.node, payload.attempt, event, "succeeded", usage=payload.usage)
            case AttemptFailed():
                outcome = "stopped" if payload.error.code == "FP-STOPPED" else "failed"
                return self._end(
                    payload.node, payload.attempt, event, outcome, payload.error, payload.retry_at, payload.usage
                )
            case AttemptLost():
                return self._end(payload.node, payload.attempt, event, "lost", payload.error)
            case NodeSkipped():
                return [
                    attempt
                    for number in self.by_node.get(payload.node, {})
                    for attempt in self._end(payload.node, number, event, "stopped")
                ]
            case LogWritten():
                found = self.by_node.get(payload.node, {}).get(payload.attempt)
                if found is None:
                    return []
                found.log = payload.log
                return [found]
        return []

    def _start(self, path: str, number: int, event: Event) -> Attempt:
        attempt = Attempt(path, number, event.seq, event.at)
        self.by_node.setdefault(path, {})[number] = attempt
        return attempt

    def _end(
        self,
        path: str,
        number: int,
        event: Event,
        outcome: str,
        error: ErrorRecord | None = None,
        retry_at: float | None = None,
        usage: Usage | None = None,
    ) -> list[Attempt]:
        attempt = self.by_node.get(path, {}).get(number)
        if attempt is None or attempt.ended:
            return []
        attempt.outcome, attempt.ended, attempt.ended_at = outcome, event.seq, event.at
        attempt.error, attempt.retry_at, attempt.usage = error, retry_at, usage or Usage()
        return [attempt]
