"""Classes with typed fields: code that converts all fields of one class, written when its converter is built."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef
from flytepath.model.types import Field, LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json
from flytepath.types.converter import CoreConverter, mismatch, type_name, unreadable, within
from flytepath.types.recursion import struct_name


@dataclass(frozen=True, slots=True)
class StructField:
    """One field of a class: its name, the converter of its values, and whether a value must be given."""

    name: str
    converter: CoreConverter[Any]
    required: bool = True
    by_keyword: bool = False


class StructConverter(CoreConverter[Any]):
    """Values of one class by their fields.

    Args:
        t: the declared type, with its type arguments.
        fields: the fields, in their order.
        construct: how a value is made of its fields' values: ``call`` the class, ``restore`` the fields into a new
            object without a call, or ``both`` (call, then put back what the class's own code changed).
        immutable: whether a value whose fields are all immutable may be handed over as it is.
    """

    def __init__(self, t: Any, fields: tuple[StructField, ...], construct: str, immutable: bool) -> None:
        self.cls: type[Any] = typing.get_origin(t) or t
        self.python_type = t
        self.fields = fields
        self.classes = (self.cls,)
        self.literal_type = LiteralType(
            "struct",
            fields=tuple(Field(field.name, field.converter.literal_type, field.required) for field in fields),
            name=struct_name(t),
        )
        functions = _write(self.cls, fields, construct, immutable)
        # The functions take no self: as attributes of the instance they are called without one.
        self.encode: Callable[[Any, BlobSink, list[BlobRef]], Json] = functions["encode"]  # type: ignore[method-assign]
        self.decode: Callable[[Json, BlobSource, tuple[BlobRef, ...]], Any] = functions["decode"]  # type: ignore[method-assign]
        self.isolate: Callable[[Any], Any] = functions["isolate"]  # type: ignore[method-assign]

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        raise NotImplementedError

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        raise NotImplementedError

    def isolate(self, value: Any) -> Any:
        raise NotImplementedError


def _write(
    cls: type[Any], fields: tuple[StructField, ...], construct: str, immutable: bool
) -> dict[str, Callable[..., Any]]:
    """The three functions of a struct's converter, compiled."""
    shown = type_name(cls)
    scope: dict[str, Any] = {
        "cls": cls,
        "new": object.__new__,
        "set_field": object.__setattr__,
        "Failed": TypeTransformerFailedError,
        "within": within,
        "steps": [f".{field.name}" for field in fields],
        "wrong": lambda value: mismatch(value, shown, _hint(value, cls)),
        "unreadable": lambda data: unreadable(data, shown),
        "unset": lambda error, value, names: _unset(error, value, names, shown),
        "refused": lambda error: _refused(error, shown),
        "names": tuple(field.name for field in fields),
    }
    for index, field in enumerate(fields):
        converter = field.converter
        scope |= {f"e{index}": converter.encode, f"d{index}": converter.decode, f"i{index}": converter.isolate}
    lines = [
        "def encode(value, sink, refs):",
        "    if type(value) is not cls: raise wrong(value)",
        *_convert(fields, "value.{name}", "passes_encode", "e{index}({v}, sink, refs)", "unset(error, value, names)"),
        "    return {" + ", ".join(f"{field.name!r}: v{index}" for index, field in enumerate(fields)) + "}",
        "def decode(data, source, refs):",
        f"    if type(data) is not dict or len(data) != {len(fields)}: raise unreadable(data)",
        *_convert(fields, "data[{name!r}]", "passes_decode", "d{index}({v}, source, refs)", "unreadable(data)"),
        *_build(fields, construct),
        "def isolate(value):",
        "    if type(value) is not cls: raise wrong(value)",
        *_convert(fields, "value.{name}", "passes_isolate", "i{index}({v})", "unset(error, value, names)"),
    ]
    if immutable:
        same = " and ".join(f"v{index} is value.{field.name}" for index, field in enumerate(fields))
        lines.append(f"    if {same or 'True'}: return value")
    lines += _build(fields, construct)
    exec("\n".join(lines), scope)
    return {name: scope[name] for name in ("encode", "decode", "isolate")}


def _convert(fields: tuple[StructField, ...], read: str, passes: str, convert: str, missing: str) -> list[str]:
    """Lines that leave each field's converted value in ``v<index>``."""
    if not fields:
        return []
    lines = ["    step = 0", "    try:"]
    for index, field in enumerate(fields):
        v = f"v{index}"
        lines += [f"        step = {index}", f"        {v} = {read.format(name=field.name)}"]
        test = getattr(field.converter, passes, "")
        call = f"{v} = {convert.format(index=index, v=v)}"
        lines.append(f"        if not ({test.format(v=v)}): {call}" if test else f"        {call}")
    return [
        *lines,
        "    except Failed as error: raise within(error, steps[step]) from error.__cause__",
        f"    except (AttributeError, KeyError) as error: raise {missing} from error",
    ]


def _build(fields: tuple[StructField, ...], construct: str) -> list[str]:
    """Lines that make the value of its fields' values and return it."""
    arguments = ", ".join(
        f"{field.name}=v{index}" if field.by_keyword else f"v{index}"
        for index, field in sorted(enumerate(fields), key=lambda pair: pair[1].by_keyword)
    )
    put = [f"set_field(made, {field.name!r}, v{index})" for index, field in enumerate(fields)]
    if construct == "restore":
        return ["    made = new(cls)", *(f"    {line}" for line in put), "    return made"]
    call = [
        f"    try: made = cls({arguments})",
        "    except Exception as error: raise refused(error) from error",
    ]
    if construct == "call":
        return [*call, "    return made"]
    kept = [
        f"    if made.{field.name} is not v{index}: {line}"
        for index, (field, line) in enumerate(zip(fields, put, strict=True))
    ]
    return [*call, *kept, "    return made"]


def _hint(value: Any, cls: type[Any]) -> str | None:
    if isinstance(value, cls):
        return f"annotate the place with {type_name(type(value))}: fields of a subclass would be lost"
    return f"make one with {cls.__name__}(**value)" if isinstance(value, dict) else None


def _unset(error: Exception, value: Any, names: tuple[str, ...], shown: str) -> Exception:
    missing = [name for name in names if not hasattr(value, name)]
    if not missing:
        return error
    return TypeTransformerFailedError(
        f"the field {missing[0]!r} of {shown} has no value", place=f".{missing[0]}", expected="a value for every field"
    )


def _refused(error: Exception, shown: str) -> TypeTransformerFailedError:
    return TypeTransformerFailedError(
        f"{shown} cannot be made again from its fields: {type(error).__name__}: {error}",
        expected=f"fields that {shown} accepts",
        hint="what __post_init__ checks must hold for every value it was passed",
    )


def field_types(t: Any) -> dict[str, Any]:
    """The types of a class's fields by name, type arguments filled in.

    Raises:
        DefinitionError: an annotation names something that cannot be found.
    """
    cls = typing.get_origin(t) or t
    given = _type_arguments(t)
    return {name: _substituted(hint, given) for name, hint in _hints(cls).items()}


def _hints(cls: type[Any]) -> dict[str, Any]:
    own = {cls.__name__: cls}
    try:
        return typing.get_type_hints(cls, localns=own, include_extras=True)
    except NameError as error:
        unknown = error
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        try:
            return typing.get_type_hints(cls, localns=own | dict(frame.f_locals), include_extras=True)
        except NameError:
            continue
    raise DefinitionError(
        f"an annotation of {type_name(cls)} cannot be evaluated: {unknown}",
        place=type_name(cls),
        hint="define or import the name where the class is defined, not only under TYPE_CHECKING",
    ) from unknown


def _type_arguments(t: Any) -> dict[Any, Any]:
    """What each type variable of a class and its bases stands for."""
    origin = typing.get_origin(t)
    given: dict[Any, Any] = {}
    if origin is not None:
        given = dict(zip(origin.__parameters__, typing.get_args(t), strict=False))
    for base in getattr(origin or t, "__orig_bases__", ()):
        if typing.get_origin(base) not in (None, typing.Generic):
            inner = _type_arguments(base)
            given = {name: _substituted(argument, given) for name, argument in inner.items()} | given
    return given


def _substituted(t: Any, given: Mapping[Any, Any]) -> Any:
    if isinstance(t, typing.TypeVar):
        return given.get(t, t)
    open_parameters = getattr(t, "__parameters__", ())
    if not given or not open_parameters or isinstance(t, type):
        return t
    return t[tuple(given.get(parameter, parameter) for parameter in open_parameters)]


def field_converter(resolve: Any, t: Any, name: str) -> Any:
    """The converter of a field's type; an error names the field."""
    try:
        return resolve(t)
    except DefinitionError as error:
        error.place = f".{name}{error.place or ''}"
        raise
