"""Stored events stay readable for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from flytepath.engine.fold import fold
from flytepath.engine.state import ExecutionStatus
from flytepath.errors import LiteralError
from flytepath.model.events import Event, Payload, read_event
from flytepath.model.workflow import WorkflowSpec

GOLDEN = Path(__file__).parent.parent / "golden" / "events"


def archived(name: str) -> list[dict]:
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


@pytest.mark.parametrize("log", sorted(path.name for path in GOLDEN.glob("*.jsonl")))
def test_an_archived_log_is_read_and_written_back_as_it_was(log: str) -> None:
    for line in archived(log):
        assert read_event(line).to_json() == line


def test_every_kind_of_event_stands_in_the_archive() -> None:
    kinds = {kind.model_fields["type"].default for kind in get_args(get_args(Payload)[0])}
    stored = {line["payload"]["type"] for path in GOLDEN.glob("*.jsonl") for line in archived(path.name)}
    assert stored == kinds


@pytest.mark.parametrize(
    ("log", "status"),
    [("0.1-succeeded.jsonl", ExecutionStatus.SUCCEEDED), ("0.1-failed.jsonl", ExecutionStatus.FAILED)],
)
def test_an_archived_log_folds_to_the_state_it_had(log: str, status: ExecutionStatus) -> None:
    spec = WorkflowSpec.model_validate_json((GOLDEN / "0.1-spec.json").read_text())
    state = fold(spec, [read_event(line) for line in archived(log)])
    assert state.status is status
    assert state.unfinished == 0


def test_an_archived_log_of_remote_jobs_folds_to_the_state_it_had() -> None:
    spec = WorkflowSpec.model_validate_json((GOLDEN / "0.3-jobs-spec.json").read_text())
    events = [read_event(line) for line in archived("0.3-jobs.jsonl")]
    middle = fold(spec, events[:13])
    assert {job.node: job.phase.value for job in middle.jobs.values()} == {
        "n0": "running",
        "n1": "waiting_quota",
        "n2": "waiting_quota",
    }
    state = fold(spec, events)
    assert state.status is ExecutionStatus.ABORTED
    assert not state.jobs and not state.job_of and not state.parked and not state.running


def test_a_newer_schema_version_is_refused_with_the_remedy() -> None:
    line = archived("0.1-succeeded.jsonl")[0]
    with pytest.raises(LiteralError, match="upgrade flytepath"):
        read_event({**line, "v": 99})


@pytest.mark.parametrize(
    "damage", [{}, {"payload": {"type": "no_such"}}, {"payload": {"type": "node_failed"}, "seq": 0}]
)
def test_a_damaged_record_is_an_error_of_ours(damage: dict) -> None:
    with pytest.raises(LiteralError):
        read_event(damage)


def test_events_are_frozen() -> None:
    event: Event = read_event(archived("0.1-succeeded.jsonl")[0])
    with pytest.raises(ValueError, match="frozen"):
        event.seq = 7  # type: ignore[misc]


def test_an_archived_log_of_every_construct_folds_to_the_state_it_had() -> None:
    kept = json.loads((GOLDEN / "0.1-constructs-specs.json").read_text())
    specs = {digest: WorkflowSpec.model_validate(spec) for digest, spec in kept["specs"].items()}
    events = [read_event(line) for line in archived("0.1-constructs.jsonl")]
    state = fold(WorkflowSpec.model_validate(kept["spec"]), events, specs.__getitem__)
    assert state.status is ExecutionStatus.FAILED
    assert state.failed_node == "n7/n0"
    assert all(node.status.is_final for node in state.nodes.values())
    assert {"n1/c1/n0", "n4/n0", "n5/0/n0", "n7/fn0"} <= set(state.nodes)
    item = state.find("n2/1")
    assert item is not None
    assert item.status.is_final
