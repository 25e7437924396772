"""The reaper: what it takes for an orphan, what it leaves alone, and which tokens it frees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flytepath.engine.jobs.backends import BackendInstance, BackendUnavailableError, GivenBackends
from flytepath.engine.jobs.reaper import Orphan, Reaper
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.ownership import this_engine
from flytepath.engine.quota.admission import Admission, Request
from flytepath.engine.quota.pools import PoolRules
from flytepath.model.events import (
    Actor,
    Event,
    ExecutionAborted,
    ExecutionCreated,
    JobAmbiguous,
    JobEnded,
    JobObserved,
    JobPlanned,
    JobSubmitted,
    JobSubmitting,
)
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal, canonical_json, sha256
from flytepath.model.task import Interface
from flytepath.model.workflow import WorkflowSpec
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
    JobKey,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    OwnedPage,
    Owner,
    Phase,
    Plan,
    PlanRequest,
    PoolAsk,
    Terminal,
    Unknown,
)
from flytepath.store.events import Store, open_store

TENANT = Tenant("shop", "development")
QUICK = Patience(outage=1.0, pause=0.002, longest_pause=0.01, cancel_pause=0.002)


@dataclass
class Vendor:
    """Jobs by key: what the vendor shows of each, and what was asked of it."""

    jobs: dict[str, OwnedJob] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    def add(self, key: str, execution: str, installation: str, phase: Phase | None = Phase.RUNNING) -> None:
        seen = None if phase is None else Observation(phase, phase.value.upper())
        owner = Owner(installation, TENANT, execution, "n0")
        self.jobs[key] = OwnedJob(Handle({"id": key}), JobKey(key), owner, "sha256:0", seen)


class VendorBackend(Backend):
    """Shows one job a page."""

    def __init__(self, vendor: Vendor) -> None:
        super().__init__(None)
        self.vendor = vendor

    def plan(self, request: PlanRequest) -> Plan:
        raise NotImplementedError

    async def submit(self, plan: Plan) -> Handle:
        raise NotImplementedError

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        job = self.vendor.jobs.get(plan.key.value)
        return NotFound() if job is None else Found(job.handle)

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        jobs = {job.handle: job for job in self.vendor.jobs.values()}
        gone = Observation(None, "", gone=True)
        return {handle: (jobs[handle].observation if handle in jobs else gone) or gone for handle in handles}

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        self.vendor.cancelled.append(key.value)
        if self.vendor.answers:
            answer = self.vendor.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[no-any-return]
        self.vendor.jobs.pop(key.value, None)
        return Gone()

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        raise NotImplementedError

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        self.vendor.cleaned.append(key.value)

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        self.vendor.asked.append(scope)
        if self.vendor.trouble:
            raise self.vendor.trouble.pop(0)
        keys = list(self.vendor.jobs)
        number = int(cursor or 0)
        if not keys:
            return OwnedPage(())
        following = str(number + 1) if number + 1 < len(keys) else None
        return OwnedPage((self.vendor.jobs[keys[number]],), following)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "home", url=None) as opened:
        yield opened


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def instance_of(vendor: Vendor, name: str = "vendor", **facts: Any) -> BackendInstance:
    declaration = BackendDeclaration(name=name, backend="test:Backend", **{"idempotency": "B", **facts})
    backend = VendorBackend(vendor)
    return BackendInstance(name, declaration, backend, "test (test)", "", backend.plan)


def swept(
    store: Store,
    *instances: BackendInstance,
    use: Callable[[Reaper], Coroutine[Any, Any, Any]] | None = None,
    clock: Callable[[], float] = time.monotonic,
    rules: PoolRules | None = None,
    **facts: Any,
) -> Any:
    """What ``use``, by default a sweep, gives."""

    async def run() -> Any:
        admission = Admission(store, this_engine(), rules or PoolRules.of_values({}))
        services = JobServices(GivenBackends(*instances), admission, QUICK)
        try:
            reaper = Reaper(store, services, clock=clock)
            return await (use(reaper) if use is not None else reaper.sweep(**facts))
        finally:
            await services.close()

    return asyncio.run(run())


SPEC = WorkflowSpec(name="w", interface=Interface(), nodes=(), outputs={}, tasks={})


def begin(store: Store, execution: str, *payloads: Any) -> None:
    data = SPEC.model_dump(mode="json", exclude_defaults=True)
    digest = sha256(canonical_json(data))
    store.put_spec(digest, data)
    created = ExecutionCreated(
        project="shop", domain="development", workflow="w", workflow_version="v1", spec=digest, bundle=""
    )
    events = [
        Event(execution=execution, seq=seq, at=float(seq), actor=Actor(kind="user", name="ada"), payload=payload)
        for seq, payload in enumerate([created, *payloads], 1)
    ]
    store.create(execution, events)


def planned(key: str, execution: str = "x", **facts: Any) -> JobPlanned:
    plan = {
        "name": key,
        "digest": "sha256:0",
        "scope": "",
        "items": [],
        "secrets": [],
        "spec": {},
        "owner": ["home", "shop", "development", execution, "n0"],
    }
    return JobPlanned(
        **{"key": key, "node": "n0", "attempt": 1, "backend": "vendor", "settings": "", "plan": plan, **facts}
    )


def by_key(found: Sequence[Orphan]) -> dict[str, tuple[str, str]]:
    return {orphan.key: (orphan.outcome, orphan.why) for orphan in found}


def test_only_what_no_execution_owns_is_found(store: Store, vendor: Vendor) -> None:
    ours = store.installation()
    ended = JobEnded(key="done", phase="cancelled")
    begin(store, "x", planned("live"), planned("done"), ended, planned("free", detached=True))
    begin(store, "y", planned("left", "y"), ExecutionAborted(reason=""))
    for key, execution in {"live": "x", "done": "x", "left": "y", "unheard": "x", "nowhere": "z"}.items():
        vendor.add(key, execution, ours)
    vendor.add("over", "z", ours, Phase.SUCCEEDED)
    vendor.add("unsaid", "z", ours, None)
    found = swept(store, instance_of(vendor))
    assert by_key(found) == {
        "done": ("", "its execution let go of it"),
        "left": ("", "its execution has ended"),
        "unheard": ("", "its execution runs, and has no such job"),
        "nowhere": ("", "there is no such execution"),
        "unsaid": ("", "there is no such execution"),
    }
    assert vendor.cancelled == []
    assert vendor.asked[0] == ours


def test_a_detached_job_is_left_alone(store: Store, vendor: Vendor) -> None:
    ended = JobEnded(key="free", phase="cancelled", reason="aborted, left to itself at the vendor")
    begin(store, "x", planned("free", detached=True), ended, ExecutionAborted(reason=""))
    vendor.add("free", "x", store.installation())
    assert swept(store, instance_of(vendor), dry=False, grace_seconds=0.0) == []
    assert vendor.cancelled == []


def test_what_bears_another_stamp_is_never_touched(store: Store, vendor: Vendor) -> None:
    vendor.add("theirs", "x", "another installation")
    assert swept(store, instance_of(vendor), dry=False, grace_seconds=0.0) == []
    vendor.add("ours", "x", store.installation())
    vendor.answers = [NotOurs("somebody")]
    (found,) = swept(store, instance_of(vendor), dry=False, grace_seconds=0.0)
    assert (found.outcome, found.detail) == ("not ours", "it bears the stamp somebody")
    assert vendor.cleaned == []


def test_an_orphan_is_left_alone_until_its_grace_is_over(store: Store, vendor: Vendor) -> None:
    clock = Clock()
    vendor.add("k", "z", store.installation())

    async def use(reaper: Reaper) -> list[list[Orphan]]:
        first = await reaper.sweep(dry=False)
        clock.now += 599
        second = await reaper.sweep(dry=False)
        clock.now += 1
        return [first, second, await reaper.sweep(dry=False), await reaper.sweep(dry=False)]

    first, second, third, fourth = swept(store, instance_of(vendor), use=use, clock=clock)
    assert [(each.outcome, each.left_seconds) for each in first] == [("", 600.0)]
    assert [(each.outcome, each.left_seconds, each.seen_seconds) for each in second] == [("", 1.0, 599.0)]
    assert [each.outcome for each in third] == ["cancelled"]
    assert fourth == []
    assert vendor.cancelled == ["k"] and vendor.cleaned == ["k"]


def test_what_was_gone_for_a_sweep_is_seen_for_the_first_time_again(store: Store, vendor: Vendor) -> None:
    clock = Clock()
    vendor.add("k", "z", store.installation())

    async def use(reaper: Reaper) -> list[Orphan]:
        await reaper.sweep(dry=False)
        job = vendor.jobs.pop("k")
        clock.now += 500
        await reaper.sweep(dry=False)
        vendor.jobs["k"] = job
        clock.now += 500
        return await reaper.sweep(dry=False)

    (found,) = swept(store, instance_of(vendor), use=use, clock=clock)
    assert (found.outcome, found.left_seconds) == ("", 600.0)


def test_it_is_asked_until_it_is_gone(store: Store, vendor: Vendor) -> None:
    vendor.add("k", "z", store.installation())
    passing = BackendError("a bad moment", error_class=ErrorClass.UNAVAILABLE)
    ended = Terminal(Observation(Phase.CANCELLED, "STOPPED"))
    vendor.answers = [InProgress(), passing, InProgress(), ended]
    (found,) = swept(store, instance_of(vendor), dry=False, grace_seconds=0.0)
    assert found.outcome == "cancelled"
    assert vendor.cancelled == ["k"] * 4


def test_what_does_not_end_is_left_to_the_next_sweep(
    store: Store, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flytepath.engine.jobs.reaper.CANCEL_SECONDS", 0.01)
    vendor.add("k", "z", store.installation())
    vendor.answers = [InProgress()] * 1000
    (found,) = swept(store, instance_of(vendor), dry=False, grace_seconds=0.0)
    assert found.outcome == "cancelling"


@pytest.mark.parametrize("error_class", [ErrorClass.AUTH, ErrorClass.PROTOCOL, ErrorClass.CONFLICT])
def test_what_a_vendor_refuses_is_told_and_not_asked_again(
    store: Store, vendor: Vendor, error_class: ErrorClass
) -> None:
    vendor.add("k", "z", store.installation())
    vendor.answers = [BackendError("no", error_class=error_class)]
    (found,) = swept(store, instance_of(vendor), dry=False, grace_seconds=0.0)
    assert (found.outcome, found.detail) == ("refused", "no")
    assert vendor.cancelled == ["k"]


@pytest.mark.parametrize("error", [BackendError("no", error_class=ErrorClass.AUTH), RuntimeError("a mistake")])
def test_a_backend_that_is_away_does_not_stand_in_the_way_of_others(
    store: Store, vendor: Vendor, error: Exception
) -> None:
    away = Vendor(trouble=[error])
    vendor.add("k", "z", store.installation())

    async def use(reaper: Reaper) -> tuple[list[Orphan], dict[str, str]]:
        return await reaper.sweep(dry=False, grace_seconds=0.0), reaper.failures

    found, failures = swept(store, instance_of(away, "away"), instance_of(vendor), use=use)
    assert [each.outcome for each in found] == ["cancelled"]
    assert list(failures) == ["away"]


@pytest.mark.parametrize("page", [None, [], {"jobs": []}, OwnedPage(("k",))], ids=str)  # type: ignore[arg-type]
def test_a_list_that_cannot_be_read_does_not_stand_in_the_way_of_others(
    store: Store, vendor: Vendor, page: Any
) -> None:
    vendor.add("k", "z", store.installation())
    odd = instance_of(Vendor(), "odd")

    async def listed(scope: str, cursor: str | None = None) -> Any:
        return page

    odd.backend.list_owned = listed  # type: ignore[method-assign]

    async def use(reaper: Reaper) -> tuple[list[Orphan], dict[str, str]]:
        return await reaper.sweep(dry=False, grace_seconds=0.0), reaper.failures

    found, failures = swept(store, odd, instance_of(vendor), use=use)
    assert [each.outcome for each in found] == ["cancelled"]
    assert list(failures) == ["odd"] and "list_owned" in failures["odd"]


def test_a_passing_trouble_of_a_list_is_borne_with(store: Store, vendor: Vendor) -> None:
    vendor.add("k", "z", store.installation())
    vendor.trouble = [BackendError("a bad moment", error_class=ErrorClass.TRANSIENT)] * 2
    assert len(swept(store, instance_of(vendor))) == 1


def test_a_job_that_comes_to_be_owned_meanwhile_is_left_alone(store: Store, vendor: Vendor) -> None:
    vendor.add("k", "x", store.installation())
    begin(store, "x")

    async def use(reaper: Reaper) -> list[Orphan]:
        await reaper.sweep(dry=False)
        event = Event(execution="x", seq=2, at=2.0, actor=Actor(kind="user", name="a"), payload=planned("k"))
        store.append("x", 1, 0, [event])
        return await reaper.sweep(dry=False, grace_seconds=0.0)

    assert swept(store, instance_of(vendor), use=use) == []
    assert vendor.cancelled == []


def test_before_a_job_is_ended_the_log_is_asked_again(
    store: Store, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.add("k", "x", store.installation())
    begin(store, "x")

    async def use(reaper: Reaper) -> list[Orphan]:
        real = reaper._orphans

        async def orphans(*arguments: Any) -> list[Orphan]:
            found = await real(*arguments)
            event = Event(execution="x", seq=2, at=2.0, actor=Actor(kind="user", name="a"), payload=planned("k"))
            store.append("x", 1, 0, [event])
            return found

        monkeypatch.setattr(reaper, "_orphans", orphans)
        return await reaper.sweep(dry=False, grace_seconds=0.0)

    (found,) = swept(store, instance_of(vendor), use=use)
    assert (found.outcome, found.detail) == ("", "an execution owns it again")
    assert vendor.cancelled == []


def test_two_settings_that_show_one_job_end_it_once(store: Store, vendor: Vendor) -> None:
    vendor.add("k", "z", store.installation())
    one, two = instance_of(vendor), instance_of(vendor)

    class Both(GivenBackends):
        async def known(self) -> list[BackendInstance]:
            return [one, two]

    async def run() -> list[Orphan]:
        services = JobServices(Both(one), Admission(store, this_engine(), PoolRules.of_values({})), QUICK)
        try:
            return await Reaper(store, services).sweep(dry=False, grace_seconds=0.0)
        finally:
            await services.close()

    assert len(asyncio.run(run())) == 1
    assert vendor.cancelled == ["k"]


def test_a_backend_that_is_not_there_is_an_error_where_it_was_asked_for(store: Store) -> None:
    with pytest.raises(BackendUnavailableError):
        swept(store, backend="nobody")


def test_a_backend_that_has_had_jobs_and_cannot_be_used_is_named(store: Store) -> None:
    begin(store, "x", planned("k"))

    async def use(reaper: Reaper) -> dict[str, str]:
        await reaper.sweep()
        return reaper.failures

    assert list(swept(store, use=use)) == ["vendor"]


def test_one_sweep_ends_so_many_and_no_more(store: Store, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flytepath.engine.jobs.reaper.CANCEL_LIMIT", 3)
    for number in range(5):
        vendor.add(f"k{number}", "z", store.installation())
    found = swept(store, instance_of(vendor), dry=False, grace_seconds=0.0)
    assert sorted(each.outcome for each in found) == ["", "", *["cancelled"] * 3]


def test_it_sweeps_from_time_to_time_also_after_a_fault(
    store: Store, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.add("k", "z", store.installation())

    async def use(reaper: Reaper) -> None:
        real, times = reaper.sweep, 0

        async def sweep(*arguments: Any, **facts: Any) -> list[Orphan]:
            nonlocal times
            times += 1
            if times == 1:
                raise RuntimeError("a fault of ours")
            return await real(*arguments, **facts)

        monkeypatch.setattr(reaper, "sweep", sweep)
        reaper._every, reaper._grace = 0.01, 0.0
        running = asyncio.create_task(reaper.run())
        async with asyncio.timeout(30):
            while vendor.jobs:
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    swept(store, instance_of(vendor), use=use)
    assert vendor.cancelled == ["k"]


# --- tokens ------------------------------------------------------------------------------------------------------

RULES = {"db": {"limit": 1}}


def hold(store: Store, key: str, execution: str = "x", *, firm: bool = True) -> None:
    """Hold a token for a job, and die."""

    async def run() -> None:
        admission = Admission(store, f"gone/{key}", PoolRules.of_values(RULES))
        request = Request(key, TENANT, (PoolAsk("db"),), execution, "n0", 1, "remote")
        await admission.granted(request)
        if firm:
            await admission.firm(key)
        await admission.close()

    asyncio.run(run())


def held(store: Store) -> list[str]:
    query = "SELECT key FROM quota_leases ORDER BY key"
    return store.database.read(lambda connection: list(connection.exec_driver_sql(query).scalars()))


def freed(store: Store, *instances: BackendInstance, waits: bool = True) -> list[str]:
    """What the reaper frees while another job waits."""

    async def use(reaper: Reaper) -> list[str]:
        admission = Admission(store, this_engine(), PoolRules.of_values(RULES))
        request = Request("waiter", TENANT, (PoolAsk("db"),), "w", "n0", 1, "remote")
        task = asyncio.create_task(admission.granted(request)) if waits else None
        try:
            async with asyncio.timeout(30):
                while waits and not waiters(store) and not (task is not None and task.done()):
                    await asyncio.sleep(0.005)
            return await reaper.free_leases()
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await admission.close()

    found: list[str] = swept(store, *instances, use=use, rules=PoolRules.of_values(RULES))
    return found


def waiters(store: Store) -> list[str]:
    query = "SELECT key FROM quota_waiters"
    return store.database.read(lambda connection: list(connection.exec_driver_sql(query).scalars()))


POOLS = {"pools": (("db", 1),)}
SUBMITTED = (JobSubmitting(key="k", epoch=1), JobSubmitted(key="k", handle={"id": "k"}))


def test_tokens_of_a_job_that_has_ended_are_freed(store: Store, vendor: Vendor) -> None:
    begin(store, "x", planned("k", **POOLS), *SUBMITTED, JobEnded(key="k", phase="failed"))
    hold(store, "k")
    assert held(store) == ["k"]
    assert freed(store, instance_of(vendor), waits=False) == ["k"]
    assert held(store) == []


def test_tokens_of_an_execution_that_was_removed_are_freed(store: Store, vendor: Vendor) -> None:
    hold(store, "k", "removed")
    assert freed(store, instance_of(vendor), waits=False) == ["k"]


def test_tokens_of_a_job_that_runs_are_kept(store: Store, vendor: Vendor) -> None:
    vendor.add("k", "x", store.installation())
    begin(store, "x", planned("k", **POOLS), *SUBMITTED, JobObserved(key="k", phase="running", raw_state="R"))
    hold(store, "k")
    assert freed(store, instance_of(vendor)) == []
    assert held(store) == ["k"]


def test_while_others_wait_tokens_of_a_job_that_is_over_at_its_vendor_are_freed(store: Store, vendor: Vendor) -> None:
    begin(store, "x", planned("k", **POOLS), *SUBMITTED)
    hold(store, "k")
    assert freed(store, instance_of(vendor), waits=False) == []  # nobody waits: whoever resumes it will see
    assert freed(store, instance_of(vendor)) == ["k"]


def test_tokens_of_a_job_that_somebody_drives_are_kept(store: Store, vendor: Vendor) -> None:
    begin(store, "x", planned("k", **POOLS), *SUBMITTED)
    hold(store, "k")
    store.acquire("x", this_engine(), ttl=60)
    assert freed(store, instance_of(vendor)) == []


def test_of_an_ambiguous_job_it_is_looked_whether_the_vendor_has_it(store: Store, vendor: Vendor) -> None:
    unclear = (JobSubmitting(key="k", epoch=1), JobAmbiguous(key="k", reason="cut off"))
    begin(store, "x", planned("k", **POOLS), *unclear)
    hold(store, "k")
    vendor.add("k", "x", store.installation())
    assert freed(store, instance_of(vendor)) == []
    assert freed(store, instance_of(vendor, idempotency="C")) == []
    del vendor.jobs["k"]
    assert freed(store, instance_of(vendor, idempotency="C")) == []  # nobody can know
    assert freed(store, instance_of(vendor)) == ["k"]
