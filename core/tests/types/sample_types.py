"""Classes that the tests of the type engine keep and read back."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

T = TypeVar("T")


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@dataclasses.dataclass
class Layer:
    units: int
    name: str = "dense"
    rate: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Model:
    layers: list[Layer]
    best: Layer | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int


@dataclasses.dataclass(kw_only=True)
class Keyword:
    b: str
    a: int


@dataclasses.dataclass(frozen=True)
class Node:
    value: int
    next: Node | None = None


@dataclasses.dataclass
class Tree:
    name: str
    children: list[Tree]


@dataclasses.dataclass
class Left:
    right: Right | None


@dataclasses.dataclass
class Right:
    left: Left | None


@dataclasses.dataclass
class Box(Generic[T]):
    item: T


@dataclasses.dataclass
class IntBox(Box[int]):
    label: str


@dataclasses.dataclass
class Doubling:
    value: int

    def __post_init__(self) -> None:
        self.value *= 2
        self.seen = True


@dataclasses.dataclass
class Loud:
    """Whatever is assigned is changed on the way in."""

    word: str

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, f"{value}!")


@dataclasses.dataclass
class Computed:
    """A field that ``__init__`` does not take, one that it takes and that is not kept, and one of the class."""

    side: int
    scale: dataclasses.InitVar[int] = 1
    area: int = dataclasses.field(init=False)
    label: str = dataclasses.field(init=False, default="square")
    unit: ClassVar[str] = "m"

    def __post_init__(self, scale: int) -> None:
        self.area = self.side * self.side * scale


@dataclasses.dataclass(frozen=True)
class Seeded:
    """What ``__post_init__`` wants no value remembers."""

    seed: dataclasses.InitVar[int]
    state: int = dataclasses.field(init=False)

    def __post_init__(self, seed: int) -> None:
        object.__setattr__(self, "state", seed * 7)


class Pair(NamedTuple):
    x: int
    y: float = 1.0


class Options(TypedDict):
    a: int
    b: NotRequired[str]


class Opaque:
    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]
