"""Dataclasses, field by field: plain, frozen, slotted, nested, generic and recursive ones."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from flytepath.errors import DefinitionError
from flytepath.plugin.transformer import Converter
from flytepath.types.converter import InPlaceTransformer, type_name
from flytepath.types.structs import StructConverter, StructField, field_converter, field_types


class DataclassTransformer(InPlaceTransformer):
    """Dataclasses. ``__post_init__`` runs when a value is made again, and what it changes in the fields is put back."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        cls = typing.get_origin(t) or t
        _check(cls)
        types = field_types(t)
        fields = tuple(
            StructField(
                field.name,
                field_converter(resolve, types[field.name], field.name),
                required=field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                by_keyword=bool(field.kw_only),
            )
            for field in dataclasses.fields(cls)
        )
        return StructConverter(t, fields, _construction(cls), bool(cls.__dataclass_params__.frozen))


def _construction(cls: type[Any]) -> str:
    init = getattr(cls.__init__, "__code__", None)
    if init is None or init.co_filename != "<string>":
        return "restore"
    return "both" if hasattr(cls, "__post_init__") else "call"


def _check(cls: type[Any]) -> None:
    every = typing.cast("dict[str, Any]", cls.__dataclass_fields__)
    for name, field in every.items():
        if "INITVAR" in str(field._field_type):
            raise DefinitionError(
                f"{type_name(cls)} takes the InitVar {name!r}, which no value remembers",
                place=f".{name}",
                expected="fields that are kept",
                hint="make it a field, or build the object in the task",
            )
        if not field.init and "CLASSVAR" not in str(field._field_type):
            raise DefinitionError(
                f"{type_name(cls)} cannot be made again from its fields: {name!r} is declared with init=False",
                place=f".{name}",
                expected="fields that __init__ takes",
                hint="compute it in a property",
            )
