"""Annotations in strings, under TYPE_CHECKING and in subscripts."""

from __future__ import annotations

import typing as t
from typing import TYPE_CHECKING, Annotated, Literal

import flytepath as fl

if TYPE_CHECKING:
    import flytepath
    from flytepath import FlyteFile


def first(paths: t.List["fl.FlyteFile"]) -> "FlyteFile":
    return paths[0]


def second(x: "flytepath.Resources", y: Annotated["fl.Resources", "flytekit.not_a_type"]) -> Literal["flytekit.text"]:
    return "flytekit.text"
