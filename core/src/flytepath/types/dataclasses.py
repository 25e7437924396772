"""Dataclasses, field by field: plain, frozen, slotted, nested, generic and recursive ones."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from flytepath.plugin.transformer import Converter
from flytepath.types.converter import InPlaceTransformer
from flytepath.types.structs import StructConverter, StructField, field_converter, field_types


class DataclassTransformer(InPlaceTransformer):
    """Dataclasses. ``__post_init__`` runs when a value is made again, and what it changes in the fields is put back.

    It does not run where it wants an ``InitVar`` that has no default, which no value remembers: then the fields are
    put into a new object, as they are.
    """

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        cls = typing.get_origin(t) or t
        types = field_types(t)
        fields = tuple(
            StructField(
                field.name,
                field_converter(resolve, types[field.name], field.name),
                required=field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                by_keyword=bool(field.kw_only),
                given=field.init,
            )
            for field in dataclasses.fields(cls)
        )
        return StructConverter(t, fields, _construction(cls), bool(cls.__dataclass_params__.frozen))


def _construction(cls: type[Any]) -> str:
    init = getattr(cls.__init__, "__code__", None)
    if init is None or init.co_filename != "<string>" or _forgotten(cls):
        return "restore"
    # A __setattr__ of the class's own may change what __init__ assigns; that of a frozen one only refuses.
    assigns = "__setattr__" not in _defined(cls) or cls.__dataclass_params__.frozen
    return "call" if assigns and not hasattr(cls, "__post_init__") else "both"


def _defined(cls: type[Any]) -> set[str]:
    """The names that a class and its bases define, but for ``object``."""
    return {name for base in cls.__mro__ if base is not object for name in vars(base)}


def _forgotten(cls: type[Any]) -> bool:
    """Whether a call of the class needs what no value remembers: an ``InitVar`` without a default."""
    every = typing.cast("dict[str, Any]", cls.__dataclass_fields__)
    return any(
        "INITVAR" in str(field._field_type)
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        for field in every.values()
    )
