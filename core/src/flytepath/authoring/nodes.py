"""``create_node``: a call whose node is held on to, to order it, configure it, or use its outputs by name."""

from __future__ import annotations

from typing import Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.graph import GraphNode, graph_being_built
from flytepath.authoring.promise import Promise, caller_line, node_of
from flytepath.errors import DefinitionError

#: The output of a node, as flytekit calls it.
NodeOutput = Promise


def create_node(entity: Entity, /, *args: Any, **inputs: Any) -> GraphNode:
    """Call a task, workflow or launch plan in a workflow, and get its node.

    Args:
        entity: what to call.
        args, inputs: its inputs, by position or by name.

    Returns:
        The node: ``node.o0`` and ``node.outputs["o0"]`` are its outputs, ``first >> second`` orders two nodes,
        ``node.with_overrides(retries=2)`` changes how it is run.

    Raises:
        PromiseError: outside of a workflow.

    Example:
        >>> from flytepath import create_node, task, workflow
        >>> @task
        ... def log(line: str) -> None:
        ...     print(line)
        >>> @workflow
        ... def both() -> None:
        ...     second = create_node(log, line="second")
        ...     first = create_node(log, line="first")
        ...     first >> second
        >>> both()
        first
        second
    """
    if not isinstance(entity, Entity):
        raise DefinitionError(
            "create_node takes a task, workflow or launch plan", place=caller_line(), actual=repr(entity)[:100]
        )
    node = node_of(graph_being_built("create_node").call(entity, args, inputs))
    if not isinstance(node, GraphNode):
        raise DefinitionError(f"a call of {entity.name} makes no node", place=caller_line())
    return node
