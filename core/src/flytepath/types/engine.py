"""The type engine: one codec per Python type, compiled once, then only called.

A codec encodes values to literals, decodes them, and checks and copies values in direct calls. Which transformer
handles a type is decided when the codec is compiled and never looked at again.
"""

from __future__ import annotations

import types
import typing
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from flytepath import config
from flytepath.errors import DefinitionError, LiteralError, TypeTransformerFailedError
from flytepath.model.literal import INLINE_LIMIT, JSON_FORMAT, BlobRef, Literal, canonical_json, cast
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.store.collector import collector_paused
from flytepath.types.converter import CoreConverter, is_hashable, type_name
from flytepath.types.embedded import AdaptedConverter, EmbeddedConverter, PickleConverter, annotated
from flytepath.types.lookup import (
    builtin_form,
    form_of,
    needs_arguments,
    transformer_for_class,
    transformer_for_generic,
)
from flytepath.types.recursion import RecursiveConverter, is_recursive

T = TypeVar("T")

_BARE: Final = {tuple: "tuple[int, ...]", set: "set[int]", frozenset: "frozenset[int]"}
#: ``typing.List`` and its like, without arguments.
_BARE_ALIASES: Final = ("_SpecialGenericAlias", "_TupleType")
_GENERIC_HINTS: Final = {
    "Sequence": "use list[...] or tuple[..., ...]",
    "MutableSequence": "use list[...]",
    "Iterable": "use list[...]",
    "Collection": "use list[...]",
    "Mapping": "use dict[..., ...]",
    "MutableMapping": "use dict[..., ...]",
    "OrderedDict": "use dict[..., ...]: it keeps its order",
    "defaultdict": "use dict[..., ...]",
    "Counter": "use dict[..., int]",
    "Set": "use frozenset[...] or set[...]",
    "MutableSet": "use set[...]",
    "deque": "use list[...]",
}


class PickleFallbackWarning(UserWarning):
    """A type has no transformer, so that its values will be pickled: unreadable without its code, and not exact."""


class Codec(Generic[T]):
    """Values of one Python type to literals and back.

    Attributes:
        python_type: the type as it was declared, without ``Annotated``.
        literal_type: what its literals are.
        pickled: whether the pickle fallback is anywhere inside.
        markers: what ``Annotated`` says at the outermost level.
        hasher: what hashes a value for the cache, where a ``HashMethod`` says; ``None`` where its content counts.
        isolate: checks a value strictly and returns one that shares nothing mutable with it.

    Example:
        >>> from flytepath.testing import MemoryBlobs
        >>> blobs, numbers = MemoryBlobs(), codec(list[int])
        >>> numbers.decode(numbers.encode([1, 2], blobs), blobs)
        [1, 2]
    """

    __slots__ = ("_converter", "hasher", "isolate", "literal_type", "markers", "pickled", "python_type")

    def __init__(self, python_type: Any, converter: Converter[T], markers: tuple[Any, ...] = ()) -> None:
        self.python_type = python_type
        self.literal_type: LiteralType = converter.literal_type
        self.markers = markers
        self.hasher: Callable[[Any], str] | None = _hasher(python_type, markers)
        self.pickled: bool = _is_pickled(converter.literal_type)
        self._converter = converter
        self.isolate: Callable[[T], T] = converter.isolate
        if is_recursive(converter.literal_type):
            self.isolate = self._isolate_bounded

    def __repr__(self) -> str:
        return f"codec({type_name(self.python_type)})"

    @property
    def converter(self) -> Converter[T]:
        """The compiled converter."""
        return self._converter

    def encode(self, value: T, sink: BlobSink) -> Literal:
        """The literal of ``value``; a JSON payload over the inline limit goes to ``sink``.

        Raises:
            TypeTransformerFailedError: ``place`` is the path inside the value, such as ``.layers[3].units``.
        """
        literal = self._encode(value, sink)
        return literal if self.hasher is None else replace(literal, hash=self.hasher(value))

    def _encode(self, value: T, sink: BlobSink) -> Literal:
        converter = self._converter
        if isinstance(converter, EmbeddedConverter):
            return converter.encode_literal(value, sink)
        refs: list[BlobRef] = []
        try:
            with collector_paused(isinstance(value, _CONTAINERS) and len(value) > _MANY):
                payload = converter.encode(value, sink, refs)
            content = canonical_json(payload)
        except RecursionError as error:
            raise _too_deep(self.python_type) from error
        literal = Literal.make(self.literal_type, payload, refs=refs, payload=content)
        return literal.offloaded(sink.put(content)) if len(content) > INLINE_LIMIT else literal

    def decode(self, literal: Literal, source: BlobSource) -> T:
        """The value of ``literal``.

        Raises:
            TypeTransformerFailedError: the literal is of another type, or its payload is damaged.
        """
        converter = self._converter
        if isinstance(converter, EmbeddedConverter):
            return typing.cast(T, converter.decode_literal(literal, source))
        try:
            with collector_paused(literal.is_offloaded):
                if literal.format == JSON_FORMAT and literal.is_offloaded:
                    literal = _inlined(literal, source)
                if literal.type != self.literal_type:
                    literal = self._cast(literal)
                return converter.decode(literal.data, source, literal.refs)
        except RecursionError as error:
            raise _too_deep(self.python_type) from error

    def _cast(self, literal: Literal) -> Literal:
        try:
            return cast(literal, self.literal_type)
        except LiteralError as error:
            raise TypeTransformerFailedError(
                f"a literal of type {literal.type} cannot be read as {type_name(self.python_type)}",
                expected=str(self.literal_type),
                actual=str(literal.type),
            ) from error

    def _isolate_bounded(self, value: T) -> T:
        try:
            return self._converter.isolate(value)
        except RecursionError as error:
            raise _too_deep(self.python_type) from error

    def summary(self, value: T) -> Json:
        """A few facts about ``value`` for people, as plain data; ``None`` where there are none."""
        converter = self._converter
        if isinstance(converter, EmbeddedConverter):
            return converter.transformer.summary(value)
        from flytepath.types.summaries import summary

        return summary(value)


def _hasher(t: Any, markers: tuple[Any, ...]) -> Callable[[Any], str] | None:
    """What hashes values of ``t``; the module that knows is imported only where an annotation says something."""
    if not markers and "HashMethod" not in str(t):
        return None
    from flytepath.types.hashing import hasher_of

    return hasher_of(t, markers)


_CONTAINERS = (list, dict, tuple, set, frozenset)
#: A container with more items than this is worth pausing the collector for.
_MANY = 1000


def _inlined(literal: Literal, source: BlobSource) -> Literal:
    if literal.ref is None:
        raise LiteralError("the literal has neither data nor a reference to it")
    return literal.inlined(source.get(literal.ref))


def _too_deep(t: Any) -> TypeTransformerFailedError:
    return TypeTransformerFailedError(
        "the value is nested too deeply, or contains itself",
        expected=type_name(t),
        hint="a value is a tree: refer to other objects by name or index",
    )


_codecs: dict[Any, Codec[Any]] = {}


def codec(t: Any) -> Codec[Any]:
    """The codec of a Python type, compiled when it is first asked for.

    Args:
        t: an annotation; ``Annotated`` metadata becomes the codec's ``markers``.

    Raises:
        DefinitionError: no value of the type could be kept: an ambiguous union, a bare generic, or a type that only
            pickle can keep where that is forbidden. ``place`` is the path inside the type.

    Example:
        >>> str(codec(dict[str, int | None]).literal_type)
        'dict[string, integer | none]'
    """
    if typing.get_origin(t) is typing.Annotated:
        inner = codec(t.__origin__)
        converter = annotated(inner.converter, t.__metadata__)
        return Codec(inner.python_type, converter, (*t.__metadata__, *inner.markers))
    hashable = is_hashable(t)
    if not hashable and typing.get_origin(t) is None:
        raise _no_type(t)
    found = _codecs.get(t) if hashable else None
    if found is None:
        found = Codec(t, _Compiler().resolve(t))
        if found.pickled:
            _announce(found.literal_type, t)
        if hashable:
            _codecs[t] = found
    elif found.pickled:
        _announce(found.literal_type, t)
    return found


class _Compiler:
    """Builds the converter of one type with those of the types inside; knows which structs it is inside of."""

    def __init__(self) -> None:
        self._open: dict[Any, RecursiveConverter] = {}

    def resolve(self, t: Any) -> Converter[Any]:
        if typing.get_origin(t) is typing.Annotated:
            return annotated(self.resolve(t.__origin__), t.__metadata__)
        t = self._plain(t)
        found = _codecs.get(t) if is_hashable(t) else None
        if found is not None and not (self._open and is_recursive(found.literal_type)):
            return found.converter
        if self._open and is_hashable(t) and t in self._open:
            return self._open[t]
        origin = typing.get_origin(t)
        if origin in (typing.Union, types.UnionType):
            return self._of(builtin_form("typing.Union"), t)
        if origin is typing.Literal:
            return self._of(builtin_form("typing.Literal"), t)
        cls = origin or t
        has_fields = form_of(cls) or hasattr(cls, "__pydantic_complete__")
        return self._struct(t, cls) if has_fields else self._class(t, origin)

    def _plain(self, t: Any) -> Any:
        """``t`` without what does not change its values: ``Annotated``, ``Final``, ``NewType``, aliases."""
        if t is None:
            return type(None)
        if typing.get_origin(t) is typing.Annotated:
            return self._plain(t.__origin__)
        if typing.get_origin(t) is typing.Final:
            return self._plain(typing.get_args(t)[0])
        if isinstance(t, typing.NewType):
            return self._plain(t.__supertype__)
        if type(t).__name__ == "TypeAliasType":
            return self._alias(t)
        if type(typing.get_origin(t)).__name__ == "TypeAliasType":
            return self._plain(_applied(typing.get_origin(t), typing.get_args(t)))
        if type(t).__name__ in _BARE_ALIASES:
            return t.__origin__
        if t is Any:
            return object
        if not isinstance(t, type) and typing.get_origin(t) is None:
            raise _no_type(t)
        return t

    def _alias(self, alias: Any) -> Any:
        seen = alias
        while type(seen).__name__ == "TypeAliasType":
            seen = seen.__value__
        if alias.__name__ in str(seen):
            raise DefinitionError(
                f"the type alias {alias.__name__} refers to itself",
                hint="use a dataclass for a recursive structure: it has a name to refer to",
            )
        return self._plain(seen)

    def _struct(self, t: Any, cls: type[Any]) -> Converter[Any]:
        """A class with fields, which may refer to itself."""
        place = RecursiveConverter(t, cls)
        key = t if is_hashable(t) else id(t)
        self._open[key] = place
        try:
            converter = self._class(t, None if cls is t else cls)
        finally:
            del self._open[key]
        place.target = converter
        return converter

    def _class(self, t: Any, origin: Any) -> Converter[Any]:
        if origin is None:
            if t is dict or t is list:
                return self.resolve(_of_json(t))
            transformer = transformer_for_class(t)
            if transformer is None and needs_arguments(t):
                raise DefinitionError(
                    f"{t.__name__} does not say what is in it",
                    expected=f"for example {_BARE.get(t, f'{t.__name__}[int]')}",
                    actual=t.__name__,
                    hint="name the type of the items: they are checked and stored by it",
                )
        else:
            transformer = transformer_for_generic(t, origin)
            if transformer is None and form_of(origin):
                transformer = transformer_for_class(origin)
        if transformer is not None:
            return self._of(transformer, t)
        cls = origin or t
        if cls.__module__ in ("collections.abc", "typing", "collections") and cls.__name__ in _GENERIC_HINTS:
            raise _unsupported(t, _GENERIC_HINTS[cls.__name__])
        if cls.__module__ in ("collections.abc", "typing") or (origin is not None and origin is type):
            raise _unsupported(t, None)
        return PickleConverter(cls)

    def _of(self, transformer: Any, t: Any) -> Converter[Any]:
        converter: Converter[Any] | None = transformer.converter(t, self.resolve)
        if converter is None:
            return EmbeddedConverter(transformer, t)
        return converter if isinstance(converter, CoreConverter) else AdaptedConverter(converter, t)


def _of_json(t: type[Any]) -> Any:
    """What ``dict`` and ``list`` hold where nothing is said: plain JSON, checked as such."""
    from flytepath.types.json_values import JSON

    return dict[str, JSON] if t is dict else list[JSON]


def _applied(alias: Any, arguments: tuple[Any, ...]) -> Any:
    """What a generic ``type`` alias stands for with these arguments."""
    given = dict(zip(alias.__type_params__, arguments, strict=False))
    parameters = getattr(alias.__value__, "__parameters__", ())
    return alias.__value__[tuple(given.get(item, item) for item in parameters)] if parameters else alias.__value__


def _no_type(t: Any) -> DefinitionError:
    if isinstance(t, str | typing.ForwardRef):
        return DefinitionError(
            f"the annotation {t!r} is a name that was not resolved", hint="define the class before it is used"
        )
    if isinstance(t, typing.TypeVar):
        return DefinitionError(f"the type variable {t} stands for no type here", hint="name a type, as in Box[int]")
    return DefinitionError(
        f"{t!r} is not a type that values can be kept as", expected="a type such as int or list[str]"
    )


def _unsupported(t: Any, hint: str | None) -> DefinitionError:
    return DefinitionError(
        f"values of {type_name(t)} cannot be kept exactly",
        expected="a concrete type",
        actual=type_name(t),
        hint=hint or "use a concrete type such as list[...], dict[..., ...] or a dataclass",
    )


# --- the pickle fallback -----------------------------------------------------------------------------------------

_announced: set[str] = set()


def _is_pickled(type: LiteralType) -> bool:
    return bool(_pickled_names(type))


def _pickled_names(type: LiteralType) -> list[str]:
    if type.kind == "opaque" and type.format == PickleConverter.format:
        return [type.name]
    inner = [*type.items, *(field.type for field in type.fields)]
    return [name for item in inner for name in _pickled_names(item)]


def _announce(type: LiteralType, t: Any) -> None:
    """Warn, once per class, that values will be pickled; refuse where that is forbidden."""
    names = _pickled_names(type)
    forbidden_by = config.pickle_forbidden_by()
    if forbidden_by is not None:
        raise DefinitionError(
            f"values of {type_name(t)} could only be pickled, and the setting types.allow_pickle forbids that",
            expected="a type with a transformer",
            actual=", ".join(names),
            hint=f"use a dataclass, or install a plugin that knows the type; it is said in {forbidden_by}",
        )
    for name in names:
        if name not in _announced:
            warnings.warn(
                f"there is no transformer for {name}: its values will be pickled, and can be read only by the same code"
                f" (a dataclass would be exact; the setting types.allow_pickle = false forbids pickle)",
                PickleFallbackWarning,
                stacklevel=3,
            )
            _announced.add(name)
