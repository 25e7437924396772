"""From bindings to literals: what a node's inputs and a workflow's outputs are made of, without any Python type."""

from __future__ import annotations

from collections.abc import Callable

from flytepath.errors import LiteralError
from flytepath.model.literal import Literal, cast, compose_dict, compose_list
from flytepath.model.types import ANY, LiteralType
from flytepath.model.workflow import (
    ArgumentBinding,
    Binding,
    DictBinding,
    FailureBinding,
    InputBinding,
    ListBinding,
    LiteralBinding,
    OutputBinding,
)
from flytepath.plugin.transformer import BlobSink, BlobSource
from flytepath.store.literals import inline, offload

#: The literal of an execution's input, by name.
InputOf = Callable[[str], Literal]
#: The literal of a node's input or output: ``(node path, name)``.
VariableOf = Callable[[str, str], Literal]
#: How many payloads that were read back are remembered: the items of a map all look into the same list.
REMEMBERED = 8


class LiteralResolver:
    """Resolves bindings against an execution's inputs and the outputs of its nodes.

    Args:
        input_of: an input of the execution.
        output_of: an output of a node that succeeded.
        argument_of: an input of a node that was expanded.
        source, sink: blobs of the execution's tenant, for payloads that lie in them.
    """

    def __init__(
        self, input_of: InputOf, output_of: VariableOf, argument_of: VariableOf, source: BlobSource, sink: BlobSink
    ) -> None:
        self._input_of = input_of
        self._output_of = output_of
        self._argument_of = argument_of
        self._read: dict[str, Literal] = {}
        self._source = source
        self._sink = sink

    def resolve(self, binding: Binding, declared: LiteralType) -> Literal:
        """The literal for a place of type ``declared``; large payloads are kept as blobs."""
        literal = self._resolve(binding, declared)
        if literal.type != declared:
            literal = cast(self._inline(literal), declared)
        return offload(literal, self._sink)

    def value(self, binding: Binding) -> Literal:
        """The literal of a binding that needs no declared type: a constant, or what another has."""
        return self._inline(self._resolve(binding, ANY))

    def _resolve(self, binding: Binding, declared: LiteralType) -> Literal:
        match binding:
            case LiteralBinding(value=value):
                return value
            case InputBinding(name=name, path=path):
                return self._part(self._input_of(name), path)
            case OutputBinding(node=node, name=name, path=path):
                return self._part(self._output_of(node, name), path)
            case ArgumentBinding(node=node, name=name, path=path):
                return self._part(self._argument_of(node, name), path)
            case ListBinding(items=items):
                container = _container(declared, "list", "tuple")
                types = container.items if container.kind == "tuple" else container.items * len(items)
                parts = [self._inline(self._resolve(i, t)) for i, t in zip(items, types, strict=True)]
                return compose_list(container, parts)
            case DictBinding(items=named):
                container = _container(declared, "dict", "struct")
                fields = {f.name: f.type for f in container.fields}
                return compose_dict(
                    container,
                    {
                        key: self._inline(self._resolve(item, fields.get(key) or container.items[1]))
                        for key, item in named.items()
                    },
                )
            case FailureBinding():
                raise LiteralError("this binding has a meaning only in a failure handler", actual=binding.kind)

    def _part(self, literal: Literal, path: tuple[str | int, ...]) -> Literal:
        return self._inline(literal).get(path) if path else literal

    def _inline(self, literal: Literal) -> Literal:
        if not literal.is_offloaded:
            return literal
        known = self._read.get(literal.digest)
        if known is None:
            known = self._read[literal.digest] = inline(literal, self._source)
            if len(self._read) > REMEMBERED:
                del self._read[next(iter(self._read))]
        return known


def _container(declared: LiteralType, *kinds: str) -> LiteralType:
    """``declared`` itself, or the one alternative of a union, that is a container of one of ``kinds``."""
    candidates = declared.items if declared.kind == "union" else (declared,)
    fitting = [item for item in candidates if item.kind in kinds]
    if len(fitting) != 1:
        raise LiteralError("no container fits here", expected=str(declared), actual=" or ".join(kinds))
    return fitting[0]
