"""Answers to gates: which one is meant, and whether the answer is one it can take."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from flytepath.engine.state import ExecutionState, NodeState, NodeStatus
from flytepath.errors import ExecutionStateError, InputError, NotFoundError, UsageError
from flytepath.model.fitting import fits
from flytepath.model.literal import Literal, cast
from flytepath.model.workflow import GateSpec


def answer(
    state: ExecutionState,
    posted: Iterable[Mapping[str, Any]],
    name: str,
    value: Literal | None,
    approve: bool | None,
) -> dict[str, Any]:
    """The command that answers the gate called ``name``, or at the node ``name``.

    Args:
        state: the execution as it is.
        posted: commands that its owner has not taken yet.
        name: the gate.
        value, approve: the answer.

    Raises:
        NotFoundError: no such gate waits or will wait.
        UsageError: several do.
        ExecutionStateError: it is answered already.
        InputError: this answer does not fit the gate.
    """
    under_way = {str(command.get("node")) for command in posted if command.get("type") == "signal"}
    node, gate = gate_of(state, name, under_way)
    body: dict[str, Any] = {"type": "signal", "node": node.path}
    if gate.kind == "approve":
        if value is not None or approve is None:
            raise InputError(f"{name} waits for an approval, not for a value", place=node.path, expected="yes or no")
        return {**body, "approved": approve}
    if value is None or gate.type is None:
        raise InputError(f"{name} waits for a value", place=node.path, expected=str(gate.type), actual="none")
    if not fits(value.type, gate.type):
        raise InputError(
            f"the value is not of the type that {name} waits for",
            place=node.path,
            expected=str(gate.type),
            actual=str(value.type),
        )
    fitting = cast(value, gate.type) if not value.is_offloaded else value
    return {**body, "value": fitting.to_json()}


def gate_of(state: ExecutionState, name: str, under_way: Container[str]) -> tuple[NodeState, GateSpec]:
    """The gate that is called ``name``, or at the node ``name``; the nodes in ``under_way`` are answered already."""
    gates = [(node, gate) for node, gate in gates_of(state) if gate.kind != "sleep"]
    called = [(node, gate) for node, gate in gates if name in (gate.signal, node.path)]
    waiting = [(node, gate) for node, gate in called if _takes_answers(node, under_way)]
    open_ones = [(node, gate) for node, gate in waiting if node.status is NodeStatus.PAUSED]
    found = open_ones or waiting
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"several gates are called {name!r}",
            place=name,
            expected="the path of one: " + ", ".join(node.path for node, _ in found),
        )
    if called:
        node = called[0][0]
        raise ExecutionStateError(
            f"{name} has been answered already" if node.status is not NodeStatus.SKIPPED else f"{name} was skipped",
            place=node.path,
            actual=node.status,
        )
    known = ", ".join(gate.signal for node, gate in gates if _takes_answers(node, under_way))
    raise NotFoundError(
        f"no gate of this execution is called {name!r}", place=name, expected=known or "no gate waits for an answer"
    )


def _takes_answers(node: NodeState, under_way: Container[str]) -> bool:
    return not node.status.is_final and node.answer is None and node.path not in under_way


def gates_of(state: ExecutionState) -> list[tuple[NodeState, GateSpec]]:
    """Every gate there is so far."""
    return [(node, node.spec.gate) for node in state.nodes.values() if node.spec.gate is not None]
