"""What people type on the command line, and write into an inputs file, becomes a value of the declared type."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import pathlib
import uuid
import zoneinfo
from typing import Literal

import pytest
from flytepath.errors import InputError
from flytepath.types.text import parse_json, parse_text
from sample_types import Box, Color, Computed, Layer, Level, Model, Node, Options, Pair

TEXTS = [
    (int, "3", 3),
    (int, "-9007199254740993", -9007199254740993),
    (float, "3", 3.0),
    (float, "1e-3", 0.001),
    (bool, "true", True),
    (bool, "False", False),
    (str, "", ""),
    (str, "null", "null"),
    (str, "[1]", "[1]"),
    (type(None), "null", None),
    (bytes, "AGE=", b"\x00a"),
    (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
    (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
    (dt.datetime, "2024-02-29T12:00:00+01:00", dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone(dt.timedelta(hours=1)))),
    (dt.datetime, "2024-02-29", dt.datetime(2024, 2, 29)),
    (dt.time, "12:30", dt.time(12, 30)),
    (dt.timedelta, "90", dt.timedelta(seconds=90)),
    (dt.timedelta, "1:30:00", dt.timedelta(hours=1, minutes=30)),
    (uuid.UUID, "00000000-0000-0000-0000-000000000007", uuid.UUID(int=7)),
    (pathlib.Path, "a/b", pathlib.Path("a/b")),
    (Color, "RED", Color.RED),
    (Color, "1", Color.RED),
    (Color, "blue", Color.BLUE),
    (Level, "HIGH", Level.HIGH),
    (Level, "2", Level.HIGH),
    (Literal["a", "b"], "b", "b"),
    (Literal[1, 2], "2", 2),
    (int | None, "null", None),
    (int | None, "none", None),
    (int | None, "3", 3),
    (str | None, "x", "x"),
    (int | str, "3", 3),
    (int | str, "x", "x"),
    (list[int] | None, "[1]", [1]),
    (list[int], "[1, 2]", [1, 2]),
    (list[float], "[1, 2.5]", [1.0, 2.5]),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (tuple[int, ...], "[1, 2]", (1, 2)),
    (set[int], "[1, 2, 2]", {1, 2}),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (dict[int, str], '{"1": "a"}', {1: "a"}),
    (dict[Color, int], '{"RED": 1}', {Color.RED: 1}),
    (dict[int, str], '[[1, "a"]]', {1: "a"}),
    (Layer, '{"units": 3, "rate": 1}', Layer(3, rate=1.0)),
    (Model, '{"layers": [{"units": 1}], "best": null}', Model([Layer(1)])),
    (Node, '{"value": 1, "next": {"value": 2}}', Node(1, Node(2))),
    (Box[dt.date], '{"item": "2020-01-01"}', Box(dt.date(2020, 1, 1))),
    (Pair, '{"x": 1}', Pair(1)),
    (Options, '{"a": 1}', {"a": 1}),
]


@pytest.mark.parametrize(("t", "text", "value"), TEXTS, ids=[str(index) for index in range(len(TEXTS))])
def test_text_becomes_a_value(t, text, value):
    parsed = parse_text(t, text)
    assert parsed == value
    assert type(parsed) is type(value)


JSON = [
    (int, 3, 3),
    (float, 3, 3.0),
    (list[dt.date], ["2020-01-01"], [dt.date(2020, 1, 1)]),
    (dict[str, Layer | None], {"a": {"units": 1}, "b": None}, {"a": Layer(1), "b": None}),
    (decimal.Decimal, 3, decimal.Decimal(3)),
    (dt.timedelta, 1.5, dt.timedelta(seconds=1.5)),
    (Color, 1, Color.RED),
    (list[int | str], [1, "1"], [1, "1"]),
]


@pytest.mark.parametrize(("t", "data", "value"), JSON, ids=[str(index) for index in range(len(JSON))])
def test_json_becomes_a_value(t, data, value):
    assert parse_json(t, data) == value


def test_numbers_that_json_has_no_number_for_go_by_name():
    assert math.isnan(parse_json(float, "NaN"))
    assert parse_json(list[float], ["-Infinity"]) == [-math.inf]


def test_a_moment_in_a_zone_is_written_as_in_a_literal():
    data = {"at": "2024-02-29T12:00:00+01:00", "zone": "Europe/Berlin", "fold": 0}
    assert parse_json(dt.datetime, data).tzinfo == zoneinfo.ZoneInfo("Europe/Berlin")


WRONG = [
    (int, "1.5", "", "whole number"),
    (int, "x", "", "whole number"),
    (float, "x", "", "number"),
    (bool, "yes", "", "true or false"),
    (type(None), "x", "", "null"),
    (bytes, "*", "", "base64"),
    (dt.date, "today", "", "2024-02-29"),
    (dt.timedelta, "long", "", "seconds"),
    (Color, "GREEN", "", "RED, BLUE"),
    (Literal["a"], "b", "", "'a'"),
    (list[int], "1, 2", "", "JSON list"),
    (list[int], '{"a": 1}', "", "JSON list"),
    (list[int], '[1, "a"]', "[1]", ""),
    (tuple[int, str], "[1]", "", ""),
    (dict[str, int], "[1]", "", "JSON object"),
    (dict[str, int], '{"a": "x"}', "['a']", ""),
    (Layer, "{}", "", "'units'"),
    (Layer, '{"units": 1, "nam": "x"}', "", "did you mean 'name'"),
    (Layer, '{"units": 1.5}', ".units", ""),
    (Model, '{"layers": [{"units": "x"}]}', ".layers[0].units", ""),
    (int | None, "x", "", "whole number"),
    (int | bool, "x", "", ""),
]


@pytest.mark.parametrize(("t", "text", "place", "says"), WRONG, ids=[str(index) for index in range(len(WRONG))])
def test_what_means_nothing_is_an_input_error_with_its_place(t, text, place, says):
    with pytest.raises(InputError) as caught:
        parse_text(t, text)
    assert (caught.value.place or "") == place
    assert says in str(caught.value) + str(caught.value.__cause__)


def test_plain_json_is_read_where_nothing_is_said_of_what_is_in_it():
    assert parse_text(dict, '{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert parse_text(list, '[1, {"b": true}]') == [1, {"b": True}]
    with pytest.raises(InputError):
        parse_text(dict, '{"a": NaN}')


def test_a_field_that_init_does_not_take_is_not_asked_for():
    assert parse_text(Computed, '{"side": 2}') == Computed(2)
    with pytest.raises(InputError, match="Computed"):
        parse_text(Computed, '{"side": 2, "area": 4}')
