"""What somebody asks of executions: to begin, to go on, to stop, to be done again."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flytepath.client.asking import check_facts, checked_name
from flytepath.client.gates import answer, gate_of
from flytepath.client.history import created_of
from flytepath.client.plain_values import read_data
from flytepath.client.protocol import Kind
from flytepath.client.queries import Queries
from flytepath.client.views import ExecutionView, Scope
from flytepath.engine.commands import Command, Continue, Pause
from flytepath.engine.decisions import decide
from flytepath.engine.fold import apply
from flytepath.engine.histories import Begun
from flytepath.engine.local.facts import environment
from flytepath.engine.ownership import LEASE_SECONDS, is_dead, this_engine
from flytepath.engine.ports import Listener, Silent
from flytepath.engine.state import ExecutionState
from flytepath.errors import (
    ExecutionStateError,
    InputError,
    SequenceConflictError,
    UsageError,
)
from flytepath.model.events import Actor, Event, ExecutionCreated
from flytepath.model.fitting import fits
from flytepath.model.identity import Identity, Tenant
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import Literal, cast
from flytepath.model.task import Interface
from flytepath.model.types import LiteralType
from flytepath.model.workflow import WorkflowSpec
from flytepath.store.blobs import BlobFolder
from flytepath.store.literals import offload
from flytepath.store.registry import Registry

#: How often an execution that another engine drives is looked at, and how often to see whether that engine still lives.
FOLLOW_SECONDS = 0.1
TAKE_OVER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Runnable:
    """What a registered version runs: the digests of its compiled graph and its code, and the launch plan it is."""

    spec: str
    bundle: str
    plan: LaunchPlanSpec | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """An execution that is to be driven; ``begun`` where an engine of this process has its lease already."""

    execution: str
    begun: Begun | None = None


class Commands(Queries, ABC):
    """Commands to the store of this machine; who asks is in the scope."""

    home: Path
    slots: int
    _registry: Registry
    _runnables: dict[tuple[Identity, Kind], Runnable]

    def create_execution(
        self, scope: Scope, workflow: Identity, inputs: Mapping[str, Literal], *, kind: Kind = "workflow", **facts: Any
    ) -> str:
        """Ask for a run; an engine that looks for work may take it at once. As :meth:`begin`, which names the facts."""
        return self.begin(scope, workflow, inputs, kind=kind, **facts).execution

    def begin(
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
        timeout_seconds: float = 0.0,
        owner: str = "",
    ) -> Started:
        """Begin an execution; it is durable when this returns.

        Args:
            scope: who asks.
            workflow: what to run: a workflow, or with ``kind="launch_plan"`` a launch plan.
            inputs: its inputs.
            kind: of what it runs.
            name: the id, where it should not be made up.
            overwrite_cache: compute everything anew, and keep that.
            variables: environment variables of its tasks.
            labels, annotations: recorded with it.
            timeout_seconds: how long the whole may take; 0 for what the workflow says.
            owner: the engine of this process that drives it from the first moment.

        Raises:
            UsageError: the name cannot be one, or is taken.
        """
        check_facts(timeout_seconds, variables=variables, labels=labels, annotations=annotations)
        runnable = self._runnable(workflow, kind)
        plan = runnable.plan
        if plan is not None:
            overwrite_cache = overwrite_cache or bool(plan.overwrite_cache)
            labels, annotations = {**plan.labels, **(labels or {})}, {**plan.annotations, **(annotations or {})}
        created = ExecutionCreated(
            project=workflow.project,
            domain=workflow.domain,
            workflow=workflow.name,
            workflow_version=workflow.version,
            spec=runnable.spec,
            bundle=runnable.bundle,
            inputs={key: literal.digest for key, literal in inputs.items()},
            environment=environment(),
            overwrite_cache=overwrite_cache,
            variables=dict(variables or {}),
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            timeout_seconds=timeout_seconds,
            plan=workflow.name if plan is not None else "",
        )
        if owner:
            spec = self._histories.spec(runnable.spec)
            admit(spec, scope.tenant, begins=True)
        event = self._created(scope, created, list(inputs.values()), name, owner=owner)
        return Started(event.execution, Begun(event, spec, tuple(inputs.values())) if owner else None)

    def _runnable(self, workflow: Identity, kind: Kind) -> Runnable:
        """What a registered version runs; it never changes, so it is looked up once."""
        known = self._runnables.get((workflow, kind))
        if known is None:
            entry = self._registry.get(workflow, kind)
            spec, plan = entry.spec_digest, None
            if kind == "launch_plan":
                plan = LaunchPlanSpec.model_validate(self._store.get_spec(spec))
                spec = plan.spec
            known = self._runnables[workflow, kind] = Runnable(spec, entry.bundle_digest, plan)
        return known

    def _created(
        self,
        scope: Scope,
        created: ExecutionCreated,
        literals: Sequence[Literal],
        name: str | None,
        values_of: str = "",
        owner: str = "",
    ) -> Event:
        execution = new_execution_id() if name is None else checked_name(name)
        actor = Actor(kind="user", name=scope.principal)
        event = Event(execution=execution, seq=1, at=time.time(), actor=actor, payload=created)
        try:
            self._store.create(execution, [event], literals, values_of=values_of, owner=owner, ttl=LEASE_SECONDS)
        except SequenceConflictError as error:
            if name is None:
                raise
            raise UsageError(
                f"there is an execution {name!r} already", place=name, hint="choose another name, or give none"
            ) from error
        return event

    def has_ended(self, execution: str) -> bool:
        """Whether an execution has ended.

        Raises:
            NotFoundError: there is none.
        """
        return self._store.status(execution) != "running"

    def literals_of(
        self, scope: Scope, interface: Interface, inputs: Mapping[str, Any], name: str
    ) -> dict[str, Literal]:
        """The inputs of something registered as literals: plain values as JSON has them, then defaults.

        Raises:
            InputError: an unknown or missing input, or a value of another type.
        """
        variables = {variable.name: variable for variable in interface.inputs}
        for given in inputs:
            if given not in variables:
                raise InputError(
                    f"{name} has no input {given!r}", place=given, expected=", ".join(variables) or "no inputs"
                )
        blobs = self.blobs(scope)
        literals = {
            key: offload(
                cast(read_data(variables[key].type, data, blobs, f"{name}({key})"), variables[key].type), blobs
            )
            for key, data in inputs.items()
        }
        return with_defaults(interface, literals, name)

    @abstractmethod
    def blobs(self, scope: Scope) -> BlobFolder:
        """The blobs of the scope's project and domain."""

    def recover(self, scope: Scope, execution: str, *, name: str | None = None) -> str:
        """Begin an execution that does again what failed and takes over what succeeded; its id.

        It runs the same compiled graph and code on the same inputs. A node is taken over where it succeeded and is
        given the same values again, an item of a map by itself.

        Raises:
            ExecutionStateError: it has not ended, or has succeeded.
        """
        state = self._state(execution)
        if not state.status.is_final or state.status == "succeeded":
            raise ExecutionStateError(
                f"execution {execution} {'has succeeded' if state.status.is_final else 'has not ended'}",
                place=execution,
                expected="one that failed or was aborted",
                hint="`flytepath executions relaunch` runs it again"
                if state.status.is_final
                else "`flytepath executions resume` goes on with it",
            )
        return self._again(scope, state, {}, name, recovers=execution)

    def relaunch(
        self, scope: Scope, execution: str, inputs: Mapping[str, Literal] | None = None, *, name: str | None = None
    ) -> str:
        """Begin an execution of the same version with the same inputs but for those given; its id.

        Raises:
            InputError: an input that the workflow does not have, or of another type.
        """
        state = self._state(execution)
        return self._again(scope, state, inputs or {}, name, relaunches=execution)

    def _again(
        self, scope: Scope, state: ExecutionState, inputs: Mapping[str, Literal], name: str | None, **facts: str
    ) -> str:
        created = created_of(state)
        given = _fitting(state.spec, inputs)
        former = next(iter(facts.values()))
        kept = self._store.literals(former, [d for key, d in created.inputs.items() if key not in given])
        erased = [key for key, digest in created.inputs.items() if key not in given and kept[digest].is_erased]
        if erased:
            raise InputError(
                f"input {erased[0]!r} was erased", place=erased[0], hint="`executions relaunch` takes it anew"
            )
        digests = {**created.inputs, **{key: literal.digest for key, literal in given.items()}}
        again = created.model_copy(
            update={
                "inputs": digests,
                "environment": environment(),
                **{"recovers": "", "relaunches": "", "plan": "", "scheduled_at": 0.0, **facts},
            }
        )
        return self._created(scope, again, list(given.values()), name, values_of=former).execution

    # --- driving ---

    def wait(
        self,
        scope: Scope,
        execution: str,
        listener: Listener,
        *,
        in_process: bool = False,
        since: int | None = None,
    ) -> ExecutionView:
        """See an execution to its end: drive it from here, or follow it where a living engine drives it already.

        Args:
            scope: who asks.
            execution: its id.
            listener: told what happens.
            in_process: run tasks in this very process, one at a time.
            since: tell of what has happened after the event of this number too, before anybody listened.

        Raises:
            PluginError: a plugin it needs is missing, broken or no longer enabled.
            KeyboardInterrupt: SIGINT or SIGTERM came; the execution can be resumed.
        """
        from flytepath.client.driving import drive, drive_here  # an engine costs: only for who drives

        state = self._state(execution)
        if since is not None and state.seq > since:
            state = self._fold(execution, self._read(execution, 0)[:since])
            self._follow(scope, execution, state, listener)
        while not state.status.is_final:
            created = created_of(state)
            tenant = Tenant(created.project, created.domain)
            admit(state.spec, tenant)
            if self._is_unowned(execution):
                try:
                    if in_process:
                        state = drive_here(self.home, self._store, execution, listener, tenant)
                    else:
                        state = drive(self.home, self._store, execution, listener, self.slots)
                    continue
                except (ExecutionStateError, SequenceConflictError):  # another engine was quicker
                    state = self._state(execution)
            else:
                self._follow(scope, execution, state, listener)
        return self.execution(scope, execution)

    def resume(self, scope: Scope, execution: str, listener: Listener, *, in_process: bool = False) -> ExecutionView:
        """Go on with an execution that was interrupted or paused.

        Raises:
            ExecutionStateError: it has ended.
        """
        state = self._state(execution)
        if state.status.is_final:
            raise ExecutionStateError(
                f"execution {execution} has already {state.status}",
                place=execution,
                hint="`flytepath executions show` prints it; run the workflow again for a new one",
            )
        if state.paused is not None:
            self.unpause(scope, execution)
        return self.wait(scope, execution, listener, in_process=in_process)

    def _follow(self, scope: Scope, execution: str, state: ExecutionState, listener: Listener) -> None:
        """Tell of what another engine does, until it ends the execution or ends itself."""
        looked = time.monotonic()
        with self.logs(scope, execution) as logs:
            while not state.status.is_final:
                time.sleep(FOLLOW_SECONDS)
                events = self._store.read(execution, state.seq)
                for event in events:
                    apply(state, event)
                    node = state.find(getattr(event.payload, "node", "") or "")
                    listener.event(event, "" if node is None else node.name)
                if not isinstance(listener, Silent):
                    logs.learn(events)
                    for printed in logs.read():
                        listener.output(printed.node, "stdout", printed.text)
                if time.monotonic() - looked > TAKE_OVER_SECONDS:
                    looked = time.monotonic()
                    if self._is_unowned(execution):
                        return

    def abort(self, scope: Scope, execution: str, reason: str) -> None:
        """Ask for an execution to end.

        Raises:
            ExecutionStateError: it has already ended.
        """
        self._live(execution)
        self._store.post(execution, {"type": "abort", "reason": reason, "principal": scope.principal})
        if self._is_unowned(execution):
            self.wait(scope, execution, Silent())

    def pause(self, scope: Scope, execution: str, reason: str = "") -> None:
        """Ask that nothing new of an execution starts; what runs goes on.

        Raises:
            ExecutionStateError: it has ended, or is paused.
        """
        if self._live(execution).paused is not None:
            raise ExecutionStateError(f"execution {execution} is paused already", place=execution)
        body = {"type": "pause", "reason": reason, "principal": scope.principal}
        self._act(scope, execution, Pause(reason), body)

    def unpause(self, scope: Scope, execution: str) -> None:
        """Ask that a paused execution goes on.

        Raises:
            ExecutionStateError: it has ended, or is not paused.
        """
        if self._live(execution).paused is None:
            raise ExecutionStateError(f"execution {execution} is not paused", place=execution)
        self._act(scope, execution, Continue(), {"type": "continue", "principal": scope.principal})

    def _act(self, scope: Scope, execution: str, command: Command, body: Mapping[str, Any]) -> None:
        """Leave a command for the engine that drives the execution, or carry it out where none does.

        Behind commands that wait, it waits too: one may have been carried out already by an engine that died before it
        could take it out of the inbox, and means nothing only as long as nothing overtakes it.
        """
        if not self._is_unowned(execution) or self._store.inbox(execution):
            self._store.post(execution, body)
            return
        owner = this_engine()
        try:
            epoch = self._store.acquire(execution, owner, ttl=LEASE_SECONDS, is_dead=is_dead)
        except ExecutionStateError:  # an engine was quicker
            self._store.post(execution, body)
            return
        try:
            state = self._live(execution)
            now = max(time.time(), state.changed_at)
            events = [
                Event(
                    execution=execution,
                    seq=seq,
                    at=now,
                    actor=Actor(kind="user", name=scope.principal),
                    cause=state.seq,
                    payload=payload,
                )
                for seq, payload in enumerate(decide(state, command, now), state.seq + 1)
            ]
            self._store.append(execution, state.seq, epoch, events)
        finally:
            self._store.release(execution, owner, epoch)

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

    def adopt(self, scope: Scope, execution: str, job: str, handle: Mapping[str, Any] | None) -> None:
        """Say which job at its vendor an ambiguous one is, or with ``None`` that there is none.

        Whoever drives the execution goes on from there, or will when it is resumed.

        Raises:
            ExecutionStateError: the execution or the job has ended, or the job is not ambiguous.
        """
        from flytepath.client.jobs import check_ambiguous

        check_ambiguous(self._live(execution).jobs, job)
        body = {"type": "adopt", "job": job, "handle": None if handle is None else dict(handle)}
        self._store.post(execution, {**body, "principal": scope.principal})

    def gate_type(self, scope: Scope, execution: str, name: str) -> LiteralType | None:
        """The type of the value that a gate waits for; ``None`` for an approval.

        Raises:
            NotFoundError, UsageError, ExecutionStateError: as :meth:`signal`.
        """
        _, gate = gate_of(self._live(execution), name, ())
        return gate.type if gate.kind == "input" else None

    def _live(self, execution: str) -> ExecutionState:
        """The state of an execution that has not ended."""
        state = self._state(execution)
        if state.status.is_final:
            raise ExecutionStateError(f"execution {execution} has already {state.status}", place=execution)
        return state


def with_defaults(interface: Interface, given: Mapping[str, Literal], name: str) -> dict[str, Literal]:
    """Every input of ``name``: those given, and the defaults of the others.

    Raises:
        InputError: one that has no default is missing.
    """
    literals: dict[str, Literal] = {}
    for variable in interface.inputs:
        if variable.name in given:
            literals[variable.name] = given[variable.name]
        elif variable.default is not None:
            literals[variable.name] = variable.default
        elif variable.required:
            raise InputError(
                f"input {variable.name!r} is missing", place=f"{name}({variable.name})", expected=str(variable.type)
            )
    return literals


def admit(spec: WorkflowSpec, tenant: Tenant, *, begins: bool = False) -> None:
    """Refuse to drive what the policy does not enable *now*; the execution stays as it is, and can be resumed.

    Of an execution that has begun, jobs of backends are left out: they are parked until their plugin can be used, and
    the others go on.
    """
    from flytepath.plugin.manager import current

    manager = current()
    for task in spec.tasks.values():
        if task.plugin and (begins or task.backend == "local"):
            manager.check_enabled(manager.task_type(task.task_type), tenant)


def _fitting(spec: WorkflowSpec, inputs: Mapping[str, Literal]) -> dict[str, Literal]:
    types = {variable.name: variable.type for variable in spec.interface.inputs}
    fitting: dict[str, Literal] = {}
    for name, literal in inputs.items():
        declared = types.get(name)
        if declared is None:
            raise InputError(f"{spec.name} has no input {name!r}", place=name, expected=", ".join(types) or "no inputs")
        if not fits(literal.type, declared):
            raise InputError(
                f"input {name!r} is of another type", place=name, expected=str(declared), actual=str(literal.type)
            )
        fitting[name] = literal if literal.is_offloaded else cast(literal, declared)
    return fitting


_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_execution_id() -> str:
    """A new id: ``x``, ten digits of time in milliseconds, eight random ones; ids sort by the time they were made.

    Example:
        >>> len(new_execution_id())
        19
    """
    number = (int(time.time() * 1000) << 40) | secrets.randbits(40)
    return "x" + "".join(_DIGITS[(number >> shift) & 31] for shift in range(85, -1, -5))
