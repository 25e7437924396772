"""A HashMethod says what stands for a value in cache keys; the value and its digest stay what they are."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import Literal, cast
from flytepath.types.engine import codec
from flytepath.types.hashing import HashMethod

BY_LENGTH = HashMethod(lambda value: str(len(value)))
Sized = Annotated[str, BY_LENGTH]


def test_a_hash_travels_beside_the_digest(blobs):
    literal = codec(Sized).encode("abc", blobs)
    assert literal.hash == "3"
    assert literal.digest == codec(str).encode("abc", blobs).digest
    assert Literal.from_json(json.loads(json.dumps(literal.to_json()))) == literal
    assert codec(str).decode(literal, blobs) == "abc"


def test_a_literal_without_a_hash_is_written_as_ever(blobs):
    literal = codec(str).encode("abc", blobs)
    assert literal.hash is None
    assert "hash" not in literal.to_json()


def test_a_hash_survives_a_cast_and_an_offload(blobs):
    literal = codec(Sized).encode("x" * 100_000, blobs)
    assert literal.is_offloaded
    assert literal.hash == "100000"
    short = codec(Sized).encode("abc", blobs)
    assert cast(short, codec(str | None).literal_type).hash == "3"


def test_the_items_of_lists_and_dicts_are_hashed_by_their_own_method(blobs):
    def hash_of(t, value):
        return codec(t).encode(value, blobs).hash

    assert hash_of(list[Sized], ["a", "bb"]) == hash_of(list[Sized], ["b", "cc"])
    assert hash_of(list[Sized], ["a", "bb"]) != hash_of(list[Sized], ["aa", "b"])
    assert hash_of(dict[str, list[Sized]], {"k": ["a"], "l": []}) == hash_of(
        dict[str, list[Sized]], {"l": [], "k": ["b"]}
    )
    assert hash_of(dict[str, Sized], {"k": "a"}) != hash_of(dict[str, Sized], {"l": "a"})
    assert hash_of(list[str], ["a"]) is None


def test_other_markers_make_no_hash(blobs):
    assert codec(Annotated[str, "note"]).encode("abc", blobs).hash is None
    assert codec(Annotated[Sized, "note"]).encode("abc", blobs).hash == "3"


def test_a_method_that_returns_no_string_is_refused_at_its_place(blobs):
    wrong = HashMethod(len)
    with pytest.raises(TypeTransformerFailedError, match="must return a string"):
        wrong.calculate("abc")
    with pytest.raises(TypeTransformerFailedError) as caught:
        codec(dict[str, list[Annotated[str, wrong]]]).encode({"a": ["abc"]}, blobs)
    assert caught.value.place == "['a'][0]"


def test_what_is_no_function_or_two_methods_for_one_value_are_refused():
    with pytest.raises(DefinitionError, match="needs a function"):
        HashMethod("sha256")
    with pytest.raises(DefinitionError, match="more than one"):
        codec(Annotated[str, BY_LENGTH, HashMethod(str.upper)])


def test_a_value_that_is_refused_is_not_hashed(blobs):
    def never(value):
        raise AssertionError("hashed")

    with pytest.raises(TypeTransformerFailedError, match="expected str"):
        codec(Annotated[str, HashMethod(never)]).encode(1, blobs)
