"""What an execution takes over from the one it recovers: the outputs of nodes that succeeded on the same inputs."""

from __future__ import annotations

from dataclasses import dataclass

from flytepath.engine.expansion import HANDLER
from flytepath.engine.state import ExecutionState, NodeState, NodeStatus
from flytepath.model.events import LiteralDigests


@dataclass(frozen=True, slots=True)
class Former:
    """The execution that is recovered: its id, and the state it ended in.

    Its values lie beside the log of the new execution already, so digests are all that is taken over.
    """

    execution: str
    state: ExecutionState

    def outputs_of(self, node: NodeState, inputs: LiteralDigests) -> LiteralDigests | None:
        """What the same node gave for the same inputs; ``None`` where it has to run.

        Failure handlers always do: they clear up behind what has been done again, and has failed again.
        """
        known = None if HANDLER in node.path.split("/") else self.state.find(node.path)
        if known is None or known.status is not NodeStatus.SUCCEEDED or known.name != node.name:
            return None
        if node.spec.gate is not None and node.spec.gate.kind == "sleep":
            return None
        return known.outputs if self._same_inputs(known, inputs) else None

    def _same_inputs(self, known: NodeState, inputs: LiteralDigests) -> bool:
        around = self.state.nodes.get(known.parent) if known.parent else None
        if around is not None and around.frame is not None and around.frame.items is not None and not known.inputs:
            return True  # an item: whoever asks has compared the inputs of the map
        return known.inputs == inputs

    def is_same_map(self, path: str, inputs: LiteralDigests) -> bool:
        """Whether the map at ``path`` had these inputs, so that its items had theirs."""
        known = self.state.nodes.get(path)
        return known is not None and known.inputs == inputs

    def graph_of(self, node: NodeState, inputs: LiteralDigests) -> str:
        """The digest of the graph that the same dynamic task gave for the same inputs; empty where it has to run."""
        known = self.state.nodes.get(node.path)
        if known is None or known.kind != "dynamic" or known.frame is None or known.inputs != inputs:
            return ""
        return known.produced

    def all_outputs(self) -> dict[str, str]:
        """The digests of everything that may be taken over, each under its own name, to be read together."""
        found: set[str] = set()
        for node in self.state.nodes.values():
            found.update(node.outputs.values())
            items = node.frame.items if node.frame is not None else None
            for outputs in items.outputs.values() if items is not None else ():
                found.update(outputs.values())
        return {digest: digest for digest in found}

    def attempts_of(self, path: str) -> int:
        """How many attempts the node at ``path`` had."""
        known = self.state.find(path)
        return known.attempt if known is not None else 0
