"""Pydantic models come back as the same model, validated, without a change by their own validators."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Generic, Optional, TypeVar

import pydantic
import pytest
from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.types.engine import codec
from flytepath.types.text import parse_text

T = TypeVar("T")


class Inner(pydantic.BaseModel):
    rate: Annotated[float, pydantic.Field(gt=0)]
    when: dt.date | None = None


class Outer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=False)

    name: str = pydantic.Field(alias="theName")
    inners: list[Inner] = []
    shout: str = "a"

    @pydantic.field_validator("shout")
    @classmethod
    def louder(cls, value: str) -> str:
        return value + "!"


class Lists(pydantic.BaseModel):
    inner: list[int] | list[str]


class Csv(pydantic.BaseModel):
    """Raw input is text, and the value a list: the validator would not take what it made."""

    numbers: list[int]

    @pydantic.field_validator("numbers", mode="before")
    @classmethod
    def split(cls, value: str) -> list[int]:
        return [int(part) for part in value.split(",")]


class Ordered(pydantic.BaseModel):
    low: int
    high: int

    @pydantic.model_validator(mode="after")
    def in_order(self) -> Ordered:
        if self.low > self.high:
            raise ValueError("low is over high")
        return self


class Positive(pydantic.BaseModel):
    numbers: list[Annotated[int, pydantic.Field(gt=0)]]


class Finishing(pydantic.BaseModel):
    """What it computes when it is made is a field, an attribute of its own, and none at all."""

    a: int
    _seen: list[int] = pydantic.PrivateAttr(default_factory=list)

    def model_post_init(self, context: object) -> None:
        self.a *= 2
        self._seen.append(self.a)


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Held(pydantic.BaseModel, Generic[T]):
    item: T
    parent: Held[T] | None = None


class Wide(Inner):
    more: int = 0


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = 1


class Tree(pydantic.BaseModel):
    children: list[Tree] = []


def test_a_model_comes_back_equal(round_trip):
    value = Outer(theName="x", inners=[Inner(rate=0.5, when=dt.date(2020, 1, 1))], shout="b")
    back = round_trip(Outer, value)
    assert back == value
    assert (type(back), back.shout, type(back.inners[0])) == (Outer, "b!", Inner)


def test_recursive_models_come_back_equal(round_trip):
    value = Tree(children=[Tree(), Tree(children=[Tree()])])
    assert round_trip(Tree, value) == value


def test_a_copy_shares_nothing_mutable():
    value = Outer(theName="x", inners=[Inner(rate=0.5)])
    own = codec(Outer).isolate(value)
    assert own == value
    own.inners[0].rate = 2.0
    own.inners.clear()
    assert value.inners[0].rate == 0.5


def test_a_model_that_became_invalid_is_refused_at_its_place(blobs):
    value = Outer(theName="x", inners=[Inner(rate=0.5)])
    value.inners[0].rate = -1.0
    for refuse in (codec(Outer).isolate, lambda value: codec(Outer).encode(value, blobs)):
        with pytest.raises(TypeTransformerFailedError, match="greater than 0") as caught:
            refuse(value)
        assert caught.value.place == ".inners[0].rate"


def test_a_field_of_another_type_is_refused_at_its_place():
    value = Inner(rate=0.5)
    value.rate = 1
    with pytest.raises(TypeTransformerFailedError) as caught:
        codec(list[Inner]).isolate([value])
    assert caught.value.place == "[0].rate"


def test_what_is_no_such_model_is_refused():
    with pytest.raises(TypeTransformerFailedError, match=r"model_validate"):
        codec(Inner).isolate({"rate": 1.0})


def test_fields_that_are_not_declared_are_refused():
    with pytest.raises(TypeTransformerFailedError, match="does not declare"):
        codec(Open).isolate(Open(a=1, b=2))


def test_a_validator_of_raw_input_does_not_run_over_its_own_result(round_trip):
    value = Csv(numbers="1,2")
    assert round_trip(Csv, value) == codec(Csv).isolate(value) == value


def test_what_a_model_checks_about_its_fields_together_still_holds(blobs):
    value = Ordered(low=1, high=2)
    value.low = 3
    for refuse in (codec(Ordered).isolate, lambda value: codec(Ordered).encode(value, blobs)):
        with pytest.raises(TypeTransformerFailedError, match="low is over high"):
            refuse(value)


def test_a_constraint_inside_a_container_still_holds():
    value = Positive(numbers=[1])
    value.numbers.append(-1)
    with pytest.raises(TypeTransformerFailedError, match="greater than 0") as caught:
        codec(Positive).isolate(value)
    assert caught.value.place == ".numbers[1]"


def test_what_a_model_does_when_it_is_made_changes_no_field_twice(round_trip):
    value = Finishing(a=1)
    for back in (round_trip(Finishing, value), codec(Finishing).isolate(value)):
        assert back.a == 2
        assert len(back._seen) == 1


def test_a_model_of_one_value_comes_back(round_trip):
    assert round_trip(dict[str, Numbers], {"a": Numbers([1, 2])}) == {"a": Numbers([1, 2])}


def test_a_generic_model_that_contains_itself_comes_back(round_trip):
    value = Held[int](item=1, parent=Held[int](item=2))
    assert round_trip(Held[int], value) == codec(Held[int]).isolate(value) == value


def test_the_name_of_a_generic_model_does_not_depend_on_how_its_argument_is_spelt():
    assert codec(Held[Optional[int]]).literal_type == codec(Held[int | None]).literal_type  # noqa: UP045
    assert codec(Held[int]).literal_type.name == f"{__name__}.Held[int]"


def test_a_copy_remembers_which_fields_were_given():
    assert codec(Tree).isolate(Tree()).model_fields_set == set()
    assert codec(Tree).isolate(Tree(children=[])).model_fields_set == {"children"}


def test_a_model_of_a_subclass_is_refused():
    with pytest.raises(TypeTransformerFailedError, match="Wide") as caught:
        codec(Inner).isolate(Wide(rate=1.0))
    assert "would be lost" in (caught.value.hint or "")


def test_a_field_without_a_value_is_refused():
    with pytest.raises(TypeTransformerFailedError, match="has no value") as caught:
        codec(Csv).isolate(Csv.model_construct())
    assert caught.value.place == ".numbers"


def test_an_ambiguous_field_is_refused_at_definition():
    with pytest.raises(DefinitionError, match="ambiguous") as caught:
        codec(Lists)
    assert caught.value.place == ".inner"


def test_a_model_is_read_from_text():
    assert parse_text(Inner, '{"rate": 1, "when": "2020-01-01"}') == Inner(rate=1.0, when=dt.date(2020, 1, 1))
