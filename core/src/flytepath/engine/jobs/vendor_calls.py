"""One call of a backend at a time: within its rate limits, with a deadline, and with one kind of error.

Whatever a plugin raises becomes a :class:`BackendError`, so that what follows from it is decided in one place.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from flytepath.engine.jobs.answers import hold_seconds
from flytepath.engine.jobs.backends import BackendInstance
from flytepath.errors import FlytePathError
from flytepath.plugin.backend import BackendError, ErrorClass
from flytepath.plugin.declarations import RateLimit
from flytepath.plugin.secrets import SecretNotFoundError, SecretProviderError

T = TypeVar("T")

#: The most calls of one backend that are under way at once, besides polls.
CALLS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a vendor is borne with, in seconds.

    Args:
        outage: after so long without any success nobody waits any more.
        pause, longest_pause: between calls that failed: the first, and the longest.
        cancel_pause: between two looks at whether a job has ended that is being cancelled; grows to ten times as much.
    """

    outage: float = 6 * 3600.0
    pause: float = 1.0
    longest_pause: float = 60.0
    cancel_pause: float = 1.0


class Limits(Protocol):
    """Rate limits that all engines share."""

    async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
        """Wait until a call is allowed."""

    async def hold_back(self, bucket: str, seconds: float) -> None:
        """Let nobody call before so many seconds have passed."""


class VendorCalls:
    """The calls of one backend.

    Args:
        instance: the backend.
        limits: its rate limits.
    """

    def __init__(self, instance: BackendInstance, limits: Limits) -> None:
        self.instance = instance
        self._limits = limits
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)
        self._held_until: dict[str, float] = {}

    async def make(self, call: str, scope: str, made: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What ``made(*args)`` returns.

        Args:
            call: the name of the method, as rate limits name it.
            scope: the credential scope.
            made: the method.

        Raises:
            BackendError: whatever went wrong.
        """
        # Polls are few, and would wait behind a call for each of thousands of jobs that begin or end together.
        async with self._places if call != "poll" else nullcontext():
            await self._allowed(call, scope)
            try:
                async with asyncio.timeout(self.instance.declaration.call_seconds) as deadline:
                    return await made(*args)
            except Exception as error:  # noqa: BLE001 - it is raised as one of ours
                raised = self._as_ours(call, error, is_late=deadline.expired())
                raised.retry_after = hold_seconds(raised.retry_after)
                told = self.instance.redactor.text(raised.message)
                if raised.retry_after is not None:
                    await self._hold_back(call, scope, raised.retry_after)
                if told == raised.message:
                    raise raised from (None if raised is error else error)
                raised.message, raised.args = told, ()
                raise raised.with_traceback(None) from None

    def _as_ours(self, call: str, error: Exception, *, is_late: bool) -> BackendError:
        """Whatever a plugin raises, as what follows is decided from."""
        if isinstance(error, BackendError):
            return error
        if isinstance(error, TimeoutError):
            seconds = self.instance.declaration.call_seconds
            what = f"no answer within {seconds:g} s" if is_late else str(error) or "timed out"
            return BackendError(f"{call}: {what}", error_class=ErrorClass.TRANSIENT)
        if isinstance(error, SecretNotFoundError | SecretProviderError):
            is_missing = isinstance(error, SecretNotFoundError)
            return BackendError(
                f"{call}: {error.message}",
                error_class=ErrorClass.AUTH if is_missing else ErrorClass.UNAVAILABLE,
                accepted=False,
                place=error.place,
                hint="; ".join(part for part in (error.expected and f"expected {error.expected}", error.hint) if part),
            )
        if isinstance(error, OSError):
            return BackendError(f"{call}: {error}", error_class=ErrorClass.TRANSIENT)
        text = error.message if isinstance(error, FlytePathError) else f"{type(error).__name__}: {error}"
        return BackendError(f"{call}: plugin {self.instance.plugin} raised {text}", error_class=ErrorClass.PROTOCOL)

    def _buckets(self, call: str, scope: str) -> list[tuple[str, RateLimit]]:
        instance = self.instance
        own = getattr(instance.backend, "rate_limits", None)
        return [
            ("/".join((instance.name, instance.settings, scope, limit.call)), limit)
            for limit in (instance.declaration.rate_limits if own is None else own)
            if limit.call in ("*", call)
        ]

    async def _allowed(self, call: str, scope: str) -> None:
        for bucket, limit in self._buckets(call, scope):
            await self._limits.may_call(bucket, limit)
        loop = asyncio.get_running_loop()
        while (wait := self._held_until.get(scope, 0.0) - loop.time()) > 0:
            await asyncio.sleep(wait)

    async def _hold_back(self, call: str, scope: str, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self._held_until[scope] = max(until, self._held_until.get(scope, 0.0))
        for bucket, _ in self._buckets(call, scope):
            await self._limits.hold_back(bucket, seconds)


class Pauses:
    """Pauses that grow while something fails: jittered, and never beyond the longest.

    Args:
        patience: how long they are, and when it is enough.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._next = patience.pause
        self._since: float | None = None

    @property
    def is_outage(self) -> bool:
        """Whether it has failed for so long that waiting on is pointless."""
        now = asyncio.get_running_loop().time()
        return self._since is not None and now - self._since >= self._patience.outage

    @property
    def is_failing(self) -> bool:
        """Whether it has failed since it last went well."""
        return self._since is not None

    def begin(self) -> None:
        """It fails, from now on if it did not before."""
        if self._since is None:
            self._since = asyncio.get_running_loop().time()

    async def wait(self, at_least: float = 0.0) -> None:
        """Wait before the next try."""
        self.begin()
        pause = max(at_least, self._next * random.uniform(0.75, 1.25))
        self._next = min(2 * self._next, self._patience.longest_pause)
        await asyncio.sleep(pause)

    def reset(self) -> None:
        """It went well."""
        self._next, self._since = self._patience.pause, None
