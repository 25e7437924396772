"""How an attempt ended, of what the vendor saw and what its worker left: every pair of the two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flytepath.engine.jobs import Job, follow
from flytepath.engine.jobs.of_workers import WorkerEnded, ended_items, ended_worker
from flytepath.engine.jobs.slices import newly_ended
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.jobs.worker_outcomes import left_at
from flytepath.engine.local.places import outcome_place
from flytepath.model.events import Blob, ErrorRecord
from flytepath.model.literal import Literal
from flytepath.model.messages import PROTOCOL_VERSION, AttemptErred, AttemptOutcome, AttemptSucceeded, DeckReport
from flytepath.model.types import INTEGER
from flytepath.plugin.backend import (
    BackendError,
    ErrorClass,
    ItemPhases,
    Observation,
    Phase,
)
from flytepath.store.outcomes import UNTOLD, outcomes_at

QUICK = Patience(outage=0.2, pause=0.01, longest_pause=0.02)
SEVEN = {"o0": Literal.make(INTEGER, 7)}


class Scene:
    """A job that a worker ran, and the place of what it left."""

    def __init__(self, folder: Path, items: Mapping[int, int] | None = None) -> None:
        self.shelf = str(folder / "shared" / "default" / "development" / "outputs" / "x1")
        (folder / "shared" / "default" / "development").mkdir(parents=True)
        self.job = Job("k", "n0", 1, "process", "", {"worker": {"shelf": self.shelf}}, task="flow.step")
        self.job.phase = Phase.RUNNING
        if items:
            self.job.is_slice, self.job.items, self.job.attempt = True, dict(items), 0

    def place(self, node: str = "n0", attempt: int = 1) -> str:
        return outcome_place(self.shelf, node, attempt)

    def gave(self, node: str = "n0", attempt: int = 1, at: float = 9.0, **reports: Any) -> None:
        outcome = AttemptOutcome(protocol=PROTOCOL_VERSION, at=at, outcome=AttemptSucceeded(outputs=SEVEN), **reports)
        outcomes_at(self.place(node, attempt)).commit(outcome.model_dump_json().encode())

    def failed(
        self, message: str = "no", kind: Any = "user", node: str = "n0", attempt: int = 1, at: float = 5.0, **more: Any
    ) -> None:
        record = ErrorRecord(kind=kind, code="FP-TASK-FAILED", message=message, traceback="line 3\n", place="flow.step")
        erred = AttemptErred(error=record, progress=more.pop("progress", None))
        outcome = AttemptOutcome(protocol=PROTOCOL_VERSION, at=at, outcome=erred, **more)
        outcomes_at(self.place(node, attempt)).add("errors", outcome.model_dump_json().encode())

    def ended(self, phase: Phase | None, **facts: Any) -> WorkerEnded:
        seen = Observation(phase, "vendor's word", **facts)
        return asyncio.run(ended_worker(self.job, seen, lambda _job, outputs: outputs, QUICK))

    def error(self, phase: Phase | None, **facts: Any) -> ErrorRecord:
        """What the attempt fails with, as it is recorded."""
        ended = self.ended(phase, **facts)
        assert ended.outputs is None
        (observed,) = follow(self.job, ended.seen)
        assert observed.type == "job_observed"
        assert observed.phase == "failed"
        assert observed.error is not None
        return observed.error


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


ENDS = [
    (Phase.SUCCEEDED, {}),
    (Phase.FAILED, {"error_class": ErrorClass.USER, "exit_code": 1}),
    (Phase.FAILED, {"error_class": ErrorClass.OUT_OF_MEMORY}),
    (Phase.FAILED, {"error_class": ErrorClass.PREEMPTED}),
    (Phase.FAILED, {}),
    (Phase.CANCELLED, {}),
    (None, {"gone": True}),
    (Phase.RUNNING, {"gone": True}),
]


@pytest.mark.parametrize(("phase", "facts"), ENDS)
def test_outputs_that_were_committed_count_whatever_the_vendor_says(
    scene: Scene, phase: Phase | None, facts: dict[str, Any]
) -> None:
    scene.failed()
    scene.gave()
    ended = scene.ended(phase, **facts)
    assert ended.outputs == SEVEN
    (observed,) = follow(scene.job, ended.seen)
    assert observed.type == "job_observed"
    assert (observed.phase, observed.error) == ("collecting", None)


@pytest.mark.parametrize(
    ("phase", "facts", "kind", "code"),
    [
        (Phase.SUCCEEDED, {}, "system", "FP-JOB-LOST"),
        (Phase.FAILED, {"error_class": ErrorClass.USER, "exit_code": 1}, "user", "FP-JOB-FAILED"),
        (Phase.FAILED, {"error_class": ErrorClass.USER, "exit_code": UNTOLD}, "system", "FP-JOB-LOST"),
        (Phase.FAILED, {"error_class": ErrorClass.OUT_OF_MEMORY}, "system", "FP-OUT-OF-MEMORY"),
        (Phase.FAILED, {"error_class": ErrorClass.PREEMPTED}, "preempted", "FP-JOB-PREEMPTED"),
        (Phase.CANCELLED, {}, "user", "FP-JOB-CANCELLED"),
        (None, {"gone": True}, "system", "FP-JOB-LOST"),
    ],
)
def test_where_nothing_was_left_the_vendors_word_counts(
    scene: Scene, phase: Phase | None, facts: dict[str, Any], kind: str, code: str
) -> None:
    error = scene.error(phase, **facts)
    assert (error.kind, error.code) == (kind, code)


@pytest.mark.parametrize(
    ("phase", "facts"),
    [
        (Phase.SUCCEEDED, {}),
        (Phase.FAILED, {"error_class": ErrorClass.USER, "exit_code": 1}),
        (Phase.FAILED, {"exit_code": UNTOLD}),
        (Phase.FAILED, {}),
    ],
)
def test_what_the_worker_says_is_what_the_attempt_fails_with(
    scene: Scene, phase: Phase | None, facts: dict[str, Any]
) -> None:
    scene.failed("my own words")
    error = scene.error(phase, **facts)
    assert (error.kind, error.code, error.message) == ("user", "FP-TASK-FAILED", "my own words")


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"error_class": ErrorClass.PREEMPTED}, "preempted"),
        ({"error_class": ErrorClass.LOST}, "system"),
    ],
)
def test_a_machine_that_was_taken_away_is_not_the_users_fault(scene: Scene, facts: dict[str, Any], kind: str) -> None:
    scene.failed("connection reset by peer")
    error = scene.error(Phase.FAILED, **facts)
    assert error.kind == kind
    assert "connection reset by peer" in error.traceback
    assert "line 3" in error.traceback


def test_a_worker_that_was_told_to_go_says_so_itself(scene: Scene) -> None:
    scene.failed("told to go", kind="preempted", progress=7.0)
    ended = scene.ended(Phase.FAILED, error_class=ErrorClass.USER, exit_code=143)
    assert ended.seen.observation.progress == 7.0
    assert scene.error(Phase.FAILED, error_class=ErrorClass.USER, exit_code=143).kind == "preempted"


def test_that_somebody_cancelled_it_counts_for_more_than_that_its_worker_was_told(scene: Scene) -> None:
    scene.failed("told to go", kind="preempted")
    error = scene.error(Phase.CANCELLED)
    assert (error.code, error.recoverable) == ("FP-JOB-CANCELLED", False)


def test_of_several_errors_the_earliest_counts_and_all_reports_are_kept(scene: Scene) -> None:
    def deck(name: str) -> DeckReport:
        return DeckReport(name=name, deck=Blob(uri="file:///x", digest="sha256:" + "0" * 64, size=1))

    for name, at in (("second", 6.0), ("first", 5.0), ("third", 7.0)):
        scene.failed(name, at=at, reports=(deck(name),))
    left = left_at(scene.place())
    assert left.error is not None
    assert left.error.message == "first"
    assert [report.name for report in left.reports] == ["first", "second", "third"]  # type: ignore[union-attr]
    scene.gave(reports=(deck("result"),))
    left = left_at(scene.place())
    assert left.error is None
    assert [report.name for report in left.reports][-1] == "result"  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"", b"{half", b"{}", b'{"protocol": 99}'])
def test_a_result_that_nobody_understands_is_no_outage(scene: Scene, content: bytes) -> None:
    outcomes_at(scene.place()).commit(content)
    with pytest.raises(BackendError) as raised:
        left_at(scene.place())
    assert raised.value.error_class is ErrorClass.INVALID
    assert scene.error(Phase.SUCCEEDED).code == "FP-JOB-INVALID"


def test_a_storage_that_stays_away_is_given_up_in_the_end(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "shared").rename(tmp_path / "hidden")
    error = scene.error(Phase.SUCCEEDED)
    assert (error.kind, error.code) == ("system", "FP-JOB-UNAVAILABLE")
    assert "mounted" in error.message or "not there" in error.message


def test_outputs_that_are_refused_fail_the_attempt(scene: Scene) -> None:
    scene.gave()

    def refuses(_job: Job, _outputs: Mapping[str, Literal]) -> Mapping[str, Literal]:
        raise BackendError("o0 is no text", error_class=ErrorClass.INVALID)

    ended = asyncio.run(ended_worker(scene.job, Observation(Phase.SUCCEEDED, ""), refuses, QUICK))
    assert ended.outputs is None
    (observed,) = follow(scene.job, ended.seen)
    assert observed.type == "job_observed"
    assert observed.error is not None
    assert "no text" in observed.error.message


def test_items_end_each_for_itself(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {0: 1, 3: 2, 4: 1, 5: 1, 8: 1})
    scene.gave("n0/0", 1)
    scene.gave("n0/3", 2)
    scene.failed("its own", node="n0/4")
    phases = {Phase.SUCCEEDED: (0, 5), Phase.FAILED: (3, 4), Phase.RUNNING: (8,)}
    seen = Observation(Phase.RUNNING, "", items=ItemPhases(phases, {3: "machine lost"}, {3: ErrorClass.LOST}))
    threads: set[str] = set()

    def take(_job: Job, outputs: Mapping[str, Literal]) -> Mapping[str, Literal]:
        threads.add(threading.current_thread().name)
        return outputs

    found = asyncio.run(ended_items(scene.job, seen, newly_ended(scene.job, seen), take, QUICK))
    assert dict(found.outputs) == {0: SEVEN, 3: SEVEN}, "item 3 had given its outputs before its machine was lost"
    assert {index: error.code for index, error in found.failed.items()} == {4: "FP-TASK-FAILED", 5: "FP-JOB-LOST"}
    assert found.settled == (0, 3, 4, 5)
    assert "MainThread" not in threads
