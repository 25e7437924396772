"""A vendor in memory, and the backend that calls it: what the engine's tests run jobs on, with mishaps on demand."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flytepath.engine.jobs.backends import BackendInstance, GivenBackends
from flytepath.engine.jobs.of_execution import Remote
from flytepath.engine.jobs.planning import Planner
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.quota.requests import Request
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.task import TaskSpec
from flytepath.model.types import INTEGER
from flytepath.plugin import (
    Backend,
    BackendDeclaration,
    BackendError,
    BlobAccess,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    ItemPhases,
    JobKey,
    LogChunk,
    NotFound,
    NotOurs,
    Observation,
    OwnedPage,
    Phase,
    Plan,
    PlanRequest,
    PollPolicy,
    PoolAsk,
    RateLimit,
    Terminal,
    Unknown,
)

QUICK = Patience(outage=2.0, pause=0.002, longest_pause=0.01, cancel_pause=0.002)


@dataclass
class VendorJob:
    """A job as the vendor knows it; ``polls`` counts down to its end."""

    id: str
    key: str
    owner: str
    digest: str
    spec: dict[str, Any]
    polls: int
    state: str = "QUEUED"
    items: dict[int, str] = field(default_factory=dict)


class MemoryVendor:
    """What happened there, and what is to go wrong: ``trouble(call, job key)`` may raise or return before or after."""

    def __init__(self) -> None:
        self.jobs: dict[str, VendorJob] = {}
        self.made: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.cleaned: Counter[str] = Counter()
        self.before: Callable[[str, str], None] = lambda call, key: None
        self.after: Callable[[str, str], None] = lambda call, key: None
        self.most_live = 0
        self.printed: list[str] = []
        #: What cancelling a job waits for, look by look, before it ends.
        self.ending: list[str] = []
        self.progress: dict[str, float] = {}
        #: How often a job that is not there may yet come to be seen, before it is said to be gone.
        self.doubts = 0

    @property
    def live(self) -> list[VendorJob]:
        return [job for job in self.jobs.values() if job.state in ("QUEUED", "RUNNING")]

    def make(self, name: str, plan: Plan) -> VendorJob:
        live = [job for job in self.live if job.key == plan.key.value]
        assert not live, f"two live jobs of {plan.key.value}"
        self.made[plan.key.value] += 1
        job = VendorJob(
            f"j{len(self.jobs)}", plan.key.value, str(plan.owner), plan.digest, plan.spec, plan.spec.get("polls", 2)
        )
        job.items = dict.fromkeys(plan.items, "RUNNING")
        self.jobs[name] = job
        self.most_live = max(self.most_live, len(self.live))
        return job

    def step(self, job: VendorJob) -> None:
        if job.state not in ("QUEUED", "RUNNING"):
            return
        job.state = "RUNNING"
        job.polls -= 1
        outcomes = job.spec.get("outcomes", {})
        attempts = job.spec.get("attempts", {})
        if job.polls <= 0:
            job.state = job.spec.get("outcome", "DONE")
            for index in job.items:
                mine = outcomes.get(str(index), "DONE")
                job.items[index] = mine if attempts.get(str(index), 0) < 2 else "DONE"


class MemoryBackend(Backend):
    """Calls a :class:`MemoryVendor`."""

    def __init__(self, vendor: MemoryVendor) -> None:
        super().__init__(None)
        self.vendor = vendor

    def plan(self, request: PlanRequest) -> Plan:
        given = {name: literal.data for name, literal in request.inputs.items()}
        spec: dict[str, Any] = {**(request.payload or {}), "given": given}
        if request.items:
            spec["items"] = {
                str(index): {name: literal.data for name, literal in inputs.items()}
                for index, inputs in zip(request.items, request.item_inputs, strict=True)
            }
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
        pools = tuple(PoolAsk(pool) for pool in spec.get("pools", ()))
        name = request.key.name(request.task, 63)
        return Plan(request.key, request.owner, name, spec, digest, items=request.items, pools=pools)

    async def _about(self, call: str, key: str) -> None:
        self.vendor.calls[call] += 1
        await asyncio.sleep(0)
        self.vendor.before(call, key)

    def _job(self, handle: Handle) -> VendorJob | None:
        return self.vendor.jobs.get(str(handle.data["name"]))

    async def submit(self, plan: Plan) -> Handle:
        await self._about("submit", plan.key.value)
        known = self.vendor.jobs.get(plan.external_name)
        if known is not None and known.key != plan.key.value:
            raise BackendError("the name is taken", error_class=ErrorClass.CONFLICT, accepted=False)
        if known is None:
            self.vendor.make(plan.external_name, plan)
        self.vendor.after("submit", plan.key.value)
        return Handle({"name": plan.external_name})

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        await self._about("find", plan.key.value)
        job = self.vendor.jobs.get(plan.external_name)
        if job is None:
            return NotFound()
        if (job.key, job.digest) != (plan.key.value, plan.digest):
            raise BackendError("it is somebody else's", error_class=ErrorClass.CONFLICT)
        return Found(Handle({"name": plan.external_name}))

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        await self._about("poll", "")
        return {handle: self._seen(handle) for handle in handles}

    def _seen(self, handle: Handle) -> Observation | BackendError:
        job = self._job(handle)
        if job is None:
            self.vendor.doubts -= 1
            return Observation(None, "", "it is not there", gone=self.vendor.doubts < 0)
        try:
            self.vendor.before("look", job.key)
        except BackendError as error:
            return error
        self.vendor.step(job)
        phase = _PHASES.get(job.state)
        items = None
        if job.items:
            by_phase: dict[Phase, tuple[int, ...]] = {}
            for index, state in job.items.items():
                which = _PHASES[state] or Phase.RUNNING
                by_phase[which] = (*by_phase.get(which, ()), index)
            classes = {index: _CLASSES[state] for index, state in job.items.items() if state in _CLASSES}
            items = ItemPhases(by_phase, error_classes=classes)
        progress = self.vendor.progress.get(job.key)
        return Observation(phase, job.state, error_class=_CLASSES.get(job.state), items=items, progress=progress)

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        await self._about("cancel", key.value)
        jobs = [job for job in self.vendor.jobs.values() if job.key == key.value]
        if not jobs:
            return Gone()
        if jobs[0].state in ("QUEUED", "RUNNING"):
            if self.vendor.ending:
                return InProgress(self.vendor.ending.pop(0))
            jobs[0].state = "STOPPED"
            return InProgress()
        return Terminal(Observation(_PHASES[jobs[0].state], jobs[0].state))

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        await self._about("collect", "")
        job = self._job(handle)
        assert job is not None and job.state == "DONE"
        return {"o0": _doubled(job.spec["given"])}

    async def collect_items(
        self, handle: Handle, items: Sequence[int], sink: BlobAccess
    ) -> Mapping[int, Mapping[str, Literal] | BackendError]:
        await self._about("collect", "")
        job = self._job(handle)
        assert job is not None
        return {index: {"o0": _doubled(job.spec["items"][str(index)])} for index in items}

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        await self._about("cleanup", key.value)
        self.vendor.cleaned[key.value] += 1

    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        await self._about("logs", "")
        number = int(cursor or 0)
        if number >= len(self.vendor.printed):
            return LogChunk("", cursor, complete=True)
        return LogChunk(self.vendor.printed[number], str(number + 1))

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        return OwnedPage(())


_PHASES: Mapping[str, Phase | None] = {
    "QUEUED": Phase.QUEUED,
    "RUNNING": Phase.RUNNING,
    "DONE": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "EVICTED": Phase.FAILED,
    "STOPPED": Phase.CANCELLED,
    "ODD": None,
}
_CLASSES: Mapping[str, ErrorClass] = {"FAILED": ErrorClass.USER, "EVICTED": ErrorClass.PREEMPTED}


def _doubled(given: Mapping[str, int]) -> Literal:
    return Literal.make(INTEGER, 2 * sum(given.values()))


class OpenPools:
    """Pools of which everybody may have what they ask for, within ``limit`` jobs; keeps count."""

    def __init__(self, limit: int = 10**6) -> None:
        self.limit = limit
        self.held: set[str] = set()
        self.firm_keys: set[str] = set()
        self._free = asyncio.Condition()

    async def granted(self, claim: Request) -> None:
        if not claim.asks:
            return
        async with self._free:
            await self._free.wait_for(lambda: claim.key in self.held or len(self.held) < self.limit)
            self.held.add(claim.key)

    async def firm(self, key: str) -> None:
        self.firm_keys.add(key)

    async def release(self, key: str, epoch: int) -> None:
        async with self._free:
            self.held.discard(key)
            self._free.notify_all()

    async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
        """Always."""

    async def hold_back(self, bucket: str, seconds: float) -> None:
        """Nobody is held back."""

    async def close(self) -> None:
        """Nothing to close."""


class PlannedPools:
    """Jobs ask for what their plans and their tasks say."""

    def asks_for(self, task: TaskSpec, tenant: Tenant, planned: Iterable[PoolAsk] = ()) -> tuple[PoolAsk, ...]:
        return (*planned, *(PoolAsk(pool, tokens) for pool, tokens in task.pools.items()))


async def _never() -> None:
    """Nobody looks for orphans."""


def remote_on(
    vendor: MemoryVendor,
    *,
    pools: OpenPools | None = None,
    patience: Patience = QUICK,
    backends: Any = None,
    settings: str = "",
    **facts: Any,
) -> Remote:
    """What a scheduler needs to run jobs at ``vendor``."""
    declaration = BackendDeclaration(
        name="vendor",
        backend="memory:Backend",
        **{"idempotency": "B", "poll": PollPolicy(first=0.002, longest=0.02), "call_seconds": 2.0, **facts},
    )
    backend = MemoryBackend(vendor)
    instance = BackendInstance("vendor", declaration, backend, "memory (memory)", settings, backend.plan)
    source = backends(instance) if backends is not None else GivenBackends(instance)
    services = JobServices(source, pools or OpenPools(), patience)
    return Remote(services, Planner(source, PlannedPools(), lambda: "here"), PlannedPools(), _never)
