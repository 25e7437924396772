"""Environments of tasks: what an ``ImageSpec`` asks for becomes a virtual environment, made once for all who ask alike.

:mod:`.asked` reads what a task asks for, :mod:`.building` makes it with the installers of :mod:`.tools` and the links
of :mod:`.linking`, :mod:`.kept` is the shelf they stand on, and :class:`Environments` is what the engine asks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.engine.environments.asked import Asked, asked_by, number_of
from flytepath.engine.environments.failures import EnvironmentBuildError, EnvironmentUnavailableError
from flytepath.engine.environments.kept import Card, EnvironmentInUseError, Kept, Shelf
from flytepath.errors import ConfigError, FlytePathError
from flytepath.model.task import TaskSpec

if TYPE_CHECKING:
    from flytepath.engine.environments.linking import Linked
    from flytepath.engine.environments.locks import FileLock

__all__ = [
    "EnvironmentBuildError",
    "EnvironmentInUseError",
    "EnvironmentUnavailableError",
    "Environments",
    "Kept",
    "Shelf",
]

TIMEOUT_VARIABLE: Final = "FLYTEPATH_ENVIRONMENT_TIMEOUT"
TIMEOUT_SECONDS: Final = 600.0
#: For so long a requirement that cannot be had is not asked for again: a map has many items that all ask.
FAILURE_SECONDS: Final = 60.0

_log = logging.getLogger("flytepath")


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float
    error: EnvironmentBuildError


class Environments:
    """The environments of one home, as one process uses them. For one event loop.

    Whatever is made is made once: within the process by one task that all askers wait for, between processes under a
    lock. An environment that this process uses cannot be removed until :meth:`close`, or until the process ends.

    Args:
        home: the home folder; they lie in ``environments`` there.
        log: told, in a line of text each, what is waited for and what was made; by default the logger.
    """

    def __init__(self, home: Path, *, log: Callable[[str], None] | None = None) -> None:
        self._shelf = Shelf.of(home)
        self._log = log or _log.info
        self._known: dict[str, str] = {}
        self._making: dict[str, asyncio.Task[None]] = {}
        self._using: dict[str, FileLock] = {}
        self._failed: dict[str, _Failure] = {}
        self._swept = False

    async def python_of(self, task: TaskSpec) -> str:
        """The path of the interpreter that runs ``task``; its environment is made if it is not there yet.

        Raises:
            EnvironmentBuildError: it cannot be made; its class and ``kind`` say whose fault that is.
        """
        if task.environment is None or isinstance(task.environment, str):
            return sys.executable
        key = json.dumps([task.environment, task.plugin], sort_keys=True, default=str)
        known = self._known.get(key)
        if known == "":
            return sys.executable
        if known is not None and known in self._using and self._shelf.is_ready(known):
            return str(self._shelf.python(known))
        asked = asked_by(task.environment, task.plugin)
        if asked is None:
            self._known[key] = ""
            return sys.executable
        linked, digest = await asyncio.to_thread(_identified, asked)
        await self._ready(digest, asked, linked)
        self._known[key] = digest
        return str(self._shelf.python(digest))

    async def close(self) -> None:
        """End what is being made, and let go of what was used."""
        making = list(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        for lock in self._using.values():
            lock.close()
        self._using.clear()

    async def _ready(self, digest: str, asked: Asked, linked: dict[str, Linked]) -> None:
        failure = self._failed.get(digest)
        if failure is not None and time.monotonic() - failure.at < FAILURE_SECONDS:
            raise _again(failure.error)
        making = self._making.get(digest)
        if making is None:
            making = asyncio.create_task(self._obtain(digest, asked, linked), name=f"environment {digest}")
            self._making[digest] = making
            making.add_done_callback(lambda done: self._made(digest, done))
        try:
            # An asker that is cancelled leaves the others, and what is half made, alone.
            await asyncio.shield(making)
        except EnvironmentBuildError as error:
            raise _again(error) from error.__cause__

    def _made(self, digest: str, done: asyncio.Task[None]) -> None:
        del self._making[digest]
        error = None if done.cancelled() else done.exception()
        if isinstance(error, EnvironmentBuildError) and error.kind == "user":
            self._failed[digest] = _Failure(time.monotonic(), error)
        else:
            self._failed.pop(digest, None)

    async def _obtain(self, digest: str, asked: Asked, linked: dict[str, Linked]) -> None:
        try:
            if not await asyncio.to_thread(self._use, digest):
                await self._under_lock(digest, asked, linked)
        except ConfigError as error:
            raise EnvironmentBuildError(error.message, **_fields(error)) from error
        except OSError as error:
            raise EnvironmentUnavailableError(
                "the folder of environments cannot be used",
                place=error.filename or str(self._shelf.root),
                actual=error.strerror or str(error),
                hint="check space and permissions, or choose another home with FLYTEPATH_HOME",
            ) from error

    def _use(self, digest: str) -> bool:
        """Hold an environment that is ready, so that nobody removes it; false where it is not."""
        lock = self._using.get(digest) or self._shelf.use_lock(digest)
        if lock.try_shared() and self._shelf.is_ready(digest):
            self._using[digest] = lock
            self._shelf.mark_used(digest)
            return True
        if digest not in self._using:
            lock.close()
        return False

    async def _under_lock(self, digest: str, asked: Asked, linked: dict[str, Linked]) -> None:
        lock = await asyncio.to_thread(self._shelf.build_lock, digest)
        try:
            await lock.alone(lambda holder: self._log(f"waiting for {holder}, which makes environment {digest}"))
            if await asyncio.to_thread(self._use, digest):
                return
            if not self._swept:
                self._swept = True
                for swept in await asyncio.to_thread(self._shelf.sweep):
                    self._log(f"removed environment {swept}, whose making was cut short")
            await self._make(digest, asked, linked, lock)
            if not await asyncio.to_thread(self._use, digest):
                raise EnvironmentUnavailableError("the environment went away at once", place=digest)
        finally:
            lock.close()

    async def _make(self, digest: str, asked: Asked, linked: dict[str, Linked], lock: FileLock) -> None:
        from flytepath.engine.environments.building import Build
        from flytepath.engine.environments.tools import installer

        limit = number_of(TIMEOUT_VARIABLE, os.environ.get(TIMEOUT_VARIABLE), TIMEOUT_SECONDS)
        tool, log_path, started = installer(), self._shelf.log(digest), time.time()
        await asyncio.to_thread(self._shelf.clear, digest)
        self._log(f"making environment {digest} with {tool.name}: {asked}")
        if asked.left_out:
            self._log(f"environment {digest} has no {', '.join(asked.left_out)}: that is for images")
        try:
            with log_path.open("w", encoding="utf-8") as log:
                build = Build(asked, linked, tool, self._shelf.folder(digest), log_path, log, lock.descriptor)
                async with asyncio.timeout(limit):
                    own = await build.make()
        except TimeoutError as error:
            await asyncio.to_thread(self._shelf.clear, digest)
            raise EnvironmentUnavailableError(
                f"the environment was not ready within {limit:g} s",
                place=f"ImageSpec: {asked}",
                actual=f"the log so far: {log_path}",
                hint=f"{TIMEOUT_VARIABLE} sets the seconds it may take",
            ) from error
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._shelf.clear, digest))
            raise
        seconds = time.time() - started
        facts = _facts(asked, tool.name)
        card = Card(digest=digest, created_at=started, seconds=round(seconds, 1), packages=own, **facts)
        await asyncio.to_thread(card.write, build.folder)
        log_path.unlink(missing_ok=True)
        self._log(f"environment {digest} is ready after {seconds:.1f} s")


def _identified(asked: Asked) -> tuple[dict[str, Linked], str]:
    from flytepath.engine.environments.linking import closure, signature

    linked = closure(asked.plugin)
    return linked, asked.digest(signature(linked))


def _facts(asked: Asked, tool: str) -> dict[str, Any]:
    import flytepath

    return {"asked": str(asked), "python": asked.minor, "flytepath": flytepath.__version__, "tool": tool}


def _again(error: EnvironmentBuildError) -> EnvironmentBuildError:
    """A copy, so that each asker raises an error of its own."""
    return type(error)(error.message, **_fields(error))


def _fields(error: FlytePathError) -> dict[str, str | None]:
    return {name: getattr(error, name) for name in ("place", "expected", "actual", "hint")}
