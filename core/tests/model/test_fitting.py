"""A literal goes where its value would be passed on unchanged, and is written anew for that place."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
from typing import Any, Literal

import pytest
from flytepath.errors import LiteralError
from flytepath.model.fitting import fits, refit
from flytepath.model.literal import BlobRef, cast, compose_list, sha256
from flytepath.model.literal import Literal as Kept
from flytepath.model.types import ANY, FLOAT, INTEGER, STRING, LiteralType
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec
from flytepath.types.json_values import JSON
from hypothesis import given, settings
from hypothesis import strategies as st


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class A:
    x: int
    next: A | None = None


@dataclasses.dataclass
class B:
    y: str


FITTING: list[tuple[Any, Any, Any]] = [
    (int, int | None, 3),
    (A, A | None, A(1, A(2))),
    (A, A | B, A(1, A(2))),
    (list[A], list[A | None], [A(1), A(2, A(3))]),
    (list[A], list[A | B | None], [A(1)]),
    (list[A] | None, list[A | None] | None, [A(1)]),
    (list[A] | None, list[A | None] | None, None),
    (list[list[int]], list[list[int | None]], [[1], [], [2**60]]),
    (dict[str, int], dict[str, int | None], {"a": 1, "b": 2}),
    (dict[str, int], dict[str | int, int], {"a": 1}),
    (dict[int, A], dict[int, A | None], {1: A(1)}),
    (dict[str, list[int]], dict[str, list[int | str] | None], {"\ud800": [1]}),
    (tuple[int, str], tuple[int | None, str | bytes], (1, "a")),
    (tuple[int, int], tuple[int, ...], (1, 2)),
    (tuple[int, str], tuple[int | str, ...], (1, "a")),
    (tuple[()], tuple[int, ...], ()),
    (tuple[int, ...], tuple[int | None, ...], (1, 2)),
    (set[int], set[int | None], {10, 9, 100}),
    (frozenset[int | str], frozenset[int | str | None], frozenset({1, "a"})),
    (int | str, int | str | bytes | None, "x"),
    (int | str | None, bool | int | str | None, None),
    (list[int | None], list[int | str | None], [1, None]),
    (Literal["a"], Literal["a", "b"], "a"),
    (Literal["a", "b"], str, "b"),
    (Literal["a"] | None, str | None, "a"),
    (Literal[1, 2], int, 2),
    (list[Literal[True]], list[bool], [True]),
    (list[Color], list[Color | str], [Color.RED]),
]


@pytest.mark.parametrize(("actual", "declared", "value"), FITTING, ids=[f"{a} in {d}" for a, d, _ in FITTING])
def test_a_value_fits_and_is_read_as_the_wider_type(actual, declared, value):
    blobs = MemoryBlobs()
    assert fits(codec(actual).literal_type, codec(declared).literal_type)
    moved = cast(codec(actual).encode(value, blobs), codec(declared).literal_type)
    assert moved.digest == codec(declared).encode(value, blobs).digest
    back = codec(declared).decode(moved, blobs)
    assert back == value
    assert type(back) is type(value)


APART: list[tuple[Any, Any]] = [
    (int, float),
    (int, bool),
    (bool, int),
    (str, Color),
    (Color, str),
    (str, Literal["a"]),
    (Literal["a", "b"], Literal["a"]),
    (Literal["a", 1], str),
    (Literal["a", 1], int),
    (Literal[b"a"], str),
    (Literal[True, 1], bool),
    (pathlib.Path, str),
    (int | None, int),
    (list[int | None], list[int]),
    (list[int], tuple[int, ...]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int, ...], list[int]),
    (tuple[int, int], list[int]),
    (tuple[int, str], tuple[int, ...]),
    (tuple[int, str], tuple[int]),
    (set[int], frozenset[int]),
    (dict[str, int | None], dict[str, int]),
    (dict[str, int], dict[int, int]),
    (A, B),
    (int | str, int | bytes),
]


@pytest.mark.parametrize(("actual", "declared"), APART, ids=[f"{a} in {d}" for a, d in APART])
def test_what_would_change_or_lose_a_value_does_not_fit(actual, declared):
    own, place = codec(actual).literal_type, codec(declared).literal_type
    assert not fits(own, place)
    literal = Kept.make(own, [] if own.kind in ("list", "set", "tuple") else "x")
    if own.kind != "union":
        with pytest.raises(LiteralError):
            cast(literal, place)


def test_what_is_no_plain_json_does_not_fit_any():
    assert fits(codec(dict[str, list[int | None]]).literal_type, ANY)
    assert not fits(codec(bytes).literal_type, ANY)
    assert not fits(codec(list[Color]).literal_type, ANY)
    assert not fits(codec(dict[int, int]).literal_type, ANY)
    assert not fits(codec(tuple[int, ...]).literal_type, ANY)


def test_any_gets_the_json_value_without_tags():
    blobs = MemoryBlobs()
    literal = codec(dict[str, list[int | None]]).encode({"a": [1, None, 2**60]}, blobs)
    assert cast(literal, ANY).data == {"a": [1, None, 2**60]}
    assert cast(codec(int | str).encode("x", blobs), ANY).data == "x"


NARROWED = [
    (int, 3),
    (int, 2**60),
    (float, 1.5),
    (bool, True),
    (str, "x"),
    (type(None), None),
    (list[int], [1, 2**53]),
    (dict[str, list[float | None]], {"a": [1.5, None]}),
    (int | str | list[bool] | None, [True]),
    (int | str | None, None),
    (JSON | None, {"a": 1}),
    (JSON | A, 3),
]


@pytest.mark.parametrize(("t", "value"), NARROWED, ids=[str(t) for t, _ in NARROWED])
def test_a_json_value_goes_where_a_plain_type_is_declared_that_it_is_of(t, value):
    blobs, declared = MemoryBlobs(), codec(t).literal_type
    assert fits(ANY, declared)
    moved = cast(codec(JSON).encode(value, blobs), declared)
    assert codec(t).decode(moved, blobs) == value
    assert moved.digest == codec(t).encode(value, blobs).digest


@pytest.mark.parametrize(
    ("t", "value", "place"),
    [
        (int, 1.0, None),
        (int, True, None),
        (float, 1, None),
        (str, None, None),
        (list[int], [1, "x"], "[1]"),
        (dict[str, list[int]], {"a": [1, None]}, "['a'][1]"),
        (int | None, "x", None),
        (list[int | str], [1, 1.5], "[1]"),
    ],
)
def test_a_json_value_of_another_type_is_refused_at_its_place(t, value, place):
    with pytest.raises(LiteralError) as caught:
        cast(codec(JSON).encode(value, MemoryBlobs()), codec(t).literal_type)
    assert caught.value.place == place
    assert caught.value.expected


def test_json_fits_no_type_that_json_does_not_have():
    for t in (bytes, Color, A, A | None, pathlib.Path, tuple[int, ...], dict[int, int], set[int]):
        assert not fits(ANY, codec(t).literal_type)


@pytest.mark.parametrize(
    ("type", "data"), [(FLOAT, "NaN"), (STRING, {"surrogates": "7aCA"}), (LiteralType.dict_of(STRING, INTEGER), [])]
)
def test_values_that_json_does_not_have_are_refused_for_any(type, data):
    with pytest.raises(LiteralError, match="no such value"):
        refit(data, type, ANY)


FILE = LiteralType("file", format="raw")


def blob(name: str) -> Kept:
    ref = BlobRef(f"memory://{name}", sha256(name.encode()), len(name))
    return Kept.make(FILE, {"name": name}, format="raw", ref=ref)


def test_blobs_keep_their_order_where_their_list_becomes_one_of_optionals():
    optional = LiteralType.union_of(FILE, LiteralType("none"))
    files = compose_list(LiteralType.list_of(FILE), [blob("a"), blob("b")])
    moved = cast(files, LiteralType.list_of(optional))
    assert [ref.uri for ref in moved.refs] == ["memory://a", "memory://b"]
    assert moved.get((1,)) == cast(blob("b"), optional)
    table = compose_list(LiteralType.list_of(moved.type), [files, files])
    assert [item["value"]["ref"] for row in table.data for item in row] == [0, 1, 2, 3]


def test_a_set_with_blobs_stays_as_it_is():
    optional = LiteralType.union_of(FILE, LiteralType("none"))
    assert not fits(LiteralType("set", (FILE,)), LiteralType("set", (optional,)))


@st.composite
def widened(draw: Any, depth: int = 3) -> tuple[Any, Any, Any]:
    """A type, a wider one, and a strategy of values of the first."""
    t, wide, values = draw(
        st.sampled_from(
            [
                (int, int | None, st.integers()),
                (str, str | bytes, st.text(st.characters())),
                (A, A | B | None, st.builds(A, st.integers())),
                (int | None, int | str | None, st.none() | st.integers()),
            ]
        )
    )
    for _ in range(draw(st.integers(0, depth))):
        form = draw(st.sampled_from(["list", "dict", "pairs", "tuple", "fixed"]))
        if form == "list":
            t, wide, values = list[t], list[wide] | None, st.lists(values, max_size=3)
        elif form == "dict":
            t, wide, values = dict[str, t], dict[str, wide], st.dictionaries(st.text(), values, max_size=3)
        elif form == "pairs":
            t, wide = dict[int, t], dict[int | str, wide]
            values = st.dictionaries(st.integers(), values, max_size=3)
        elif form == "tuple":
            t, wide, values = tuple[t, ...], tuple[wide, ...], st.lists(values, max_size=3).map(tuple)
        else:
            t, wide, values = tuple[t, int], tuple[wide, int | None], st.tuples(values, st.integers())
    return t, wide, values


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_value_of_a_narrow_type_is_the_same_literal_as_if_encoded_as_the_wide_one(data):
    t, wide, values = data.draw(widened())
    value, blobs = data.draw(values), MemoryBlobs()
    assert fits(codec(t).literal_type, codec(wide).literal_type)
    narrow, direct = codec(t).encode(value, blobs), codec(wide).encode(value, blobs)
    assert codec(wide).decode(cast(narrow, codec(wide).literal_type), blobs) == value
    assert cast(narrow, codec(wide).literal_type) == direct
