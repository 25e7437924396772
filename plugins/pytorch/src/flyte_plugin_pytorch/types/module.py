"""Whole modules: pickled, because only their code can make them again, and announced as such.

The type is recorded as a pickle, so core warns where a task declares it, and the setting ``types.allow_pickle = false``
forbids it. A checkpoint keeps the weights without a pickle.
"""

from __future__ import annotations

import io
import typing
from typing import Any, ClassVar

from flytepath.plugin import BlobSink, BlobSource, Literal, LiteralType, TypeTransformer, TypeTransformerFailedError

_INSTEAD = "keep its weights: PyTorchCheckpoint(module=value), or dict[str, torch.Tensor]"


class ModuleTransformer(TypeTransformer[Any]):
    """``torch.nn.Module`` and what derives from it."""

    format: ClassVar[str] = "pickle"

    def literal_type(self, t: Any) -> LiteralType:
        """One opaque type for all modules: any goes where ``nn.Module`` is asked for; a value knows its class."""
        return LiteralType("opaque", name="torch.nn.Module", format=self.format)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        """One file, as ``torch.save`` writes it; classes of scripts are in it."""
        import cloudpickle
        import torch

        _check(value, t)
        stream = io.BytesIO()
        try:
            torch.save(value, stream, pickle_module=cloudpickle)
        except Exception as error:
            raise TypeTransformerFailedError(
                f"this module cannot be pickled: {type(error).__name__}: {error}",
                actual=type(value).__qualname__,
                hint=_INSTEAD,
            ) from error
        facts = {"class": _named(type(value))}
        literal_type = self.literal_type(t)
        ref = sink.put(stream.getvalue())
        return Literal.make(literal_type, facts, format=self.format, version=self.format_version, ref=ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        """The module; what was on a GPU comes back to the processor where there is none."""
        import torch

        if literal.format != self.format or literal.ref is None:
            raise TypeTransformerFailedError(
                "this is no stored module", expected=f"the format {self.format!r}", actual=literal.format
            )
        device = None if torch.cuda.is_available() else "cpu"
        try:
            with source.open(literal.ref) as file:
                found = torch.load(file, map_location=device, weights_only=False)
        except (ImportError, AttributeError, RuntimeError, EOFError, ValueError, TypeError, KeyError) as error:
            raise TypeTransformerFailedError(
                f"the pickled module cannot be read back: {type(error).__name__}: {error}",
                expected=_named(typing.get_origin(t) or t),
                hint="a pickle can be read only where the same code is importable; " + _INSTEAD,
            ) from error
        _check(found, t)
        return found

    def summary(self, value: Any) -> dict[str, Any]:
        """What it is, and how large."""
        return {
            "class": _named(type(value)),
            "parameters": sum(parameter.numel() for parameter in value.parameters()),
            "buffers": sum(buffer.numel() for buffer in value.buffers()),
        }


def _named(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check(value: Any, t: Any) -> None:
    kind = typing.get_origin(t) or t
    if not isinstance(value, kind):
        raise TypeTransformerFailedError(
            f"this is no {kind.__qualname__}", expected=_named(kind), actual=_named(type(value))
        )
