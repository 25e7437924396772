"""Values of inputs travel beside the text, exactly, or are refused when the query is planned."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from flyte_plugin_snowflake import SnowflakeTask
from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.bound_values import bound, native, parameter
from flyte_plugin_snowflake.errors import SnowflakeTaskError
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from flytepath import kwtypes
from flytepath.plugin import BackendError, DefinitionError, ErrorClass, Identifier, Literal, LiteralType, Phase
from hypothesis import given, settings
from hypothesis import strategies as st
from snowflake_calls import bound_backend, ended, request, run, table_of

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")) | st.sampled_from(
    ["'", '"', "\\", "{{ .inputs.x }}", "'; drop table t; --", "%s", "?", ":1", "$$", "%(x)s", "/*"]
)


def of(kind: str, data: Any) -> Literal:
    return Literal.make(LiteralType(kind), data)


def sent(literal: Literal) -> Any:
    """What the connector is given for a literal, after the plan was kept as JSON."""
    return bound(json.loads(json.dumps(parameter(native(literal, "x")))))


@given(ANY_TEXT)
def test_any_text_is_a_value_and_never_in_the_statement(text: str) -> None:
    assert sent(of("string", text)) == text
    mark = {"name": "x", "type": "string", "kind": "value"}
    plan = SnowflakeBackend(_settings()).plan(request("", pieces=["select ", mark], inputs={"x": of("string", text)}))
    assert plan.spec["statement"] == "select ?"
    assert plan.spec["parameters"] == [["TEXT", text]]


@given(st.integers(-(10**38) + 1, 10**38 - 1))
def test_integers_of_up_to_38_digits_are_exact(number: int) -> None:
    assert sent(of("integer", number)) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**20), max_value=10**20))
def test_decimals_are_exact_and_written_out(number: Decimal) -> None:
    kept = parameter(native(of("decimal", str(number)), "x"))
    assert "E" not in kept[1] and Decimal(kept[1]) == number
    assert bound(kept) in (number, ("FIXED", kept[1])), "the connector itself would write 1E-7"


@given(st.floats())
def test_floats_are_exact_and_may_be_none(number: float) -> None:
    kind, text = parameter(number)
    again = bound([kind, text])
    assert kind == "REAL" and (again == number or (math.isnan(again) and math.isnan(number)))


@given(st.binary())
def test_bytes_are_exact(content: bytes) -> None:
    assert bound(parameter(content)) == content


@given(st.dates())
def test_dates_are_exact(day: dt.date) -> None:
    assert sent(of("date", day.isoformat())) == day


@given(st.times())
def test_times_are_exact(at: dt.time) -> None:
    assert sent(of("time", at.isoformat())) == at


@given(st.datetimes())
def test_moments_without_a_zone_stay_so(at: dt.datetime) -> None:
    assert sent(of("datetime", at.isoformat())) == ("TIMESTAMP_NTZ", at)


@given(st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_moments_keep_their_instant_and_offset(at: dt.datetime, minutes: int) -> None:
    there = at.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    kind, again = sent(of("datetime", there.isoformat()))
    assert kind == "TIMESTAMP_TZ" and again == there and again.utcoffset() == there.utcoffset()


def test_a_named_zone_is_its_offset_at_that_moment() -> None:
    rome = Literal.make(LiteralType("datetime"), {"at": "2030-07-01T12:00:00+02:00", "zone": "Europe/Rome"})
    kind, moment = sent(rome)
    assert kind == "TIMESTAMP_TZ" and moment.isoformat() == "2030-07-01T12:00:00+02:00"


@pytest.mark.parametrize(
    "literal, words",
    [
        (of("string", "a\0b"), "NUL"),
        (of("string", {"surrogates": "eA=="}), "no Unicode text"),
        (of("integer", 10**38), "38 digits"),
        (of("decimal", "1." + "0" * 38), "more digits"),
        (of("decimal", "1E+40"), "more digits"),
        (of("decimal", "NaN"), "which no NUMBER is"),
        (of("time", "12:00:00+01:00"), "a TIME has none"),
        (of("datetime", "1890-01-01T00:00:00+00:49:56"), "whole minutes"),
    ],
)
def test_what_snowflake_could_not_hold_exactly_is_refused_when_it_is_planned(literal: Literal, words: str) -> None:
    mark = {"name": "x", "type": "string", "kind": "value"}
    with pytest.raises(BackendError, match=words) as caught:
        SnowflakeBackend(_settings()).plan(request("", pieces=["select ", mark], inputs={"x": literal}))
    assert (caught.value.error_class, caught.value.accepted) == (ErrorClass.INVALID, False)
    assert "'x'" in str(caught.value) and caught.value.hint


def _settings() -> Any:
    from snowflake_vendor import settings as made

    return made(1)


# --- refused when the task is defined ---


def test_a_template_inside_a_string_is_refused() -> None:
    with pytest.raises(DefinitionError, match="inside a string"):
        SnowflakeTask(name="t", query_template="select '{{ .inputs.x }}'", inputs=kwtypes(x=str))


def test_an_input_that_no_parameter_carries_is_refused_with_a_way_out() -> None:
    with pytest.raises(SnowflakeTaskError, match="no parameters of type") as caught:
        SnowflakeTask(name="t", query_template="select {{ .inputs.x }}", inputs=kwtypes(x=dt.timedelta))
    assert "dateadd" in str(caught.value)


def test_a_question_mark_of_the_query_itself_is_refused_when_it_is_defined() -> None:
    with pytest.raises(SnowflakeTaskError, match="take for a parameter"):
        SnowflakeTask(name="t", query_template="select a ? b, {{ .inputs.x }}", inputs=kwtypes(x=int))


@pytest.mark.parametrize("text", [";", " ; ;", "-- select 1", "/* select 1 */ ;"])
def test_a_query_without_a_statement_is_refused_when_it_is_defined(text: str) -> None:
    with pytest.raises(SnowflakeTaskError, match="no statement"):
        SnowflakeTask(name="t", query_template=text)


def test_flytekits_way_to_name_an_input_is_the_same() -> None:
    theirs = SnowflakeTask(name="t", query_template="select %(x)s, '50%'", inputs=kwtypes(x=int))
    assert theirs.get_query(x=1) == "select :x, '50%'"


# --- at the service ---


@pytest.fixture
def backend(account: Account, snowflake_service: SnowflakeService) -> Iterator[SnowflakeBackend]:
    with bound_backend(account, snowflake_service.port) as found:
        yield found


VALUES: dict[str, tuple[Literal, Any]] = {
    "text": (of("string", 'it\'s \\ "{{ .inputs.x }}" ☃'), 'it\'s \\ "{{ .inputs.x }}" ☃'),
    "an integer beyond 64 bits": (of("integer", 2**80), Decimal(2**80)),
    "a decimal": (of("decimal", "12345678901234567890.1234567890"), Decimal("12345678901234567890.1234567890")),
    "a small decimal": (of("decimal", "1E-9"), Decimal("1E-9")),
    "a float": (of("float", 0.1), 0.1),
    "truth": (of("boolean", True), True),
    "bytes": (of("bytes", "AAEC"), b"\0\1\2"),
    "a date": (of("date", "2030-02-28"), dt.date(2030, 2, 28)),
    "a time": (of("time", "23:59:59.123456"), dt.time(23, 59, 59, 123456)),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_arrives_as_it_was(name: str, backend: SnowflakeBackend, memory_blobs: Any) -> None:
    literal, expected = VALUES[name]
    mark = {"name": "x", "type": "string", "kind": "value"}
    text = ["select cast(", mark, " as number(38, 2)) as x"] if "64 bits" in name else ["select ", mark, " as x"]
    plan = backend.plan(request("", pieces=text, inputs={"x": literal}))
    handle = run(backend.submit(plan))
    seen = ended(backend, handle)
    assert seen.phase is Phase.SUCCEEDED, seen
    result = run(backend.collect(handle, memory_blobs))["results"]
    assert table_of(memory_blobs, result).column(0).to_pylist() == [expected]


def test_nothing_is_a_value_too(backend: SnowflakeBackend, account: Account) -> None:
    mark = {"name": "x", "type": "string", "kind": "value"}
    plan = backend.plan(request("", pieces=["select ", mark, " is null as x"], inputs={"x": of("none", None)}))
    handle = run(backend.submit(plan))
    assert ended(backend, handle).phase is Phase.SUCCEEDED
    assert account.queries[handle.data["id"]].bindings["1"]["value"] is None


def test_lists_are_as_many_parameters_and_names_are_quoted(account: Account) -> None:
    pick = SnowflakeTask(
        name="pick",
        query_template="select * from {{ .inputs.t }} where id in {{ .inputs.ids }}",
        inputs=kwtypes(t=Identifier, ids=list[int]),
    )
    payload = pick.declaration()
    from flyte_plugin_snowflake.task import SnowflakeTaskType

    compiled = SnowflakeTaskType().compile(payload)
    ids = Literal.make(LiteralType.list_of(LiteralType("integer")), [1, 2, 3])
    made = request("", pieces=compiled["query"]["pieces"], inputs={"t": of("string", "sales.orders"), "ids": ids})
    plan = SnowflakeBackend(_settings()).plan(made)
    # Names fold to upper case, as they do without quotes.
    assert plan.spec["statement"] == 'select * from "SALES"."ORDERS" where id in (?, ?, ?)'
    with pytest.raises(BackendError, match="cannot be the name"):
        SnowflakeBackend(_settings()).plan(
            request("", pieces=compiled["query"]["pieces"], inputs={"t": of("string", "x; drop"), "ids": ids})
        )


@settings(max_examples=15, deadline=None)
@given(text=ANY_TEXT)
def test_any_text_comes_back_from_the_service(text: str) -> None:
    from test_snowflake_conformance_backend import running

    service = running()
    with bound_backend(service.account, service.port) as backend:
        mark = {"name": "x", "type": "string", "kind": "value"}
        plan = backend.plan(request("", pieces=["select ", mark, " as x"], inputs={"x": of("string", text)}))
        handle = run(backend.submit(plan))
        assert ended(backend, handle).phase is Phase.SUCCEEDED
        assert service.account.queries[handle.data["id"]].bindings["1"] == {"type": "TEXT", "value": text}
