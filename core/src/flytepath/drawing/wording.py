"""The words for what a workflow holds: where a value comes from, when a branch is taken, what an interface is."""

from __future__ import annotations

import json

from flytepath.model.literal import Literal
from flytepath.model.task import Interface, TaskSpec, Variable
from flytepath.model.workflow import (
    ArgumentBinding,
    Binding,
    Comparison,
    Condition,
    DictBinding,
    FailureBinding,
    GateSpec,
    InputBinding,
    ListBinding,
    MapSpec,
    OutputBinding,
)

_LIMIT = 60


def short(name: str) -> str:
    """The last part of a dotted name, which is what people call a task.

    Example:
        >>> short("flows.train.fit")
        'fit'
    """
    return name.rpartition(".")[2] or name


def cut(text: str, limit: int = _LIMIT) -> str:
    """``text`` on one line, shortened to ``limit`` characters.

    Example:
        >>> cut("a  long\\nstory", 8)
        'a long …'
    """
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def binding_text(binding: Binding) -> str:
    """Where a value comes from: ``x``, ``n0.o0[2]``, or a constant as JSON."""
    if isinstance(binding, InputBinding):
        return binding.name + _steps(binding.path)
    if isinstance(binding, OutputBinding | ArgumentBinding):
        return f"{binding.node}.{binding.name}{_steps(binding.path)}"
    if isinstance(binding, FailureBinding):
        return "the failure"
    if isinstance(binding, ListBinding):
        return cut("[" + ", ".join(map(binding_text, binding.items[:20])) + (", …]" if binding.items[20:] else "]"))
    if isinstance(binding, DictBinding):
        items = list(binding.items.items())
        inside = ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {binding_text(v)}" for k, v in items[:20])
        return cut("{" + inside + (", …}" if items[20:] else "}"))
    return literal_text(binding.value)


def literal_text(literal: Literal) -> str:
    """A constant on one line; what lies in a blob by its type."""
    if literal.ref is not None or (literal.data is None and literal.type.kind not in ("none", "union")):
        return f"<{literal.type}>"
    data = literal.data
    if literal.type.kind == "union" and isinstance(data, dict):
        data = data.get("value")
    return cut(json.dumps(data, ensure_ascii=False))


def _steps(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def condition_text(condition: Condition) -> str:
    """A condition as people write it.

    Example:
        >>> from flytepath.model.workflow import InputBinding
        >>> condition_text(Comparison(operator=">", left=InputBinding(name="x"), right=InputBinding(name="y")))
        'x > y'
    """
    if isinstance(condition, Comparison):
        return f"{binding_text(condition.left)} {condition.operator} {binding_text(condition.right)}"
    inner = (
        f"({condition_text(item)})" if not isinstance(item, Comparison) else condition_text(item)
        for item in condition.items
    )
    return f" {condition.kind} ".join(inner)


def variable_text(variable: Variable) -> str:
    """A name with its type, and its default where it has one."""
    text = f"{variable.name}: {variable.type}"
    if variable.required:
        return text
    return f"{text} = {literal_text(variable.default)}" if variable.default is not None else f"{text} = …"


def interface_text(name: str, interface: Interface) -> str:
    """What is called and what it gives: ``fit(rows: integer) -> o0: float``."""
    outputs = ", ".join(map(variable_text, interface.outputs)) or "nothing"
    return f"{name}({', '.join(map(variable_text, interface.inputs))}) -> {outputs}"


def map_text(spec: MapSpec) -> str:
    """How a node is mapped."""
    words = ["for each " + ", ".join(spec.mapped) if spec.mapped else "mapped"]
    if spec.concurrency:
        words.append(f"{spec.concurrency} at once")
    if spec.min_successes is not None:
        words.append(f"at least {spec.min_successes} succeed")
    elif spec.min_success_ratio < 1:
        words.append(f"at least {spec.min_success_ratio:.0%} succeed")
    return ", ".join(words)


def gate_text(gate: GateSpec) -> str:
    """What a node waits for."""
    if gate.kind == "sleep":
        return f"sleeps {gate.seconds:g} s"
    limit = f", at most {gate.timeout_seconds:g} s" if gate.timeout_seconds else ""
    if gate.kind == "approve":
        return f"waits for approval{limit}"
    return f"waits for input: {gate.type}{limit}"


def task_text(task: TaskSpec) -> str:
    """What kind of task it is, and what is worth knowing about how it runs."""
    words = [task.mode if task.mode != "task" else task.task_type]
    if task.retry.retries:
        words.append(f"{task.retry.retries} retries")
    if task.cache.enabled:
        words.append("cached")
    return " · ".join(words)
