"""An execution whose log is written command by command, as an engine would, with a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flytepath.client import LocalClient, Scope
from flytepath.engine.commands import (
    Abort,
    Command,
    Expand,
    Fail,
    Finish,
    Own,
    Settle,
    Start,
    StartItems,
    Succeed,
    SucceedItems,
)
from flytepath.engine.decisions import decide
from flytepath.engine.fold import apply
from flytepath.engine.ownership import this_engine
from flytepath.engine.state import ExecutionState
from flytepath.model.events import Actor, Blob, ErrorRecord, Event, ExecutionCreated, LogWritten, Payload, Usage
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.task import Interface, RetryPolicy, TaskSpec, Variable
from flytepath.model.types import INTEGER, LiteralType
from flytepath.model.workflow import InputBinding, MapSpec, NodeSpec, OutputBinding, WorkflowSpec
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import open_store

ADA = Actor(kind="user", name="ada")
ENGINE = Actor(kind="engine", name="7")
SCOPE = Scope(Tenant("shop", "development"), "ada")


def number(value: int) -> Literal:
    return Literal.make(INTEGER, value)


def task(name: str, *inputs: str, retries: int = 0, **facts: Any) -> TaskSpec:
    interface = Interface(
        inputs=tuple(Variable(name=each, type=INTEGER) for each in inputs),
        outputs=(Variable(name="o0", type=INTEGER),),
    )
    return TaskSpec(name=name, interface=interface, retry=RetryPolicy(retries=retries), **facts)


def node(path: str, runs: str, **inputs: Any) -> NodeSpec:
    """A node; an input that is a text is the output of the node with that path, any other a workflow input."""
    bound = {
        name: OutputBinding(node=given, name="o0") if isinstance(given, str) else InputBinding(name=name)
        for name, given in inputs.items()
    }
    return NodeSpec(path=path, task=runs, inputs=bound)


def chain(*names: str, retries: int = 0) -> WorkflowSpec:
    """Tasks that each need what the one before gives."""
    tasks = {name: task(name, "x", retries=retries) for name in names}
    nodes = [node(f"n{place}", name, x=f"n{place - 1}" if place else None) for place, name in enumerate(names)]
    return workflow(nodes, tasks)


def workflow(nodes: Sequence[NodeSpec], tasks: Mapping[str, TaskSpec], **facts: Any) -> WorkflowSpec:
    facts.setdefault("interface", Interface(inputs=(Variable(name="x", type=INTEGER),)))
    return WorkflowSpec(name="flow.wf", nodes=tuple(nodes), tasks=dict(tasks), **facts)


def mapped(size: int, *, concurrency: int | None = None, ratio: float = 1.0) -> WorkflowSpec:
    """A map of ``size`` items at ``n0``, and a task after it."""
    inside = NodeSpec(
        path="n0",
        task="flow.double",
        map=MapSpec(mapped=("x",), concurrency=concurrency, min_success_ratio=ratio),
        inputs={"x": InputBinding(name="xs")},
    )
    after = NodeSpec(path="n1", task="flow.total", inputs={}, upstream=("n0",))
    tasks = {"flow.double": task("flow.double", "x", retries=1), "flow.total": task("flow.total")}
    interface = Interface(inputs=(Variable(name="xs", type=LiteralType.list_of(INTEGER)),))
    return workflow([inside, after], tasks, interface=interface)


class Recorded:
    """Writes the log of one execution of ``spec``."""

    def __init__(
        self,
        home: Path,
        spec: WorkflowSpec,
        *,
        id: str = "x1",
        at: float = 1000.0,
        inputs: Mapping[str, Literal] | None = None,
        own: bool = True,
        **created: Any,
    ) -> None:
        self.home = home
        self.id = id
        self.spec = spec
        self.now = at
        self.store = open_store(home)
        self.state = ExecutionState.of(spec)
        self.blobs = BlobFolder(str(home / "blobs"), "shop", "development")
        self.store.put_spec(spec.digest(), spec.model_dump(mode="json", exclude_defaults=True))
        given = {"x": number(3)} if inputs is None else inputs
        facts: dict[str, Any] = {
            "project": "shop",
            "domain": "development",
            "workflow": spec.name,
            "workflow_version": "v1",
            "spec": spec.digest(),
            "bundle": "sha256:1",
            "inputs": {name: literal.digest for name, literal in given.items()},
        }
        self.epoch = 0
        self._append([ExecutionCreated(**{**facts, **created})], ADA, list(given.values()))
        if own:
            self.own()

    def own(self) -> None:
        self.owner = this_engine()
        self.epoch = self.store.acquire(self.id, self.owner, ttl=3600)
        self.do(Own(self.owner, self.epoch))

    def leave(self) -> None:
        """The engine goes without finishing."""
        self.store.release(self.id, self.owner, self.epoch)

    def close(self) -> None:
        self.store.close()

    def do(self, command: Command, actor: Actor = ENGINE, literals: Sequence[Literal] = ()) -> None:
        self._append(decide(self.state, command, self.now), actor, literals)

    def note(self, payload: Payload, actor: Actor = ENGINE) -> None:
        self._append([payload], actor, ())

    def _append(self, payloads: Sequence[Payload], actor: Actor, literals: Sequence[Literal]) -> None:
        events: list[Event] = []
        first = self.state.seq
        for payload in payloads:
            event = Event(execution=self.id, seq=self.state.seq + 1, at=self.now, actor=actor, payload=payload)
            apply(self.state, event)
            events.append(event)
        if events:
            self.store.append(self.id, first, self.epoch, events, literals)

    # --- what happens ---

    def start(self, path: str, **inputs: Literal) -> None:
        given = {name: literal.digest for name, literal in inputs.items()}
        self.do(Start(path, given), literals=list(inputs.values()))

    def succeed(self, path: str, value: int = 1) -> None:
        attempt = self.state.nodes[path].attempt
        self.do(Succeed(path, attempt, {"o0": number(value).digest}, Usage()), literals=[number(value)])

    def fail(self, path: str, message: str = "broken", **facts: Any) -> None:
        record = ErrorRecord(**{"kind": "user", "code": "FP-TASK-FAILED", "message": message, **facts})
        self.do(Fail(path, self.state.nodes[path].attempt, record))

    def log(self, path: str, text: str | bytes, attempt: int = 1) -> None:
        content = text if isinstance(text, bytes) else text.encode()
        self.note(LogWritten(node=path, attempt=attempt, log=Blob.of(self.blobs.put(content))))

    def expand(self, path: str, items: int | None = None, inputs: Mapping[str, Literal] | None = None) -> None:
        given = dict(inputs or {})
        digests = {name: literal.digest for name, literal in given.items()}
        self.do(Expand(path, digests, items=items), literals=list(given.values()))

    def start_items(self, path: str, *indices: int) -> None:
        self.do(StartItems(path, indices))

    def succeed_items(self, path: str, *indices: int) -> None:
        done = tuple((index, 1, (number(2 * index).digest,)) for index in indices)
        usage = tuple(Usage(wall_seconds=0.1) for _ in indices)
        values = [number(2 * index) for index in indices]
        self.do(SucceedItems(path, ("o0",), done, usage), literals=values)

    def settle(self, path: str) -> None:
        self.do(Settle(path))

    def finish(self, **outputs: Literal) -> None:
        given = {name: literal.digest for name, literal in outputs.items()}
        self.do(Finish(given), literals=list(outputs.values()))

    def abort(self, reason: str = "") -> None:
        self.do(Abort(reason), ADA)


def client_of(home: Path) -> LocalClient:
    return LocalClient(home)
