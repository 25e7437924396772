"""Frames that people name on a command line: the path or URI of a CSV, Parquet, Arrow or JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from flytepath.errors import TypeTransformerFailedError
from flytepath.types.frame_columns import check_columns, select
from flytepath.types.frame_formats import format_of

Columns = Mapping[str, Any] | None


def frame_from_text(t: type[Any], text: str, columns: Columns = None) -> Any:
    """The frame of the class ``t`` in the file, or files, at a path or URI.

    Args:
        t: the class of the frame.
        text: ends in ``.csv``, ``.parquet``, ``.arrow``, ``.json`` (a list of objects) or ``.jsonl`` (one a line), or
            names a folder of Parquet files.
        columns: the declared columns, which alone are read; a CSV file is read by their types.

    Raises:
        TypeTransformerFailedError: there is nothing, it cannot be read, or lacks a declared column.
    """
    return dataset_from_text(text, columns).open(t).all()


def dataset_from_text(text: str, columns: Columns = None) -> Any:
    """The ``StructuredDataset`` at a path or URI; of JSON its content, of other files a reference.

    Raises:
        TypeTransformerFailedError: there is nothing, or JSON that is no table.

    Example:
        >>> dataset_from_text("/data/t.parquet").uri
        '/data/t.parquet'
    """
    from flytepath.types.structured_dataset import StructuredDataset

    if PurePosixPath(text).suffix.lower() in (".json", ".jsonl", ".ndjson"):
        return StructuredDataset(dataframe=_json_table(text, columns))
    found = StructuredDataset(uri=text, file_format=format_of(text) or "")
    found._columns = columns
    return found


def _json_table(text: str, columns: Columns) -> Any:
    from flytepath.types.frame_kinds import pyarrow
    from flytepath.types.frame_places import files_of, opened

    arrow = pyarrow("a frame")
    rows: list[Any] = []
    for name in files_of(text):
        with opened(text, name) as file:
            content = file.read() if hasattr(file, "read") else _content(file)
        try:
            rows += _rows(content.decode("utf-8"), is_lines=not text.lower().endswith(".json"))
        except ValueError as error:
            raise _no_table(text, str(error)) from error
    if not all(isinstance(row, dict) for row in rows):
        raise _no_table(text, "a row is no object")
    try:
        table = arrow.Table.from_pylist(rows, schema=None)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
        raise _no_table(text, str(error)) from error
    if columns is None:
        return table
    check_columns(table.schema, columns, f"the frame at {text}")
    return select(table, columns)


def _content(file: str) -> bytes:
    from pathlib import Path

    return Path(file).read_bytes()


def _rows(text: str, *, is_lines: bool) -> list[Any]:
    if is_lines:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    rows = json.loads(text)
    if not isinstance(rows, list):
        raise ValueError("it is no list")
    return rows


def _no_table(text: str, why: str) -> TypeTransformerFailedError:
    return TypeTransformerFailedError(
        f"the file holds no table: {why}",
        place=text,
        expected='a list of objects, such as [{"a": 1}, {"a": 2}], or one object a line in a .jsonl file',
        hint="correct the file, or give a CSV or Parquet file",
    )
