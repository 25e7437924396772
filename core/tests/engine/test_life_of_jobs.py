"""The life of a job as a pure machine: whatever answers come in whatever order, it stays a life."""

from __future__ import annotations

from typing import Any

import pytest
from flytepath.engine.jobs import (
    AT_VENDOR,
    Answer,
    Cancel,
    Done,
    Granted,
    Job,
    Kept,
    NotThere,
    Park,
    Refused,
    Seen,
    Step,
    Stopped,
    Taken,
    Unclear,
    apply_job,
    error_of,
    follow,
    job_key,
    next_step,
)
from flytepath.model.events import JobEnded, JobPlanned, JobSubmitting, Payload
from flytepath.plugin import ErrorClass, Handle, ItemPhases, Observation, Phase
from hypothesis import given, settings
from hypothesis import strategies as st

KEY = job_key("p", "d", "x", "n0", 1, 0)
texts = st.sampled_from(["", "why", "another reason"])
phases = st.none() | st.sampled_from(list(Phase))
observations = st.builds(
    Observation,
    phases,
    st.sampled_from(["A", "B"]),
    texts,
    st.none() | st.sampled_from(list(ErrorClass)),
    gone=st.booleans(),
    items=st.none() | st.just(ItemPhases({Phase.RUNNING: (0, 1)})),
)
answers: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Granted, st.integers(1, 3)),
    st.builds(Taken, st.just(Handle({"id": "j"})), st.booleans()),
    st.builds(Unclear, texts),
    st.builds(Refused, st.sampled_from(list(ErrorClass)), texts),
    st.builds(NotThere, st.integers(1, 3)),
    st.builds(Seen, observations),
    st.builds(Kept, st.just({"o0": "sha256:0"})),
    st.builds(Cancel, texts),
    st.builds(Stopped, texts, texts),
    st.builds(Park, texts),
)


def planned(**facts: Any) -> dict[str, Job]:
    jobs: dict[str, Job] = {}
    event = JobPlanned(key=KEY, node="n0", attempt=1, backend="vendor", settings="", plan={"spec": 1, "name": "n"})
    apply_job(jobs, event.model_copy(update=facts), 1.0)
    return jobs


def play(jobs: dict[str, Job], *given: Answer) -> list[Payload]:
    told: list[Payload] = []
    for answer in given:
        job = jobs.get(KEY)
        for payload in [] if job is None else follow(job, answer):
            apply_job(jobs, payload, 2.0)
            told.append(payload)
    return told


@settings(max_examples=400, deadline=None)
@given(st.lists(answers, max_size=25), st.sampled_from("ABCD"), st.booleans(), st.booleans())
def test_no_order_of_answers_breaks_a_job(
    given_answers: list[Answer], idempotency: str, detached: bool, pooled: bool
) -> None:
    jobs = planned(detached=detached, pools=(("p", 1),) if pooled else ())
    for answer in given_answers:
        job = jobs[KEY]
        before = job.phase
        for payload in follow(job, answer):
            if isinstance(payload, JobSubmitting):
                # Only what the vendor certainly does not have is submitted.
                assert before in (Phase.PLANNED, Phase.WAITING_QUOTA, Phase.AMBIGUOUS)
                assert isinstance(answer, NotThere) or before is not Phase.AMBIGUOUS
            apply_job(jobs, payload, 2.0)
        job = jobs[KEY]
        assert not (before.is_terminal and job.phase is not before)
        assert job.phase not in AT_VENDOR or job.handle is not None
        assert job.phase is not Phase.FAILED or job.error is not None
        step = next_step(job, idempotency)
        assert step is not Step.SUBMIT or job.phase in (Phase.SUBMITTING, Phase.AMBIGUOUS)
        if job.cancelling is not None and job.outputs is None:
            asks_again = job.phase is Phase.AMBIGUOUS and idempotency == "A" and not job.detached
            assert step in ((Step.SUBMIT,) if asks_again else (Step.CANCEL, Step.CLEAN, Step.END))
    assert isinstance(play(jobs, Done())[-1], JobEnded)
    assert not jobs


def test_a_job_that_is_to_end_and_is_not_there_is_not_submitted_again() -> None:
    jobs = planned()
    told = play(jobs, Granted(1), Unclear("cut off"), Cancel("the execution was aborted"), NotThere(1))
    assert [payload.type for payload in told][-2:] == ["job_cancelling", "job_observed"]
    assert jobs[KEY].phase is Phase.CANCELLED


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_every_class_of_error_has_an_owner_and_a_code(error_class: ErrorClass) -> None:
    record = error_of(planned()[KEY], error_class, "E1: no", exit_code=3)
    is_memory = error_class is ErrorClass.OUT_OF_MEMORY  # as of a worker of this machine
    assert record.code.startswith("FP-OUT-OF-MEMORY" if is_memory else "FP-JOB-")
    assert record.kind in ("user", "system", "preempted")
    assert "E1: no" in record.message and record.actual == "exit code 3"


def test_a_resubmission_out_of_ambiguity_keeps_its_key() -> None:
    jobs = planned()
    told = play(jobs, Granted(1), Unclear("cut off"), NotThere(1), Taken(Handle({"id": "j"})))
    assert [payload.type for payload in told] == [
        "job_submitting",
        "job_ambiguous",
        "job_submitting",
        "job_submitted",
    ]
    assert {getattr(payload, "key", "") for payload in told} == {KEY}


@pytest.mark.parametrize(
    ("items", "submission", "attempt"), [((), 0, 2), ((), 1, 1), (((0, 1),), 0, 1), (((0, 2),), 0, 1)]
)
def test_another_attempt_submission_or_slice_is_another_job(
    items: tuple[tuple[int, int], ...], submission: int, attempt: int
) -> None:
    assert job_key("p", "d", "x", "n0", attempt, submission, items) != KEY
    assert job_key("p", "d", "x", "n0", 1, 0) == KEY


def test_the_spec_of_a_plan_is_let_go_of_when_the_vendor_has_the_job() -> None:
    jobs = planned()
    play(jobs, Granted(1))
    assert jobs[KEY].plan["spec"] == 1
    play(jobs, Taken(Handle({"id": "j"})))
    assert "spec" not in jobs[KEY].plan and jobs[KEY].plan["name"] == "n"


def test_a_job_that_somebody_else_cancelled_is_not_tried_again() -> None:
    jobs = planned()
    play(jobs, Granted(1), Taken(Handle({"id": "j"})), Seen(Observation(Phase.CANCELLED, "CANCELED")))
    error = jobs[KEY].error
    assert error is not None and error.code == "FP-JOB-CANCELLED" and not error.recoverable


def test_what_is_gone_is_lost_and_what_ended_before_is_not() -> None:
    jobs = planned()
    play(jobs, Granted(1), Taken(Handle({"id": "j"})), Seen(Observation(None, "404", gone=True)))
    assert jobs[KEY].error is not None and jobs[KEY].error.code == "FP-JOB-LOST"
    jobs = planned()
    play(jobs, Granted(1), Taken(Handle({"id": "j"})), Seen(Observation(Phase.SUCCEEDED, "DONE", gone=True)))
    assert jobs[KEY].phase is Phase.COLLECTING
