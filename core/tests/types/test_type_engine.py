"""A user's own type: a transformer registered where its class is defined, and no other way for it to be decided."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Generic, TypeVar

import pytest
from flytepath.errors import DefinitionError, LiteralError, PluginConflictError, TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin import TypeTransformer
from flytepath.types import lookup
from flytepath.types.engine import codec
from flytepath.types.type_engine import TypeEngine

T = TypeVar("T")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """What a test registers, and what is decided meanwhile, is gone after it."""
    monkeypatch.setattr(lookup, "_registered", {})
    monkeypatch.setattr(lookup, "_decided", set())


def weights_and_transformer() -> tuple[Any, Any]:
    """A class and its transformer, new for each test: a converter is built only once per class."""

    class Weights:
        def __init__(self, text: str) -> None:
            self.text = text

    class WeightsTransformer(TypeTransformer[Weights]):
        format = "weights"

        def literal_type(self, t: Any) -> LiteralType:
            return LiteralType("opaque", name="weights", format=self.format)

        def encode(self, value: Any, t: Any, sink: Any) -> Literal:
            return Literal.make(self.literal_type(t), {"text": value.text}, format=self.format)

        def decode(self, literal: Literal, t: Any, source: Any) -> Any:
            return t(literal.data["text"])

    return Weights, WeightsTransformer


def test_values_of_a_registered_class_go_through_its_transformer(blobs):
    weights, transformer = weights_and_transformer()
    own = transformer()
    TypeEngine.register(own)
    assert TypeEngine.get_transformer(weights) is own
    assert TypeEngine.to_literal_type(list[weights]).items[0].format == "weights"
    literal = TypeEngine.to_literal(weights("x"), weights)
    assert (literal.format, literal.data) == ("weights", {"text": "x"})
    assert TypeEngine.to_python_value(literal, weights).text == "x"
    many = codec(dict[str, weights]).encode({"a": weights("y")}, blobs)
    assert codec(dict[str, weights]).decode(many, blobs)["a"].text == "y"
    with pytest.raises(TypeTransformerFailedError):
        TypeEngine.to_literal("x", weights)


def test_more_classes_can_be_named():
    weights, transformer = weights_and_transformer()

    @dataclasses.dataclass
    class Other:
        text: str

    TypeEngine.register(transformer(), additional_types=[Other])
    assert str(TypeEngine.to_literal_type(Other).format) == str(TypeEngine.to_literal_type(weights).format) == "weights"


def test_a_generic_class_is_registered_once_for_all_its_arguments():
    class Range(Generic[T]):
        pass

    class RangeTransformer(weights_and_transformer()[1], TypeTransformer[Range[Any]]):  # type: ignore[misc]
        pass

    own = RangeTransformer()
    TypeEngine.register(own, [Range])
    assert TypeEngine.get_transformer(Range[int]) is own
    assert TypeEngine.to_literal_type(Annotated[Range[str], "x"]).format == "weights"


def test_registering_the_same_transformer_again_changes_nothing():
    weights, transformer = weights_and_transformer()
    TypeEngine.register(transformer())
    codec(weights)
    TypeEngine.register(transformer())
    assert TypeEngine.to_literal_type(weights).format == "weights"


def test_two_transformers_for_one_class_are_a_conflict():
    _, transformer = weights_and_transformer()
    TypeEngine.register(transformer())

    class Rival(transformer):
        pass

    with pytest.raises(PluginConflictError, match="has a transformer already") as caught:
        TypeEngine.register(Rival())
    assert "WeightsTransformer" in (caught.value.actual or "")
    assert "Rival" in (caught.value.place or "")


def test_a_transformer_that_comes_after_its_class_was_used_is_refused(recwarn):
    weights, transformer = weights_and_transformer()
    codec(list[weights])
    with pytest.raises(DefinitionError, match="after the class was used"):
        TypeEngine.register(transformer())


@pytest.mark.parametrize("cls", [int, str, list, dict])
def test_what_flytepath_keeps_itself_cannot_be_registered(cls):
    with pytest.raises(DefinitionError, match="flytepath itself"):
        TypeEngine.register(weights_and_transformer()[1](), [cls])


def test_what_is_no_transformer_or_names_no_class_is_refused():
    _, transformer = weights_and_transformer()
    with pytest.raises(DefinitionError, match="only a TypeTransformer") as caught:
        TypeEngine.register(transformer)
    assert "instance" in (caught.value.hint or "")
    with pytest.raises(DefinitionError, match="only a TypeTransformer"):
        TypeEngine.register(3)  # type: ignore[arg-type]

    class Nameless(TypeTransformer):  # type: ignore[type-arg]
        format = "nameless"
        literal_type = encode = decode = transformer.literal_type

    with pytest.raises(DefinitionError, match="names no class"):
        TypeEngine.register(Nameless())


def test_built_in_types_have_their_transformers():
    assert TypeEngine.get_transformer(int) is not None
    assert TypeEngine.get_transformer(list[int]) is not None
    assert TypeEngine.get_transformer(int | str) is None


def test_a_value_that_needs_a_blob_needs_a_place_for_it(blobs):
    text = "x" * 100_000
    with pytest.raises(LiteralError, match="no place"):
        TypeEngine.to_literal(text, str)
    literal = TypeEngine.to_literal(text, str, blobs)
    with pytest.raises(LiteralError, match="no place"):
        TypeEngine.to_python_value(literal, str)
    assert TypeEngine.to_python_value(literal, str, blobs) == text
