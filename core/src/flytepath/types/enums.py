"""Enumerations by the names of their members, and ``typing.Literal`` by its values."""

from __future__ import annotations

import enum
import math
import typing
from typing import Any

from flytepath.errors import DefinitionError
from flytepath.model.literal import BlobRef
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import (
    CoreConverter,
    InPlaceTransformer,
    is_hashable,
    mismatch,
    qualified_name,
    shown,
    type_name,
    unreadable,
)


class ChoiceConverter(CoreConverter[Any]):
    """One of a fixed number of values, kept by name."""

    def __init__(self, choices: dict[str, Any], literal_type: LiteralType, shown: str) -> None:
        self.choices = choices
        self.literal_type = literal_type
        self.classes = tuple({type(choice): None for choice in choices.values()})
        self._names = {(type(choice), choice): name for name, choice in choices.items()}
        self._shown = shown

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return self._names[self._key(value)]

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        if type(data) is not str or data not in self.choices:
            raise unreadable(data, self._shown)
        return self.choices[data]

    def isolate(self, value: Any) -> Any:
        return self.choices[self._names[self._key(value)]]

    def _key(self, value: Any) -> tuple[type[Any], Any]:
        key = (type(value), value)
        if type(value) not in self.classes or key not in self._names:
            choices = ", ".join(shown(choice).partition(" ")[2] or shown(choice) for choice in self.choices.values())
            raise mismatch(value, self._shown, f"one of {choices}")
        return key


class EnumConverter(CoreConverter[enum.Enum]):
    """A member of an enumeration, or the value of one, which becomes the member."""

    atomic = True

    def __init__(self, cls: type[enum.Enum]) -> None:
        self.cls = cls
        self.classes = (cls,)
        self.literal_type = LiteralType(
            "enum",
            name=qualified_name(cls),
            values=tuple((member.name, _as_json(member.value)) for member in cls),
        )
        self._members: dict[Any, enum.Enum] = {}
        for member in cls:
            if is_hashable(member.value):
                self._members[type(member.value), member.value] = member

    def encode(self, value: enum.Enum, sink: BlobSink, refs: list[BlobRef]) -> Json:
        member = self.isolate(value)
        if isinstance(member, enum.Flag) and member.name not in self.cls.__members__:
            parts = [part.name or "" for part in member]
            # An IntFlag keeps bits that no member names; no member's name is a number.
            unnamed = member.value & ~self._flags(parts).value
            return "|".join([*parts, str(unnamed)] if unnamed else parts)
        return member.name

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> enum.Enum:
        if type(data) is str and data in self.cls.__members__:
            return self.cls[data]
        if type(data) is str and issubclass(self.cls, enum.Flag):
            try:
                combined: enum.Enum = self._flags(data.split("|") if data else [])
                return combined
            except (KeyError, ValueError) as error:
                raise unreadable(data, type_name(self.cls)) from error
        raise unreadable(data, type_name(self.cls))

    def isolate(self, value: enum.Enum) -> enum.Enum:
        if type(value) is self.cls:
            return value
        member = self._member_of(value)
        if member is not None:
            return member
        names = ", ".join(name for name in self.cls.__members__)
        raise mismatch(value, type_name(self.cls), f"pass one of its members ({names}) or the value of one")

    def _flags(self, names: list[str]) -> Any:
        flags: Any = typing.cast(Any, self.cls)(0)
        for name in names:
            flags |= typing.cast(Any, self.cls)(int(name)) if name.isdecimal() else self.cls[name]
        return flags

    def _member_of(self, value: Any) -> enum.Enum | None:
        try:
            return self._members.get((type(value), value))
        except TypeError:  # a tuple can hold what is not hashable, and be the value of no member then
            return None


def _as_json(value: Any) -> Any:
    """An enumeration's value, for people and for the command line; what is no JSON only by its class."""
    if value is None or type(value) in (bool, str) or (type(value) is int and abs(value) < 2**53):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return f"<{type_name(type(value))}>"


class EnumTransformer(InPlaceTransformer):
    """Subclasses of ``enum.Enum``."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        if not t.__members__:
            raise DefinitionError(f"{type_name(t)} has no members", expected="an enumeration with members")
        return EnumConverter(t)


class LiteralValueTransformer(InPlaceTransformer):
    """``Literal["a", 1]``: strings as they are where all values are strings, otherwise as Python writes them."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        values = typing.get_args(t)
        plain = all(type(value) is str for value in values)
        named = {value if plain else _written(value): value for value in values}
        choices = {name: named[name] for name in sorted(named)}
        facts = tuple((name, _as_json(value)) for name, value in choices.items())
        return ChoiceConverter(choices, LiteralType("enum", name="typing.Literal", values=facts), type_name(t))


def _written(value: Any) -> str:
    return f"{qualified_name(type(value))}.{value.name}" if isinstance(value, enum.Enum) else repr(value)
