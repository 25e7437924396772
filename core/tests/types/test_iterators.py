"""Iterators: written and read item by item, in any process, in order, with errors that say which item."""

from __future__ import annotations

import collections.abc
import dataclasses
import tracemalloc
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from flytepath.errors import AmbiguousUnionError, DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER, LiteralType
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec
from flytepath.types.files import FlyteFile
from flytepath.types.iterators import FlyteIterator
from flytepath.types.json_values import JSON


@dataclasses.dataclass
class Point:
    x: int
    y: float | None = None


def count_to(n: int) -> Iterator[int]:
    yield from range(n)


@pytest.mark.parametrize("t", [Iterator[int], Iterable[int], Generator[int, None, None], FlyteIterator[int]])
@pytest.mark.parametrize("make", [count_to, range, lambda n: list(range(n)), lambda n: iter(range(n))])
def test_any_row_of_items_comes_back_as_an_iterator(round_trip, t, make):
    for read in (round_trip(t, make(5)), codec(t).isolate(make(5))):
        assert type(read) is FlyteIterator
        assert isinstance(read, collections.abc.Iterator)
        assert len(read) == 5
        assert list(read) == list(read) == [0, 1, 2, 3, 4]
        assert [next(read), next(read)] == [0, 1]
        assert list(read) == [0, 1, 2, 3, 4]
        assert next(read) == 2
        list(zip(read, read, strict=True))


def test_an_iterator_can_be_empty_and_ends(round_trip):
    empty = round_trip(Iterator[str], iter(()))
    assert (len(empty), list(empty)) == (0, [])
    with pytest.raises(StopIteration):
        next(empty)


def test_items_of_any_type_come_back_exactly(round_trip):
    points = [Point(1, 2.0), Point(2**70), Point(-1, float("inf"))]
    assert list(round_trip(Iterator[Point], iter(points))) == points
    rows = [[1, None], [], [None]]
    assert list(round_trip(Iterator[list[int | None]], iter(rows))) == rows
    values = [1, 1.0, "a\nb", None, {"x": [True, {}]}, []]
    back = list(round_trip(Iterator[JSON], iter(values)))
    assert back == values
    assert list(map(type, back)) == list(map(type, values))


@hypothesis.given(st.lists(st.one_of(st.text(), st.integers(), st.none()), max_size=20))
@hypothesis.settings(deadline=None, max_examples=50)
def test_items_come_back_in_order(items):
    blobs = MemoryBlobs()
    t = Iterator[str | int | None]
    assert list(codec(t).decode(codec(t).encode(iter(items), blobs), blobs)) == items


def test_items_may_be_files(blobs, tmp_path):
    def files() -> Iterator[FlyteFile]:
        for name in "ab":
            (tmp_path / "same").write_text(name)
            yield FlyteFile(tmp_path / "same")

    literal = codec(Iterator[FlyteFile]).encode(files(), blobs)
    back = codec(Iterator[FlyteFile]).decode(literal, blobs)
    assert [Path(file).read_text() for file in back] == ["a", "b"]
    other = MemoryBlobs()
    assert codec(Iterator[FlyteFile]).encode(back, other).digest == literal.digest
    assert [Path(file).read_text() for file in codec(Iterator[FlyteFile]).decode(literal, other)] == ["a", "b"]
    assert [Path(file).read_text() for file in codec(Iterator[FlyteFile]).isolate(files())] == ["a", "b"]


def test_equal_items_have_equal_digests_and_are_lines_of_json(blobs):
    first, second = (codec(Iterator[int]).encode(make(3), blobs) for make in (count_to, range))
    assert first == second
    assert codec(Iterator[int]).encode(range(4), blobs).digest != first.digest
    assert blobs.get(first.ref) == b"0\n1\n2\n"
    assert str(codec(Iterator[int]).literal_type) == "iterator[integer, jsonl]"


def test_an_iterator_passed_on_is_not_written_again(blobs):
    literal = codec(Iterator[int]).encode(range(3), blobs)
    back = codec(Iterator[int]).decode(literal, blobs)
    before = dict(blobs.contents)
    assert codec(Iterator[int]).encode(back, blobs) == literal
    assert blobs.contents == before
    assert list(codec(Iterator[int]).isolate(back)) == [0, 1, 2]
    assert list(codec(Iterable[float | int]).isolate(back)) == [0, 1, 2]


def test_memory_does_not_grow_with_the_number_of_items(tmp_path):
    from flytepath.store.blobs import BlobFolder

    store, text = BlobFolder(tmp_path, "p", "d"), "x" * 1000
    t = Iterator[str]
    codec(t).encode(iter([text]), store)
    tracemalloc.start()
    try:
        literal = codec(t).encode((text for _ in range(20_000)), store)
        total = sum(len(item) for item in codec(t).decode(literal, store))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 20_000_000
    assert peak < 8_000_000


def test_a_wrong_item_is_named_by_its_index(blobs):
    for use in (lambda value: codec(Iterator[int]).encode(value, blobs), codec(Iterator[int]).isolate):
        with pytest.raises(TypeTransformerFailedError) as caught:
            use(iter([1, "2"]))
        assert caught.value.place == "[1]"
    with pytest.raises(TypeTransformerFailedError) as caught:
        codec(Iterator[list[int]]).isolate(iter([[1], [1, 2.0]]))
    assert caught.value.place == "[1][1]"
    assert not blobs.contents


def test_an_error_of_the_generator_is_the_users_own_and_says_how_far_it_came():
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no third")

    with pytest.raises(LookupError, match="no third") as caught:
        codec(Iterator[int]).isolate(failing())
    assert "after 2 items" in caught.value.__notes__[0]
    assert "failing" in caught.value.__notes__[0]


@pytest.mark.parametrize("wrong", ["abc", b"abc", {"a": 1}, {1, 2}, frozenset(), 3, None])
@pytest.mark.parametrize("t", [Iterator[str], Iterable[str]])
def test_what_is_no_row_of_items_is_refused(t, wrong):
    with pytest.raises(TypeTransformerFailedError, match="expected"):
        codec(t).isolate(wrong)
    with pytest.raises(TypeTransformerFailedError, match="expected"):
        codec(t).encode(wrong, MemoryBlobs())


def test_an_async_generator_is_refused_with_a_hint():
    async def numbers() -> Any:
        yield 1

    with pytest.raises(TypeTransformerFailedError, match="expected"):
        codec(Iterator[int]).isolate(numbers())


def test_types_that_say_too_little_or_too_much_are_errors():
    for bare in (Iterator, Iterable, FlyteIterator):
        with pytest.raises(DefinitionError):
            codec(bare)
    with pytest.raises(AmbiguousUnionError):
        codec(Iterable[int] | list[int])
    assert codec(Iterator[int] | list[int]).isolate([1]) == [1]


def test_a_damaged_line_is_named(blobs):
    ref = blobs.put(b"1\n{\n")
    literal = Literal.make(LiteralType("iterator", (INTEGER,), format="jsonl"), {"count": 2}, format="jsonl", ref=ref)
    back = codec(Iterator[int]).decode(literal, blobs)
    assert next(back) == 1
    with pytest.raises(TypeTransformerFailedError) as caught:
        next(back)
    assert caught.value.place == "[1]"


def test_items_of_another_type_are_refused(blobs):
    literal = codec(Iterator[int]).encode(range(3), blobs)
    with pytest.raises(TypeTransformerFailedError, match="another type"):
        codec(Iterator[str]).decode(literal, blobs)


def test_iterators_nest_in_containers(round_trip):
    back = round_trip(dict[str, Iterator[int] | None], {"a": count_to(2), "b": None})
    assert list(back["a"]) == [0, 1]
    assert back["b"] is None


def test_people_see_the_number_of_items():
    assert codec(Iterator[int]).summary(codec(Iterator[int]).isolate(range(3))) == {
        "type": "iterator",
        "items": "integer",
        "size": 3,
    }
