"""Iterators: items written one by one as JSON lines, and read one by one, so that they never are in memory together."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, ClassVar, Generic, TypeVar

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.fitting import holds_blobs
from flytepath.model.literal import BlobRef, Literal, canonical_json
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json, TypeTransformer
from flytepath.types.converter import InPlaceTransformer, mismatch, type_name, unreadable, within
from flytepath.types.embedded import EmbeddedConverter
from flytepath.types.recursion import is_recursive
from flytepath.types.transfers import ScratchBlobs

T = TypeVar("T")

#: Lines are gathered up to this many bytes before they are written.
_GATHERED = 256 * 1024


class FlyteIterator(Generic[T]):
    """The items a task received as an ``Iterator[T]``, read from where they lie as they are asked for.

    Every ``for`` starts from the first item again. ``next`` goes through them once. The length is known.

    Example:
        >>> from flytepath.types.engine import codec
        >>> squares = codec(Iterator[int]).isolate(n * n for n in range(4))
        >>> len(squares), list(squares), list(squares), next(squares), next(squares)
        (4, [0, 1, 4, 9], [0, 1, 4, 9], 0, 1)
    """

    def __init__(self, lines: Lines, source: BlobSource, ref: BlobRef, length: int) -> None:
        self._lines = lines
        self._source = source
        self._ref = ref
        self._length = length
        self._cursor: Iterator[T] | None = None

    def __iter__(self) -> Iterator[T]:
        return self._lines.read(self._source, self._ref)

    def __next__(self) -> T:
        if self._cursor is None:
            self._cursor = iter(self)
        return next(self._cursor)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"<{self._length} items of {self._lines.literal_type}>"


class Lines:
    """Items of one type as JSON lines.

    A line is an item's payload; where an item may hold blobs, ``[payload, [[digest, size], ...]]``.

    Args:
        item: the converter of the items.
    """

    def __init__(self, item: Converter[Any]) -> None:
        self._item = item
        self.literal_type = item.literal_type
        self.with_blobs = holds_blobs(item.literal_type) or is_recursive(item.literal_type)

    def write(self, items: Iterable[Any], sink: BlobSink) -> tuple[BlobRef, int]:
        """Write every item; the blob and how many there were.

        Raises:
            TypeTransformerFailedError: an item is not of its type; ``place`` starts with its index.
        """
        count, size = 0, 0
        gathered: list[bytes] = []
        with sink.create() as writer:
            for item in _noted(items):
                try:
                    line = self._line(item, sink)
                except TypeTransformerFailedError as error:
                    raise within(error, f"[{count}]") from error.__cause__
                count += 1
                gathered += (line, b"\n")
                size += len(line)
                if size > _GATHERED:
                    writer.write(b"".join(gathered))
                    gathered, size = [], 0
            writer.write(b"".join(gathered))
        return writer.ref, count

    def _line(self, item: Any, sink: BlobSink) -> bytes:
        refs: list[BlobRef] = []
        payload = self._item.encode(item, sink, refs)
        return canonical_json([payload, [[ref.digest, ref.size] for ref in refs]] if self.with_blobs else payload)

    def read(self, source: BlobSource, ref: BlobRef) -> Iterator[Any]:
        """The items, one at a time; raises ``TypeTransformerFailedError`` at the first that is damaged."""
        decode = self._item.decode
        with source.open(ref) as stream:
            for index, line in enumerate(stream):
                refs: tuple[BlobRef, ...] = ()
                try:
                    data = json.loads(line)
                    if self.with_blobs:
                        data, rows = data
                        refs = tuple(BlobRef("", digest, size) for digest, size in rows)
                except (ValueError, TypeError) as error:
                    raise within(unreadable(line[:60], str(self.literal_type)), f"[{index}]") from error
                try:
                    item = decode(data, source, refs)
                except TypeTransformerFailedError as error:
                    raise within(error, f"[{index}]") from error.__cause__
                yield item


def _noted(items: Iterable[Any]) -> Iterator[Any]:
    """The items; an error of the code that makes them says whose it is and how far it came."""
    count = 0
    try:
        for item in items:
            yield item
            count += 1
    except Exception as error:
        maker = getattr(items, "__qualname__", None)
        error.add_note(f"after {count} items{f' of {maker}' if maker else ''}")
        raise


class StreamTransformer(TypeTransformer[Any]):
    """Iterators of one item type."""

    format: ClassVar[str] = "jsonl"

    def __init__(self, item: Converter[Any]) -> None:
        self._lines = Lines(item)

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("iterator", (self._lines.literal_type,), format=self.format)

    def accepts(self, value: Any, t: Any) -> bool:
        return isinstance(value, Iterable)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        _check(value, t)
        if self._is_ours(value) and value._source is typing.cast(Any, sink):
            ref, count = value._ref, len(value)
        elif self._is_ours(value) and not self._lines.with_blobs:
            ref, count = sink.put_file(value._source.local_path(value._ref)), len(value)
        else:
            ref, count = self._lines.write(value, sink)
        return Literal.make(self.literal_type(t), {"count": count}, format=self.format, ref=ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> FlyteIterator[Any]:
        try:
            count = int(literal.data["count"])
        except (TypeError, KeyError, ValueError) as error:
            raise unreadable(literal.data, type_name(t)) from error
        if literal.format != self.format or literal.ref is None:
            raise unreadable(literal.format, type_name(t))
        if literal.type.items and literal.type.items[0] != self._lines.literal_type:
            raise TypeTransformerFailedError(
                "these are items of another type",
                expected=str(self._lines.literal_type),
                actual=str(literal.type.items[0]),
            )
        return FlyteIterator(self._lines, source, literal.ref, count)

    def isolate(self, value: Any, t: Any) -> FlyteIterator[Any]:
        _check(value, t)
        if self._is_ours(value):
            return FlyteIterator(self._lines, value._source, value._ref, len(value))
        scratch = ScratchBlobs()
        return self.decode(self.encode(value, t, scratch), t, scratch)

    def summary(self, value: Any) -> Json:
        known = len(value) if isinstance(value, FlyteIterator) else None
        return {"type": "iterator", "items": str(self._lines.literal_type), "size": known}

    def _is_ours(self, value: Any) -> bool:
        return isinstance(value, FlyteIterator) and value._lines.literal_type == self._lines.literal_type


def _check(value: Any, t: Any) -> None:
    """Refuse what is no row of items, or has no order of its own."""
    if isinstance(value, str | bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        hint = "iterate with a plain 'for': the items are kept one by one" if hasattr(value, "__aiter__") else None
        raise mismatch(value, type_name(t), hint)
    if isinstance(value, Set):
        raise mismatch(value, type_name(t), "a set has no order: convert it with sorted(value)")


class IteratorTransformer(InPlaceTransformer):
    """``Iterator[T]``, ``Iterable[T]``, ``Generator[T, ...]``: tasks give any iterable, and get a ``FlyteIterator``."""

    format: ClassVar[str] = StreamTransformer.format

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        arguments = typing.get_args(t)
        if not arguments:
            raise DefinitionError(f"{type_name(t)} does not say what its items are", expected="Iterator[int]")
        try:
            item = resolve(arguments[0])
        except DefinitionError as error:
            error.place = f"[items]{error.place or ''}"
            raise
        return EmbeddedConverter(StreamTransformer(item), t)
