"""Data frames as values of tasks: pandas, polars and Arrow tables, handed over as Arrow IPC.

Dtypes, index, categories and order come back as they were, or the frame is refused when it is written. A frame of
another library than the declared one is converted. Tables are read through a memory map, without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.converter import unreadable
from flytepath.types.frame_columns import check_columns, check_declared, select
from flytepath.types.frame_formats import (
    ARROW,
    CSV,
    SUFFIX_OF,
    facts_of,
    known_types,
    read_batches,
    read_schema,
    read_table,
    write_batches,
    write_table,
)
from flytepath.types.frame_kinds import FrameKind, kind_of, kind_of_value, pyarrow

Columns = Mapping[str, Any] | None


class FrameTransformer(TypeTransformer[Any]):
    """``pandas.DataFrame``, ``polars.DataFrame`` and ``LazyFrame``, ``pyarrow.Table``.

    Args:
        columns: the columns that an annotation declares; the others are neither written nor read.
    """

    format: ClassVar[str] = ARROW

    def __init__(self, columns: Columns = None) -> None:
        self._columns = columns

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("dataframe", format=self.format)

    def accepts(self, value: Any, t: Any) -> bool:
        return kind_of(type(value)) is not None or is_dataset(value) or is_schema(value) or _is_of_plugin(value)

    def annotated(self, t: Any, metadata: tuple[Any, ...]) -> TypeTransformer[Any] | None:
        columns = declared_columns(metadata)
        return None if columns is None else FrameTransformer(columns)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        value = _taken(value, t, self._columns)
        arrow = pyarrow(f"a frame ({_kind(t).name})")
        pieces = kind_of_value(value, _kind(t).name).in_pieces(value) if self._columns is None else None
        if pieces is None:
            table = table_of(value, _kind(t).name, self._columns)
            return write_blob(table, self.format, self.literal_type(t), sink)
        schema, batches = pieces
        with sink.create() as writer:
            write_batches(schema, batches, arrow.PythonFile(_Target(writer), mode="w"))
        facts = facts_of(schema, len(value), self.format)
        return Literal.make(self.literal_type(t), facts, format=self.format, ref=writer.ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        if literal.format not in SUFFIX_OF or place_of(literal) is not None:
            from flytepath.types.dataset_access import needs_codec, read_all, received

            if needs_codec(literal):
                return read_all(received(literal, source, self._columns), t)
        table = table_at(literal, self._columns, source, _kind(t).name)
        return _kind(t).from_table(table)

    def isolate(self, value: Any, t: Any) -> Any:
        kind = _kind(t)
        value = _taken(value, t, self._columns)
        own = kind_of_value(value, kind.name)
        if own is kind and self._columns is None:
            return kind.isolate(value)
        return converted(value, kind, self._columns)

    def from_text(self, t: Any, text: str) -> Any:
        """The frame in the file whose path or URI was typed."""
        from flytepath.types.frame_text import frame_from_text

        return frame_from_text(t, text, self._columns)

    def summary(self, value: Any) -> Json:
        return kind_of_value(value, "a frame").facts(value)


def _kind(t: Any) -> FrameKind:
    kind = kind_of(t)
    if kind is None:
        raise TypeTransformerFailedError(f"core knows no frames of the class {t!r}")
    return kind


def _taken(value: Any, t: Any, columns: Columns) -> Any:
    """The frame itself, where ``value`` is a dataset or a schema around one, or a frame that a plugin knows."""
    if is_schema(value):
        value = value.dataset()
    elif kind_of(type(value)) is None and not is_dataset(value) and _is_of_plugin(value):
        from flytepath.types.structured_dataset import StructuredDataset

        value = StructuredDataset(dataframe=value)
    if not is_dataset(value):
        return value
    opened = value.open(t)
    if columns is not None:
        opened._columns = columns  # what lies at a service need not come as a whole
    return opened.all()


def _is_of_plugin(value: Any) -> bool:
    from flytepath.types.dataset_access import is_plugin_frame

    return is_plugin_frame(type(value))


def is_schema(value: Any) -> bool:
    """Whether a value is a ``FlyteSchema``."""
    return hasattr(type(value), "__flytepath_schema__")


def is_dataset(value: Any) -> bool:
    """Whether a value is a ``StructuredDataset``, of which nothing need be imported to find out."""
    return hasattr(type(value), "__flytepath_dataset__")


def declared_columns(metadata: tuple[Any, ...]) -> Columns:
    """The columns that the first ``kwtypes(...)`` of an annotation declares; ``None`` where it declares none.

    Raises:
        DefinitionError: a type that no column can have.
    """
    found = next((item for item in metadata if isinstance(item, dict)), None)
    return check_declared(found) if found else None


def converted(value: Any, kind: FrameKind, columns: Columns) -> Any:
    """A frame as one of another kind, or only the declared columns of it; nothing that can change is shared."""
    own = kind_of_value(value, kind.name)
    if own is kind and columns is None:
        return kind.isolate(value)
    return kind.from_table(table_of(value, kind.name, columns))


def table_of(value: Any, expected: str, columns: Columns) -> Any:
    """The Arrow table of a frame, with the declared columns only.

    Raises:
        TypeTransformerFailedError: it is no frame, would come back different, or lacks a declared column.
    """
    pyarrow(f"a frame ({expected})")
    kind = kind_of_value(value, expected)
    if columns is None:
        return kind.to_table(value)
    table = kind.to_table(kind.subset(value, list(columns)))
    check_columns(table.schema, columns, "the frame")
    return select(table, columns)


def write_blob(table: Any, format: str, type: LiteralType, sink: BlobSink) -> Literal:
    """The literal of a table that is kept as a blob."""
    arrow = pyarrow("a frame")
    with sink.create() as writer:
        write_table(table, format, arrow.PythonFile(_Target(writer), mode="w"))
    return Literal.make(type, facts_of(table.schema, table.num_rows, format), format=format, ref=writer.ref)


def table_at(literal: Literal, columns: Columns, source: BlobSource, expected: str) -> Any:
    """The Arrow table of a literal in one of core's formats, with the declared columns only.

    Raises:
        TypeTransformerFailedError: it is damaged, of a format that core does not read, or lacks a declared column.
    """
    pyarrow(f"a frame ({expected})")
    if literal.format not in SUFFIX_OF:
        raise unreadable(literal.format, expected)
    uri = place_of(literal)
    if uri is not None:
        return joined(_pieces(uri, literal, columns, whole=True))
    if literal.ref is None:
        raise unreadable(literal.format, expected)
    path = source.local_path(literal.ref)
    if columns is not None:
        check_names(path, literal.format, columns, literal.ref.uri)
    return _checked(read_table(path, literal.format, columns, literal.ref.uri, _types(literal)), columns)


def batches_at(literal: Literal, columns: Columns, source: BlobSource, expected: str) -> Iterator[Any]:
    """As :func:`table_at`, a piece at a time."""
    pyarrow(f"a frame ({expected})")
    if literal.format not in SUFFIX_OF:
        raise unreadable(literal.format, expected)
    uri = place_of(literal)
    if uri is not None:
        yield from _pieces(uri, literal, columns, whole=False)
        return
    if literal.ref is None:
        raise unreadable(literal.format, expected)
    path = source.local_path(literal.ref)
    if columns is not None:
        check_names(path, literal.format, columns, literal.ref.uri)
    for table in read_batches(path, literal.format, columns, literal.ref.uri, _types(literal)):
        yield _checked(table, columns)


def place_of(literal: Literal) -> str | None:
    """The URI of a frame that is kept elsewhere than in the blob store."""
    uri = literal.data.get("uri") if isinstance(literal.data, dict) else None
    return uri if isinstance(uri, str) else None


def check_names(file: Any, format: str, columns: Mapping[str, Any], place: str) -> None:
    """Say which declared column a file lacks, before any is read."""
    schema = read_schema(file, format, place)
    check_columns(schema, dict.fromkeys(columns, Any) if format == CSV else columns, f"the frame at {place}")


def _types(literal: Literal) -> Columns:
    return known_types(literal.data) if literal.format == CSV else None


def _pieces(uri: str, literal: Literal, columns: Columns, *, whole: bool) -> Iterator[Any]:
    from flytepath.types.frame_partitions import Partitions
    from flytepath.types.frame_places import files_of, opened

    format, types = literal.format, _types(literal)
    files = files_of(uri)
    partitions = Partitions(uri, files, _partition_types(literal))
    # A table without columns would forget how many rows it has.
    inside = partitions.inside(columns) or None
    for name in files:
        if inside:
            with opened(uri, name) as file:
                check_names(file, format, inside, name)
        with opened(uri, name) as file:
            read = read_table if whole else read_batches
            found: Any = read(file, format, inside, name, types)
            for table in (found,) if whole else found:
                table = partitions.added(table, name) if partitions else table  # noqa: PLW2901
                if partitions and columns is not None:
                    table = select(table, [column for column in columns if column in table.column_names])  # noqa: PLW2901
                yield _checked(table, columns)


def _partition_types(literal: Literal) -> dict[str, Any]:
    """The Arrow types of the columns that folders say, where whoever wrote them has noted it."""
    noted = literal.data.get("partitions") if isinstance(literal.data, dict) else None
    return known_types({"columns": noted}) if noted else {}


def joined(tables: Iterator[Any]) -> Any:
    """One table of several that follow each other.

    Raises:
        TypeTransformerFailedError: their columns differ.
    """
    found = list(tables)
    if len(found) == 1:
        return found[0]
    arrow = pyarrow("a frame")
    try:
        if any(table.column_names != found[0].column_names for table in found):
            raise arrow.ArrowInvalid("their columns differ")
        # A file in which a column is empty does not know its type.
        return arrow.concat_tables(found, promote_options="default")
    except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
        raise TypeTransformerFailedError(
            f"the files of the folder are no one frame: {error}", hint="give the uri of one of them"
        ) from error


def _checked(table: Any, columns: Columns) -> Any:
    if columns is not None:
        check_columns(table.schema, columns, "the frame")
    return table


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
