"""The reaper: ends jobs at vendors that no execution owns any more, and frees tokens that nobody uses.

A job is an orphan when it bears the stamp of this installation and has not ended, and the log has no live job of its
key in an execution that has not ended. That can be after a crash in a bad moment, after somebody restored an older
database, or where a vendor took a request that everybody had given up. Each is left alone for a while after it was
first seen; one that its task's author declared ``detach=True`` is left alone for good, as long as its execution is
recorded.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flytepath.engine.histories import Histories
from flytepath.engine.jobs import Job
from flytepath.engine.jobs.answers import checked_cancel, checked_page
from flytepath.engine.jobs.backends import BackendInstance, BackendUnavailableError
from flytepath.engine.jobs.plans import handle_of, plan_of
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.troubles import PASSING
from flytepath.engine.jobs.vendor_calls import Pauses
from flytepath.engine.ownership import is_dead
from flytepath.errors import FlytePathError, StoreError
from flytepath.model.identity import Tenant
from flytepath.plugin.backend import (
    BackendError,
    Gone,
    Handle,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    Phase,
    Terminal,
)
from flytepath.plugin.plans import JobKey
from flytepath.store import jobs as table
from flytepath.store.events import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

log = logging.getLogger("flytepath")

#: How long an orphan is left alone after it was first seen, and how often it is looked for them.
GRACE_SECONDS: Final = 600.0
SWEEP_SECONDS: Final = 300.0
#: The most jobs that one sweep ends at a backend, so many of them at once, and how long it waits for the end of one.
CANCEL_LIMIT: Final = 200
CANCELS_AT_ONCE: Final = 8
CANCEL_SECONDS: Final = 60.0
#: A backend that goes on giving pages is not believed any more.
PAGE_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Orphan:
    """A job at a vendor that no execution owns.

    Args:
        backend: where it is.
        key: that its stamp names.
        execution, node: whose it was, by its stamp.
        project, domain: the tenant it was of.
        handle: how the vendor knows it.
        phase, raw_state: where it is, as far as the vendor's list says.
        why: why nobody owns it.
        planned_at: when it was planned, where that is recorded (seconds since the epoch, UTC).
        seen_seconds: how long it has been known as an orphan here.
        left_seconds: for how long it is left alone yet.
        outcome: what a sweep did: empty where nothing, ``cancelled``, ``cancelling`` where it has not ended yet,
            ``not ours`` where the vendor's stamp says otherwise, ``refused`` where the vendor will not.
        detail: why, of a job that is not ``cancelled``.
    """

    backend: str
    key: str
    execution: str
    node: str
    project: str
    domain: str
    handle: Handle
    phase: str
    raw_state: str
    why: str
    planned_at: float | None
    seen_seconds: float
    left_seconds: float
    outcome: str = ""
    detail: str = ""


class Reaper:
    """Looks for orphans of one installation.

    Args:
        store: the log.
        services: the backends, and how long vendors are borne with.
        grace_seconds: how long an orphan is left alone after this reaper has first seen it.
        sweep_seconds: about how often :meth:`run` looks.
        clock: seconds that never go back.

    Attributes:
        failures: by backend, why its jobs could not be looked through in the last sweep.
    """

    def __init__(
        self,
        store: Store,
        services: JobServices,
        *,
        grace_seconds: float = GRACE_SECONDS,
        sweep_seconds: float = SWEEP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._services = services
        self._grace = grace_seconds
        self._every = sweep_seconds
        self._clock = clock
        self._seen: dict[tuple[str, str, Handle], float] = {}
        self._places = asyncio.Semaphore(CANCELS_AT_ONCE)
        self._histories = Histories(store)
        self.failures: dict[str, str] = {}

    async def run(self) -> None:
        """Sweep from time to time, as long as nobody cancels this. The first sweep comes after a while."""
        pause = random.uniform(0.1, 0.3)  # short-lived engines do without, and several do not look at once
        while True:
            await asyncio.sleep(self._every * pause)
            pause = random.uniform(0.75, 1.25)
            try:
                await self.sweep(dry=False)
                await self.free_leases()
            except StoreError as error:
                log.warning("jobs that nobody owns could not be looked for: %s", error)
            except Exception:
                log.exception("a sweep for jobs that nobody owns was cut short")

    # --- orphans ---

    async def sweep(
        self, backend: str | None = None, *, dry: bool = True, grace_seconds: float | None = None
    ) -> list[Orphan]:
        """Find the orphans, and unless ``dry`` end those that were left alone long enough.

        A backend that cannot be asked stands in :attr:`failures` and does not stand in the way of the others.

        Args:
            backend: look only there.
            dry: touch nothing.
            grace_seconds: in place of this reaper's.

        Raises:
            BackendUnavailableError: the one that was asked for cannot be used.
        """
        self.failures = {}
        grace = self._grace if grace_seconds is None else grace_seconds
        installation = await asyncio.to_thread(self._store.installation)
        instances = await self._instances(backend)
        listed = await asyncio.gather(*(self._owned(instance, installation) for instance in instances))
        found: dict[tuple[str, str, Handle], tuple[BackendInstance, Orphan]] = {}
        for instance, owned in zip(instances, listed, strict=True):
            for orphan in await self._orphans(instance, owned or (), grace):
                found.setdefault(_id_of(orphan), (instance, orphan))
        away = {instance.name for instance, owned in zip(instances, listed, strict=True) if owned is None}
        asked = {instance.name for instance in instances} - away
        self._seen = {key: at for key, at in self._seen.items() if key in found or key[0] not in asked}
        if dry:
            return [orphan for _, orphan in found.values()]
        due: Counter[str] = Counter()
        ending: list[Coroutine[Any, Any, Orphan]] = []
        left: list[Orphan] = []
        for instance, orphan in found.values():
            due[orphan.backend] += 1
            if due[orphan.backend] <= CANCEL_LIMIT:
                ending.append(self._ended(instance, orphan))
            else:
                left.append(orphan)
        return [*await asyncio.gather(*ending), *left]

    async def _instances(self, backend: str | None) -> list[BackendInstance]:
        """The backends to ask: those that configuration names, and those that have had a job."""
        names = [backend] if backend is not None else await self._read(table.backends)
        unusable: BackendUnavailableError | None = None
        for name in names:
            try:
                await self._services.backends.get(name, Tenant())
            except BackendUnavailableError as error:  # another tenant may have it
                unusable = error
                self.failures[name] = error.message
        known = await self._services.backends.known()
        found = [instance for instance in known if backend is None or instance.name == backend]
        for instance in found:
            self.failures.pop(instance.name, None)
        if backend is not None and not found and unusable is not None:
            raise unusable
        return found

    async def _read(self, query: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._store.database.read, query)

    async def _owned(self, instance: BackendInstance, installation: str) -> list[OwnedJob] | None:
        """The jobs that bear our stamp and have not ended; ``None`` where the vendor does not say."""
        calls, pauses = self._services.calls(instance), Pauses(self._services.patience)
        found: list[OwnedJob] = []
        cursor: str | None = None
        tries = 0
        for _ in range(PAGE_LIMIT):
            try:
                asked = instance.backend.list_owned
                page = checked_page(await calls.make("list_owned", "", asked, installation, cursor))
            except BackendError as error:
                tries += 1
                if error.error_class in PASSING and tries < 3:
                    await pauses.wait(error.retry_after or 0.0)
                    continue
                log.warning("the jobs of backend %s could not be looked through: %s", instance.name, error)
                self.failures[instance.name] = error.message
                return None
            for job in page.jobs:
                if job.owner.installation != installation:
                    log.warning("backend %s lists a job of another installation, which is left alone", instance.name)
                elif not _has_ended(job.observation):
                    found.append(job)
            if page.cursor is None or page.cursor == cursor:
                return found
            cursor = page.cursor
        self.failures[instance.name] = f"it lists more than {PAGE_LIMIT} pages"
        return None

    async def _orphans(self, instance: BackendInstance, owned: Sequence[OwnedJob], grace: float) -> list[Orphan]:
        """Those of ``owned`` that nobody owns. A job is recorded before it is submitted, so the log is asked last."""
        known = await self._known({job.key.value: job.owner.execution for job in owned})
        now = self._clock()
        found: list[Orphan] = []
        for job in owned:
            what = known[job.key.value]
            if what.is_live or (what.is_recorded and await self._is_detached(job.key.value)):
                continue
            seen = self._seen.setdefault((instance.name, job.key.value, job.handle), now)
            observed = job.observation
            found.append(
                Orphan(
                    backend=instance.name,
                    key=job.key.value,
                    execution=job.owner.execution,
                    node=job.owner.node_path,
                    project=job.owner.tenant.project,
                    domain=job.owner.tenant.domain,
                    handle=job.handle,
                    phase="" if observed is None or observed.phase is None else observed.phase.value,
                    raw_state="" if observed is None else observed.raw_state,
                    why=_why(what),
                    planned_at=what.planned_at,
                    seen_seconds=now - seen,
                    left_seconds=max(0.0, seen + grace - now),
                )
            )
        return found

    async def _known(self, jobs: dict[str, str]) -> dict[str, table.Known]:
        return await self._read(lambda connection: table.known(connection, jobs))

    async def _is_detached(self, key: str) -> bool:
        planned = await self._read(lambda connection: table.plan_event(connection, key))
        return planned is not None and planned.detached

    # --- ending them ---

    async def _ended(self, instance: BackendInstance, orphan: Orphan) -> Orphan:
        """The orphan, after it was asked to end if its time has come."""
        if orphan.left_seconds > 0:
            return orphan
        async with self._places:
            known = await self._known({orphan.key: orphan.execution})
            if known[orphan.key].is_live:  # somebody has begun it since
                return replace(orphan, detail="an execution owns it again")
            outcome, detail = await self._cancel(instance, orphan)
        level = logging.INFO if outcome == "cancelled" else logging.WARNING
        what = f"job {orphan.key} of backend {orphan.backend}, which nobody owns because {orphan.why}"
        log.log(level, "%s: %s", what, f"{outcome}, {detail}" if detail else outcome)
        return replace(orphan, outcome=outcome, detail=detail)

    async def _cancel(self, instance: BackendInstance, orphan: Orphan) -> tuple[str, str]:
        services = self._services
        calls, backend, patience = services.calls(instance), instance.backend, services.patience
        key, reason = JobKey(orphan.key), f"no execution owns it: {orphan.why}"
        pauses, pause = Pauses(patience), patience.cancel_pause
        loop = asyncio.get_running_loop()
        deadline, detail = loop.time() + CANCEL_SECONDS, ""
        while True:
            try:
                answer = checked_cancel(await calls.make("cancel", "", backend.cancel, key, orphan.handle, reason))
            except BackendError as error:
                if error.error_class not in PASSING:
                    return "refused", error.message
                detail, wait = error.message, error.retry_after or 0.0
                if loop.time() + wait >= deadline:
                    return "cancelling", detail
                await pauses.wait(wait)
                continue
            if isinstance(answer, NotOurs):
                return "not ours", f"it bears the stamp {answer.stamp}" if answer.stamp else "it bears another stamp"
            if isinstance(answer, Gone | Terminal):
                await self._clean(instance, orphan)
                return "cancelled", ""
            if loop.time() + pause >= deadline:
                return "cancelling", "it has not ended yet, and is asked again in the next sweep"
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, 10 * patience.cancel_pause)

    async def _clean(self, instance: BackendInstance, orphan: Orphan) -> None:
        calls, backend = self._services.calls(instance), instance.backend
        try:
            await calls.make("cleanup", "", backend.cleanup, JobKey(orphan.key), orphan.handle)
        except BackendError as error:
            log.warning("job %s of %s leaves something behind: %s", orphan.key, instance.name, error)

    # --- tokens ---

    async def free_leases(self) -> list[str]:
        """Free tokens of shared pools that nobody uses any more; the keys of the jobs that held them.

        They are those of jobs that have ended, and, while others wait for them, of jobs whose execution nobody drives
        and whose vendor says that they are over.
        """
        leases = await self._read(lambda connection: table.held_leases(connection, time.time()))
        freed: list[str] = []
        for lease in leases:
            if not (_is_over(lease) or await self._is_over_at_its_vendor(lease)):
                continue
            await self._services.admission.release(lease.key, lease.epoch)
            log.info("what job %s held of its pools is free: nobody uses it any more", lease.key)
            freed.append(lease.key)
        return freed

    async def _is_over_at_its_vendor(self, lease: table.HeldLease) -> bool:
        if not (lease.is_live and lease.is_firm and lease.is_wanted):
            return False
        if lease.is_held or await asyncio.to_thread(self._is_driven, lease.execution):
            return False
        try:
            state = await asyncio.to_thread(self._histories.state, lease.execution)
            job, created = state.jobs.get(lease.key), state.created
            if job is None or created is None:
                return False
            tenant = Tenant(created.project, created.domain)
            return await self._has_gone(job, await self._services.backends.get(job.backend, tenant))
        except FlytePathError as error:
            log.info("whether job %s still runs is not known: %s", lease.key, error)
            return False

    def _is_driven(self, execution: str) -> bool:
        lease = self._store.owner(execution)
        return lease is not None and lease.expires_at >= time.time() and not is_dead(lease.owner)

    async def _has_gone(self, job: Job, instance: BackendInstance) -> bool:
        calls, scope = self._services.calls(instance), job.plan.get("scope", "")
        if job.handle is not None:
            handle = handle_of(job)
            answers = await calls.make("poll", scope, instance.backend.poll, [handle])
            return _has_ended(answers.get(handle))
        if job.phase not in (Phase.SUBMITTING, Phase.AMBIGUOUS) or instance.declaration.idempotency == "C":
            return False
        if (job.submitting_at or 0.0) + instance.declaration.visibility_seconds > time.time():
            return False
        return isinstance(await calls.make("find", scope, instance.backend.find, plan_of(job)), NotFound)


def _id_of(orphan: Orphan) -> tuple[str, str, Handle]:
    return orphan.backend, orphan.key, orphan.handle


def _has_ended(observation: Observation | BackendError | None) -> bool:
    if not isinstance(observation, Observation):
        return False
    return observation.gone or (observation.phase is not None and observation.phase.is_terminal)


def _is_over(lease: table.HeldLease) -> bool:
    """Whether the log alone says that nobody uses it."""
    if lease.is_live is None:  # its execution was removed, unless the engine that took it is about to say more
        return not lease.execution_state and not lease.is_held
    return not lease.is_live or lease.execution_state != "running"


def _why(known: table.Known) -> str:
    if known.is_recorded:
        return "its execution let go of it" if known.execution_state == "running" else "its execution has ended"
    if not known.execution_state:
        return "there is no such execution"
    return f"its execution {'runs' if known.execution_state == 'running' else 'has ended'}, and has no such job"
