"""What the progress of an execution says of its remote jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flytepath.cli.display import show_time
from flytepath.client.job_viewing import wait_words
from flytepath.client.views import WaitView
from flytepath.engine.jobs.troubles import is_trouble
from flytepath.errors import FlytePathError
from flytepath.model.events import (
    Event,
    JobAmbiguous,
    JobCancelling,
    JobEnded,
    JobObserved,
    JobParked,
    JobPlanned,
    JobReturned,
    JobSubmitted,
    JobSubmitting,
)

#: How often it is looked what jobs wait for.
LOOK_SECONDS: Final = 1.0

#: Tells, at the moment it is asked for, why jobs wait, by key.
Look = Callable[[], Callable[[str], WaitView | None]]


#: Phases in which a new reason is told even where nothing else changes: it says why the job does not run yet.
_WAITING: Final = ("queued", "initializing")


@dataclass(slots=True)
class _Known:
    node: str
    backend: str
    name: str
    items: int
    pools: tuple[tuple[str, int], ...]
    phase: str = ""
    reason: str = ""


class JobNotes:
    """The jobs of an execution, as their events come.

    Args:
        look: tells why jobs wait; without it, only which pools they ask for is said.
    """

    def __init__(self, look: Look | None = None) -> None:
        self._look = look
        self._jobs: dict[str, _Known] = {}
        self._waiting: dict[str, str] = {}
        self._waits: Callable[[str], WaitView | None] | None = None
        self._looked = 0.0

    def tell(self, event: Event) -> tuple[str, str] | None:
        """The node, or map, that an event of a job is about, and what it says; ``None`` for any other event.

        What it says is empty where it is nothing for people.
        """
        payload = event.payload
        if isinstance(payload, JobPlanned):
            known = _Known(
                payload.node,
                payload.backend,
                payload.plan.get("name", ""),
                len(payload.items),
                payload.pools,
            )
            self._jobs[payload.key] = known
            if payload.pools:
                self._waiting[payload.node] = payload.key
            return payload.node, _planned(payload, known)
        if isinstance(payload, JobParked):
            return payload.node, f"is parked: {payload.reason}" if payload.reason else "is no longer parked"
        found = self._jobs.get(getattr(payload, "key", ""))
        if found is None:
            return None
        if not isinstance(payload, JobReturned | JobCancelling):
            self._waiting.pop(found.node, None)
        said = _said(payload, found)
        if isinstance(payload, JobReturned) and found.pools:
            self._waiting[found.node] = payload.key
        if isinstance(payload, JobEnded):
            del self._jobs[payload.key]
        return found.node, said

    def waits(self, node: str) -> str:
        """Why the job of a node waits, as of a moment ago; empty where it does not, or nobody can say."""
        key = self._waiting.get(node)
        if key is None or self._look is None:
            return ""
        if self._waits is None or time.monotonic() - self._looked > LOOK_SECONDS:
            self._waits, self._looked = self._look(), time.monotonic()
        try:
            wait = self._waits(key)
        except FlytePathError:  # the store is away for a moment: the run itself says so
            return ""
        if wait is None:
            return ""
        since = "" if wait.since is None else f", since {show_time(wait.since)}"
        return f"waits for {wait_words(wait)}{since}"


def _planned(payload: JobPlanned, known: _Known) -> str:
    asks = " and ".join(f"{tokens} of {pool}" for pool, tokens in payload.pools)
    again = f", submission {payload.submission}" if payload.submission else ""
    return f"job {payload.key[7:19]}{_of(known)}{again} asks for {asks}" if asks else ""


def _of(known: _Known) -> str:
    return f" of {known.items:,} items" if known.items else ""


def _said(payload: object, known: _Known) -> str:
    called = f" as {known.name}" if known.name else ""
    match payload:
        case JobSubmitting():
            return ""
        case JobSubmitted(adopted=adopted):
            known.phase = "queued"
            verb = "was found on" if adopted else "is submitted to"
            return f"{verb} {known.backend}{called}"
        case JobObserved(phase=phase, raw_state=raw_state, reason=reason, links=links):
            is_why = bool(reason) and phase in _WAITING
            is_news = reason != known.reason and (is_why or is_trouble(reason) or is_trouble(known.reason))
            if phase == known.phase and not links and not is_news:
                return ""
            known.phase, known.reason = phase, reason
            state = f" ({raw_state})" if raw_state else ""
            why = f": {reason}" if reason else ""
            shown = "".join(f"; {title}: {url}" for title, url in links)
            return f"{phase} on {known.backend}{state}{why}{shown}"
        case JobAmbiguous(reason=reason):
            return f"nobody knows whether {known.backend} took it ({reason}): that comes before anything else"
        case JobReturned(reason=reason):
            return f"{known.backend} has no room for it ({reason}): it waits again"
        case JobCancelling(reason=reason):
            return f"is being cancelled: {reason}"
        case JobEnded(phase="cancelled", reason=reason):
            return f"its job has ended: {reason}" if reason else "its job has ended"
    return ""
