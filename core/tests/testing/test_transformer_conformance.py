"""The transformer kit passes what is right and fails exactly the check that a broken transformer breaks."""

from __future__ import annotations

import itertools
import pickle
from types import MappingProxyType
from typing import Any

import pytest
from flytepath.errors import TypeTransformerFailedError
from flytepath.plugin import Literal, LiteralType, TypeTransformer
from flytepath.testing import ConformanceError, TransformerConformance
from hypothesis import strategies

_clock = itertools.count()


class Bag:
    """A value with something mutable inside."""

    def __init__(self, items: list[str]) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bag) and other.items == self.items

    def __repr__(self) -> str:
        return f"Bag({self.items})"

    __hash__ = None


class BagTransformer(TypeTransformer[Bag]):
    format = "bag"
    format_version = 2

    def literal_type(self, t):
        return LiteralType("opaque", name="Bag", format="bag")

    def encode(self, value, t, sink):
        if type(value) is not Bag:
            raise TypeTransformerFailedError("not a bag", expected="Bag", actual=type(value).__name__)
        ref = sink.put("\n".join(value.items).encode())
        return Literal.make(self.literal_type(t), {"n": len(value.items)}, format="bag", version=2, ref=ref)

    def decode(self, literal, t, source):
        text = source.get(literal.ref).decode()
        return Bag(text.split("\n") if literal.data["n"] else [])

    def summary(self, value):
        return {"items": list(value.items)}


class Conforming(TransformerConformance):
    transformer = BagTransformer
    python_type = Bag
    in_engine = False

    def values(self):
        return [Bag([]), Bag(["a"]), Bag(["b", "a"])]

    def invalid_values(self):
        return [None, ["a"]]

    def hostile_values(self):
        return [Bag(["<script>alert(1)</script>"])]

    def mutate(self, value):
        value.items.append("changed")


class TestTheKitPasses(Conforming):
    """The class as an author would write it: pytest collects and passes every check."""

    def strategy(self):
        return strategies.lists(strategies.text("abc", min_size=1)).map(Bag)


class Lossy(BagTransformer):
    def decode(self, literal, t, source):
        return Bag(sorted(super().decode(literal, t, source).items))


class OtherFormat(BagTransformer):
    format_version = 3


class OtherType(BagTransformer):
    def encode(self, value, t, sink):
        literal = super().encode(value, t, sink)
        return Literal.make(LiteralType("file"), literal.data, format="bag", version=2, ref=literal.ref)


class TupleData(BagTransformer):
    def encode(self, value, t, sink):
        literal = super().encode(value, t, sink)
        data = {"n": len(value.items), "extra": (1, 2)}
        return Literal.make(literal.type, data, format="bag", version=2, ref=literal.ref)


class Ticking(BagTransformer):
    def encode(self, value, t, sink):
        literal = super().encode(value, t, sink)
        data = {"n": len(value.items), "at": next(_clock)}
        return Literal.make(literal.type, data, format="bag", version=2, ref=literal.ref)


class HashOrdered(BagTransformer):
    def digest(self, value):
        return f"{hash(tuple(value.items))}"


class OneDigest(BagTransformer):
    def digest(self, value):
        return "sha256:same"


class Consuming(BagTransformer):
    def summary(self, value):
        value.items.sort()


class Sharing(BagTransformer):
    def isolate(self, value, t):
        return Bag(value.items)


class Forgetting(BagTransformer):
    def isolate(self, value, t):
        return Bag([])


class Crashing(BagTransformer):
    def encode(self, value, t, sink):
        value.items
        return super().encode(value, t, sink)


class Tolerant(BagTransformer):
    def encode(self, value, t, sink):
        return super().encode(value if isinstance(value, Bag) else Bag([]), t, sink)


class Escaping(BagTransformer):
    def summary(self, value):
        import html

        return {"items": [html.escape(item) for item in value.items]}


class ObjectSummary(BagTransformer):
    def summary(self, value):
        return {"bag": value}


class Pickling(BagTransformer):
    def encode(self, value, t, sink):
        literal = super().encode(value, t, sink)
        return Literal.make(
            literal.type, literal.data, format="bag", version=2, ref=sink.put(pickle.dumps(value.items))
        )

    def decode(self, literal, t, source):
        return Bag(pickle.loads(source.get(literal.ref)))


class Announced(Pickling):
    format = "pickle"

    def literal_type(self, t):
        return LiteralType("opaque", name="Bag", format="pickle")

    def encode(self, value, t, sink):
        literal = super().encode(value, t, sink)
        return Literal.make(literal.type, literal.data, format="pickle", version=2, ref=literal.ref)


class KitForHashOrdered(Conforming):
    transformer = HashOrdered


@pytest.mark.parametrize(
    ("broken", "check", "said"),
    [
        (Lossy, "test_values_come_back_exactly", "Bag(['b', 'a'])"),
        (OtherFormat, "test_the_literal_says_its_format", "version 3"),
        (OtherType, "test_the_literal_says_its_format", "file"),
        (TupleData, "test_the_literal_is_json", "tuple"),
        (Ticking, "test_equal_values_have_equal_digests", "clocks"),
        (OneDigest, "test_equal_values_have_equal_digests", "one digest"),
        (Consuming, "test_encoding_leaves_the_value_alone", "work on a copy"),
        (Sharing, "test_isolate_shares_nothing_mutable", "list at .items"),
        (Forgetting, "test_isolate_shares_nothing_mutable", "another value"),
        (Crashing, "test_invalid_values_are_refused", "AttributeError"),
        (Tolerant, "test_invalid_values_are_refused", "without an error"),
        (Escaping, "test_summary_is_plain_data", "escapes text"),
        (ObjectSummary, "test_summary_is_plain_data", "['bag'] is a Bag"),
        (Pickling, "test_nothing_is_pickled_unless_declared", "a pickle of protocol"),
    ],
)
def test_a_broken_transformer_fails_the_check_that_it_breaks(broken, check, said):
    class Checks(Conforming):
        transformer = broken

    with pytest.raises(ConformanceError) as caught:
        getattr(Checks(), check)()
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_digest_in_hash_order_is_found_out():
    with pytest.raises(ConformanceError, match="differs from process to process"):
        KitForHashOrdered().test_digests_are_the_same_in_every_process()


def test_a_pickle_that_is_declared_is_allowed():
    class Checks(Conforming):
        transformer = Announced

    Checks().test_nothing_is_pickled_unless_declared()


def test_a_deck_that_lets_markup_through_is_refused():
    class Careless:
        def to_html(self, value):
            return "".join(value.items)

    class Checks(Conforming):
        deck_renderer = Careless

    with pytest.raises(ConformanceError, match="as HTML"):
        Checks().test_summary_is_plain_data()


def test_a_strategy_finds_what_the_samples_do_not():
    class Checks(Conforming):
        transformer = Lossy

        def values(self):
            return [Bag(["a"])]

        def strategy(self):
            return strategies.lists(strategies.sampled_from("ab")).map(Bag)

    with pytest.raises(ConformanceError, match="changes on its way"):
        Checks().test_values_come_back_exactly()


def test_samples_are_asked_for():
    class Checks(Conforming):
        def values(self):
            return []

    with pytest.raises(ConformanceError, match="no samples"):
        Checks().test_values_come_back_exactly()


def test_a_class_that_no_other_process_finds_is_explained():
    class Checks(Conforming):
        pass

    with pytest.raises(ConformanceError, match="cannot be run in another process"):
        Checks().test_digests_are_the_same_in_every_process()


def test_the_engine_must_find_the_transformer_for_nested_types():
    class Checks(Conforming):
        in_engine = True
        python_type = MappingProxyType

    with pytest.warns(UserWarning), pytest.raises(ConformanceError, match="uses another transformer"):
        Checks().test_the_type_engine_nests_the_type()


def test_a_type_that_nobody_declares_is_refused():
    class Checks(Conforming):
        transformer: Any = None

    with pytest.raises(ConformanceError, match="no installed plugin declares"):
        Checks().test_values_come_back_exactly()
