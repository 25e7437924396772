"""Spark's frames as values: written by the executors to a folder of Parquet, read from there, a reference in between.

No frame passes through the driver's memory, but one that another library wrote as Arrow is streamed into Parquet.
"""

from __future__ import annotations

import importlib
import json
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flytepath import current_context
from flytepath.plugin import BlobSink, BlobSource, Literal, LiteralType, TypeTransformerFailedError

from flyte_plugin_spark.errors import spark_errors
from flyte_plugin_spark.places import folder_below, is_reached_by_spark, spark_uri

PARQUET: Final = "parquet"
CSV: Final = "csv"
ARROW: Final = "arrow-ipc"
#: What Spark reads by itself, by the format of a literal: its own name of it, and options.
_READERS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    PARQUET: ("parquet", {}),
    CSV: ("csv", {"header": "true", "inferSchema": "true", "escape": '"'}),
    "orc": ("orc", {}),
    "json": ("json", {}),
    "avro": ("avro", {}),
    "delta": ("delta", {}),
}
#: Times as everybody reads them, and not as Hive once wrote them.
_WRITING: Final = {
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.writeLegacyFormat": "false",
}
#: By this attribute a frame says which columns its folders are made of.
_PARTITIONED: Final = "_flytepath_partitioned_by"
#: Types of columns that folders say, as whoever reads them without Spark calls them.
_ARROW: Final = {
    "bigint": "int64",
    "boolean": "bool",
    "date": "date32",
    "double": "double",
    "float": "float",
    "int": "int32",
    "smallint": "int16",
    "string": "string",
    "tinyint": "int8",
}
#: How pandas-on-Spark and pandas call the column of an index without a name.
_NAMELESS: Final = "__index_level_"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What encoders and decoders need of the attempt they work for.

    Args:
        session: the one of the attempt.
        prefix: below this, what the attempt leaves is kept.
        scratch: a folder of this machine that lives as long as the session.
    """

    session: Any
    prefix: str
    scratch: Path


#: The attempt whose inputs are read or outputs written; none outside tasks of this plugin.
attempt: ContextVar[Attempt | None] = ContextVar("flytepath_spark_attempt", default=None)


def partitioned_by(frame: Any, *columns: str) -> Any:
    """The frame, to be kept in a folder for each value of ``columns``; whoever filters by them reads only those.

    Args:
        frame: a Spark frame.
        columns: names of columns; at least one other has to remain.

    Raises:
        TypeTransformerFailedError: there is no such column, or none remains.

    Example:
        .. code-block:: python

            @task(task_config=Spark())
            def by_day() -> DataFrame:
                return partitioned_by(current_context().spark_session.table("events"), "day")
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing or not columns or set(columns) >= set(frame.columns):
        raise TypeTransformerFailedError(
            f"the frame has no column {missing[0]!r}"
            if missing
            else "a partitioned frame has columns in its files too",
            place="partitioned_by",
            expected="some of " + ", ".join(frame.columns),
            actual=", ".join(columns) or "nothing",
        )
    made = frame.select("*")  # the given one is left alone
    setattr(made, _PARTITIONED, columns)
    return made


# --- writing -----------------------------------------------------------------------------------------------------


def encode_parquet(frame: Any, uri: str | None, sink: BlobSink, columns: tuple[str, ...] | None = None) -> Literal:
    """Write a frame as a folder of Parquet files."""
    return _encode(_narrowed(frame, columns), uri, PARQUET)


def encode_csv(frame: Any, uri: str | None, sink: BlobSink, columns: tuple[str, ...] | None = None) -> Literal:
    """Write a frame as a folder of CSV files with a header each."""
    return _encode(_narrowed(frame, columns), uri, CSV)


def _narrowed(frame: Any, columns: tuple[str, ...] | None) -> Any:
    """The frame with the declared columns, and in the folders it is to be kept in."""
    if columns is None:
        return frame
    made = frame.select(*_present(frame.columns, columns, "the frame that is returned"))
    partitions = tuple(name for name in frame.__dict__.get(_PARTITIONED, ()) if name in columns)
    if partitions and set(partitions) < set(columns):
        setattr(made, _PARTITIONED, partitions)
    return made


def encode_pandas_parquet(frame: Any, uri: str | None, sink: BlobSink) -> Literal:
    """Write a pandas-on-Spark frame, its index as columns that the literal names."""
    columns, names = _index_of(frame)
    return _encode(frame.to_spark(index_col=columns), uri, PARQUET, {"index": columns, "index_names": names})


def encode_pandas_csv(frame: Any, uri: str | None, sink: BlobSink) -> Literal:
    """The same as CSV."""
    columns, names = _index_of(frame)
    return _encode(frame.to_spark(index_col=columns), uri, CSV, {"index": columns, "index_names": names})


def _encode(frame: Any, uri: str | None, format: str, more: Mapping[str, Any] | None = None) -> Literal:
    place = _own_folder() if uri is None else uri
    with spark_errors(f"the frame for {place}"), _settings(frame.sparkSession, _WRITING):
        writer = frame.write.mode("overwrite")
        partitions = frame.__dict__.get(_PARTITIONED, ())
        if partitions:
            writer = writer.partitionBy(*partitions)
        if format == CSV:
            writer.option("header", "true").option("escape", '"').csv(spark_uri(place))
        else:
            writer.parquet(spark_uri(place))
        schema = frame.schema
    # A place that is named may be written again: each time it is another content.
    facts: dict[str, Any] = {
        "uri": place,
        "schema": [[f.name, _plain(f)] for f in schema],
        "written": uuid.uuid4().hex,
        **(more or {}),
    }
    if partitions:
        facts["partitions"] = [
            [f.name, _ARROW[t]] for f in schema if f.name in partitions and (t := _plain(f)) in _ARROW
        ]
        # Folders only hold texts: what type they were is said here, or a text of digits would come back as a number.
        facts["spark_schema"] = schema.json()
    return Literal.make(LiteralType("dataframe"), facts, format=format)


def _plain(field: Any) -> str:
    return str(field.dataType.simpleString())


def _own_folder() -> str:
    """A folder that no other attempt ever writes to, not even one that is taken for lost and goes on."""
    known = attempt.get()
    prefix = known.prefix if known is not None else current_context().raw_output_prefix
    place = folder_below(prefix, f"frame-{uuid.uuid4().hex}")
    if not is_reached_by_spark(place):
        raise TypeTransformerFailedError(
            "Spark cannot write to where outputs are kept",
            place=place,
            expected="a folder, s3://, gs://, abfs://, hdfs:// ...",
            actual=place.partition("://")[0] + "://",
            hint="return a StructuredDataset(dataframe=..., uri=...) with a place that Spark reaches",
        )
    return place


def _index_of(frame: Any) -> tuple[list[str], list[str | None]]:
    """Columns for the index of a pandas-on-Spark frame, and the names that its levels have."""
    names = list(frame.index.names)
    taken = {str(name) for name in frame.columns}
    columns = []
    for level, name in enumerate(names):
        plain = name if isinstance(name, str) and name not in taken else f"{_NAMELESS}{level}__"
        columns.append(plain)
        taken.add(plain)
    if any(name is not None and not isinstance(name, str) for name in names):
        raise TypeTransformerFailedError("the levels of an index are named by texts", actual=repr(names))
    return columns, names


@contextmanager
def _settings(session: Any, values: Mapping[str, str]) -> Iterator[None]:
    before = {name: session.conf.get(name, None) for name in values}
    for name, value in values.items():
        session.conf.set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                session.conf.unset(name)
            else:
                session.conf.set(name, old)


# --- reading -----------------------------------------------------------------------------------------------------


def decode(literal: Literal, columns: tuple[str, ...] | None, source: BlobSource) -> Any:
    """Read a frame lazily; only what its use needs is read at all."""
    with spark_errors(_place(literal)):
        frame, facts = _read(literal, source)
        nameless = [name for name in facts.get("index", ()) if name.startswith(_NAMELESS)]
        if nameless:
            frame = frame.drop(*nameless)  # a Spark frame has no index, and this one bears no name
        return frame if columns is None else frame.select(*_present(frame.columns, columns, _place(literal)))


def decode_pandas(literal: Literal, columns: tuple[str, ...] | None, source: BlobSource) -> Any:
    """Read a pandas-on-Spark frame with the index it had."""
    with spark_errors(_place(literal)):
        frame, facts = _read(literal, source)
        index = [name for name in facts.get("index", ()) if name in frame.columns]
        if columns is not None:
            kept = [name for name in index if name not in columns]
            present = _present([name for name in frame.columns if name not in kept], columns, _place(literal))
            frame = frame.select(*kept, *present)
            index = [name for name in index if name in kept]
        with warnings.catch_warnings():
            # Without an index one is numbered, which costs something and is what whoever asks for such a frame wants.
            warnings.simplefilter("ignore")
            found = frame.pandas_api(index_col=index or None)
        if index:
            names = dict(zip(facts["index"], facts.get("index_names") or facts["index"], strict=True))
            found.index.names = [names[name] for name in index]
        return found


def _read(literal: Literal, source: BlobSource) -> tuple[Any, Mapping[str, Any]]:
    """The frame, and what is known of its index."""
    session = _session()
    uri = literal.data.get("uri") if isinstance(literal.data, dict) else None
    if uri is None and literal.ref is None:
        raise TypeTransformerFailedError("the literal is no frame", actual=literal.format)
    if literal.format == ARROW:
        return _from_arrow(session, literal, uri, source)
    known = _READERS.get(literal.format)
    if known is None:
        raise TypeTransformerFailedError(
            f"Spark reads no frames in format {literal.format!r}",
            place=_place(literal),
            expected=", ".join(sorted([ARROW, *_READERS])),
            actual=literal.format,
        )
    place = spark_uri(uri) if uri is not None else _blob_place(literal, source)
    facts = literal.data or {}
    reader = session.read.format(known[0]).options(**known[1])
    if literal.format == PARQUET and "spark_schema" in facts:
        types = importlib.import_module("pyspark.sql.types")
        reader = reader.schema(types.StructType.fromJson(json.loads(facts["spark_schema"])))
    return reader.load(place), facts


def _session() -> Any:
    known = attempt.get()
    if known is not None:
        return known.session
    from flyte_plugin_spark.session import session_of_frames

    return session_of_frames()


def _blob_place(literal: Literal, source: BlobSource) -> str:
    """Where executors read a blob: itself, or a copy on this machine where Spark does not reach it."""
    if literal.ref is None:
        raise TypeTransformerFailedError("the literal has no blob", actual=literal.format)
    if literal.ref.uri.startswith("file:") or not is_reached_by_spark(literal.ref.uri):
        return source.local_path(literal.ref).as_uri()
    return spark_uri(literal.ref.uri)


def _from_arrow(session: Any, literal: Literal, uri: str | None, source: BlobSource) -> tuple[Any, Mapping[str, Any]]:
    """A frame that another library wrote, streamed into Parquet, which executors read piece by piece."""
    from flyte_plugin_spark.arrow import arrow_to_parquet, landing

    with landing(session, attempt.get()) as place:
        facts = arrow_to_parquet(literal, uri, source, place)
    return session.read.parquet(spark_uri(place)), facts


def _present(found: list[str], columns: tuple[str, ...], place: str) -> list[Any]:
    missing = [name for name in columns if name not in found]
    if missing:
        raise TypeTransformerFailedError(
            f"the frame has no column {missing[0]!r}",
            place=place,
            expected=", ".join(columns),
            actual=", ".join(found),
        )
    functions = importlib.import_module("pyspark.sql.functions")
    return [functions.col("`" + name.replace("`", "``") + "`") for name in columns]


def _place(literal: Literal) -> str:
    if isinstance(literal.data, dict) and isinstance(literal.data.get("uri"), str):
        return str(literal.data["uri"])
    return literal.ref.uri if literal.ref is not None else "a frame"
