"""Classes with typed fields, whose values are converted field by field."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef
from flytepath.model.types import Field, LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json
from flytepath.types.converter import CoreConverter, mismatch, type_name, unreadable
from flytepath.types.generated import Part, Shape, write_functions
from flytepath.types.recursion import struct_name


@dataclass(frozen=True, slots=True)
class StructField:
    """One field of a class.

    Args:
        name: its name.
        converter: the converter of its values.
        required: whether the class has no default for it.
        by_keyword: whether the class takes it by name only.
        given: whether the class takes it at all when it is called; one it does not take is set afterwards.
    """

    name: str
    converter: CoreConverter[Any]
    required: bool = True
    by_keyword: bool = False
    given: bool = True


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
        functions = write_functions(_parts(fields), _shape(self.cls, fields, construct, immutable))
        # The functions take no self: as attributes of the instance they are called without one.
        self.encode, self.decode, self.isolate = functions  # type: ignore[method-assign]

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        raise NotImplementedError

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        raise NotImplementedError

    def isolate(self, value: Any) -> Any:
        raise NotImplementedError


def _parts(fields: tuple[StructField, ...]) -> list[Part]:
    return [Part(field.converter, f".{field.name}", f"value.{field.name}", f"data[{field.name!r}]") for field in fields]


def _shape(cls: type[Any], fields: tuple[StructField, ...], construct: str, immutable: bool) -> Shape:
    shown = type_name(cls)
    build = _build(fields, construct)
    same = " and ".join(f"v{index} is value.{field.name}" for index, field in enumerate(fields))
    return Shape(
        check_value=["if type(value) is not cls: raise wrong(value)"],
        check_data=[f"if type(data) is not dict or len(data) != {len(fields)}: raise unreadable(data)"],
        payload="{" + ", ".join(f"{field.name!r}: v{index}" for index, field in enumerate(fields)) + "}",
        build=build,
        copy=[f"if {same or 'True'}: return value", *build] if immutable else build,
        scope={
            "cls": cls,
            "new": object.__new__,
            "set_field": object.__setattr__,
            "wrong": lambda value: mismatch(value, shown, _hint(value, cls)),
            "unreadable": lambda data: unreadable(data, shown),
            "unset": lambda error, value: _unset(error, value, tuple(field.name for field in fields), shown),
            "refused": lambda error: _refused(error, shown),
        },
    )


def _build(fields: tuple[StructField, ...], construct: str) -> list[str]:
    """Lines that make the value of its fields' values and return it."""
    given = [(index, field) for index, field in enumerate(fields) if field.given]
    arguments = ", ".join(
        f"{field.name}=v{index}" if field.by_keyword else f"v{index}"
        for index, field in sorted(given, key=lambda pair: pair[1].by_keyword)
    )
    put = [f"set_field(made, {field.name!r}, v{index})" for index, field in enumerate(fields)]
    if construct == "restore":
        return ["made = new(cls)", *put, "return made"]
    call = [f"try: made = cls({arguments})", "except Exception as error: raise refused(error) from error"]
    # What __init__ is not given, or __post_init__ changes, is put back.
    kept = [
        f"if not hasattr(made, {field.name!r}) or made.{field.name} is not v{index}: {line}"
        if not field.given
        else f"if made.{field.name} is not v{index}: {line}"
        for index, (field, line) in enumerate(zip(fields, put, strict=True))
        if construct == "both" or not field.given
    ]
    return [*call, *kept, "return made"]


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
