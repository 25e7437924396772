"""Values of any nesting of types come back exactly, in a direct call and through JSON: types and values are drawn."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import pydantic
import pytest
from flytepath.errors import AmbiguousUnionError
from flytepath.model.fitting import fits
from flytepath.model.literal import Literal as Kept
from flytepath.model.literal import cast
from flytepath.testing import MemoryBlobs
from flytepath.testing.object_graph import shared_mutables
from flytepath.types.engine import Codec, codec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict  # the one that pydantic takes on every Python

T = TypeVar("T")
Typed = tuple[Any, st.SearchStrategy[Any]]


class Color(enum.Enum):
    RED = "red"
    BLUE = 2
    GREEN = (1, 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mood(enum.StrEnum):
    GOOD = "good"
    BAD = "bad"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


@dataclasses.dataclass
class Base(Generic[T]):
    item: T
    items: list[T] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, kw_only=True)
class Derived(Base[int]):
    extra: str = "x"


@dataclasses.dataclass
class Tree(Generic[T]):
    value: T
    left: Tree[T] | None = None
    more: dict[str, list[Tree[T]]] = dataclasses.field(default_factory=dict)


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = pydantic.Field(alias="theName")


class Holder(pydantic.BaseModel, Generic[T]):
    held: T
    pet: Cat | Dog = pydantic.Field(default=Cat(lives=9), discriminator="kind")
    parent: Holder[T] | None = None


ZONES = st.sampled_from(
    [
        None,
        dt.UTC,
        zoneinfo.ZoneInfo("Europe/Berlin"),
        zoneinfo.ZoneInfo("UTC"),
        dt.timezone(dt.timedelta(hours=-3, minutes=-30)),
        dt.timezone(dt.timedelta(seconds=7), "odd"),
    ]
)
MOMENTS = st.datetimes(timezones=ZONES, allow_imaginary=True)
TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
INTEGERS = st.integers() | st.integers(2**53 - 2, 2**53 + 2) | st.integers(-(2**70), -(2**63))
HASHABLE: list[Typed] = [
    (int, INTEGERS),
    (str, TEXT),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=8)),
    (dt.date, st.dates()),
    (dt.timedelta, st.timedeltas()),
    (uuid.UUID, st.uuids()),
    (pathlib.PurePosixPath, TEXT.map(lambda text: pathlib.PurePosixPath(text.replace("\0", "")))),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Mood, st.sampled_from(Mood)),
    (Access, st.integers(0, 7).map(Access)),
    (Bits, st.integers(0, 40).map(Bits)),
    (Literal["a", "é"], st.sampled_from(["a", "é"])),
    (Literal[1, "1", True, None, b"1", Color.RED], st.sampled_from([1, "1", True, None, b"1", Color.RED])),
]
SCALARS: list[Typed] = [
    *HASHABLE,
    (float, st.floats()),
    (float, st.sampled_from([-0.0, math.nan, math.inf, -math.inf, 1e22, 5e-324])),
    (decimal.Decimal, st.decimals()),
    (type(None), st.none()),
    (dt.datetime, MOMENTS),
    (dt.time, st.times(timezones=ZONES)),
]

SHAPES: dict[str, Callable[[Any, int], Typed]] = {}


def shape(function: Callable[[Any, int], Typed]) -> Callable[[Any, int], Typed]:
    SHAPES[function.__name__] = function
    return function


@st.composite
def typed(draw: Any, depth: int = 3) -> Typed:
    """A type, and the strategy of its values."""
    if depth == 0:
        return draw(st.sampled_from(SCALARS))
    name = draw(st.sampled_from(["scalar", *SHAPES]))
    return draw(st.sampled_from(SCALARS)) if name == "scalar" else SHAPES[name](draw, depth - 1)


def several(draw: Any, depth: int) -> dict[str, Typed]:
    return {f"f{index}": draw(typed(depth)) for index in range(draw(st.integers(1, 3)))}


@shape
def in_list(draw: Any, depth: int) -> Typed:
    t, values = draw(typed(depth))
    return list[t], st.lists(values, max_size=4)


@shape
def in_dict(draw: Any, depth: int) -> Typed:
    key, keys = draw(st.sampled_from([(str, TEXT), *HASHABLE]))
    t, values = draw(typed(depth))
    return dict[key, t], st.dictionaries(keys, values, max_size=4)


@shape
def in_tuple(draw: Any, depth: int) -> Typed:
    parts = several(draw, depth).values()
    return tuple[tuple(t for t, _ in parts)], st.tuples(*(values for _, values in parts))


@shape
def in_long_tuple(draw: Any, depth: int) -> Typed:
    t, values = draw(typed(depth))
    return tuple[t, ...], st.lists(values, max_size=4).map(tuple)


@shape
def in_set(draw: Any, depth: int) -> Typed:
    t, values = draw(st.sampled_from(HASHABLE))
    cls = draw(st.sampled_from([set, frozenset]))
    if draw(st.booleans()):
        return cls[tuple[t, int]], st.sets(st.tuples(values, INTEGERS), max_size=4).map(cls)
    return cls[t], st.sets(values, max_size=4).map(cls)


@shape
def in_union(draw: Any, depth: int) -> Typed:
    parts = [draw(typed(depth)) for _ in range(draw(st.integers(1, 3)))]
    t: Any = parts[0][0]
    for other, _ in parts[1:]:
        t |= other
    if draw(st.booleans()):
        return t | None, st.none() | st.one_of([values for _, values in parts])
    return t, st.one_of([values for _, values in parts])


@shape
def in_dataclass(draw: Any, depth: int) -> Typed:
    parts = several(draw, depth)
    options = draw(st.fixed_dictionaries({name: st.booleans() for name in ("frozen", "slots", "kw_only")}))
    late = draw(st.booleans()) and not options["frozen"]
    fields: list[Any] = [(name, t) for name, (t, _) in parts.items()]
    if late:
        fields.append(("late", int, dataclasses.field(init=False)))
    cls = dataclasses.make_dataclass("Drawn", fields, namespace={"__module__": __name__}, **options)

    def made(values: dict[str, Any]) -> Any:
        value = cls(**values)
        if late:
            value.late = 2**60
        return value

    return cls, st.fixed_dictionaries({name: values for name, (_, values) in parts.items()}).map(made)


@shape
def in_named_tuple(draw: Any, depth: int) -> Typed:
    parts = several(draw, depth)
    cls: Any = NamedTuple("Drawn", [(name, t) for name, (t, _) in parts.items()])  # type: ignore[misc]
    return cls, st.builds(cls, **{name: values for name, (_, values) in parts.items()})


@shape
def in_typed_dict(draw: Any, depth: int) -> Typed:
    parts = several(draw, depth)
    cls: Any = TypedDict("Drawn", {name: t for name, (t, _) in parts.items()}, total=False)  # type: ignore[misc]
    return cls, st.fixed_dictionaries({}, optional={name: values for name, (_, values) in parts.items()})


@shape
def in_model(draw: Any, depth: int) -> Typed:
    parts = several(draw, depth)
    fields: dict[str, Any] = {name: (t, ...) for name, (t, _) in parts.items()}
    cls = pydantic.create_model("Drawn", __module__=__name__, **fields)
    # What pydantic makes of a value is not the subject: a value is any that a model holds.
    return cls, st.fixed_dictionaries({name: values for name, (_, values) in parts.items()}).map(
        lambda values: cls.model_construct(**values)
    )


@shape
def in_generic(draw: Any, depth: int) -> Typed:
    t, values = draw(typed(depth))
    return Base[t], st.builds(Base, values, st.lists(values, max_size=2))


@shape
def in_recursive(draw: Any, depth: int) -> Typed:
    t, values = draw(typed(depth))
    trees = st.recursive(
        st.builds(Tree, values),
        lambda inner: st.builds(
            Tree, values, st.none() | inner, st.dictionaries(TEXT, st.lists(inner, max_size=2), max_size=2)
        ),
        max_leaves=4,
    )
    return Tree[t], trees


def same(left: Any, right: Any) -> bool:
    """Equal and of the same classes all the way down; NaN is itself, and zeros keep their sign."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left.hex() == right.hex() if not math.isnan(left) else math.isnan(right)
    if isinstance(left, decimal.Decimal):
        return str(left) == str(right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, set | frozenset):
        return left == right and {(type(x), x) for x in left} == {(type(x), x) for x in right}
    if isinstance(left, pydantic.BaseModel):
        return same(*({name: getattr(x, name) for name in type(x).model_fields} for x in (left, right)))
    if dataclasses.is_dataclass(left) and not isinstance(left, type):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, dt.datetime | dt.time):
        facts = [(x.replace(tzinfo=None), x.fold, repr(x.tzinfo)) for x in (left, right)]
        return facts[0] == facts[1]
    return bool(left == right)


def through_json(compiled: Codec[Any], value: Any) -> Any:
    blobs = MemoryBlobs()
    literal = compiled.encode(value, blobs)
    sent = Kept.from_json(json.loads(json.dumps(literal.to_json())))
    assert sent == literal
    return compiled.decode(sent, blobs)


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data())
def test_any_value_of_any_type_comes_back_exactly(data):
    t, values = data.draw(typed())
    try:
        compiled = codec(t)
    except AmbiguousUnionError:
        assume(False)
    value = data.draw(values)
    assert same(through_json(compiled, value), value)
    assert same(compiled.isolate(value), value)
    many = [value, *data.draw(st.lists(values, max_size=4))]
    assert same(through_json(codec(list[t]), many), many)
    assert same(codec(list[t]).isolate(many), many)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data())
def test_any_value_is_the_same_where_its_type_is_optional(data):
    t, values = data.draw(typed(2))
    try:
        narrow, wide = codec(list[t]), codec(list[t | None])
    except AmbiguousUnionError:
        assume(False)
    assert fits(narrow.literal_type, wide.literal_type)
    many, blobs = data.draw(st.lists(values, max_size=4)), MemoryBlobs()
    moved = cast(narrow.encode(many, blobs), wide.literal_type)
    assert moved.digest == wide.encode(many, blobs).digest
    assert same(wide.decode(moved, blobs), many)


@pytest.mark.parametrize(
    ("t", "value"),
    [
        (Derived, Derived(item=2**70, items=[1], extra="\ud800")),
        (Holder[int], Holder[int](held=1, parent=Holder[int](held=2**60, pet=Dog(theName="rex")))),
        (Holder[list[float]], Holder[list[float]](held=[math.nan, -0.0])),
        (dict[str, Base[dict[str, int]]], {"a": Base({"n": 3}, [{"m": 2**53}])}),
    ],
)
def test_inherited_and_generic_classes_come_back_exactly(t, value):
    for back in (through_json(codec(t), value), codec(t).isolate(value)):
        assert same(back, value)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data())
def test_a_copy_of_any_value_shares_nothing_mutable_with_it(data):
    t, values = data.draw(typed())
    try:
        compiled = codec(t)
    except AmbiguousUnionError:
        assume(False)
    value = data.draw(values)
    before = copy.deepcopy(value)
    shared = shared_mutables(value, compiled.isolate(value))
    assert [place for place in shared if "._" not in place] == []  # pathlib's own caches lie in private attributes
    assert same(value, before)
