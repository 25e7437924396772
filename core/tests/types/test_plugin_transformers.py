"""Types that plugins declare: found by qualified name, alone and in containers, through blobs or in place."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Generic, TypeVar

import pytest
from flytepath.errors import PluginError, TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import STRING, LiteralType
from flytepath.plugin import Converter, TypeTransformer, manager
from flytepath.types import lookup
from flytepath.types.engine import codec

T = TypeVar("T")


class Weights:
    def __init__(self, content: bytes) -> None:
        self.content = content


class Fine(Weights):
    pass


class Version:
    def __init__(self, text: str) -> None:
        self.text = text


class WeightsTransformer(TypeTransformer[Weights]):
    format = "weights"

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("opaque", name="weights.Weights", format=self.format)

    def encode(self, value: Weights, t: Any, sink: Any) -> Literal:
        return Literal.make(self.literal_type(t), None, format=self.format, ref=sink.put(value.content))

    def decode(self, literal: Literal, t: Any, source: Any) -> Weights:
        return t(source.get(literal.ref))

    def summary(self, value: Weights) -> Any:
        return {"bytes": len(value.content)}


class VersionConverter(Converter[Version]):
    literal_type = STRING

    def encode(self, value: Version, sink: Any, refs: Any) -> Any:
        return value.text

    def decode(self, data: Any, source: Any, refs: Any) -> Version:
        return Version(data)

    def isolate(self, value: Version) -> Version:
        if type(value) is not Version:
            raise TypeTransformerFailedError("expected Version", expected="Version", actual=type(value).__name__)
        return Version(value.text)


class VersionTransformer(WeightsTransformer):
    format = "json"

    def converter(self, t: Any, resolve: Any) -> Any:
        return VersionConverter()


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    """A plugin manager that knows the transformers of this module."""
    claims = {
        Weights: WeightsTransformer,
        Fine: WeightsTransformer,
        Version: VersionTransformer,
        Range[int]: RangeTransformer,
    }

    class Manager:
        def transformer_for(self, t: type) -> Any:
            found = claims.get(t)
            declaration = types.SimpleNamespace(transformer=f"{__name__}:{found.__name__}") if found else None
            return declaration and types.SimpleNamespace(declaration=declaration)

        def resolve(self, reference: str) -> Any:
            return globals()[reference.partition(":")[2]]

    monkeypatch.setattr(manager, "current", Manager)
    monkeypatch.setattr(lookup, "_instances", dict(lookup._instances))


def test_a_blob_type_comes_back_alone_and_in_containers(round_trip):
    assert round_trip(Weights, Weights(b"w")).content == b"w"
    back = round_trip(dict[str, list[Weights | None]], {"a": [Weights(b"x"), None, Weights(b"y")]})
    assert [item and item.content for item in back["a"]] == [b"x", None, b"y"]
    assert not codec(Weights).pickled


def test_an_embedded_blob_is_taken_out_as_the_literal_it_was(blobs):
    whole = codec(list[Weights]).encode([Weights(b"x"), Weights(b"y")], blobs)
    assert whole.get((1,)) == codec(Weights).encode(Weights(b"y"), blobs)


def test_the_engine_checks_the_class_before_the_plugin_is_asked():
    with pytest.raises(TypeTransformerFailedError) as caught:
        codec(list[Weights]).isolate([b"x"])
    assert caught.value.place == "[0]"


def test_a_type_in_place_comes_back_in_containers_and_unions(round_trip):
    assert round_trip(dict[str, Version], {"a": Version("1")})["a"].text == "1"
    assert round_trip(Version | int | None, Version("2")).text == "2"
    assert codec(Version | int).isolate(3) == 3


def test_alternatives_of_one_family_are_ambiguous():
    with pytest.raises(TypeError, match="ambiguous"):
        codec(Weights | Fine)


def test_the_transformer_says_what_people_see(blobs):
    assert codec(Weights).summary(Weights(b"xyz")) == {"bytes": 3}
    assert codec(list[int]).summary([1, 2]) == {"type": "list", "size": 2}


@dataclasses.dataclass
class Range(Generic[T]):
    low: T


class RangeTransformer(VersionTransformer):
    def converter(self, t: Any, resolve: Any) -> Any:
        return None

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("opaque", name=f"range of {typing.get_args(t)[0].__name__}", format="range")


def test_a_generic_class_is_claimed_by_its_origin_and_comes_before_the_form_it_has():
    assert codec(Range[int]).literal_type.name == "range of int"


def test_a_reference_to_something_else_is_an_error(monkeypatch):
    class NoTransformer:
        pass

    class Other:
        pass

    plugins = manager.current
    monkeypatch.setattr(plugins, "resolve", lambda self, reference: NoTransformer)
    claim = types.SimpleNamespace(declaration=types.SimpleNamespace(transformer="other:Other"))
    monkeypatch.setattr(plugins, "transformer_for", lambda self, t: claim)
    with pytest.raises(PluginError, match="not a TypeTransformer"):
        codec(Other)
