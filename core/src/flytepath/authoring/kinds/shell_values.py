"""What the places of a shell script stand for in one run, as text."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.authoring.kinds.shell_script import Place
from flytepath.errors import InputError

if TYPE_CHECKING:
    from flytepath.authoring.context import ExecutionContext

#: How the variables are named by which a program that is no shell gets its inputs.
VARIABLE: Final = "FLYTEPATH_INPUT_"


class Values:
    """What the places of one run stand for."""

    def __init__(
        self, inputs: Mapping[str, Any], outputs: dict[str, Path], context: ExecutionContext, folder: Path
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.context = context
        self._folder = folder
        self._words: dict[Place, str | list[str]] = {}

    def text(self, place: Place) -> str | list[str]:
        """The text of a place, or a text for each item of a list."""
        if place not in self._words:
            self._words[place] = self._text(place)
        return self._words[place]

    def _text(self, place: Place) -> str | list[str]:
        value = self._value(place)
        for step in place.steps[1:]:
            by_index = isinstance(value, Mapping | list | tuple)
            try:
                value = operator.getitem(value, step) if by_index else getattr(value, str(step))
            except (LookupError, AttributeError, TypeError) as error:
                raise InputError(f"there is no {step!r} in the value of {place}", place=str(place)) from error
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            return [formatted(item, place) for item in items]
        return formatted(value, place)

    def _value(self, place: Place) -> Any:
        if place.root == "inputs":
            return self.inputs[place.name]
        if place.root == "outputs":
            return self.outputs[place.name]
        return self._folder if place.name == "working_directory" else getattr(self.context, place.name)

    def variables(self, task: str) -> dict[str, str]:
        """Inputs as environment variables."""
        found = {}
        for name, value in self.inputs.items():
            if isinstance(value, str | int | float | os.PathLike | dt.date | dt.time | enum.Enum):
                found[f"{VARIABLE}{name}"] = without_nul(formatted(value, Place("inputs", (name,))), task)
        return found


def formatted(value: Any, place: Place) -> str:
    """One value as text: what a shell user would type for it."""
    if place.conversion == "r":
        value = repr(value)
    elif isinstance(value, enum.Enum):
        value = value.value
    if place.spec and not isinstance(value, os.PathLike):
        try:
            return format(value, place.spec)
        except (ValueError, TypeError) as error:
            raise InputError(f"the value of {place} cannot be formatted: {error}", place=str(place)) from error
    if value is None:
        return ""
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, Mapping | bytes) or dataclasses.is_dataclass(value):
        raise InputError(f"the value of {place} has no text", place=str(place), actual=type(value).__name__)
    return str(value)


def without_nul(text: str, task: str) -> str:
    """``text``, which no shell can take where it holds a NUL. Raises ``InputError``."""
    if "\0" in text:
        raise InputError(f"an input of task {task} holds a NUL character, which no shell can take", place=task)
    return text


def joined(words: str | list[str]) -> str:
    """The text of a place where there are no words."""
    return words if isinstance(words, str) else " ".join(words)
