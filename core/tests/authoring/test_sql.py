"""SQL tasks and what plugins make of them: values are parameters, in every style, and never text."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from flytepath import kwtypes, workflow
from flytepath.authoring.call import task_type_name, task_type_of
from flytepath.authoring.kinds.sql import SQLTask
from flytepath.errors import DefinitionError, InputError
from flytepath.model.literal import canonical_json
from flytepath.plugin import Identifier, Statement, compile_sql, render_sql
from flytepath.types.engine import codec
from hypothesis import given, settings
from hypothesis import strategies as st


def compiled(template: str, **types: Any) -> Statement:
    return compile_sql(template, {name: codec(t).literal_type for name, t in types.items()}, types)


# --- compiling ---------------------------------------------------------------------------------------------------


def test_values_become_named_parameters_and_the_payload_is_plain() -> None:
    statement = compiled(
        "select * from t\nwhere a = {{.inputs.a}} and b in ({{ .inputs.b }}) -- why\n  and a < {{ .Inputs.a }}",
        a=int,
        b=list[str],
    )
    assert statement.text == "select * from t\nwhere a = :a and b in (:b) -- why\n  and a < :a"
    payload = statement.to_json()
    assert payload["statement"] == statement.text
    assert payload["parameters"] == [
        {"name": "a", "type": "integer", "kind": "value"},
        {"name": "b", "type": "string", "kind": "list", "enclosed": "alone"},
    ]
    assert Statement.from_json(payload) == statement
    assert canonical_json(payload) == canonical_json(statement.to_json())


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("select '{{ .inputs.x }}'", "inside a string"),
        ("select 'it''s {{ .inputs.x }}'", "inside a string"),
        ("select * from t where a like '%{{ .inputs.x }}%'", "inside a string"),
        ('select "{{ .inputs.x }}"', "inside a quoted name or string"),
        ("select `{{ .inputs.x }}`", "inside a quoted name or string"),
        ("select 1 -- {{ .inputs.x }}", "inside a comment"),
        ("select 1 /* {{ .inputs.x }} */", "inside a comment"),
        ("select $${{ .inputs.x }}$$", "inside a string"),
        ("select $body$ {{ .inputs.x }} $body$", "inside a string"),
        (r"select 'a\', {{ .inputs.x }}, 'b'", "inside a string"),
        (r"select '\' , {{ .inputs.x }}", "inside a string"),
        ("select {{ .inputs.y }} {{ .inputs.x }}", "names no input"),
        ("select {{ x }}", "names no input"),
        ("select {{ .inputs.x.y }}", "names no input"),
        ("select {{ .rawOutputDataPrefix }}", "names no input"),
        ("select 1", "does not use the input 'x'"),
        ("", "the query is text"),
    ],
)
def test_templates_that_can_be_no_parameter_are_refused(template: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        compiled(template, x=str)


@pytest.mark.parametrize(
    "template",
    [
        "select 'a', {{ .inputs.x }}, 'b'",
        "select 'it''s', {{ .inputs.x }}",
        'select "a""b", {{ .inputs.x }}',
        "select 1 -- it's\n, {{ .inputs.x }}",
        "select /* ' */ {{ .inputs.x }}",
        "select a$b$c, {{ .inputs.x }}, a$b$d",
        "select $1x, {{ .inputs.x }}",
        r"select 'a\\', {{ .inputs.x }}",
    ],
)
def test_quotes_that_are_over_hide_nothing(template: str) -> None:
    assert compiled(template, x=str).text == template.replace("{{ .inputs.x }}", ":x")


@dataclass
class Point:
    x: int


@pytest.mark.parametrize("kind", [dict[str, int], Point, list[list[int]], list[Point]])
def test_values_that_no_driver_carries_are_refused(kind: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be a parameter"):
        compiled("select {{ .inputs.x }}", x=kind)


def test_statements_are_counted_outside_of_quotes_and_comments() -> None:
    assert compiled("select ';' ; -- ;\n").count == 1
    assert compiled("create table t(a); insert into t values (';');").count == 2


# --- rendering ---------------------------------------------------------------------------------------------------

QUERY = compiled(
    "select '100%', a from {{ .inputs.t }} where a = {{ .inputs.x }} or {{ .inputs.x }}", t=Identifier, x=int
)


@pytest.mark.parametrize(
    ("style", "text", "parameters"),
    [
        ("named", 'select \'100%\', a from "s"."t" where a = :x or :x', {"x": 3}),
        ("pyformat", 'select \'100%%\', a from "s"."t" where a = %(x)s or %(x)s', {"x": 3}),
        ("format", 'select \'100%%\', a from "s"."t" where a = %s or %s', [3, 3]),
        ("qmark", 'select \'100%\', a from "s"."t" where a = ? or ?', [3, 3]),
        ("numeric", 'select \'100%\', a from "s"."t" where a = :1 or :2', [3, 3]),
    ],
)
def test_each_driver_gets_its_own_marks(style: Any, text: str, parameters: Any) -> None:
    rendered = render_sql(QUERY.to_json(), {"t": "s.t", "x": 3}, style)
    assert (rendered.text, rendered.parameters) == (text, parameters)
    assert rendered.arguments == (text, parameters)


def test_without_parameters_the_text_is_left_alone() -> None:
    assert render_sql(compiled("select 'a%', '?'"), {}, "pyformat").arguments == ("select 'a%', '?'",)


def test_the_quotes_of_names_are_the_dialects() -> None:
    query = compiled("select {{ .inputs.c }}", c=Identifier)
    assert render_sql(query, {"c": "a.b$1"}, "qmark", quote="`").text == "select `a`.`b$1`"
    assert render_sql(query, {"c": "a"}, "qmark", quote=("[", "]")).text == "select [a]"


@pytest.mark.parametrize(
    "name", ["", "a b", "a;b", 'a"b', "a`b", "a.", ".a", "1a", "a-b", "a\n", "t -- ", "a..b", None]
)
def test_what_is_no_identifier_is_refused(name: Any) -> None:
    with pytest.raises(InputError, match="name of a table or column"):
        render_sql(compiled("select * from {{ .inputs.t }}", t=Identifier), {"t": name}, "qmark")


def test_names_that_the_text_itself_uses_are_avoided() -> None:
    query = compiled("select a:x, b::x from t where c = {{ .inputs.x }} and d in {{ .inputs.y }}", x=int, y=list[int])
    rendered = render_sql(query, {"x": 1, "y": [2]}, "named")
    assert rendered.text == "select a:x, b::x from t where c = :x_ and d in (:y_0)"
    assert rendered.parameters == {"x_": 1, "y_0": 2}
    clash = compiled("select {{ .inputs.y_0 }} in {{ .inputs.y }}", y_0=str, y=list[str])
    assert set(render_sql(clash, {"y_0": "a", "y": ["b"]}, "named").parameters) == {"y_0", "y_0_"}


def test_marks_of_the_text_itself_are_refused_where_the_driver_would_count_them() -> None:
    query = compiled("select a ? 'b?' from t where c = {{ .inputs.x }}", x=int)
    with pytest.raises(DefinitionError, match="take for a parameter"):
        render_sql(query, {"x": 1}, "qmark")
    assert render_sql(query, {"x": 1}, "pyformat").text == "select a ? 'b?' from t where c = %(x)s"
    assert render_sql(compiled("select '?', {{ .inputs.x }}", x=int), {"x": 1}, "qmark").parameters == [1]
    with pytest.raises(DefinitionError, match="unknown parameter style"):
        render_sql(query, {"x": 1}, "dollar")  # type: ignore[arg-type]


@pytest.mark.parametrize("style", ["named", "qmark"])
@pytest.mark.parametrize("template", ["a in {{ .inputs.x }}", "a in ({{ .inputs.x }})", "a in ( {{ .inputs.x }} )"])
@pytest.mark.parametrize(("values", "found"), [([], []), ([1], [1]), ([1, 3], [1, 3]), (list(range(100)), [1, 2, 3])])
def test_lists_expand_also_when_they_are_empty(style: Any, template: str, values: list[int], found: list[int]) -> None:
    query = compiled(f"select a from t where {template} order by a", x=list[int])
    others = compiled(f"select a from t where not {template} order by a", x=list[int])
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("create table t(a); insert into t values (1), (2), (3)")
        rows = connection.execute(*render_sql(query, {"x": values}, style).arguments).fetchall()
        rest = connection.execute(*render_sql(others, {"x": values}, style).arguments).fetchall()
    assert [row[0] for row in rows] == found
    assert [row[0] for row in rest] == [a for a in (1, 2, 3) if a not in found]


def test_a_list_among_other_values() -> None:
    query = compiled("select a in (0, {{ .inputs.x }}, {{ .inputs.y }})", x=list[int], y=int)
    assert render_sql(query, {"x": [1, 2], "y": 3}, "qmark").text == "select a in (0, ?, ?, ?)"
    with pytest.raises(InputError, match="empty"):
        render_sql(query, {"x": [], "y": 3}, "qmark")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary())),
    st.sampled_from(["named", "qmark"]),
)
def test_any_value_comes_back_from_a_database_as_it_was(values: list[Any], style: Any) -> None:
    kinds = {f"v{index}": type(value) for index, value in enumerate(values)} or {"v0": int}
    query = compiled("select " + ", ".join(f"{{{{ .inputs.{name} }}}}" for name in kinds), **kinds)
    bound = dict(zip(kinds, values or [0], strict=True))
    text = [value for value in bound.values() if isinstance(value, str) and ("\0" in value or _surrogate(value))]
    if text:
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        row = connection.execute(*render_sql(query, bound, style).arguments).fetchone()
    assert list(row) == list(bound.values())


def _surrogate(text: str) -> bool:
    return any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


# --- the task ----------------------------------------------------------------------------------------------------


people = SQLTask(
    name="people",
    query_template="select * from {{ .inputs.table }} where born > {{ .inputs.day }} limit {{ .inputs.limit }}",
    inputs={"table": Identifier, "day": dt.date, "limit": (int, 10)},
    output_schema_type=list[str],
)


def test_a_sql_task_compiles_to_its_statement() -> None:
    assert task_type_name(people) == "sql"
    payload = task_type_of(people).compile(people.declaration())
    assert payload["statement"] == "select * from :table where born > :day limit :limit"
    assert [parameter["kind"] for parameter in payload["parameters"]] == ["identifier", "value", "value"]
    assert people.query_template.startswith("select * from {{ .inputs.table }}")
    assert people.outputs == {"results": list[str]}


def test_the_query_for_some_inputs_holds_no_values() -> None:
    query = people.get_query(table="t", day=dt.date(2024, 2, 29))
    assert query == 'select * from "t" where born > :day limit :limit'
    with pytest.raises(InputError, match="missing"):
        people.get_query(table="t")


def test_it_can_stand_in_a_workflow_but_has_no_database_to_ask() -> None:
    @workflow
    def ask(day: dt.date) -> list[str]:
        return people(table="t", day=day)

    with pytest.raises(DefinitionError, match="no database to ask"):
        ask(day=dt.date(2024, 2, 29))


def test_errors_of_the_query_name_the_task() -> None:
    with pytest.raises(DefinitionError, match="names no input") as caught:
        SQLTask(name="wrong", query_template="select {{ .inputs.zz }}", inputs=kwtypes(x=int))
    assert caught.value.place == "wrong(query_template)"
    with pytest.raises(DefinitionError, match="say the same"):
        SQLTask(name="wrong", query_template="select 1", outputs={"a": int}, output_schema_type=int)
