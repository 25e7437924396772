"""Jobs of the fake vendor: where one stands follows from its specification and the clock, without any timer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Json = Any

#: The states a job passes unless its specification names others.
PASSED: Final = ("PENDING", "PROVISIONING", "ACTIVE")
#: The states that nothing follows.
ENDED: Final = frozenset({"FINISHED", "ERRORED", "CANCELED", "EXPIRED", "EVICTED", "NODE_LOST"})
#: What the vendor says of an end, where the specification says nothing.
REASONS: Final[Mapping[str, str]] = {
    "ERRORED": "the program ended with an error",
    "CANCELED": "canceled by request",
    "EXPIRED": "ran longer than it may",
    "EVICTED": "the machine was needed elsewhere",
    "NODE_LOST": "the machine does not answer any more",
}


class Clock:
    """The vendor's time, in seconds.

    Args:
        speed: how many of its seconds pass in one of ours; 0 for a clock that only :meth:`tick` moves.

    Example:
        >>> clock = Clock(speed=0)
        >>> clock.tick(90)
        >>> clock.now()
        90.0
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._start = time.monotonic()
        self._ahead = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the vendor was started."""
        with self._lock:
            return (time.monotonic() - self._start) * self.speed + self._ahead

    def tick(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        with self._lock:
            self._ahead += seconds


@dataclass(slots=True)
class Course:
    """How one program goes: the states it passes in equal parts of its ``seconds``, and its end."""

    states: tuple[str, ...]
    ends_at: float
    seconds: float
    outcome: str
    exit_code: int | None
    message: str
    outputs: Mapping[str, Json]
    inputs: Mapping[str, Json]

    @classmethod
    def of(cls, spec: Mapping[str, Json], now: float) -> Course:
        """What a specification asks for; ``"seconds": null`` is for ever."""
        seconds = spec.get("seconds", 0.0)
        lasting = math.inf if seconds is None else float(seconds)
        outcome = spec.get("outcome", "FINISHED")
        return cls(
            states=tuple(spec.get("states") or PASSED),
            ends_at=now + lasting,
            seconds=lasting,
            outcome=outcome,
            exit_code=spec.get("exit_code", {"FINISHED": 0, "ERRORED": 1}.get(outcome)),
            message=spec.get("message", ""),
            outputs=spec.get("outputs") or {},
            inputs=spec.get("inputs") or {},
        )

    def state(self, now: float) -> str:
        """Where it stands."""
        if now >= self.ends_at:
            return self.outcome
        if math.isinf(self.seconds):
            return self.states[-1]
        passed = 1.0 - (self.ends_at - now) / self.seconds
        return self.states[min(len(self.states) - 1, max(0, int(passed * len(self.states))))]

    def end(self, now: float, outcome: str, exit_code: int | None = None, message: str = "") -> None:
        """End it now, unless it has ended."""
        if now < self.ends_at:
            self.ends_at, self.outcome, self.exit_code, self.message = now, outcome, exit_code, message

    def why(self) -> str:
        """What is said of its end."""
        return self.message or REASONS.get(self.outcome, "")

    def result(self) -> dict[str, Json]:
        """Its outputs, with ``{"$input": name}`` replaced by that input."""
        return {name: self._filled(value) for name, value in self.outputs.items()}

    def _filled(self, value: Json) -> Json:
        if isinstance(value, Mapping) and set(value) == {"$input"}:
            return self.inputs.get(value["$input"])
        return value


@dataclass(slots=True)
class Job:
    """One job, or an array of programs under one id.

    Attributes:
        course: of the program; of an array the one that says when all have ended.
        items: the courses of an array, by position.
        forced: a state that a test has put it into.
        gone_at: when a cancelled job is gone.
        visible_at: when searches begin to show it.
        is_poisoned: every look at it fails.
        has_files: its working files are still there.
        result_at: when its result can be fetched.
    """

    id: str
    account: str
    name: str
    tags: dict[str, str]
    spec: Mapping[str, Json]
    made_at: float
    course: Course
    items: list[Course] = field(default_factory=list)
    forced: str = ""
    gone_at: float | None = None
    visible_at: float = 0.0
    is_poisoned: bool = False
    has_files: bool = True
    result_at: float = 0.0

    @classmethod
    def of(cls, id: str, account: str, name: str, tags: dict[str, str], spec: Mapping[str, Json], now: float) -> Job:
        """A job that begins now."""
        items = [Course.of({**spec, **item}, now) for item in spec.get("items") or ()]
        course = Course.of(spec, now)
        if items:
            last = max(items, key=lambda item: item.ends_at)
            course.ends_at, course.seconds = last.ends_at, last.seconds
            if any(item.outcome != "FINISHED" for item in items):
                course.outcome, course.exit_code = "ERRORED", None
        return cls(id, account, name, tags, spec, now, course, items)

    def state(self, now: float) -> str:
        """The vendor's word for where it stands."""
        if self.forced:
            return self.forced
        if self.gone_at is not None:
            return "CANCELED" if now >= self.gone_at else "CANCELLING"
        return self.course.state(now)

    def is_live(self, now: float) -> bool:
        """Whether it counts against the limits of its account."""
        return self.state(now) not in ENDED

    @property
    def ends_at(self) -> float:
        """When it is no longer live, as things stand."""
        if self.forced:
            return -math.inf if self.forced in ENDED else math.inf
        return self.course.ends_at if self.gone_at is None else self.gone_at

    def end(self, now: float, outcome: str, exit_code: int | None = None, message: str = "") -> None:
        """End it now, also one that is being cancelled: it may end before anybody stops it."""
        self.forced = ""
        if self.gone_at is not None and now < self.gone_at:
            self.gone_at = None
        for course in (self.course, *self.items):
            course.end(now, outcome, exit_code, message)

    def cancel(self, now: float, linger: float) -> None:
        """Begin to cancel it; asked again, nothing changes."""
        if self.gone_at is None:
            self.gone_at = now + linger
            for item in self.items:
                item.end(self.gone_at, "CANCELED")

    def shown(self, now: float, *, full: bool = False) -> dict[str, Json]:
        """The job as the service tells of it."""
        state = self.state(now)
        shown: dict[str, Json] = {"id": self.id, "name": self.name, "state": state}
        if state in ENDED:
            canceled = state == "CANCELED"
            shown["reason"] = REASONS["CANCELED"] if canceled else self.course.why()
            shown["exit_code"] = None if canceled else self.course.exit_code
        if self.items:
            by_state: dict[str, list[int]] = {}
            failed: dict[str, Json] = {}
            for position, item in enumerate(self.items):
                word = item.state(now)
                by_state.setdefault(word, []).append(position)
                if word in ENDED and word != "FINISHED":
                    failed[str(position)] = {"reason": item.why(), "exit_code": item.exit_code}
            shown["items"], shown["failed"] = by_state, failed
        if full:
            shown["tags"], shown["spec"] = self.tags, self.spec
        return shown

    def log(self, now: float) -> tuple[list[str], bool]:
        """The lines written so far, and whether there will be no more."""
        lines = [str(line) for line in self.spec.get("log") or ()]
        if not self.is_live(now):
            return lines, True
        if math.isinf(self.course.seconds) or not self.course.seconds:
            return lines, False
        passed = (now - self.made_at) / self.course.seconds
        return lines[: int(passed * len(lines))], False
