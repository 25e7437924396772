"""Executions with remote jobs on a vendor in memory, which can fail, and engines that can die, at any moment."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Crash, Machine, Posted, Raised, interface, task_spec
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.state import ExecutionStatus, NodeStatus
from flytepath.model.events import JobObserved, JobPlanned, LogWritten
from flytepath.model.literal import BlobRef
from flytepath.model.workflow import InputBinding, NodeSpec, OutputBinding, WorkflowSpec
from flytepath.plugin import BackendError, ErrorClass
from memory_vendor import MemoryVendor, OpenPools, remote_on
from shapes import fan, post, told

X = {"x": InputBinding(name="x")}


def chain(length: int = 2, **facts: Any) -> WorkflowSpec:
    """Jobs one after the other; each doubles."""
    task = task_spec("job", "x", task_type="vendor_job", backend="vendor", **{"payload": {"pools": ["p"]}, **facts})
    nodes = [NodeSpec(path="n0", task="job", inputs=X)]
    for number in range(1, length):
        inputs = {"x": OutputBinding(node=f"n{number - 1}", name="o0")}
        nodes.append(NodeSpec(path=f"n{number}", task="job", inputs=inputs))
    return WorkflowSpec(
        name="w",
        interface=interface("x"),
        nodes=tuple(nodes),
        outputs={"o0": OutputBinding(node=f"n{length - 1}", name="o0")},
        tasks={"job": task},
    )


def machine_of(spec: WorkflowSpec, vendor: MemoryVendor, folder: Path, **facts: Any) -> Machine:
    facts.setdefault("pools", OpenPools())
    return Machine(spec, {}, folder, remote=lambda: remote_on(vendor, **facts), x=1)


def kinds(machine: Machine) -> list[str]:
    return [event.payload.type for event in machine.log.events]


def once(*where: tuple[str, BackendError | OSError]) -> Callable[[str, str], None]:
    """Raise each error the first time its call is made."""
    left = dict(where)

    def trouble(call: str, key: str) -> None:
        error = left.pop(call, None)
        if error is not None:
            raise error

    return trouble


def transient(**facts: Any) -> BackendError:
    return BackendError("a bad moment", error_class=ErrorClass.TRANSIENT, **facts)


def test_jobs_run_to_their_end_and_give_back_what_they_held(tmp_path: Path) -> None:
    vendor, pools = MemoryVendor(), OpenPools()
    machine = machine_of(chain(), vendor, tmp_path, pools=pools)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert machine.outputs() == {"o0": 4}
    assert set(vendor.made.values()) == {1} and len(vendor.made) == 2
    assert vendor.cleaned == vendor.made
    assert not pools.held and len(pools.firm_keys) == 2
    first = [kind for kind in kinds(machine) if kind.startswith("job_")][:7]
    assert first == [
        "job_planned",
        "job_submitting",
        "job_submitted",
        *["job_observed"] * 2,
        "job_collected",
        "job_ended",
    ]


@pytest.mark.parametrize("spec", [chain(), chain(1, retries=1), chain(2, payload={"polls": 1})])
def test_an_engine_that_dies_anywhere_leaves_one_job_for_each_key(tmp_path: Path, spec: WorkflowSpec) -> None:
    vendor = MemoryVendor()
    whole = machine_of(spec, vendor, tmp_path / "whole")
    whole.run()
    for crash_after in range(whole.log.appends):
        vendor, pools = MemoryVendor(), OpenPools()
        machine = machine_of(spec, vendor, tmp_path / str(crash_after), pools=pools)
        with suppress(Crash):
            machine.run(crash_after=crash_after)
        state = machine.run()
        assert state.status is ExecutionStatus.SUCCEEDED
        assert machine.outputs() == whole.outputs()
        assert set(vendor.made.values()) == {1} and len(vendor.made) == len(spec.nodes)
        assert not pools.held


@pytest.mark.parametrize("again", range(2, 7))
def test_an_engine_may_die_again_and_again(tmp_path: Path, again: int) -> None:
    vendor, pools = MemoryVendor(), OpenPools()
    machine = machine_of(chain(), vendor, tmp_path, pools=pools)
    for _ in range(60):
        with suppress(Crash):
            machine.run(crash_after=again)
        if machine.state().status.is_final:
            break
    assert machine.state().status is ExecutionStatus.SUCCEEDED
    assert set(vendor.made.values()) == {1}
    assert not pools.held


def test_a_submission_that_is_cut_off_after_it_was_accepted_is_adopted(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    vendor.after = once(("submit", ConnectionResetError("reset by peer")))
    machine = machine_of(chain(1), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert set(vendor.made.values()) == {1}
    assert "job_ambiguous" in kinds(machine)


def test_a_submission_that_never_arrived_is_made_again_under_the_same_key(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    vendor.before = once(("submit", ConnectionResetError("reset by peer")))
    machine = machine_of(chain(1), vendor, tmp_path, visibility_seconds=0.05)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert kinds(machine).count("job_submitting") == 2 and kinds(machine).count("job_planned") == 1
    assert vendor.calls["find"] > 1


def test_a_refusal_for_want_of_room_sends_the_job_back_to_its_pool(tmp_path: Path) -> None:
    vendor, pools = MemoryVendor(), OpenPools()
    full = BackendError("TooManyJobs", error_class=ErrorClass.QUOTA_EXCEEDED, accepted=False)
    vendor.before = once(("submit", full))
    machine = machine_of(chain(1), vendor, tmp_path, pools=pools)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert kinds(machine).count("job_returned") == 1 and not pools.held


@pytest.mark.parametrize(
    ("error_class", "kind", "code"),
    [
        (ErrorClass.INVALID, "user", "FP-JOB-INVALID"),
        (ErrorClass.AUTH, "system", "FP-JOB-AUTH"),
        (ErrorClass.CONFLICT, "system", "FP-JOB-CONFLICT"),
    ],
)
def test_what_no_retry_mends_fails_at_once(tmp_path: Path, error_class: ErrorClass, kind: str, code: str) -> None:
    vendor = MemoryVendor()
    vendor.before = once(("submit", BackendError("E42: no", error_class=error_class)))
    machine = machine_of(chain(1, retries=3), vendor, tmp_path)
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert state.error is not None
    assert (state.error.kind, state.error.code) == (kind, code)
    assert "E42: no" in state.error.message
    assert vendor.calls["submit"] == 1 and not vendor.made


def test_the_users_failures_and_lost_machines_are_charged_apart(tmp_path: Path) -> None:
    spec = chain(1, retries=1, payload={"outcome": "FAILED"})
    machine = machine_of(spec, MemoryVendor(), tmp_path / "user")
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert (state.nodes["n0"].user_failures, state.nodes["n0"].system_failures) == (2, 0)
    evicted = machine_of(chain(1, payload={"outcome": "EVICTED"}), MemoryVendor(), tmp_path / "system")
    state = evicted.run()
    assert state.error is not None and state.error.kind == "preempted"
    assert (state.nodes["n0"].user_failures, state.nodes["n0"].system_failures) == (0, 4)
    submissions = [e.payload.submission for e in evicted.log.events if e.payload.type == "job_planned"]
    assert submissions == [0, 1, 2, 3]


@pytest.mark.parametrize(("steps", "attempts"), [(0.0, 4), (1.0, 4 + 5)])
def test_an_attempt_that_comes_further_has_its_whole_budgets_again(tmp_path: Path, steps: float, attempts: int) -> None:
    """Five evictions on the way, each a step further on, cost nothing; the same step again and again does."""
    vendor = MemoryVendor()
    made = vendor.make

    def make(name: str, plan: Any) -> Any:
        vendor.progress[plan.key.value] = min(6.0, 1 + steps * len(vendor.made))
        return made(name, plan)

    vendor.make = make  # type: ignore[method-assign]
    state = machine_of(chain(1, payload={"outcome": "EVICTED"}), vendor, tmp_path).run()
    assert state.status is ExecutionStatus.FAILED
    assert state.nodes["n0"].attempt == attempts and len(vendor.made) == attempts


def test_a_plugin_that_breaks_is_named_and_leaves_no_job_behind(tmp_path: Path) -> None:
    vendor = MemoryVendor()

    def breaks(call: str, key: str) -> None:
        if call == "submit":
            raise KeyError("region")

    vendor.before = breaks
    machine = machine_of(chain(1), vendor, tmp_path)
    state = machine.run()
    assert state.error is not None and state.error.code == "FP-JOB-PROTOCOL"
    assert "memory (memory)" in state.error.message and "region" in state.error.message
    assert not vendor.made and vendor.calls["find"] == vendor.calls["submit"] == 3


def test_no_number_of_failed_polls_fails_a_job(tmp_path: Path) -> None:
    vendor, failed, chance = MemoryVendor(), Counter[str](), random.Random(1)

    def sometimes(call: str, key: str) -> None:
        if call in ("look", "poll") and chance.random() < 0.4:
            failed[call] += 1
            raise transient()

    vendor.before = sometimes
    machine = machine_of(chain(1, payload={"polls": 60}), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert failed["look"] > 20 and failed["poll"] > 20


def test_an_unknown_state_keeps_the_phase_and_is_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vendor = MemoryVendor()

    def odd(call: str, key: str) -> None:
        job = next(iter(vendor.jobs.values()), None)
        if call == "poll" and job is not None and vendor.calls["poll"] == 3:
            job.state = "ODD"
        elif call == "poll" and job is not None and job.state == "ODD" and vendor.calls["poll"] > 5:
            job.state = "RUNNING"

    vendor.before = odd
    machine = machine_of(chain(1, payload={"polls": 5}), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    seen = [(e.payload.phase, e.payload.raw_state) for e in machine.log.events if e.payload.type == "job_observed"]
    assert ("running", "ODD") in seen
    assert caplog.text.count("does not know the state 'ODD'") == 1


@pytest.mark.parametrize("when", ["submit", "find", "poll", "collect", "cleanup"])
def test_an_abort_at_any_moment_leaves_nothing_at_the_vendor(tmp_path: Path, when: str) -> None:
    vendor, pools = MemoryVendor(), OpenPools()
    machine = machine_of(chain(2), vendor, tmp_path, pools=pools)
    if when == "find":
        vendor.after = once(("submit", ConnectionResetError("reset")))

    def abort(call: str, key: str) -> None:
        if call == when and not machine.log.posted and not machine.state().abort_reason:
            machine.log.posted.append(Posted(1, {"type": "abort", "reason": "enough", "principal": "ada"}))

    vendor.before = abort
    state = machine.run()
    assert state.status in (ExecutionStatus.ABORTED, ExecutionStatus.SUCCEEDED)
    assert not vendor.live and not pools.held
    assert set(vendor.made.values()) == {1}


def test_an_abort_is_carried_through_by_the_next_engine(tmp_path: Path) -> None:
    for crash_after in range(2, 12):
        vendor, pools = MemoryVendor(), OpenPools()
        machine = machine_of(chain(1, payload={"polls": 10_000, "pools": ["p"]}), vendor, tmp_path, pools=pools)

        def abort(call: str, key: str, machine: Machine = machine) -> None:
            if call == "poll" and not machine.log.posted:
                machine.log.posted.append(Posted(1, {"type": "abort", "reason": "enough"}))

        vendor.before = abort
        with suppress(Crash):
            machine.run(crash_after=crash_after)
        state = machine.state() if machine.state().status.is_final else machine.run()
        assert state.status is ExecutionStatus.ABORTED
        assert not vendor.live and not pools.held


def test_a_detached_job_is_left_to_itself(tmp_path: Path) -> None:
    vendor, pools = MemoryVendor(), OpenPools()
    machine = machine_of(chain(1, payload={"polls": 10_000}, detach=True), vendor, tmp_path, pools=pools)

    def abort(call: str, key: str) -> None:
        if call == "poll" and not machine.log.posted:
            machine.log.posted.append(Posted(1, {"type": "abort", "reason": "enough"}))

    vendor.before = abort
    assert machine.run().status is ExecutionStatus.ABORTED
    assert len(vendor.live) == 1 and not vendor.calls["cancel"]


def test_the_failure_of_a_sibling_cancels_a_job(tmp_path: Path) -> None:
    spec = chain(1, payload={"polls": 10_000})
    fails = task_spec("fails", "x")
    spec = spec.model_copy(
        update={
            "nodes": (*spec.nodes, NodeSpec(path="n1", task="fails", inputs=X)),
            "tasks": {**spec.tasks, "fails": fails},
        }
    )
    vendor = MemoryVendor()

    async def failing(_request: Any, x: int) -> int:
        import asyncio

        while not vendor.live:
            await asyncio.sleep(0.001)
        raise Raised("no")

    machine = Machine(spec, {"fails": failing}, tmp_path, remote=lambda: remote_on(vendor), x=1)
    state = machine.run()
    assert state.status is ExecutionStatus.FAILED
    assert state.nodes["n0"].status is NodeStatus.SKIPPED
    assert not vendor.live and vendor.made


def test_a_job_that_takes_too_long_is_cancelled_before_its_attempt_fails(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    spec = chain(1, payload={"polls": 10_000}, timeout_seconds=0.1)
    state = machine_of(spec, vendor, tmp_path).run()
    assert state.error is not None and (state.error.kind, state.error.code) == ("timeout", "FP-TIMEOUT")
    assert not vendor.live and vendor.calls["cancel"] >= 2


def test_a_job_that_waits_too_long_for_its_pool_fails(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    spec = chain(1, queue_timeout_seconds=0.1)
    state = machine_of(spec, vendor, tmp_path, pools=OpenPools(0)).run()
    assert state.error is not None and state.error.code == "FP-QUEUE-TIMEOUT"
    assert not vendor.made


def test_a_job_waits_for_its_backend_and_goes_on_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flytepath.engine.jobs import desk, planning
    from flytepath.engine.jobs.backends import BackendUnavailableError, GivenBackends

    monkeypatch.setattr(planning, "PARKED_SECONDS", 0.01)
    monkeypatch.setattr(desk, "PARKED_SECONDS", 0.01)
    away = {"plan": 3, "poll": 3}

    class ComesBack(GivenBackends):
        async def get(self, name: str, tenant: Any, task_type: str = "") -> Any:
            stage = "poll" if vendor.made else "plan"
            if away[stage]:
                away[stage] -= 1
                raise BackendUnavailableError(f"the plugin of {name} is quarantined")
            return await super().get(name, tenant, task_type)

    vendor = MemoryVendor()
    machine = machine_of(chain(1), vendor, tmp_path, backends=ComesBack)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    parked = [(e.payload.key != "", e.payload.reason) for e in machine.log.events if e.payload.type == "job_parked"]
    why = "the plugin of vendor is quarantined"
    assert parked == [(False, why), (False, ""), (True, why), (True, "")]
    assert set(vendor.made.values()) == {1}


def test_nothing_is_submitted_and_nothing_held_while_an_execution_is_paused(tmp_path: Path) -> None:
    vendor, pools = MemoryVendor(), OpenPools(1)
    machine = machine_of(chain(3, payload={"pools": ["p"], "polls": 5}), vendor, tmp_path, pools=pools)
    seen: list[tuple[int, int]] = []

    def steer(call: str, key: str) -> None:
        posted = {item.command["type"] for item in machine.log.posted} | set(kinds(machine))
        if call == "poll" and not posted & {"pause", "execution_paused"}:
            post(machine, type="pause", reason="wait")
        elif call == "cleanup" and "execution_paused" in kinds(machine) and not posted & {"execution_continued"}:
            seen.append((len(vendor.made), len(vendor.live)))
            post(machine, type="continue")

    vendor.before = steer
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert seen[0] == (1, 0)
    assert not pools.held and machine.outputs() == {"o0": 8}


def test_a_submission_that_never_arrives_is_given_up_after_an_outage(tmp_path: Path) -> None:
    vendor = MemoryVendor()

    def away(call: str, key: str) -> None:
        if call == "submit":
            raise BackendError("503", error_class=ErrorClass.UNAVAILABLE)

    vendor.before = away
    state = machine_of(chain(1), vendor, tmp_path, patience=Patience(0.2, 0.002, 0.02, 0.002)).run()
    assert state.error is not None and state.error.code == "FP-JOB-UNAVAILABLE"
    assert not vendor.made and 3 < vendor.calls["submit"] < 60


@pytest.mark.parametrize(("call", "says"), [("find", "it is looked for"), ("cancel", "it is being cancelled")])
def test_a_call_that_fails_again_and_again_says_so(tmp_path: Path, call: str, says: str) -> None:
    vendor = MemoryVendor()
    machine = machine_of(chain(1, payload={"polls": 10_000}), vendor, tmp_path)
    if call == "find":
        vendor.after = once(("submit", ConnectionResetError("reset")))

    def refusing(made: str, key: str) -> None:
        if made == call and vendor.calls[call] < 8:
            raise BackendError(f"403 for the {vendor.calls[call]}. time", error_class=ErrorClass.AUTH)
        if made == "poll" and not machine.log.posted:
            post(machine, type="abort", reason="enough")

    vendor.before = refusing
    assert machine.run().status is ExecutionStatus.ABORTED
    reasons = [seen.reason for seen in told(machine, JobObserved) if seen.reason.startswith(says)]
    assert reasons == [f"{says}, which fails: 403 for the 1. time"]
    assert not vendor.live


@pytest.mark.parametrize(
    ("call", "says"), [("submit", "its submission fails and is tried again"), ("poll", "it is looked at")]
)
def test_trouble_that_lasts_is_told_once_while_it_passes(tmp_path: Path, call: str, says: str) -> None:
    vendor = MemoryVendor()

    def away(made: str, key: str) -> None:
        count = vendor.calls[call]
        if made == call and 1 < count <= (6 if call == "submit" else 7):
            raise BackendError(f"503 for the {count}. time", error_class=ErrorClass.UNAVAILABLE, accepted=False)
        if made == call and call == "submit" and count == 1:
            raise BackendError("429", error_class=ErrorClass.THROTTLED, accepted=False)

    vendor.before = away
    machine = machine_of(chain(1, payload={"polls": 3}), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    seen = told(machine, JobObserved)
    troubles = [number for number, one in enumerate(seen) if one.reason.startswith(says)]
    assert [seen[number].reason.rpartition(": ")[2] for number in troubles] == ["503 for the 4. time"]
    if call == "submit":
        assert seen[0].phase == "submitting" and vendor.calls["submit"] == 7
    else:
        assert [one.phase for one in seen[: troubles[0] + 2]].count("running") == 3
        assert not seen[troubles[0] + 1].reason
    assert len(vendor.made) == 1


def test_a_job_can_be_aborted_while_its_submission_is_tried_again(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    machine = machine_of(chain(1), vendor, tmp_path, patience=Patience(60.0, 0.002, 0.01, 0.002))

    def away(made: str, key: str) -> None:
        if made == "submit":
            if vendor.calls["submit"] == 6:
                post(machine, type="abort", reason="enough")
            raise BackendError("503", error_class=ErrorClass.UNAVAILABLE, accepted=False)

    vendor.before = away
    assert machine.run().status is ExecutionStatus.ABORTED
    assert not vendor.made


def test_what_a_job_waits_for_that_is_being_cancelled_is_told_once(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    vendor.ending = [f"look {number}: finalizer x" for number in range(1, 12)]
    machine = machine_of(chain(1, payload={"polls": 10_000}), vendor, tmp_path)

    def abort(made: str, key: str) -> None:
        if made == "poll" and not machine.log.posted:
            post(machine, type="abort", reason="enough")

    vendor.before = abort
    assert machine.run().status is ExecutionStatus.ABORTED
    reasons = [seen.reason for seen in told(machine, JobObserved) if "finalizer" in seen.reason]
    assert reasons == ["it is being cancelled, which takes its time: look 5: finalizer x"]
    assert not vendor.live


@pytest.mark.parametrize("call", ["poll", "find"])
def test_a_job_that_other_settings_do_not_know_is_not_taken_for_lost(tmp_path: Path, call: str) -> None:
    vendor = MemoryVendor()
    machine = machine_of(chain(1, payload={"polls": 10_000}), vendor, tmp_path)
    if call == "find":
        vendor.after = once(("submit", ConnectionResetError("reset")))
    with suppress(Crash):
        machine.run(crash_after=4)
    assert len(vendor.live) == 1
    kept, vendor.jobs = vendor.jobs, {}

    def restored(made: str, key: str) -> None:
        if any(seen.reason.startswith("the settings of backend 'vendor'") for seen in told(machine, JobObserved)):
            vendor.jobs = kept
            next(iter(kept.values())).polls = 1

    vendor.before = restored
    machine.remote = lambda: remote_on(vendor, settings="changed", visibility_seconds=0.0)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert vendor.jobs is kept and set(vendor.made.values()) == {1}


def test_what_a_job_printed_is_kept_without_its_secrets(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    vendor.printed = ["one\n", "the token is swordfish-42\n", ""]
    remote = remote_on(vendor)
    instance = next(iter(remote.services.backends._instances.values()))  # type: ignore[attr-defined]
    instance.redactor.add("vendor.token", b"swordfish-42")
    vendor.before = once(("poll", BackendError("swordfish-42 is refused", error_class=ErrorClass.TRANSIENT)))
    machine = Machine(chain(1), {}, tmp_path, remote=lambda: remote, x=1)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    written = told(machine, LogWritten)
    assert [(each.node, each.attempt) for each in written] == [("n0", 1)]
    log = machine.blobs.get(BlobRef(written[0].log.uri, written[0].log.digest, written[0].log.size))
    assert log == b"one\nthe token is [secret vendor.token]\n"


def test_a_handle_with_a_secret_in_it_is_refused(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    remote = remote_on(vendor)
    instance = next(iter(remote.services.backends._instances.values()))  # type: ignore[attr-defined]
    instance.redactor.add("vendor.token", b"job-")  # with which the name, and so the handle, begins
    state = Machine(chain(1), {}, tmp_path, remote=lambda: remote, x=1).run()
    assert state.error is not None and state.error.code == "FP-JOB-PROTOCOL"
    assert "holds the value of a secret" in state.error.message and not vendor.live


def test_an_outage_ends_a_job_when_the_vendor_can_be_reached_again(tmp_path: Path) -> None:
    vendor = MemoryVendor()

    def away(call: str, key: str) -> None:
        if call == "poll" and vendor.calls["poll"] > 2:
            raise BackendError("503", error_class=ErrorClass.UNAVAILABLE)

    vendor.before = away
    patience = Patience(outage=0.1, pause=0.002, longest_pause=0.01, cancel_pause=0.002)
    spec = chain(1, payload={"polls": 10_000})
    state = machine_of(spec, vendor, tmp_path, patience=patience).run()
    assert state.error is not None and state.error.code == "FP-JOB-UNAVAILABLE"
    assert not vendor.live


# --- slices ------------------------------------------------------------------------------------------------------


def job_of_items(retries: int = 0, **payload: Any) -> Any:
    return task_spec("t", "x", retries=retries, task_type="vendor_job", backend="vendor", payload=payload)


def slices(machine: Machine) -> list[list[int]]:
    return [[index for index, _ in planned.items] for planned in told(machine, JobPlanned)]


def sliced(spec: WorkflowSpec, vendor: MemoryVendor, folder: Path, array_limit: int = 100, **facts: Any) -> Machine:
    return Machine(spec, {}, folder, remote=lambda: remote_on(vendor, array_limit=array_limit, **facts), x=1)


@pytest.mark.parametrize(
    ("size", "limit", "jobs"), [(1, 10, [1]), (3, 3, [3]), (25, 10, [10, 10, 5]), (3, 0, [0, 0, 0])]
)
def test_the_items_of_a_map_go_together(tmp_path: Path, size: int, limit: int, jobs: list[int]) -> None:
    vendor = MemoryVendor()
    machine = sliced(fan(list(range(size)), job_of_items()), vendor, tmp_path, limit)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert machine.outputs() == {"o0": [2 * index for index in range(size)]}
    assert [len(items) for items in slices(machine)] == jobs
    assert len(vendor.made) == len(jobs) and not machine.state().jobs


def test_items_that_failed_go_into_a_new_slice(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    outcomes = {"outcomes": {"2": "FAILED", "5": "EVICTED"}}
    made = vendor.make

    def make(name: str, plan: Any) -> Any:
        job = made(name, plan)
        if len(vendor.made) > 1:
            job.spec = {**job.spec, "outcomes": {}}
        return job

    vendor.make = make  # type: ignore[method-assign]
    machine = sliced(fan(list(range(8)), job_of_items(retries=1, **outcomes)), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert slices(machine) == [list(range(8)), [2, 5]]
    assert machine.outputs() == {"o0": [2 * index for index in range(8)]}


def test_a_map_tolerates_what_it_may(tmp_path: Path) -> None:
    outcomes = {"outcomes": {"0": "FAILED", "3": "FAILED"}}
    spec = fan(list(range(8)), job_of_items(**outcomes), min_success_ratio=0.75)
    machine = sliced(spec, MemoryVendor(), tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    failing = sliced(fan(list(range(8)), job_of_items(**outcomes)), MemoryVendor(), tmp_path / "strict")
    state = failing.run()
    assert state.status is ExecutionStatus.FAILED and not state.jobs


def test_slices_keep_to_the_concurrency_of_their_map(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    machine = sliced(fan(list(range(9)), job_of_items(), concurrency=4), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert max(len(items) for items in slices(machine)) <= 4


def test_a_job_that_is_not_seen_and_then_gone_is_lost_though_the_words_are_the_same(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    vendor.doubts = 2

    def vanish(call: str, key: str) -> None:
        if call == "poll" and sum(vendor.made.values()) == 1:
            vendor.jobs.clear()

    vendor.before = vanish
    machine = machine_of(chain(1, payload={"polls": 2}), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert sum(vendor.made.values()) == 2


def test_a_slice_that_is_gone_is_lost_with_its_items(tmp_path: Path) -> None:
    vendor = MemoryVendor()

    def vanish(call: str, key: str) -> None:
        if call == "poll" and vendor.calls["poll"] == 2:
            vendor.jobs.clear()

    vendor.before = vanish
    machine = sliced(fan(list(range(4)), job_of_items(polls=5)), vendor, tmp_path)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert slices(machine) == [[0, 1, 2, 3]] * 2
    assert len({planned.key for planned in told(machine, JobPlanned)}) == 2


def test_an_abort_cancels_a_slice(tmp_path: Path) -> None:
    vendor = MemoryVendor()
    machine = sliced(fan(list(range(50)), job_of_items(polls=10_000)), vendor, tmp_path, 20)

    def abort(call: str, key: str) -> None:
        if call == "poll" and not machine.log.posted:
            post(machine, type="abort", reason="enough")

    vendor.before = abort
    assert machine.run().status is ExecutionStatus.ABORTED
    assert not vendor.live and not machine.state().jobs


def test_an_engine_that_dies_anywhere_leaves_one_job_for_each_slice(tmp_path: Path) -> None:
    outcomes = {"outcomes": {"1": "EVICTED"}, "attempts": {"1": 1}}
    spec = fan(list(range(5)), job_of_items(**outcomes), min_success_ratio=0.5)
    whole = sliced(spec, MemoryVendor(), tmp_path / "whole", 3)
    whole.run()
    for crash_after in range(whole.log.appends):
        vendor = MemoryVendor()
        machine = sliced(spec, vendor, tmp_path / str(crash_after), 3)
        with suppress(Crash):
            machine.run(crash_after=crash_after)
        state = machine.state() if machine.state().status.is_final else machine.run()
        assert state.status is ExecutionStatus.SUCCEEDED
        assert set(vendor.made.values()) == {1}
        assert machine.outputs() == whole.outputs()


def test_a_job_may_wait_for_its_backend_for_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is as deep in calls as the one before."""
    from flytepath.engine.jobs import desk
    from flytepath.engine.jobs.backends import BackendUnavailableError, GivenBackends

    monkeypatch.setattr(desk, "PARKED_SECONDS", 0.0)
    looks = iter(range(3000))

    class AwayForLong(GivenBackends):
        async def get(self, name: str, tenant: Any, task_type: str = "") -> Any:
            if vendor.made and next(looks, None) is not None:
                raise BackendUnavailableError(f"the plugin of {name} is quarantined")
            return await super().get(name, tenant, task_type)

    vendor = MemoryVendor()
    machine = machine_of(chain(1), vendor, tmp_path, backends=AwayForLong)
    assert machine.run().status is ExecutionStatus.SUCCEEDED
    assert next(looks, None) is None and set(vendor.made.values()) == {1}
