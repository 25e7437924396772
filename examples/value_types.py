"""Values that come back exactly: a task gets what was given to it, in a direct call and in a durable run.

    flytepath run examples/value_types.py pipeline
    flytepath run examples/value_types.py pipeline --start 2024-03-31T01:30:00

What it shows:

- data classes with containers, optionals and other data classes in them: an ``int`` in a dict stays an ``int``;
- money as ``Decimal``, a moment with its time zone, a choice as ``Enum``;
- a data class that contains itself;
- alternatives, told apart by their class;
- several outputs with names, by ``NamedTuple``.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import zoneinfo
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from flytepath import task, workflow


class Rank(enum.Enum):
    """An enumeration; its values are taken too, so ``Rank.MAJOR`` and ``"major"`` are the same input."""

    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True)
class Part:
    """A part of a machine, made of parts."""

    name: str
    price: Decimal
    rank: Rank = Rank.MINOR
    counts: dict[str, int] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class InStock:
    """One of two answers."""

    shelf: int


@dataclass(frozen=True)
class Ordered:
    """The other."""

    ready: dt.datetime


class Quote(NamedTuple):
    """Two outputs with names."""

    total: Decimal
    answers: dict[str, InStock | Ordered]


@task
def design() -> Part:
    """A bicycle, as far as it goes."""
    spoke = Part("spoke", Decimal("0.30"), counts={"per wheel": 36})
    wheel = Part("wheel", Decimal("25.00"), Rank.MAJOR, {"per bicycle": 2}, (spoke,))
    return Part("bicycle", Decimal("180.00"), Rank.MAJOR, parts=(wheel,))


def cost(part: Part) -> Decimal:
    """What a part costs with all that is in it."""
    return part.price + sum((cost(inner) * math.prod(inner.counts.values()) for inner in part.parts), Decimal(0))


@task
def price(part: Part) -> Decimal:
    """Exact to the cent, and to the type: a ``Decimal`` never becomes a ``float``."""
    return cost(part)


@task
def find(part: Part, start: dt.datetime) -> dict[str, InStock | Ordered]:
    """What is at hand; the rest is ready a day later, counted on the wall clock in Berlin."""
    berlin = start.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    answers: dict[str, InStock | Ordered] = {}
    for inner in (part, *part.parts):
        major = inner.rank is Rank.MAJOR
        answers[inner.name] = Ordered(berlin + dt.timedelta(days=1)) if major else InStock(shelf=len(inner.name))
    return answers


@task
def quote(total: Decimal, answers: dict[str, InStock | Ordered]) -> Quote:
    """Both in one answer."""
    return Quote(total, answers)


@workflow
def pipeline(start: dt.datetime = dt.datetime(2024, 3, 30, 2, 30)) -> Quote:
    """Design a machine, price it, and ask when its parts are there."""
    part = design()
    answers = find(part=part, start=start)
    return quote(total=price(part=part), answers=answers)
