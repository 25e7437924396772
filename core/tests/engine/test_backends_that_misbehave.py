"""Backends whose answers are not what they should be: nothing hangs, spins, or takes others with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine
from flytepath.engine.jobs.backends import BackendInstance, GivenBackends
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.state import ExecutionStatus
from flytepath.plugin import BackendError, ErrorClass, Found, Handle, ItemPhases, Observation, Phase, Terminal
from memory_vendor import MemoryVendor, OpenPools, remote_on
from shapes import fan
from test_remote_jobs import chain, job_of_items, transient


def machine_with(
    spec: Any, vendor: MemoryVendor, folder: Path, change: Callable[[Any], None], *, outage: float = 0.3, **facts: Any
) -> Machine:
    """A machine whose backend was changed."""
    patience = Patience(outage=outage, pause=0.002, longest_pause=0.01, cancel_pause=0.002)

    def changed(instance: BackendInstance) -> GivenBackends:
        change(instance.backend)
        return GivenBackends(instance)

    remote = lambda: remote_on(vendor, patience=patience, backends=changed, **facts)  # noqa: E731
    return Machine(spec, {}, folder, remote=remote, x=1)


def always(value: Any) -> Callable[..., Any]:
    async def answer(*_: Any) -> Any:
        return value

    return answer


@pytest.mark.parametrize("handle", [None, "name", Handle({"id": float("nan")})])
@pytest.mark.parametrize("idempotency", ["A", "B"])
def test_a_handle_that_cannot_be_kept_fails_the_job_and_leaves_nothing_at_the_vendor(
    tmp_path: Path, handle: Any, idempotency: str
) -> None:
    vendor = MemoryVendor()

    def change(backend: Any) -> None:
        submit = backend.submit

        async def submitted(plan: Any) -> Any:
            await submit(plan)
            return handle

        async def found(plan: Any) -> Any:
            return Found(handle)

        backend.submit, backend.find = submitted, found

    machine = machine_with(chain(1), vendor, tmp_path, change, idempotency=idempotency)
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert "FP-JOB-PROTOCOL" in str(state.error) or "cannot be kept" in str(state.error)
    assert not vendor.live and vendor.calls["submit"] < 6


def test_a_submission_that_always_breaks_ends_without_asking_for_ever(tmp_path: Path) -> None:
    vendor = MemoryVendor()

    def broken(call: str, key: str) -> None:
        if call == "submit":
            raise RuntimeError("submit broke")

    vendor.before = broken
    machine = machine_with(chain(1), vendor, tmp_path, lambda backend: None, idempotency="A")
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED and "submit broke" in str(state.error)
    assert vendor.calls["submit"] < 10 and vendor.calls["cancel"] >= 1


@pytest.mark.parametrize("error_class", [ErrorClass.AUTH, ErrorClass.INVALID, ErrorClass.USER])
def test_a_refusal_of_the_second_call_does_not_say_that_the_first_was_not_taken(
    tmp_path: Path, error_class: ErrorClass
) -> None:
    vendor = MemoryVendor()
    calls: list[str] = []

    def after(call: str, key: str) -> None:
        if call == "submit":
            calls.append(call)
            if len(calls) == 1:
                raise ConnectionResetError("reset by peer")

    def before(call: str, key: str) -> None:
        if call == "submit" and calls:
            raise BackendError("no more", error_class=error_class, accepted=False)

    vendor.before, vendor.after = before, after
    pools = OpenPools()
    machine = machine_with(chain(1), vendor, tmp_path, lambda backend: None, idempotency="A", pools=pools)
    assert machine.run().status is ExecutionStatus.FAILED
    assert set(vendor.made.values()) == {1} and not vendor.live and not pools.held


BAD = [
    None,
    [],
    "running",
    Observation("running", "RUNNING"),  # type: ignore[arg-type]
    Observation(Phase.RUNNING, None),  # type: ignore[arg-type]
    Observation(Phase.FAILED, "FAILED", "why", "user"),  # type: ignore[arg-type]
    Observation(Phase.RUNNING, "RUNNING", links=(("a",),)),  # type: ignore[arg-type]
    Observation(Phase.RUNNING, "RUNNING", items=ItemPhases({Phase.RUNNING: 3})),  # type: ignore[dict-item]
    Observation(Phase.RUNNING, "RUNNING", items=ItemPhases({"RUNNING": (0,)})),  # type: ignore[dict-item]
    Observation(Phase.RUNNING, "RUNNING", progress=float("nan")),
]


@pytest.mark.parametrize("answer", BAD, ids=str)
def test_an_observation_that_cannot_be_read_is_a_poll_that_failed(tmp_path: Path, answer: Any) -> None:
    vendor = MemoryVendor()

    def change(backend: Any) -> None:
        poll, times = backend.poll, iter(range(5))

        async def bad_first(handles: Any) -> Any:
            return dict.fromkeys(handles, answer) if next(times, None) is not None else await poll(handles)

        backend.poll = bad_first

    machine = machine_with(chain(1), vendor, tmp_path, change)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert set(vendor.made.values()) == {1}


@pytest.mark.parametrize("answers", [None, [], 3, "all well"], ids=str)
def test_answers_that_are_no_mapping_are_borne_until_it_is_an_outage(tmp_path: Path, answers: Any) -> None:
    vendor = MemoryVendor()
    machine = machine_with(chain(1), vendor, tmp_path, lambda backend: setattr(backend, "poll", always(answers)))
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED and "FP-JOB-UNAVAILABLE" in str(state.error)
    assert not vendor.live


def test_a_poll_that_fails_as_a_whole_for_what_it_does_not_find_loses_no_job(tmp_path: Path) -> None:
    vendor, times = MemoryVendor(), iter(range(20))

    def lost(call: str, key: str) -> None:
        if call == "poll" and next(times, None) is not None:
            raise BackendError("404", error_class=ErrorClass.LOST)

    vendor.before = lost
    machine = machine_with(chain(1), vendor, tmp_path, lambda backend: None, outage=10.0)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert set(vendor.made.values()) == {1} and len(vendor.made) == 1


@pytest.mark.parametrize(
    "answer", [None, "gone", Terminal(None), Terminal(Observation(Phase.RUNNING, "RUNNING"))], ids=str
)  # type: ignore[arg-type]
def test_a_cancellation_whose_answer_cannot_be_read_is_asked_for_again(tmp_path: Path, answer: Any) -> None:
    vendor = MemoryVendor()

    def change(backend: Any) -> None:
        cancel, times = backend.cancel, iter(range(3))

        async def bad_first(*args: Any) -> Any:
            return answer if next(times, None) is not None else await cancel(*args)

        backend.cancel = bad_first

    spec = chain(1, payload={"polls": 10**9}, timeout_seconds=0.05, pools={"p": 1})
    pools = OpenPools()
    machine = machine_with(spec, vendor, tmp_path, change, pools=pools)
    assert machine.run().status is ExecutionStatus.FAILED
    assert not vendor.live and not pools.held


def test_an_end_of_which_nothing_readable_is_told_is_an_end(tmp_path: Path) -> None:
    vendor = MemoryVendor()

    def change(backend: Any) -> None:
        backend.cancel = always(Terminal(Observation(Phase.CANCELLED, None)))  # type: ignore[arg-type]

    spec = chain(1, payload={"polls": 10**9}, timeout_seconds=0.05)
    assert machine_with(spec, vendor, tmp_path, change).run().status is ExecutionStatus.FAILED


@pytest.mark.parametrize("outputs", [None, 3, ["o0"]], ids=str)
def test_outputs_that_are_no_mapping_fail_the_job_by_name(tmp_path: Path, outputs: Any) -> None:
    vendor = MemoryVendor()
    machine = machine_with(chain(1), vendor, tmp_path, lambda backend: setattr(backend, "collect", always(outputs)))
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED and "no mapping" in str(state.error)
    assert "FP-JOB-PROTOCOL" in str(state.error)


@pytest.mark.parametrize("answers", [None, [], {0: None}, {0: 3}], ids=str)
def test_outputs_of_items_that_cannot_be_read_fail_the_items(tmp_path: Path, answers: Any) -> None:
    vendor = MemoryVendor()

    def change(backend: Any) -> None:
        backend.collect_items = always(answers)

    machine = machine_with(fan([1, 2], job_of_items()), vendor, tmp_path, change, array_limit=10)
    assert machine.run().status is ExecutionStatus.FAILED


@pytest.mark.parametrize("retry_after", ["soon", float("nan"), -1, b"2"])
def test_a_word_of_waiting_that_is_no_time_stops_no_clock(tmp_path: Path, retry_after: Any) -> None:
    vendor, times = MemoryVendor(), iter(range(1))

    def throttled(call: str, key: str) -> None:
        if call == "cleanup" and next(times, None) is not None:
            raise transient(retry_after=retry_after)

    vendor.before = throttled
    machine = machine_with(chain(1), vendor, tmp_path, lambda backend: None)
    assert machine.run().status is ExecutionStatus.SUCCEEDED


def test_a_job_that_is_gone_is_in_no_state_that_somebody_should_know(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vendor, times = MemoryVendor(), iter(range(1))

    def lost(call: str, key: str) -> None:
        if call == "poll" and next(times, None) is not None:
            vendor.jobs.clear()

    vendor.before = lost
    machine = machine_with(chain(1), vendor, tmp_path, lambda backend: None)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert "does not know the state" not in caplog.text
