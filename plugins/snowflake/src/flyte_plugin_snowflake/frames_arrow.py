"""Results as Arrow tables whose columns have the same types in all pieces, as the service describes them.

The connector chooses the width of integers and the unit of times for each piece by the values in it. After its page
"Python Connector API", where it lists type codes, and Snowflake's "Summary of data types".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flyte_plugin_snowflake.datasets_errors import SnowflakeColumnError

#: Type codes of a cursor's description that are no text.
_KINDS: Final = {
    0: "FIXED",
    1: "REAL",
    3: "DATE",
    4: "TIMESTAMP",
    6: "TIMESTAMP_LTZ",
    7: "TIMESTAMP_TZ",
    8: "TIMESTAMP_NTZ",
    11: "BINARY",
    12: "TIME",
    13: "BOOLEAN",
}
#: Vectors come as lists of numbers, and are left as they come.
_VECTOR: Final = 16
#: The most digits of a NUMBER, and of one that always is an int64.
_PRECISION: Final = 38
_INT64: Final = 18


def columns_of(description: Sequence[Any], integers: str = "int64", known: Mapping[str, str] | None = None) -> Any:
    """The Arrow schema of a result, the same for all its pieces.

    Args:
        description: of the connector's cursor.
        integers: what those of more than 18 digits are read as: ``int64`` or ``decimal``.
        known: of columns of which more is known than the service tells: ``decimal``, or ``us`` for times without
            nanoseconds.

    Example:
        >>> from collections import namedtuple
        >>> Column = namedtuple("Column", "name type_code precision scale")
        >>> columns_of([Column("TOTAL", 0, 10, 2), Column("AT", 8, 0, 9)]).types
        [Decimal128Type(decimal128(10, 2)), TimestampType(timestamp[ns])]
    """
    import pyarrow as pa

    return pa.schema([pa.field(one.name, _arrow(one, integers, (known or {}).get(one.name))) for one in description])


def _arrow(one: Any, integers: str, known: str | None) -> Any:
    import pyarrow as pa

    name, precision, scale = _KINDS.get(one.type_code, "TEXT"), one.precision, one.scale
    if one.type_code == _VECTOR:
        return pa.null()
    if name == "FIXED":
        if scale or ("decimal" in (integers, known) and (precision or _PRECISION) > _INT64):
            return pa.decimal128(precision or _PRECISION, scale or 0)
        return pa.int64()
    # With up to six digits of a second all years that Snowflake knows fit.
    unit = "us" if known == "us" or (scale is not None and scale <= 6) else "ns"
    match name:
        case "REAL":
            return pa.float64()
        case "BOOLEAN":
            return pa.bool_()
        case "DATE":
            return pa.date32()
        case "TIME":
            return pa.time64(unit)
        case "BINARY":
            return pa.binary()
        case "TIMESTAMP" | "TIMESTAMP_NTZ":
            return pa.timestamp(unit)
        case "TIMESTAMP_TZ" | "TIMESTAMP_LTZ":
            return pa.timestamp(unit, "UTC")
    return pa.string()


def as_described(table: Any, schema: Any, place: str = "") -> Any:
    """A piece of a result, with the types of all pieces.

    Args:
        table: the piece.
        schema: of :func:`columns_of`.
        place: what is read, for errors.

    Raises:
        SnowflakeColumnError: a value that does not fit: nothing is rounded or cut.
    """
    import pyarrow as pa

    columns, fields = [], []
    for position, field in enumerate(schema):
        data, kind = table.column(position), field.type
        if not pa.types.is_null(kind) and data.type != kind:
            try:
                data = data.cast(kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise SnowflakeColumnError(
                    f"column {field.name!r} holds a value that does not fit: {error}",
                    place=place or None,
                    expected=str(kind),
                    actual=str(data.type),
                    hint="integers beyond 64 bits: cast them to VARCHAR in the query, or add integers=decimal to the "
                    "table's URI; years before 1678 or after 2261: cast them to TIMESTAMP_NTZ(6)",
                ) from error
        columns.append(data)
        fields.append(pa.field(field.name, data.type))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))
