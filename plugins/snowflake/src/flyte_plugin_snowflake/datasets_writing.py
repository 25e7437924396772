"""Frames written to tables at ``snowflake://``: all of it at once, or nothing.

Rows travel to a temporary table of the session, which nobody else sees and which goes away with the session however it
ends. One statement then puts them where they belong: it is done or not done, and done again it gives the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flytepath.plugin import BlobSink, Literal, LiteralType

from flyte_plugin_snowflake.datasets_errors import SnowflakeAddressError, SnowflakeTableError
from flyte_plugin_snowflake.datasets_reading import matched
from flyte_plugin_snowflake.datasets_session import Target, session, target_of
from flyte_plugin_snowflake.datasets_types import Column, columns_of, remembered
from flyte_plugin_snowflake.datasets_uri import quoted
from flyte_plugin_snowflake.vendor_errors import number_of

FORMAT: Final = "snowflake"
#: Up to so many rows travel as parameters, which is quicker than a file.
FEW_ROWS: Final = 1_000
#: Rows of a file, and values of a statement: fewer than those for which the connector makes a stage of its own.
FILE_ROWS: Final = 250_000
BATCH_VALUES: Final = 32_768
_MISSING: Final = 2003
_EXISTS: Final = 2002
#: No rights to make a stage.
_NO_STAGE: Final = frozenset({3001, 3540})


def encode_table(frame: Any, uri: str | None, sink: BlobSink, columns: tuple[str, ...] | None = None) -> Literal:
    """Write an Arrow table to a table of Snowflake.

    Raises:
        SnowflakeAddressError: the URI names no table.
        SnowflakeColumnError: a column that Snowflake has no like of.
        SnowflakeTableError: it may not be written, or its columns do not take the values. The table is as it was.
        SnowflakeAwayError: Snowflake cannot be reached, or has trouble. Written again, no row is there twice.
    """
    if uri is None:
        raise SnowflakeAddressError("frames are written to a table", expected="StructuredDataset(frame, uri=...)")
    target = target_of(uri)
    if not target.table:
        raise SnowflakeAddressError("the result of a query is not written", place=target.place)
    table = _plain(frame if columns is None else frame.select(list(columns)))
    plan = columns_of(table.schema, target.place)
    with session(target) as connection, connection.cursor() as cursor:
        landing = (*target.table[:2], f"FLYTEPATH_{uuid.uuid4().hex.upper()}")
        _make(cursor, landing, plan)
        try:
            _fill(cursor, landing, plan, table, target)
            _put(cursor, landing, plan, target)
        finally:
            _forget(cursor, landing)
    facts = {
        "uri": uri,
        "rows": table.num_rows,
        "columns": [[field.name, str(field.type)] for field in table.schema],
        "schema": remembered(table.schema),
        # A table may be written again: each time it is another value.
        "written": uuid.uuid4().hex,
    }
    return Literal.make(LiteralType("dataframe"), facts, format=FORMAT)


def _plain(table: Any) -> Any:
    """The table without the index of pandas, but for levels that have a name."""
    described = table.schema.pandas_metadata or {}
    nameless = [
        column["field_name"]
        for column in described.get("columns", ())
        if column["field_name"] in described.get("index_columns", ()) and column["name"] is None
    ]
    return table.drop_columns([name for name in nameless if name in table.column_names])


def _names(plan: tuple[Column, ...]) -> list[str]:
    """Names for columns that travel: plain ones, whatever people have called them."""
    return [f"C{at}" for at in range(len(plan))]


def _make(cursor: Any, landing: tuple[str, ...], plan: tuple[Column, ...]) -> None:
    columns = ", ".join(f"{quoted(name)} {column.landing}" for name, column in zip(_names(plan), plan, strict=True))
    cursor.execute(f"create temporary table {quoted(*landing)} ({columns})")


def _forget(cursor: Any, landing: tuple[str, ...]) -> None:
    """Let the rows that travelled go now; where that fails, they go with the session."""
    from snowflake.connector.errors import Error

    try:
        cursor.execute(f"drop table if exists {quoted(*landing)}")
    except (Error, OSError):
        return


def _put(cursor: Any, landing: tuple[str, ...], plan: tuple[Column, ...], target: Target) -> None:
    """The one statement after which the rows are there."""
    from snowflake.connector.errors import ProgrammingError

    table = quoted(*target.table)
    selected = ", ".join(column.expression(name) for name, column in zip(_names(plan), plan, strict=True))
    rows = f"select {selected} from {quoted(*landing)}"
    defined = ", ".join(f"{quoted(column.name)} {column.final}" for column in plan)
    if target.address.mode == "replace":
        cursor.execute(f"create or replace table {table} ({defined}) copy grants as {rows}")
        return
    there = _columns_there(cursor, table)
    if there is None:
        try:
            cursor.execute(f"create table {table} ({defined}) as {rows}")
            return
        except ProgrammingError as error:
            if number_of(error) != _EXISTS:
                raise
        there = _columns_there(cursor, table) or []  # somebody has made it just now
    try:
        names = matched(there, tuple(column.name for column in plan), target.place)
    except SnowflakeTableError as error:
        error.hint = "add mode=replace to the URI to make the table anew, with the columns of the frame"
        raise
    into = ", ".join(quoted(names[column.name]) for column in plan)
    cursor.execute(f"insert overwrite into {table} ({into}) {rows}")


def _columns_there(cursor: Any, table: str) -> list[str] | None:
    from snowflake.connector.errors import ProgrammingError

    try:
        return [one.name for one in cursor.describe(f"select * from {table}") or ()]
    except ProgrammingError as error:
        # So it is said of tables that the role may not see, too: then making one is refused.
        if number_of(error) == _MISSING:
            return None
        raise


# --- how rows travel ---------------------------------------------------------------------------------------------


def _fill(cursor: Any, landing: tuple[str, ...], plan: tuple[Column, ...], table: Any, target: Target) -> None:
    way = target.address.write
    if way == "batches" or (way == "auto" and table.num_rows <= FEW_ROWS):
        _by_batches(cursor, landing, plan, table)
        return
    if not _by_stage(cursor, landing, plan, table, must=way == "stage"):
        _by_batches(cursor, landing, plan, table)


def _by_batches(cursor: Any, landing: tuple[str, ...], plan: tuple[Column, ...], table: Any) -> None:
    """As arrays of parameters, a statement for each piece."""
    names = ", ".join(quoted(name) for name in _names(plan))
    text = f"insert into {quoted(*landing)} ({names}) values ({', '.join('?' * len(plan))})"
    for piece in _parts(table, max(1, BATCH_VALUES // len(plan))):
        columns = [_texts(column.travelling(piece.column(at))) for at, column in enumerate(plan)]
        cursor.executemany(text, list(zip(*columns, strict=True)))


def _texts(data: Any) -> list[str | None]:
    """Values as text, which Snowflake reads as what the column is."""
    import pyarrow as pa

    if pa.types.is_floating(data.type):
        return [None if item is None else repr(item) for item in data.to_pylist()]
    if pa.types.is_boolean(data.type):
        return [None if item is None else str(item).lower() for item in data.to_pylist()]
    return [None if item is None else str(item) for item in data.to_pylist()]


def _by_stage(cursor: Any, landing: tuple[str, ...], plan: tuple[Column, ...], table: Any, *, must: bool) -> bool:
    """As files of Parquet, uploaded one by one to a temporary stage, and loaded by one statement.

    Returns:
        Whether it was so; unless it ``must``, there may be no stage, or its storage may be out of reach.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from snowflake.connector.errors import Error

    stage = _reference(landing)
    try:
        cursor.execute(f"create temporary stage {quoted(*landing)}")
    except Error as error:
        if must or number_of(error) not in _NO_STAGE:
            raise
        return False
    with TemporaryDirectory(prefix="flytepath-snowflake-") as folder:
        for number, piece in enumerate(_parts(table, FILE_ROWS)):
            file = Path(folder) / f"{number:05}.parquet"
            columns = {name: plan[at].travelling(piece.column(at)) for at, name in enumerate(_names(plan))}
            pq.write_table(pa.table(columns), file, compression="snappy", use_deprecated_int96_timestamps=False)
            try:
                _upload(cursor, file, stage)
            except Error:
                if must:
                    raise
                return False  # the storage is the cloud's, and may be out of reach where the service is not
            file.unlink()
    cursor.execute(
        f"copy into {quoted(*landing)} from {stage} file_format = (type = parquet) "
        "match_by_column_name = case_sensitive on_error = abort_statement"
    )
    return True


def _upload(cursor: Any, file: Path, stage: str) -> None:
    cursor.execute(f"put '{file.as_uri()}' {stage} auto_compress = false overwrite = true")


def _reference(names: tuple[str, ...]) -> str:
    """A stage as commands name it: between quotes as a whole where a name is no plain one."""
    text = "@" + quoted(*names)
    plain = all(name.replace("_", "").isalnum() and name.isascii() for name in names)
    return text if plain else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _parts(table: Any, rows: int) -> Iterator[Any]:
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)
