"""Results of queries: streamed into the store as Arrow, or left at Snowflake and referred to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode

from flytepath.plugin import BackendError, BlobAccess, ErrorClass, Literal, LiteralType

from flyte_plugin_snowflake.datasets_errors import SnowflakeColumnError
from flyte_plugin_snowflake.frames_arrow import as_described, columns_of

Json = Any


def result_literal(job: Mapping[str, Json], sink: BlobAccess, connection: Any) -> Literal:
    """The result of a query that succeeded, as the literal of a frame.

    Args:
        job: the data of its handle.
        sink: where rows are kept.
        connection: of the user who ran it; nobody else may read it.
    """
    access = job["access"]
    several = job.get("statements", 1) - 1
    with connection.cursor() as cursor:
        if job.get("result") == "reference":
            id = _last(cursor, job["id"], several).sfqid if several else job["id"]
            return Literal.make(LiteralType("dataframe"), {"uri": place(access, query_id=id)}, format="snowflake")
        import pyarrow as pa

        _last(cursor, job["id"], several)
        rows = 0
        with sink.create() as writer:
            batches = arrow_tables(cursor)
            first = next(batches)
            schema = columns_of(cursor.description or ())
            with pa.ipc.new_file(pa.PythonFile(_Target(writer), mode="w"), schema) as file:
                for table in chain((first,), batches):
                    file.write_table(_described(table, schema, job["id"]))
                    rows += table.num_rows
    facts = {"columns": [[field.name, str(field.type)] for field in schema], "rows": rows}
    return Literal.make(LiteralType("dataframe"), facts, format="arrow-ipc", ref=writer.ref)


def _last(cursor: Any, query_id: str, several: int) -> Any:
    """The cursor, at the result of the last statement."""
    cursor.get_results_from_sfqid(query_id)
    if several:
        cursor.fetchone()  # only with the first rows the connector learns that there are several results
    for _ in range(several):  # not once more: behind the last there is no result at all
        cursor.nextset()
    return cursor


def _described(table: Any, schema: Any, query_id: str) -> Any:
    """A piece with the types of the whole: each comes with the narrowest that its own values need."""
    try:
        return as_described(table, schema, f"the result of query {query_id}")
    except SnowflakeColumnError as error:
        raise BackendError(
            error.message,
            error_class=ErrorClass.USER,
            place=error.place,
            hint="cast the column in the query: integers beyond 64 bits to VARCHAR, years before 1678 or after 2261 to "
            "TIMESTAMP_NTZ(6)",
        ) from error


def arrow_tables(cursor: Any) -> Iterator[Any]:
    """The result of a cursor a piece at a time, and one empty table where there are no rows.

    Raises:
        BackendError: the statement has no result that can be read as Arrow.
    """
    from snowflake.connector.errors import NotSupportedError

    empty = True
    try:
        for table in cursor.fetch_arrow_batches():
            empty = False
            yield table
    except NotSupportedError:
        # Of statements other than queries, the rows come as text.
        empty = False
        yield _from_rows(cursor)
    if empty:
        found = cursor.fetch_arrow_all(force_return_table=True)
        if found is None:
            raise BackendError("the result has no columns", error_class=ErrorClass.USER)
        yield found


def _from_rows(cursor: Any) -> Any:
    import pyarrow as pa

    names = [column[0] for column in cursor.description or ()]
    rows = cursor.fetchall()
    return pa.table({name: pa.array([row[at] for row in rows]) for at, name in enumerate(names)})


def place(access: Mapping[str, Json], *, table: str = "", query_id: str = "") -> str:
    """The URI of a table or of the result of a query; of secrets it holds the references.

    Example:
        >>> place({"account": "acme", "user": "ETL", "database": "SALES", "schema": "PUBLIC"}, table="ORDERS")
        'snowflake://ETL@acme/SALES/PUBLIC/ORDERS'
    """
    path = [access.get("database", ""), access.get("schema", "")]
    more = {name: access[name] for name in ("warehouse", "role", "authenticator") if access.get(name)}
    for name, (group, key, *rest) in access.get("secrets", {}).items():
        more[f"{name}_secret"] = "/".join((group, key, *rest)).rstrip("/")
    if query_id:
        more["query_id"] = query_id
    else:
        path.append(table)
    tail = "/".join(quote(part, safe="") for part in path)
    return f"snowflake://{quote(access['user'])}@{access['account']}/{tail}" + (f"?{urlencode(more)}" if more else "")


class _Target:
    """What Arrow writes to: a writer of the store, without its end."""

    closed = False

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._size = 0

    def tell(self) -> int:
        return self._size

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._writer.write(content)
        self._size += len(content)
        return len(content)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """The store's own context ends the blob."""
        self.closed = True
