"""The table of jobs: what its rows say, and that they follow from the log alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from databases import execute
from flytepath.model.events import (
    Event,
    ExecutionSucceeded,
    JobAmbiguous,
    JobCancelling,
    JobCollected,
    JobEnded,
    JobObserved,
    JobParked,
    JobPlanned,
    JobReturned,
    JobSubmitted,
    JobSubmitting,
    read_event,
)
from flytepath.store import jobs
from flytepath.store.events import Store
from flytepath.store.retention import Ended, remove_executions, remove_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_logs import ADA, created, noted

GOLDEN = Path(__file__).parent.parent / "golden" / "events" / "0.3-jobs.jsonl"
KEY = "sha256:" + "a1" * 32
OTHER = "sha256:" + "a2" * 32


def planned(key: str = KEY, execution: str = "x", **facts: Any) -> JobPlanned:
    plan = {"name": "query-1", "scope": "acme", "owner": ["home", "shop", "development", execution, "n0"]}
    return JobPlanned(
        **{"key": key, "node": "n0", "attempt": 1, "backend": "vendor", "settings": "", "plan": plan, **facts}
    )


def event(seq: int, payload: Any, execution: str = "x", at: float | None = None) -> Event:
    return Event(execution=execution, seq=seq, at=float(seq) if at is None else at, actor=ADA, payload=payload)


def wrote(store: Store, *payloads: Any, execution: str = "x") -> None:
    """Append each by itself."""
    store.create(execution, [created(execution)])
    for seq, payload in enumerate(payloads, 2):
        store.append(execution, seq - 1, 0, [event(seq, payload, execution)])


def rows(store: Store, **question: Any) -> list[jobs.JobRow]:
    return store.database.read(lambda connection: jobs.listed(connection, **{"ended": True, **question}))


def everything(store: Store) -> list[tuple[Any, ...]]:
    query = "SELECT * FROM jobs ORDER BY key"
    return store.database.read(lambda connection: [tuple(row) for row in connection.exec_driver_sql(query)])


def test_a_row_tells_the_life_of_its_job(store: Store) -> None:
    wrote(store, planned(pools=(("p", 1),), submission=2))
    (row,) = rows(store)
    assert (row.key, row.execution, row.node, row.project, row.domain) == (KEY, "x", "n0", "shop", "development")
    assert (row.backend, row.scope, row.external_name, row.submission) == ("vendor", "acme", "query-1", 2)
    assert (row.phase, row.is_live, row.handle, row.planned_at) == ("waiting_quota", True, None, 2.0)
    steps: list[tuple[Any, dict[str, Any]]] = [
        (JobSubmitting(key=KEY, epoch=1), {"phase": "submitting"}),
        (JobAmbiguous(key=KEY, reason="cut off"), {"phase": "ambiguous", "reason": "cut off"}),
        (JobReturned(key=KEY, reason="full"), {"phase": "waiting_quota", "reason": "full"}),
        (JobParked(node="n0", key=KEY, reason="no plugin"), {"phase": "waiting_quota", "reason": "no plugin"}),
        (
            JobSubmitted(key=KEY, handle={"id": "j1"}, handle_version=3),
            {"phase": "queued", "reason": "", "handle": {"data": {"id": "j1"}, "version": 3}},
        ),
        (
            JobObserved(key=KEY, phase="running", raw_state="ACTIVE", reason="warm"),
            {"phase": "running", "raw_state": "ACTIVE", "reason": "warm", "is_live": True},
        ),
        (JobCancelling(key=KEY, reason="aborted"), {"phase": "running", "reason": "aborted"}),
        (JobCollected(key=KEY), {"phase": "running"}),
        (JobEnded(key=KEY, phase="cancelled", reason="aborted"), {"phase": "cancelled", "is_live": False}),
    ]
    for seq, (payload, expected) in enumerate(steps, 3):
        store.append("x", seq - 1, 0, [event(seq, payload)])
        (row,) = rows(store)
        assert {name: getattr(row, name) for name in expected} == expected
        assert row.changed_at == float(seq)


def test_what_is_appended_together_is_told_together(store: Store) -> None:
    store.create("x", [created("x")])
    payloads = [
        planned(),
        planned(OTHER, node="n1"),
        JobSubmitting(key=KEY, epoch=1),
        JobSubmitted(key=KEY, handle={"id": 1}),
        JobEnded(key=OTHER, phase="failed", reason="no"),
    ]
    store.append("x", 1, 0, [event(seq, payload) for seq, payload in enumerate(payloads, 2)])
    told = {row.key: (row.phase, row.is_live) for row in rows(store)}
    assert told == {KEY: ("queued", True), OTHER: ("failed", False)}


@pytest.mark.parametrize("together", [False, True])
def test_nothing_that_comes_after_the_end_of_a_job_changes_its_row(store: Store, together: bool) -> None:
    late = [JobObserved(key=KEY, phase="running", raw_state="late"), JobParked(node="n0", key=KEY, reason="late")]
    payloads = [planned(), JobEnded(key=KEY, phase="failed", reason="no"), *late]
    if together:
        store.create("x", [created("x"), *(event(seq, payload) for seq, payload in enumerate(payloads, 2))])
    else:
        wrote(store, *payloads)
    (row,) = rows(store)
    assert (row.phase, row.is_live, row.reason, row.raw_state, row.changed_at) == ("failed", False, "no", "", 3.0)
    store.rebuild_projections()
    assert rows(store) == [row]


def test_an_append_that_is_refused_leaves_no_row(store: Store) -> None:
    store.create("x", [created("x")])
    good = store.append_later("x", 1, 0, [noted("x", 2)])
    bad = store.append_later("x", 1, 0, [event(2, planned())])
    good.result()
    assert bad.exception() is not None
    assert rows(store) == []


def test_an_append_that_is_repeated_changes_nothing(store: Store) -> None:
    wrote(store, planned(), JobObserved(key=KEY, phase="running", raw_state="R"))
    before = everything(store)
    store.append("x", 1, 0, [event(2, planned())])
    assert everything(store) == before


def test_a_node_that_is_parked_before_it_is_a_job_has_no_row(store: Store) -> None:
    wrote(store, JobParked(node="n0", reason="no plugin"))
    assert rows(store) == []


@pytest.mark.parametrize("said", ["\x00 nul", "\ud800 half a pair", "x" * 5000, "ü" * 3000])
def test_whatever_a_vendor_says_is_kept_as_far_as_a_row_can(store: Store, said: str) -> None:
    plan = {"name": said, "scope": said, "owner": ["home", "shop", "development", "x", "n0"]}
    wrote(store, planned(plan=plan), JobObserved(key=KEY, phase="failed", raw_state=said, reason=said))
    (row,) = rows(store)
    assert row.phase == "failed"
    assert row.raw_state[-1] == said[-1]
    store.rebuild_projections()
    assert rows(store) == [row]


def test_the_archived_life_of_jobs_leads_to_the_rows_it_should(store: Store) -> None:
    events = [read_event(json.loads(line)) for line in GOLDEN.read_text().splitlines()]
    store.create("x1", events[:1])
    for each in events[1:]:
        store.append("x1", each.seq - 1, 0, [each])
    told = {row.key[7]: (row.phase, row.is_live, row.raw_state) for row in rows(store)}
    assert told == {
        "a": ("succeeded", False, "FINISHED"),
        "b": ("failed", False, "EVICTED"),
        "c": ("cancelled", False, ""),
    }


KEYS = st.sampled_from([KEY, OTHER, "sha256:" + "b3" * 32])
WORDS = st.sampled_from(["", "RUNNING", "gone\x00"])
STEPS = st.one_of(
    st.builds(planned, key=KEYS, pools=st.sampled_from([(), (("p", 2),)])),
    st.builds(JobSubmitting, key=KEYS, epoch=st.just(1)),
    st.builds(JobAmbiguous, key=KEYS, reason=WORDS),
    st.builds(JobReturned, key=KEYS, reason=WORDS),
    st.builds(JobSubmitted, key=KEYS, handle=st.dictionaries(st.just("id"), st.integers())),
    st.builds(JobObserved, key=KEYS, phase=st.sampled_from(["queued", "running"]), raw_state=WORDS, reason=WORDS),
    st.builds(JobParked, node=st.just("n0"), key=KEYS | st.just(""), reason=WORDS),
    st.builds(JobCollected, key=KEYS),
    st.builds(JobCancelling, key=KEYS, reason=WORDS),
    st.builds(JobEnded, key=KEYS, phase=st.sampled_from(["succeeded", "failed", "cancelled"])),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(STEPS, st.floats(0, 1e9)), max_size=12), split=st.integers(1, 4))
def test_rebuilt_rows_are_equal_to_those_they_replace(store: Store, steps: list[Any], split: int) -> None:
    for table in ("events", "executions", "leases", "literals", "jobs"):
        execute(store, f"DELETE FROM {table}")
    events = [created("x"), *(event(seq, payload, at=at) for seq, (payload, at) in enumerate(steps, 2))]
    store.create("x", events[:split])
    for start in range(split, len(events), split):
        store.append("x", start, 0, events[start : start + split])
    before = everything(store)
    execute(store, "UPDATE jobs SET phase = 'lost'")
    execute(store, f"DELETE FROM jobs WHERE key = '{KEY}'")
    store.rebuild_projections()
    assert everything(store) == before


def test_more_jobs_than_are_read_at_a_time_are_rebuilt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flytepath.store.jobs._CHUNK", 3)
    for number in range(10):
        name = f"x{number}"
        wrote(store, planned(f"k{number}a", name), planned(f"k{number}b", name), execution=name)
    before = everything(store)
    store.rebuild_projections()
    assert everything(store) == before
    assert len(before) == 20


def test_jobs_go_with_their_execution(store: Store) -> None:
    wrote(store, planned())
    wrote(store, planned(OTHER, "y"), ExecutionSucceeded(), execution="y")
    remove_executions(store.database, [Ended("y", 3.0, 3)])
    remove_values(store.database, ["y"])
    assert [row.key for row in rows(store)] == [KEY]
    store.rebuild_projections()
    assert [row.key for row in rows(store)] == [KEY]


def test_live_jobs_are_listed_first_and_ended_ones_only_when_asked_for(store: Store) -> None:
    wrote(store, planned("k1"), JobEnded(key="k1", phase="failed"), planned("k2"), planned("k3", backend="other"))
    assert [row.key for row in rows(store)] == ["k3", "k2", "k1"]
    assert [row.key for row in rows(store, ended=False)] == ["k3", "k2"]
    assert [row.key for row in rows(store, backend="vendor")] == ["k2", "k1"]
    assert [row.key for row in rows(store, phase="failed")] == ["k1"]
    assert [row.key for row in rows(store, limit=1)] == ["k3"]
    assert rows(store, project="elsewhere") == []


def test_what_is_known_of_the_jobs_of_a_vendor(store: Store) -> None:
    wrote(store, planned("k1"), planned("k2"), JobEnded(key="k2", phase="cancelled"))
    wrote(store, planned("k3", "y"), ExecutionSucceeded(), execution="y")
    asked = {"k1": "x", "k2": "x", "k3": "y", "k4": "x", "k5": "nowhere"}
    known = store.database.read(lambda connection: jobs.known(connection, asked))
    assert known == {
        "k1": jobs.Known(True, True, "running", 2.0),
        "k2": jobs.Known(True, False, "running", 3.0),
        "k3": jobs.Known(True, False, "succeeded", 2.0),
        "k4": jobs.Known(False, False, "running"),
        "k5": jobs.Known(False, False, ""),
    }


def test_the_plan_of_a_job_is_found_in_the_log(store: Store) -> None:
    wrote(store, planned(OTHER), planned(detached=True))
    found = store.database.read(lambda connection: jobs.plan_event(connection, KEY))
    assert found is not None and found.detached
    assert store.database.read(lambda connection: jobs.plan_event(connection, "k")) is None


def test_a_batch_without_jobs_runs_no_statement_for_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("asked of the table of jobs")

    monkeypatch.setattr(jobs, "project", never)
    store.create("x", [created("x"), noted("x", 2)])
    store.append("x", 2, 0, [noted("x", 3)])
