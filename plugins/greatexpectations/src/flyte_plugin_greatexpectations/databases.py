"""Tables and queries of a database, looked at where they lie; values reach the driver as parameters.

The library takes a query as text only and compiles it again with its values written in. So what must not be read twice
is disguised as a character that has no meaning, until SQLAlchemy is about to send the statement: there it becomes a
parameter, which carries its value beside the text.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from flytepath.plugin import Statement, render_sql

from flyte_plugin_greatexpectations.batches import Part, Request, part_of, reading
from flyte_plugin_greatexpectations.errors import DataSourceError
from flyte_plugin_greatexpectations.library import FAILURES
from flyte_plugin_greatexpectations.outcomes import plain_message

#: Private-use characters: a colon, a percent sign, and the beginning and end of the name of a parameter.
_COLON, _PERCENT, _BEGIN, _END = "\ue010", "\ue011", "\ue012", "\ue013"
_NAMED: Final = re.compile(r":(\w+)")
_MARKED: Final = re.compile(f"{_BEGIN}(\\w+){_END}")
_CONNECTION: Final = "FLYTEPATH_GX_CONNECTION"
#: What the library has a data source of its own for.
_SOURCES: Final = {"sqlite": "add_sqlite", "postgresql": "add_postgres"}
_DRIVER: Final = "install SQLAlchemy's driver of this database where the task runs, or correct the name before ://"
_SELECT: Final = re.compile(r"\s*select\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A query in disguise, and the values of its parameters."""

    text: str
    values: Mapping[str, Any]
    told: str


def bound_query(statement: Statement, values: Mapping[str, Any]) -> BoundQuery:
    """The query for some values.

    Example:
        >>> bound_query(Statement(("select 1 where 'a:b' <> ''",)), {}).values
        {}
    """
    hidden = tuple(
        piece.replace(":", _COLON).replace("%", _PERCENT) if isinstance(piece, str) else piece
        for piece in statement.pieces
    )
    rendered = render_sql(replace(statement, pieces=hidden), values, "named")
    text = _NAMED.sub(lambda found: f"{_BEGIN}{found[1]}{_END}", rendered.text).strip().rstrip(";")
    if not _SELECT.match(text):
        text = f"SELECT * FROM (\n{text}\n) AS flytepath_query"
    given = rendered.parameters if isinstance(rendered.parameters, dict) else {}
    return BoundQuery(text, given, statement.text)


def connection_of(request: Request) -> dict[str, str]:
    """The connection string, as a variable that a context is given."""
    sql = request.config.sql
    if sql is None:
        return {}
    given = sql.connection_string
    return {_CONNECTION: given if isinstance(given, str) else request.secret(given).strip()}


def database_part(context: Any, request: Request, connection: str) -> Part:
    """The batch of a table or query.

    Raises:
        DataSourceError: the database cannot be reached, or refuses the table or query.
    """
    sql = request.config.sql
    dialect = connection.partition("://")[0].partition("+")[0].lower()
    add = getattr(context.data_sources, _SOURCES.get(dialect, "add_sql"))
    # Of the user's own text the variables are the library's to fill in; a secret is taken as it is.
    given = sql.connection_string if sql is not None and isinstance(sql.connection_string, str) else None
    with _telling(connection), reading("the database"), warnings.catch_warnings():
        # That there is a more special kind of data source says nothing to who named a database.
        warnings.simplefilter("ignore")
        source = add("flytepath", connection_string=given if given and "$" in given else f"${{{_CONNECTION}}}")
        with contextlib.closing(source.get_engine().connect()):
            pass
        if sql is not None and sql.table:
            schema, _, table = sql.table.rpartition(".")
            more = {"schema_name": schema} if schema else {}
            asset = source.add_table_asset("table", table_name=table, **more)
            return part_of(asset.add_batch_definition_whole_table("whole"), {}, f"the table {sql.table}")
        if request.statement is None:
            raise DataSourceError("there is no query", place=request.name)
        return query_part(source, bound_query(request.statement, request.parameters))


def query_part(source: Any, query: BoundQuery) -> Part:
    """The batch of a query, tried once: what the database says of it comes before any expectation."""
    import sqlalchemy as sa

    for engine in (source.get_engine(), source.get_execution_engine().engine):
        sa.event.listen(engine, "before_execute", _filling(query.values), retval=True)
    asset = source.add_query_asset("query", query=query.text)
    part = part_of(asset.add_batch_definition_whole_table("whole"), {}, f"the query {query.told}"[:500])
    with reading("the query"):
        try:
            probe = sa.text(f"SELECT * FROM (\n{query.text}\n) AS flytepath_probe WHERE 1 = 0")
            with contextlib.closing(source.get_engine().connect()) as connection:
                connection.execute(probe)
        except sa.exc.SQLAlchemyError as error:
            raise DataSourceError(
                f"the database refused the query: {plain_message(str(error))}", place="query", actual=query.told
            ) from error
    return part


def _filling(values: Mapping[str, Any]) -> Any:
    """A listener that turns the disguise into parameters, wherever in a statement the library has put the query."""
    import sqlalchemy as sa
    from sqlalchemy.sql import visitors

    def filled(element: Any, **_: Any) -> Any:
        if not isinstance(element, sa.TextClause) or not any(c in element.text for c in (_BEGIN, _COLON, _PERCENT)):
            return None
        names = set(_MARKED.findall(element.text))
        text = _MARKED.sub(lambda found: f":{found[1]}", element.text)
        text = text.replace(_COLON, "\\:").replace(_PERCENT, "%")
        return sa.text(text).bindparams(**{name: values[name] for name in names})

    def before(_connection: Any, clause: Any, multiparams: Any, params: Any, _options: Any) -> tuple[Any, Any, Any]:
        return visitors.replacement_traverse(clause, {}, filled), multiparams, params

    return before


@contextlib.contextmanager
def _telling(connection: str) -> Iterator[None]:
    """No error tells the password, which the whole connection string being a secret would not hide."""
    try:
        yield
    except (DataSourceError, *FAILURES) as error:
        from sqlalchemy.engine import make_url

        try:
            password = make_url(connection).password
        except Exception:  # noqa: BLE001 - a URL that cannot be read has no password that could be told
            password = None
        hidden = [part for part in (connection, password and str(password)) if part]
        message = str(getattr(error, "message", error))
        for part in hidden:
            message = message.replace(part, "***")
        hint = _DRIVER if "ModuleNotFoundError" in message or "NoSuchModuleError" in message else None
        if isinstance(error, DataSourceError) and message == error.message and hint is None:
            raise
        raise DataSourceError(message, place="the database", hint=hint) from None
