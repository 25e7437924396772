"""Whether a graph's nodes fit together: every promise against the type of the place it goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flytepath.authoring.promise import Promise, VoidPromise, holds_promise
from flytepath.errors import CompileError, TypeTransformerFailedError
from flytepath.model.payload import type_at
from flytepath.model.types import LiteralType
from flytepath.types.engine import Codec

if TYPE_CHECKING:
    from flytepath.authoring.graph import Graph

Codecs = Mapping[str, Codec[Any]]


def check_wiring(graph: Graph, inputs: Codecs, outputs: Codecs) -> None:
    """Hold every promise of a workflow with these inputs and outputs against the place it goes to.

    Raise one :class:`CompileError` with every finding, or return.

    Each finding names the task and argument, both types, and the line of the call.
    """
    own = {node.path: node for node in graph.nodes}
    findings: list[str] = []

    def type_of(promise: Promise) -> LiteralType | None:
        node = promise._fp_node
        if node is None:
            given = inputs.get(promise._fp_name)
            if given is None:
                return None
            declared = given.literal_type
        else:
            mine = own.get(node.path)
            if mine is None or mine is not node:
                return None  # a promise of another workflow
            declared = mine.task.output_codecs[promise._fp_name].literal_type
        return type_at(declared, promise._fp_path)

    def check(value: Any, codec: Codec[Any], place: str, line: str) -> None:
        problem = misfit(value, codec.literal_type, type_of)
        if problem is None and not holds_promise(value):
            try:
                codec.isolate(value)
            except TypeTransformerFailedError as error:
                path = error.place or ""
                problem = (
                    f"{path + ': ' if path else ''}{error.message} (expected {error.expected}, got {error.actual})"
                )
        if problem is not None:
            findings.append(f"{place}: {problem}  [{line}]")

    for node in graph.nodes:
        for name, value in node.inputs.items():
            check(value, node.task.input_codecs[name], f"{node.task.name}({name})", node.line)
    for name, value in graph.outputs.items():
        check(value, outputs[name], f"{graph.name}() -> {name}", graph.name)
    if findings:
        count = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
        raise CompileError(
            f"workflow {graph.name} does not fit together, {count}:\n    " + "\n    ".join(findings),
            place=graph.name,
        )


def misfit(value: Any, declared: LiteralType, type_of: Any) -> str | None:
    """What is wrong with ``value`` (promises, constants, containers of both) for a place of type ``declared``."""
    if isinstance(value, VoidPromise):
        return f"expected {declared}, got a task that returns nothing"
    if isinstance(value, Promise):
        actual = type_of(value)
        if actual is None:
            return f"{value!r} stands for nothing in this workflow: no such part, or a promise of another workflow"
        return None if fits(actual, declared) else f"expected {declared}, got {actual} from {value!r}"
    if not holds_promise(value):
        return None
    return _container_misfit(value, _without_none(declared), type_of)


def _container_misfit(value: Any, declared: LiteralType, type_of: Any) -> str | None:
    if isinstance(value, list) and declared.kind == "list":
        pairs = [(item, declared.items[0]) for item in value]
    elif isinstance(value, tuple) and declared.kind == "tuple" and len(value) == len(declared.items):
        pairs = list(zip(value, declared.items, strict=True))
    elif isinstance(value, dict) and declared.kind == "dict" and declared.items[0].kind == "string":
        pairs = [(item, declared.items[1]) for item in value.values()]
    else:
        return f"expected {declared}, got a {type(value).__name__} that holds promises"
    problems = (misfit(item, item_type, type_of) for item, item_type in pairs)
    return next((problem for problem in problems if problem), None)


def _without_none(declared: LiteralType) -> LiteralType:
    if declared.kind != "union":
        return declared
    rest = [item for item in declared.items if item.kind != "none"]
    return rest[0] if len(rest) == 1 else declared


def fits(actual: LiteralType, declared: LiteralType) -> bool:
    """Whether a literal of type ``actual`` can go where ``declared`` is expected, without a change of its value."""
    if actual == declared or declared.kind == "any":
        return True
    if declared.kind == "union":
        if actual.kind == "union":
            return all(item in declared.items for item in actual.items)
        return any(fits(actual, item) for item in declared.items)
    if actual.kind == declared.kind and declared.kind in ("file", "directory", "dataframe"):
        return not declared.format or not actual.format or declared.format == actual.format
    return False
