"""Blobs inside of a value are numbered in the order in which one reads it, however it is converted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flytepath.model.literal import Literal, sha256
from flytepath.model.types import LiteralType
from flytepath.plugin import TypeTransformer
from flytepath.types import engine, lookup
from flytepath.types.engine import codec
from flytepath.types.type_engine import TypeEngine


@dataclasses.dataclass(frozen=True, eq=True)
class Page:
    """Its text is kept in a blob."""

    text: str


class PageTransformer(TypeTransformer[Page]):
    format = "page"

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("opaque", name="test.Page", format=self.format)

    def encode(self, value: Page, t: Any, sink: Any) -> Literal:
        return Literal.make(self.literal_type(t), None, format=self.format, ref=sink.put(value.text.encode()))

    def decode(self, literal: Literal, t: Any, source: Any) -> Page:
        return Page(source.get(literal.ref).decode())


@dataclasses.dataclass
class Chapter:
    page: Page
    inner: list[tuple[Chapter, Page]]
    either: list[Chapter | Page | int]
    pairs: list[tuple[Chapter, Chapter]] = dataclasses.field(default_factory=list)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(lookup, "_registered", {})
    monkeypatch.setattr(lookup, "_decided", set())
    monkeypatch.setattr(engine, "_codecs", {})
    TypeEngine.register(PageTransformer())


def chapter(name: str, inner: Any = (), either: Any = (), pairs: Any = ()) -> Chapter:
    return Chapter(Page(name), list(inner), list(either), list(pairs))


A, B, C, D = (Page(name) for name in "abcd")
CASES = [
    (list[Page], [B, A], "ba"),
    (list[tuple[Page, Page]], [(A, B), (C, D)], "abcd"),
    (list[Page | int | None], [B, 1, A, None], "ba"),
    (list[int | Page | list[Page]], [[B, C], A, 1, [D]], "bcad"),
    (list[dict[str, Page]], [{"x": B, "y": A}, {"z": C}], "bac"),
    (list[list[Page]], [[B], [], [A, C]], "bac"),
    (dict[str, tuple[Page, int]], {"x": (B, 1), "y": (A, 2)}, "ba"),
    (
        Chapter,
        chapter("a", [(chapter("b"), C), (chapter("d"), A)], [B, chapter("c"), 1, D]),
        "abcda" + "bcd",
    ),
    (Chapter, chapter("a", pairs=[(chapter("b"), chapter("c")), (chapter("d"), chapter("a"))]), "abcda"),
]


@pytest.mark.parametrize(("t", "value", "order"), CASES, ids=[str(t) for t, _, _ in CASES])
def test_blobs_are_numbered_in_reading_order(t, value, order, blobs):
    literal = codec(t).encode(value, blobs)
    assert [ref.digest for ref in literal.refs] == [sha256(letter.encode()) for letter in order]
    assert codec(t).decode(literal, blobs) == value


@pytest.mark.parametrize("t", [set[Page], frozenset[Page]])
def test_a_set_of_blobs_has_one_order_whatever_order_it_was_filled_in(t, blobs):
    cls = t.__origin__
    pages = [Page(str(number)) for number in range(30)]
    one, other = (codec(t).encode(cls(order), blobs) for order in (pages, pages[::-1]))
    assert one == other
    assert codec(t).decode(one, blobs) == cls(pages)


def test_a_set_inside_of_a_list_counts_on_from_the_blobs_before_it(blobs):
    value = [(A, {B, C}), (D, {A})]
    literal = codec(list[tuple[Page, set[Page]]]).encode(value, blobs)
    assert len(literal.refs) == 5
    assert codec(list[tuple[Page, set[Page]]]).decode(literal, blobs) == value
