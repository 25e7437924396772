"""Pydantic models, field by field; pydantic itself is imported by whoever defined the model.

A value that a model was made of once is kept as it is: validators that turn raw input into values do not run over
values again. What only checks (constraints, validators of the mode ``after``) is asked each time a value is given on,
because a field may have been set to something else since.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, Final

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef
from flytepath.model.types import Field, LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, type_name, unreadable
from flytepath.types.generated import Part, Shape, write_functions
from flytepath.types.recursion import struct_name
from flytepath.types.structs import StructField, field_converter

#: Settings of a model that constrain values without a word at the field.
_CONSTRAINING: Final = ("allow_inf_nan", "str_max_length", "str_min_length")
#: Modes of validators that get raw input, and might not take the value they made of it.
_RAW_MODES: Final = ("before", "plain", "wrap")


class ModelConverter(CoreConverter[Any]):
    """One model class."""

    def __init__(self, cls: Any, fields: tuple[StructField, ...]) -> None:
        self.cls = cls
        self.classes = (cls,)
        self.fields = fields
        self.literal_type = LiteralType(
            "struct",
            fields=tuple(Field(field.name, field.converter.literal_type, field.required) for field in fields),
            name=model_name(cls),
        )
        parts = [
            Part(field.converter, f".{field.name}", f"fields[{field.name!r}]", f"data[{field.name!r}]")
            for field in fields
        ]
        functions = write_functions(parts, _shape(cls, fields))
        # The functions take no self: as attributes of the instance they are called without one.
        self.encode, self.decode, self.isolate = functions  # type: ignore[method-assign]

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        raise NotImplementedError

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        raise NotImplementedError

    def isolate(self, value: Any) -> Any:
        raise NotImplementedError


def model_name(cls: Any) -> str:
    """The name of a model in its literal type; that of a generic one does not depend on its spelling."""
    generic = getattr(cls, "__pydantic_generic_metadata__", {})
    if generic.get("origin") is None:
        return struct_name(cls)
    return struct_name(types.GenericAlias(generic["origin"], generic["args"]))


def _shape(cls: Any, fields: tuple[StructField, ...]) -> Shape:
    shown = type_name(cls)
    values = "{" + ", ".join(f"{field.name!r}: v{index}" for index, field in enumerate(fields)) + "}"
    validate = _validation(cls, shown)
    return Shape(
        check_value=[
            "if type(value) is not cls or value.__pydantic_extra__: raise wrong(value)",
            *(["validate(value)"] if validate is not None else []),
            "fields = value.__dict__",
        ],
        check_data=[f"if type(data) is not dict or len(data) != {len(fields)}: raise unreadable(data)"],
        payload=values,
        build=[f"return construct({values}, set(data))"],
        copy=[f"return construct({values}, set(value.__pydantic_fields_set__))"],
        scope={
            "cls": cls,
            "construct": _construction(cls),
            "validate": validate,
            "wrong": lambda value: _wrong(value, cls, shown, fields),
            "unreadable": lambda data: unreadable(data, shown),
            "unset": lambda error, value: _unset(error, shown),
        },
    )


def _wrong(value: Any, cls: Any, shown: str, fields: tuple[StructField, ...]) -> TypeTransformerFailedError:
    if type(value) is cls:
        return TypeTransformerFailedError(
            f"{shown} holds fields that it does not declare",
            expected="the fields " + ", ".join(field.name for field in fields),
            actual=", ".join(value.__pydantic_extra__),
            hint="declare them, or keep them in a field of type dict[str, str]",
        )
    hint = f"make one with {cls.__name__}.model_validate(value)" if isinstance(value, dict) else None
    if isinstance(value, cls):
        hint = f"annotate the place with {type_name(type(value))}: fields of a subclass would be lost"
    return mismatch(value, shown, hint)


def _unset(error: Exception, shown: str) -> Exception:
    if not isinstance(error, KeyError):
        return error
    name = error.args[0]
    return TypeTransformerFailedError(
        f"the field {name!r} of {shown} has no value", place=f".{name}", expected="a value for every field"
    )


def _construction(cls: Any) -> Callable[[dict[str, Any], set[str]], Any]:
    """What makes a model of exactly these values; private attributes begin as they do in a new one."""
    put, new = object.__setattr__, cls.__new__
    allows_extra = cls.model_config.get("extra") == "allow"
    finishes = bool(cls.__pydantic_post_init__)

    def construct(values: dict[str, Any], given: set[str]) -> Any:
        made = new(cls)
        put(made, "__dict__", values)
        put(made, "__pydantic_fields_set__", given)
        put(made, "__pydantic_extra__", {} if allows_extra else None)
        put(made, "__pydantic_private__", None)
        if finishes:
            kept, given_again = dict(values), set(given)
            made.model_post_init(None)
            # What it changes in the fields was changed before, and is put back.
            made.__dict__.update(kept)
            put(made, "__pydantic_fields_set__", given_again)
        return made

    return construct


# --- validation --------------------------------------------------------------------------------------------------


def _validation(cls: Any, shown: str) -> Callable[[Any], None] | None:
    """What holds a value against the model's own checks; ``None`` where there are none that its types do not say."""
    keys = _validation_keys(cls)
    if keys is None or not _checks_more(cls) or _takes_raw_input(cls):
        return None
    named = list(keys.items())
    validate_python = cls.__pydantic_validator__.validate_python

    def validate(value: Any) -> None:
        present = value.__dict__
        try:
            validate_python({key: present[name] for name, key in named if name in present})
        except Exception as error:
            raise _invalid(error, shown) from error

    return validate


def _invalid(error: Exception, shown: str) -> TypeTransformerFailedError:
    import pydantic

    if not isinstance(error, pydantic.ValidationError):
        said, actual, path = str(error), type(error).__name__, ""
    else:
        first = error.errors(include_url=False, include_input=False)[0]
        said, actual = first["msg"], first["type"]
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return TypeTransformerFailedError(
        f"{shown} is not valid: {said}",
        place=path or None,
        expected=f"a {shown} that its own validation accepts",
        actual=actual,
    )


def _validation_keys(cls: Any) -> dict[str, str] | None:
    """The key each field is validated under; ``None`` where aliases are more than names."""
    by_name = cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name")
    keys: dict[str, str] = {}
    for name, field in cls.model_fields.items():
        alias = field.validation_alias or field.alias
        if alias is None or by_name:
            keys[name] = name
        elif isinstance(alias, str):
            keys[name] = alias
        else:
            return None
    return keys


def _validators(cls: Any) -> list[Any]:
    said = cls.__pydantic_decorators__
    return [*said.field_validators.values(), *said.model_validators.values(), *said.validators.values()]


def _checks_more(cls: Any) -> bool:
    """Whether the model checks anything beyond the types of its fields."""
    if _validators(cls) or cls.__pydantic_decorators__.root_validators:
        return True
    if any(cls.model_config.get(setting) is not None for setting in _CONSTRAINING):
        return True
    return any(field.metadata or _metadata(field.annotation) for field in cls.model_fields.values())


def _takes_raw_input(cls: Any) -> bool:
    if cls.__pydantic_decorators__.root_validators:
        return True
    modes = [getattr(validator.info, "mode", "before") for validator in _validators(cls)]
    marks = [mark for field in cls.model_fields.values() for mark in (*field.metadata, *_metadata(field.annotation))]
    modes += [type(mark).__name__.removesuffix("Validator").lower() for mark in marks]
    return any(mode in _RAW_MODES for mode in modes)


def _metadata(t: Any) -> tuple[Any, ...]:
    """All that ``Annotated`` says anywhere inside a type."""
    own: tuple[Any, ...] = t.__metadata__ if typing.get_origin(t) is typing.Annotated else ()
    return own + tuple(mark for argument in typing.get_args(t) for mark in _metadata(argument))


def _without_refs(t: Any, cls: Any) -> Any:
    """A field's type with the class itself where pydantic, building a generic model, left a mark in its place."""
    if type(t).__name__ == "PydanticRecursiveRef":
        origin = cls.__pydantic_generic_metadata__["origin"]
        return cls if t.type_ref.startswith(f"{origin.__module__}.{origin.__qualname__}:") else t
    arguments = typing.get_args(t)
    own = tuple(_without_refs(argument, cls) for argument in arguments)
    if own == arguments or typing.get_origin(t) is typing.Literal:
        return t
    if isinstance(t, types.UnionType) or typing.get_origin(t) is typing.Union:
        return typing.Union[own]  # noqa: UP007 - there is no other way to make one of a tuple
    return typing.get_origin(t)[own]


class ModelTransformer(InPlaceTransformer):
    """Subclasses of ``pydantic.BaseModel``."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        if not t.__pydantic_complete__ and not t.model_rebuild(raise_errors=False):
            raise DefinitionError(
                f"the model {type_name(t)} names a type that is not defined",
                place=type_name(t),
                hint=f"call {t.__name__}.model_rebuild() once the type is there",
            )
        fields = []
        for name, field in t.model_fields.items():
            hint = _without_refs(field.annotation, t)
            if field.metadata:
                hint = typing.Annotated[(hint, *field.metadata)]
            fields.append(StructField(name, field_converter(resolve, hint, name), required=field.is_required()))
        return ModelConverter(t, tuple(fields))
