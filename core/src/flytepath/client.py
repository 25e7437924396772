"""The one door: commands and queries that carry who asks, for which project and domain.

The command line and the Python API use nothing else. :class:`LocalClient` answers from the store of this machine; a
service will answer the same calls.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from flytepath import __version__
from flytepath.bundle import Bundle, unpack, unpacked
from flytepath.engine.dispatch import WorkerPool, WorkerSetting
from flytepath.engine.ownership import is_dead, this_process
from flytepath.engine.scheduler import LEASE_SECONDS, Listener, Scheduler
from flytepath.engine.state import ExecutionState, apply, fold
from flytepath.errors import ExecutionStateError, StoreError
from flytepath.model.events import (
    Actor,
    BoundaryChecked,
    DeckWritten,
    ErrorRecord,
    Event,
    ExecutionCreated,
    LogWritten,
)
from flytepath.model.identity import Identity, Tenant
from flytepath.model.literal import BlobRef, Literal, sha256
from flytepath.model.task import Record
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin.backend import BlobAccess
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store, open_store


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, and for which project and domain."""

    tenant: Tenant
    principal: str

    @classmethod
    def of_this_user(cls, tenant: Tenant | None = None) -> Scope:
        """The scope of the person at this machine."""
        try:
            principal = getpass.getuser()
        except (KeyError, OSError):
            principal = str(os.getuid())
        return cls(tenant or Tenant(), principal)


class NodeView(Record):
    """One node, as people see it."""

    path: str
    task: str
    status: str
    attempts: int
    started_at: float | None
    ended_at: float | None
    outputs: dict[str, str]
    error: ErrorRecord | None
    reason: str


class DeckView(Record):
    """A deck, where it lies."""

    node: str
    attempt: int
    name: str
    uri: str
    digest: str
    size: int

    @property
    def ref(self) -> BlobRef:
        """The blob with the deck's HTML."""
        return BlobRef(self.uri, self.digest, self.size)


class ExecutionView(Record):
    """An execution, as people see it. ``interrupted``: unfinished, and no engine owns it."""

    id: str
    project: str
    domain: str
    workflow: str
    version: str
    status: str
    interrupted: bool
    created_at: float
    ended_at: float | None
    inputs: dict[str, Literal]
    outputs: dict[str, Literal]
    nodes: tuple[NodeView, ...]
    decks: tuple[DeckView, ...]
    checks: tuple[BoundaryChecked, ...]
    logs: tuple[LogWritten, ...]
    error: ErrorRecord | None
    failed_node: str | None


class ExecutionSummary(Record):
    """A line of a list of executions."""

    id: str
    project: str
    domain: str
    workflow: str
    version: str
    status: str
    interrupted: bool
    created_at: float
    updated_at: float


class SilentListener:
    """Listens to nothing."""

    def event(self, event: Event) -> None:
        """Nothing is shown."""

    def output(self, node: str, stream: str, text: str) -> None:
        """Nothing is shown."""


class Client(Protocol):
    """The commands and queries. Every call raises :class:`~flytepath.errors.FlytePathError` where it cannot answer."""

    def blobs(self, scope: Scope) -> BlobAccess:
        """The blobs of the scope's project and domain."""

    def register(self, scope: Scope, spec: WorkflowSpec, bundle: Bundle) -> Identity:
        """Keep a compiled workflow and its code; the version is the digest of both."""

    def create_execution(self, scope: Scope, workflow: Identity, inputs: Mapping[str, Literal]) -> str:
        """Ask for a run; the execution's id. It is durable when this returns, and has not started."""

    def wait(self, scope: Scope, execution: str, listener: Listener) -> ExecutionView:
        """Follow an execution to its end. Here, on one machine, this process drives it; so it also resumes it."""

    def abort(self, scope: Scope, execution: str, reason: str) -> None:
        """Ask for an execution to end; whoever drives it kills what runs. One that nobody drives ends at once."""

    def execution(self, scope: Scope, execution: str) -> ExecutionView:
        """One execution as it is now."""

    def executions(self, scope: Scope | None, limit: int = 50, status: str | None = None) -> Sequence[ExecutionSummary]:
        """The newest executions, of one scope or of all."""

    def events(self, scope: Scope, execution: str, after: int = 0) -> Sequence[Event]:
        """The log."""


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

    def register(self, scope: Scope, spec: WorkflowSpec, bundle: Bundle) -> Identity:
        """Keep a compiled workflow and its code."""
        unpack(bundle, self.home)
        digest = spec.digest()
        version = sha256(f"{bundle.digest}\n{digest}".encode()).removeprefix("sha256:")[:16]
        identity = Identity(scope.tenant.project, scope.tenant.domain, spec.name, version)
        self._store.put_spec(digest, spec.model_dump(mode="json"))
        self._registry.register(identity, "workflow", digest, bundle.digest, {"principal": scope.principal})
        return identity

    def create_execution(self, scope: Scope, workflow: Identity, inputs: Mapping[str, Literal]) -> str:
        """Ask for a run."""
        entry = self._registry.get(workflow)
        execution = new_execution_id()
        created = ExecutionCreated(
            project=workflow.project,
            domain=workflow.domain,
            workflow=workflow.name,
            workflow_version=workflow.version,
            spec=entry.spec_digest,
            bundle=entry.bundle_digest,
            inputs={name: literal.digest for name, literal in inputs.items()},
            environment=_environment(),
        )
        event = Event(
            execution=execution,
            seq=1,
            at=time.time(),
            actor=Actor(kind="user", name=scope.principal),
            payload=created,
        )
        self._store.append(execution, 0, 0, [event], list(inputs.values()))
        return execution

    def wait(self, scope: Scope, execution: str, listener: Listener) -> ExecutionView:
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
            asyncio.run(self._drive(execution, state, owner, epoch, listener))
        finally:
            with suppress(StoreError):
                self._store.release(execution, owner, epoch)
        return self.execution(scope, execution)

    def abort(self, scope: Scope, execution: str, reason: str) -> None:
        """Ask for an execution to end.

        Raises:
            ExecutionStateError: it has already ended.
        """
        state, _ = self._folded(execution)
        if state.status.is_final:
            raise ExecutionStateError(f"execution {execution} has already {state.status}", place=execution)
        self._store.post(execution, {"type": "abort", "reason": reason, "principal": scope.principal})
        if self._is_unowned(execution):
            self.wait(scope, execution, SilentListener())

    async def _drive(self, execution: str, state: ExecutionState, owner: str, epoch: int, listener: Listener) -> None:
        created = _created(state)
        tenant = Tenant(created.project, created.domain)
        setting = WorkerSetting(
            tenant.project, tenant.domain, str(unpacked(created.bundle, self.home)), str(self.home / "blobs")
        )
        pool = WorkerPool(setting, self._slots)
        scheduler = Scheduler(
            execution,
            state,
            self._store,
            self.blobs(Scope(tenant, owner)),
            pool,
            slots=self._slots,
            folder=self.home / "attempts" / execution,
            listener=listener,
        )
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        handled = threading.current_thread() is threading.main_thread() and task is not None
        if handled:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, task.cancel)  # type: ignore[union-attr]
        try:
            await scheduler.run(owner, epoch)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            if handled:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
            await pool.close()
            shutil.rmtree(self.home / "attempts" / execution, ignore_errors=True)

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
                    task=node.spec.task,
                    status=node.status,
                    attempts=node.attempt,
                    started_at=node.started_at,
                    ended_at=node.ended_at,
                    outputs=node.outputs,
                    error=node.error,
                    reason=node.reason,
                )
                for path, node in state.nodes.items()
            ),
            decks=tuple(
                DeckView(node=p.node, attempt=p.attempt, name=p.name, **p.deck.model_dump())
                for p in (event.payload for event in events)
                if isinstance(p, DeckWritten)
            ),
            checks=tuple(e.payload for e in events if isinstance(e.payload, BoundaryChecked)),
            logs=tuple(e.payload for e in events if isinstance(e.payload, LogWritten)),
            error=state.error,
            failed_node=state.first_failed,
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
        return fold(WorkflowSpec.model_validate(self._store.get_spec(created.spec)), events), events


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


_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_execution_id() -> str:
    """A new id: ``x``, ten digits of time in milliseconds, eight random ones; ids sort by the time they were made.

    Example:
        >>> len(new_execution_id())
        19
    """
    number = (int(time.time() * 1000) << 40) | secrets.randbits(40)
    return "x" + "".join(_DIGITS[(number >> shift) & 31] for shift in range(85, -1, -5))
