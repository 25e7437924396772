"""Remote jobs in views and explanations, along the events of an archived log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flytepath.client.explaining import Explainer
from flytepath.client.explanations import Surroundings
from flytepath.client.job_viewing import JobViews, doing, item_phases
from flytepath.client.viewing import node_view
from flytepath.client.views import WaitView
from flytepath.engine.fold import fold
from flytepath.engine.jobs import Job
from flytepath.engine.state import ExecutionState
from flytepath.model.events import Event, read_event
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin.backend import Phase

GOLDEN = Path(__file__).parent.parent / "golden" / "events"
WAIT = WaitView(pool="vendor/acme", reason="all 2 are held", blocker="sales holds 2", position=4, since=1000.0)


def events(until: int) -> list[Event]:
    return [read_event(json.loads(line)) for line in (GOLDEN / "0.3-jobs.jsonl").read_text().splitlines()[:until]]


def state_at(until: int) -> ExecutionState:
    spec = WorkflowSpec.model_validate_json((GOLDEN / "0.3-jobs-spec.json").read_text())
    return fold(spec, events(until))


def explained(until: int, node: str, *, is_driven: bool = True) -> tuple[str, list[str], str]:
    around = Surroundings(
        now=1100.0,
        is_driven=is_driven,
        computing=lambda _: None,
        waits=lambda key: WAIT if "b" * 8 in key else None,
    )
    found = Explainer("x1", state_at(until), events(until), around).explain(node)
    return found.summary, [fact.text for fact in found.facts], found.command


def test_before_it_is_planned_a_node_says_so() -> None:
    assert explained(5, "n0")[0] == "its job is being planned"


def test_a_node_whose_plugin_is_missing_says_why_it_is_parked() -> None:
    reason = "backend 'vendor' cannot be used: no enabled plugin provides it"
    assert explained(6, "n0")[0] == f"it is parked: {reason}"
    state = state_at(6)
    assert node_view(state.nodes["n0"], JobViews(state)).reason == reason


def test_a_job_in_line_says_what_it_waits_for() -> None:
    summary, facts, _ = explained(9, "n1")
    assert summary == "it waits for pool vendor/acme, in place 4: all 2 are held (sales holds 2)"
    assert facts[-1].startswith("it has waited for 1 min 40 s for pool vendor/acme")
    assert "its resources were changed by policy small" in facts
    assert explained(9, "n2")[0] == "it waits for its turn in pool vendor/acme"


@pytest.mark.parametrize(
    ("until", "said"),
    [
        (10, "it is being submitted to vendor as query-n0"),
        (11, "nobody knows whether vendor took it (submit: no answer within 60 s)"),
        (12, "it waits for its turn at vendor as query-n0"),
        (13, "it runs on vendor as query-n0 (ACTIVE)"),
        (14, "its outputs are taken over from vendor as query-n0"),
    ],
)
def test_each_phase_says_what_is_being_done(until: int, said: str) -> None:
    assert explained(until, "n0")[0].startswith(said)


def test_an_explanation_tells_the_way_to_where_a_job_is() -> None:
    _, facts, _ = explained(13, "n0")
    told = [fact for fact in facts if not fact.startswith("attempt")]
    assert told == [
        "job aaaaaaaaaaaa for vendor was planned",
        "it was found at the vendor as query-n0",
        "since then it is running (ACTIVE)",
        "console: https://vendor.example/j1",
        "it holds 1 of vendor/acme",
    ]


def test_nobody_drives_it_and_it_runs_on() -> None:
    summary, _, command = explained(13, "n0", is_driven=False)
    assert summary == "it runs on vendor as query-n0 (ACTIVE), as far as was seen when its engine ended"
    assert command == "flytepath executions resume x1"


def test_a_job_that_the_vendor_sent_back_says_why() -> None:
    assert "the vendor had no room: TooManyJobs" in explained(19, "n1")[1]


def test_a_job_that_is_cancelled_says_why() -> None:
    assert explained(27, "n2")[0] == "it is being cancelled before it was submitted: the execution was aborted"


def test_the_whole_says_how_many_do_not_get_on() -> None:
    assert explained(9, "")[0] == "of its nodes 3 wait for a pool"
    assert explained(6, "")[0] == "of its nodes 2 run, 1 are parked"


def slice_of(count: int, **facts: object) -> Job:
    job = Job("k", "n0", 0, "vendor", "", {"name": "s"}, items=dict.fromkeys(range(count), 1), is_slice=True)
    for name, value in facts.items():
        setattr(job, name, value)
    return job


def test_items_of_a_slice_are_counted_in_the_phase_they_are_in() -> None:
    assert item_phases(slice_of(5)) == {"planned": 5}
    seen = {"queued": 2, "running": 1, "succeeded": 1}
    assert item_phases(slice_of(4, phase=Phase.RUNNING, item_phases=seen)) == {
        "queued": 2,
        "running": 1,
        "collecting": 1,
    }
    assert item_phases(slice_of(0, phase=Phase.COLLECTING)) == {}


def test_a_refused_job_without_pools_is_submitted_again() -> None:
    job = Job("k", "n0", 1, "vendor", "", {}, phase=Phase.WAITING_QUOTA, reason="TooMany")
    assert doing(job) == "vendor has no room for it (TooMany); it is submitted again"
