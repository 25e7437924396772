"""numpy arrays as ``.npy`` blobs: dtype, shape, memory order and every bit of the items."""

from __future__ import annotations

import io
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.converter import mismatch, unreadable

#: Ways to map a blob into memory that leave the blob as it is.
_MAPPINGS: Final = (None, "r", "c")


class ArrayTransformer(TypeTransformer[Any]):
    """``numpy.ndarray``, ``NDArray[dtype]``.

    Arrays of Python objects are refused: only pickle could keep them, and
    ``Annotated[numpy.ndarray, kwtypes(allow_pickle=True)]`` asks for that.

    Args:
        allow_pickle: keep arrays of objects, by pickle.
        mmap_mode: ``r`` hands an array over as a read-only map of the blob, of which only what is looked at is read;
            ``c`` as one whose changes stay in memory.
    """

    format: ClassVar[str] = "npy"

    def __init__(self, allow_pickle: bool = False, mmap_mode: str | None = None) -> None:
        self._allow_pickle = allow_pickle
        self._mmap_mode = mmap_mode

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("opaque", name="numpy.ndarray", format=self.format)

    def annotated(self, t: Any, metadata: tuple[Any, ...]) -> TypeTransformer[Any] | None:
        options = next((item for item in metadata if isinstance(item, dict)), None)
        return None if options is None else ArrayTransformer(**_options(options))

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        value = self._checked(value, t)
        with sink.create() as writer:
            _write(value, writer, self._allow_pickle)
        facts = {"dtype": str(value.dtype), "shape": list(value.shape)}
        return Literal.make(self.literal_type(t), facts, format=self.format, ref=writer.ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        import numpy as np

        if literal.format != self.format or literal.ref is None:
            raise unreadable(literal.format, "numpy.ndarray")
        mode: Any = self._mmap_mode
        try:
            value = np.asarray(np.load(source.local_path(literal.ref), mmap_mode=mode, allow_pickle=self._allow_pickle))
        except (ValueError, EOFError) as error:
            raise unreadable(literal.ref.uri, "numpy.ndarray") from error
        return self._checked(value, t)

    def isolate(self, value: Any, t: Any) -> Any:
        import copy

        value = self._checked(value, t)
        own = copy.deepcopy(value) if value.dtype.hasobject else value.copy(order="K")
        if self._mmap_mode == "r":
            own.flags.writeable = False
        return own

    def summary(self, value: Any) -> Json:
        return {"type": "numpy.ndarray", "dtype": str(value.dtype), "shape": list(value.shape)}

    def _checked(self, value: Any, t: Any) -> Any:
        import numpy as np

        if type(value) is np.memmap:
            value = np.asarray(value)
        if type(value) is not np.ndarray:
            raise mismatch(value, "numpy.ndarray", "convert it with numpy.asarray(value)")
        if value.dtype.hasobject and not self._allow_pickle:
            raise TypeTransformerFailedError(
                "an array of Python objects cannot be kept exactly",
                expected="an array of numbers, strings or dates",
                actual=f"dtype {value.dtype}",
                hint="convert it with value.astype(...), pass a list, or annotate it with kwtypes(allow_pickle=True)",
            )
        wanted = _declared_dtype(t)
        if wanted is not None and value.dtype != wanted:
            raise TypeTransformerFailedError(
                f"expected an array of {wanted}, got one of {value.dtype}",
                expected=str(wanted),
                actual=str(value.dtype),
                hint=f"convert it with value.astype({str(wanted)!r})",
            )
        return value


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


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What an annotation says about arrays, checked."""
    from flytepath import config

    unknown = [name for name in given if name not in ("allow_pickle", "mmap_mode")]
    if unknown:
        raise DefinitionError(
            f"an array has no option {unknown[0]!r}",
            expected="allow_pickle, mmap_mode",
            actual=", ".join(map(str, given)),
        )
    if given.get("mmap_mode") not in _MAPPINGS:
        raise DefinitionError(
            f"an array cannot be mapped with mmap_mode={given['mmap_mode']!r}",
            expected="'r' (read only) or 'c' (changes stay in memory)",
            actual=repr(given["mmap_mode"]),
            hint="other modes would change the stored value, which every other task reads",
        )
    allowed = given.get("allow_pickle", False)
    if not isinstance(allowed, bool):
        raise DefinitionError("allow_pickle is true or false", expected="True or False", actual=repr(allowed))
    forbidden_by = config.pickle_forbidden_by() if allowed else None
    if forbidden_by is not None:
        raise DefinitionError(
            "an array asks for pickle, and the setting types.allow_pickle forbids that",
            expected="an array of numbers, strings or dates",
            actual="allow_pickle=True",
            hint=f"convert the array with astype(...); it is said in {forbidden_by}",
        )
    return dict(given)


def _write(value: Any, writer: Any, allow_pickle: bool) -> None:
    """The array as ``numpy.save`` writes it, but without a copy where its items lie in one piece."""
    import numpy as np

    header, version = io.BytesIO(), (1, 0)
    try:
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(value))
    except UnicodeEncodeError:
        version = (3, 0)
    except ValueError:  # more fields than the first version can describe
        version = (2, 0)
    whole = value.flags.c_contiguous or value.flags.f_contiguous
    if version == (1, 0) and whole and value.size and value.dtype.itemsize and not value.dtype.hasobject:
        writer.write(header.getvalue())
        items = value if value.flags.c_contiguous else value.T
        writer.write(memoryview(items.reshape(-1).view(np.uint8)))
        return
    np.lib.format.write_array(typing.cast(Any, _Raw(writer)), value, version=version, allow_pickle=allow_pickle)


class _Raw:
    """A blob writer as numpy wants a file: with ``write`` and nothing else."""

    def __init__(self, writer: Any) -> None:
        self.write = writer.write
