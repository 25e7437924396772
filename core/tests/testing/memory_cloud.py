"""A cloud in memory and a backend for it that keeps every rule; what the kit's checks are tried on, and broken."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flytepath.model.identity import Tenant
from flytepath.model.types import INTEGER
from flytepath.plugin import (
    Backend,
    BackendDeclaration,
    BackendError,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    ItemPhases,
    JobKey,
    Literal,
    LogChunk,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    OwnedPage,
    Owner,
    Phase,
    Plan,
    SecretReference,
    Terminal,
)
from flytepath.testing.backend_conformance import BackendConformance, BackendVendor, Course

CANARY = b"canary-8f1c/+secret"
TOKEN = SecretReference("cloud", "token")
PAGE = 5


class CloudError(Exception):
    """What the cloud's client raises."""

    def __init__(self, status: int, text: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {text}")
        self.status, self.retry_after = status, retry_after


@dataclass
class Job:
    id: str
    name: str
    tags: dict[str, str]
    spec: dict[str, Any]
    state: str = "PENDING"
    visible_at: float = 0.0
    gone_at: float | None = None
    poisoned: bool = False
    looks: int = 0


@dataclass
class Cloud:
    """The service: jobs by id, and the faults that are switched on."""

    jobs: dict[str, Job] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    fail_polls: int = 0
    fail_results: int = 0
    cut_off: bool = False
    refuse: bool = False
    throttle: float = 0.0
    rejecting: bool = False
    hidden: float = 0.0
    linger: float = 0.0

    def enter(self, token: bytes = CANARY) -> None:
        if self.throttle:
            seconds, self.throttle = self.throttle, 0.0
            raise CloudError(429, "SlowDown", seconds)
        if self.rejecting or token != CANARY:
            raise CloudError(401, "BadToken")

    def submit(self, name: str, tags: dict[str, str], spec: dict[str, Any], token: bytes) -> str:
        self.enter(token)
        if self.refuse:
            self.refuse = False
            raise CloudError(400, "BadSpec")
        if any(job.name == name and self.alive(job) for job in self.jobs.values()):
            raise CloudError(409, "NameTaken")
        job = Job(str(len(self.made) + len(self.jobs) + 1000), name, tags, json.loads(json.dumps(spec)))
        job.visible_at = time.monotonic() + self.hidden
        self.jobs[job.id] = job
        self.made[tags.get("key", "")] = self.made.get(tags.get("key", ""), 0) + 1
        if self.cut_off:
            self.cut_off = False
            raise CloudError(0, "connection reset")
        return job.id

    def look(self, ids: list[str]) -> dict[str, Job]:
        self.enter()
        if self.fail_polls:
            self.fail_polls -= 1
            raise CloudError(503, "OutOfOrder")
        if any(self.jobs[i].poisoned for i in ids if i in self.jobs):
            raise CloudError(500, "DamagedRecord")
        found = {i: self.jobs[i] for i in ids if i in self.jobs}
        for job in found.values():
            self.step(job)
        return found

    def step(self, job: Job) -> None:
        if job.gone_at is not None and job.state == "CANCELLING" and time.monotonic() >= job.gone_at:
            job.state = "CANCELED"
        job.looks += 1
        if job.state == "PENDING" and job.looks > 1:
            job.state = "ACTIVE"
        elif job.state == "ACTIVE" and job.spec["course"] != "runs":
            job.state = "FINISHED" if job.spec["course"] == "ends" else "ERRORED"

    def search(self, tag: str, value: str) -> list[Job]:
        self.enter()
        now = time.monotonic()
        return [job for job in self.jobs.values() if job.tags.get(tag) == value and job.visible_at <= now]

    def cancel(self, id: str) -> str:
        self.enter()
        job = self.jobs.get(id)
        if job is None:
            raise CloudError(404, "NoSuchJob")
        if job.state in ("FINISHED", "ERRORED", "CANCELED", "EVICTED"):
            raise CloudError(400, "HasEnded")
        if job.state != "CANCELLING":
            job.state, job.gone_at = "CANCELLING", time.monotonic() + self.linger
        self.step(job)
        return job.state

    def result(self, id: str) -> int:
        self.enter()
        if self.fail_results:
            self.fail_results -= 1
            raise CloudError(503, "NotYet")
        return len(self.jobs[id].spec["course"])

    def alive(self, job: Job) -> bool:
        if job.gone_at is not None and time.monotonic() >= job.gone_at:
            return False
        return job.state not in ("FINISHED", "ERRORED", "CANCELED", "EVICTED")

    def log(self, id: str) -> str:
        return "".join(f"line {number} of {id}\n" for number in range(7))


class MemoryBackend(Backend):
    """The example that is right. Every step has a method of its own, so that a mutant breaks one of them."""

    phases = {
        "PENDING": Phase.QUEUED,
        "ACTIVE": Phase.RUNNING,
        "FINISHED": Phase.SUCCEEDED,
        "ERRORED": Phase.FAILED,
        "EVICTED": Phase.FAILED,
        "CANCELED": Phase.CANCELLED,
        "CANCELLING": Phase.RUNNING,
    }
    classes = {"ERRORED": ErrorClass.USER, "EVICTED": ErrorClass.PREEMPTED}
    passing = {0: ErrorClass.TRANSIENT, 500: ErrorClass.UNAVAILABLE, 503: ErrorClass.UNAVAILABLE}
    refusals = {400: ErrorClass.INVALID, 401: ErrorClass.AUTH, 404: ErrorClass.LOST, 409: ErrorClass.CONFLICT}

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(None)
        self.cloud = cloud

    # --- small steps ---

    def error(self, error: CloudError) -> BackendError:
        if error.status == 429:
            return self.throttled(error)
        kind = self.passing.get(error.status) or self.refusals[error.status]
        return BackendError(str(error), error_class=kind, accepted=None if error.status in self.passing else False)

    def throttled(self, error: CloudError) -> BackendError:
        return BackendError(str(error), error_class=ErrorClass.THROTTLED, retry_after=error.retry_after, accepted=False)

    @contextmanager
    def calling(self) -> Iterator[None]:
        try:
            yield
        except CloudError as error:
            raise self.error(error) from error

    def handle(self, id: str) -> Handle:
        return Handle({"id": id})

    def id_of(self, handle: Handle) -> str:
        if handle.version != 1 or "id" not in handle.data:
            raise BackendError("not a handle of this backend", error_class=ErrorClass.PROTOCOL)
        return str(handle.data["id"])

    def name(self, request: Any) -> str:
        tail = hashlib.sha256(request.key.value.encode()).hexdigest()[:24]
        return f"fp-{tail}"

    def spec(self, request: Any) -> Any:
        return {"course": request.payload["course"], "items": list(request.items), "more": request.payload.get("more")}

    def digest(self, spec: Any) -> str:
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()

    def tags(self, plan: Plan) -> dict[str, str]:
        owner = plan.owner
        return {
            "key": plan.key.value,
            "digest": plan.digest,
            "installation": owner.installation,
            "owner": json.dumps([owner.tenant.project, owner.tenant.domain, owner.execution, owner.node_path]),
        }

    def ours(self, plan: Plan) -> Job | None:
        """The job of the plan's key; a conflict where another's stamp is on it."""
        with self.calling():
            found = self.cloud.search("key", plan.key.value)
        for job in found:
            self.check_stamp(job, plan)
            return job
        return None

    def check_stamp(self, job: Job, plan: Plan) -> None:
        if job.tags != self.tags(plan):
            raise BackendError("the key belongs to another job", error_class=ErrorClass.CONFLICT, accepted=False)

    def observation(self, job: Job) -> Observation:
        phase = self.phases.get(job.state)
        return Observation(
            phase, job.state, f"the job is {job.state}", self.classes.get(job.state), items=self.items(job)
        )

    def items(self, job: Job) -> ItemPhases | None:
        wanted = job.spec["items"]
        if not wanted:
            return None
        failing = [item for item in wanted if item in (job.spec["more"] or ())]
        if job.state not in ("FINISHED", "ERRORED"):
            return ItemPhases({Phase.RUNNING: tuple(wanted)})
        good = tuple(item for item in wanted if item not in failing)
        return ItemPhases({Phase.SUCCEEDED: good, Phase.FAILED: tuple(failing)}, dict.fromkeys(failing, "it failed"))

    def gone(self) -> Observation:
        return Observation(None, "404 NoSuchJob", gone=True)

    # --- the contract ---

    def plan(self, request: Any) -> Plan:
        spec = self.spec(request)
        return Plan(
            key=request.key,
            owner=request.owner,
            external_name=self.name(request),
            spec=spec,
            digest=self.digest(spec),
            items=request.items,
            secrets=(TOKEN,),
        )

    async def submit(self, plan: Plan) -> Handle:
        known = self.ours(plan)
        if known is not None:
            return self.handle(known.id)
        token = await self.secret(TOKEN, plan.owner.tenant)
        with self.calling():
            return self.handle(self.cloud.submit(plan.external_name, self.tags(plan), plan.spec, token))

    async def find(self, plan: Plan) -> Any:
        known = self.ours(plan)
        return NotFound() if known is None else Found(self.handle(known.id))

    async def poll(self, handles: Any) -> Any:
        answers: dict[Handle, Any] = {}
        ids: dict[str, Handle] = {}
        for handle in handles:
            try:
                ids[self.id_of(handle)] = handle
            except BackendError as error:
                answers[handle] = error
        await asyncio.sleep(0)
        for id, answer in self.looked_at(list(ids)).items():
            answers[ids[id]] = answer
        return answers

    def looked_at(self, ids: list[str]) -> dict[str, Any]:
        try:
            jobs = self.cloud.look(ids)
        except CloudError as error:
            if len(ids) > 1 and error.status == 500:
                return {id: answer for one in ids for id, answer in self.looked_at([one]).items()}
            return dict.fromkeys(ids, self.error(error))
        return {id: self.observation(jobs[id]) if id in jobs else self.gone() for id in ids}

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Any:
        if handle is None:
            return self.cancel_by_key(key)
        return self.cancel_by_id(self.id_of(handle))

    def cancel_by_key(self, key: JobKey) -> Any:
        with self.calling():
            found = self.cloud.search("key", key.value)
        if not found:
            named = [job for job in self.cloud.jobs.values() if job.name.endswith(key.value[-8:])]
            return NotOurs("no stamp") if named else Gone()
        return self.cancel_by_id(found[0].id)

    def cancel_by_id(self, id: str) -> Any:
        try:
            state = self.cloud.cancel(id)
        except CloudError as error:
            if error.status == 404:
                return Gone()
            if error.status == 400:
                return Terminal(self.observation(self.cloud.jobs[id]))
            raise self.error(error) from error
        return Terminal(self.observation(self.cloud.jobs[id])) if state == "CANCELED" else InProgress(state)

    async def collect(self, handle: Handle, sink: Any) -> Any:
        with self.calling():
            return {"o0": Literal.make(INTEGER, self.cloud.result(self.id_of(handle)))}

    async def collect_items(self, handle: Handle, items: Any, sink: Any) -> Any:
        return {item: {"o0": Literal.make(INTEGER, item)} for item in items}

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        with self.calling():
            found = self.cloud.search("installation", scope)
        start = int(cursor or 0)
        jobs = tuple(self.owned(job) for job in found[start : start + PAGE])
        return OwnedPage(jobs, str(start + PAGE) if start + PAGE < len(found) else None)

    def owned(self, job: Job) -> OwnedJob:
        project, domain, execution, path = json.loads(job.tags["owner"])
        owner = Owner(job.tags["installation"], Tenant(project, domain), execution, path)
        self.cloud.step(job)
        return OwnedJob(self.handle(job.id), JobKey(job.tags["key"]), owner, job.tags["digest"], self.observation(job))

    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        text, start = self.cloud.log(self.id_of(handle)), int(cursor or 0)
        return LogChunk(text[start : start + 20], str(start + 20), complete=start + 20 >= len(text))


class MemoryVendor(BackendVendor):
    """The kit's adapter: all that the cloud can be told to do."""

    backend_class: type[MemoryBackend] = MemoryBackend

    def __init__(self) -> None:
        self.cloud = Cloud()

    def backend(self) -> Backend:
        return self.backend_class(self.cloud)

    def payload(self, course: Course) -> Any:
        return {"course": course.value}

    def array_payload(self, items: tuple[int, ...], failing: tuple[int, ...]) -> Any:
        return {"course": "ends", "more": list(failing)}

    def count(self, key: JobKey) -> int:
        return self.cloud.made.get(key.value, 0)

    def live(self, key: JobKey) -> int:
        return sum(self.cloud.alive(job) for job in self.cloud.jobs.values() if job.tags.get("key") == key.value)

    def secret(self, reference: SecretReference) -> bytes:
        assert reference == TOKEN
        return CANARY

    def _job(self, handle: Handle) -> Job:
        return self.cloud.jobs[handle.data["id"]]

    def finish(self, handle: Handle) -> None:
        self._job(handle).state = "FINISHED"

    def vanish(self, handle: Handle) -> None:
        del self.cloud.jobs[handle.data["id"]]

    def preempt(self, handle: Handle) -> None:
        self._job(handle).state = "EVICTED"

    def unknown_state(self, handle: Handle) -> str:
        self._job(handle).state = "DEFROSTING"
        return "DEFROSTING"

    def poison(self, handle: Handle) -> None:
        self._job(handle).poisoned = True

    def logged(self, handle: Handle) -> str:
        return self.cloud.log(handle.data["id"])

    def cut_off_after_accept(self) -> None:
        self.cloud.cut_off = True

    def refuse_submit(self) -> None:
        self.cloud.refuse = True

    def fail_polls(self, times: int) -> None:
        self.cloud.fail_polls = times

    def fail_collects(self, times: int) -> None:
        self.cloud.fail_results = times

    def throttle(self, seconds: float) -> None:
        self.cloud.throttle = seconds

    def reject_credentials(self, rejected: bool) -> None:
        self.cloud.rejecting = rejected

    def hide_new_jobs(self, seconds: float) -> None:
        self.cloud.hidden = seconds

    def linger(self, seconds: float) -> None:
        self.cloud.linger = seconds

    def make_foreign(self, name: str) -> str:
        job = Job(f"foreign-{name}", name, {}, {"course": "runs", "items": [], "more": None}, "ACTIVE")
        self.cloud.jobs[job.id] = job
        return job.id

    def is_untouched(self, foreign: str) -> bool:
        job = self.cloud.jobs.get(foreign)
        return job is not None and job.state == "ACTIVE" and not job.tags


class MemoryConformance(BackendConformance):
    """The kit over the memory cloud; a mutant is set by ``backend_class``."""

    declaration = BackendDeclaration(
        name="memory",
        backend="memory_cloud:MemoryBackend",
        idempotency="B",
        array_limit=100,
        visibility_seconds=0.1,
        call_seconds=10.0,
    )
    patience_seconds = 10.0
    backend_class: type[MemoryBackend] = MemoryBackend
    vendor_class: type[MemoryVendor] = MemoryVendor

    @contextmanager
    def vendor(self) -> Iterator[BackendVendor]:
        vendor = self.vendor_class()
        vendor.backend_class = self.backend_class
        yield vendor
