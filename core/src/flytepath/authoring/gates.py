"""Gates: nodes that wait for a person's approval or input, or for time.

In a direct call the person is asked on the terminal; a durable run waits until somebody answers with
``flytepath executions signal``.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal

from flytepath.authoring.conducting import CallsHere, conductor
from flytepath.authoring.entity import Entity
from flytepath.authoring.graph import GraphNode, building, promised
from flytepath.authoring.promise import Promise, VoidPromise, caller_line
from flytepath.authoring.signature import REQUIRED
from flytepath.errors import DefinitionError, FlytePathError, GateError
from flytepath.model.types import LiteralType

NOTHING: Final[Mapping[str, Any]] = {}


class _Unchanged:
    """Stands where other inputs have a codec: what is approved is passed on as it is, whatever its type."""

    def __init__(self, literal_type: LiteralType) -> None:
        self.literal_type = literal_type
        self.python_type = object
        self.markers = ()
        self.pickled = False

    def isolate(self, value: Any) -> Any:
        return value


class Gate(Entity):
    """What the node of a gate runs.

    Args:
        kind: what it waits for.
        answer: the type of what is given.
        passed_on: the literal types of what is approved, by name.
        seconds: how long a sleep takes.
        timeout_seconds: how long anybody has to answer; ``None`` for ever.
    """

    def __init__(
        self,
        kind: Literal["approve", "input", "sleep"],
        name: str,
        *,
        answer: Any = None,
        passed_on: Mapping[str, LiteralType] = NOTHING,
        seconds: float = 0.0,
        timeout_seconds: float | None = None,
    ) -> None:
        super().__init__(name, {}, {} if answer is None else {"o0": answer}, {}, None)
        for key, literal_type in passed_on.items():
            self.inputs[key] = self.outputs[key] = Any
            self.defaults[key] = REQUIRED
            self.input_codecs[key] = self.output_codecs[key] = _Unchanged(literal_type)  # type: ignore[assignment]
        self.kind = kind
        self.seconds = seconds
        self.timeout_seconds = timeout_seconds

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Ask on the terminal, or sleep."""
        if self.kind == "sleep":
            import time

            time.sleep(self.seconds)
            return None
        if self.kind == "input":
            return self.checked_output("o0", self._asked())
        self._approved(inputs)
        values = tuple(inputs.values())
        return values[0] if len(values) == 1 else (values or None)

    def _approved(self, inputs: Mapping[str, Any]) -> None:
        shown = ", ".join(repr(value)[:200] for value in inputs.values())
        answer = self._answer(f"{self.name}: approve {shown or 'this'}? [y/N] ").strip().lower()
        if answer not in ("y", "yes"):
            raise GateError(f"{self.name} was not approved", place=self.name, actual=answer or "no answer")

    def _asked(self) -> Any:
        from flytepath.types.converter import type_name
        from flytepath.types.text import parse_text

        declared = self.outputs["o0"]
        text = self._answer(f"{self.name} ({type_name(declared)}): ")
        try:
            return parse_text(declared, text.rstrip("\n"))
        except FlytePathError as error:
            error.place = f"{self.name}{error.place or ''}"
            raise

    def _answer(self, question: str) -> str:
        sys.stderr.write(question)
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise GateError(
                f"nobody is there to answer {self.name!r}",
                place=self.name,
                expected="a line on standard input",
                hint="run it with `flytepath run` and answer with `flytepath executions signal`",
            )
        return answer

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def _seconds(value: Any, what: str, place: str) -> float:
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise DefinitionError(
            f"{what} is a timedelta or a number of seconds", place=f"{place}({what})", actual=repr(value)
        )
    return float(seconds)


def _name(name: Any, place: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise DefinitionError("a gate needs a name, by which it is answered", place=place, actual=repr(name))
    return name


def sleep(duration: dt.timedelta | float) -> Any:
    """Wait for ``duration``; order it with ``>>``.

    Example:
        >>> import datetime as dt
        >>> from flytepath import sleep, task, workflow
        >>> @task
        ... def late() -> int:
        ...     return 1
        >>> @workflow
        ... def wait() -> int:
        ...     result = late()
        ...     sleep(dt.timedelta(seconds=0)) >> result
        ...     return result
        >>> wait()
        1
    """
    gate = Gate("sleep", "sleep", seconds=_seconds(duration, "duration", "sleep"))
    return gate()


def wait_for_input(name: str, timeout: dt.timedelta | float | None = None, expected_type: Any = str) -> Any:
    """Wait until somebody gives a value.

    Args:
        name: what it is answered by: ``flytepath executions signal EXECUTION NAME VALUE``.
        timeout: how long there is to answer; the workflow fails after it. For ever by default.
        expected_type: the type of the value; another is refused when it is given.
    """
    limit = None if timeout is None else _seconds(timeout, "timeout", "wait_for_input") or None
    gate = Gate("input", _name(name, "wait_for_input"), answer=expected_type, timeout_seconds=limit)
    return gate()


def approve(upstream_item: Any, name: str, timeout: dt.timedelta | float | None = None) -> Any:
    """Let what needs ``upstream_item`` wait until somebody approves it; it is passed through unchanged.

    Args:
        upstream_item: what a task returned; in a direct call, any value.
        name: what it is answered by: ``flytepath executions signal EXECUTION NAME --approve`` or ``--reject``.
        timeout: how long there is to answer; the workflow fails after it. For ever by default.

    Raises:
        GateError: it was rejected.
    """
    limit = None if timeout is None else _seconds(timeout, "timeout", "approve") or None
    _name(name, "approve")
    graph = building.get()
    if graph is None:
        gate = Gate("approve", name, timeout_seconds=limit)
        if isinstance(conductor.get(), CallsHere | None):
            gate._approved({} if upstream_item is None else {"value": upstream_item})
        else:
            gate()
        return upstream_item
    items = upstream_item if isinstance(upstream_item, tuple) else (upstream_item,)
    if not all(isinstance(item, Promise | VoidPromise | GraphNode) for item in items):
        raise DefinitionError("approve() takes what a task returned", place=caller_line(), actual=repr(upstream_item))
    values = [item for item in items if isinstance(item, Promise)]
    names = [f"o{index}" for index in range(len(values))]
    types = {key: graph.type_of(value) or LiteralType("any") for key, value in zip(names, values, strict=True)}
    gate = Gate("approve", name, passed_on=types, timeout_seconds=limit)
    node = graph.add(gate, dict(zip(names, values, strict=True)))
    node.upstream.update(item._fp_node for item in items if isinstance(item, VoidPromise))  # type: ignore[misc]
    node.upstream.update(item for item in items if isinstance(item, GraphNode))
    node.types = types
    return promised(node)
