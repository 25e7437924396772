"""Annotations in strings, under TYPE_CHECKING and in subscripts."""

from __future__ import annotations

import typing as t
from typing import TYPE_CHECKING, Annotated, Literal

import flytekit as fl

if TYPE_CHECKING:
    import flytekit
    from flytekit.types.file import FlyteFile


def first(paths: t.List["fl.types.file.FlyteFile"]) -> "FlyteFile":
    return paths[0]


def second(x: "flytekit.Resources", y: Annotated["fl.Resources", "flytekit.not_a_type"]) -> Literal["flytekit.text"]:
    return "flytekit.text"
