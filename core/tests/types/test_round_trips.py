"""Every value comes back exactly: equal, of the same class all the way down, through JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import math
import pathlib
import sys
import typing
import uuid
import zoneinfo
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pytest
from flytepath.errors import DefinitionError
from flytepath.model.literal import INLINE_LIMIT
from flytepath.model.literal import Literal as Kept
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import _codecs, codec
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_types import (
    Access,
    Box,
    Color,
    Computed,
    Doubling,
    IntBox,
    Keyword,
    Layer,
    Left,
    Level,
    Loud,
    Model,
    Node,
    Options,
    Pair,
    Point,
    Right,
    Seeded,
    Tree,
)

UserId = NewType("UserId", int)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same classes all the way down; NaN is itself, and zeros keep their sign."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, decimal.Decimal):
        return str(left) == str(right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if dataclasses.is_dataclass(left) and not isinstance(left, type):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, dt.datetime | dt.time):
        facts = [(x.replace(tzinfo=None), x.fold, repr(x.tzinfo)) for x in (left, right)]
        return facts[0] == facts[1]
    return bool(left == right)


CASES = [
    (None, None),
    (bool, True),
    (int, 2**53 - 1),
    (int, 2**53),
    (int, -(2**53)),
    (int, 10**6000),
    (int, -(10**6000)),
    (float, -0.0),
    (float, math.nan),
    (float, math.inf),
    (float, -math.inf),
    (float, 5e-324),
    (float, 1e308),
    (str, ""),
    (str, "\x00\u2028é😀"),
    (str, "\ud800"),
    (str, "\ud83d\ude00"),
    (bytes, b""),
    (bytes, bytes(range(256))),
    (decimal.Decimal, decimal.Decimal("1.500")),
    (decimal.Decimal, decimal.Decimal("-0E-9")),
    (decimal.Decimal, decimal.Decimal("sNaN123")),
    (decimal.Decimal, decimal.Decimal("-Infinity")),
    (uuid.UUID, uuid.UUID(int=7)),
    (pathlib.Path, pathlib.Path("a/b")),
    (pathlib.PurePath, pathlib.PurePath("a")),
    (pathlib.PureWindowsPath, pathlib.PureWindowsPath("c:\\x")),
    (pathlib.Path, pathlib.Path("\udcff")),
    (dt.date, dt.date(1, 1, 1)),
    (dt.datetime, dt.datetime(2020, 1, 1, 1, 2, 3, 4)),
    (dt.datetime, dt.datetime(2020, 1, 1, fold=1)),
    (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
    (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=7)))),
    (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5), "EST"))),
    (dt.datetime, dt.datetime(2023, 10, 29, 2, 30, tzinfo=BERLIN, fold=0)),
    (dt.datetime, dt.datetime(2023, 10, 29, 2, 30, tzinfo=BERLIN, fold=1)),
    (dt.time, dt.time(1, 2, 3, 4)),
    (dt.time, dt.time(1, tzinfo=dt.UTC)),
    (dt.time, dt.time(1, tzinfo=BERLIN)),
    (dt.timedelta, dt.timedelta.min),
    (dt.timedelta, dt.timedelta.max),
    (dt.timedelta, dt.timedelta(microseconds=-1)),
    (Color, Color.BLUE),
    (Level, Level.HIGH),
    (Access, Access.READ | Access.RUN),
    (Access, Access(0)),
    (Literal["a", "b"], "b"),
    (Literal["1", 1, True, None, b"1"], True),
    (Literal["1", 1, True, None, b"1"], "1"),
    (Literal[Color.RED, 3], Color.RED),
    (Optional[int], None),  # noqa: UP045
    (int | None, 3),
    (int | str | None, "x"),
    (int | str | None, None),
    (Union[list[int], dict[str, int]], {"a": 1}),  # noqa: UP007
    (Point | Layer | None, Layer(1)),
    (bool | int | float, 1.0),
    (bool | int | float, 1),
    (Literal["a"] | int, "a"),
    (Literal["a"] | Literal["b"] | None, "b"),
    (Color | str, "RED"),
    (Color | str, Color.RED),
    (list[int], []),
    (list[int | None], [1, None]),
    (list[float], [1.0, math.nan]),
    (list[list[str]], [[], ["a", "\udfff"]]),
    (tuple[int, str], (1, "a")),
    (tuple[()], ()),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[tuple[int, ...], ...], ((), (1,))),
    (set[str], {"b", "a"}),
    (set[int], set()),
    (frozenset[tuple[int, str]], frozenset({(1, "a")})),
    (dict[str, int], {"z": 1, "a": 2}),
    (dict[str, int], {"\ud800": 1, "a": 2}),
    (dict[int, str], {3: "c", 2**60: "b"}),
    (dict[float, str], {math.inf: "c"}),
    (dict[Color, int], {Color.RED: 1}),
    (dict[dt.date, int], {dt.date(2020, 1, 1): 1}),
    (dict[tuple[int, int], str], {(1, 2): "x"}),
    (dict[Point, int], {Point(1, 2): 3}),
    (dict[bool, int], {True: 1}),
    (Layer, Layer(1, "é", math.nan, ["x"])),
    (Model, Model([Layer(1), Layer(2)], Layer(3))),
    (Point, Point(2**70, -1)),
    (Keyword, Keyword(a=1, b="x")),
    (Node, Node(1, Node(2, Node(3)))),
    (Tree, Tree("a", [Tree("b", []), Tree("c", [Tree("d", [])])])),
    (Left, Left(Right(Left(None)))),
    (Right, Right(Left(Right(None)))),
    (Box[int], Box(1)),
    (Box[Box[str]], Box(Box("x"))),
    (Box[list[int] | None], Box([1])),
    (IntBox, IntBox(1, "x")),
    (Loud, Loud("a")),
    (Computed, Computed(2, 5)),
    (Seeded, Seeded(3)),
    (Pair, Pair(1, 2.0)),
    (list[Pair], [Pair(1)]),
    (Options, {"a": 1}),
    (Options, {"b": "x", "a": 1}),
    (Annotated[list[Annotated[int, "inner"]], "outer"], [1]),
    (dict, {"a": {"b": [1, 2.0, None, True, "x"]}}),
    (list, [1, [2.5], {"a": 2**60}]),
    (typing.List[int], [1]),  # noqa: UP006
    (typing.Dict, {"a": 1}),  # noqa: UP006
    (dict[str, list], {"a": [1, 1.0]}),
]


NAMES = [f"{index}-{getattr(t, '__name__', t)}" for index, (t, _) in enumerate(CASES)]


@pytest.mark.parametrize(("t", "value"), CASES, ids=NAMES)
def test_a_value_comes_back_exactly(t, value, round_trip):
    assert same(round_trip(t, value), value)


@pytest.mark.parametrize(("t", "value"), CASES, ids=NAMES)
def test_a_direct_call_gets_the_same_value(t, value):
    assert same(codec(t).isolate(value), value)


@pytest.mark.parametrize(("t", "value"), CASES, ids=NAMES)
def test_equal_values_have_one_digest(t, value, blobs):
    compiled = codec(t)
    again = compiled.decode(compiled.encode(value, blobs), blobs)
    assert compiled.encode(again, blobs).digest == compiled.encode(value, blobs).digest


SCALARS = [
    (int, st.integers()),
    (float, st.floats()),
    (str, st.text(st.characters())),
    (bool, st.booleans()),
    (bytes, st.binary()),
    (decimal.Decimal, st.decimals()),
    (dt.date, st.dates()),
    (dt.datetime, st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=True)),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas()),
    (uuid.UUID, st.uuids()),
    (Color, st.sampled_from(Color)),
]
HASHABLE = [pair for pair in SCALARS if pair[0] not in (float, decimal.Decimal, dt.datetime)]


@st.composite
def typed_values(draw: Any, depth: int = 3) -> tuple[Any, Any]:
    """A type, and a strategy of its values."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(SCALARS))
    form = draw(st.sampled_from(["list", "tuple", "fixed", "dict", "pairs", "set", "optional", "box", "union"]))
    if form == "set":
        t, values = draw(st.sampled_from(HASHABLE))
        return set[t], st.sets(values, max_size=4)
    if form == "union":
        return int | str | list[float] | None, st.none() | st.integers() | st.text() | st.lists(st.floats())
    t, values = draw(typed_values(depth=depth - 1))
    if form == "list":
        return list[t], st.lists(values, max_size=4)
    if form == "tuple":
        return tuple[t, ...], st.lists(values, max_size=4).map(tuple)
    if form == "fixed":
        other, others = draw(typed_values(depth=depth - 1))
        return tuple[t, other], st.tuples(values, others)
    if form == "dict":
        return dict[str, t], st.dictionaries(st.text(st.characters()), values, max_size=4)
    if form == "pairs":
        key, keys = draw(st.sampled_from(HASHABLE))
        return dict[key, t], st.dictionaries(keys, values, max_size=4)
    if form == "optional":
        return t | None, st.none() | values
    return Box[t], values.map(Box)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_nested_values_come_back_exactly(data):
    t, values = data.draw(typed_values())
    value = data.draw(values)
    blobs = MemoryBlobs()
    literal = codec(t).encode(value, blobs)
    back = codec(t).decode(Kept.from_json(json.loads(json.dumps(literal.to_json()))), blobs)
    assert same(back, value)
    assert same(codec(t).isolate(value), value)


def test_a_large_payload_lies_in_a_blob_and_keeps_its_digest(blobs):
    numbers = list(range(100_000))
    literal = codec(list[int]).encode(numbers, blobs)
    assert literal.is_offloaded and literal.data is None
    assert codec(list[int]).decode(literal, blobs) == numbers
    assert literal.digest == Kept.make(literal.type, numbers).digest


def test_a_payload_at_the_limit_stays_inline(blobs):
    at_limit = "x" * (INLINE_LIMIT - 2)
    assert not codec(str).encode(at_limit, blobs).is_offloaded
    assert codec(str).encode(at_limit + "x", blobs).is_offloaded


def test_the_order_of_a_dict_is_kept(round_trip):
    assert list(round_trip(dict[str, int], {"b": 1, "a": 2})) == ["b", "a"]


def test_sets_are_kept_in_one_order_whatever_the_order_they_were_filled_in(blobs):
    names = [str(number) for number in range(100)]
    literals = {codec(set[str]).encode(set(order), blobs).digest for order in (names, names[::-1])}
    assert len(literals) == 1


def test_what_post_init_changes_is_put_back_and_what_it_adds_is_there(round_trip):
    value = Doubling(1)
    for back in (round_trip(Doubling, value), codec(Doubling).isolate(value)):
        assert (back.value, back.seen) == (2, True)


def test_a_field_that_init_does_not_take_keeps_its_value(round_trip):
    value = Computed(2, 5)
    value.label = "changed"
    for back in (round_trip(Computed, value), codec(Computed).isolate(value)):
        assert (back.side, back.area, back.label) == (2, 20, "changed")


def test_an_enumeration_takes_the_value_of_a_member(blobs):
    assert codec(Color).isolate("blue") is Color.BLUE
    assert codec(Color | None).isolate(1) is Color.RED
    assert codec(Color).encode("blue", blobs) == codec(Color).encode(Color.BLUE, blobs)


def test_the_order_in_which_a_union_is_written_has_no_meaning(blobs):
    one, other = codec(list[int | str | None]), codec(list[None | str | int])  # noqa: RUF036
    assert one.literal_type == other.literal_type
    assert other.decode(one.encode([1, "a", None], blobs), blobs) == [1, "a", None]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Literal["b", "a"], Literal["a", "b"]),
        (Literal[1, "1", None], Literal[None, "1", 1]),
        (Box[int | None], Box[Optional[int]]),  # noqa: UP045
        (Box[list[str | int]], Box[list[int | str]]),
        (Box[Literal["b", "a"]], Box[Literal["a", "b"]]),
        (Box[Annotated[int, "x"]], Box[int]),
    ],
)
def test_types_that_python_takes_for_equal_have_one_literal_type(one, other):
    first = codec(one).literal_type
    _codecs.clear()
    assert codec(other).literal_type == first


def test_a_literal_of_one_alternative_is_read_by_the_union(blobs):
    wide = codec(int | str | None)
    assert wide.decode(codec(int).encode(1, blobs), blobs) == 1
    assert wide.decode(codec(int | None).encode(None, blobs), blobs) is None
    assert wide.decode(codec(str | None).encode("x", blobs), blobs) == "x"


def test_markers_are_those_of_the_outermost_level():
    compiled = codec(Annotated[int, "a", 2])
    assert (compiled.markers, compiled.python_type, compiled.literal_type) == (("a", 2), int, codec(int).literal_type)
    assert codec(list[Annotated[int, "a"]]).markers == ()


def test_a_new_type_is_kept_as_what_it_is_made_of(round_trip):
    assert round_trip(dict[UserId, list[UserId]], {UserId(1): [UserId(2)]}) == {1: [2]}
    assert codec(UserId).literal_type == codec(int).literal_type


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement came with Python 3.12")
def test_a_type_alias_is_what_it_stands_for(round_trip):
    scope: dict[str, Any] = {}
    exec("type Row = dict[str, int | None]\ntype Loop = list[Loop]", scope)
    row = scope["Row"]
    assert round_trip(list[row], [{"a": None}]) == [{"a": None}]
    with pytest.raises(DefinitionError, match="refers to itself"):
        codec(scope["Loop"])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement came with Python 3.12")
def test_a_generic_alias_is_what_it_stands_for_with_its_arguments(round_trip):
    scope: dict[str, Any] = {}
    exec("type Turned[V, K] = dict[K, list[V]]\ntype Twice[T] = Turned[T, str]", scope)
    turned, twice = scope["Turned"], scope["Twice"]
    assert codec(turned[int, str]).literal_type == codec(dict[str, list[int]]).literal_type
    assert round_trip(twice[int], {"a": [1]}) == {"a": [1]}
    with pytest.raises(DefinitionError, match="type variable"):
        codec(turned)


def test_a_codec_is_compiled_once():
    assert codec(dict[str, list[Layer]]) is codec(dict[str, list[Layer]])


def test_a_generic_class_takes_an_argument_whose_annotation_cannot_be_hashed(round_trip):
    assert round_trip(Box[Annotated[int, {"unit": "m"}]], Box(1)) == Box(1)
