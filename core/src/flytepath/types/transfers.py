"""How the bytes of files move between paths on this machine, URLs and blobs, and where they wait meanwhile."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import posixpath
import shutil
import sys
import tempfile
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, TypeVar
from urllib.parse import unquote, urlsplit

from flytepath.errors import FlytePathError, TypeTransformerFailedError
from flytepath.model.literal import BlobRef
from flytepath.types import attempt_folder

T = TypeVar("T")

log = logging.getLogger("flytepath")

_PIECE: Final = 1024 * 1024
#: Facts that name one version of an object, from the surest on; what else a file system says may change on its own.
_VERSIONS: Final = ("ETag", "etag", "md5Hash", "content_md5", "VersionId", "generation", "checksum")
_TIMES: Final = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
#: Schemes of file systems in which a folder must exist before a file can be written into it.
_WITH_FOLDERS: Final = frozenset({"file", "local", "memory", "sftp", "ssh", "ftp", "hdfs", "webhdfs", "smb", "dbfs"})
#: The ioctl by which btrfs, XFS and their like let two files share blocks until one is written to.
_FICLONE: Final = 0x40049409


class FileAccessError(FlytePathError, OSError):
    """A file or folder elsewhere cannot be read or written; ``place`` is its URI."""

    code = "FP-FILE-ACCESS"


class MissingFileError(TypeTransformerFailedError, FileNotFoundError):
    """There is nothing where a value says that its file or folder is."""

    code = "FP-FILE-MISSING"


# --- places on this machine --------------------------------------------------------------------------------------

_process_folder: list[Path] = []


def working_folder() -> Path:
    """The folder of the running attempt; outside any attempt, one that goes away with this process."""
    return attempt_folder.find() or _own_folder()


def fresh_folder() -> Path:
    """A new, empty folder below :func:`working_folder`."""
    return Path(tempfile.mkdtemp(prefix="files-", dir=working_folder()))


def _own_folder() -> Path:
    if not _process_folder or not _process_folder[0].is_dir():
        folder = Path(tempfile.mkdtemp(prefix="flytepath-"))
        _process_folder[:] = [folder]
        atexit.register(_remove, folder, os.getpid())
    return _process_folder[0]


def _remove(folder: Path, owner: int) -> None:
    # A forked child ends as well, and must not take its parent's files with it.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


class ScratchBlobs:
    """Blobs of this process: the store that values of a direct call go through. They end with this object.

    Example:
        >>> blobs = ScratchBlobs()
        >>> blobs.get(blobs.put(b"weights"))
        b'weights'
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="blobs-", dir=_own_folder()))
        weakref.finalize(self, _remove, self._folder, os.getpid())

    def put(self, content: bytes) -> BlobRef:
        """Keep ``content``."""
        with self.create() as writer:
            writer.write(content)
        return writer.ref

    def put_file(self, path: Path) -> BlobRef:
        """Keep the file at ``path``, streamed."""
        with path.open("rb") as source, self.create() as writer:
            shutil.copyfileobj(source, writer, _PIECE)
        return writer.ref

    @contextmanager
    def create(self) -> Iterator[ScratchWriter]:
        """A writer whose blob is kept when the context ends without an exception, and never otherwise."""
        draft = self._folder / f"draft-{uuid.uuid4().hex}"
        try:
            with draft.open("wb") as file:
                writer = ScratchWriter(file)
                yield writer
            writer.keep(draft, self._folder)
        finally:
            draft.unlink(missing_ok=True)

    def get(self, ref: BlobRef) -> bytes:
        """The whole blob."""
        return self.local_path(ref).read_bytes()

    def open(self, ref: BlobRef) -> BinaryIO:
        """The blob as a seekable stream."""
        return self.local_path(ref).open("rb")

    def local_path(self, ref: BlobRef) -> Path:
        """The blob's own file, not to be written to."""
        return self._folder / ref.digest.replace(":", "-")


class ScratchWriter:
    """A blob of :class:`ScratchBlobs` being written; ``ref`` is known once it is kept."""

    ref: BlobRef

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append ``data``; the number of bytes."""
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._sum.update(view)
        self._size += len(view)
        return len(view)

    def keep(self, draft: Path, folder: Path) -> None:
        """Give the finished ``draft`` its name."""
        digest = f"sha256:{self._sum.hexdigest()}"
        place = folder / digest.replace(":", "-")
        draft.chmod(0o444)
        draft.replace(place)
        self.ref = BlobRef(place.as_uri(), digest, self._size)


def clone(source: Path, target: Path) -> None:
    """Copy a file's content; where the file system can share blocks until one is written to, nothing is copied."""
    arriving = target.with_name(f".{uuid.uuid4().hex}")
    try:
        with source.open("rb") as given, arriving.open("wb") as copy:
            if not _share_blocks(given, copy):
                shutil.copyfileobj(given, copy, _PIECE)
        arriving.replace(target)
    finally:
        arriving.unlink(missing_ok=True)


def _share_blocks(given: BinaryIO, copy: BinaryIO) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, given.fileno())
    except OSError:  # another file system, or one that cannot
        return False
    return True


def file_digest(path: Path) -> str:
    """``sha256:`` and the digest of a file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def in_parallel(function: Callable[[T], Any], items: Iterable[T], at_once: int) -> list[Any]:
    """``function`` of each item, in order, so many at once; the first error ends the rest.

    Example:
        >>> in_parallel(len, ["a", "bcd"], at_once=2)
        [1, 3]
    """
    rows = list(items)
    if at_once < 2 or len(rows) < 2:
        return [function(row) for row in rows]
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(min(at_once, len(rows)), thread_name_prefix="flytepath-files")
    try:
        return list(pool.map(function, rows))
    finally:
        pool.shutdown(cancel_futures=True)


# --- places elsewhere --------------------------------------------------------------------------------------------


def is_remote(path: str) -> bool:
    """Whether ``path`` is a URI of something that is not a file of this machine.

    Example:
        >>> is_remote("s3://bucket/key"), is_remote("file:///etc/hosts"), is_remote("data/x.csv")
        (True, False, False)
    """
    return "://" in path and not path.startswith("file://")


def local_path(path: str) -> str:
    """A path of this machine without the ``file://`` that people may write before it.

    Example:
        >>> local_path("file:///data/a%20b.csv")
        '/data/a b.csv'
    """
    return unquote(urlsplit(path).path) if path.startswith("file://") else path


def typed_path(text: str) -> str:
    """A path or URI as a person types it: ``~`` is their home."""
    text = text.strip()
    return text if "://" in text else str(Path(text).expanduser())


def as_uri(path: str) -> str:
    """``path``, or the URI of the local path that it is."""
    return path if "://" in path else Path(path).absolute().as_uri()


def base_name(path: str) -> str:
    """The last part of a path or URI.

    Example:
        >>> base_name("https://host/data/x.csv?version=3"), base_name("/data/folder/")
        ('x.csv', 'folder')
    """
    plain = unquote(urlsplit(path).path) or urlsplit(path).netloc if is_remote(path) else local_path(path)
    return posixpath.basename(plain.rstrip("/"))


def joined(uri: str, relative: str) -> str:
    """The URI of what lies below ``uri``."""
    return f"{uri.rstrip('/')}/{relative}"


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI, and the path in it.

    Raises:
        FileAccessError: nothing that is installed knows the scheme.
    """
    import fsspec  # type: ignore[import-untyped]

    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        scheme = uri.partition("://")[0]
        raise FileAccessError(
            f"files of the scheme {scheme!r} cannot be reached from here",
            place=uri,
            expected="a scheme whose fsspec driver is installed",
            actual=str(error),
            hint="install the package that brings it (s3fs, gcsfs, adlfs, aiohttp, ...) where the task runs",
        ) from error
    return found


def make_parents(files: Any, path: str) -> None:
    """Make the folders around ``path`` where there are such: in an object store it would make a bucket."""
    known = files.protocol if isinstance(files.protocol, tuple | list) else (files.protocol,)
    if not _WITH_FOLDERS.isdisjoint(known):
        files.makedirs(posixpath.dirname(path), exist_ok=True)


@contextmanager
def access(uri: str, done: str) -> Iterator[None]:
    """Whatever a driver raises while ``uri`` is being read or written leaves as an error of ours.

    Raises:
        MissingFileError: there is nothing.
        FileAccessError: anything else.
    """
    try:
        yield
    except FlytePathError:
        raise
    except FileNotFoundError as error:
        raise missing(uri) from error
    except Exception as error:
        raise FileAccessError(
            f"this file cannot be {done}: {type(error).__name__}: {error}",
            place=uri,
            hint="check the credentials and the network of the machine that runs the task",
        ) from error


def missing(path: str, hint: str | None = None) -> MissingFileError:
    """The error of a file or folder that does not exist."""
    return MissingFileError(
        f"there is nothing at {path}",
        expected="a file or folder that exists",
        actual=path,
        hint=hint or _where_to_look(path),
    )


def _where_to_look(path: str) -> str:
    if is_remote(path):
        return "check the URI, and that the credentials of this machine may see it"
    return "check the path; a relative one starts at the working directory of the process"


def version_of(uri: str) -> dict[str, str]:
    """What tells this version of a remote file from others, where its file system says; it stands in cache keys.

    Raises:
        MissingFileError: there is no such file.
    """
    try:
        files, path = filesystem(uri)
        with access(uri, "looked at"):
            files.invalidate_cache(path)  # drivers remember listings, and others write meanwhile
            info = files.info(path)
    except FileAccessError as error:
        log.warning("%s is passed on unseen, a change of its content will not be noticed: %s", uri, error.message)
        return {}
    if info.get("type") == "directory":
        raise TypeTransformerFailedError(
            "this is a directory, not a file", expected="a file", actual=uri, hint="annotate it as FlyteDirectory"
        )
    return version_facts(info)


def version_facts(info: dict[str, Any]) -> dict[str, str]:
    """The facts in a driver's description of a file that change when its content does.

    Example:
        >>> version_facts({"name": "x", "size": 3, "ETag": '"a1"', "LastModified": "today"})
        {'ETag': '"a1"', 'size': '3'}
    """
    name = next((key for key in (*_VERSIONS, *_TIMES) if info.get(key) is not None), None)
    facts = {} if name is None else {name: str(info[name])}
    return facts | ({} if info.get("size") is None else {"size": str(info["size"])})


def download(uri: str, target: Path, digest: str | None = None) -> None:
    """Fetch one remote file, all of it or nothing.

    Raises:
        MissingFileError: there is no such file.
        FileAccessError: it cannot be read, or is not what ``digest`` says.
    """
    files, path = filesystem(uri)
    arriving = target.with_name(f".{uuid.uuid4().hex}")
    try:
        with access(uri, "downloaded"):
            files.get_file(path, str(arriving))
        if digest is not None and (found := file_digest(arriving)) != digest:
            raise FileAccessError(
                "the file is not the one that was recorded: somebody has written over it",
                place=uri,
                expected=digest,
                actual=found,
            )
        arriving.replace(target)
    finally:
        arriving.unlink(missing_ok=True)


def upload(source: Path, uri: str) -> BlobRef:
    """Write a file of this machine to ``uri``, digested as it streams. Raises :class:`FileAccessError`."""
    files, path = filesystem(uri)
    digest, size = hashlib.sha256(), 0
    with access(uri, "written"):
        make_parents(files, path)
        with source.open("rb") as given, files.open(path, "wb") as out:
            while piece := given.read(_PIECE):
                out.write(piece)
                digest.update(piece)
                size += len(piece)
    return BlobRef(uri, f"sha256:{digest.hexdigest()}", size)


def open_remote(uri: str, mode: str, cache_type: str | None, cache_options: dict[str, Any] | None) -> IO[Any]:
    """A remote file as a stream.

    Args:
        uri: where it is.
        mode: as for ``open``.
        cache_type: an fsspec cache to read through: ``simplecache``, ``filecache`` or ``blockcache``.
        cache_options: the options of that cache, for example ``cache_storage``.

    Raises:
        MissingFileError: there is no such file.
        FileAccessError: it cannot be opened.
    """
    import fsspec

    files, path = filesystem(uri)
    with access(uri, "opened"):
        if cache_type is not None:
            options = {cache_type: cache_options or {}}
            cached: IO[Any] = fsspec.open(f"{cache_type}::{uri}", mode, **options).open()
            return cached
        if "r" not in mode:
            make_parents(files, path)
        stream: IO[Any] = files.open(path, mode)
        return stream
