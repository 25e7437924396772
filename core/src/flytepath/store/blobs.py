"""Blobs: bytes by their digest, each project and domain under a prefix of its own.

A blob's name is its SHA-256, so the same bytes are kept once and every reader can check what it got. It is written
beside its place, made durable and renamed into it: whoever sees a blob sees all of it. A folder on this machine needs
nothing but the standard library; any other URL goes through fsspec (:mod:`flytepath.store.remote_blobs`).
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final, Protocol
from urllib.parse import unquote, urlsplit

from flytepath.errors import NotFoundError, StoreCorruptError, StoreError, UsageError
from flytepath.model.identity import check_label
from flytepath.model.literal import BlobRef
from flytepath.plugin.extensions import BlobStore
from flytepath.store.disk import folder_error, locked, sync_folder

_PIECE: Final = 1024 * 1024
#: So much is written before the disk is asked to begin, while the rest is still being digested.
_STRETCH: Final = 24 * _PIECE
_ALGORITHM: Final = "sha256"
#: A blob that nobody refers to is left alone for so long: whoever put it may not have come to say so.
UNTOUCHED_SECONDS: Final = 3600.0
#: The extended attribute of a large blob that says which file, by whose digest, was written here.
_SEAL: Final = "user.flytepath.seal"


class BlobCorruptError(StoreCorruptError):
    """A blob's bytes are not the ones that were written; ``place`` is its URI."""

    code = "FP-BLOB-CORRUPT"


class BlobPlace(Protocol):
    """Where the blobs of one prefix lie. Names are digests; what is put is complete and durable on return."""

    def uri(self, name: str) -> str:
        """Where the blob of this name is."""

    def draft(self) -> Path:
        """The path of a new file on this machine to write a blob into."""

    def holds(self, name: str, content: bytes) -> bool:
        """Whether exactly ``content`` is kept under ``name``."""

    def adopt(self, draft: Path, name: str) -> None:
        """Keep the finished ``draft`` under ``name``; the draft is gone afterwards."""

    def fetch(self, name: str) -> Path:
        """A file on this machine with the blob; ``FileNotFoundError`` where there is none."""

    def size(self, name: str) -> int | None:
        """How many bytes the blob of this name has, without reading them; ``None`` where there is none."""

    def forget(self, name: str) -> None:
        """Drop a copy that was fetched and found damaged, so that the next fetch gets a new one."""


class DraftWriter:
    """A blob being written, digested as it streams; ``ref`` is known once it is kept.

    Large pieces are digested, written and made durable side by side: each of the three takes about as long as another.
    """

    def __init__(self, draft: Path) -> None:
        self._draft = draft
        self._file = draft.open("wb", buffering=_PIECE)
        self._sum = hashlib.sha256()
        self._digesting: _Digesting | None = None
        self._size = 0
        self._ref: BlobRef | None = None
        self._unsynced = 0
        self._syncing: threading.Thread | None = None
        self._failed: list[OSError] = []

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append ``data``; the number of bytes. Raises :class:`StoreFullError` where there is no room."""
        view = memoryview(data).cast("B")
        if self._digesting is None and len(view) < _PIECE:
            self._sum.update(view)
            self._put(view)
        else:
            self._digesting = self._digesting or _Digesting(self._sum)
            self._digesting.add(view)
            self._put(view)
            if not _is_lasting(view):
                self._digesting.wait()
        self._size += len(view)
        return len(view)

    def _put(self, view: memoryview) -> None:
        with storage_errors(self._draft):
            self._file.write(view)
        self._unsynced += len(view)
        if self._unsynced >= _STRETCH and (self._syncing is None or not self._syncing.is_alive()):
            self._unsynced = 0
            self._syncing = threading.Thread(target=self._begin_sync, name="flytepath-sync", daemon=True)
            self._syncing.start()

    def _begin_sync(self) -> None:
        # The system reports a failed write once: what is learned here must not be lost for the last sync.
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._failed.append(error)

    def _end_digest(self) -> None:
        if self._digesting is not None:
            self._digesting.end()
            self._digesting = None

    def _end_sync(self) -> None:
        if self._syncing is not None:
            self._syncing.join()

    @property
    def ref(self) -> BlobRef:
        """The kept blob. Raises :class:`StoreError` before the writer is closed."""
        if self._ref is None:
            raise StoreError("this blob is not written yet", hint="read the reference after the 'with' block")
        return self._ref

    def seal(self) -> str:
        """Make the draft durable; the blob's name."""
        self._end_digest()
        name = self._sum.hexdigest()
        with storage_errors(self._draft):
            self._file.flush()
            if self._size >= _PIECE:
                _set_seal(self._file.fileno(), name)
            os.fsync(self._file.fileno())
            self._end_sync()
            if self._failed:
                raise self._failed[0]
            self._file.close()
        return name

    def kept(self, uri: str) -> None:
        """Say where the blob is kept."""
        self._ref = BlobRef(uri, f"{_ALGORITHM}:{self._sum.hexdigest()}", self._size)

    def discard(self) -> None:
        """Throw the draft away. After a success there is nothing left to throw."""
        self._end_digest()
        self._end_sync()
        with suppress(OSError):  # closing writes what is buffered, which nobody wants any more
            self._file.close()
        self._draft.unlink(missing_ok=True)


class _Digesting:
    """A thread that digests pieces in the order in which they come, while their writer goes on."""

    _MOST: ClassVar[int] = 32  # pieces that may wait, so that a slow digest does not fill the memory

    def __init__(self, digest: Any) -> None:
        self._digest = digest
        self._pieces: queue.Queue[memoryview | None] = queue.Queue(self._MOST)
        self._thread = threading.Thread(target=self._run, name="flytepath-digest", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._digest.update(piece)
            self._pieces.task_done()

    def add(self, piece: memoryview) -> None:
        """Digest ``piece`` when its turn comes."""
        self._pieces.put(piece)

    def wait(self) -> None:
        """Until everything that was added is digested."""
        self._pieces.join()

    def end(self) -> None:
        """Digest what was added, and end."""
        self._pieces.put(None)
        self._thread.join()


def _is_lasting(piece: memoryview) -> bool:
    """Whether nobody can change a piece after it was written: bytes, and Arrow's buffers, which it holds on to."""
    owner = piece.obj
    return type(owner) is bytes or type(owner).__module__ == "pyarrow.lib"


class BlobFolder:
    """The blobs of one project and domain: a sink and a source for type transformers.

    Args:
        root: a folder, a ``file:`` URL, or any other URL that fsspec reads.
        project, domain: the tenant; nothing outside its prefix is ever read or written.
        cache: where blobs from elsewhere than this machine are kept while they are used; by default a temporary folder
            that goes away with this object.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     blobs = BlobFolder(root, "default", "development")
        ...     blobs.get(blobs.put(b"weights"))
        b'weights'
    """

    def __init__(self, root: Path | str, project: str, domain: str, *, cache: Path | None = None) -> None:
        check_label(project, "project")
        check_label(domain, "domain")
        local = local_path_of(root)
        if local is not None:
            self._place: BlobPlace = _LocalPlace(local.absolute() / project / domain)
        else:
            from flytepath.store.remote_blobs import RemotePlace

            self._place = RemotePlace(f"{str(root).rstrip('/')}/{project}/{domain}", cache)
        # Hashing a large blob again each time it is opened would cost more than reading it.
        self._checked: dict[str, tuple[int, int, int]] = {}

    def put(self, content: bytes) -> BlobRef:
        """Keep ``content``.

        Raises:
            StoreFullError: there is no room.
            StoreError: it cannot be written.
        """
        name = hashlib.sha256(content).hexdigest()
        if self._place.holds(name, content):
            return BlobRef(self._place.uri(name), f"{_ALGORITHM}:{name}", len(content))
        with self.create() as writer:
            writer.write(content)
        return writer.ref

    def put_file(self, path: Path) -> BlobRef:
        """Keep the file at ``path``, streamed; raises what :meth:`put` raises, ``OSError`` where it is unreadable."""
        with path.open("rb") as source, self.create() as writer:
            while piece := source.read(8 * _PIECE):
                writer.write(piece)
        return writer.ref

    @contextmanager
    def create(self) -> Iterator[DraftWriter]:
        """A writer whose blob is kept when the context ends without an exception, and never otherwise."""
        with storage_errors(self._place.uri("")):
            draft = self._place.draft()
            writer = DraftWriter(draft)
        try:
            yield writer
            name = writer.seal()
            with storage_errors(self._place.uri(name)):
                self._place.adopt(draft, name)
            writer.kept(self._place.uri(name))
        finally:
            writer.discard()

    def get(self, ref: BlobRef) -> bytes:
        """The whole blob.

        Raises:
            NotFoundError: there is no such blob under this prefix.
            BlobCorruptError: its bytes are not those of the digest.
        """
        with storage_errors(ref.uri):
            content = self._fetch(ref).read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != _name(ref):
            raise self._corrupt(ref, found)
        return content

    def open(self, ref: BlobRef) -> BinaryIO:
        """The blob as a seekable stream, checked first; raises what :meth:`get` raises."""
        return self.local_path(ref).open("rb")

    def exists(self, ref: BlobRef) -> bool:
        """Whether the blob is there. On this machine its bytes are checked too, elsewhere only their number."""
        if not isinstance(self._place, _LocalPlace):
            return self._place.size(_name(ref)) == ref.size
        try:
            self.local_path(ref)
        except (NotFoundError, BlobCorruptError):
            return False
        return True

    def local_path(self, ref: BlobRef) -> Path:
        """A read-only file with the blob's content, downloaded at most once; raises what :meth:`get` does."""
        path, name = self._fetch(ref), _name(ref)
        facts = path.stat()
        signature = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if self._checked.get(name) != signature:
            if _is_sealed(path, facts, name):
                self._checked[name] = signature
                return path
            with path.open("rb") as file:
                found = hashlib.file_digest(file, _ALGORITHM).hexdigest()
            if found != name:
                raise self._corrupt(ref, found)
            self._checked[name] = signature
        return path

    def _corrupt(self, ref: BlobRef, found: str) -> BlobCorruptError:
        self._place.forget(_name(ref))
        return BlobCorruptError(
            "a blob is damaged",
            place=ref.uri,
            expected=ref.digest,
            actual=f"{_ALGORITHM}:{found}",
            hint="restore it from a backup, or run the task that wrote it again",
        )

    def _fetch(self, ref: BlobRef) -> Path:
        try:
            return self._place.fetch(_name(ref))
        except FileNotFoundError as error:
            raise NotFoundError(
                "there is no such blob under this project and domain",
                place=self._place.uri(_name(ref)),
                expected=f"{ref.size} bytes with digest {ref.digest}",
                actual=f"recorded as {ref.uri}",
                hint="it was deleted, or belongs to another project or domain",
            ) from error


class _LocalPlace:
    """A folder on this machine, one sub-folder per first two digits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def uri(self, name: str) -> str:
        return self._path(name).as_uri()

    def draft(self) -> Path:
        drafts = self._folder / "drafts"
        drafts.mkdir(parents=True, exist_ok=True)
        return drafts / uuid.uuid4().hex

    def holds(self, name: str, content: bytes) -> bool:
        # Its bytes are compared too: putting a value again is how a damaged blob is mended.
        path = self._path(name)
        try:
            facts = path.stat()
            if facts.st_size != len(content) or path.read_bytes() != content:
                return False
            return self._is_fresh(path, facts)
        except OSError:
            return False

    def _is_fresh(self, path: Path, facts: os.stat_result) -> bool:
        """Whether nobody takes the blob for left over until an event refers to it; an old one is made new if it can."""
        if time.time() - facts.st_mtime < UNTOUCHED_SECONDS / 2:
            return True
        if facts.st_size >= _PIECE:
            return False  # its seal tells the time of change, so it is written anew
        with locked(self._folder, exclusive=False):
            os.utime(path)
        return True

    def adopt(self, draft: Path, name: str) -> None:
        path = self._path(name)
        draft.chmod(0o444)
        new_shelf = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(path)
        sync_folder(path.parent)
        if new_shelf:
            sync_folder(path.parent.parent)
            sync_folder(self._folder)

    def fetch(self, name: str) -> Path:
        path = self._path(name)
        if not path.is_file():
            raise FileNotFoundError(path)
        return path

    def size(self, name: str) -> int | None:
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None

    def forget(self, name: str) -> None:
        """Nothing: here the blob itself is read, not a copy."""

    def _path(self, name: str) -> Path:
        return self._folder / _ALGORITHM / name[:2] / name


class FileBlobStore(BlobStore):
    """Blobs of the scheme ``file``: paths on this machine, for values that point to files of the user's own.

    Example:
        >>> import io, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     uri = (Path(folder) / "report.txt").as_uri()
        ...     size = FileBlobStore().write(uri, io.BytesIO(b"fine"))
        ...     size, FileBlobStore().exists(uri)
        (4, True)
    """

    def open_read(self, uri: str) -> BinaryIO:
        """The file as a seekable stream; ``FileNotFoundError`` where there is none."""
        return _file_of(uri).open("rb")

    def write(self, uri: str, content: BinaryIO) -> int:
        """Keep ``content`` at ``uri``, all of it or nothing; the number of bytes.

        Raises:
            StoreFullError: there is no room; what was there before is still there.
            StoreError: it cannot be written.
        """
        path = _file_of(uri)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with draft.open("xb") as file:
                    shutil.copyfileobj(content, file, _PIECE)
                    file.flush()
                    os.fsync(file.fileno())
                    size = file.tell()
                draft.replace(path)
                sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)
        return size

    def exists(self, uri: str) -> bool:
        """Whether there is a file at ``uri``."""
        return _file_of(uri).is_file()

    def delete(self, uri: str) -> None:
        """Remove the file; nothing happens where there is none."""
        _file_of(uri).unlink(missing_ok=True)


@contextmanager
def storage_errors(place: Path | str) -> Iterator[None]:
    """Operating-system errors on ``place`` leave as errors of ours."""
    try:
        yield
    except OSError as error:
        raise folder_error(error, place) from error


def local_path_of(root: Path | str) -> Path | None:
    """The folder on this machine that ``root`` means, ``None`` where it is another kind of URL."""
    if isinstance(root, Path) or "://" not in root:
        return Path(root) if not str(root).startswith("file:") else _file_of(str(root))
    return _file_of(root) if root.startswith("file://") else None


def _file_of(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise UsageError("this is not a file on this machine", expected="file:///absolute/path", actual=uri)
    return Path(unquote(parts.path))


def _set_seal(descriptor: int, name: str) -> None:
    """Note on a finished file that its bytes were digested as they were written, so that readers need not do it again.

    The note names the file by its number, size and time of change: on a copy, or after any change, it says nothing.
    """
    if hasattr(os, "setxattr"):
        with suppress(OSError):  # a file system without such attributes: readers digest
            os.setxattr(descriptor, _SEAL, _seal(os.fstat(descriptor), name))


def _is_sealed(path: Path, facts: os.stat_result, name: str) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    try:
        return os.getxattr(path, _SEAL) == _seal(facts, name)
    except OSError:
        return False


def _seal(facts: os.stat_result, name: str) -> bytes:
    return f"{facts.st_ino}:{facts.st_mtime_ns}:{facts.st_size}:{name}".encode()


def _name(ref: BlobRef) -> str:
    algorithm, _, name = ref.digest.partition(":")
    if algorithm != _ALGORITHM or len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise StoreError("this is no digest of a blob", place=ref.uri, expected="sha256:<64 digits>", actual=ref.digest)
    return name
