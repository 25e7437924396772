"""Which types are frames that can be validated, told without importing pandas."""

from __future__ import annotations

import typing
from typing import Any

from flytepath.plugin import DefinitionError


def is_frame(t: Any) -> bool:
    """Whether ``t`` is ``pandas.DataFrame`` or derives from it, bare or inside ``Annotated``."""
    if typing.get_origin(t) is typing.Annotated:
        t = typing.get_args(t)[0]
    return isinstance(t, type) and any(
        base.__name__ == "DataFrame" and base.__module__.partition(".")[0] == "pandas" for base in t.__mro__
    )


def check_examples(examples: Any, place: str) -> None:
    """Refuse a number of examples that is none."""
    if type(examples) is not int or examples < 0:
        raise DefinitionError(
            "examples is how many unexpected values are shown of each expectation",
            place=place,
            expected="a whole number from 0",
            actual=repr(examples),
        )


def check_on_failure(on_failure: Any, allowed: tuple[str, ...], place: str) -> None:
    """Refuse a word for ``on_failure`` that is not one of ``allowed``."""
    if on_failure not in allowed:
        raise DefinitionError(
            "on_failure says what happens when the data does not meet its expectations",
            place=place,
            expected="one of " + ", ".join(map(repr, allowed)),
            actual=repr(on_failure),
        )
