"""Pydantic models come back as the same model, validated, without a change by their own validators."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import pydantic
import pytest
from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.types.engine import codec
from flytepath.types.text import parse_text


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


def test_an_ambiguous_field_is_refused_at_definition():
    with pytest.raises(DefinitionError, match="ambiguous") as caught:
        codec(Lists)
    assert caught.value.place == ".inner"


def test_a_model_is_read_from_text():
    assert parse_text(Inner, '{"rate": 1, "when": "2020-01-01"}') == Inner(rate=1.0, when=dt.date(2020, 1, 1))
