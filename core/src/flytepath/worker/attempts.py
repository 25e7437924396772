"""One attempt in this process: decode the inputs, call, encode the outputs, and say what it used."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flytepath.authoring.call import Vouchers, call_attempt, enter_surroundings, task_type_of
from flytepath.authoring.conducting import conducted
from flytepath.authoring.context import LOCAL_EXECUTION, ExecutionContext, being_current, entered
from flytepath.authoring.preemption import AttemptPreempted, saved_step
from flytepath.authoring.task import Task
from flytepath.engine.secrets import given
from flytepath.errors import TypeTransformerFailedError, WorkerError
from flytepath.model.events import Blob
from flytepath.model.identity import Identity, Tenant
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    AttemptErred,
    AttemptFacts,
    AttemptSucceeded,
    BoundaryResult,
    CallEnded,
    DeckReport,
    GraphProduced,
)
from flytepath.model.task import TaskSpec
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin.boundary import BoundaryReport
from flytepath.plugin.task_type import NO_OUTPUT
from flytepath.plugin.variables import variables_set
from flytepath.store.blobs import BlobFolder
from flytepath.worker.bounds import bound_to
from flytepath.worker.calls import Calls
from flytepath.worker.failures import error_record
from flytepath.worker.telling import check_without_secrets, deck_without_secrets, without_secrets
from flytepath.worker.usage import Meter

Outcome = AttemptSucceeded | GraphProduced | AttemptErred


class AttemptRunner:
    """Runs attempts in this process.

    Args:
        code_path: the root of the code bundle; empty where the user's own modules run.
        blobs: the blobs of the tenant.
        tenant: whose tasks.
        send: takes what is to be told while an attempt runs; may be called from any thread.
        home: where registered entities are found.
        importing: entered around the import of a task's module.
        interrupts: let Ctrl-C through to the caller, instead of taking it for what a task raised.
    """

    def __init__(
        self,
        code_path: str,
        blobs: BlobFolder,
        tenant: Tenant,
        send: Callable[[Any], None],
        *,
        home: str = "",
        importing: Callable[[], AbstractContextManager[None]] = nullcontext,
        interrupts: bool = False,
    ) -> None:
        self._code_path = code_path
        self._blobs = blobs
        self._tenant = tenant
        self._send = send
        self._fetch = None if not home else partial(_fetched, home)
        self._interrupts = interrupts
        self._importing = importing
        self._calls: Calls | None = None
        #: Whether the last attempt was that of a member of a gang that gives no outputs.
        self.gave_nothing = False
        self._tasks: dict[str, Task] = {}
        given.keep()

    def run(self, spec: TaskSpec, attempt: AttemptFacts, processors: tuple[int, ...] = ()) -> Outcome:
        """Run one attempt to its end; what a task raises becomes an error record.

        Args:
            spec: the task.
            attempt: the rest of what it needs.
            processors: those it may run on; none for all.
        """
        meter = Meter()
        outcome: Outcome
        try:
            if spec.variables or processors:
                with variables_set(spec.variables), bound_to(processors):
                    outcome = self._attempt(spec, attempt)
            else:
                outcome = self._attempt(spec, attempt)
        except AttemptPreempted:
            raise
        except BaseException as error:  # a task may raise anything, and it is what the attempt came to
            if self._interrupts and isinstance(error, KeyboardInterrupt):
                raise
            record = without_secrets(error_record(error, spec.name, self._code_path))
            outcome = AttemptErred(error=record, progress=saved_step())
        return outcome.model_copy(update={"usage": meter.read()})

    def answered(self, message: CallEnded) -> None:
        """A call of the eager task that runs has ended. Called from another thread."""
        if self._calls is not None:
            self._calls.ended(message)

    def _found(self, entry: str) -> Task:
        task = self._tasks.get(entry)
        if task is None:
            with self._importing():
                task = self._tasks[entry] = find_task(entry)
        return task

    def _attempt(self, spec: TaskSpec, attempt: AttemptFacts) -> AttemptSucceeded | GraphProduced:
        task = self._found(spec.body.entry)
        self.gave_nothing = False
        context = ExecutionContext(
            node_path=attempt.node,
            execution_id=attempt.execution,
            attempt=attempt.attempt,
            tenant=self._tenant,
            declare=partial(task.declaration, spec.backend, spec.body.source),
            payload=spec.payload,
            working_directory=Path(attempt.working_directory),
            on_deck=self._keep_deck,
            task_version=attempt.version or LOCAL_EXECUTION,
            execution_date=dt.datetime.fromtimestamp(attempt.created_at, dt.UTC) if attempt.created_at else None,
            enable_deck=bool(task.settings.decks),
            raw_output_prefix=attempt.raw_output_prefix or None,
            checkpoint_sources=attempt.checkpoint_sources,
            checkpoint_source=attempt.checkpoint_source,
            checkpoint_destination=attempt.checkpoint_destination,
            code_path=Path(self._code_path) if self._code_path else None,
        )
        if spec.mode == "dynamic":
            return self._graph(task, _decoded(task, attempt.inputs, self._blobs), context)
        if task.task_config is None:
            with being_current(context):
                return self._called(spec, task, context, attempt)
        with being_current(context), task_type_of(task).around(context):
            return self._called(spec, task, context, attempt)

    def _called(self, spec: TaskSpec, task: Task, context: ExecutionContext, attempt: AttemptFacts) -> AttemptSucceeded:
        inputs = _decoded(task, attempt.inputs, self._blobs)
        vouchers = Vouchers({name: literal.vouched for name, literal in attempt.inputs.items() if literal.vouched})
        if spec.mode == "eager":
            self._calls = Calls(self._tenant, self._blobs, self._send, self._fetch)
        try:
            with conducted(self._calls):
                outputs = call_attempt(task, task_type_of(task), context, inputs, self._record_check, vouchers)
        finally:
            self._calls = None
        if outputs is NO_OUTPUT:
            self.gave_nothing = True
            raise WorkerError(f"task {task.name} gave no output", hint="rank 0 of a gang must return the outputs")
        encoded = {}
        for name, value in outputs.items():
            try:
                encoded[name] = task.output_codecs[name].encode(value, self._blobs)
                if name in vouchers.made:
                    encoded[name] = replace(encoded[name], vouched=tuple(vouchers.made[name]))
            except TypeTransformerFailedError as error:
                error.place = f"{task.name}() -> {name}{error.place or ''}"
                raise
        return AttemptSucceeded(outputs=encoded)

    def _graph(self, task: Task, inputs: dict[str, Any], context: ExecutionContext) -> GraphProduced:
        from flytepath.authoring.dynamic import DynamicTask
        from flytepath.compiler import compile_dynamic

        if not isinstance(task, DynamicTask):
            raise WorkerError(f"task {task.name} builds no graph", hint="it was changed after it was compiled")
        with entered(context), ExitStack() as stack:
            enter_surroundings(task, context, stack)
            spec = compile_dynamic(task, inputs, self._tenant, self._blobs, self._fetch)
        return GraphProduced(graph=Blob.of(self._blobs.put(spec.model_dump_json(exclude_defaults=True).encode())))

    def _keep_deck(self, name: str, html: str) -> None:
        name, html = deck_without_secrets(name, html)
        self._send(DeckReport(name=name, deck=Blob.of(self._blobs.put(html.encode("utf-8", "replace")))))

    def _record_check(self, variable: str, side: Any, checker: str, report: BoundaryReport) -> None:
        result = BoundaryResult(
            variable=variable,
            side=side,
            checker=checker,
            passed=report.passed,
            message=report.message,
            details=dict(report.details),
        )
        self._send(check_without_secrets(result))


def _decoded(task: Task, literals: Mapping[str, Literal], blobs: BlobFolder) -> dict[str, Any]:
    inputs = {}
    for name, literal in literals.items():
        try:
            inputs[name] = task.input_codecs[name].decode(literal, blobs)
        except TypeTransformerFailedError as error:
            error.place = f"{task.name}({name}{error.place or ''})"
            raise
    return inputs


def _fetched(home: str, kind: str, identity: Identity) -> tuple[TaskSpec | WorkflowSpec, str]:
    """What is registered in ``home`` under an identity, and the digest of its code."""
    from flytepath.client import LocalClient

    with LocalClient(Path(home)) as client:
        return client.referred(kind, identity)


def find_task(entry: str) -> Task:
    """The task at ``module:name``.

    Raises:
        WorkerError: the module no longer holds it.
    """
    module_name, _, name = entry.partition(":")
    found = getattr(importlib.import_module(module_name), name, None)
    if not isinstance(found, Task):
        raise WorkerError(
            f"there is no task at {entry}", place=entry, hint="tasks must be module variables that always exist"
        )
    return found
