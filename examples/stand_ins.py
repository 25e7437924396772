"""Tests of workflows: a mock answers in place of a task that needs a network, a cluster or an hour.

    flytepath run examples/stand_ins.py forecast
    pytest examples/stand_ins.py

What it shows:

- ``task_mock(task)``: a ``MagicMock`` that answers every direct call, also those that a workflow makes;
- ``patch(task)``: the same for a whole test;
- what the mock is given and what it answers is checked against the task's types.
"""

from __future__ import annotations

from unittest.mock import MagicMock

from flytepath import patch, task, task_mock, workflow


@task
def fetch(city: str) -> list[float]:
    """The last temperatures; in earnest this would ask a server."""
    return [11.5, 12.0, 14.0] if city == "Oslo" else []


@task
def predict(past: list[float]) -> float:
    """Tomorrow is like today, and a bit like the day before."""
    return round(0.75 * past[-1] + 0.25 * past[-2], 2)


@workflow
def forecast(city: str = "Oslo") -> float:
    """Predict from what was fetched."""
    return predict(past=fetch(city=city))


def test_the_last_day_counts_most() -> None:
    with task_mock(fetch) as mock:
        mock.return_value = [0.0, 10.0]
        assert forecast(city="Lima") == 7.5
    mock.assert_called_once_with(city="Lima")


@patch(predict)
def test_what_was_fetched_is_what_is_used(mock: MagicMock) -> None:
    mock.side_effect = lambda past: past[0]
    assert forecast() == 11.5
