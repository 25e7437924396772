"""Literals are looked into, composed, cast and compared without any Python type; blobs follow their values."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
from typing import Any

import pytest
from flytepath.errors import LiteralError
from flytepath.model.literal import (
    BlobRef,
    Literal,
    canonical_json,
    cast,
    compare,
    compose_dict,
    compose_list,
    sha256,
)
from flytepath.model.types import ANY, BOOLEAN, FLOAT, INTEGER, NONE, STRING, Field, LiteralType
from flytepath.plugin.manager import set_current
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True, scope="module")
def own_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(tmp_path_factory.mktemp("home")))
        before = set_current(None)
        yield
        set_current(before)


FILE = LiteralType("file", format="raw")
FRAME = LiteralType("dataframe", format="arrow-ipc")
UNION = LiteralType.union_of(FILE, INTEGER, NONE)
NODE = LiteralType(
    "struct",
    name="m.Node",
    fields=(
        Field("blob", FILE),
        Field("next", LiteralType.union_of(LiteralType("reference", name="m.Node"), NONE), required=False),
    ),
)


def blob(name: str) -> Literal:
    ref = BlobRef(f"memory://{name}", sha256(name.encode()), len(name))
    return Literal.make(FILE, {"name": name}, format="raw", ref=ref)


@st.composite
def typed_literals(draw: Any, depth: int = 3) -> Literal:
    """Literals with blobs anywhere: in unions, in structs, in dicts of both forms."""
    form = draw(
        st.sampled_from(["int", "blob", "none"] if depth == 0 else ["list", "dict", "union", "struct", "tuple"])
    )
    if form == "int":
        return Literal.make(INTEGER, draw(st.integers(-9, 9)))
    if form == "blob":
        return blob(draw(st.sampled_from("abc")))
    if form == "none":
        return Literal.make(NONE, None)
    if form in ("list", "dict"):
        one = draw(typed_literals(depth=depth - 1))
        size = draw(st.integers(0, 3))
        if form == "list":
            return compose_list(LiteralType.list_of(one.type), [one] * size)
        return compose_dict(LiteralType.dict_of(STRING, one.type), {str(i): one for i in range(size)})
    parts = draw(st.lists(typed_literals(depth=depth - 1), min_size=1, max_size=3))
    if form == "tuple":
        return compose_list(LiteralType("tuple", tuple(part.type for part in parts)), parts)
    if form == "struct":
        fields = tuple(Field(f"f{i}", part.type) for i, part in enumerate(parts))
        named = {f"f{i}": part for i, part in enumerate(parts)}
        return compose_dict(LiteralType("struct", fields=fields, name=f"m.S{depth}"), named)
    if parts[0].type.kind == "union":
        return parts[0]
    other = LiteralType("opaque", name="m.Other")
    return cast(parts[0], LiteralType.union_of(other, parts[0].type))


def children(literal: Literal) -> dict[str | int, Literal]:
    kind = literal.type.kind
    steps = range(len(literal.data)) if kind in ("list", "tuple") else list(literal.data)
    return {step: literal.get((step,)) for step in steps}


@settings(deadline=None)
@given(typed_literals())
def test_what_is_taken_apart_composes_to_the_same_literal(literal):
    if literal.type.kind in ("list", "tuple"):
        assert compose_list(literal.type, list(children(literal).values())) == literal
    elif literal.type.kind in ("dict", "struct"):
        assert compose_dict(literal.type, children(literal)) == literal
    else:
        assert cast(cast(literal, literal.type), literal.type) == literal


@settings(deadline=None)
@given(typed_literals())
def test_a_literal_survives_json(literal):
    assert Literal.from_json(json.loads(json.dumps(literal.to_json()))) == literal


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), max_size=4), st.data())
def test_each_part_keeps_its_own_blobs(names, data):
    inner = LiteralType.list_of(FILE)
    parts = [compose_list(inner, [blob(name) for name in row]) for row in names]
    whole = compose_list(LiteralType.list_of(inner), parts)
    assert [ref.uri for ref in whole.refs] == [f"memory://{name}" for row in names for name in row]
    for i, row in enumerate(names):
        assert whole.get((i,)) == parts[i]
        for j, name in enumerate(row):
            assert whole.get((i, j)) == blob(name)


def test_blobs_in_unions_in_containers_are_renumbered():
    items = [blob("a"), Literal.make(INTEGER, 1), Literal.make(NONE, None), blob("b")]
    row = compose_list(LiteralType.list_of(UNION), items)
    assert row.data[3] == {"tag": 0, "value": {"format": "raw", "version": 1, "data": {"name": "b"}, "ref": 1}}
    table = compose_dict(LiteralType.dict_of(STRING, row.type), {"x": row, "y": row})
    assert [ref.uri for ref in table.refs] == ["memory://a", "memory://b"] * 2
    assert table.get(("y",)) == row
    assert table.get(("y", 3)) == cast(blob("b"), UNION)
    assert table.get(("y", 2)) == cast(Literal.make(NONE, None), UNION)


def test_a_narrow_union_in_a_wide_one_gets_the_tag_of_the_wide_one():
    narrow = LiteralType.union_of(INTEGER, NONE)
    wide = LiteralType.union_of(BOOLEAN, INTEGER, NONE)
    one, none = cast(Literal.make(INTEGER, 1), narrow), cast(Literal.make(NONE, None), narrow)
    assert compose_list(LiteralType.list_of(wide), [one, none]).data == [{"tag": 1, "value": 1}, None]
    with pytest.raises(LiteralError, match="no alternative"):
        cast(one, LiteralType.union_of(STRING, NONE))
    with pytest.raises(LiteralError, match="no alternative"):
        cast(none, LiteralType.union_of(STRING, INTEGER))


def test_parts_of_recursive_structs_are_closed_types_with_their_blobs():
    embedded = [{"format": "raw", "version": 1, "data": None, "ref": index} for index in range(2)]
    tail = {"blob": embedded[1], "next": None}
    refs = [blob("a").ref, blob("b").ref]
    literal = Literal.make(NODE, {"blob": embedded[0], "next": {"tag": 0, "value": tail}}, refs=refs)
    rest = literal.get(("next",))
    assert rest.type == LiteralType.union_of(NODE, NONE)
    assert rest.refs == (blob("b").ref,)
    assert literal.get(("next", "blob")).ref == blob("b").ref
    assert literal.get(("next", "next")).data is None
    head = {"blob": literal.get(("blob",)), "next": rest}
    assert compose_dict(NODE, head) == literal


def test_parts_of_mutually_recursive_structs_have_the_type_they_have_alone(blobs):
    import dataclasses

    @dataclasses.dataclass
    class Odd:
        even: Even | None

    @dataclasses.dataclass
    class Even:
        odd: Odd | None

    literal = codec(Odd).encode(Odd(Even(Odd(None))), blobs)
    assert literal.get(("even",)).type == codec(Even | None).literal_type
    assert literal.get(("even", "odd")).type == codec(Odd | None).literal_type
    assert codec(Odd | None).decode(literal.get(("even", "odd")), blobs) == Odd(None)


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


def test_an_empty_path_is_the_literal_itself():
    assert blob("a").get(()) == blob("a")


@pytest.mark.parametrize(
    ("literal", "path"),
    [
        (Literal.make(LiteralType.list_of(INTEGER), [1]), (1,)),
        (Literal.make(LiteralType.list_of(INTEGER), [1]), ("0",)),
        (Literal.make(LiteralType("tuple", (INTEGER,)), [1]), (1,)),
        (Literal.make(LiteralType.dict_of(STRING, INTEGER), {"1": 1}), (1,)),
        (Literal.make(LiteralType.dict_of(INTEGER, INTEGER), [[1, 1]]), ("1",)),
        (Literal.make(LiteralType("struct", fields=(Field("a", INTEGER),)), {"a": 1}), ("b",)),
        (Literal.make(INTEGER, 1), (0,)),
        (Literal.make(LiteralType.union_of(LiteralType.list_of(INTEGER), NONE), None), (0,)),
    ],
)
def test_a_path_to_nothing_is_an_error_that_shows_it(literal, path):
    with pytest.raises(LiteralError, match="there is nothing at"):
        literal.get(path)


def test_keys_beyond_json_numbers_are_found():
    literal = Literal.make(LiteralType.dict_of(INTEGER, STRING), [[str(2**60), "a"], [1, "b"]])
    assert literal.get((2**60,)).data == "a"
    assert literal.get((1,)).data == "b"


def test_any_json_is_looked_into():
    assert Literal.make(ANY, {"a": [1, {"b": 2}]}).get(("a", 1, "b")).data == 2


@pytest.mark.parametrize(
    "compose",
    [
        lambda: compose_list(LiteralType.list_of(INTEGER), [Literal.make(STRING, "x")]),
        lambda: compose_list(LiteralType("tuple", (INTEGER,)), []),
        lambda: compose_list(INTEGER, []),
        lambda: compose_dict(LiteralType.dict_of(STRING, INTEGER), {"a": Literal.make(FLOAT, 1.0)}),
        lambda: compose_dict(LiteralType.dict_of(INTEGER, INTEGER), {"a": Literal.make(INTEGER, 1)}),
        lambda: compose_dict(NODE, {}),
        lambda: compose_dict(NODE, {"blob": blob("a"), "other": blob("b")}),
        lambda: compose_list(LiteralType.list_of(FRAME), [blob("a")]),
        lambda: cast(Literal.make(INTEGER, 1), STRING),
        lambda: cast(blob("a"), FRAME),
    ],
)
def test_parts_that_do_not_fit_are_refused(compose):
    with pytest.raises(LiteralError):
        compose()


def test_an_offloaded_payload_must_be_read_first(blobs):
    literal = codec(list[int]).encode(list(range(100_000)), blobs)
    for use in (lambda: literal.get((0,)), lambda: compose_list(LiteralType.list_of(literal.type), [literal])):
        with pytest.raises(LiteralError, match="offloaded"):
            use()
    inline = literal.inlined(blobs.get(literal.ref))
    assert inline.get((7,)).data == 7
    assert inline.digest == literal.digest
    with pytest.raises(LiteralError, match="damaged"):
        literal.inlined(b"[]")


def test_where_blobs_lie_does_not_count():
    here, there = (BlobRef(uri, sha256(b"x"), 1) for uri in ("file:///a", "s3://b"))
    assert (
        Literal.make(FILE, None, ref=here, format="raw").digest
        == Literal.make(FILE, None, ref=there, format="raw").digest
    )


def test_the_digest_tells_values_types_and_blobs_apart():
    digests = {
        Literal.make(INTEGER, 1).digest,
        Literal.make(FLOAT, 1.0).digest,
        Literal.make(BOOLEAN, True).digest,
        Literal.make(STRING, "1").digest,
        Literal.make(LiteralType.list_of(INTEGER), []).digest,
        Literal.make(LiteralType.list_of(FLOAT), []).digest,
        blob("a").digest,
        blob("b").digest,
    }
    assert len(digests) == 8


class Level(enum.IntEnum):
    LOW = 9
    HIGH = 10


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


UTC, EAST = dt.UTC, dt.timezone(dt.timedelta(hours=2))
ORDERS = [
    (int, 2, int, 10, -1),
    (int, 2**60 + 1, int, 2**60, 1),
    (int, 1, float, 1.0, 0),
    (int, 2**53 + 1, float, float(2**53), 1),
    (float, 0.1, decimal.Decimal, decimal.Decimal("0.1"), 1),
    (float, -0.0, float, 0.0, 0),
    (float, float("nan"), float, float("nan"), None),
    (float, float("inf"), int, 10**400, 1),
    (decimal.Decimal, decimal.Decimal("sNaN"), int, 1, None),
    (bool, False, bool, True, -1),
    (bool, True, int, 1, 0),
    (str, "a", str, "b", -1),
    (str, "NaN", str, "NaN", 0),
    (str, "1", int, 1, None),
    (str, "2020-01-01", dt.date, dt.date(2020, 1, 1), None),
    (dt.date, dt.date(999, 1, 1), dt.date, dt.date(2020, 1, 1), -1),
    (dt.datetime, dt.datetime(2020, 1, 1, 12, tzinfo=UTC), dt.datetime, dt.datetime(2020, 1, 1, 13, tzinfo=EAST), 1),
    (dt.datetime, dt.datetime(2020, 1, 1, 12, tzinfo=UTC), dt.datetime, dt.datetime(2020, 1, 1, 14, tzinfo=EAST), 0),
    (dt.datetime, dt.datetime(2020, 1, 1), dt.datetime, dt.datetime(2020, 1, 1, 0, 0, 0, 1), -1),
    (dt.datetime, dt.datetime(2020, 1, 1), dt.datetime, dt.datetime(2020, 1, 1, tzinfo=UTC), None),
    (dt.datetime, dt.datetime.max.replace(tzinfo=UTC), dt.datetime, dt.datetime(9999, 12, 31, tzinfo=UTC), 1),
    (dt.timedelta, dt.timedelta.max, dt.timedelta, dt.timedelta(days=9), 1),
    (dt.timedelta, dt.timedelta(microseconds=1), int, 1, None),
    (Level, Level.LOW, Level, Level.HIGH, -1),
    (Color, Color.RED, Color, Color.RED, 0),
    (Color, Color.RED, Color, Color.BLUE, None),
    (int | None, 1, int, 2, -1),
    (int | None, None, int, 2, None),
    (int | None, None, str | None, None, 0),
    (list[int], [1], list[int], [1], 0),
    (list[int], [1], list[int], [2], None),
]


@pytest.mark.parametrize(("t", "left", "u", "right", "order"), ORDERS, ids=[str(index) for index in range(len(ORDERS))])
def test_literals_compare_as_their_values_do(t, left, u, right, order, blobs):
    a, b = codec(t).encode(left, blobs), codec(u).encode(right, blobs)
    assert compare(a, b) == order
    assert compare(b, a) == (None if order is None else -order)


@given(st.lists(st.integers() | st.floats() | st.decimals(allow_nan=False), min_size=2, max_size=2))
def test_numbers_of_all_kinds_compare_exactly(pair):
    blobs = MemoryBlobs()
    left, right = pair
    expected = None if any(map(math.isnan, pair)) else (left > right) - (left < right)
    assert compare(*(codec(type(value)).encode(value, blobs) for value in pair)) == expected


@pytest.mark.parametrize(
    "envelope",
    [
        None,
        {},
        {"format": "json", "version": 2, "type": {"kind": "integer"}, "digest": "x"},
        {"format": "json", "version": "1", "type": {"kind": "integer"}, "digest": "x"},
        {"format": "json", "version": 1, "type": {"kind": "number"}, "digest": "x"},
        {"format": "json", "version": 1, "type": {"kind": "integer"}, "digest": "x", "ref": {"uri": "u"}},
    ],
)
def test_a_malformed_envelope_is_an_error_of_ours(envelope):
    with pytest.raises(LiteralError):
        Literal.from_json(envelope)


def test_what_is_no_json_has_no_canonical_form():
    for data in (float("nan"), {1, 2}, object()):
        with pytest.raises(LiteralError):
            canonical_json(data)


def test_types_are_written_for_people():
    assert str(codec(dict[str, tuple[int, ...] | None]).literal_type) == "dict[string, tuple[integer, ...] | none]"
