"""``Checkpoint``: what a task leaves for its own next attempt.

A checkpoint is written beside what it replaces, made durable, and put in force by one small file, the manifest, which
holds the digests of everything. So an attempt that is killed while it writes leaves the checkpoint before it, whole;
and what was damaged later is an error, never a fresh start in silence.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Literal, Protocol

from flytepath.authoring.scratch import folder_of_this_process
from flytepath.errors import FlytePathError, InputError
from flytepath.store.disk import sync_folder

_MANIFEST: Final = "checkpoint.json"
_DATA: Final = "data-"
_ONE_FILE: Final = "checkpoint"
_CHUNK: Final = 1 << 20


class CheckpointError(FlytePathError, ValueError):
    """A checkpoint cannot be written, or what an earlier attempt left is damaged or of another shape."""

    code = "FP-CHECKPOINT"


@dataclass(frozen=True, slots=True)
class _Saved:
    """A checkpoint that is in force."""

    kind: Literal["bytes", "file", "folder"]
    data: str
    files: tuple[tuple[str, int, str], ...]  # name, size, digest
    folders: tuple[str, ...] = ()

    def encode(self) -> bytes:
        body = json.dumps({"format": 1, **{name: getattr(self, name) for name in self.__slots__}}).encode()
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    @classmethod
    def decode(cls, content: bytes, place: str) -> _Saved:
        digest, _, body = content.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise _damaged(place, "its manifest is not as it was written")
        found = json.loads(body)
        if found.pop("format") != 1:
            raise CheckpointError("a newer version wrote this checkpoint", place=place)
        files = tuple((name, size, digest) for name, size, digest in found["files"])
        return cls(found["kind"], found["data"], files, tuple(found["folders"]))


class _Place(Protocol):
    """A folder for checkpoints, here or elsewhere. Names may have ``/`` in them."""

    where: str

    def manifest(self) -> bytes | None: ...
    def commit(self, manifest: bytes) -> None: ...
    def open(self, name: str) -> BinaryIO: ...
    def create(self, name: str) -> BinaryIO: ...
    def settle(self, data: str) -> None: ...
    def sweep(self, keep: frozenset[str]) -> None: ...


class Checkpoint:
    """What ``current_context().checkpoint`` gives: the last attempt's state to start from, and a place for this one's.

    ``read``, ``restore`` and ``prev_exists`` are about what an *earlier* attempt left; ``write`` and ``save`` are for
    the next one. Each write replaces the whole checkpoint, at once or not at all.

    Args:
        checkpoint_dest: the folder, a path or a URL, that this attempt's checkpoint goes to; without one it is
            forgotten with this object.
        checkpoint_src: the folder of an earlier attempt's checkpoint; it may be the same one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = Checkpoint(checkpoint_dest=folder)
        ...     print(first.prev_exists(), first.read())
        ...     first.write(b"epoch 3")
        ...     second = Checkpoint(checkpoint_dest=folder, checkpoint_src=folder)
        ...     print(second.prev_exists(), second.read())
        False None
        True b'epoch 3'
    """

    __slots__ = ("_destination", "_known", "_lock", "_previous", "_scratch", "_source", "_taken")

    def __init__(self, checkpoint_dest: str | None = None, checkpoint_src: str | None = None) -> None:
        self._source = checkpoint_src
        self._destination = checkpoint_dest
        self._lock = threading.RLock()
        self._previous: _Saved | None = None
        self._known = False
        self._taken = 0
        self._scratch: Path | None = None

    # --- what an earlier attempt left ---

    def prev_exists(self) -> bool:
        """Whether an earlier attempt left a checkpoint.

        Raises:
            CheckpointError: there is one, and it is damaged.
        """
        return self._left() is not None

    def read(self) -> bytes | None:
        """The bytes an earlier attempt left with :meth:`write`, or its one file; ``None`` where it left nothing.

        Raises:
            CheckpointError: it is damaged, or it is a folder of several files.
        """
        saved = self._left()
        if saved is None:
            return None
        if len(saved.files) != 1:
            raise CheckpointError(
                f"the checkpoint is a folder with {len(saved.files)} files",
                place=self._source,
                expected="bytes, or one file",
                hint="use restore(folder)",
            )
        name, size, digest = saved.files[0]
        with self._opened(saved, name) as file:
            content = file.read()
        if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
            raise _damaged(self._source, f"{name} is not as it was written")
        return content

    def restore(self, path: Path | str | None = None) -> Path | None:
        """Put what an earlier attempt left into a folder: a saved folder's content, or the one file under its name.

        Args:
            path: the folder, made if it is not there; without it, one that goes away with the attempt.

        Returns:
            The folder, or ``None`` where there is nothing to restore.

        Raises:
            CheckpointError: it is damaged, or ``path`` is not a folder.
        """
        saved = self._left()
        if saved is None:
            return None
        folder = self._scratch_folder("restored") if path is None else Path(path)
        if folder.exists() and not folder.is_dir():
            raise CheckpointError("a checkpoint is restored into a folder", place=str(folder), actual="a file")
        folder.mkdir(parents=True, exist_ok=True)
        for name in saved.folders:
            (folder / _safe(name, self._source)).mkdir(parents=True, exist_ok=True)
        for name, size, digest in saved.files:
            target = folder / _safe(name, self._source)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._opened(saved, name) as arriving, target.open("wb") as file:
                if _copy(arriving, file) != (size, digest):
                    raise _damaged(self._source, f"{name} is not as it was written")
        return folder

    # --- what this attempt leaves ---

    def write(self, b: bytes | bytearray | memoryview) -> None:
        """Leave ``b`` for the next attempt, in place of what was left before.

        Raises:
            InputError: it is not bytes.
            OSError: it cannot be written; what was left before still counts.
        """
        if not isinstance(b, bytes | bytearray | memoryview):
            raise InputError(
                "a checkpoint is written as bytes",
                place="checkpoint.write()",
                expected="bytes",
                actual=type(b).__name__,
                hint="encode it, for example with json.dumps(state).encode()",
            )
        import io

        self._leave("bytes", [(_ONE_FILE, io.BytesIO(b))])

    def save(self, cp: Path | str | BinaryIO) -> None:
        """Leave a file, a folder or an open file for the next attempt, in place of what was left before.

        To leave several files together, save the folder they are in.

        Raises:
            CheckpointError: there is no such file, or the folder holds something that is neither file nor folder.
            OSError: it cannot be written; what was left before still counts.
        """
        if isinstance(cp, str | os.PathLike):
            path = Path(cp)
            if path.is_dir():
                files, folders = _content(path)
                self._leave("folder", ((name, path / name) for name in files), folders)
            elif path.is_file():
                self._leave("file", [(path.name, path)])
            else:
                raise CheckpointError(
                    "there is nothing to save", place=str(path), expected="a file or a folder", actual="nothing there"
                )
            return
        if not callable(getattr(cp, "read", None)):
            raise InputError(
                "a checkpoint is saved from a path or an open file",
                place="checkpoint.save()",
                expected="path or binary file",
                actual=type(cp).__name__,
                hint="use write() for bytes",
            )
        name = getattr(cp, "name", None)
        self._leave("file", [(Path(name).name if isinstance(name, str) else _ONE_FILE, cp)])

    def close(self) -> None:
        """Forget what goes away with the attempt."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    # --- how ---

    def _left(self) -> _Saved | None:
        with self._lock:
            if not self._known:
                if self._source is not None:
                    place = _place(self._source)
                    content = place.manifest()
                    self._previous = None if content is None else _Saved.decode(content, place.where)
                self._known = True
            return self._previous

    @contextmanager
    def _opened(self, saved: _Saved, name: str) -> Iterator[BinaryIO]:
        try:
            file = _place(self._source or "").open(f"{saved.data}/{name}")
        except FileNotFoundError as error:
            raise _damaged(self._source, f"{name} is missing") from error
        with file:
            yield file

    def _leave(
        self,
        kind: Literal["bytes", "file", "folder"],
        sources: Iterable[tuple[str, Any]],
        folders: tuple[str, ...] = (),
    ) -> None:
        with self._lock:
            # What was left before must be known before it can be replaced in the same folder.
            previous = self._left()
            place = _place(self._destination or str(self._scratch_folder("left")))
            data = f"{_DATA}{uuid.uuid4().hex}"
            files = []
            try:
                for name, source in sources:
                    with place.create(f"{data}/{name}") as target:
                        if isinstance(source, Path):
                            with source.open("rb") as file:
                                size, digest = _copy(file, target)
                        else:
                            size, digest = _copy(source, target)
                    files.append((name, size, digest))
                place.settle(data)
                place.commit(_Saved(kind, data, tuple(files), folders).encode())
            except BaseException:
                place.sweep(frozenset(self._in_force(place)))
                raise
            shared = previous is not None and self._source == self._destination
            place.sweep(frozenset({data, previous.data} if shared and previous is not None else {data}))

    def _in_force(self, place: _Place) -> Iterator[str]:
        content = place.manifest()
        if content is not None:
            yield _Saved.decode(content, place.where).data
        if self._previous is not None:
            yield self._previous.data

    def _scratch_folder(self, name: str) -> Path:
        with self._lock:
            if self._scratch is None:
                self._scratch = folder_of_this_process()
            self._taken += name == "restored"
            return self._scratch / (f"{name}-{self._taken}" if name == "restored" else name)


def latest_checkpoint(folders: Iterable[str]) -> str | None:
    """The first of ``folders``, newest attempt first, that holds a checkpoint.

    An attempt that died before it wrote one must not hide what the attempt before it left.
    """
    for folder in folders:
        if _place(folder).manifest() is not None:
            return folder
    return None


class _Folder:
    """A folder on this machine. What is created is on the disk before it is put in force."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def manifest(self) -> bytes | None:
        try:
            return (self._folder / _MANIFEST).read_bytes()
        except FileNotFoundError:
            return None

    def commit(self, manifest: bytes) -> None:
        draft = self._folder / f".{_MANIFEST}.{uuid.uuid4().hex}"
        try:
            with draft.open("xb") as file:
                file.write(manifest)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / _MANIFEST)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(self._folder)

    def open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("rb")

    def create(self, name: str) -> BinaryIO:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")

    def settle(self, data: str) -> None:
        root = self._folder / data
        root.mkdir(parents=True, exist_ok=True)
        for folder, _, files in os.walk(root):
            for name in files:
                descriptor = os.open(Path(folder) / name, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            sync_folder(Path(folder))
        sync_folder(self._folder)

    def sweep(self, keep: frozenset[str]) -> None:
        for path in self._folder.glob(f"{_DATA}*"):
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)


class _Remote:
    """A prefix elsewhere, through fsspec. An object store shows an object whole or not at all."""

    def __init__(self, url: str) -> None:
        import fsspec  # type: ignore[import-untyped]

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise CheckpointError(
                "checkpoints cannot be kept there",
                place=url,
                expected="a folder, or a URL whose scheme fsspec knows",
                actual=str(error),
                hint="install the package that brings this scheme (s3fs, gcsfs, adlfs, ...)",
            ) from error
        self.where = url

    def manifest(self) -> bytes | None:
        try:
            # A listing kept from before would hide what another process has written since.
            self._files.invalidate_cache()
            content: bytes = self._files.cat_file(f"{self._root}/{_MANIFEST}")
        except FileNotFoundError:
            return None
        return content

    def commit(self, manifest: bytes) -> None:
        self._files.makedirs(self._root, exist_ok=True)
        self._files.pipe_file(f"{self._root}/{_MANIFEST}", manifest)

    def open(self, name: str) -> BinaryIO:
        file: BinaryIO = self._files.open(f"{self._root}/{name}", "rb")
        return file

    def create(self, name: str) -> BinaryIO:
        path = f"{self._root}/{name}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        file: BinaryIO = self._files.open(path, "wb")
        return file

    def settle(self, data: str) -> None:
        """Nothing: a closed object is kept."""

    def sweep(self, keep: frozenset[str]) -> None:
        try:
            found = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return
        for path in found:
            name = str(path).rstrip("/").rpartition("/")[2]
            if name.startswith(_DATA) and name not in keep:
                self._files.rm(path, recursive=True)


def _place(folder: str) -> _Place:
    scheme, found, rest = folder.partition("://")
    if not found:
        return _Folder(Path(folder))
    if scheme != "file":
        return _Remote(folder)
    from urllib.parse import unquote

    return _Folder(Path(unquote(rest)))


def _copy(source: Any, target: Any) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _content(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    files, folders = [], []
    for folder, inner, names in os.walk(root, onerror=_raise):
        here = Path(folder)
        for name in inner:
            if (here / name).is_symlink():
                raise CheckpointError("only files and folders can be saved", place=f"{here / name}", actual="a link")
        folders += [(here / name).relative_to(root).as_posix() for name in inner]
        for name in names:
            path = here / name
            if not path.is_file():
                raise CheckpointError("only files and folders can be saved", place=str(path), expected="a file")
            files.append(path.relative_to(root).as_posix())
    return tuple(sorted(files)), tuple(sorted(folders))


def _raise(error: OSError) -> None:
    raise error


def _safe(name: str, place: str | None) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _damaged(place, f"it has a file named {name!r}")
    return name


def _damaged(place: str | None, actual: str) -> CheckpointError:
    return CheckpointError(
        "the checkpoint of an earlier attempt is damaged",
        place=place,
        expected="the bytes that were written",
        actual=actual,
        hint="catch this error to start afresh, or remove the checkpoint",
    )
