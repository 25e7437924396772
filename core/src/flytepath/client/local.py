"""The client of this machine's store: it registers, drives and shows executions itself."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from flytepath import __version__
from flytepath.bundle import Bundle, unpack
from flytepath.client.driving import Driver
from flytepath.client.gates import answer, gate_of, gates_of
from flytepath.client.protocol import Kind, Spec
from flytepath.client.views import (
    DeckView,
    ExecutionSummary,
    ExecutionView,
    GateView,
    NodeView,
    Registered,
    Scope,
    SilentListener,
)
from flytepath.engine.fold import apply, fold
from flytepath.engine.ownership import is_dead, this_process
from flytepath.engine.ports import Listener
from flytepath.engine.scheduler import LEASE_SECONDS
from flytepath.engine.state import ExecutionState, NodeStatus
from flytepath.errors import ExecutionStateError, NotFoundError, SequenceConflictError, StoreError, UsageError
from flytepath.model.events import (
    Actor,
    BoundaryChecked,
    DeckWritten,
    Event,
    ExecutionCreated,
    LogWritten,
)
from flytepath.model.identity import Identity, Tenant
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import Literal, canonical_json, sha256
from flytepath.model.task import TaskSpec
from flytepath.model.types import LiteralType
from flytepath.model.workflow import WorkflowSpec
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store, open_store

#: What an execution can be called: what an id of ours looks like, and names for folders everywhere.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class LocalClient:
    """The client of this machine's store.

    Args:
        home: the folder that holds everything; made if it is missing.
        slots: how many attempts run at once; by default the number of CPUs.
    """

    def __init__(self, home: Path, *, slots: int | None = None) -> None:
        self.home = home
        self._slots = slots or os.cpu_count() or 1
        self._store: Store = open_store(home)
        self._registry = self._store.registry
        self._specs: dict[str, WorkflowSpec] = {}

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def blobs(self, scope: Scope) -> BlobFolder:
        """The blobs of the scope's project and domain."""
        return BlobFolder(str(self.home / "blobs"), scope.tenant.project, scope.tenant.domain)

    # --- what can be run ---

    def register(self, scope: Scope, spec: WorkflowSpec, bundle: Bundle, version: str | None = None) -> Identity:
        """Keep a compiled workflow and its code.

        Raises:
            VersionConflictError: the version exists with other content.
        """
        return self._register(scope, "workflow", spec.name, spec, bundle, version)

    def register_task(self, scope: Scope, spec: TaskSpec, bundle: Bundle, version: str | None = None) -> Identity:
        """Keep a compiled task and its code."""
        return self._register(scope, "task", spec.name, spec, bundle, version)

    def register_launch_plan(
        self, scope: Scope, plan: LaunchPlanSpec, spec: WorkflowSpec, bundle: Bundle, version: str | None = None
    ) -> Identity:
        """Keep a launch plan, its compiled graph and the code."""
        self._put(spec)
        return self._register(scope, "launch_plan", plan.name, plan, bundle, version)

    def _register(
        self, scope: Scope, kind: Kind, name: str, spec: Spec, bundle: Bundle, version: str | None
    ) -> Identity:
        unpack(bundle, self.home)
        digest = self._put(spec)
        made = sha256(f"{bundle.digest}\n{digest}".encode()).removeprefix("sha256:")[:16]
        identity = Identity(scope.tenant.project, scope.tenant.domain, name, version or made)
        self._registry.register(identity, kind, digest, bundle.digest, {"principal": scope.principal})
        return identity

    def _put(self, spec: Spec) -> str:
        data = spec.model_dump(mode="json", exclude_defaults=True)
        digest = sha256(canonical_json(data))
        self._store.put_spec(digest, data)
        return digest

    def entities(self, scope: Scope, kind: Kind = "workflow") -> list[Identity]:
        """The latest version of everything of a kind, by name."""
        return [entry.identity for entry in self._registry.latest(scope.tenant.project, scope.tenant.domain, kind)]

    def launch_plans(self, scope: Scope) -> list[Registered[LaunchPlanSpec]]:
        """The latest version of every launch plan, by name."""
        found = self._registry.latest(scope.tenant.project, scope.tenant.domain, "launch_plan")
        return [
            Registered(
                entry.identity,
                LaunchPlanSpec.model_validate(self._store.get_spec(entry.spec_digest)),
                entry.bundle_digest,
                entry.registered_at,
            )
            for entry in found
        ]

    def fetch(self, scope: Scope, kind: Kind, name: str, version: str = "latest") -> Registered[Spec]:
        """One registered version.

        Raises:
            NotFoundError: it is not registered.
        """
        tenant = scope.tenant
        if version == "latest":
            versions = self._registry.versions(tenant.project, tenant.domain, name, kind)
            if not versions:
                raise NotFoundError(
                    f"there is no {kind.replace('_', ' ')} {name} in {tenant}",
                    place=name,
                    hint="register it with `flytepath register`",
                )
            entry = versions[0]
        else:
            entry = self._registry.get(Identity(tenant.project, tenant.domain, name, version), kind)
        data = self._store.get_spec(entry.spec_digest)
        return Registered(entry.identity, _SPECS[kind].model_validate(data), entry.bundle_digest, entry.registered_at)

    def referred(self, kind: str, identity: Identity) -> tuple[TaskSpec | WorkflowSpec, str]:
        """What a reference leads to, and the digest of its code: the ``fetch`` of the compiler.

        A launch plan is given as the graph it runs.
        """
        scope = Scope(Tenant(identity.project, identity.domain), "")
        found = self.fetch(scope, kind, identity.name, identity.version)  # type: ignore[arg-type]
        if isinstance(found.spec, LaunchPlanSpec):
            return self._spec(found.spec.spec), found.bundle
        return found.spec, found.bundle

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
        """Ask for a run.

        Raises:
            UsageError: the name cannot be one, or is taken.
        """
        entry = self._registry.get(workflow, kind)
        spec = entry.spec_digest
        plan = LaunchPlanSpec.model_validate(self._store.get_spec(spec)) if kind == "launch_plan" else None
        if plan is not None:
            spec, overwrite_cache = plan.spec, overwrite_cache or bool(plan.overwrite_cache)
            labels, annotations = {**plan.labels, **(labels or {})}, {**plan.annotations, **(annotations or {})}
        execution = new_execution_id() if name is None else _checked_name(name)
        created = ExecutionCreated(
            project=workflow.project,
            domain=workflow.domain,
            workflow=workflow.name,
            workflow_version=workflow.version,
            spec=spec,
            bundle=entry.bundle_digest,
            inputs={key: literal.digest for key, literal in inputs.items()},
            environment=_environment(),
            overwrite_cache=overwrite_cache,
            variables=dict(variables or {}),
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
        )
        event = Event(
            execution=execution,
            seq=1,
            at=time.time(),
            actor=Actor(kind="user", name=scope.principal),
            payload=created,
        )
        try:
            self._store.append(execution, 0, 0, [event], list(inputs.values()))
        except SequenceConflictError as error:
            if name is None:
                raise
            raise UsageError(
                f"there is an execution {name!r} already", place=name, hint="choose another name, or give none"
            ) from error
        return execution

    def wait(self, scope: Scope, execution: str, listener: Listener, *, in_process: bool = False) -> ExecutionView:
        """Own the execution and drive it to its end.

        Raises:
            ExecutionStateError: another live engine owns it, or it has already ended.
            PluginError: a plugin it needs is missing, broken or no longer enabled.
        """
        state, _ = self._folded(execution)
        if state.status.is_final:
            raise ExecutionStateError(
                f"execution {execution} has already {state.status}",
                place=execution,
                hint="`flytepath executions show` prints it; run the workflow again for a new one",
            )
        _admit(state.spec, Tenant(_created(state).project, _created(state).domain))
        owner = this_process()
        epoch = self._store.acquire(execution, owner, ttl=LEASE_SECONDS, is_dead=is_dead)
        try:
            for event in self._store.read(execution, state.seq):  # what the former owner wrote before its lease ended
                apply(state, event)
            driver = Driver(self.home, self._store, execution, state, listener)
            if in_process:
                driver.drive_here(owner, epoch)
            else:
                driver.drive(owner, epoch, self._slots)
        finally:
            with suppress(StoreError):
                self._store.release(execution, owner, epoch)
        return self.execution(scope, execution)

    def abort(self, scope: Scope, execution: str, reason: str) -> None:
        """Ask for an execution to end.

        Raises:
            ExecutionStateError: it has already ended.
        """
        self._live(execution)
        self._store.post(execution, {"type": "abort", "reason": reason, "principal": scope.principal})
        if self._is_unowned(execution):
            self.wait(scope, execution, SilentListener())

    def signal(
        self,
        scope: Scope,
        execution: str,
        name: str,
        *,
        value: Literal | None = None,
        approve: bool | None = None,
    ) -> None:
        """Answer a gate; whoever drives the execution takes the answer, or will when it is resumed.

        Raises:
            ExecutionStateError: the execution has ended, or the gate is answered already.
            NotFoundError, UsageError: the name is that of no gate, or of several.
            InputError: the answer is not one the gate can take.
        """
        state = self._live(execution)
        posted = [item.command for item in self._store.inbox(execution)]
        command = answer(state, posted, name, value, approve)
        self._store.post(execution, {**command, "principal": scope.principal})

    def gate_type(self, scope: Scope, execution: str, name: str) -> LiteralType | None:
        """The type of the value that a gate waits for; ``None`` for an approval.

        Raises:
            NotFoundError, UsageError, ExecutionStateError: as :meth:`signal`.
        """
        _, gate = gate_of(self._live(execution), name, ())
        return gate.type if gate.kind == "input" else None

    def execution(self, scope: Scope, execution: str) -> ExecutionView:
        """One execution as it is now."""
        state, events = self._folded(execution)
        created = _created(state)
        final = state.status.is_final
        return ExecutionView(
            id=execution,
            project=created.project,
            domain=created.domain,
            workflow=created.workflow,
            version=created.workflow_version,
            status=state.status,
            interrupted=not final and self._is_unowned(execution),
            created_at=state.created_at,
            ended_at=state.ended_at,
            inputs=self._named(execution, created.inputs),
            outputs=self._named(execution, state.outputs),
            nodes=tuple(
                NodeView(
                    path=path,
                    task=node.name,
                    status=node.status,
                    attempts=node.attempt,
                    started_at=node.started_at,
                    ended_at=node.ended_at,
                    outputs=node.outputs,
                    error=node.error,
                    reason=node.reason,
                    kind=node.kind,
                    parent=node.parent,
                    cached=bool(node.cached),
                )
                for path, node in state.nodes.items()
            ),
            decks=_decks(events),
            checks=tuple(e.payload for e in events if isinstance(e.payload, BoundaryChecked)),
            logs=tuple(e.payload for e in events if isinstance(e.payload, LogWritten)),
            error=state.error,
            failed_node=state.failed_node or state.root.origin or None,
            gates=tuple(
                GateView(
                    node=node.path,
                    kind=gate.kind,
                    signal=gate.signal,
                    type=gate.type,
                    until=node.due if node.due is not None else node.expires,
                )
                for node, gate in gates_of(state)
                if node.status is NodeStatus.PAUSED and not final
            ),
            labels=created.labels,
            annotations=created.annotations,
        )

    def executions(self, scope: Scope | None, limit: int = 50, status: str | None = None) -> list[ExecutionSummary]:
        """The newest executions."""
        rows = self._store.executions(
            project=scope.tenant.project if scope else None,
            domain=scope.tenant.domain if scope else None,
            limit=limit,
            state=status,
        )
        return [
            ExecutionSummary(
                id=row.id,
                project=row.project,
                domain=row.domain,
                workflow=row.workflow,
                version=row.version,
                status=row.state,
                interrupted=row.state == "running" and self._is_unowned(row.id),
                created_at=row.created_at,
                updated_at=row.updated_at,
            )
            for row in rows
        ]

    def events(self, scope: Scope, execution: str, after: int = 0) -> list[Event]:
        """The log."""
        return self._store.read(execution, after)

    def _is_unowned(self, execution: str) -> bool:
        lease = self._store.owner(execution)
        return lease is None or lease.expires_at < time.time() or is_dead(lease.owner)

    def _named(self, execution: str, digests: Mapping[str, str]) -> dict[str, Literal]:
        literals = self._store.literals(execution, list(digests.values()))
        return {name: literals[digest] for name, digest in digests.items()}

    def _folded(self, execution: str) -> tuple[ExecutionState, list[Event]]:
        events = self._store.read(execution)
        created = events[0].payload
        if not isinstance(created, ExecutionCreated):
            raise StoreError("the log does not begin with the execution's creation", place=execution)
        return fold(self._spec(created.spec), events, self._spec), events

    def _live(self, execution: str) -> ExecutionState:
        """The state of an execution that has not ended."""
        state, _ = self._folded(execution)
        if state.status.is_final:
            raise ExecutionStateError(f"execution {execution} has already {state.status}", place=execution)
        return state

    def _spec(self, digest: str) -> WorkflowSpec:
        known = self._specs.get(digest)
        if known is None:
            known = self._specs[digest] = WorkflowSpec.model_validate(self._store.get_spec(digest))
        return known


def _decks(events: Sequence[Event]) -> tuple[DeckView, ...]:
    """The last content of each deck; one that was published while it grew was written more than once."""
    views: dict[tuple[str, int, str], DeckView] = {}
    for event in events:
        p = event.payload
        if isinstance(p, DeckWritten):
            key = (p.node, p.attempt, p.name)
            views[key] = DeckView(node=p.node, attempt=p.attempt, name=p.name, **p.deck.model_dump())
    return tuple(views.values())


def _admit(spec: WorkflowSpec, tenant: Tenant) -> None:
    """Refuse to drive what the policy does not enable *now*; the execution stays as it is, and can be resumed."""
    from flytepath.plugin.manager import current

    manager = current()
    for task in spec.tasks.values():
        if task.plugin:
            manager.check_enabled(manager.task_type(task.task_type), tenant)


def _created(state: ExecutionState) -> ExecutionCreated:
    if state.created is None:
        raise StoreError("the log does not begin with the execution's creation")
    return state.created


def _environment() -> dict[str, Any]:
    import platform

    return {"python": platform.python_version(), "platform": platform.platform(), "flytepath": __version__}


_SPECS: dict[str, type[Spec]] = {"task": TaskSpec, "workflow": WorkflowSpec, "launch_plan": LaunchPlanSpec}


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r} cannot name an execution",
        expected="1 to 63 lower-case letters, digits or '-', starting and ending with a letter or digit",
        actual=repr(name),
    )


_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_execution_id() -> str:
    """A new id: ``x``, ten digits of time in milliseconds, eight random ones; ids sort by the time they were made.

    Example:
        >>> len(new_execution_id())
        19
    """
    number = (int(time.time() * 1000) << 40) | secrets.randbits(40)
    return "x" + "".join(_DIGITS[(number >> shift) & 31] for shift in range(85, -1, -5))
