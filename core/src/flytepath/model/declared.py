"""The base of the plain settings an author declares: checked when they are made, and JSON when they are stored.

A setting is a frozen, slotted data class. Making one costs no import; pydantic is met only where a compiled task
holds it as a field.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Self

from flytepath.errors import DefinitionError


class Declared:
    """What the settings have in common: their JSON holds the fields that differ from the default, as they were written.

    Example:
        >>> @dataclasses.dataclass(frozen=True, slots=True)
        ... class Colour(Declared):
        ...     name: str = "red"
        ...     shades: tuple[str, ...] = ()
        >>> Colour(shades=("dark", "light")).to_json()
        {'shades': ['dark', 'light']}
        >>> Colour.from_json({"name": "blue"})
        Colour(name='blue', shades=())
    """

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """The fields that are not at their default, as plain JSON."""
        found = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # every subclass is a data class
            value = getattr(self, field.name)
            if value != field.default:
                found[field.name] = plain(value)
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            DefinitionError: a field this version does not know, or one that is missing.
        """
        try:
            return cls(**data)
        except TypeError as error:
            if isinstance(error, DefinitionError):
                raise
            raise DefinitionError(
                f"this is not the JSON of {cls.__name__}",
                expected=", ".join(field.name for field in dataclasses.fields(cls)),  # type: ignore[arg-type]
                actual=", ".join(data),
            ) from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from flytepath.model.pydantic_support import json_object_schema

        return json_object_schema(cls)


def plain(value: Any) -> Any:
    """``value`` as JSON: settings by their own rule, tuples as lists, enums by value."""
    if isinstance(value, Declared):
        return value.to_json()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def set_field(declared: Any, name: str, value: Any) -> None:
    """Put a normalised value into a frozen setting while it is being made."""
    object.__setattr__(declared, name, value)


def need_text(value: Any, place: str, *, hint: str | None = None) -> str:
    """``value`` if it is text that is not empty."""
    if isinstance(value, str) and value.strip():
        return value
    raise DefinitionError(f"{place} takes text", place=place, expected="str, not empty", actual=repr(value), hint=hint)


def need_optional_text(value: Any, place: str) -> str | None:
    """``value`` if it is ``None`` or text that is not empty."""
    return None if value is None else need_text(value, place)


def need_texts(value: Any, place: str) -> tuple[str, ...]:
    """``value`` as a tuple, if it is a list of texts; ``None`` is an empty one."""
    if value is None:
        return ()
    if isinstance(value, str):
        raise DefinitionError(
            f"{place} takes a list of texts, not one text",
            place=place,
            expected="list[str]",
            actual=repr(value),
            hint=f"write [{value!r}]",
        )
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise DefinitionError(
            f"{place} takes a list of texts", place=place, expected="list[str], none empty", actual=repr(value)
        )
    return tuple(value)


def need_text_map(value: Any, place: str) -> dict[str, str]:
    """A copy of ``value`` if it maps texts to texts; ``None`` is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DefinitionError(f"{place} takes a dict", place=place, expected="dict[str, str]", actual=repr(value))
    for key, item in value.items():
        if not isinstance(key, str) or not key or not isinstance(item, str):
            raise DefinitionError(
                f"{place} maps text to text",
                place=f"{place}[{key!r}]",
                expected="dict[str, str]",
                actual=f"{key!r}: {item!r}",
                hint=f"write {str(key)!r}: {str(item)!r}",
            )
    return dict(value)


def need_flag(value: Any, place: str) -> bool:
    """``value`` if it is true or false."""
    if isinstance(value, bool):
        return value
    raise DefinitionError(f"{place} is true or false", place=place, expected="bool", actual=repr(value))


def need_count(value: Any, place: str, *, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise DefinitionError(
        f"{place} is a whole number from {least}", place=place, expected=f"int >= {least}", actual=repr(value)
    )


def need_instance(value: Any, kind: type[Any], place: str) -> Any:
    """``value`` if it is ``None`` or one of ``kind``."""
    if value is None or isinstance(value, kind):
        return value
    raise DefinitionError(
        f"{place} takes {kind.__name__}(...)", place=place, expected=kind.__name__, actual=repr(value)
    )
