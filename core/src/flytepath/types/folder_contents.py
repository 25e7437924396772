"""What is in a directory: the manifest a kept one has, and folders on this machine and elsewhere."""

from __future__ import annotations

import hashlib
import os
import posixpath
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import BlobRef, canonical_json
from flytepath.plugin.transformer import BlobSink, BlobSource
from flytepath.types.converter import unreadable
from flytepath.types.files import KeptFile, RemoteFile
from flytepath.types.located import Content, checked_name
from flytepath.types.transfers import (
    FileAccessError,
    access,
    filesystem,
    in_parallel,
    joined,
    log,
    make_parents,
    missing,
    upload,
    version_facts,
)

#: How many files are transferred at once where no ``BatchSize`` says.
AT_ONCE: Final = 8
#: Files up to this size are compared with the store in memory, so that one it has is not written again.
_SMALL: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or an empty folder (without a digest), by its path below the directory, with ``/`` between names."""

    path: str
    digest: str = ""
    size: int = 0
    executable: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is an empty folder of a kept directory."""
        return not self.digest

    def to_json(self) -> dict[str, Any]:
        """Plain data with only the fields that say something."""
        if self.is_folder:
            return {"path": self.path, "folder": True}
        executable = {"executable": True} if self.executable else {}
        return {"path": self.path, "digest": self.digest, "size": self.size} | executable

    @classmethod
    def from_json(cls, data: Any) -> Entry:
        """The inverse of :meth:`to_json`; refuses a path that would leave the directory."""
        try:
            path, executable = str(data["path"]), bool(data.get("executable"))
            entry = cls(path) if data.get("folder") else cls(path, str(data["digest"]), int(data["size"]), executable)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise unreadable(data, "an entry of a directory") from error
        parts = path.split("/")
        if "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise unreadable(path, "a path inside a directory")
        return entry


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A file of a folder on this machine (or an empty folder), by its path below it."""

    path: str
    place: Path
    is_folder: bool = False


class FolderContent(Content):
    """The content of a directory, wherever it is."""

    def file(self, entry: Entry) -> KeptFile | RemoteFile:
        """The content of one file."""
        raise NotImplementedError

    def fetch(self, entry: Entry, target: Path) -> None:
        """Bring one entry below ``target``, unless it is there."""
        place = target / entry.path
        if entry.is_folder:
            place.mkdir(parents=True, exist_ok=True)
        elif not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            self.file(entry).fetch(place)
            if entry.executable:
                place.chmod(place.stat().st_mode | 0o111)


class KeptFolder(FolderContent):
    """The content of a directory whose files are blobs; its manifest is a blob itself, read when it is needed.

    Args:
        source: where the blobs are.
        ref: the manifest.
        below: the sub-folder of the manifest that this one is, with ``/`` at its end; empty for all.
        at_once: how many files are fetched at a time.
    """

    def __init__(self, source: BlobSource, ref: BlobRef, below: str = "", at_once: int = AT_ONCE) -> None:
        self.source = source
        self.ref = ref
        self.below = below
        self.at_once = at_once
        self.uri = ref.uri
        self.key = ("blob", ref.digest, below)
        self._entries: list[Entry] | None = None
        self._lock = threading.Lock()

    def entries(self) -> list[Entry]:
        """Files and empty folders, sorted by path."""
        with self._lock:
            if self._entries is None:
                self._entries = [
                    Entry(entry.path.removeprefix(self.below), entry.digest, entry.size, entry.executable)
                    for entry in read_manifest(self.source.get(self.ref))
                    if entry.path.startswith(self.below)
                ]
            return self._entries

    def file(self, entry: Entry) -> KeptFile:
        """The content of one file."""
        return KeptFile(self.source, BlobRef("", entry.digest, entry.size), posixpath.basename(entry.path))

    def sub(self, name: str) -> KeptFolder:
        """The folder ``name`` directly in this one."""
        return KeptFolder(self.source, self.ref, f"{self.below}{name}/", self.at_once)


class RemoteFolder(FolderContent):
    """The content of a directory that is referred to by its URI."""

    def __init__(self, uri: str, ref: BlobRef | None = None, at_once: int = AT_ONCE) -> None:
        self.uri = uri
        self.ref = ref
        self.at_once = at_once
        self.key = ("uri", uri.rstrip("/"))

    def described(self) -> dict[str, dict[str, Any]]:
        """What the file system says of everything inside, by relative path.

        Raises:
            MissingFileError: there is no such directory.
        """
        files, root = filesystem(self.uri)
        with access(self.uri, "listed"):
            files.invalidate_cache(root)
            found: dict[str, dict[str, Any]] = files.find(root, withdirs=True, detail=True)
            if not found and not files.exists(root):
                raise missing(self.uri)
        start = root.rstrip("/") + "/"
        inside = {path[len(start) :]: info for path, info in found.items() if path.startswith(start)}
        # Tools that show folders in an object store keep an empty object for each, with a slash at its end.
        return {
            path.rstrip("/"): {**info, "type": "directory"} if path.endswith("/") else info
            for path, info in inside.items()
            if path.rstrip("/")
        }

    def entries(self) -> list[Entry]:
        """Files and folders, sorted by path; the digest of a file is not known."""
        found = sorted(self.described().items())
        return [
            Entry(path) if info.get("type") == "directory" else Entry(path, "unknown", int(info.get("size") or 0))
            for path, info in found
        ]

    def file(self, entry: Entry) -> RemoteFile:
        """The content of one file."""
        return RemoteFile(joined(self.uri, entry.path))

    def sub(self, name: str) -> RemoteFolder:
        """The folder ``name`` directly in this one."""
        return RemoteFolder(joined(self.uri, name), at_once=self.at_once)

    def version(self) -> str:
        """A digest of what the file system says of the files inside; empty where it says nothing in reasonable time."""
        if self.uri.partition("://")[0] in ("http", "https"):
            return ""  # a web server is not listed but crawled
        try:
            facts = [[path, version_facts(info)] for path, info in sorted(self.described().items())]
        except FileAccessError as error:
            log.warning("%s is passed on unseen, a change of it will not be noticed: %s", self.uri, error.message)
            return ""
        return hashlib.sha256(canonical_json(facts)).hexdigest()


def read_manifest(content: bytes) -> list[Entry]:
    """The entries of a manifest. Raises ``TypeTransformerFailedError`` where it is damaged."""
    import json

    try:
        rows = json.loads(content)["entries"]
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(content[:60], "the manifest of a directory") from error
    return [Entry.from_json(row) for row in rows]


def manifest(entries: list[Entry]) -> bytes:
    """The manifest of a directory: the same bytes for the same content, wherever its files lie.

    Example:
        >>> manifest([Entry("b"), Entry("a")])
        b'{"entries":[{"path":"a","folder":true},{"path":"b","folder":true}]}'
    """
    rows = sorted((entry.to_json() for entry in entries), key=lambda row: str(row["path"]))
    return canonical_json({"entries": rows})


def local_entries(folder: Path) -> list[LocalEntry]:
    """Everything in a folder of this machine. A symbolic link stands for what it leads to.

    Raises:
        TypeTransformerFailedError: a link leads nowhere or into a folder around it, something is neither file nor
            folder, or a name is not text. ``place`` is the path below the folder.
    """
    return list(_walk(folder, "", (_identity(folder),)))


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino


def _walk(folder: Path, below: str, around: tuple[tuple[int, int], ...]) -> Iterator[LocalEntry]:
    with os.scandir(folder) as scanned:
        found = sorted(scanned, key=lambda item: item.name)
    for item in found:
        path, place = f"{below}{item.name}", folder / item.name
        try:
            checked_name(item.name)
            if item.is_dir():
                identity = _identity(place)
                if identity in around:
                    raise TypeTransformerFailedError(
                        "a symbolic link leads into a folder around it", expected="a tree", actual=str(place.readlink())
                    )
                inner = list(_walk(place, f"{path}/", (*around, identity)))
                yield from inner or [LocalEntry(path, place, is_folder=True)]
            elif item.is_file():
                yield LocalEntry(path, place)
            else:
                raise TypeTransformerFailedError(
                    "this is neither a file nor a folder"
                    if not item.is_symlink()
                    else "a symbolic link leads to no file or folder",
                    expected="files, folders, and links to such",
                    actual=str(place.readlink()) if item.is_symlink() else "a special file",
                )
        except TypeTransformerFailedError as error:
            if error.place is None:
                error.place = f"[{path!a}]"
            raise


def keep(entries: list[LocalEntry], sink: BlobSink, at_once: int) -> list[Entry]:
    """Put the files of a local folder into a store."""

    def put(entry: LocalEntry) -> Entry:
        if entry.is_folder:
            return Entry(entry.path)
        facts = entry.place.stat()
        small = facts.st_size <= _SMALL
        ref = sink.put(entry.place.read_bytes()) if small else sink.put_file(entry.place)
        return Entry(entry.path, ref.digest, ref.size, bool(facts.st_mode & 0o100))

    return in_parallel(put, entries, at_once)


def send(entries: list[LocalEntry], uri: str, at_once: int) -> list[Entry]:
    """Write the files of a local folder below ``uri``. Empty folders stay empty where there are folders at all."""

    def put(entry: LocalEntry) -> Entry:
        if entry.is_folder:
            files, path = filesystem(joined(uri, entry.path))
            with access(uri, "written"):
                make_parents(files, f"{path}/inside")
            return Entry(entry.path)
        ref = upload(entry.place, joined(uri, entry.path))
        return Entry(entry.path, ref.digest, ref.size, bool(entry.place.stat().st_mode & 0o100))

    return in_parallel(put, entries, at_once)
