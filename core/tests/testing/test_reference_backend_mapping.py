"""What the reference backend makes of the vendor's words, beyond what the kit knows to ask for."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import flytepath.testing
import pytest
from flytepath.model.types import INTEGER
from flytepath.plugin import (
    BackendError,
    BlobRef,
    DefinitionError,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    JobKey,
    Literal,
    NotOurs,
    Observation,
    Owner,
    Phase,
    Plan,
    PlanRequest,
    Resources,
    SecretNotFoundError,
    TaskDeclaration,
    Terminal,
)
from flytepath.plugin import Tenant as PluginTenant
from flytepath.testing import MemoryBlobs
from flytepath.testing.fake_vendor import ENDED, FakeVendor
from flytepath.testing.fake_vendor.jobs import PASSED
from flytepath.testing.reference_backend import VendorBackend, VendorSettings
from flytepath.testing.reference_job_manifest import flytepath_backends
from flytepath.testing.reference_mapping import NAME_LIMIT, STATES
from flytepath.testing.reference_task import VendorJob, VendorJobTask

T = TypeVar("T")
ROWS = {"rows": {"kind": "integer"}}


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor(speed=0) as vendor:
        yield vendor
        assert vendor.violations == []


def play(vendor: FakeVendor, act: Callable[[VendorBackend], Awaitable[T]]) -> T:
    """Act with a backend of its own."""

    async def run() -> T:
        backend = VendorBackend(VendorSettings(url=vendor.url, timeout_seconds=5.0))
        backend.bind(lambda reference, tenant: vendor.token.encode())
        try:
            return await act(backend)
        finally:
            await backend.close()

    return asyncio.run(run())


def request(number: int = 1, *, execution: str = "e1", outputs: Any = None, **more: Any) -> PlanRequest:
    job = more.pop("job", {"seconds": None})
    return PlanRequest(
        key=JobKey(f"sha256:{number:064x}"[::-1]),
        owner=Owner("here", PluginTenant("vision", "staging"), execution, "train"),
        task="flow.count",
        task_type="vendor-job",
        payload={"job": job, "items": more.pop("own", {}), "outputs": outputs or {}},
        inputs=more.pop("inputs", {}),
        requests=Resources(),
        limits=Resources(),
        **more,
    )


async def caught(call: Awaitable[Any]) -> BackendError:
    with pytest.raises(BackendError) as error:
        await call
    return error.value


def test_every_state_of_the_vendor_is_in_the_table() -> None:
    assert set(STATES) == ENDED | {*PASSED, "CANCELLING"}
    assert all(STATES[state][0].is_terminal == (state in ENDED) for state in STATES)


@pytest.mark.parametrize(
    ("end", "error_class"),
    [("fail", ErrorClass.USER), ("evict", ErrorClass.PREEMPTED), ("lose_node", ErrorClass.LOST), ("finish", None)],
)
def test_every_end_says_who_is_to_blame(vendor: FakeVendor, end: str, error_class: ErrorClass | None) -> None:
    async def act(backend: VendorBackend) -> Observation:
        handle = await backend.submit(backend.plan(request()))
        getattr(vendor, end)(handle.data["id"])
        seen = (await backend.poll([handle]))[handle]
        assert isinstance(seen, Observation)
        return seen

    seen = play(vendor, act)
    assert seen.error_class is error_class
    assert bool(seen.reason) == (error_class is not None)


def test_the_declared_name_limit_is_the_one_that_is_kept() -> None:
    [declared] = flytepath_backends()
    assert declared.name_limit == NAME_LIMIT


@pytest.mark.parametrize(
    ("fault", "call", "error_class", "accepted"),
    [
        ("reset before", "submit", ErrorClass.TRANSIENT, None),
        ("reset after", "submit", ErrorClass.TRANSIENT, None),
        ("garbage", "submit", ErrorClass.TRANSIENT, None),
        ("error after", "submit", ErrorClass.UNAVAILABLE, None),
        ("unavailable", "submit", ErrorClass.UNAVAILABLE, None),
        ("throttled", "submit", ErrorClass.THROTTLED, False),
        ("refused", "submit", ErrorClass.INVALID, False),
    ],
)
def test_each_failure_has_its_class_and_says_whether_the_job_may_be_there(
    vendor: FakeVendor, fault: str, call: str, error_class: ErrorClass, accepted: bool | None
) -> None:
    vendor.faults.add(fault, call, times=1, seconds=7.0)
    error = play(vendor, lambda backend: caught(backend.submit(backend.plan(request()))))
    assert (error.error_class, error.accepted) == (error_class, accepted)
    assert error.retry_after == (7.0 if fault in ("throttled", "unavailable") else None)


def test_nobody_there_is_certainly_not_accepted(vendor: FakeVendor) -> None:
    with vendor.refusing_connections():
        error = play(vendor, lambda backend: caught(backend.submit(backend.plan(request()))))
    assert (error.error_class, error.accepted) == (ErrorClass.TRANSIENT, False)


def test_a_full_account_is_a_quota_and_an_expired_token_a_matter_of_credentials(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> list[ErrorClass]:
        found = [(await caught(backend.submit(backend.plan(request())))).error_class]
        vendor.expire_token()
        return [*found, (await caught(backend.submit(backend.plan(request())))).error_class]

    vendor.account().live_limit = 0
    assert play(vendor, act) == [ErrorClass.QUOTA_EXCEEDED, ErrorClass.AUTH]


def test_a_job_of_ours_that_no_search_shows_is_adopted_by_its_name(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> None:
        plan = backend.plan(request())
        await caught(backend.submit(plan))
        handle = await backend.submit(plan)
        vendor.tick(60)
        assert await backend.find(plan) == Found(handle)

    vendor.faults.add("hidden", seconds=60)
    vendor.faults.add("reset after", "submit", times=1)
    play(vendor, act)
    assert vendor.made(request().key.value) == 1


@pytest.mark.parametrize("other", [{"execution": "e2"}, {"job": {"seconds": 1}}], ids=["owner", "content"])
def test_the_key_on_another_job_is_a_conflict_and_that_job_is_left_alone(vendor: FakeVendor, other: Any) -> None:
    async def act(backend: VendorBackend) -> None:
        theirs = await backend.submit(backend.plan(request(**other)))
        plan = backend.plan(request())
        for call in (backend.find(plan), backend.submit(plan)):
            error = await caught(call)
            assert (error.error_class, error.accepted) == (ErrorClass.CONFLICT, False)
        assert vendor.state(theirs.data["id"]) in PASSED

    play(vendor, act)


def test_a_handle_that_leads_to_a_strangers_job_cancels_nothing(vendor: FakeVendor) -> None:
    id = vendor.make_foreign("theirs", tags={"team": "blue"})
    answer = play(vendor, lambda backend: backend.cancel(request().key, Handle({"id": id}), "over"))
    assert isinstance(answer, NotOurs)
    assert "blue" in answer.stamp
    assert vendor.state(id) == "ACTIVE"


def test_a_job_that_ends_while_it_is_cancelled_is_told_as_it_ended(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> list[Any]:
        handle = await backend.submit(backend.plan(request()))
        answers = [await backend.cancel(request().key, handle, "over")]
        vendor.finish(handle.data["id"])
        return [*answers, await backend.cancel(request().key, None, "over")]

    vendor.faults.add("lingering", seconds=60)
    first, last = play(vendor, act)
    assert first == InProgress("CANCELLING")
    assert isinstance(last, Terminal)
    assert last.observation.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("end", ["finish", "vanish"])
def test_a_job_that_ends_between_the_look_and_the_cancellation_is_asked_for_again(vendor: FakeVendor, end: str) -> None:
    async def act(backend: VendorBackend) -> Any:
        handle = await backend.submit(backend.plan(request()))
        slow = vendor.faults.add("slow", "cancel", seconds=0.5)
        cancelling = asyncio.ensure_future(backend.cancel(request().key, handle, "over"))
        async with asyncio.timeout(20):
            while not slow.happened:
                await asyncio.sleep(0.005)
        getattr(vendor, end)(handle.data["id"])
        return await cancelling, await backend.cancel(request().key, handle, "over")

    first, last = play(vendor, act)
    assert isinstance(first, InProgress)
    assert isinstance(last, Terminal if end == "finish" else Gone)


def test_a_vanished_job_is_gone(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> None:
        handle = await backend.submit(backend.plan(request()))
        vendor.vanish(handle.data["id"])
        assert await backend.cancel(request().key, handle, "over") == Gone()
        await backend.cleanup(request().key, handle)
        seen = (await backend.poll([handle]))[handle]
        assert isinstance(seen, Observation)
        assert seen.gone

    play(vendor, act)


def test_one_poisoned_job_among_200_costs_few_calls_and_one_answer(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> None:
        handles = [await backend.submit(backend.plan(request(number))) for number in range(1, 201)]
        vendor.poison(handles[77].data["id"])
        before = vendor.calls()["list"]
        answers = await backend.poll(handles)
        assert [handle for handle in handles if isinstance(answers[handle], BackendError)] == [handles[77]]
        assert vendor.calls()["list"] - before <= 17

    play(vendor, act)


def test_what_is_no_handle_of_ours_spoils_only_its_own_answer(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> None:
        good = await backend.submit(backend.plan(request()))
        strange = [Handle({}), Handle({"id": good.data["id"]}, version=9)]
        answers = await backend.poll([good, *strange])
        assert isinstance(answers[good], Observation)
        for handle in strange:
            answer = answers[handle]
            assert isinstance(answer, BackendError)
            assert answer.error_class is ErrorClass.PROTOCOL

    play(vendor, act)


def test_positions_become_indices_of_the_map_in_phases_reasons_and_outputs(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> tuple[Observation, Any]:
        numbers = [{"n": Literal.make(INTEGER, index * 10)} for index in (2, 5, 9)]
        job = {"seconds": 1, "outputs": {"rows": {"$input": "n"}}}
        own = {"5": {"outcome": "EVICTED"}, "9": {"seconds": 60}}
        asked = request(job=job, own=own, outputs=ROWS, items=(2, 5, 9), item_inputs=tuple(numbers))
        handle = await backend.submit(backend.plan(asked))
        vendor.tick(1)
        seen = (await backend.poll([handle]))[handle]
        assert isinstance(seen, Observation)
        return seen, await backend.collect_items(handle, [2], MemoryBlobs())

    seen, outputs = play(vendor, act)
    assert seen.items is not None
    assert dict(seen.items.by_phase) == {Phase.SUCCEEDED: (2,), Phase.FAILED: (5,), Phase.QUEUED: (9,)}
    assert seen.items.error_classes == {5: ErrorClass.PREEMPTED}
    assert "needed elsewhere" in seen.items.reasons[5]
    assert {index: value["rows"].data for index, value in outputs.items()} == {2: 20}
    assert [entry.target.partition("?")[2] for entry in vendor.journal if entry.call == "result"] == ["positions=0"]


def test_an_output_that_the_job_did_not_give_is_the_jobs_fault(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> BackendError:
        plan: Plan = backend.plan(request(job={"seconds": 0}, outputs=ROWS))
        return await caught(backend.collect(await backend.submit(plan), MemoryBlobs()))

    error = play(vendor, act)
    assert (error.error_class, "'rows'" in error.message) == (ErrorClass.USER, True)


def test_an_item_without_its_output_spoils_only_its_own_answer(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> Any:
        own = {"3": {"outputs": {}}}
        asked = request(job={"seconds": 0, "outputs": {"rows": 1}}, own=own, outputs=ROWS, items=(1, 3))
        return await backend.collect_items(await backend.submit(backend.plan(asked)), [1, 3], MemoryBlobs())

    outputs = play(vendor, act)
    assert outputs[1]["rows"].data == 1
    assert outputs[3].error_class is ErrorClass.USER


@pytest.mark.parametrize("owner", [None, "no json", "[1]", '["P P", "d", "e", "n"]'])
def test_what_bears_half_a_stamp_is_not_listed_as_ours(vendor: FakeVendor, owner: str | None) -> None:
    tags = {"flytepath-installation": "here", "flytepath-key": "k", "flytepath-digest": "d"}
    vendor.make_foreign("theirs", tags=tags if owner is None else {**tags, "flytepath-owner": owner})

    async def act(backend: VendorBackend) -> list[str]:
        handle = await backend.submit(backend.plan(request()))
        assert (await backend.list_owned("here")).jobs[0].handle == handle
        return [job.key.value for job in (await backend.list_owned("here")).jobs]

    assert play(vendor, act) == [request().key.value]


def test_of_two_jobs_of_one_key_the_one_that_runs_is_cancelled(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> None:
        first = await backend.submit(backend.plan(request()))
        vendor.finish(first.data["id"])
        second = await backend.submit(backend.plan(request()))
        assert isinstance(await backend.cancel(request().key, None, "over"), Terminal)
        assert vendor.state(second.data["id"]) == "CANCELED"

    play(vendor, act)


def test_inputs_that_are_no_values_are_refused_when_the_job_is_planned(vendor: FakeVendor) -> None:
    large = Literal.make(INTEGER, None, ref=BlobRef("memory://x", "sha256:0", 9))

    async def act(backend: VendorBackend) -> None:
        with pytest.raises(BackendError) as error:
            backend.plan(request(inputs={"frame": large}))
        assert (error.value.error_class, error.value.accepted) == (ErrorClass.INVALID, False)

    play(vendor, act)
    assert vendor.journal == []


def test_cleaning_up_works_with_the_key_alone_and_again(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> Handle:
        handle = await backend.submit(backend.plan(request(job={"seconds": 0})))
        for _ in range(2):
            await backend.cleanup(request().key, None)
        return handle

    assert not vendor.job(play(vendor, act).data["id"]).has_files


def test_a_token_that_nobody_has_is_told_as_such_and_the_vendor_is_not_asked(vendor: FakeVendor) -> None:
    async def act(backend: VendorBackend) -> None:
        def missing(reference: Any, tenant: Any) -> bytes:
            raise SecretNotFoundError("there is no such secret", place=reference.label)

        backend.bind(missing)
        with pytest.raises(SecretNotFoundError):
            await backend.submit(backend.plan(request()))

    play(vendor, act)
    assert vendor.journal == []


def test_a_job_that_gives_what_the_task_does_not_declare_is_refused_at_definition() -> None:
    declaration = TaskDeclaration("flow.f", VendorJob(outputs={"rows": 1}), outputs={"row": INTEGER})
    with pytest.raises(DefinitionError) as error:
        VendorJobTask().compile(declaration)
    assert (error.value.expected, error.value.actual) == ("row", "rows")


def test_the_example_uses_only_what_a_plugin_may_use() -> None:
    folder = Path(flytepath.testing.__file__).parent
    for path in folder.glob("reference_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flytepath"):
                assert node.module == "flytepath.plugin" or str(node.module).startswith("flytepath.testing."), path
