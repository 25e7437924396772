"""pandas frames as Arrow tables and back: every dtype, label, index and missing value as it was, or an error.

What Arrow's own pandas metadata leaves out stands in a schema entry of ours. Whether dtypes and labels come back is
tried on the first row, which costs nothing; values are compared only where their dtype does not vouch for them.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from flytepath.errors import TypeTransformerFailedError

#: Where a pandas frame's schema says what Arrow's own metadata leaves out.
_FACTS: Final = b"flytepath.axes"
#: Dtypes by ``kind`` whose values Arrow holds as they are.
_EXACT_KINDS: Final = frozenset("biufMm")
_EXACT_EXTENSIONS: Final = frozenset(
    {"CategoricalDtype", "DatetimeTZDtype", "PeriodDtype", "IntervalDtype", "StringDtype", "BooleanDtype", "ArrowDtype"}
    | {f"{sign}Int{bits}Dtype" for sign in ("", "U") for bits in (8, 16, 32, 64)}
)
#: Classes of objects that nobody can change, so that two frames may share them.
_UNCHANGING: Final = frozenset(
    {f"builtins.{name}" for name in ("str", "bytes", "int", "float", "bool", "NoneType")}
    | {f"datetime.{name}" for name in ("date", "time", "datetime", "timedelta")}
    | {"decimal.Decimal", "pandas._libs.missing.NAType"}
)
#: Rows of a piece of a large frame.
_PIECE_ROWS: Final = 262_144
_TO_PANDAS: Final = {"split_blocks": False, "date_as_object": True, "integer_object_nulls": True}


def to_table(frame: Any) -> Any:
    """The Arrow table of a pandas frame.

    Raises:
        TypeTransformerFailedError: it would come back different; ``place`` names the column.
    """
    arrow = importlib.import_module("pyarrow")
    facts = _facts(frame)
    plain = frame
    if frame.attrs:
        plain = frame.copy(deep=False)
        plain.attrs = {}
    try:
        table = arrow.Table.from_pandas(plain, preserve_index=None)
    except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise inexact(_culprit(frame), f"cannot be kept exactly: {error}", "mixed or unknown objects") from error
    except KeyError as error:
        raise inexact("", f"cannot be kept exactly: its labels are not distinct: {error}", "labels") from error
    entries = {**(table.schema.metadata or {}), _FACTS: json.dumps(facts).encode()}
    table = table.replace_schema_metadata(entries)
    _check_form(frame, table)
    _check_values(frame, table)
    return table


def in_pieces(frame: Any) -> tuple[Any, Iterator[Any]] | None:
    """A large frame of plain numbers as an Arrow schema and record batches, each made when it is asked for.

    So that one piece is written while the next is made. ``None`` for frames that :func:`to_table` makes at once.
    """
    pandas = importlib.import_module("pandas")
    plain = type(frame.index) is pandas.RangeIndex and not frame.attrs
    if not plain or len(frame) < 2 * _PIECE_ROWS or not all(_is_number(dtype) for dtype in frame.dtypes):
        return None
    arrow = importlib.import_module("pyarrow")
    schema = to_table(frame.iloc[:1]).schema
    described = json.loads(schema.metadata[b"pandas"])
    index = frame.index
    described["index_columns"] = [
        {"kind": "range", "name": index.name, "start": index.start, "stop": index.stop, "step": index.step}
    ]
    schema = schema.with_metadata({**schema.metadata, b"pandas": json.dumps(described).encode()})
    columns = [frame.iloc[:, position].to_numpy() for position in range(frame.shape[1])]

    def batches() -> Iterator[Any]:
        for start in range(0, len(frame), _PIECE_ROWS):
            rows = [column[start : start + _PIECE_ROWS] for column in columns]
            arrays = [
                arrow.array(items, field.type, from_pandas=True) for items, field in zip(rows, schema, strict=True)
            ]
            yield arrow.RecordBatch.from_arrays(arrays, schema=schema)

    return schema, batches()


def from_table(table: Any) -> Any:
    """The pandas frame of an Arrow table; one that pandas did not write keeps missing integers and booleans."""
    metadata = table.schema.metadata or {}
    facts = json.loads(metadata.get(_FACTS, b"{}")) if b"pandas" in metadata else {}
    frame = table.to_pandas(**_TO_PANDAS)
    if facts:
        _restore(frame, table, facts)
    _keep_gaps(frame, table, facts.get("objects", ()))
    for position, dtype in enumerate(frame.dtypes):
        if str(dtype) == "category":  # the one kind of column that pandas leaves in Arrow's memory, which is read only
            frame.isetitem(position, frame.iloc[:, position].copy(deep=True))
    return frame


def subset(frame: Any, columns: list[str]) -> Any:
    """The frame with only these columns, in this order; as it is where a label is no such name."""
    labels = list(frame.columns) if frame.columns.nlevels == 1 else []
    return frame[columns] if all(labels.count(name) == 1 for name in columns) else frame


def isolate(frame: Any) -> Any:
    """A frame that shares nothing that can change with the given one."""
    import copy

    pandas = importlib.import_module("pandas")
    copies_on_write = int(pandas.__version__.partition(".")[0]) >= 3
    own = frame.copy(deep=not copies_on_write)
    for position, dtype in enumerate(frame.dtypes):
        if _is_object(dtype):
            items = frame.iloc[:, position].to_numpy()
            if not {f"{kind.__module__}.{kind.__qualname__}" for kind in set(map(type, items))} <= _UNCHANGING:
                copies = [copy.deepcopy(item) for item in items]
                own.isetitem(position, pandas.Series(copies, index=frame.index, dtype=object))
    return own


# --- what Arrow's metadata leaves out ----------------------------------------------------------------------------


def _facts(frame: Any) -> dict[str, Any]:
    """Columns that are only numbered, an index's frequency, columns of objects, attributes and flags."""
    pandas = importlib.import_module("pandas")
    columns, index = frame.columns, frame.index
    regular = isinstance(index, pandas.DatetimeIndex | pandas.TimedeltaIndex)
    facts: dict[str, Any] = {
        "columns": [columns.start, columns.stop, columns.step] if type(columns) is pandas.RangeIndex else None,
        "frequency": index.freqstr if regular else None,
    }
    dtypes = list(zip(map(str, columns), frame.dtypes, strict=True))  # as Arrow names the columns
    objects = {name: _missing(frame.iloc[:, p].array) for p, (name, dtype) in enumerate(dtypes) if _is_object(dtype)}
    texts = {name: dtype.storage for name, dtype in dtypes if _is_unusual_text(dtype)}
    if objects:
        facts["objects"] = objects
    if texts:
        facts["texts"] = texts
    if type(index) is pandas.Index and _is_object(index.dtype):
        facts["index"] = _missing(index.array)
    if type(index) is pandas.RangeIndex and not len(columns):
        facts["range"] = [index.start, index.stop, index.step, index.name]  # Arrow keeps no rows without columns
    if frame.attrs:
        facts["attrs"] = _plain_attributes(frame.attrs)
    if not frame.flags.allows_duplicate_labels:
        facts["distinct"] = True
    return facts


def _is_object(dtype: Any) -> bool:
    return str(dtype) == "object"


def _is_unusual_text(dtype: Any) -> bool:
    return type(dtype).__name__ == "StringDtype" and dtype.storage != "pyarrow"


def _missing(items: Any) -> str:
    """What stands for a missing object: ``None``, unless all of them are NaN."""
    pandas = importlib.import_module("pandas")
    missing = list(items[pandas.isna(items)])
    return "nan" if missing and all(type(item) is float for item in missing) else "none"


def _plain_attributes(attributes: Any) -> Any:
    try:
        text = json.dumps(attributes, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _bad_attributes(error) from error
    back = json.loads(text)
    if back != attributes or repr(back) != repr(attributes):
        raise _bad_attributes(None)
    return back


def _bad_attributes(error: Exception | None) -> TypeTransformerFailedError:
    return TypeTransformerFailedError(
        "the attributes of the frame (frame.attrs) cannot be kept exactly",
        place=".attrs",
        expected="a dict of plain JSON values with strings as keys",
        actual=str(error) if error else "values that JSON would change, such as tuples",
        hint="set frame.attrs = {} before the frame leaves the task, or keep plain values in it",
    )


def _restore(frame: Any, table: Any, facts: dict[str, Any]) -> None:
    """Put back what the facts say, as far as it is still so: another task may have changed the table."""
    pandas = importlib.import_module("pandas")
    numpy = importlib.import_module("numpy")
    described = json.loads(table.schema.metadata[b"pandas"]).get("index_columns", ())
    index = [name for name in described if isinstance(name, str) and name in table.schema.names]
    names = [name for name in table.schema.names if name not in index]
    if facts.get("range") is not None and not names:
        *bounds, name = facts["range"]
        frame.index = pandas.RangeIndex(*bounds, name=name)
    if facts.get("columns") is not None and names == [str(number) for number in range(*facts["columns"])]:
        frame.columns = pandas.RangeIndex(*facts["columns"], name=frame.columns.name)
    objects, texts = facts.get("objects", {}), facts.get("texts", {})
    for position, name in enumerate(names):
        column = table.column(name) if name in objects or name in texts else None
        if name in objects:
            items = _as_objects(column, objects[name], numpy)
            frame.isetitem(position, pandas.Series(items, index=frame.index, dtype=object))
        elif name in texts and isinstance(frame.dtypes.iloc[position], pandas.StringDtype):
            kept, storage = frame.dtypes.iloc[position].na_value, texts[name]
            dtype = pandas.StringDtype(storage) if kept is pandas.NA else pandas.StringDtype(storage, na_value=kept)
            items = _as_objects(column, "none", numpy)
            frame.isetitem(position, pandas.Series(items, index=frame.index, dtype=dtype))
    if facts.get("index") is not None and len(index) == 1:
        items = _as_objects(table.column(index[0]), facts["index"], numpy)
        frame.index = pandas.Index(items, dtype=object, name=frame.index.name)
    if facts.get("frequency") is not None and len(frame):
        with suppress(ValueError):  # rows were taken out
            frame.index.freq = facts["frequency"]
    if facts.get("attrs"):
        frame.attrs = facts["attrs"]
    if facts.get("distinct"):
        frame.flags.allows_duplicate_labels = False


def _as_objects(column: Any, missing: str, numpy: Any) -> Any:
    """An Arrow column as an array of Python objects."""
    types = importlib.import_module("pyarrow").types
    items = numpy.empty(len(column), dtype=object)
    kept = types.is_string(column.type) or types.is_large_string(column.type) or types.is_binary(column.type)
    items[:] = column.to_numpy(zero_copy_only=False) if kept else list(column.to_pandas(**_TO_OBJECTS))
    if missing == "nan":
        items[numpy.asarray(column.is_null())] = numpy.nan
    return items


_TO_OBJECTS: Final = {"date_as_object": True, "integer_object_nulls": True, "timestamp_as_object": True}


def _keep_gaps(frame: Any, table: Any, kept: Any) -> None:
    """Columns in which pandas' own numbers would have no gaps, as its nullable dtypes: of tables of other libraries."""
    pandas = importlib.import_module("pandas")
    types = importlib.import_module("pyarrow").types
    position = -1
    for name in table.schema.names:
        position += 1
        if position >= frame.shape[1] or str(frame.columns[position]) != name:
            position -= 1  # an index, which stands elsewhere
            continue
        column = table.column(table.schema.names.index(name)) if table.schema.names.count(name) == 1 else None
        if column is None or name in kept or not _is_object(frame.dtypes.iloc[position]):
            continue
        dtype = _nullable(column.type, types, pandas)
        if dtype is not None:
            frame.isetitem(position, pandas.Series(dtype.__from_arrow__(column), index=frame.index))


def _nullable(type: Any, types: Any, pandas: Any) -> Any:
    if types.is_boolean(type):
        return pandas.BooleanDtype()
    if not types.is_integer(type):
        return None
    return getattr(pandas, f"{'U' if types.is_unsigned_integer(type) else ''}Int{type.bit_width}Dtype")()


# --- whether it comes back ---------------------------------------------------------------------------------------


def _check_form(frame: Any, table: Any) -> None:
    """Hold the first row's dtypes and labels against those that came back: the other rows play no part in them."""
    pandas = importlib.import_module("pandas")
    ranged = type(frame.index) is pandas.RangeIndex
    rows = 1 if len(frame.columns) else len(frame)
    before = frame.iloc[:rows]
    try:
        back = from_table(table.slice(0, rows))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise inexact("", f"cannot be kept exactly: {error}", "a dtype or label that Arrow cannot name") from error
    if ranged:
        before, back = before.reset_index(drop=True), back.reset_index(drop=True)
        described = json.loads(table.schema.metadata[b"pandas"])["index_columns"]
        index = frame.index
        wanted = {"kind": "range", "name": index.name, "start": index.start, "stop": index.stop, "step": index.step}
        if described != [wanted]:
            raise inexact("", "has an index that would come back different", str(index))
    _compare(frame, before, back)


def _check_values(frame: Any, table: Any) -> None:
    """Hold values against those that come back, where their dtype does not say that Arrow keeps them."""
    pandas = importlib.import_module("pandas")
    doubtful = [
        p
        for p, dtype in enumerate(frame.dtypes)
        if not _vouches(dtype) and not (_is_object(dtype) and _is_text(frame, p))
    ]
    index_doubtful = type(frame.index) is not pandas.RangeIndex and (
        isinstance(frame.index, pandas.MultiIndex) or not _vouches(frame.index.dtype)
    )
    if not doubtful and not index_doubtful:
        return
    back = from_table(table)
    if index_doubtful:
        _compare(frame, frame.iloc[:, :0], back.iloc[:, :0])
    for position in doubtful:
        column, other = frame.iloc[:, position], back.iloc[:, position]
        name = str(frame.columns[position])
        _compare_items(name, column, other)
        _compare(frame, frame.iloc[:, [position]], back.iloc[:, [position]])


def _vouches(dtype: Any) -> bool:
    return type(dtype).__name__ in _EXACT_EXTENSIONS or _is_number(dtype)


def _is_number(dtype: Any) -> bool:
    return type(dtype).__module__.partition(".")[0] == "numpy" and dtype.kind in _EXACT_KINDS


def _compare(frame: Any, before: Any, back: Any) -> None:
    pandas = importlib.import_module("pandas")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what later versions of pandas will compare is not the user's affair
            pandas.testing.assert_frame_equal(
                before,
                back,
                check_index_type="exact",
                check_column_type="exact",
                check_exact=True,
                check_freq=bool(len(before)),
            )
    except AssertionError as error:
        detail = " ".join(str(error).split())[:200]
        raise inexact(_changed(before, back) or _culprit(frame), "would come back different", detail) from error


def _changed(before: Any, back: Any) -> str:
    changed = [
        name for name, one, other in zip(before.columns, before.dtypes, back.dtypes, strict=False) if one != other
    ]
    return str(changed[0]) if changed else ""


def _is_text(frame: Any, position: int) -> bool:
    """Whether a column of objects holds nothing but text and one kind of gap, which Arrow keeps as it is."""
    items = frame.iloc[:, position].to_numpy()
    kinds = set(map(type, items))
    if kinds == {str, float}:  # a number among texts would not have become a table
        return _missing(items) == "nan"
    return kinds <= {str, type(None)} or kinds <= {bytes, type(None)}


def _compare_items(name: str, items: Any, others: Any) -> None:
    before, back = list(map(type, items.to_numpy(dtype=object))), list(map(type, others.to_numpy(dtype=object)))
    if before != back:
        one, other = next(pair for pair in zip(before, back, strict=True) if pair[0] is not pair[1])
        actual = f"{one.__name__}, which would be {other.__name__}"
        raise inexact(name, "holds objects that would come back different, as others", actual)


def _culprit(frame: Any) -> str:
    """The first column of objects of more than one class, for the message; the first column of objects otherwise."""
    objects = [position for position, dtype in enumerate(frame.dtypes) if _is_object(dtype)]
    mixed = [p for p in objects if len({type(item) for item in frame.iloc[:, p] if item is not None}) > 1]
    chosen = mixed or objects
    return str(frame.columns[chosen[0]]) if chosen else ""


def inexact(column: str, what: str, actual: str) -> TypeTransformerFailedError:
    """The error of a frame that Arrow would bring back different."""
    return TypeTransformerFailedError(
        f"the column {column!r} {what}" if column else f"the frame {what}",
        place=f"[{column!r}]" if column else None,
        expected="columns of one type that Arrow can hold",
        actual=actual,
        hint="convert the column with astype(...), or reset the index, before the frame leaves the task",
    )
