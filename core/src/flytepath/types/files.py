"""``FlyteFile``: a file that tasks pass on by reference, fetched when it is opened and kept by its content."""

from __future__ import annotations

import io
import os
import typing
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, ClassVar, Self

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.converter import type_name, unreadable
from flytepath.types.located import Content, Located, checked_name
from flytepath.types.transfers import (
    ScratchBlobs,
    base_name,
    clone,
    download,
    fresh_folder,
    is_remote,
    local_path,
    missing,
    open_remote,
    typed_path,
    upload,
    version_of,
    working_folder,
)


class KeptFile(Content):
    """The content of a file that is a blob. One that is only known by its digest, as in a directory, has no URI."""

    def __init__(self, source: BlobSource, ref: BlobRef, name: str = "") -> None:
        self.source = source
        self.ref = ref
        self.uri = ref.uri
        self.key = ("blob", ref.digest, name)

    def fetch(self, target: Path) -> None:
        """Bring it to ``target``, as a file of its own that may be written to."""
        clone(self.source.local_path(self.ref), target)

    def kept_in(self, sink: BlobSink) -> BlobRef:
        """The same blob in the store behind ``sink``; nothing is copied where it is there already."""
        is_there: bool = sink is typing.cast(Any, self.source)
        return self.ref if is_there and self.uri else sink.put_file(self.source.local_path(self.ref))

    def open(self, mode: str, cache_type: str | None, cache_options: dict[str, Any] | None) -> IO[Any]:
        """A stream, straight from the blob."""
        return _as_declared(self.source.open(self.ref), mode)


class RemoteFile(Content):
    """The content of a file that is referred to by its URI, and where we wrote it ourselves by its digest too."""

    def __init__(self, uri: str, ref: BlobRef | None = None) -> None:
        self.uri = uri
        self.ref = ref
        self.key = ("uri", uri)

    def fetch(self, target: Path) -> None:
        """Download it to ``target``."""
        download(self.uri, target, None if self.ref is None else self.ref.digest)

    def open(self, mode: str, cache_type: str | None, cache_options: dict[str, Any] | None) -> IO[Any]:
        """A stream through fsspec."""
        return open_remote(self.uri, mode, cache_type, cache_options)


def _as_declared(stream: BinaryIO, mode: str) -> IO[Any]:
    return stream if "b" in mode else io.TextIOWrapper(stream, encoding="utf-8")


class FlyteFile(Located):
    """A file as an input or output of tasks.

    A task returns ``FlyteFile(path)`` (or the path itself, where a ``FlyteFile`` is declared): a local file is kept by
    its content when the task ends, a URI is passed on as a reference. A task that takes a ``FlyteFile`` gets one whose
    content comes when it is asked for: by ``open``, ``download``, ``path``, or by passing it where a path is expected.

    ``FlyteFile["csv"]`` declares a format. It is checked between the nodes of a workflow, not against the bytes.

    Args:
        path: a path of this machine, or a URI that fsspec reads.
        downloader: called once before the local path is first used.
        remote_path: where to put the content: ``None`` lets the platform choose, a URI says it, ``False`` leaves a
            local file where it is (only tasks on the same machine can read it then).
        metadata: texts that travel with the file.

    Example:
        >>> import pathlib, tempfile
        >>> from flytepath import task
        >>> @task
        ... def shout(source: FlyteFile) -> FlyteFile:
        ...     target = FlyteFile.new("loud.txt")
        ...     with source.open("r") as given, target.open("w") as out:
        ...         _ = out.write(given.read().upper())
        ...     return target
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     quiet = pathlib.Path(folder, "quiet.txt")
        ...     _ = quiet.write_text("hello")
        ...     loud = shout(source=quiet)
        >>> pathlib.Path(loud).name, pathlib.Path(loud).read_text()
        ('loud.txt', 'HELLO')
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        downloader: Callable[..., Any] | None = None,
        remote_path: str | os.PathLike[str] | typing.Literal[False] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(path, downloader, remote_path, metadata)
        self._adopted()

    def _adopted(self) -> None:
        if self._given is not None and is_remote(self._given):
            self._content = RemoteFile(self._given)

    @classmethod
    def from_source(cls, source: str | os.PathLike[str]) -> Self:
        """A file as a task receives it: of a URI, the local path is where it will be downloaded to."""
        text = os.fspath(source)
        return cls._received(RemoteFile(text), base_name(text)) if is_remote(text) else cls(source)

    @classmethod
    def new(cls, filename: str | os.PathLike[str]) -> Self:
        """A file to write in the working directory of the running task."""
        path = working_folder() / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def new_remote_file(cls, name: str | None = None, alt: str | None = None) -> Self:
        """A file to write through ``open``, and to return: its content is kept when the task ends.

        Args:
            name: the file's name; by default a unique one.
            alt: a URI to put it under, in place of where the platform keeps blobs.
        """
        name = name or uuid.uuid4().hex
        return cls(fresh_folder() / name) if alt is None else cls(f"{alt.rstrip('/')}/{name}")

    @property
    def remote_path(self) -> str | bool | None:
        """Where the content was asked to be put: a URI, ``False`` for nowhere, ``None`` for no wish."""
        return self._remote

    def open(
        self, mode: str = "r", cache_type: str | None = None, cache_options: dict[str, Any] | None = None
    ) -> IO[Any]:
        """The file as a stream (and a context manager): read where it lies, without a download.

        Args:
            mode: as for the built-in ``open``. Text is UTF-8.
            cache_type: for remote files, the fsspec cache to read through: ``simplecache``, ``filecache``,
                ``blockcache``.
            cache_options: the options of that cache.

        Raises:
            MissingFileError: there is no such file.
            FileAccessError: it cannot be opened.
            TypeTransformerFailedError: a file that was received is opened for writing.
        """
        writing = any(letter in mode for letter in "wax+")
        if self._given is None and writing:
            raise TypeTransformerFailedError(
                "a file that a task received is not written to: others may read the same one",
                expected="a mode that reads",
                actual=mode,
                hint="write a new one, FlyteFile.new(name), or a copy: open(file.download(), 'r+')",
            )
        if self._content is not None and self._local is None:
            stream: IO[Any] = self._content.open(mode, cache_type, cache_options)
            return stream
        path = self._local or local_path(self._given or "")
        if self._downloader is not None:
            path = self.download()
        if writing:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            return Path(path).open(mode, encoding=None if "b" in mode else "utf-8")
        except FileNotFoundError as error:
            raise missing(path) from error

    def _bring(self) -> str:
        target = fresh_folder() / (self._name or "file")
        self._content.fetch(target)
        return str(target)


class FileTransformer(TypeTransformer[FlyteFile]):
    """``FlyteFile`` as a blob, or as a reference to a URI."""

    format: ClassVar[str] = "file"

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("file", format=t.extension())

    def accepts(self, value: Any, t: Any) -> bool:
        return bool(t._takes(value))

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        file: FlyteFile = t._from(value)
        data: dict[str, Any] = {"name": checked_name(file._name or "file")}
        if file.metadata:
            data["metadata"] = file.metadata
        content = file._content
        if isinstance(file._remote, str):
            content = _put(file, file._remote)
        if isinstance(content, RemoteFile):
            if content.ref is None:
                data |= {"uri": content.uri, "version": version_of(content.uri)}
                return self._literal(t, data, None)
            return self._literal(t, data | {"elsewhere": True}, content.ref)
        if isinstance(content, KeptFile):
            return self._literal(t, data, content.kept_in(sink))
        path = _existing(file)
        if file._remote is False:
            facts = path.stat()
            data |= {"path": str(path.absolute()), "version": [facts.st_mtime_ns, facts.st_size]}
            return self._literal(t, data, None)
        return self._literal(t, data, sink.put_file(path))

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> FlyteFile:
        if literal.format != self.format or not isinstance(literal.data, dict):
            raise unreadable(literal.format, type_name(t))
        check_format(literal.type, t)
        data, ref = literal.data, literal.ref
        name = base_name(str(data.get("name", ""))).replace("\0", "") or "file"
        metadata = data.get("metadata")
        content: Content
        if ref is not None:
            content = RemoteFile(ref.uri, ref) if data.get("elsewhere") else KeptFile(source, ref, name)
        elif "uri" in data:
            content = RemoteFile(data["uri"])
        elif "path" in data:
            return _left_in_place(t, data["path"], metadata)
        else:
            raise unreadable(data, type_name(t))
        made: FlyteFile = t._received(content, "file" if name in (".", "..") else name, metadata)
        return made

    def isolate(self, value: Any, t: Any) -> FlyteFile:
        file: FlyteFile = t._from(value)
        if isinstance(file._remote, str):
            return self._shared(t, _put(file, file._remote), file)
        if file._content is not None:
            return self._shared(t, file._content, file)
        if file._remote is False:
            return _left_in_place(t, str(_existing(file).absolute()), file.metadata)
        scratch = ScratchBlobs()
        return self.decode(self.encode(file, t, scratch), t, scratch)

    def from_text(self, t: Any, text: str) -> FlyteFile:
        """What a person types for an input of type ``t``."""
        return from_text(t, text)

    def summary(self, value: Any) -> Json:
        content = value._content
        size = content.ref.size if content is not None and content.ref is not None else None
        return {"type": "file", "name": value._name, "format": value.extension(), "bytes": size}

    def _shared(self, t: Any, content: Content, file: FlyteFile) -> FlyteFile:
        made: FlyteFile = t._received(content, file._name or "file", file.metadata)
        return made

    def _literal(self, t: Any, data: dict[str, Any], ref: BlobRef | None) -> Literal:
        return Literal.make(self.literal_type(t), data, format=self.format, version=self.format_version, ref=ref)


def from_text(t: type[FlyteFile], text: str) -> FlyteFile:
    """What a person types for an input of type ``t``: a path or a URI.

    Raises:
        MissingFileError: there is no such file on this machine.

    Example:
        >>> from_text(FlyteFile["csv"], "s3://bucket/table.csv").remote_source
        's3://bucket/table.csv'
    """
    file = t(typed_path(text))
    if file._content is None:
        _existing(file)
    return file


def _put(file: FlyteFile, uri: str) -> RemoteFile:
    """Write a file to the place its maker asked for."""
    return RemoteFile(uri, upload(Path(file.download()) if file._content is not None else _existing(file), uri))


def _existing(file: FlyteFile) -> Path:
    path = Path(file.download())
    if not path.exists():
        raise missing(str(path))
    if not path.is_file():
        raise TypeTransformerFailedError(
            "this is no file", expected="a file", actual=str(path), hint="a folder is a FlyteDirectory"
        )
    return path


def _left_in_place(t: Any, path: str, metadata: dict[str, str] | None) -> FlyteFile:
    made: FlyteFile = t.__new__(t)
    Located.__init__(made, path, None, False, metadata)
    if not Path(path).is_file():
        raise missing(path, "it was left where it was written (remote_path=False), so only that machine can read it")
    return made


def check_format(given: LiteralType, t: Any) -> None:
    """Refuse a literal of another format than ``t`` declares."""
    if given.format and t.extension() and given.format != t.extension():
        raise TypeTransformerFailedError(
            f"a {given.kind} of format {given.format} is no {type_name(t)}",
            expected=t.extension(),
            actual=given.format,
        )
