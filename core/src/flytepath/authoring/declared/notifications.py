"""Who is told when an execution of a launch plan ends."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, need_texts, set_field


class WorkflowExecutionPhase(enum.IntEnum):
    """The phases of an execution, by the numbers they have in Flyte's API."""

    UNDEFINED = 0
    QUEUED = 1
    RUNNING = 2
    SUCCEEDING = 3
    SUCCEEDED = 4
    FAILING = 5
    FAILED = 6
    ABORTED = 7
    TIMED_OUT = 8
    ABORTING = 9


_FINAL = (
    WorkflowExecutionPhase.SUCCEEDED,
    WorkflowExecutionPhase.FAILED,
    WorkflowExecutionPhase.ABORTED,
    WorkflowExecutionPhase.TIMED_OUT,
)


@dataclass(frozen=True, slots=True)
class Notification(Declared):
    """What every notification says: on which ends, and to whom.

    Args:
        phases: the ends of an execution that are told.
        recipients_email: the addresses that are written to.
    """

    VALID_PHASES: ClassVar[frozenset[WorkflowExecutionPhase]] = frozenset(_FINAL)
    CHANNEL: ClassVar[str] = ""

    phases: Sequence[int]
    recipients_email: Sequence[str]

    def __post_init__(self) -> None:
        kind = type(self).__name__
        phases = self.phases if isinstance(self.phases, list | tuple | set | frozenset) else None
        if not phases:
            raise DefinitionError(
                f"{kind} needs the phases it tells of",
                place=f"{kind}(phases)",
                expected="a list of WorkflowExecutionPhase",
                actual=repr(self.phases),
            )
        set_field(self, "phases", tuple(sorted({_final(phase, kind) for phase in phases})))
        recipients = need_texts(self.recipients_email, f"{kind}(recipients_email)")
        if not recipients:
            raise DefinitionError(f"{kind} needs a recipient", place=f"{kind}(recipients_email)", actual="none")
        for address in recipients:
            name, _, host = address.rpartition("@")
            if not name or not host or any(letter.isspace() for letter in address):
                raise DefinitionError(
                    f"{kind} writes to e-mail addresses",
                    place=f"{kind}(recipients_email)",
                    expected="name@host",
                    actual=repr(address),
                )
        set_field(self, "recipients_email", recipients)

    def to_json(self) -> dict[str, Any]:
        """The channel, the phases by name and the recipients."""
        return {
            "channel": self.CHANNEL,
            "phases": [WorkflowExecutionPhase(phase).name for phase in self.phases],
            "recipients": list(self.recipients_email),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Notification:
        """The inverse of :meth:`to_json`; the channel selects the class.

        Raises:
            DefinitionError: a channel this version does not know.
        """
        for kind in (Email, Slack, PagerDuty):
            if data.get("channel") == kind.CHANNEL and issubclass(kind, cls):
                return kind([WorkflowExecutionPhase[name] for name in data["phases"]], data["recipients"])
        raise DefinitionError(
            "unknown channel of a notification", expected="email, slack or pagerduty", actual=repr(data.get("channel"))
        )


@dataclass(frozen=True, slots=True)
class Email(Notification):
    """A mail when an execution ends.

    Raises:
        DefinitionError: a phase that is not an end, or a recipient that is not an address.

    Example:
        >>> mail = Email(phases=[WorkflowExecutionPhase.FAILED], recipients_email=["ml@example.com"])
        >>> mail.to_json()
        {'channel': 'email', 'phases': ['FAILED'], 'recipients': ['ml@example.com']}
        >>> Notification.from_json(mail.to_json()) == mail
        True
    """

    CHANNEL: ClassVar[str] = "email"


@dataclass(frozen=True, slots=True)
class Slack(Notification):
    """A message in a Slack channel, sent to the channel's e-mail address, when an execution ends."""

    CHANNEL: ClassVar[str] = "slack"


@dataclass(frozen=True, slots=True)
class PagerDuty(Notification):
    """An incident, raised through the service's e-mail address, when an execution ends."""

    CHANNEL: ClassVar[str] = "pagerduty"


def _final(phase: Any, kind: str) -> WorkflowExecutionPhase:
    if isinstance(phase, int) and not isinstance(phase, bool) and phase in _FINAL:
        return WorkflowExecutionPhase(phase)
    raise DefinitionError(
        f"{kind} tells of the end of an execution, and this phase is none",
        place=f"{kind}(phases)",
        expected=", ".join(known.name for known in _FINAL),
        actual=getattr(phase, "name", repr(phase)),
    )
