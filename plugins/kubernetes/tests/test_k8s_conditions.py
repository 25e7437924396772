"""The table of conditions: the first row that fits tells the phase, and an unknown word keeps it."""

from __future__ import annotations

from typing import Any

import pytest
from flyte_plugin_kubernetes.conditions import ConditionTable, Reading, Row
from flytepath.plugin import ErrorClass, Phase

BY_CONDITION = ConditionTable(
    Row(condition="Succeeded", phase=Phase.SUCCEEDED),
    Row(condition="Failed", reason="*Deadline*", phase=Phase.FAILED, error_class=ErrorClass.INVALID),
    Row(condition="Failed", phase=Phase.FAILED),
    Row(condition="Suspended", phase=Phase.QUEUED),
    Row(condition="Running", phase=Phase.RUNNING),
    Row(condition="Running", status="False", reason="Restarting", phase=Phase.INITIALIZING),
    Row(condition="Created", phase=Phase.QUEUED),
)
BY_PATH = ConditionTable(
    Row(path="status.app.state", value="COMPLETED", phase=Phase.SUCCEEDED),
    Row(path="status.app.state", value="*FAILED", phase=Phase.FAILED, message="status.app.message"),
    Row(path="status.app.state", value="RUNNING", phase=Phase.RUNNING),
    Row(path="status.app.state", value="", phase=Phase.INITIALIZING),
)


def conditions(*known: tuple[str, str, str]) -> dict[str, Any]:
    listed = [
        {"type": kind, "status": status, "reason": reason, "message": f"{kind} said so", "lastTransitionTime": str(at)}
        for at, (kind, status, reason) in enumerate(known)
    ]
    return {"status": {"conditions": listed}}


@pytest.mark.parametrize(
    ("known", "phase", "raw", "error_class"),
    [
        ([("Created", "True", "")], Phase.QUEUED, "Created", None),
        ([("Created", "True", ""), ("Running", "True", "")], Phase.RUNNING, "Running", None),
        ([("Created", "True", ""), ("Running", "False", "Restarting")], Phase.INITIALIZING, "Running", None),
        ([("Running", "False", ""), ("Succeeded", "True", "")], Phase.SUCCEEDED, "Succeeded", None),
        ([("Failed", "True", "DeadlineExceeded")], Phase.FAILED, "Failed", ErrorClass.INVALID),
        ([("Failed", "True", "BackoffLimit")], Phase.FAILED, "Failed", None),
        ([("Created", "True", ""), ("Napping", "True", "")], None, "Napping", None),
        ([("Napping", "True", ""), ("Created", "True", "")], Phase.QUEUED, "Created", None),
        (
            [("Napping", "True", ""), ("Succeeded", "True", ""), ("Waking", "True", "")],
            Phase.SUCCEEDED,
            "Succeeded",
            None,
        ),
        ([], Phase.QUEUED, "Created", None),
    ],
)
def test_conditions_are_read_by_the_first_row_that_fits(
    known: list[tuple[str, str, str]], phase: Phase | None, raw: str, error_class: ErrorClass | None
) -> None:
    seen = BY_CONDITION.read(conditions(*known))
    assert (seen.phase, seen.raw_state, seen.error_class) == (phase, raw, error_class)


def test_the_message_of_a_condition_is_the_reason() -> None:
    assert BY_CONDITION.read(conditions(("Failed", "True", "x"))).reason == "Failed said so"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("COMPLETED", Reading(Phase.SUCCEEDED, "COMPLETED")),
        ("SUBMISSION_FAILED", Reading(Phase.FAILED, "SUBMISSION_FAILED", "no such image")),
        ("", Reading(Phase.INITIALIZING, "Created")),
        (None, Reading(Phase.INITIALIZING, "Created")),
        ("HIBERNATING", Reading(None, "HIBERNATING")),
    ],
)
def test_a_value_at_a_path_is_read_like_a_condition(state: str | None, expected: Reading) -> None:
    assert BY_PATH.read({"status": {"app": {"state": state, "message": "no such image"}}}) == expected


@pytest.mark.parametrize("thing", [{}, {"status": None}, {"status": {"conditions": None}}, {"status": {"app": 3}}])
def test_an_object_that_nobody_has_looked_at_is_waiting(thing: dict[str, Any]) -> None:
    assert BY_CONDITION.read(thing).phase is Phase.QUEUED
    assert BY_PATH.read(thing).phase is Phase.INITIALIZING
