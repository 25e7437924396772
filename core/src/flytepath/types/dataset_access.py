"""How a ``StructuredDataset`` is read, written and handed over: by core's formats, or a plugin's codecs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from flytepath.errors import PluginError, PluginNotFoundError, TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.types.converter import type_name
from flytepath.types.frame_formats import (
    ARROW,
    CSV,
    PARQUET,
    SUFFIX_OF,
    check_format,
    facts_of,
    format_of,
    known_types,
    read_table,
    write_table,
)
from flytepath.types.frame_kinds import BATCH_ROWS, KIND_NAMES, FrameKind, kind_by_name, kind_of, pyarrow
from flytepath.types.frame_places import file_uri, resolved, scheme_of, versions, writing
from flytepath.types.frames import batches_at, check_names, converted, joined, place_of, table_at, table_of, write_blob

if TYPE_CHECKING:
    from flytepath.plugin.transformer import BlobSink, BlobSource
    from flytepath.types.structured_dataset import StructuredDataset

Columns = Mapping[str, Any] | None
DATASET: Final = LiteralType("dataframe")
#: The scheme under which a plugin declares how frames go to the blob store and come from it.
BLOBS: Final = ""
#: The class whose codec serves core's other frames too, where a plugin declares none for them.
_ARROW_TABLE: Final = "pyarrow.lib.Table"


def is_frame(cls: type[Any]) -> bool:
    """Whether core or a plugin knows frames of this class."""
    return kind_of(cls) is not None or is_plugin_frame(cls)


def is_plugin_frame(cls: type[Any]) -> bool:
    """Whether a plugin declares a codec for frames of this class."""
    import sys

    if cls.__module__.partition(".")[0] in sys.stdlib_module_names:
        return False
    from flytepath.plugin.manager import current

    return f"{cls.__module__}.{cls.__qualname__}" in current().dataframe_claims("frame_type")


# --- reading -----------------------------------------------------------------------------------------------------


def read_all(dataset: StructuredDataset, t: type[Any]) -> Any:
    """The whole table as a ``t``."""
    if dataset._frame is not None:
        return _from_memory(dataset._frame, t, dataset._columns)
    literal = _literal_of(dataset)
    found = _pieces(dataset, literal, t)
    if found is None:
        return kind(t).from_table(table_at(literal, dataset._columns, _source(dataset), type_name(t)))
    pieces, of = found
    if of is None:
        return _decoded(pieces, t)
    return kind(t).from_table(joined(of.to_table(piece) for piece in pieces))


def _pieces(dataset: StructuredDataset, literal: Literal, t: type[Any]) -> tuple[Any, FrameKind | None] | None:
    """What a plugin's decoder gives: one frame, or several of one of core's kinds; ``None`` where core reads itself."""
    decoder, of = _decoder(t, literal)
    if decoder is None:
        return None
    found = decoder(literal, _names(dataset._columns), _source(dataset))
    if isinstance(found, Iterator):
        return found, of or kind_of(t)
    return ((found,), of) if of is not None else (found, None)


def read_pieces(dataset: StructuredDataset, t: type[Any]) -> Iterator[Any]:
    """The table as ``t``, a piece at a time."""
    if dataset._frame is not None:
        frame = dataset._frame
        if kind_of(type(frame)) is None or kind_of(t) is None:
            yield read_all(dataset, t)
            return
        table = table_of(frame, type_name(t), dataset._columns)
        tables: Iterator[Any] = (table.slice(at, BATCH_ROWS) for at in range(0, table.num_rows, BATCH_ROWS))
        yield from kind(t).from_batches(tables)
        return
    literal = _literal_of(dataset)
    found = _pieces(dataset, literal, t)
    if found is not None:
        pieces, of = found
        if of is not None and of is not kind_of(t):
            yield from kind(t).from_batches(of.to_table(piece) for piece in pieces)
        else:
            yield from pieces if isinstance(pieces, Iterator | tuple) else (pieces,)
        return
    yield from kind(t).from_batches(batches_at(literal, dataset._columns, _source(dataset), type_name(t)))


def kind(t: type[Any]) -> Any:
    """Core's kind of a class of frames.

    Raises:
        TypeTransformerFailedError: core knows no such frames.
    """
    found = kind_of(t)
    if found is None:
        raise TypeTransformerFailedError(
            f"nobody reads tables as {type_name(t)}",
            expected="pandas.DataFrame, polars.DataFrame, pyarrow.Table, or a class with a plugin's codec",
            actual=type_name(t),
            hint="open it as one of these, or install the plugin that declares a dataframe codec for the class",
        )
    return found


def _from_memory(frame: Any, t: type[Any], columns: Columns) -> Any:
    if isinstance(frame, t) and kind_of(t) is None:
        return frame
    if kind_of(type(frame)) is None or kind_of(t) is None:
        if not is_frame(t):
            kind(t)
        blobs = _scratch()
        return read_all(received(_written(frame, None, "", columns, DATASET, blobs), blobs, columns), t)
    return converted(frame, kind(t), columns)


def _literal_of(dataset: StructuredDataset) -> Literal:
    if dataset._literal is not None:
        return dataset._literal
    if dataset._uri is None:
        raise TypeTransformerFailedError(
            "the dataset is empty",
            expected="StructuredDataset(dataframe=...) or StructuredDataset(uri=...)",
            actual="neither a frame nor a uri",
        )
    return Literal.make(DATASET, {"uri": resolved(dataset._uri)}, format=_format_at(dataset._uri, dataset.file_format))


def _format_at(uri: str, chosen: str) -> str:
    return chosen or format_of(uri) or PARQUET


def _source(dataset: StructuredDataset) -> BlobSource:
    return dataset._source if dataset._source is not None else _scratch()


@cache
def _scratch() -> Any:
    """A store for what needs one on its way from one class of frames to another; it goes away with the process."""
    import atexit
    import shutil
    import tempfile

    from flytepath.store.blobs import BlobFolder

    folder = tempfile.mkdtemp(prefix="flytepath-frames-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return BlobFolder(folder, "scratch", "scratch")


def _names(columns: Columns) -> tuple[str, ...] | None:
    return None if columns is None else tuple(columns)


# --- writing -----------------------------------------------------------------------------------------------------


def write(dataset: StructuredDataset, columns: Columns, format: str, type: LiteralType, sink: BlobSink) -> Literal:
    """The literal of a dataset; its frame is written, what lies somewhere is referred to."""
    if dataset._frame is not None:
        chosen = dataset.file_format or format
        return _written(dataset._frame, dataset._uri, chosen, columns or dataset._columns, type, sink)
    if dataset._literal is None:
        return _reference(dataset, columns, format, type)
    literal = dataset._literal
    narrower = columns if columns is not None else dataset._columns
    if narrower is None or literal.format not in SUFFIX_OF:
        return literal
    table = table_at(literal, narrower, _source(dataset), "StructuredDataset")
    return literal if table.num_columns == _width(literal) else write_blob(table, ARROW, type, sink)


def _width(literal: Literal) -> int:
    columns = literal.data.get("columns") if isinstance(literal.data, dict) else None
    return len(columns) if columns is not None else -1


def _reference(dataset: StructuredDataset, columns: Columns, format: str, type: LiteralType) -> Literal:
    """A table that lies somewhere: by its place, and what tells its present content from another."""
    literal = _literal_of(dataset)
    uri = place_of(literal) or ""
    file_format = _format_at(uri, dataset.file_format or (format if format_of(uri) is None else ""))
    facts: dict[str, Any] = {"uri": uri}
    if not _is_served(scheme_of(uri)):
        facts["files"] = versions(uri)
        check_format(file_format, uri)
        if columns is not None and scheme_of(uri) == "file":
            from flytepath.types.frame_partitions import Partitions
            from flytepath.types.frame_places import files_of

            files = files_of(uri)
            inside = Partitions(uri, files, {}).inside(columns)
            for file in files if inside else ():
                check_names(file, file_format, inside or {}, file)
    return Literal.make(type, facts, format=file_format)


def _written(
    frame: Any, uri: str | None, format: str, columns: Columns, literal_type: LiteralType, sink: BlobSink
) -> Literal:
    encoder, of = _encoder(type(frame), uri, format)
    if encoder is not None:
        if of is not None:
            frame, columns = of.from_table(table_of(frame, kind(type(frame)).name, columns)), None
        told = {"columns": _names(columns)} if columns is not None and _takes_columns(encoder) else {}
        literal = encoder(frame, uri, sink, **told)
        if not isinstance(literal, Literal) or literal.type.kind != "dataframe":
            raise PluginError(
                "an encoder of frames returns the literal of one",
                expected="Literal.make(LiteralType('dataframe'), ...)",
                actual=type_name(type(literal)),
            )
        return literal
    found = kind(type(frame))
    table = table_of(frame, found.name, columns)
    if uri is None:
        return write_blob(table, check_format(format or ARROW), literal_type, sink)
    return _export(table, resolved(uri), check_format(_format_at(uri, format), uri), literal_type)


@cache
def _takes_columns(encoder: Any) -> bool:
    import inspect

    return "columns" in inspect.signature(encoder).parameters


def _export(table: Any, uri: str, format: str, type: LiteralType) -> Literal:
    place = file_uri(uri, format)
    with writing(place) as file:
        write_table(table, format, pyarrow("a frame").PythonFile(file, mode="w"))
    facts = {"uri": place, "content": file.digest, **facts_of(table.schema, table.num_rows, format)}
    return Literal.make(type, facts, format=format)


# --- in a direct call --------------------------------------------------------------------------------------------


def handed_over(dataset: StructuredDataset, columns: Columns, format: str) -> StructuredDataset:
    """The dataset that the receiving task of a direct call gets: what a durable run would give it."""
    frame, declared = dataset._frame, columns if columns is not None else dataset._columns
    if frame is None:
        literal = dataset._literal or _reference(dataset, declared, format, DATASET)
        return received(literal, dataset._source, declared)
    if dataset._uri is not None:
        chosen = dataset.file_format or format
        return received(_written(frame, dataset._uri, chosen, declared, DATASET, _scratch()), None, declared)
    chosen = dataset.file_format or format
    found = kind_of(type(frame))
    if found is not None and chosen in ("", ARROW, PARQUET):
        own = converted(frame, found, declared)
    elif found is not None and chosen == CSV:
        own = _as_text(table_of(frame, found.name, declared), declared)
    else:
        _encoder(type(frame), None, chosen)  # that somebody can write it is said here, not later
        own = frame
    return received(None, None, declared, frame=own, format=chosen)


def _as_text(table: Any, columns: Columns) -> Any:
    """A table as it comes back from CSV."""
    content = io.BytesIO()
    write_table(table, CSV, content)
    types = known_types(facts_of(table.schema, table.num_rows, CSV))
    return read_table(io.BytesIO(content.getvalue()), CSV, columns, "the frame as CSV", types)


def received(
    literal: Literal | None, source: Any, columns: Columns, *, frame: Any = None, format: str = ""
) -> StructuredDataset:
    """A dataset as the receiving task sees it."""
    from flytepath.types.structured_dataset import StructuredDataset

    found = StructuredDataset(file_format=format if literal is None else literal.format)
    found._received = True
    found._frame, found._literal, found._source, found._columns = frame, literal, source, columns
    if literal is not None:
        found._uri = place_of(literal) or (literal.ref.uri if literal.ref is not None else None)
    return found


# --- plugins' codecs ---------------------------------------------------------------------------------------------


def _is_served(scheme: str) -> bool:
    """Whether a plugin reads and writes core's frames at this scheme, where what lies there then is no files.

    One that only brings frames of its own class to a store, as Spark to S3, takes none of core's away.
    """
    if scheme == "file":
        return False
    from flytepath.plugin.manager import current

    return scheme in current().dataframe_claims("scheme", KIND_NAMES)


def _encoder(t: type[Any], uri: str | None, format: str) -> tuple[Any, FrameKind | None]:
    """The plugin's encoder for these frames and this place; ``None`` where core writes them itself.

    And the kind of frames it takes, where it is another.
    """
    scheme = BLOBS if uri is None else scheme_of(uri)
    if kind_of(t) is not None and (format in SUFFIX_OF or not format) and not (uri and _is_served(scheme)):
        return None, None
    formats = (format,) if format else ("", PARQUET, ARROW)
    return _codec(t, scheme, formats, "encoder")


def _decoder(t: type[Any], literal: Literal) -> tuple[Any, FrameKind | None]:
    """The plugin's decoder of a literal to these frames; ``None`` where core reads it itself.

    And the kind of frames it gives, where it is another.
    """
    uri = place_of(literal)
    scheme = BLOBS if uri is None else scheme_of(uri)
    if kind_of(t) is not None and not needs_codec(literal):
        return None, None
    if kind_of(t) is None and not is_plugin_frame(t):
        kind(t)
    return _codec(t, scheme, (literal.format, ""), "decoder")


def needs_codec(literal: Literal) -> bool:
    """Whether only a plugin can read what a literal refers to."""
    uri = place_of(literal)
    return literal.format not in SUFFIX_OF or (uri is not None and _is_served(scheme_of(uri)))


def _codec(t: type[Any], scheme: str, formats: tuple[str, ...], side: str) -> tuple[Any, FrameKind | None]:
    from flytepath.plugin.manager import current

    manager = current()
    missing: PluginNotFoundError | None = None
    arrow = kind_by_name(_ARROW_TABLE)
    ways: list[tuple[type[Any] | str, FrameKind | None]] = [(t, None)]
    if kind_of(t) not in (None, arrow):
        ways.append((_ARROW_TABLE, arrow))
    for cls, of in ways:
        for format in dict.fromkeys(formats):
            try:
                claim = manager.dataframe_codec(cls, scheme, format)
            except PluginNotFoundError as error:
                missing = missing or error
                continue
            reference = getattr(claim.declaration, side)
            if reference:
                return manager.resolve(reference), of
    where = f"at {scheme}://" if scheme else "in the blob store"
    raise TypeTransformerFailedError(
        f"no {side} of frames of {type_name(t)} {where} in format {formats[0] or 'any'!r} is known",
        expected="a format of core's, or a dataframe codec that an enabled plugin declares",
        actual=formats[0],
        hint=missing.hint if missing else f"the plugin that declares the codec brings no {side}",
    ) from missing


def _decoded(value: Any, t: type[Any]) -> Any:
    if isinstance(value, t):
        return value
    raise PluginError("a decoder of frames returns one", expected=type_name(t), actual=type_name(type(value)))
