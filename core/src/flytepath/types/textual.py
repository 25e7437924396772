"""Decimals, UUIDs and paths: the types that are kept as the text they are written as."""

from __future__ import annotations

import decimal
import uuid
from typing import Any

from flytepath.model.literal import BlobRef
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, type_name, unreadable
from flytepath.types.scalars import StringConverter

_text = StringConverter()


class TextualConverter(CoreConverter[Any]):
    """Values of one class that ``str`` writes exactly and the class itself reads back."""

    atomic = True

    def __init__(self, cls: type[Any], kind: str, declared: type[Any]) -> None:
        self.cls = cls
        self.declared = declared
        self.classes = (cls,)
        self.literal_type = LiteralType(kind)

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return _text.encode(str(self.isolate(value)), sink, refs)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        try:
            return self.declared(_text.decode(data, source, refs))
        except (ValueError, decimal.InvalidOperation) as error:
            raise unreadable(data, type_name(self.declared)) from error

    def isolate(self, value: Any) -> Any:
        if type(value) is self.cls:
            return value
        convertible = isinstance(value, str) or (self.cls is decimal.Decimal and isinstance(value, int | float))
        name = type_name(self.declared)
        raise mismatch(value, name, f"convert it with {self.declared.__name__}(value)" if convertible else None)


class TextualTransformer(InPlaceTransformer):
    """Decimal, UUID, and the classes of ``pathlib``: a path as text, without the file it may name."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        if t is decimal.Decimal:
            return TextualConverter(t, "decimal", t)
        if t is uuid.UUID:
            return TextualConverter(t, "uuid", t)
        return TextualConverter(type(t(".")), "path", t)
