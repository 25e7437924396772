"""What a node's input is bound to: constants as literals, promises as references, containers of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flytepath.authoring.promise import Promise, holds_promise
from flytepath.authoring.wiring import item_types
from flytepath.compiler.literals import encode
from flytepath.errors import CompileError, LiteralError
from flytepath.model.literal import cast
from flytepath.model.workflow import (
    ArgumentBinding,
    Binding,
    DictBinding,
    InputBinding,
    ListBinding,
    LiteralBinding,
    OutputBinding,
)
from flytepath.plugin.transformer import BlobSink
from flytepath.types.engine import Codec, codec

#: The binding of a promise in the scope that is being compiled.
Resolve = Callable[[Promise], Binding]


def binding_of(value: Any, codec: Codec[Any], resolve: Resolve, sink: BlobSink, place: str) -> Binding:
    """The binding of ``value`` for a place of the codec's type. Constants next to promises have types of their own."""
    if type(value) is Promise:
        return resolve(value)
    if not holds_promise(value):
        literal = encode(codec, value, sink, place)
        if literal.type != codec.literal_type and not literal.is_offloaded:
            literal = cast(literal, codec.literal_type)
        return LiteralBinding(value=literal)
    return _mixed(value, codec.python_type, resolve, sink, place)


def _mixed(value: Any, python_type: Any, resolve: Resolve, sink: BlobSink, place: str) -> Binding:
    if type(value) is Promise:
        return resolve(value)
    if not holds_promise(value):
        return LiteralBinding(value=encode(codec(python_type), value, sink, place))
    kinds = item_types(python_type, value)
    if isinstance(value, dict):
        return DictBinding(
            items={k: _mixed(v, kinds[i], resolve, sink, f"{place}[{k!r}]") for i, (k, v) in enumerate(value.items())}
        )
    items = enumerate(value)
    return ListBinding(items=tuple(_mixed(item, kinds[i], resolve, sink, f"{place}[{i}]") for i, item in items))


def part_of_binding(binding: Binding, path: tuple[str | int, ...], place: str) -> Binding:
    """What is bound at ``path`` inside of ``binding``.

    Raises:
        CompileError: a constant has no such part.
    """
    if not path:
        return binding
    if isinstance(binding, InputBinding | OutputBinding | ArgumentBinding):
        return binding.model_copy(update={"path": (*binding.path, *path)})
    try:
        if isinstance(binding, ListBinding):
            return part_of_binding(binding.items[path[0]], path[1:], place)  # type: ignore[index]
        if isinstance(binding, DictBinding):
            return part_of_binding(binding.items[path[0]], path[1:], place)  # type: ignore[index]
        if isinstance(binding, LiteralBinding):
            return LiteralBinding(value=binding.value.get(path))
    except (LookupError, TypeError, LiteralError) as error:
        shown = "".join(f"[{step!r}]" for step in path)
        raise CompileError(f"the constant given for {place!r} has no part {shown}", place=place) from error
    raise CompileError("a failure has no parts", place=place)
