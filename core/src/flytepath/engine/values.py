"""The values of one execution: literals by digest, and the inputs and outputs that bindings make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from flytepath.engine.bindings import LiteralResolver
from flytepath.engine.outage import Outage
from flytepath.engine.state import ExecutionState, Frame, NodeState
from flytepath.errors import InputError, StoreUnavailableError
from flytepath.model.events import ErrorRecord
from flytepath.model.literal import Literal, cast, compose_dict, compose_list
from flytepath.model.task import Interface
from flytepath.model.types import ANY, NONE, STRING, LiteralType
from flytepath.model.workflow import Binding, FailureBinding
from flytepath.plugin.transformer import BlobSink, BlobSource
from flytepath.store.literals import inline, offload


class Literals(Protocol):
    """Where the literals of an execution are kept."""

    def literals(self, execution: str, digests: Iterable[str]) -> dict[str, Literal]: ...


class Blobs(BlobSink, BlobSource, Protocol):
    """The blobs of the execution's tenant."""


class Values:
    """What the nodes of an execution are given and give.

    Attributes:
        pending: literals that are to be stored with the next events.
        outage: since a literal could not be read because the store is away; until it has passed whatever needs one
            that is not here raises :class:`~flytepath.errors.StoreUnavailableError`, and is to be tried again.
    """

    def __init__(
        self, execution: str, state: ExecutionState, log: Literals, blobs: Blobs, known: Iterable[Literal] = ()
    ) -> None:
        self._execution = execution
        self._state = state
        self._log = log
        self._blobs = blobs
        self._known: dict[str, Literal] = {literal.digest: literal for literal in known}
        self.pending: dict[str, Literal] = {}
        self.outage: Outage | None = None
        self._resolver = LiteralResolver(self._input, self._output, self._argument, blobs, blobs)

    # --- literals ---

    def keep(self, literal: Literal) -> str:
        """The digest of ``literal``, which is stored with the next events."""
        if literal.digest not in self._known:
            self._known[literal.digest] = self.pending[literal.digest] = literal
        return literal.digest

    def literal(self, digest: str) -> Literal:
        """The literal of a digest that an event refers to."""
        known = self._known.get(digest)
        return known if known is not None else self.named({"": digest})[""]

    def named(self, digests: Mapping[str, str]) -> dict[str, Literal]:
        """The literals of digests by name, read together."""
        missing = [digest for digest in digests.values() if digest not in self._known]
        if missing:
            self._known.update(self._read(missing))
        return {name: self._known[digest] for name, digest in digests.items()}

    def asked_again(self, due: float | None) -> float | None:
        """In how many seconds to look again: when something is ``due``, or the store is asked again.

        Raises:
            StoreUnavailableError: it has been away for too long.
        """
        if self.outage is None:
            return due
        if self.outage.is_enough:
            raise self.outage.error
        return min(self.outage.pause, self.outage.pause if due is None else due)

    def _read(self, digests: list[str]) -> dict[str, Literal]:
        if self.outage is not None and self.outage.pause > 0:  # to ask takes time, and many may want to know
            raise self.outage.error
        try:
            found = self._log.literals(self._execution, digests)
        except StoreUnavailableError as error:
            if self.outage is None:
                self.outage = Outage(error)
            else:
                self.outage.goes_on(error)
            raise
        self.outage = None
        return found

    def _input(self, name: str) -> Literal:
        created = self._state.created
        return self.literal((created.inputs if created is not None else {})[name])

    def _output(self, node: str, name: str) -> Literal:
        return self.literal(self._state.nodes[node].outputs[name])

    def _argument(self, node: str, name: str) -> Literal:
        return self.literal(self._state.nodes[node].inputs[name])

    # --- nodes ---

    def inputs_of(self, node: NodeState) -> dict[str, Literal]:
        """What a node is given; where nothing is bound, the default."""
        types = input_types(node)
        inputs = {name: self._bound(node, binding, types.get(name, ANY)) for name, binding in node.spec.inputs.items()}
        interface = interface_of(node)
        for variable in interface.inputs if interface is not None and node.spec.map is None else ():
            if variable.default is not None:
                inputs.setdefault(variable.name, variable.default)
        return inputs

    def _bound(self, node: NodeState, binding: Binding, declared: LiteralType) -> Literal:
        if isinstance(binding, FailureBinding):
            return self._failure(self._state.frame_around(node), declared)
        return self._resolver.resolve(binding, declared)

    def _failure(self, frame: Frame, declared: LiteralType) -> Literal:
        """Why the graph failed, as the ``FlyteError`` that its handler declares."""
        candidates = declared.items if declared.kind == "union" else (declared,)
        struct = next((item for item in candidates if item.kind == "struct"), declared)
        error = frame.error or ErrorRecord(kind="system", code="FP-ERROR", message="")
        facts = {"message": error.message, "failed_node_id": frame.origin}
        known = {field.name for field in struct.fields}
        given = {k: cast(Literal.make(STRING, v), _field(struct, k)) for k, v in facts.items() if k in known}
        made = compose_dict(struct, given)
        return cast(made, declared)

    def value(self, binding: Binding) -> Literal:
        """A side of a comparison."""
        return self._resolver.value(binding)

    def size(self, node: NodeState, inputs: Mapping[str, Literal]) -> int:
        """How many items a map has.

        Raises:
            InputError: its lists are not of one length.
        """
        mapped = node.spec.map.mapped if node.spec.map is not None else ()
        sizes = {name: len(inline(inputs[name], self._blobs).data) for name in mapped}
        shortest = min(sizes, key=lambda name: sizes[name])
        longest = max(sizes, key=lambda name: sizes[name])
        if sizes[shortest] != sizes[longest]:
            raise InputError(
                f"the lists {shortest!r} and {longest!r} are not of one length",
                place=f"{node.name}({longest})",
                expected=f"{sizes[shortest]} items, as in {shortest!r}",
                actual=f"{sizes[longest]} items",
                hint="bind an input that is the same for every item with functools.partial",
            )
        return sizes[shortest]

    def outputs_of(self, node: NodeState, frame: Frame) -> dict[str, str]:
        """The outputs of a node with nodes below it, by digest."""
        if node.spec.map is not None:
            return self._map_outputs(node, frame)
        return self.outputs(frame, output_types(node))

    def outputs(self, frame: Frame, types: Mapping[str, LiteralType] | None = None) -> dict[str, str]:
        """The outputs of a frame, by digest, of the types that it declares or of those given."""
        declared = types or {variable.name: variable.type for variable in frame.variables}
        return {
            name: self.keep(self._resolver.resolve(binding, declared.get(name, ANY)))
            for name, binding in frame.outputs.items()
        }

    def _map_outputs(self, node: NodeState, frame: Frame) -> dict[str, str]:
        items = frame.items
        done = [items.outputs_of(index) for index in range(items.size)] if items is not None else []
        nothing = Literal.make(NONE, None)
        out: dict[str, str] = {}
        for name, declared in output_types(node).items():
            digests = {str(n): outputs[name] for n, outputs in enumerate(done) if outputs is not None}
            found = self.named(digests)
            parts = [inline(found[str(n)], self._blobs) if str(n) in found else nothing for n in range(len(done))]
            out[name] = self.keep(offload(compose_list(declared, parts), self._blobs))
        return out


def interface_of(node: NodeState) -> Interface | None:
    """What a node takes and gives: for a map, each of its items."""
    if node.task is not None:
        return node.task.interface
    if node.spec.map is not None:
        task = node.tables.tasks.get(node.spec.task)
        return task.interface if task is not None else node.graph.interface
    return node.spec.interface if node.spec.interface is not None else node.graph.interface


def input_types(node: NodeState) -> dict[str, LiteralType]:
    """The declared types of a node's inputs."""
    interface = interface_of(node)
    types = {variable.name: variable.type for variable in interface.inputs} if interface is not None else {}
    if node.spec.map is None:
        return types
    own = {variable.name: variable.type for variable in node.spec.interface.inputs} if node.spec.interface else {}
    return {
        name: own.get(name) or (LiteralType.list_of(t) if name in node.spec.map.mapped else t)
        for name, t in types.items()
    }


def output_types(node: NodeState) -> dict[str, LiteralType]:
    """The declared types of a node's outputs; of a map they are lists, of optional values where items may fail."""
    if node.spec.map is None:
        interface = interface_of(node)
        return {variable.name: variable.type for variable in interface.outputs} if interface is not None else {}
    if node.spec.interface is not None:
        return {variable.name: variable.type for variable in node.spec.interface.outputs}
    interface = interface_of(node)
    tolerant = node.spec.map.min_success_ratio < 1 or node.spec.map.min_successes is not None
    return {
        variable.name: LiteralType.list_of(_optional(variable.type) if tolerant else variable.type)
        for variable in (interface.outputs if interface is not None else ())
    }


def _optional(t: LiteralType) -> LiteralType:
    items = t.items if t.kind == "union" else (t,)
    return t if NONE in items or t == NONE else LiteralType.union_of(*items, NONE)


def _field(struct: LiteralType, name: str) -> LiteralType:
    return next(field.type for field in struct.fields if field.name == name)
