"""``FlyteSchema``: the older form of a dataset, written and read through ``open()``.

It does what ``StructuredDataset`` does and stands on the same frames; new code uses that.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from flytepath.errors import TypeTransformerFailedError, UsageError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.frame_columns import check_declared
from flytepath.types.frame_formats import PARQUET, write_table
from flytepath.types.frames import is_dataset, table_of
from flytepath.types.structured_dataset import StructuredDataset


class SchemaFormat(enum.Enum):
    """The formats of a schema's files."""

    PARQUET = PARQUET


class SchemaOpenMode(enum.Enum):
    """Whether a schema is read or written."""

    READ = "r"
    WRITE = "w"


class FlyteSchema:
    """A table that a task writes piece by piece and another reads.

    Args:
        local_path: the folder of its files; by default a temporary one.
        remote_path: where the table lies, to be read.
        supported_mode: ``WRITE`` for a new one.
        downloader: accepted for flytekit's sake; what is remote is read through fsspec.

    Example:
        >>> import pandas as pd
        >>> from flytepath import kwtypes
        >>> schema = FlyteSchema[kwtypes(x=int)]()
        >>> schema.open().write(pd.DataFrame({"x": [1, 2]}))
        >>> schema.as_readonly().open().all()["x"].tolist()
        [1, 2]
    """

    __flytepath_schema__ = True

    _columns: ClassVar[dict[str, Any]] = {}
    _format: ClassVar[SchemaFormat] = SchemaFormat.PARQUET
    _made: ClassVar[dict[Any, type[FlyteSchema]]] = {}

    def __init__(
        self,
        local_path: Any = None,
        remote_path: str | None = None,
        supported_mode: SchemaOpenMode = SchemaOpenMode.WRITE,
        downloader: Callable[..., Any] | None = None,
    ) -> None:
        if supported_mode is SchemaOpenMode.READ and local_path is None and remote_path is None:
            raise UsageError("a schema that is read lies somewhere", expected="local_path or remote_path")
        self._local_path = None if local_path is None else Path(local_path)
        self._remote_path = remote_path
        self._mode = supported_mode
        self._dataset: StructuredDataset | None = None
        self._pieces = 0
        self._writer: FlyteSchema | None = None  # whose temporary folder is read

    def __class_getitem__(cls, declared: Any) -> type[FlyteSchema]:
        columns, format = declared if isinstance(declared, tuple) else (declared, SchemaFormat.PARQUET)
        if not isinstance(columns, Mapping) or not isinstance(format, SchemaFormat):
            raise UsageError(
                "a schema is declared by its columns",
                expected="FlyteSchema[kwtypes(x=int, y=str)]",
                actual=repr(declared)[:80],
            )
        columns = check_declared(columns)
        key = (cls, tuple(columns.items()), format)
        if key not in cls._made:
            name = f"{cls.__name__}[{', '.join(columns)}]"
            cls._made[key] = type(name, (cls,), {"_columns": columns, "_format": format, "__module__": cls.__module__})
        return cls._made[key]

    @classmethod
    def columns(cls) -> dict[str, Any]:
        """The declared columns; none for any."""
        return dict(cls._columns)

    @classmethod
    def column_names(cls) -> list[str]:
        """The names of the declared columns."""
        return list(cls._columns)

    @classmethod
    def format(cls) -> SchemaFormat:
        """The format of its files."""
        return cls._format

    @property
    def local_path(self) -> str:
        """The folder of its files on this machine."""
        if self._local_path is None:
            import shutil
            import tempfile
            from weakref import finalize

            self._local_path = Path(tempfile.mkdtemp(prefix="flytepath-schema-"))
            finalize(self, shutil.rmtree, self._local_path, ignore_errors=True)
        return str(self._local_path)

    @property
    def remote_path(self) -> str | None:
        """Where it lies, if it is not of this machine."""
        return self._remote_path

    @property
    def supported_mode(self) -> SchemaOpenMode:
        """What :meth:`open` opens it for."""
        return self._mode

    def as_readonly(self) -> FlyteSchema:
        """The same table, to be read."""
        if self._mode is SchemaOpenMode.READ:
            return self
        found = type(self)(self.local_path, self._remote_path, SchemaOpenMode.READ)
        found._writer = self
        return found

    def open(self, dataframe_fmt: type[Any] | None = None, override_mode: SchemaOpenMode | None = None) -> Any:
        """A :class:`SchemaReader` or :class:`SchemaWriter` of frames of a class, by default pandas.

        Raises:
            TypeTransformerFailedError: a schema that can only be read is opened to be written.
        """
        if dataframe_fmt is None:
            import pandas

            dataframe_fmt = pandas.DataFrame
        mode = override_mode or self._mode
        if mode is SchemaOpenMode.WRITE and self._mode is SchemaOpenMode.READ:
            raise TypeTransformerFailedError(
                "this schema can only be read",
                expected="open() to read",
                actual="open(override_mode=SchemaOpenMode.WRITE)",
                hint="make a new one: FlyteSchema()",
            )
        return SchemaWriter(self, dataframe_fmt) if mode is SchemaOpenMode.WRITE else SchemaReader(self, dataframe_fmt)

    def dataset(self) -> StructuredDataset:
        """What is in it, as a ``StructuredDataset`` with the declared columns."""
        if self._dataset is not None:
            return self._dataset
        found = StructuredDataset(uri=self._remote_path or self.local_path, file_format=self._format.value)
        found._columns = self._columns or None
        return found

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(FlyteSchema)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._remote_path or self._local_path})"


class SchemaWriter:
    """Writes frames to a schema."""

    def __init__(self, schema: FlyteSchema, dataframe_fmt: type[Any]) -> None:
        self._schema = schema
        self._kind = dataframe_fmt

    @property
    def column_names(self) -> list[str]:
        """The names of the declared columns."""
        return self._schema.column_names()

    def write(self, *dfs: Any) -> None:
        """Append frames.

        Raises:
            TypeTransformerFailedError: one cannot be kept exactly, or lacks a declared column.
        """
        folder = Path(self._schema.local_path)
        folder.mkdir(parents=True, exist_ok=True)
        for frame in dfs:
            table = table_of(frame, self._kind.__name__, self._schema._columns or None)
            with (folder / f"{self._schema._pieces:05}.parquet").open("wb") as file:
                write_table(table, PARQUET, file)
            self._schema._pieces += 1


class SchemaReader:
    """Reads a schema as frames of a class."""

    def __init__(self, schema: FlyteSchema, dataframe_fmt: type[Any]) -> None:
        self._schema = schema
        self._kind = dataframe_fmt

    @property
    def column_names(self) -> list[str]:
        """The names of the declared columns."""
        return self._schema.column_names()

    def all(self) -> Any:
        """The whole table as one frame."""
        return self._schema.dataset().open(self._kind).all()

    def iter(self) -> Iterator[Any]:
        """The table as frames of a piece each."""
        return self._schema.dataset().open(self._kind).iter()


class SchemaTransformer(TypeTransformer[Any]):
    """``FlyteSchema`` and ``FlyteSchema[kwtypes(...)]``."""

    format: ClassVar[str] = PARQUET

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("dataframe")

    def accepts(self, value: Any, t: Any) -> bool:
        from flytepath.types.dataset_access import is_frame

        return isinstance(value, FlyteSchema) or is_dataset(value) or is_frame(type(value))

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        from flytepath.types.dataset_access import write
        from flytepath.types.frames import write_blob

        columns = t._columns or None
        if isinstance(value, FlyteSchema) and value._dataset is None and value._remote_path is None:
            table = table_of(_whole(value, t), "FlyteSchema", None)
            return write_blob(table, PARQUET, self.literal_type(t), sink)
        dataset = value.dataset() if isinstance(value, FlyteSchema) else value
        if not is_dataset(dataset):
            dataset = StructuredDataset(dataframe=dataset)
        return write(dataset, columns, PARQUET, self.literal_type(t), sink)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        from flytepath.types.dataset_access import received

        return _readable(t, received(literal, source, t._columns or None))

    def isolate(self, value: Any, t: Any) -> Any:
        from flytepath.types.dataset_access import handed_over

        if isinstance(value, FlyteSchema) and value._dataset is None and value._remote_path is None:
            value = _whole(value, t)
        elif isinstance(value, FlyteSchema):
            value = value.dataset()
        dataset = value if is_dataset(value) else StructuredDataset(dataframe=value)
        return _readable(t, handed_over(dataset, t._columns or None, ""))

    def from_text(self, t: Any, text: str) -> Any:
        """The table at the path or URI that was typed."""
        from flytepath.types.frame_text import dataset_from_text

        return _readable(t, dataset_from_text(text, t._columns or None))

    def summary(self, value: Any) -> Json:
        return {"path": value.remote_path, "columns": value.column_names()} if isinstance(value, FlyteSchema) else None


def _readable(t: Any, dataset: StructuredDataset) -> FlyteSchema:
    found: FlyteSchema = t()
    found._mode = SchemaOpenMode.READ
    found._remote_path = dataset.uri
    found._dataset = dataset
    return found


def _whole(schema: FlyteSchema, t: Any) -> Any:
    """What was written to a schema, as an Arrow table."""
    import pyarrow

    dataset = StructuredDataset(uri=schema.local_path, file_format=PARQUET)
    dataset._columns = t._columns or schema._columns or None
    return dataset.open(pyarrow.Table).all()
