"""The interface between Python values and literals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Generic, Protocol, TypeVar

from flytepath.model.literal import BlobRef, Literal
from flytepath.model.types import LiteralType

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
Json = Any


class BlobWriter(Protocol):
    """A file open for writing, digested as it streams; ``ref`` is known once it is closed."""

    def write(self, data: bytes | bytearray | memoryview, /) -> int: ...

    @property
    def ref(self) -> BlobRef: ...


class BlobSink(Protocol):
    """Where ``encode`` puts bytes. Content addressed: the same bytes twice are one blob."""

    def put(self, content: bytes) -> BlobRef:
        """Keep ``content``."""

    def put_file(self, path: Path) -> BlobRef:
        """Keep the file at ``path``, streamed."""

    def create(self) -> AbstractContextManager[BlobWriter]:
        """A writer whose blob is kept when the context ends without an exception, and never otherwise."""


class BlobSource(Protocol):
    """Where ``decode`` gets bytes from. Content is checked against the digest."""

    def get(self, ref: BlobRef) -> bytes:
        """The whole blob."""

    def open(self, ref: BlobRef) -> BinaryIO:
        """The blob as a seekable stream."""

    def local_path(self, ref: BlobRef) -> Path:
        """A read-only file with the blob's content, downloaded once."""


class Converter(ABC, Generic[T]):
    """Built once for one Python type, then only called: the fast path for types that are JSON in place.

    ``encode`` returns the payload by the rules of :mod:`flytepath.model.literal`; blobs inside it are appended to
    ``refs`` and stand in the payload by their index.
    """

    literal_type: LiteralType

    @abstractmethod
    def encode(self, value: T, sink: BlobSink, refs: list[BlobRef]) -> Json:
        """The payload of ``value``. Raises ``TypeTransformerFailedError`` with the path to what is wrong in it."""

    @abstractmethod
    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> T:
        """The value of a payload."""

    @abstractmethod
    def isolate(self, value: T) -> T:
        """Check ``value`` and return one that shares nothing mutable with it (or it itself, if immutable)."""


class TypeTransformer(ABC, Generic[T]):
    """Values of some Python types to literals and back, exactly. Stateless; no side effects but on the sink.

    Every method gets the Python type as it was declared, generic arguments and all.
    """

    #: Repeats the declaration's format id and version.
    format: ClassVar[str]
    format_version: ClassVar[int] = 1

    @abstractmethod
    def literal_type(self, t: type[T]) -> LiteralType:
        """The type of literals that values of ``t`` become. Raises ``DefinitionError`` where there can be none."""

    @abstractmethod
    def encode(self, value: T, t: type[T], sink: BlobSink) -> Literal:
        """The literal of ``value``; raises ``TypeTransformerFailedError`` where it is not a ``t``."""

    @abstractmethod
    def decode(self, literal: Literal, t: type[T], source: BlobSource) -> T:
        """The value of ``literal``; reads every version of the format that was ever released."""

    def digest(self, value: T) -> str | None:
        """What stands for the content in cache keys, where the encoded bytes are not stable; ``None``: the bytes do."""
        return None

    def summary(self, value: T) -> Json:
        """A few facts for people (shape, columns, size) as plain data; whoever shows it escapes it."""
        return None

    def isolate(self, value: T, t: type[T]) -> T:
        """A value that the receiving task may change without the giver noticing. By default a deep copy."""
        import copy

        return copy.deepcopy(value)

    def accepts(self, value: Any, t: type[T]) -> bool:
        """Whether ``value``, which is no instance of ``t``, may be given where ``t`` is declared.

        ``encode`` and ``isolate`` then turn it into one without loss. By default nothing else is taken.
        """
        return False

    def annotated(self, t: type[T], metadata: tuple[Any, ...]) -> TypeTransformer[T] | None:
        """The transformer for ``Annotated[t, *metadata]`` where that says more; ``None`` (the default) where not.

        Raises:
            DefinitionError: what the annotation asks for can never be had.
        """
        return None

    def converter(self, t: type[T], resolve: Callable[[Any], Converter[Any]]) -> Converter[T] | None:
        """A converter that writes JSON in place, for types that are no blobs; ``resolve`` gives those of inner types.

        ``None`` (the default): ``encode`` and ``decode`` are used, and inside containers their literal is embedded.
        """
        return None
