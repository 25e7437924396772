"""Placeholders in parameters: data goes in, and nothing but data."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Any

import pytest
from flyte_plugin_sagemaker.parameter_errors import ParameterValueError
from flyte_plugin_sagemaker.placeholders import check_template, content_token, fill, needs_token, places
from flyte_plugin_sagemaker.plain_values import literal_value, plain_value
from flytepath import StructuredDataset, TypeEngine
from flytepath.plugin import DefinitionError, Literal, LiteralType
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_a_text_that_is_a_placeholder_becomes_the_value_itself(value: Any) -> None:
    filled = fill({"P": ["{inputs.x}"]}, inputs={"x": value}, images={})
    assert filled == {"P": [value]}
    assert type(filled["P"][0]) is type(value)


@given(value=st.text())
def test_a_value_is_never_looked_at_again(value: str) -> None:
    inputs = {"x": value, "y": "{inputs.z}", "z": "secret"}
    assert fill("a {inputs.x} b {inputs.y}", inputs=inputs, images={}) == f"a {value} b {{inputs.z}}"


@given(text=st.text())
def test_text_without_a_placeholder_stays_as_it_is(text: str) -> None:
    if not list(places(text)) and "{{" not in text:
        assert fill(text, inputs={}, images={}) == text


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', "{}", "{0}", "{inputs}", "{other.x}", "{{", "${inputs}", "{inputs.x!r}", "{inputs.x:>10}", "{a.b}"],
)
def test_what_is_no_placeholder_is_left_alone_or_refused(text: str) -> None:
    try:
        check_template(text, {"x": int}, {}, "config")
    except DefinitionError as error:
        assert "looks like a placeholder" in error.message
        assert text in ("{inputs.x!r}", "{inputs.x:>10}")
    else:
        assert fill(text, inputs={"x": 1}, images={}) == text


@pytest.mark.parametrize("path", ["__class__", "x.__class__", "x.real", "who.__dict__", "items.append", "items.9"])
def test_no_attribute_can_be_reached(path: str) -> None:
    @dataclass
    class Who:
        name: str = "Ada"

    with pytest.raises((ParameterValueError, DefinitionError, KeyError)) as refused:
        check_template(f"{{inputs.{path}}}", {"x": int, "who": Who, "items": list}, {}, "config")
        fill(f"{{inputs.{path}}}", inputs={"x": 1, "who": {"name": "Ada"}, "items": [1]}, images={})
    assert not isinstance(refused.value, KeyError)


def test_keys_and_indices_lead_into_a_value() -> None:
    inputs = {"job": {"Output": {"Uri": "s3://b/k"}, "Steps": [{"n": 1}, {"n": 2}]}}
    template = {"Data": "{inputs.job.Output.Uri}", "Second": "{inputs.job.Steps.1.n}", "{inputs.job.Steps.0.n}x": 0}
    assert fill(template, inputs=inputs, images={}) == {"Data": "s3://b/k", "Second": 2, "1x": 0}


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, b"raw"])
def test_what_has_no_text_cannot_stand_inside_one(value: Any) -> None:
    with pytest.raises(ParameterValueError) as refused:
        fill({"Name": "a-{inputs.x}"}, inputs={"x": value}, images={})
    assert refused.value.place == "config['Name']"
    assert "{inputs.x} cannot stand inside a text" in refused.value.message


def test_numbers_and_booleans_have_a_text() -> None:
    inputs = {"n": 3, "f": 0.5, "yes": True}
    assert fill("{inputs.n} {inputs.f} {inputs.yes}", inputs=inputs, images={}) == "3 0.5 true"


@pytest.mark.parametrize(
    ("template", "place", "words"),
    [
        ({"A": ["{inputs.y}"]}, "t['A'][0]", "{inputs.y} names no input"),
        ({"A": "{images.y}"}, "t['A']", "{images.y} names no image"),
        ({"A": "{input.x}"}, "t['A']", "looks like a placeholder"),
        ({"A": "{ inputs.x }"}, "t['A']", "looks like a placeholder"),
        ({"A": "{inputs[x]}"}, "t['A']", "looks like a placeholder"),
        ({"A": object()}, "t['A']", "no parameter"),
        ({"A": float("nan")}, "t['A']", "no parameter"),
        ({1: "x"}, "t", "names of parameters"),
    ],
)
def test_a_mistake_is_told_at_definition(template: Any, place: str, words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        check_template(template, {"x": int}, {}, "t")
    assert (refused.value.place, words in refused.value.message) == (place, True)


def test_two_braces_write_one() -> None:
    check_template("{{inputs.unknown}}", {}, {}, "t")
    assert fill("{{inputs.unknown}} {{idempotence_token}}", inputs={}, images={}) == (
        "{inputs.unknown} {idempotence_token}"
    )


def test_the_token_is_that_of_the_content() -> None:
    template = {"Name": "m-{idempotence_token}", "Url": "{inputs.url}"}
    assert needs_token(template)

    def token(url: str, salt: str = "a") -> str:
        return content_token(template, inputs={"url": url}, images={}, salt=salt)

    assert token("s3://a") == token("s3://a") != token("s3://b")
    assert token("s3://a") != token("s3://a", "b")
    assert len(token("s3://a")) == 16
    assert fill(template, inputs={"url": "u"}, images={}, token="t0")["Name"] == "m-t0"


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Shape:
    sides: int
    colour: Colour


@pytest.mark.parametrize(
    ("value", "kind", "plain"),
    [
        (3, int, 3),
        (2**60, int, 2**60),
        (0.5, float, 0.5),
        ("é", str, "é"),
        (True, bool, True),
        (None, str | None, None),
        ("x", str | None, "x"),
        ([1, 2], list[int], [1, 2]),
        ({"a": [1.5]}, dict[str, list[float]], {"a": [1.5]}),
        (b"\x00\xff", bytes, b"\x00\xff"),
        (dt.date(2026, 1, 2), dt.date, "2026-01-02"),
        (dt.timedelta(seconds=1.5), dt.timedelta, 1.5),
        (Colour.RED, Colour, "red"),
        (Shape(3, Colour.RED), Shape, {"sides": 3, "colour": "red"}),
        ({"free": [None, 1]}, dict, {"free": [None, 1]}),
    ],
)
def test_a_value_and_its_literal_are_the_same_data(value: Any, kind: Any, plain: Any) -> None:
    literal = TypeEngine.to_literal(value, kind)
    assert plain_value(value, "x") == plain == literal_value(literal, "x")


def test_a_table_is_where_it_lies() -> None:
    assert plain_value(StructuredDataset(uri="s3://bucket/table"), "x") == "s3://bucket/table"
    with pytest.raises(ParameterValueError, match="lies nowhere"):
        plain_value(StructuredDataset(dataframe=object()), "x")


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(ParameterValueError) as refused:
        plain_value({"a": object()}, "task(x)")
    assert refused.value.place == "task(x)['a']"
    with pytest.raises(ParameterValueError, match="no data"):
        literal_value(Literal.make(LiteralType("opaque", name="x.Y"), None, format="y"), "x")


def test_keys_that_would_be_one_name_are_refused() -> None:
    value = {1: "a", "1": "b"}
    literal = TypeEngine.to_literal(value, dict[int | str, str])
    for told in (lambda: plain_value(value, "task(x)"), lambda: literal_value(literal, "task(x)")):
        with pytest.raises(ParameterValueError, match="both '1'") as refused:
            told()
        assert refused.value.place == "task(x)"
