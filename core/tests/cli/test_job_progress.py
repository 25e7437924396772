"""What the progress of a run says of remote jobs, from the events of an archived log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flytepath.cli.job_progress import JobNotes
from flytepath.cli.progress import LiveProgress, PlainProgress
from flytepath.client.views import WaitView
from flytepath.errors import StoreError
from flytepath.model.events import Event, NodeExpanded, read_event

GOLDEN = Path(__file__).parent.parent / "golden" / "events" / "0.3-jobs.jsonl"
NAMES = {"n0": "query", "n1": "query", "n2": "query"}


def events() -> list[Event]:
    return [read_event(json.loads(line)) for line in GOLDEN.read_text().splitlines()]


def test_each_step_of_a_job_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress(dict(NAMES))
    for event in events():
        progress.event(event)
    told = capsys.readouterr().err.splitlines()
    of_n0 = [line.partition(": ")[2] for line in told if line.startswith("n0 query: ")]
    assert of_n0[1:-1] == [
        "is parked: backend 'vendor' cannot be used: no enabled plugin provides it",
        "job aaaaaaaaaaaa asks for 1 of vendor/acme",
        "nobody knows whether vendor took it (submit: no answer within 60 s): that comes before anything else",
        "was found on vendor as query-n0",
        "running on vendor (ACTIVE); console: https://vendor.example/j1",
        "collecting on vendor (FINISHED)",
    ]
    assert "n1 query: vendor has no room for it (TooManyJobs): it waits again" in told
    assert "n1 query: failed on vendor (EVICTED): the machine was taken away" in told
    assert "n2 query: is being cancelled: the execution was aborted" in told


def test_what_was_learned_before_is_not_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress(dict(NAMES))
    before, after = events()[:12], events()[12:14]
    for event in before:
        progress.learn(event)
    for event in after:
        progress.event(event)
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(" ")[0] for line in told] == ["running", "collecting"]


def test_jobs_of_single_items_of_a_map_are_only_counted(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress({"n": "query"})
    first = events()[0]
    progress.event(first.model_copy(update={"payload": NodeExpanded(node="n", items=3, inputs={})}))
    planned = events()[6]
    of_item = planned.payload.model_copy(update={"node": "n/1"})
    progress.event(planned.model_copy(update={"payload": of_item}))
    progress.event(events()[11])
    assert capsys.readouterr().err.splitlines() == ["n query: 3 items"]


def test_a_terminal_shows_where_a_job_is_and_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    wait = WaitView(pool="vendor/acme", reason="all 1 is held", blocker="sales holds 1", position=3)
    progress = LiveProgress(dict(NAMES), look=lambda: lambda key: wait)
    for event in events()[:9]:
        progress.event(event)

    def table() -> str:
        with progress._console.capture() as captured:
            progress._console.print(progress._table())
        return captured.get()

    assert table().count("waits for pool vendor/acme, in place 3: all 1 is held (sales holds 1)") == 3
    for event in events()[9:13]:
        progress.event(event)
    assert "running on vendor (ACTIVE)" in table()
    assert table().count("waits for pool") == 2


def test_a_store_that_is_away_leaves_the_last_word_of_the_log() -> None:
    def away(key: str) -> WaitView | None:
        raise StoreError("away")

    notes = JobNotes(lambda: away)
    for event in events()[:9]:
        notes.tell(event)
    assert notes.waits("n0") == ""
    assert JobNotes().waits("n0") == ""


def test_events_of_nothing_remote_say_nothing() -> None:
    notes = JobNotes()
    assert [notes.tell(event) for event in events()[:5]] == [None] * 5
    assert notes.tell(events()[12]) is None  # of a job that was never planned here


def test_why_a_job_still_waits_is_told_when_the_vendor_says_so_anew(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress(dict(NAMES))
    running = next(event for event in events() if event.payload.type == "job_observed")
    key = getattr(running.payload, "key", "")
    for event in events():
        progress.learn(event)
        if event.payload.type == "job_submitted" and getattr(event.payload, "key", "") == key:
            break
    for reason in ("0 of 3 machines are free", "0 of 3 machines are free", "its image is pulled"):
        told = {"phase": "queued", "raw_state": "Pending", "reason": reason, "links": ()}
        progress.event(running.model_copy(update={"payload": running.payload.model_copy(update=told)}))
    said = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "queued on vendor (Pending): 0 of 3 machines are free",
        "queued on vendor (Pending): its image is pulled",
    ]


def test_that_the_vendor_gives_no_answer_is_told_and_that_it_does_again(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress(dict(NAMES))
    running = next(event for event in events() if event.payload.type == "job_observed")
    key = getattr(running.payload, "key", "")
    for event in events():
        progress.learn(event)
        if event.payload.type == "job_submitting" and getattr(event.payload, "key", "") == key:
            break
    for phase, reason in (
        ("submitting", "its submission fails and is tried again: 503"),
        ("running", ""),
        ("running", "half of it is done"),
        ("running", "it is looked at, which fails: 503"),
        ("running", "it is looked at, which fails: 503"),
        ("running", "half of it is done"),
    ):
        told = {"phase": phase, "raw_state": "", "reason": reason, "links": ()}
        progress.event(running.model_copy(update={"payload": running.payload.model_copy(update=told)}))
    said = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "submitting on vendor: its submission fails and is tried again: 503",
        "running on vendor",
        "running on vendor: it is looked at, which fails: 503",
        "running on vendor: half of it is done",
    ]
