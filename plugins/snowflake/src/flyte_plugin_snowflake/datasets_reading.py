"""Tables and results of queries at ``snowflake://``, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flytepath.plugin import BlobSource, Literal

from flyte_plugin_snowflake.datasets_errors import SnowflakeAddressError, SnowflakeTableError
from flyte_plugin_snowflake.datasets_session import Target, session, target_of
from flyte_plugin_snowflake.datasets_types import as_remembered, known_of, recalled
from flyte_plugin_snowflake.datasets_uri import quoted
from flyte_plugin_snowflake.frames_arrow import as_described, columns_of
from flyte_plugin_snowflake.results import arrow_tables


def decode_table(literal: Literal, columns: tuple[str, ...] | None, source: BlobSource) -> Iterator[Any]:
    """The Arrow tables of what lies at a URI, the next one read when it is asked for.

    Only ``columns`` are selected. What was written by FlytePath has the types that its frame had.

    Raises:
        SnowflakeAddressError: the URI names no table.
        SnowflakeTableError: there is no such table or column, or it may not be read.
        SnowflakeColumnError: a value that does not fit into its column.
        SnowflakeAwayError: Snowflake cannot be reached, or has trouble.
    """
    facts = literal.data if isinstance(literal.data, dict) else {}
    if not isinstance(facts.get("uri"), str):
        raise SnowflakeAddressError("the literal has no URI", actual=literal.format)
    target = target_of(facts["uri"])
    schema = recalled(facts["schema"]) if "schema" in facts else None
    for piece in _pieces(target, columns, known_of(schema) if schema is not None else {}):
        yield piece if schema is None else as_remembered(piece, schema)


def _pieces(target: Target, columns: tuple[str, ...] | None, known: dict[str, str]) -> Iterator[Any]:
    with session(target) as connection, connection.cursor() as cursor:
        if target.address.query_id:
            cursor.get_results_from_sfqid(target.address.query_id)
        else:
            cursor.execute(_selecting(cursor, target, columns))
        tables = arrow_tables(cursor)
        first = next(tables)
        # Of a result that is read by its id, nothing is known before.
        schema = columns_of(cursor.description or (), target.address.integers, known)
        names = None if columns is None else _named(_names(cursor.description), columns, target)
        for table in chain((first,), tables):
            yield _narrowed(as_described(table, schema, target.place), columns, names)


def _selecting(cursor: Any, target: Target, columns: tuple[str, ...] | None) -> str:
    table = quoted(*target.table)
    if columns is None:
        return f"select * from {table}"
    found = matched(_names(cursor.describe(f"select * from {table}")), columns, target.place)
    wanted = ", ".join(quoted(found[name]) for name in columns)
    return f"select {wanted} from {table}"


def _named(found: list[str], columns: tuple[str, ...], target: Target) -> list[str]:
    """Of a result, the columns that are meant; of a table, those that came were asked for."""
    if not target.address.query_id:
        return found
    meant = matched(found, columns, target.place)
    return [meant[name] for name in columns]


def _narrowed(table: Any, columns: tuple[str, ...] | None, names: list[str] | None) -> Any:
    """The columns that are asked for, by the names that they are asked for by."""
    return table if columns is None else table.select(names).rename_columns(list(columns))


def _names(description: Any) -> list[str]:
    return [one.name for one in description or ()]


def matched(found: list[str], columns: tuple[str, ...], place: str) -> dict[str, str]:
    """The columns of a table that are meant: of this very name, else of the one that differs in capitals only.

    Raises:
        SnowflakeTableError: there is none, or there are two.

    Example:
        >>> matched(["A", "b"], ("a", "b"), "T")
        {'a': 'A', 'b': 'b'}
    """
    chosen = {}
    for name in columns:
        alike = [name] if name in found else [other for other in found if other.casefold() == name.casefold()]
        if len(alike) != 1:
            raise SnowflakeTableError(
                f"the table has no column {name!r}" if not alike else f"{name!r} may be either of {', '.join(alike)}",
                place=place,
                expected=", ".join(columns),
                actual=", ".join(found),
            )
        chosen[name] = alike[0]
    return chosen
