"""Frames are validated as they enter and leave any task whose types say so."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any

import pandas as pd
import pytest
from flyte_plugin_greatexpectations import GreatExpectationsType, expect
from flyte_plugin_greatexpectations.types import GreatExpectationsChecker
from flytepath import current_context, task
from flytepath.plugin import BoundaryCheckError, BoundaryContext, BoundaryReport

NOT_NULL = expect("column_values_to_not_be_null", column="x")
GOOD = pd.DataFrame({"x": [1.0, 2.0]})
BAD = pd.DataFrame({"x": [1.0, None]})

Strict = Annotated[pd.DataFrame, GreatExpectationsType([NOT_NULL])]
Lenient = Annotated[pd.DataFrame, GreatExpectationsType([NOT_NULL], on_failure="warn")]
OnlyWritten = Annotated[pd.DataFrame, GreatExpectationsType([NOT_NULL], side="writing")]


@task
def takes(frame: Strict) -> int:
    return len(frame)


@task
def gives(good: bool) -> Strict:
    return GOOD if good else BAD


@task
def warns(frame: Lenient) -> int:
    return len(frame)


@task
def takes_what_was_checked_when_written(frame: OnlyWritten) -> int:
    return len(frame)


@task
def counts_decks(frame: Strict) -> int:
    return len(current_context().decks)


def report(frame: pd.DataFrame, *expectations: Any, **options: Any) -> BoundaryReport:
    marker = GreatExpectationsType(list(expectations) or [NOT_NULL], **options)
    return GreatExpectationsChecker().check(frame, marker, BoundaryContext("flow.f", "frame", "reading"))


def test_good_frames_pass_both_ways() -> None:
    assert takes(frame=GOOD) == 2
    assert len(gives(good=True)) == 2


def test_a_bad_frame_is_refused_as_it_enters() -> None:
    with pytest.raises(BoundaryCheckError) as caught:
        takes(frame=BAD)
    assert "takes(frame)" in (caught.value.place or "")
    for word in ("column 'x'", "expect_column_values_to_not_be_null", "1 unexpected (50 %)"):
        assert word in caught.value.message


def test_a_bad_frame_is_refused_as_it_leaves() -> None:
    with pytest.raises(BoundaryCheckError, match="expect_column_values_to_not_be_null"):
        gives(good=False)


def test_a_lenient_mark_warns_and_lets_the_frame_pass(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert warns(frame=BAD) == 2
    assert "expect_column_values_to_not_be_null" in caplog.text


def test_the_mark_says_which_side_is_checked() -> None:
    assert takes_what_was_checked_when_written(frame=BAD) == 2


def test_the_check_leaves_its_deck_with_the_task() -> None:
    assert counts_decks(frame=GOOD) == 1


def test_the_report_has_the_facts_as_plain_data_and_the_deck() -> None:
    found = report(BAD)
    assert not found.passed
    details = json.loads(json.dumps(found.details))
    assert details["failures"][0]["column"] == "x"
    assert details["failures"][0]["unexpected_count"] == 1
    ((name, html),) = found.decks
    assert "frame" in name
    assert "1 of 1 expectations not met" in html


@pytest.mark.parametrize(
    ("expectation", "word"),
    [
        (expect("column_values_to_not_be_null", column="y"), "no column 'y'"),
        (expect("column_values_to_be_nice", column="x"), "'expect_column_values_to_be_nice'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_though_the_mark_only_warns(expectation: Any, word: str) -> None:
    found = report(GOOD, expectation, on_failure="warn")
    assert (found.passed, found.on_failure) == (False, "raise")
    assert word in found.message
