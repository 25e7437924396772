"""What core's converters share: the classes they take, bulk conversion, and errors that know their path."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any, ClassVar, TypeVar

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json, TypeTransformer

T = TypeVar("T")

#: Where a Python version keeps classes of the standard library elsewhere than all others do.
_PUBLIC_MODULES = {"pathlib._local": "pathlib"}
_SHOWN_BY_REPR = (type(None), bool, int, float, str, bytes)


class CoreConverter(Converter[T]):
    """A converter that containers can call in bulk and unions can choose without trying it.

    ``classes`` are the classes of the values it takes, exactly these or, with ``subclasses``, also what derives from
    them. The ``passes_*`` expressions over ``{v}`` say when a value is its own payload, a payload its own value, and
    a value its own copy; generated code tests them in place of a call. ``atomic`` says that each value of exactly one
    of the classes is its own copy, so that a list of them is copied without a look at its items.
    """

    classes: tuple[type[Any], ...] = ()
    subclasses: bool = False
    pickled: bool = False
    atomic: bool = False
    passes_encode: str = ""
    passes_decode: str = ""
    passes_isolate: str = ""

    def encode_many(self, values: list[T], sink: BlobSink, refs: list[BlobRef]) -> list[Json]:
        """The payloads of a list's items."""
        encode = self.encode
        out: list[Any] = []
        try:
            for value in values:
                out.append(encode(value, sink, refs))
        except TypeTransformerFailedError as error:
            raise within(error, f"[{len(out)}]") from error.__cause__
        return out

    def decode_many(self, data: list[Json], source: BlobSource, refs: tuple[BlobRef, ...]) -> list[T]:
        """The values of a list of payloads."""
        decode = self.decode
        out: list[Any] = []
        try:
            for item in data:
                out.append(decode(item, source, refs))
        except TypeTransformerFailedError as error:
            raise within(error, f"[{len(out)}]") from error.__cause__
        return out

    def isolate_many(self, values: list[T]) -> list[T]:
        """Copies of a list's items."""
        if self.atomic and set(map(type, values)) <= set(self.classes):
            return list(values)
        isolate = self.isolate
        out: list[Any] = []
        try:
            for value in values:
                out.append(isolate(value))
        except TypeTransformerFailedError as error:
            raise within(error, f"[{len(out)}]") from error.__cause__
        return out


class InPlaceTransformer(TypeTransformer[Any]):
    """The base of core's transformers for types that are JSON in place: everything is in their converters."""

    format: ClassVar[str] = "json"

    def literal_type(self, t: Any) -> LiteralType:
        from flytepath.types.engine import codec

        return codec(t).literal_type

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        from flytepath.types.engine import codec

        return codec(t).encode(value, sink)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        from flytepath.types.engine import codec

        return codec(t).decode(literal, source)

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        raise NotImplementedError


def within(error: TypeTransformerFailedError, step: str) -> TypeTransformerFailedError:
    """``error``, seen from one level further out."""
    error.place = step + (error.place or "")
    return error


def at_index(error: TypeTransformerFailedError, step_of: Callable[[int], str]) -> TypeTransformerFailedError:
    """The error of a bulk conversion, with the step to its item in place of the item's index.

    Example:
        >>> error = TypeTransformerFailedError("wrong", place="[2].name")
        >>> at_index(error, lambda index: f"[{index - 1}]['key']").place
        "[1]['key'].name"
    """
    index, _, rest = (error.place or "[0]").removeprefix("[").partition("]")
    error.place = step_of(int(index)) + rest
    return error


def group_at(groups: Sequence[Sized], index: int) -> tuple[int, int]:
    """Which of ``groups``, and which item in it, is the item ``index`` of all groups in a row.

    Example:
        >>> group_at([[1, 2], [], [3]], 2)
        (2, 0)
    """
    for position, group in enumerate(groups):
        if index < len(group):
            return position, index
        index -= len(group)
    raise IndexError(index)


def is_hashable(value: Any) -> bool:
    """Whether a value, or a type, has a hash: not so where one inside has none, as in ``Annotated[int, {}]``."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def mismatch(value: Any, expected: str, hint: str | None = None) -> TypeTransformerFailedError:
    """The error of a value that is not what its place declares."""
    return TypeTransformerFailedError(
        f"expected {expected}, got {type_name(type(value))}", expected=expected, actual=shown(value), hint=hint
    )


def unreadable(data: Any, expected: str) -> TypeTransformerFailedError:
    """The error of a payload that no value of the type can have written."""
    return TypeTransformerFailedError(
        f"the literal cannot be read back as {expected}",
        expected=expected,
        actual=shown(data),
        hint="the literal is damaged, or was written for another type",
    )


def shown(value: Any) -> str:
    """A value for people, in a few words; objects of the user's classes are not asked to show themselves."""
    name = type_name(type(value))
    if type(value) not in _SHOWN_BY_REPR:
        return name
    if isinstance(value, int) and value.bit_length() > 200:
        return f"{name} of {value.bit_length()} bits"
    text = repr(value[:60]) if isinstance(value, str | bytes) else repr(value)
    return f"{name} {text}" if value is not None else "None"


def type_name(t: Any) -> str:
    """How a Python type is written, without the modules of built-in classes."""
    if t is type(None):
        return "None"
    if isinstance(t, type) and not hasattr(t, "__origin__"):
        return t.__qualname__ if t.__module__ == "builtins" else qualified_name(t)
    return str(t).removeprefix("typing.")


def qualified_name(t: type[Any]) -> str:
    """``module.Class``, as declarations and literals name a type."""
    return f"{_PUBLIC_MODULES.get(t.__module__, t.__module__)}.{t.__qualname__}"
