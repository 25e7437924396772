"""The commands and queries, as every client answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from typing import Literal as Choice

from flytepath.bundle import Bundle
from flytepath.client.views import ExecutionSummary, ExecutionView, Registered, Scope
from flytepath.engine.ports import Listener
from flytepath.model.events import Event
from flytepath.model.identity import Identity
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import Literal
from flytepath.model.task import TaskSpec
from flytepath.model.types import LiteralType
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin.backend import BlobAccess

Kind = Choice["task", "workflow", "launch_plan"]
Spec = TaskSpec | WorkflowSpec | LaunchPlanSpec


class Client(Protocol):
    """The commands and queries. Every call raises :class:`~flytepath.errors.FlytePathError` where it cannot answer."""

    def blobs(self, scope: Scope) -> BlobAccess:
        """The blobs of the scope's project and domain."""

    # --- what can be run ---

    def register(self, scope: Scope, spec: WorkflowSpec, bundle: Bundle, version: str | None = None) -> Identity:
        """Keep a compiled workflow and its code; without a ``version`` it is the digest of both."""

    def register_task(self, scope: Scope, spec: TaskSpec, bundle: Bundle, version: str | None = None) -> Identity:
        """Keep a compiled task and its code, so that others can refer to it."""

    def register_launch_plan(
        self, scope: Scope, plan: LaunchPlanSpec, spec: WorkflowSpec, bundle: Bundle, version: str | None = None
    ) -> Identity:
        """Keep a launch plan, its compiled graph and the code."""

    def entities(self, scope: Scope, kind: Kind = "workflow") -> Sequence[Identity]:
        """The latest version of everything of a kind, by name."""

    def launch_plans(self, scope: Scope) -> Sequence[Registered[LaunchPlanSpec]]:
        """The latest version of every launch plan, by name."""

    def fetch(self, scope: Scope, kind: Kind, name: str, version: str = "latest") -> Registered[Spec]:
        """One registered version."""

    # --- executions ---

    def create_execution(
        self,
        scope: Scope,
        workflow: Identity,
        inputs: Mapping[str, Literal],
        *,
        kind: Kind = "workflow",
        name: str | None = None,
        overwrite_cache: bool = False,
        variables: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Ask for a run; the execution's id. It is durable when this returns, and has not started.

        Args:
            workflow: what to run: a workflow, or with ``kind="launch_plan"`` a launch plan.
            inputs: its inputs.
            name: the id, where it should not be made up.
            overwrite_cache: compute everything anew, and keep that.
            variables: environment variables of its tasks.
            labels, annotations: recorded with it.
        """

    def wait(self, scope: Scope, execution: str, listener: Listener, *, in_process: bool = False) -> ExecutionView:
        """Follow an execution to its end. Here, on one machine, this process drives it; so it also resumes it.

        With ``in_process`` tasks run in this very process, one at a time, for debuggers.
        """

    def signal(
        self,
        scope: Scope,
        execution: str,
        name: str,
        *,
        value: Literal | None = None,
        approve: bool | None = None,
    ) -> None:
        """Answer a gate, by its name or the path of its node: approve it or not, or give the value it asks for."""

    def gate_type(self, scope: Scope, execution: str, name: str) -> LiteralType | None:
        """The type of the value that a gate waits for; ``None`` where it waits for an approval."""

    def adopt(self, scope: Scope, execution: str, job: str, handle: Mapping[str, Any] | None) -> None:
        """Say which job at its vendor an ambiguous one is, or with ``None`` that there is none."""

    def abort(self, scope: Scope, execution: str, reason: str) -> None:
        """Ask for an execution to end; whoever drives it kills what runs. One that nobody drives ends at once."""

    def execution(self, scope: Scope, execution: str) -> ExecutionView:
        """One execution as it is now."""

    def executions(self, scope: Scope | None, limit: int = 50, status: str | None = None) -> Sequence[ExecutionSummary]:
        """The newest executions, of one scope or of all."""

    def events(self, scope: Scope, execution: str, after: int = 0) -> Sequence[Event]:
        """The log."""
