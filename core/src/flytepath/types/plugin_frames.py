"""Frames of classes that core does not know, for which a plugin declares codecs: Spark, Modin and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.dataset_access import is_frame, read_all, received, write
from flytepath.types.frames import declared_columns, is_dataset
from flytepath.types.structured_dataset import StructuredDataset


class PluginFrameTransformer(TypeTransformer[Any]):
    """A frame's own class as the type of an input or output: what a ``StructuredDataset`` opened as it would be.

    Args:
        columns: the columns that an annotation declares, which the plugin's decoder is asked for.
    """

    format: ClassVar[str] = ""

    def __init__(self, columns: Mapping[str, Any] | None = None) -> None:
        self._columns = columns

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("dataframe")

    def accepts(self, value: Any, t: Any) -> bool:
        return is_dataset(value) or is_frame(type(value))

    def annotated(self, t: Any, metadata: tuple[Any, ...]) -> TypeTransformer[Any] | None:
        columns = declared_columns(metadata)
        return None if columns is None else PluginFrameTransformer(columns)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        dataset = value if is_dataset(value) else StructuredDataset(dataframe=value)
        return write(dataset, self._columns, "", self.literal_type(t), sink)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        return read_all(received(literal, source, self._columns), t)

    def isolate(self, value: Any, t: Any) -> Any:
        """A frame of the class as it is: only its library knows whether it can change, and how to copy it."""
        dataset = value if is_dataset(value) else StructuredDataset(dataframe=value)
        return dataset.open(t).all()

    def from_text(self, t: Any, text: str) -> Any:
        """The frame in the file whose path or URI was typed."""
        from flytepath.types.frame_text import frame_from_text

        return frame_from_text(t, text, self._columns)

    def summary(self, value: Any) -> Json:
        return {"type": f"{type(value).__module__}.{type(value).__qualname__}"}
