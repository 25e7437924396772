from __future__ import annotations

from typing import Any

import pytest
from flytepath.authoring.declared.notifications import Email, Notification, PagerDuty, Slack, WorkflowExecutionPhase
from flytepath.errors import DefinitionError

PHASE = WorkflowExecutionPhase


@pytest.mark.parametrize("kind", [Email, Slack, PagerDuty])
def test_json_keeps_a_notification(kind: type[Notification]) -> None:
    told = kind(phases=[PHASE.TIMED_OUT, PHASE.FAILED, 6], recipients_email=["a@b", "c@d"])
    assert told.phases == (PHASE.FAILED, PHASE.TIMED_OUT)
    assert Notification.from_json(told.to_json()) == told
    assert type(Notification.from_json(told.to_json())) is kind


@pytest.mark.parametrize(
    "phases", [[], None, [PHASE.RUNNING], [PHASE.SUCCEEDED, PHASE.QUEUED], [99], ["FAILED"], PHASE.FAILED, [True]]
)
def test_only_ends_of_executions_are_told(phases: Any) -> None:
    with pytest.raises(DefinitionError, match="phases"):
        Email(phases=phases, recipients_email=["a@b"])


@pytest.mark.parametrize("recipients", [[], None, "a@b", ["nobody"], ["@b"], ["a b@c"], [1]])
def test_recipients_are_addresses(recipients: Any) -> None:
    with pytest.raises(DefinitionError, match="recipients_email"):
        Slack(phases=[PHASE.FAILED], recipients_email=recipients)


def test_an_unknown_channel_is_refused() -> None:
    with pytest.raises(DefinitionError, match="pigeon"):
        Notification.from_json({"channel": "pigeon", "phases": ["FAILED"], "recipients": ["a@b"]})
