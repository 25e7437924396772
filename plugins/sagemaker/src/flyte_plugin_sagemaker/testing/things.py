"""What a double has made beside training jobs: one job, model, configuration or endpoint, and how it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass
class Thing:
    """A job, model, configuration or endpoint.

    Attributes:
        word: as in the names of operations.
        request: that it was made of.
        state: now.
        course: the states that follow, one with each look.
        reason: of a failure.
        facts: what else describes it.
        made_at: on the double's clock.
    """

    word: str
    name: str
    arn: str
    request: dict[str, Json]
    state: str = ""
    course: list[str] = field(default_factory=list)
    reason: str = ""
    facts: dict[str, Json] = field(default_factory=dict)
    made_at: float = field(default_factory=time.monotonic)

    @property
    def tags(self) -> list[dict[str, str]]:
        """Its tags."""
        return list(self.request.get("Tags") or ())


__all__ = ["Thing"]
