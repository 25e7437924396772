"""Frames as tables: the first rows of one, a whole small one, and a summary of its columns."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.declared import need_count

_CELL_LIMIT: Final = 500
_TABLE: Final = "border-collapse:collapse;font:13px/1.4 system-ui,sans-serif"
_HEAD: Final = "text-align:left;padding:4px 10px;border-bottom:2px solid #999"
_CELL: Final = "padding:4px 10px;border-bottom:1px solid #ddd;vertical-align:top"


class TopFrameRenderer:
    """The first rows of a pandas, polars or Arrow frame, with the types of its columns.

    As a marker it asks for a deck: ``Annotated[pd.DataFrame, TopFrameRenderer(max_rows=20)]``.

    Args:
        max_rows, max_cols: how much is shown; a line above says how much there is.

    Raises:
        DefinitionError: a number below 1.

    Example:
        >>> TopFrameRenderer(max_rows=0)
        Traceback (most recent call last):
        flytepath.errors.DefinitionError: [FP-DEFINITION] TopFrameRenderer(max_rows) is a whole number from 1
          at: TopFrameRenderer(max_rows)
          expected: int >= 1
          actual: 0
    """

    def __init__(self, max_rows: int = 10, max_cols: int = 100) -> None:
        self.max_rows = need_count(max_rows, f"{type(self).__name__}(max_rows)", least=1)
        self.max_cols = need_count(max_cols, f"{type(self).__name__}(max_cols)", least=1)

    def to_html(self, df: Any) -> str:
        """The table.

        Raises:
            TypeTransformerFailedError: it is no frame.
        """
        headers, types, rows, height, width = _top(df, self.max_rows, self.max_cols)
        shown = f"{min(self.max_rows, height)} of {height} rows" if height >= 0 else f"the first {len(rows)} rows"
        columns = f"{min(self.max_cols, width)} of {width} columns"
        return table(headers, rows, caption=f"{shown}, {columns}", kinds=types)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.max_rows, self.max_cols))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_rows={self.max_rows}, max_cols={self.max_cols})"


class ArrowRenderer(TopFrameRenderer):
    """The first rows of an Arrow table."""


class TableRenderer:
    """A whole frame as a table."""

    def to_html(self, df: Any, header_labels: Sequence[str] | None = None, table_width: int | None = None) -> str:
        """The table.

        Args:
            df: the frame.
            header_labels: take the place of the columns' names.
            table_width: in pixels.

        Raises:
            TypeTransformerFailedError: it is no frame, or there are more or fewer labels than columns.
        """
        _, _, _, height, width = _top(df, 1, 1)
        headers, _, rows, _, _ = _top(df, max(height, 1) if height >= 0 else 10_000, max(width, 1))
        if header_labels is not None:
            extra = len(headers) - width
            if len(header_labels) != width:
                raise TypeTransformerFailedError(
                    "a table needs a label for each column",
                    place="TableRenderer.to_html(header_labels)",
                    expected=f"{width} labels",
                    actual=f"{len(header_labels)}",
                )
            headers = [*headers[:extra], *header_labels]
        return table(headers, rows, width=table_width)


class FrameProfilingRenderer:
    """A summary of each column of a frame: type, missing and distinct values, least, mean and greatest.

    Args:
        title: stands above it.
    """

    def __init__(self, title: str = "Profile") -> None:
        self.title = title

    def to_html(self, df: Any) -> str:
        """The summary.

        Raises:
            TypeTransformerFailedError: it is no frame.
        """
        _, _, _, height, _ = _top(df, 1, 1)
        measure = _measures(df)
        rows = [(name, *measure(name)) for name in _column_names(df)]
        headers = ("column", "type", "missing", "distinct", "least", "mean", "greatest")
        return f"<h3>{html.escape(self.title)}</h3>{table(headers, rows, caption=f'{height} rows')}"


def table(
    headers: Iterable[Any],
    rows: Iterable[Iterable[Any]],
    *,
    caption: str = "",
    kinds: Iterable[Any] | None = None,
    width: int | None = None,
) -> str:
    """Rows as an HTML table, every cell escaped.

    Example:
        >>> "&lt;b&gt;" in table(("name",), [("<b>",)])
        True
    """
    size = f";width:{width:d}px" if width is not None else ""
    parts = [f'<div style="overflow-x:auto"><table style="{_TABLE}{size}">']
    if caption:
        parts.append(f'<caption style="text-align:left;color:#666">{html.escape(caption)}</caption>')
    names = ""
    labels = list(headers)
    below = [str(kind) for kind in kinds] if kinds is not None else [""] * len(labels)
    for label, kind in zip(labels, below, strict=True):
        small = f'<br><small style="color:#888;font-weight:normal">{html.escape(kind)}</small>' if kind else ""
        names += f'<th style="{_HEAD}">{cell(label)}{small}</th>'
    parts.append(f"<thead><tr>{names}</tr></thead><tbody>")
    for row in rows:
        parts.append("<tr>" + "".join(f'<td style="{_CELL}">{cell(value)}</td>' for value in row) + "</tr>")
    parts.append("</tbody></table></div>")
    return "".join(parts)


def cell(value: Any) -> str:
    """A value as escaped text of bounded length."""
    text = str(value)
    if len(text) > _CELL_LIMIT:
        text = f"{text[:_CELL_LIMIT]}…"
    return html.escape(text)


def frame_kind(value: Any) -> str | None:
    """Which library's frame a value is, without importing any: ``pandas``, ``polars``, ``lazy``, ``arrow`` or none."""
    for base in type(value).__mro__:
        name = f"{base.__module__.partition('.')[0]}.{base.__name__}"
        if name in _KINDS:
            return _KINDS[name]
    return None


_KINDS: Final = {
    "pandas.DataFrame": "pandas",
    "polars.DataFrame": "polars",
    "polars.LazyFrame": "lazy",
    "pyarrow.Table": "arrow",
    "pyarrow.RecordBatch": "arrow",
}


def column_values(df: Any, name: str) -> list[Any]:
    """A column's values as Python objects.

    Raises:
        TypeTransformerFailedError: it is no frame, or has no such column.
    """
    kind = frame_kind(df)
    if kind is None:
        raise _no_frame(df)
    if name not in _column_names(df):
        raise TypeTransformerFailedError(
            f"the frame has no column {name!r}", expected=", ".join(map(str, _column_names(df)))
        )
    if kind == "pandas":
        return list(df[name].tolist())
    if kind == "lazy":
        return list(df.select(name).collect()[name].to_list())
    return list(df[name].to_list() if kind == "polars" else df.column(name).to_pylist())


def _top(df: Any, rows: int, cols: int) -> tuple[list[Any], list[Any], list[tuple[Any, ...]], int, int]:
    """Headers, types, rows, and how many rows (-1 where only reading all would tell) and columns there are."""
    kind = frame_kind(df)
    if kind is None:
        raise _no_frame(df)
    if kind == "pandas":
        head = df.iloc[:rows, :cols]
        values = [(index, *row) for index, row in zip(head.index, head.itertuples(index=False, name=None), strict=True)]
        index_name = " / ".join(str(name) for name in df.index.names if name is not None)
        return [index_name or "", *head.columns], [df.index.dtype, *head.dtypes], values, *df.shape
    if kind in ("polars", "lazy"):
        names = _column_names(df)[:cols]
        head = df.select(names).head(rows)
        if kind == "lazy":
            head = head.collect()
        types = [head.schema[name] for name in names]
        height = df.height if kind == "polars" else -1
        return list(names), types, [tuple(row) for row in head.rows()], height, len(_column_names(df))
    names = list(df.schema.names[:cols])
    types = [df.schema.field(position).type for position in range(len(names))]
    head = df.slice(0, rows)
    columns = [head.column(position).to_pylist() for position in range(len(names))]
    values = list(zip(*columns, strict=True)) if columns else []
    return names, types, values, df.num_rows, df.num_columns


def _column_names(df: Any) -> list[Any]:
    kind = frame_kind(df)
    if kind == "lazy":
        return list(df.collect_schema().names())
    return list(df.schema.names) if kind == "arrow" else list(df.columns)


def _measures(df: Any) -> Callable[[Any], tuple[Any, ...]]:
    kind = frame_kind(df)
    if kind == "lazy":
        return _measures(df.collect())
    if kind == "pandas":
        return lambda name: _of_pandas(df[name])
    if kind == "polars":
        return lambda name: _of_values(df[name].dtype, df[name].to_list())
    return lambda name: _of_values(df.schema.field(name).type, df.column(name).to_pylist())


def _of_pandas(column: Any) -> tuple[Any, ...]:
    if getattr(column, "ndim", 1) != 1:  # several columns of one name
        return ("", "", "", "", "", "")
    return _of_values(
        column.dtype, [None if missing else value for value, missing in zip(column, column.isna(), strict=True)]
    )


def _of_values(kind: Any, values: Sequence[Any]) -> tuple[Any, ...]:
    present = [value for value in values if value is not None]
    try:
        distinct: Any = len(set(present))
    except TypeError:
        distinct = ""  # lists and dicts cannot be told apart so
    try:
        least, greatest = (min(present), max(present)) if present else ("", "")
    except TypeError:
        least = greatest = ""
    numbers = present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
    mean = f"{sum(present) / len(present):.6g}" if numbers else ""
    return kind, len(values) - len(present), distinct, least, mean, greatest


def _no_frame(value: Any) -> TypeTransformerFailedError:
    return TypeTransformerFailedError(
        "only frames are shown as tables",
        expected="a frame of pandas, polars or pyarrow",
        actual=f"{type(value).__module__}.{type(value).__qualname__}",
    )
