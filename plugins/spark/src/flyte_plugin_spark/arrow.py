"""What other libraries wrote as Arrow, as Parquet that Spark reads: streamed, and exact or refused."""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flytepath.plugin import BlobSource, Literal, TypeTransformerFailedError

from flyte_plugin_spark.places import folder_below, is_reached_by_spark, process_folder

if TYPE_CHECKING:
    from flyte_plugin_spark.frames import Attempt


@contextmanager
def landing(session: Any, attempt: Attempt | None) -> Iterator[str]:
    """A new folder that executors read: of this machine where they compute here, else below the attempt's prefix."""
    remote = type(session).__module__.startswith("pyspark.sql.connect")
    name = f"given-{uuid.uuid4().hex}"
    if attempt is None:
        yield folder_below(str(process_folder()), name)
        return
    here = not remote and str(session.sparkContext.master).startswith("local")
    if here or not is_reached_by_spark(attempt.prefix):
        yield folder_below(str(attempt.scratch), name)
    else:
        yield folder_below(attempt.prefix, name)


def arrow_to_parquet(literal: Literal, uri: str | None, source: BlobSource, place: str) -> Mapping[str, Any]:
    """Write the frame of an Arrow literal to the folder ``place``; what is known of its index.

    Raises:
        TypeTransformerFailedError: a column cannot be had in Spark without a change.
    """
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    fsspec = importlib.import_module("fsspec")
    target = f"{place}/part-00000.parquet"
    with _opened(literal, uri, source) as reader:
        schema = _for_spark(reader.schema)
        system, path = fsspec.core.url_to_fs(target)
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        with (
            system.open(path, "wb") as file,
            parquet.ParquetWriter(file, schema, coerce_timestamps="us", allow_truncated_timestamps=False) as writer,
        ):
            for number in range(reader.num_record_batches):
                table = arrow.Table.from_batches([reader.get_batch(number)])
                writer.write_table(_cast(table, schema))
        return _index_facts(reader.schema)


@contextmanager
def _opened(literal: Literal, uri: str | None, source: BlobSource) -> Iterator[Any]:
    arrow, ipc = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.ipc")
    if uri is None and literal.ref is not None:
        with arrow.memory_map(str(source.local_path(literal.ref))) as file:
            yield ipc.open_file(file)
        return
    fsspec = importlib.import_module("fsspec")
    system, path = fsspec.core.url_to_fs(uri)
    if system.isdir(path):
        raise TypeTransformerFailedError(
            "Spark reads folders of Parquet, not of Arrow files", place=uri, expected="parquet", actual="arrow-ipc"
        )
    with system.open(path, "rb") as file:
        yield ipc.open_file(arrow.PythonFile(file, mode="r"))


def _for_spark(schema: Any) -> Any:
    """The schema with types that Spark has; metadata is left behind, because its categories are values now."""
    arrow = importlib.import_module("pyarrow")
    return arrow.schema([field.with_type(_type(field.type, field.name)) for field in schema])


def _type(t: Any, column: str) -> Any:
    arrow = importlib.import_module("pyarrow")
    types = arrow.types
    if types.is_dictionary(t):
        return _type(t.value_type, column)
    if types.is_timestamp(t):
        return arrow.timestamp("us", t.tz)
    if types.is_duration(t):
        return arrow.duration("us")
    wider = {
        "uint8": arrow.int16(),
        "uint16": arrow.int32(),
        "uint32": arrow.int64(),
        "uint64": arrow.decimal128(20, 0),
    }
    if str(t) in wider:
        return wider[str(t)]
    if types.is_float16(t):
        return arrow.float32()
    if types.is_date64(t):
        return arrow.date32()
    if types.is_list(t) or types.is_large_list(t):
        return arrow.list_(t.value_field.with_type(_type(t.value_type, column)))
    if types.is_struct(t):
        return arrow.struct([field.with_type(_type(field.type, f"{column}.{field.name}")) for field in t])
    if types.is_map(t):
        return arrow.map_(_type(t.key_type, column), _type(t.item_type, column))
    if types.is_string_view(t):
        return arrow.string()
    if types.is_binary_view(t):
        return arrow.binary()
    if types.is_time(t) or types.is_union(t) or isinstance(t, arrow.BaseExtensionType) or types.is_interval(t):
        raise TypeTransformerFailedError(
            f"Spark has no type for the column {column!r}",
            place=column,
            expected="numbers, texts, bytes, dates, timestamps, decimals, lists, structs, maps",
            actual=str(t),
            hint="convert the column in the task that returns the frame",
        )
    return t


def _cast(table: Any, schema: Any) -> Any:
    arrow = importlib.import_module("pyarrow")
    columns = []
    for field, column in zip(schema, table.columns, strict=True):
        if column.type == field.type:
            columns.append(column)
        else:
            try:
                columns.append(column.cast(field.type))
            except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
                raise TypeTransformerFailedError(
                    f"the column {field.name!r} would change in Spark: {error}",
                    place=field.name,
                    expected=str(field.type),
                    actual=str(column.type),
                    hint="Spark counts time in microseconds: round the column before, as in .dt.floor('us')"
                    if arrow.types.is_timestamp(field.type)
                    else None,
                ) from error
    return arrow.Table.from_arrays(columns, schema=schema)


def _index_facts(schema: Any) -> dict[str, Any]:
    """Which columns are the index of a pandas frame."""
    described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    columns = [name for name in described.get("index_columns", ()) if isinstance(name, str)]
    if not columns:
        return {}
    names = {item.get("field_name"): item.get("name") for item in described.get("columns", ())}
    return {"index": columns, "index_names": [names.get(column) for column in columns]}
