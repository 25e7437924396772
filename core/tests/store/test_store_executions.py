from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from databases import execute
from flytepath.errors import UsageError
from flytepath.model.events import (
    AbortRequested,
    ErrorRecord,
    Event,
    ExecutionAborted,
    ExecutionContinued,
    ExecutionFailed,
    ExecutionOwned,
    ExecutionPaused,
    ExecutionSucceeded,
)
from flytepath.store.events import Store, open_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_logs import ADA, created, noted

ERROR = ErrorRecord(kind="user", code="FP-TASK-FAILED", message="no")
ENDS = {"succeeded": ExecutionSucceeded(), "failed": ExecutionFailed(error=ERROR), "aborted": ExecutionAborted()}


def event(execution: str, seq: int, payload: Any, at: float = 9.0) -> Event:
    return Event(execution=execution, seq=seq, at=at, actor=ADA, payload=payload)


def test_a_row_says_what_the_log_says(store: Store) -> None:
    store.create("x", [created("x", at=3.0)])
    epoch = store.acquire("x", "engine-1", ttl=10)
    store.append("x", 1, epoch, [event("x", 2, ExecutionOwned(owner="engine-1", epoch=epoch), at=4.0)])
    (row,) = store.executions()
    assert (row.id, row.project, row.domain, row.workflow, row.version) == ("x", "shop", "development", "flow.wf", "v1")
    assert (row.state, row.created_at, row.updated_at, row.last_seq, row.owner) == ("running", 3.0, 4.0, 2, "engine-1")


@pytest.mark.parametrize("state", ENDS)
def test_an_execution_ends_as_its_last_event_says(store: Store, state: str) -> None:
    store.create("x", [created("x")])
    store.append("x", 1, 0, [event("x", 2, ENDS[state])])
    store.create("y", [created("y")])
    assert [row.id for row in store.executions(state=state)] == ["x"]
    assert [row.id for row in store.executions(state="running")] == ["y"]


def test_pages_go_from_the_newest_to_the_oldest_without_gap_or_repetition(store: Store) -> None:
    for number in range(25):
        store.create(f"x{number:02}", [created(f"x{number:02}", at=float(number // 3) + 0.1)])
    pages, cursor = [], None
    while page := store.executions(limit=10, cursor=cursor):
        pages.append([row.id for row in page])
        cursor = page[-1].cursor
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in page] == [f"x{number:02}" for number in reversed(range(25))]


def test_lists_are_of_one_project_and_domain(store: Store) -> None:
    for number, (project, domain) in enumerate([("a", "dev"), ("a", "prod"), ("b", "dev")]):
        store.create(f"x{number}", [created(f"x{number}", project=project, domain=domain)])
    assert [row.id for row in store.executions(project="a", domain="prod")] == ["x1"]
    assert [row.id for row in store.executions(project="a")] == ["x1", "x0"]
    assert [row.id for row in store.executions(domain="dev")] == ["x2", "x0"]


@pytest.mark.parametrize("question", [{"cursor": "yesterday"}, {"state": "dead"}, {"limit": 0}])
def test_a_question_that_cannot_be_answered_is_a_usage_error(store: Store, question: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        store.executions(**question)


STEPS = st.one_of(
    st.builds(ExecutionOwned, owner=st.sampled_from(["a", "b"]), epoch=st.integers(1, 9)),
    st.builds(AbortRequested),
    st.builds(ExecutionPaused),
    st.builds(ExecutionContinued),
    st.sampled_from(list(ENDS.values())),
)
LOGS = st.lists(st.lists(st.tuples(STEPS, st.floats(0, 1e9)), max_size=6), max_size=5)
TABLES = ("events", "executions", "leases", "literals")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs=LOGS, split=st.integers(1, 3))
def test_rebuilt_projections_are_equal_to_those_they_replace(
    store: Store, logs: list[list[tuple[Any, float]]], split: int
) -> None:
    for table in TABLES:
        execute(store, f"DELETE FROM {table}")
    for number, steps in enumerate(logs):
        name = f"x{number}"
        events = [created(name, at=float(number), project=f"p{number % 2}")]
        events += [event(name, seq, payload, at) for seq, (payload, at) in enumerate(steps, 2)]
        store.create(name, events[:split])
        for start in range(split, len(events), split):
            store.append(name, start, 0, events[start : start + split])
    before = store.executions()
    execute(store, "UPDATE executions SET state = 'lost', last_seq = 0 WHERE id = 'x0'")
    execute(store, "DELETE FROM executions WHERE id = 'x1'")
    assert store.rebuild_projections() == len(logs)
    assert store.executions() == before


def test_more_executions_than_are_read_at_a_time_are_rebuilt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flytepath.store.executions._CHUNK", 3)
    for number in range(10):
        store.create(f"x{number}", [created(f"x{number}", at=float(number)), noted(f"x{number}", 2, at=50.0)])
    before = store.executions()
    assert store.rebuild_projections() == 10
    assert store.executions() == before
    assert len(before) == 10


def test_a_paused_execution_counts_as_running(store: Store) -> None:
    store.create("x", [created("x"), event("x", 2, ExecutionPaused())])
    assert [row.id for row in store.executions(state="running")] == ["x"]


def test_nothing_appended_during_a_rebuild_is_missed(tmp_path: Path, url: str | None) -> None:
    with open_store(tmp_path, url=url) as store, open_store(tmp_path, url=url) as other:
        store.create("x", [created("x")])
        writes = [other.append_later("x", seq - 1, 0, [noted("x", seq)]) for seq in range(2, 200)]
        while not all(write.done() for write in writes):
            store.rebuild_projections()
        assert [write.exception() for write in writes] == [None] * 198
        (row,) = store.executions()
        assert row.last_seq == 199
        store.rebuild_projections()
        assert store.executions() == [row]


def test_a_log_goes_on_after_a_rebuild(store: Store) -> None:
    store.create("x", [created("x")])
    store.rebuild_projections()
    store.append("x", 1, 0, [noted("x", 2, at=7.0)])
    (row,) = store.executions()
    assert (row.last_seq, row.updated_at) == (2, 7.0)
