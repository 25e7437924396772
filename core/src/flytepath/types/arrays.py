"""numpy arrays as ``.npy`` blobs: dtype, shape, memory order and every bit of the items."""

from __future__ import annotations

import io
import typing
from typing import Any, ClassVar

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.converter import mismatch, unreadable


class ArrayTransformer(TypeTransformer[Any]):
    """``numpy.ndarray``, ``NDArray[dtype]``. Arrays of Python objects are refused: only pickle could keep them."""

    format: ClassVar[str] = "npy"

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("opaque", name="numpy.ndarray", format=self.format)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        import numpy as np

        self._check(value, t)
        with sink.create() as writer:
            np.lib.format.write_array(typing.cast(Any, _Raw(writer)), value, allow_pickle=False)
        facts = {"dtype": str(value.dtype), "shape": list(value.shape)}
        return Literal.make(self.literal_type(t), facts, format=self.format, ref=writer.ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        import numpy as np

        if literal.format != self.format or literal.ref is None:
            raise unreadable(literal.format, "numpy.ndarray")
        try:
            value = np.lib.format.read_array(io.BytesIO(source.get(literal.ref)), allow_pickle=False)
        except ValueError as error:
            raise unreadable(literal.ref.uri, "numpy.ndarray") from error
        self._check(value, t)
        return value

    def isolate(self, value: Any, t: Any) -> Any:
        self._check(value, t)
        return value.copy(order="K")

    def summary(self, value: Any) -> Json:
        return {"type": "numpy.ndarray", "dtype": str(value.dtype), "shape": list(value.shape)}

    def _check(self, value: Any, t: Any) -> None:
        import numpy as np

        if type(value) is not np.ndarray:
            raise mismatch(value, "numpy.ndarray", "convert it with numpy.asarray(value)")
        if value.dtype.hasobject:
            raise TypeTransformerFailedError(
                "an array of Python objects cannot be kept exactly",
                expected="an array of numbers, strings or dates",
                actual=f"dtype {value.dtype}",
                hint="convert it with value.astype(...), or pass a list",
            )
        wanted = _declared_dtype(t)
        if wanted is not None and value.dtype != wanted:
            raise TypeTransformerFailedError(
                f"expected an array of {wanted}, got one of {value.dtype}",
                expected=str(wanted),
                actual=str(value.dtype),
                hint=f"convert it with value.astype({str(wanted)!r})",
            )


def _declared_dtype(t: Any) -> Any:
    """The dtype in ``NDArray[float64]`` or ``ndarray[shape, dtype[float64]]``, if it names a concrete one."""
    import numpy as np

    arguments = typing.get_args(t)
    inner = typing.get_args(arguments[1]) if len(arguments) == 2 else ()
    if len(inner) == 1 and isinstance(inner[0], type) and issubclass(inner[0], np.generic):
        return None if inner[0] in _abstract(np) else np.dtype(inner[0])
    return None


def _abstract(np: Any) -> tuple[type[Any], ...]:
    return (
        np.generic,
        np.number,
        np.integer,
        np.signedinteger,
        np.unsignedinteger,
        np.inexact,
        np.floating,
        np.complexfloating,
        np.flexible,
        np.character,
    )


class _Raw:
    """A blob writer as numpy wants a file: with ``write`` and nothing else."""

    def __init__(self, writer: Any) -> None:
        self.write = writer.write
