"""What live jobs have printed, as their vendors tell it at the moment of a look.

The vendors are asked as an engine asks them: within their rate limits, with a deadline, and with the values of secrets
replaced in what they tell. A vendor that cannot be asked costs nothing but its text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flytepath.errors import FlytePathError
from flytepath.model.identity import Tenant
from flytepath.plugin.backend import BackendError, Handle

if TYPE_CHECKING:
    from pathlib import Path

    from flytepath.engine.jobs.backends import BackendInstance
    from flytepath.engine.jobs.services import JobServices
    from flytepath.store.events import Store

#: A vendor is asked again for a job's log after the first of these, and after longer ones while nothing is new.
SHORTEST: Final = 1.0
LONGEST: Final = 10.0
#: So many logs are read at once, and one for no longer than this in one look.
AT_ONCE: Final = 16
LOOK_SECONDS: Final = 30.0


@dataclass(slots=True)
class LiveJob:
    """A job that its vendor has, with what is needed to ask for its log.

    Attributes:
        key: names it everywhere.
        backend, scope: where it runs, and with which account.
        handle, handle_version: how the vendor knows it.
    """

    key: str
    backend: str
    scope: str
    handle: Mapping[str, Any] | None = None
    handle_version: int = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of a log; ``complete`` where nothing will follow."""

    text: str
    complete: bool = False


@dataclass(slots=True)
class _Place:
    """How far a log has been read."""

    cursor: str | None = None
    line: str = ""
    complete: bool = False
    due: float = 0.0
    pause: float = SHORTEST


@dataclass(slots=True)
class _Problems:
    """What stands in the way, each told once until it has passed."""

    known: dict[tuple[str, str], None] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)

    def add(self, backend: str, kind: str, words: str) -> None:
        if (backend, kind) not in self.known:
            self.known[backend, kind] = None
            self.new.append(words)

    def pass_by(self, backend: str) -> None:
        for key in [key for key in self.known if key[0] == backend]:
            del self.known[key]


class LiveLogs:
    """The logs of the live jobs of one project and domain.

    Args:
        home: where the configuration of this person lies.
        store: shares the rate limits with engines.
        tenant: whose jobs they are.
        follows: there will be more looks, so a line that is not at its end is kept for the next one.
    """

    def __init__(self, home: Path, store: Store, tenant: Tenant, *, follows: bool) -> None:
        self._home = home
        self._store = store
        self._tenant = tenant
        self._follows = follows
        self._runner: asyncio.Runner | None = None
        self._services: JobServices | None = None
        self._places: dict[str, _Place] = {}
        self._problems = _Problems()

    def close(self) -> None:
        """Let go of the vendors."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            if self._services is not None:
                runner.run(self._services.close())
        finally:
            runner.close()

    def problems(self) -> list[str]:
        """Why logs could not be read, since it was asked last; what stays so is told once."""
        new, self._problems.new = self._problems.new, []
        return new

    def look(self, jobs: Iterable[LiveJob]) -> dict[str, Piece]:
        """What is new of the logs of ``jobs``, by key; those that were looked at just now are left out. Blocks."""
        now = time.monotonic()
        due = [job for job in jobs if job.handle is not None and self._is_due(job.key, now)]
        if not due:
            return {}
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._look(due))

    def _is_due(self, key: str, now: float) -> bool:
        place = self._places.get(key)
        return place is None or (not place.complete and place.due <= now)

    async def _look(self, due: list[LiveJob]) -> dict[str, Piece]:
        if self._services is None:
            from flytepath.client.driving import remote_of  # an engine costs: only where a vendor is asked
            from flytepath.engine.ownership import this_engine

            self._services = remote_of(self._home, self._store, this_engine()).services
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(job: LiveJob) -> Piece:
            async with turns:
                return await self._news(job)

        pieces = await asyncio.gather(*(one(job) for job in due))
        return {job.key: piece for job, piece in zip(due, pieces, strict=True) if piece.text or piece.complete}

    async def _news(self, job: LiveJob) -> Piece:
        """All that is new of one log, in whole lines: the value of a secret may come in two pieces."""
        place = self._places.setdefault(job.key, _Place())
        told: list[str] = []
        try:
            instance = await self._the(self._services).backends.get(job.backend, self._tenant)
            await self._read(job, instance, place, told)
            self._problems.pass_by(job.backend)
        except BackendError as error:
            words = f"the log of a job of {job.backend} cannot be read: {error.message}"
            self._problems.add(job.backend, error.error_class, words)
        except FlytePathError as error:  # the backend cannot be made
            self._problems.add(job.backend, error.code, f"the logs of jobs of {job.backend} cannot be read: {error}")
        text = "".join(told)
        place.pause = SHORTEST if text else min(LONGEST, place.pause * 1.5)
        place.due = time.monotonic() + place.pause
        return Piece(text, place.complete)

    async def _read(self, job: LiveJob, instance: BackendInstance, place: _Place, told: list[str]) -> None:
        from flytepath.engine.jobs.logs import whole_lines

        calls = self._the(self._services).calls(instance)
        handle = Handle(dict(job.handle or {}), job.handle_version)
        until = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < until:
            piece = await calls.make("logs", job.scope, instance.backend.logs, handle, place.cursor)
            is_last = piece.complete or not piece.text or piece.cursor == place.cursor
            place.cursor, place.complete = piece.cursor, piece.complete
            text, place.line = whole_lines(place.line + piece.text)
            if piece.complete or (is_last and not self._follows):
                text, place.line = text + place.line, ""
            told.append(instance.redactor.text(text))
            if is_last:
                return

    @staticmethod
    def _the(services: JobServices | None) -> JobServices:
        if services is None:
            raise RuntimeError("nobody has been asked yet")
        return services
