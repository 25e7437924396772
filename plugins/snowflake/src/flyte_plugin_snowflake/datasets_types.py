"""Arrow's types as Snowflake's: how each column of a frame is written, and how it is the same again when it is read.

A column's rows travel in the form that every reader agrees on: what Parquet files or parameters may mean in two ways
(times, bytes, nested values) goes as text, and one last statement makes of it what it is. After Snowflake's pages
"Summary of data types", "Date and time input and output formats", and "Binary input and output".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flyte_plugin_snowflake.datasets_errors import SnowflakeColumnError
from flyte_plugin_snowflake.datasets_uri import quoted

#: Digits that integers of a width may have.
_DIGITS: Final = {"int8": 3, "int16": 5, "int32": 10, "int64": 19, "uint8": 3, "uint16": 5, "uint32": 10, "uint64": 20}
#: Digits of a second.
_FRACTION: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}
#: The most digits of a NUMBER.
_PRECISION: Final = 38


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is written.

    Attributes:
        name: of the column in the table.
        landing: its SQL type while it travels.
        final: its SQL type in the table.
        made: the SQL that makes the one of the other; ``{}`` stands for the column that travelled.
        travelling: the Arrow values as they travel.
    """

    name: str
    landing: str
    final: str
    made: str
    travelling: Callable[[Any], Any]

    def expression(self, travelled: str) -> str:
        """What is selected of the rows that travelled, under the name that the column had then."""
        return f"{self.made.replace('{}', quoted(travelled))} as {quoted(self.name)}"


def columns_of(schema: Any, place: str) -> tuple[Column, ...]:
    """How a table is written.

    Raises:
        SnowflakeColumnError: a column of a type that Snowflake has no like of, or a name it does not take.
    """
    if not len(schema):
        raise SnowflakeColumnError("a table has columns", place=place, expected="at least one", actual="none")
    seen: set[str] = set()
    for name in schema.names:
        if not name or len(name) > 255 or name in seen or not name.isprintable():
            raise SnowflakeColumnError(
                f"Snowflake takes no column named {name[:80]!r}" if name not in seen else f"two columns named {name!r}",
                place=place,
                expected="names of 1 to 255 characters that can be seen, each once",
            )
        seen.add(name)
    return tuple(_column(field.name, field.type, place) for field in schema)


def _column(name: str, kind: Any, place: str) -> Column:
    import pyarrow as pa

    types, same = pa.types, "{}"
    if types.is_dictionary(kind):
        inner = _column(name, kind.value_type, place)
        return Column(
            name, inner.landing, inner.final, inner.made, lambda data: inner.travelling(data.cast(kind.value_type))
        )
    if types.is_integer(kind):
        number = f"NUMBER({_DIGITS[str(kind)]}, 0)"
        return Column(name, number, number, same, _as_it_is)
    if types.is_floating(kind):
        return Column(name, "FLOAT", "FLOAT", same, lambda data: data.cast(pa.float64()))
    if types.is_boolean(kind):
        return Column(name, "BOOLEAN", "BOOLEAN", same, _as_it_is)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return Column(name, "VARCHAR", "VARCHAR", same, lambda data: data.cast(pa.string()))
    if types.is_decimal(kind) and kind.precision <= _PRECISION and 0 <= kind.scale <= kind.precision:
        number = f"NUMBER({kind.precision}, {kind.scale})"
        return Column(name, number, number, same, _as_it_is)
    if types.is_date(kind):
        return Column(name, "DATE", "DATE", same, lambda data: data.cast(pa.date32()))
    if types.is_time(kind):
        return Column(name, "VARCHAR", *_cast(f"TIME({_FRACTION[kind.unit]})"), lambda data: data.cast(pa.string()))
    if types.is_timestamp(kind):
        zone = "TZ" if kind.tz else "NTZ"
        return Column(name, "VARCHAR", *_cast(f"TIMESTAMP_{zone}({_FRACTION[kind.unit]})"), _moments(kind))
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return Column(name, "VARCHAR", "BINARY", "TO_BINARY({}, 'HEX')", _hex)
    if types.is_nested(kind) and not types.is_union(kind):
        return Column(name, "VARCHAR", "VARIANT", "PARSE_JSON({})", lambda data: _json(data, name, place))
    raise SnowflakeColumnError(
        f"Snowflake has nothing like the type of column {name!r}",
        place=place,
        expected="numbers of up to 38 digits, text, bytes, booleans, dates, times, and lists or structs of such",
        actual=str(kind),
        hint="a length of time as a number of seconds, anything else as text",
    )


def _cast(kind: str) -> tuple[str, str]:
    return kind, "{}::" + kind


def _as_it_is(data: Any) -> Any:
    return data


def _moments(kind: Any) -> Callable[[Any], Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not kind.tz:
        return lambda data: data.cast(pa.string())
    naive = pa.timestamp(kind.unit)
    return lambda data: pc.binary_join_element_wise(
        data.cast(pa.timestamp(kind.unit, "UTC")).cast(naive).cast(pa.string()), "+00:00", ""
    )


def _hex(data: Any) -> Any:
    import pyarrow as pa

    return pa.chunked_array(
        [pa.array([None if item is None else item.hex() for item in data.to_pylist()], pa.string())]
    )


def _json(data: Any, name: str, place: str) -> Any:
    import pyarrow as pa

    try:
        texts = [
            None if item is None else json.dumps(item, allow_nan=False, ensure_ascii=False) for item in data.to_pylist()
        ]
    except (TypeError, ValueError) as error:
        raise SnowflakeColumnError(
            f"column {name!r} holds what no VARIANT holds: {error}",
            place=place,
            expected="numbers, text, booleans, and lists and structs of them",
            actual=str(data.type),
        ) from error
    return pa.chunked_array([pa.array(texts, pa.string())])


# --- what a frame was ---------------------------------------------------------------------------------------------


def remembered(schema: Any) -> str:
    """A schema as text, for the literal of a frame that was written.

    Example:
        >>> import pyarrow as pa
        >>> recalled(remembered(pa.schema([("a", pa.int8())]))).field("a").type
        DataType(int8)
    """
    plain = schema.remove_metadata()
    return base64.b64encode(plain.serialize().to_pybytes()).decode()


def recalled(text: str) -> Any:
    """The inverse of :func:`remembered`."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def known_of(schema: Any) -> dict[str, str]:
    """What a schema tells of columns beyond the service: whole numbers beyond an int64, times without nanoseconds.

    Example:
        >>> import pyarrow as pa
        >>> known_of(pa.schema([("a", pa.int64()), ("b", pa.uint64()), ("c", pa.timestamp("ms"))]))
        {'b': 'decimal', 'c': 'us'}
    """
    import pyarrow as pa

    known = {}
    for field in schema:
        if pa.types.is_decimal(field.type) or pa.types.is_uint64(field.type):
            known[field.name] = "decimal"
        elif pa.types.is_temporal(field.type) and getattr(field.type, "unit", "ns") != "ns":
            known[field.name] = "us"
    return known


def as_remembered(table: Any, schema: Any) -> Any:
    """A piece with the types that its frame had, where the table still is what was written."""
    import pyarrow as pa

    for position, name in enumerate(table.column_names):
        index = schema.get_field_index(name)
        if index < 0 or table.schema.field(position).type == schema.field(index).type:
            continue
        kind, data = schema.field(index).type, table.column(position)
        try:
            data = _nested(data, kind) if pa.types.is_nested(kind) else _cast_back(data, kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError):
            continue  # somebody else has written since: then it is what Snowflake says
        table = table.set_column(position, pa.field(name, kind), data)
    return table


def _cast_back(data: Any, kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_null(kind) and data.null_count == len(data):
        return pa.chunked_array([pa.nulls(len(data))])
    if pa.types.is_dictionary(kind):
        return data.cast(kind.value_type).dictionary_encode().cast(kind)
    return data.cast(kind)


def _nested(data: Any, kind: Any) -> Any:
    import pyarrow as pa

    items = [None if item is None else json.loads(item) for item in data.to_pylist()]
    if pa.types.is_map(kind):
        items = [None if item is None else [tuple(pair) for pair in item] for item in items]
    return pa.chunked_array([pa.array(items, kind)])
