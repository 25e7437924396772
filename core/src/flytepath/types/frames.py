"""Data frames as Arrow IPC: pandas, polars and Arrow tables with their dtypes, index, categories and order.

A frame that Arrow would bring back different is refused when it is written, never changed: what is written is read
back once from the same buffers and compared. Tables are read through a memory map, without a copy.
"""

from __future__ import annotations

import copy
import importlib
import json
import typing
from typing import Any, ClassVar

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.converter import mismatch, unreadable


class FrameTransformer(TypeTransformer[Any]):
    """``pandas.DataFrame``, ``polars.DataFrame`` and ``pyarrow.Table``."""

    format: ClassVar[str] = "arrow-ipc"

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("dataframe", format=self.format)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        arrow = _arrow(t)
        kind = _KINDS[_library(t)]
        kind.check(value, t)
        table = kind.to_table(value)
        with sink.create() as writer:
            target = arrow.PythonFile(_Target(writer), mode="w")
            with arrow.ipc.new_file(target, table.schema) as out:
                out.write_table(table)
        facts = {"rows": table.num_rows, "columns": [[name, str(type)] for name, type in _columns(table)]}
        return Literal.make(self.literal_type(t), facts, format=self.format, ref=writer.ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        arrow = _arrow(t)
        if literal.format != self.format or literal.ref is None:
            raise unreadable(literal.format, f"{_library(t)} frame")
        try:
            table = arrow.ipc.open_file(arrow.memory_map(str(source.local_path(literal.ref)))).read_all()
        except arrow.ArrowInvalid as error:
            raise unreadable(literal.ref.uri, f"{_library(t)} frame") from error
        return _KINDS[_library(t)].from_table(table)

    def isolate(self, value: Any, t: Any) -> Any:
        kind = _KINDS[_library(t)]
        kind.check(value, t)
        return kind.isolate(value)

    def summary(self, value: Any) -> Json:
        rows, columns = value.shape
        names = value.column_names if hasattr(value, "column_names") else value.columns
        return {"rows": rows, "columns": columns, "names": [str(name) for name in list(names)[:50]]}


def _library(t: Any) -> str:
    return str(t.__module__).partition(".")[0]


def _arrow(t: Any) -> Any:
    try:
        return importlib.import_module("pyarrow.ipc") and importlib.import_module("pyarrow")
    except ImportError as error:
        raise TypeTransformerFailedError(
            f"{_library(t)} frames are kept as Arrow, and pyarrow is not installed",
            expected="pyarrow",
            hint="pip install 'flytepath[frames]'",
        ) from error


def _columns(table: Any) -> list[tuple[str, Any]]:
    return [(field.name, field.type) for field in table.schema]


class _Target:
    """A blob writer as pyarrow wants a file."""

    closed = False

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._writer.write(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._size

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True


class _Kind:
    """How one library's frames become Arrow tables and come back."""

    def check(self, value: Any, t: Any) -> None:
        if type(value) is not t:
            raise mismatch(value, f"{_library(t)} frame ({t.__qualname__})")

    def to_table(self, value: Any) -> Any:
        raise NotImplementedError

    def from_table(self, table: Any) -> Any:
        raise NotImplementedError

    def isolate(self, value: Any) -> Any:
        """Frames of these libraries never change in place."""
        return value


class _Arrow(_Kind):
    def to_table(self, value: Any) -> Any:
        return value

    def from_table(self, table: Any) -> Any:
        return table


class _Polars(_Kind):
    def to_table(self, value: Any) -> Any:
        polars = importlib.import_module("polars")
        objects = [name for name, dtype in value.schema.items() if dtype == polars.Object]
        if objects:
            raise _inexact(objects[0], "holds Python objects", "polars Object")
        try:
            table = value.to_arrow(compat_level=polars.CompatLevel.newest())
            back = self.from_table(table)
        except (ValueError, polars.exceptions.PolarsError) as error:
            raise _inexact("", f"cannot be kept exactly: {error}", str(value.schema)) from error
        if back.schema != value.schema or not back.equals(value, null_equal=True):
            changed = [name for name in value.columns if back.schema.get(name) != value.schema[name]]
            raise _inexact(changed[0] if changed else "", "would come back different", str(value.schema))
        return table

    def from_table(self, table: Any) -> Any:
        return importlib.import_module("polars").from_arrow(table)

    def isolate(self, value: Any) -> Any:
        return value.clone()


class _Pandas(_Kind):
    def to_table(self, value: Any) -> Any:
        arrow = importlib.import_module("pyarrow")
        try:
            table = arrow.Table.from_pandas(value, preserve_index=None)
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError, ValueError) as error:
            raise _inexact(_culprit(value), f"cannot be kept exactly: {error}", "mixed or unknown objects") from error
        facts = json.dumps(_axes(value)).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _AXES: facts})
        self._check_same(value, self.from_table(table))
        return table

    def from_table(self, table: Any) -> Any:
        frame = table.to_pandas(split_blocks=False, date_as_object=True, integer_object_nulls=True)
        axes = json.loads((table.schema.metadata or {}).get(_AXES, b"{}"))
        if axes.get("columns") is not None:
            pandas = importlib.import_module("pandas")
            frame.columns = pandas.RangeIndex(*axes["columns"], name=frame.columns.name)
        if axes.get("frequency") is not None:
            frame.index.freq = axes["frequency"]
        return frame

    def isolate(self, value: Any) -> Any:
        pandas = importlib.import_module("pandas")
        copies_on_write = int(pandas.__version__.partition(".")[0]) >= 3
        own = value.copy(deep=not copies_on_write)
        for position, dtype in enumerate(value.dtypes):
            if str(dtype) == "object":
                items = [copy.deepcopy(item) for item in value.iloc[:, position]]
                own.isetitem(position, pandas.Series(items, index=value.index, dtype=object))
        return own

    def _check_same(self, value: Any, back: Any) -> None:
        pandas = importlib.import_module("pandas")
        try:
            pandas.testing.assert_frame_equal(
                value,
                back,
                check_dtype=True,
                check_index_type="exact",
                check_column_type="exact",
                check_frame_type=True,
                check_names=True,
                check_exact=True,
                check_categorical=True,
                check_freq=True,
                check_flags=False,
            )
        except AssertionError as error:
            raise _inexact(_culprit(value), "would come back different", " ".join(str(error).split())[:200]) from error
        for position, name in enumerate(value.columns):
            column, other = value.iloc[:, position], back.iloc[:, position]
            if str(column.dtype) == "object" and [type(item) for item in column] != [type(item) for item in other]:
                raise _inexact(str(name), "holds objects that would come back as others", "object column")


#: Where a pandas frame's axes say what Arrow's own metadata leaves out.
_AXES: typing.Final = b"flytepath.axes"


def _axes(frame: Any) -> dict[str, Any]:
    """Columns that are only numbered, and the frequency of an index of moments."""
    pandas = importlib.import_module("pandas")
    columns = frame.columns
    numbered = type(columns) is pandas.RangeIndex
    regular = isinstance(frame.index, pandas.DatetimeIndex | pandas.TimedeltaIndex)
    return {
        "columns": [columns.start, columns.stop, columns.step] if numbered else None,
        "frequency": frame.index.freqstr if regular else None,
    }


def _culprit(frame: Any) -> str:
    """The first column of objects of more than one class, for the message; the first column of objects otherwise."""
    objects = [position for position, dtype in enumerate(frame.dtypes) if str(dtype) == "object"]
    mixed = [p for p in objects if len({type(item) for item in frame.iloc[:, p] if item is not None}) > 1]
    chosen = mixed or objects
    return str(frame.columns[chosen[0]]) if chosen else ""


def _inexact(column: str, what: str, actual: str) -> TypeTransformerFailedError:
    return TypeTransformerFailedError(
        f"the column {column!r} {what}" if column else f"the frame {what}",
        place=f"[{column!r}]" if column else None,
        expected="columns of one type that Arrow can hold",
        actual=actual,
        hint="convert the column with astype(...), or reset the index, before the frame leaves the task",
    )


_KINDS: typing.Final[dict[str, _Kind]] = {"pandas": _Pandas(), "polars": _Polars(), "pyarrow": _Arrow()}
