"""A direct call hands over values that share nothing mutable with the giver's."""

from __future__ import annotations

from collections import OrderedDict

from flytepath import task
from flytepath.types.engine import codec
from sample_types import Layer, Model, Options, Pair, Point, Tree


def test_containers_are_rebuilt_at_every_level():
    value = {"a": [[1], [2]]}
    own = codec(dict[str, list[list[int]]]).isolate(value)
    own["a"][0].append(3)
    own["b"] = []
    assert value == {"a": [[1], [2]]}


def test_dataclasses_are_rebuilt_with_what_is_inside():
    value = Model([Layer(1, tags=["x"])])
    own = codec(Model).isolate(value)
    own.layers[0].tags.append("y")
    own.layers[0].units = 2
    own.layers.clear()
    assert value == Model([Layer(1, tags=["x"])])


def test_recursive_values_are_rebuilt():
    value = Tree("a", [Tree("b", [])])
    codec(Tree).isolate(value).children[0].children.append(Tree("c", []))
    assert value == Tree("a", [Tree("b", [])])


def test_sets_and_typed_dicts_are_rebuilt():
    names, options = {"a"}, {"a": 1}
    codec(set[str]).isolate(names).add("b")
    codec(Options).isolate(options)["a"] = 2
    assert (names, options) == ({"a"}, {"a": 1})


def test_mutable_items_of_immutable_containers_are_rebuilt():
    value = ([1], [2])
    codec(tuple[list[int], ...]).isolate(value)[0].append(9)
    codec(tuple[list[int], list[int]]).isolate(value)[1].append(9)
    assert value == ([1], [2])


def test_scalars_and_immutable_records_pass_as_they_are():
    text, point, pair = "x" * 1000, Point(1, 2), Pair(1)
    assert codec(str).isolate(text) is text
    assert codec(Point).isolate(point) is point
    assert codec(Pair).isolate(pair) is pair


def test_decoding_twice_gives_two_values(blobs):
    literal = codec(list[list[int]]).encode([[1]], blobs)
    one, other = (codec(list[list[int]]).decode(literal, blobs) for _ in range(2))
    one[0].append(2)
    one.append([3])
    assert other == [[1]]
    assert codec(list[list[int]]).decode(literal, blobs) == [[1]]


def test_a_literal_does_not_change_with_the_value_it_came_from(blobs):
    value = [1, 2]
    literal = codec(list[int]).encode(value, blobs)
    value.append(3)
    assert literal.data == [1, 2]


def test_an_ordered_dict_is_a_dict_like_any() -> None:
    @task
    def weights() -> dict[str, int]:
        return OrderedDict(b=1, a=2)

    given = weights()
    assert (type(given), list(given.items())) == (dict, [("b", 1), ("a", 2)])
