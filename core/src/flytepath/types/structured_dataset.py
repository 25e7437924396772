"""``StructuredDataset``: a table of any library, kept anywhere, that is opened as a frame only when it is needed.

A task may return one around a frame, or around the URI of a table; the next takes a dataset, or any kind of frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any, ClassVar

from flytepath.errors import DefinitionError, TypeTransformerFailedError, UsageError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.converter import type_name
from flytepath.types.frame_formats import ARROW, CSV, PARQUET
from flytepath.types.frame_kinds import kind_of

__all__ = ["CSV", "PARQUET", "StructuredDataset", "StructuredDatasetTransformer"]

Columns = Mapping[str, Any] | None


class StructuredDataset:
    """A table: a frame in memory, or a place it can be read from.

    Args:
        dataframe: a frame: pandas, polars, Arrow, or a class for which a plugin declares a codec.
        uri: with a frame, where it is written; alone, where the table lies. A file, or a folder of files.
        metadata: anything of yours; it stays in this process.
        file_format: :data:`PARQUET`, :data:`CSV` or a plugin's format. By default what the end of ``uri`` says, else
            Parquet; between tasks, without a ``uri``, Arrow IPC.

    Example:
        >>> import pandas as pd
        >>> dataset = StructuredDataset(dataframe=pd.DataFrame({"a": [1, 2]}))
        >>> dataset.open(pd.DataFrame).all()["a"].tolist()
        [1, 2]
    """

    DEFAULT_FILE_FORMAT: ClassVar[str] = PARQUET
    __flytepath_dataset__: ClassVar[bool] = True
    __slots__ = ("_chosen", "_columns", "_frame", "_literal", "_received", "_source", "_uri", "file_format", "metadata")

    def __init__(self, dataframe: Any = None, uri: Any = None, metadata: Any = None, *, file_format: str = "") -> None:
        if not isinstance(file_format, str):
            raise UsageError("file_format is a name", expected="PARQUET, CSV, ...", actual=repr(file_format))
        if isinstance(dataframe, str):
            raise UsageError("a frame is expected first", actual=repr(dataframe), hint="name it: uri=...")
        self._frame = dataframe
        self._uri: str | None = None if uri is None else _path(uri)
        self.metadata = metadata
        self.file_format = file_format
        self._received = False
        self._literal: Literal | None = None
        self._source: BlobSource | None = None
        self._columns: Columns = None
        self._chosen: Any = None

    @property
    def dataframe(self) -> Any:
        """The frame it was made of; ``None`` for one that came from another task: :meth:`open` that."""
        return None if self._received else self._frame

    @property
    def uri(self) -> str | None:
        """Where it lies, or is to be written; ``None`` while it is in memory only."""
        return self._uri

    @property
    def literal(self) -> Literal | None:
        """The literal it was read from, of one that came from another task."""
        return self._literal

    @classmethod
    def columns(cls) -> dict[str, Any]:
        """No columns: they are declared as ``Annotated[StructuredDataset, kwtypes(...)]``."""
        return {}

    @classmethod
    def column_names(cls) -> list[str]:
        """The names of :meth:`columns`."""
        return list(cls.columns())

    def open(self, dataframe_type: type[Any]) -> StructuredDataset:
        """The same dataset, to be read as frames of a class; nothing is read yet.

        Raises:
            TypeTransformerFailedError: what is given is no class.
        """
        if not isinstance(dataframe_type, type):
            raise TypeTransformerFailedError(
                "a dataset is opened as a class of frames",
                expected="for example open(pandas.DataFrame)",
                actual=repr(dataframe_type),
            )
        self._chosen = dataframe_type
        return copy(self)  # so that a dataset opened as two kinds of frames is each of them

    def all(self) -> Any:
        """The whole table as a frame of the opened class.

        Raises:
            TypeTransformerFailedError: it was not opened, cannot be read, or lacks a declared column.
        """
        from flytepath.types.dataset_access import read_all

        return read_all(self, self._opened())

    def iter(self) -> Iterator[Any]:
        """Frames of the opened class, a piece of the table each, so that it never is in memory as a whole.

        Raises:
            TypeTransformerFailedError: as :meth:`all`.
        """
        from flytepath.types.dataset_access import read_pieces

        return read_pieces(self, self._opened())

    def _opened(self) -> Any:
        if self._chosen is None:
            raise TypeTransformerFailedError(
                "the dataset is not open yet", expected="open(pandas.DataFrame).all()", actual="all() or iter() alone"
            )
        return self._chosen

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """In a pydantic model: a dataset, a frame, or ``{"uri": ..., "file_format": ...}``, which is also its JSON."""
        from pydantic_core import core_schema

        def read(value: Any) -> StructuredDataset:
            if isinstance(value, cls):
                return value
            if isinstance(value, dict) and isinstance(value.get("uri"), str) and set(value) <= {"uri", "file_format"}:
                return cls(uri=value["uri"], file_format=value.get("file_format") or "")
            if kind_of(type(value)) is not None:
                return cls(dataframe=value)
            raise ValueError('a StructuredDataset is expected, or {"uri": ..., "file_format": ...}')

        def shown(value: StructuredDataset) -> dict[str, str]:
            if value.uri is None:
                raise ValueError("a dataset in memory has no JSON: give it a uri")
            return {"uri": value.uri, "file_format": value.file_format}

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(shown, when_used="json")
        )

    def __repr__(self) -> str:
        what = f"dataframe={type_name(type(self._frame))}" if self._frame is not None else f"uri={self._uri!r}"
        return f"StructuredDataset({what}{f', file_format={self.file_format!r}' if self.file_format else ''})"


def _path(uri: Any) -> str:
    import os

    try:
        return str(os.fspath(uri))
    except TypeError as error:
        raise UsageError("a uri is a string or a path", expected="s3://bucket/key", actual=repr(uri)) from error


class StructuredDatasetTransformer(TypeTransformer[Any]):
    """``StructuredDataset``, and ``Annotated[StructuredDataset, kwtypes(...), PARQUET]``.

    Args:
        columns: the columns that an annotation declares; the others are neither written nor read.
        file_format: the format in which a frame is written that does not say it itself.
    """

    format: ClassVar[str] = ARROW

    def __init__(self, columns: Columns = None, file_format: str = "") -> None:
        self._columns = columns
        self._format = file_format

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("dataframe")

    def accepts(self, value: Any, t: Any) -> bool:
        from flytepath.types.dataset_access import is_frame
        from flytepath.types.frames import is_schema

        return is_frame(type(value)) or is_schema(value)

    def annotated(self, t: Any, metadata: tuple[Any, ...]) -> TypeTransformer[Any] | None:
        from flytepath.types.frames import declared_columns

        names = [item for item in metadata if isinstance(item, str)]
        if len(names) > 1:
            raise DefinitionError("a dataset has one format", expected="one of PARQUET, CSV, ...", actual=repr(names))
        columns = declared_columns(metadata)
        if columns is None and not names:
            return None
        return StructuredDatasetTransformer(columns, names[0] if names else "")

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        from flytepath.types.dataset_access import write

        return write(_dataset(value), self._columns, self._format, self.literal_type(t), sink)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        from flytepath.types.dataset_access import received

        return received(literal, source, self._columns)

    def isolate(self, value: Any, t: Any) -> Any:
        """As a durable run would hand it over, but for the frame itself, which stays in memory."""
        from flytepath.types.dataset_access import handed_over

        return handed_over(_dataset(value), self._columns, self._format)

    def from_text(self, t: Any, text: str) -> Any:
        """The dataset at the path or URI that was typed."""
        from flytepath.types.frame_text import dataset_from_text

        return dataset_from_text(text, self._columns)

    def summary(self, value: Any) -> Json:
        if not isinstance(value, StructuredDataset):
            return None
        facts: dict[str, Any] = {"uri": value.uri, "format": value.file_format}
        kind = kind_of(type(value._frame))
        if kind is not None:
            facts.update(kind.facts(value._frame))
        elif value._literal is not None and isinstance(value._literal.data, dict):
            facts.update({key: value._literal.data[key] for key in ("rows", "columns") if key in value._literal.data})
        return facts


def _dataset(value: Any) -> StructuredDataset:
    if hasattr(type(value), "__flytepath_schema__"):
        return value.dataset()  # type: ignore[no-any-return]
    return value if isinstance(value, StructuredDataset) else StructuredDataset(dataframe=value)
