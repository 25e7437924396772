"""From a node to the nodes below it: sub-graphs, taken cases, items of maps and calls of eager tasks.

Everything here is a pure function of the compiled graph and of what the event says, so that a fold finds the same
nodes with the same paths and bindings again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from flytepath.model.workflow import (
    ArgumentBinding,
    Binding,
    CaseSpec,
    Condition,
    DictBinding,
    InputBinding,
    Junction,
    ListBinding,
    MapSpec,
    NodeSpec,
    OutputBinding,
)

#: The path of a failure handler below its graph's.
HANDLER = "fn0"


def below(prefix: str, path: str) -> str:
    """``path`` below ``prefix``, which is empty for the execution itself.

    Example:
        >>> below("", "n0"), below("n1", "n0")
        ('n0', 'n1/n0')
    """
    return f"{prefix}/{path}" if prefix else path


def instantiated(node: NodeSpec, prefix: str) -> NodeSpec:
    """``node`` of a graph that runs as the node ``prefix``: its paths lie below, its graph's inputs are arguments."""
    if not prefix:
        return node
    return node.model_copy(
        update={
            "path": below(prefix, node.path),
            "inputs": bound_below(node.inputs, prefix),
            "upstream": tuple(below(prefix, path) for path in node.upstream),
            "cases": tuple(_case(case, prefix) for case in node.cases),
        }
    )


def bound_below(bindings: dict[str, Binding], prefix: str) -> dict[str, Binding]:
    """``bindings`` of a graph that runs as the node ``prefix``."""
    return {name: _binding(binding, prefix) for name, binding in bindings.items()} if prefix else bindings


def _case(case: CaseSpec, prefix: str) -> CaseSpec:
    return case.model_copy(
        update={
            "condition": None if case.condition is None else _condition(case.condition, prefix),
            "nodes": tuple(instantiated(node, prefix) for node in case.nodes),
            "outputs": bound_below(case.outputs, prefix),
        }
    )


def _condition(condition: Condition, prefix: str) -> Condition:
    if isinstance(condition, Junction):
        return condition.model_copy(update={"items": tuple(_condition(item, prefix) for item in condition.items)})
    return condition.model_copy(
        update={"left": _binding(condition.left, prefix), "right": _binding(condition.right, prefix)}
    )


def _binding(binding: Binding, prefix: str) -> Binding:
    match binding:
        case InputBinding(name=name, path=path):
            return ArgumentBinding(node=prefix, name=name, path=path)
        case OutputBinding(node=node):
            return binding.model_copy(update={"node": below(prefix, node)})
        case ArgumentBinding(node=node):
            return binding.model_copy(update={"node": below(prefix, node)})
        case ListBinding(items=items):
            return ListBinding(items=tuple(_binding(item, prefix) for item in items))
        case DictBinding(items=named):
            return DictBinding(items={key: _binding(item, prefix) for key, item in named.items()})
        case _:
            return binding


def map_item(node: NodeSpec, index: int) -> NodeSpec:
    """The node of one item of a map: the same task or graph, with the item's part of the mapped inputs."""
    mapped = node.map.mapped if node.map is not None else ()
    inputs: dict[str, Binding] = {
        name: ArgumentBinding(node=node.path, name=name, path=(index,) if name in mapped else ())
        for name in node.inputs
    }
    return NodeSpec(
        path=f"{node.path}/{index}",
        task=node.task,
        graph=node.graph,
        inputs=inputs,
        overrides=node.overrides,
        line=node.line,
    )


def needed(spec: MapSpec, size: int) -> int:
    """How many of ``size`` items must succeed.

    Example:
        >>> needed(MapSpec(mapped=("x",), min_success_ratio=0.7), 10)
        7
    """
    if spec.min_successes is not None:
        return min(spec.min_successes, size)
    return math.ceil(round(spec.min_success_ratio * size, 9))


def upstream_of(node: NodeSpec) -> set[str]:
    """The paths of the nodes whose end ``node`` waits for.

    A branch waits for what its conditions compare and for what its cases pass on from around it, but not for what the
    nodes inside its cases need: those wait by themselves.
    """
    paths = set(node.upstream)
    for binding in node.inputs.values():
        paths.update(_outputs_in(binding))
    inside = f"{node.path}/"
    for case in node.cases:
        if case.condition is not None:
            paths.update(_outputs_of_condition(case.condition))
        for binding in case.outputs.values():
            paths.update(path for path in _outputs_in(binding) if not path.startswith(inside))
    return paths


def _outputs_of_condition(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Junction):
        for item in condition.items:
            yield from _outputs_of_condition(item)
    else:
        yield from _outputs_in(condition.left)
        yield from _outputs_in(condition.right)


def _outputs_in(binding: Binding) -> Iterator[str]:
    if isinstance(binding, OutputBinding):
        yield binding.node
    elif isinstance(binding, ListBinding):
        for item in binding.items:
            yield from _outputs_in(item)
    elif isinstance(binding, DictBinding):
        for item in binding.items.values():
            yield from _outputs_in(item)
