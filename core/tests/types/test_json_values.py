"""``JSON``, ``FlytePickle`` and ``FlyteError``: values of no declared shape, pickles by name, and failures."""

from __future__ import annotations

import dataclasses
import fractions
import warnings
from collections import OrderedDict
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from flytepath.errors import AmbiguousUnionError, DefinitionError, TypeTransformerFailedError
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import PickleFallbackWarning, codec
from flytepath.types.failures import FlyteError
from flytepath.types.json_values import JSON
from flytepath.types.pickled import FlytePickle

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=15,
)


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right)


@hypothesis.given(json_values)
@hypothesis.settings(deadline=None)
def test_any_json_value_comes_back_exactly(value):
    blobs = MemoryBlobs()
    assert same(codec(JSON).decode(codec(JSON).encode(value, blobs), blobs), value)
    assert same(codec(JSON).isolate(value), value)


def test_a_json_value_is_the_receivers_own():
    value = {"a": [1, {"b": []}]}
    own = codec(JSON).isolate(value)
    own["a"][1]["b"].append(1)
    assert value == {"a": [1, {"b": []}]}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ((1, 2), None),
        ({"a": {1, 2}}, "['a']"),
        ([0, b"x"], "[1]"),
        ({1: 2}, None),
        ([float("nan")], "[0]"),
        ([float("inf")], "[0]"),
        ({"a": [OrderedDict()]}, "['a'][0]"),
        ("\ud800", None),
        ([fractions.Fraction(1, 2)], "[0]"),
    ],
)
def test_what_json_would_change_is_refused(value, place):
    for use in (codec(JSON).isolate, lambda given: codec(JSON).encode(given, MemoryBlobs())):
        with pytest.raises(TypeTransformerFailedError) as caught:
            use(value)
        assert caught.value.place == place


def test_a_value_that_contains_itself_is_refused():
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeTransformerFailedError):
        codec(JSON).encode(value, MemoryBlobs())


@dataclasses.dataclass
class Config:
    name: str
    extra: dict[str, JSON]
    more: JSON | None = None


def test_json_nests_in_other_types(round_trip):
    config = Config("a", {"x": [1, {"y": None}], "z": 2.0}, {"deep": [True]})
    assert round_trip(Config, config) == config
    assert round_trip(Config, Config("a", {})) == Config("a", {})
    assert str(codec(JSON).literal_type) == "any"
    with pytest.raises(AmbiguousUnionError):
        codec(JSON | int)
    with pytest.raises(TypeError):
        JSON()


# --- pickles -----------------------------------------------------------------------------------------------------


class Anything:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.fixture
def announced(monkeypatch):
    from flytepath.types import engine

    monkeypatch.setattr(engine, "_announced", set())
    monkeypatch.setattr(engine, "_codecs", dict(engine._codecs))


def test_a_pickle_that_was_asked_for_is_announced_and_comes_back(announced, round_trip):
    with pytest.warns(PickleFallbackWarning):
        found = codec(FlytePickle[Anything])
    assert found.pickled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PickleFallbackWarning)
        assert round_trip(FlytePickle[Anything], Anything(3)).number == 3
        assert round_trip(list[FlytePickle[dict[str, int]]], [{"a": 1}]) == [{"a": 1}]
        assert round_trip(FlytePickle, lambda: 4)() == 4
        assert codec(FlytePickle).isolate({1, 2}) == {1, 2}
        with pytest.raises(TypeTransformerFailedError):
            codec(FlytePickle[Anything]).isolate(3)


def test_pickle_can_be_forbidden(announced, monkeypatch):
    from flytepath import config

    monkeypatch.setattr(config, "pickle_forbidden_by", lambda: "the test")
    with pytest.raises(DefinitionError, match="allow_pickle"):
        codec(FlytePickle[Anything])


def test_flytepickle_is_an_annotation_of_a_class():
    assert FlytePickle[Anything] is FlytePickle[Anything]
    assert FlytePickle[Anything].python_type() is Anything
    assert FlytePickle[Any] is FlytePickle
    with pytest.raises(DefinitionError):
        FlytePickle["Anything"]
    with pytest.raises(TypeError):
        FlytePickle(3)


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_failure_is_a_plain_value(round_trip):
    error = FlyteError(message="no such table", failed_node_id="n3")
    assert round_trip(FlyteError | None, error) == error
    assert dataclasses.asdict(error) == {"message": "no such table", "failed_node_id": "n3"}
