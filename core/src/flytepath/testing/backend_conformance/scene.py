"""One check's stage: a vendor, a backend for it, and everything the backend let out, kept for the search of secrets."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import itertools
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.resources import Resources
from flytepath.plugin.backend import (
    Backend,
    BackendError,
    Found,
    Gone,
    Handle,
    InProgress,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    Terminal,
    Unknown,
)
from flytepath.plugin.declarations import BackendDeclaration
from flytepath.plugin.plans import JobKey, Owner, Plan, PlanRequest
from flytepath.plugin.secrets import SecretNotFoundError, SecretReference
from flytepath.testing.backend_conformance.vendor import BackendVendor, Course
from flytepath.testing.blobs import MemoryBlobs
from flytepath.testing.findings import refuse

if TYPE_CHECKING:
    from flytepath.testing.backend_conformance.stage import Stage

T = TypeVar("T")
CancelAnswer = Gone | Terminal | InProgress | NotOurs

_PAUSE_SECONDS: Final = 0.02
_PAGES: Final = 1000
_runs = itertools.count()
_NONCE: Final = os.urandom(8).hex()


class Scene:
    """What a check acts with.

    Args:
        vendor: the running vendor.
        declaration: what the backend declares.
        patience: seconds until something that must happen is given up.
    """

    def __init__(self, vendor: BackendVendor, declaration: BackendDeclaration, patience: float) -> None:
        self.vendor = vendor
        self.declaration = declaration
        self.patience = patience
        self.run = f"{_NONCE}-{next(_runs)}"
        self.installation = f"conformance-{_NONCE[:6]}-{self.run.rpartition('-')[2]}"
        self.blobs = MemoryBlobs()
        self.secrets: set[bytes] = set()
        self.told: list[Any] = []
        self._backends: list[Backend] = []
        self._names = itertools.count()
        self.backend = self.another_backend()

    # --- what is asked for ---

    def another_backend(self) -> Backend:
        """A backend as another process would make it; the same one, where jobs live in this process."""
        if self.declaration.idempotency == "D" and self._backends:
            return self._backends[0]
        backend = self.vendor.backend()
        backend.bind(self._resolve)
        self._backends.append(backend)
        return backend

    def key(self, name: str = "") -> JobKey:
        """A key of its own; the same one for the same name."""
        named = name or f"job {next(self._names)}"
        return JobKey("sha256:" + hashlib.sha256(f"{self.run} {named}".encode()).hexdigest())

    def owner(self, installation: str = "") -> Owner:
        """Who submits."""
        return Owner(installation or self.installation, Tenant("vision", "staging"), f"e{self.run}", "train")

    def request(
        self, course: Course = Course.RUNS, *, key: JobKey | None = None, installation: str = "", **more: Any
    ) -> PlanRequest:
        """A request for a sample job."""
        request = PlanRequest(
            key=key or self.key(),
            owner=self.owner(installation),
            task="conformance.sample",
            task_type=self.vendor.task_type,
            payload=more.pop("payload", None) or self.vendor.payload(course),
            inputs={},
            requests=Resources(cpu="1"),
            limits=Resources(cpu="1"),
            **more,
        )
        return self.vendor.complete(request)

    def plan(self, course: Course = Course.RUNS, **more: Any) -> Plan:
        """The plan of a sample job."""
        return self.planned(self.request(course, **more))

    def planned(self, request: PlanRequest) -> Plan:
        """The plan of a request; an error of another class than the contract's is a finding."""
        try:
            plan = self.backend.plan(request)
        except BackendError:
            raise
        except Exception as error:  # noqa: BLE001 - any other error is the finding
            refuse(
                f"plan() raises {type(error).__name__}",
                place=self.place("plan"),
                expected="a Plan, or BackendError with error_class invalid",
                actual=f"{type(error).__name__}: {error}",
                hint="plan() takes every payload that the task type's compile() gives",
                cause=error,
            )
        if not isinstance(plan, Plan):
            refuse("plan() gives no Plan", place=self.place("plan"), actual=repr(plan), hint="return Plan(...)")
        self.told.append(plan)
        return plan

    # --- the backend's calls ---

    async def submit(self, plan: Plan, backend: Backend | None = None) -> Handle:
        """Submit it; the handle as it is after it was stored."""
        handle = await self.call("submit", (backend or self.backend).submit(plan))
        return stored(handle)

    async def find(self, plan: Plan, backend: Backend | None = None) -> Found | NotFound | Unknown:
        """Look for a job."""
        return await self.call("find", (backend or self.backend).find(plan))

    async def poll(self, handles: Sequence[Handle], backend: Backend | None = None) -> Mapping[Handle, Any]:
        """Look at jobs; every handle has its answer, or it is a finding."""
        answers = await self.call("poll", (backend or self.backend).poll(handles))
        missing = [handle for handle in handles if handle not in answers]
        strange = [answer for answer in answers.values() if not isinstance(answer, Observation | BackendError)]
        if missing or strange or len(answers) > len(set(handles)):
            refuse(
                "poll() does not answer for each handle it was given",
                place=self.place("poll"),
                expected=f"{len(set(handles))} answers, each an Observation or a BackendError",
                actual=f"{len(answers)} answers, {len(missing)} handle(s) without one; {strange[:2]!r}",
                hint="return {handle: answer for handle in handles}; the handle as it came in is the key",
            )
        return answers

    async def cancel(self, key: JobKey, handle: Handle | None, backend: Backend | None = None) -> CancelAnswer:
        """Ask for a job to be cancelled."""
        return await self.call("cancel", (backend or self.backend).cancel(key, handle, "the check is over"))

    async def collect(self, handle: Handle, backend: Backend | None = None) -> dict[str, Literal]:
        """The outputs of a job."""
        outputs = await self.call("collect", (backend or self.backend).collect(handle, self.blobs))
        wrong = {name: type(value).__name__ for name, value in outputs.items() if not isinstance(value, Literal)}
        if wrong:
            refuse(
                "collect() returns values that are not literals",
                place=self.place("collect"),
                actual=repr(wrong),
                hint="make them with flytepath.plugin.Literal.make",
            )
        return dict(outputs)

    async def owned(self, installation: str = "", backend: Backend | None = None) -> tuple[list[OwnedJob], int]:
        """Everything ``list_owned`` gives, and in how many pages."""
        jobs: list[OwnedJob] = []
        cursor: str | None = None
        pages = 0
        while True:
            pages += 1
            if pages > _PAGES:
                refuse(
                    f"list_owned() has no last page after {_PAGES}",
                    place=self.place("list_owned"),
                    hint="the cursor of the last page is None",
                )
            asked = (backend or self.backend).list_owned(installation or self.installation, cursor)
            page = await self.call("list_owned", asked)
            jobs += page.jobs
            cursor = page.cursor
            if cursor is None:
                return jobs, pages

    async def call(self, name: str, call: Awaitable[T]) -> T:
        """What a call of the backend returns; an error of another class than the contract's is a finding."""
        seconds = self.declaration.call_seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                result = await call
        except (BackendError, SecretNotFoundError) as error:
            self.told.append(error)
            raise
        except Exception as error:  # noqa: BLE001 - any other error is the finding
            if isinstance(error, TimeoutError) and limit.expired():
                refuse(
                    f"{name}() does not return",
                    place=self.place(name),
                    expected=f"an answer or an error within {seconds:g} s (call_seconds of the declaration)",
                    hint="give every call of the vendor's client a time limit, and raise BackendError when it is over",
                    cause=error,
                )
            refuse(
                f"{name}() raises {type(error).__name__}",
                place=self.place(name),
                expected="BackendError, with the class that says who is to blame",
                actual=f"{type(error).__name__}: {error}",
                hint="map the vendor's errors in one place: raise BackendError(..., error_class=...) from error",
                cause=error,
            )
        self.told.append(result)
        return result

    # --- waiting and asking the vendor ---

    async def vendor_does(self, what: Callable[..., T], *arguments: Any) -> T:
        """Let the vendor do something, in a thread; adapters of emulators may also have coroutines."""
        done = await asyncio.to_thread(what, *arguments)
        if inspect.isawaitable(done):
            awaited: T = await done
            return awaited
        return done

    async def until(self, what: str, look: Callable[[], Awaitable[T | None]], hint: str) -> T:
        """What ``look`` gives once it gives something; a finding where it never does."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience
        while True:
            found = await look()
            if found is not None:
                return found
            if loop.time() > end:
                refuse(f"{what} did not happen within {self.patience:g} s", place=self.place(""), hint=hint)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def observe(self, handle: Handle, backend: Backend | None = None) -> Observation:
        """One look at one job, which must succeed."""
        answer = (await self.poll([handle], backend))[handle]
        if isinstance(answer, BackendError):
            raise answer
        seen: Observation = answer
        return seen

    async def ended(self, handle: Handle, backend: Backend | None = None) -> Observation:
        """The job's last observation, once it has ended."""

        async def look() -> Observation | None:
            seen = await self.observe(handle, backend)
            return seen if seen.gone or (seen.phase is not None and seen.phase.is_terminal) else None

        return await self.until("the end of the job", look, "poll() gives a terminal phase once the job has ended")

    async def found(self, plan: Plan, backend: Backend | None = None) -> Handle:
        """The handle of a job that was submitted, once ``find`` shows it."""

        async def look() -> Handle | None:
            answer = await self.find(plan, backend)
            return stored(answer.handle) if isinstance(answer, Found) else None

        hint = "find() searches by the stamped key, or asks with the idempotency key, and returns Found(handle)"
        return await self.until("find() of a submitted job", look, hint)

    async def cancelled(self, key: JobKey, handle: Handle | None, backend: Backend | None = None) -> CancelAnswer:
        """Cancel until there is nothing left to cancel; the last answer."""

        async def again() -> CancelAnswer | None:
            answer = await self.cancel(key, handle, backend)
            return None if isinstance(answer, InProgress) else answer

        hint = "cancel() answers Gone or Terminal once the job has stopped"
        return await self.until("the end of a cancelled job", again, hint)

    async def leave(self, backend: Backend) -> None:
        """A process ends: let go of its backend, unless jobs live in this process."""
        if self.declaration.idempotency != "D":
            await self.call("close", backend.close())

    async def close(self) -> None:
        """Let go of all backends; twice, as that must be safe."""
        for backend in [*self._backends, *self._backends]:
            await self.call("close", backend.close())

    def place(self, method: str) -> str:
        """Where a finding is: the class under test, and the method."""
        kind = type(self.backend)
        return f"{kind.__module__}:{kind.__qualname__}" + (f".{method}" if method else "")

    def _resolve(self, reference: SecretReference, tenant: Tenant) -> bytes:
        value = self.vendor.secret(reference)
        self.secrets.add(value)
        return value


def stored(handle: Handle) -> Handle:
    """The handle as the journal gives it back: through JSON."""
    if not isinstance(handle, Handle):
        refuse("this is not a handle", expected="Handle(data)", actual=repr(handle), hint="return Handle({...})")
    try:
        text = json.dumps(dict(handle.data), allow_nan=False)
    except (TypeError, ValueError) as error:
        refuse(
            "a handle is not plain JSON",
            expected="dicts with string keys, lists, strings, finite numbers, booleans and None",
            actual=f"{handle!r}: {error}",
            hint="keep the vendor's id, region and name as text; make clients anew from the settings",
            cause=error,
        )
    return Handle(json.loads(text), handle.version)


def scenario(check: Callable[[Any, Scene], Awaitable[None]]) -> Callable[[Stage], None]:
    """Turn a coroutine that acts on a scene into a check that pytest runs."""

    @functools.wraps(check)
    def run(self: Stage) -> None:
        self.play(functools.partial(check, self))

    # pytest reads the arguments of what is wrapped, and would look for a fixture of the name of the scene.
    del run.__wrapped__
    return run
