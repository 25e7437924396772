"""Small workflows to hold the engine by, and an execution that is played by hand without a scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fake_machine import Machine, Posted, interface, number, task_spec
from flytepath.engine.commands import Command, Own
from flytepath.engine.decisions import decide
from flytepath.engine.fold import apply
from flytepath.engine.state import ExecutionState
from flytepath.model.events import Actor, Event, ExecutionCreated, Payload
from flytepath.model.task import Interface, TaskSpec, Variable
from flytepath.model.types import INTEGER, LiteralType
from flytepath.model.workflow import (
    Binding,
    GateSpec,
    InputBinding,
    ListBinding,
    LiteralBinding,
    MapSpec,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)

LIST = LiteralType.list_of(INTEGER)
X = InputBinding(name="x")
SLEEP = GateSpec(kind="sleep", seconds=0.01)


def out(path: str) -> Binding:
    return OutputBinding(node=path, name="o0")


def const(value: int) -> Binding:
    return LiteralBinding(value=number(value))


def node(path: str, task: str, x: Binding = X, **facts: Any) -> NodeSpec:
    return NodeSpec(path=path, task=task, inputs={"x": x}, **facts)


def tasks(*made: TaskSpec | str) -> dict[str, TaskSpec]:
    specs = [task_spec(each, "x") if isinstance(each, str) else each for each in made]
    return {spec.name: spec for spec in specs}


def flow(*nodes: NodeSpec, tasks: dict[str, TaskSpec], output: str = "", **facts: Any) -> WorkflowSpec:
    """A workflow of ``x`` that gives what the node ``output`` does, its last by default."""
    return WorkflowSpec(
        name="w",
        interface=facts.pop("interface", interface("x")),
        nodes=nodes,
        tasks=tasks,
        outputs={"o0": out(output or nodes[-1].path)},
        **facts,
    )


def mapped(values: Sequence[int], path: str = "n0", *, task: str = "t", graph: str = "", **facts: Any) -> NodeSpec:
    """A map over constants."""
    optional = LiteralType.union_of(INTEGER, LiteralType("none"))
    tolerant = "min_successes" in facts or "min_success_ratio" in facts
    result = LiteralType.list_of(optional if tolerant else INTEGER)
    shape = Interface(inputs=(Variable(name="x", type=LIST),), outputs=(Variable(name="o0", type=result),))
    return NodeSpec(
        path=path,
        task="" if graph else task,
        graph=graph,
        map=MapSpec(mapped=("x",), **facts),
        inputs={"x": ListBinding(items=tuple(const(value) for value in values))},
        interface=shape,
    )


def of_lists(spec: WorkflowSpec) -> WorkflowSpec:
    """The same, where its output is the list of a map."""
    shape = spec.nodes[-1].interface
    outputs = shape.outputs if shape is not None else ()
    return spec.model_copy(update={"interface": Interface(inputs=spec.interface.inputs, outputs=outputs)})


def fan(values: Sequence[int], *made: TaskSpec | str, **facts: Any) -> WorkflowSpec:
    """A workflow that is one map."""
    return of_lists(flow(mapped(values, **facts), tasks=tasks(*(made or ("t",)))))


def post(machine: Machine, **command: Any) -> None:
    """Leave a command in the inbox of the execution."""
    machine.log.posted.append(Posted(len(machine.log.events) * 100 + len(machine.log.posted) + 1, command))


def told(machine: Machine, kind: type[Payload]) -> list[Any]:
    """The payloads of one kind, in their order."""
    return [event.payload for event in machine.log.events if isinstance(event.payload, kind)]


def order(machine: Machine) -> list[str]:
    """What happened, in short."""
    return [f"{event.payload.type} {getattr(event.payload, 'node', '')}".strip() for event in machine.log.events]


def created_with(machine: Machine, **facts: Any) -> Machine:
    """The same machine, whose execution was asked for with these facts."""
    first = machine.log.events[0]
    machine.log.events[0] = first.model_copy(update={"payload": first.payload.model_copy(update=facts)})
    return machine


class Play:
    """An execution that is driven by hand: a state, and the events that made it."""

    def __init__(self, spec: WorkflowSpec, **facts: Any) -> None:
        self.spec = spec
        self.state = ExecutionState.of(spec)
        self.events: list[Event] = []
        self.now = 100.0
        created = ExecutionCreated(
            project="p", domain="d", workflow="w", workflow_version="v", spec="s", bundle="b", **facts
        )
        self._record(created)
        self.do(Own("one", 1))

    def _record(self, payload: Payload) -> None:
        actor = Actor(kind="engine", name="e")
        event = Event(execution="x", seq=self.state.seq + 1, at=self.now, actor=actor, payload=payload)
        apply(self.state, event)
        self.events.append(event)

    def do(self, command: Command) -> list[str]:
        """Carry a command out; the kinds of the events it led to."""
        payloads = decide(self.state, command, self.now)
        for payload in payloads:
            self._record(payload)
        return [payload.type for payload in payloads]


def run_of(spec: WorkflowSpec, bodies: dict[str, Any], folder: Path, **settings: Any) -> Machine:
    """A machine that has run ``spec`` to its end."""
    machine = Machine(spec, bodies, folder, **{"x": 1, **settings})
    machine.run()
    return machine
