"""Running a graph in this process, node by node with native values: the same graph that the engine would run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from flytepath.authoring.conditional import Branch
from flytepath.authoring.graph import Graph, GraphNode, rebuilt
from flytepath.authoring.promise import Promise, part_of
from flytepath.authoring.task import Task

Results = dict[Any, dict[str, Any]]


def run_graph(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run every node of a checked graph in order; its outputs as native values, not yet checked.

    Args:
        graph: what a workflow or dynamic task compiled to.
        inputs: checked native inputs.
    """
    results: Results = {None: dict(inputs)}

    def value_of(bound: Any) -> Any:
        if type(bound) is Promise:
            value = results[bound._fp_node][bound._fp_name]
            return part_of(value, bound._fp_path, f"{graph.name}: {bound!r}") if bound._fp_path else value
        kind = type(bound)
        if kind is list or kind is dict or isinstance(bound, tuple):
            return rebuilt(bound, value_of)
        return bound

    _run(graph.nodes, value_of, results)
    return {name: value_of(bound) for name, bound in graph.outputs.items()}


def _run(nodes: list[GraphNode], value_of: Any, results: Results) -> None:
    for node in nodes:
        try:
            _run_node(node, value_of, results)
        except Exception as error:
            with suppress(AttributeError):  # some exceptions take no attributes
                error.flytepath_node = _where(node, error)  # type: ignore[attr-defined]
            raise


def _where(node: GraphNode, error: Exception) -> str:
    """The path of the node that failed first: ``node``'s own, or that of one inside of it."""
    inside = getattr(error, "flytepath_node", "")
    if not inside or not node.entity.holds_nodes:
        return node.path
    return inside if isinstance(node.entity, Branch) else f"{node.path}/{inside}"


def _hashes(node: GraphNode, inputs: Mapping[str, Any]) -> dict[str, str]:
    """What stands for inputs in cache keys, where the task that gave them says it."""
    found: dict[str, str] = {}
    for name, bound in node.inputs.items():
        if type(bound) is Promise and not bound._fp_path and isinstance(bound._fp_node, GraphNode):
            codec = bound._fp_node.entity.output_codecs.get(bound._fp_name)
            if codec is not None and codec.hasher is not None:
                found[name] = codec.hasher(inputs[name])
    return found


def _run_node(node: GraphNode, value_of: Any, results: Results) -> None:
    entity = node.entity
    if isinstance(entity, Branch):
        case = entity.chosen(value_of)
        _run(case.nodes, value_of, results)
        results[node] = {name: value_of(bound) for name, bound in case.outputs.items()}
        return
    if node.overrides is not None:
        entity = node.overrides.entity(entity)
    inputs = {name: value_of(bound) for name, bound in node.inputs.items()}
    hashes = _hashes(node, inputs) if isinstance(entity, Task) and entity.settings.caching is not None else None
    if hashes:
        from flytepath.authoring.local_cache import hashes_given

        with hashes_given(hashes):
            returned = entity.run_here(inputs)
    else:
        returned = entity.run_here(inputs)
    names = tuple(entity.outputs)
    if entity.has_one_output:
        results[node] = {names[0]: returned}
    else:
        results[node] = dict(zip(names, returned or (), strict=True))
