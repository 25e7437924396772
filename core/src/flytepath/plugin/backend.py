"""The interface of a remote job's life. Core owns the journal; a backend only makes the vendor's calls.

Core calls ``plan`` once per job key and stores the result before ``submit``; a call that is cut off is followed by
``find``, never by a blind second ``submit``. A backend keeps nothing of its own.
"""

from __future__ import annotations

import enum
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from flytepath.errors import FlytePathError
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal as LiteralValue
from flytepath.plugin.blocking import DEADLINE_SECONDS, BlockingCalls
from flytepath.plugin.plans import JobKey, Owner, Plan, PlanRequest
from flytepath.plugin.secrets import SecretReference
from flytepath.plugin.transformer import BlobSink, BlobSource

if TYPE_CHECKING:
    from flytepath.plugin.declarations import RateLimit

Json = Any
T = TypeVar("T")

#: Looks a secret up for a tenant: synchronous, asked in a thread.
SecretResolver = Callable[[SecretReference, Tenant], bytes]


class Phase(enum.StrEnum):
    """Where a job is in its life."""

    PLANNED = "planned"
    WAITING_QUOTA = "waiting_quota"
    SUBMITTING = "submitting"
    AMBIGUOUS = "ambiguous"
    QUEUED = "queued"
    INITIALIZING = "initializing"
    RUNNING = "running"
    COLLECTING = "collecting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class ErrorClass(enum.StrEnum):
    """Who is to blame, and so who retries and on whose budget."""

    USER = "user"
    INVALID = "invalid"
    AUTH = "auth"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    QUOTA_EXCEEDED = "quota_exceeded"
    PREEMPTED = "preempted"
    LOST = "lost"
    OUT_OF_MEMORY = "out_of_memory"
    CONFLICT = "conflict"
    PROTOCOL = "protocol"


class BackendError(FlytePathError):
    """What a backend's method raises: the class of the error decides what core does next.

    Args:
        message: one sentence with the vendor's own code and text.
        error_class: see :class:`ErrorClass`.
        retry_after: seconds the vendor asked to wait (throttled).
        accepted: ``False`` where the vendor certainly did not take the request (``submit``); ``None``: unknown, so
            the job becomes ambiguous.
    """

    code = "FP-BACKEND"

    def __init__(
        self,
        message: str,
        *,
        error_class: ErrorClass,
        retry_after: float | None = None,
        accepted: bool | None = None,
        place: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, place=place, hint=hint)
        self.error_class = error_class
        self.retry_after = retry_after
        self.accepted = accepted

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            _rebuild_error,
            (self.message, self.error_class, self.retry_after, self.accepted, self.place, self.hint),
        )


def _rebuild_error(
    message: str,
    error_class: ErrorClass,
    retry_after: float | None,
    accepted: bool | None,
    place: str | None,
    hint: str | None,
) -> BackendError:
    return BackendError(
        message, error_class=error_class, retry_after=retry_after, accepted=accepted, place=place, hint=hint
    )


@dataclass(frozen=True, slots=True)
class Handle:
    """How a submitted job is found again: JSON with a version; secret *references* only. Equal by content.

    Example:
        >>> {Handle({"id": "a", "zone": "b"})} == {Handle({"zone": "b", "id": "a"})}
        True
    """

    data: Mapping[str, Json]
    version: int = 1
    _hash: int | None = field(default=None, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        # Made once: thousands of handles are looked up with every poll.
        if self._hash is None:
            object.__setattr__(self, "_hash", hash((self.version, json.dumps(self.data, sort_keys=True))))
        return self._hash or 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Handle, (self.data, self.version)  # a hash holds for this process only


@dataclass(frozen=True, slots=True)
class Found:
    """``find``: the job exists and is ours (same owner, key and digest)."""

    handle: Handle


@dataclass(frozen=True, slots=True)
class NotFound:
    """``find``: the vendor certainly has no such job (visible after the visibility window)."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """``find``: the vendor could not tell; it is asked again."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class ItemPhases:
    """Phases of an array job's items, compact: ``phase -> indices``; indices that stand nowhere are ``QUEUED``.

    ``reasons`` and ``error_classes`` tell of those that failed; one without a class is the user's.
    """

    by_phase: Mapping[Phase, tuple[int, ...]]
    reasons: Mapping[int, str] = field(default_factory=dict)
    error_classes: Mapping[int, ErrorClass] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one poll saw of one job.

    Args:
        phase: the phase it maps to; ``None`` where the vendor's state is unknown to the plugin: the phase is kept.
        raw_state: the vendor's own word, always recorded.
        reason: why, for people.
        error_class: for ``FAILED``: who is to blame.
        exit_code: of the job's process, where there is one.
        gone: the vendor no longer knows the job.
        links: (title, URL) pairs: consoles, logs.
        items: for array jobs.
        progress: how far the job has come, as a number that rises (a step, a share): an attempt that comes further than
            any before it has its whole budgets of failures again. Only for a job that goes on where the last one stood.
    """

    phase: Phase | None
    raw_state: str
    reason: str = ""
    error_class: ErrorClass | None = None
    exit_code: int | None = None
    gone: bool = False
    links: tuple[tuple[str, str], ...] = ()
    items: ItemPhases | None = None
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """``cancel``: there is no such job, now or any more."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """``cancel``: the job has ended, as observed."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class InProgress:
    """``cancel``: asked for, not there yet; core calls again."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class NotOurs:
    """``cancel``: what bears the name carries another owner's stamp, or none; nothing was touched."""

    stamp: str = ""


@dataclass(frozen=True, slots=True)
class OwnedJob:
    """One job that carries our stamp."""

    handle: Handle
    key: JobKey
    owner: Owner
    digest: str
    observation: Observation | None = None


@dataclass(frozen=True, slots=True)
class OwnedPage:
    """A page of :meth:`Backend.list_owned`; ``cursor`` is ``None`` on the last."""

    jobs: tuple[OwnedJob, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a job's log; ``cursor`` resumes after it, ``complete`` says that nothing will follow."""

    text: str
    cursor: str | None = None
    complete: bool = False


class BlobAccess(BlobSink, BlobSource, Protocol):
    """The blobs of the tenant that ``collect`` runs for."""


class Backend(ABC):
    """The vendor's calls for one set of settings and one credential scope.

    All methods but ``plan`` are coroutines and must not block the loop: a client that blocks is called through
    :meth:`in_thread`. They raise :class:`BackendError`; core ends a call that takes too long, and then does not know
    whether the vendor has heard it.
    """

    #: Versions of :class:`Handle` this backend reads, newest last.
    handle_versions: ClassVar[tuple[int, ...]] = (1,)
    #: Rate limits that the settings of this one say, in place of its declaration's; ``None``: those of the declaration.
    rate_limits: tuple[RateLimit, ...] | None = None

    def __init__(self, settings: Any = None, *, credential_scope: str = "") -> None:
        self.settings = settings
        self.credential_scope = credential_scope

    @abstractmethod
    def plan(self, request: PlanRequest) -> Plan:
        """The job as it will be submitted. Pure: no I/O, no clock, no chance; one plan for one request."""

    @abstractmethod
    async def submit(self, plan: Plan) -> Handle:
        """Start the job, stamped with owner, key and digest (or with the vendor's idempotency key)."""

    @abstractmethod
    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        """Look for a job that may have been submitted. A job of another owner or digest raises ``CONFLICT``."""

    @abstractmethod
    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        """Look at many jobs at once; an answer for each handle. A bad handle spoils only its own answer."""

    @abstractmethod
    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        """Stop the job; without a handle, find it by its key first. Safe to call any number of times.

        Core calls again until it is ``Gone`` or ``Terminal``, and only then lets go of the job's lease.
        """

    async def cancel_planned(self, plan: Plan, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        """Stop a job that nobody has a handle of: submitted perhaps, or not at all. By its key, unless overridden."""
        return await self.cancel(plan.key, None, reason)

    @abstractmethod
    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, LiteralValue]:
        """The outputs of a job that succeeded. Safe to call again."""

    async def collect_items(
        self, handle: Handle, items: Sequence[int], sink: BlobAccess
    ) -> Mapping[int, Mapping[str, LiteralValue] | BackendError]:
        """The outputs of those items of an array job, by index, which have succeeded. Safe to call again.

        Only for backends that declare an ``array_limit``. A bad item spoils only its own answer.
        """
        raise BackendError("this backend has no array jobs", error_class=ErrorClass.PROTOCOL)

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        """Remove what the job leaves behind; called when it has ended and its outputs are kept. Safe to call again."""

    @abstractmethod
    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        """All jobs stamped by the installation ``scope``, a page at a time."""

    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        """The job's log after ``cursor``; empty and complete where the vendor keeps none."""
        return LogChunk("", cursor, complete=True)

    async def close(self) -> None:
        """Let go of connections."""

    # --- what core gives ---

    #: Whose settings these are: secrets are looked up for this tenant unless a call names another.
    tenant: Tenant = Tenant()

    def bind(self, secrets: SecretResolver, tenant: Tenant | None = None) -> None:
        """Take what core gives: called once, before any other call."""
        self._secrets = secrets
        self.tenant = tenant or self.tenant

    async def secret(self, reference: SecretReference, tenant: Tenant | None = None) -> bytes:
        """The value of a secret. Ask as late as possible, and keep it nowhere.

        Args:
            reference: which one.
            tenant: whose; by default whoever the settings are for, which is right for the credentials of an account.

        Raises:
            SecretNotFoundError: there is none.
            BackendError: nobody has bound a resolver.
        """
        resolver: SecretResolver | None = getattr(self, "_secrets", None)
        if resolver is None:
            raise BackendError("this backend was given no source of secrets", error_class=ErrorClass.PROTOCOL)
        return await self.in_thread(resolver, reference, tenant or self.tenant)

    async def in_thread(self, call: Callable[..., T], *args: Any, seconds: float = DEADLINE_SECONDS, **named: Any) -> T:
        """What a blocking call of the vendor's client returns, made in a thread with a deadline.

        Raises:
            BackendError: it took longer than ``seconds``; nobody knows whether the vendor has heard it.
        """
        calls: BlockingCalls | None = getattr(self, "_calls", None)
        if calls is None:
            calls = self._calls = BlockingCalls(f"flytepath-{type(self).__name__}")
        try:
            return await calls.call(call, *args, seconds=seconds, **named)
        except TimeoutError as error:
            name = getattr(call, "__qualname__", repr(call))
            raise BackendError(
                f"{name} did not return within {seconds:g} s", error_class=ErrorClass.TRANSIENT
            ) from error


#: The four idempotency classes of a backend, as in its declaration.
IdempotencyClass = Literal["A", "B", "C", "D"]

__all__ = [
    "Backend",
    "BackendError",
    "BlobAccess",
    "BlobSource",
    "ErrorClass",
    "Found",
    "Gone",
    "Handle",
    "IdempotencyClass",
    "InProgress",
    "ItemPhases",
    "LogChunk",
    "NotFound",
    "NotOurs",
    "Observation",
    "OwnedJob",
    "OwnedPage",
    "Phase",
    "SecretResolver",
    "Terminal",
    "Unknown",
]
