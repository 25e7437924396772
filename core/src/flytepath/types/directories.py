"""``FlyteDirectory``: a directory that tasks pass on by reference, with files that come one by one or together."""

from __future__ import annotations

import hashlib
import os
import typing
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Json, TypeTransformer
from flytepath.types.converter import type_name, unreadable
from flytepath.types.files import FlyteFile, check_format
from flytepath.types.folder_contents import (
    AT_ONCE,
    Entry,
    KeptFolder,
    RemoteFolder,
    keep,
    local_entries,
    manifest,
    send,
)
from flytepath.types.located import Located
from flytepath.types.transfers import (
    ScratchBlobs,
    base_name,
    fresh_folder,
    in_parallel,
    is_remote,
    joined,
    local_path,
    missing,
    typed_path,
    working_folder,
)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How many files of a directory are transferred at once: ``Annotated[FlyteDirectory, BatchSize(4)]``.

    Raises:
        DefinitionError: it is not a whole number from 1.
    """

    val: int

    def __post_init__(self) -> None:
        if type(self.val) is not int or self.val < 1:
            raise DefinitionError("BatchSize takes a whole number from 1", expected="int >= 1", actual=repr(self.val))


class FlyteDirectory(Located):
    """A directory as an input or output of tasks.

    A task returns ``FlyteDirectory(path)`` (or the path itself, where a ``FlyteDirectory`` is declared): its files are
    kept by their content when the task ends, a URI is passed on as a reference. A task that takes one gets it without
    its files: ``listdir`` and ``crawl`` give them one by one, ``download`` (or use as a path) brings all.

    Empty folders, nested folders and the right to execute are kept; a symbolic link stands for what it leads to.

    Args:
        path: a folder of this machine, or a URI that fsspec reads.
        downloader: called once before the local path is first used.
        remote_directory: where to put the content: ``None`` lets the platform choose, a URI says it, ``False`` leaves
            a local folder where it is (only tasks on the same machine can read it then).

    Example:
        >>> from flytepath import task
        >>> @task
        ... def write() -> FlyteDirectory:
        ...     made = FlyteDirectory.new("numbers")
        ...     with made.new_file("one.txt").open("w") as out:
        ...         _ = out.write("1")
        ...     return made
        >>> [path for _, path in write().crawl()]
        ['one.txt']
        >>> [file.path.rpartition("/")[2] for file in FlyteDirectory.listdir(write())]
        ['one.txt']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        downloader: Callable[..., Any] | None = None,
        remote_directory: str | os.PathLike[str] | typing.Literal[False] | None = None,
    ) -> None:
        super().__init__(path, downloader, remote_directory)
        self._adopted()

    def _adopted(self) -> None:
        if self._given is not None and is_remote(self._given):
            self._content = RemoteFolder(self._given)

    @classmethod
    def from_source(cls, source: str | os.PathLike[str]) -> Self:
        """A directory as a task receives it: of a URI, the local path is where it will be downloaded to."""
        text = os.fspath(source)
        return cls._received(RemoteFolder(text), base_name(text)) if is_remote(text) else cls(source)

    @classmethod
    def new(cls, dirname: str | os.PathLike[str]) -> Self:
        """A new folder in the working directory of the running task."""
        path = working_folder() / dirname
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def new_remote(cls, stem: str | None = None, alt: str | None = None) -> Self:
        """A directory to fill through ``new_file``, and to return: its content is kept when the task ends.

        Args:
            stem: its name; by default a unique one.
            alt: a URI to put it under, in place of where the platform keeps blobs.
        """
        stem = stem or uuid.uuid4().hex
        if alt is not None:
            return cls(joined(alt, stem))
        path = fresh_folder() / stem
        path.mkdir(parents=True)
        return cls(path)

    @property
    def remote_directory(self) -> str | bool | None:
        """Where the content was asked to be put: a URI, ``False`` for nowhere, ``None`` for no wish."""
        return self._remote

    @property
    def sep(self) -> str:
        """What stands between the names of a path inside."""
        return "/" if self._content is not None else os.sep

    def new_file(self, name: str | None = None) -> FlyteFile:
        """A file to write inside; raises ``TypeTransformerFailedError`` on a directory that was received."""
        return FlyteFile(self._below(name or uuid.uuid4().hex, is_folder=False))

    def new_dir(self, name: str | None = None) -> FlyteDirectory:
        """A folder to fill inside; raises ``TypeTransformerFailedError`` on a directory that was received."""
        return FlyteDirectory(self._below(name or uuid.uuid4().hex, is_folder=True))

    def _below(self, name: str, is_folder: bool) -> str:
        if self._given is None:
            raise TypeTransformerFailedError(
                "a directory that a task received is not written to: others may read the same one",
                actual=name,
                hint="make a new one, FlyteDirectory.new(name)",
            )
        if self._content is not None:
            return joined(self._given, name)
        path = Path(local_path(self._given), name)
        (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        return str(path)

    @classmethod
    def listdir(cls, directory: FlyteDirectory) -> list[FlyteDirectory | FlyteFile]:
        """What is directly in ``directory``, by name. Nothing is downloaded before it is used.

        Raises:
            MissingFileError: there is no such directory.
            FileAccessError: it cannot be listed.
        """
        content = directory._content
        if content is None or directory._local is not None:
            folder = _existing(directory)
            return [FlyteDirectory(place) if place.is_dir() else FlyteFile(place) for place in sorted(folder.iterdir())]
        found: dict[str, FlyteDirectory | FlyteFile] = {}
        for entry in content.entries():
            name, _, rest = entry.path.partition("/")
            if rest or entry.is_folder:
                found.setdefault(name, FlyteDirectory._received(content.sub(name), name))
            else:
                found[name] = FlyteFile._received(content.file(entry), name)
        return [found[name] for name in sorted(found)]

    def crawl(
        self, maxdepth: int | None = None, topdown: bool = True, detail: bool = False
    ) -> Iterator[tuple[str, str | dict[str, dict[str, Any]]]]:
        """Every file below, as (base, path below it); each is on this machine when it is given out, and not before.

        Args:
            maxdepth: how many levels deep; 1 is the directory's own files.
            topdown: whether files come in the order of their paths, or in the reverse of it.
            detail: whether the second item is ``{path: {"name", "size", "type"}}``.
        """
        if maxdepth is not None and maxdepth < 1:
            raise TypeTransformerFailedError("maxdepth starts at 1", expected="int >= 1", actual=repr(maxdepth))
        for path, size, bring in self._files() if topdown else reversed(list(self._files())):
            if maxdepth is not None and path.count("/") >= maxdepth:
                continue
            base = bring()
            facts = {"name": f"{base}/{path}", "size": size, "type": "file"}
            yield base, {path: facts} if detail else path

    def _files(self) -> Iterator[tuple[str, int, Callable[[], str]]]:
        """Each file's path, its size, and what brings it to this machine and gives the folder it is in."""
        content = self._content
        if content is None or self._local is not None:
            folder = _existing(self)
            for place in local_entries(folder):
                if not place.is_folder:
                    yield place.path, place.place.stat().st_size, lambda: str(folder)
            return
        for entry in content.entries():
            if not entry.is_folder:
                yield entry.path, entry.size, lambda entry=entry: self._bring_one(entry)  # type: ignore[misc]

    def _bring_one(self, entry: Entry) -> str:
        with self._lock:
            self._content.fetch(entry, self._target())
        return str(self._target())

    def _target(self) -> Path:
        """The folder that files are brought to, all of them or one by one."""
        if self._folder is None:
            self._folder = fresh_folder() / (self._name if self._name not in ("", ".", "..") else "directory")
            self._folder.mkdir()
        return self._folder

    def _bring(self) -> str:
        target = self._target()
        in_parallel(lambda entry: self._content.fetch(entry, target), self._content.entries(), self._content.at_once)
        return str(target)


class DirectoryTransformer(TypeTransformer[FlyteDirectory]):
    """``FlyteDirectory`` as a manifest of blobs, or as a reference to a URI."""

    format: ClassVar[str] = "directory"

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("directory", format=t.extension())

    def accepts(self, value: Any, t: Any) -> bool:
        return bool(t._takes(value))

    def annotated(self, t: Any, metadata: tuple[Any, ...]) -> DirectoryTransformer | None:
        sizes = [mark.val for mark in metadata if isinstance(mark, BatchSize)]
        if len(sizes) > 1:
            raise DefinitionError("a directory has one BatchSize", expected="one", actual=str(len(sizes)))
        return DirectoryTransformer(sizes[0]) if sizes else None

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        directory: FlyteDirectory = t._from(value)
        if isinstance(directory._remote, str):
            content: Any = self._put(directory, directory._remote)
        else:
            content = directory._content
        if isinstance(content, RemoteFolder):
            if content.ref is not None:
                return self._literal(t, {"elsewhere": True}, content.ref)
            return self._literal(t, {"uri": content.uri, "version": content.version()}, None)
        if isinstance(content, KeptFolder):
            return self._kept(t, content, sink)
        folder = _existing(directory)
        if directory._remote is False:
            return self._literal(t, {"path": str(folder.absolute()), "version": _times(folder)}, None)
        return self._manifest(t, keep(local_entries(folder), sink, self._at_once), sink)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> FlyteDirectory:
        data, ref = literal.data, literal.ref
        if literal.format != self.format or not isinstance(data, dict):
            raise unreadable(literal.format, type_name(t))
        check_format(literal.type, t)
        content: Any
        if ref is not None:
            elsewhere = bool(data.get("elsewhere"))
            content = (
                RemoteFolder(ref.uri, ref, self._at_once) if elsewhere else KeptFolder(source, ref, "", self._at_once)
            )
        elif "uri" in data:
            content = RemoteFolder(data["uri"], at_once=self._at_once)
        elif "path" in data:
            return _left_in_place(t, data["path"])
        else:
            raise unreadable(data, type_name(t))
        made: FlyteDirectory = t._received(content, "directory" if ref is not None else base_name(content.uri))
        return made

    def isolate(self, value: Any, t: Any) -> FlyteDirectory:
        directory: FlyteDirectory = t._from(value)
        content = directory._content
        if isinstance(directory._remote, str):
            content = self._put(directory, directory._remote)
        if content is not None:
            made: FlyteDirectory = t._received(content, directory._name)
            return made
        if directory._remote is False:
            return _left_in_place(t, str(_existing(directory).absolute()))
        scratch = ScratchBlobs()
        return self.decode(self.encode(directory, t, scratch), t, scratch)

    def from_text(self, t: Any, text: str) -> FlyteDirectory:
        """What a person types for an input of type ``t``."""
        return from_text(t, text)

    def summary(self, value: Any) -> Json:
        content = value._content
        facts = {"type": "directory", "name": value._name, "format": value.extension()}
        if isinstance(content, KeptFolder):
            sizes = [entry.size for entry in content.entries() if not entry.is_folder]
            return facts | {"files": len(sizes), "bytes": sum(sizes)}
        return facts

    def _put(self, directory: FlyteDirectory, uri: str) -> RemoteFolder:
        """Write a directory to the place its maker asked for."""
        folder = Path(directory.download()) if directory._content is not None else _existing(directory)
        written = manifest(send(local_entries(folder), uri, self._at_once))
        ref = BlobRef(uri, f"sha256:{hashlib.sha256(written).hexdigest()}", len(written))
        return RemoteFolder(uri, ref, self._at_once)

    def _kept(self, t: Any, content: KeptFolder, sink: BlobSink) -> Literal:
        """A received directory, or a part of one, passed on."""
        entries = content.entries()
        if content.source is not typing.cast(Any, sink):
            files = [content.file(entry) for entry in entries if not entry.is_folder]
            in_parallel(lambda file: file.kept_in(sink), files, self._at_once)
        return self._manifest(t, entries, sink)

    def _manifest(self, t: Any, entries: list[Entry], sink: BlobSink) -> Literal:
        sizes = [entry.size for entry in entries if not entry.is_folder]
        return self._literal(t, {"files": len(sizes), "bytes": sum(sizes)}, sink.put(manifest(entries)))

    def _literal(self, t: Any, data: dict[str, Any], ref: BlobRef | None) -> Literal:
        return Literal.make(self.literal_type(t), data, format=self.format, version=self.format_version, ref=ref)


def from_text(t: type[FlyteDirectory], text: str) -> FlyteDirectory:
    """What a person types for an input of type ``t``: the path of a folder, or a URI.

    Raises:
        MissingFileError: there is no such folder on this machine.
    """
    directory = t(typed_path(text))
    if directory._content is None:
        _existing(directory)
    return directory


def _existing(directory: FlyteDirectory) -> Path:
    path = Path(directory.download())
    if not path.exists():
        raise missing(str(path))
    if not path.is_dir():
        raise TypeTransformerFailedError(
            "this is no directory", expected="a directory", actual=str(path), hint="a single file is a FlyteFile"
        )
    return path


def _times(folder: Path) -> str:
    """What changes when a file in a folder that stays where it is does."""
    facts = [(entry.path, entry.place.stat()) for entry in local_entries(folder)]
    rows = [f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}" for path, stat in facts]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _left_in_place(t: Any, path: str) -> FlyteDirectory:
    made: FlyteDirectory = t.__new__(t)
    Located.__init__(made, path, None, False)
    if not Path(path).is_dir():
        raise missing(
            path, "it was left where it was written (remote_directory=False), so only that machine can read it"
        )
    return made
