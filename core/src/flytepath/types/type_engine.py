"""``TypeEngine``: the type engine as the author of a type meets it, to register a transformer and to try it."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Any, BinaryIO, NoReturn

from flytepath.errors import DefinitionError, LiteralError
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, TypeTransformer
from flytepath.types.converter import qualified_name, type_name
from flytepath.types.engine import codec
from flytepath.types.lookup import register, transformer_for_class, transformer_for_generic

if typing.TYPE_CHECKING:
    from pathlib import Path


class TypeEngine:
    """How values of Python types become literals; never made, only asked.

    A transformer for classes of your own code is registered in the module that defines them. A worker imports that
    module with the task that uses the class, and so knows the transformer too. What is meant for many projects belongs
    in a plugin, which is found without being imported.

    Example:
        >>> str(TypeEngine.to_literal_type(dict[str, list[int]]))
        'dict[string, list[integer]]'
        >>> literal = TypeEngine.to_literal([1, 2], list[int])
        >>> TypeEngine.to_python_value(literal, list[int])
        [1, 2]
    """

    @staticmethod
    def register(transformer: TypeTransformer[Any], additional_types: Iterable[type[Any]] | None = None) -> None:
        """Let ``transformer`` handle a class, from now on and in this process.

        Args:
            transformer: an instance; the class is the one that its own class names, as in
                ``class WeightsTransformer(TypeTransformer[Weights])``. It handles that class and no subclass of it.
            additional_types: more classes that it handles.

        Raises:
            DefinitionError: it is no transformer, names no class, comes after the class was used, or claims a class
                that flytepath handles itself.
            PluginConflictError: another transformer handles the class.
        """
        if not isinstance(transformer, TypeTransformer):
            raise DefinitionError(
                "only a TypeTransformer can be registered",
                expected="an instance of a subclass of flytepath.TypeTransformer",
                actual=type_name(transformer if isinstance(transformer, type) else type(transformer)),
                hint="pass an instance, not the class" if isinstance(transformer, type) else None,
            )
        own = _named_class(type(transformer))
        classes = [*([own] if own is not None else []), *(additional_types or ())]
        if not classes:
            raise DefinitionError(
                f"{qualified_name(type(transformer))} names no class that it handles",
                hint="derive it from TypeTransformer[TheClass], or pass additional_types=[TheClass]",
            )
        for cls in classes:
            register(cls, transformer)

    @staticmethod
    def get_transformer(python_type: Any) -> TypeTransformer[Any] | None:
        """The transformer that handles a class or a generic; ``None`` for unions and for what is only pickled."""
        origin = typing.get_origin(python_type)
        if origin is typing.Annotated:
            return TypeEngine.get_transformer(python_type.__origin__)
        if origin is None:
            return transformer_for_class(python_type) if isinstance(python_type, type) else None
        if not isinstance(origin, type):
            return None
        return transformer_for_generic(python_type, origin) or transformer_for_class(origin)

    @staticmethod
    def to_literal_type(python_type: Any) -> LiteralType:
        """What literals of a Python type are; raises ``DefinitionError`` where it can have none."""
        return codec(python_type).literal_type

    @staticmethod
    def to_literal(python_val: Any, python_type: Any, sink: BlobSink | None = None) -> Literal:
        """The literal of a value.

        Args:
            python_val: the value.
            python_type: what it is declared as.
            sink: where its blobs go; without one, a value that needs any is refused.

        Raises:
            TypeTransformerFailedError: the value is not of the type.
        """
        return codec(python_type).encode(python_val, _NoBlobs() if sink is None else sink)

    @staticmethod
    def to_python_value(lv: Literal, expected_python_type: Any, source: BlobSource | None = None) -> Any:
        """The value of a literal.

        Args:
            lv: the literal.
            expected_python_type: what the value is to be.
            source: where its blobs are; without one, a literal that has any is refused.

        Raises:
            TypeTransformerFailedError: the literal is of another type.
        """
        return codec(expected_python_type).decode(lv, _NoBlobs() if source is None else source)


def _named_class(transformer: type[Any]) -> type[Any] | None:
    """The class in ``TypeTransformer[Class]`` among the bases of a transformer."""
    for cls in transformer.__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            if typing.get_origin(base) is not TypeTransformer:
                continue
            argument = typing.get_args(base)[0]
            named = typing.get_origin(argument) or argument
            if isinstance(named, type):
                return named
    return None


class _NoBlobs:
    """Where there are no blobs: each use is refused, with the remedy."""

    def put(self, content: bytes) -> BlobRef:
        _refuse("sink")

    def put_file(self, path: Path) -> BlobRef:
        _refuse("sink")

    def create(self) -> typing.Any:
        _refuse("sink")

    def get(self, ref: BlobRef) -> bytes:
        _refuse("source")

    def open(self, ref: BlobRef) -> BinaryIO:
        _refuse("source")

    def local_path(self, ref: BlobRef) -> Path:
        _refuse("source")


def _refuse(what: str) -> NoReturn:
    raise LiteralError(
        "this value is kept in a blob, and there is no place for one here",
        hint=f"pass {what}=; in a test, flytepath.testing.MemoryBlobs() is both a sink and a source",
    )
