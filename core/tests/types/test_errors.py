"""What does not fit is refused, with the path inside the value, what was expected, what came, and a hint."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import pytest
from flytepath.errors import AmbiguousUnionError, DefinitionError, LiteralError, TypeTransformerFailedError
from flytepath.model.literal import Literal as Kept
from flytepath.types.engine import codec
from sample_types import Box, Color, Keyword, Layer, Level, Model, Node, Options, Pair, Point

T = TypeVar("T")


class Meters(float):
    pass


class Number(enum.IntEnum):
    ONE = 1


class Name(enum.StrEnum):
    A = "a"


@dataclasses.dataclass
class WideLayer(Layer):
    more: int = 0


REFUSED = [
    (int, True, "", "int", "int(value)"),
    (int, 1.0, "", "int", "int(value)"),
    (int, "1", "", "int", None),
    (int, Number.ONE, "", "int", "value.value"),
    (str, Name.A, "", "str", "value.value"),
    (bool, 1, "", "bool", "bool(value)"),
    (float, 1, "", "float", "float(value)"),
    (float, True, "", "float", "float(value)"),
    (float, Meters(1), "", "float", "float(value)"),
    (str, b"x", "", "str", "str(value)"),
    (bytes, bytearray(b"x"), "", "bytes", "bytes(value)"),
    (type(None), 0, "", "None", None),
    (dt.date, dt.datetime(2020, 1, 1), "", "datetime.date", "value.date()"),
    (dt.datetime, dt.date(2020, 1, 1), "", "datetime.datetime", None),
    (decimal.Decimal, 1.5, "", "decimal.Decimal", "Decimal(value)"),
    (pathlib.Path, "a", "", "pathlib.Path", "Path(value)"),
    (Color, 2, "", "sample_types.Color", "RED, BLUE"),
    (Color, True, "", "sample_types.Color", "RED, BLUE"),
    (Color | int, "blue", "", "sample_types.Color | int", None),
    (Literal["a", 1], True, "", "Literal['a', 1]", "one of 'a', 1"),
    (int | None, "x", "", "int", None),
    (int | str, 1.5, "", "int | str", None),
    (list[int], (1,), "", "list[int]", "list(value)"),
    (list[int], [1, "a"], "[1]", "int", None),
    (list[list[int]], [[], [1, None]], "[1][1]", "int", None),
    (tuple[int, str], (1,), "", "tuple[int, str]", None),
    (tuple[int, str], (1, 2), "[1]", "str", None),
    (tuple[int, ...], (1, "a"), "[1]", "int", None),
    (set[int], {"a"}, "[str 'a']", "int", None),
    (dict[str, int], {"a": "b"}, "['a']", "int", None),
    (dict[str, int], {1: 1}, "[key int 1]", "str", None),
    (dict[int, list[str]], {7: ["a", 1]}, "[7][1]", "str", None),
    (Layer, {"units": 1}, "", "sample_types.Layer", "Layer(**value)"),
    (Layer, WideLayer(1), "", "sample_types.Layer", "WideLayer"),
    (Layer, Layer("x"), ".units", "int", None),
    (Model, Model([Layer(1), Layer(2, tags=[1])]), ".layers[1].tags[0]", "str", None),
    (Model, Model([], Layer(1, rate=1)), ".best.rate", "float", None),
    (Node, Node(1, Node(2, Node("x"))), ".next.next.value", "int", None),
    (Keyword, Keyword(a="x", b="y"), ".a", "int", None),
    (Pair, (1, 1.0), "", "sample_types.Pair", None),
    (Pair, Pair(1, 1), ".y", "float", None),
    (Options, {"b": "x"}, "", "the keys a, b", None),
    (Options, {"a": 1, "c": 1}, "", "the keys a, b", None),
    (Options, {"a": "x"}, "['a']", "int", None),
    (Box[int], Box("x"), ".item", "int", None),
]
NAMES = [f"{index}-{getattr(t, '__name__', t)}" for index, (t, *_) in enumerate(REFUSED)]


@pytest.mark.parametrize(("t", "value", "place", "expected", "hint"), REFUSED, ids=NAMES)
@pytest.mark.parametrize("way", ["isolate", "encode"])
def test_a_value_that_does_not_fit_is_refused_at_its_place(t, value, place, expected, hint, way, blobs):
    compiled = codec(t)
    with pytest.raises(TypeTransformerFailedError) as caught:
        compiled.isolate(value) if way == "isolate" else compiled.encode(value, blobs)
    error = caught.value
    assert (error.place or "") == place
    assert error.expected == expected
    assert error.actual
    assert hint is None or hint in (error.hint or "")


def test_an_unknown_kind_of_time_zone_is_refused(blobs):
    class Local(dt.tzinfo):
        def utcoffset(self, _when):
            return dt.timedelta(hours=1)

    with pytest.raises(TypeTransformerFailedError, match="zoneinfo"):
        codec(dt.datetime).isolate(dt.datetime(2020, 1, 1, tzinfo=Local()))


def test_a_field_without_a_value_is_refused(blobs):
    layer = Layer(1)
    del layer.units
    with pytest.raises(TypeTransformerFailedError, match="has no value") as caught:
        codec(Layer).encode(layer, blobs)
    assert caught.value.place == ".units"


def test_a_field_that_init_does_not_set_must_have_a_value(blobs):
    @dataclasses.dataclass
    class Late:
        a: int
        b: int = dataclasses.field(init=False)

    with pytest.raises(TypeTransformerFailedError, match="has no value"):
        codec(Late).encode(Late(1), blobs)


BULK = [
    (list[list[int]], [[1], [], [2, "x"]], "[2][1]"),
    (list[dict[str, int]], [{}, {"a": 1, "b": "x"}], "[1]['b']"),
    (list[dict[str, list[int]]], [{"a": [1], "b": [2, 3, "x"]}], "[0]['b'][2]"),
    (list[tuple[int, list[str]]], [(1, []), (2, ["a", 3])], "[1][1][1]"),
    (list[tuple[int, str]], [(1, "a"), (2,)], "[1]"),
    (list[int | None], [None, 1, None, "x"], "[3]"),
    (list[list[int] | None], [None, [1], [2, "x"]], "[2][1]"),
    (list[int | list[str]], [1, ["a"], 2, ["b", 1]], "[3][1]"),
    (list[int | str], [1, "a", 1.5], "[2]"),
    (list[list[list[int]]], [[[1]], [[2], [3, None]]], "[1][1][1]"),
    (list[set[int]], [{1}, {"a"}], "[1][str 'a']"),
    (tuple[list[dict[str, float]], ...], ([{"a": 1.0}], [{"b": 1}]), "[1][0]['b']"),
]


@pytest.mark.parametrize(("t", "value", "place"), BULK, ids=[str(t) for t, _, _ in BULK])
def test_many_items_at_once_are_refused_at_the_place_of_the_wrong_one(t, value, place, blobs):
    for refuse in (codec(t).isolate, lambda value: codec(t).encode(value, blobs)):
        with pytest.raises(TypeTransformerFailedError) as caught:
            refuse(value)
        assert caught.value.place == place


def test_two_keys_that_would_become_one_are_refused(blobs):
    for refuse in (codec(dict[Color, int]).isolate, lambda value: codec(dict[Color, int]).encode(value, blobs)):
        with pytest.raises(TypeTransformerFailedError, match="two keys are one"):
            refuse({"blue": 1, Color.BLUE: 2})
        refuse({"blue": 1, Color.RED: 2})


def test_what_can_not_be_hashed_is_the_value_of_no_member():
    with pytest.raises(TypeTransformerFailedError, match="expected sample_types"):
        codec(Color).isolate((1, [2]))


def test_a_value_that_contains_itself_is_refused(blobs):
    @dataclasses.dataclass
    class Ring:
        inner: Ring | None

    ring = Ring(None)
    ring.inner = ring
    for refuse in (codec(Ring).isolate, lambda value: codec(Ring).encode(value, blobs)):
        with pytest.raises(TypeTransformerFailedError, match="contains itself"):
            refuse(ring)


@dataclasses.dataclass
class WithAmbiguous:
    inner: dict[str, list[int] | list[str]]


AMBIGUOUS = [
    list[int] | list[str],
    list[int] | list[str] | None,
    dict[str, list[int] | list[str]],
    tuple[int, str] | tuple[int, ...],
    Options | dict[str, int],
    str | Literal["a"],
    Box[int] | Box[str],
    int | Any,
]


@pytest.mark.parametrize("t", AMBIGUOUS, ids=[str(t) for t in AMBIGUOUS])
def test_a_union_whose_alternatives_have_one_class_is_refused_by_an_error_of_its_own(t):
    with pytest.raises(AmbiguousUnionError, match="ambiguous") as caught:
        codec(t)
    assert isinstance(caught.value, DefinitionError)
    assert caught.value.code == "FP-AMBIGUOUS-UNION"
    assert caught.value.hint


@pytest.mark.parametrize(
    "t",
    [
        int | float,
        bool | int,
        str | pathlib.Path,
        str | bytes,
        Color | str,
        int | Level,
        Layer | Model,
        list[int] | set[int],
    ],
)
def test_alternatives_that_the_class_of_a_value_tells_apart_are_taken(t):
    assert codec(t).literal_type.kind == "union"


UNDEFINED = [
    (list[int] | list[str], "", "ambiguous"),
    (dict[str, int] | dict[int, str], "", "ambiguous"),
    (Options | dict[str, int], "", "ambiguous"),
    (str | Literal["a"], "", "ambiguous"),
    (int | Any, "", "ambiguous"),
    (tuple[int, str] | tuple[int, ...], "", "ambiguous"),
    (WithAmbiguous, ".inner[value]", "ambiguous"),
    (tuple, "", "does not say"),
    (typing.Tuple, "", "does not say"),  # noqa: UP006
    (frozenset, "", "does not say"),
    (typing.Set, "", "does not say"),  # noqa: UP006
    (typing.Sequence, "", "exactly"),
    (list[dict[str, set]], "[item][value]", "does not say"),
    (Box, ".item", "type variable"),
    (list[T], "[item]", "type variable"),
    ("Layer", "", "not resolved"),
    (3, "", "not a type"),
    (Sequence[int], "", "exactly"),
    (Callable[[int], int], "", "exactly"),
    (type[int], "", "exactly"),
    (collections.OrderedDict[str, int], "", "exactly"),
    (set[list[int]], "[item]", "not hashable"),
    (dict[Layer, int], "[key]", "not hashable"),
    (enum.Enum, "", "no members"),
    (collections.namedtuple("Bare", "x y"), ".x", "no type"),
]


@pytest.mark.parametrize(("t", "place", "message"), UNDEFINED, ids=[str(index) for index in range(len(UNDEFINED))])
def test_a_type_whose_values_could_not_be_kept_is_refused_when_it_is_declared(t, place, message):
    with pytest.raises(DefinitionError, match=message) as caught:
        codec(t)
    assert (caught.value.place or "") == place


def test_an_annotation_that_names_nothing_is_refused():
    @dataclasses.dataclass
    class Lost:
        other: Nowhere  # noqa: F821

    with pytest.raises(DefinitionError, match="Nowhere"):
        codec(Lost)


DAMAGED = [
    (int, "1.5"),
    (int, True),
    (float, "x"),
    (bool, 1),
    (str, 1),
    (bytes, "*"),
    (dt.datetime, "yesterday"),
    (dt.datetime, {"at": "2020-01-01"}),
    (decimal.Decimal, "x"),
    (Color, "GREEN"),
    (int | None, {"tag": 3, "value": 1}),
    (int | str, {"tag": 9, "value": 1}),
    (int | str, 1),
    (list[int], {}),
    (tuple[int, int], [1]),
    (set[int], 3),
    (list[int | None], [{"tag": 1, "value": 1}]),
    (list[int | None], [{"tag": 0}]),
    (list[int | None], [{"tag": 0, "value": "x"}]),
    (list[int | None], [3]),
    (list[list[int]], [[1], 2]),
    (list[dict[str, int]], [{"a": "x"}]),
    (list[tuple[int, str]], [[1, "a"], [2]]),
    (dict[str, int], [1]),
    (Layer, {"units": 1}),
    (Layer, [1]),
    (Options, []),
]


@pytest.mark.parametrize(("t", "data"), DAMAGED)
def test_a_damaged_payload_is_an_error_of_ours(t, data, blobs):
    with pytest.raises(TypeTransformerFailedError):
        codec(t).decode(Kept.make(codec(t).literal_type, data), blobs)


def test_a_literal_of_another_type_is_refused(blobs):
    with pytest.raises(TypeTransformerFailedError, match="cannot be read as str"):
        codec(str).decode(codec(int).encode(1, blobs), blobs)


def test_a_damaged_blob_is_an_error(blobs):
    literal = codec(list[int]).encode(list(range(100_000)), blobs)
    blobs.contents[literal.ref.digest] = b"[]"
    with pytest.raises(LiteralError, match="damaged"):
        codec(list[int]).decode(literal, blobs)


def test_a_refused_value_writes_no_payload(blobs):
    with pytest.raises(TypeTransformerFailedError):
        codec(list[str]).encode(["x" * 100_000, 1], blobs)
    assert blobs.contents == {}


def test_an_error_does_not_show_long_values():
    with pytest.raises(TypeTransformerFailedError) as caught:
        codec(int).isolate("x" * 10_000)
    assert len(str(caught.value)) < 300
    assert json.dumps(caught.value.to_json())


def test_recursion_and_classes_keep_alternatives_apart():
    assert str(codec(Point | Layer | None).literal_type) == "Layer | Point | none"
