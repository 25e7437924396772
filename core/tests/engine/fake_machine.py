"""A scheduler on a log in memory and on workers that are coroutines, which can crash between any two appends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from flytepath.engine.fold import fold
from flytepath.engine.local.places import Places
from flytepath.engine.local.slots import Slots
from flytepath.engine.ports import AttemptResult, OnReport
from flytepath.engine.reuse import Reuses
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionState
from flytepath.errors import StoreError
from flytepath.model.events import Actor, Blob, ErrorRecord, Event, ExecutionCreated
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    AttemptErred,
    AttemptSucceeded,
    CallEnded,
    CallRequested,
    GraphProduced,
    RunAttempt,
)
from flytepath.model.task import CacheSpec, Interface, RetryPolicy, TaskSpec, Variable
from flytepath.model.types import INTEGER
from flytepath.model.workflow import NodeSpec, WorkflowSpec
from flytepath.testing import MemoryBlobs

USER = Actor(kind="user", name="ada")


class Crash(StoreError):
    """The machine is gone."""


class Raised(Exception):
    """What a task of these tests raises."""


def number(value: int) -> Literal:
    return Literal.make(INTEGER, value)


def interface(*inputs: str, outputs: Sequence[str] = ("o0",)) -> Interface:
    return Interface(
        inputs=tuple(Variable(name=name, type=INTEGER) for name in inputs),
        outputs=tuple(Variable(name=name, type=INTEGER) for name in outputs),
    )


def task_spec(name: str, *inputs: str, mode: Any = "task", retries: int = 0, **facts: Any) -> TaskSpec:
    retry = RetryPolicy(retries=retries, backoff_seconds=0)
    return TaskSpec(name=name, mode=mode, interface=interface(*inputs), retry=retry, **facts)


class Caller:
    """What the body of an eager task calls with."""

    def __init__(self, request: RunAttempt, blobs: MemoryBlobs, report: OnReport) -> None:
        self._blobs = blobs
        self._report = report
        self._made = 0
        self.open: dict[int, asyncio.Future[CallEnded]] = {}

    def __call__(self, spec: WorkflowSpec, **inputs: int) -> Awaitable[int]:
        ordinal = self._made
        self._made += 1
        future = self.open[ordinal] = asyncio.get_running_loop().create_future()
        graph = Blob.of(self._blobs.put(spec.model_dump_json(exclude_defaults=True).encode()))
        literals = {name: number(value) for name, value in inputs.items()}
        self._report(CallRequested(ordinal=ordinal, callee=spec.name, graph=graph, inputs=literals))
        return self._outcome(future)

    async def _outcome(self, future: asyncio.Future[CallEnded]) -> int:
        ended = await future
        if ended.error is not None:
            raise Raised(ended.error.message)
        return int(ended.outputs["o0"].data)


#: A task's body: native inputs and the request; numbers, a graph, or for an eager task an awaitable of a number.
Body = Callable[..., Any]


class FakePool:
    """Runs bodies in the engine's own loop."""

    def __init__(self, bodies: Mapping[str, Body], blobs: MemoryBlobs) -> None:
        self._bodies = bodies
        self._blobs = blobs
        self._callers: dict[tuple[str, int], Caller] = {}
        self.ran: list[str] = []
        self.now: set[str] = set()
        self.most = 0

    async def run(self, request: RunAttempt, on_report: OnReport) -> AttemptResult:
        self.ran.append(request.node)
        if request.task.mode != "eager":
            self.now.add(request.node)
        self.most = max(self.most, len(self.now))
        try:
            await asyncio.sleep(0)
            return AttemptResult(await self._outcome(request, on_report))
        finally:
            self.now.discard(request.node)

    async def _outcome(self, request: RunAttempt, report: OnReport) -> AttemptSucceeded | GraphProduced | AttemptErred:
        body = self._bodies[request.task.name]
        inputs = {name: literal.data for name, literal in request.inputs.items()}
        try:
            if request.task.mode == "eager":
                caller = self._callers[request.node, request.attempt] = Caller(request, self._blobs, report)
                result = await body(caller, **inputs)
            else:
                result = body(request, **inputs)
                if isinstance(result, Awaitable):
                    result = await result
        except Raised as error:
            record = ErrorRecord(kind="user", code="FP-TASK-FAILED", type="Raised", message=str(error))
            return AttemptErred(error=record)
        if isinstance(result, WorkflowSpec):
            blob = self._blobs.put(result.model_dump_json(exclude_defaults=True).encode())
            return GraphProduced(graph=Blob.of(blob))
        outputs = {variable.name: number(result) for variable in request.task.interface.outputs}
        return AttemptSucceeded(outputs=outputs)

    async def tell(self, execution: str, node: str, attempt: int, message: CallEnded) -> None:
        future = self._callers[node, attempt].open[message.ordinal]
        if not future.done():
            future.set_result(message)

    async def close(self) -> None:
        """Nothing to end."""


class Posted:
    def __init__(self, id: int, command: Mapping[str, Any]) -> None:
        self.id = id
        self.execution = "x"
        self.command = command


class MemoryLog:
    """What is durable. ``appends_left`` counts down to the crash; that append is lost."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.kept: dict[str, Literal] = {}
        self.specs: dict[str, WorkflowSpec] = {}
        self.posted: list[Posted] = []
        self.appends_left: int | None = None
        self.appends = 0

    def append_later(
        self, execution: str, expected_seq: int, epoch: int, events: list[Event], literals: list[Literal]
    ) -> Future[None]:
        future: Future[None] = Future()
        if self.appends_left == 0:
            future.set_exception(Crash("the machine crashed"))
            return future
        if self.appends_left is not None:
            self.appends_left -= 1
        assert expected_seq == len(self.events)
        self.appends += 1
        self.events += [Event.model_validate(json.loads(event.model_dump_json())) for event in events]
        self.kept.update({literal.digest: literal for literal in literals})
        future.set_result(None)
        return future

    def literals(self, execution: str, digests: Iterable[str]) -> dict[str, Literal]:
        return {digest: self.kept[digest] for digest in digests}

    def put_snapshot(self, execution: str, seq: int, format: str, body: bytes) -> Future[None]:
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def take(self, ids: Iterable[int]) -> None:
        gone = set(ids)
        self.posted = [item for item in self.posted if item.id not in gone]

    def put_spec(self, digest: str, spec: Any) -> None:
        self.specs[digest] = WorkflowSpec.model_validate(spec)


class Machine:
    """One execution of ``spec`` with ``bodies`` for its tasks."""

    def __init__(
        self,
        spec: WorkflowSpec,
        bodies: Mapping[str, Body],
        folder: Path,
        *,
        slots: int = 2,
        cache: Any = None,
        listener: Any = None,
        remote: Callable[[], Any] | None = None,
        **inputs: int,
    ) -> None:
        self.spec = spec
        self.remote = remote
        self.bodies = bodies
        self.folder = folder
        self.slots = slots
        self.cache = cache
        self.listener = listener or Quiet()
        self.log = MemoryLog()
        self.blobs = MemoryBlobs()
        self.ran: list[str] = []
        self.most = 0
        self.epoch = 0
        given = {name: number(value) for name, value in inputs.items()}
        self.log.kept.update({literal.digest: literal for literal in given.values()})
        digests = {name: literal.digest for name, literal in given.items()}
        created = ExecutionCreated(
            project="p", domain="d", workflow=spec.name, workflow_version="v", spec="s", bundle="b", inputs=digests
        )
        self.log.events.append(Event(execution="x", seq=1, at=1.0, actor=USER, payload=created))

    def state(self) -> ExecutionState:
        return fold(self.spec, self.log.events, lambda digest: self.log.specs[digest])

    def run(self, *, crash_after: int | None = None) -> ExecutionState:
        """Drive it to its end, or to the crash; then a new engine may."""
        self.log.appends_left = crash_after
        self.epoch += 1
        pool = FakePool(self.bodies, self.blobs)
        try:
            return asyncio.run(asyncio.wait_for(self._drive(pool), 20))
        finally:
            self.ran += pool.ran
            self.most = max(self.most, pool.most)

    async def _drive(self, pool: FakePool) -> ExecutionState:
        remote = self.remote() if self.remote is not None else None
        scheduler = Scheduler(
            "x",
            self.state(),
            self.log,
            self.blobs,
            pool,
            slots=Slots(self.slots),
            places=Places(self.folder, "x"),
            reuses=Reuses(self.cache, self.blobs, "x", holder=f"engine {self.epoch}"),
            listener=self.listener,
            clock=time.time,
            code_path_of=lambda bundle: bundle,
            remote=remote,
        )
        run = asyncio.create_task(scheduler.run(f"engine {self.epoch}", self.epoch, self.log.posted))
        seen = {item.id for item in self.log.posted}
        while not run.done():
            await asyncio.wait([run], timeout=0.01)
            new = [item for item in self.log.posted if item.id not in seen]
            seen.update(item.id for item in new)
            scheduler.inform(new)
        if remote is not None:
            await remote.services.close()
        return await run

    def outputs(self) -> dict[str, Any]:
        return {name: self.log.kept[digest].data for name, digest in self.state().outputs.items()}


class Quiet:
    def event(self, event: Event, name: str = "") -> None:
        """Nothing is shown."""

    def output(self, node: str, stream: str, text: str) -> None:
        """Nothing is shown."""


def single(task: TaskSpec, *tasks: TaskSpec, **graphs: Any) -> WorkflowSpec:
    """A workflow of one node, as a call of an eager task comes with."""
    from flytepath.model.workflow import InputBinding, OutputBinding

    inputs = {variable.name: InputBinding(name=variable.name) for variable in task.interface.inputs}
    return WorkflowSpec(
        name=task.name,
        interface=task.interface,
        nodes=(NodeSpec(path="n0", task=task.name, inputs=inputs),),
        outputs={"o0": OutputBinding(node="n0", name="o0")},
        tasks={item.name: item for item in (task, *tasks)},
    )


def cached(version: str = "1", **facts: Any) -> CacheSpec:
    return CacheSpec(enabled=True, version=version, **facts)
