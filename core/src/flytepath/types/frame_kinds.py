"""The libraries of data frames that core knows: how each becomes an Arrow table, comes back, and is copied.

A kind is chosen by the qualified name of a class, so that no library is imported to find out that it is not meant.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Final

from flytepath.errors import TypeTransformerFailedError
from flytepath.types.converter import mismatch, qualified_name
from flytepath.types.pandas_frames import inexact

#: Rows of a piece where a frame is read piece by piece.
BATCH_ROWS: Final = 65_536


class FrameKind:
    """One class of frames. ``to_table`` raises where a frame would come back different."""

    def __init__(self, name: str) -> None:
        self.name = name

    def to_table(self, frame: Any) -> Any:
        """The frame as an Arrow table."""
        raise NotImplementedError

    def from_table(self, table: Any) -> Any:
        """The frame that an Arrow table holds."""
        raise NotImplementedError

    def isolate(self, frame: Any) -> Any:
        """A frame that shares nothing that can change with the given one."""
        return frame

    def subset(self, frame: Any, columns: list[str]) -> Any:
        """The frame without columns that are not asked for, where all that are asked for are there."""
        return frame

    def in_pieces(self, frame: Any) -> tuple[Any, Iterator[Any]] | None:
        """A large frame as an Arrow schema and record batches, where that is quicker than a table at once."""
        return None

    def from_batches(self, tables: Iterator[Any]) -> Iterator[Any]:
        """A frame for each of some tables."""
        return (self.from_table(table) for table in tables)

    def facts(self, frame: Any) -> dict[str, Any]:
        """What people want to see of it."""
        rows, columns = frame.shape
        names = frame.column_names if hasattr(frame, "column_names") else frame.columns
        return {"rows": rows, "columns": columns, "names": [str(name) for name in list(names)[:50]]}


class _Arrow(FrameKind):
    """Tables never change: they are handed over as they are."""

    def to_table(self, frame: Any) -> Any:
        if frame.num_rows and not frame.num_columns:
            raise _only_rows(frame.num_rows)
        return frame

    def from_table(self, table: Any) -> Any:
        return table


class _Pandas(FrameKind):
    def to_table(self, frame: Any) -> Any:
        from flytepath.types import pandas_frames

        return pandas_frames.to_table(frame)

    def from_table(self, table: Any) -> Any:
        from flytepath.types import pandas_frames

        return pandas_frames.from_table(table)

    def isolate(self, frame: Any) -> Any:
        from flytepath.types import pandas_frames

        return pandas_frames.isolate(frame)

    def in_pieces(self, frame: Any) -> tuple[Any, Iterator[Any]] | None:
        from flytepath.types import pandas_frames

        return pandas_frames.in_pieces(frame)

    def subset(self, frame: Any, columns: list[str]) -> Any:
        from flytepath.types import pandas_frames

        return pandas_frames.subset(frame, columns)


class _Polars(FrameKind):
    """Schemas are tried on the empty frame; polars and Arrow share the values' own layout."""

    def to_table(self, frame: Any) -> Any:
        polars = importlib.import_module("polars")
        if frame.height and not frame.width:
            raise _only_rows(frame.height)
        for name, dtype in frame.schema.items():
            if dtype == polars.Object:
                raise inexact(name, "holds Python objects", "polars Object")
        try:
            # Of equal frames, one in pieces and one in one piece, the bytes are to be the same.
            table = frame.rechunk().to_arrow(compat_level=polars.CompatLevel.newest())
            back = polars.from_arrow(table.slice(0, 0)).schema
        except (ValueError, polars.exceptions.PolarsError) as error:
            raise inexact("", f"cannot be kept exactly: {error}", str(frame.schema)) from error
        for name, dtype in frame.schema.items():
            if back.get(name) != dtype:
                raise inexact(name, "would come back different", str(dtype))
        return table

    def from_table(self, table: Any) -> Any:
        return importlib.import_module("polars").from_arrow(table.replace_schema_metadata(None))

    def isolate(self, frame: Any) -> Any:
        return frame.clone()

    def subset(self, frame: Any, columns: list[str]) -> Any:
        return frame.select(columns) if set(columns) <= set(frame.collect_schema().names()) else frame


class _LazyPolars(_Polars):
    """A query runs in the task that made it; what leaves the task is its result, and lazy again where it arrives."""

    def to_table(self, frame: Any) -> Any:
        return super().to_table(frame.collect())

    def from_table(self, table: Any) -> Any:
        return super().from_table(table).lazy()

    def isolate(self, frame: Any) -> Any:
        return frame.collect().lazy()

    def facts(self, frame: Any) -> dict[str, Any]:
        names = frame.collect_schema().names()
        return {"columns": len(names), "names": names[:50]}


def _only_rows(rows: int) -> TypeTransformerFailedError:
    return inexact("", "has rows but no columns, and would come back without them", f"{rows} rows")


_PANDAS: Final = _Pandas("pandas.DataFrame")
#: By the qualified names under which the libraries, over their versions, define the classes.
_KINDS: Final[dict[str, FrameKind]] = {
    "pandas.DataFrame": _PANDAS,
    "pandas.core.frame.DataFrame": _PANDAS,
    "polars.dataframe.frame.DataFrame": _Polars("polars.DataFrame"),
    "polars.lazyframe.frame.LazyFrame": _LazyPolars("polars.LazyFrame"),
    "pyarrow.lib.Table": _Arrow("pyarrow.Table"),
}

#: Every name of a class of core's frames.
KIND_NAMES: Final = frozenset(_KINDS)


def kind_of(t: Any) -> FrameKind | None:
    """The kind of a class of frames, if it is one that core knows.

    Example:
        >>> kind_of(int) is None
        True
    """
    return _KINDS.get(qualified_name(t)) if isinstance(t, type) else None


def kind_by_name(name: str) -> FrameKind:
    """The kind of a class of core's frames, by the qualified name of the class."""
    return _KINDS[name]


def kind_of_value(frame: Any, expected: str) -> FrameKind:
    """The kind of a frame; subclasses are another library's, and refused.

    Raises:
        TypeTransformerFailedError: it is no frame that core knows.
    """
    kind = kind_of(type(frame))
    if kind is None:
        raise mismatch(frame, expected, "convert it to a pandas, polars or Arrow frame")
    return kind


def pyarrow(what: str) -> Any:
    """The ``pyarrow`` package with its IPC module.

    Raises:
        TypeTransformerFailedError: it is not installed.
    """
    try:
        importlib.import_module("pyarrow.ipc")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise TypeTransformerFailedError(
            f"{what} is kept as Arrow, and pyarrow is not installed",
            expected="pyarrow",
            hint="pip install 'flytepath[frames]'",
        ) from error
