"""Values that are no JSON: literals of a blob format, alone or embedded in a container; and the pickle fallback."""

from __future__ import annotations

import copy
import io
import typing
from typing import Any, ClassVar

from flytepath.errors import LiteralError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json, TypeTransformer
from flytepath.types.converter import CoreConverter, mismatch, qualified_name, type_name, unreadable


class EmbeddedConverter(CoreConverter[Any]):
    """Calls a transformer without a converter of its own; in a container its literal is embedded."""

    subclasses = True

    def __init__(self, transformer: TypeTransformer[Any], t: Any) -> None:
        self.transformer = transformer
        self.python_type = t
        self.literal_type = transformer.literal_type(t)
        cls = typing.get_origin(t) or t
        self.classes = (cls,) if isinstance(cls, type) else (object,)

    def encode_literal(self, value: Any, sink: BlobSink) -> Literal:
        """The literal of ``value`` when it stands alone."""
        self._check(value)
        return self.transformer.encode(value, self.python_type, sink)

    def decode_literal(self, literal: Literal, source: BlobSource) -> Any:
        """The value of a literal that stands alone."""
        declared = self.literal_type
        if literal.type.kind != declared.kind:
            raise TypeTransformerFailedError(
                f"a literal of type {literal.type} cannot be read as {type_name(self.python_type)}",
                expected=str(declared),
                actual=str(literal.type),
            )
        return self.transformer.decode(literal, self.python_type, source)

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        literal = self.encode_literal(value, sink)
        if literal.refs:
            raise LiteralError("a literal with more than one blob cannot be embedded in a container")
        ref = None
        if literal.ref is not None:
            ref = len(refs)
            refs.append(literal.ref)
        return {"format": literal.format, "version": literal.version, "data": literal.data, "ref": ref}

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        try:
            ref = None if data["ref"] is None else refs[data["ref"]]
            literal = Literal.make(
                self.literal_type, data["data"], format=data["format"], version=data["version"], ref=ref
            )
        except (KeyError, TypeError, IndexError) as error:
            raise unreadable(data, type_name(self.python_type)) from error
        return self.transformer.decode(literal, self.python_type, source)

    def isolate(self, value: Any) -> Any:
        self._check(value)
        return self.transformer.isolate(value, self.python_type)

    def _check(self, value: Any) -> None:
        if not isinstance(value, self.classes) and not self.transformer.accepts(value, self.python_type):
            raise mismatch(value, type_name(self.python_type))


def annotated(converter: Converter[Any], metadata: tuple[Any, ...]) -> Converter[Any]:
    """The converter of an annotated type: another where its transformer understands the annotation."""
    if not isinstance(converter, EmbeddedConverter) or not metadata:
        return converter
    transformer = converter.transformer.annotated(converter.python_type, metadata)
    return converter if transformer is None else EmbeddedConverter(transformer, converter.python_type)


class AdaptedConverter(CoreConverter[Any]):
    """A plugin's converter, with what core's containers and unions want to know of one."""

    subclasses = True

    def __init__(self, converter: Converter[Any], t: Any) -> None:
        cls = typing.get_origin(t) or t
        self.classes = (cls,) if isinstance(cls, type) else (object,)
        self.literal_type = converter.literal_type
        self._converter = converter

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return self._converter.encode(value, sink, refs)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        return self._converter.decode(data, source, refs)

    def isolate(self, value: Any) -> Any:
        return self._converter.isolate(value)


class PickleTransformer(TypeTransformer[Any]):
    """The announced fallback for classes that nobody declares."""

    format: ClassVar[str] = "pickle"

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("opaque", name=qualified_name(t), format=self.format)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        import cloudpickle

        stream = io.BytesIO()
        try:
            cloudpickle.CloudPickler(stream, protocol=5).dump(value)
        except Exception as error:
            raise _cannot("pickled", value, error) from error
        return Literal.make(self.literal_type(t), None, format=self.format, ref=sink.put(stream.getvalue()))

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        import cloudpickle

        if literal.format != self.format or literal.ref is None:
            raise unreadable(literal.format, type_name(t))
        try:
            return cloudpickle.loads(source.get(literal.ref))
        except LiteralError:
            raise
        except Exception as error:
            raise TypeTransformerFailedError(
                f"the pickled value cannot be read back: {type(error).__name__}: {error}",
                expected=type_name(t),
                hint="a pickle can be read only where the same code is importable",
            ) from error

    def isolate(self, value: Any, t: Any) -> Any:
        try:
            return copy.deepcopy(value)
        except Exception as error:
            raise _cannot("copied", value, error) from error


class PickleConverter(EmbeddedConverter):
    """The converter of one class that only pickle can keep."""

    format: ClassVar[str] = PickleTransformer.format
    pickled = True

    def __init__(self, cls: type[Any]) -> None:
        super().__init__(PickleTransformer(), cls)
        if getattr(cls, "_is_protocol", False):
            self.classes = (object,)


def _cannot(done: str, value: Any, error: Exception) -> TypeTransformerFailedError:
    return TypeTransformerFailedError(
        f"a value of {type_name(type(value))} cannot be {done}: {type(error).__name__}: {error}",
        actual=type_name(type(value)),
        hint="pass what it is made from, and make it again in the task",
    )
