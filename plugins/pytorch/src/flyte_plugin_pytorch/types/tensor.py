"""``torch.Tensor`` and ``torch.nn.Parameter`` as types: dtype, shape, device and ``requires_grad`` come back."""

from __future__ import annotations

import typing
from typing import Any, ClassVar

from flytepath.plugin import BlobSink, BlobSource, Literal, LiteralType, TypeTransformer, TypeTransformerFailedError

from flyte_plugin_pytorch.types.storage import (
    check,
    device_of,
    dtype_name,
    on_device,
    read,
    restored,
    stored,
    write,
)

_NAME = "tensor"


class TensorTransformer(TypeTransformer[Any]):
    """Dense tensors of any data type, in safetensors."""

    format: ClassVar[str] = "torch-tensor"

    def literal_type(self, t: Any) -> LiteralType:
        """An opaque type by the class's name."""
        return LiteralType("opaque", name=_name(t), format=self.format)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        """One file; what it is beside its numbers stands in the literal."""
        _check(value, t)
        facts = {"dtype": dtype_name(value), "shape": list(value.shape), "requires_grad": value.requires_grad}
        device = device_of(value)
        if device is not None:
            facts["device"] = device
        ref = write({_NAME: stored(value)}, "", sink)
        return Literal.make(self.literal_type(t), facts, format=self.format, version=self.format_version, ref=ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        """The tensor, on its device if this machine has it, else on the processor."""
        facts: Any = literal.data
        if literal.format != self.format or literal.ref is None or not isinstance(facts, dict):
            raise TypeTransformerFailedError(
                "this is no stored tensor", expected=f"the format {self.format!r}", actual=literal.format
            )
        content = read(literal.ref, source)[0][_NAME]
        tensor = on_device(restored(content, facts["dtype"], tuple(facts["shape"])), facts.get("device"))
        return _as(tensor, t, facts["requires_grad"])

    def summary(self, value: Any) -> dict[str, Any]:
        """What it is, without its numbers."""
        return {"dtype": dtype_name(value), "shape": list(value.shape), "device": str(value.device)}

    def isolate(self, value: Any, t: Any) -> Any:
        """A copy that shares no memory."""
        _check(value, t)
        return _as(value.detach().clone(), t, value.requires_grad)


def _class(t: Any) -> Any:
    return typing.get_origin(t) or t


def _name(t: Any) -> str:
    kind = _class(t)
    return f"{kind.__module__}.{kind.__qualname__}"


def _check(value: Any, t: Any) -> None:
    kind = _class(t)
    if type(value) is not kind:
        actual = f"{type(value).__module__}.{type(value).__qualname__}"
        hint = "convert it with torch.as_tensor(value)" if _name(t) == "torch.Tensor" else None
        raise TypeTransformerFailedError(f"this is no {_name(t)}", expected=_name(t), actual=actual, hint=hint)
    check(value)


def _as(tensor: Any, t: Any, requires_grad: bool) -> Any:
    import torch

    if _class(t) is torch.nn.Parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad) if requires_grad else tensor
