"""The formats in which frames are kept: Arrow IPC between tasks, Parquet and CSV for what is kept or exported.

Tables go to and come from open files. Parquet alone would forget some types and the order of categories; they are
written beside the data and put back. CSV keeps text only: types are declared, or guessed by the reader.
"""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from flytepath.errors import TypeTransformerFailedError
from flytepath.types.frame_columns import select, stored_names, text_types
from flytepath.types.frame_kinds import BATCH_ROWS

ARROW: Final = "arrow-ipc"
PARQUET: Final = "parquet"
CSV: Final = "csv"

_SUFFIXES: Final = {
    ".arrow": ARROW,
    ".feather": ARROW,
    ".ipc": ARROW,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".csv": CSV,
}
SUFFIX_OF: Final = {ARROW: ".arrow", PARQUET: ".parquet", CSV: ".csv"}
#: Where the dictionaries of dictionary columns stand in a Parquet file.
_CATEGORIES: Final = b"flytepath.categories"

Columns = Mapping[str, Any] | None


def format_of(uri: str) -> str | None:
    """The format that the end of a path or URI names.

    Example:
        >>> format_of("s3://bucket/table.parquet"), format_of("/data/tables")
        ('parquet', None)
    """
    from pathlib import PurePosixPath

    return _SUFFIXES.get(PurePosixPath(uri.partition("?")[0]).suffix.lower())


def check_format(format: str, place: str | None = None) -> str:
    """``format``, if core can write and read it.

    Raises:
        TypeTransformerFailedError: it cannot.
    """
    if format not in SUFFIX_OF:
        raise TypeTransformerFailedError(
            f"core writes and reads no frames as {format!r}",
            place=place,
            expected=", ".join(sorted(SUFFIX_OF)),
            actual=format,
            hint="install or enable a plugin with a dataframe codec for this format",
        )
    return format


def write_table(table: Any, format: str, file: Any) -> None:
    """Write a table to an open file.

    Raises:
        TypeTransformerFailedError: the format cannot hold it.
    """
    arrow = importlib.import_module("pyarrow")
    try:
        if format == ARROW:
            table = table.unify_dictionaries()  # a file has one for each column, pieces of a table may differ
            with importlib.import_module("pyarrow.ipc").new_file(file, table.schema) as out:
                out.write_table(table)
                if not table.num_rows and table.columns and all(column.num_chunks for column in table.columns):
                    # Without a batch, the categories of a frame without rows would be lost.
                    empty = [column.chunk(0) for column in table.columns]
                    out.write_batch(arrow.RecordBatch.from_arrays(empty, schema=table.schema))
        elif format == PARQUET:
            importlib.import_module("pyarrow.parquet").write_table(_with_categories(table), file)
        else:
            importlib.import_module("pyarrow.csv").write_csv(plain_values(table), file)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, arrow.ArrowTypeError) as error:
        raise TypeTransformerFailedError(
            f"the frame cannot be written as {format}: {error}",
            expected=f"columns that {format} can hold",
            actual=", ".join(f"{field.name}: {field.type}" for field in table.schema)[:300],
            hint="leave the format out: between tasks frames are kept as Arrow IPC, which holds every type",
        ) from error


def write_batches(schema: Any, batches: Iterator[Any], file: Any) -> None:
    """Write record batches to an open file as Arrow IPC, each when it comes."""
    with importlib.import_module("pyarrow.ipc").new_file(file, schema) as out:
        for batch in batches:
            out.write_batch(batch)


def facts_of(schema: Any, rows: int, format: str) -> dict[str, Any]:
    """What a literal says of its table; from CSV it is read by the types that stand here."""
    types = importlib.import_module("pyarrow").types
    plain = [
        field.type.value_type if format == CSV and types.is_dictionary(field.type) else field.type for field in schema
    ]
    return {"rows": rows, "columns": [[name, str(type)] for name, type in zip(schema.names, plain, strict=True)]}


def known_types(facts: Any) -> dict[str, Any]:
    """The types of a CSV file's columns, as far as a literal's facts name them."""
    arrow = importlib.import_module("pyarrow")
    found = {}
    for name, described in facts.get("columns", ()) if isinstance(facts, dict) else ():
        with suppress(ValueError):  # a type with arguments: it is guessed, or declared
            found[name] = arrow.type_for_alias(described)
    return found


def read_table(file: Any, format: str, columns: Columns, place: str, types: Columns = None) -> Any:
    """The table in a file, or only the declared columns of it, which alone are read.

    Args:
        file: a path, or an open binary file.
        format: what it is.
        columns: the declared columns, ``None`` for all.
        place: the file's name, for errors.
        types: the Arrow types of columns, where they are known of a file that does not tell them.
    """
    if format == CSV:
        return _guarded(lambda: _read_csv(file, columns, types), place, format)
    return _guarded(lambda: _READERS[format](file, columns), place, format)


def read_batches(file: Any, format: str, columns: Columns, place: str, types: Columns = None) -> Iterator[Any]:
    """The table piece by piece; only the piece at hand is in memory."""
    if format == CSV:
        pieces = _guarded(lambda: _csv_batches(file, columns, types), place, format)
    else:
        pieces = _guarded(lambda: _BATCHES[format](file, columns), place, format)
    while (piece := _guarded(lambda: next(pieces, None), place, format)) is not None:
        yield piece


def read_schema(file: Any, format: str, place: str) -> Any:
    """The schema of the table in a file; of CSV only the names count."""

    def read() -> Any:
        if format == ARROW:
            return _open_ipc(file).schema
        if format == PARQUET:
            return _parquet(file).schema_arrow
        return importlib.import_module("pyarrow.csv").open_csv(file).schema

    return _guarded(read, place, format)


def _guarded(read: Any, place: str, format: str) -> Any:
    arrow = importlib.import_module("pyarrow")
    try:
        return read()
    except (arrow.ArrowInvalid, arrow.ArrowKeyError, arrow.ArrowNotImplementedError) as error:
        raise TypeTransformerFailedError(
            f"the frame cannot be read as {format}: {' '.join(str(error).split())[:300]}",
            place=place,
            expected=f"a file in the format {format}",
            hint="the file is damaged, has other columns, or is of another format: name it with file_format",
        ) from error


# --- Arrow IPC ---------------------------------------------------------------------------------------------------


def _open_ipc(file: Any) -> Any:
    arrow = importlib.import_module("pyarrow")
    source = arrow.memory_map(str(file)) if not hasattr(file, "read") else arrow.PythonFile(file, mode="r")
    return importlib.import_module("pyarrow.ipc").open_file(source)


def _read_ipc(file: Any, columns: Columns) -> Any:
    table = _open_ipc(file).read_all()
    return table if columns is None else select(table, _present(table.schema, columns))


def _ipc_batches(file: Any, columns: Columns) -> Iterator[Any]:
    table = _read_ipc(file, columns)
    for start in range(0, table.num_rows, BATCH_ROWS):
        yield table.slice(start, BATCH_ROWS)


def _present(schema: Any, columns: Mapping[str, Any]) -> list[str]:
    """The declared columns that are there: what is missing is said by whoever checks, with a better message."""
    return [name for name in columns if name in schema.names]


# --- Parquet -----------------------------------------------------------------------------------------------------


def _parquet(file: Any) -> Any:
    return importlib.import_module("pyarrow.parquet").ParquetFile(
        str(file) if not hasattr(file, "read") else file, memory_map=not hasattr(file, "read")
    )


def _read_parquet(file: Any, columns: Columns) -> Any:
    opened = _parquet(file)
    full = opened.schema_arrow
    if columns is None:
        return _restored(opened.read(), opened)
    table = opened.read(columns=stored_names(full, _present(full, columns)))
    return _restored(table, opened).select(stored_names(full, _present(full, columns)))


def _parquet_batches(file: Any, columns: Columns) -> Iterator[Any]:
    arrow = importlib.import_module("pyarrow")
    opened = _parquet(file)
    full = opened.schema_arrow
    names = None if columns is None else stored_names(full, _present(full, columns))
    for batch in opened.iter_batches(BATCH_ROWS, columns=names):
        table = _restored(arrow.Table.from_batches([batch]).replace_schema_metadata(full.metadata), opened)
        yield table if names is None else table.select(names)


def _with_categories(table: Any) -> Any:
    """The table with its dictionaries in the metadata, in their order, used or not."""
    arrow = importlib.import_module("pyarrow")
    table = table.unify_dictionaries()
    kept = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if not arrow.types.is_dictionary(field.type):
            continue
        dictionary = column.chunk(0).dictionary if column.num_chunks else arrow.array([], field.type.value_type)
        values = arrow.table([dictionary], names=["values"])
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, values.schema) as out:
            out.write_table(values)
        kept[field.name] = base64.b64encode(sink.getvalue()).decode()
    if not kept:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _CATEGORIES: json.dumps(kept).encode()})


def _restored(table: Any, opened: Any) -> Any:
    """The table with the types it had when it was written, where Parquet has others."""
    arrow = importlib.import_module("pyarrow")
    stored = opened.metadata.metadata or {}
    kept = json.loads(stored.get(_CATEGORIES, b"{}"))
    described = stored.get(b"ARROW:schema")
    if described is None:
        return table
    wanted = arrow.ipc.read_schema(arrow.py_buffer(base64.b64decode(described)))
    for position, field in enumerate(table.schema):
        if field.name not in wanted.names:
            continue
        type = wanted.field(field.name).type
        if field.name in kept:
            column = _with_dictionary(table.column(position), type, kept[field.name])
        elif field.type != type:
            column = table.column(position).cast(type)
        else:
            continue
        table = table.set_column(position, wanted.field(field.name), column)
    metadata = {key: said for key, said in (table.schema.metadata or {}).items() if key != _CATEGORIES}
    return table.replace_schema_metadata(metadata or None)


def _with_dictionary(column: Any, type: Any, kept: str) -> Any:
    arrow = importlib.import_module("pyarrow")
    compute = importlib.import_module("pyarrow.compute")
    dictionary = arrow.ipc.open_stream(base64.b64decode(kept)).read_all().column(0).combine_chunks()
    if isinstance(dictionary, arrow.ChunkedArray):
        dictionary = dictionary.chunk(0) if dictionary.num_chunks else arrow.array([], type.value_type)
    values = column.cast(type.value_type) if column.type != type.value_type else column
    indices = compute.index_in(values, value_set=dictionary).cast(type.index_type)
    pieces = [
        arrow.DictionaryArray.from_arrays(piece, dictionary, ordered=type.ordered, safe=False)
        for piece in indices.chunks or [arrow.array([], type.index_type)]
    ]
    return arrow.chunked_array(pieces, type=type)


# --- CSV ---------------------------------------------------------------------------------------------------------


def plain_values(table: Any) -> Any:
    """The table with the values of its dictionaries, which is all that text can hold."""
    arrow = importlib.import_module("pyarrow")
    for position, field in enumerate(table.schema):
        if arrow.types.is_dictionary(field.type):
            values = table.column(position).cast(field.type.value_type)
            table = table.set_column(position, field.name, values)
    return table


def _csv_options(columns: Columns, types: Columns) -> Any:
    csv = importlib.import_module("pyarrow.csv")
    declared = columns or {}
    return csv.ConvertOptions(
        include_columns=list(declared) or None,
        column_types={**(types or {}), **text_types(declared)},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )


def _read_csv(file: Any, columns: Columns, types: Columns) -> Any:
    return importlib.import_module("pyarrow.csv").read_csv(file, convert_options=_csv_options(columns, types))


def _csv_batches(file: Any, columns: Columns, types: Columns) -> Iterator[Any]:
    arrow = importlib.import_module("pyarrow")
    reader = importlib.import_module("pyarrow.csv").open_csv(file, convert_options=_csv_options(columns, types))
    for batch in reader:
        yield arrow.Table.from_batches([batch])


_READERS: Final[dict[str, Any]] = {ARROW: _read_ipc, PARQUET: _read_parquet}
_BATCHES: Final[dict[str, Any]] = {ARROW: _ipc_batches, PARQUET: _parquet_batches}
