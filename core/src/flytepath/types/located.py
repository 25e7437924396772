"""What files and directories have in common: a path that was given, or content that was received and comes lazily."""

from __future__ import annotations

import os
import threading
import typing
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.types.converter import mismatch, type_name
from flytepath.types.scalars import is_text
from flytepath.types.transfers import as_uri, base_name, is_remote, local_path


class Content:
    """Where the content of a received value is, until it is wanted on this machine.

    Attributes:
        uri: where it lies.
        key: what is equal for equal content.
    """

    uri: str
    key: tuple[str, ...]


class Located(os.PathLike[str]):
    """A file or directory: the base of ``FlyteFile`` and ``FlyteDirectory``.

    One that a user makes stands for its path. One that a task receives stands for content elsewhere, which is brought
    to this machine when its path is first asked for.
    """

    _format: ClassVar[str] = ""
    _typed: ClassVar[dict[tuple[type[Any], str], type[Any]]] = {}

    def __init__(
        self,
        path: str | os.PathLike[str],
        downloader: Callable[..., Any] | None,
        remote: str | os.PathLike[str] | bool | None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self._set(checked_path(path, type(self)), downloader, remote, metadata=metadata)

    def _set(
        self,
        given: str | None,
        downloader: Callable[..., Any] | None = None,
        remote: str | os.PathLike[str] | bool | None = None,
        content: Any = None,
        name: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        if remote is True:
            raise TypeTransformerFailedError("a remote place is a URI, None or False", expected="str", actual="True")
        self._given = given
        self._downloader = downloader
        self._remote: str | bool | None = remote if remote is None or remote is False else as_uri(os.fspath(remote))
        self._content = content
        self.metadata = None if metadata is None else dict(metadata)
        self._name = name or base_name(given or "")
        self._local: str | None = None
        self._folder: Path | None = None
        self._lock = threading.Lock()

    @classmethod
    def _received(cls, content: Any, name: str, metadata: dict[str, str] | None = None) -> Self:
        """A value of this class that stands for ``content``."""
        made = cls.__new__(cls)
        made._set(None, content=content, name=name, metadata=metadata)
        return made

    def __class_getitem__(cls, item: Any) -> type[Self]:
        format = _format_of(item)
        if not format:
            return cls
        if cls._format:
            raise DefinitionError(f"{cls.__qualname__} has a format already", actual=f"{cls.__qualname__}[{item!r}]")
        known = Located._typed.get((cls, format))
        if known is None:
            scope = {"_format": format, "__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}[{format}]"}
            known = Located._typed.setdefault((cls, format), type(f"{cls.__name__}[{format}]", (cls,), scope))
        return known

    @classmethod
    def extension(cls) -> str:
        """The declared format, empty where any will do."""
        return cls._format

    @property
    def path(self) -> str:
        """The path or URI that was given; of a received value, where it is on this machine (it is brought there)."""
        return self.download() if self._given is None else self._given

    @property
    def remote_source(self) -> str | None:
        """Where the content is kept, as a URI; ``None`` for a local path, and for a part of something kept."""
        return None if self._content is None else str(self._content.uri) or None

    @property
    def downloaded(self) -> bool:
        """Whether the content is on this machine already."""
        return self._local is not None or (self._content is None and self._downloader is None)

    def download(self) -> str:
        """Bring the content to this machine, once, and return its path there.

        Raises:
            MissingFileError: there is nothing at the URI.
            FileAccessError: it cannot be read.
        """
        with self._lock:
            if self._local is None:
                if self._downloader is not None:
                    self._downloader()
                self._local = local_path(self._given or "") if self._content is None else self._bring()
            return self._local

    def _adopted(self) -> None:
        """What the class does with a path when it is made of one."""

    @abstractmethod
    def _bring(self) -> str:
        """Fetch what was received; its path on this machine."""

    def __fspath__(self) -> str:
        return self.download()

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({self._shown!r})"

    @property
    def _shown(self) -> str:
        """What stands for the value in messages: nothing is fetched for it."""
        return self._given if self._given is not None else str(self._content.uri) or self._name

    @property
    def _key(self) -> tuple[str, ...]:
        if self._content is not None:
            key: tuple[str, ...] = self._content.key
            return key
        return ("path", str(Path(local_path(self._given or "")).absolute()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Located) and type(self) is type(other) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is behind a received value stays with its process; a copy elsewhere starts from the local path.
        base = next(cls for cls in type(self).__mro__ if "[" not in cls.__qualname__)
        return _rebuilt, (base, self._format, self.path, self._remote, self.metadata)

    def __copy__(self) -> Self:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._lock = threading.Lock()
        if self._given is None:  # what was brought here is the other's own
            made._local = made._folder = None
        return made

    def __deepcopy__(self, memo: Any) -> Self:
        return self.__copy__()

    @classmethod
    def _from(cls, value: Any) -> Self:
        """``value`` as one of this class; raises ``TypeTransformerFailedError`` where it is not."""
        if isinstance(value, cls):
            return value
        if not cls._takes(value):
            raise mismatch(value, type_name(cls))
        if not isinstance(value, Located):
            made = cls.__new__(cls)
            Located.__init__(made, value, None, None)
            made._adopted()
            return made
        made = cls.__new__(cls)
        made.__dict__.update(value.__dict__)
        return made

    @classmethod
    def _takes(cls, value: Any) -> bool:
        """Whether a value of another class can be given for one of this class."""
        if not isinstance(value, Located):
            return isinstance(value, str | os.PathLike)
        of_one_kind = any(base in type(value).__mro__ for base in cls.__mro__ if base.__base__ is Located)
        return of_one_kind and value._format in ("", cls._format)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def validated(value: Any) -> Any:
            if isinstance(value, dict) and value.keys() == {"path"}:
                value = value["path"]
            return value if isinstance(value, Located) and cls._takes(value) else cls._from(value)

        as_json = core_schema.plain_serializer_function_ser_schema(lambda value: {"path": value._shown})
        return core_schema.no_info_plain_validator_function(validated, serialization=as_json)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "title": cls.__qualname__, "description": "a path or URI"}


def checked_path(path: Any, t: type[Any]) -> str:
    """A path as text; raises ``TypeTransformerFailedError`` where it is none."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise mismatch(path, f"the path or URI of a {t.__qualname__}")
    if not text:
        raise TypeTransformerFailedError("the path is empty", expected="a path or a URI", actual="''")
    return text


def checked_name(name: str) -> str:
    """A file's name that any machine can write; raises ``TypeTransformerFailedError`` for one that is not text."""
    if not is_text(name):
        raise TypeTransformerFailedError(
            "the name of a file is not UTF-8", expected="a name that is text", actual=ascii(name), hint="rename it"
        )
    return name


def is_remote_path(value: Located) -> bool:
    """Whether a user made it of a URI."""
    return value._given is not None and is_remote(value._given)


def _format_of(item: Any) -> str:
    """What stands between the brackets: text, a type variable's name, or an annotation with an ``extension``."""
    if isinstance(item, typing.TypeVar):
        item = item.__name__
    if typing.get_origin(item) is typing.Annotated:
        item = next((mark.extension for mark in item.__metadata__ if hasattr(mark, "extension")), "")
    if not isinstance(item, str):
        raise DefinitionError(
            "the format of a file is a name", expected='for example FlyteFile["csv"]', actual=repr(item)
        )
    return item.strip().lstrip("~").lstrip(".")


def _rebuilt(base: type[Any], format: str, path: str, remote: Any, metadata: Any) -> Any:
    made = base[format].__new__(base[format])
    Located.__init__(made, path, None, remote, metadata)
    return made
