"""Launch plans as compiled: a workflow with some inputs given, and when and how it is to be run."""

from __future__ import annotations

from typing import Any

from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import Interface, Record


class LaunchPlanSpec(Record):
    """A compiled launch plan.

    Args:
        name: its name, unique in its project and domain.
        workflow: the name of the workflow it runs.
        spec: the digest of that workflow's compiled graph.
        interface: the inputs that are still open, with their defaults, and the workflow's outputs.
        fixed: inputs that nobody can change.
        schedule, notifications, concurrency: when it runs, who is told, how many runs may overlap, as data.
    """

    name: str
    workflow: str
    spec: str
    interface: Interface
    fixed: dict[str, LiteralValue] = {}
    schedule: dict[str, Any] | None = None
    notifications: tuple[dict[str, Any], ...] = ()
    concurrency: dict[str, Any] | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    raw_output_prefix: str = ""
    max_parallelism: int | None = None
    overwrite_cache: bool | None = None
    auto_activate: bool = False
    documentation: str = ""

    def digest(self) -> str:
        """The digest of the canonical JSON form."""
        return sha256(canonical_json(self.model_dump(mode="json", exclude_defaults=True)))
